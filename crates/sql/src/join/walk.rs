//! From rows that come to those of the other side that they match.

use arrow_array::{Array, Int64Array};
use millstream_core::codec::Rows;

use super::kept::Kept;
use super::read::{Columns, Form};
use super::slot::NONE;
use super::spec::Bound;

/// Rows that come, as the join looks at them.
pub(super) struct Incoming {
    pub rows: Rows,
    pub columns: Columns,
    /// Their event times.
    pub times: Option<Int64Array>,
    pub hashes: Vec<u32>,
    /// Rows with a key that is null match none.
    pub none: Option<Vec<bool>>,
}

impl Incoming {
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// A row's event time; the least, where it has none.
    fn time(&self, row: usize) -> i64 {
        let times = self.times.as_ref().filter(|times| times.is_valid(row));
        times.map_or(i64::MIN, |times| times.value(row))
    }

    /// Whether it can match any row at all.
    pub(super) fn has_key(&self, row: usize) -> bool {
        self.none.as_ref().is_none_or(|none| !none.get(row).copied().unwrap_or(false))
    }
}

/// What is known of times, by the places of moments among those of a row that comes and of one that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    came: usize,
    kept: usize,
    plus: i64,
    /// It is the row that comes whose moment is the lesser one.
    came_is_less: bool,
}

impl Near {
    /// A bound as it is for rows that come by this input.
    pub(super) fn new(bound: &Bound, input: usize, forms: [&Form; 2]) -> Option<Self> {
        let came_is_less = bound.less.side == input;
        let (came, kept) =
            if came_is_less { (bound.less, bound.than) } else { (bound.than, bound.less) };
        let came = forms.get(input)?.moment(came)?;
        let kept = forms.get(1 - input)?.moment(kept)?;
        Some(Self { came, kept, plus: bound.plus, came_is_less })
    }

    fn holds(self, came: &Columns, row: usize, kept: &Columns, at: usize) -> bool {
        let value = |of: &Columns, i: usize, row: usize| {
            let moments: &Int64Array = of.moments.get(i)?;
            moments.is_valid(row).then(|| moments.value(row))
        };
        let both = value(came, self.came, row).zip(value(kept, self.kept, at));
        let Some((came, kept)) = both else { return false };
        let (less, than) = if self.came_is_less { (came, kept) } else { (kept, came) };
        less <= than.saturating_add(self.plus)
    }
}

/// How far rows that came have looked up those of the other side.
#[derive(Default)]
pub(super) struct Walk {
    /// The row whose partners are given now.
    pub row: usize,
    /// Its partners, of which so many were given.
    found: Vec<u32>,
    given: usize,
    begun: bool,
}

/// Pairs: rows that came, and numbers of rows that are kept.
#[derive(Default)]
pub(super) struct Pairs {
    pub came: Vec<u32>,
    pub kept: Vec<u32>,
}

impl Pairs {
    pub(super) fn push(&mut self, came: usize, kept: u32) {
        self.came.push(u32::try_from(came).unwrap_or(0));
        self.kept.push(kept);
    }

    pub(super) fn len(&self) -> usize {
        self.came.len()
    }
}

impl Walk {
    /// Whether the partners of all rows were given.
    pub(super) fn is_over(&self, came: &Incoming) -> bool {
        self.row >= came.len()
    }

    /// The next pairs, up to so many. Behind the last partner of a row comes `NONE`, if `ends` wants that of the row.
    pub(super) fn next(
        &mut self,
        came: &Incoming,
        kept: &Kept,
        near: &[Near],
        most: usize,
        ends: impl Fn(usize) -> bool,
    ) -> Pairs {
        let mut pairs = Pairs::default();
        while self.row < came.len() && pairs.len() < most {
            if !self.begun {
                (self.begun, self.given) = (true, 0);
                partners(came, self.row, kept, near, &mut self.found);
            }
            let left = self.found.get(self.given..).unwrap_or_default();
            for id in left.iter().take(most - pairs.len()) {
                pairs.push(self.row, *id);
                self.given += 1;
            }
            if self.given < self.found.len() || pairs.len() >= most {
                break;
            }
            if ends(self.row) {
                pairs.push(self.row, NONE);
            }
            (self.row, self.begun) = (self.row + 1, false);
        }
        pairs
    }
}

/// All rows that match, those that came first in front.
pub(super) fn partners(
    came: &Incoming,
    row: usize,
    kept: &Kept,
    near: &[Near],
    found: &mut Vec<u32>,
) {
    found.clear();
    each(came, row, kept, near, |id| {
        found.push(id);
        true
    });
    found.reverse();
}

/// Calls with rows that match, the last first, until it says no.
///
/// Rows of a key that came long before are not walked through: a hot key costs what it has within reach.
pub(super) fn each(
    came: &Incoming,
    row: usize,
    kept: &Kept,
    near: &[Near],
    mut found: impl FnMut(u32) -> bool,
) {
    if !came.has_key(row) {
        return;
    }
    let hash = came.hashes.get(row).copied().unwrap_or_default();
    let time = came.time(row);
    let mut next = kept.head(hash);
    while next != NONE {
        let Some((slot, at)) = kept.slot(next) else { return };
        // Those that came before it wait for no row of this time any more.
        if slot.longest_upto(at) < time {
            return;
        }
        let Some(link) = slot.links.get(at) else { return };
        if link.hash == hash
            && let Some((_, at, columns)) = slot.find(at)
            && came.columns.same(row, columns, at)
            && near.iter().all(|n| n.holds(&came.columns, row, columns, at))
            && !found(next)
        {
            return;
        }
        next = link.next;
    }
}

/// Rows without a mark that match, those that came first in front. Those with one are not found again.
pub(super) fn unmarked(
    came: &Incoming,
    row: usize,
    kept: &mut Kept,
    near: &[Near],
    found: &mut Vec<u32>,
) {
    found.clear();
    if !came.has_key(row) {
        return;
    }
    let hash = came.hashes.get(row).copied().unwrap_or_default();
    let time = came.time(row);
    let (mut next, mut after) = (kept.head(hash), None);
    while next != NONE {
        let Some((slot, at)) = kept.slot(next) else { break };
        if slot.longest_upto(at) < time {
            break;
        }
        let Some(link) = slot.links.get(at).copied() else { break };
        if slot.is_marked(at) {
            kept.skip(hash, after, link.next);
        } else {
            if link.hash == hash
                && let Some((_, at, columns)) = slot.find(at)
                && came.columns.same(row, columns, at)
                && near.iter().all(|n| n.holds(&came.columns, row, columns, at))
            {
                found.push(next);
            }
            after = Some(next);
        }
        next = link.next;
    }
    found.reverse();
}
