//! Values of every plain type as whole numbers in the same order, and back.

use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, UInt64Array,
};
use arrow_schema::DataType;
use datafusion_common::Result;

/// Whether values of this type have a lane.
pub(crate) fn has_lane(kind: &DataType) -> bool {
    kind.is_integer()
        || matches!(
            kind,
            DataType::Float32
                | DataType::Float64
                | DataType::Boolean
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Duration(_)
        )
}

/// The values as numbers in the order that the library's `min` and `max` have.
pub(crate) fn to_lane(values: &ArrayRef) -> Result<Int64Array> {
    Ok(match values.data_type() {
        DataType::Int64 => values.as_primitive::<Int64Type>().clone(),
        DataType::UInt64 => {
            values.as_primitive::<UInt64Type>().unary(|v| (v ^ (1 << 63)).cast_signed())
        }
        DataType::Float64 => {
            values.as_primitive::<Float64Type>().unary(|v| total(v.to_bits().cast_signed()))
        }
        DataType::Float32 => values
            .as_primitive::<Float32Type>()
            .unary(|v| i64::from(total32(v.to_bits().cast_signed()))),
        DataType::Boolean => {
            let bools = values.as_boolean();
            let lane = bools.values().iter().map(i64::from).collect::<Vec<_>>();
            Int64Array::new(lane.into(), bools.nulls().cloned())
        }
        DataType::Date32 | DataType::Time32(_) => {
            let days = cast(values, &DataType::Int32)?;
            cast(&days, &DataType::Int64)?.as_primitive::<Int64Type>().clone()
        }
        _ => cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
    })
}

/// The values that these numbers stand for.
pub(crate) fn from_lane(lane: &Int64Array, kind: &DataType) -> Result<ArrayRef> {
    Ok(match kind {
        DataType::Int64 => Arc::new(lane.clone()),
        DataType::UInt64 => {
            let values: UInt64Array = lane.unary(|v| v.cast_unsigned() ^ (1 << 63));
            Arc::new(values)
        }
        DataType::Float64 => {
            let values: Float64Array = lane.unary(|v| f64::from_bits(total(v).cast_unsigned()));
            Arc::new(values)
        }
        DataType::Float32 => {
            let values: Float32Array = lane.unary(|v| {
                let bits = i32::try_from(v).unwrap_or_default();
                f32::from_bits(total32(bits).cast_unsigned())
            });
            Arc::new(values)
        }
        DataType::Boolean => {
            let bools = lane.iter().map(|v| v.map(|v| v != 0)).collect::<BooleanArray>();
            Arc::new(bools)
        }
        DataType::Date32 | DataType::Time32(_) => cast(&cast(lane, &DataType::Int32)?, kind)?,
        kind => cast(lane, kind)?,
    })
}

/// The bits of a float as a number in IEEE 754's total order; its own inverse.
fn total(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

fn total32(bits: i32) -> i32 {
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}
