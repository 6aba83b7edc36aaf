//! The operator: rows in, the same rows out once event time has passed them, with what was computed of those before.

use std::sync::Arc;

use arrow::compute::{filter_record_batch, take_record_batch};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array,
};
use arrow_row::{RowConverter, SortField};
use bytes::Bytes;
use datafusion_common::{DataFusionError, Result};
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::error::Error;
use millstream_core::operator::Chunks;

use super::call::{self, Run, Seen};
use super::frame::Spanner;
use super::histories::Histories;
use super::moment::Moment;
use super::names::Names;
use super::sealed::Seals;
use super::spec::Analysis;
use super::waiting::{Waiting, cost};
use crate::stateful::{Stateful, Taken};
use crate::window::batch::lagging;
use crate::window::bytes::short;
use crate::window::keys::{Keys, unfit};
use crate::window::saved::Saved;

/// Rows with what was computed of those before them.
///
/// What it gives depends on the rows and their watermarks alone: not on how rows were cut into batches, not on snapshots, and not on
/// when keys are forgotten, for a key that could be begins anew.
pub(crate) struct Analyst {
    pub(super) spec: Analysis,
    pub(super) waiting: Waiting,
    pub(super) names: Names,
    pub(super) histories: Histories,
    pub(super) spanners: Vec<Spanner>,
    pub(super) calls: Vec<Box<dyn Run>>,
    /// What puts rows of one moment in order.
    order: Option<RowConverter>,
    pub(super) saved: Saved,
    pub(super) seals: Seals,
    /// Rows before this have been given.
    pub(super) given: i64,
    /// Of rows before this it may not have seen all.
    pub(super) whole_from: i64,
    /// Up to where keys that may be forgotten were looked for, how many rows were given since, and when the first key dies.
    swept: i64,
    rows: usize,
    dies: i64,
    /// Chunks that are of no more use.
    pub(super) gone: Vec<u32>,
    pub(super) notes: Vec<u8>,
    pub(super) next_run: u32,
}

impl Analyst {
    pub(crate) fn new(spec: Analysis) -> Result<Self> {
        let keys = Keys::new(spec.keys.iter().map(|(_, field)| field.clone()).collect())?;
        let mut histories = Histories::default();
        let spanners = (0..spec.frames.len()).map(|at| Spanner::new(&spec, at, &mut histories));
        let spanners = spanners.collect::<Result<_>>()?;
        let calls = (0..spec.calls.len()).map(|at| call::run(&spec, at, &mut histories));
        let calls = calls.collect::<Result<_>>()?;
        let order = spec.orders.iter().map(|(place, options)| {
            let kind = spec.input.fields().get(*place).map(|f| f.data_type().clone());
            Ok(SortField::new_with_options(kind.ok_or_else(unfit)?, *options))
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let order = if order.is_empty() { None } else { Some(RowConverter::new(order)?) };
        Ok(Self {
            waiting: Waiting::new(spec.input.clone()),
            names: Names::new(keys),
            histories,
            spanners,
            calls,
            order,
            saved: Saved::default(),
            seals: Seals::default(),
            given: i64::MIN,
            whole_from: i64::MIN,
            swept: i64::MIN,
            rows: 0,
            dies: i64::MAX,
            gone: vec![],
            notes: vec![],
            next_run: 0,
            spec,
        })
    }

    fn column<'a>(&self, batch: &'a RecordBatch, place: usize) -> Result<&'a ArrayRef> {
        batch.columns().get(place).ok_or_else(unfit)
    }

    fn times<'a>(
        &self,
        batch: &'a RecordBatch,
        place: usize,
    ) -> Result<&'a arrow_array::TimestampMicrosecondArray> {
        let column = self.column(batch, place)?;
        column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(unfit)
    }

    /// The rows that can be taken, with their times.
    fn sort_out(&self, rows: &Rows, taken: &mut Taken) -> Result<(RecordBatch, Vec<i64>)> {
        let times = self.times(&rows.batch, self.spec.time)?;
        let mark = |w: Option<Timestamp>| {
            lagging(w.unwrap_or(Timestamp::BEGIN), self.spec.lag).max(self.given)
        };
        let most = mark(rows.origin.watermark_max());
        if times.null_count() == 0 && times.values().iter().all(|t| *t >= most) {
            return Ok((rows.batch.clone(), times.values().to_vec()));
        }
        let (mut good, mut late) = (vec![], vec![]);
        for (row, time) in times.iter().enumerate() {
            match time {
                Some(time) if time >= mark(rows.origin.watermark(row)) => good.push(short(row)),
                Some(_) => late.push(short(row)),
                None => {
                    let why =
                        "its event time is null, so that it has no place in the order of rows";
                    taken.refused.push((some(rows, &[short(row)])?, why.to_owned()));
                }
            }
        }
        if !late.is_empty() {
            taken.late.push(some(rows, &late)?);
        }
        let good = some(rows, &good)?.batch;
        let times = self.times(&good, self.spec.time)?.values().to_vec();
        Ok((good, times))
    }

    /// Puts rows of one moment in order, and says how each stands in it.
    fn in_order(
        &self,
        batch: RecordBatch,
        times: Vec<i64>,
    ) -> Result<(RecordBatch, Vec<i64>, Option<arrow_row::Rows>)> {
        let Some(order) = &self.order else { return Ok((batch, times, None)) };
        let columns = self.spec.orders.iter().map(|(at, _)| Ok(self.column(&batch, *at)?.clone()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let rows = order.convert_columns(&columns)?;
        let mut places: Vec<_> = (0..times.len()).collect();
        places.sort_by(|a, b| {
            times.get(*a).cmp(&times.get(*b)).then_with(|| rows.row(*a).cmp(&rows.row(*b)))
        });
        if places.is_sorted() {
            return Ok((batch, times, Some(rows)));
        }
        let index = UInt32Array::from_iter_values(places.iter().map(|p| short(*p)));
        let batch = take_record_batch(&batch, &index)?;
        // Their times are in order already.
        let columns = columns.iter().map(|c| arrow::compute::take(c, &index, None));
        let rows = order.convert_columns(&columns.collect::<Result<Vec<_>, _>>()?)?;
        Ok((batch, times, Some(rows)))
    }

    /// Rows whose time has come, with what is computed for them.
    fn compute(&mut self, batch: RecordBatch, times: Vec<i64>) -> Result<RecordBatch> {
        let (batch, times, order) = self.in_order(batch, times)?;
        let mut forgotten = vec![];
        let numbered = self.number(&batch, &times, &mut forgotten)?;
        self.grow();
        let alike =
            |a: usize, b: usize| order.as_ref().is_none_or(|order| order.row(a) == order.row(b));
        let rows = Moment::new((batch, times), numbered, &mut self.names, alike);
        for history in &mut self.histories.0 {
            history.push(&rows.batch, &rows.groups)?;
        }
        let histories = &self.histories;
        let spans = self.spanners.iter_mut().map(|s| s.spans(&rows, histories));
        let spans = spans.collect::<Result<Vec<_>>>()?;
        let mut failed = vec![None; if self.spec.fails { rows.len() } else { 0 }];
        let seen = Seen { rows: &rows, histories, spans: &spans };
        let results = self.calls.iter_mut().map(|call| call.run(&seen, &mut failed));
        let results = results.collect::<Result<Vec<_>>>()?;
        for history in &mut self.histories.0 {
            history.forget(&rows, &spans);
        }
        rows.groups.iter().for_each(|group| self.saved.touch(*group));
        self.rows += rows.len();
        let made = self.joined(&rows, results, failed)?;
        for group in forgotten {
            self.names.release(group);
            self.clear(group);
        }
        Ok(made)
    }

    fn number(
        &mut self,
        batch: &RecordBatch,
        times: &[i64],
        forgotten: &mut Vec<u32>,
    ) -> Result<(Vec<u32>, Vec<u64>)> {
        let keys = self.spec.keys.iter().map(|(at, _)| Ok(self.column(batch, *at)?.clone()));
        let encoded = self.names.shape().encode(&keys.collect::<Result<Vec<_>>>()?)?;
        let forget = self.spec.forget;
        let Some((place, lag)) = self.spec.dies else {
            return Ok(self.names.number(&encoded, times, |_| i64::MAX, forget, forgotten));
        };
        let ends = self.times(batch, place)?;
        let dies = |row: usize| match ends.is_valid(row) {
            true => ends.value(row).saturating_add(lag),
            false => i64::MAX,
        };
        self.dies = self.dies.min((0..times.len()).map(dies).min().unwrap_or(i64::MAX));
        Ok(self.names.number(&encoded, times, dies, forget, forgotten))
    }

    /// Keys were read, which are to be forgotten when it is time.
    pub(super) fn forget_when_due(&mut self) {
        let alive = self.names.all().filter(|(_, name)| name.lives);
        self.dies = alive.map(|(_, name)| name.dies).min().unwrap_or(i64::MAX);
        self.rows = self.names.living();
    }

    pub(super) fn grow(&mut self) {
        let len = self.names.len();
        self.histories.0.iter_mut().for_each(|h| h.grow(len));
        self.spanners.iter_mut().for_each(|s| s.grow(len));
        self.calls.iter_mut().for_each(|c| c.grow(len));
        self.saved.grow(len, len.next_power_of_two());
    }

    /// Nothing is kept for a number any more.
    fn clear(&mut self, group: u32) {
        self.histories.0.iter_mut().for_each(|h| h.clear(group));
        self.spanners.iter_mut().for_each(|s| s.clear(group));
        self.calls.iter_mut().for_each(|c| c.clear(group));
        self.saved.touch(group);
    }

    /// The rows that go out.
    fn joined(
        &self,
        rows: &Moment,
        results: Vec<ArrayRef>,
        failed: Vec<Option<String>>,
    ) -> Result<RecordBatch> {
        let passing = rows.batch.columns().iter().take(self.spec.passing).cloned();
        let mut columns: Vec<ArrayRef> = passing.chain(results).collect();
        if self.spec.fails {
            columns.push(Arc::new(StringArray::from(failed)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let schema = self.spec.schema.clone();
        let made = RecordBatch::try_new_with_options(schema, columns, &options)?;
        if self.whole_from == i64::MIN {
            return Ok(made);
        }
        // Of the others something may be missing.
        let (time, count) = self.spec.reach();
        let whole = rows.groups.iter().zip(&rows.times).zip(&rows.numbers);
        let whole = whole.map(|((group, at), number)| {
            let born = self.names.get(*group).map_or(i64::MIN, |name| name.born);
            let is_new = |forget| born.saturating_sub(forget) >= self.whole_from;
            let reached = |time| at.saturating_sub(time) >= self.whole_from;
            self.spec.forget.is_some_and(is_new)
                || (time.is_some_and(reached) && count.is_some_and(|count| *number >= count))
        });
        Ok(filter_record_batch(&made, &BooleanArray::from(whole.collect::<Vec<_>>()))?)
    }

    /// Forgets keys of which no frame will see anything.
    fn sweep(&mut self, before: i64, watermark: i64) {
        let silent =
            self.spec.forget.is_some_and(|forget| before.saturating_sub(self.swept) > forget / 4);
        let dead = watermark > self.dies && self.rows >= self.names.living() / 4;
        if !silent && !dead {
            return;
        }
        (self.swept, self.rows) = (before, 0);
        let forget = self.spec.forget.unwrap_or(i64::MAX);
        let mut gone = vec![];
        let mut dies = i64::MAX;
        for (group, name) in self.names.all().filter(|(_, n)| n.lives) {
            if before.saturating_sub(name.last) > forget || watermark > name.dies {
                gone.push(group);
            } else {
                dies = dies.min(name.dies);
            }
        }
        self.dies = dies;
        for group in gone {
            self.names.remove(group);
            self.clear(group);
        }
    }

    /// Keeps these keys alone, and calls them by their places.
    fn keep(&mut self, groups: &[u32]) -> Result<()> {
        self.names.keep(groups);
        self.histories.0.iter_mut().for_each(|h| h.keep(groups));
        self.spanners.iter_mut().for_each(|s| s.keep(groups));
        self.calls.iter_mut().try_for_each(|c| c.keep(groups))?;
        self.gone.extend(self.saved.numbers());
        self.seals.clear();
        self.saved = Saved::default();
        self.grow();
        Ok(())
    }

    /// All has ended, and begins anew if it begins.
    fn end(&mut self) -> Result<()> {
        let all: Vec<_> = self.names.all().filter(|(_, n)| n.lives).map(|(g, _)| g).collect();
        for group in all {
            self.names.remove(group);
            self.clear(group);
        }
        self.keep(&[])?;
        self.waiting.clear();
        (self.given, self.whole_from, self.swept) = (i64::MIN, i64::MIN, i64::MIN);
        (self.rows, self.dies) = (0, i64::MAX);
        Ok(())
    }

    fn full(&self) -> DataFusionError {
        let bound = self.spec.state_bytes;
        let (keys, waiting) = (self.names.living(), self.waiting.bytes());
        let what = format!(
            "the state of `OVER` would be more than `state_bytes`, {bound} bytes: {waiting} bytes of rows wait for the watermark, \
             and {keys} keys are remembered: {}",
            self.names.shape().names()
        );
        let fix = match self.spec.is_for_ever() {
            true => {
                "raise `state_bytes`, let `state_ttl` forget keys that are silent, or make frames shorter"
            }
            false => "raise `state_bytes`, or make frames shorter or keys fewer",
        };
        DataFusionError::External(Box::new(Error::stop(what).fix(fix)))
    }

    /// The bytes of state held now.
    pub(crate) fn bytes(&self) -> u64 {
        let histories = self.histories.0.iter().map(super::history::History::bytes);
        let spanners = self.spanners.iter().map(Spanner::bytes);
        let calls = self.calls.iter().map(|call| call.bytes());
        let kept = histories.chain(spanners).chain(calls).sum::<usize>();
        let kept = kept + self.names.bytes() + self.saved.bytes() + self.seals.bytes();
        self.waiting.bytes() + kept as u64
    }
}

fn some(rows: &Rows, which: &[u32]) -> Result<Rows> {
    let batch = take_record_batch(&rows.batch, &UInt32Array::from(which.to_vec()))?;
    Ok(Rows { batch, origin: rows.origin.take(which.iter().map(|r| *r as usize)) })
}

impl Stateful for Analyst {
    fn take(&mut self, _: usize, rows: &Rows) -> Result<Taken> {
        let mut taken = Taken::default();
        let (batch, times) = self.sort_out(rows, &mut taken)?;
        if self.bytes() + cost(&batch) > self.spec.state_bytes {
            return Err(self.full());
        }
        taken.absorbed = times.len() as u64;
        self.waiting.push(batch, times)?;
        Ok(taken)
    }

    fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        let before = lagging(watermark, self.spec.lag);
        let ends = watermark == Timestamp::END;
        while let Some((batch, times)) = self.waiting.due((!ends).then_some(before))? {
            let made = self.compute(batch, times)?;
            if made.num_rows() > 0 {
                return Ok(Some(made));
            }
        }
        if ends {
            self.end()?;
            return Ok(None);
        }
        self.given = self.given.max(before);
        self.sweep(before, watermark.0);
        if let Some(few) = self.names.few() {
            self.keep(&few)?;
        }
        Ok(None)
    }

    fn begin(&mut self, whole_from: Timestamp) -> Timestamp {
        self.whole_from = whole_from.0;
        match self.spec.reach() {
            (Some(time), Some(0)) => Timestamp(whole_from.0.saturating_add(time)),
            // When a key has had so many rows, no time can say.
            _ => Timestamp::END,
        }
    }

    fn changed(&self) -> usize {
        self.saved.changed() + self.waiting.unsaved()
    }

    fn bytes(&self) -> u64 {
        self.bytes()
    }

    fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> millstream_core::Result<()> {
        self.store(prefix, out)
    }

    fn restore(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()> {
        self.read(chunks)
    }
}
