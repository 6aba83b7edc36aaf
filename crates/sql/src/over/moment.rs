//! Rows whose time has come, in the order of event time, each with its number among those of its key.

use arrow_array::RecordBatch;

use super::names::Names;
use crate::window::bytes::short;

/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// Some rows, all of each moment that is among them.
pub(super) struct Moment {
    pub batch: RecordBatch,
    pub times: Vec<i64>,
    /// The number of each row's key, and of the row among those of its key, from 0.
    pub groups: Vec<u32>,
    pub numbers: Vec<u64>,
    /// The next row here of the same key.
    pub next: Vec<u32>,
    /// The numbers of the first row that order does not tell apart from it, and behind the last one.
    pub firsts: Vec<u64>,
    pub behind: Vec<u64>,
}

impl Moment {
    /// Puts rows of the same key in relation; `alike` says of two that follow each other and have one time whether order does not
    /// tell them apart.
    pub(super) fn new(
        (batch, times): (RecordBatch, Vec<i64>),
        (groups, numbers): (Vec<u32>, Vec<u64>),
        names: &mut Names,
        alike: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let len = times.len();
        let (mut next, mut firsts) = (vec![NONE; len], numbers.clone());
        for (i, group) in groups.iter().enumerate() {
            let before = names.last_here(*group, short(i));
            if before == NONE {
                continue;
            }
            let before = before as usize;
            if let Some(next) = next.get_mut(before) {
                *next = short(i);
            }
            if times.get(before) == times.get(i)
                && alike(before, i)
                && let Some(first) = firsts.get(before).copied()
                && let Some(own) = firsts.get_mut(i)
            {
                *own = first;
            }
        }
        let mut behind: Vec<_> = numbers.iter().map(|n| n + 1).collect();
        for (i, (next, first)) in next.iter().zip(&firsts).enumerate().rev() {
            let next = *next as usize;
            if firsts.get(next) == Some(first)
                && let Some(last) = behind.get(next).copied()
                && let Some(own) = behind.get_mut(i)
            {
                *own = last;
            }
        }
        names.forget_here(&groups);
        Self { batch, times, groups, numbers, next, firsts, behind }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }
}
