//! What gathers rows, where it cannot: aggregates without `GROUP BY`, and forms of `GROUP BY` and `DISTINCT` that are not built.

use std::collections::BTreeSet;

use datafusion_sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, NamedWindowDefinition, NamedWindowExpr, ObjectName, Select,
    Spanned, TableFactor, WindowSpec,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::Error;

use crate::complain::{Complaint, Place};
use crate::parse::place;
use crate::refuse::{Look, is_lateral};
use crate::windowed::{form_for, read, refuse_call};

/// What a `SELECT` reads, as far as its text tells.
pub(crate) struct Over {
    from: From,
    grouped: bool,
    /// The windows that `WINDOW` names.
    windows: Vec<NamedWindowDefinition>,
}

enum From {
    /// A window.
    Window,
    /// A source or view: rows without a window.
    Table(String),
    /// A query, which may have windows.
    Query,
}

impl Over {
    pub(crate) fn of(select: &Select, queries: &BTreeSet<String>) -> Self {
        let joins = select.from.iter().flat_map(|t| &t.joins).map(|j| &j.relation);
        let beside = select.from.iter().skip(1).map(|t| &t.relation).chain(joins);
        let joined = beside.filter(|t| !is_lateral(t)).count() > 0;
        let from = match select.from.first().map(|t| &t.relation).filter(|_| !joined) {
            Some(table @ TableFactor::Table { name, args, .. }) => {
                let name = text(name);
                match (read(table), args) {
                    (Some(_), _) => From::Window,
                    (None, None) if !queries.contains(&name) => From::Table(name),
                    _ => From::Query,
                }
            }
            _ => From::Query,
        };
        let grouped = match &select.group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(e, _) => !e.is_empty(),
        };
        Self { from, grouped, windows: select.named_window.clone() }
    }

    /// What a named window is.
    pub(crate) fn named(&self, name: &str) -> Option<WindowSpec> {
        let named = self.windows.iter().find(|w| w.0.value == name)?;
        match &named.1 {
            NamedWindowExpr::WindowSpec(spec) => Some(spec.clone()),
            NamedWindowExpr::NamedWindow(_) => None,
        }
    }
}

fn text(name: &ObjectName) -> String {
    name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.clone()).unwrap_or_default()
}

impl Look<'_> {
    /// The nearest form of gathering rows of a table.
    fn gathered(&self, table: &str) -> String {
        let columns = self.known.tables.get(table).map(|t| &t.columns);
        let time = columns.and_then(|c| c.iter().find(|(_, role)| role.lag.is_some()));
        let form = form_for(table, time.map(|(name, _)| name.as_str()));
        format!("gather them in windows of event time: {form}")
    }

    pub(crate) fn distinct(&mut self, select: &Select, start: Option<Place>) {
        let at = self.tokens.from(Keyword::DISTINCT, start);
        if let Some(Distinct::On(_)) = &select.distinct {
            let fix = "number the rows of each key, and take the first: `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY key ORDER BY …) AS n FROM …) WHERE n = 1`";
            self.not_yet(at, "`DISTINCT ON`", "it is not built", fix);
        }
    }

    pub(crate) fn group(&mut self, select: &Select, start: Option<Place>) {
        let first = match &select.group_by {
            GroupByExpr::All(_) => {
                let at = self.tokens.from(Keyword::GROUP, start);
                let fix = "name what rows are grouped by: `GROUP BY sensor`, or `GROUP BY window_start, window_end, …`";
                return self.not_yet(at, "`GROUP BY ALL`", "it is not built", fix);
            }
            GroupByExpr::Expressions(e, more) => {
                let sets =
                    |e: &Expr| matches!(e, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_));
                if !more.is_empty() || e.iter().any(sets) {
                    let at = self.tokens.from(Keyword::GROUP, start);
                    let what = "`ROLLUP`, `CUBE` or `GROUPING SETS`";
                    let fix = "write a `SELECT` for each set of keys, and `UNION ALL` between them";
                    return self.not_yet(at, what, "it is not built", fix);
                }
                e.first().map(|e| place(e.span()))
            }
        };
        if let (None, Some(having)) = (first, &select.having) {
            let at = self.tokens.before(Keyword::HAVING, place(having.span())).or(start);
            self.grouped = true;
            let why = "it is one row for all time, which comes and goes, and a row that has gone out cannot be taken back";
            let fix = self.named();
            self.never(at, "`HAVING` without `GROUP BY`", why, &fix);
        }
    }

    /// How the one row of all rows gets a name.
    fn named(&self) -> String {
        let windows = match self.selects.last().map(|s| &s.from) {
            Some(From::Table(table)) => self.gathered(table),
            _ => "group by their windows: `GROUP BY window_start, window_end`".to_owned(),
        };
        format!(
            "group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or {windows}"
        )
    }

    /// An aggregate, which needs groups that are complete at some time.
    pub(crate) fn aggregate(&mut self, name: &str, at: Option<Place>) {
        if self.selects.last().is_none_or(|s| s.grouped) {
            return;
        }
        let one_row = match name {
            "max" => "; of several columns in one row take `greatest(a, b)`",
            "min" => "; of several columns in one row take `least(a, b)`",
            _ => "",
        };
        let fix = self.named();
        let what = format!(
            "`{name}` without `GROUP BY` is not possible: it is one row for all time, which changes with every row, and no column says which row it takes the place of"
        );
        let error = Error::stop(what).fix(format!("{fix}{one_row}"));
        self.aggregates.push(Complaint::new(at, error));
    }

    /// A window over a table.
    pub(crate) fn window(&mut self, table: &TableFactor) {
        if let Some(complaint) = refuse_call(table) {
            return self.found.push(complaint);
        }
        let Some(call) = read(table) else { return };
        let name = &call.table.value;
        if self.references.contains(name) {
            let what = format!(
                "`{name}` is a reference table: no rows of it stream by that could be in a window"
            );
            let fix = format!("read a source in `{}`, and join the table to it", call.kind.name());
            return self.say(place(call.table.span), Error::stop(what).fix(fix));
        }
        if self.lookups.contains_key(name) {
            let what =
                format!("`{name}` is a lookup: it has no rows of its own, only answers to keys");
            let fix = format!("read a source in `{}`, and join the lookup to it", call.kind.name());
            self.say(place(call.table.span), Error::stop(what).fix(fix));
        }
    }
}
