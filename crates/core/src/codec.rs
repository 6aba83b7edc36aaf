//! Bytes to rows: columns, decoders, and where each row came from.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::{Block, Offset};

pub use crate::columns::{Column, ColumnType, Columns};

/// The name of any row, for ever: `offset/record/row`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowId {
    /// The frame.
    pub offset: Offset,
    /// The record in its block, from 0.
    pub record: u32,
    /// The row in its record, from 0; rows that could not be decoded count.
    pub row: u32,
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.offset, self.record, self.row)
    }
}

impl std::str::FromStr for RowId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::stop(format!("`{text}` is no row id"))
                .fix("write it as `offset/record/row`, such as `17/0/3`")
        };
        let mut parts = text.split('/');
        let (Some(o), Some(r), Some(w), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        Ok(Self {
            offset: Offset(o.parse().map_err(|_| bad())?),
            record: r.parse().map_err(|_| bad())?,
            row: w.parse().map_err(|_| bad())?,
        })
    }
}

/// Where the rows of a batch came from: one frame, and for each row its ordinal in the frame's block.
///
/// Cheap to clone; ordinals are counted over all records of the block, refused rows included.
#[derive(Clone, Debug)]
pub struct Origin {
    offset: Offset,
    /// The ordinal of each record's first row.
    starts: Arc<[u32]>,
    /// `None`: row i has ordinal i.
    ordinals: Option<Arc<[u32]>>,
}

impl Origin {
    /// Rows of the frame at `offset`; `starts` has the ordinal of the first row of each record,
    /// `ordinals` that of each row (`None` when row i has ordinal i).
    #[must_use]
    pub fn new(offset: Offset, starts: Arc<[u32]>, ordinals: Option<Arc<[u32]>>) -> Self {
        Self { offset, starts, ordinals }
    }

    /// The frame.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The ordinal of each record's first row.
    #[must_use]
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The ordinal of row `i` of the batch in its block.
    #[must_use]
    pub fn ordinal(&self, i: usize) -> u32 {
        match &self.ordinals {
            Some(o) => o.get(i).copied().unwrap_or(u32::MAX),
            None => u32::try_from(i).unwrap_or(u32::MAX),
        }
    }

    /// The name of row `i` of the batch.
    #[must_use]
    pub fn id(&self, i: usize) -> RowId {
        self.id_of(self.ordinal(i))
    }

    /// The name of the row with this ordinal in the block.
    #[must_use]
    pub fn id_of(&self, ordinal: u32) -> RowId {
        let record = self.starts.partition_point(|s| *s <= ordinal).saturating_sub(1);
        let start = self.starts.get(record).copied().unwrap_or(0);
        RowId {
            offset: self.offset,
            record: u32::try_from(record).unwrap_or(u32::MAX),
            row: ordinal.saturating_sub(start),
        }
    }

    /// The origin of a batch made of rows `indices` of this one, in that order.
    #[must_use]
    pub fn take(&self, indices: impl Iterator<Item = usize>) -> Self {
        let ordinals: Arc<[u32]> = indices.map(|i| self.ordinal(i)).collect();
        Self { offset: self.offset, starts: self.starts.clone(), ordinals: Some(ordinals) }
    }

    /// The origin of `len` rows from `from` on.
    #[must_use]
    pub fn slice(&self, from: usize, len: usize) -> Self {
        if from == 0 && self.ordinals.is_none() {
            return self.clone();
        }
        self.take(from..from + len)
    }
}

/// Rows on their way, and where each came from.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The rows.
    pub batch: RecordBatch,
    /// Where they came from, row by row.
    pub origin: Origin,
}

impl Rows {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a block became.
#[derive(Debug)]
pub struct Decoded {
    /// The rows that fit, in order.
    pub batch: RecordBatch,
    /// The ordinal of each record's first row.
    pub starts: Arc<[u32]>,
    /// The ordinal of each row of the batch; `None` when row i has ordinal i.
    pub ordinals: Option<Arc<[u32]>>,
    /// Rows that do not fit.
    pub refused: Vec<RefusedRow>,
    /// Whole records that do not fit: not JSON at all, say, so that no row can be told from another.
    pub refused_records: Vec<RefusedRecord>,
}

/// A row that does not fit the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its ordinal in the block.
    pub ordinal: u32,
    /// Its bytes, so that [`crate::record::Form::Rows`] can decode it again.
    pub bytes: Bytes,
    /// Why, naming the column.
    pub reason: String,
}

/// A record that does not fit at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its index in the block.
    pub record: u32,
    /// Why.
    pub reason: String,
}

/// How one source's bytes are read: a format with its options.
pub trait Codec: Send + Sync {
    /// Works out columns from the first blocks; `None` when they hold no row that could tell.
    ///
    /// A column of only nulls is json. Rows that cannot be read do not count.
    ///
    /// # Errors
    /// `Stop` when no columns can be made of what the rows hold.
    fn infer(&self, blocks: &[Block]) -> Result<Option<Columns>>;

    /// A decoder for these columns that builds only those named in `used` (all if `None`), in the
    /// order of the columns. A column that is not built is not checked either, unless it is required.
    ///
    /// # Errors
    /// `Stop` when a column cannot be had from this format.
    fn decoder(
        &self,
        columns: &Columns,
        used: Option<&BTreeSet<String>>,
    ) -> Result<Box<dyn Decoder>>;

    /// One line for `check`.
    fn describe(&self) -> String;
}

/// Bytes to Arrow. A bad row is refused by its bytes and reason; the batch goes on.
///
/// Holds memory between blocks only to be fast: the result depends on the block alone.
pub trait Decoder: Send {
    /// The columns it builds.
    fn schema(&self) -> SchemaRef;

    /// Decodes one block.
    ///
    /// # Errors
    /// `Stop` for a broken invariant only. Bad input is in the result.
    fn decode(&mut self, block: &Block) -> Result<Decoded>;
}

impl Columns {
    /// The columns as Arrow has them, all nullable but required ones.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.0.iter().map(Column::field).collect::<Vec<_>>()))
    }
}

impl Column {
    /// The column as Arrow has it.
    #[must_use]
    pub fn field(&self) -> Field {
        marked(Field::new(&self.name, self.r#type.arrow(), !self.required), &self.r#type)
    }
}

/// Text that is JSON says so in its field, by Arrow's canonical extension type `arrow.json`, so that a sink that
/// writes JSON writes it as it is.
fn marked(field: Field, r#type: &ColumnType) -> Field {
    if *r#type != ColumnType::Json {
        return field;
    }
    let name = ("ARROW:extension:name".to_owned(), "arrow.json".to_owned());
    field.with_metadata([name].into_iter().collect())
}

impl ColumnType {
    /// The type as Arrow has it. Timestamps are microseconds in UTC, json is text.
    #[must_use]
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::String | Self::Json => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp | Self::TimestampS | Self::TimestampMs | Self::TimestampUs => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            Self::List(item) => {
                DataType::List(Arc::new(marked(Field::new("item", item.arrow(), true), item)))
            }
            Self::Struct(columns) => {
                DataType::Struct(columns.0.iter().map(Column::field).collect::<Fields>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_frame_record_and_row() {
        let origin = Origin::new(Offset(7), Arc::from([0, 3, 3, 5]), None);
        let ids: Vec<String> = (0..6).map(|i| origin.id(i).to_string()).collect();
        assert_eq!(ids, ["7/0/0", "7/0/1", "7/0/2", "7/2/0", "7/2/1", "7/3/0"]);
        let taken = origin.take([5, 1].into_iter());
        assert_eq!(taken.id(0).to_string(), "7/3/0");
        assert_eq!(taken.slice(1, 1).id(0).to_string(), "7/0/1");
        assert_eq!("7/3/0".parse::<RowId>().unwrap(), taken.id(0));
    }
}
