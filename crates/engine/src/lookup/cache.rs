//! Answers that are kept for a while: within a bound of bytes, those used last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use millstream_core::lookup::{Answer, Key};

/// What an entry takes beside its key and its answer: two nodes of trees, about.
const ENTRY_BYTES: usize = 160;

/// Answers by key.
pub(crate) struct Cache {
    ttl: Duration,
    bytes_max: u64,
    bytes: u64,
    entries: BTreeMap<Key, Entry>,
    /// Keys by the turn in which they were used last.
    turns: BTreeMap<u64, Key>,
    turn: u64,
}

struct Entry {
    answer: Arc<Answer>,
    until: Instant,
    turn: u64,
    bytes: u64,
}

impl Cache {
    pub(crate) fn new(ttl: Duration, bytes_max: u64) -> Self {
        let (entries, turns) = (BTreeMap::new(), BTreeMap::new());
        Self { ttl, bytes_max, bytes: 0, entries, turns, turn: 0 }
    }

    /// What was answered, unless that is too long ago.
    pub(crate) fn get(&mut self, key: &str, now: Instant) -> Option<Arc<Answer>> {
        let entry = self.entries.get_mut(key)?;
        if entry.until <= now {
            self.remove(key);
            return None;
        }
        self.turn += 1;
        if let Some(key) = self.turns.remove(&entry.turn) {
            self.turns.insert(self.turn, key);
        }
        entry.turn = self.turn;
        Some(entry.answer.clone())
    }

    /// Keeps an answer that came just now; others leave for it.
    pub(crate) fn put(&mut self, key: Key, answer: Arc<Answer>, now: Instant) {
        self.remove(&key);
        let bytes = (answer.bytes() + key.len() + ENTRY_BYTES) as u64;
        if self.ttl.is_zero() || bytes > self.bytes_max {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = self.turns.pop_first() else { break };
            self.remove(&oldest);
        }
        self.turn += 1;
        self.bytes += bytes;
        self.turns.insert(self.turn, key.clone());
        let until = now + self.ttl;
        self.entries.insert(key, Entry { answer, until, turn: self.turn, bytes });
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.turns.remove(&entry.turn);
            self.bytes -= entry.bytes;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.turns.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Arc<Answer> {
        Arc::new(Answer::Found(vec![Some(text.to_owned().into())]))
    }

    fn cache(ttl_s: u64, bytes_max: u64) -> (Cache, Instant) {
        (Cache::new(Duration::from_secs(ttl_s), bytes_max), Instant::now())
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_no_longer() {
        let (mut cache, now) = cache(10, 1 << 20);
        cache.put("a".into(), answer("1"), now);
        let later = |s| now + Duration::from_secs(s);
        assert_eq!(cache.get("a", later(9)), Some(answer("1")));
        assert_eq!(cache.get("a", later(10)), None, "having been used keeps nothing longer");
        assert_eq!(cache.bytes, 0);
        assert!(cache.turns.is_empty());
    }

    #[test]
    fn without_time_nothing_is_kept() {
        let (mut cache, now) = cache(0, 1 << 20);
        cache.put("a".into(), answer("1"), now);
        assert_eq!(cache.get("a", now), None);
    }

    #[test]
    fn at_the_bound_those_used_longest_ago_leave() {
        let one = (answer("1").bytes() + 1 + ENTRY_BYTES) as u64;
        let (mut cache, now) = cache(10, 3 * one);
        for key in ["a", "b", "c"] {
            cache.put(key.into(), answer("1"), now);
        }
        assert!(cache.get("a", now).is_some());
        cache.put("d".into(), answer("1"), now);
        assert_eq!(cache.get("b", now), None);
        assert!(["a", "c", "d"].iter().all(|k| cache.get(k, now).is_some()));
        assert_eq!(cache.bytes, 3 * one);
        // A new answer for a key takes the place of the old one.
        cache.put("a".into(), answer("2"), now);
        assert_eq!((cache.get("a", now), cache.bytes), (Some(answer("2")), 3 * one));
        // What is larger than the bound is not kept, and drives nobody out.
        cache.put("e".into(), answer(&"x".repeat(10_000)), now);
        assert_eq!(cache.entries.len(), 3);
    }
}
