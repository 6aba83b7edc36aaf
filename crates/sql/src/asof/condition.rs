//! What `ON` says of a join as of event time: keys that are equal, and how far the two event times may be apart.

use arrow_schema::DataType;
use datafusion_common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::expr_fn::cast;
use datafusion_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::mark::arguments;
use super::node::AT;
use super::spell::FORM;
use crate::complain::said_at;
use crate::explain::show;
use crate::windowed::{Facts, micros};

/// One side of the join.
pub(super) struct Input<'a> {
    pub plan: &'a LogicalPlan,
    pub facts: Facts,
}

/// What the condition says.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Equal expressions of the left side and the right one, of one type.
    pub keys: Vec<(Expr, Expr)>,
    /// The two event times.
    pub times: Option<(Column, Column)>,
    /// The least and the most microseconds from the right event time to the left one.
    pub least: Option<i64>,
    pub most: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Left,
    Right,
}

/// An event time, moved by some microseconds.
type Moment = (Of, Column, i64);

/// Reads a condition that has the mark.
pub(super) fn read(on: &Expr, left: &Input<'_>, right: &Input<'_>) -> Result<Condition> {
    let mut read = Read { left, right, found: Condition::default() };
    for part in split_conjunction(on) {
        match arguments(part) {
            None => read.part(part)?,
            Some([]) => {}
            Some([time @ Expr::Column(_)]) => read.as_of(time)?,
            Some(conditions) => {
                for part in conditions.iter().flat_map(split_conjunction) {
                    read.part(part)?;
                }
            }
        }
    }
    Ok(read.found)
}

struct Read<'a> {
    left: &'a Input<'a>,
    right: &'a Input<'a>,
    found: Condition,
}

impl Input<'_> {
    fn schema(&self) -> &DFSchema {
        self.plan.schema()
    }

    fn has_all(&self, e: &Expr) -> bool {
        e.column_refs().iter().all(|c| self.schema().has_column(c))
    }
}

impl Read<'_> {
    /// `FOR SYSTEM_TIME AS OF t.ts`: up to that, and the right side by its own event time.
    fn as_of(&mut self, time: &Expr) -> Result<()> {
        let Some((Of::Left, left, _)) = self.moment(time)? else {
            let what = format!("`{}` is no event time of the left side", show(time));
            return Err(wrong(what, &self.own(self.left)));
        };
        let fields = self.right.schema().iter().zip(&self.right.facts.roles);
        let mut own = fields.filter(|(_, role)| role.lag.is_some());
        let (Some((right, _)), None) = (own.next(), own.next()) else {
            let what = "`FOR SYSTEM_TIME AS OF` needs a right side with one event time";
            return Err(wrong(what, &format!("{}: {FORM}", self.own(self.right))));
        };
        self.times(left, Column::from(right))?;
        self.found.least = self.found.least.max(Some(0));
        Ok(())
    }

    fn part(&mut self, part: &Expr) -> Result<()> {
        match part {
            Expr::Alias(alias) => self.part(&alias.expr),
            // What was wrong here was made `NULL`, to find what else is.
            Expr::Literal(value, _) if value.is_null() => Ok(()),
            Expr::Between(b) if !b.negated => {
                let low = (b.expr.clone(), Operator::GtEq, b.low.clone());
                let high = (b.expr.clone(), Operator::LtEq, b.high.clone());
                for (left, op, right) in [low, high] {
                    self.part(&Expr::BinaryExpr(BinaryExpr { left, op, right }))?;
                }
                Ok(())
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                self.key(part, left, right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                self.compare(part, left, *op, right)
            }
            _ => Err(odd(part)),
        }
    }

    fn key(&mut self, part: &Expr, a: &Expr, b: &Expr) -> Result<()> {
        let some = |e: &Expr| e.any_column_refs();
        let (left, right) = match (some(a) && some(b), self.left.has_all(a), self.right.has_all(a))
        {
            (true, true, _) if self.right.has_all(b) => (a, b),
            (true, _, true) if self.left.has_all(b) => (b, a),
            // What was wrong in it was made `NULL`.
            _ if [a, b].into_iter().any(is_null) => return Ok(()),
            _ => return Err(odd(part)),
        };
        let of = (left.get_type(self.left.schema())?, right.get_type(self.right.schema())?);
        let (as_left, as_right) =
            BinaryTypeCoercer::new(&of.0, &Operator::Eq, &of.1).get_input_types()?;
        let to = |e: &Expr, has, wanted| {
            if has == wanted { e.clone() } else { cast(e.clone(), wanted) }
        };
        self.found.keys.push((to(left, of.0, as_left), to(right, of.1, as_right)));
        Ok(())
    }

    /// `t.ts >= q.ts`, `q.ts > t.ts - INTERVAL '1 hour'`, `t.ts - q.ts <= INTERVAL '1 hour'`.
    fn compare(&mut self, part: &Expr, a: &Expr, op: Operator, b: &Expr) -> Result<()> {
        if [a, b].into_iter().any(is_null) {
            return Ok(());
        }
        let (mut op, a, b) = match (self.difference(a)?, self.difference(b)?) {
            (Some((x, y)), None) => {
                (op, x, (y.0, y.1, y.2 + interval(b)?.ok_or_else(|| odd(part))?))
            }
            (None, Some((x, y))) => {
                (op, (y.0, y.1, y.2 + interval(a)?.ok_or_else(|| odd(part))?), x)
            }
            _ => match (self.moment(a)?, self.moment(b)?) {
                (Some(a), Some(b)) => (op, a, b),
                _ => return Err(self.no_time(part)),
            },
        };
        let ((_, left, x), (_, right, y)) = match (a.0, b.0) {
            (Of::Left, Of::Right) => (a, b),
            (Of::Right, Of::Left) => {
                op = op.swap().ok_or_else(|| odd(part))?;
                (b, a)
            }
            _ => return Err(odd(part)),
        };
        self.times(left, right)?;
        // It is left + x against right + y.
        let apart = y.saturating_sub(x);
        let found = &mut self.found;
        match op {
            Operator::GtEq => found.least = found.least.max(Some(apart)),
            Operator::Gt => found.least = found.least.max(Some(apart.saturating_add(1))),
            Operator::LtEq => found.most = Some(found.most.map_or(apart, |m| m.min(apart))),
            Operator::Lt => {
                let apart = apart.saturating_sub(1);
                found.most = Some(found.most.map_or(apart, |m| m.min(apart)));
            }
            _ => return Err(odd(part)),
        }
        Ok(())
    }

    /// Two moments of which one is taken from the other.
    fn difference(&self, e: &Expr) -> Result<Option<(Moment, Moment)>> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) = e else {
            return Ok(None);
        };
        Ok(self.moment(left)?.zip(self.moment(right)?))
    }

    /// An event time, and by how much it is moved.
    fn moment(&self, e: &Expr) -> Result<Option<Moment>> {
        let moved = |(of, column, by): Moment, more: i64| (of, column, by.saturating_add(more));
        match e {
            Expr::Alias(alias) => self.moment(&alias.expr),
            Expr::Column(column) => {
                let of = [(Of::Left, self.left), (Of::Right, self.right)];
                let mut of = of.into_iter().filter(|(_, input)| {
                    let role = input.facts.role(e, input.schema());
                    role.is_some_and(|role| role.lag.is_some())
                });
                Ok(of.next().map(|(of, _)| (of, column.clone(), 0)))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                for (moment, by) in [(left, right), (right, left)] {
                    if let (Some(moment), Some(by)) = (self.moment(moment)?, interval(by)?) {
                        return Ok(Some(moved(moment, by)));
                    }
                }
                Ok(None)
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                Ok(match (self.moment(left)?, interval(right)?) {
                    (Some(moment), Some(by)) => Some(moved(moment, by.saturating_neg())),
                    _ => None,
                })
            }
            _ => Ok(None),
        }
    }

    /// All comparisons are of the same two event times.
    fn times(&mut self, left: Column, right: Column) -> Result<()> {
        match &self.found.times {
            None => self.found.times = Some((left, right)),
            Some((a, b)) if *a == left && *b == right => {}
            Some(_) => {
                let what = "a join as of event time goes by one event time of each side";
                return Err(wrong(what, "compare the same two columns everywhere"));
            }
        }
        Ok(())
    }

    /// The nearest columns that are event time.
    fn own(&self, input: &Input<'_>) -> String {
        let fields = input.schema().iter().zip(&input.facts.roles);
        let own = fields.filter(|(_, role)| role.lag.is_some());
        let own = own.map(|(field, _)| format!("`{}`", Column::from(field).flat_name()));
        let own = own.collect::<Vec<_>>();
        if own.is_empty() {
            return "declare `event_time` at its source, and have views give that column as it is"
                .to_owned();
        }
        format!("use {}", own.join(" or "))
    }

    /// Something is compared that is not the event time.
    fn no_time(&self, part: &Expr) -> DataFusionError {
        let both = [self.left, self.right];
        let lacks = both.into_iter().find(|i| i.facts.roles.iter().all(|r| r.lag.is_none()));
        let what =
            format!("`{}` does not compare the event times of both sides", part.human_display());
        let fix = match lacks {
            Some(side) => self.own(side),
            None => {
                let of = |input| self.own(input).replace("use ", "");
                format!(
                    "compare {} with {}; put other conditions on the left rows into `WHERE`, and on the right ones into a `SELECT` there",
                    of(self.left),
                    of(self.right)
                )
            }
        };
        wrong(what, &fix)
    }
}

fn wrong(what: impl Into<String>, fix: &str) -> DataFusionError {
    said_at(what, fix, AT)
}

fn is_null(e: &Expr) -> bool {
    matches!(e, Expr::Literal(value, _) if value.is_null())
}

/// The microseconds of a constant interval.
fn interval(e: &Expr) -> Result<Option<i64>> {
    match e {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.months != 0 => {
            let what = format!("`{}` is no fixed span: months differ in length", show(e));
            Err(wrong(what, "write it in days: `INTERVAL '30 days'`"))
        }
        Expr::Literal(value, _) if matches!(value.data_type(), DataType::Interval(_)) => {
            micros(e, "bound", &show(e)).map(Some)
        }
        Expr::Negative(e) => Ok(interval(e)?.map(i64::saturating_neg)),
        _ => Ok(None),
    }
}

fn odd(part: &Expr) -> DataFusionError {
    let what = format!(
        "`{}` cannot stand in a join as of event time, which goes by equal keys and by how far the event times are apart",
        show(part)
    );
    wrong(
        what,
        "put conditions on the left rows into `WHERE`, and on the right ones into a `SELECT` there: `ASOF JOIN (SELECT … WHERE …) q ON …`",
    )
}
