//! Rows that wait for the watermark, to be taken off in the order of event time, and of their coming where that is one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow_array::RecordBatch;
use datafusion_common::Result;

use super::piece::{Kind, MANY, PIECE, Piece, Place, gather, tier};
use crate::window::bytes::short;
use crate::window::keys::Keys;

/// Waiting rows.
pub(super) struct Pile {
    pub kind: Kind,
    /// In the order in which rows came, those of each in the order of time.
    heaps: Vec<Heap>,
    next: u32,
    /// Chunks of pieces that there are no more, by their ids.
    pub gone: Vec<u32>,
}

/// Rows of which the first have been taken off.
struct Heap {
    piece: Piece,
    from: usize,
}

impl Heap {
    fn left(&self) -> usize {
        self.piece.len() - self.from
    }

    fn time(&self, row: usize) -> i64 {
        self.piece.times().get(row).copied().unwrap_or(i64::MAX)
    }

    /// Where the rows before a time end.
    fn end(&self, limit: i64) -> usize {
        let rest = self.piece.times().get(self.from..).unwrap_or_default();
        self.from + rest.partition_point(|t| *t < limit)
    }
}

impl Pile {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, heaps: vec![], next: 0, gone: vec![] }
    }

    /// Rows as a piece of the pile, which are in the order of time.
    pub(super) fn piece(&self, keys: &Keys, batch: &RecordBatch) -> Result<Piece> {
        Piece::new(&self.kind, keys, batch, self.next)
    }

    /// Puts rows on the pile.
    pub(super) fn push(&mut self, keys: &Keys, piece: Piece) -> Result<()> {
        if piece.len() == 0 {
            return Ok(());
        }
        self.next = piece.id.max(self.next).wrapping_add(1);
        self.heaps.push(Heap { piece, from: 0 });
        // Small pieces are merged with those beside them.
        while let Some(from) = self.many() {
            self.merge(keys, from)?;
        }
        Ok(())
    }

    /// From where on there are many small pieces.
    fn many(&self) -> Option<usize> {
        let last = tier(self.heaps.last()?.left())?;
        let like = |h: &&Heap| tier(h.left()).is_some_and(|t| t <= last);
        let count = self.heaps.iter().rev().take_while(like).count();
        (count >= MANY).then(|| self.heaps.len() - count)
    }

    fn merge(&mut self, keys: &Keys, from: usize) -> Result<()> {
        let mut tail = Self { heaps: self.heaps.split_off(from), ..Self::new(self.kind.again()) };
        let places = tail.take(i64::MAX, usize::MAX);
        let merged = gather(&self.kind.schema, &tail.batches(), &wide(&places))?;
        for heap in tail.heaps {
            self.forget(&heap.piece);
        }
        let piece = Piece::new(&self.kind, keys, &merged, self.next)?;
        self.next = self.next.wrapping_add(1);
        self.heaps.push(Heap { piece, from: 0 });
        Ok(())
    }

    fn forget(&mut self, piece: &Piece) {
        if piece.saved {
            self.gone.push(piece.id);
        }
    }

    /// Takes off the next rows before a time, so many at most. Their places are good until `clear`.
    pub(super) fn take(&mut self, limit: i64, most: usize) -> Vec<Place> {
        let ends = self.heaps.iter().map(|h| h.end(limit)).collect::<Vec<_>>();
        let mut heads = BinaryHeap::new();
        for (number, (heap, end)) in self.heaps.iter().zip(&ends).enumerate() {
            if heap.from < *end {
                heads.push(Reverse((heap.time(heap.from), number)));
            }
        }
        let mut taken = vec![];
        while let Some(Reverse((_, number))) = heads.pop() {
            let next = heads.peek().map(|Reverse(next)| *next);
            let (Some(heap), Some(end)) = (self.heaps.get_mut(number), ends.get(number)) else {
                break;
            };
            let end = (*end).min(heap.from.saturating_add(most - taken.len()));
            // All that come before the next row of the others.
            let upto = match next {
                None => end,
                Some((time, other)) => {
                    let rows = heap.piece.times().get(heap.from..end).unwrap_or_default();
                    let own = |t: &i64| *t < time || (*t == time && number < other);
                    heap.from + rows.iter().take_while(|t| own(t)).count()
                }
            };
            let part = short(number);
            taken.extend((heap.from..upto).map(|row| (part, short(row))));
            heap.from = upto;
            if taken.len() >= most {
                break;
            }
            if upto < end {
                heads.push(Reverse((heap.time(upto), number)));
            }
        }
        taken
    }

    /// Lets go what was taken off.
    pub(super) fn clear(&mut self, keys: &Keys) -> Result<()> {
        let heaps = std::mem::take(&mut self.heaps);
        for mut heap in heaps {
            if heap.left() == 0 {
                self.forget(&heap.piece);
                continue;
            }
            if heap.from > heap.left() && heap.piece.len() >= MANY {
                // More is gone than left.
                let places = (heap.from..heap.piece.len()).map(|row| (0, row)).collect::<Vec<_>>();
                let batch = gather(&self.kind.schema, &[&heap.piece.batch], &places)?;
                self.forget(&heap.piece);
                heap = Heap { piece: Piece::new(&self.kind, keys, &batch, self.next)?, from: 0 };
                self.next = self.next.wrapping_add(1);
            }
            self.heaps.push(heap);
        }
        Ok(())
    }

    pub(super) fn piece_at(&self, part: u32) -> Option<&Piece> {
        self.heaps.get(part as usize).map(|h| &h.piece)
    }

    /// All batches, by the numbers of places.
    pub(super) fn batches(&self) -> Vec<&RecordBatch> {
        self.heaps.iter().map(|h| &h.piece.batch).collect()
    }

    /// So many rows wait.
    pub(super) fn len(&self) -> usize {
        self.heaps.iter().map(Heap::left).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.heaps.iter().map(|h| h.piece.bytes).sum()
    }

    /// So many rows have no chunk.
    pub(super) fn changed(&self) -> usize {
        self.heaps.iter().filter(|h| !h.piece.saved).map(Heap::left).sum()
    }

    /// Pieces that have no chunk, from now on they have one; only the rows that are left.
    pub(super) fn unsaved(&mut self) -> Vec<(u32, RecordBatch)> {
        let unsaved = self.heaps.iter_mut().filter(|h| !h.piece.saved);
        let unsaved = unsaved.map(|h| {
            h.piece.saved = true;
            (h.piece.id, h.piece.batch.slice(h.from, h.left()))
        });
        unsaved.collect()
    }

    /// The ids of all pieces in their order, and the next one.
    pub(super) fn ids(&self) -> (u32, Vec<u32>) {
        (self.next, self.heaps.iter().map(|h| h.piece.id).collect())
    }

    /// The pile of these pieces, without the rows before a time.
    pub(super) fn again(
        kind: Kind,
        keys: &Keys,
        pieces: Vec<(u32, RecordBatch)>,
        next: u32,
        limit: i64,
    ) -> Result<Self> {
        let mut pile = Self { next, ..Self::new(kind) };
        for (id, batch) in pieces {
            let mut piece = Piece::new(&pile.kind, keys, &batch, id)?;
            if !piece.times().is_sorted() {
                return Err(super::piece::unfit());
            }
            piece.saved = true;
            let mut heap = Heap { piece, from: 0 };
            heap.from = heap.end(limit);
            pile.heaps.push(heap);
        }
        Ok(pile)
    }
}

/// Places as `interleave` wants them.
pub(super) fn wide(places: &[Place]) -> Vec<(usize, usize)> {
    places.iter().map(|(part, row)| (*part as usize, *row as usize)).collect()
}

/// So many rows are made at once.
pub(super) const ROWS: usize = PIECE;
