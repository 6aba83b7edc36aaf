//! Arrow columns as the five kinds of values that SQLite knows.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::OffsetBufferBuilder;
use arrow_cast::cast;
use arrow_schema::{DataType, Field, TimeUnit};
use millstream_core::{Error, Result};
use rusqlite::types::ValueRef;

use super::Timestamps;
use crate::render::{self, Style};

/// How values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Integers and booleans.
    Integer,
    /// Floating point.
    Real,
    /// Text of any form: anything SQLite may keep or take for a number.
    Text,
    /// Text that never looks like a number: moments, dates, JSON arrays and objects.
    WordyText,
    /// Bytes.
    Blob,
}

impl Kind {
    /// The kind of an Arrow type.
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is kept as its text")]
    pub(super) fn of(data_type: &DataType, timestamps: Timestamps) -> Self {
        use DataType as T;
        match data_type {
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Boolean => Self::Integer,
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Self::Integer,
            T::Float16 | T::Float32 | T::Float64 => Self::Real,
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Self::Blob,
            T::Timestamp(..) if timestamps == Timestamps::Us => Self::Integer,
            T::Timestamp(..) | T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) => {
                Self::WordyText
            }
            T::List(_) | T::LargeList(_) | T::FixedSizeList(..) | T::Struct(_) | T::Map(..) => {
                Self::WordyText
            }
            T::Dictionary(_, values) => Self::of(values, timestamps),
            _ => Self::Text,
        }
    }

    /// What `CREATE TABLE` says.
    pub(super) fn declared(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            Self::Text | Self::WordyText => "TEXT",
            Self::Blob => "BLOB",
        }
    }
}

/// One column, ready to be bound.
#[derive(Debug)]
enum Column {
    Integer(Int64Array),
    Real(Float64Array),
    Text(StringArray),
    Blob(BinaryArray),
}

/// A batch, ready to be bound.
#[derive(Debug)]
pub(super) struct Cells {
    columns: Vec<Column>,
}

/// A row that SQLite could only store as something else, and why.
pub(super) type Unfit = (usize, String);

impl Cells {
    /// Turns each column once, and names the rows that have a value SQLite cannot keep as it is.
    pub(super) fn of(
        batch: &RecordBatch,
        timestamps: Timestamps,
        not_null: &[usize],
    ) -> Result<(Self, Vec<Unfit>)> {
        let mut unfit = Vec::new();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            columns.push(column(field, array, timestamps, &mut unfit)?);
        }
        for i in not_null {
            let null_rows = batch.columns().get(*i).filter(|a| a.logical_null_count() > 0);
            let name = batch.schema_ref().field(*i).name();
            if let Some(nulls) = null_rows.and_then(|a| a.logical_nulls()) {
                let rows = nulls.iter().enumerate().filter(|(_, valid)| !valid);
                unfit.extend(rows.map(|(row, _)| (row, format!("key column `{name}` is null"))));
            }
        }
        unfit.sort_by_key(|(row, _)| *row);
        unfit.dedup_by_key(|(row, _)| *row);
        Ok((Self { columns }, unfit))
    }

    /// One value; null where there is none.
    #[inline]
    pub(super) fn value(&self, column: usize, row: usize) -> ValueRef<'_> {
        self.columns.get(column).map_or(ValueRef::Null, |column| column.value(row))
    }
}

impl Column {
    #[inline]
    fn value(&self, row: usize) -> ValueRef<'_> {
        match self {
            Self::Integer(a) if !a.is_null(row) => ValueRef::Integer(a.value(row)),
            Self::Real(a) if !a.is_null(row) => ValueRef::Real(a.value(row)),
            Self::Text(a) if !a.is_null(row) => ValueRef::Text(a.value(row).as_bytes()),
            Self::Blob(a) if !a.is_null(row) => ValueRef::Blob(a.value(row)),
            Self::Integer(_) | Self::Real(_) | Self::Text(_) | Self::Blob(_) => ValueRef::Null,
        }
    }
}

fn column(
    field: &Field,
    array: &ArrayRef,
    timestamps: Timestamps,
    unfit: &mut Vec<Unfit>,
) -> Result<Column> {
    if let DataType::Dictionary(_, values) = array.data_type() {
        let plain = field.clone().with_data_type(values.as_ref().clone());
        return column(&plain, &exactly(field, array, values, unfit)?, timestamps, unfit);
    }
    let name = field.name();
    Ok(match (Kind::of(array.data_type(), timestamps), array.data_type()) {
        (Kind::Integer, DataType::Timestamp(unit, _)) => {
            if *unit == TimeUnit::Nanosecond {
                let ns = exactly(field, array, &DataType::Int64, unfit)?;
                let rows = ns.as_primitive::<Int64Type>().iter().enumerate();
                let finer = rows.filter(|(_, v)| v.is_some_and(|v| v % 1_000 != 0));
                unfit.extend(finer.map(|(row, _)| {
                    (
                        row,
                        format!(
                            "column `{name}` has nanoseconds, which `timestamps: us` cannot keep"
                        ),
                    )
                }));
            }
            Column::Integer(micros(field, array, unfit)?.reinterpret_cast())
        }
        (Kind::Integer, _) => {
            let integers = exactly(field, array, &DataType::Int64, unfit)?;
            Column::Integer(integers.as_primitive::<Int64Type>().clone())
        }
        (Kind::Real, _) => {
            let reals = exactly(field, array, &DataType::Float64, unfit)?;
            let reals = reals.as_primitive::<Float64Type>().clone();
            let nans = reals.iter().enumerate().filter(|(_, v)| v.is_some_and(f64::is_nan));
            unfit.extend(nans.map(|(row, _)| {
                (row, format!("column `{name}` is NaN, which SQLite would turn into NULL"))
            }));
            Column::Real(reals)
        }
        (Kind::Blob, _) => {
            let bytes = exactly(field, array, &DataType::Binary, unfit)?;
            Column::Blob(bytes.as_binary::<i32>().clone())
        }
        (_, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            let texts = exactly(field, array, &DataType::Utf8, unfit)?;
            Column::Text(texts.as_string::<i32>().clone())
        }
        (_, data_type) => {
            if matches!(data_type, DataType::Timestamp(..)) {
                let us = micros(field, array, unfit)?;
                if !us.values().iter().all(|us| render::in_rfc3339_range(*us)) {
                    let rows = us.iter().enumerate();
                    let far = rows.filter(|(_, v)| v.is_some_and(|v| !render::in_rfc3339_range(v)));
                    unfit.extend(far.map(|(row, _)| {
                        (row, format!("column `{name}` lies outside the years 0000 to 9999"))
                    }));
                }
            }
            Column::Text(texts(field, array.as_ref())?)
        }
    })
}

/// Moments as microseconds since 1970 UTC.
fn micros(
    field: &Field,
    array: &ArrayRef,
    unfit: &mut Vec<Unfit>,
) -> Result<TimestampMicrosecondArray> {
    let us = match array.data_type() {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        other => panic!("`{}` of type {other} is no moment", field.name()),
    };
    Ok(exactly(field, array, &us, unfit)?.as_primitive::<TimestampMicrosecondType>().clone())
}

/// The column as another type; rows whose value that type cannot hold are unfit.
fn exactly(
    field: &Field,
    array: &ArrayRef,
    to: &DataType,
    unfit: &mut Vec<Unfit>,
) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    let name = field.name();
    let other = cast(array, to).map_err(|e| {
        Error::stop(format!("column `{name}` of type {} cannot be stored", field.data_type()))
            .because(e)
    })?;
    if other.logical_null_count() > array.logical_null_count() {
        let cell = render::cell(field, array.as_ref(), Style::Text);
        let before = array.logical_nulls();
        let was_null = |row| before.as_ref().is_some_and(|n| n.is_null(row));
        for row in (0..other.len()).filter(|row| other.is_null(*row) && !was_null(*row)) {
            let mut value = Vec::new();
            cell(row, &mut value);
            let value = String::from_utf8_lossy(&value);
            unfit.push((row, format!("column `{name}`: {value} is beyond what SQLite can keep")));
        }
    }
    Ok(other)
}

/// Renders a column that has no form of its own in SQLite.
fn texts(field: &Field, array: &dyn Array) -> Result<StringArray> {
    let cell = render::cell(field, array, Style::Text);
    let nulls = array.logical_nulls();
    let mut bytes = Vec::with_capacity(array.len() * 28);
    let mut ends = OffsetBufferBuilder::<i32>::new(array.len());
    let mut from = 0;
    for row in 0..array.len() {
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            cell(row, &mut bytes);
        }
        ends.push_length(bytes.len() - from);
        from = bytes.len();
    }
    let too_long = |e: &dyn std::fmt::Display| {
        Error::stop(format!("column `{}` is too long as text: {e}", field.name()))
            .fix("make its values shorter, or leave it out of the view")
    };
    if i32::try_from(bytes.len()).is_err() {
        return Err(too_long(&"over 2 GiB in one batch"));
    }
    StringArray::try_new(ends.finish(), bytes.into(), nulls).map_err(|e| too_long(&e))
}
