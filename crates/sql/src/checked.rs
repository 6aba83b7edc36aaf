//! Expressions that fail where the library's would give something else or take all memory.
//!
//! Whole columns are computed with kernels that check; only when one fails, rows are tried alone.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::compute::kernels::numeric::neg;
use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, DataType, FieldRef, Schema};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError, Result, plan_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{ColumnarValue, Expr, LogicalPlan, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Literal, NegativeExpr};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};

use crate::complain::root;
use crate::size::{argument_bytes, bounded, bytes};

/// The expression with every step in it checked.
pub(crate) fn checked(e: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let checked = e.transform_up(|e| {
        if let Some(b) = e.downcast_ref::<BinaryExpr>() {
            return Ok(match b.op() {
                op if is_arithmetic(*op) => {
                    Transformed::yes(Arc::new(b.clone().with_fail_on_overflow(true)) as _)
                }
                Operator::StringConcat => Transformed::yes(Checked::on(&e, Act::Measure)),
                _ => Transformed::no(e),
            });
        }
        if let Some(n) = e.downcast_ref::<NegativeExpr>() {
            return Ok(Transformed::yes(Checked::on(n.arg(), Act::Negate)));
        }
        if let Some(c) = e.downcast_ref::<CastExpr>()
            && c.expr().data_type(schema)?.is_nested()
        {
            // A list is longer as text, and can be taken into a list again.
            return Ok(Transformed::yes(Checked::on(&e, Act::Measure)));
        }
        Ok(Transformed::no(e))
    })?;
    Ok(checked.data)
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
}

/// Refuses constants that overflow (`9223372036854775807 + 1`), which the optimizer would compute
/// without a check.
pub(crate) fn no_overflow(plan: &LogicalPlan, options: &Arc<ConfigOptions>) -> Result<()> {
    let mut props = ExecutionProps::new();
    props.config_options = Some(options.clone());
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|e| {
            e.apply(|e| {
                let arithmetic = match e {
                    Expr::BinaryExpr(b) => is_arithmetic(b.op),
                    Expr::Negative(_) => true,
                    _ => false,
                };
                if !arithmetic || e.any_column_refs() || e.is_volatile() {
                    return Ok(TreeNodeRecursion::Continue);
                }
                match constant(e, &props) {
                    Err(e) if is_overflow(&e) => Err(e),
                    _ => Ok(TreeNodeRecursion::Jump),
                }
            })
        })
    })?;
    Ok(())
}

fn constant(e: &Expr, props: &ExecutionProps) -> Result<ColumnarValue> {
    let none = PhysicalPlanningContext::default();
    let e = create_physical_expr(e, &DFSchema::empty(), props, &none)?;
    let schema = Arc::new(Schema::empty());
    let e = checked(e, &schema)?;
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(1));
    e.evaluate(&RecordBatch::try_new_with_options(schema, vec![], &options)?)
}

fn is_overflow(e: &DataFusionError) -> bool {
    matches!(root(e), DataFusionError::ArrowError(e, _) if matches!(**e, ArrowError::ArithmeticOverflow(_)))
}

/// A constant above this is one that the text makes of a smaller one.
const CONSTANT_BYTES: u64 = 1 << 10;
/// The most bytes of such a constant: it is kept, and shown, as it is.
const CONSTANT_BYTES_MAX: u64 = 1 << 20;

/// The bytes of the large constants in an expression, which it may give for each row.
pub(crate) fn constants(e: &Arc<dyn PhysicalExpr>) -> Result<u64> {
    let mut sum = 0;
    e.apply(|e| {
        if let Some(literal) = e.downcast_ref::<Literal>()
            && !literal.value().data_type().is_primitive()
        {
            let bytes = bytes(literal.value().to_array()?.as_ref());
            if bytes > CONSTANT_BYTES_MAX {
                return plan_err!("a constant has {bytes} bytes, and 1 MiB are the most");
            }
            sum += if bytes > CONSTANT_BYTES { bytes } else { 0 };
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(sum)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    /// Gives the number of the other sign.
    Negate,
    /// Gives what it stands on, if that is not too large.
    Measure,
}

#[derive(Debug)]
struct Checked {
    of: Arc<dyn PhysicalExpr>,
    act: Act,
}

impl Checked {
    fn on(of: &Arc<dyn PhysicalExpr>, act: Act) -> Arc<dyn PhysicalExpr> {
        Arc::new(Self { of: of.clone(), act })
    }
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.act == other.act && self.of.eq(&other.of)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.act.hash(state);
        self.of.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.act {
            Act::Negate => write!(f, "(- {})", self.of),
            Act::Measure => write!(f, "{}", self.of),
        }
    }
}

impl PhysicalExpr for Checked {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.of.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.of.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let value = self.of.evaluate(batch)?;
        match (self.act, value) {
            (Act::Measure, value) => {
                bounded("this text", argument_bytes(&value, batch.num_rows())?)?;
                Ok(value)
            }
            (Act::Negate, ColumnarValue::Array(a)) => Ok(ColumnarValue::Array(neg(a.as_ref())?)),
            (Act::Negate, ColumnarValue::Scalar(s)) => {
                Ok(ColumnarValue::Scalar(s.arithmetic_negate()?))
            }
        }
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.of.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.of]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let of = children.first().unwrap_or(&self.of);
        Ok(Self::on(of, self.act))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
