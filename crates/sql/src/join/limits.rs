//! What the conditions of a join say of moments of both sides.

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Join, Operator};

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

/// The place of a column among those of a side.
pub(super) fn index(e: &Expr, schema: &DFSchema) -> Option<usize> {
    match e {
        Expr::Column(c) => schema.maybe_index_of_column(c),
        Expr::Alias(a) => index(&a.expr, schema),
        _ => None,
    }
}

/// All conditions of a join, sorted by what they are.
pub(super) struct Conditions {
    pub keys: Vec<(Expr, Expr)>,
    /// Conditions on moments that are exactly that much.
    pub limits: Vec<Limit>,
    /// All that is known of moments.
    pub all: Vec<Limit>,
    pub rest: Vec<Expr>,
}

impl Conditions {
    pub(super) fn read(join: &Join, above: &[&Expr], sides: [&DFSchema; 2]) -> Self {
        let mut read = Self { keys: join.on.clone(), limits: vec![], all: vec![], rest: vec![] };
        for (left, right) in &join.on {
            for [a, b] in [[left, right], [right, left]] {
                read.all.extend(limit(a, Operator::LtEq, b, sides));
            }
        }
        let filter = join.filter.iter().flat_map(split_conjunction);
        for e in filter.chain(above.iter().copied()) {
            let found = found(e, sides);
            let exact = found
                .as_ref()
                .is_some_and(|f| f.iter().all(|l| is_exact(l, sides) && are_columns(l, sides)));
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
pub(super) fn parsed(e: &Expr, sides: [&DFSchema; 2]) -> Option<Limit> {
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

/// Whether both moments are columns.
fn are_columns(limit: &Limit, sides: [&DFSchema; 2]) -> bool {
    let is = |e: &Expr, side: usize| sides.get(side).is_some_and(|s| index(e, s).is_some());
    is(&limit.least, limit.side) && is(&limit.by, 1 - limit.side)
}

/// Whether both moments are whole microseconds.
pub(super) fn is_exact(limit: &Limit, sides: [&DFSchema; 2]) -> bool {
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
        ScalarValue::IntervalMonthDayNano(Some(i))
            if i.months == 0 && i.nanoseconds % 1_000 == 0 =>
        {
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
