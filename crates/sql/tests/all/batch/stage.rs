//! Queries as they are written, for a stream and for the batch engine.

use std::fmt::Write as _;

use super::assign::Windows;
use super::grammar::{Kind, MARK, NUMBER, TABLE};

/// A column of a query.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub stream: String,
    pub batch: String,
    pub name: String,
    pub kind: Kind,
    /// Rows are grouped by it.
    pub key: bool,
}

/// A window over a table.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    pub windows: Windows,
    pub time: String,
    /// Of sessions.
    pub keys: Vec<String>,
    /// The call, with `{}` for the table.
    pub call: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Rows stay rows.
    Plain,
    /// Rows get the columns of their windows.
    Cut,
    /// Rows are gathered.
    Grouped,
}

/// One query over the one before, or over `t`.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub name: String,
    pub shape: Shape,
    pub from: String,
    /// One, or two whose rows are put one after the other.
    pub cuts: Vec<Cut>,
    /// It is a view of its own, not a part of the one above.
    pub is_view: bool,
    pub items: Vec<Item>,
    /// Rows are taken apart by the list `l`, whose items are `e`.
    pub unnest: bool,
    pub condition: Option<String>,
    /// Of a plain query: that of a second branch.
    pub second: Option<String>,
    pub group: Vec<String>,
    pub having: Option<String>,
    /// What is late is left out by the windows.
    pub drops_late: bool,
    /// Its rows have the numbers and watermarks of those of `t`.
    pub numbered: bool,
}

/// Queries and what they are run with.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub stages: Vec<Stage>,
    pub allowed_lateness: i64,
}

impl Query {
    pub(super) fn last(&self) -> &Stage {
        self.stages.last().unwrap()
    }

    /// Whether a condition stands over windows. It may be looked at before these, so that rows which it leaves out are
    /// not told to be late.
    pub(super) fn conditions_over_windows(&self) -> bool {
        let mut above = self.stages.iter().skip_while(|s| s.cuts.is_empty()).skip(1);
        above.any(|s| s.condition.is_some())
    }

    /// Name and SQL of each view.
    pub(super) fn views(&self) -> Vec<(String, String)> {
        let (mut views, mut parts) = (vec![], vec![]);
        for (i, stage) in self.stages.iter().enumerate() {
            let sql = stage.sql(false);
            if !stage.is_view && i + 1 < self.stages.len() {
                parts.push(format!("{} AS ({sql})", stage.name));
                continue;
            }
            let with = if parts.is_empty() {
                String::new()
            } else {
                format!("WITH {} ", parts.join(", "))
            };
            views.push((stage.name.clone(), format!("{with}{sql}")));
            parts.clear();
        }
        views
    }
}

impl Stage {
    /// What stands behind `FROM` on the batch side.
    pub(super) fn cut_name(&self, at: usize) -> String {
        format!("{}_cut{at}", self.name)
    }

    /// The SQL, for a stream or for the batch engine, which finds what is to be cut in tables that are.
    pub(super) fn sql(&self, batch: bool) -> String {
        let froms = match (self.cuts.len(), batch) {
            (0, true) if self.unnest => vec![self.cut_name(0)],
            (0, _) => vec![self.from.clone()],
            (n, true) => (0..n).map(|i| self.cut_name(i)).collect(),
            (_, false) => self.cuts.iter().map(|c| c.call.replace("{}", &self.from)).collect(),
        };
        let mut all = froms.iter().map(|from| self.select(from, self.condition.as_deref(), batch));
        let mut sql = all.by_ref().collect::<Vec<_>>().join(" UNION ALL ");
        if let Some(second) = &self.second {
            write!(sql, " UNION ALL {}", self.select(&froms[0], Some(second), batch)).unwrap();
        }
        sql
    }

    fn select(&self, from: &str, condition: Option<&str>, batch: bool) -> String {
        let item = |i: &Item| {
            let e = if batch { &i.batch } else { &i.stream };
            if *e == i.name { e.clone() } else { format!("{e} AS {}", i.name) }
        };
        let mut items = self.items.iter().map(item).collect::<Vec<_>>();
        let mut group = self.group.clone();
        if batch {
            items.push(TABLE.to_owned());
            if self.shape == Shape::Grouped {
                group.push(TABLE.to_owned());
            } else if self.numbered {
                items.extend([NUMBER.to_owned(), MARK.to_owned()]);
            }
        }
        let mut sql = format!("SELECT {} FROM {from}", items.join(", "));
        if self.unnest && !batch {
            write!(sql, " CROSS JOIN UNNEST({from}.l) AS u(e)").unwrap();
        }
        if let Some(condition) = condition {
            write!(sql, " WHERE {condition}").unwrap();
        }
        if !group.is_empty() {
            write!(sql, " GROUP BY {}", group.join(", ")).unwrap();
        }
        if let Some(having) = &self.having {
            write!(sql, " HAVING {having}").unwrap();
        }
        sql
    }

    /// Whether it reads what it reads twice.
    pub(super) fn is_union(&self) -> bool {
        self.second.is_some() || self.cuts.len() > 1
    }

    /// On the batch side, a query for each column that is computed of groups, beside the columns that tell these apart:
    /// the batch engine cannot sort by several orders at once.
    pub(super) fn apart(&self) -> Vec<String> {
        let computed = self.items.iter().filter(|i| !i.key);
        let alone = computed.map(|one| {
            let items = self.items.iter().filter(|i| i.key || i.name == one.name).cloned();
            Self { items: items.collect(), ..self.clone() }.sql(true)
        });
        alone.collect()
    }

    /// On the batch side, the numbers of those rows of a table that the query's condition lets through.
    pub(super) fn passing(&self, table: &str) -> String {
        let condition = self.condition.as_ref().map(|c| format!(" WHERE {c}")).unwrap_or_default();
        format!("SELECT {TABLE}, {NUMBER} FROM {table}{condition}")
    }
}
