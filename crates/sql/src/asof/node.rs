//! A join as of event time in a plan.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchemaRef, Result, plan_err};
use datafusion_expr::logical_plan::builder::build_join_schema;
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{
    Expr, Extension, Filter, Join, JoinType, LogicalPlan, UserDefinedLogicalNodeCore,
};
use datafusion_sql::sqlparser::keywords::Keyword;

use super::condition::{Condition, Input, read};
use super::mark::arguments;
use super::spell::FORM;
use crate::complain::said_at;
use crate::windowed::{Facts, Known, Role, are_cut_by, span_words};

/// Each row of the left side with the latest one of the right side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AsOfNode {
    pub left: Arc<LogicalPlan>,
    pub right: Arc<LogicalPlan>,
    /// Left rows without a right one are left out.
    pub inner: bool,
    /// Equal expressions of the left side, and of the right one.
    pub keys: (Vec<Expr>, Vec<Expr>),
    pub bounds: Bounds,
    /// The event times of the left side and the right one.
    times: (Expr, Expr),
    schema: DFSchemaRef,
}

/// How the event times of two rows stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// By how much the event times may lag behind the watermark.
    pub lags: (i64, i64),
    /// The right row is at least so much before the left one.
    pub least: i64,
    /// And no more than so much.
    pub most: i64,
    /// `state_ttl` says that.
    pub by_ttl: bool,
}

impl Bounds {
    /// A left row waits until the watermark is so far behind it: then none comes that would be before it, on either side.
    pub(crate) fn hold(&self) -> i64 {
        self.lags.0.max(self.lags.1.saturating_sub(self.least))
    }
}

/// Replaces every join that is marked.
pub(crate) fn join_all(plan: LogicalPlan, known: &Known) -> Result<LogicalPlan> {
    let joined = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_marked(&join) => {
            let node = node_of(join, known)?;
            Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
        }
        LogicalPlan::Filter(filter) => below(filter),
        node => Ok(Transformed::no(node)),
    })?;
    Ok(joined.data)
}

fn is_marked(join: &Join) -> bool {
    let parts = join.filter.iter().flat_map(split_conjunction);
    parts.into_iter().any(|part| arguments(part).is_some())
}

/// Puts the conditions on left rows alone below the join: which right row is the latest does not depend on them.
fn below(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Extension(e) = filter.input.as_ref() else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let Some(node) = e.node.as_any().downcast_ref::<AsOfNode>() else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let schema = node.left.schema();
    let of_left =
        |e: &&Expr| e.any_column_refs() && e.column_refs().iter().all(|c| schema.has_column(c));
    let parts = split_conjunction(&filter.predicate).into_iter();
    let (down, stay): (Vec<_>, Vec<_>) = parts.partition(of_left);
    let Some(down) = conjunction(down.into_iter().cloned()) else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let left = LogicalPlan::Filter(Filter::try_new(down, node.left.clone())?);
    let node = AsOfNode { left: Arc::new(left), ..node.clone() };
    let join = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Ok(Transformed::yes(match conjunction(stay.into_iter().cloned()) {
        Some(stay) => LogicalPlan::Filter(Filter::try_new(stay, Arc::new(join))?),
        None => join,
    }))
}

fn node_of(join: Join, known: &Known) -> Result<AsOfNode> {
    let inner = match join.join_type {
        JoinType::Inner => true,
        JoinType::Left => false,
        other => return plan_err!("a join as of event time cannot be a `{other} JOIN`"),
    };
    let left = Input { plan: &join.left, facts: known.facts(&join.left)? };
    let right = Input { plan: &join.right, facts: known.facts(&join.right)? };
    let Some(on) = &join.filter else { return plan_err!("a join as of event time has no `ON`") };
    let found = read(on, &left, &right)?;
    let Some((left_time, right_time)) = found.times.clone() else {
        let what = "a join as of event time has to compare the event times of both sides";
        return Err(said_at(what, FORM, AT));
    };
    let lags = (lag(&left, &left_time)?, lag(&right, &right_time)?);
    let bounds = bounds(&found, lags, known)?;
    let keys = found.keys.into_iter().unzip();
    let times = (Expr::Column(left_time), Expr::Column(right_time));
    AsOfNode::new(join.left, join.right, inner, keys, bounds, times)
}

/// Where such a join stands in a text.
pub(super) const AT: &[Keyword] = &[Keyword::JOIN];

/// By how much an event time lags.
fn lag(input: &Input<'_>, time: &Column) -> Result<i64> {
    let e = Expr::Column(time.clone());
    let lag = input.facts.role(&e, input.plan.schema()).and_then(|role| role.lag);
    let (_, field) = input.plan.schema().qualified_field_from_column(time)?;
    match (lag, field.data_type()) {
        (Some(lag), DataType::Timestamp(TimeUnit::Microsecond, _)) => Ok(lag),
        _ => Err(said_at(format!("`{}` is no event time", time.flat_name()), FORM, AT)),
    }
}

fn bounds(found: &Condition, lags: (i64, i64), known: &Known) -> Result<Bounds> {
    let Some((left, right)) = &found.times else { return plan_err!("no event times") };
    let (left, right) = (left.flat_name(), right.flat_name());
    let Some(least) = found.least else {
        let what = format!(
            "the next row, `{right}` at or after `{left}`, is not yet possible: only the latest before"
        );
        return Err(said_at(what, &format!("write `{left} >= {right}`"), AT));
    };
    if least < 0 {
        let what = format!(
            "`{right}` may be up to {} after `{left}`, and the latest row is one at or before",
            span_words(least.saturating_neg())
        );
        return Err(said_at(what, &format!("write `{left} >= {right}`"), AT));
    }
    let (most, by_ttl) = match (found.most, known.ttl) {
        (Some(most), _) => (most, false),
        (None, Some(ttl)) => (ttl, true),
        (None, None) => {
            let what = "the latest row of each key would be kept for ever, since nothing says how old it may be";
            let fix = format!(
                "add `AND {left} <= {right} + INTERVAL '1 hour'` to the condition, or `state_ttl` to the view"
            );
            return Err(said_at(what, &fix, AT));
        }
    };
    if most < least {
        let what = format!(
            "no row could match: `{right}` would have to be at least {} before `{left}`, and {} at the same time",
            span(least),
            span(most)
        );
        return Err(said_at(what, FORM, AT));
    }
    Ok(Bounds { lags, least, most, by_ttl })
}

/// A distance for people.
pub(super) fn span(micros: i64) -> String {
    match micros.checked_add(1) {
        _ if micros == 0 => "0".to_owned(),
        // It is what `<` says.
        Some(next) if micros > 1 && next % 1_000 == 0 => format!("less than {}", span_words(next)),
        _ => span_words(micros),
    }
}

impl AsOfNode {
    fn new(
        left: Arc<LogicalPlan>,
        right: Arc<LogicalPlan>,
        inner: bool,
        keys: (Vec<Expr>, Vec<Expr>),
        bounds: Bounds,
        times: (Expr, Expr),
    ) -> Result<Self> {
        let kind = if inner { JoinType::Inner } else { JoinType::Left };
        let schema = build_join_schema(left.schema(), right.schema(), &kind)?;
        Ok(Self { left, right, inner, keys, bounds, times, schema: Arc::new(schema) })
    }

    /// The event times of the left side and the right one.
    pub(crate) fn times(&self) -> (&Expr, &Expr) {
        (&self.times.0, &self.times.1)
    }

    /// What is known of its columns, by what is known of those of the left side.
    pub(crate) fn facts(&self, left: Facts) -> Facts {
        let of = match &self.times.0 {
            Expr::Column(c) => self.left.schema().maybe_index_of_column(c),
            _ => None,
        };
        let time = of.and_then(|i| left.roles.get(i)).cloned().unwrap_or_default();
        let more = self.bounds.hold().saturating_sub(self.bounds.lags.0);
        let roles = left.roles.into_iter().enumerate();
        let cut = of.is_some_and(|i| are_cut_by(&self.left, i));
        let roles = roles.map(|(i, role)| role.waited(&time, Some(i) == of, cut, more));
        let mut roles = roles.collect::<Vec<_>>();
        roles.resize(self.schema.fields().len(), Role::default());
        Facts { roles, ..left }
    }
}

impl PartialOrd for AsOfNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for AsOfNode {
    fn name(&self) -> &'static str {
        "as-of join"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let times = [&self.times.0, &self.times.1];
        times.into_iter().chain(&self.keys.0).chain(&self.keys.1).cloned().collect()
    }

    /// What is pushed down would go to both sides. Conditions on left rows are below it already.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.fields().iter().map(|f| f.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "as-of join: {} up to {}", self.times.1, self.times.0)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs.into_iter(), inputs.into_iter());
        let (Some(left), Some(right)) = (inputs.next(), inputs.next()) else {
            return plan_err!("a join as of event time has two inputs");
        };
        let (Some(of_left), Some(of_right)) = (exprs.next(), exprs.next()) else {
            return plan_err!("a join as of event time has two event times");
        };
        let lefts = exprs.by_ref().take(self.keys.0.len()).collect();
        let (keys, times) = ((lefts, exprs.collect()), (of_left, of_right));
        Self::new(Arc::new(left), Arc::new(right), self.inner, keys, self.bounds, times)
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        // The columns of times and keys are added by whoever asks.
        let width = self.left.schema().fields().len();
        let (left, right): (Vec<_>, Vec<_>) = output.iter().copied().partition(|i| *i < width);
        Some(vec![left, right.into_iter().map(|i| i - width).collect()])
    }
}
