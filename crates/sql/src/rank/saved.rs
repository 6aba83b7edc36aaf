//! State as chunks, and back.
//!
//! `m` has the number of the next chunk, and the partitions with places that changed and were not given yet; `k.<run>` the best rows of
//! some partitions.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::error::Result;
use millstream_core::operator::Chunks;

use super::best::{Best, NONE, hash, is_row};
use super::part::Rank;
use crate::window::bytes::{Reader, put, put_bytes, put_sized, short};
use crate::window::chunks::unfit;
use crate::window::saved::{Saved, VERSION};

/// The chunk of a run.
pub(super) fn name(run: u32) -> String {
    format!("k.{run:08x}")
}

impl Rank {
    /// Chunks that changed since the last time.
    pub(super) fn tell(&mut self, prefix: &str, out: &mut Chunks) {
        out.extend(self.gone.drain(..).map(|name| (format!("{prefix}{name}"), None)));
        let mut saved = std::mem::take(&mut self.saved);
        let all = &self.all;
        saved.write(
            &mut self.next_run,
            |run| format!("{prefix}{}", name(run)),
            out,
            |some, to| {
                for number in some {
                    let best = all.get(*number as usize).filter(|best| !best.key.is_empty());
                    put_sized(to, |to| best.into_iter().for_each(|best| best.save(to)));
                }
            },
        );
        self.saved = saved;
        let mut notes = vec![VERSION];
        notes.extend_from_slice(&self.next_run.to_le_bytes());
        for number in &self.changed {
            let from = self.all.get(*number as usize).map_or(NONE, |best| best.from);
            notes.extend_from_slice(&number.to_le_bytes());
            notes.extend_from_slice(&from.to_le_bytes());
        }
        if notes != self.notes {
            out.insert(format!("{prefix}m"), Some(Bytes::from(notes.clone())));
            self.notes = notes;
        }
    }

    /// Takes back what chunks have.
    pub(super) fn read_chunks(&mut self, chunks: &[(&str, &Bytes)]) -> Result<()> {
        let (mut runs, mut notes): (BTreeMap<u32, &[u8]>, Option<&[u8]>) = (BTreeMap::new(), None);
        for (name, chunk) in chunks {
            if *name == "m" {
                notes = Some(chunk);
                continue;
            }
            let run = name.strip_prefix("k.").and_then(|run| u32::from_str_radix(run, 16).ok());
            runs.insert(run.ok_or_else(|| unfit(name))?, chunk);
        }
        if !runs.is_empty() {
            self.read_runs(&runs).ok_or_else(|| unfit("k"))?;
        }
        match notes {
            Some(notes) => self.read_notes(notes).ok_or_else(|| unfit("m")),
            None if runs.is_empty() => Ok(()),
            None => Err(unfit("m")),
        }
    }

    fn read_runs(&mut self, chunks: &BTreeMap<u32, &[u8]>) -> Option<()> {
        let (saved, runs) = Saved::read(chunks)?;
        let mut entries: Vec<&[u8]> = vec![&[]; saved.len()];
        for mut run in runs {
            for number in &run.groups {
                *entries.get_mut(*number as usize)? = run.states.bytes()?;
            }
            run.states.is_empty().then_some(())?;
        }
        for (number, entry) in (0..).zip(entries) {
            let best = Best::read(entry)?;
            let (dead, hashed) = (best.key.is_empty(), hash(&best.key));
            self.heap += best.heap();
            self.all.push(best);
            if dead {
                self.free.push(number);
            } else {
                self.enter(number, hashed);
            }
        }
        self.saved = saved;
        Some(())
    }

    fn read_notes(&mut self, chunk: &[u8]) -> Option<()> {
        let mut reader = Reader(chunk);
        (reader.u8()? == VERSION).then_some(())?;
        self.next_run = reader.u32()?;
        while !reader.is_empty() {
            let (number, from) = (reader.u32()?, reader.u32()?);
            self.all.get_mut(usize::try_from(number).ok()?)?.from = from;
            self.changed.push(number);
        }
        self.notes = chunk.to_vec();
        Some(())
    }
}

impl Best {
    fn save(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.key);
        put(out, self.close.cast_unsigned());
        out.extend_from_slice(&short(self.rows.len()).to_le_bytes());
        self.rows.iter().for_each(|row| put_bytes(out, row));
    }

    fn read(entry: &[u8]) -> Option<Self> {
        let mut reader = Reader(entry);
        if reader.is_empty() {
            return Some(Self { key: Box::default(), close: i64::MAX, rows: vec![], from: NONE });
        }
        let key = Box::<[u8]>::from(reader.bytes()?);
        let close = reader.i64()?;
        let rows = (0..reader.u32()?).map(|_| {
            let row = reader.bytes().filter(|row| is_row(row))?;
            Some(Box::<[u8]>::from(row))
        });
        let rows = rows.collect::<Option<Vec<_>>>()?;
        (reader.is_empty() && !key.is_empty()).then_some(Self { key, close, rows, from: NONE })
    }
}
