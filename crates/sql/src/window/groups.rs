//! The groups of a pane: their keys, numbered as they come, and their states.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use datafusion_common::Result;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::bytes::{Reader, put_sized, short};
use super::keys::{Encoded, Key, Keys, unfit};
use super::saved::Saved;
use super::states::{Plan, States};

/// What is the same for all groups of an aggregation.
pub(crate) struct Shape {
    pub keys: Keys,
    pub plans: Vec<Plan>,
}

pub(crate) struct Groups {
    /// Numbers by key.
    index: HashTable<u32>,
    keys: Store,
    /// The number of the key that is none.
    none: Option<u32>,
    pub states: Vec<Box<dyn States>>,
    len: usize,
    capacity: usize,
    pub saved: Saved,
    /// Of each of the first groups, whether it is no key's any more.
    retired: Vec<bool>,
    /// No sum of whole numbers is beyond this, either way.
    pub sums_max: u128,
}

#[derive(Clone)]
pub(crate) enum Store {
    Lane(Vec<i64>),
    Bytes { data: Vec<u8>, ends: Vec<usize> },
}

impl Store {
    pub(crate) fn key(&self, group: u32) -> Key<'_> {
        let group = group as usize;
        match self {
            Self::Lane(lane) => Key::Lane(lane.get(group).copied().unwrap_or_default()),
            Self::Bytes { data, ends } => {
                let from = group.checked_sub(1).and_then(|g| ends.get(g)).copied().unwrap_or(0);
                let to = ends.get(group).copied().unwrap_or(from);
                Key::Bytes(data.get(from..to).unwrap_or_default())
            }
        }
    }

    pub(crate) fn push(&mut self, key: Key<'_>) {
        match (self, key) {
            (Self::Lane(lane), Key::Lane(v)) => lane.push(v),
            (Self::Lane(lane), _) => lane.push(0),
            (Self::Bytes { data, ends }, key) => {
                if let Key::Bytes(b) = key {
                    data.extend_from_slice(b);
                }
                ends.push(data.len());
            }
        }
    }

    fn reserve(&mut self, capacity: usize) {
        match self {
            Self::Lane(lane) => lane.reserve_exact(capacity.saturating_sub(lane.len())),
            Self::Bytes { ends, .. } => ends.reserve_exact(capacity.saturating_sub(ends.len())),
        }
    }

    pub(crate) fn heap(&self) -> usize {
        match self {
            Self::Lane(_) => 0,
            Self::Bytes { data, .. } => data.capacity(),
        }
    }
}

impl Groups {
    pub(crate) fn new(shape: &Shape) -> Self {
        let keys = if shape.keys.is_lane() {
            Store::Lane(vec![])
        } else {
            Store::Bytes { data: vec![], ends: vec![] }
        };
        Self {
            index: HashTable::new(),
            keys,
            none: None,
            states: shape.plans.iter().map(Plan::states).collect(),
            len: 0,
            capacity: 0,
            saved: Saved::default(),
            retired: vec![],
            sums_max: 0,
        }
    }

    /// The same groups, of which no chunk has any.
    pub(crate) fn copy(&self) -> Self {
        Self {
            index: self.index.clone(),
            keys: self.keys.clone(),
            none: self.none,
            states: self.states.iter().map(|s| s.copy()).collect(),
            len: self.len,
            capacity: self.len,
            saved: Saved::default(),
            retired: self.retired.clone(),
            sums_max: self.sums_max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn key(&self, group: u32) -> Key<'_> {
        if self.none == Some(group) { Key::None } else { self.keys.key(group) }
    }

    pub(crate) fn find(&self, key: Key<'_>) -> Option<u32> {
        if key == Key::None {
            return self.none;
        }
        self.index.find(key.hash(), |g| self.keys.key(*g) == key).copied()
    }

    /// The group is no key's any more; a number that nobody asks for is left of it. The key may come again, as another group.
    pub(crate) fn retire(&mut self, group: u32) {
        let key = self.key(group);
        if key == Key::None {
            self.none = None;
        } else if let Ok(found) = self.index.find_entry(key.hash(), |g| *g == group) {
            found.remove();
        }
        self.states.iter_mut().for_each(|s| s.clear(group as usize));
        self.retired.resize(self.len, false);
        if let Some(retired) = self.retired.get_mut(group as usize) {
            *retired = true;
        }
        self.saved.touch(group);
    }

    pub(crate) fn is_retired(&self, group: u32) -> bool {
        self.retired.get(group as usize).copied().unwrap_or(false)
    }

    /// The number of a key, which may be new.
    pub(crate) fn number(&mut self, key: Key<'_>) -> u32 {
        let new = short(self.len);
        if key == Key::None {
            if let Some(none) = self.none {
                return none;
            }
            self.none = Some(new);
        } else {
            let keys = &self.keys;
            match self.index.entry(key.hash(), |g| keys.key(*g) == key, |g| keys.key(*g).hash()) {
                Entry::Occupied(o) => return *o.get(),
                Entry::Vacant(v) => v.insert(new),
            };
        }
        if self.len == self.capacity {
            self.capacity = roomy(self.len + 1, self.capacity);
            self.keys.reserve(self.capacity);
        }
        self.keys.push(key);
        self.len += 1;
        new
    }

    /// The place of a group that was.
    fn push_retired(&mut self) {
        self.keys.push(Key::None);
        self.len += 1;
        self.retired.resize(self.len, false);
        if let Some(last) = self.retired.last_mut() {
            *last = true;
        }
    }

    /// The number of each row's key.
    pub(crate) fn assign(&mut self, keys: &Encoded, rows: &[u32]) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(rows.len());
        let mut last: Option<(Key<'_>, u32)> = None;
        for row in rows {
            let key = keys.key(*row as usize);
            let number = match last {
                Some((k, number)) if k == key => number,
                _ => self.number(key),
            };
            last = Some((key, number));
            numbers.push(number);
        }
        self.grow();
        numbers
    }

    /// States for all groups there are.
    pub(crate) fn grow(&mut self) {
        for states in &mut self.states {
            states.grow(self.len, self.capacity);
        }
        self.saved.grow(self.len, self.capacity);
    }

    /// Adds what these have, which are later in time.
    pub(crate) fn merge(&mut self, later: &Self) -> Result<()> {
        // Panes often have the same keys in the same order: the number after the last one is tried first.
        let mut to: Vec<u32> = Vec::with_capacity(later.len);
        for group in 0..short(later.len) {
            let (key, next) = (later.key(group), to.last().map_or(0, |n| n + 1));
            let same = (next as usize) < self.len && self.key(next) == key;
            to.push(if same { next } else { self.number(key) });
        }
        for states in &mut self.states {
            states.grow(self.len, self.capacity);
        }
        for (own, later) in self.states.iter_mut().zip(&later.states) {
            own.merge(later.as_ref(), &to)?;
        }
        Ok(())
    }

    /// Some of the groups, alone.
    pub(crate) fn part(&self, shape: &Shape, groups: &[u32]) -> Result<Self> {
        let mut part = Self::new(shape);
        part.take_over(self, groups)?;
        Ok(part)
    }

    /// Takes some groups that others have.
    pub(crate) fn take_over(&mut self, others: &Self, groups: &[u32]) -> Result<()> {
        let numbers: Vec<_> = groups.iter().map(|group| self.number(others.key(*group))).collect();
        self.grow();
        let mut saved = vec![];
        for (own, all) in self.states.iter_mut().zip(&others.states) {
            for (group, number) in groups.iter().zip(&numbers) {
                saved.clear();
                all.save(*group as usize, &mut saved);
                own.load(*number as usize, &mut Reader(&saved)).ok_or_else(unfit)?;
            }
        }
        Ok(())
    }

    /// All groups, by key.
    pub(crate) fn order(&self) -> Vec<u32> {
        let mut order: Vec<_> = (0..short(self.len)).collect();
        if let Store::Lane(lane) = &self.keys {
            let mut lanes: Vec<_> = lane.iter().copied().zip(order.iter().copied()).collect();
            lanes.sort_unstable();
            order = lanes.into_iter().map(|(_, g)| g).filter(|g| Some(*g) != self.none).collect();
            order.splice(0..0, self.none);
        } else {
            order.sort_by_key(|g| self.key(*g));
        }
        order
    }

    /// The columns of some groups: keys, then results.
    pub(crate) fn columns(
        &self,
        shape: &Shape,
        groups: &[u32],
    ) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let keys = shape.keys.decode(groups.iter().map(|g| self.key(*g)))?;
        let results = self.states.iter().map(|s| s.finish(groups));
        Ok((keys, results.collect::<Result<Vec<_>>>()?))
    }

    /// What one group keeps beyond the bytes of any group.
    pub(crate) fn heap_of(&self, group: u32) -> usize {
        self.states.iter().map(|s| s.heap_of(group as usize)).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        let heaps: usize = self.states.iter().map(|s| s.heap()).sum();
        let retired = self.retired.capacity();
        self.fixed(self.capacity) + self.keys.heap() + heaps + self.saved.bytes() + retired
    }

    /// What `groups` more would add to that, beyond their keys and values.
    pub(crate) fn growth(&self, groups: usize) -> usize {
        let needed = self.len + groups;
        let capacity = if needed > self.capacity { roomy(needed, self.capacity) } else { needed };
        self.fixed(capacity.max(self.capacity)) - self.fixed(self.capacity) + groups * 4
    }

    fn fixed(&self, capacity: usize) -> usize {
        let widths: usize = self.states.iter().map(|s| s.width()).sum();
        let buckets = (capacity * 8 / 7).next_power_of_two();
        capacity * (widths + 12) + buckets * 5
    }

    /// Appends what is kept of these: their keys, and their states by aggregate.
    pub(crate) fn save(&self, groups: &[u32], out: &mut Vec<u8>) {
        for group in groups {
            // Every key has bytes.
            put_sized(out, |out| match self.is_retired(*group) {
                true => {}
                false => self.key(*group).put(out),
            });
        }
        for states in &self.states {
            states.save_all(groups, out);
        }
    }

    /// The groups that were written in these chunks.
    pub(crate) fn read(shape: &Arc<Shape>, chunks: &BTreeMap<u32, &[u8]>) -> Option<Self> {
        Self::read_with(shape, chunks, |_, _| Some(()))
    }

    /// The same, with more behind what is kept of them.
    pub(crate) fn read_with(
        shape: &Arc<Shape>,
        chunks: &BTreeMap<u32, &[u8]>,
        mut more: impl FnMut(&[u32], &mut Reader<'_>) -> Option<()>,
    ) -> Option<Self> {
        let (saved, mut runs) = Saved::read(chunks)?;
        let mut groups = Self::new(shape);
        groups.capacity = saved.len();
        groups.keys.reserve(groups.capacity);
        let mut keys: Vec<&[u8]> = vec![&[]; saved.len()];
        for run in &mut runs {
            for group in &run.groups {
                *keys.get_mut(*group as usize)? = run.states.bytes()?;
            }
        }
        for key in keys {
            let before = groups.len;
            if key.is_empty() {
                groups.push_retired();
                continue;
            }
            groups.number(shape.keys.parse(key)?);
            if groups.len == before {
                return None;
            }
        }
        for states in &mut groups.states {
            states.grow(groups.len, groups.capacity);
        }
        for run in &mut runs {
            for states in &mut groups.states {
                states.load_all(&run.groups, &mut run.states)?;
            }
            more(&run.groups, &mut run.states)?;
            if !run.states.is_empty() {
                return None;
            }
        }
        groups.saved = saved;
        groups.sums_max = groups.sums();
        Some(groups)
    }

    /// The greatest sum of whole numbers there is, without its sign.
    pub(crate) fn sums(&self) -> u128 {
        let most = |s: &dyn States| (0..self.len).map(|g| s.sum(g).unsigned_abs()).max();
        self.states.iter().filter_map(|s| most(s.as_ref())).max().unwrap_or(0)
    }

    /// States of these kinds for one group, from what was saved of it.
    pub(crate) fn one(shape: &Shape, saved: &[u8]) -> Result<Vec<Box<dyn States>>> {
        let mut reader = Reader(saved);
        let mut all: Vec<_> = shape.plans.iter().map(Plan::states).collect();
        for states in &mut all {
            states.grow(1, 1);
            states.load(0, &mut reader).ok_or_else(unfit)?;
        }
        Ok(all)
    }
}

/// Room for some more than are needed, so that growing is rare.
pub(crate) fn roomy(needed: usize, capacity: usize) -> usize {
    needed.max(capacity + capacity / 2).max(4)
}
