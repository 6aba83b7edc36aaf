//! State as chunks, and back.
//!
//! `m` has what the state is for, the number of the next chunk, up to where windows were given, and what is to be given anew; `p<pane>.<run>` and
//! `s.<run>` the states of some groups; `r<end>` a window that is closed and not yet given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::error::{Error, Result};
use millstream_core::operator::Chunks;

use super::aggregator::{Aggregator, State};
use super::bytes::{Reader, put, put_bytes, short};
use super::groups::{Groups, Shape};
use super::panes::{self, Panes};
use super::saved::VERSION;
use super::sessions;

impl Aggregator {
    /// Chunks that changed since the last time, under names that begin with `prefix`.
    pub(crate) fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> Result<()> {
        let next = &mut self.next_run;
        let named = |name: String| format!("{prefix}{name}");
        match &mut self.state {
            State::Panes(panes) => {
                out.extend(panes.gone.drain(..).map(|name| (named(name), None)));
                for (pane, groups) in &mut panes.panes {
                    let mut saved = std::mem::take(&mut groups.saved);
                    let name = |run| named(panes::name(*pane, run));
                    saved.write(next, name, out, |group, to| groups.save(group, to));
                    groups.saved = saved;
                }
                for end in panes.ready_new.split_off(&i64::MIN) {
                    if let Some(groups) = panes.ready.get(&end) {
                        out.insert(named(panes::ready_name(end)), Some(whole(groups)));
                    }
                }
                panes.weigh();
            }
            State::Sessions(sessions) => {
                out.extend(sessions.gone.drain(..).map(|name| (named(name), None)));
                let mut saved = std::mem::take(&mut sessions.saved);
                let name = |run| named(sessions::name(run));
                saved.write(next, name, out, |number, to| sessions.save(number, to));
                sessions.saved = saved;
            }
        }
        let notes = self.notes();
        if notes != self.notes {
            out.insert(named("m".into()), Some(Bytes::from(notes.clone())));
            self.notes = notes;
        }
        Ok(())
    }

    fn notes(&self) -> Vec<u8> {
        let mut notes = vec![VERSION];
        put_bytes(&mut notes, self.layout.as_bytes());
        notes.extend_from_slice(&self.next_run.to_le_bytes());
        if let State::Panes(panes) = &self.state {
            put(&mut notes, panes.done.cast_unsigned());
            for (end, keys) in &panes.redo {
                put(&mut notes, end.cast_unsigned());
                notes.extend_from_slice(&short(keys.len()).to_le_bytes());
                keys.iter().for_each(|key| put_bytes(&mut notes, key));
            }
        }
        notes
    }

    /// Goes back to the state that these chunks have, by their names behind the prefix.
    pub(crate) fn restore<'a>(
        &mut self,
        chunks: impl Iterator<Item = (&'a str, &'a Bytes)>,
    ) -> Result<()> {
        self.state = State::new(&self.spec, &self.shape);
        (self.next_run, self.notes) = (0, vec![]);
        let mut runs: BTreeMap<Option<i64>, BTreeMap<u32, &[u8]>> = BTreeMap::new();
        for (name, chunk) in chunks {
            let fits = match name.split_at_checked(1) {
                Some(("m", "")) => self.read_notes(chunk),
                Some(("r", end)) => end.parse().ok().and_then(|end| self.read_ready(end, chunk)),
                Some(("p" | "s", rest)) => place(rest).map(|(pane, run)| {
                    runs.entry(pane).or_default().insert(run, chunk);
                }),
                _ => None,
            };
            fits.ok_or_else(|| unfit(name))?;
        }
        if self.notes.is_empty() && !runs.is_empty() {
            return Err(unfit("m"));
        }
        for (pane, chunks) in runs {
            let fits = match (&mut self.state, pane) {
                (State::Panes(panes), Some(pane)) => {
                    Groups::read(&self.shape, &chunks).map(|groups| {
                        panes.sums_max += groups.sums_max;
                        panes.panes.insert(pane, groups);
                    })
                }
                (State::Sessions(sessions), None) => sessions.read(&chunks),
                _ => None,
            };
            let name = pane.map_or_else(|| "s".into(), |pane| format!("p{pane}"));
            fits.ok_or_else(|| unfit(&name))?;
        }
        if let State::Panes(panes) = &mut self.state {
            panes.weigh();
        }
        Ok(())
    }

    fn read_notes(&mut self, chunk: &[u8]) -> Option<()> {
        let mut reader = Reader(chunk);
        if reader.u8()? != VERSION || reader.bytes()? != self.layout.as_bytes() {
            return None;
        }
        self.next_run = reader.u32()?;
        if let State::Panes(panes) = &mut self.state {
            panes.done = reader.i64()?;
            while !reader.is_empty() {
                let end = reader.i64()?;
                let keys = (0..reader.u32()?).map(|_| reader.bytes().map(Box::from));
                panes.redo.insert(end, keys.collect::<Option<BTreeSet<_>>>()?);
            }
        }
        self.notes = chunk.to_vec();
        reader.is_empty().then_some(())
    }

    fn read_ready(&mut self, end: i64, chunk: &[u8]) -> Option<()> {
        let State::Panes(panes) = &mut self.state else { return None };
        panes.ready.insert(end, read_whole(&self.shape, chunk)?);
        Some(())
    }
}

/// The pane and the run of a chunk.
fn place(name: &str) -> Option<(Option<i64>, u32)> {
    let (pane, run) = name.split_once('.')?;
    let pane = if pane.is_empty() { None } else { Some(pane.parse().ok()?) };
    Some((pane, u32::from_str_radix(run, 16).ok()?))
}

/// All groups as one chunk.
fn whole(groups: &Groups) -> Bytes {
    let mut chunk = vec![VERSION];
    let mut entry = vec![];
    for group in 0..short(groups.len()) {
        entry.clear();
        groups.save(group, &mut entry);
        chunk.extend_from_slice(&group.to_le_bytes());
        put_bytes(&mut chunk, &entry);
    }
    Bytes::from(chunk)
}

fn read_whole(shape: &Arc<Shape>, chunk: &[u8]) -> Option<Groups> {
    let mut groups = Groups::read(shape, &BTreeMap::from([(0, chunk)]))?;
    groups.saved = super::saved::Saved::default();
    Some(groups)
}

impl Panes {
    /// The chunk of a window that was put aside goes, if there is one.
    pub(super) fn forget_ready(&mut self, end: i64) {
        if self.ready.remove(&end).is_some() && !self.ready_new.remove(&end) {
            self.gone.push(panes::ready_name(end));
        }
    }
}

fn unfit(name: &str) -> Error {
    Error::stop(format!(
        "the chunk of state `{name}` was not made by this view, or by another version"
    ))
    .fix("let the view be built anew from the log")
}
