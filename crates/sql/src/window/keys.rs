//! Keys: of one value where one will do, else rows in arrow's order.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, FieldRef};
use datafusion_common::{DataFusionError, Result};

use super::lane::{from_lane, has_lane, to_lane};

/// How the keys of one aggregation are kept.
pub(crate) struct Keys {
    form: Form,
    fields: Vec<FieldRef>,
}

enum Form {
    /// No key: all rows are one group.
    Unit,
    /// One value with a lane.
    Lane,
    /// One text.
    Text,
    Rows(RowConverter),
}

/// The keys of some rows.
pub(crate) enum Encoded {
    Unit,
    Lane(Int64Array),
    Text(StringArray),
    Rows(arrow_row::Rows),
}

/// One key. Two are equal, and in order, as their bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    /// No key, or the one value is null: first of all.
    None,
    Lane(i64),
    Bytes(&'a [u8]),
}

impl Key<'_> {
    pub(crate) fn hash(self) -> u64 {
        match self {
            Key::None => 0,
            Key::Lane(v) => {
                let wide = u128::from(v.cast_unsigned() ^ 0x9E37_79B9_7F4A_7C15)
                    * 0xA076_1D64_78BD_642F_u128;
                #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed")]
                let mixed = (wide >> 64) as u64 ^ wide as u64;
                mixed
            }
            Key::Bytes(b) => foldhash::fast::FixedState::with_seed(0x6D69_6C6C).hash_one(b),
        }
    }

    /// Bytes in the order of the keys, for keys that are kept apart.
    pub(crate) fn to_bytes(self) -> Box<[u8]> {
        let mut bytes = vec![];
        self.put(&mut bytes);
        bytes.into_boxed_slice()
    }

    /// Appends these.
    pub(crate) fn put(self, bytes: &mut Vec<u8>) {
        match self {
            Key::None => bytes.push(0),
            Key::Lane(v) => {
                bytes.push(1);
                bytes.extend_from_slice(&(v.cast_unsigned() ^ (1 << 63)).to_be_bytes());
            }
            Key::Bytes(b) => {
                bytes.push(1);
                bytes.extend_from_slice(b);
            }
        }
    }
}

impl Keys {
    pub(crate) fn new(fields: Vec<FieldRef>) -> Result<Self> {
        let form = match fields.as_slice() {
            [] => Form::Unit,
            [one] if has_lane(one.data_type()) => Form::Lane,
            [one] if is_text(one.data_type()) => Form::Text,
            _ => {
                let sort = fields.iter().map(|f| SortField::new(f.data_type().clone()));
                Form::Rows(RowConverter::new(sort.collect())?)
            }
        };
        Ok(Self { form, fields })
    }

    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.fields.iter().map(|f| format!("`{}`", f.name())).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }

    pub(crate) fn is_lane(&self) -> bool {
        matches!(self.form, Form::Lane)
    }

    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded> {
        let columns = columns.iter().map(plain).collect::<Result<Vec<_>>>()?;
        Ok(match (&self.form, columns.as_slice()) {
            (Form::Unit, _) => Encoded::Unit,
            (Form::Lane, [one]) => Encoded::Lane(to_lane(one)?),
            (Form::Text, [one]) => {
                Encoded::Text(cast(one, &DataType::Utf8)?.as_string::<i32>().clone())
            }
            (Form::Rows(converter), all) => Encoded::Rows(converter.convert_columns(all)?),
            _ => return Err(unfit()),
        })
    }

    /// The key columns of some groups.
    pub(crate) fn decode<'a>(&self, keys: impl Iterator<Item = Key<'a>>) -> Result<Vec<ArrayRef>> {
        let columns: Vec<ArrayRef> = match &self.form {
            Form::Unit => vec![],
            Form::Lane => {
                let lane = keys.map(|k| if let Key::Lane(v) = k { Some(v) } else { None });
                let lane: Int64Array = lane.collect();
                let kind = self.fields.first().map(|f| f.data_type());
                vec![from_lane(&lane, kind.unwrap_or(&DataType::Int64))?]
            }
            Form::Text => {
                let texts = keys.map(|k| match k {
                    Key::Bytes(b) => std::str::from_utf8(b).ok(),
                    _ => None,
                });
                vec![Arc::new(texts.collect::<StringArray>())]
            }
            Form::Rows(converter) => {
                let parser = converter.parser();
                let rows = keys.map(|k| match k {
                    Key::Bytes(b) => parser.parse(b),
                    _ => parser.parse(&[]),
                });
                converter.convert_rows(rows)?
            }
        };
        let columns = columns.into_iter().zip(&self.fields).map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(column);
            }
            Ok(cast(&column, field.data_type())?)
        });
        columns.collect()
    }

    /// The key that [`Key::to_bytes`] made these of.
    pub(crate) fn parse<'a>(&self, bytes: &'a [u8]) -> Option<Key<'a>> {
        let (first, rest) = bytes.split_first()?;
        Some(match (first, &self.form) {
            (0, Form::Unit | Form::Lane | Form::Text) => Key::None,
            (1, Form::Lane) => {
                let bits = u64::from_be_bytes(rest.try_into().ok()?) ^ (1 << 63);
                Key::Lane(bits.cast_signed())
            }
            (1, Form::Text | Form::Rows(_)) => Key::Bytes(rest),
            _ => return None,
        })
    }
}

impl Encoded {
    /// The key of one row.
    pub(crate) fn key(&self, row: usize) -> Key<'_> {
        match self {
            Self::Unit => Key::None,
            Self::Lane(lane) if lane.is_valid(row) => Key::Lane(lane.value(row)),
            Self::Text(texts) if texts.is_valid(row) => Key::Bytes(texts.value(row).as_bytes()),
            Self::Lane(_) | Self::Text(_) => Key::None,
            Self::Rows(rows) => Key::Bytes(rows.row(row).data()),
        }
    }

    /// No more bytes than this are kept for the keys of all its rows.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Unit | Self::Lane(_) => 0,
            Self::Text(texts) => {
                let ends = texts.value_offsets();
                let (first, last) = (ends.first().copied(), ends.last().copied());
                usize::try_from(last.unwrap_or(0) - first.unwrap_or(0)).unwrap_or(0)
            }
            Self::Rows(rows) => rows.size(),
        }
    }
}

/// One zero and one NaN, as `GROUP BY` has it.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Float64 => Arc::new(
            column
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        ),
        DataType::Float32 => Arc::new(
            column
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        ),
        DataType::Float16 => {
            let wide = plain(&cast(column, &DataType::Float32)?)?;
            Arc::new(cast(&wide, &DataType::Float16)?.as_primitive::<Float16Type>().clone())
        }
        _ => column.clone(),
    })
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

pub(crate) fn unfit() -> DataFusionError {
    DataFusionError::Internal("values do not fit the aggregate that they are for".into())
}
