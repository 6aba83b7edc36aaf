//! The event time of the last row of each group, which `state_ttl` goes by: another aggregate, that nobody sees.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DFSchemaRef, DataFusionError, Result, plan_err};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::{
    Aggregate, Distinct, Expr, Extension, LogicalPlan, Projection, UserDefinedLogicalNodeCore,
};
use datafusion_functions_aggregate::min_max::max;
use datafusion_sql::sqlparser::keywords::Keyword;

use super::lower::{has_open_windows, is_running};
use crate::complain::said_at;
use crate::windowed::{Facts, Known, unalias};

/// What the aggregate is called that nobody sees.
const LAST: &str = "its last row";

/// Groups without the last of their aggregates, which is the event time of their last row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LastNode {
    pub input: Arc<LogicalPlan>,
    schema: DFSchemaRef,
}

impl LastNode {
    fn new(input: Arc<LogicalPlan>) -> Result<Self> {
        let schema = input.schema();
        let mut fields: Vec<_> = schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
        fields.pop();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?);
        Ok(Self { input, schema })
    }

    /// The groups as they were asked for, and the event time of a row.
    pub(crate) fn parts(&self) -> Result<(Aggregate, Expr)> {
        let LogicalPlan::Aggregate(with) = self.input.as_ref() else {
            return plan_err!(
                "with `state_ttl` these groups cannot be computed in one step; compute what is grouped in an inner `SELECT`"
            );
        };
        let mut calls = with.aggr_expr.clone();
        let last = match calls.pop().as_ref().map(unalias) {
            Some(Expr::AggregateFunction(AggregateFunction { params, .. })) => {
                params.args.first().cloned()
            }
            _ => None,
        };
        let Some(last) = last else { return plan_err!("the last row of a group is lost") };
        let aggregate = Aggregate::try_new(with.input.clone(), with.group_expr.clone(), calls)?;
        Ok((aggregate, last))
    }
}

/// Has running groups know when their last row was.
pub(crate) fn keep_last(plan: LogicalPlan, known: &Known) -> Result<LogicalPlan> {
    if known.ttl.is_none() {
        return Ok(plan);
    }
    let kept = plan.transform_up(|plan| {
        Ok(match &plan {
            LogicalPlan::Aggregate(aggregate) => {
                let facts = known.facts(&aggregate.input)?;
                if !is_running(aggregate, &facts) || has_open_windows(&aggregate.input) {
                    return Ok(Transformed::no(plan));
                }
                let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
                Transformed::yes(with_last(input, group_expr, aggr_expr, &facts)?)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => match distinct(input, known)? {
                Some(kept) => Transformed::yes(kept),
                None => Transformed::no(plan),
            },
            _ => Transformed::no(plan),
        })
    })?;
    Ok(kept.data)
}

fn with_last(
    input: &Arc<LogicalPlan>,
    groups: &[Expr],
    calls: &[Expr],
    facts: &Facts,
) -> Result<LogicalPlan> {
    let schema = input.schema();
    let timed = facts.roles.iter().enumerate();
    let timed = timed.filter_map(|(i, role)| Some((role.lag?, i)));
    let Some((_, at)) = timed.min() else { return Err(timeless()) };
    let (qualifier, field) = schema.qualified_field(at);
    let last = max(Expr::Column(Column::from((qualifier, field.as_ref())))).alias(LAST);
    let calls = calls.iter().cloned().chain([last]).collect();
    let aggregate = Aggregate::try_new(input.clone(), groups.to_vec(), calls)?;
    let node = LastNode::new(Arc::new(LogicalPlan::Aggregate(aggregate)))?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// Distinct rows as groups.
fn distinct(input: &Arc<LogicalPlan>, known: &Known) -> Result<Option<LogicalPlan>> {
    // Event time may be there before columns are chosen.
    let (below, groups) = match input.as_ref() {
        LogicalPlan::Projection(Projection { expr, input, .. }) => (input, expr.clone()),
        plan => {
            let columns = plan.schema().columns();
            (input, columns.into_iter().map(Expr::Column).collect())
        }
    };
    let facts = known.facts(below)?;
    let as_groups = Aggregate::try_new(below.clone(), groups.clone(), vec![])?;
    if !is_running(&as_groups, &facts) || has_open_windows(below) {
        return Ok(None);
    }
    with_last(below, &groups, &[], &facts).map(Some)
}

fn timeless() -> DataFusionError {
    let what = "`state_ttl` goes by event time, which the rows that are grouped do not have";
    let fix = "declare `event_time` at the source, and have inner `SELECT`s give that column as it is; or leave `state_ttl` out";
    said_at(what, fix, &[Keyword::GROUP, Keyword::DISTINCT])
}

impl PartialOrd for LastNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for LastNode {
    fn name(&self) -> &'static str {
        "last"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("last")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match inputs.into_iter().next() {
            Some(input) => Self::new(Arc::new(input)),
            None => plan_err!("a last row has an input"),
        }
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let last = self.input.schema().fields().len().checked_sub(1)?;
        Some(vec![output.iter().copied().chain([last]).collect()])
    }
}
