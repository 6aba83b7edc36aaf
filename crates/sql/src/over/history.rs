//! What is remembered of the rows of each key: as far back as frames reach.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Schema};
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_physical_expr::PhysicalExpr;

use super::frame::Span;
use super::moment::{Moment, NONE};
use crate::window::bytes::{Reader, put, put_bytes};
use crate::window::lane::{from_lane, has_lane, to_lane};

/// A value that is remembered.
pub(super) trait Value: Clone + Ord + Send + Sync + 'static {
    /// Bytes beyond its own.
    fn heap(&self) -> usize;
    fn save(&self, out: &mut Vec<u8>);
    fn load(from: &mut Reader<'_>) -> Option<Self>;
    /// The column of some values, as the history they are of has it.
    fn array(values: Vec<Option<Self>>, of: &History, kind: &DataType) -> Result<ArrayRef>;
    /// A value as the history has it.
    fn one(of: &History, value: &ScalarValue) -> Result<Option<Self>>;
    /// The values of a history of this kind.
    fn rings(of: &History) -> Result<&Rings<Self>>;
}

/// A number in the order of the values, see [`to_lane`].
impl Value for i64 {
    fn heap(&self) -> usize {
        0
    }

    fn save(&self, out: &mut Vec<u8>) {
        put(out, self.cast_unsigned());
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        from.i64()
    }

    fn array(values: Vec<Option<Self>>, _: &History, kind: &DataType) -> Result<ArrayRef> {
        from_lane(&Int64Array::from(values), kind)
    }

    fn one(_: &History, value: &ScalarValue) -> Result<Option<Self>> {
        Ok(to_lane(&value.to_array()?)?.iter().next().flatten())
    }

    fn rings(of: &History) -> Result<&Rings<Self>> {
        match &of.store {
            Store::Lanes(rings) => Ok(rings),
            Store::Bytes(..) => exec_err!("values do not fit what remembers them"),
        }
    }
}

/// A row of values in arrow's form, whose bytes are in the order of the values.
pub(super) type Packed = Arc<[u8]>;

impl Value for Packed {
    fn heap(&self) -> usize {
        // Two counters stand before the bytes.
        self.len() + 16
    }

    fn save(&self, out: &mut Vec<u8>) {
        put_bytes(out, self);
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        from.bytes().map(Arc::from)
    }

    fn array(values: Vec<Option<Self>>, of: &History, kind: &DataType) -> Result<ArrayRef> {
        let columns = of.unpack(values.iter().map(|v| v.as_deref().unwrap_or(&of.null)))?;
        match columns.into_iter().next() {
            Some(column) if column.data_type() == kind => Ok(column),
            Some(column) => Ok(cast(&column, kind)?),
            None => exec_err!("a value has no column"),
        }
    }

    fn one(of: &History, value: &ScalarValue) -> Result<Option<Self>> {
        let Store::Bytes(_, converter) = &of.store else {
            return exec_err!("values do not fit what remembers them");
        };
        let rows = converter.convert_columns(&[value.to_array()?])?;
        Ok(Some(Arc::from(rows.row(0).data())))
    }

    fn rings(of: &History) -> Result<&Rings<Self>> {
        match &of.store {
            Store::Bytes(rings, _) => Ok(rings),
            Store::Lanes(_) => exec_err!("values do not fit what remembers them"),
        }
    }
}

/// The values of one key by the numbers of its rows, those before `base` being forgotten. `None` is null, or left out by a `FILTER`.
pub(super) struct Ring<T> {
    base: u64,
    /// What is before this is in chunks of its own.
    sealed: u64,
    items: VecDeque<Option<T>>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { base: 0, sealed: 0, items: VecDeque::new() }
    }
}

impl<T> Ring<T> {
    pub(super) fn get(&self, number: u64) -> Option<&T> {
        let place = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.items.get(place)?.as_ref()
    }

    /// From where on values are not in chunks of their own.
    fn open(&self) -> u64 {
        self.sealed.max(self.base)
    }

    fn end(&self) -> u64 {
        self.base + self.items.len() as u64
    }

    /// Whether all of these are remembered.
    pub(super) fn reaches(&self, from: u64, upto: u64) -> bool {
        from >= upto || (from >= self.base && upto - self.base <= self.items.len() as u64)
    }
}

/// The values of all keys.
pub(super) struct Rings<T> {
    rings: Vec<Ring<T>>,
    heap: usize,
}

impl<T: Value> Rings<T> {
    fn new() -> Self {
        Self { rings: vec![], heap: 0 }
    }

    pub(super) fn of(&self, group: u32) -> Option<&Ring<T>> {
        self.rings.get(group as usize)
    }

    fn push(&mut self, group: u32, value: Option<T>) {
        let Some(ring) = self.rings.get_mut(group as usize) else { return };
        self.heap += value.as_ref().map_or(0, T::heap);
        let before = ring.items.capacity();
        ring.items.push_back(value);
        self.heap += (ring.items.capacity() - before) * size_of::<Option<T>>();
    }

    /// Forgets what was before a number.
    fn forget(&mut self, group: u32, before: u64) {
        let Some(ring) = self.rings.get_mut(group as usize) else { return };
        while ring.base < before {
            let Some(value) = ring.items.pop_front() else { break };
            self.heap -= value.as_ref().map_or(0, T::heap);
            ring.base += 1;
        }
        let (len, capacity) = (ring.items.len(), ring.items.capacity());
        if capacity > 32 && len < capacity / 4 {
            ring.items.shrink_to(len * 2);
            self.heap -= (capacity - ring.items.capacity()) * size_of::<Option<T>>();
        }
    }

    fn clear(&mut self, group: u32) {
        let Some(ring) = self.rings.get_mut(group as usize) else { return };
        let ring = std::mem::take(ring);
        self.heap -= ring.items.capacity() * size_of::<Option<T>>();
        self.heap -= ring.items.iter().flatten().map(T::heap).sum::<usize>();
    }

    fn keep(&mut self, groups: &[u32]) {
        let mut take = |g: &u32| self.rings.get_mut(*g as usize).map(std::mem::take);
        self.rings = groups.iter().map(|g| take(g).unwrap_or_default()).collect();
        // Chunks have the numbers of before.
        self.rings.iter_mut().for_each(|ring| ring.sealed = 0);
    }

    /// Appends what is remembered from a number on, up to before another one.
    fn put(&self, group: u32, from: u64, upto: u64, out: &mut Vec<u8>) {
        let Some(ring) = self.of(group) else { return };
        for number in from..upto {
            let value = ring.get(number);
            out.push(u8::from(value.is_some()));
            if let Some(value) = value {
                value.save(out);
            }
        }
    }

    fn save(&self, group: u32, out: &mut Vec<u8>) {
        let Some(ring) = self.of(group) else { return };
        put(out, ring.base);
        put(out, ring.open());
        put(out, ring.end());
        self.put(group, ring.open(), ring.end(), out);
    }

    /// What of a long ring is to have a chunk of its own from now on.
    fn seal(&mut self, group: u32) -> Option<(u64, u64)> {
        let ring = self.rings.get_mut(group as usize)?;
        let (from, upto) = (ring.open(), ring.end() / SEALED * SEALED);
        if ring.items.len() < SHORT || upto < from + SEALED {
            return None;
        }
        ring.sealed = upto;
        Some((from, upto))
    }

    /// Takes back what was saved, behind what chunks of their own have of it.
    fn load(&mut self, group: u32, from: &mut Reader<'_>, sealed: &[Sealed<'_>]) -> Option<()> {
        self.clear(group);
        let (base, open, end) = (from.u64()?, from.u64()?, from.u64()?);
        let ring = self.rings.get_mut(group as usize)?;
        (ring.base, ring.sealed) = (base, open);
        let mut next = base;
        for part in sealed.iter().filter(|part| part.upto <= open) {
            let mut values = Reader(part.values);
            for number in part.from..part.upto {
                let value = if values.u8()? == 1 { Some(T::load(&mut values)?) } else { None };
                if number == next {
                    self.push(group, value);
                    next += 1;
                }
            }
        }
        for _ in open..end {
            let value = if from.u8()? == 1 { Some(T::load(from)?) } else { None };
            self.push(group, value);
        }
        (next == open && open <= end).then_some(())
    }
}

/// Whole chunks of their own are of so many values at least, of rings that are longer than some.
const SEALED: u64 = 16;
const SHORT: usize = 64;

/// Values in a chunk of their own.
pub(super) struct Sealed<'a> {
    pub from: u64,
    pub upto: u64,
    pub values: &'a [u8],
}

enum Store {
    Lanes(Rings<i64>),
    Bytes(Rings<Packed>, RowConverter),
}

/// How far back something has to be remembered, at a row of a key and for those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Low {
    /// From where a frame begins.
    Start(usize),
    /// From where it ends.
    End(usize),
    /// The last row in it.
    Last(usize),
    /// So many rows.
    Back(u64),
}

/// What is remembered of one column, or of several together.
pub(super) struct History {
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    pub(super) lows: Vec<Low>,
    store: Store,
    /// A row of nulls.
    null: Box<[u8]>,
    /// Rows of several values are there even if these are null.
    whole: bool,
    pub(super) text: String,
}

impl History {
    pub(super) fn new(
        args: &[Arc<dyn PhysicalExpr>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
        whole: bool,
        schema: &Schema,
        text: String,
    ) -> Result<Self> {
        let kinds = args.iter().map(|a| a.data_type(schema)).collect::<Result<Vec<_>>>()?;
        let mut null = Box::default();
        let store = match kinds.as_slice() {
            [kind] if !whole && has_lane(kind) => Store::Lanes(Rings::new()),
            kinds => {
                let fields = kinds.iter().cloned().map(SortField::new).collect();
                let converter = RowConverter::new(fields)?;
                let nulls = kinds.iter().map(|k| arrow_array::new_null_array(k, 1));
                let rows = converter.convert_columns(&nulls.collect::<Vec<_>>())?;
                null = Box::from(rows.row(0).data());
                Store::Bytes(Rings::new(), converter)
            }
        };
        let (args, filter) = (args.to_vec(), filter.cloned());
        Ok(Self { args, filter, lows: vec![], store, null, whole, text })
    }

    pub(super) fn is_lane(&self) -> bool {
        matches!(self.store, Store::Lanes(_))
    }

    /// The columns that these rows of values are.
    pub(super) fn unpack<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Store::Bytes(_, converter) = &self.store else {
            return exec_err!("values do not fit what remembers them");
        };
        let parser = converter.parser();
        Ok(converter.convert_rows(rows.map(|row| parser.parse(row)))?)
    }

    pub(super) fn grow(&mut self, len: usize) {
        match &mut self.store {
            Store::Lanes(rings) => rings.rings.resize_with(len, Ring::default),
            Store::Bytes(rings, _) => rings.rings.resize_with(len, Ring::default),
        }
    }

    /// Remembers the rows of a batch.
    pub(super) fn push(&mut self, batch: &RecordBatch, groups: &[u32]) -> Result<()> {
        let len = batch.num_rows();
        let passes = match &self.filter {
            Some(filter) => Some(filter.evaluate(batch)?.into_array(len)?),
            None => None,
        };
        let passes = passes.as_ref().and_then(|p| p.as_boolean_opt());
        let passes = |i: usize| passes.is_none_or(|p| p.is_valid(i) && p.value(i));
        let args = self.args.iter().map(|a| a.evaluate(batch)?.into_array(len));
        let args = args.collect::<Result<Vec<_>>>()?;
        match &mut self.store {
            Store::Lanes(rings) => {
                let Some(arg) = args.first() else { return exec_err!("a value has no column") };
                let lane = to_lane(arg)?;
                for ((i, value), group) in lane.iter().enumerate().zip(groups) {
                    rings.push(*group, value.filter(|_| passes(i)));
                }
            }
            Store::Bytes(rings, converter) => {
                let rows = converter.convert_columns(&args)?;
                let nulls = args.first().filter(|_| !self.whole).and_then(|a| a.logical_nulls());
                for ((i, row), group) in rows.iter().enumerate().zip(groups) {
                    let is = passes(i) && nulls.as_ref().is_none_or(|n| n.is_valid(i));
                    rings.push(*group, is.then(|| Arc::from(row.data())));
                }
            }
        }
        Ok(())
    }

    /// Forgets what no frame reaches after these rows.
    pub(super) fn forget(&mut self, rows: &Moment, spans: &[Span]) {
        for (i, (group, number)) in rows.groups.iter().zip(&rows.numbers).enumerate() {
            if rows.next.get(i) != Some(&NONE) {
                continue;
            }
            let at = |of: &[u64]| of.get(i).copied().unwrap_or_default();
            let low = self.lows.iter().map(|low| match *low {
                Low::Start(frame) => spans.get(frame).map_or(0, |s| at(&s.starts)),
                Low::End(frame) => spans.get(frame).map_or(0, |s| at(&s.ends)),
                Low::Last(frame) => spans.get(frame).map_or(0, |s| at(&s.ends).saturating_sub(1)),
                Low::Back(rows) => (number + 1).saturating_sub(rows),
            });
            let low = low.min().unwrap_or(number + 1);
            match &mut self.store {
                Store::Lanes(rings) => rings.forget(*group, low),
                Store::Bytes(rings, _) => rings.forget(*group, low),
            }
        }
    }

    pub(super) fn clear(&mut self, group: u32) {
        match &mut self.store {
            Store::Lanes(rings) => rings.clear(group),
            Store::Bytes(rings, _) => rings.clear(group),
        }
    }

    /// Keeps these groups alone, and calls them by their places.
    pub(super) fn keep(&mut self, groups: &[u32]) {
        match &mut self.store {
            Store::Lanes(rings) => rings.keep(groups),
            Store::Bytes(rings, _) => rings.keep(groups),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.store {
            Store::Lanes(r) => r.heap + r.rings.capacity() * size_of::<Ring<i64>>(),
            Store::Bytes(r, _) => r.heap + r.rings.capacity() * size_of::<Ring<Packed>>(),
        }
    }

    pub(super) fn save(&self, group: u32, out: &mut Vec<u8>) {
        match &self.store {
            Store::Lanes(rings) => rings.save(group, out),
            Store::Bytes(rings, _) => rings.save(group, out),
        }
    }

    /// What of a key is to have a chunk of its own from now on.
    pub(super) fn seal(&mut self, group: u32) -> Option<(u64, u64)> {
        match &mut self.store {
            Store::Lanes(rings) => rings.seal(group),
            Store::Bytes(rings, _) => rings.seal(group),
        }
    }

    /// From where on rows of a key are remembered.
    pub(super) fn base(&self, group: u32) -> u64 {
        match &self.store {
            Store::Lanes(rings) => rings.of(group).map_or(0, |r| r.base),
            Store::Bytes(rings, _) => rings.of(group).map_or(0, |r| r.base),
        }
    }

    /// Appends some of what is remembered of a key.
    pub(super) fn put(&self, group: u32, (from, upto): (u64, u64), out: &mut Vec<u8>) {
        match &self.store {
            Store::Lanes(rings) => rings.put(group, from, upto, out),
            Store::Bytes(rings, _) => rings.put(group, from, upto, out),
        }
    }

    pub(super) fn load(
        &mut self,
        group: u32,
        from: &mut Reader<'_>,
        sealed: &[Sealed<'_>],
    ) -> Option<()> {
        match &mut self.store {
            Store::Lanes(rings) => rings.load(group, from, sealed),
            Store::Bytes(rings, _) => rings.load(group, from, sealed),
        }
    }
}
