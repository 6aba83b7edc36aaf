//! What is kept for each group and aggregate: columns of states over group numbers, added to row by row.

mod cells;
mod kept;
mod plan;
mod texts;

use std::any::Any;

use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int64Array};
use arrow_buffer::NullBuffer;
use datafusion_common::Result;

pub(crate) use plan::{Given, Plan};

use super::bytes::Reader;

/// The states of one aggregate, one for each group of a pane.
///
/// Numbers of groups are dense, from 0; a new group's state is that of no rows. Each row is added to its group's state
/// in the order of the log, so that floats come out the same however rows are cut into batches.
pub(crate) trait States: Any + Send {
    /// Makes room for `capacity` groups, and states for `len`.
    fn grow(&mut self, len: usize, capacity: usize);

    /// Adds row `rows[i]` to group `groups[i]`, for each i in order.
    fn add(&mut self, input: &Input, rows: &[u32], groups: &[u32]) -> Result<()>;

    /// Adds what another one's group i has, which is later in time, to group `to[i]`.
    fn merge(&mut self, later: &dyn States, to: &[u32]) -> Result<()>;

    /// The results of some groups.
    fn finish(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Appends a group's state.
    fn save(&self, group: usize, out: &mut Vec<u8>);

    /// Takes a group's state back, exactly as it was.
    fn load(&mut self, group: usize, from: &mut Reader<'_>) -> Option<()>;

    /// Appends the states of these groups.
    fn save_all(&self, groups: &[u32], out: &mut Vec<u8>) {
        groups.iter().for_each(|group| self.save(*group as usize, out));
    }

    /// Takes these groups' states back.
    fn load_all(&mut self, groups: &[u32], from: &mut Reader<'_>) -> Option<()> {
        groups.iter().try_for_each(|group| self.load(*group as usize, from))
    }

    /// Makes a group's state that of no rows.
    fn clear(&mut self, group: usize);

    /// Bytes for each group.
    fn width(&self) -> usize;

    /// Bytes beyond that, for all groups.
    fn heap(&self) -> usize {
        0
    }

    /// Of these, what one group has.
    fn heap_of(&self, group: usize) -> usize {
        let _ = group;
        0
    }

    /// A sum of whole numbers, which may overflow; else 0.
    fn sum(&self, group: usize) -> i128 {
        let _ = group;
        0
    }

    fn copy(&self) -> Box<dyn States>;

    fn as_any(&self) -> &dyn Any;
}

/// What an aggregate takes of a batch, in the form that its states want.
pub(crate) enum Input {
    /// Rows count where their bit is set.
    Valid(Option<NullBuffer>),
    /// Whole numbers to add up (of unsigned ones the bits), and the largest without its sign.
    Sum(Int64Array, u64),
    Floats(Float64Array),
    Lane(Int64Array),
    Texts(BinaryArray),
    Rows(kept::KeptRows),
}

impl Input {
    /// No more bytes than this are kept for all its rows, beyond those for each group.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Texts(texts) => {
                let ends = texts.value_offsets();
                let (first, last) = (ends.first().copied(), ends.last().copied());
                usize::try_from(last.unwrap_or(0) - first.unwrap_or(0)).unwrap_or(0)
            }
            Self::Rows(rows) => rows.bytes() * 2,
            _ => 0,
        }
    }
}
