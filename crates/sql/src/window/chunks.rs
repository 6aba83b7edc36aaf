//! State as chunks, and back.
//!
//! `m` has what the state is for, the number of the next chunk, up to where windows were given, and what is to be given anew; `p<pane>.<run>` and
//! `s.<run>` the states of some groups; `r<end>` a window that is closed and not yet given. Where several parts share the
//! keys, the names begin with `<part>of<parts>/`. `b<number>` has rows that wait for parts which lie in files, and `b` says
//! which of these still do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::error::{Error, Result};
use millstream_core::operator::Chunks;

use super::aggregator::Aggregator;
use super::bytes::{Reader, put, put_bytes, put_sized, short};
use super::groups::{Groups, Shape};
use super::panes::{self, Panes};
use super::part::{Part, State};
use super::saved::{VERSION, chunk};
use super::sessions;
use super::spill::{Left, is_waiting};
use crate::view::stop;

/// Chunks of one part, by their names in it.
type Named<'a> = BTreeMap<&'a str, &'a Bytes>;

impl Aggregator {
    /// Chunks that changed since the last time, under names that begin with `prefix`.
    ///
    /// # Errors
    /// A part that lies in a file cannot be read.
    pub(crate) fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> Result<()> {
        out.extend(self.gone.drain(..).map(|name| (format!("{prefix}{name}"), None)));
        let layout = self.layout.clone();
        let chunks = self.each(true, move |_, part| part.tell(&layout));
        let count = chunks.len();
        for (number, chunks) in chunks.into_iter().enumerate() {
            let prefix = format!("{prefix}{}", prefix_of(number, count));
            out.extend(chunks?.into_iter().map(|(name, chunk)| (format!("{prefix}{name}"), chunk)));
        }
        self.tell_waiting(prefix, out);
        Ok(())
    }

    /// Goes back to the state that these chunks have, by their names behind the prefix.
    pub(crate) fn restore<'a>(
        &mut self,
        chunks: impl Iterator<Item = (&'a str, &'a Bytes)>,
    ) -> Result<()> {
        let mut parts: BTreeMap<(usize, usize), Named<'_>> = BTreeMap::new();
        let mut waiting = Named::new();
        for (name, chunk) in chunks {
            if is_waiting(name) {
                waiting.insert(name, chunk);
                continue;
            }
            let (part, own) = part_named(name).ok_or_else(|| unfit(name))?;
            parts.entry(part).or_default().insert(own, chunk);
        }
        let mut left = Left::read(&waiting).map_err(|e| unfit("b").because(e))?;
        self.giving = None;
        self.gone = std::mem::take(&mut left.names);
        self.forget_waiting(left.next);
        for part in &mut self.parts {
            *part = Part::new(&self.spec, &self.shape);
        }
        let count = self.parts.len();
        if parts.keys().all(|(_, of)| *of == count) {
            for ((number, _), chunks) in parts {
                let part = self.parts.get_mut(number).ok_or_else(|| unfit("m"))?;
                part.restore(&self.layout, &self.shape, &chunks)?;
                part.had_waiting(&self.spec, &mut left, number)?;
                self.make_room_beside(number, 0).map_err(stop)?;
            }
            return left.is_empty();
        }
        // As many threads shared the keys as there are no more.
        let mut before = vec![];
        for ((number, of), chunks) in parts {
            let mut part = Part::new(&self.spec, &self.shape);
            part.restore(&self.layout, &self.shape, &chunks)?;
            part.had_waiting(&self.spec, &mut left, number)?;
            before.push(part);
            let prefix = prefix_of(number, of);
            self.gone.extend(chunks.keys().map(|name| format!("{prefix}{name}")));
        }
        left.is_empty()?;
        self.share_out(before).map_err(|e| unfit("m").because(e))?;
        self.make_room_beside(0, 0).map_err(stop)
    }
}

/// What names of chunks of a part begin with.
fn prefix_of(part: usize, parts: usize) -> String {
    if parts == 1 { String::new() } else { format!("{part}of{parts}/") }
}

/// The part, of how many, and the rest of a name.
fn part_named(name: &str) -> Option<((usize, usize), &str)> {
    let Some((part, own)) = name.split_once('/') else { return Some(((0, 1), name)) };
    let (part, of) = part.split_once("of")?;
    Some(((part.parse().ok()?, of.parse().ok()?), own))
}

impl Part {
    /// Chunks that changed since the last time.
    pub(super) fn snapshot(&mut self, layout: &str) -> Chunks {
        let mut out = Chunks::new();
        let next = &mut self.next_run;
        match &mut self.state {
            State::Panes(panes) => {
                out.extend(panes.gone.drain(..).map(|name| (name, None)));
                for (pane, groups) in &mut panes.panes {
                    let mut saved = std::mem::take(&mut groups.saved);
                    let name = |run| panes::name(*pane, run);
                    saved.write(next, name, &mut out, |some, to| groups.save(some, to));
                    groups.saved = saved;
                }
                for end in panes.ready_new.split_off(&i64::MIN) {
                    if let Some(groups) = panes.ready.get(&end) {
                        out.insert(panes::ready_name(end), Some(whole(groups)));
                    }
                }
                panes.weigh();
            }
            State::Sessions(sessions) => {
                out.extend(sessions.gone.drain(..).map(|name| (name, None)));
                let mut saved = std::mem::take(&mut sessions.saved);
                let save = |numbers: &[u32], to: &mut Vec<u8>| {
                    for number in numbers {
                        put_sized(to, |to| sessions.save(*number, to));
                    }
                };
                saved.write(next, sessions::name, &mut out, save);
                sessions.saved = saved;
            }
        }
        let notes = self.notes(layout);
        if notes != self.notes {
            out.insert("m".into(), Some(Bytes::from(notes.clone())));
            self.notes = notes;
        }
        out
    }

    fn notes(&self, layout: &str) -> Vec<u8> {
        let mut notes = vec![VERSION];
        put_bytes(&mut notes, layout.as_bytes());
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

    pub(super) fn restore(
        &mut self,
        layout: &str,
        shape: &Arc<Shape>,
        chunks: &Named<'_>,
    ) -> Result<()> {
        let mut runs: BTreeMap<Option<i64>, BTreeMap<u32, &[u8]>> = BTreeMap::new();
        for (name, chunk) in chunks {
            let fits = match name.split_at_checked(1) {
                Some(("m", "")) => self.read_notes(layout, chunk),
                Some(("r", end)) => {
                    end.parse().ok().and_then(|end| self.read_ready(end, shape, chunk))
                }
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
                (State::Panes(panes), Some(pane)) => Groups::read(shape, &chunks).map(|groups| {
                    panes.sums_max += groups.sums_max;
                    panes.panes.insert(pane, groups);
                }),
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

    fn read_notes(&mut self, layout: &str, chunk: &[u8]) -> Option<()> {
        let mut reader = Reader(chunk);
        if reader.u8()? != VERSION || reader.bytes()? != layout.as_bytes() {
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

    fn read_ready(&mut self, end: i64, shape: &Arc<Shape>, chunk: &[u8]) -> Option<()> {
        let State::Panes(panes) = &mut self.state else { return None };
        panes.ready.insert(end, read_whole(shape, chunk)?);
        Some(())
    }
}

/// The pane and the run of a chunk.
pub(super) fn place(name: &str) -> Option<(Option<i64>, u32)> {
    let (pane, run) = name.split_once('.')?;
    let pane = if pane.is_empty() { None } else { Some(pane.parse().ok()?) };
    Some((pane, u32::from_str_radix(run, 16).ok()?))
}

/// All groups as one chunk.
pub(super) fn whole(groups: &Groups) -> Bytes {
    let all: Vec<_> = (0..short(groups.len())).collect();
    chunk(&all, &mut |some, to| groups.save(some, to))
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

pub(crate) fn unfit(name: &str) -> Error {
    Error::stop(format!(
        "the chunk of state `{name}` was not made by this view, or by another version"
    ))
    .fix("let the view be built anew from the log")
}
