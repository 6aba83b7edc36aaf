//! The account of one block: which rows came from where, and what was refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use millstream_core::codec::{Decoded, RefusedRecord, RefusedRow};

/// Counts rows and keeps what is refused while a block is decoded.
#[derive(Debug, Default)]
pub(super) struct Tally<'a> {
    /// Rows that are refused though they fit, by ordinal.
    barred: Option<&'a BTreeMap<u32, String>>,
    starts: Vec<u32>,
    /// Ordinals of good rows, once they are no longer 0, 1, 2…
    ordinals: Option<Vec<u32>>,
    /// Rows found, refused ones included.
    found: u32,
    good: u32,
    refused: Vec<RefusedRow>,
    refused_records: Vec<RefusedRecord>,
}

/// A place to return to when a record turns out to be refused whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    found: u32,
    good: u32,
    refused: usize,
}

impl<'a> Tally<'a> {
    /// An account in which these rows are refused though they fit.
    pub(super) fn barring(barred: &'a BTreeMap<u32, String>) -> Self {
        let barred = Some(barred).filter(|b| !b.is_empty());
        Self { barred, ..Self::default() }
    }

    /// Why the row that was just decoded is refused all the same.
    #[inline(always)]
    pub(super) fn is_barred(&self) -> Option<&'a str> {
        self.barred?.get(&self.found).map(String::as_str)
    }

    /// The next record begins.
    pub(super) fn record(&mut self) -> Mark {
        self.starts.push(self.found);
        self.mark()
    }

    /// A row was decoded.
    #[inline(always)]
    pub(super) fn good(&mut self) {
        if let Some(ordinals) = &mut self.ordinals {
            ordinals.push(self.found);
        }
        self.found += 1;
        self.good += 1;
    }

    /// A row was refused.
    pub(super) fn refuse(&mut self, bytes: Bytes, reason: String) {
        if self.ordinals.is_none() {
            self.ordinals = Some((0..self.good).collect());
        }
        self.refused.push(RefusedRow { ordinal: self.found, bytes, reason });
        self.found += 1;
    }

    /// A place to return to.
    pub(super) fn mark(&self) -> Mark {
        Mark { found: self.found, good: self.good, refused: self.refused.len() }
    }

    /// Forgets what came after `mark`, and says how many rows were good before it.
    pub(super) fn undo(&mut self, mark: Mark) -> usize {
        self.found = mark.found;
        self.good = mark.good;
        self.refused.truncate(mark.refused);
        if let Some(ordinals) = &mut self.ordinals {
            ordinals.truncate(mark.good as usize);
        }
        mark.good as usize
    }

    /// The record at hand is refused whole.
    pub(super) fn refuse_record(&mut self, reason: String) {
        let record = u32::try_from(self.starts.len() - 1).unwrap_or(u32::MAX);
        self.refused_records.push(RefusedRecord { record, reason });
    }

    /// Rows found since `mark`, refused ones included.
    pub(super) fn since(&self, mark: Mark) -> u32 {
        self.found - mark.found
    }

    /// The whole account.
    pub(super) fn finish(self, batch: RecordBatch) -> Decoded {
        let dense = self.refused.is_empty();
        Decoded {
            batch,
            starts: self.starts.into(),
            ordinals: self.ordinals.filter(|_| !dense).map(Arc::from),
            refused: self.refused,
            refused_records: self.refused_records,
        }
    }
}
