//! The part with state: rows in, the best of each partition out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::DataType;
use bytes::Bytes;
use datafusion_common::{DataFusionError, Result};
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::HashTable;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::error::Error;
use millstream_core::operator::Chunks;

use super::best::{Best, NONE, PARTITION_BYTES, ROW_BYTES, hash, values_of};
use super::spec::Ranking;
use crate::stateful::{Stateful, Taken};
use crate::step::batch_of;
use crate::window::batch::apart;
use crate::window::bytes::short;
use crate::window::groups::roomy;
use crate::window::keys::{Encoded, Keys};
use crate::window::saved::Saved;

/// The most rows that are made at once, and about the most bytes.
const ROWS_MAX: usize = 8192;
const BYTES_MAX: usize = 4 << 20;

/// Keeps the best rows of each partition.
pub(crate) struct Rank {
    pub(super) spec: Ranking,
    keys: Keys,
    order: Option<RowConverter>,
    values: RowConverter,
    pub(super) index: HashTable<u32>,
    pub(super) all: Vec<Best>,
    /// Numbers of partitions that are no more.
    pub(super) free: Vec<u32>,
    /// Partitions by when they are complete.
    pub(super) closes: BTreeMap<i64, Vec<u32>>,
    /// Partitions some of whose places changed, in the order of the log.
    pub(super) changed: Vec<u32>,
    giving: Vec<(u32, u32)>,
    /// So many of `giving` have been given.
    at: usize,
    /// What partitions take.
    pub(super) heap: usize,
    pub(super) saved: Saved,
    pub(super) next_run: u32,
    pub(super) notes: Vec<u8>,
    pub(super) gone: Vec<String>,
}

/// What is taken of rows.
struct Read {
    rows: Rows,
    keys: Encoded,
    order: Option<arrow_row::Rows>,
    /// What tells when partitions are complete.
    times: Option<Int64Array>,
}

/// Rows that may be among the best.
struct Likely<'a> {
    of: &'a Read,
    rows: Vec<u32>,
    values: arrow_row::Rows,
}

impl Rank {
    pub(crate) fn new(spec: Ranking) -> Result<Self> {
        let keys = Keys::new(spec.partition.iter().map(|(_, field)| field.clone()).collect())?;
        let order = spec.order.iter().map(|(of, options)| {
            Ok(SortField::new_with_options(of.data_type(&spec.input)?, *options))
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let order = if order.is_empty() { None } else { Some(RowConverter::new(order)?) };
        let values = spec.input.fields().iter();
        let values = values.map(|f| SortField::new(f.data_type().clone())).collect();
        Ok(Self {
            keys,
            order,
            values: RowConverter::new(values)?,
            index: HashTable::new(),
            all: vec![],
            free: vec![],
            closes: BTreeMap::new(),
            changed: vec![],
            giving: vec![],
            at: 0,
            heap: 0,
            saved: Saved::default(),
            next_run: 0,
            notes: vec![],
            gone: vec![],
            spec,
        })
    }

    fn read(&self, rows: Rows) -> Result<Read> {
        let (batch, len) = (&rows.batch, rows.len());
        let column = |of: &Arc<dyn PhysicalExpr>| of.evaluate(batch)?.into_array(len);
        let keys = self.spec.partition.iter().map(|(of, _)| column(of));
        let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
        let times = self.spec.closing.as_ref().and_then(|closing| keys.get(closing.by));
        let times = times.map(|times| cast(times, &DataType::Int64)).transpose()?;
        let times = times.map(|times| times.as_primitive::<Int64Type>().clone());
        let order = self.spec.order.iter().map(|(of, _)| column(of));
        let order = order.collect::<Result<Vec<_>>>()?;
        let order = self.order.as_ref().map(|o| o.convert_columns(&order)).transpose()?;
        Ok(Read { keys: self.keys.encode(&keys)?, order, times, rows })
    }

    /// The rows that may be among the best. Those that come too late, or cannot be, are put aside.
    fn likely<'a>(&self, read: &'a Read, taken: &mut Taken) -> Result<Likely<'a>> {
        let (mut rows, mut late, mut key) = (vec![], vec![], vec![]);
        for row in 0..read.rows.len() {
            if let (Some(times), Some(closing)) = (&read.times, &self.spec.closing) {
                if times.is_null(row) {
                    let why = "its event time is null, so that it belongs to no partition that is ever complete";
                    taken.refused.push((read.some(&[short(row)])?, why.to_owned()));
                    continue;
                }
                let watermark = read.rows.origin.watermark(row).unwrap_or(Timestamp::BEGIN);
                if times.value(row).saturating_add(closing.after) <= watermark.0 {
                    late.push(short(row));
                    continue;
                }
            }
            taken.absorbed += 1;
            key.clear();
            read.keys.key(row).put(&mut key);
            let best = self.find(&key).and_then(|number| self.all.get(number as usize));
            if best.is_none_or(|best| !best.beaten(read.order(row), self.spec.count)) {
                rows.push(short(row));
            }
        }
        if !late.is_empty() {
            taken.late.push(read.some(&late)?);
        }
        let values = if rows.len() == read.rows.len() {
            self.values.convert_columns(read.rows.batch.columns())?
        } else {
            self.values.convert_columns(read.some(&rows)?.batch.columns())?
        };
        Ok(Likely { of: read, rows, values })
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        let same = |n: &u32| self.all.get(*n as usize).is_some_and(|best| *best.key == *key);
        self.index.find(hash(key), same).copied()
    }

    /// Whether the rows fit into the state.
    fn bounded(&self, all: &[Likely<'_>]) -> Result<()> {
        let bound = usize::try_from(self.spec.state_bytes).unwrap_or(usize::MAX);
        let adds = all.iter().map(|likely| {
            let rows = likely.rows.len();
            let order = likely.of.order.as_ref().map_or(0, arrow_row::Rows::size);
            likely.values.size() + order + likely.of.keys.bytes() + rows * (ROW_BYTES + 4)
        });
        let rows = all.iter().map(|likely| likely.rows.len()).sum::<usize>();
        let held = self.held() + adds.sum::<usize>();
        if held + self.growth(rows) <= bound {
            return Ok(());
        }
        if held <= bound {
            let mut new = std::collections::BTreeSet::new();
            let mut key = vec![];
            for likely in all {
                for row in &likely.rows {
                    key.clear();
                    likely.of.keys.key(*row as usize).put(&mut key);
                    if self.find(&key).is_none() {
                        new.insert(key.clone());
                    }
                }
            }
            if held + self.growth(new.len()) <= bound {
                return Ok(());
            }
        }
        let (bytes, parts) = (self.spec.state_bytes, self.all.len() - self.free.len());
        let what = format!(
            "the state of ranks would be more than `state_bytes`, {bytes} bytes: the best {} rows of each of {parts} partitions are kept, by {}",
            self.spec.count,
            self.keys.names()
        );
        let fix = match self.spec.closing {
            Some(_) => "raise `state_bytes`, or make windows shorter or partitions fewer",
            None => {
                "raise `state_bytes`, ask for fewer places, or rank within windows of event time: `PARTITION BY window_start, window_end, …`"
            }
        };
        Err(DataFusionError::External(Box::new(Error::stop(what).fix(fix))))
    }

    /// What so many new partitions would add to the state, beyond their keys and rows.
    fn growth(&self, partitions: usize) -> usize {
        let (needed, capacity) = (self.all.len() + partitions, self.all.capacity());
        let needed = needed.saturating_sub(self.free.len());
        let more = if needed > capacity { roomy(needed, capacity) - capacity } else { 0 };
        more * PARTITION_BYTES + partitions * 16
    }

    fn add(&mut self, likely: &Likely<'_>) {
        let mut key = vec![];
        for (at, row) in likely.rows.iter().enumerate() {
            let row = *row as usize;
            key.clear();
            likely.of.keys.key(row).put(&mut key);
            let close = match (&likely.of.times, &self.spec.closing) {
                (Some(times), Some(closing)) => times.value(row).saturating_add(closing.after),
                _ => i64::MAX,
            };
            let number = match self.find(&key) {
                Some(number) => number,
                None => self.begin_partition(Box::from(key.as_slice()), close),
            };
            let Some(best) = self.all.get_mut(number as usize) else { continue };
            let unchanged = best.from == NONE;
            let values = likely.values.row(at);
            let (more, fewer) = best.put(likely.of.order(row), values.data(), self.spec.count);
            if more == 0 {
                continue;
            }
            self.heap = self.heap + more - fewer;
            self.saved.touch(number);
            if unchanged && self.spec.closing.is_none() {
                self.changed.push(number);
            }
        }
    }

    fn begin_partition(&mut self, key: Box<[u8]>, close: i64) -> u32 {
        let hashed = hash(&key);
        self.heap += key.len();
        let best = Best { key, close, rows: vec![], from: NONE };
        let number = self.free.pop().unwrap_or_else(|| short(self.all.len()));
        match self.all.get_mut(number as usize) {
            Some(room) => *room = best,
            None => {
                if self.all.len() == self.all.capacity() {
                    let room = roomy(self.all.len() + 1, self.all.capacity());
                    self.all.reserve_exact(room - self.all.len());
                }
                self.all.push(best);
                self.saved.grow(self.all.len(), self.all.capacity());
            }
        }
        self.saved.touch(number);
        self.enter(number, hashed);
        number
    }

    /// Lists a partition that has its number.
    pub(super) fn enter(&mut self, number: u32, hashed: u64) {
        let all = &self.all;
        let rehash = |n: &u32| all.get(*n as usize).map_or(0, |best| hash(&best.key));
        self.index.insert_unique(hashed, number, rehash);
        let close = all.get(number as usize).map_or(i64::MAX, |best| best.close);
        if self.spec.closing.is_some() {
            self.closes.entry(close).or_default().push(number);
        }
    }

    /// Forgets a partition that has been given.
    fn end_partition(&mut self, number: u32) {
        let Some(best) = self.all.get_mut(number as usize) else { return };
        if let Ok(found) = self.index.find_entry(hash(&best.key), |n| *n == number) {
            found.remove();
        }
        self.heap -= best.heap();
        *best = Best { key: Box::default(), close: i64::MAX, rows: vec![], from: NONE };
        self.saved.touch(number);
        self.free.push(number);
    }

    /// Rows of places.
    fn rows_of(&self, places: &[(u32, u32)]) -> Result<RecordBatch> {
        let parser = self.values.parser();
        let rows = places.iter().map(|(number, place)| {
            let best = self.all.get(*number as usize);
            let row = best.and_then(|best| best.rows.get(*place as usize));
            parser.parse(row.map_or(&[][..], |row| values_of(row)))
        });
        let mut columns = self.values.convert_rows(rows)?;
        let numbers = places.iter().map(|(_, place)| u64::from(*place) + 1);
        columns.push(Arc::new(UInt64Array::from_iter_values(numbers)));
        let columns = columns.into_iter().zip(self.spec.schema.fields());
        let columns = columns.map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(column);
            }
            Ok(cast(&column, field.data_type())?)
        });
        batch_of(&self.spec.schema, columns.collect::<Result<Vec<_>>>()?, places.len())
    }

    /// The next of the places that are being given, as many as should be at once.
    fn piece(&mut self) -> Result<Option<RecordBatch>> {
        let rest = self.giving.get(self.at..).unwrap_or_default();
        let mut bytes = 0;
        let fits = rest.iter().take(ROWS_MAX).take_while(|(number, place)| {
            let fits = bytes < BYTES_MAX;
            let best = self.all.get(*number as usize);
            bytes += best.and_then(|b| b.rows.get(*place as usize)).map_or(0, |row| row.len());
            fits
        });
        let now = rest.get(..fits.count()).unwrap_or_default();
        if now.is_empty() {
            return Ok(None);
        }
        let made = self.rows_of(now)?;
        self.at += now.len();
        Ok(Some(made))
    }

    /// All that was being given has been.
    fn given(&mut self) {
        self.at = 0;
        let mut last = NONE;
        for (number, _) in std::mem::take(&mut self.giving) {
            if number != last && self.spec.closing.is_some() {
                self.end_partition(number);
            }
            last = number;
        }
    }

    /// Finds the partitions that are complete next.
    fn open(&mut self, watermark: i64) {
        let Some(closing) = &self.spec.closing else { return };
        let (after, back) = (closing.after, closing.back);
        while let Some(first) = self.closes.first_entry() {
            if *first.key() > watermark || self.giving.len() >= ROWS_MAX {
                return;
            }
            let (close, mut numbers) = first.remove_entry();
            let key = |n: &u32| self.all.get(*n as usize).map(|best| best.key.clone());
            numbers.sort_by_cached_key(key);
            let whole = close.saturating_sub(after).saturating_sub(back) >= self.spec.whole_from;
            for number in numbers {
                let len = self.all.get(number as usize).map_or(0, |best| best.rows.len());
                if whole {
                    self.giving.extend((0..short(len)).map(|place| (number, place)));
                } else {
                    self.end_partition(number);
                }
            }
        }
    }

    /// Lets go of chunks and room when nothing is left.
    fn clear(&mut self) {
        if self.free.len() == self.all.len() && !self.all.is_empty() {
            self.gone.extend(self.saved.numbers().map(super::saved::name));
            self.saved = Saved::default();
            (self.all, self.free) = (vec![], vec![]);
            (self.index, self.heap) = (HashTable::new(), 0);
        }
    }

    pub(super) fn held(&self) -> usize {
        let giving = self.giving.capacity() * 8 + self.changed.capacity() * 4;
        self.all.capacity() * PARTITION_BYTES + self.heap + self.saved.bytes() + giving
    }
}

impl Read {
    /// The place of a row in the order.
    fn order(&self, row: usize) -> &[u8] {
        self.order.as_ref().map_or(&[], |order| order.row(row).data())
    }

    /// Some of the rows, as they came.
    fn some(&self, rows: &[u32]) -> Result<Rows> {
        let indices = UInt32Array::from(rows.to_vec());
        let batch = arrow_select::take::take_record_batch(&self.rows.batch, &indices)?;
        Ok(Rows { batch, origin: self.rows.origin.take(rows.iter().map(|r| *r as usize)) })
    }
}

impl Stateful for Rank {
    fn take(&mut self, _: usize, rows: &Rows) -> Result<Taken> {
        let mut taken = Taken::default();
        let read = apart(rows, &mut taken, |part| self.read(part));
        let likely = read.iter().map(|read| self.likely(read, &mut taken));
        let likely = likely.collect::<Result<Vec<_>>>()?;
        self.bounded(&likely)?;
        for likely in &likely {
            self.add(likely);
        }
        Ok(taken)
    }

    fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(piece) = self.piece()? {
                return Ok(Some(piece));
            }
            self.given();
            self.open(watermark.0);
            if self.giving.is_empty() {
                self.clear();
                return Ok(None);
            }
        }
    }

    fn settled(&mut self) -> Result<Option<RecordBatch>> {
        if self.giving.is_empty() {
            for number in std::mem::take(&mut self.changed) {
                let Some(best) = self.all.get_mut(number as usize) else { continue };
                let from = std::mem::replace(&mut best.from, NONE);
                let places = from..short(best.rows.len());
                self.giving.extend(places.map(|place| (number, place)));
            }
        }
        if let Some(piece) = self.piece()? {
            return Ok(Some(piece));
        }
        self.given();
        Ok(None)
    }

    fn begin(&mut self, whole_from: Timestamp) -> Timestamp {
        self.spec.whole_from = whole_from.0;
        let back = self.spec.closing.as_ref().map_or(0, |closing| closing.back);
        Timestamp(whole_from.0.saturating_add(back))
    }

    fn changed(&self) -> usize {
        self.saved.changed()
    }

    fn bytes(&self) -> u64 {
        self.held() as u64
    }

    fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> millstream_core::Result<()> {
        self.tell(prefix, out);
        Ok(())
    }

    fn restore(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()> {
        *self = Self::new(self.spec.clone()).map_err(crate::view::stop)?;
        self.read_chunks(chunks)
    }
}
