//! A try before the start: does a step fail on whatever row?

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Literal;

use crate::quiet;

/// Fails if an expression fails on a row of nulls, one of zeros and one of ones alike, and some step
/// in it does so because of a constant (`date_trunc('fortnight', ts)`): no row would ever pass.
///
/// That all three fail is not enough: `CAST(concat('a', s) AS bigint)` is up to the rows.
pub(crate) fn fails_always(
    e: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<(), DataFusionError> {
    for of in OFS {
        let Ok(row) = row(schema, of) else { return Ok(()) };
        if fails(e.as_ref(), &row).is_none() {
            return Ok(());
        }
    }
    let Ok(row) = row(schema, Of::Nulls) else { return Ok(()) };
    let mut blamed = None;
    e.apply(|e| {
        blamed = constants_fail(e, schema, &row);
        Ok(if blamed.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    blamed.map_or(Ok(()), Err)
}

/// Why one step fails with the constants it has, whatever its other arguments are.
fn constants_fail(
    e: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
    row: &RecordBatch,
) -> Option<DataFusionError> {
    let children = e.children();
    if !children.iter().any(|c| c.downcast_ref::<Literal>().is_some()) {
        return None;
    }
    let mut why = None;
    for of in OFS {
        let arguments = children.iter().map(|c| -> Result<Arc<dyn PhysicalExpr>> {
            if c.downcast_ref::<Literal>().is_some() {
                return Ok(Arc::clone(c));
            }
            let value = value(&c.data_type(schema)?, of)?;
            Ok(Arc::new(Literal::new(ScalarValue::try_from_array(&value, 0)?)))
        });
        let arguments = arguments.collect::<Result<Vec<_>>>().ok()?;
        let step = e.clone().with_new_children(arguments).ok()?;
        why = Some(fails(step.as_ref(), row)?);
    }
    why
}

fn fails(e: &dyn PhysicalExpr, row: &RecordBatch) -> Option<DataFusionError> {
    match quiet::catch(|| e.evaluate(row)?.into_array(1)) {
        Ok(Ok(_)) => None,
        Ok(Err(e)) => Some(e),
        Err(panic) => Some(DataFusionError::Execution(format!("a function panicked: {panic}"))),
    }
}

const OFS: [Of; 3] = [Of::Nulls, Of::Zeros, Of::Ones];

#[derive(Clone, Copy)]
enum Of {
    Nulls,
    Zeros,
    Ones,
}

fn row(schema: &Schema, of: Of) -> Result<RecordBatch> {
    let columns =
        schema.fields().iter().map(|f| value(f.data_type(), of)).collect::<Result<Vec<_>>>()?;
    let fields = schema.fields().iter().map(|f| Field::clone(f).with_nullable(true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

fn value(t: &DataType, of: Of) -> Result<ArrayRef> {
    let scalar = match (t, of) {
        (DataType::Utf8, Of::Zeros) => ScalarValue::from(""),
        (DataType::Utf8, Of::Ones) => ScalarValue::from("1"),
        (_, Of::Nulls) => return Ok(new_null_array(t, 1)),
        (t, Of::Zeros) => ScalarValue::new_zero(t).unwrap_or(ScalarValue::try_from(t)?),
        (t, Of::Ones) => ScalarValue::new_one(t).unwrap_or(ScalarValue::try_from(t)?),
    };
    scalar.to_array()
}
