//! How large values are, and the most that they may be.

use arrow_array::cast::AsArray;
use arrow_array::{Array, OffsetSizeTrait};
use arrow_schema::DataType;
use datafusion_common::{Result, exec_err};
use datafusion_expr::ColumnarValue;

/// The most bytes that a computed value may have, and all that is computed of a batch at once: a
/// number in a row must not decide how much memory the process takes.
pub(crate) const BYTES_MAX: u64 = 64 << 20;

/// Refuses what would be larger than it may be.
pub(crate) fn bounded(what: &str, bytes: u64) -> Result<()> {
    if bytes > BYTES_MAX {
        return exec_err!("{what} would make {bytes} bytes, and 64 MiB are the most");
    }
    Ok(())
}

/// The bytes of all values of an array, without those outside of the slice that it is.
pub(crate) fn bytes(of: &dyn Array) -> u64 {
    let len = of.len() as u64;
    match of.data_type() {
        DataType::Utf8 => text(of.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => text(of.as_string::<i64>().value_offsets()),
        DataType::Binary => text(of.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => text(of.as_binary::<i64>().value_offsets()),
        DataType::Utf8View => {
            of.as_string_view().lengths().map(|l| u64::from(l) + VIEW_BYTES).sum()
        }
        DataType::List(_) => {
            let list = of.as_list::<i32>();
            slots(list.value_offsets()) + inside(list.value_offsets(), list.values().as_ref())
        }
        DataType::LargeList(_) => {
            let list = of.as_list::<i64>();
            slots(list.value_offsets()) + inside(list.value_offsets(), list.values().as_ref())
        }
        DataType::FixedSizeList(_, _) => bytes(of.as_fixed_size_list().values().as_ref()),
        DataType::Map(_, _) => {
            let map = of.as_map();
            slots(map.value_offsets()) + inside(map.value_offsets(), map.entries())
        }
        DataType::Struct(_) => of.as_struct().columns().iter().map(|c| bytes(c.as_ref())).sum(),
        DataType::Boolean => len,
        t => t.primitive_width().unwrap_or(1) as u64 * len,
    }
}

/// What a text takes beside its bytes where it is kept as a view.
const VIEW_BYTES: u64 = 16;

fn span<O: OffsetSizeTrait>(offsets: &[O]) -> u64 {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (last.as_usize() - first.as_usize()) as u64,
        _ => 0,
    }
}

fn slots<O: OffsetSizeTrait>(offsets: &[O]) -> u64 {
    (offsets.len().saturating_sub(1) * size_of::<O>()) as u64
}

fn text<O: OffsetSizeTrait>(offsets: &[O]) -> u64 {
    span(offsets) + slots(offsets)
}

fn inside<O: OffsetSizeTrait>(offsets: &[O], values: &dyn Array) -> u64 {
    let (from, len) = (offsets.first().map_or(0, |o| o.as_usize()), span(offsets));
    bytes(values.slice(from, usize::try_from(len).unwrap_or(0)).as_ref())
}

/// The bytes of one value of an array.
pub(crate) fn item_bytes(of: &dyn Array, i: usize) -> u64 {
    match of.data_type().primitive_width() {
        Some(width) => width as u64,
        None => bytes(of.slice(i, 1).as_ref()),
    }
}

/// The bytes of an argument, which has as many values as there are rows.
pub(crate) fn argument_bytes(of: &ColumnarValue, rows: usize) -> Result<u64> {
    Ok(match of {
        ColumnarValue::Array(a) => bytes(a.as_ref()),
        ColumnarValue::Scalar(s) => bytes(s.to_array()?.as_ref()).saturating_mul(rows as u64),
    })
}
