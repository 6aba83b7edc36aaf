//! State in chunks: rows that wait (`w…`), keys that changed (`k…`), what is remembered of keys with much of it (`h…`), and
//! notes (`m`).

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::operator::Chunks;

use super::analyst::Analyst;
use super::history::Sealed;
use crate::view::stop;
use crate::window::bytes::{Reader, put, put_bytes, put_sized};
use crate::window::chunks::unfit;
use crate::window::saved::Saved;

/// What is in chunks of its own, by the number of a key, its serial, and the history.
type AllSealed<'a> = BTreeMap<(u32, u64, u32), Vec<Sealed<'a>>>;

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
        let remembered = (self.histories.0.as_mut_slice(), &self.names);
        self.seals.write(remembered, saved.changes(), prefix, out);
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
        put(&mut notes, self.names.next_serial);
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

    fn load(&mut self, group: u32, from: &mut Reader<'_>, sealed: &AllSealed<'_>) -> Option<()> {
        if self.names.load(group, from)? {
            let serial = self.names.get(group)?.serial;
            for (history, number) in self.histories.0.iter_mut().zip(0..) {
                let own = sealed.get(&(group, serial, number));
                history.load(group, from, own.map_or(&[], Vec::as_slice))?;
            }
            self.spanners.iter_mut().try_for_each(|s| s.load(group, from))?;
            let histories = &self.histories;
            self.calls.iter_mut().try_for_each(|c| c.load(group, histories, from))?;
        }
        from.is_empty().then_some(())
    }

    pub(super) fn read(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()> {
        let (mut rows, mut runs) = (BTreeMap::new(), BTreeMap::new());
        let mut sealed = BTreeMap::new();
        for (name, chunk) in chunks {
            let fits = match name.split_at_checked(1) {
                Some(("m", "")) => self.read_notes(chunk),
                Some(("w", number)) => u64::from_str_radix(number, 16).ok().map(|number| {
                    rows.insert(number, *chunk);
                }),
                Some(("h", number)) => u64::from_str_radix(number, 16)
                    .ok()
                    .and_then(|number| self.seals.read(number, chunk, &mut sealed)),
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
        // A chunk of several that became one may be newer than those with what came behind.
        sealed.values_mut().for_each(|parts: &mut Vec<Sealed<'_>>| parts.sort_by_key(|p| p.from));
        self.read_keys(&runs, &sealed).ok_or_else(|| unfit("k"))
    }

    fn read_notes(&mut self, chunk: &[u8]) -> Option<()> {
        let mut reader = Reader(chunk);
        if reader.u8()? != VERSION || reader.bytes()? != self.layout().as_bytes() {
            return None;
        }
        self.next_run = reader.u32()?;
        (self.given, self.whole_from) = (reader.i64()?, reader.i64()?);
        self.names.next_serial = reader.u64()?;
        self.notes = chunk.to_vec();
        reader.is_empty().then_some(())
    }

    fn read_keys(&mut self, runs: &BTreeMap<u32, &[u8]>, sealed: &AllSealed<'_>) -> Option<()> {
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
            self.load(group, &mut Reader(bytes), sealed)?;
        }
        self.names.settle(latest.len());
        self.forget_when_due();
        Some(())
    }
}

fn run_name(prefix: &str, run: u32) -> String {
    format!("{prefix}k{run:x}")
}
