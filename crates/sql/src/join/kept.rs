//! The rows of one side that wait for others, by numbers in the order in which they came.

use std::collections::VecDeque;

use arrow_array::ArrayRef;
use arrow_array::{Array, UInt32Array};
use datafusion_common::Result;

use super::read::{Columns, Form};
use super::slot::{BITS, BLOCK, LOST, Link, NONE, ROWS, Slot};

/// Rows that wait, those that came first in front.
pub(super) struct Kept {
    pub form: Form,
    pub(super) slots: VecDeque<Slot>,
    /// The number of the first slot.
    pub(super) first: u32,
    /// The slot from which rows are counted.
    origin: u32,
    /// The last row of each bucket; empty, or a power of two.
    buckets: Vec<u32>,
    rows: usize,
    /// Rows that are yet to come out by themselves are among them.
    waits: bool,
    /// Rows that are marked are needed no more.
    tells: bool,
    /// What was done since the rows were last gone through.
    credit: usize,
    /// Chunks that are no more.
    pub gone: Vec<String>,
}

/// Once so many slots have gone they are counted anew, so that rows have numbers of 32 bits.
const SLOTS_MAX: u32 = 1 << (30 - BITS);
/// Fewer rows are not worth to be put together anew.
const FEW: usize = 1_024;
/// Each time that event time passes counts for so many rows.
const CREDIT: usize = 256;

/// Whether a row that waits up to `deadline` waits no more.
pub(super) fn is_past(deadline: i64, upto: i64) -> bool {
    deadline < upto || upto == i64::MAX
}

impl Kept {
    pub(super) fn new(form: Form, waits: bool, tells: bool) -> Self {
        let slots = VecDeque::new();
        let (buckets, gone) = (vec![], vec![]);
        Self { form, slots, first: 0, origin: 0, buckets, rows: 0, waits, tells, credit: 0, gone }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes of all that is held.
    pub(super) fn bytes(&self) -> usize {
        self.slots.iter().map(Slot::bytes).sum::<usize>() + self.buckets.capacity() * 4
    }

    /// No more bytes than this are needed for so many rows more, beside those of their columns.
    pub(super) fn growth(&self, rows: usize) -> usize {
        let buckets = (self.rows + rows).next_power_of_two().saturating_sub(self.buckets.len());
        rows * std::mem::size_of::<Link>() + buckets * 4
    }

    fn id(&self, slot: u32, row: usize) -> u32 {
        ((slot - self.origin) << BITS) | u32::try_from(row).unwrap_or(0)
    }

    /// The slot of a row, unless that has gone, and its place there.
    pub(super) fn place(&self, id: u32) -> Option<(usize, usize)> {
        let slot = (id >> BITS).checked_sub(self.first - self.origin)?;
        Some((slot as usize, id as usize & (ROWS - 1)))
    }

    /// A row that is kept.
    pub(super) fn slot(&self, id: u32) -> Option<(&Slot, usize)> {
        let (slot, row) = self.place(id)?;
        Some((self.slots.get(slot)?, row))
    }

    pub(super) fn slot_at(&self, slot: usize) -> Option<&Slot> {
        self.slots.get(slot)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (self.first..).zip(&self.slots)
    }

    /// Marks a row; whether it was not yet.
    pub(super) fn mark(&mut self, id: u32) -> bool {
        let Some((slot, row)) = self.place(id) else { return false };
        self.slots.get_mut(slot).is_some_and(|slot| slot.mark(row))
    }

    /// The last row of the bucket of a hash.
    pub(super) fn head(&self, hash: u32) -> u32 {
        self.bucket(hash).and_then(|b| self.buckets.get(b)).copied().unwrap_or(NONE)
    }

    fn bucket(&self, hash: u32) -> Option<usize> {
        Some(hash as usize & self.buckets.len().checked_sub(1)?)
    }

    /// The last row of a hash up to this one that may match one of this time, which waits until then; `NONE` if there is none.
    ///
    /// It looks at one block of rows: if none there has the hash it is not known.
    pub(super) fn nearer(&self, id: u32, hash: u32, time: i64, until: i64) -> Option<u32> {
        let (mut at, mut row) = self.place(id)?;
        loop {
            let slot = self.slots.get(at)?;
            let block = slot.blocks.get(row / BLOCK)?;
            if block.upto < time {
                return Some(NONE);
            }
            let start = row / BLOCK * BLOCK;
            if block.may_match(time, until) {
                let links = slot.links.get(start..=row)?;
                let there = |link: &Link| link.hash == hash && link.next != LOST;
                let place = start + links.iter().rposition(there)?;
                return Some(self.id(self.first + u32::try_from(at).ok()?, place));
            }
            if let Some(before) = start.checked_sub(1).filter(|_| slot.earliest <= until) {
                row = before;
                continue;
            }
            let Some(before) = at.checked_sub(1) else { return Some(NONE) };
            at = before;
            row = self.slots.get(at)?.len().checked_sub(1)?;
        }
    }

    /// Leaves out a row of a bucket: the one before it, which is `next`, follows that after it, or is the last.
    pub(super) fn skip(&mut self, hash: u32, after: Option<u32>, next: u32) {
        let link = match after {
            Some(after) => self.place(after).and_then(|(slot, row)| {
                self.slots.get_mut(slot)?.links.get_mut(row).map(|link| &mut link.next)
            }),
            None => self.bucket(hash).and_then(|b| self.buckets.get_mut(b)),
        };
        if let Some(link) = link {
            *link = next;
        }
    }

    /// Keeps rows, which get numbers one after the other from the one given back on. Those without a hash are found by nobody.
    pub(super) fn add(
        &mut self,
        columns: &Columns,
        hashes: &[u32],
        none: Option<&[bool]>,
    ) -> Result<u32> {
        let len = columns.len();
        self.make_room(len);
        let mut first = None;
        let mut at = 0;
        let mut longest = self.slots.back().map_or(i64::MIN, Slot::longest);
        while at < len {
            if self.slots.back().is_none_or(|s| s.room() == 0) {
                self.slots.push_back(Slot::new());
            }
            let number = self.first + u32::try_from(self.slots.len()).unwrap_or(1) - 1;
            let base = self.id(number, 0);
            let mask = self.buckets.len() - 1;
            let Some(slot) = self.slots.back_mut() else { break };
            let from = slot.len();
            let rows = slot.room().min(len - at);
            slot.links.reserve_exact(rows);
            for row in at..at + rows {
                let hash = hashes.get(row).copied().unwrap_or_default();
                let id = base + u32::try_from(slot.links.len()).unwrap_or(0);
                let found = none.is_none_or(|none| !none.get(row).copied().unwrap_or(false));
                let next = match self.buckets.get_mut(hash as usize & mask).filter(|_| found) {
                    Some(head) => std::mem::replace(head, id),
                    None => LOST,
                };
                let time = self.form.time(columns, row).unwrap_or(i64::MIN);
                let deadline = self.form.deadline(columns, row);
                slot.link(Link { hash, next }, time, deadline, longest);
                longest = slot.longest();
            }
            let kept = columns.kept.iter().map(|c| c.slice(at, rows)).collect::<Vec<_>>();
            slot.add(&self.form, &kept)?;
            first.get_or_insert(base + u32::try_from(from).unwrap_or(0));
            at += rows;
        }
        self.rows += len;
        self.credit += len;
        Ok(first.unwrap_or(NONE))
    }

    /// Sees to it that there are buckets for so many rows more.
    fn make_room(&mut self, more: usize) {
        let wanted = (self.rows + more).next_power_of_two();
        if wanted > self.buckets.len() {
            self.buckets = vec![];
            self.buckets = vec![NONE; wanted];
            self.relink();
        }
    }

    /// Finds all rows anew by their hashes.
    fn relink(&mut self) {
        let mask = self.buckets.len().saturating_sub(1);
        let (first, origin) = (self.first, self.origin);
        for (number, slot) in (first..).zip(&mut self.slots) {
            let base = (number - origin) << BITS;
            for row in 0..slot.len() {
                let lost = self.tells && slot.is_marked(row);
                let found = !lost
                    && (self.form.nulls_equal
                        || slot.find(row).is_some_and(|(_, i, columns)| !columns.has_null(i)));
                let Some(link) = slot.links.get_mut(row) else { continue };
                let head = self.buckets.get_mut(link.hash as usize & mask).filter(|_| found);
                let id = base | u32::try_from(row).unwrap_or(0);
                link.next = head.map_or(LOST, |head| std::mem::replace(head, id));
            }
        }
    }

    /// Rows that wait no more as event time has come to `upto`, since it was at `from`, and have no mark: with their deadlines.
    pub(super) fn left_alone(&mut self, from: i64, upto: i64) -> Vec<(i64, u32)> {
        let mut found = vec![];
        if !self.waits {
            return found;
        }
        let origin = self.origin;
        for (number, slot) in (self.first..).zip(&mut self.slots) {
            if !is_past(slot.least, upto) {
                continue;
            }
            let base = (number - origin) << BITS;
            let (mut least, mut row) = (i64::MAX, 0);
            for piece in slot.pieces() {
                for i in 0..piece.len() {
                    let deadline = self.form.deadline(piece, i);
                    if !is_past(deadline, upto) {
                        least = least.min(deadline);
                    } else if !is_past(deadline, from) && !slot.is_marked(row) {
                        found.push((deadline, base | u32::try_from(row).unwrap_or(0)));
                    }
                    row += 1;
                }
            }
            slot.least = least;
        }
        found
    }

    /// Lets rows go that wait no more.
    pub(super) fn pass(&mut self, side: &str, upto: i64) -> Result<()> {
        while let Some(slot) = self.slots.front().filter(|s| is_past(s.most, upto)) {
            self.rows -= slot.len();
            let names = names(side, self.first, slot);
            self.gone.extend(names);
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() {
            self.origin = self.first;
            match self.buckets.len() > FEW {
                true => self.buckets = vec![],
                false => self.buckets.fill(NONE),
            }
            self.credit = 0;
            return Ok(());
        }
        if self.first - self.origin > SLOTS_MAX {
            self.origin = self.first;
            self.buckets.fill(NONE);
            self.relink();
        }
        self.credit += CREDIT;
        if self.credit >= self.rows && self.rows > FEW {
            self.credit = 0;
            self.gather(side, upto)?;
        }
        Ok(())
    }

    /// Puts the rows that still wait together anew, if they are fewer than those that do not.
    fn gather(&mut self, side: &str, upto: i64) -> Result<()> {
        let lives = |form: &Form, slot: &Slot, piece: &Columns, i: usize, row: usize| {
            let done = self.tells && slot.is_marked(row);
            !done && !is_past(form.deadline(piece, i), upto)
        };
        let mut live = vec![];
        let mut count = 0;
        for slot in &self.slots {
            let mut row = 0;
            let mut rows = vec![];
            for piece in slot.pieces() {
                for i in 0..piece.len() {
                    if lives(&self.form, slot, piece, i, row) {
                        rows.push(u32::try_from(row).unwrap_or(0));
                    }
                    row += 1;
                }
            }
            count += rows.len();
            live.push(rows);
        }
        let few = count * 4 < self.buckets.len() && self.buckets.len() > 4 * FEW;
        if count * 2 > self.rows && !few {
            return Ok(());
        }
        let old = std::mem::take(&mut self.slots);
        let next = self.first + u32::try_from(old.len()).unwrap_or(0);
        for (number, slot) in (self.first..).zip(&old) {
            self.gone.extend(names(side, number, slot));
        }
        (self.first, self.origin, self.rows) = (next, next, 0);
        self.buckets = vec![];
        self.make_room(count);
        for (slot, rows) in old.iter().zip(&live) {
            self.take_over(slot, rows)?;
        }
        self.credit = 0;
        Ok(())
    }

    /// Keeps rows of a slot that was kept before.
    fn take_over(&mut self, slot: &Slot, rows: &[u32]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let index = UInt32Array::from(rows.to_vec());
        let kept = slot.columns(0)?;
        let kept = kept.iter().map(|c| Ok(arrow_select::take::take(c.as_ref(), &index, None)?));
        let columns = self.form.columns(kept.collect::<Result<Vec<ArrayRef>>>()?)?;
        let links = rows.iter().filter_map(|row| slot.links.get(*row as usize));
        let hashes = links.map(|link| link.hash).collect::<Vec<_>>();
        let nulls = (0..columns.len()).map(|row| !self.form.nulls_equal && columns.has_null(row));
        let nulls = nulls.collect::<Vec<_>>();
        let first = self.add(&columns, &hashes, Some(&nulls))?;
        for (i, row) in rows.iter().enumerate() {
            if slot.is_marked(*row as usize) {
                self.mark(first + u32::try_from(i).unwrap_or(0));
            }
        }
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.buckets = vec![];
        (self.first, self.origin, self.rows, self.credit) = (0, 0, 0, 0);
        self.gone.clear();
    }

    /// Has rows begin with a slot of this number.
    pub(super) fn begin_at(&mut self, slot: u32) {
        (self.first, self.origin) = (slot, slot);
    }

    /// The rows of a slot of a checkpoint, one after the other.
    pub(super) fn read_slot(&mut self, number: u32, parts: &[(usize, Columns)]) -> Result<bool> {
        // A slot is full when the next one begins.
        let next = self.first + u32::try_from(self.slots.len()).unwrap_or(0);
        if number != next || self.slots.back().is_some_and(|s| s.room() > 0) {
            return Ok(false);
        }
        for (start, columns) in parts {
            let have = self.slots.back().filter(|_| *start > 0).map_or(0, Slot::len);
            if *start != have || have + columns.len() > ROWS || columns.len() == 0 {
                return Ok(false);
            }
            let (hashes, none) = columns.hashes(self.form.nulls_equal);
            self.add(columns, &hashes, none.as_deref())?;
            if let Some(slot) = self.slots.back_mut() {
                slot.chunks.push(*start);
                slot.saved = slot.len();
            }
        }
        Ok(!parts.is_empty())
    }
}

/// The names of the chunks that a slot has.
pub(super) fn names(side: &str, number: u32, slot: &Slot) -> Vec<String> {
    let chunks = slot.chunks.iter().map(|from| format!("{side}{number}.{from}"));
    let marks = slot.marks_saved.then(|| format!("{side}{number}m"));
    chunks.chain(marks).collect()
}
