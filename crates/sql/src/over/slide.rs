//! What can be put together and not taken apart again: kept in two stacks.
//!
//! ```text
//!      start          mid           end
//!  ─────┼──────────────┼─────────────┼─▶ rows of the key
//!        front: what is   back: one
//!        from each row
//!        up to `mid`
//! ```
//!
//! A row that comes is added to `back`, a row that goes is taken off `front`; when that is empty, all rows that are left are put
//! there. So each row is added twice, and what a frame comes to depends on the rows of the key alone: floats too come out the
//! same after a restart.

use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::DataType;
use datafusion_common::Result;

use super::call::{Failed, Run, Seen};
use super::histories::Histories;
use super::history::{History, Ring, Value};
use crate::window::bytes::{Reader, put};

/// What some rows in a row come to.
pub(super) trait Cell: Clone + Default + Send + 'static {
    type Value: Value;
    type Out;
    fn add(&mut self, value: &Self::Value);
    /// Both together, `later` being that of the rows behind these.
    fn merge(&self, later: &Self) -> Self;
    fn out(&self) -> Option<Self::Out>;
    fn array(out: Vec<Option<Self::Out>>, of: &History, kind: &DataType) -> Result<ArrayRef>;
    fn save(&self, out: &mut Vec<u8>);
    fn load(from: &mut Reader<'_>) -> Option<Self>;
}

pub(super) struct Slide<C> {
    at: usize,
    frame: usize,
    kind: DataType,
    cells: Vec<Two<C>>,
    heap: usize,
}

#[derive(Clone, Default)]
struct Two<C> {
    start: u64,
    mid: u64,
    end: u64,
    back: C,
    /// The last one is that from `start` on.
    front: Vec<C>,
}

impl<C: Cell> Two<C> {
    fn slide(&mut self, ring: &Ring<C::Value>, start: u64, end: u64) -> Option<C::Out> {
        while self.end < end {
            if let Some(value) = ring.get(self.end) {
                self.back.add(value);
            }
            self.end += 1;
        }
        if self.start < start {
            if start >= self.end {
                // As a key that begins.
                self.front.clear();
                (self.mid, self.back) = (start, C::default());
            } else if start >= self.mid {
                (self.start, self.mid) = (start, self.end);
                self.back = C::default();
                self.fill(ring);
            } else {
                self.front.truncate(usize::try_from(self.mid - start).unwrap_or(usize::MAX));
            }
            self.start = start;
        }
        match self.front.last() {
            Some(front) => front.merge(&self.back).out(),
            None => self.back.out(),
        }
    }

    /// Makes the front of what is remembered.
    fn fill(&mut self, ring: &Ring<C::Value>) {
        self.front.clear();
        let mut all = C::default();
        for number in (self.start..self.mid).rev() {
            if let Some(value) = ring.get(number) {
                let mut one = C::default();
                one.add(value);
                all = one.merge(&all);
            }
            self.front.push(all.clone());
        }
    }

    fn heap(&self) -> usize {
        self.front.capacity() * size_of::<C>()
    }
}

impl<C: Cell> Slide<C> {
    pub(super) fn of(at: usize, frame: usize, kind: DataType) -> Box<dyn Run> {
        Box::new(Self { at, frame, kind, cells: vec![], heap: 0 })
    }
}

impl<C: Cell> Run for Slide<C> {
    fn grow(&mut self, len: usize) {
        self.cells.resize_with(len, Two::default);
    }

    fn run(&mut self, seen: &Seen<'_>, _: &mut Failed) -> Result<ArrayRef> {
        let history = seen.histories.get(self.at)?;
        let rings = C::Value::rings(history)?;
        let mut out = Vec::with_capacity(seen.rows.len());
        for (group, start, end) in seen.frames(self.frame)? {
            let (Some(ring), Some(cell)) = (rings.of(group), self.cells.get_mut(group as usize))
            else {
                continue;
            };
            let before = cell.front.capacity();
            out.push(cell.slide(ring, start, end));
            self.heap += (cell.front.capacity() - before) * size_of::<C>();
        }
        C::array(out, history, &self.kind)
    }

    fn clear(&mut self, group: u32) {
        if let Some(cell) = self.cells.get_mut(group as usize) {
            self.heap -= cell.heap();
            *cell = Two::default();
        }
    }

    fn keep(&mut self, groups: &[u32]) -> Result<()> {
        let mut take = |g: &u32| self.cells.get_mut(*g as usize).map(std::mem::take);
        self.cells = groups.iter().map(|g| take(g).unwrap_or_default()).collect();
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Two<C>>() + self.heap
    }

    fn save(&self, group: u32, out: &mut Vec<u8>) {
        let Some(cell) = self.cells.get(group as usize) else { return };
        put(out, cell.start);
        put(out, cell.mid);
        put(out, cell.end);
        cell.back.save(out);
    }

    fn load(&mut self, group: u32, histories: &Histories, from: &mut Reader<'_>) -> Option<()> {
        let rings = C::Value::rings(histories.get(self.at).ok()?).ok()?;
        let (start, mid, end) = (from.u64()?, from.u64()?, from.u64()?);
        let back = C::load(from)?;
        let mut cell = Two { start, mid, end, back, front: vec![] };
        // No more than is remembered, which bounds what bytes from outside can ask for.
        if start > mid || mid > end || !rings.of(group)?.reaches(start, mid) {
            return None;
        }
        cell.fill(rings.of(group)?);
        let own = self.cells.get_mut(group as usize)?;
        self.heap = self.heap + cell.heap() - own.heap();
        *own = cell;
        Some(())
    }
}

/// A sum of floats with the number of its values: `sum` if `MEAN` is false, else `avg`.
#[derive(Clone, Copy, Default)]
pub(super) struct Total<const MEAN: bool> {
    sum: f64,
    values: u64,
}

/// The float that a lane stands for.
fn float(lane: i64) -> f64 {
    f64::from_bits((lane ^ ((lane >> 63).cast_unsigned() >> 1).cast_signed()).cast_unsigned())
}

impl<const MEAN: bool> Cell for Total<MEAN> {
    type Value = i64;
    type Out = f64;

    fn add(&mut self, value: &i64) {
        *self = Self { sum: self.sum + float(*value), values: self.values + 1 };
    }

    fn merge(&self, later: &Self) -> Self {
        match (self.values, later.values) {
            (_, 0) => *self,
            (0, _) => *later,
            _ => Self { sum: self.sum + later.sum, values: self.values + later.values },
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "as the library divides")]
    fn out(&self) -> Option<f64> {
        let by = if MEAN { self.values as f64 } else { 1.0 };
        (self.values > 0).then_some(self.sum / by)
    }

    fn array(out: Vec<Option<f64>>, _: &History, kind: &DataType) -> Result<ArrayRef> {
        floats(out, kind)
    }

    fn save(&self, out: &mut Vec<u8>) {
        put(out, self.sum.to_bits());
        put(out, self.values);
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { sum: from.f64()?, values: from.u64()? })
    }
}

fn floats(out: Vec<Option<f64>>, kind: &DataType) -> Result<ArrayRef> {
    let array: ArrayRef = Arc::new(Float64Array::from(out));
    if array.data_type() == kind { Ok(array) } else { Ok(cast(&array, kind)?) }
}

/// A variance (Welford), of a sample if `SAMPLE`, and its root if `ROOT`.
#[derive(Clone, Copy, Default)]
pub(super) struct Variance<const SAMPLE: bool, const ROOT: bool> {
    values: u64,
    mean: f64,
    squares: f64,
}

#[expect(clippy::cast_precision_loss, reason = "as the library computes it")]
impl<const SAMPLE: bool, const ROOT: bool> Cell for Variance<SAMPLE, ROOT> {
    type Value = i64;
    type Out = f64;

    fn add(&mut self, value: &i64) {
        let value = float(*value);
        self.values += 1;
        let before = value - self.mean;
        self.mean += before / self.values as f64;
        self.squares += before * (value - self.mean);
    }

    fn merge(&self, later: &Self) -> Self {
        match (self.values, later.values) {
            (_, 0) => *self,
            (0, _) => *later,
            (a, b) => {
                let (a, b, all) = (a as f64, b as f64, (a + b) as f64);
                let delta = later.mean - self.mean;
                let part = b / all;
                Self {
                    values: self.values + later.values,
                    mean: self.mean + delta * part,
                    squares: self.squares + later.squares + delta * delta * a * part,
                }
            }
        }
    }

    fn out(&self) -> Option<f64> {
        let least = if SAMPLE { 2 } else { 1 };
        let by = (self.values - u64::from(SAMPLE && self.values > 0)) as f64;
        let variance = self.squares / by;
        (self.values >= least).then_some(if ROOT { variance.sqrt() } else { variance })
    }

    fn array(out: Vec<Option<f64>>, _: &History, kind: &DataType) -> Result<ArrayRef> {
        floats(out, kind)
    }

    fn save(&self, out: &mut Vec<u8>) {
        put(out, self.values);
        put(out, self.mean.to_bits());
        put(out, self.squares.to_bits());
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { values: from.u64()?, mean: from.f64()?, squares: from.f64()? })
    }
}

macro_rules! ones {
    ($($(#[$doc:meta])* $name:ident $(<$v:ident>)?, $value:ty, $choose:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub(super) struct $name $(<$v>)? (Option<$value>);

        impl $(<$v>)? Default for $name $(<$v>)? {
            fn default() -> Self {
                Self(None)
            }
        }

        impl $(<$v: Value>)? Cell for $name $(<$v>)? {
            type Value = $value;
            type Out = $value;

            fn add(&mut self, value: &Self::Value) {
                let later = Self(Some(value.clone()));
                *self = self.merge(&later);
            }

            fn merge(&self, later: &Self) -> Self {
                let choose: for<'a> fn(&'a $value, &'a $value) -> &'a $value = $choose;
                Self(match (&self.0, &later.0) {
                    (Some(a), Some(b)) => Some(choose(a, b).clone()),
                    (Some(one), None) | (None, Some(one)) => Some(one.clone()),
                    (None, None) => None,
                })
            }

            fn out(&self) -> Option<Self::Out> {
                self.0.clone()
            }

            fn array(
                out: Vec<Option<Self::Out>>,
                of: &History,
                kind: &DataType,
            ) -> Result<ArrayRef> {
                Self::Value::array(out, of, kind)
            }

            fn save(&self, out: &mut Vec<u8>) {
                out.push(u8::from(self.0.is_some()));
                if let Some(value) = &self.0 {
                    value.save(out);
                }
            }

            fn load(from: &mut Reader<'_>) -> Option<Self> {
                Some(Self(if from.u8()? == 1 { Some(Self::Value::load(from)?) } else { None }))
            }
        }
    )*};
}

ones! {
    /// The least value.
    Least<V>, V, |a, b| if b < a { b } else { a };
    /// The greatest value.
    Most<V>, V, |a, b| if b > a { b } else { a };
    /// The first value that is not null.
    First<V>, V, |a, _| a;
    /// The last value that is not null.
    Last<V>, V, |_, b| b;
}
