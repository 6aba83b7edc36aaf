//! A join of a lookup in a plan: one node with one input, so that nothing is taken for rows of two sides.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow_schema::FieldRef;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result, TableReference, plan_err};
use datafusion_expr::{
    BinaryExpr, Expr, Extension, Join, JoinType, LogicalPlan, Operator, UserDefinedLogicalNodeCore,
};
use millstream_core::lookup::KEY;

use super::Lookups;

/// Each row of the input with the columns of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LookupNode {
    pub input: Arc<LogicalPlan>,
    /// The lookup.
    pub table: String,
    /// The key to look up, made of the input's row.
    pub key: Expr,
    /// Rows whose key has no answer are left out.
    pub inner: bool,
    /// The lookup's columns, by which they are called here.
    columns: Vec<(Option<TableReference>, FieldRef)>,
    schema: DFSchemaRef,
}

/// Replaces every join of a lookup.
pub(crate) fn join_all(plan: LogicalPlan, lookups: &Lookups) -> Result<LogicalPlan> {
    if lookups.is_empty() {
        return Ok(plan);
    }
    let joined = plan.transform_up(|node| match node {
        LogicalPlan::Join(join) if lookup_of(&join.right, lookups).is_some() => {
            let node =
                LogicalPlan::Extension(Extension { node: Arc::new(node_of(join, lookups)?) });
            Ok(Transformed::yes(node))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(joined.data)
}

/// The lookup that a side of a join is.
fn lookup_of<'a>(plan: &'a LogicalPlan, lookups: &Lookups) -> Option<&'a str> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let name = scan.table_name.table();
            lookups.contains_key(name).then_some(name)
        }
        LogicalPlan::SubqueryAlias(alias) => lookup_of(&alias.input, lookups),
        _ => None,
    }
}

fn node_of(join: Join, lookups: &Lookups) -> Result<LookupNode> {
    let table = lookup_of(&join.right, lookups).unwrap_or_default().to_owned();
    let inner = match join.join_type {
        JoinType::Inner => true,
        JoinType::Left => false,
        other => {
            return plan_err!("a lookup cannot be joined by `{other} JOIN`, only by `LEFT JOIN`");
        }
    };
    let right = join.right.schema();
    let key = match (join.on.as_slice(), &join.filter) {
        ([], Some(Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right: other }))) => {
            key_of(left, other, right)
        }
        // What was wrong here was made `NULL`, to find what else is.
        ([], Some(null @ Expr::Literal(value, _))) if value.is_null() => Some(null.clone()),
        _ => None,
    };
    let Some(key) = key else {
        return plan_err!("a lookup is joined by its key and nothing else");
    };
    let columns = right.iter().map(|(qualifier, field)| {
        let field = field.as_ref().clone();
        let nullable = field.is_nullable() || !inner;
        (qualifier.cloned(), Arc::new(field.with_nullable(nullable)))
    });
    LookupNode::new(join.left, table, key, inner, columns.collect())
}

/// What the lookup's key is set equal to, if that is not of the lookup itself.
fn key_of(a: &Expr, b: &Expr, lookup: &DFSchema) -> Option<Expr> {
    let is_key = |e: &Expr| matches!(e, Expr::Column(c) if c.name == KEY && lookup.has_column(c));
    let of_lookup = |e: &Expr| e.column_refs().into_iter().any(|c: &Column| lookup.has_column(c));
    [(a, b), (b, a)]
        .into_iter()
        .find(|(key, other)| is_key(key) && !of_lookup(other))
        .map(|(_, other)| other.clone())
}

impl LookupNode {
    fn new(
        input: Arc<LogicalPlan>,
        table: String,
        key: Expr,
        inner: bool,
        columns: Vec<(Option<TableReference>, FieldRef)>,
    ) -> Result<Self> {
        let left = input.schema();
        let fields = left.iter().map(|(q, f)| (q.cloned(), f.clone()));
        let fields = fields.chain(columns.iter().cloned()).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, left.metadata().clone())?);
        Ok(Self { input, table, key, inner, columns, schema })
    }

    /// The names of the lookup's own columns.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(_, f)| f.name().as_str())
    }
}

impl PartialOrd for LookupNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for LookupNode {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.key.clone()]
    }

    /// A condition on the input's columns alone can be met before anything is looked up.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.columns().map(str::to_owned).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "lookup: {} by {}", self.table, self.key)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(key), Some(input)) = (exprs.into_iter().next(), inputs.into_iter().next()) else {
            return plan_err!("a lookup has one key and one input");
        };
        let (table, columns) = (self.table.clone(), self.columns.clone());
        Self::new(Arc::new(input), table, key, self.inner, columns)
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        // The key's own columns are added by whoever asks.
        let width = self.input.schema().fields().len();
        Some(vec![output.iter().copied().filter(|i| *i < width).collect()])
    }
}
