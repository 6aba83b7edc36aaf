//! One value of those remembered: so many rows before, or one of the frame.

use std::collections::VecDeque;

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use datafusion_common::{Result, ScalarValue};

use super::call::{Failed, Run, Seen};
use super::histories::Histories;
use super::history::{History, Low, Value};
use super::spec::Which;
use crate::window::bytes::{Reader, short};

/// The value so many rows before.
pub(super) struct Lag<V> {
    at: usize,
    offset: u64,
    default: Otherwise<V>,
    kind: DataType,
}

/// What stands in for a row that there is not.
struct Otherwise<V> {
    of: ScalarValue,
    made: Option<Option<V>>,
}

impl<V: Value> Otherwise<V> {
    /// It, as it would be remembered.
    fn get(&mut self, history: &History) -> Result<Option<V>> {
        if let Some(made) = &self.made {
            return Ok(made.clone());
        }
        let made = if self.of.is_null() { None } else { V::one(history, &self.of)? };
        self.made = Some(made.clone());
        Ok(made)
    }
}

impl<V: Value> Lag<V> {
    pub(super) fn new(
        at: usize,
        offset: u64,
        default: &ScalarValue,
        kind: DataType,
    ) -> Result<Self> {
        let default = Otherwise { of: default.cast_to(&kind)?, made: None };
        Ok(Self { at, offset, default, kind })
    }
}

impl<V: Value> Run for Lag<V> {
    fn grow(&mut self, _: usize) {}

    fn run(&mut self, seen: &Seen<'_>, _: &mut Failed) -> Result<ArrayRef> {
        let history = seen.histories.get(self.at)?;
        let default = self.default.get(history)?;
        let rings = V::rings(history)?;
        let rows = seen.rows.groups.iter().zip(&seen.rows.numbers);
        let values = rows.map(|(group, number)| match number.checked_sub(self.offset) {
            Some(before) => rings.of(*group).and_then(|ring| ring.get(before)).cloned(),
            None => default.clone(),
        });
        V::array(values.collect(), history, &self.kind)
    }

    fn clear(&mut self, _: u32) {}

    fn keep(&mut self, _: &[u32]) -> Result<()> {
        Ok(())
    }

    fn bytes(&self) -> usize {
        0
    }

    fn save(&self, _: u32, _: &mut Vec<u8>) {}

    fn load(&mut self, _: u32, _: &Histories, _: &mut Reader<'_>) -> Option<()> {
        Some(())
    }
}

/// The value so many rows before, of those that have one.
pub(super) struct LagValid<V> {
    at: usize,
    offset: usize,
    default: Otherwise<V>,
    kind: DataType,
    /// The last values of each key.
    last: Vec<VecDeque<V>>,
    heap: usize,
}

impl<V: Value> LagValid<V> {
    pub(super) fn new(
        at: usize,
        offset: u64,
        default: &ScalarValue,
        kind: DataType,
    ) -> Result<Self> {
        let default = Otherwise { of: default.cast_to(&kind)?, made: None };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(Self { at, offset, default, kind, last: vec![], heap: 0 })
    }
}

fn heap<V: Value>(of: &VecDeque<V>) -> usize {
    of.capacity() * size_of::<V>() + of.iter().map(V::heap).sum::<usize>()
}

impl<V: Value> Run for LagValid<V> {
    fn grow(&mut self, len: usize) {
        self.last.resize_with(len, VecDeque::new);
    }

    fn run(&mut self, seen: &Seen<'_>, _: &mut Failed) -> Result<ArrayRef> {
        let history = seen.histories.get(self.at)?;
        let default = self.default.get(history)?;
        let rings = V::rings(history)?;
        let mut values = Vec::with_capacity(seen.rows.len());
        for (group, number) in seen.rows.groups.iter().zip(&seen.rows.numbers) {
            let Some(last) = self.last.get_mut(*group as usize) else { continue };
            let full = last.len() >= self.offset;
            values.push(if full { last.front().cloned() } else { default.clone() });
            let Some(value) = rings.of(*group).and_then(|ring| ring.get(*number)) else { continue };
            if full && let Some(gone) = last.pop_front() {
                self.heap -= gone.heap();
            }
            let before = last.capacity();
            self.heap += value.heap();
            last.push_back(value.clone());
            self.heap += (last.capacity() - before) * size_of::<V>();
        }
        V::array(values, history, &self.kind)
    }

    fn clear(&mut self, group: u32) {
        if let Some(last) = self.last.get_mut(group as usize) {
            self.heap -= heap(last);
            *last = VecDeque::new();
        }
    }

    fn keep(&mut self, groups: &[u32]) -> Result<()> {
        let mut take = |g: &u32| self.last.get_mut(*g as usize).map(std::mem::take);
        self.last = groups.iter().map(|g| take(g).unwrap_or_default()).collect();
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.last.capacity() * size_of::<VecDeque<V>>() + self.heap
    }

    fn save(&self, group: u32, out: &mut Vec<u8>) {
        let Some(last) = self.last.get(group as usize) else { return };
        out.extend_from_slice(&short(last.len()).to_le_bytes());
        last.iter().for_each(|value| value.save(out));
    }

    fn load(&mut self, group: u32, _: &Histories, from: &mut Reader<'_>) -> Option<()> {
        let own = self.last.get_mut(group as usize)?;
        self.heap -= heap(own);
        own.clear();
        for _ in 0..from.u32()? {
            own.push_back(V::load(from)?);
        }
        self.heap += heap(own);
        Some(())
    }
}

/// How far back one row of a frame has to be remembered.
pub(super) fn pick_low(which: Which, unbounded: bool, frame: usize) -> Low {
    match (which, unbounded) {
        (Which::Last, _) => Low::Last(frame),
        (Which::Nth(_), true) => Low::End(frame),
        (Which::Nth(_), false) => Low::Start(frame),
    }
}

/// One value of the frame.
pub(super) struct Pick<V> {
    at: usize,
    frame: usize,
    which: Which,
    /// The frame begins with the first row of the key, whose value is kept once it is there.
    unbounded: bool,
    kind: DataType,
    kept: Vec<Option<Option<V>>>,
    heap: usize,
}

impl<V: Value> Pick<V> {
    pub(super) fn new(
        at: usize,
        frame: usize,
        which: Which,
        unbounded: bool,
        kind: DataType,
    ) -> Self {
        Self { at, frame, which, unbounded, kind, kept: vec![], heap: 0 }
    }

    fn keeps(&self) -> bool {
        self.unbounded && self.which != Which::Last
    }
}

impl<V: Value> Run for Pick<V> {
    fn grow(&mut self, len: usize) {
        if self.keeps() {
            self.kept.resize(len, None);
        }
    }

    fn run(&mut self, seen: &Seen<'_>, _: &mut Failed) -> Result<ArrayRef> {
        let history = seen.histories.get(self.at)?;
        let rings = V::rings(history)?;
        let keeps = self.keeps();
        let mut values = Vec::with_capacity(seen.rows.len());
        for (group, start, end) in seen.frames(self.frame)? {
            let place = match self.which {
                Which::Last => end.checked_sub(1),
                Which::Nth(n) => start.checked_add(n),
            };
            let place = place.filter(|place| (start..end).contains(place));
            let value = |place: u64| rings.of(group).and_then(|r| r.get(place)).cloned();
            values.push(match (place, self.kept.get_mut(group as usize)) {
                (None, _) => None,
                (Some(_), Some(Some(kept))) => kept.clone(),
                (Some(place), kept) => {
                    let value = value(place);
                    if let Some(kept) = kept.filter(|_| keeps) {
                        self.heap += value.as_ref().map_or(0, V::heap);
                        *kept = Some(value.clone());
                    }
                    value
                }
            });
        }
        V::array(values, history, &self.kind)
    }

    fn clear(&mut self, group: u32) {
        if let Some(kept) = self.kept.get_mut(group as usize) {
            self.heap -= kept.iter().flatten().map(V::heap).sum::<usize>();
            *kept = None;
        }
    }

    fn keep(&mut self, groups: &[u32]) -> Result<()> {
        if self.keeps() {
            let take = |g: &u32| self.kept.get_mut(*g as usize).and_then(Option::take);
            self.kept = groups.iter().map(take).collect();
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.kept.capacity() * size_of::<Option<Option<V>>>() + self.heap
    }

    fn save(&self, group: u32, out: &mut Vec<u8>) {
        let Some(kept) = self.kept.get(group as usize) else { return };
        out.push(match kept {
            None => 0,
            Some(None) => 1,
            Some(Some(_)) => 2,
        });
        if let Some(Some(value)) = kept {
            value.save(out);
        }
    }

    fn load(&mut self, group: u32, _: &Histories, from: &mut Reader<'_>) -> Option<()> {
        if !self.keeps() {
            return Some(());
        }
        let kept = match from.u8()? {
            0 => None,
            1 => Some(None),
            _ => Some(Some(V::load(from)?)),
        };
        self.clear(group);
        self.heap += kept.iter().flatten().map(V::heap).sum::<usize>();
        *self.kept.get_mut(group as usize)? = kept;
        Some(())
    }
}
