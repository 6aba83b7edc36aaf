//! Sees to it that joins are bounded in time, or says why one is not and how it would be.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::{Expr, Join, LogicalPlan, Projection, SubqueryAlias, lit};

use super::limits::{Conditions, Limit, index};
use super::spec::Kind;
use super::timed::{AT, Timed};
use crate::complain::said_at;
use crate::windowed::{Facts, Known};

/// What a side is called.
pub(super) fn called(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::TableScan(scan) => scan.table_name.table().to_owned(),
        LogicalPlan::SubqueryAlias(alias) if !alias.alias.table().starts_with("__") => {
            alias.alias.table().to_owned()
        }
        LogicalPlan::Join(join) => match Kind::of(join).is_ok_and(Kind::tells) {
            true => called(&join.left),
            false => format!("{} and {}", called(&join.left), called(&join.right)),
        },
        other => match other.inputs().as_slice() {
            [one] => called(one),
            _ => "the query".to_owned(),
        },
    }
}

/// The source that a side is, whatever it is called.
fn source(plan: &LogicalPlan) -> Option<&str> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.table()),
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) | LogicalPlan::Projection(_) => {
            plan.inputs().first().and_then(|input| source(input))
        }
        _ => None,
    }
}

fn both(join: &Join) -> [String; 2] {
    [called(&join.left), called(&join.right)]
}

pub(super) fn timeless(join: &Join, known: &Known, side: usize) -> DataFusionError {
    let names = both(join);
    let name = names.get(side).map_or("", String::as_str);
    let what = format!(
        "`{name}` has no event time to be joined by: each of its rows would have to be kept for ever"
    );
    let source = source(if side == 0 { &join.left } else { &join.right });
    let fix = match source.and_then(|s| Some((s, known.tables.get(s)?))) {
        Some((name, table)) if table.is_source && table.columns.is_empty() => {
            format!("declare `event_time: {{ column: … }}` at the source `{name}`")
        }
        _ => format!(
            "have `{name}` give the event time of its source as it is, as a column of its own"
        ),
    };
    said_at(what, &fix, AT)
}

pub(super) fn unbounded(
    join: &Join,
    facts: &[Facts; 2],
    sides: [&DFSchema; 2],
    all: &[Limit],
) -> DataFusionError {
    let [left, right] = both(join);
    let time = |side: usize, table: &str| {
        let roles = facts.get(side).map(|f| f.roles.as_slice()).unwrap_or_default();
        let at = roles.iter().position(|r| r.lag.is_some()).unwrap_or_default();
        let name = sides.get(side).map(|s| s.field(at).name().clone()).unwrap_or_default();
        format!("{table}.{name}")
    };
    let (a, b) = (time(0, &left), time(1, &right));
    let timed = |side: usize| {
        let of = |l: &&Limit| {
            let role = sides.get(side).and_then(|s| index(&l.least, s));
            let roles = facts.get(side).map(|f| f.roles.as_slice()).unwrap_or_default();
            l.side == side && role.and_then(|i| roles.get(i)).is_some_and(|r| r.lag.is_some())
        };
        all.iter().any(|l| of(&l))
    };
    let (what, form) = match (timed(0), timed(1)) {
        (true, false) => (
            format!(
                "nothing says how long a row of `{left}` has to wait for rows of `{right}`, so that each would be kept for ever"
            ),
            format!("AND {b} <= {a} + INTERVAL '1 hour'"),
        ),
        (false, true) => (
            format!(
                "nothing says how long a row of `{right}` has to wait for rows of `{left}`, so that each would be kept for ever"
            ),
            format!("AND {a} <= {b} + INTERVAL '1 hour'"),
        ),
        _ => (
            format!(
                "rows of `{left}` and `{right}` could meet however far apart in time they are, so that each would be kept for ever"
            ),
            format!("AND {b} BETWEEN {a} - INTERVAL '1 hour' AND {a} + INTERVAL '1 hour'"),
        ),
    };
    let fix = format!(
        "bound it: `{form}`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart"
    );
    said_at(what, &fix, AT)
}

/// Sees to it that every join of a plan is bounded in time: by its conditions, else by `state_ttl`.
pub(crate) fn bound_all(plan: LogicalPlan, known: &Known) -> Result<LogicalPlan> {
    let bounded = plan.transform_up(|node| match node {
        LogicalPlan::Join(mut join) => {
            let Err(mut unbounded) = Timed::of(known, &join, &[]) else {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            };
            if Kind::of(&join).is_ok_and(Kind::tells) {
                join.right = Arc::new(with_time(Arc::unwrap_or_clone(join.right), known)?);
                // Its event time is not missing: it is the bound that is.
                unbounded = Timed::of(known, &join, &[]).err().unwrap_or(unbounded);
            }
            let Some(near) = near(known, &join)? else { return Err(unbounded) };
            join.filter = join.filter.into_iter().chain([near]).reduce(Expr::and);
            Timed::of(known, &join, &[])?;
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(bounded.data)
}

/// The rows of a query in `EXISTS` or `IN` with their event time, of which it may give nothing.
fn with_time(plan: LogicalPlan, known: &Known) -> Result<LogicalPlan> {
    let timed = |plan: &LogicalPlan| -> Result<Option<usize>> {
        Ok(known.facts(plan)?.roles.iter().position(|r| r.lag.is_some()))
    };
    if timed(&plan)?.is_some() {
        return Ok(plan);
    }
    Ok(match plan {
        LogicalPlan::SubqueryAlias(alias) => {
            let input = with_time(Arc::unwrap_or_clone(alias.input), known)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias)?)
        }
        LogicalPlan::Projection(projection) => match timed(&projection.input)? {
            Some(at) => {
                let time =
                    Expr::Column(Column::from(projection.input.schema().qualified_field(at)));
                let all = projection.expr.into_iter().chain([time]).collect();
                LogicalPlan::Projection(Projection::try_new(all, projection.input)?)
            }
            None => LogicalPlan::Projection(projection),
        },
        plan => plan,
    })
}

/// That event times are at most `state_ttl` apart.
fn near(known: &Known, join: &Join) -> Result<Option<Expr>> {
    let facts = [known.facts(&join.left)?, known.facts(&join.right)?];
    let sides = [join.left.schema().as_ref(), join.right.schema().as_ref()];
    let Some(ttl) = known.ttl else { return Ok(None) };
    let all = Conditions::read(join, &[], sides).all;
    let time = |side: usize| {
        let roles = facts.get(side).map(|f| f.roles.as_slice()).unwrap_or_default();
        let timed = |i: &usize| roles.get(*i).is_some_and(|r| r.lag.is_some());
        let schema = sides.get(side)?;
        let named = all.iter().filter(|l| l.side == side).filter_map(|l| index(&l.least, schema));
        let named = named.into_iter().find(timed);
        let at = named.or_else(|| roles.iter().position(|r| r.lag.is_some()))?;
        Some(Expr::Column(Column::from(schema.qualified_field(at))))
    };
    let (Some(left), Some(right)) = (time(0), time(1)) else { return Ok(None) };
    let nanos = ttl.saturating_mul(1_000);
    let span = || match nanos {
        i64::MAX => lit(ScalarValue::new_interval_mdn(0, i32::MAX, 0)),
        nanos => lit(ScalarValue::new_interval_mdn(0, 0, nanos)),
    };
    let first = left.clone().lt_eq(right.clone() + span());
    Ok(Some(first.and(right.lt_eq(left + span()))))
}
