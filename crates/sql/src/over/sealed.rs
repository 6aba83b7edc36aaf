//! Chunks with what is remembered of keys that have much of it: a snapshot writes of these only what came since the last one.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::operator::Chunks;

use super::history::{History, Sealed};
use super::names::Names;
use crate::window::bytes::{Reader, put, put_sized, short};

/// So many chunks are too many, and so many become one.
const MANY: usize = 24;
const MERGED: usize = 12;
/// But not of more values than this.
const VALUES_MAX: u64 = 1 << 18;

/// Where values are: a history's, of a key, from a number on, up to before another one.
#[derive(Clone, Copy)]
struct Place {
    history: u32,
    group: u32,
    serial: u64,
    from: u64,
    upto: u64,
}

/// What each chunk has.
#[derive(Default)]
pub(super) struct Seals {
    chunks: BTreeMap<u64, Vec<Place>>,
    next: u64,
    gone: Vec<u64>,
}

impl Place {
    /// What of it is still remembered.
    fn live(mut self, histories: &[History], names: &Names) -> Option<Self> {
        let history = histories.get(self.history as usize)?;
        let own = names.get(self.group).is_some_and(|n| n.lives && n.serial == self.serial);
        self.from = self.from.max(history.base(self.group));
        (own && self.from < self.upto).then_some(self)
    }

    fn put(self, histories: &[History], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.history.to_le_bytes());
        out.extend_from_slice(&self.group.to_le_bytes());
        for word in [self.serial, self.from, self.upto] {
            put(out, word);
        }
        put_sized(out, |out| {
            if let Some(history) = histories.get(self.history as usize) {
                history.put(self.group, (self.from, self.upto), out);
            }
        });
    }
}

impl Seals {
    /// All chunks go: the numbers of keys change.
    pub(super) fn clear(&mut self) {
        self.gone.extend(std::mem::take(&mut self.chunks).into_keys());
    }

    /// Writes what is to have a chunk of its own of these keys, and lets go of chunks that are of no more use.
    pub(super) fn write(
        &mut self,
        (histories, names): (&mut [History], &Names),
        groups: &[u32],
        prefix: &str,
        out: &mut Chunks,
    ) {
        let mut new = vec![];
        for group in groups {
            let Some(name) = names.get(*group).filter(|n| n.lives) else { continue };
            for (history, number) in histories.iter_mut().zip(0..) {
                if let Some((from, upto)) = history.seal(*group) {
                    let (group, serial) = (*group, name.serial);
                    new.push(Place { history: number, group, serial, from, upto });
                }
            }
        }
        let live = |place: &Place| place.live(histories, names);
        let of = |p: &[Place]| p.iter().filter_map(live).map(|p| p.upto - p.from).sum::<u64>();
        let mut held = self.chunks.iter().map(|(chunk, p)| (of(p), *chunk)).collect::<Vec<_>>();
        held.sort_unstable();
        let mut merged = held.iter().take_while(|(values, _)| *values == 0).count();
        if held.len() - merged > MANY {
            let mut sum = 0;
            let small = held.iter().skip(merged).take(MERGED).take_while(|(values, _)| {
                sum += values;
                sum <= VALUES_MAX
            });
            // One alone would only be written again.
            merged += Some(small.count()).filter(|n| *n > 1).unwrap_or(0);
        }
        for (_, chunk) in held.into_iter().take(merged) {
            let places = self.chunks.remove(&chunk).unwrap_or_default();
            new.extend(places.iter().filter_map(live));
            self.gone.push(chunk);
        }
        for chunk in self.gone.drain(..) {
            out.insert(name(prefix, chunk), None);
        }
        if new.is_empty() {
            return;
        }
        let new = joined(new);
        let mut bytes = short(new.len()).to_le_bytes().to_vec();
        new.iter().for_each(|place| place.put(histories, &mut bytes));
        out.insert(name(prefix, self.next), Some(Bytes::from(bytes)));
        self.chunks.insert(self.next, new);
        self.next += 1;
    }

    /// What a chunk has, by key and history, in order.
    pub(super) fn read<'a>(
        &mut self,
        chunk: u64,
        bytes: &'a [u8],
        to: &mut BTreeMap<(u32, u64, u32), Vec<Sealed<'a>>>,
    ) -> Option<()> {
        let mut reader = Reader(bytes);
        let mut places = vec![];
        for _ in 0..reader.u32()? {
            let (history, group) = (reader.u32()?, reader.u32()?);
            let (serial, from, upto) = (reader.u64()?, reader.u64()?, reader.u64()?);
            let values = reader.bytes()?;
            places.push(Place { history, group, serial, from, upto });
            to.entry((group, serial, history)).or_default().push(Sealed { from, upto, values });
        }
        self.chunks.insert(chunk, places);
        self.next = self.next.max(chunk + 1);
        reader.is_empty().then_some(())
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.values().map(|p| p.capacity() * size_of::<Place>()).sum()
    }
}

/// The same values, those that follow each other at one place.
fn joined(mut places: Vec<Place>) -> Vec<Place> {
    places.sort_unstable_by_key(|p| (p.group, p.serial, p.history, p.from));
    places.dedup_by(|next, before| {
        let of = |p: &Place| (p.group, p.serial, p.history);
        let follows = of(next) == of(before) && next.from == before.upto;
        if follows {
            before.upto = next.upto;
        }
        follows
    });
    places
}

fn name(prefix: &str, chunk: u64) -> String {
    format!("{prefix}h{chunk:x}")
}
