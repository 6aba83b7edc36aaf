//! How far event time had come at some offsets of the past: what is known of rows that the queue has no more.
//!
//! A view that is built anew begins at one of these, as if the rows before it had never been, and knows from which moment on
//! its windows are whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::record::Offset;
use millstream_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::remember::Times;

/// About so many are kept over what the queue holds; twice as many are thinned out.
const MARKS: u64 = 32;

/// They are thinned out beyond this too, as every split is in every one.
const BYTES_MAX: usize = 256 << 10;

/// Marks by the offset of the first frame that is not in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks(BTreeMap<Offset, Times>);

impl Marks {
    /// Adds one at this offset, unless the last is near. Those of frames that are gone, `first` being the first that is kept, go too.
    /// Says whether anything changed.
    pub(crate) fn add(&mut self, at: Offset, first: Offset, times: impl FnOnce() -> Times) -> bool {
        let apart = at.0.saturating_sub(first.0) / MARKS;
        let near = |last: &Offset| at <= *last || at.0 - last.0 < apart.max(1);
        if self.0.last_key_value().is_some_and(|(last, _)| near(last)) {
            return false;
        }
        self.0.retain(|offset, _| *offset >= first);
        self.0.insert(at, times());
        if self.0.len() as u64 > 2 * MARKS {
            self.thin();
        }
        true
    }

    /// Every other one goes, and the last stays.
    fn thin(&mut self) {
        let mut keep = self.0.len().is_multiple_of(2);
        self.0.retain(|_, _| {
            keep = !keep;
            keep
        });
    }

    /// Marks at this offset or after it, oldest first.
    pub(crate) fn since(&self, first: Offset) -> impl Iterator<Item = (Offset, &Times)> {
        self.0.range(first..).map(|(offset, times)| (*offset, times))
    }

    /// Changes what they all say.
    pub(crate) fn each(&mut self, change: impl FnMut(&mut Times)) {
        self.0.values_mut().for_each(change);
    }

    pub(crate) fn encode(&mut self) -> Result<Bytes> {
        loop {
            let bytes = postcard::to_stdvec(self)
                .map_err(|e| Error::stop("cannot encode marks of event time").because(e))?;
            if bytes.len() <= BYTES_MAX || self.0.len() < 2 {
                return Ok(bytes.into());
            }
            self.thin();
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|e| {
            Error::stop("the marks of event time in the checkpoint were written by another version")
                .because(e)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(marks: &Marks) -> Vec<u64> {
        marks.0.keys().map(|o| o.0).collect()
    }

    #[test]
    fn there_are_dozens_over_whatever_the_queue_holds() {
        let mut marks = Marks::default();
        let mut added = 0;
        for at in 1..100_000 {
            added += u64::from(marks.add(Offset(at), Offset(0), Times::default));
        }
        let kept = offsets(&marks);
        assert!(kept.len() as u64 >= MARKS / 2 && kept.len() as u64 <= 2 * MARKS, "{kept:?}");
        assert!(kept.last().unwrap() > &96_000, "{kept:?}");
        // Few are written, however long it goes on.
        assert!(added < 1_000, "{added}");
        // The queue is trimmed: the next one is the first that is known of.
        assert!(marks.add(Offset(100_000), Offset(50_000), Times::default));
        let first = marks.since(Offset(50_000)).next().unwrap().0;
        assert!(offsets(&marks).iter().all(|o| *o >= 50_000) && first.0 < 58_000, "{first}");
    }

    #[test]
    fn nothing_is_added_twice() {
        let mut marks = Marks::default();
        assert!(marks.add(Offset(5), Offset(0), Times::default));
        assert!(!marks.add(Offset(5), Offset(0), Times::default));
        assert!(!marks.add(Offset(4), Offset(0), Times::default));
        assert!(marks.add(Offset(6), Offset(0), Times::default));
        assert_eq!(Marks::decode(&marks.encode().unwrap()).unwrap(), marks);
    }
}
