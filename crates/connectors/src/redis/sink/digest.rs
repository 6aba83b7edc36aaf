//! A digest of what was pushed, so that a repeated epoch can be held against what is there of it.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::render::Rendered;

/// The words of rows, in order, and where they went: the same however the rows were cut into pieces.
pub(super) struct Digest(Box<Xxh3>);

impl Digest {
    /// Of no rows yet.
    pub(super) fn to(target: &str) -> Self {
        let mut digest = Self(Box::new(Xxh3::new()));
        digest.word(target.as_bytes());
        digest
    }

    /// Adds rows.
    pub(super) fn add(&mut self, rows: &Rendered, some: Range<usize>) {
        for word in rows.arguments(some) {
            self.word(word);
        }
    }

    fn word(&mut self, word: &[u8]) {
        self.0.update(&(word.len() as u64).to_le_bytes());
        self.0.update(word);
    }

    /// Of what was added so far.
    pub(super) fn value(&self) -> u64 {
        self.0.digest()
    }
}
