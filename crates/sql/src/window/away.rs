//! Parts that lie in a file: out of memory, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::error::Result;
use millstream_core::operator::Chunks;

use super::chunks::whole;
use super::panes::{self, Panes};
use super::part::{Part, State};
use super::scratch::Scratch;
use super::spec::Aggregation;

/// What one pane of a part that lies in a file takes in memory.
const PANE_BYTES: usize = 48;

/// What is known in memory of a part that lies in a file.
pub(super) struct Away {
    /// Its panes, and those of rows that wait for it.
    pub panes: BTreeMap<i64, ()>,
    /// The first end of the windows that were put aside or are to be given anew; the least moment, if rows that wait
    /// may make some due anew.
    pub due: Option<i64>,
    /// No sum over panes is beyond this.
    pub sums_max: u128,
    pub groups: usize,
    /// What it holds in memory.
    pub held: usize,
}

impl Away {
    fn of(panes: &Panes) -> Self {
        let ready = panes.ready.keys().next();
        let redo = panes.redo.keys().next();
        Self {
            panes: panes.panes.keys().map(|pane| (*pane, ())).collect(),
            due: ready.into_iter().chain(redo).min().copied(),
            sums_max: panes.sums_max,
            groups: panes.panes.values().map(super::groups::Groups::len).sum(),
            held: panes.bytes(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.panes.len() * PANE_BYTES
    }
}

/// Chunks of a part, on their way to a checkpoint, or to be read back.
#[derive(Default)]
pub(super) struct Store {
    scratch: Option<Scratch>,
    /// What the next checkpoint has to be told.
    pending: BTreeMap<String, Change>,
}

/// What became of a chunk since the last checkpoint.
struct Change {
    now: Now,
    /// The checkpoint does not have one of this name.
    fresh: bool,
}

enum Now {
    Gone,
    Bytes(Bytes),
    /// In the scratch file.
    Written,
}

impl Store {
    fn change(&mut self, name: String, chunk: Option<Bytes>) {
        let fresh = self.pending.remove(&name).map(|before| before.fresh);
        let (now, fresh) = match chunk {
            Some(bytes) => (Now::Bytes(bytes), fresh.unwrap_or(true)),
            None if fresh == Some(true) => return,
            None => (Now::Gone, false),
        };
        self.pending.insert(name, Change { now, fresh });
    }

    /// All that a checkpoint has to be told, with these changes, which are the latest. When it fails, nothing is lost.
    fn tell(&mut self, latest: Chunks) -> Result<Chunks> {
        latest.into_iter().for_each(|(name, chunk)| self.change(name, chunk));
        let written = self.pending.values().any(|change| matches!(change.now, Now::Written));
        let all = match &self.scratch {
            Some(scratch) if written => scratch.all()?,
            _ => BTreeMap::new(),
        };
        let changes = std::mem::take(&mut self.pending).into_iter();
        let told = changes.map(|(name, change)| {
            let chunk = match change.now {
                Now::Gone => None,
                Now::Bytes(bytes) => Some(bytes),
                // A copy: a piece would hold all of the file.
                Now::Written => all.get(&name).map(|chunk| Bytes::copy_from_slice(chunk)),
            };
            (name, chunk)
        });
        Ok(told.collect())
    }

    /// Writes the chunks of these names, as far as they are not written yet.
    fn write(
        &mut self,
        folder: &Arc<Path>,
        names: &BTreeSet<String>,
        chunk: impl Fn(&str) -> Bytes,
    ) -> Result<()> {
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::new(folder)?),
        };
        let mut missing = vec![];
        for name in names {
            match self.pending.get(name).map(|change| &change.now) {
                Some(Now::Bytes(bytes)) => missing.push((name.clone(), Some(bytes.clone()))),
                // Runs have names of their own; another chunk may have been told since, under the name of one before.
                _ if !scratch.has(name) || !name.starts_with('p') => {
                    missing.push((name.clone(), None))
                }
                _ => {}
            }
        }
        let chunks = missing.into_iter().map(|(name, bytes)| {
            let bytes = bytes.unwrap_or_else(|| chunk(&name));
            (name, bytes)
        });
        scratch.put(chunks)?;
        scratch.keep(names)?;
        for change in self.pending.values_mut() {
            if matches!(change.now, Now::Bytes(_)) {
                change.now = Now::Written;
            }
        }
        Ok(())
    }

    /// The bytes on disk.
    pub(super) fn written(&self) -> u64 {
        self.scratch.as_ref().map_or(0, Scratch::bytes)
    }
}

impl Part {
    /// What a checkpoint has to be told. Whatever lies in the file stays there.
    pub(super) fn tell(&mut self, layout: &str) -> Result<Chunks> {
        let latest = if self.away.is_some() { Chunks::new() } else { self.snapshot(layout) };
        self.store.tell(latest)
    }

    /// Writes it to a file. When that fails, it is what it was.
    pub(super) fn put_away(&mut self, layout: &str, folder: &Arc<Path>) -> Result<()> {
        let changes = self.snapshot(layout);
        changes.into_iter().for_each(|(name, chunk)| self.store.change(name, chunk));
        let State::Panes(panes) = &mut self.state else { return Ok(()) };
        let notes = &self.notes;
        let names = names(panes);
        self.store.write(folder, &names, |name| match name {
            "m" => Bytes::copy_from_slice(notes),
            _ => chunk(panes, name).unwrap_or_default(),
        })?;
        self.away = Some(Away::of(panes));
        let mut empty = Panes::new(panes.spans, panes.lateness, panes.shape.clone());
        empty.done = panes.done;
        **panes = empty;
        Ok(())
    }

    /// Reads it back, but for rows that wait. When that fails, it is what it was.
    pub(super) fn bring_back(&mut self, spec: &Aggregation, layout: &str) -> Result<()> {
        let (Some(_), Some(scratch), State::Panes(empty)) =
            (&self.away, &self.store.scratch, &mut self.state)
        else {
            return Ok(());
        };
        let chunks = scratch.all()?;
        let chunks = chunks.iter().map(|(name, chunk)| (name.as_str(), chunk)).collect();
        let shape = empty.shape.clone();
        let mut back = Self::new(spec, &shape);
        back.restore(layout, &shape, &chunks)?;
        if let State::Panes(panes) = &mut back.state {
            panes.done = empty.done;
        }
        (self.state, self.next_run, self.notes) = (back.state, back.next_run, back.notes);
        self.away = None;
        Ok(())
    }

    /// The end of the next window to give at this watermark. Of a part that lies in a file it may be a later one, when
    /// the rows that wait for it are in.
    pub(super) fn next(&self, watermark: i64) -> Option<i64> {
        let State::Panes(panes) = &self.state else { return Some(watermark) };
        let Some(away) = &self.away else { return panes.next(watermark) };
        let new = panes.spans.next(&away.panes, panes.done);
        new.into_iter().chain(away.due).min().filter(|end| *end <= watermark)
    }

    /// Whether it lies in a file, and something of it goes at this watermark.
    pub(super) fn goes(&self, watermark: i64) -> bool {
        let (State::Panes(panes), Some(away)) = (&self.state, &self.away) else { return false };
        let closed = watermark.saturating_sub(panes.lateness);
        let first = away.panes.keys().next();
        watermark == i64::MAX || first.is_some_and(|first| panes.spans.ends(*first).1 <= closed)
    }
}

/// The chunks that a part is made of, when nothing has changed since the last were made.
fn names(panes: &Panes) -> BTreeSet<String> {
    let runs = panes
        .panes
        .iter()
        .flat_map(|(pane, groups)| groups.saved.numbers().map(|run| panes::name(*pane, run)));
    let ready = panes.ready.keys().map(|end| panes::ready_name(*end));
    runs.chain(ready).chain([String::from("m")]).collect()
}

/// One of these anew.
fn chunk(panes: &Panes, name: &str) -> Option<Bytes> {
    let (kind, rest) = name.split_at_checked(1)?;
    if kind == "r" {
        return panes.ready.get(&rest.parse().ok()?).map(whole);
    }
    let (pane, run) = super::chunks::place(rest)?;
    let groups = panes.panes.get(&pane?)?;
    groups.saved.again(run, |group, to| groups.save(group, to))
}
