//! A Parquet file as a table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::{
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampSecondType,
};
use arrow_array::{Array as _, ArrayRef, RecordBatch, RecordBatchOptions, cast::AsArray as _};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::concat::concat_batches;
use millstream_core::codec::{Column, ColumnType, Columns};
use millstream_core::plugin::{Config, Env};
use millstream_core::reference::{Content, TableReader};
use millstream_core::{Error, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FileTable, Format, all_there, missing, name_in_file, no_columns, too_large};

/// Reads a Parquet file. Without declared columns it has all of the file's: whole numbers as int64, floating point and decimals as
/// float64, moments without a zone as UTC. A file that has other kinds, such as lists, needs its columns declared, without those.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetTable {
    /// The file.
    path: PathBuf,
}

impl Config<dyn TableReader> for ParquetTable {
    const NAME: &'static str = "parquet";

    fn build(self, env: &Env) -> Result<Box<dyn TableReader>> {
        Ok(FileTable::open(env, &self.path, ParquetFormat))
    }
}

#[derive(Debug)]
struct ParquetFormat;

impl Format for ParquetFormat {
    fn read(&self, path: &Path, columns: Option<&Columns>, bytes_max: u64) -> Result<Content> {
        let bad = |e: &dyn std::fmt::Display| Error::stop(format!("it is no Parquet file: {e}"));
        let bytes = bytes::Bytes::from(std::fs::read(path).map_err(|e| missing(path, e))?);
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| bad(&e))?;
        let schema = builder.schema().clone();
        let (mut batches, mut held) = (Vec::new(), 0_u64);
        for batch in builder.build().map_err(|e| bad(&e))? {
            let batch = batch.map_err(|e| bad(&e))?;
            held += batch.get_array_memory_size() as u64;
            // Small files may hold much more than they weigh.
            if held > bytes_max.saturating_mul(4) {
                return Err(too_large(path, held, bytes_max));
            }
            batches.push(batch);
        }
        let all = concat_batches(&schema, &batches).map_err(|e| bad(&e))?;
        let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let columns = match columns {
            Some(columns) => columns.clone(),
            None => found(&all)?,
        };
        all_there(&columns, &names)?;
        let rows = fitted(&all, &columns)?;
        Ok(Content { columns, rows })
    }

    fn suits(&self, columns: &Columns) -> Result<()> {
        for column in &columns.0 {
            name_in_file(column)?;
            if matches!(column.r#type, ColumnType::List(_) | ColumnType::Struct(_)) {
                let what = format!("column `{}` is a {}", column.name, column.r#type);
                return Err(Error::stop(format!("{what}, which a reference table cannot have"))
                    .fix("leave it out"));
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        "parquet".to_owned()
    }
}

/// The columns that a file has.
fn found(all: &RecordBatch) -> Result<Columns> {
    let column = |field: &arrow_schema::FieldRef| {
        let r#type = kind(field.data_type()).ok_or_else(|| {
            let kind = field.data_type();
            let what = format!("column `{}` is of type {kind}", field.name());
            Error::stop(format!("{what}, which a reference table cannot have"))
                .fix("declare the table's `columns`, without this one")
        })?;
        Ok(Column::new(field.name(), r#type))
    };
    let columns = all.schema().fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    if columns.is_empty() { Err(no_columns()) } else { Ok(Columns(columns)) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others cannot be had")]
fn kind(of: &DataType) -> Option<ColumnType> {
    use DataType as T;
    Some(match of {
        t if t.is_integer() => ColumnType::Int64,
        t if t.is_floating() || t.is_decimal() => ColumnType::Float64,
        T::Utf8 | T::LargeUtf8 | T::Utf8View => ColumnType::String,
        T::Boolean => ColumnType::Bool,
        T::Date32 | T::Date64 => ColumnType::Date,
        T::Timestamp(..) => ColumnType::Timestamp,
        T::Dictionary(_, values) => kind(values)?,
        _ => return None,
    })
}

fn fitted(all: &RecordBatch, columns: &Columns) -> Result<RecordBatch> {
    let mut arrays = Vec::new();
    for column in &columns.0 {
        let name = name_in_file(column)?;
        let array = all.column_by_name(&name).ok_or_else(no_columns)?;
        let wrong = |why: String| {
            Error::stop(format!("column `{name}` does not fit {}: {why}", column.r#type))
                .fix("mend the file, or declare the column so that it fits")
        };
        let array = cast(array, &column.r#type).map_err(|e| wrong(e.to_string()))?;
        if column.required && array.null_count() > 0 {
            return Err(wrong("it is `required`, and has a null".to_owned()));
        }
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(all.num_rows()));
    RecordBatch::try_new_with_options(columns.schema(), arrays, &options)
        .map_err(|e| Error::stop("its columns do not fit").because(e))
}

/// The values as the type that they are declared to be, if none is lost by it.
fn cast(of: &ArrayRef, to: &ColumnType) -> Result<ArrayRef, arrow_schema::ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let unit = match to {
        ColumnType::TimestampS => Some(TimeUnit::Second),
        ColumnType::TimestampMs => Some(TimeUnit::Millisecond),
        _ => None,
    };
    let cast = |of: &ArrayRef, to: &DataType| cast_with_options(of, to, &strict);
    match (unit, of.data_type().is_integer()) {
        (Some(unit), true) => {
            let numbers = cast(of, &DataType::Int64)?;
            let moments: ArrayRef = match unit {
                TimeUnit::Second => Arc::new(
                    numbers
                        .as_primitive::<Int64Type>()
                        .reinterpret_cast::<TimestampSecondType>()
                        .with_timezone("UTC"),
                ),
                _ => Arc::new(
                    numbers
                        .as_primitive::<Int64Type>()
                        .reinterpret_cast::<TimestampMillisecondType>()
                        .with_timezone("UTC"),
                ),
            };
            cast(&moments, &to.arrow())
        }
        _ => {
            let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
            match (of.data_type(), to.arrow()) {
                // Without a zone it is UTC, and not the time of whatever place.
                (DataType::Timestamp(_, None), DataType::Timestamp(..)) => {
                    let micros = cast(of, &plain)?;
                    let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
                    Ok(Arc::new(micros.with_timezone("UTC")))
                }
                (_, wanted) => cast(of, &wanted),
            }
        }
    }
}
