//! Event time: how far each source has come, split by split.
//!
//! The watermark of a source is the greatest event time less `delay`, the least over its active splits. It depends on the
//! frames alone: that a split is idle, or has ended, is a frame too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch, TimestampMicrosecondArray};
use serde::{Deserialize, Serialize};

use millstream_core::clock::Timestamp;
use millstream_core::codec::{ColumnType, Columns, Decoded};
use millstream_core::{Error, Result};

use crate::config::EventTime;

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reach {
    /// It is taken to be complete up to here.
    Upto(Timestamp),
    /// The same, and it holds nobody back: it has had nothing to say for a while.
    Idle(Timestamp),
}

impl Reach {
    /// Nothing has come yet.
    pub(crate) const BEGIN: Self = Self::Upto(Timestamp::BEGIN);

    /// The watermark.
    pub(crate) fn upto(self) -> Timestamp {
        match self {
            Self::Upto(at) | Self::Idle(at) => at,
        }
    }

    /// How far a view has come that had come to `before` and reads these.
    pub(crate) fn of_all(before: Self, inputs: impl Iterator<Item = Self>) -> Self {
        let active = inputs.filter_map(|reach| match reach {
            Self::Upto(at) => Some(at),
            Self::Idle(_) => None,
        });
        match active.min() {
            // After the end of everything time may begin anew.
            Some(at) if before.upto() == Timestamp::END => Self::Upto(at),
            Some(at) => Self::Upto(at.max(before.upto())),
            None => Self::Idle(before.upto()),
        }
    }
}

/// The event time of one source.
pub(crate) struct SourceTime {
    options: EventTime,
    state: SourceState,
}

/// What a checkpoint keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceState {
    /// Splits that have not ended.
    splits: BTreeMap<String, Split>,
    /// It never falls, but after the end.
    reach: Reach,
    /// The greatest event time of all rows so far.
    latest: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Split {
    /// The greatest event time of its rows.
    most: Timestamp,
    idle: bool,
}

impl SourceState {
    /// What it would be if rows could always have come so late.
    pub(crate) fn for_delay(&mut self, delay: Duration) {
        if self.reach.upto() != Timestamp::END {
            let least = self.splits.values().map(|split| split.most.before(delay)).min();
            let least = least.unwrap_or(Timestamp::BEGIN);
            self.reach = match self.reach {
                Reach::Upto(_) => Reach::Upto(least),
                Reach::Idle(_) => Reach::Idle(least),
            };
        }
    }
}

impl SourceTime {
    /// Before the first frame.
    pub(crate) fn new(options: EventTime) -> Self {
        let (splits, latest) = (BTreeMap::new(), Timestamp::BEGIN);
        let state = SourceState { splits, reach: Reach::BEGIN, latest };
        Self { options, state }
    }

    /// The column of event time.
    pub(crate) fn column(&self) -> &str {
        &self.options.column
    }

    /// How late rows may come.
    pub(crate) fn delay(&self) -> Duration {
        self.options.delay.0
    }

    /// How far the source has come.
    pub(crate) fn reach(&self) -> Reach {
        self.state.reach
    }

    /// The greatest event time of all rows so far.
    pub(crate) fn latest(&self) -> Timestamp {
        self.state.latest
    }

    /// Whether these columns have what it needs.
    ///
    /// # Errors
    /// `Stop` with what to declare.
    pub(crate) fn fits(&self, source: &str, columns: &Columns) -> Result<()> {
        fits(source, &self.options, columns)
    }

    /// Rows that are too far in the future to be believed, by ordinal, each with the reason.
    pub(crate) fn ahead(&self, decoded: &Decoded, arrival: Timestamp) -> BTreeMap<u32, String> {
        let most = arrival.after(self.options.ahead.0);
        let Some(times) = self.times(&decoded.batch) else { return BTreeMap::new() };
        // Without one beyond it, which is the rule, this is all there is to do.
        if arrow_max(times).is_none_or(|max| max <= most.0) {
            return BTreeMap::new();
        }
        let (column, ahead) = (&self.options.column, self.options.ahead);
        let far = times.iter().enumerate().filter(|(_, t)| t.is_some_and(|t| t > most.0));
        far.map(|(i, _)| {
            let ordinal = match &decoded.ordinals {
                Some(ordinals) => ordinals.get(i).copied().unwrap_or(u32::MAX),
                None => u32::try_from(i).unwrap_or(u32::MAX),
            };
            (ordinal, format!("`{column}` is more than {ahead} ahead of its arrival"))
        })
        .collect()
    }

    /// Takes in the rows of a block: the watermark before each ordinal, up to the last good row.
    pub(crate) fn see(&mut self, split: &str, decoded: &Decoded) -> Arc<[Timestamp]> {
        let state = &mut self.state;
        if !split.is_empty() {
            // It stood for the source as a whole, before that had any split.
            state.splits.remove("");
        }
        if state.reach.upto() == Timestamp::END {
            // It had ended: what comes now is a time of its own.
            state.splits.clear();
            state.reach = Reach::BEGIN;
        }
        let floor = state.reach.upto();
        let others = state.splits.iter().filter(|(name, s)| !s.idle && *name != split);
        let delay = self.options.delay.0;
        let ceiling = others.map(|(_, s)| s.most.before(delay)).min().unwrap_or(Timestamp::END);
        let mut most = state.splits.get(split).map_or(Timestamp::BEGIN, |s| s.most);
        let mut before = Vec::with_capacity(decoded.batch.num_rows());
        let mark = |most: Timestamp| most.before(delay).min(ceiling).max(floor);
        let times = self.times(&decoded.batch).cloned();
        let mut now = mark(most);
        for row in 0..decoded.batch.num_rows() {
            if let Some(ordinals) = &decoded.ordinals {
                // Rows between that were refused have no event time.
                let ordinal = ordinals.get(row).copied().unwrap_or(u32::MAX);
                before.resize((ordinal as usize).max(before.len()), now);
            }
            before.push(now);
            let time = times.as_ref().filter(|t| t.is_valid(row)).map(|t| Timestamp(t.value(row)));
            if let Some(time) = time.filter(|time| *time > most) {
                most = time;
                now = mark(most);
            }
        }
        self.state.splits.insert(split.to_owned(), Split { most, idle: false });
        self.state.latest = self.state.latest.max(most);
        self.settle();
        before.into()
    }

    /// The split has had nothing to say for a while. Without a name it is the source as a whole, before it had any split.
    pub(crate) fn idle(&mut self, split: &str) {
        let none = Split { most: Timestamp::BEGIN, idle: true };
        self.state.splits.entry(split.to_owned()).or_insert(none).idle = true;
        self.settle();
    }

    /// The split has ended. Without a name it is the source as a whole: nothing comes any more.
    pub(crate) fn end(&mut self, split: &str) {
        if split.is_empty() {
            self.state.splits.clear();
            self.state.reach = Reach::Upto(Timestamp::END);
        } else if self.state.splits.remove(split).is_some() {
            self.settle();
        }
    }

    /// Works out how far it has come by now.
    fn settle(&mut self) {
        let SourceState { splits, reach, .. } = &mut self.state;
        let active = splits.values().filter(|s| !s.idle);
        let least = active.map(|s| s.most.before(self.options.delay.0)).min();
        *reach = match least {
            Some(least) => Reach::Upto(least.max(reach.upto())),
            None if splits.is_empty() => Reach::Upto(reach.upto()),
            None => Reach::Idle(reach.upto()),
        };
    }

    /// What a checkpoint keeps of it.
    pub(crate) fn state(&self) -> &SourceState {
        &self.state
    }

    /// Goes back to what a checkpoint kept.
    pub(crate) fn go_back(&mut self, state: SourceState) {
        self.state = state;
    }

    /// The same, where rows could come earlier or later then than they can now.
    pub(crate) fn go_back_for(&mut self, mut state: SourceState) {
        state.for_delay(self.options.delay.0);
        self.state = state;
        self.settle();
    }

    /// Rows have gone by unseen, which had arrived by then. Those that were further ahead than a row may be belong to no window.
    pub(crate) fn unseen(&mut self, arrived: Timestamp) {
        self.state.latest = self.state.latest.max(arrived.after(self.options.ahead.0));
    }

    fn times<'a>(&self, batch: &'a RecordBatch) -> Option<&'a TimestampMicrosecondArray> {
        batch.column_by_name(&self.options.column)?.as_primitive_opt::<TimestampMicrosecondType>()
    }
}

fn arrow_max(times: &TimestampMicrosecondArray) -> Option<i64> {
    if times.null_count() == 0 {
        return times.values().iter().copied().max();
    }
    times.iter().flatten().max()
}

/// Whether the columns of a source have its event time.
///
/// # Errors
/// `Stop` with what to declare.
pub(crate) fn fits(source: &str, options: &EventTime, columns: &Columns) -> Result<()> {
    let column = &options.column;
    let found = columns.0.iter().find(|c| c.name == *column);
    let error = match found {
        Some(c) if is_moment(&c.r#type) => return Ok(()),
        Some(c) => Error::stop(format!("the event time `{column}` is of type {}", c.r#type))
            .fix(format!("declare `columns: {{ {column}: timestamp }}`, or `timestamp_ms` where it is a number")),
        None => Error::stop(format!("there is no column `{column}` to be the event time"))
            .fix(format!("declare it among `columns`, such as `{column}: timestamp`")),
    };
    Err(error.at(format!("sources.{source}.event_time")))
}

fn is_moment(r#type: &ColumnType) -> bool {
    use ColumnType::{Timestamp, TimestampMs, TimestampS, TimestampUs};
    matches!(r#type, Timestamp | TimestampS | TimestampMs | TimestampUs)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millstream_core::fields::Span;

    use super::*;

    #[test]
    fn rows_that_went_by_unseen_may_have_been_ahead_of_their_arrival() {
        let (delay, ahead) = (Span::default(), Span(Duration::from_secs(60)));
        let options = EventTime { column: "ts".into(), delay, idle: None, ahead };
        let mut time = SourceTime::new(options);
        time.unseen(Timestamp(5));
        assert_eq!(time.latest(), Timestamp(60_000_005));
    }
}
