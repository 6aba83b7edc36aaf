//! A view over windows of event time, in so few lines that a test can work it out again by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Chunks, Operator, Output};
use millstream_core::record::Offset;
use millstream_core::{Error, Result};

use super::Lines;

/// What the start of a window counts for in its row.
pub(super) const START: i64 = 1_000_000;

/// `tumble N`: for each window of N microseconds its start times 1,000,000, plus the sum of its values, at its last
/// microsecond. One row at a time, so that there are often more.
pub(super) struct Tumbler {
    pub(super) size: i64,
    panes: BTreeMap<i64, i64>,
    whole_from: i64,
    changed: bool,
}

impl Tumbler {
    pub(super) fn new(size: i64) -> Self {
        Self { size, panes: BTreeMap::new(), whole_from: i64::MIN, changed: false }
    }
}

impl Operator for Tumbler {
    fn schema(&self) -> SchemaRef {
        Lines::with_time().schema()
    }

    fn process(&mut self, _: usize, input: Rows, _: Timestamp, out: &mut Output) -> Result<()> {
        let values = input.batch.column(0).as_primitive::<Int64Type>();
        let times = input.batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for row in 0..input.len() {
            let one =
                || Rows { batch: input.batch.slice(row, 1), origin: input.origin.slice(row, 1) };
            out.account.r#in += 1;
            if times.is_null(row) {
                out.account.set_aside += 1;
                out.refused.push((one(), "no event time".into()));
                continue;
            }
            let start = times.value(row).div_euclid(self.size) * self.size;
            let watermark = input.origin.watermark(row).map_or(i64::MIN, |at| at.0);
            if start + self.size <= watermark {
                out.account.late += 1;
                out.late.push(one());
                continue;
            }
            if start < self.whole_from {
                out.account.expired += 1;
                continue;
            }
            out.account.absorbed += 1;
            *self.panes.entry(start).or_default() += values.value(row);
            self.changed = true;
        }
        Ok(())
    }

    fn advance(&mut self, watermark: Timestamp, _: Timestamp, out: &mut Output) -> Result<()> {
        let due = |start: i64| start + self.size <= watermark.0;
        let Some(first) = self.panes.first_entry().filter(|e| due(*e.key())) else { return Ok(()) };
        let (start, sum) = first.remove_entry();
        self.changed = true;
        let values = Int64Array::from(vec![start * START + sum]);
        let times = TimestampMicrosecondArray::from(vec![start + self.size - 1]);
        let columns: [ArrayRef; 2] = [Arc::new(values), Arc::new(times.with_timezone("UTC"))];
        let batch = RecordBatch::try_new(self.schema(), columns.to_vec())
            .map_err(|e| Error::stop("rows of another shape").because(e))?;
        let origin = Origin::of_time(Offset(0), 0, 1, watermark);
        out.rows.push(Rows { batch, origin });
        (out.account.made, out.account.out) = (1, 1);
        out.more = self.panes.keys().next().is_some_and(|start| due(*start));
        Ok(())
    }

    fn begin(&mut self, whole_from: Timestamp) -> Result<Timestamp> {
        (self.whole_from, self.changed) = (whole_from.0, true);
        Ok(Timestamp(whole_from.0.saturating_add(self.size)))
    }

    fn snapshot(&mut self, out: &mut Chunks) -> Result<()> {
        if std::mem::take(&mut self.changed) {
            let panes = self.panes.iter().flat_map(|(start, sum)| [*start, *sum]);
            let panes = [self.whole_from, 0].into_iter().chain(panes);
            let bytes: Vec<u8> = panes.flat_map(i64::to_le_bytes).collect();
            out.insert("panes".into(), Some(bytes.into()));
        }
        Ok(())
    }

    fn restore(&mut self, chunks: &BTreeMap<String, Bytes>) -> Result<()> {
        if let Some(other) = chunks.keys().find(|key| *key != "panes") {
            return Err(Error::stop(format!("`{other}` is no chunk of panes")));
        }
        let bytes = chunks.get("panes").map_or(&[] as &[u8], AsRef::as_ref);
        let (numbers, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || numbers.len() % 2 != 0 {
            return Err(Error::stop("panes are not pairs of numbers"));
        }
        let numbers: Vec<i64> = numbers.iter().map(|n| i64::from_le_bytes(*n)).collect();
        let (pairs, _) = numbers.as_chunks::<2>();
        let Some(([whole_from, _], pairs)) = pairs.split_first() else { return Ok(()) };
        self.whole_from = *whole_from;
        self.panes = pairs.iter().map(|[start, sum]| (*start, *sum)).collect();
        self.changed = false;
        Ok(())
    }
}
