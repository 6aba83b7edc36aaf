//! One session, and where an index has it.

use std::hash::BuildHasher;

/// One session, or room for one.
pub(super) struct Session {
    pub key: Box<[u8]>,
    pub start: i64,
    /// The time of its last row.
    pub last: i64,
    /// Another one of the same key.
    pub next: u32,
    /// When it is looked at again.
    pub timer: i64,
    /// Its row, as it is now, has been given.
    pub given: bool,
    pub live: bool,
}

fn hash(key: &[u8], moment: Option<i64>) -> u64 {
    let hasher = foldhash::fast::FixedState::with_seed(0x7365_7373);
    match moment {
        Some(at) => hasher.hash_one((key, at)),
        None => hasher.hash_one(key),
    }
}

/// Where the index has a session of this key that begins then.
pub(super) fn spot(moments: bool, key: &[u8], start: i64) -> u64 {
    hash(key, moments.then_some(start))
}

impl Session {
    /// Whether the index has it in the same place as one of this key that begins then.
    pub(super) fn is_at(&self, moments: bool, key: &[u8], start: i64) -> bool {
        (!moments || self.start == start) && *self.key == *key
    }
}
