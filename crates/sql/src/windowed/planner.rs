//! Table functions into nodes, as DataFusion plans what stands in `FROM`.

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::{Column, DFSchema, Result, ScalarValue};
use datafusion_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion_expr::{Expr, Extension, LogicalPlan};
use datafusion_sql::sqlparser::ast::{self, ObjectName, TableFactor};

use super::known::{Known, unalias};
use super::shape::{Call, called, is_null};
use super::{Kind, WindowNode, read, span};
use crate::complain::said;
use crate::window::Window;

/// What is said of a call without its table, which is only tried to find what is to blame for an error.
pub(crate) const UNREAD: &str = "a window without a table";

/// Plans `TUMBLE(…)` and its kin.
#[derive(Debug)]
pub(crate) struct WindowPlanner(pub Arc<Known>);

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if called(&relation).is_some() && read(&relation).is_none() {
            return Err(said(UNREAD, ""));
        }
        let Some(call) = read(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let node = self.node(&call, context)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let alias = match relation {
            TableFactor::Table { alias, .. } => alias,
            _ => None,
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

impl WindowPlanner {
    fn node(&self, call: &Call, context: &mut dyn RelationPlannerContext) -> Result<WindowNode> {
        let input = context.plan(table(call.table.clone()))?;
        let (time, lag) = self.time(call, &input, context)?;
        let mut keys = Vec::with_capacity(call.keys.len());
        for key in call.keys.iter().filter(|k| !is_null(k)) {
            keys.push(context.sql_to_expr((*key).clone(), input.schema())?);
        }
        let window = window(call, context)?;
        WindowNode::new(Arc::new(input), window, time, lag, keys)
    }

    /// The event time of a table, and by how much it lags.
    fn time(
        &self,
        call: &Call,
        input: &LogicalPlan,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<(Expr, i64)> {
        if is_null(call.time) {
            // What was wrong here was made `NULL`, to find what else is.
            let moment = ScalarValue::TimestampMicrosecond(None, Some("UTC".into()));
            return Ok((Expr::Literal(moment, None), 0));
        }
        let schema = input.schema();
        let time = context.sql_to_expr(call.time.clone(), schema)?;
        let facts = self.0.facts(input)?;
        if let Some(lag) = facts.role(&time, schema).and_then(|r| r.lag) {
            let (_, field) = datafusion_expr::ExprSchemable::to_field(&time, schema)?;
            if matches!(field.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
                return Ok((time, lag));
            }
        }
        let table = &call.table.value;
        let named = schema.iter().zip(&facts.roles).filter(|(_, r)| r.lag.is_some());
        let named = named.map(|((_, f), _)| format!("`{}`", f.name())).collect::<Vec<_>>();
        let what = format!("`{}` is not the event time of `{table}`", call.time);
        if !named.is_empty() {
            return Err(said(what, &format!("use {}", named.join(" or "))));
        }
        let fix = match self.source(&time, input) {
            Some((source, column)) => {
                format!("declare `event_time: {{ column: {column} }}` at the source `{source}`")
            }
            None => format!(
                "have `{table}` give the event time of its source as it is, as a column of its own"
            ),
        };
        Err(said(what, &fix))
    }

    /// The source that a column is of, if it passed as it is, and its name there.
    fn source(&self, e: &Expr, plan: &LogicalPlan) -> Option<(String, String)> {
        let Expr::Column(column) = unalias(e) else { return None };
        match plan {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.table();
                let is_source = self.0.tables.get(name).is_some_and(|t| t.is_source);
                is_source.then(|| (name.to_owned(), column.name.clone()))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let i = alias.schema.maybe_index_of_column(column)?;
                self.source(&nth(alias.input.schema(), i), &alias.input)
            }
            LogicalPlan::Filter(filter) => self.source(e, &filter.input),
            LogicalPlan::Projection(projection) => {
                let i = projection.schema.maybe_index_of_column(column)?;
                self.source(projection.expr.get(i)?, &projection.input)
            }
            _ => None,
        }
    }
}

fn nth(schema: &DFSchema, i: usize) -> Expr {
    Expr::Column(Column::from(schema.qualified_field(i)))
}

fn table(name: ast::Ident) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![name]),
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

/// A span where another was wrong.
const ANY_US: i64 = 60_000_000;

fn window(call: &Call, context: &mut dyn RelationPlannerContext) -> Result<Window> {
    let kind = call.kind;
    let mut spans = Vec::with_capacity(call.spans.len());
    for (e, name) in call.spans.iter().zip(kind.spans()) {
        if is_null(e) {
            spans.push(ANY_US);
            continue;
        }
        let value = context.sql_to_expr((*e).clone(), &DFSchema::empty())?;
        let shown = e.to_string();
        spans.push(match *name {
            "offset" => span::micros(&value, name, &shown)?,
            name => span::positive(&value, name, &shown)?,
        });
    }
    let mut spans = spans.into_iter();
    let mut next = || spans.next().unwrap_or(0);
    Ok(match kind {
        Kind::Tumble => {
            let size = next();
            Window::Tumble { size, offset: next().rem_euclid(size) }
        }
        Kind::Hop => {
            let (slide, size) = (next(), next());
            Window::Hop { size, slide, offset: next().rem_euclid(slide) }
        }
        Kind::Cumulate => {
            let (step, size) = (next(), next());
            if size % step != 0 && !call.spans.iter().any(|e| is_null(e)) {
                let what = format!(
                    "the size of `CUMULATE`, {}, is no multiple of its step, {}",
                    span::show(size),
                    span::show(step)
                );
                return Err(said(what, "write the step first, and a size of several steps"));
            }
            Window::Cumulate { size, step, offset: next().rem_euclid(size) }
        }
        Kind::Session => Window::Session { gap: next() },
    })
}
