//! What an aggregation takes of the rows that come in: their moments, keys and values.

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array};
use arrow_schema::DataType;
use datafusion_common::Result;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;

use super::bytes::short;
use super::groups::{Groups, Shape};
use super::keys::Encoded;
use super::spec::Aggregation;
use super::states::{Given, Input, States};

/// Rows, read for one aggregation.
pub(super) struct Batch {
    pub rows: Rows,
    /// None is null in `times`, or out of reach, of the rows that are worked on.
    pub times: Int64Array,
    pub keys: Encoded,
    pub given: Vec<Given>,
    pub lag: i64,
}

/// By how much a watermark is behind for rows whose times lag.
pub(crate) fn lagging(watermark: Timestamp, lag: i64) -> i64 {
    match watermark {
        Timestamp::END => i64::MAX,
        Timestamp(w) => w.saturating_sub(lag),
    }
}

impl Batch {
    pub(super) fn new(spec: &Aggregation, shape: &Shape, rows: Rows) -> Result<Self> {
        let (batch, len) = (&rows.batch, rows.len());
        let times = spec.time.evaluate(batch)?.into_array(len)?;
        let times = cast(&times, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let keys = spec.keys.iter().map(|(key, _)| key.evaluate(batch)?.into_array(len));
        let keys = shape.keys.encode(&keys.collect::<Result<Vec<_>>>()?)?;
        let given = shape.plans.iter().map(|p| p.give(batch)).collect::<Result<Vec<_>>>()?;
        Ok(Self { times, keys, given, lag: spec.lag, rows })
    }

    /// The watermark before a row.
    pub(super) fn watermark(&self, row: u32) -> i64 {
        let watermark = self.rows.origin.watermark(row as usize);
        lagging(watermark.unwrap_or(Timestamp::BEGIN), self.lag)
    }

    /// No row's watermark is beyond this.
    pub(super) fn watermark_max(&self) -> i64 {
        lagging(self.rows.origin.watermark_max().unwrap_or(Timestamp::BEGIN), self.lag)
    }

    pub(super) fn len(&self) -> u32 {
        short(self.rows.len())
    }

    /// Some of the rows, as they came.
    pub(super) fn some(&self, rows: &[u32]) -> Result<Rows> {
        let indices = arrow_array::UInt32Array::from(rows.to_vec());
        let batch = arrow_select::take::take_record_batch(&self.rows.batch, &indices)?;
        Ok(Rows { batch, origin: self.rows.origin.take(rows.iter().map(|r| *r as usize)) })
    }

    /// No more bytes than this are kept for all its rows, beyond those for each group.
    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes() * 2 + self.given.iter().map(|g| g.input.bytes()).sum::<usize>()
    }

    /// What the row adds to the sum of one aggregate.
    pub(super) fn addend(&self, plan: usize, row: u32, unsigned: bool) -> i128 {
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
    pub(super) fn addend_max(&self) -> u128 {
        let most = self.given.iter().map(|g| match &g.input {
            Input::Sum(_, most) => *most,
            _ => 0,
        });
        u128::from(most.max().unwrap_or(0))
    }

    /// Adds rows to the states of their groups.
    pub(super) fn add(
        &self,
        states: &mut [Box<dyn States>],
        rows: &[u32],
        numbers: &[u32],
    ) -> Result<()> {
        for (states, given) in states.iter_mut().zip(&self.given) {
            if given.passes.is_none() {
                states.add(&given.input, rows, numbers)?;
                continue;
            }
            let passing = rows.iter().zip(numbers).filter(|(row, _)| given.has(**row));
            let (rows, numbers): (Vec<_>, Vec<_>) = passing.map(|(r, n)| (*r, *n)).unzip();
            states.add(&given.input, &rows, &numbers)?;
        }
        Ok(())
    }

    /// Adds rows to a pane.
    pub(super) fn add_to(&self, groups: &mut Groups, rows: &[u32]) -> Result<()> {
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
