//! How long a row waits for rows of the other side: read off the conditions of a join.
//!
//! ```text
//! b.ts >= a.ts AND b.ts <= a.ts + INTERVAL '10 s'
//!   ▲ a row of b waits until a.ts = b.ts          ▲ a row of a waits until b.ts = a.ts + 10 s
//! ```

use datafusion_common::{DFSchema, Result};
use datafusion_expr::{Expr, Join, JoinType};
use datafusion_sql::sqlparser::keywords::Keyword;

use super::bound::{timeless, unbounded};
use super::limits::{Conditions, Limit, index, is_exact, parsed};
use super::spec::Kind;
use crate::complain::said_at;
use crate::windowed::{Facts, Known, Side};

/// Where joins stand in a text.
pub(super) const AT: &[Keyword] = &[Keyword::JOIN, Keyword::EXISTS, Keyword::IN, Keyword::FROM];

/// How the rows of the two sides of a join stand to each other in time.
pub(crate) struct Timed {
    pub kind: Kind,
    pub facts: [Facts; 2],
    /// The column of event time of each side.
    pub time: [usize; 2],
    /// A row comes only while the watermark is at most so far beyond its event time.
    pub lag: [i64; 2],
    /// For a row of each side: the latest event time that a row of the other side can have which matches it.
    pub deadline: [Limit; 2],
    /// It is by `state_ttl` that rows are so near each other.
    pub ttl: Option<i64>,
    /// Pairs of keys that are equal.
    pub keys: Vec<(Expr, Expr)>,
    /// What has to hold of a pair besides, of moments alone.
    pub limits: Vec<Limit>,
    /// All else that has to hold.
    pub rest: Vec<Expr>,
}

impl Timed {
    /// How long rows wait, or why that is not known. `above` are conditions that stand right above the join.
    pub(crate) fn of(known: &Known, join: &Join, above: &[&Expr]) -> Result<Self> {
        let kind = Kind::of(join)?;
        let facts = [known.facts(&join.left)?, known.facts(&join.right)?];
        let sides = [join.left.schema().as_ref(), join.right.schema().as_ref()];
        let read = Conditions::read(join, above, sides);
        for (side, facts) in facts.iter().enumerate() {
            if !facts.roles.iter().any(|r| r.lag.is_some()) {
                return Err(timeless(join, known, side));
            }
        }
        let Some((time, deadline)) = pair(&facts, sides, &read.all) else {
            return Err(unbounded(join, &facts, sides, &read.all));
        };
        let ttl = known.ttl.filter(|ttl| deadline.iter().any(|limit| limit.plus == *ttl));
        let lag = [0, 1].map(|side| {
            let time = time.get(side).copied().unwrap_or_default();
            facts.get(side).map_or(0, |f| lag_of(f, time).unwrap_or(0))
        });
        let mut limits = read.limits;
        let mut rest = read.rest;
        for limit in &deadline {
            let proven = is_exact(limit, sides);
            if proven && !limits.contains(limit) {
                limits.push(limit.clone());
            }
            if proven {
                // What it says was one condition, of which nothing is left to be proven.
                rest.retain(|e| parsed(e, sides).as_ref() != Some(limit));
            }
        }
        Ok(Self { kind, facts, time, lag, deadline, ttl, keys: read.keys, limits, rest })
    }

    /// The constant by which a row's deadline is after its own event time, if it is one.
    pub(crate) fn reach(&self, side: usize, join: &Join) -> Option<i64> {
        let own = if side == 0 { &join.left } else { &join.right };
        let (time, limit) = (self.time.get(side)?, self.deadline.get(side)?);
        (index(&limit.by, own.schema()) == Some(*time)).then_some(limit.plus)
    }
}

/// A row comes only while the watermark is at most so far beyond this column of it.
///
/// A row with its window comes only before that ends, and not at that very moment.
pub(super) fn lag_of(facts: &Facts, column: usize) -> Option<i64> {
    let role = facts.roles.get(column)?;
    let edge = role.edge.as_ref().or(role.past.as_ref());
    let before = edge.is_some_and(|e| matches!(e.side, Side::Start | Side::End));
    Some(role.lag? - i64::from(before))
}

/// The columns of event time of which each bounds the other, and by what: those that do so by a constant first.
fn pair(
    facts: &[Facts; 2],
    sides: [&DFSchema; 2],
    all: &[Limit],
) -> Option<([usize; 2], [Limit; 2])> {
    let times = |side: usize| {
        let roles = facts.get(side).map(|f| f.roles.as_slice()).unwrap_or_default();
        roles.iter().enumerate().filter(|(_, r)| r.lag.is_some()).map(|(i, _)| i)
    };
    let lag = |side: usize, i: usize| facts.get(side).and_then(|f| f.roles.get(i)?.lag);
    let mut best: Option<(_, [usize; 2], [Limit; 2])> = None;
    for left in times(0) {
        for right in times(1) {
            let time = [left, right];
            let Some((a, left_by)) = latest(0, time, sides, all) else { continue };
            let Some((b, right_by)) = latest(1, time, sides, all) else { continue };
            // Of several that do for the same rows, those that lag least: the end of a window, not its start.
            let lags = lag(0, left).zip(lag(1, right)).map(|(a, b)| a.saturating_add(b));
            let score = (usize::from(a) + usize::from(b), std::cmp::Reverse(lags));
            if best.as_ref().is_none_or(|(most, ..)| score > *most) {
                best = Some((score, time, [left_by, right_by]));
            }
        }
    }
    best.map(|(_, time, deadline)| (time, deadline))
}

/// What bounds the event time of the other side for a row of this one, and whether it is a constant away from its own.
fn latest(
    side: usize,
    time: [usize; 2],
    sides: [&DFSchema; 2],
    all: &[Limit],
) -> Option<(bool, Limit)> {
    let (own, other) = (sides.get(side)?, sides.get(1 - side)?);
    let (own_time, other_time) = (time.get(side)?, time.get(1 - side)?);
    let of =
        all.iter().filter(|l| l.side == 1 - side && index(&l.least, other) == Some(*other_time));
    let constant = |l: &Limit| index(&l.by, own) == Some(*own_time);
    let constants = of.clone().filter(|l| constant(l)).min_by_key(|l| l.plus);
    match constants {
        Some(limit) => Some((true, limit.clone())),
        None => of.into_iter().next().map(|limit| (false, limit.clone())),
    }
}

impl Kind {
    /// What kind of join it is.
    pub(crate) fn of(join: &Join) -> Result<Self> {
        Ok(match join.join_type {
            JoinType::Inner => Self::Inner,
            JoinType::Left => Self::Left,
            JoinType::Right => Self::Right,
            JoinType::Full => Self::Full,
            JoinType::LeftSemi => Self::Semi,
            JoinType::LeftAnti if join.null_aware => {
                let what = "`NOT IN` over values that may be null is true of no row once one of them is, so that no row could go before the end";
                let fix =
                    "write `NOT EXISTS (SELECT 1 FROM … WHERE …)`, to which nulls are nothing";
                return Err(said_at(what, fix, &[Keyword::IN]));
            }
            JoinType::LeftAnti => Self::Anti,
            _ => {
                let what = "`EXISTS` or `IN (SELECT …)` as a part of another condition is not possible: a row would have to wait to tell that it is false";
                let fix = "let it stand alone in `WHERE`, or beside others with `AND`";
                return Err(said_at(what, fix, &[Keyword::EXISTS, Keyword::IN]));
            }
        })
    }
}
