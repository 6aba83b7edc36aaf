//! What in a plan asks for the best of each partition.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{BinaryExpr, Expr, Extension, Filter, LogicalPlan, Operator, Window};

use super::node::RankNode;
use crate::windowed::Known;

/// Puts nodes that keep the first rows of each partition where a condition asks for no others.
pub(crate) fn ranks(plan: LogicalPlan, known: &Known) -> Result<LogicalPlan> {
    let ranked = plan.transform_up(|plan| {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        Ok(match ranked(filter, known)? {
            Some(ranked) => Transformed::yes(ranked),
            None => Transformed::no(plan),
        })
    })?;
    Ok(ranked.data)
}

fn ranked(filter: &Filter, known: &Known) -> Result<Option<LogicalPlan>> {
    let Some(window) = numbered(&filter.input) else { return Ok(None) };
    let mut count: Option<u64> = None;
    let mut rest = vec![];
    for part in split_conjunction(&filter.predicate) {
        let bound = bound(part, &filter.input);
        if let Some((most, _)) = bound {
            count = Some(count.map_or(most, |c| c.min(most)));
        }
        if bound.is_none_or(|(_, exactly)| !exactly) {
            rest.push(part.clone());
        }
    }
    let Some(node) = count.and_then(|count| RankNode::of(window, count)) else { return Ok(None) };
    if node.keeps_first(&known.facts(&node.input)?) {
        return Ok(None);
    }
    let node = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    let plan = in_place(&filter.input, node)?;
    Ok(Some(match conjunction(rest) {
        Some(rest) => LogicalPlan::Filter(Filter::try_new(rest, Arc::new(plan))?),
        None => plan,
    }))
}

/// The numbering of rows that is right below.
fn numbered(plan: &LogicalPlan) -> Option<&Window> {
    match plan {
        LogicalPlan::Window(window) => Some(window),
        LogicalPlan::Projection(projection) => numbered(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => numbered(&alias.input),
        _ => None,
    }
}

/// The same, with the node in place of the numbering.
fn in_place(plan: &LogicalPlan, node: LogicalPlan) -> Result<LogicalPlan> {
    match plan.inputs().first() {
        Some(input) if !matches!(plan, LogicalPlan::Window(_)) => {
            plan.with_new_exprs(plan.expressions(), vec![in_place(input, node)?])
        }
        _ => Ok(node),
    }
}

/// Whether a column is the number of rows.
fn is_number(e: &Expr, plan: &LogicalPlan) -> bool {
    let Expr::Column(column) = uncast(e) else { return false };
    let Some(at) = plan.schema().maybe_index_of_column(column) else { return false };
    match plan {
        LogicalPlan::Window(window) => at + 1 == window.schema.fields().len(),
        LogicalPlan::Projection(projection) => {
            projection.expr.get(at).is_some_and(|e| is_number(e, &projection.input))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns = alias.input.schema().columns();
            columns.get(at).is_some_and(|c| is_number(&Expr::Column(c.clone()), &alias.input))
        }
        _ => false,
    }
}

/// The highest number that a condition lets pass, and whether it lets all below pass.
fn bound(e: &Expr, plan: &LogicalPlan) -> Option<(u64, bool)> {
    match e {
        // `IN` of a few numbers becomes this.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some((bound(left, plan)?.0.max(bound(right, plan)?.0), false))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, value) = if is_number(left, plan) {
                (*op, whole(right)?)
            } else if is_number(right, plan) {
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
        Expr::InList(list) if !list.negated && is_number(&list.expr, plan) => {
            let all = list.list.iter().map(whole).collect::<Option<Vec<_>>>()?;
            Some((u64::try_from(all.into_iter().max()?).ok()?, false))
        }
        Expr::Between(b) if !b.negated && is_number(&b.expr, plan) => {
            Some((u64::try_from(whole(&b.high)?).ok()?, false))
        }
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
