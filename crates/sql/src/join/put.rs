//! Columns of rows that came and of rows that are kept, put together.

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use datafusion_common::Result;

use super::kept::Kept;
use super::read::unfit;
use super::slot::NONE;
use super::spec::At;
use super::walk::Incoming;
use crate::step::batch_of;

/// Rows of one side.
pub(super) enum Of<'a> {
    /// Rows that came, by their places.
    Came(&'a Incoming, UInt32Array),
    /// Rows that are kept.
    Kept(&'a Kept, Found<'a>),
}

/// Where rows that are kept lie.
pub(super) struct Found<'a> {
    pieces: Vec<&'a [ArrayRef]>,
    /// Piece, from 1 on, and row in it; piece 0 is null.
    places: Vec<(usize, usize)>,
    nulls: bool,
}

/// No more pieces are in a slot: each is at least half as long as all behind it.
const PIECES: usize = 16;

impl<'a> Of<'a> {
    pub(super) fn came(came: &'a Incoming, rows: Vec<u32>) -> Self {
        Self::Came(came, UInt32Array::from(rows))
    }

    pub(super) fn kept(kept: &'a Kept, ids: &[u32]) -> Result<Self> {
        let mut known = vec![0; kept.slots.len() * PIECES];
        let mut found =
            Found { pieces: vec![], places: Vec::with_capacity(ids.len()), nulls: false };
        for id in ids {
            if *id == NONE {
                found.places.push((0, 0));
                found.nulls = true;
                continue;
            }
            let (at, row) = kept.place(*id).ok_or_else(unfit)?;
            let slot = kept.slot_at(at).ok_or_else(unfit)?;
            let (piece, row, columns) = slot.find(row).ok_or_else(unfit)?;
            let known = known.get_mut(at * PIECES + piece).ok_or_else(unfit)?;
            if *known == 0 {
                found.pieces.push(&columns.kept);
                *known = found.pieces.len();
            }
            found.places.push((*known, row));
        }
        Ok(Self::Kept(kept, found))
    }

    fn column(&self, column: usize, kind: &arrow_schema::DataType) -> Result<ArrayRef> {
        match self {
            Self::Came(came, rows) => {
                let all = came.rows.batch.columns().get(column).ok_or_else(unfit)?;
                Ok(take(all.as_ref(), rows, None)?)
            }
            Self::Kept(kept, found) => {
                let place = kept.form.place(column).ok_or_else(unfit)?;
                found.column(place, kind)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Came(_, rows) => rows.len(),
            Self::Kept(_, found) => found.places.len(),
        }
    }
}

impl Found<'_> {
    fn column(&self, place: usize, kind: &arrow_schema::DataType) -> Result<ArrayRef> {
        if self.pieces.is_empty() {
            return Ok(new_null_array(kind, self.places.len()));
        }
        let null = new_null_array(kind, usize::from(self.nulls));
        let pieces = self.pieces.iter().filter_map(|p| p.get(place)).map(AsRef::as_ref);
        let all = std::iter::once(null.as_ref()).chain(pieces).collect::<Vec<&dyn Array>>();
        Ok(interleave(&all, &self.places)?)
    }
}

/// Some columns of both sides beside each other.
pub(super) fn together(
    sides: [&Of<'_>; 2],
    columns: &[At],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let len = sides.iter().map(|s| s.len()).max().unwrap_or(0);
    let columns = columns.iter().zip(schema.fields()).map(|(at, field)| {
        let side = sides.get(at.side).ok_or_else(unfit)?;
        side.column(at.column, field.data_type())
    });
    batch_of(schema, columns.collect::<Result<Vec<_>>>()?, len)
}

/// Rows of one side alone, which is all that comes out.
pub(super) fn alone(of: &Of<'_>, columns: &[At], schema: &SchemaRef) -> Result<RecordBatch> {
    together([of, of], columns, schema)
}

/// Some places of a list.
pub(super) fn pick(all: &[u32], from: usize, len: usize) -> Vec<u32> {
    all.iter().skip(from).take(len).copied().collect()
}
