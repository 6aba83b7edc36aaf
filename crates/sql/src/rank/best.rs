//! What is kept of one partition.

use std::hash::BuildHasher;

use crate::window::bytes::{Reader, put_bytes, short};

/// What a kept row takes beside its bytes: where it is, its length, and what the allocator adds.
pub(super) const ROW_BYTES: usize = 16 + 4 + 16;
/// What a partition takes beside its key and rows: with its place in the table, its chunk and the list of those that close.
pub(super) const PARTITION_BYTES: usize = size_of::<Best>() + 16 + 24;

/// One partition.
pub(super) struct Best {
    pub key: Box<[u8]>,
    /// The watermark at which it is complete, and what told.
    pub close: i64,
    /// The rows, best first: each its place in the order behind the length of that, and its values.
    pub rows: Vec<Box<[u8]>>,
    /// Places from here on have changed and were not given.
    pub from: u32,
}

/// No place has changed.
pub(super) const NONE: u32 = u32::MAX;

/// The place of a kept row in the order.
fn order_of(row: &[u8]) -> &[u8] {
    Reader(row).bytes().unwrap_or_default()
}

/// The values of a kept row.
pub(super) fn values_of(row: &[u8]) -> &[u8] {
    let mut reader = Reader(row);
    let _order = reader.bytes();
    reader.0
}

impl Best {
    /// What it takes beside [`PARTITION_BYTES`].
    pub(super) fn heap(&self) -> usize {
        let rows = self.rows.iter().map(|row| row.len() + ROW_BYTES).sum::<usize>();
        self.key.len() + rows
    }

    /// Whether a row is among the best.
    pub(super) fn beaten(&self, order: &[u8], count: usize) -> bool {
        // Of equal ones the first stays.
        self.rows.len() >= count && self.rows.last().is_some_and(|last| order_of(last) <= order)
    }

    /// Puts a row in its place; how many bytes more that is, and fewer.
    pub(super) fn put(&mut self, order: &[u8], values: &[u8], count: usize) -> (usize, usize) {
        let before = self.rows.iter().rev().take_while(|row| order_of(row) > order).count();
        let place = self.rows.len() - before;
        if place >= count {
            return (0, 0);
        }
        let mut row = Vec::with_capacity(4 + order.len() + values.len());
        put_bytes(&mut row, order);
        row.extend_from_slice(values);
        let more = row.len() + ROW_BYTES;
        self.rows.insert(place, row.into_boxed_slice());
        self.from = self.from.min(short(place));
        match if self.rows.len() > count { self.rows.pop() } else { None } {
            Some(last) => (more, last.len() + ROW_BYTES),
            None => (more, 0),
        }
    }
}

/// Whether bytes are a kept row, with values that a converter can read.
pub(super) fn is_row(row: &[u8]) -> bool {
    Reader(row).bytes().is_some()
}

pub(super) fn hash(key: &[u8]) -> u64 {
    foldhash::fast::FixedState::with_seed(0x7261_6E6B).hash_one(key)
}
