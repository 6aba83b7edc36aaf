//! The distinct values of groups, for `count(DISTINCT x)`: each with its group once, in one table for all groups, so that a
//! snapshot writes only those that are new.
//!
//! Counts of the same values with several `FILTER`s share one table: a pair remembers by a bit for each which of them have
//! counted it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, NullBuffer};
use arrow_schema::{DataType, Schema};
use datafusion_common::Result;
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::window::Aggregate;
use crate::window::bytes::{put_sized, short};
use crate::window::groups::{Store, roomy};
use crate::window::keys::{Encoded, Key, unfit};
use crate::window::lane::{has_lane, to_lane};
use crate::window::saved::Saved;

/// So many counts share a table.
const COUNTS_MAX: usize = 32;

/// The counts of one expression's distinct values.
pub(super) struct Pairs {
    of: Arc<dyn PhysicalExpr>,
    lane: bool,
    /// The aggregate of each count, and its `FILTER`.
    counts: Vec<(usize, Option<Arc<dyn PhysicalExpr>>)>,
    index: HashTable<u32>,
    groups: Vec<u32>,
    /// Which counts have counted it.
    masks: Vec<u32>,
    values: Store,
    pub saved: Saved,
}

/// What they take of a batch.
pub(super) struct Values {
    values: Encoded,
    passes: Vec<Option<BooleanBuffer>>,
}

impl Values {
    /// No more bytes than this are kept for all rows, beyond those for each pair.
    pub(super) fn bytes(&self) -> usize {
        self.values.bytes() * 2
    }
}

/// Whether the aggregate counts distinct values of a kind that these tables have.
fn counted(aggregate: &Aggregate, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let expr = &aggregate.expr;
    let args = expr.expressions();
    let [of] = args.as_slice() else { return Ok(None) };
    let kind = of.data_type(schema)?;
    let fits = expr.is_distinct() && expr.order_bys().is_empty() && expr.fun().name() == "count";
    Ok((fits && (has_lane(&kind) || kind == DataType::Utf8)).then(|| of.clone()))
}

impl Pairs {
    /// Tables for those of the aggregates that count distinct values.
    pub(super) fn all(aggregates: &[Aggregate], schema: &Schema) -> Result<Vec<Self>> {
        let mut all: Vec<Self> = vec![];
        for (at, aggregate) in aggregates.iter().enumerate() {
            let Some(of) = counted(aggregate, schema)? else { continue };
            let count = (at, aggregate.filter.clone());
            let fits = |p: &&mut Self| p.of.eq(&of) && p.counts.len() < COUNTS_MAX;
            match all.iter_mut().find(fits) {
                Some(pairs) => pairs.counts.push(count),
                None => all.push(Self::new(of.clone(), vec![count], schema)?),
            }
        }
        Ok(all)
    }

    fn new(
        of: Arc<dyn PhysicalExpr>,
        counts: Vec<(usize, Option<Arc<dyn PhysicalExpr>>)>,
        schema: &Schema,
    ) -> Result<Self> {
        let lane = has_lane(&of.data_type(schema)?);
        Ok(Self {
            of,
            lane,
            counts,
            index: HashTable::new(),
            groups: vec![],
            masks: vec![],
            values: store(lane),
            saved: Saved::default(),
        })
    }

    /// The same with no values.
    pub(super) fn emptied(&self) -> Self {
        Self {
            of: self.of.clone(),
            lane: self.lane,
            counts: self.counts.clone(),
            index: HashTable::new(),
            groups: vec![],
            masks: vec![],
            values: store(self.lane),
            saved: Saved::default(),
        }
    }

    /// The aggregates that count here.
    pub(super) fn aggregates(&self) -> impl Iterator<Item = usize> {
        self.counts.iter().map(|(at, _)| *at)
    }

    /// What is taken of a batch.
    pub(super) fn read(&self, batch: &RecordBatch) -> Result<Values> {
        let len = batch.num_rows();
        let values = self.of.evaluate(batch)?.into_array(len)?;
        let values = match self.lane {
            true => Encoded::Lane(to_lane(&values)?),
            false => Encoded::Text(cast(&values, &DataType::Utf8)?.as_string::<i32>().clone()),
        };
        let passes = self.counts.iter().map(|(_, filter)| {
            let Some(filter) = filter else { return Ok(None) };
            let mask = filter.evaluate(batch)?.into_array(len)?;
            let mask = mask.as_boolean_opt().ok_or_else(unfit)?;
            Ok(Some(match mask.nulls() {
                Some(nulls) => mask.values() & nulls.inner(),
                None => mask.values().clone(),
            }))
        });
        Ok(Values { values, passes: passes.collect::<Result<Vec<_>>>()? })
    }

    /// Takes the values of these rows, whose groups these are; for each count, the rows that brought it a new one.
    pub(super) fn take(
        &mut self,
        read: &Values,
        len: usize,
        rows: &[u32],
        groups: &[u32],
    ) -> Vec<(usize, NullBuffer)> {
        let mut fresh: Vec<_> = self
            .counts
            .iter()
            .map(|_| {
                let mut bits = BooleanBufferBuilder::new(len);
                bits.append_n(len, false);
                bits
            })
            .collect();
        for (row, group) in rows.iter().zip(groups) {
            let at = *row as usize;
            let value = read.values.key(at);
            if value == Key::None {
                continue;
            }
            let mut asked = 0_u32;
            for (bit, passes) in read.passes.iter().enumerate() {
                asked |= u32::from(passes.as_ref().is_none_or(|p| p.value(at))) << bit;
            }
            if asked == 0 {
                continue;
            }
            let mut new = self.mark(*group, value, asked);
            while new != 0 {
                let bit = new.trailing_zeros() as usize;
                if let Some(bits) = fresh.get_mut(bit) {
                    bits.set_bit(at, true);
                }
                new &= new - 1;
            }
        }
        self.saved.grow(self.groups.len(), self.groups.capacity());
        let bits = fresh.into_iter().map(|mut bits| NullBuffer::new(bits.finish()));
        self.aggregates().zip(bits).collect()
    }

    /// Has these counts count the pair; which of them had not.
    fn mark(&mut self, group: u32, value: Key<'_>, asked: u32) -> u32 {
        let (groups, values) = (&self.groups, &self.values);
        let same = |p: &u32| groups.get(*p as usize) == Some(&group) && values.key(*p) == value;
        let rehash = |p: &u32| hash(groups.get(*p as usize).copied().unwrap_or(0), values.key(*p));
        match self.index.entry(hash(group, value), same, rehash) {
            Entry::Occupied(found) => {
                let pair = *found.get();
                let Some(mask) = self.masks.get_mut(pair as usize) else { return 0 };
                let new = asked & !*mask;
                if new != 0 {
                    *mask |= new;
                    self.saved.touch(pair);
                }
                new
            }
            Entry::Vacant(room) => {
                room.insert(short(groups.len()));
                self.push(group, value, asked);
                asked
            }
        }
    }

    fn push(&mut self, group: u32, value: Key<'_>, mask: u32) {
        if self.groups.len() == self.groups.capacity() {
            let more = roomy(self.groups.len() + 1, self.groups.capacity()) - self.groups.len();
            self.groups.reserve_exact(more);
            self.masks.reserve_exact(more);
        }
        self.groups.push(group);
        self.masks.push(mask);
        self.values.push(value);
    }

    /// Of these rows, how many bring a pair that is not here.
    pub(super) fn fresh(
        &self,
        read: &Values,
        rows: impl Iterator<Item = (u32, Option<u32>)>,
    ) -> usize {
        let missing = rows.filter(|(row, group)| {
            let value = read.values.key(*row as usize);
            let Some(group) = group else { return true };
            let same = |p: &u32| {
                self.groups.get(*p as usize) == Some(group) && self.values.key(*p) == value
            };
            self.index.find(hash(*group, value), same).is_none()
        });
        missing.count()
    }

    /// Takes over the pairs of groups that have other numbers now.
    pub(super) fn take_over(&mut self, others: &Self, now: &BTreeMap<u32, u32>) {
        for (pair, group) in (0..).zip(&others.groups) {
            if let (Some(group), Some(mask)) = (now.get(group), others.masks.get(pair as usize)) {
                self.mark(*group, others.values.key(pair), *mask);
            }
        }
        self.saved.grow(self.groups.len(), self.groups.capacity());
    }

    pub(super) fn bytes(&self) -> usize {
        self.fixed(self.groups.capacity()) + self.values.heap() + self.saved.bytes()
    }

    /// What `pairs` more would add to that, beyond their values.
    pub(super) fn growth(&self, pairs: usize) -> usize {
        let (needed, capacity) = (self.groups.len() + pairs, self.groups.capacity());
        let wanted = if needed > capacity { roomy(needed, capacity) } else { capacity };
        self.fixed(wanted) - self.fixed(capacity) + pairs * 8
    }

    fn fixed(&self, capacity: usize) -> usize {
        // Group, mask, value or its end, and the run it was written in.
        capacity * 20 + (capacity * 8 / 7).next_power_of_two() * 5
    }

    /// Appends these pairs.
    pub(super) fn save(&self, pairs: &[u32], out: &mut Vec<u8>) {
        for pair in pairs {
            let at = *pair as usize;
            out.extend_from_slice(&self.groups.get(at).copied().unwrap_or(0).to_le_bytes());
            out.extend_from_slice(&self.masks.get(at).copied().unwrap_or(0).to_le_bytes());
            put_sized(out, |out| self.values.key(*pair).put(out));
        }
    }

    /// Takes back what was written in these chunks.
    pub(super) fn load(&mut self, chunks: &BTreeMap<u32, &[u8]>) -> Option<()> {
        let (saved, mut runs) = Saved::read(chunks)?;
        let mut pairs: Vec<(u32, u32, &[u8])> = vec![(0, 0, &[]); saved.len()];
        for run in &mut runs {
            for pair in &run.groups {
                let one = (run.states.u32()?, run.states.u32()?, run.states.bytes()?);
                *pairs.get_mut(*pair as usize)? = one;
            }
            run.states.is_empty().then_some(())?;
        }
        for (group, mask, value) in pairs {
            let value = parsed(value, self.lane)?;
            let before = self.groups.len();
            self.mark(group, value, mask);
            (self.groups.len() > before).then_some(())?;
        }
        self.saved = saved;
        Some(())
    }
}

fn store(lane: bool) -> Store {
    if lane { Store::Lane(vec![]) } else { Store::Bytes { data: vec![], ends: vec![] } }
}

/// The value that [`Key::put`] made these of.
fn parsed(bytes: &[u8], lane: bool) -> Option<Key<'_>> {
    let (first, rest) = bytes.split_first()?;
    match (first, lane) {
        (1, true) => {
            let bits = u64::from_be_bytes(rest.try_into().ok()?) ^ (1 << 63);
            Some(Key::Lane(bits.cast_signed()))
        }
        (1, false) => Some(Key::Bytes(rest)),
        _ => None,
    }
}

fn hash(group: u32, value: Key<'_>) -> u64 {
    let wide = u128::from(value.hash() ^ 0x9E37_79B9_7F4A_7C15)
        * u128::from((u64::from(group) << 1 | 1).wrapping_mul(0xA076_1D64_78BD_642F));
    #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed")]
    let mixed = (wide >> 64) as u64 ^ wide as u64;
    mixed
}
