//! A window in a plan: each row of the input with the windows it is in.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{DFSchema, DFSchemaRef, Result, TableReference, plan_err};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};

use super::WINDOW_COLUMNS;
use crate::window::Window;

/// The rows of a table with the windows they are in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowNode {
    pub input: Arc<LogicalPlan>,
    pub window: Window,
    /// The event time, and by how much it lags behind the watermark.
    pub time: Expr,
    pub lag: i64,
    /// Of sessions: the columns that each has its own for.
    pub keys: Vec<Expr>,
    /// The table's name here, by which the window's columns are called too.
    table: Option<TableReference>,
    schema: DFSchemaRef,
}

impl WindowNode {
    pub(crate) fn new(
        input: Arc<LogicalPlan>,
        window: Window,
        time: Expr,
        lag: i64,
        keys: Vec<Expr>,
    ) -> Result<Self> {
        // All columns of a table have its name.
        let table = input.schema().iter().next().and_then(|(q, _)| q.cloned());
        Self::over(input, window, time, lag, keys, table)
    }

    fn over(
        input: Arc<LogicalPlan>,
        window: Window,
        time: Expr,
        lag: i64,
        keys: Vec<Expr>,
        table: Option<TableReference>,
    ) -> Result<Self> {
        let schema = input.schema();
        let mut fields = Vec::with_capacity(schema.fields().len() + WINDOW_COLUMNS.len());
        for (qualifier, field) in schema.iter().filter(|(_, f)| passes(f.name())) {
            fields.push((qualifier.cloned(), field.clone()));
        }
        let (_, moment) = time.to_field(schema)?;
        for name in WINDOW_COLUMNS {
            let field = moment.as_ref().clone().with_name(name).with_nullable(false);
            fields.push((table.clone(), Arc::new(field)));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?);
        Ok(Self { input, window, time, lag, keys, table, schema })
    }

    /// The places of the input's columns that stay; those of an inner window of the same names do not.
    pub(crate) fn passing(&self) -> Vec<usize> {
        let fields = self.input.schema().fields().iter().enumerate();
        fields.filter(|(_, f)| passes(f.name())).map(|(i, _)| i).collect()
    }
}

/// Whether the windows that rows of a plan are in were made of this column, if they are in any.
pub(crate) fn are_cut_by(plan: &LogicalPlan, column: usize) -> bool {
    let column_of = |e: &Expr, schema: &DFSchema| match e {
        Expr::Column(c) => schema.maybe_index_of_column(c),
        _ => None,
    };
    match plan {
        LogicalPlan::SubqueryAlias(alias) => are_cut_by(&alias.input, column),
        LogicalPlan::Filter(filter) => are_cut_by(&filter.input, column),
        LogicalPlan::Projection(projection) => {
            let of = projection.expr.get(column).map(super::known::unalias);
            let of = of.and_then(|e| column_of(e, projection.input.schema()));
            of.is_some_and(|column| are_cut_by(&projection.input, column))
        }
        LogicalPlan::Extension(e) => match e.node.as_any().downcast_ref::<WindowNode>() {
            Some(node) => {
                let time = column_of(&node.time, node.input.schema());
                time.is_some() && node.passing().get(column).copied() == time
            }
            None => false,
        },
        _ => false,
    }
}

fn passes(name: &str) -> bool {
    !WINDOW_COLUMNS.contains(&name)
}

impl PartialOrd for WindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for WindowNode {
    fn name(&self) -> &'static str {
        "window"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(&self.time).chain(&self.keys).cloned().collect()
    }

    /// Rows can be left out before they get windows, unless what is left out would have kept a session going.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let names = self.schema.fields().iter().map(|f| f.name());
        let is_key =
            |name: &str| self.keys.iter().any(|k| matches!(k, Expr::Column(c) if c.name == name));
        let session = matches!(self.window, Window::Session { .. });
        names.filter(|n| !passes(n) || (session && !is_key(n))).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "window: {:?} of {}", self.window, self.time)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let (Some(time), Some(input)) = (exprs.next(), inputs.into_iter().next()) else {
            return plan_err!("a window has a time and an input");
        };
        let (window, table) = (self.window, self.table.clone());
        Self::over(Arc::new(input), window, time, self.lag, exprs.collect(), table)
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        // The columns of the time and of the keys are added by whoever asks.
        let passing = self.passing();
        Some(vec![output.iter().filter_map(|i| passing.get(*i).copied()).collect()])
    }
}
