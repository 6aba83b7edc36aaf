//! Rows that wait for a part that lies in a file, so that it is read once for many.

use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_row::{RowConverter, SortField};
use arrow_schema::SchemaRef;
use datafusion_common::{DataFusionError, Result};
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::record::Offset;

use super::batch::Batch;
use super::bytes::{Reader, put, put_bytes};
use super::keys::unfit;

/// So many rows are made of bytes at once.
const ROWS_MAX: usize = 8192;
/// What a row, and some rows together, take beyond the bytes of their columns.
const ROW_BYTES: usize = 12;
const SOME_BYTES: usize = 32;

/// How rows become bytes, and back.
pub(super) struct Form {
    schema: SchemaRef,
    converter: RowConverter,
}

/// Rows of a batch as bytes.
pub(super) struct Encoded(arrow_row::Rows);

/// Rows that wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiting {
    some: Vec<Box<[u8]>>,
    bytes: usize,
    /// They add no more than this to any sum.
    pub adds: u128,
    /// So many of `some` are in a checkpoint, or on their way to one.
    told: usize,
    /// Rows that a checkpoint may have wait no more.
    pub over: bool,
}

impl Form {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let fields: Vec<_> =
            schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        if !RowConverter::supports_fields(&fields) {
            let what = "rows with columns of these types cannot be kept for later, so that the view cannot spill";
            return Err(DataFusionError::Plan(what.into()));
        }
        Ok(Self { schema: schema.clone(), converter: RowConverter::new(fields)? })
    }

    pub(super) fn encode(&self, batch: &Batch) -> Result<Encoded> {
        Ok(Encoded(self.converter.convert_columns(batch.rows.batch.columns())?))
    }

    /// The rows that these bytes are, some at a time. Along those given at once the watermark does not fall.
    pub(super) fn decode<'a>(
        &'a self,
        some: impl Iterator<Item = &'a [u8]> + 'a,
    ) -> impl Iterator<Item = Result<Rows>> + 'a {
        let rows = some.flat_map(|bytes| Entries(Reader(bytes)));
        let mut rows = rows.peekable();
        std::iter::from_fn(move || {
            rows.peek()?;
            let (mut watermarks, mut all) = (vec![], vec![]);
            while let Some((watermark, row)) =
                rows.next_if(|(next, _)| watermarks.last().is_none_or(|w: &Timestamp| w.0 <= *next))
            {
                watermarks.push(Timestamp(watermark));
                all.push(row);
                if all.len() == ROWS_MAX {
                    break;
                }
            }
            Some(self.rows(&all, watermarks))
        })
    }

    fn rows(&self, rows: &[&[u8]], watermarks: Vec<Timestamp>) -> Result<Rows> {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(rows.iter().map(|row| parser.parse(row)))?;
        let columns = columns.into_iter().zip(self.schema.fields()).map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(column);
            }
            Ok(cast(&column, field.data_type())?)
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        // Nobody asks for the names of rows that were taken already.
        let origin = Origin::new(Offset(0), Arc::from([0]), None);
        Ok(Rows { batch, origin: origin.with_watermarks(watermarks.into()) })
    }
}

/// Watermarks and rows in bytes.
struct Entries<'a>(Reader<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (i64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.i64()?, self.0.bytes()?))
    }
}

/// Whether bytes, from outside, are rows.
pub(super) fn are_rows(bytes: &[u8]) -> Result<()> {
    let mut entries = Entries(Reader(bytes));
    while !entries.0.is_empty() {
        entries.next().ok_or_else(unfit)?;
    }
    Ok(())
}

impl Encoded {
    /// What these rows take when they wait.
    pub(super) fn bytes(&self, rows: &[u32]) -> usize {
        if rows.is_empty() {
            return 0;
        }
        let each = rows.iter().map(|row| self.0.row(*row as usize).data().len() + ROW_BYTES);
        each.sum::<usize>() + SOME_BYTES
    }
}

impl Waiting {
    /// Some rows more.
    pub(super) fn push(&mut self, batch: &Batch, encoded: &Encoded, rows: &[u32]) {
        if rows.is_empty() {
            return;
        }
        let mut bytes = Vec::with_capacity(encoded.bytes(rows));
        for row in rows {
            let watermark = batch.rows.origin.watermark(*row as usize);
            put(&mut bytes, watermark.unwrap_or(Timestamp::BEGIN).0.cast_unsigned());
            put_bytes(&mut bytes, encoded.0.row(*row as usize).data());
        }
        self.bytes += bytes.len() + SOME_BYTES;
        self.some.push(bytes.into_boxed_slice());
        self.adds += batch.addend_max() * rows.len() as u128;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.some.iter().map(AsRef::as_ref)
    }

    /// They are in the part now.
    pub(super) fn clear(&mut self) {
        *self = Self { over: self.over || self.told > 0, ..Self::default() };
    }

    /// What no checkpoint has yet.
    pub(super) fn tell(&mut self) -> Vec<u8> {
        let new = self.some.get(self.told..).unwrap_or_default().concat();
        self.told = self.some.len();
        new
    }

    /// All of it is to be told again.
    pub(super) fn anew(&mut self) {
        (self.told, self.over) = (0, true);
    }
}
