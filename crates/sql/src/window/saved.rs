//! Which chunk has which group's state, so that a snapshot writes only what changed.
//!
//! A run is one chunk: the numbers of some groups, and their states as they were when it was written, one column after
//! the other, so that the processor fetches many at a time from all over the memory. A group's state is in the latest run that has it; what older runs have of it is outdated. Runs of which little still counts are written anew, a
//! bounded number of groups with each snapshot.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::operator::Chunks;

use super::bytes::{Reader, short};

/// The most groups of one run.
const RUN: usize = 1 << 16;
/// There are no more runs than if each had half as many groups as this.
const RUN_MIN: usize = 1 << 14;
/// No more than so many are written without having changed, unless they are those of one run.
const MOVED_MAX: usize = 1 << 13;
/// States of so few groups are always written as one run.
const SMALL: usize = 1 << 10;
/// So many small runs are too many.
const MANY: usize = 12;
/// About the bytes of a small entry.
const ENTRY: usize = 48;
/// The first byte of every chunk.
pub(crate) const VERSION: u8 = 2;
/// In place of a run: the group's state has changed since it was written, or never was.
const CHANGED: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Saved {
    /// The run of each group.
    runs_of: Vec<u32>,
    changed: Vec<u32>,
    runs: BTreeMap<u32, Run>,
    /// Groups of all runs, outdated ones too.
    entries: usize,
}

/// What a chunk has.
pub(crate) struct Written<'a> {
    pub groups: Vec<u32>,
    pub states: Reader<'a>,
}

/// A chunk of these groups.
pub(crate) fn chunk(groups: &[u32], save: &mut impl FnMut(&[u32], &mut Vec<u8>)) -> Bytes {
    let mut chunk = Vec::with_capacity(groups.len() * ENTRY);
    chunk.push(VERSION);
    chunk.extend_from_slice(&short(groups.len()).to_le_bytes());
    for group in groups {
        chunk.extend_from_slice(&group.to_le_bytes());
    }
    save(groups, &mut chunk);
    Bytes::from(chunk)
}

#[derive(Default)]
struct Run {
    groups: Vec<u32>,
    /// Of these, how many are not outdated.
    live: usize,
}

impl Saved {
    /// There are so many groups now; new ones have changed.
    pub(crate) fn grow(&mut self, len: usize, capacity: usize) {
        self.runs_of.reserve_exact(capacity.saturating_sub(self.runs_of.len()));
        self.changed.extend(short(self.runs_of.len())..short(len));
        self.runs_of.resize(len, CHANGED);
    }

    /// The state of a group changes.
    pub(crate) fn touch(&mut self, group: u32) {
        let Some(run) = self.runs_of.get_mut(group as usize) else { return };
        if *run == CHANGED {
            return;
        }
        if let Some(run) = self.runs.get_mut(run) {
            run.live -= 1;
        }
        *run = CHANGED;
        self.changed.push(group);
    }

    /// The groups whose states would be written now.
    pub(crate) fn changes(&self) -> &[u32] {
        &self.changed
    }

    /// How many states would be written now.
    pub(crate) fn changed(&self) -> usize {
        self.changed.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.changed.capacity() + self.entries) * 4
    }

    /// Writes what changed, and some of what is in runs that are mostly outdated.
    pub(crate) fn write(
        &mut self,
        next: &mut u32,
        name: impl Fn(u32) -> String,
        out: &mut Chunks,
        mut save: impl FnMut(&[u32], &mut Vec<u8>),
    ) {
        if self.changed.is_empty() {
            return;
        }
        let mut groups = std::mem::take(&mut self.changed);
        let dead: Vec<_> = self.runs.iter().filter(|r| r.1.live == 0).map(|r| *r.0).collect();
        for run in dead {
            self.remove(run, &mut groups);
            out.insert(name(run), None);
        }
        let mut moved = 0;
        for run in self.wasteful() {
            let more = self.runs.get(&run).map_or(0, |run| run.live);
            if moved > 0 && moved + more > MOVED_MAX {
                break;
            }
            moved += self.remove(run, &mut groups);
            out.insert(name(run), None);
        }
        groups.sort_unstable();
        for groups in groups.chunks(RUN) {
            self.place(*next, groups);
            out.insert(name(*next), Some(chunk(groups, &mut save)));
            *next = next.wrapping_add(1) % CHANGED;
        }
    }

    /// The runs to write anew: the smallest, when there are too many; those of which most is outdated, when that is
    /// more than what counts.
    fn wasteful(&self) -> Vec<u32> {
        let groups = self.runs_of.len();
        let mut runs: Vec<_> = self.runs.iter().collect();
        if groups <= SMALL {
            return self.runs.keys().copied().collect();
        }
        if runs.len() >= MANY + 2 * groups / RUN_MIN {
            runs.sort_by_key(|(_, run)| run.live);
            return runs.into_iter().take(MANY * 2 / 3).map(|(number, _)| *number).collect();
        }
        let mut outdated = self.entries.saturating_sub(2 * groups + SMALL);
        runs.sort_by_key(|(_, run)| {
            std::cmp::Reverse((run.groups.len() - run.live) * 64 / run.live.max(1))
        });
        let mut wasteful = vec![];
        for (number, run) in runs {
            if outdated == 0 {
                break;
            }
            outdated = outdated.saturating_sub(run.groups.len() - run.live);
            wasteful.push(*number);
        }
        wasteful
    }

    /// Takes a run away; groups it still had have to be written.
    fn remove(&mut self, number: u32, groups: &mut Vec<u32>) -> usize {
        let Some(run) = self.runs.remove(&number) else { return 0 };
        self.entries -= run.groups.len();
        for group in run.groups {
            if let Some(of) = self.runs_of.get_mut(group as usize)
                && *of == number
            {
                *of = CHANGED;
                groups.push(group);
            }
        }
        run.live
    }

    /// These groups are in a run now.
    fn place(&mut self, number: u32, groups: &[u32]) {
        for group in groups {
            if let Some(of) = self.runs_of.get_mut(*group as usize) {
                *of = number;
            }
        }
        self.entries += groups.len();
        self.runs.insert(number, Run { groups: groups.to_vec(), live: groups.len() });
    }

    /// All its chunks go.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.runs.keys().copied()
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.runs_of.len()
    }

    /// A run as a chunk again. Of a group that a later run has too the state is another than it was, and does not count.
    pub(crate) fn again(
        &self,
        number: u32,
        mut save: impl FnMut(&[u32], &mut Vec<u8>),
    ) -> Option<Bytes> {
        Some(chunk(&self.runs.get(&number)?.groups, &mut save))
    }

    /// What was written, from the chunks of all runs, of which a later one has what is newer.
    pub(crate) fn read<'a>(chunks: &BTreeMap<u32, &'a [u8]>) -> Option<(Self, Vec<Written<'a>>)> {
        let mut saved = Self::default();
        let mut all = vec![];
        for (number, chunk) in chunks {
            let mut reader = Reader(chunk);
            if reader.u8()? != VERSION {
                return None;
            }
            let mut groups = vec![];
            for _ in 0..reader.u32()? {
                let group = reader.u32()?;
                let at = usize::try_from(group).ok()?;
                if saved.runs_of.len() <= at {
                    saved.runs_of.resize(at + 1, CHANGED);
                }
                if let Some(before) = saved.runs.get_mut(saved.runs_of.get(at)?) {
                    before.live -= 1;
                }
                groups.push(group);
            }
            saved.place(*number, &groups);
            all.push(Written { groups, states: reader });
        }
        saved.runs_of.iter().all(|run| *run != CHANGED).then_some((saved, all))
    }
}
