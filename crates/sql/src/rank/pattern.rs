//! What in a plan asks for the best of each partition.

use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{Sort, WindowFunctionParams};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator, Window, WindowFunctionDefinition};
use millstream_core::operator::{Anew, Updates};

use datafusion_sql::sqlparser::keywords::Keyword;

use crate::complain::said_at;
use crate::explain::show;
use crate::windowed::{Cut, Facts, NUMBER, Role, Side, given_anew, unalias};
use crate::window;

/// Where the call stands in a text.
const AT: &[Keyword] = &[Keyword::OVER, Keyword::QUALIFY];
/// More places than this are not kept.
const COUNT_MAX: u64 = 100_000;

/// A condition on the number of rows within their partition.
pub(crate) struct Pattern<'a> {
    pub window: &'a Window,
    pub partition: &'a [Expr],
    pub order: &'a [Sort],
    /// No row of a higher number is asked for.
    pub count: u64,
    /// What else has to be, of the rows that are among these.
    pub rest: Vec<Expr>,
}

/// When partitions are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Which column of `PARTITION BY` tells.
    pub by: usize,
    /// It is so once the watermark has come so far past it.
    pub after: i64,
    /// What belongs to it began so long before.
    pub back: i64,
}

impl<'a> Pattern<'a> {
    /// Whether a condition is one on the number of rows.
    pub(crate) fn of(filter: &'a Filter) -> Option<Self> {
        let LogicalPlan::Window(window) = filter.input.as_ref() else { return None };
        let [call] = window.window_expr.as_slice() else { return None };
        let Expr::WindowFunction(call) = unalias(call) else { return None };
        let WindowFunctionDefinition::WindowUDF(f) = &call.fun else { return None };
        if f.name() != "row_number" {
            return None;
        }
        let WindowFunctionParams { partition_by, order_by, .. } = &call.params;
        let number = window.schema.fields().len().checked_sub(1)?;
        let mut count = None;
        let mut rest = vec![];
        for part in split_conjunction(&filter.predicate) {
            let bound = bound(part, &window.schema, number);
            if let Some((most, _)) = bound {
                count = Some(count.map_or(most, |c: u64| c.min(most)));
            }
            if bound.is_none_or(|(_, exactly)| !exactly) {
                rest.push(part.clone());
            }
        }
        Some(Self { window, partition: partition_by, order: order_by, count: count?, rest })
    }

    /// When partitions are complete, if they ever are.
    pub(crate) fn closing(&self, facts: &Facts) -> Option<Closing> {
        let schema = self.window.input.schema();
        let all = self.partition.iter().enumerate();
        let all = all.filter_map(|(by, e)| closing(by, facts.role(e, schema)?));
        // The end of a window, where there is one, says it best.
        all.min_by_key(|(order, _)| *order).map(|(_, closing)| closing)
    }

    /// Whether it only asks for the first by event time, which is known once that has come so far.
    pub(crate) fn keeps_first(&self, facts: &Facts) -> bool {
        let schema = self.window.input.schema();
        let first = self.order.first().filter(|o| o.asc);
        let timed = first.and_then(|o| facts.role(&o.expr, schema)).is_some_and(|r| r.lag.is_some());
        timed && self.closing(facts).is_none()
    }

    /// What is known of the columns.
    pub(crate) fn facts(&self, facts: Facts) -> Result<Facts> {
        if facts.updates.is_some() {
            return Err(given_anew(
                "`ROW_NUMBER`",
                "who was in its place before would have to be found",
                AT,
            ));
        }
        if self.count > COUNT_MAX {
            let what = format!("{} places of each partition are asked for", self.count);
            return Err(said_at(what, &format!("ask for {COUNT_MAX} at most"), AT));
        }
        let schema = self.window.input.schema();
        if self.closing(&facts).is_some() {
            let keys = self.columns(schema);
            let behind = |(i, role): (usize, Role)| {
                let past = role.edge.filter(|e| e.side.is_time()).or(role.past);
                let lag = role.lag.filter(|_| past.is_some() || keys.contains(&Some(i)));
                Role { lag, edge: None, past, key: None }
            };
            let mut roles: Vec<_> = facts.roles.into_iter().enumerate().map(behind).collect();
            roles.push(Role::default());
            return Ok(Facts { roles, updates: None, live: facts.live });
        }
        let mut roles = vec![Role::default(); facts.roles.len() + 1];
        let mut by = vec![];
        for (e, column) in self.partition.iter().zip(self.columns(schema)) {
            let Some(role) = column.and_then(|c| roles.get_mut(c)) else {
                let e = show(e);
                let what = format!("`{e}` names a place beside its number, and is no column");
                let fix = format!(
                    "compute it in an inner `SELECT`, `{e} AS key`, and write `PARTITION BY key`"
                );
                return Err(said_at(what, &fix, AT));
            };
            role.key.get_or_insert(by.len());
            by.push(show(unalias(e)));
        }
        if self.count > 1 || by.is_empty() {
            if let Some(number) = roles.last_mut() {
                number.key = Some(by.len());
            }
            by.push(NUMBER.to_owned());
        }
        let updates = Some(Updates { by, why: Anew::Ranked });
        let facts = Facts { roles, updates, live: facts.live };
        for e in &self.rest {
            facts.may_leave_out(e, &self.window.schema)?;
        }
        Ok(facts)
    }

    /// The places of the columns of `PARTITION BY`.
    fn columns(&self, schema: &DFSchema) -> Vec<Option<usize>> {
        let place = |e: &Expr| match unalias(e) {
            Expr::Column(c) => schema.maybe_index_of_column(c),
            _ => None,
        };
        self.partition.iter().map(place).collect()
    }
}

fn closing(by: usize, role: &Role) -> Option<(u8, Closing)> {
    let lag = role.lag?;
    let edge = role.edge.as_ref().or(role.past.as_ref()).filter(|e| e.side.is_time());
    // What came out of windows is all there from some time on, whichever side of them tells.
    let back = |of: &Cut| match of.window {
        window::Window::Tumble { size, .. }
        | window::Window::Hop { size, .. }
        | window::Window::Cumulate { size, .. }
            if role.edge.is_some() =>
        {
            size
        }
        _ => 0,
    };
    Some(match edge.map(|e| (e.side, &e.of)) {
        Some((Side::End, of)) => (0, Closing { by, after: lag, back: back(of) }),
        Some((Side::Time, of)) => (1, Closing { by, after: lag.checked_add(1)?, back: back(of) }),
        Some((Side::Start, _)) => (2, Closing { by, after: lag, back: 0 }),
        Some((Side::Key(_), _)) | None => {
            (3, Closing { by, after: lag.checked_add(1)?, back: 0 })
        }
    })
}

/// The highest number that a condition lets pass, and whether it lets all below pass.
fn bound(e: &Expr, schema: &DFSchema, number: usize) -> Option<(u64, bool)> {
    let is_number = |e: &Expr| {
        matches!(uncast(e), Expr::Column(c) if schema.maybe_index_of_column(c) == Some(number))
    };
    match e {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, value) = if is_number(left) {
                (*op, whole(right)?)
            } else if is_number(right) {
                (op.swap()?, whole(left)?)
            } else {
                return None;
            };
            match op {
                Operator::LtEq => Some((u64::try_from(value).ok()?, true)),
                Operator::Lt => Some((u64::try_from(value.checked_sub(1)?).ok()?, true)),
                Operator::Eq => Some((u64::try_from(value).ok()?, value == 1)),
                _ => None,
            }
        }
        Expr::InList(list) if !list.negated && is_number(&list.expr) => {
            let all = list.list.iter().map(whole).collect::<Option<Vec<_>>>()?;
            Some((u64::try_from(all.into_iter().max()?).ok()?, false))
        }
        Expr::Between(b) if !b.negated && is_number(&b.expr) => {
            Some((u64::try_from(whole(&b.high)?).ok()?, false))
        }
        // Of a few numbers, one or the other.
        _ => None,
    }
}

fn uncast(e: &Expr) -> &Expr {
    match e {
        Expr::Cast(c) => uncast(&c.expr),
        Expr::Alias(a) => uncast(&a.expr),
        e => e,
    }
}

fn whole(e: &Expr) -> Option<i128> {
    match uncast(e) {
        Expr::Literal(ScalarValue::Decimal128(Some(v), _, 0), _) => Some(*v),
        Expr::Literal(v, _) if v.data_type().is_integer() && !v.is_null() => {
            v.to_string().parse().ok()
        }
        _ => None,
    }
}
