//! States of a few words: counts, sums, means, variances, the least, greatest, first and last.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use datafusion_common::Result;

use super::super::bytes::{Reader, put};
use super::super::keys::unfit;
use super::super::lane::from_lane;
use super::{Input, States};

/// One group's state.
pub(super) trait Cell: Copy + Default + Send + 'static {
    fn add(cells: &mut [Self], input: &Input, rows: &[u32], groups: &[u32]) -> Result<()>;
    /// Adds what rows later in time have come to.
    fn merge(&mut self, later: Self);
    fn finish(cells: impl Iterator<Item = Self>, kind: &DataType) -> Result<ArrayRef>;
    fn save(self, out: &mut Vec<u8>);
    fn load(from: &mut Reader<'_>) -> Option<Self>;
    fn sum(self, _unsigned: bool) -> i128 {
        0
    }
}

pub(super) struct Cells<C> {
    cells: Vec<C>,
    /// The type of the results.
    kind: DataType,
}

impl<C: Cell> Cells<C> {
    pub(super) fn of(kind: &DataType) -> Box<dyn States> {
        Box::new(Self { cells: vec![], kind: kind.clone() })
    }
}

impl<C: Cell> States for Cells<C> {
    fn grow(&mut self, len: usize, capacity: usize) {
        self.cells.reserve_exact(capacity.saturating_sub(self.cells.len()));
        self.cells.resize(len, C::default());
    }

    fn add(&mut self, input: &Input, rows: &[u32], groups: &[u32]) -> Result<()> {
        C::add(&mut self.cells, input, rows, groups)
    }

    fn merge(&mut self, later: &dyn States, to: &[u32]) -> Result<()> {
        let later = later.as_any().downcast_ref::<Self>().ok_or_else(unfit)?;
        for (cell, to) in later.cells.iter().zip(to) {
            if let Some(own) = self.cells.get_mut(*to as usize) {
                own.merge(*cell);
            }
        }
        Ok(())
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let cells = groups.iter().filter_map(|g| self.cells.get(*g as usize).copied());
        C::finish(cells, &self.kind)
    }

    fn save(&self, group: usize, out: &mut Vec<u8>) {
        self.cells.get(group).copied().unwrap_or_default().save(out);
    }

    fn load(&mut self, group: usize, from: &mut Reader<'_>) -> Option<()> {
        *self.cells.get_mut(group)? = C::load(from)?;
        Some(())
    }

    fn clear(&mut self, group: usize) {
        if let Some(cell) = self.cells.get_mut(group) {
            *cell = C::default();
        }
    }

    fn width(&self) -> usize {
        size_of::<C>()
    }

    fn sum(&self, group: usize) -> i128 {
        let cell = self.cells.get(group).copied().unwrap_or_default();
        cell.sum(self.kind == DataType::UInt64)
    }

    fn copy(&self) -> Box<dyn States> {
        Box::new(Self { cells: self.cells.clone(), kind: self.kind.clone() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Calls `f` with the group's cell and the value of each row that has one.
fn each<C, V: Copy>(
    cells: &mut [C],
    (values, nulls): (&[V], Option<&NullBuffer>),
    (rows, groups): (&[u32], &[u32]),
    f: impl Fn(&mut C, V),
) {
    for (row, group) in rows.iter().zip(groups) {
        let row = *row as usize;
        if nulls.is_none_or(|n| n.is_valid(row))
            && let (Some(value), Some(cell)) = (values.get(row), cells.get_mut(*group as usize))
        {
            f(cell, *value);
        }
    }
}

#[derive(Clone, Copy, Default)]
pub(super) struct Count(i64);

impl Cell for Count {
    fn add(cells: &mut [Self], input: &Input, rows: &[u32], groups: &[u32]) -> Result<()> {
        let Input::Valid(nulls) = input else { return Err(unfit()) };
        for (row, group) in rows.iter().zip(groups) {
            if nulls.as_ref().is_none_or(|n| n.is_valid(*row as usize))
                && let Some(cell) = cells.get_mut(*group as usize)
            {
                cell.0 += 1;
            }
        }
        Ok(())
    }

    fn merge(&mut self, later: Self) {
        self.0 += later.0;
    }

    fn finish(cells: impl Iterator<Item = Self>, _: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(cells.map(|c| c.0))))
    }

    fn save(self, out: &mut Vec<u8>) {
        put(out, self.0.cast_unsigned());
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        from.i64().map(Self)
    }
}

/// A sum of whole numbers. It is kept modulo 2⁶⁴: whoever adds sees to it that what comes out fits.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    sum: i64,
    any: bool,
}

impl Cell for Sum {
    fn add(cells: &mut [Self], input: &Input, rows: &[u32], groups: &[u32]) -> Result<()> {
        let Input::Sum(values, _) = input else { return Err(unfit()) };
        each(cells, (values.values(), values.nulls()), (rows, groups), |c, v| {
            *c = Self { sum: c.sum.wrapping_add(v), any: true };
        });
        Ok(())
    }

    fn merge(&mut self, later: Self) {
        self.sum = self.sum.wrapping_add(later.sum);
        self.any |= later.any;
    }

    fn finish(cells: impl Iterator<Item = Self>, kind: &DataType) -> Result<ArrayRef> {
        let sums: Int64Array = cells.map(|c| c.any.then_some(c.sum)).collect();
        Ok(match kind {
            DataType::UInt64 => Arc::new(sums.unary::<_, UInt64Type>(i64::cast_unsigned)),
            kind => from_lane(&sums, kind)?,
        })
    }

    fn save(self, out: &mut Vec<u8>) {
        put(out, self.sum.cast_unsigned());
        out.push(u8::from(self.any));
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { sum: from.i64()?, any: from.u8()? != 0 })
    }

    fn sum(self, unsigned: bool) -> i128 {
        if unsigned { i128::from(self.sum.cast_unsigned()) } else { i128::from(self.sum) }
    }
}

/// A sum of floats with the number of its values: `sum` if `MEAN` is false, else `avg`.
#[derive(Clone, Copy, Default)]
pub(super) struct Total<const MEAN: bool> {
    sum: f64,
    values: u64,
}

impl<const MEAN: bool> Cell for Total<MEAN> {
    fn add(cells: &mut [Self], input: &Input, rows: &[u32], groups: &[u32]) -> Result<()> {
        let Input::Floats(values) = input else { return Err(unfit()) };
        each(cells, (values.values(), values.nulls()), (rows, groups), |c, v| {
            *c = Self { sum: c.sum + v, values: c.values + 1 };
        });
        Ok(())
    }

    fn merge(&mut self, later: Self) {
        match (self.values, later.values) {
            (_, 0) => {}
            (0, _) => *self = later,
            _ => *self = Self { sum: self.sum + later.sum, values: self.values + later.values },
        }
    }

    fn finish(cells: impl Iterator<Item = Self>, kind: &DataType) -> Result<ArrayRef> {
        #[expect(clippy::cast_precision_loss, reason = "as the library divides")]
        let results: Float64Array = cells
            .map(|c| {
                let by = if MEAN { c.values as f64 } else { 1.0 };
                (c.values > 0).then_some(c.sum / by)
            })
            .collect();
        Ok(cast(&results, kind)?)
    }

    fn save(self, out: &mut Vec<u8>) {
        put(out, self.sum.to_bits());
        put(out, self.values);
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { sum: from.f64()?, values: from.u64()? })
    }
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
    fn add(cells: &mut [Self], input: &Input, rows: &[u32], groups: &[u32]) -> Result<()> {
        let Input::Floats(values) = input else { return Err(unfit()) };
        each(cells, (values.values(), values.nulls()), (rows, groups), |c, v| {
            c.values += 1;
            let before = v - c.mean;
            c.mean += before / c.values as f64;
            c.squares += before * (v - c.mean);
        });
        Ok(())
    }

    fn merge(&mut self, later: Self) {
        match (self.values, later.values) {
            (_, 0) => {}
            (0, _) => *self = later,
            (a, b) => {
                let (a, b, all) = (a as f64, b as f64, (a + b) as f64);
                let delta = self.mean - later.mean;
                *self = Self {
                    values: self.values + later.values,
                    mean: self.mean * a / all + later.mean * b / all,
                    squares: self.squares + later.squares + delta * delta * a * b / all,
                };
            }
        }
    }

    fn finish(cells: impl Iterator<Item = Self>, kind: &DataType) -> Result<ArrayRef> {
        let least = if SAMPLE { 2 } else { 1 };
        let results: Float64Array = cells
            .map(|c| {
                let by = (c.values - u64::from(SAMPLE && c.values > 0)) as f64;
                let variance = c.squares / by;
                (c.values >= least).then_some(if ROOT { variance.sqrt() } else { variance })
            })
            .collect();
        Ok(cast(&results, kind)?)
    }

    fn save(self, out: &mut Vec<u8>) {
        put(out, self.values);
        put(out, self.mean.to_bits());
        put(out, self.squares.to_bits());
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { values: from.u64()?, mean: from.f64()?, squares: from.f64()? })
    }
}

/// Which of the values is kept.
pub(super) trait Choice: Copy + Default + Send + 'static {
    /// Whether a null can be the one.
    const NULLS: bool;
    /// Whether the later value takes the place of the one before.
    fn takes<V: Ord>(later: V, before: V) -> bool;
}

macro_rules! choices {
    ($($name:ident $nulls:literal $takes:expr;)*) => {$(
        #[derive(Clone, Copy, Default)]
        pub(super) struct $name;

        impl Choice for $name {
            const NULLS: bool = $nulls;
            fn takes<V: Ord>(later: V, before: V) -> bool {
                let takes: fn(V, V) -> bool = $takes;
                takes(later, before)
            }
        }
    )*};
}

choices! {
    Least false |later, before| later < before;
    Most false |later, before| later > before;
    First true |_, _| false;
    Last true |_, _| true;
    FirstValid false |_, _| false;
    LastValid false |_, _| true;
}

/// One of the values.
#[derive(Clone, Copy, Default)]
pub(super) struct One<P> {
    value: i64,
    has: Has,
    choice: PhantomData<P>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Has {
    #[default]
    Nothing,
    Null,
    Value,
}

impl Has {
    pub(super) fn of(byte: u8) -> Option<Self> {
        [Self::Nothing, Self::Null, Self::Value].into_iter().find(|h| *h as u8 == byte)
    }
}

impl<P: Choice> One<P> {
    fn take(&mut self, value: i64, has: Has) {
        if self.has == Has::Nothing || P::takes(value, self.value) {
            (self.value, self.has) = (value, has);
        }
    }
}

impl<P: Choice> Cell for One<P> {
    fn add(cells: &mut [Self], input: &Input, rows: &[u32], groups: &[u32]) -> Result<()> {
        let Input::Lane(values) = input else { return Err(unfit()) };
        if P::NULLS && values.null_count() > 0 {
            let numbers: Vec<_> = (0..values.len()).collect();
            each(cells, (numbers.as_slice(), None), (rows, groups), |c, row| {
                if values.is_null(row) {
                    c.take(0, Has::Null);
                } else {
                    c.take(values.value(row), Has::Value);
                }
            });
            return Ok(());
        }
        each(cells, (values.values(), values.nulls()), (rows, groups), |c, v| {
            c.take(v, Has::Value);
        });
        Ok(())
    }

    fn merge(&mut self, later: Self) {
        if later.has != Has::Nothing {
            self.take(later.value, later.has);
        }
    }

    fn finish(cells: impl Iterator<Item = Self>, kind: &DataType) -> Result<ArrayRef> {
        let values = cells.map(|c| (c.has == Has::Value).then_some(c.value));
        from_lane(&values.collect(), kind)
    }

    fn save(self, out: &mut Vec<u8>) {
        put(out, self.value.cast_unsigned());
        out.push(self.has as u8);
    }

    fn load(from: &mut Reader<'_>) -> Option<Self> {
        let value = from.i64()?;
        Some(Self { value, has: Has::of(from.u8()?)?, choice: PhantomData })
    }
}
