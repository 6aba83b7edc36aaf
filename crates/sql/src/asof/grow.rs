//! A join as of event time from the plan into chains and the part that they feed.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, Result, plan_err};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column as At;
use datafusion_physical_expr::utils::collect_columns;
use millstream_core::fields::Bytes;

use super::AsOfNode;
use super::node::span;
use super::spec::{AsOf, Column, Side};
use crate::chain::{Chain, Feed, To};
use crate::checked::constants;
use crate::explain::show;
use crate::grown::{Grown, Spec};
use crate::lower::{Lower, renumber};
use crate::sample::fails_always;
use crate::step::Step;

impl Lower<'_> {
    /// The left rows, each with the latest of the right side, as they come once event time has passed them.
    pub(crate) fn as_of(&mut self, node: &AsOfNode) -> Result<Vec<Chain>> {
        let (time_left, time_right) = node.times();
        let left = self.side(&node.left, time_left, &node.keys.0, node.bounds.lags.0)?;
        let right = self.side(&node.right, time_right, &node.keys.1, node.bounds.lags.1)?;
        let number = self.grown.len();
        let width = node.left.schema().fields().len();
        let (mut columns, mut fields) = (vec![], vec![]);
        for (i, field) in left.side.schema.fields().iter().take(width).enumerate() {
            columns.push(Column::Left(i));
            fields.push(field.as_ref().clone());
        }
        let width = node.right.schema().fields().len();
        for (i, field) in right.side.schema.fields().iter().take(width).enumerate() {
            columns.push(Column::Right(i));
            let nullable = field.is_nullable() || !node.inner;
            fields.push(field.as_ref().clone().with_nullable(nullable));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let keys = left.side.keys.iter().map(|i| left.side.schema.field(*i).clone());
        let spec = AsOf {
            keys: keys.map(Arc::new).collect(),
            bounds: node.bounds,
            inner: node.inner,
            columns,
            schema: schema.clone(),
            state_bytes: self.windows.state_bytes,
            left: left.side,
            right: right.side,
        };
        for (input, chains) in [left.chains, right.chains].into_iter().enumerate() {
            for mut chain in chains {
                chain.to = Some(To { node: number, input });
                self.closed.push(chain);
            }
        }
        let (explain, state) = (explain(node, &spec), state(&spec));
        self.grown.push(Grown { spec: Spec::AsOf(spec), explain, state, names: vec![] });
        Ok(vec![Chain {
            from: Feed::Node(number),
            scan: schema.clone(),
            steps: vec![],
            schema,
            explain: vec![],
            to: None,
        }])
    }

    /// The chains of one side, behind whose columns are the keys that have to be computed.
    fn side(&mut self, plan: &LogicalPlan, time: &Expr, keys: &[Expr], lag: i64) -> Result<Fed> {
        // Windows above the join are those that rows came out of.
        let grouped = std::mem::replace(&mut self.grouped, false);
        let chains = self.plan(plan);
        self.grouped = grouped;
        let mut chains = chains?;
        self.answers_are_recorded(&chains, &self.known.facts(plan)?)?;
        let Some(schema) = chains.first().map(|c| c.schema.clone()) else {
            return plan_err!("a side of a join has no rows");
        };
        let time = self.column(time, plan.schema())?;
        let mut computed = vec![];
        let mut places = vec![];
        for key in keys {
            let e = self.expr(key, plan.schema())?;
            if let Some(at) = e.downcast_ref::<At>() {
                places.push(at.index());
                continue;
            }
            fails_always(&e, &schema)?;
            places.push(schema.fields().len() + computed.len());
            computed.push((e, show(key)));
        }
        if !computed.is_empty() {
            let own = schema.fields().iter().enumerate();
            let mut exprs = own
                .map(|(i, f)| Arc::new(At::new(f.name(), i)) as Arc<dyn PhysicalExpr>)
                .collect::<Vec<_>>();
            let mut fields = schema.fields().to_vec();
            for (e, shown) in &computed {
                fields.push(Arc::new(Field::new(shown, e.data_type(&schema)?, true)));
                exprs.push(e.clone());
            }
            let sums = exprs.iter().map(constants).collect::<Result<Vec<_>>>()?;
            let constants = sums.into_iter().sum();
            let shown = computed.iter().map(|(_, shown)| shown.as_str()).collect::<Vec<_>>();
            let line = format!("compute {}", shown.join(", "));
            let schema = Arc::new(Schema::new(fields));
            for chain in &mut chains {
                let (exprs, schema) = (exprs.clone(), schema.clone());
                chain.steps.push(Step::Project { exprs, constants, schema: schema.clone() });
                chain.schema = schema;
                chain.explain.push(line.clone());
            }
        }
        let schema = chains.first().map_or(schema, |c| c.schema.clone());
        Ok(Fed { side: Side { schema, time, lag, keys: places }, chains })
    }

    fn column(&self, e: &Expr, schema: &DFSchema) -> Result<usize> {
        match self.expr(e, schema)?.downcast_ref::<At>() {
            Some(at) => Ok(at.index()),
            None => plan_err!("an event time is no column"),
        }
    }
}

/// A side, and what feeds it.
struct Fed {
    side: Side,
    chains: Vec<Chain>,
}

/// What the join does and keeps, for people.
fn explain(node: &AsOfNode, spec: &AsOf) -> Vec<String> {
    let bounds = &node.bounds;
    let name = |e: &Expr| e.to_string();
    let (left, right) = (name(node.times().0), name(node.times().1));
    let before = match bounds.least {
        0 => format!("at or before {left}"),
        1 => format!("before {left}"),
        least => format!("at least {} before {left}", span(least)),
    };
    let keys = node.keys.0.iter().zip(&node.keys.1);
    let keys = keys.map(|(a, b)| format!("{} = {}", name(a), name(b))).collect::<Vec<_>>();
    let by = if keys.is_empty() { String::new() } else { format!(", by {}", keys.join(", ")) };
    let most = span(bounds.most);
    let says = if bounds.by_ttl { " (`state_ttl`)" } else { "" };
    let without = if spec.inner { "left rows without one are left out" } else { "else nulls" };
    let of =
        if keys.is_empty() { "the latest right row" } else { "the latest right row of each key" };
    vec![
        format!("the latest {right} {before}{by}; {without}"),
        format!(
            "keep rows until event time has passed them, and {of} for {most}{says}, {} at most (`state_bytes`)",
            Bytes(spec.state_bytes)
        ),
    ]
}

/// What the state means.
fn state(spec: &AsOf) -> String {
    let types = |side: &Side| {
        let types = side.schema.fields().iter().map(|f| f.data_type().to_string());
        types.collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "as of: lags {:?} least {} most {} inner {}\n",
        spec.bounds.lags, spec.bounds.least, spec.bounds.most, spec.inner
    );
    for side in [&spec.left, &spec.right] {
        text.push_str(&format!("side {}: time {} keys {:?}\n", types(side), side.time, side.keys));
    }
    text
}

/// Has the join give only the columns that the step behind it reads.
pub(crate) fn narrow(chain: &mut Chain, spec: &mut AsOf) -> Result<()> {
    let Some(Step::Project { exprs, .. }) = chain.steps.first_mut() else { return Ok(()) };
    let columns = exprs.iter().flat_map(collect_columns).map(|c| c.index());
    let mut read = columns.collect::<Vec<_>>();
    read.sort_unstable();
    read.dedup();
    for e in exprs.iter_mut() {
        *e = renumber(e, &read)?;
    }
    let schema: SchemaRef = Arc::new(spec.schema.project(&read)?);
    spec.columns = read.iter().filter_map(|i| spec.columns.get(*i).copied()).collect();
    spec.schema = schema.clone();
    chain.scan = schema;
    Ok(())
}
