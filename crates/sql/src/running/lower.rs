//! `GROUP BY` without a window, from the plan to what keeps its state.

use std::sync::Arc;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{Aggregate, Expr, LogicalPlan};
use datafusion_physical_expr::expressions::Literal;
use datafusion_sql::sqlparser::keywords::Keyword;

use super::spec::{Accumulation, Ttl};
use crate::chain::{Chain, Feed, To};
use crate::complain::said_at;
use crate::grown::{Grown, Spec};
use crate::lower::Lower;
use crate::rank::RankNode;
use crate::windowed::{Facts, Made, WindowNode, span_words};

/// Where grouping stands in a text.
const AT: &[Keyword] = &[Keyword::GROUP, Keyword::DISTINCT, Keyword::UNION];

/// Whether rows come here with windows by which they are not grouped yet.
pub(crate) fn has_open_windows(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _all = plan.apply(|node| {
        Ok(match node {
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => TreeNodeRecursion::Jump,
            LogicalPlan::Extension(e) if e.node.as_any().is::<RankNode>() => {
                TreeNodeRecursion::Jump
            }
            LogicalPlan::Extension(e) if e.node.as_any().is::<WindowNode>() => {
                found = true;
                TreeNodeRecursion::Stop
            }
            _ => TreeNodeRecursion::Continue,
        })
    });
    found
}

/// Whether rows are grouped by no window, neither one they are in nor one they came out of.
pub(crate) fn is_running(aggregate: &Aggregate, facts: &Facts) -> bool {
    let schema = aggregate.input.schema();
    let roles = aggregate.group_expr.iter().filter_map(|e| facts.role(e, schema));
    !roles.into_iter().any(|r| r.edge.iter().chain(&r.past).any(|e| e.side.is_time()))
}

impl Lower<'_> {
    /// The rows of a `GROUP BY` without a window, as they change. `last` is the event time by which keys are forgotten.
    pub(crate) fn running(
        &mut self,
        aggregate: &Aggregate,
        last: Option<&Expr>,
    ) -> Result<Vec<Chain>> {
        if has_open_windows(&aggregate.input) {
            return Err(without_their_window());
        }
        let facts = self.known.facts(&aggregate.input)?;
        let grouped = std::mem::replace(&mut self.grouped, false);
        let chains = self.plan(&aggregate.input);
        self.grouped = grouped;
        let mut chains = chains?;
        self.answers_are_recorded(&chains, &facts)?;
        let mut made = self.made(aggregate, &facts, &chains, false)?;
        let schema = aggregate.input.schema();
        let never = Arc::new(Literal::new(ScalarValue::Null));
        let time = last.map(|last| self.expr(last, schema)).transpose()?;
        let timed = time.is_some();
        let time = made.compute(time.unwrap_or(never), &mut chains)?;
        let ttl = self.known.ttl.filter(|_| timed).map(|span| {
            let lag = last.and_then(|last| facts.role(last, schema)?.lag);
            Ttl { time, lag: lag.unwrap_or(0), span }
        });
        let number = self.grown.len();
        for chain in &mut chains {
            chain.to = Some(To { node: number, input: 0 });
        }
        self.closed.append(&mut chains);
        let after = self.after(aggregate, &made, &[])?;
        let spec = Accumulation {
            input: made.input.clone(),
            keys: made.keys(),
            aggregates: made.aggregates(),
            columns: after.columns,
            schema: after.schema.clone(),
            state_bytes: self.windows.state_bytes,
            ttl,
        };
        let explain = explain(&spec, &made);
        let state = state(&spec, &made)?;
        self.grown.push(Grown { spec: Spec::Running(spec), explain, state, names: made.names() });
        Ok(vec![Chain {
            from: Feed::Node(number),
            scan: after.schema,
            steps: after.steps,
            schema: after.last,
            explain: after.explain,
            to: None,
        }])
    }
}

/// What it does and keeps, for people.
fn explain(spec: &Accumulation, made: &Made) -> Vec<String> {
    let keys = made.key_words().join(", ");
    let until = match &spec.ttl {
        Some(ttl) => {
            format!("until event time is {} past its last row (`state_ttl`)", span_words(ttl.span))
        }
        None => "for ever".to_owned(),
    };
    let shorter = match &spec.ttl {
        Some(_) => "",
        None => "; with `state_ttl` keys go that get no more rows",
    };
    let bytes = millstream_core::fields::Bytes(spec.state_bytes);
    let keep =
        |what: &str| format!("keep {what} {until}, {bytes} at most (`state_bytes`){shorter}");
    if spec.is_distinct() {
        return vec![format!("each {keys} once, when it is first seen"), keep("each key")];
    }
    let mut lines = vec![
        format!("by {keys}"),
        format!("compute {}", made.aggregate_words().join(", ")),
        "give the rows of keys that changed, at the end of each frame".to_owned(),
        keep("a state for each key"),
    ];
    let all = made.kept_words();
    if !all.is_empty() {
        lines.push(format!("keep every value for {}", all.join(", ")));
    }
    lines
}

/// What the state means.
fn state(spec: &Accumulation, made: &Made) -> Result<String> {
    let mut text = match &spec.ttl {
        Some(ttl) => format!(
            "until {} lag {} is {} ago\n",
            crate::state::unnamed(&ttl.time)?,
            ttl.lag,
            ttl.span
        ),
        None => "for ever\n".to_owned(),
    };
    text.push_str(&made.meaning()?);
    Ok(text)
}

fn without_their_window() -> DataFusionError {
    let what = "rows are grouped without their window, so that a row would count in a group once for each window it is in";
    let fix = "write `GROUP BY window_start, window_end, …`; or leave the window out, for a group that runs on for ever";
    said_at(what, fix, AT)
}
