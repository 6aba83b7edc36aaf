//! State as chunks, and back.
//!
//! `m` has what the state is for, the number of the next chunk, and the groups that changed and were not given yet; `s.<run>` the
//! states of some groups; `d<table>.<run>` some of the distinct values that are counted.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::error::Result;
use millstream_core::operator::Chunks;

use super::part::Running;
use crate::window::bytes::{Reader, put, put_bytes};
use crate::window::chunks::unfit;
use crate::window::groups::Groups;
use crate::window::saved::VERSION;

fn of_groups(run: u32) -> String {
    format!("s.{run:08x}")
}

fn of_pairs(table: usize, run: u32) -> String {
    format!("d{table}.{run:08x}")
}

impl Running {
    /// Chunks that changed since the last time.
    pub(super) fn tell(&mut self, prefix: &str, out: &mut Chunks) {
        out.extend(self.gone.drain(..).map(|name| (format!("{prefix}{name}"), None)));
        let name = |run| format!("{prefix}{}", of_groups(run));
        let mut saved = std::mem::take(&mut self.groups.saved);
        let (groups, expiry) = (&self.groups, &self.expiry);
        saved.write(&mut self.next_run, name, out, |some, to| {
            groups.save(some, to);
            if let Some(expiry) = expiry {
                some.iter().for_each(|group| put(to, expiry.last(*group).cast_unsigned()));
            }
        });
        self.groups.saved = saved;
        for (table, pairs) in self.pairs.iter_mut().enumerate() {
            let name = |run| format!("{prefix}{}", of_pairs(table, run));
            let mut saved = std::mem::take(&mut pairs.saved);
            saved.write(&mut self.next_run, name, out, |some, to| pairs.save(some, to));
            pairs.saved = saved;
        }
        let notes = self.notes();
        if notes != self.notes {
            out.insert(format!("{prefix}m"), Some(Bytes::from(notes.clone())));
            self.notes = notes;
        }
    }

    fn notes(&self) -> Vec<u8> {
        let mut notes = vec![VERSION];
        put_bytes(&mut notes, self.layout.as_bytes());
        notes.extend_from_slice(&self.next_run.to_le_bytes());
        let changed = self.changed.iter();
        for group in changed.filter(|g| self.is_changed.get(**g as usize) == Some(&true)) {
            notes.extend_from_slice(&group.to_le_bytes());
        }
        notes
    }

    fn read_notes(&mut self, chunk: &[u8]) -> Option<()> {
        let mut reader = Reader(chunk);
        if reader.u8()? != VERSION || reader.bytes()? != self.layout.as_bytes() {
            return None;
        }
        self.next_run = reader.u32()?;
        while !reader.is_empty() {
            self.changed.push(reader.u32()?);
        }
        self.notes = chunk.to_vec();
        Some(())
    }

    /// Takes back what chunks have.
    pub(super) fn read_chunks(&mut self, chunks: &[(&str, &Bytes)]) -> Result<()> {
        let mut runs: BTreeMap<Option<usize>, BTreeMap<u32, &[u8]>> = BTreeMap::new();
        for (name, chunk) in chunks {
            let fits = if *name == "m" {
                self.read_notes(chunk)
            } else {
                place(name).map(|(table, run)| {
                    runs.entry(table).or_default().insert(run, chunk.as_ref());
                })
            };
            fits.ok_or_else(|| unfit(name))?;
        }
        if self.notes.is_empty() && !runs.is_empty() {
            return Err(unfit("m"));
        }
        for (table, chunks) in &runs {
            let (fits, name) = match table {
                None => (self.read_groups(chunks), "s".to_owned()),
                Some(at) => {
                    (self.pairs.get_mut(*at).and_then(|p| p.load(chunks)), format!("d{at}"))
                }
            };
            fits.ok_or_else(|| unfit(&name))?;
        }
        self.is_changed = vec![false; self.groups.len()];
        for group in &self.changed {
            let changed = self.is_changed.get_mut(*group as usize).ok_or_else(|| unfit("m"))?;
            *changed = true;
        }
        Ok(())
    }

    fn read_groups(&mut self, chunks: &BTreeMap<u32, &[u8]>) -> Option<()> {
        let mut lasts: Vec<Option<i64>> = vec![];
        let timed = self.expiry.is_some();
        self.groups = Groups::read_with(&self.shape, chunks, |groups, reader| {
            for group in groups.iter().filter(|_| timed) {
                let at = usize::try_from(*group).ok()?;
                lasts.resize(lasts.len().max(at + 1), None);
                *lasts.get_mut(at)? = Some(reader.i64()?);
            }
            Some(())
        })?;
        let all = 0..u32::try_from(self.groups.len()).ok()?;
        let retired = all.filter(|group| self.groups.is_retired(*group)).collect::<Vec<_>>();
        self.retired = retired.len();
        if let Some(expiry) = &mut self.expiry {
            for group in retired {
                *lasts.get_mut(group as usize)? = None;
            }
            expiry.set(lasts);
        }
        Some(())
    }

    /// All chunks of groups and pairs go: they get other numbers.
    pub(super) fn forget_chunks(&mut self) {
        self.gone.extend(self.groups.saved.numbers().map(of_groups));
        for (table, pairs) in self.pairs.iter().enumerate() {
            self.gone.extend(pairs.saved.numbers().map(|run| of_pairs(table, run)));
        }
    }
}

/// The table of distinct values, none for the groups, and the run of a chunk.
fn place(name: &str) -> Option<(Option<usize>, u32)> {
    let (table, run) = name.split_once('.')?;
    let run = u32::from_str_radix(run, 16).ok()?;
    if table == "s" {
        return Some((None, run));
    }
    Some((Some(table.strip_prefix('d')?.parse().ok()?), run))
}
