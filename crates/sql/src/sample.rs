//! A try before the start: does a step fail on whatever row?

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_physical_expr::PhysicalExpr;

/// Fails if an expression fails on a row of nulls, one of zeros and one of ones alike: then its
/// constants are to blame (`date_trunc('fortnight', ts)`), and no row would ever pass.
pub(crate) fn fails_always(e: &dyn PhysicalExpr, schema: &Schema) -> Result<(), DataFusionError> {
    let mut last = None;
    for of in [Of::Nulls, Of::Zeros, Of::Ones] {
        let Ok(row) = row(schema, of) else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| e.evaluate(&row)?.into_array(1))) {
            Ok(Err(e)) => last = Some(e),
            _ => return Ok(()),
        }
    }
    last.map_or(Ok(()), Err)
}

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
