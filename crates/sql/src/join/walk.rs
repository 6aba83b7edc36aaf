//! From rows that come to those of the other side that they match.

use arrow_array::{Array, Int64Array};
use millstream_core::codec::Rows;

use super::kept::Kept;
use super::read::{Columns, Form};
use super::slot::{Link, NONE, Slot};
use super::spec::Bound;

/// Rows that come, as the join looks at them.
pub(super) struct Incoming {
    pub rows: Rows,
    pub columns: Columns,
    /// The event time of each, and how long it waits.
    pub times: Vec<(i64, i64)>,
    pub hashes: Vec<u32>,
    /// Rows with a key that is null match none.
    pub none: Option<Vec<bool>>,
}

impl Incoming {
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
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

/// So many rows of a bucket that do not match are walked through before a shorter way is looked for.
const FAR: usize = 64;

/// The rows of a bucket, the last first, but for those that are out of reach: a hot key costs what it has within reach.
struct Bucket {
    hash: u32,
    /// The event time of the row whose partners are wanted, and how long it waits.
    time: i64,
    until: i64,
    next: u32,
    /// So many rows did not match since one did.
    far: usize,
    /// After so many a shorter way is looked for.
    patience: usize,
    /// The row before in the bucket, if it is known.
    after: Option<Option<u32>>,
}

impl Bucket {
    fn new(came: &Incoming, row: usize, kept: &Kept) -> Self {
        let hash = came.hashes.get(row).copied().unwrap_or_default();
        let next = if came.has_key(row) { kept.head(hash) } else { NONE };
        let (time, until) = came.times.get(row).copied().unwrap_or((i64::MIN, i64::MAX));
        Self { hash, time, until, next, far: 0, patience: FAR, after: Some(None) }
    }

    /// The row that is next, with its slot, its place there and its link.
    fn row<'k>(&mut self, kept: &'k Kept) -> Option<(&'k Slot, usize, Link)> {
        if self.far >= self.patience && self.next != NONE {
            self.far = 0;
            match kept.nearer(self.next, self.hash, self.time, self.until) {
                Some(nearer) if nearer != self.next => (self.next, self.after) = (nearer, None),
                _ => self.patience *= 2,
            }
        }
        let (slot, at) = kept.slot(self.next)?;
        // Those that came before it wait for no row of this time any more.
        if slot.longest_upto(at) < self.time {
            return None;
        }
        Some((slot, at, *slot.links.get(at)?))
    }
}

/// Calls with rows that match, the last first, until it says no.
pub(super) fn each(
    came: &Incoming,
    row: usize,
    kept: &Kept,
    near: &[Near],
    mut found: impl FnMut(u32) -> bool,
) {
    let mut bucket = Bucket::new(came, row, kept);
    while let Some((slot, at, link)) = bucket.row(kept) {
        bucket.far += 1;
        if is_partner(came, row, slot, at, link, near, bucket.hash) {
            bucket.far = 0;
            if !found(bucket.next) {
                return;
            }
        }
        bucket.next = link.next;
    }
}

/// Whether a row that is kept matches one that comes.
fn is_partner(
    came: &Incoming,
    row: usize,
    slot: &Slot,
    at: usize,
    link: Link,
    near: &[Near],
    hash: u32,
) -> bool {
    link.hash == hash
        && slot.find(at).is_some_and(|(_, at, columns)| {
            came.columns.same(row, columns, at)
                && near.iter().all(|n| n.holds(&came.columns, row, columns, at))
        })
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
    let mut bucket = Bucket::new(came, row, kept);
    while let Some((slot, at, link)) = bucket.row(kept) {
        bucket.far += 1;
        let id = bucket.next;
        if slot.is_marked(at) {
            if let Some(after) = bucket.after {
                kept.skip(bucket.hash, after, link.next);
            }
        } else {
            if is_partner(came, row, slot, at, link, near, bucket.hash) {
                bucket.far = 0;
                found.push(id);
            }
            bucket.after = Some(Some(id));
        }
        bucket.next = link.next;
    }
    found.reverse();
}
