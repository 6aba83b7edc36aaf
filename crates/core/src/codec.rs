//! Bytes to rows: columns, decoders, and where each row came from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;

use crate::error::Result;
use crate::record::Block;

pub use crate::columns::{Column, ColumnType, Columns};
pub use crate::origin::{Origin, RowId};

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

    /// Whether each record begins with a header, which a source that cuts a text into records has to repeat.
    fn has_header(&self) -> bool {
        false
    }

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
    fn decode(&mut self, block: &Block) -> Result<Decoded> {
        self.decode_barring(block, &BTreeMap::new())
    }

    /// Decodes one block, and refuses rows that would fit but are barred for a reason found outside: by their ordinals.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    fn decode_barring(&mut self, block: &Block, barred: &BTreeMap<u32, String>) -> Result<Decoded>;
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
