//! Counts, and sums of whole numbers: what comes is added, and what goes is subtracted.

use std::sync::Arc;

use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use datafusion_common::Result;

use super::call::{Failed, Run, Seen};
use super::histories::Histories;
use super::history::{Packed, Ring, Value};
use crate::window::bytes::{Reader, put};

/// How many rows of the frame have a value.
pub(super) struct Count<V> {
    /// Where values are remembered; `None` if every row has one.
    at: Option<usize>,
    frame: usize,
    cells: Vec<Counted>,
    value: std::marker::PhantomData<V>,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    start: u64,
    end: u64,
    values: i64,
}

impl Count<i64> {
    pub(super) fn of(
        at: Option<usize>,
        frame: usize,
        histories: &Histories,
    ) -> Result<Box<dyn Run>> {
        let is_lane = match at {
            Some(at) => histories.get(at)?.is_lane(),
            None => true,
        };
        if is_lane {
            return Ok(Box::new(Self {
                at,
                frame,
                cells: vec![],
                value: std::marker::PhantomData,
            }));
        }
        let value = std::marker::PhantomData::<Packed>;
        Ok(Box::new(Count { at, frame, cells: vec![], value }))
    }
}

impl<V: Value> Run for Count<V> {
    fn grow(&mut self, len: usize) {
        if self.at.is_some() {
            self.cells.resize(len, Counted::default());
        }
    }

    fn run(&mut self, seen: &Seen<'_>, _: &mut Failed) -> Result<ArrayRef> {
        let Some(at) = self.at else {
            let counts = seen.frames(self.frame)?.map(|(_, s, e)| (e - s).cast_signed());
            return Ok(Arc::new(Int64Array::from_iter_values(counts)));
        };
        let rings = V::rings(seen.histories.get(at)?)?;
        let counts = seen.frames(self.frame)?.map(|(group, start, end)| {
            let (Some(ring), Some(cell)) = (rings.of(group), self.cells.get_mut(group as usize))
            else {
                return 0;
            };
            while cell.end < end {
                cell.values += i64::from(ring.get(cell.end).is_some());
                cell.end += 1;
            }
            while cell.start < start {
                cell.values -= i64::from(ring.get(cell.start).is_some());
                cell.start += 1;
            }
            cell.values
        });
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn clear(&mut self, group: u32) {
        if let Some(cell) = self.cells.get_mut(group as usize) {
            *cell = Counted::default();
        }
    }

    fn keep(&mut self, groups: &[u32]) -> Result<()> {
        self.cells = groups.iter().filter_map(|g| self.cells.get(*g as usize).copied()).collect();
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Counted>()
    }

    fn save(&self, group: u32, out: &mut Vec<u8>) {
        if let Some(cell) = self.cells.get(group as usize) {
            put(out, cell.start);
            put(out, cell.end);
            put(out, cell.values.cast_unsigned());
        }
    }

    fn load(&mut self, group: u32, _: &Histories, from: &mut Reader<'_>) -> Option<()> {
        if self.at.is_some() {
            let (start, end) = (from.u64()?, from.u64()?);
            let values = from.i64()?;
            *self.cells.get_mut(group as usize)? = Counted { start, end, values };
        }
        Some(())
    }
}

/// The sum of whole numbers. Even of 2⁶⁴ of them it fits the cell.
pub(super) struct Sum {
    at: usize,
    frame: usize,
    kind: DataType,
    cells: Vec<Summed>,
}

#[derive(Clone, Copy, Default)]
struct Summed {
    start: u64,
    end: u64,
    values: u64,
    sum: i128,
}

impl Sum {
    pub(super) fn new(at: usize, frame: usize, kind: DataType) -> Self {
        Self { at, frame, kind, cells: vec![] }
    }
}

impl Summed {
    fn slide(&mut self, ring: &Ring<i64>, start: u64, end: u64, of: impl Fn(i64) -> i128) {
        while self.end < end {
            if let Some(value) = ring.get(self.end) {
                (self.values, self.sum) = (self.values + 1, self.sum + of(*value));
            }
            self.end += 1;
        }
        while self.start < start {
            if let Some(value) = ring.get(self.start) {
                (self.values, self.sum) = (self.values - 1, self.sum - of(*value));
            }
            self.start += 1;
        }
    }
}

impl Run for Sum {
    fn grow(&mut self, len: usize) {
        self.cells.resize(len, Summed::default());
    }

    fn run(&mut self, seen: &Seen<'_>, failed: &mut Failed) -> Result<ArrayRef> {
        let rings = i64::rings(seen.histories.get(self.at)?)?;
        let unsigned = self.kind == DataType::UInt64;
        let of = |lane: i64| match unsigned {
            // Lanes of these begin at the least number there is.
            true => i128::from(lane.cast_unsigned() ^ (1 << 63)),
            false => i128::from(lane),
        };
        let mut sums = Vec::with_capacity(seen.rows.len());
        for (row, (group, start, end)) in seen.frames(self.frame)?.enumerate() {
            let (Some(ring), Some(cell)) = (rings.of(group), self.cells.get_mut(group as usize))
            else {
                sums.push(None);
                continue;
            };
            cell.slide(ring, start, end, of);
            let sum = match unsigned {
                true => u64::try_from(cell.sum).ok().map(u64::cast_signed),
                false => i64::try_from(cell.sum).ok(),
            };
            if sum.is_none()
                && let Some(failed) = failed.get_mut(row)
            {
                *failed = Some("a sum over its frame overflows".to_owned());
            }
            sums.push(sum.filter(|_| cell.values > 0));
        }
        let sums = Int64Array::from(sums);
        Ok(match unsigned {
            true => Arc::new(sums.unary::<_, UInt64Type>(i64::cast_unsigned)),
            false => Arc::new(sums),
        })
    }

    fn clear(&mut self, group: u32) {
        if let Some(cell) = self.cells.get_mut(group as usize) {
            *cell = Summed::default();
        }
    }

    fn keep(&mut self, groups: &[u32]) -> Result<()> {
        self.cells = groups.iter().filter_map(|g| self.cells.get(*g as usize).copied()).collect();
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Summed>()
    }

    fn save(&self, group: u32, out: &mut Vec<u8>) {
        if let Some(cell) = self.cells.get(group as usize) {
            put(out, cell.start);
            put(out, cell.end);
            put(out, cell.values);
            out.extend_from_slice(&cell.sum.to_le_bytes());
        }
    }

    fn load(&mut self, group: u32, _: &Histories, from: &mut Reader<'_>) -> Option<()> {
        let (start, end, values) = (from.u64()?, from.u64()?, from.u64()?);
        let sum = i128::from_le_bytes(from.take(16)?.try_into().ok()?);
        *self.cells.get_mut(group as usize)? = Summed { start, end, values, sum };
        Some(())
    }
}
