//! What an aggregation takes of the rows that come in: their moments, keys and values.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array};
use arrow_schema::{DataType, FieldRef};
use datafusion_common::Result;
use datafusion_physical_expr::PhysicalExpr;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;

use super::bytes::short;
use super::groups::{Groups, Shape};
use super::keys::Encoded;
use super::spec::Aggregation;
use super::states::{Given, Input, States};
use crate::complain::reason;
use crate::quiet;
use crate::stateful::Taken;

/// Rows, read for one aggregation.
pub(crate) struct Batch {
    pub rows: Rows,
    /// None is null in `times`, or out of reach, of the rows that are worked on.
    pub times: Int64Array,
    pub keys: Encoded,
    pub given: Vec<Given>,
    pub lag: i64,
}

/// What is made of rows. When that fails, each half is tried alone, down to the rows that fail by themselves.
pub(crate) fn apart<T>(rows: &Rows, taken: &mut Taken, make: impl Fn(Rows) -> Result<T>) -> Vec<T> {
    let mut made = vec![];
    let mut ranges: Vec<_> = std::iter::once(0..rows.len()).collect();
    while let Some(range) = ranges.pop() {
        let part = slice(rows, range.start, range.len());
        let why = match quiet::catch(|| make(part.clone())) {
            Ok(Ok(one)) => {
                made.push(one);
                continue;
            }
            Ok(Err(e)) => reason(&e),
            Err(panic) => format!("a function panicked: {panic}"),
        };
        if range.len() <= 1 {
            taken.refused.push((part, why));
            continue;
        }
        let half = range.start + range.len() / 2;
        ranges.push(half..range.end);
        ranges.push(range.start..half);
    }
    made
}

fn slice(rows: &Rows, from: usize, len: usize) -> Rows {
    Rows { batch: rows.batch.slice(from, len), origin: rows.origin.slice(from, len) }
}

/// By how much a watermark is behind for rows whose times lag.
pub(crate) fn lagging(watermark: Timestamp, lag: i64) -> i64 {
    match watermark {
        Timestamp::END => i64::MAX,
        Timestamp(w) => w.saturating_sub(lag),
    }
}

impl Batch {
    pub(crate) fn new(spec: &Aggregation, shape: &Shape, rows: Rows) -> Result<Self> {
        Self::of(Some((&spec.time, spec.lag)), &spec.keys, shape, rows)
    }

    /// Rows whose event time, and its lag, is asked for or not.
    pub(crate) fn of(
        time: Option<(&Arc<dyn PhysicalExpr>, i64)>,
        keys: &[(Arc<dyn PhysicalExpr>, FieldRef)],
        shape: &Shape,
        rows: Rows,
    ) -> Result<Self> {
        let (batch, len) = (&rows.batch, rows.len());
        let times = match time {
            Some((time, _)) => {
                let times = time.evaluate(batch)?.into_array(len)?;
                cast(&times, &DataType::Int64)?.as_primitive::<Int64Type>().clone()
            }
            None => Int64Array::from(Vec::<i64>::new()),
        };
        let keys = keys.iter().map(|(key, _)| key.evaluate(batch)?.into_array(len));
        let keys = shape.keys.encode(&keys.collect::<Result<Vec<_>>>()?)?;
        let given = shape.plans.iter().map(|p| p.give(batch)).collect::<Result<Vec<_>>>()?;
        Ok(Self { times, keys, given, lag: time.map_or(0, |(_, lag)| lag), rows })
    }

    /// The watermark before a row.
    pub(crate) fn watermark(&self, row: u32) -> i64 {
        let watermark = self.rows.origin.watermark(row as usize);
        lagging(watermark.unwrap_or(Timestamp::BEGIN), self.lag)
    }

    /// No row's watermark is beyond this.
    pub(crate) fn watermark_max(&self) -> i64 {
        lagging(self.rows.origin.watermark_max().unwrap_or(Timestamp::BEGIN), self.lag)
    }

    pub(crate) fn len(&self) -> u32 {
        short(self.rows.len())
    }

    /// Some of the rows, as they came.
    pub(crate) fn some(&self, rows: &[u32]) -> Result<Rows> {
        let indices = arrow_array::UInt32Array::from(rows.to_vec());
        let batch = arrow_select::take::take_record_batch(&self.rows.batch, &indices)?;
        Ok(Rows { batch, origin: self.rows.origin.take(rows.iter().map(|r| *r as usize)) })
    }

    /// No more bytes than this are kept for all its rows, beyond those for each group.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes() * 2 + self.given.iter().map(|g| g.input.bytes()).sum::<usize>()
    }

    /// What the row adds to the sum of one aggregate.
    pub(crate) fn addend(&self, plan: usize, row: u32, unsigned: bool) -> i128 {
        let Some(given) = self.given.get(plan) else { return 0 };
        match &given.input {
            Input::Sum(values, _) if values.is_valid(row as usize) && given.has(row) => {
                let value = values.value(row as usize);
                if unsigned { i128::from(value.cast_unsigned()) } else { i128::from(value) }
            }
            _ => 0,
        }
    }

    /// No sum grows by more than this for each row.
    pub(crate) fn addend_max(&self) -> u128 {
        let most = self.given.iter().map(|g| match &g.input {
            Input::Sum(_, most) => *most,
            _ => 0,
        });
        u128::from(most.max().unwrap_or(0))
    }

    /// Adds rows to the states of their groups.
    pub(crate) fn add(
        &self,
        states: &mut [Box<dyn States>],
        rows: &[u32],
        numbers: &[u32],
    ) -> Result<()> {
        self.add_with(states, rows, numbers, &BTreeMap::new())
    }

    /// The same, where some aggregates, by their places, take something else.
    pub(crate) fn add_with(
        &self,
        states: &mut [Box<dyn States>],
        rows: &[u32],
        numbers: &[u32],
        instead: &BTreeMap<usize, Input>,
    ) -> Result<()> {
        for (at, (states, given)) in states.iter_mut().zip(&self.given).enumerate() {
            let input = instead.get(&at).unwrap_or(&given.input);
            if given.passes.is_none() {
                states.add(input, rows, numbers)?;
                continue;
            }
            let passing = rows.iter().zip(numbers).filter(|(row, _)| given.has(**row));
            let (rows, numbers): (Vec<_>, Vec<_>) = passing.map(|(r, n)| (*r, *n)).unzip();
            states.add(input, &rows, &numbers)?;
        }
        Ok(())
    }

    /// Adds rows to a pane.
    pub(crate) fn add_to(&self, groups: &mut Groups, rows: &[u32]) -> Result<()> {
        let numbers = groups.assign(&self.keys, rows);
        self.add(&mut groups.states, rows, &numbers)?;
        let mut last = u32::MAX;
        for number in numbers {
            if number != last {
                groups.saved.touch(number);
            }
            last = number;
        }
        Ok(())
    }
}

impl Given {
    /// Whether the aggregate takes the row at all.
    fn has(&self, row: u32) -> bool {
        self.passes.as_ref().is_none_or(|p| p.value(row as usize))
    }
}
