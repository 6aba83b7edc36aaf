//! A join of a reference table in a plan: one node with one input, so that nothing is taken for rows of two sides.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{DFSchema, DFSchemaRef, Result, plan_err};
use datafusion_expr::utils::conjunction;
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::join::table_of;

/// What becomes of a row and its matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Way {
    /// A row for each match.
    Inner,
    /// A row for each match, and one with nulls where there is none.
    Left,
    /// The row, where there is a match.
    Semi,
    /// The row, where there is none.
    Anti,
    /// The row, where it is certain that there is none: not if its key is null, or one of the table's.
    NotIn,
}

/// Each row of the input with what matches in a reference table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReferenceNode {
    pub input: Arc<LogicalPlan>,
    /// What is made of the table: a scan, with conditions and projections over it.
    pub side: Arc<LogicalPlan>,
    /// What has to be equal: of the input, and of the table.
    pub on: Vec<(Expr, Expr)>,
    /// Other conditions, on both.
    pub filter: Option<Expr>,
    pub way: Way,
    schema: DFSchemaRef,
}

impl ReferenceNode {
    /// A join by conditions that all have to hold.
    pub(crate) fn new(
        input: Arc<LogicalPlan>,
        side: Arc<LogicalPlan>,
        on: Vec<(Expr, Expr)>,
        filter: Option<Expr>,
        way: Way,
    ) -> Result<Self> {
        let schema = match way {
            Way::Semi | Way::Anti | Way::NotIn => input.schema().clone(),
            Way::Inner => Arc::new(both(input.schema(), side.schema(), false)?),
            Way::Left => Arc::new(both(input.schema(), side.schema(), true)?),
        };
        Ok(Self { input, side, on, filter, way, schema })
    }

    /// The same, and these conditions have to hold as well.
    pub(crate) fn also(self, conditions: Vec<Expr>) -> Result<Self> {
        let mut on = self.on;
        let (keys, rest) = super::join::keys(conditions, self.input.schema(), self.side.schema());
        on.extend(keys);
        let filter = conjunction(self.filter.into_iter().chain(rest));
        Self::new(self.input, self.side, on, filter, self.way)
    }

    /// The table.
    pub(crate) fn table(&self) -> &str {
        table_of(&self.side).unwrap_or_default()
    }

    /// The columns of both, as a condition sees them.
    pub(crate) fn pairs(&self) -> Result<DFSchema> {
        both(self.input.schema(), self.side.schema(), false)
    }

    /// What of the input it goes by.
    pub(crate) fn by(&self) -> impl Iterator<Item = &Expr> {
        self.on.iter().map(|(key, _)| key).chain(&self.filter)
    }
}

fn both(input: &DFSchema, side: &DFSchema, nulls: bool) -> Result<DFSchema> {
    let fields = input.iter().map(|(q, f)| (q.cloned(), f.clone()));
    let more = side.iter().map(|(q, f)| {
        let nullable = f.is_nullable() || nulls;
        (q.cloned(), Arc::new(f.as_ref().clone().with_nullable(nullable)))
    });
    DFSchema::new_with_metadata(fields.chain(more).collect(), input.metadata().clone())
}

impl PartialOrd for ReferenceNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for ReferenceNode {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// The keys alone: what rules do to expressions they do over the columns of the input.
    fn expressions(&self) -> Vec<Expr> {
        self.on.iter().map(|(key, _)| key.clone()).collect()
    }

    /// A condition on the input's columns alone can be met before.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let width = self.input.schema().fields().len();
        self.schema.fields().iter().skip(width).map(|f| f.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "reference: {} {:?}", self.table(), self.way)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), true) = (inputs.into_iter().next(), exprs.len() == self.on.len()) else {
            return plan_err!("a join with a reference table has one input, and a key for each");
        };
        let on = exprs.into_iter().zip(&self.on).map(|(key, (_, of))| (key, of.clone()));
        let (side, filter) = (self.side.clone(), self.filter.clone());
        Self::new(Arc::new(input), side, on.collect(), filter, self.way)
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        // Columns of the keys are added by whoever asks.
        let input = self.input.schema();
        let width = input.fields().len();
        let mut needed: Vec<usize> = output.iter().copied().filter(|i| *i < width).collect();
        let filter = self.filter.iter().flat_map(|e| e.column_refs());
        needed.extend(filter.filter_map(|c| input.maybe_index_of_column(c)));
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
