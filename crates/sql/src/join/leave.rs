//! Rows that wait no more: those without a partner come out, and all of them go.

use arrow_array::RecordBatch;
use datafusion_common::Result;
use millstream_core::clock::Timestamp;

use super::joiner::{Joiner, ROWS_MAX};
use super::kept::is_past;
use super::put::{Of, together};
use super::slot::NONE;
use super::walk::Incoming;

/// Rows without a partner on their way out.
pub(super) struct Leaving {
    watermark: Timestamp,
    /// Side and row, in order.
    rows: Vec<(usize, u32)>,
    at: usize,
}

impl Joiner {
    /// The next rows that leave without a partner, and then all that wait no more.
    pub(super) fn leave_some(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        let mut leaving = match self.leaving.take() {
            Some(leaving) if leaving.watermark == watermark => leaving,
            _ => self.leave(watermark),
        };
        let some = leaving.rows.iter().skip(leaving.at).take(ROWS_MAX).copied().collect::<Vec<_>>();
        if !some.is_empty() {
            leaving.at += some.len();
            self.leaving = Some(leaving);
            let of = |side: usize| {
                some.iter().map(|(s, id)| if *s == side { *id } else { NONE }).collect::<Vec<_>>()
            };
            let [left, right] = &self.sides;
            let sides = [&Of::kept(left, &of(0))?, &Of::kept(right, &of(1))?];
            return together(sides, &self.spec.columns, &self.spec.schema).map(Some);
        }
        for (side, name) in ["l", "r"].into_iter().enumerate() {
            let upto = self.upto(side, watermark);
            if let (Some(kept), Some(passed)) =
                (self.sides.get_mut(side), self.passed.get_mut(side))
            {
                kept.pass(name, upto)?;
                *passed = if is_past(i64::MAX, upto) { i64::MIN } else { upto };
            }
        }
        Ok(None)
    }

    /// Up to which moment of the other side nothing more comes for the rows of a side.
    fn upto(&self, side: usize, watermark: Timestamp) -> i64 {
        let lag = self.spec.sides.get(1 - side).map_or(0, |s| s.lag);
        if watermark == Timestamp::END { i64::MAX } else { watermark.0.saturating_sub(lag) }
    }

    /// All rows that leave without a partner, by their deadlines, the left before the right, and as they came.
    fn leave(&mut self, watermark: Timestamp) -> Leaving {
        let mut all = vec![];
        for side in [0, 1] {
            let upto = self.upto(side, watermark);
            let from = self.passed.get(side).copied().unwrap_or(i64::MIN);
            let Some(kept) = self.sides.get_mut(side) else { continue };
            for (deadline, id) in kept.left_alone(from, upto) {
                all.push((deadline, side, id));
            }
        }
        all.retain(|(_, side, id)| self.is_vouched_for(*side, *id));
        all.sort_unstable();
        let rows = all.into_iter().map(|(_, side, id)| (side, id)).collect();
        Leaving { watermark, rows, at: 0 }
    }

    /// Whether no row that went by unseen could have matched this one.
    fn is_vouched_for(&self, side: usize, id: u32) -> bool {
        if self.whole_from == i64::MIN {
            return true;
        }
        let time = self.sides.get(side).and_then(|kept| {
            let (slot, row) = kept.slot(id)?;
            let (_, row, columns) = slot.find(row)?;
            kept.form.time(columns, row)
        });
        self.is_whole(side, time)
    }

    fn is_whole(&self, side: usize, time: Option<i64>) -> bool {
        let reach = self.spec.sides.get(1 - side).and_then(|s| s.reach);
        let since = reach.zip(time).map(|(reach, time)| time.saturating_sub(reach));
        since.is_some_and(|since| since >= self.whole_from)
    }

    /// Which rows come out at once if they match none of those that came before.
    pub(super) fn ends(
        &self,
        input: usize,
        came: &Incoming,
        expired: Option<&[bool]>,
    ) -> Option<Vec<bool>> {
        let expired = expired.filter(|_| self.spec.kind.waits(input))?;
        if self.whole_from == i64::MIN {
            return Some(expired.to_vec());
        }
        let form = &self.sides.get(input)?.form;
        let whole = |row: usize| self.is_whole(input, form.time(&came.columns, row));
        Some(expired.iter().enumerate().map(|(row, yes)| *yes && whole(row)).collect())
    }
}
