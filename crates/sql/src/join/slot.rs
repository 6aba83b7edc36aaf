//! Some thousands of rows that are kept one after the other.

use arrow_array::{Array, ArrayRef};
use arrow_select::concat::concat;
use datafusion_common::Result;

use super::read::{Columns, Form};

/// So many rows are in a slot that is full.
pub(super) const ROWS: usize = 1 << BITS;
pub(super) const BITS: u32 = 13;

/// Of so many rows it is known when they are, and how long they wait.
pub(super) const BLOCK: usize = 256;

/// No row.
pub(super) const NONE: u32 = u32::MAX;
/// In place of the row before it: a row that is in no bucket.
pub(super) const LOST: u32 = u32::MAX - 1;

/// By what a row is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub hash: u32,
    /// The one before it in the same bucket.
    pub next: u32,
}

/// What is known of the times of some rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// No row up to its end, in its slot or before that, waits longer.
    pub upto: i64,
    /// None of its rows waits longer.
    pub most: i64,
    /// None of its rows is earlier.
    pub least: i64,
}

impl Block {
    /// Whether some of its rows may match one of this time, which waits so long.
    pub(super) fn may_match(&self, time: i64, until: i64) -> bool {
        self.least <= until && self.most >= time
    }
}

/// Rows, of which those that came together stand together until the slot is full.
pub(super) struct Slot {
    /// Each with the place of its first row.
    pieces: Vec<(usize, Columns)>,
    pub links: Vec<Link>,
    /// One bit a row: it has matched some row of the other side.
    marks: Vec<u64>,
    /// No row waits longer than this.
    pub most: i64,
    /// Times of its rows, by blocks of so many.
    pub blocks: Vec<Block>,
    /// No row is earlier than this.
    pub earliest: i64,
    /// No row that is yet to come out by itself does so before this.
    pub least: i64,
    bytes: usize,
    /// So many rows are in a checkpoint, or on their way to one, in chunks that begin with these rows.
    pub saved: usize,
    pub chunks: Vec<usize>,
    /// Marks were made that no checkpoint has.
    pub marked: bool,
    /// A checkpoint has marks.
    pub marks_saved: bool,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            pieces: vec![],
            links: vec![],
            marks: vec![],
            most: i64::MIN,
            blocks: vec![],
            earliest: i64::MAX,
            least: i64::MAX,
            bytes: 0,
            saved: 0,
            chunks: vec![],
            marked: false,
            marks_saved: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn room(&self) -> usize {
        ROWS - self.len()
    }

    /// No row in this slot or before it waits longer than this.
    pub(super) fn longest(&self) -> i64 {
        self.blocks.last().map_or(i64::MIN, |block| block.upto)
    }

    /// No row up to this one, in this slot or before it, waits longer than this.
    pub(super) fn longest_upto(&self, row: usize) -> i64 {
        self.blocks.get(row / BLOCK).map_or(i64::MAX, |block| block.upto)
    }

    /// Adds the link of a row of this time that waits so long, where those before it wait as long as `longest` at most.
    pub(super) fn link(&mut self, link: Link, time: i64, deadline: i64, longest: i64) {
        self.most = self.most.max(deadline);
        self.least = self.least.min(deadline);
        self.earliest = self.earliest.min(time);
        let upto = longest.max(deadline);
        match self.blocks.last_mut() {
            Some(block) if !self.links.len().is_multiple_of(BLOCK) => {
                block.upto = upto;
                block.most = block.most.max(deadline);
                block.least = block.least.min(time);
            }
            _ => self.blocks.push(Block { upto, most: deadline, least: time }),
        }
        self.links.push(link);
    }

    /// Adds columns of rows, for which the links are there already.
    pub(super) fn add(&mut self, form: &Form, columns: &[ArrayRef]) -> Result<()> {
        let rows = columns.first().map_or(0, |c| c.len());
        if rows == 0 {
            return Ok(());
        }
        let mut from = self.len() - rows;
        let mut with = self.pieces.len();
        let mut size = rows;
        let full = self.room() == 0;
        // Small pieces become one, so that there are few, and each row is copied a few times at most.
        while let Some((start, last)) = with.checked_sub(1).and_then(|i| self.pieces.get(i)) {
            if !full && size * 2 < last.len() {
                break;
            }
            (from, size, with) = (*start, size + last.len(), with - 1);
        }
        let joined = self.pieces.split_off(with);
        let all = columns.iter().enumerate().map(|(i, column)| {
            let before = joined.iter().filter_map(|(_, p)| p.kept.get(i)).map(AsRef::as_ref);
            // What is a slice of more is copied, not held.
            let empty = column.slice(0, 0);
            let all = before.chain([column.as_ref(), empty.as_ref()]).collect::<Vec<&dyn Array>>();
            Ok(concat(&all)?)
        });
        let columns = form.columns(all.collect::<Result<Vec<_>>>()?)?;
        self.pieces.push((from, columns));
        self.bytes = self.pieces.iter().map(|(_, p)| held(p)).sum();
        Ok(())
    }

    /// Where a row is.
    pub(super) fn find(&self, row: usize) -> Option<(usize, usize, &Columns)> {
        let at = match self.pieces.len() {
            1 => 0,
            _ => self.pieces.partition_point(|(from, _)| *from <= row).checked_sub(1)?,
        };
        let (from, columns) = self.pieces.get(at)?;
        Some((at, row - from, columns))
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &Columns> {
        self.pieces.iter().map(|(_, columns)| columns)
    }

    /// The columns of all rows from one on.
    pub(super) fn columns(&self, from: usize) -> Result<Vec<ArrayRef>> {
        let count = self.pieces.first().map_or(0, |(_, p)| p.kept.len());
        let column = |i: usize| {
            let parts = self.pieces.iter().filter(|(start, p)| start + p.len() > from);
            let parts = parts.filter_map(|(start, p)| {
                let skip = from.saturating_sub(*start);
                Some(p.kept.get(i)?.slice(skip, p.len() - skip))
            });
            let parts = parts.collect::<Vec<_>>();
            Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
        };
        (0..count).map(column).collect()
    }

    pub(super) fn is_marked(&self, row: usize) -> bool {
        self.marks.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Marks a row; whether it was not yet.
    pub(super) fn mark(&mut self, row: usize) -> bool {
        if self.marks.len() <= row / 64 {
            self.marks.resize(row / 64 + 1, 0);
        }
        let Some(word) = self.marks.get_mut(row / 64) else { return false };
        let new = *word >> (row % 64) & 1 == 0;
        *word |= 1 << (row % 64);
        self.marked |= new;
        new
    }

    pub(super) fn marks(&self) -> &[u64] {
        &self.marks
    }

    pub(super) fn set_marks(&mut self, marks: Vec<u64>) {
        self.marks = marks;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
            + self.links.capacity() * std::mem::size_of::<Link>()
            + self.marks.capacity() * 8
            + self.blocks.capacity() * std::mem::size_of::<Block>()
            + std::mem::size_of::<Self>()
    }
}

fn held(columns: &Columns) -> usize {
    let kept = columns.kept.iter().map(|c| c.get_buffer_memory_size()).sum::<usize>();
    kept + columns.beside
}
