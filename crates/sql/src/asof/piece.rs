//! Rows that stay together: with their event times and keys at hand.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use datafusion_common::{DataFusionError, Result};

use super::spec::Side;
use crate::size::bytes;
use crate::step::batch_of;
use crate::window::keys::{Encoded, Key, Keys};

/// The row of a piece: the number of that, and of the row in it.
pub(super) type Place = (u32, u32);

/// What a side's rows are like.
pub(super) struct Kind {
    side: Side,
    /// Its columns, any of which may be null: one chain may know of a column that it is not, and another one may not.
    pub schema: SchemaRef,
}

impl Kind {
    pub(super) fn new(side: &Side) -> Self {
        let fields = side.schema.fields().iter();
        let fields = fields.map(|f| Field::clone(f).with_nullable(true)).collect::<Vec<_>>();
        Self { side: side.clone(), schema: Arc::new(Schema::new(fields)) }
    }

    /// The same.
    pub(super) fn again(&self) -> Self {
        Self { side: self.side.clone(), schema: self.schema.clone() }
    }
}

/// Some rows of a side.
pub(super) struct Piece {
    /// What its chunk is called by.
    pub id: u32,
    pub batch: RecordBatch,
    times: ScalarBuffer<i64>,
    keys: Encoded,
    /// Which rows have keys that are not null.
    keyed: Option<NullBuffer>,
    /// It has a chunk.
    pub saved: bool,
    /// What it takes in memory.
    pub bytes: usize,
}

impl Piece {
    pub(super) fn new(kind: &Kind, keys: &Keys, batch: &RecordBatch, id: u32) -> Result<Self> {
        let batch = batch_of(&kind.schema, batch.columns().to_vec(), batch.num_rows())?;
        let times = times(&batch, &kind.side)?;
        let columns = kind.side.keys.iter().map(|i| batch.columns().get(*i).cloned());
        let columns = columns.collect::<Option<Vec<ArrayRef>>>().ok_or_else(unfit)?;
        let mut keyed = None;
        for column in &columns {
            keyed = NullBuffer::union(keyed.as_ref(), column.logical_nulls().as_ref());
        }
        let keys = keys.encode(&columns)?;
        let more = match (&keys, columns.as_slice()) {
            (Encoded::Lane(_), [one]) if *one.data_type() != DataType::Int64 => one.len() * 8,
            (Encoded::Rows(rows), _) => rows.size(),
            _ => 0,
        };
        let own = batch.columns().iter().map(|c| bytes(c.as_ref())).sum::<u64>();
        let bytes = usize::try_from(own).unwrap_or(usize::MAX).saturating_add(more + SELF);
        Ok(Self { id, batch, times, keys, keyed, saved: false, bytes })
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    pub(super) fn time(&self, row: u32) -> i64 {
        self.times.get(row as usize).copied().unwrap_or(i64::MAX)
    }

    /// The row's key, if none of it is null.
    pub(super) fn key(&self, row: u32) -> Option<Key<'_>> {
        let row = row as usize;
        let keyed = self.keyed.as_ref().is_none_or(|k| k.is_valid(row));
        keyed.then(|| self.keys.key(row))
    }

    /// The rows whose keys are not null, if these are not all.
    pub(super) fn keyed(&self) -> Option<&NullBuffer> {
        self.keyed.as_ref().filter(|k| k.null_count() > 0)
    }
}

/// What a piece takes besides its values.
const SELF: usize = 256;

/// The event times of rows of a side, of which none is null.
fn times(batch: &RecordBatch, side: &Side) -> Result<ScalarBuffer<i64>> {
    let column = batch.columns().get(side.time).ok_or_else(unfit)?;
    let times = column.as_primitive_opt::<TimestampMicrosecondType>();
    times.filter(|t| t.null_count() == 0).map(|t| t.values().clone()).ok_or_else(unfit)
}

pub(super) fn unfit() -> DataFusionError {
    DataFusionError::Internal("rows do not fit the join that they are for".into())
}

/// Rows of several batches, each by the number of its batch and its own.
pub(super) fn gather(
    schema: &SchemaRef,
    of: &[&RecordBatch],
    places: &[(usize, usize)],
) -> Result<RecordBatch> {
    let columns = (0..schema.fields().len()).map(|i| {
        let arrays = of.iter().map(|b| b.columns().get(i).map(AsRef::as_ref));
        let arrays = arrays.collect::<Option<Vec<&dyn Array>>>().ok_or_else(unfit)?;
        Ok(interleave(&arrays, places)?)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    batch_of(schema, columns, places.len())
}

/// Of pieces with so few rows there should not be many: how small they are, the least 0, and `None` from where on it does not matter.
pub(super) fn tier(rows: usize) -> Option<usize> {
    [8, 64, 512, 4_096].into_iter().position(|most| rows < most)
}

/// So many of one tier are merged.
pub(super) const MANY: usize = 8;

/// The most rows that are put together.
pub(super) const PIECE: usize = 8_192;
