//! Keys, and the numbers by which they are known as long as they are.

use hashbrown::HashTable;

use super::moment::NONE;
use crate::window::bytes::{Reader, put, put_sized, short};
use crate::window::keys::{Encoded, Key, Keys};

/// What is known of a key.
#[derive(Clone, Copy, Default)]
pub(super) struct Name {
    /// The event time of its first row and of its last one.
    pub born: i64,
    pub last: i64,
    /// How many rows it has had.
    pub rows: u64,
    /// No row of it comes once event time has passed this.
    pub dies: i64,
    /// No other key has or had it, while a number may come to another key.
    pub serial: u64,
    pub lives: bool,
}

/// The keys there are.
pub(super) struct Names {
    keys: Keys,
    index: HashTable<u32>,
    /// The number of the key that is none.
    none: Option<u32>,
    lanes: Vec<i64>,
    texts: Vec<Box<[u8]>>,
    heap: usize,
    all: Vec<Name>,
    /// Numbers that no key has.
    free: Vec<u32>,
    /// The last row of each key among those at hand.
    here: Vec<u32>,
    pub next_serial: u64,
}

impl Names {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            index: HashTable::new(),
            none: None,
            lanes: vec![],
            texts: vec![],
            heap: 0,
            all: vec![],
            free: vec![],
            here: vec![],
            next_serial: 0,
        }
    }

    pub(super) fn shape(&self) -> &Keys {
        &self.keys
    }

    /// So many numbers were ever given.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn living(&self) -> usize {
        self.all.len() - self.free.len()
    }

    pub(super) fn get(&self, group: u32) -> Option<&Name> {
        self.all.get(group as usize)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Name)> {
        (0..).zip(&self.all)
    }

    fn key(&self, group: u32) -> Key<'_> {
        key_of(&self.lanes, &self.texts, self.keys.is_lane(), group)
    }

    fn find(&self, key: Key<'_>) -> Option<u32> {
        if key == Key::None {
            return self.none;
        }
        self.index.find(key.hash(), |g| self.key(*g) == key).copied()
    }

    /// Numbers each row's key and each row of a key. A key that was silent for longer than `forget` begins anew under another
    /// number; what it was known by before comes to `gone`.
    pub(super) fn number(
        &mut self,
        encoded: &Encoded,
        times: &[i64],
        dies: impl Fn(usize) -> i64,
        forget: Option<i64>,
        gone: &mut Vec<u32>,
    ) -> (Vec<u32>, Vec<u64>) {
        let (mut groups, mut numbers) = (Vec::with_capacity(times.len()), vec![]);
        numbers.reserve(times.len());
        for (i, time) in times.iter().enumerate() {
            let key = encoded.key(i);
            let mut found = self.find(key);
            if let (Some(group), Some(forget)) = (found, forget)
                && self.get(group).is_some_and(|n| time.saturating_sub(n.last) > forget)
            {
                self.unname(group);
                gone.push(group);
                found = None;
            }
            let group = found.unwrap_or_else(|| self.add(key, *time, dies(i)));
            if let Some(name) = self.all.get_mut(group as usize) {
                name.last = *time;
                numbers.push(name.rows);
                name.rows += 1;
            }
            groups.push(group);
        }
        (groups, numbers)
    }

    fn add(&mut self, key: Key<'_>, time: i64, dies: i64) -> u32 {
        let group = self.free.pop().unwrap_or_else(|| short(self.all.len()));
        self.put(group, key);
        if let Some(name) = self.all.get_mut(group as usize) {
            let serial = self.next_serial;
            *name = Name { born: time, last: time, rows: 0, dies, serial, lives: true };
            self.next_serial += 1;
        }
        group
    }

    /// Gives a number to a key.
    fn put(&mut self, group: u32, key: Key<'_>) {
        let at = group as usize;
        if self.all.len() <= at {
            self.all.resize(at + 1, Name::default());
            self.here.resize(at + 1, NONE);
            if self.keys.is_lane() {
                self.lanes.resize(at + 1, 0);
            } else {
                self.texts.resize(at + 1, Box::default());
            }
        }
        match key {
            Key::None => self.none = Some(group),
            Key::Lane(value) => {
                if let Some(lane) = self.lanes.get_mut(at) {
                    *lane = value;
                }
            }
            Key::Bytes(bytes) => {
                self.heap += bytes.len();
                if let Some(text) = self.texts.get_mut(at) {
                    *text = Box::from(bytes);
                }
            }
        }
        if key != Key::None {
            let (lanes, texts, is_lane) = (&self.lanes, &self.texts, self.keys.is_lane());
            let hash = |g: &u32| key_of(lanes, texts, is_lane, *g).hash();
            self.index.insert_unique(key.hash(), group, hash);
        }
    }

    /// The key of a number is called by it no more.
    fn unname(&mut self, group: u32) {
        if self.none == Some(group) {
            self.none = None;
            return;
        }
        let hash = self.key(group).hash();
        if let Ok(entry) = self.index.find_entry(hash, |g| *g == group) {
            entry.remove();
        }
    }

    /// A key goes, and its number is free.
    pub(super) fn remove(&mut self, group: u32) {
        self.unname(group);
        self.release(group);
    }

    /// The number of a key that is called otherwise now is free.
    pub(super) fn release(&mut self, group: u32) {
        if let Some(text) = self.texts.get_mut(group as usize) {
            self.heap -= std::mem::take(text).len();
        }
        if let Some(name) = self.all.get_mut(group as usize) {
            *name = Name::default();
            self.free.push(group);
        }
    }

    /// The numbers of all that live, if most do not: these may be called by their places then.
    pub(super) fn few(&self) -> Option<Vec<u32>> {
        let few = self.all.len() > 64 && self.living() < self.all.len() / 4;
        few.then(|| self.all().filter(|(_, n)| n.lives).map(|(g, _)| g).collect())
    }

    /// Keeps these alone, and calls them by their places.
    pub(super) fn keep(&mut self, groups: &[u32]) {
        let at = |g: &u32| *g as usize;
        self.all = groups.iter().filter_map(|g| self.all.get(at(g)).copied()).collect();
        self.here = vec![NONE; self.all.len()];
        self.none = self.none.and_then(|n| groups.iter().position(|g| *g == n)).map(short);
        self.free = vec![];
        if self.keys.is_lane() {
            self.lanes = groups.iter().filter_map(|g| self.lanes.get(at(g)).copied()).collect();
        } else {
            let mut take = |g: &u32| self.texts.get_mut(at(g)).map(std::mem::take);
            self.texts = groups.iter().map(|g| take(g).unwrap_or_default()).collect();
        }
        let (lanes, texts, is_lane) = (&self.lanes, &self.texts, self.keys.is_lane());
        let hash = |g: &u32| key_of(lanes, texts, is_lane, *g).hash();
        self.index = HashTable::with_capacity(groups.len());
        for group in (0..short(groups.len())).filter(|g| self.none != Some(*g)) {
            self.index.insert_unique(hash(&group), group, hash);
        }
    }

    /// Notes a row of a key as its last one here, and says which was before.
    pub(super) fn last_here(&mut self, group: u32, row: u32) -> u32 {
        match self.here.get_mut(group as usize) {
            Some(here) => std::mem::replace(here, row),
            None => NONE,
        }
    }

    /// No more rows are at hand.
    pub(super) fn forget_here(&mut self, groups: &[u32]) {
        for group in groups {
            if let Some(here) = self.here.get_mut(*group as usize) {
                *here = NONE;
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let lanes = self.lanes.capacity() * 8;
        let texts = self.texts.capacity() * size_of::<Box<[u8]>>() + self.heap;
        let names = self.all.capacity() * (size_of::<Name>() + 4) + self.free.capacity() * 4;
        lanes + texts + names + self.index.allocation_size()
    }

    pub(super) fn save(&self, group: u32, out: &mut Vec<u8>) {
        let Some(name) = self.get(group) else { return };
        out.push(u8::from(name.lives));
        if !name.lives {
            return;
        }
        let key = if self.none == Some(group) { Key::None } else { self.key(group) };
        put_sized(out, |out| key.put(out));
        for word in [name.born, name.last, name.dies] {
            put(out, word.cast_unsigned());
        }
        put(out, name.rows);
        put(out, name.serial);
    }

    /// Takes a key back; whether it lives.
    pub(super) fn load(&mut self, group: u32, from: &mut Reader<'_>) -> Option<bool> {
        if from.u8()? == 0 {
            return Some(false);
        }
        let bytes = from.bytes()?;
        let key = self.keys.parse(bytes)?;
        if self.find(key).is_some() {
            return None;
        }
        let (born, last, dies) = (from.i64()?, from.i64()?, from.i64()?);
        let (rows, serial) = (from.u64()?, from.u64()?);
        self.put(group, key);
        *self.all.get_mut(group as usize)? = Name { born, last, rows, dies, serial, lives: true };
        Some(true)
    }

    /// So many numbers are there; those that no key has are free.
    pub(super) fn settle(&mut self, len: usize) {
        self.all.resize(len, Name::default());
        self.here.resize(len, NONE);
        if self.keys.is_lane() {
            self.lanes.resize(len, 0);
        } else {
            self.texts.resize(len, Box::default());
        }
        let free = (0..).zip(&self.all).filter(|(_, n)| !n.lives).map(|(g, _)| g);
        self.free = free.collect();
    }
}

fn key_of<'a>(lanes: &[i64], texts: &'a [Box<[u8]>], is_lane: bool, group: u32) -> Key<'a> {
    let at = group as usize;
    if is_lane {
        Key::Lane(lanes.get(at).copied().unwrap_or_default())
    } else {
        Key::Bytes(texts.get(at).map_or(&[][..], |t| t))
    }
}
