//! The latest row of each key.
//!
//! A key has a slot, which says where its row is: in the pile that it has just been taken off, or in a piece kept here. Pieces
//! are not changed: a row whose key has a later one is dead, and goes when its piece is written anew.

use arrow_array::RecordBatch;
use datafusion_common::Result;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::piece::{Kind, MANY, PIECE, Piece, gather, tier, unfit};
use super::pile::Pile;
use crate::window::bytes::short;
use crate::window::keys::{Key, Keys};

/// Where the latest row of a key is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub time: i64,
    /// The number of a piece, with [`WAITS`] if it is one of the pile.
    pub part: u32,
    pub row: u32,
}

/// The piece is one of the pile.
pub(super) const WAITS: u32 = 1 << 31;

/// In place of a slot: the row is dead.
const DEAD: u32 = u32::MAX;

pub(super) struct Latest {
    kind: Kind,
    index: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    parts: Vec<Option<Kept>>,
    /// Slots whose rows are in the pile.
    touched: Vec<u32>,
    next: u32,
    /// Chunks of pieces that there are no more, by their ids.
    pub gone: Vec<u32>,
    /// Rows before this are gone.
    swept: i64,
    empty: RecordBatch,
}

/// A piece, the slot of each row, and how many are not dead.
struct Kept {
    piece: Piece,
    slots: Vec<u32>,
    live: usize,
}

/// So many dead rows, besides one for two live ones, are too many.
const DEAD_MAX: usize = 1_024;

/// The key of a slot's row.
fn key<'a>(
    slots: &[Slot],
    parts: &'a [Option<Kept>],
    pile: &'a Pile,
    slot: u32,
) -> Option<Key<'a>> {
    let slot = slots.get(slot as usize)?;
    let piece = match slot.part & WAITS {
        0 => &parts.get(slot.part as usize)?.as_ref()?.piece,
        _ => pile.piece_at(slot.part & !WAITS)?,
    };
    piece.key(slot.row)
}

/// The row is dead.
fn kill(parts: &mut [Option<Kept>], slot: Slot) {
    let Some(Some(kept)) = parts.get_mut(slot.part as usize) else { return };
    if let Some(own) = kept.slots.get_mut(slot.row as usize)
        && *own != DEAD
    {
        *own = DEAD;
        kept.live -= 1;
    }
}

impl Latest {
    pub(super) fn new(kind: Kind) -> Self {
        let empty = RecordBatch::new_empty(kind.schema.clone());
        Self {
            kind,
            index: HashTable::new(),
            slots: vec![],
            free: vec![],
            parts: vec![],
            touched: vec![],
            next: 0,
            gone: vec![],
            swept: i64::MIN,
            empty,
        }
    }

    /// The row of the pile is the latest of its key.
    pub(super) fn put(&mut self, pile: &Pile, part: u32, row: u32) {
        let Some(piece) = pile.piece_at(part) else { return };
        let Some(own) = piece.key(row) else { return };
        let new = Slot { time: piece.time(row), part: part | WAITS, row };
        self.set(own, new, pile);
    }

    fn set(&mut self, own: Key<'_>, new: Slot, pile: &Pile) {
        let (slots, parts) = (&self.slots, &self.parts);
        let same = |slot: &u32| key(slots, parts, pile, *slot) == Some(own);
        let hash = |slot: &u32| key(slots, parts, pile, *slot).map_or(0, Key::hash);
        match self.index.entry(own.hash(), same, hash) {
            Entry::Occupied(entry) => {
                let number = *entry.get();
                let Some(slot) = self.slots.get_mut(number as usize) else { return };
                let before = std::mem::replace(slot, new);
                if before.part & WAITS == 0 {
                    kill(&mut self.parts, before);
                    self.touched.push(number);
                }
            }
            Entry::Vacant(entry) => {
                let number = match self.free.pop() {
                    Some(number) => number,
                    None => {
                        self.slots.push(new);
                        short(self.slots.len() - 1)
                    }
                };
                entry.insert(number);
                if let Some(slot) = self.slots.get_mut(number as usize) {
                    *slot = new;
                }
                self.touched.push(number);
            }
        }
    }

    /// The latest row of a key.
    pub(super) fn get(&self, own: Key<'_>, pile: &Pile) -> Option<Slot> {
        let (slots, parts) = (&self.slots, &self.parts);
        let same = |slot: &u32| key(slots, parts, pile, *slot) == Some(own);
        let number = self.index.find(own.hash(), same)?;
        self.slots.get(*number as usize).copied()
    }

    /// Takes the rows that are in the pile over.
    pub(super) fn settle(&mut self, keys: &Keys, pile: &Pile) -> Result<()> {
        let touched = std::mem::take(&mut self.touched);
        let batches = pile.batches();
        for some in touched.chunks(PIECE) {
            let slots = some.iter().filter_map(|s| self.slots.get(*s as usize));
            let places = slots.map(|s| ((s.part & !WAITS) as usize, s.row as usize));
            let batch = gather(&self.kind.schema, &batches, &places.collect::<Vec<_>>())?;
            self.keep(keys, &batch, some.to_vec())?;
        }
        Ok(())
    }

    /// Keeps rows as those of these slots.
    fn keep(&mut self, keys: &Keys, batch: &RecordBatch, slots: Vec<u32>) -> Result<()> {
        let piece = Piece::new(&self.kind, keys, batch, self.next)?;
        self.next = self.next.wrapping_add(1);
        self.place(piece, slots);
        Ok(())
    }

    fn place(&mut self, piece: Piece, slots: Vec<u32>) {
        let part = self.parts.iter().position(Option::is_none).unwrap_or(self.parts.len());
        for (row, number) in slots.iter().enumerate() {
            if let Some(slot) = self.slots.get_mut(*number as usize) {
                (slot.part, slot.row) = (short(part), short(row));
            }
        }
        let live = slots.len();
        let kept = Some(Kept { piece, slots, live });
        match self.parts.get_mut(part) {
            Some(hole) => *hole = kept,
            None => self.parts.push(kept),
        }
    }

    /// Lets go the rows before a time, now and then: once that has moved by a part of `span`.
    pub(super) fn expire(&mut self, before: i64, span: i64, pile: &Pile) {
        let due = self.swept.saturating_add((span / 8).max(1));
        if self.index.is_empty() || before < due {
            self.swept = if self.index.is_empty() { before } else { self.swept };
            return;
        }
        self.swept = before;
        let (slots, parts, free) = (&self.slots, &mut self.parts, &mut self.free);
        self.index.retain(|number| {
            let Some(slot) = slots.get(*number as usize) else { return false };
            let stays = slot.time >= before;
            if !stays {
                kill(parts, *slot);
                free.push(*number);
            }
            stays
        });
        // The order of the index is no order.
        self.free.sort_unstable();
        self.shrink(pile);
    }

    /// Gives back the room of keys that there are no more.
    fn shrink(&mut self, pile: &Pile) {
        if self.slots.len() < DEAD_MAX || self.index.len() > self.slots.len() / 4 {
            return;
        }
        let mut slots: Vec<Slot> = Vec::with_capacity(self.index.len());
        for number in &mut self.index {
            slots.extend(self.slots.get(*number as usize));
            *number = short(slots.len() - 1);
        }
        for (number, slot) in slots.iter().enumerate() {
            if let Some(Some(kept)) = self.parts.get_mut(slot.part as usize)
                && let Some(own) = kept.slots.get_mut(slot.row as usize)
            {
                *own = short(number);
            }
        }
        (self.slots, self.free) = (slots, vec![]);
        let (slots, parts) = (&self.slots, &self.parts);
        self.index.shrink_to(0, |slot| key(slots, parts, pile, *slot).map_or(0, Key::hash));
    }

    /// Nothing is left.
    pub(super) fn clear(&mut self) {
        let gone = self.parts.iter().flatten().filter(|kept| kept.piece.saved);
        let mut gone = gone.map(|kept| kept.piece.id).collect();
        self.gone.append(&mut gone);
        let (next, gone) = (self.next, std::mem::take(&mut self.gone));
        *self = Self { next, gone, ..Self::new(self.kind.again()) };
    }

    /// Writes anew what has many dead rows or is small.
    pub(super) fn tidy(&mut self, keys: &Keys) -> Result<()> {
        loop {
            let chosen = self.chosen();
            if chosen.is_empty() {
                return Ok(());
            }
            let mut taken = vec![];
            for number in chosen {
                taken.extend(self.parts.get_mut(number).and_then(Option::take));
            }
            let mut places = vec![];
            let mut slots = vec![];
            for (part, kept) in taken.iter().enumerate() {
                if kept.piece.saved {
                    self.gone.push(kept.piece.id);
                }
                let live = kept.slots.iter().enumerate().filter(|(_, slot)| **slot != DEAD);
                for (row, slot) in live {
                    places.push((part, row));
                    slots.push(*slot);
                }
            }
            let batches = taken.iter().map(|k| &k.piece.batch).collect::<Vec<_>>();
            for (places, slots) in places.chunks(PIECE).zip(slots.chunks(PIECE)) {
                let batch = gather(&self.kind.schema, &batches, places)?;
                self.keep(keys, &batch, slots.to_vec())?;
            }
            while self.parts.last().is_some_and(Option::is_none) {
                self.parts.pop();
            }
        }
    }

    /// The pieces to be written anew.
    fn chosen(&self) -> Vec<usize> {
        let all = || self.parts.iter().enumerate().filter_map(|(i, k)| Some((i, k.as_ref()?)));
        let dead = all().map(|(_, k)| k.slots.len() - k.live).sum::<usize>();
        if dead > self.index.len() / 2 + DEAD_MAX {
            // At least one has that many dead ones.
            let some = |k: &Kept| (k.slots.len() - k.live) * 3 > k.slots.len();
            return all().filter(|(_, k)| some(k)).map(|(i, _)| i).collect();
        }
        let mut tiers: [Vec<usize>; 4] = Default::default();
        for (i, kept) in all() {
            if let Some(tier) = tier(kept.live).and_then(|t| tiers.get_mut(t)) {
                tier.push(i);
            }
        }
        tiers.into_iter().find(|tier| tier.len() >= MANY).unwrap_or_default()
    }

    /// All batches, by the numbers of pieces.
    pub(super) fn batches(&self) -> Vec<&RecordBatch> {
        self.parts.iter().map(|k| k.as_ref().map_or(&self.empty, |k| &k.piece.batch)).collect()
    }

    /// So many keys have a row.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let parts = self.parts.iter().flatten();
        let parts = parts.map(|k| k.piece.bytes + k.slots.len() * size_of::<u32>());
        let slots = self.slots.capacity() * size_of::<Slot>();
        let numbers = self.free.capacity() + self.touched.capacity();
        let index = self.index.capacity() * (size_of::<u32>() + 1);
        parts.sum::<usize>() + slots + numbers * size_of::<u32>() + index
    }

    /// So many rows have no chunk.
    pub(super) fn changed(&self) -> usize {
        self.parts.iter().flatten().filter(|k| !k.piece.saved).map(|k| k.live).sum()
    }

    /// Pieces that have no chunk, from now on they have one; only the rows that are not dead.
    pub(super) fn unsaved(&mut self) -> Result<Vec<(u32, RecordBatch)>> {
        let schema = self.kind.schema.clone();
        let unsaved = self.parts.iter_mut().flatten().filter(|k| !k.piece.saved);
        let unsaved = unsaved.map(|k| {
            k.piece.saved = true;
            if k.live == k.slots.len() {
                return Ok((k.piece.id, k.piece.batch.clone()));
            }
            let live = k.slots.iter().enumerate().filter(|(_, slot)| **slot != DEAD);
            let places = live.map(|(row, _)| (0, row)).collect::<Vec<_>>();
            Ok((k.piece.id, gather(&schema, &[&k.piece.batch], &places)?))
        });
        unsaved.collect()
    }

    /// The next id.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// The latest rows of these pieces.
    pub(super) fn again(
        kind: Kind,
        keys: &Keys,
        pieces: Vec<(u32, RecordBatch)>,
        next: u32,
        pile: &Pile,
    ) -> Result<Self> {
        let mut latest = Self { next, ..Self::new(kind) };
        for (id, batch) in pieces {
            let mut piece = Piece::new(&latest.kind, keys, &batch, id)?;
            piece.saved = true;
            latest.read(piece, pile)?;
        }
        Ok(latest)
    }

    /// Puts back a piece, of whose rows others may be later.
    fn read(&mut self, piece: Piece, pile: &Pile) -> Result<()> {
        let part = short(self.parts.len());
        let rows = short(piece.len());
        let times = piece.times().to_vec();
        let slots = vec![DEAD; piece.len()];
        self.parts.push(Some(Kept { piece, slots, live: 0 }));
        for (row, time) in (0..rows).zip(times) {
            let own = self.parts.get(part as usize).and_then(Option::as_ref);
            let own = own.and_then(|k| k.piece.key(row)).ok_or_else(unfit)?;
            let new = Slot { time, part, row };
            let hash = own.hash();
            let (slots, parts) = (&self.slots, &self.parts);
            let same = |slot: &u32| key(slots, parts, pile, *slot) == Some(own);
            let rehash = |slot: &u32| key(slots, parts, pile, *slot).map_or(0, Key::hash);
            let number = match self.index.entry(hash, same, rehash) {
                Entry::Occupied(entry) => {
                    let number = *entry.get();
                    let Some(slot) = self.slots.get_mut(number as usize) else { continue };
                    if slot.time >= time {
                        continue;
                    }
                    let before = std::mem::replace(slot, new);
                    kill(&mut self.parts, before);
                    number
                }
                Entry::Vacant(entry) => {
                    let number = short(self.slots.len());
                    entry.insert(number);
                    self.slots.push(new);
                    number
                }
            };
            if let Some(Some(kept)) = self.parts.get_mut(part as usize)
                && let Some(slot) = kept.slots.get_mut(row as usize)
            {
                *slot = number;
                kept.live += 1;
            }
        }
        Ok(())
    }
}
