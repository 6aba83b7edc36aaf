//! State in chunks: rows that wait (`w…`), keys that changed (`k…`), and notes (`m`).

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::operator::Chunks;

use super::analyst::Analyst;
use crate::view::stop;
use crate::window::bytes::{Reader, put, put_bytes, put_sized};
use crate::window::chunks::unfit;
use crate::window::saved::Saved;

/// The first byte of the notes.
const VERSION: u8 = 1;

impl Analyst {
    /// What the state is for, so that no other is taken for it.
    fn layout(&self) -> String {
        let keys = self.spec.keys.iter().map(|(_, field)| field.data_type().to_string());
        let calls = self.spec.calls.iter().map(|c| c.kind.to_string());
        let all = keys.chain(calls).collect::<Vec<_>>().join(", ");
        format!("{:?} {all} {:?}", self.spec.frames, self.spec.forget)
    }

    pub(super) fn store(&mut self, prefix: &str, out: &mut Chunks) -> millstream_core::Result<()> {
        self.waiting.snapshot(prefix, out).map_err(stop)?;
        for run in self.gone.drain(..) {
            out.insert(run_name(prefix, run), None);
        }
        let mut saved = std::mem::take(&mut self.saved);
        let mut next = self.next_run;
        saved.write(
            &mut next,
            |run| run_name(prefix, run),
            out,
            |groups, to| {
                groups.iter().for_each(|group| put_sized(to, |to| self.save(*group, to)));
            },
        );
        (self.saved, self.next_run) = (saved, next);
        let mut notes = vec![VERSION];
        put_bytes(&mut notes, self.layout().as_bytes());
        notes.extend_from_slice(&self.next_run.to_le_bytes());
        put(&mut notes, self.given.cast_unsigned());
        put(&mut notes, self.whole_from.cast_unsigned());
        if notes != self.notes {
            out.insert(format!("{prefix}m"), Some(Bytes::from(notes.clone())));
            self.notes = notes;
        }
        Ok(())
    }

    fn save(&self, group: u32, to: &mut Vec<u8>) {
        self.names.save(group, to);
        if self.names.get(group).is_some_and(|name| name.lives) {
            self.histories.0.iter().for_each(|h| h.save(group, to));
            self.spanners.iter().for_each(|s| s.save(group, to));
            self.calls.iter().for_each(|c| c.save(group, to));
        }
    }

    fn load(&mut self, group: u32, from: &mut Reader<'_>) -> Option<()> {
        if self.names.load(group, from)? {
            self.histories.0.iter_mut().try_for_each(|h| h.load(group, from))?;
            self.spanners.iter_mut().try_for_each(|s| s.load(group, from))?;
            let histories = &self.histories;
            self.calls.iter_mut().try_for_each(|c| c.load(group, histories, from))?;
        }
        from.is_empty().then_some(())
    }

    pub(super) fn read(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()> {
        let (mut rows, mut runs) = (BTreeMap::new(), BTreeMap::new());
        for (name, chunk) in chunks {
            let fits = match name.split_at_checked(1) {
                Some(("m", "")) => self.read_notes(chunk),
                Some(("w", number)) => u64::from_str_radix(number, 16).ok().map(|number| {
                    rows.insert(number, *chunk);
                }),
                Some(("k", number)) => u32::from_str_radix(number, 16).ok().map(|number| {
                    runs.insert(number, chunk.as_ref());
                }),
                _ => None,
            };
            fits.ok_or_else(|| unfit(name))?;
        }
        if self.notes.is_empty() && !(rows.is_empty() && runs.is_empty()) {
            return Err(unfit("m"));
        }
        for (number, chunk) in rows {
            let read = self.waiting.restore(number, chunk, self.spec.time, self.given);
            read.ok_or_else(|| unfit(&format!("w{number:x}")))?;
        }
        self.read_keys(&runs).ok_or_else(|| unfit("k"))
    }

    fn read_notes(&mut self, chunk: &[u8]) -> Option<()> {
        let mut reader = Reader(chunk);
        if reader.u8()? != VERSION || reader.bytes()? != self.layout().as_bytes() {
            return None;
        }
        self.next_run = reader.u32()?;
        (self.given, self.whole_from) = (reader.i64()?, reader.i64()?);
        self.notes = chunk.to_vec();
        reader.is_empty().then_some(())
    }

    fn read_keys(&mut self, runs: &BTreeMap<u32, &[u8]>) -> Option<()> {
        let (saved, mut runs) = Saved::read(runs)?;
        // What a later run has of a key is newer.
        let mut latest: Vec<&[u8]> = vec![&[]; saved.len()];
        for run in &mut runs {
            for group in &run.groups {
                *latest.get_mut(*group as usize)? = run.states.bytes()?;
            }
            if !run.states.is_empty() {
                return None;
            }
        }
        self.saved = saved;
        self.names.settle(latest.len());
        self.grow();
        for (group, bytes) in (0..).zip(&latest) {
            self.load(group, &mut Reader(bytes))?;
        }
        self.names.settle(latest.len());
        self.forget_when_due();
        Some(())
    }
}

fn run_name(prefix: &str, run: u32) -> String {
    format!("{prefix}k{run:x}")
}
