//! When keys are forgotten: once event time is so far past their last row.

use std::collections::BTreeMap;

/// So many parts of the span are told apart: a key is looked at about so often while it lives on.
const PARTS: i64 = 8;

/// When groups had their last rows.
pub(super) struct Expiry {
    span: i64,
    /// Of each group, the latest event time of its rows.
    lasts: Vec<i64>,
    /// Groups to be looked at, by when that is.
    due: BTreeMap<i64, Vec<u32>>,
    listed: usize,
}

impl Expiry {
    pub(super) fn new(span: i64) -> Self {
        Self { span, lasts: vec![], due: BTreeMap::new(), listed: 0 }
    }

    /// The moment at which a row of then is of no use any more.
    pub(super) fn end(&self, time: i64) -> i64 {
        time.saturating_add(self.span)
    }

    /// Whether the group's last row is too long ago.
    pub(super) fn is_over(&self, group: u32, watermark: i64) -> bool {
        self.lasts.get(group as usize).is_some_and(|last| self.end(*last) <= watermark)
    }

    /// A row of the group has come.
    pub(super) fn note(&mut self, group: u32, time: i64) {
        match self.lasts.get_mut(group as usize) {
            Some(last) => *last = time.max(*last),
            None => {
                self.lasts.resize(group as usize + 1, time);
                self.list(group, time);
            }
        }
    }

    fn list(&mut self, group: u32, last: i64) {
        let part = (self.span / PARTS).max(1);
        let at = self.end(last).div_euclid(part).saturating_add(1).saturating_mul(part);
        self.due.entry(at).or_default().push(group);
        self.listed += 1;
    }

    /// Groups of which all rows are too long ago: some soon after that is so, and all in the end.
    pub(super) fn over(&mut self, watermark: i64) -> Vec<u32> {
        let mut over = vec![];
        while let Some(first) = self.due.first_entry() {
            if *first.key() > watermark {
                break;
            }
            for group in first.remove() {
                self.listed -= 1;
                match self.lasts.get(group as usize) {
                    Some(last) if self.end(*last) > watermark => self.list(group, *last),
                    _ => over.push(group),
                }
            }
        }
        over
    }

    pub(super) fn last(&self, group: u32) -> i64 {
        self.lasts.get(group as usize).copied().unwrap_or(i64::MIN)
    }

    /// Groups, by number, had their last rows then; those that are over for good have none.
    pub(super) fn set(&mut self, lasts: Vec<Option<i64>>) {
        *self = Self::new(self.span);
        self.lasts = lasts.iter().map(|last| last.unwrap_or(i64::MIN)).collect();
        for (group, last) in (0..).zip(lasts) {
            if let Some(last) = last {
                self.list(group, last);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.lasts.capacity() * 8 + self.listed * 8
    }
}
