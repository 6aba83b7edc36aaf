//! The part with state: rows in, rows of the keys that changed out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::{Array, ArrayRef, RecordBatch};
use bytes::Bytes;
use datafusion_common::{DataFusionError, Result};
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::error::Error;
use millstream_core::operator::Chunks;

use super::expiry::Expiry;
use super::pairs::{Pairs, Values};
use super::spec::Accumulation;
use crate::stateful::{Stateful, Taken};
use crate::step::batch_of;
use crate::window::Column;
use crate::window::batch::{Batch, apart, lagging};
use crate::window::groups::{Groups, Shape};
use crate::window::keys::{Keys, unfit};
use crate::window::states::{Input, Plan};

/// The most rows that are made at once, and about the most bytes.
const ROWS_MAX: usize = 8192;
const BYTES_MAX: usize = 4 << 20;

/// Groups rows by keys for ever, or until nothing has come for a key for long enough.
pub(crate) struct Running {
    pub(super) spec: Accumulation,
    pub(super) shape: Arc<Shape>,
    pub(super) groups: Groups,
    /// Distinct values that are counted.
    pub(super) pairs: Vec<Pairs>,
    pub(super) expiry: Option<Expiry>,
    /// How many groups nobody asks for any more.
    pub(super) retired: usize,
    /// Groups that changed and were not given since, in order; and of each group, whether it is one of them.
    pub(super) changed: Vec<u32>,
    pub(super) is_changed: Vec<bool>,
    /// So many of them have been given.
    at: usize,
    /// Rows that leave at once.
    fresh: VecDeque<Rows>,
    /// How far event time has come.
    watermark: i64,
    /// What the state is for.
    pub(super) layout: String,
    pub(super) next_run: u32,
    pub(super) notes: Vec<u8>,
    /// Chunks that there are no more.
    pub(super) gone: Vec<String>,
}

/// What is taken of rows.
struct Read {
    batch: Batch,
    values: Vec<Values>,
    rows: Vec<u32>,
}

impl Running {
    pub(crate) fn new(spec: Accumulation) -> Result<Self> {
        let keys = Keys::new(spec.keys.iter().map(|(_, field)| field.clone()).collect())?;
        let pairs = Pairs::all(&spec.aggregates, &spec.input)?;
        let counted: BTreeSet<usize> = pairs.iter().flat_map(Pairs::aggregates).collect();
        let plans = spec.aggregates.iter().enumerate().map(|(at, a)| match counted.contains(&at) {
            true => Ok(Plan::count()),
            false => Plan::new(a, &spec.input),
        });
        let shape = Arc::new(Shape { keys, plans: plans.collect::<Result<_>>()? });
        Ok(Self {
            groups: Groups::new(&shape),
            expiry: spec.ttl.as_ref().map(|ttl| Expiry::new(ttl.span)),
            layout: layout(&spec),
            spec,
            shape,
            pairs,
            retired: 0,
            changed: vec![],
            is_changed: vec![],
            at: 0,
            fresh: VecDeque::new(),
            watermark: i64::MIN,
            next_run: 0,
            notes: vec![],
            gone: vec![],
        })
    }

    fn lag(&self) -> i64 {
        self.spec.ttl.as_ref().map_or(0, |ttl| ttl.lag)
    }

    /// Computes what is taken of rows; those that cannot be, or come too late, are put aside.
    fn read(&self, rows: &Rows, taken: &mut Taken) -> Result<Vec<Read>> {
        let time = self.spec.ttl.as_ref().map(|ttl| (&ttl.time, ttl.lag));
        let made = apart(rows, taken, |part| {
            let values = self.pairs.iter().map(|p| p.read(&part.batch));
            let values = values.collect::<Result<Vec<_>>>()?;
            let batch = Batch::of(time, &self.spec.keys, &self.shape, part)?;
            Ok((batch, values))
        });
        made.into_iter()
            .map(|(batch, values)| {
                let rows = self.in_time(&batch, taken)?;
                Ok(Read { batch, values, rows })
            })
            .collect()
    }

    /// The rows that have an event time, if that matters, of which it is known what becomes of their keys.
    fn in_time(&self, batch: &Batch, taken: &mut Taken) -> Result<Vec<u32>> {
        let Some(expiry) = &self.expiry else { return Ok((0..batch.len()).collect()) };
        let (mut rows, mut late) = (vec![], vec![]);
        for row in 0..batch.len() {
            if batch.times.is_null(row as usize) {
                let why = "its event time is null, so that nobody could tell when its key is forgotten (`state_ttl`)";
                taken.refused.push((batch.some(&[row])?, why.to_owned()));
            } else if expiry.end(batch.times.value(row as usize)) <= batch.watermark(row) {
                late.push(row);
            } else {
                rows.push(row);
            }
        }
        if !late.is_empty() {
            taken.late.push(batch.some(&late)?);
        }
        Ok(rows)
    }

    /// Whether the rows fit into the state.
    fn bounded(&self, read: &[Read]) -> Result<()> {
        let values = |r: &Read| r.batch.bytes() + r.values.iter().map(Values::bytes).sum::<usize>();
        let held = self.held() + read.iter().map(values).sum::<usize>();
        let bound = usize::try_from(self.spec.state_bytes).unwrap_or(usize::MAX);
        let rows = read.iter().map(|r| r.rows.len()).sum::<usize>();
        let pairs = self.pairs.iter().map(|p| p.growth(rows)).sum::<usize>();
        if held + self.growth(rows) + pairs <= bound {
            return Ok(());
        }
        let find = |r: &Read, row: u32| self.groups.find(r.batch.keys.key(row as usize));
        let mut new: BTreeSet<Box<[u8]>> = BTreeSet::new();
        for r in read {
            let missing = r.rows.iter().filter(|row| find(r, **row).is_none());
            new.extend(missing.map(|row| r.batch.keys.key(*row as usize).to_bytes()));
        }
        let pairs = self.pairs.iter().enumerate().map(|(at, pairs)| {
            let fresh = read.iter().filter_map(|r| {
                let rows = r.rows.iter().map(|row| (*row, find(r, *row)));
                Some(pairs.fresh(r.values.get(at)?, rows))
            });
            pairs.growth(fresh.sum())
        });
        if held + self.growth(new.len()) + pairs.sum::<usize>() <= bound {
            return Ok(());
        }
        Err(self.full())
    }

    fn growth(&self, groups: usize) -> usize {
        // Whether it changed, and its last row.
        self.groups.growth(groups) + groups * 24
    }

    fn full(&self) -> DataFusionError {
        let (bound, keys) = (self.spec.state_bytes, self.keys());
        let what = format!(
            "the state of running groups would be more than `state_bytes`, {bound} bytes: {keys} groups are kept, keys: {}",
            self.shape.keys.names()
        );
        let fix = match self.spec.ttl {
            Some(_) => "raise `state_bytes`, shorten `state_ttl`, or have fewer keys",
            None => {
                "raise `state_bytes`, give the view a `state_ttl` after which keys are forgotten, or have fewer keys"
            }
        };
        DataFusionError::External(Box::new(Error::stop(what).fix(fix)))
    }

    fn add(&mut self, read: &Read, taken: &mut Taken) -> Result<()> {
        let before = self.groups.len();
        let numbers = self.numbers(&read.batch, &read.rows);
        let adds = read.batch.addend_max() * read.rows.len() as u128;
        let most = u128::from(i64::MAX.unsigned_abs());
        if adds > 0 && self.groups.sums_max + adds > most {
            self.groups.sums_max = self.groups.sums();
        }
        if self.groups.sums_max + adds <= most {
            self.groups.sums_max += adds;
            return self.put(read, &read.rows, &numbers, before, taken);
        }
        let (rows, numbers) = self.holding(read, &numbers, taken)?;
        let put = self.put(read, &rows, &numbers, before, taken);
        self.groups.sums_max = self.groups.sums();
        put
    }

    /// The group of each row.
    fn numbers(&mut self, batch: &Batch, rows: &[u32]) -> Vec<u32> {
        let Some(expiry) = &mut self.expiry else { return self.groups.assign(&batch.keys, rows) };
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            let key = batch.keys.key(*row as usize);
            let mut number = self.groups.number(key);
            if expiry.is_over(number, batch.watermark(*row)) {
                self.groups.grow();
                self.groups.retire(number);
                self.retired += 1;
                if let Some(changed) = self.is_changed.get_mut(number as usize) {
                    *changed = false;
                }
                number = self.groups.number(key);
            }
            expiry.note(number, batch.times.value(*row as usize));
            numbers.push(number);
        }
        self.groups.grow();
        numbers
    }

    /// Of the rows those by which no sum overflows.
    fn holding(
        &self,
        read: &Read,
        numbers: &[u32],
        taken: &mut Taken,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let mut sums: BTreeMap<(usize, u32), i128> = BTreeMap::new();
        let plans = self.shape.plans.iter().enumerate().filter(|(_, plan)| plan.is_sum());
        let plans: Vec<_> = plans.collect();
        let (mut rows, mut groups) = (vec![], vec![]);
        for (row, group) in read.rows.iter().zip(numbers) {
            let mut after = vec![];
            for (at, plan) in &plans {
                let now = sums.get(&(*at, *group)).copied().unwrap_or_else(|| {
                    self.groups.states.get(*at).map_or(0, |s| s.sum(*group as usize))
                });
                let sum = now + read.batch.addend(*at, *row, plan.is_unsigned());
                if plan.holds(sum) {
                    after.push(((*at, *group), sum));
                }
            }
            if after.len() < plans.len() {
                let why = "a sum would overflow with this row".to_owned();
                taken.refused.push((read.batch.some(&[*row])?, why));
                continue;
            }
            sums.extend(after);
            rows.push(*row);
            groups.push(*group);
        }
        Ok((rows, groups))
    }

    /// Adds rows to their groups.
    fn put(
        &mut self,
        read: &Read,
        rows: &[u32],
        numbers: &[u32],
        before: usize,
        taken: &mut Taken,
    ) -> Result<()> {
        taken.absorbed += rows.len() as u64;
        self.is_changed.resize(self.groups.len(), false);
        if self.spec.is_distinct() {
            return self.first_seen(read, rows, numbers, before);
        }
        let batch = &read.batch;
        let mut fresh: BTreeMap<usize, Input> = BTreeMap::new();
        for (pairs, values) in self.pairs.iter_mut().zip(&read.values) {
            let counted = pairs.take(values, batch.rows.len(), rows, numbers);
            fresh.extend(counted.into_iter().map(|(at, bits)| (at, Input::Valid(Some(bits)))));
        }
        batch.add_with(&mut self.groups.states, rows, numbers, &fresh)?;
        let mut last = u32::MAX;
        for number in numbers {
            if *number == last {
                continue;
            }
            last = *number;
            if self.groups.is_retired(last) {
                continue;
            }
            self.groups.saved.touch(last);
            if let Some(changed @ false) = self.is_changed.get_mut(last as usize) {
                *changed = true;
                self.changed.push(last);
            }
        }
        Ok(())
    }

    /// Has the rows leave whose keys were not there before.
    fn first_seen(
        &mut self,
        read: &Read,
        rows: &[u32],
        numbers: &[u32],
        before: usize,
    ) -> Result<()> {
        if self.expiry.is_some() {
            // Their last row is another one now.
            numbers.iter().for_each(|number| self.groups.saved.touch(*number));
        }
        let mut next = before;
        let new = rows.iter().zip(numbers).filter(|(_, number)| {
            let new = **number as usize >= next;
            next = next.max(**number as usize + 1);
            new
        });
        let new: Vec<u32> = new.map(|(row, _)| *row).collect();
        for new in new.chunks(ROWS_MAX) {
            let keys = new.iter().map(|row| read.batch.keys.key(*row as usize));
            let keys = self.shape.keys.decode(keys)?;
            let batch = self.rows(new.len(), &keys, &[])?;
            let origin = read.batch.rows.origin.take(new.iter().map(|row| *row as usize));
            self.fresh.push_back(Rows { batch, origin });
        }
        Ok(())
    }

    fn rows(&self, len: usize, keys: &[ArrayRef], results: &[ArrayRef]) -> Result<RecordBatch> {
        let columns = self.spec.columns.iter().zip(self.spec.schema.fields());
        let columns = columns.map(|(column, field)| {
            let values = match column {
                Column::Key(i) => keys.get(*i),
                Column::Aggregate(i) => results.get(*i),
                Column::WindowStart | Column::WindowEnd | Column::WindowTime => None,
            };
            let values = values.ok_or_else(unfit)?;
            if values.data_type() == field.data_type() {
                return Ok(values.clone());
            }
            Ok(cast(values, field.data_type())?)
        });
        batch_of(&self.spec.schema, columns.collect::<Result<Vec<_>>>()?, len)
    }

    /// The next groups that changed, as many as should be given at once.
    fn next_changed(&mut self) -> Vec<u32> {
        let (mut some, mut bytes) = (vec![], 0);
        while some.len() < ROWS_MAX && bytes < BYTES_MAX {
            let Some(group) = self.changed.get(self.at) else { break };
            self.at += 1;
            // What was forgotten since is another group now.
            if self.is_changed.get(*group as usize) == Some(&true) {
                bytes += self.groups.heap_of(*group);
                some.push(*group);
            }
        }
        some
    }

    /// Forgets the keys of which nothing has come for long enough.
    fn forget(&mut self) -> Result<()> {
        let Some(expiry) = &mut self.expiry else { return Ok(()) };
        for group in expiry.over(self.watermark) {
            if !self.groups.is_retired(group) {
                self.groups.retire(group);
                self.retired += 1;
            }
        }
        if self.watermark == i64::MAX {
            // Time may begin anew.
            self.watermark = i64::MIN;
        }
        if self.retired * 2 <= self.groups.len() || self.retired == 0 {
            return Ok(());
        }
        self.compact()
    }

    /// Gives groups new numbers, without those that nobody asks for.
    fn compact(&mut self) -> Result<()> {
        let len = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let live: Vec<u32> = (0..len).filter(|group| !self.groups.is_retired(*group)).collect();
        let groups = self.groups.part(&self.shape, &live)?;
        let now: BTreeMap<u32, u32> = live.iter().copied().zip(0..).collect();
        if let Some(expiry) = &mut self.expiry {
            expiry.set(live.iter().map(|group| Some(expiry.last(*group))).collect());
        }
        self.forget_chunks();
        let mut pairs: Vec<_> = self.pairs.iter().map(Pairs::emptied).collect();
        for (new, old) in pairs.iter_mut().zip(&self.pairs) {
            new.take_over(old, &now);
        }
        let sums_max = groups.sums();
        (self.groups, self.pairs, self.retired) = (groups, pairs, 0);
        self.groups.sums_max = sums_max;
        self.is_changed = vec![false; self.groups.len()];
        Ok(())
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.groups.len() - self.retired
    }

    pub(super) fn held(&self) -> usize {
        let pairs = self.pairs.iter().map(Pairs::bytes).sum::<usize>();
        let expiry = self.expiry.as_ref().map_or(0, Expiry::bytes);
        let changed = self.changed.capacity() * 4 + self.is_changed.capacity();
        self.groups.bytes() + pairs + expiry + changed
    }
}

impl Stateful for Running {
    fn take(&mut self, _: usize, rows: &Rows) -> Result<Taken> {
        let mut taken = Taken::default();
        let read = self.read(rows, &mut taken)?;
        self.bounded(&read)?;
        for read in &read {
            self.add(read, &mut taken)?;
        }
        Ok(taken)
    }

    fn made(&mut self) -> Result<Option<Rows>> {
        Ok(self.fresh.pop_front())
    }

    fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        self.watermark = lagging(watermark, self.lag());
        if self.changed.is_empty() {
            self.forget()?;
        }
        Ok(None)
    }

    fn settled(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let some = self.next_changed();
            if !some.is_empty() {
                let (keys, results) = self.groups.columns(&self.shape, &some)?;
                return self.rows(some.len(), &keys, &results).map(Some);
            }
            if self.at >= self.changed.len() {
                break;
            }
        }
        for group in std::mem::take(&mut self.changed) {
            if let Some(changed) = self.is_changed.get_mut(group as usize) {
                *changed = false;
            }
        }
        self.at = 0;
        self.forget()?;
        Ok(None)
    }

    /// What came before is not in what it gives: who has to know is told where the log begins.
    fn begin(&mut self, whole_from: Timestamp) -> Timestamp {
        whole_from
    }

    fn changed(&self) -> usize {
        self.groups.saved.changed() + self.pairs.iter().map(|p| p.saved.changed()).sum::<usize>()
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

fn layout(spec: &Accumulation) -> String {
    let keys = spec.keys.iter().map(|(_, field)| field.data_type().to_string());
    let aggregates = spec.aggregates.iter().map(|a| {
        let distinct = if a.expr.is_distinct() { " distinct" } else { "" };
        format!("{}{distinct} {}", a.expr.fun().name(), a.expr.field().data_type())
    });
    let parts: Vec<_> = keys.chain(aggregates).collect();
    let ttl = if spec.ttl.is_some() { " with the last row" } else { "" };
    format!("running {}{ttl}", parts.join(", "))
}
