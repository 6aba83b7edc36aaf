//! All other aggregates, as the library computes them: of all values of a frame, each time anew; or of all rows of the key that
//! came so far, in the form in which a window keeps them.

use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::ArrayRef;
use arrow_schema::{DataType, Schema};
use arrow_select::concat::concat;
use datafusion_common::{Result, ScalarValue};
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use super::call::{Failed, Run, Seen};
use super::histories::Histories;
use super::history::{History, Packed, Ring, Value};
use super::moment::NONE;
use super::spec::Frame;
use crate::complain::reason;
use crate::quiet;
use crate::window::Aggregate;
use crate::window::bytes::{Reader, put_sized};
use crate::window::keys::unfit;
use crate::window::states::{Plan, States};

/// An aggregate that is computed anew of each frame.
pub(super) struct Anew {
    expr: Arc<AggregateFunctionExpr>,
    at: usize,
    frame: usize,
}

impl Anew {
    pub(super) fn new(expr: Arc<AggregateFunctionExpr>, at: usize, frame: usize) -> Self {
        Self { expr, at, frame }
    }

    fn compute(
        &self,
        history: &History,
        ring: Option<&Ring<Packed>>,
        (start, end): (u64, u64),
    ) -> Result<ScalarValue> {
        let values = (start..end).filter_map(|n| ring?.get(n)).map(AsRef::as_ref);
        let columns = history.unpack(values)?;
        let mut accumulator = self.expr.create_accumulator()?;
        accumulator.update_batch(&columns)?;
        accumulator.evaluate()
    }
}

/// What an act of the library gives, or why it does not.
fn attempt<T>(act: impl FnOnce() -> Result<T>) -> Result<T, String> {
    match quiet::catch(act) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(reason(&e)),
        Err(panic) => Err(format!("a function panicked: {panic}")),
    }
}

/// A result, or why there is none.
type Outcome = Result<ScalarValue, String>;

fn fail(failed: &mut Failed, row: usize, why: String) {
    if let Some(failed) = failed.get_mut(row) {
        *failed = Some(why);
    }
}

impl Run for Anew {
    fn grow(&mut self, _: usize) {}

    fn run(&mut self, seen: &Seen<'_>, failed: &mut Failed) -> Result<ArrayRef> {
        let history = seen.histories.get(self.at)?;
        let rings = Packed::rings(history)?;
        let kind = self.expr.field().data_type().clone();
        let none = ScalarValue::try_from(&kind)?;
        let mut results = Vec::with_capacity(seen.rows.len());
        let mut last: Option<((u32, u64, u64), Outcome)> = None;
        for (row, of) in seen.frames(self.frame)?.enumerate() {
            let (group, start, end) = of;
            let result = match last.take() {
                // Rows that order does not tell apart have one frame.
                Some((same, result)) if same == of => result,
                _ => attempt(|| self.compute(history, rings.of(group), (start, end))),
            };
            results.push(match &result {
                Ok(value) => value.clone(),
                Err(why) => {
                    fail(failed, row, why.clone());
                    none.clone()
                }
            });
            last = Some((of, result));
        }
        let column = ScalarValue::iter_to_array(results)?;
        if *column.data_type() == kind { Ok(column) } else { Ok(cast(&column, &kind)?) }
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

/// An aggregate of all rows that came so far.
pub(super) struct Whole {
    plan: Plan,
    states: Box<dyn States>,
    frame: usize,
    /// Rows that order does not tell apart are in each other's frames.
    alike: bool,
    kind: DataType,
    len: usize,
}

impl Whole {
    pub(super) fn new(
        aggregate: &Aggregate,
        (frame, of): (usize, Frame),
        schema: &Schema,
    ) -> Result<Self> {
        let plan = Plan::new(aggregate, schema)?;
        let kind = aggregate.expr.field().data_type().clone();
        let alike = matches!(of, Frame::Range { .. });
        Ok(Self { states: plan.states(), plan, frame, alike, kind, len: 0 })
    }
}

impl Run for Whole {
    fn grow(&mut self, len: usize) {
        self.len = len.next_power_of_two();
        self.states.grow(len, self.len);
    }

    fn run(&mut self, seen: &Seen<'_>, failed: &mut Failed) -> Result<ArrayRef> {
        let rows = seen.rows;
        let given = self.plan.give(&rows.batch)?;
        let passes = |row: u32| given.passes.as_ref().is_none_or(|p| p.value(row as usize));
        let none = arrow_array::new_null_array(&self.kind, 1);
        let mut results: Vec<ArrayRef> = Vec::with_capacity(rows.len());
        // The first of several rows with one frame adds them all.
        let numbers = (0..).zip(&rows.numbers).zip(seen.frames(self.frame)?);
        for ((row, number), (group, _, end)) in numbers {
            let place = row as usize;
            let first = !self.alike || rows.firsts.get(place) == Some(number);
            let result = attempt(|| {
                let (mut at, mut left) = (row, if first { end - number } else { 0 });
                while left > 0 && at != NONE {
                    if passes(at) {
                        self.states.add(&given.input, &[at], &[group])?;
                    }
                    left -= 1;
                    at = rows.next.get(at as usize).copied().unwrap_or(NONE);
                }
                self.states.finish(&[group])
            });
            results.push(result.unwrap_or_else(|why| {
                fail(failed, place, why);
                none.clone()
            }));
        }
        let results: Vec<_> = results.iter().map(AsRef::as_ref).collect();
        Ok(concat(&results)?)
    }

    fn clear(&mut self, group: u32) {
        self.states.clear(group as usize);
    }

    fn keep(&mut self, groups: &[u32]) -> Result<()> {
        let mut kept = self.plan.states();
        kept.grow(groups.len(), groups.len());
        let mut saved = vec![];
        for (number, group) in groups.iter().enumerate() {
            saved.clear();
            self.states.save(*group as usize, &mut saved);
            kept.load(number, &mut Reader(&saved)).ok_or_else(unfit)?;
        }
        (self.states, self.len) = (kept, groups.len());
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.len * self.states.width() + self.states.heap()
    }

    fn save(&self, group: u32, out: &mut Vec<u8>) {
        put_sized(out, |out| self.states.save(group as usize, out));
    }

    fn load(&mut self, group: u32, _: &Histories, from: &mut Reader<'_>) -> Option<()> {
        self.states.load(group as usize, &mut Reader(from.bytes()?))
    }
}
