//! Conditions on pairs; and rows of which it is only told whether they match: `EXISTS` and its kin.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray};
use arrow_select::filter::prep_null_mask_filter;
use datafusion_common::Result;

use super::joiner::{Joiner, Pending, ROWS_MAX, some};
use super::put::{Of, together};
use super::read::unfit;
use super::spec::Kind;
use super::walk::{Incoming, Pairs, Walk, each, unmarked};
use crate::complain::reason;
use crate::quiet;
use crate::stateful::Taken;

impl Joiner {
    /// Which pairs fulfil the condition; all, if there is none.
    pub(super) fn fulfil(
        &self,
        input: usize,
        came: &Incoming,
        pairs: &Pairs,
    ) -> Result<Option<BooleanArray>> {
        let Some(condition) = &self.spec.condition else { return Ok(None) };
        let other = self.sides.get(1 - input).ok_or_else(unfit)?;
        let own = Of::came(came, pairs.came.clone());
        let found = Of::kept(other, &pairs.kept)?;
        let sides = if input == 0 { [&own, &found] } else { [&found, &own] };
        let batch = together(sides, &condition.columns, &condition.schema)?;
        let mask = condition.of.evaluate(&batch)?.into_array(pairs.len())?;
        let mask = mask.as_boolean();
        let mask = if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
        Ok(Some(mask))
    }

    /// Takes out rows whose condition cannot be computed beside some row of the other side.
    pub(super) fn computable(
        &self,
        input: usize,
        came: Incoming,
        taken: &mut Taken,
    ) -> Result<Option<Incoming>> {
        let fails = self.spec.condition.as_ref().is_some_and(|c| c.may_fail);
        if !fails {
            return Ok(Some(came));
        }
        let tried = |came: &Incoming| {
            let tried = quiet::catch(|| self.try_all(input, came));
            match tried {
                Ok(Ok(())) => None,
                Ok(Err(e)) => Some(reason(&e)),
                Err(panic) => Some(format!("a function panicked: {panic}")),
            }
        };
        if tried(&came).is_none() {
            return Ok(Some(came));
        }
        let mut good = vec![];
        for row in 0..came.len() {
            let at = u32::try_from(row).unwrap_or(0);
            let one = some(&came.rows, &[at])?;
            match tried(&self.read(input, one.clone())?) {
                Some(why) => taken.refused.push((one, why)),
                None => good.push(at),
            }
        }
        if good.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.read(input, some(&came.rows, &good)?)?))
    }

    fn try_all(&self, input: usize, came: &Incoming) -> Result<()> {
        let other = self.sides.get(1 - input).ok_or_else(unfit)?;
        let near = self.near.get(input).ok_or_else(unfit)?;
        let mut walk = Walk::default();
        while !walk.is_over(came) {
            let pairs = walk.next(came, other, near, ROWS_MAX, |_| false);
            if pairs.len() > 0 {
                self.fulfil(input, came, &pairs)?;
            }
        }
        Ok(())
    }

    /// Which rows match some row of the other side.
    fn matched(&self, input: usize, came: &Incoming) -> Result<Vec<bool>> {
        let other = self.sides.get(1 - input).ok_or_else(unfit)?;
        let near = self.near.get(input).ok_or_else(unfit)?;
        let mut matched = vec![false; came.len()];
        if self.spec.condition.is_none() {
            for (row, matched) in matched.iter_mut().enumerate() {
                each(came, row, other, near, |_| {
                    *matched = true;
                    false
                });
            }
            return Ok(matched);
        }
        let mut walk = Walk::default();
        while !walk.is_over(came) {
            let pairs = walk.next(came, other, near, ROWS_MAX, |_| false);
            let Some(mask) = self.fulfil(input, came, &pairs)? else { continue };
            for (row, yes) in pairs.came.iter().zip(mask.values()) {
                if let Some(matched) = matched.get_mut(*row as usize) {
                    *matched |= yes;
                }
            }
        }
        Ok(matched)
    }

    /// Rows of the left of which it is only told whether they match.
    pub(super) fn tell(&mut self, came: Incoming, expired: Option<&[bool]>) -> Result<()> {
        let matched = self.matched(0, &came)?;
        self.keep(0, &came, expired, Some(&matched))?;
        let semi = self.spec.kind == Kind::Semi;
        let ends = self.ends(0, &came, expired);
        let goes = |row: &usize| {
            let matched = matched.get(*row).copied().unwrap_or(false);
            let ends = ends.as_ref().is_some_and(|e| e.get(*row).copied().unwrap_or(false));
            if semi { matched } else { ends && !matched }
        };
        let rows = (0..came.len()).filter(goes).map(|row| u32::try_from(row).unwrap_or(0));
        let rows = rows.collect::<Vec<_>>();
        if !rows.is_empty() {
            self.pending.push_back(Pending::Own { came, rows, at: 0 });
        }
        Ok(())
    }

    /// Rows of the right tell those of the left that match them.
    pub(super) fn wake(&mut self, came: &Incoming) -> Result<()> {
        let (mut by, mut ids, mut found) = (vec![], vec![], vec![]);
        let [_, near] = self.near.clone();
        for row in 0..came.len() {
            let [left, _] = &mut self.sides;
            unmarked(came, row, left, &near, &mut found);
            for some in found.chunks(ROWS_MAX) {
                let at = u32::try_from(row).unwrap_or(0);
                let pairs = Pairs { came: vec![at; some.len()], kept: some.to_vec() };
                let mask = self.fulfil(1, came, &pairs)?;
                let [left, _] = &mut self.sides;
                for (i, id) in some.iter().enumerate() {
                    if mask.as_ref().is_none_or(|m| m.value(i)) && left.mark(*id) {
                        by.push(at);
                        ids.push(*id);
                    }
                }
            }
        }
        if self.spec.kind == Kind::Semi && !ids.is_empty() {
            let origin = came.rows.origin.clone();
            self.pending.push_back(Pending::Woken { origin, by, ids, at: 0 });
        }
        Ok(())
    }
}
