//! Rows that wait for the watermark to pass them.
//!
//! Each batch is a run, in the order of event time. Runs of about one size are merged now and then, so that there are few of them,
//! and few chunks: a run is one, once it is saved.

use std::sync::Arc;

use arrow::compute::take_record_batch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave;
use bytes::Bytes;
use datafusion_common::Result;
use millstream_core::operator::Chunks;

use crate::quiet;
use crate::size::bytes;
use crate::window::bytes::{Reader, put_bytes, short};

/// So many runs of one size become one.
const WIDE: usize = 8;
/// They do not become larger than this.
const ROWS_MAX: usize = 1 << 16;
/// What is smaller is left as it is until it is merged.
const COPIED_MIN: u64 = 1 << 16;
/// About so many rows are given at once.
const GIVEN: usize = 8_192;

/// Rows in the order of event time, of which those before `from` have been given.
struct Run {
    batch: RecordBatch,
    times: Vec<i64>,
    from: usize,
    level: u8,
    /// The chunk that has it.
    chunk: Option<u64>,
    bytes: u64,
}

impl Run {
    fn new(batch: RecordBatch, times: Vec<i64>, level: u8) -> Self {
        let bytes = cost(&batch);
        Self { batch, times, from: 0, level, chunk: None, bytes }
    }

    fn left(&self) -> usize {
        self.times.len() - self.from
    }

    /// Whether most of it has been given, and it is worth while to copy the rest.
    fn is_wasteful(&self) -> bool {
        self.from > self.times.len() / 2 && self.bytes > COPIED_MIN
    }

    fn rest(&self) -> &[i64] {
        self.times.get(self.from..).unwrap_or_default()
    }
}

/// What rows take that wait.
pub(super) fn cost(batch: &RecordBatch) -> u64 {
    let nulls = batch.columns().iter().filter_map(|c| c.nulls()).map(|n| n.len() / 8);
    let beside = nulls.sum::<usize>() + batch.num_rows() * 8 + size_of::<Run>();
    batch.columns().iter().map(|c| bytes(c.as_ref())).sum::<u64>() + beside as u64
}

/// All rows that wait, in runs in the order in which they came.
pub(super) struct Waiting {
    schema: SchemaRef,
    runs: Vec<Run>,
    /// Chunks that are no longer of use.
    gone: Vec<u64>,
    next_chunk: u64,
    bytes: u64,
}

/// A part of a run: from a row on, up to before another one.
type Part = (usize, usize, usize);

impl Waiting {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, runs: vec![], gone: vec![], next_chunk: 0, bytes: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many rows no chunk has.
    pub(super) fn unsaved(&self) -> usize {
        self.runs.iter().filter(|r| r.chunk.is_none()).map(Run::left).sum()
    }

    /// Takes rows, whose times these are.
    pub(super) fn push(&mut self, batch: RecordBatch, times: Vec<i64>) -> Result<()> {
        if times.is_empty() {
            return Ok(());
        }
        let run = if times.is_sorted() {
            Run::new(batch, times, 0)
        } else {
            let mut order: Vec<_> = (0..short(times.len())).collect();
            order.sort_by_key(|i| times.get(*i as usize));
            let times = order.iter().filter_map(|i| times.get(*i as usize).copied()).collect();
            Run::new(take_record_batch(&batch, &UInt32Array::from(order))?, times, 0)
        };
        self.add(run);
        self.merge_last()
    }

    fn add(&mut self, run: Run) {
        self.bytes += run.bytes;
        self.runs.push(run);
    }

    fn merge_last(&mut self) -> Result<()> {
        while let Some(first) = self.runs.len().checked_sub(WIDE) {
            let last = self.runs.get(first..).unwrap_or_default();
            let level = last.last().map_or(0, |r| r.level);
            let rows = last.iter().map(Run::left).sum::<usize>();
            if rows > ROWS_MAX || last.iter().any(|r| r.level != level) {
                break;
            }
            self.merge(first, level.saturating_add(1))?;
        }
        Ok(())
    }

    /// Makes one run of those from one on.
    fn merge(&mut self, first: usize, level: u8) -> Result<()> {
        let runs = self.runs.get(first..).unwrap_or_default();
        let parts = (first..).zip(runs).map(|(at, r)| (at, r.from, r.times.len()));
        let (batch, times) = self.gather(&parts.collect::<Vec<_>>())?;
        for run in self.runs.drain(first..) {
            self.bytes -= run.bytes;
            self.gone.extend(run.chunk);
        }
        self.add(Run::new(batch, times, level));
        Ok(())
    }

    /// Rows of several runs in the order of event time, those of one moment in the order in which they came.
    fn gather(&self, parts: &[Part]) -> Result<(RecordBatch, Vec<i64>)> {
        if let [(at, from, upto)] = parts
            && let Some(run) = self.runs.get(*at)
        {
            let times = run.times.get(*from..*upto).unwrap_or_default().to_vec();
            return Ok((run.batch.slice(*from, upto - from), times));
        }
        let mut picks = Vec::with_capacity(parts.iter().map(|(_, from, upto)| upto - from).sum());
        let mut batches = Vec::with_capacity(parts.len());
        for (number, (at, from, upto)) in parts.iter().enumerate() {
            let Some(run) = self.runs.get(*at) else { continue };
            let times = run.times.get(*from..*upto).unwrap_or_default();
            picks.extend(times.iter().zip(*from..).map(|(time, row)| (*time, number, row)));
            batches.push(&run.batch);
        }
        picks.sort_by_key(|(time, ..)| *time);
        let times = picks.iter().map(|(time, ..)| *time).collect::<Vec<_>>();
        let picks = picks.into_iter().map(|(_, part, row)| (part, row)).collect::<Vec<_>>();
        let columns = (0..self.schema.fields().len()).map(|i| {
            let arrays = batches.iter().map(|b| b.column(i).as_ref()).collect::<Vec<_>>();
            Ok(interleave(&arrays, &picks)?)
        });
        let options = RecordBatchOptions::new().with_row_count(Some(times.len()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let schema = self.schema.clone();
        Ok((RecordBatch::try_new_with_options(schema, columns, &options)?, times))
    }

    /// The next rows before a moment, or all, in the order of event time: all of each moment that is among them.
    pub(super) fn due(&mut self, before: Option<i64>) -> Result<Option<(RecordBatch, Vec<i64>)>> {
        let parts = |runs: &[Run], ends: &dyn Fn(&[i64]) -> usize| {
            let parts = runs
                .iter()
                .enumerate()
                .map(|(at, run)| (at, run.from, run.from + ends(run.rest())));
            parts.filter(|(_, from, upto)| from < upto).collect::<Vec<_>>()
        };
        let mut all = parts(&self.runs, &|times| match before {
            Some(before) if times.first().is_none_or(|t| *t >= before) => 0,
            Some(before) => times.partition_point(|t| *t < before),
            None => times.len(),
        });
        if all.is_empty() {
            return Ok(None);
        }
        if all.iter().map(|(_, from, upto)| upto - from).sum::<usize>() > GIVEN {
            let first = all.iter().filter_map(|(at, from, upto)| {
                let run = self.runs.get(*at)?;
                run.times.get(*from..(*upto).min(from + GIVEN))
            });
            let mut first = first.flatten().copied().collect::<Vec<_>>();
            let (_, last, _) = first.select_nth_unstable(GIVEN - 1);
            let last = *last;
            all = parts(&self.runs, &|times| times.partition_point(|t| *t <= last));
        }
        let gathered = self.gather(&all)?;
        for (at, _, upto) in all {
            if let Some(run) = self.runs.get_mut(at) {
                run.from = upto;
            }
        }
        self.tidy()?;
        Ok(Some(gathered))
    }

    /// Lets go of rows that have been given.
    fn tidy(&mut self) -> Result<()> {
        let (gone, bytes) = (&mut self.gone, &mut self.bytes);
        self.runs.retain(|run| {
            if run.left() == 0 {
                gone.extend(run.chunk);
                *bytes -= run.bytes;
            }
            run.left() > 0
        });
        for run in self.runs.iter_mut().filter(|r| r.is_wasteful()) {
            let rest = UInt32Array::from_iter_values(short(run.from)..short(run.times.len()));
            let left = take_record_batch(&run.batch, &rest)?;
            let times = run.rest().to_vec();
            *bytes -= run.bytes;
            *run = Run { chunk: run.chunk, ..Run::new(left, times, run.level) };
            *bytes += run.bytes;
        }
        Ok(())
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        self.gone.extend(self.runs.drain(..).filter_map(|r| r.chunk));
        self.bytes = 0;
    }

    pub(super) fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> Result<()> {
        let new = self.runs.iter().rev().take_while(|r| r.chunk.is_none());
        let (count, rows) = new.fold((0, 0), |(n, rows), r| (n + 1, rows + r.left()));
        if count > 1 && rows <= ROWS_MAX {
            let first = self.runs.len() - count;
            let level = self.runs.get(first..).unwrap_or_default().iter().map(|r| r.level).max();
            self.merge(first, level.unwrap_or(0))?;
        }
        for chunk in self.gone.drain(..) {
            out.insert(name(prefix, chunk), None);
        }
        for run in self.runs.iter_mut().filter(|r| r.chunk.is_none()) {
            let mut writer = StreamWriter::try_new(vec![], &self.schema)?;
            writer.write(&run.batch.slice(run.from, run.times.len() - run.from))?;
            let mut bytes = vec![];
            put_bytes(&mut bytes, &writer.into_inner()?);
            run.chunk = Some(self.next_chunk);
            out.insert(name(prefix, self.next_chunk), Some(Bytes::from(bytes)));
            self.next_chunk += 1;
        }
        Ok(())
    }

    /// Takes rows back that a chunk has, but for those before a moment, which were given; chunks come in the order of their
    /// numbers.
    pub(super) fn restore(
        &mut self,
        chunk: u64,
        bytes: &Bytes,
        time: usize,
        given: i64,
    ) -> Option<()> {
        let mut reader = Reader(bytes);
        let rows = reader.bytes()?;
        if !reader.is_empty() {
            return None;
        }
        let read = || -> Result<RecordBatch> {
            let mut reader = StreamReader::try_new(rows, None)?;
            let batch = reader.next().transpose()?;
            Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone())))
        };
        let batch = quiet::catch(read).ok()?.ok()?;
        let same = |(a, b): (&Arc<arrow_schema::Field>, &Arc<arrow_schema::Field>)| {
            a.data_type() == b.data_type()
        };
        let (own, read) = (self.schema.fields(), batch.schema());
        if own.len() != read.fields().len() || !own.iter().zip(read.fields()).all(same) {
            return None;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        let batch =
            RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).ok()?;
        let times = batch.column(time).as_primitive_opt::<TimestampMicrosecondType>()?;
        let times = times.values().to_vec();
        if !times.is_sorted() {
            return None;
        }
        let from = times.partition_point(|t| *t < given);
        self.next_chunk = self.next_chunk.max(chunk + 1);
        if from == times.len() {
            self.gone.push(chunk);
            return Some(());
        }
        let level = u8::from(times.len() > 4096);
        let run = Run { from, chunk: Some(chunk), ..Run::new(batch, times, level) };
        self.add(run);
        self.tidy().ok()
    }
}

fn name(prefix: &str, chunk: u64) -> String {
    format!("{prefix}w{chunk:x}")
}
