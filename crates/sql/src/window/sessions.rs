//! Sessions: for each key, rows that are less than a gap apart.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::ArrayRef;
use datafusion_common::Result;
use hashbrown::HashTable;

use super::batch::Batch;
use super::bytes::{Reader, put, put_bytes, short};
use super::groups::{Groups, Shape, roomy};
use super::keys::unfit;
use super::saved::Saved;
use super::states::{Plan, States};

/// In place of a number: there is none.
const NONE: u32 = u32::MAX;

/// One session, or room for one.
struct Session {
    key: Box<[u8]>,
    start: i64,
    /// The time of its last row.
    last: i64,
    /// Another one of the same key.
    next: u32,
    /// When it is looked at again.
    timer: i64,
    /// Its row, as it is now, has been given.
    given: bool,
    live: bool,
}

pub(super) struct Sessions {
    gap: i64,
    lateness: i64,
    /// Each is of one moment only, of which a key may have many: the index goes by both.
    moments: bool,
    shape: Arc<Shape>,
    /// A session of each key.
    index: HashTable<u32>,
    sessions: Vec<Session>,
    states: Vec<Box<dyn States>>,
    free: Vec<u32>,
    timers: BinaryHeap<Reverse<(i64, u32)>>,
    pub(super) saved: Saved,
    keys_bytes: usize,
    /// The sums of all sessions together, without their signs, are not beyond this.
    sums_max: u128,
    pub(super) gone: Vec<String>,
}

fn hash(key: &[u8], moment: Option<i64>) -> u64 {
    let hasher = foldhash::fast::FixedState::with_seed(0x7365_7373);
    match moment {
        Some(at) => hasher.hash_one((key, at)),
        None => hasher.hash_one(key),
    }
}

/// Where the index has a session of this key that begins then.
fn spot(moments: bool, key: &[u8], start: i64) -> u64 {
    hash(key, moments.then_some(start))
}

impl Session {
    /// Whether the index has it in the same place as one of this key that begins then.
    fn is_at(&self, moments: bool, key: &[u8], start: i64) -> bool {
        (!moments || self.start == start) && *self.key == *key
    }
}

/// Rows on their way into sessions.
struct Going<'a> {
    batch: &'a Batch,
    rows: Vec<u32>,
    numbers: Vec<u32>,
}

impl Sessions {
    pub(super) fn new(gap: i64, lateness: i64, shape: Arc<Shape>) -> Self {
        let states = shape.plans.iter().map(Plan::states).collect();
        Self {
            gap,
            lateness,
            moments: false,
            shape,
            index: HashTable::new(),
            sessions: vec![],
            states,
            free: vec![],
            timers: BinaryHeap::new(),
            saved: Saved::default(),
            keys_bytes: 0,
            sums_max: 0,
            gone: vec![],
        }
    }

    /// Windows of one moment each, in place of sessions.
    pub(super) fn of_moments(lateness: i64, shape: Arc<Shape>) -> Self {
        Self { moments: true, ..Self::new(1, lateness, shape) }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len() - self.free.len()
    }

    fn session(&mut self, number: u32) -> Result<&mut Session> {
        self.sessions.get_mut(number as usize).ok_or_else(unfit)
    }

    /// Takes these rows in, but for those that are late or that a sum cannot take.
    pub(super) fn add(
        &mut self,
        batch: &Batch,
        of: &[u32],
        late: &mut Vec<u32>,
        refused: &mut Vec<u32>,
    ) -> Result<()> {
        let adds = batch.addend_max() * of.len() as u128;
        let most = u128::from(i64::MAX.unsigned_abs());
        if adds > 0 && self.sums_max + adds > most {
            self.sums_max = self.sums();
        }
        let careful = adds > 0 && self.sums_max + adds > most;
        self.sums_max += adds;
        let mut going = Going { batch, rows: vec![], numbers: vec![] };
        let (mut key, mut near) = (vec![], vec![]);
        for row in of.iter().copied() {
            let Some(time) = batch.times.values().get(row as usize).copied() else { break };
            let closed = batch.watermark(row).saturating_sub(self.lateness);
            key.clear();
            batch.keys.key(row as usize).put(&mut key);
            self.near(&key, time, closed, &mut near);
            if near.is_empty() && time + self.gap <= closed {
                late.push(row);
                continue;
            }
            if careful {
                self.put(&mut going)?;
                if !self.holds(batch, &near, row) {
                    refused.push(row);
                    continue;
                }
            }
            let number = match near.as_slice() {
                [] => self.begin(&key, time),
                [(_, one)] => *one,
                [(_, first), rest @ ..] => {
                    self.put(&mut going)?;
                    for (_, later) in rest {
                        self.merge(*first, *later)?;
                    }
                    *first
                }
            };
            self.extend(number, time)?;
            going.rows.push(row);
            going.numbers.push(number);
        }
        self.put(&mut going)
    }

    /// Finds the sessions that a row belongs to, in order of time.
    fn near(&self, key: &[u8], time: i64, closed: i64, near: &mut Vec<(i64, u32)>) {
        near.clear();
        let is = |n: &u32| {
            self.sessions.get(*n as usize).is_some_and(|s| s.is_at(self.moments, key, time))
        };
        let mut number = self.index.find(spot(self.moments, key, time), is).copied();
        while let Some(session) = number.and_then(|n| self.sessions.get(n as usize)) {
            let end = session.last + self.gap;
            if end > closed && time < end && session.start < time + self.gap {
                near.push((session.start, number.unwrap_or(NONE)));
            }
            number = Some(session.next).filter(|n| *n != NONE);
        }
        near.sort_unstable();
    }

    fn key(&self, number: u32) -> &[u8] {
        self.sessions.get(number as usize).map_or(&[], |s| &s.key)
    }

    /// Whether the sum of a row and these sessions is within bounds.
    fn holds(&self, batch: &Batch, near: &[(i64, u32)], row: u32) -> bool {
        self.shape.plans.iter().enumerate().filter(|(_, plan)| plan.is_sum()).all(|(i, plan)| {
            let sums = near.iter().map(|n| self.states.get(i).map_or(0, |s| s.sum(n.1 as usize)));
            plan.holds(sums.sum::<i128>() + batch.addend(i, row, plan.is_unsigned()))
        })
    }

    fn sums(&self) -> u128 {
        let all = |s: &dyn States| -> u128 {
            (0..self.sessions.len()).map(|n| s.sum(n).unsigned_abs()).sum()
        };
        self.states.iter().map(|s| all(s.as_ref())).max().unwrap_or(0)
    }

    /// A new session at that time.
    fn begin(&mut self, key: &[u8], time: i64) -> u32 {
        let key = Box::<[u8]>::from(key);
        let end = time + self.gap;
        self.keys_bytes += key.len();
        let number = self.free.pop().unwrap_or_else(|| short(self.sessions.len()));
        let (sessions, moments) = (&self.sessions, self.moments);
        let is = |n: &u32| sessions.get(*n as usize).is_some_and(|s| s.is_at(moments, &key, time));
        let found = self.index.find_mut(spot(moments, &key, time), is);
        let next = found.map_or(NONE, |first| std::mem::replace(first, number));
        if next == NONE {
            self.index.insert_unique(spot(moments, &key, time), number, |n| {
                sessions.get(*n as usize).map_or(0, |s| spot(moments, &s.key, s.start))
            });
        }
        let (start, last) = (time, time);
        let session = Session { key, start, last, next, timer: end, given: false, live: true };
        match self.sessions.get_mut(number as usize) {
            Some(room) => *room = session,
            None => {
                let (len, mut capacity) = (self.sessions.len(), self.sessions.capacity());
                if len == capacity {
                    capacity = roomy(len + 1, capacity);
                    self.sessions.reserve_exact(capacity - len);
                }
                self.sessions.push(session);
                for states in &mut self.states {
                    states.grow(self.sessions.len(), capacity);
                }
                self.saved.grow(self.sessions.len(), capacity);
            }
        }
        self.saved.touch(number);
        self.timers.push(Reverse((end, number)));
        number
    }

    fn extend(&mut self, number: u32, time: i64) -> Result<()> {
        let gap = self.gap;
        let session = self.session(number)?;
        session.start = session.start.min(time);
        session.last = session.last.max(time);
        let end = session.last + gap;
        let again = std::mem::replace(&mut session.given, false);
        if again {
            session.timer = end;
            self.timers.push(Reverse((end, number)));
        }
        self.saved.touch(number);
        Ok(())
    }

    /// Adds the rows on their way to the states of their sessions.
    fn put(&mut self, going: &mut Going<'_>) -> Result<()> {
        if !going.rows.is_empty() {
            going.batch.add(&mut self.states, &going.rows, &going.numbers)?;
            going.rows.clear();
            going.numbers.clear();
        }
        Ok(())
    }

    /// Makes one session of two.
    fn merge(&mut self, first: u32, later: u32) -> Result<()> {
        let (mut saved, number) = (vec![], later as usize);
        for states in &self.states {
            states.save(number, &mut saved);
        }
        let one = Groups::one(&self.shape, &saved)?;
        for (own, later) in self.states.iter_mut().zip(&one) {
            own.merge(later.as_ref(), &[first])?;
        }
        let last = self.session(later)?.last;
        self.remove(later)?;
        self.extend(first, last)
    }

    /// Makes room of a session.
    fn remove(&mut self, number: u32) -> Result<()> {
        let session = self.session(number)?;
        session.live = false;
        let (key, start, next) = (std::mem::take(&mut session.key), session.start, session.next);
        self.keys_bytes -= key.len();
        let (sessions, moments) = (&self.sessions, self.moments);
        let same = |n: &u32| {
            let is = |s: &Session| s.live && s.is_at(moments, &key, start);
            *n == number || sessions.get(*n as usize).is_some_and(is)
        };
        let mut at = NONE;
        if let Ok(first) = self.index.find_entry(spot(moments, &key, start), same) {
            at = *first.get();
            if at == number && next == NONE {
                first.remove();
            } else if at == number {
                *first.into_mut() = next;
            }
        }
        while at != number && at != NONE {
            let session = self.session(at)?;
            at = session.next;
            if at == number {
                session.next = next;
            }
        }
        for states in &mut self.states {
            states.clear(number as usize);
        }
        self.saved.touch(number);
        self.free.push(number);
        Ok(())
    }

    /// The columns of some sessions: keys, then results.
    pub(super) fn columns(&self, numbers: &[u32]) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let keys = numbers.iter().filter_map(|n| self.shape.keys.parse(self.key(*n)));
        let keys = self.shape.keys.decode(keys)?;
        let results = self.states.iter().map(|s| s.finish(numbers));
        Ok((keys, results.collect::<Result<Vec<_>>>()?))
    }

    /// All there are, with their keys.
    pub(super) fn live(&self) -> impl Iterator<Item = (&[u8], u32)> {
        let sessions = (0..).zip(&self.sessions).filter(|(_, s)| s.live);
        sessions.map(|(number, s)| (s.key.as_ref(), number))
    }

    /// From where to where a session is.
    pub(super) fn window(&self, number: u32) -> Option<(i64, i64)> {
        self.sessions.get(number as usize).map(|s| (s.start, s.last + self.gap))
    }

    /// By what sessions are in order.
    pub(super) fn place(&self, number: u32) -> Option<(i64, i64, &[u8])> {
        let (start, end) = self.window(number)?;
        Some((end, start, self.key(number)))
    }

    /// What one keeps beyond the bytes of any session.
    pub(super) fn heap_of(&self, number: u32) -> usize {
        self.states.iter().map(|s| s.heap_of(number as usize)).sum()
    }

    /// A session's row has been given.
    pub(super) fn given(&mut self, number: u32, end: i64, watermark: i64) -> Result<()> {
        let closes = end.saturating_add(self.lateness);
        if closes <= watermark {
            return self.remove(number);
        }
        let session = self.session(number)?;
        (session.given, session.timer) = (true, closes);
        self.timers.push(Reverse((closes, number)));
        self.saved.touch(number);
        Ok(())
    }

    /// Finds the sessions to give, in order, and forgets those that take no more rows.
    pub(super) fn find_due(&mut self, watermark: i64) -> Result<Vec<u32>> {
        let mut due = vec![];
        while let Some(Reverse((at, number))) = self.timers.peek().copied() {
            if at > watermark {
                break;
            }
            self.timers.pop();
            let (gap, lateness) = (self.gap, self.lateness);
            let session = self.session(number)?;
            if !session.live || session.timer != at {
                continue;
            }
            let end = session.last + gap;
            if session.given {
                let closes = end.saturating_add(lateness);
                session.timer = closes;
                if closes <= watermark {
                    self.remove(number)?;
                } else {
                    self.timers.push(Reverse((closes, number)));
                }
            } else if end <= watermark {
                // No timer is at this moment, should another one of the same time be left.
                session.timer = i64::MIN;
                due.push(number);
            } else {
                session.timer = end;
                self.timers.push(Reverse((end, number)));
            }
        }
        due.sort_unstable_by(|a, b| self.place(*a).cmp(&self.place(*b)));
        Ok(due)
    }

    /// Starts anew when no session is left.
    pub(super) fn forget(&mut self) {
        if self.len() == 0 && !self.sessions.is_empty() {
            let gone = self.saved.numbers().map(name).collect::<Vec<_>>();
            let gone_before = std::mem::take(&mut self.gone);
            let empty = Self::new(self.gap, self.lateness, self.shape.clone());
            *self = Self { moments: self.moments, ..empty };
            self.gone = gone_before;
            self.gone.extend(gone);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let heaps: usize = self.states.iter().map(|s| s.heap()).sum();
        self.fixed(self.sessions.capacity()) + heaps + self.keys_bytes + self.saved.bytes()
    }

    fn fixed(&self, capacity: usize) -> usize {
        let widths: usize = self.states.iter().map(|s| s.width()).sum();
        let buckets = (capacity * 8 / 7).next_power_of_two();
        capacity * (widths + size_of::<Session>() + 24) + buckets * 5
    }

    /// The most that so many rows can add to that, beyond their keys and values.
    pub(super) fn growth(&self, rows: usize) -> usize {
        let needed = self.len() + rows;
        let capacity = self.sessions.capacity();
        if needed <= capacity {
            return 0;
        }
        self.fixed(roomy(needed, capacity)) - self.fixed(capacity)
    }

    pub(super) fn save(&self, number: u32, out: &mut Vec<u8>) {
        let Some(session) = self.sessions.get(number as usize).filter(|s| s.live) else { return };
        put_bytes(out, &session.key);
        put(out, session.start.cast_unsigned());
        put(out, session.last.cast_unsigned());
        out.push(u8::from(session.given));
        for states in &self.states {
            states.save(number as usize, out);
        }
    }

    /// Takes back what was written in these chunks.
    pub(super) fn read(&mut self, chunks: &BTreeMap<u32, &[u8]>) -> Option<()> {
        let (saved, runs) = Saved::read(chunks)?;
        let mut entries: Vec<&[u8]> = vec![&[]; saved.len()];
        for mut run in runs {
            for number in &run.groups {
                *entries.get_mut(*number as usize)? = run.states.bytes()?;
            }
            run.states.is_empty().then_some(())?;
        }
        self.load(entries.into_iter())?;
        self.saved = saved;
        Some(())
    }

    /// Takes sessions from what [`Sessions::save`] wrote of each; they count as changed.
    pub(super) fn load<'a>(
        &mut self,
        entries: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Option<()> {
        let len = entries.len();
        for states in &mut self.states {
            states.grow(len, len);
        }
        for (at, entry) in entries.enumerate() {
            let number = short(at);
            let (key, start, last, given);
            let live = !entry.is_empty();
            if live {
                let mut reader = Reader(entry);
                key = Box::<[u8]>::from(reader.bytes()?);
                (start, last, given) = (reader.i64()?, reader.i64()?, reader.u8()? != 0);
                for states in &mut self.states {
                    states.load(at, &mut reader)?;
                }
                reader.is_empty().then_some(())?;
            } else {
                (key, start, last, given) = (Box::default(), 0, 0, false);
                self.free.push(number);
            }
            let timer = last + self.gap + if given { self.lateness } else { 0 };
            let (next, key_of) = (NONE, key.clone());
            self.sessions.push(Session { key, start, last, next, timer, given, live });
            if live {
                self.timers.push(Reverse((timer, number)));
                self.link(number, &key_of, start);
            }
        }
        self.saved.grow(len, len);
        self.sums_max = self.sums();
        Some(())
    }

    fn link(&mut self, number: u32, key: &[u8], start: i64) {
        self.keys_bytes += key.len();
        let (sessions, moments) = (&self.sessions, self.moments);
        let is = |n: &u32| {
            *n != number && sessions.get(*n as usize).is_some_and(|s| s.is_at(moments, key, start))
        };
        let found = self.index.find_mut(spot(moments, key, start), is);
        if let Some(first) = found {
            let next = std::mem::replace(first, number);
            if let Some(session) = self.sessions.get_mut(number as usize) {
                session.next = next;
            }
        } else {
            self.index.insert_unique(spot(moments, key, start), number, |n| {
                sessions.get(*n as usize).map_or(0, |s| spot(moments, &s.key, s.start))
            });
        }
    }
}

/// The chunk of a run.
pub(super) fn name(run: u32) -> String {
    format!("s.{run:08x}")
}
