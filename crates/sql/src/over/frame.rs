//! Frames as spans of the numbers that rows have among those of their key.

use datafusion_common::Result;

use super::histories::Histories;
use super::history::{Low, Value};
use super::moment::Moment;
use super::spec::{Analysis, Frame};
use crate::window::bytes::{Reader, put};

/// The frames of some rows: from a number on, up to before another one. Neither falls along the rows of a key.
#[derive(Default)]
pub(super) struct Span {
    pub starts: Vec<u64>,
    pub ends: Vec<u64>,
}

/// A frame at work.
pub(super) struct Spanner {
    frame: Frame,
    /// Of a frame that goes by time: where the times are remembered, and for each key where it began and ended last.
    times: Option<usize>,
    last: Vec<(u64, u64)>,
}

impl Spanner {
    pub(super) fn new(spec: &Analysis, at: usize, histories: &mut Histories) -> Result<Self> {
        let frame = spec.frames.get(at).copied().unwrap_or(Frame::Rows { start: None, end: 0 });
        let by_time = match frame {
            Frame::Range { start, end } => start.is_some_and(|s| s > 0) || end > 0,
            Frame::Rows { .. } => false,
        };
        let times = if by_time {
            let low = if frame.is_unbounded() { Low::End(at) } else { Low::Start(at) };
            let time = super::call::column(&spec.input, spec.time)?;
            Some(histories.place((&[time], None), false, low, &spec.input)?)
        } else {
            None
        };
        Ok(Self { frame, times, last: vec![] })
    }

    pub(super) fn grow(&mut self, len: usize) {
        if self.times.is_some() {
            self.last.resize(len, (0, 0));
        }
    }

    pub(super) fn clear(&mut self, group: u32) {
        if let Some(last) = self.last.get_mut(group as usize) {
            *last = (0, 0);
        }
    }

    pub(super) fn keep(&mut self, groups: &[u32]) {
        if self.times.is_some() {
            let last = |g: &u32| self.last.get(*g as usize).copied().unwrap_or_default();
            self.last = groups.iter().map(last).collect();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.last.capacity() * size_of::<(u64, u64)>()
    }

    pub(super) fn save(&self, group: u32, out: &mut Vec<u8>) {
        if let Some((start, end)) = self.last.get(group as usize) {
            put(out, *start);
            put(out, *end);
        }
    }

    pub(super) fn load(&mut self, group: u32, from: &mut Reader<'_>) -> Option<()> {
        if self.times.is_some() {
            *self.last.get_mut(group as usize)? = (from.u64()?, from.u64()?);
        }
        Some(())
    }

    /// The frames of these rows, which are remembered already.
    pub(super) fn spans(&mut self, rows: &Moment, histories: &Histories) -> Result<Span> {
        let span = match (self.frame, self.times) {
            (Frame::Rows { start, end }, _) => {
                let ends = rows.numbers.iter().map(|n| (n + 1).saturating_sub(end));
                let starts = rows.numbers.iter();
                let starts = starts.map(|n| start.map_or(0, |start| n.saturating_sub(start)));
                Span { starts: starts.collect(), ends: ends.collect() }
            }
            (Frame::Range { start: None, .. }, None) => {
                Span { starts: vec![0; rows.len()], ends: rows.behind.clone() }
            }
            (Frame::Range { .. }, None) => {
                Span { starts: rows.firsts.clone(), ends: rows.behind.clone() }
            }
            (Frame::Range { start, end }, Some(times)) => {
                self.by_time(rows, histories, times, (start, end))?
            }
        };
        let Span { mut starts, ends } = span;
        // A frame that ends before it begins has no rows.
        starts.iter_mut().zip(&ends).for_each(|(start, end)| *start = (*start).min(*end));
        Ok(Span { starts, ends })
    }

    fn by_time(
        &mut self,
        rows: &Moment,
        histories: &Histories,
        times: usize,
        (start, end): (Option<i64>, i64),
    ) -> Result<Span> {
        let rings = i64::rings(histories.get(times)?)?;
        let mut span =
            Span { starts: Vec::with_capacity(rows.len()), ends: Vec::with_capacity(rows.len()) };
        for ((group, time), behind) in rows.groups.iter().zip(&rows.times).zip(&rows.behind) {
            let (Some(ring), Some((first, last))) =
                (rings.of(*group), self.last.get_mut(*group as usize))
            else {
                continue;
            };
            if let Some(start) = start {
                let from = time.saturating_sub(start);
                while ring.get(*first).is_some_and(|t| *t < from) {
                    *first += 1;
                }
            }
            if end == 0 {
                *last = *behind;
            } else {
                let upto = time.saturating_sub(end);
                while ring.get(*last).is_some_and(|t| *t <= upto) {
                    *last += 1;
                }
            }
            span.starts.push(*first);
            span.ends.push(*last);
        }
        Ok(span)
    }
}
