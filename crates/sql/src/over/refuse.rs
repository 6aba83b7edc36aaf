//! Calls with `OVER` that cannot be, told by their text.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Query, Select, SelectItem, Spanned, Value, ValueWithSpan, Visit,
    Visitor, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType, visit_expressions,
};

use millstream_core::Error;

use crate::complain::Place;
use crate::parse::place;
use crate::refuse::Look;

/// What has to see all rows of a key.
const WHOLE: &[&str] = &["cume_dist", "ntile", "percent_rank"];
/// What has no use for `FILTER`.
const ROWS: &[&str] =
    &["dense_rank", "first_value", "lag", "last_value", "nth_value", "rank", "row_number"];

/// A call with `OVER` in an expression itself, not in queries inside it.
#[derive(Default)]
struct Find {
    depth: usize,
    found: Option<Place>,
}

impl Visitor for Find {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
        match e {
            Expr::Function(f) if f.over.is_some() && self.depth == 0 => {
                self.found = place(f.name.span());
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Where a part of a query calls with `OVER` itself, if it does.
fn find(part: &impl Visit) -> Option<Option<Place>> {
    let mut find = Find::default();
    part.visit(&mut find).is_break().then_some(find.found)
}

/// What a key of `GROUP BY` that is a number or a new name stands for.
fn key_of<'a>(key: &Expr, columns: &'a [SelectItem]) -> Option<&'a Expr> {
    let of = |item: &'a SelectItem| match item {
        SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => Some(expr),
        _ => None,
    };
    match key {
        Expr::Value(ValueWithSpan { value: Value::Number(n, _), .. }) => {
            of(columns.get(n.parse::<usize>().ok()?.checked_sub(1)?)?)
        }
        Expr::Identifier(name) => columns.iter().find_map(|item| match item {
            // Of a column that keeps its name the column is meant.
            SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => {
                let column = |e: &Expr| matches!(e, Expr::Identifier(i) if i.value == name.value);
                let is_column = visit_expressions(expr, |e| match column(e) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                });
                is_column.is_continue().then_some(expr)
            }
            _ => None,
        }),
        _ => None,
    }
}

impl Look<'_> {
    /// Conditions on what `OVER` makes of the rows that the conditions are to choose.
    pub(crate) fn over_in_conditions(&mut self, select: &Select) {
        let keys = match &select.group_by {
            GroupByExpr::Expressions(keys, _) => keys.as_slice(),
            GroupByExpr::All(_) => &[],
        };
        let parts = [("WHERE", select.selection.as_ref()), ("HAVING", select.having.as_ref())];
        let parts = parts.into_iter().filter_map(|(word, e)| Some((word, find(e?)?)));
        let keys = keys.iter().map(|key| key_of(key, &select.projection).unwrap_or(key));
        let keys = keys.filter_map(|key| Some(("GROUP BY", find(key)?)));
        let joins = select.from.iter().flat_map(|t| &t.joins);
        let joins = joins.filter_map(|j| Some(("ON", find(&j.join_operator)?)));
        for (word, at) in parts.chain(keys).chain(joins) {
            let what = format!("`OVER` in `{word}`");
            let why = match word {
                "ON" => "it is computed of the rows that the join gives",
                _ => "it is computed of the rows that are left after that",
            };
            let own = "compute it in a query of its own: `SELECT … FROM (SELECT *, … OVER (…) AS x FROM …)";
            let fix = match word {
                "GROUP BY" => format!("{own} GROUP BY x`"),
                "ON" => format!("{own} a JOIN … ON a.x = …`"),
                _ => format!("{own} WHERE x > …`; or write `QUALIFY` in place of `{word}`"),
            };
            self.never(at, &what, why, &fix);
        }
    }

    /// A function that is called with `OVER`.
    pub(crate) fn over(&mut self, name: &str, f: &Function, at: Option<Place>) {
        let shown = format!("`{name}` with `OVER`");
        if WHOLE.contains(&name) {
            let why = "it needs all rows of a key, of which there is no last one";
            let fix =
                "take `row_number`, `rank` or `dense_rank`, which count from the first row on";
            return self.never(at, &shown, why, fix);
        }
        if name == "lead" {
            let fix = "look back from the later row with `lag(…)`, or join the view with itself";
            return self.never(at, &shown, "it looks at rows that are still to come", fix);
        }
        if f.filter.is_some() && ROWS.contains(&name) {
            let fix = "leave out `FILTER`, or take an aggregate: `max(CASE WHEN … THEN … END)`";
            return self.never(at, &format!("`{name}` with `FILTER`"), "it looks at one row", fix);
        }
        if !self.functions.is_over(name) {
            let fix = "leave out `OVER (…)`, or take an aggregate, `lag`, `first_value`, `last_value`, `nth_value`, `row_number`, `rank` or `dense_rank`";
            return self.never(at, &shown, "it computes one row at a time", fix);
        }
        let spec = match &f.over {
            Some(WindowType::WindowSpec(spec)) => Some(spec.clone()),
            Some(WindowType::NamedWindow(name)) => {
                let spec = self.selects.last().and_then(|s| s.named(&name.value));
                if spec.is_none() {
                    let what = format!("there is no window `{}`", name.value);
                    let fix = format!(
                        "add `WINDOW {} AS (PARTITION BY … ORDER BY ts)` at the end",
                        name.value
                    );
                    return self.say(at, Error::stop(what).fix(fix));
                }
                spec
            }
            None => None,
        };
        if let Some(spec) = spec {
            self.spec(&shown, &spec, at);
        }
    }

    fn spec(&mut self, shown: &str, spec: &WindowSpec, at: Option<Place>) {
        if let Some(name) = &spec.window_name {
            let what = format!("`OVER ({name} …)`");
            let fix = format!("write `OVER {name}`, or write the window out");
            return self.not_yet(at, &what, "a named window cannot be added to", &fix);
        }
        if spec.order_by.is_empty() {
            let why = "it would need all rows of a key, of which there is no last one";
            let fix = "say in which order rows count: `OVER (PARTITION BY … ORDER BY ts)` with the event time";
            return self.never(at, &format!("{shown} and no `ORDER BY`"), why, fix);
        }
        let Some(frame) = &spec.window_frame else { return };
        if frame.units == WindowFrameUnits::Groups {
            let fix = "write `ROWS` or `RANGE`";
            return self.not_yet(at, &format!("{shown} and `GROUPS`"), "it is not built", fix);
        }
        if frame.units == WindowFrameUnits::Range
            && let WindowFrameBound::Preceding(Some(bound)) = &frame.start_bound
            && let Expr::Value(ValueWithSpan { value: Value::Number(n, _), span }) = bound.as_ref()
        {
            let what = format!("`RANGE {n} PRECEDING` has no unit of time");
            let fix = format!(
                "write `RANGE INTERVAL '{n} seconds' PRECEDING`, or `ROWS {n} PRECEDING` to count rows"
            );
            return self.say(place(*span).or(at), Error::stop(what).fix(fix));
        }
        if frame.units == WindowFrameUnits::Rows
            && let WindowFrameBound::Preceding(Some(bound)) = &frame.start_bound
            && let Expr::Interval(span) = bound.as_ref()
        {
            let what = format!("`ROWS {span} PRECEDING` counts rows, and a span is no number");
            let fix =
                format!("write `RANGE {span} PRECEDING`, or how many rows: `ROWS 10 PRECEDING`");
            return self.say(place(span.value.span()).or(at), Error::stop(what).fix(fix));
        }
        let ahead = |bound: &WindowFrameBound| matches!(bound, WindowFrameBound::Following(_));
        if ahead(&frame.start_bound) || frame.end_bound.as_ref().is_some_and(ahead) {
            let what = format!("{shown} and a frame that goes on behind the row (`FOLLOWING`)");
            let fix = "let the frame end with `CURRENT ROW`, and look back from the later row; or join the view with itself";
            self.never(at, &what, "those rows are still to come", fix);
        }
    }
}
