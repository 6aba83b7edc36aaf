//! How long a row waits for rows of the other side: read off the conditions of a join.
//!
//! ```text
//! b.ts >= a.ts AND b.ts <= a.ts + INTERVAL '10 s'
//!   ▲ a row of b waits until a.ts = b.ts          ▲ a row of a waits until b.ts = a.ts + 10 s
//! ```

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, Join, JoinType, LogicalPlan, Operator, Projection,
    SubqueryAlias, lit,
};
use datafusion_sql::sqlparser::keywords::Keyword;

use super::spec::Kind;
use crate::complain::said_at;
use crate::windowed::{Facts, Known, Side};

/// Where joins stand in a text.
pub(super) const AT: &[Keyword] =
    &[Keyword::JOIN, Keyword::EXISTS, Keyword::IN, Keyword::FROM];

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

/// A moment of one side that is not beyond one of the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    /// The side of the lesser one.
    pub side: usize,
    /// The lesser one: a column or an expression over that side.
    pub least: Expr,
    /// The greater one, over the other side, but for `plus` microseconds.
    pub by: Expr,
    pub plus: i64,
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
        let ttl = known.ttl.filter(|ttl| deadline.iter().all(|limit| limit.plus == *ttl));
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

/// The place of a column among those of a side.
pub(super) fn index(e: &Expr, schema: &DFSchema) -> Option<usize> {
    match e {
        Expr::Column(c) => schema.maybe_index_of_column(c),
        Expr::Alias(a) => index(&a.expr, schema),
        _ => None,
    }
}

/// All conditions of a join, sorted by what they are.
struct Conditions {
    keys: Vec<(Expr, Expr)>,
    /// Conditions on moments that are exactly that much.
    limits: Vec<Limit>,
    /// All that is known of moments.
    all: Vec<Limit>,
    rest: Vec<Expr>,
}

impl Conditions {
    fn read(join: &Join, above: &[&Expr], sides: [&DFSchema; 2]) -> Self {
        let mut read = Self { keys: join.on.clone(), limits: vec![], all: vec![], rest: vec![] };
        for (left, right) in &join.on {
            for [a, b] in [[left, right], [right, left]] {
                read.all.extend(limit(a, Operator::LtEq, b, sides));
            }
        }
        let filter = join.filter.iter().flat_map(split_conjunction);
        for e in filter.chain(above.iter().copied()) {
            let found = found(e, sides);
            let exact = found.as_ref().is_some_and(|f| {
                f.iter().all(|l| is_exact(l, sides) && index(&l.by, sides[1 - l.side]).is_some() && index(&l.least, sides[l.side]).is_some())
            });
            read.all.extend(found.iter().flatten().cloned());
            match found {
                Some(found) if exact => read.limits.extend(found),
                _ if is_true(e) => {}
                _ => read.rest.push(e.clone()),
            }
        }
        read
    }
}

fn is_true(e: &Expr) -> bool {
    matches!(e, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

/// The one limit that a condition is, if it is one.
fn parsed(e: &Expr, sides: [&DFSchema; 2]) -> Option<Limit> {
    let mut found = found(e, sides)?;
    if found.len() == 1 { found.pop() } else { None }
}

/// What a condition says of moments of both sides.
fn found(e: &Expr, sides: [&DFSchema; 2]) -> Option<Vec<Limit>> {
    match e {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => Some(vec![
            limit(left, Operator::LtEq, right, sides)?,
            limit(right, Operator::LtEq, left, sides)?,
        ]),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Some(vec![limit(left, *op, right, sides)?])
        }
        Expr::Between(b) if !b.negated => Some(vec![
            limit(&b.low, Operator::LtEq, &b.expr, sides)?,
            limit(&b.expr, Operator::LtEq, &b.high, sides)?,
        ]),
        _ => None,
    }
}

/// `a op b` as a limit.
fn limit(a: &Expr, op: Operator, b: &Expr, sides: [&DFSchema; 2]) -> Option<Limit> {
    let (less, more, strict) = match op {
        Operator::LtEq => (a, b, false),
        Operator::Lt => (a, b, true),
        Operator::GtEq => (b, a, false),
        Operator::Gt => (b, a, true),
        _ => return None,
    };
    let mut sum = Sum { terms: vec![], plus: i64::from(strict) };
    sum.add(less, false, sides)?;
    sum.add(more, true, sides)?;
    let [one, other] = sum.terms.as_slice() else { return None };
    let (least, by) = if one.negative { (other, one) } else { (one, other) };
    if least.negative || !by.negative || least.side == by.side {
        return None;
    }
    let limit = Limit {
        side: least.side,
        least: least.of.clone(),
        by: by.of.clone(),
        plus: sum.plus.checked_neg()?,
    };
    // What is finer than a microsecond is not said in whole ones.
    (!strict || is_exact(&limit, sides)).then_some(limit)
}

/// Whether both moments are whole microseconds.
fn is_exact(limit: &Limit, sides: [&DFSchema; 2]) -> bool {
    let micros = |e: &Expr, side: &DFSchema| {
        matches!(e.get_type(side), Ok(DataType::Timestamp(TimeUnit::Microsecond, _)))
    };
    let (Some(own), Some(other)) = (sides.get(limit.side), sides.get(1 - limit.side)) else {
        return false;
    };
    micros(&limit.least, own) && micros(&limit.by, other)
}

/// A sum of moments and spans.
struct Sum {
    terms: Vec<Term>,
    plus: i64,
}

struct Term {
    negative: bool,
    side: usize,
    of: Expr,
}

impl Sum {
    fn add(&mut self, e: &Expr, negative: bool, sides: [&DFSchema; 2]) -> Option<()> {
        if let Some(span) = span(e) {
            let span = if negative { span.checked_neg()? } else { span };
            self.plus = self.plus.checked_add(span)?;
            return Some(());
        }
        let side = side_of(e, sides);
        match e {
            Expr::Alias(a) => return self.add(&a.expr, negative, sides),
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if matches!(op, Operator::Plus | Operator::Minus)
                    && (side.is_none() || span(left).is_some() || span(right).is_some()) =>
            {
                self.add(left, negative, sides)?;
                return self.add(right, negative != (*op == Operator::Minus), sides);
            }
            // Spans of one kind as those of another.
            Expr::Cast(c) if side.is_none() && is_span(c.field.data_type()) => {
                return self.add(&c.expr, negative, sides);
            }
            _ => {}
        }
        let side = side?;
        let schema = sides.get(side)?;
        if !matches!(e.get_type(*schema), Ok(DataType::Timestamp(..))) {
            return None;
        }
        self.terms.push(Term { negative, side, of: e.clone() });
        Some(())
    }
}

/// The side that all columns of an expression are of.
fn side_of(e: &Expr, sides: [&DFSchema; 2]) -> Option<usize> {
    let columns = e.column_refs();
    let of = |side: &DFSchema| columns.iter().all(|c: &&Column| side.has_column(c));
    if columns.is_empty() {
        return None;
    }
    sides.iter().position(|side| of(side))
}

fn is_span(kind: &DataType) -> bool {
    matches!(kind, DataType::Interval(_) | DataType::Duration(_))
}

/// A constant span in microseconds.
fn span(e: &Expr) -> Option<i64> {
    const DAY: i64 = 86_400_000_000;
    let value = match e {
        Expr::Literal(value, _) => value,
        Expr::Cast(c) if is_span(c.field.data_type()) => return span(&c.expr),
        Expr::Alias(a) => return span(&a.expr),
        Expr::Negative(e) => return span(e)?.checked_neg(),
        _ => return None,
    };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 && i.nanoseconds % 1_000 == 0 => {
            i64::from(i.days).checked_mul(DAY)?.checked_add(i.nanoseconds / 1_000)
        }
        ScalarValue::IntervalDayTime(Some(i)) => {
            i64::from(i.days).checked_mul(DAY)?.checked_add(i64::from(i.milliseconds) * 1_000)
        }
        ScalarValue::DurationSecond(Some(v)) => v.checked_mul(1_000_000),
        ScalarValue::DurationMillisecond(Some(v)) => v.checked_mul(1_000),
        ScalarValue::DurationMicrosecond(Some(v)) => Some(*v),
        ScalarValue::DurationNanosecond(Some(v)) if v % 1_000 == 0 => Some(v / 1_000),
        _ => None,
    }
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
    let of = all.iter().filter(|l| l.side == 1 - side && index(&l.least, other) == Some(*other_time));
    let constant = |l: &Limit| index(&l.by, own) == Some(*own_time);
    let constants = of.clone().filter(|l| constant(l)).min_by_key(|l| l.plus);
    match constants {
        Some(limit) => Some((true, limit.clone())),
        None => of.into_iter().next().map(|limit| (false, limit.clone())),
    }
}

/// What a side is called.
pub(super) fn called(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::TableScan(scan) => scan.table_name.table().to_owned(),
        LogicalPlan::SubqueryAlias(alias) if !alias.alias.table().starts_with("__") => {
            alias.alias.table().to_owned()
        }
        LogicalPlan::Join(join) => match Kind::of(join).is_ok_and(Kind::tells) {
            true => called(&join.left),
            false => format!("{} and {}", called(&join.left), called(&join.right)),
        },
        other => match other.inputs().as_slice() {
            [one] => called(one),
            _ => "the query".to_owned(),
        },
    }
}

/// The source that a side is, whatever it is called.
fn source(plan: &LogicalPlan) -> Option<&str> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.table()),
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) | LogicalPlan::Projection(_) => {
            plan.inputs().first().and_then(|input| source(input))
        }
        _ => None,
    }
}

fn both(join: &Join) -> [String; 2] {
    [called(&join.left), called(&join.right)]
}

fn timeless(join: &Join, known: &Known, side: usize) -> DataFusionError {
    let names = both(join);
    let name = names.get(side).map_or("", String::as_str);
    let what = format!(
        "`{name}` has no event time to be joined by: each of its rows would have to be kept for ever"
    );
    let source = source(if side == 0 { &join.left } else { &join.right });
    let fix = match source.and_then(|s| Some((s, known.tables.get(s)?))) {
        Some((name, table)) if table.is_source && table.columns.is_empty() => {
            format!("declare `event_time: {{ column: … }}` at the source `{name}`")
        }
        _ => format!("have `{name}` give the event time of its source as it is, as a column of its own"),
    };
    said_at(what, &fix, AT)
}

fn unbounded(
    join: &Join,
    facts: &[Facts; 2],
    sides: [&DFSchema; 2],
    all: &[Limit],
) -> DataFusionError {
    let [left, right] = both(join);
    let time = |side: usize, table: &str| {
        let roles = facts.get(side).map(|f| f.roles.as_slice()).unwrap_or_default();
        let at = roles.iter().position(|r| r.lag.is_some()).unwrap_or_default();
        let name = sides.get(side).map(|s| s.field(at).name().clone()).unwrap_or_default();
        format!("{table}.{name}")
    };
    let (a, b) = (time(0, &left), time(1, &right));
    let timed = |side: usize| {
        let of = |l: &&Limit| {
            let role = sides.get(side).and_then(|s| index(&l.least, s));
            let roles = facts.get(side).map(|f| f.roles.as_slice()).unwrap_or_default();
            l.side == side && role.and_then(|i| roles.get(i)).is_some_and(|r| r.lag.is_some())
        };
        all.iter().any(|l| of(&l))
    };
    let (what, form) = match (timed(0), timed(1)) {
        (true, false) => (
            format!("nothing says how long a row of `{left}` has to wait for rows of `{right}`, so that each would be kept for ever"),
            format!("AND {b} <= {a} + INTERVAL '1 hour'"),
        ),
        (false, true) => (
            format!("nothing says how long a row of `{right}` has to wait for rows of `{left}`, so that each would be kept for ever"),
            format!("AND {a} <= {b} + INTERVAL '1 hour'"),
        ),
        _ => (
            format!("rows of `{left}` and `{right}` could meet however far apart in time they are, so that each would be kept for ever"),
            format!("AND {b} BETWEEN {a} - INTERVAL '1 hour' AND {a} + INTERVAL '1 hour'"),
        ),
    };
    let fix = format!(
        "bound it: `{form}`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart"
    );
    said_at(what, &fix, AT)
}

/// Sees to it that every join of a plan is bounded in time: by its conditions, else by `state_ttl`.
pub(crate) fn bound_all(plan: LogicalPlan, known: &Known) -> Result<LogicalPlan> {
    let bounded = plan.transform_up(|node| match node {
        LogicalPlan::Join(mut join) => {
            let Err(unbounded) = Timed::of(known, &join, &[]) else {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            };
            if known.ttl.is_some() && Kind::of(&join).is_ok_and(Kind::tells) {
                join.right = Arc::new(with_time(Arc::unwrap_or_clone(join.right), known)?);
            }
            let Some(near) = near(known, &join)? else { return Err(unbounded) };
            join.filter = join.filter.into_iter().chain([near]).reduce(Expr::and);
            Timed::of(known, &join, &[])?;
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(bounded.data)
}

/// The rows of a query in `EXISTS` or `IN` with their event time, of which it may give nothing.
fn with_time(plan: LogicalPlan, known: &Known) -> Result<LogicalPlan> {
    let timed = |plan: &LogicalPlan| -> Result<Option<usize>> {
        Ok(known.facts(plan)?.roles.iter().position(|r| r.lag.is_some()))
    };
    if timed(&plan)?.is_some() {
        return Ok(plan);
    }
    Ok(match plan {
        LogicalPlan::SubqueryAlias(alias) => {
            let input = with_time(Arc::unwrap_or_clone(alias.input), known)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias)?)
        }
        LogicalPlan::Projection(projection) => match timed(&projection.input)? {
            Some(at) => {
                let time = Expr::Column(Column::from(projection.input.schema().qualified_field(at)));
                let all = projection.expr.into_iter().chain([time]).collect();
                LogicalPlan::Projection(Projection::try_new(all, projection.input)?)
            }
            None => LogicalPlan::Projection(projection),
        },
        plan => plan,
    })
}

/// That event times are at most `state_ttl` apart.
fn near(known: &Known, join: &Join) -> Result<Option<Expr>> {
    let facts = [known.facts(&join.left)?, known.facts(&join.right)?];
    let sides = [join.left.schema().as_ref(), join.right.schema().as_ref()];
    let Some(ttl) = known.ttl else { return Ok(None) };
    let all = Conditions::read(join, &[], sides).all;
    let time = |side: usize| {
        let roles = facts.get(side).map(|f| f.roles.as_slice()).unwrap_or_default();
        let timed = |i: &usize| roles.get(*i).is_some_and(|r| r.lag.is_some());
        let schema = sides.get(side)?;
        let named = all.iter().filter(|l| l.side == side).filter_map(|l| index(&l.least, schema));
        let named = named.into_iter().find(timed);
        let at = named.or_else(|| roles.iter().position(|r| r.lag.is_some()))?;
        Some(Expr::Column(Column::from(schema.qualified_field(at))))
    };
    let (Some(left), Some(right)) = (time(0), time(1)) else { return Ok(None) };
    let nanos = ttl.saturating_mul(1_000);
    let span = || match nanos {
        i64::MAX => lit(ScalarValue::new_interval_mdn(0, i32::MAX, 0)),
        nanos => lit(ScalarValue::new_interval_mdn(0, 0, nanos)),
    };
    let first = left.clone().lt_eq(right.clone() + span());
    Ok(Some(first.and(right.lt_eq(left + span()))))
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
                let fix = "write `NOT EXISTS (SELECT 1 FROM … WHERE …)`, to which nulls are nothing";
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
