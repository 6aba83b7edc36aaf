//! What does not fit into memory: which parts lie in files, and when they are read back.
//!
//! Nothing that comes out depends on it. What is late is decided when a row comes, of the row alone; a row waits only if
//! no sum can overflow with it; and whatever is to be given of a part is given once the rows that wait for it are in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use datafusion_common::{DataFusionError, Result};
use millstream_core::error::Error;
use millstream_core::operator::Chunks;

use super::aggregator::Aggregator;
use super::batch::Batch;
use super::bytes::{Reader, put_bytes};
use super::chunks;
use super::keys::unfit;
use super::part::{Aside, Part, State};
use super::saved::VERSION;
use super::spec::Aggregation;
use super::waiting::{Encoded, Form, are_rows};

/// Among so many parts keys are shared where state may spill: a part is read and written as a whole, and has to fit
/// into memory alone. More of them make smaller, and more, chunks of a checkpoint.
pub(super) const PARTS: usize = 32;
/// Rows may wait in this share of the bound, and as much is kept free when parts are written to files.
const WAITING: usize = 2;
const SPARE: usize = 8;
/// What is worked on may take this much, however small the bound is.
pub(super) const ALONE: usize = 1 << 20;
/// With so many chunks of rows in a checkpoint, all rows that wait are written as one.
const MANY: usize = 12;

/// What a view has that may spill.
pub(super) struct Spill {
    folder: Arc<Path>,
    form: Form,
    /// Rows that came for each part, of late.
    heat: Vec<u64>,
    told: Told,
}

/// Which rows that wait a checkpoint has.
#[derive(Default)]
struct Told {
    /// The number of the next chunk.
    next: u32,
    /// Which parts each chunk has rows of that wait.
    chunks: BTreeMap<u32, BTreeSet<u32>>,
    /// For each part, the first chunk whose rows wait.
    from: Vec<u32>,
    /// What the last snapshot said of this.
    notes: Vec<u8>,
}

impl Spill {
    /// For an aggregation that may, and whose keys can be shared among parts.
    pub(super) fn new(spec: &Aggregation) -> Result<Option<Self>> {
        let Some(folder) = spec.spill.clone().filter(|_| spec.spills()) else {
            return Ok(None);
        };
        let form = Form::new(&spec.input)?;
        let told = Told { from: vec![0; PARTS], ..Told::default() };
        Ok(Some(Self { folder, form, heat: vec![0; PARTS], told }))
    }
}

impl Aggregator {
    fn waiting_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.waiting.bytes()).sum()
    }

    /// Makes room for rows, and takes some out of the shares: those for parts that lie in files wait, and those with
    /// which a sum may overflow go into their parts, one part after the other. Returns what was not taken of these, by batch.
    pub(super) fn make_room(
        &mut self,
        batches: &[Batch],
        shares: &mut [Vec<Vec<u32>>],
    ) -> Result<Vec<Aside>> {
        let bound = self.bound();
        if self.waiting_bytes() > bound / WAITING {
            self.work_off(bound / WAITING / 2)?;
        }
        self.warm(shares);
        let mut asides: Vec<_> = batches.iter().map(|_| Aside::default()).collect();
        for part in 0..self.parts.len() {
            if !self.may_wait(part, batches, shares) {
                self.take_now(part, batches, shares, &mut asides)?;
            }
        }
        let mut encoded: Option<Vec<Encoded>> = None;
        let mut worked_off = false;
        loop {
            if encoded.is_none() && (0..self.parts.len()).any(|part| self.is_away(part)) {
                encoded = self.encode(batches)?;
            }
            let told = encoded.as_deref().unwrap_or_default();
            let beyond = self.beyond(batches, shares, told, bound);
            if beyond == 0 {
                break;
            }
            let heat = self.heat();
            let candidates = (0..self.parts.len()).filter(|p| self.may_wait(*p, batches, shares));
            let candidates = candidates.collect::<Vec<_>>();
            if self.relieve(beyond + bound / SPARE, candidates, |part| heat.get(part).copied())? {
                continue;
            }
            if worked_off || self.waiting_bytes() == 0 {
                let told = encoded.as_deref().unwrap_or_default();
                if self.beyond(batches, shares, told, bound.max(ALONE)) == 0 {
                    break;
                }
                return Err(self.full());
            }
            worked_off = true;
            self.work_off(0)?;
        }
        self.hold(batches, shares, encoded.as_deref().unwrap_or_default(), &mut asides);
        Ok(asides)
    }

    fn encode(&self, batches: &[Batch]) -> Result<Option<Vec<Encoded>>> {
        let Some(spill) = &self.spill else { return Ok(None) };
        batches.iter().map(|batch| spill.form.encode(batch)).collect::<Result<_>>().map(Some)
    }

    fn is_away(&self, part: usize) -> bool {
        self.parts.get(part).is_some_and(|part| part.away.is_some())
    }

    fn heat(&self) -> Vec<u64> {
        self.spill.as_ref().map(|spill| spill.heat.clone()).unwrap_or_default()
    }

    fn warm(&mut self, shares: &[Vec<Vec<u32>>]) {
        let Some(spill) = &mut self.spill else { return };
        for (part, heat) in spill.heat.iter_mut().enumerate() {
            *heat += shares.iter().filter_map(|s| s.get(part)).map(Vec::len).sum::<usize>() as u64;
        }
    }

    /// Whether no sum of a part can overflow with its rows, however they come.
    fn may_wait(&self, part: usize, batches: &[Batch], shares: &[Vec<Vec<u32>>]) -> bool {
        let Some(own) = self.parts.get(part) else { return false };
        let State::Panes(panes) = &own.state else { return false };
        let held = own.away.as_ref().map_or(panes.sums_max, |away| away.sums_max);
        if shares.iter().filter_map(|shares| shares.get(part)).all(Vec::is_empty) {
            return true;
        }
        let adds = batches.iter().zip(shares).map(|(batch, shares)| {
            batch.addend_max() * shares.get(part).map_or(0, Vec::len) as u128
        });
        held + own.waiting.adds + adds.sum::<u128>() <= i64::MAX.unsigned_abs().into()
    }

    /// By how much the rows are too many.
    fn beyond(
        &self,
        batches: &[Batch],
        shares: &[Vec<Vec<u32>>],
        encoded: &[Encoded],
        bound: usize,
    ) -> usize {
        let own = |part: usize| shares.iter().filter_map(move |shares| shares.get(part));
        let waits = (0..self.parts.len()).filter(|part| self.is_away(*part)).map(|part| {
            let rows = own(part).zip(encoded);
            rows.map(|(rows, encoded)| encoded.bytes(rows)).sum::<usize>()
        });
        let values: usize = batches.iter().map(Batch::bytes).sum();
        let held = self.held() + values + waits.sum::<usize>();
        let resident = || self.parts.iter().enumerate().filter(|(_, part)| part.away.is_none());
        let most = resident().map(|(n, part)| part.growth_max(own(n).map(Vec::len).sum()));
        if held + most.sum::<usize>() <= bound {
            return 0;
        }
        let growth = |exactly| -> usize {
            let growth = resident().map(|(n, part)| {
                let rows: Vec<_> = own(n).map(Vec::as_slice).collect();
                part.growth(batches, &rows, exactly)
            });
            growth.sum()
        };
        if held + growth(false) <= bound { 0 } else { (held + growth(true)).saturating_sub(bound) }
    }

    /// Has rows wait whose part lies in a file, but for those that are late.
    fn hold(
        &mut self,
        batches: &[Batch],
        shares: &mut [Vec<Vec<u32>>],
        encoded: &[Encoded],
        asides: &mut [Aside],
    ) {
        let batches = batches.iter().zip(encoded);
        for ((batch, encoded), (shares, aside)) in batches.zip(shares.iter_mut().zip(asides)) {
            for (part, rows) in self.parts.iter_mut().zip(shares) {
                if part.away.is_some() {
                    part.wait(batch, encoded, &std::mem::take(rows), &mut aside.late);
                }
            }
        }
    }

    /// Reads back the parts for which the most rows wait, until no more than `left` bytes of rows do.
    fn work_off(&mut self, left: usize) -> Result<()> {
        if let Some(spill) = &mut self.spill {
            spill.heat.iter_mut().for_each(|heat| *heat /= 2);
        }
        while self.waiting_bytes() > left {
            let fullest = (0..self.parts.len())
                .max_by_key(|part| self.parts.get(*part).map_or(0, |part| part.waiting.bytes()));
            let Some(fullest) = fullest.filter(|part| self.is_away(*part)) else { break };
            self.load(fullest, true)?;
            if self.held() > self.bound() {
                // The rows have become more in it than they were.
                self.relieve(1, vec![fullest], |part| part)?;
            }
        }
        Ok(())
    }

    /// Writes parts to files, those of the least rank first, until so many bytes are free; whether any was.
    fn relieve<R: Ord>(
        &mut self,
        bytes: usize,
        of: Vec<usize>,
        rank: impl Fn(usize) -> R,
    ) -> Result<bool> {
        let Some(folder) = self.spill.as_ref().map(|spill| spill.folder.clone()) else {
            return Ok(false);
        };
        let mut candidates = of;
        let size = |part: &usize| {
            let part = self.parts.get(*part).filter(|part| part.away.is_none());
            part.map_or(0, Part::bytes)
        };
        candidates.retain(|part| size(part) > 0);
        candidates.sort_by_key(|part| rank(*part));
        let (mut free, mut any) = (0, false);
        for part in candidates {
            if free >= bytes {
                break;
            }
            let Some(part) = self.parts.get_mut(part) else { break };
            let before = part.bytes();
            part.put_away(&self.layout, &folder).map_err(external)?;
            free += before.saturating_sub(part.bytes());
            any = true;
        }
        Ok(any)
    }

    /// Reads a part back, with the rows that wait for it, where others may have to make room. It fails when the part
    /// alone is too much, if more rows are to come.
    pub(super) fn load(&mut self, part: usize, more: bool) -> Result<()> {
        let Some(own) = self.parts.get(part).filter(|part| part.away.is_some()) else {
            return Ok(());
        };
        let needed = own.away.as_ref().map_or(0, |away| away.held) + own.waiting.bytes();
        if more && needed > self.bound().max(ALONE) {
            return Err(self.full());
        }
        self.make_room_beside(part, needed)?;
        let (Some(own), Some(spill)) = (self.parts.get_mut(part), &self.spill) else {
            return Ok(());
        };
        own.bring_back(&self.spec, &self.layout).map_err(external)?;
        let waiting = std::mem::take(&mut own.waiting);
        own.catch_up(&self.spec, &spill.form, waiting.all())?;
        own.waiting = waiting;
        own.waiting.clear();
        self.make_room_beside(part, 0)
    }

    /// Takes the rows of one part in.
    fn take_now(
        &mut self,
        part: usize,
        batches: &[Batch],
        shares: &mut [Vec<Vec<u32>>],
        asides: &mut [Aside],
    ) -> Result<()> {
        self.load(part, true)?;
        let rows: Vec<_> =
            shares.iter_mut().filter_map(|s| s.get_mut(part).map(std::mem::take)).collect();
        let own: Vec<_> = rows.iter().map(Vec::as_slice).collect();
        let values: usize = batches.iter().map(Batch::bytes).sum();
        let growth = self.parts.get(part).map_or(0, |p| p.growth(batches, &own, true)) + values;
        self.make_room_beside(part, growth)?;
        if self.held() + growth > self.bound().max(ALONE) {
            return Err(self.full());
        }
        let Some(part) = self.parts.get_mut(part) else { return Ok(()) };
        for ((batch, rows), aside) in batches.iter().zip(own).zip(asides) {
            let mut more = part.add(batch, rows)?;
            aside.late.append(&mut more.late);
            aside.refused.append(&mut more.refused);
        }
        Ok(())
    }

    /// Makes room for so many bytes more; all parts but one may go, those first that are given last after it.
    pub(super) fn make_room_beside(&mut self, part: usize, bytes: usize) -> Result<()> {
        let beyond = (self.held() + bytes).saturating_sub(self.bound());
        if beyond > 0 {
            let count = self.parts.len();
            let others = (0..count).filter(|other| *other != part).collect();
            self.relieve(beyond, others, |other| (part + count - other) % count)?;
        }
        Ok(())
    }

    /// The bytes that lie in files.
    #[cfg_attr(not(test), expect(dead_code, reason = "no seam asks yet how much a view holds"))]
    pub(crate) fn spilled(&self) -> u64 {
        let away = self.parts.iter().filter(|part| part.away.is_some());
        away.map(|part| part.store.written()).sum()
    }

    /// The chunks of rows that wait.
    pub(super) fn tell_waiting(&mut self, prefix: &str, out: &mut Chunks) {
        let Some(Spill { told, .. }) = &mut self.spill else { return };
        if told.chunks.len() >= MANY {
            self.parts.iter_mut().for_each(|part| part.waiting.anew());
        }
        let mut chunk = vec![VERSION];
        let mut parts = BTreeSet::new();
        for ((number, part), from) in (0..).zip(&mut self.parts).zip(&mut told.from) {
            if std::mem::take(&mut part.waiting.over) {
                *from = told.next;
            }
            let new = part.waiting.tell();
            if !new.is_empty() {
                chunk.extend_from_slice(&u32::to_le_bytes(number));
                put_bytes(&mut chunk, &new);
                parts.insert(number);
            }
        }
        let from = &told.from;
        told.chunks.retain(|chunk, parts| {
            let waits = |part: &u32| from.get(*part as usize).is_some_and(|from| from <= chunk);
            let lives = parts.iter().any(waits);
            if !lives {
                out.insert(format!("{prefix}{}", chunk_name(*chunk)), None);
            }
            lives
        });
        if !parts.is_empty() {
            out.insert(format!("{prefix}{}", chunk_name(told.next)), Some(Bytes::from(chunk)));
            told.chunks.insert(told.next, parts);
            told.next += 1;
        }
        let mut notes = vec![VERSION];
        notes.extend(told.from.iter().chain([&told.next]).flat_map(|n| n.to_le_bytes()));
        if told.next > 0 && notes != told.notes {
            out.insert(format!("{prefix}{NOTES}"), Some(Bytes::from(notes.clone())));
            told.notes = notes;
        }
    }

    /// Nothing waits that a checkpoint has.
    pub(super) fn forget_waiting(&mut self, next: u32) {
        if let Some(spill) = &mut self.spill {
            let from = vec![next; PARTS];
            spill.told = Told { next, from, ..Told::default() };
        }
    }
}

impl Part {
    /// Takes the rows in that waited for it when the checkpoint was made.
    pub(super) fn had_waiting(
        &mut self,
        spec: &Aggregation,
        left: &mut Left<'_>,
        number: usize,
    ) -> millstream_core::Result<()> {
        let Some(rows) = left.rows.remove(&number) else { return Ok(()) };
        let caught_up = Form::new(&spec.input)
            .and_then(|form| self.catch_up(spec, &form, rows.iter().copied()));
        caught_up.map_err(|e| chunks::unfit(NOTES).because(e))
    }

    /// Rows come while it lies in a file.
    fn wait(&mut self, batch: &Batch, encoded: &Encoded, rows: &[u32], late: &mut Vec<u32>) {
        let (State::Panes(panes), Some(away)) = (&self.state, &mut self.away) else { return };
        let mut sorted = panes.sort(batch, rows);
        late.append(&mut sorted.late);
        let mut all = vec![];
        for (pane, mut rows) in sorted.turns.into_iter().flat_map(|turn| turn.rows) {
            away.panes.insert(pane, ());
            if panes.lateness > 0 && panes.spans.ends(pane).0 <= panes.done {
                away.due = Some(i64::MIN);
            }
            all.append(&mut rows);
        }
        all.sort_unstable();
        self.waiting.push(batch, encoded, &all);
    }

    /// Takes rows in that have waited for it.
    pub(super) fn catch_up<'a>(
        &mut self,
        spec: &Aggregation,
        form: &'a Form,
        some: impl Iterator<Item = &'a [u8]> + 'a,
    ) -> Result<()> {
        let State::Panes(panes) = &self.state else { return Err(unfit()) };
        let shape = panes.shape.clone();
        for rows in form.decode(some) {
            let batch = Batch::new(spec, &shape, rows?)?;
            let all: Vec<_> = (0..batch.len()).collect();
            let aside = self.add(&batch, &all)?;
            if !(aside.late.is_empty() && aside.refused.is_empty()) {
                let what = "a row that waited is not taken any more";
                return Err(DataFusionError::Internal(what.into()));
            }
        }
        Ok(())
    }
}

/// Rows that wait, from the chunks of a checkpoint.
#[derive(Default)]
pub(super) struct Left<'a> {
    /// By part.
    pub rows: BTreeMap<usize, Vec<&'a [u8]>>,
    /// The chunks.
    pub names: Vec<String>,
    /// The number of the next one.
    pub next: u32,
}

/// Whether a chunk is one of rows that wait, or says which do.
pub(super) fn is_waiting(name: &str) -> bool {
    name.starts_with(NOTES)
}

impl<'a> Left<'a> {
    /// Whether all rows have found their part.
    pub(super) fn is_empty(&self) -> millstream_core::Result<()> {
        if self.rows.is_empty() { Ok(()) } else { Err(chunks::unfit(NOTES)) }
    }

    pub(super) fn read(chunks: &BTreeMap<&'a str, &'a Bytes>) -> Result<Self> {
        let mut left =
            Self { names: chunks.keys().map(|n| (*n).to_owned()).collect(), ..Self::default() };
        let Some(notes) = chunks.get(NOTES) else {
            return if chunks.is_empty() { Ok(left) } else { Err(unfit()) };
        };
        let mut reader = Reader(notes);
        let mut from = vec![];
        if reader.u8() != Some(VERSION) {
            return Err(unfit());
        }
        while !reader.is_empty() {
            from.push(reader.u32().ok_or_else(unfit)?);
        }
        left.next = from.pop().ok_or_else(unfit)?;
        for (name, chunk) in chunks.iter().filter(|(name, _)| **name != NOTES) {
            let number = name.strip_prefix(NOTES).and_then(|n| u32::from_str_radix(n, 16).ok());
            let number = number.ok_or_else(unfit)?;
            let mut reader = Reader(chunk);
            if reader.u8() != Some(VERSION) {
                return Err(unfit());
            }
            while !reader.is_empty() {
                let part = reader.u32().ok_or_else(unfit)? as usize;
                let rows = reader.bytes().ok_or_else(unfit)?;
                are_rows(rows)?;
                if *from.get(part).ok_or_else(unfit)? <= number {
                    left.rows.entry(part).or_default().push(rows);
                }
            }
        }
        Ok(left)
    }
}

const NOTES: &str = "b";

fn chunk_name(number: u32) -> String {
    format!("{NOTES}{number:08x}")
}

pub(super) fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}
