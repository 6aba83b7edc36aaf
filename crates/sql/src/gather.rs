//! What gathers rows, where it cannot: `GROUP BY`, aggregates and `DISTINCT` without a window.

use std::collections::BTreeSet;

use datafusion_sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, ObjectName, Select, Spanned, TableFactor,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::Error;

use crate::complain::{Complaint, Place};
use crate::parse::place;
use crate::refuse::Look;
use crate::windowed::{form_for, read, refuse_call};

/// What a `SELECT` reads, as far as its text tells.
pub(crate) struct Over {
    from: From,
    grouped: bool,
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
        let from = match select.from.first().map(|t| &t.relation) {
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
        Self { from, grouped }
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
        match (&select.distinct, self.selects.last().map(|s| &s.from)) {
            (Some(Distinct::On(_)), _) => {
                let fix =
                    "write `first_value(… ORDER BY …)` and `GROUP BY window_start, window_end, …`";
                self.not_yet(at, "`DISTINCT ON`", "it has to remember all rows", fix);
            }
            // Of a reference table it only matters what there is.
            (Some(Distinct::Distinct), Some(From::Table(table)))
                if !self.references.contains(table) =>
            {
                let fix = format!(
                    "say it of windows: `SELECT DISTINCT window_start, window_end, … FROM TUMBLE({table}, …, INTERVAL '1 minute')`; or let the sink drop equal rows with a key"
                );
                self.not_yet(at, "`DISTINCT`", "it has to remember all rows", &fix);
            }
            _ => {}
        }
    }

    fn is_source(&self, table: &str) -> bool {
        self.known.tables.get(table).is_some_and(|facts| facts.is_source)
    }

    pub(crate) fn group(&mut self, select: &Select, start: Option<Place>) {
        let first = match &select.group_by {
            GroupByExpr::All(_) => {
                let at = self.tokens.from(Keyword::GROUP, start);
                let fix = "name what rows are grouped by: `GROUP BY window_start, window_end, …`";
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
        let clause = match (first, &select.having) {
            (Some(first), _) => ("`GROUP BY`", self.tokens.before(Keyword::GROUP, first)),
            (None, Some(e)) => ("`HAVING`", self.tokens.before(Keyword::HAVING, place(e.span()))),
            (None, None) => return,
        };
        let (what, at) = (clause.0, clause.1.or(start));
        match self.selects.last().map(|s| &s.from) {
            // Rows of a view may have come out of windows.
            Some(From::Table(table)) if self.is_source(table) || first.is_none() => {
                let fix = self.gathered(table);
                self.grouped = true;
                let what = format!("{what} without a window");
                self.not_yet(at, &what, "no group would ever be complete", &fix);
            }
            _ if first.is_none() => {
                self.grouped = true;
                let fix = "write `GROUP BY window_start, window_end, …` before it";
                self.not_yet(
                    at,
                    "`HAVING` without `GROUP BY`",
                    "no group would ever be complete",
                    fix,
                );
            }
            _ => {}
        }
    }

    /// An aggregate, which needs groups that are complete at some time.
    pub(crate) fn aggregate(&mut self, name: &str, at: Option<Place>) {
        let Some(over) = self.selects.last().filter(|s| !s.grouped) else { return };
        let one_row = match name {
            "max" => "; of several columns in one row take `greatest(a, b)`",
            "min" => "; of several columns in one row take `least(a, b)`",
            _ => "",
        };
        let (what, fix) = match &over.from {
            From::Table(table) => ("a window", self.gathered(table)),
            From::Window | From::Query => (
                "`GROUP BY`",
                "write `GROUP BY window_start, window_end, …` behind the window".to_owned(),
            ),
        };
        let what = format!(
            "`{name}` without {what} is not yet possible: it gathers rows, and would never be complete"
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
