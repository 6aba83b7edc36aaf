//! What is computed for each row, as it is run.

use std::sync::Arc;

use arrow_array::{ArrayRef, UInt64Array};
use arrow_schema::{DataType, Schema};
use datafusion_common::{Result, exec_err};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use super::anew::{Anew, Whole};
use super::exact::{Count, Sum};
use super::frame::Span;
use super::histories::Histories;
use super::history::{Low, Packed};
use super::moment::Moment;
use super::pick::{Lag, LagValid, Pick, pick_low};
use super::slide::{First, Last, Least, Most, Slide, Total, Variance};
use super::spec::{Analysis, Frame, What, Which};
use crate::window::Aggregate;
use crate::window::bytes::{Reader, put};
use crate::window::keys::unfit;
use crate::window::lane::has_lane;

/// Why the results of some rows could not be computed.
pub(super) type Failed = Vec<Option<String>>;

/// What a call looks at.
pub(super) struct Seen<'a> {
    pub rows: &'a Moment,
    pub histories: &'a Histories,
    pub spans: &'a [Span],
}

impl Seen<'_> {
    pub(super) fn span(&self, frame: usize) -> Result<&Span> {
        match self.spans.get(frame) {
            Some(span) => Ok(span),
            None => exec_err!("a call has no frame"),
        }
    }

    /// Each row's group, and where its frame begins and ends.
    pub(super) fn frames(&self, frame: usize) -> Result<impl Iterator<Item = (u32, u64, u64)>> {
        let span = self.span(frame)?;
        let ends = span.starts.iter().zip(&span.ends);
        Ok(self.rows.groups.iter().zip(ends).map(|(g, (start, end))| (*g, *start, *end)))
    }
}

/// A call, and what it keeps for each key.
pub(super) trait Run: Send {
    /// There are numbers for so many keys now.
    fn grow(&mut self, len: usize);

    /// The results for some rows.
    fn run(&mut self, seen: &Seen<'_>, failed: &mut Failed) -> Result<ArrayRef>;

    /// The key begins anew.
    fn clear(&mut self, group: u32);

    /// Keeps these keys alone, and calls them by their places.
    fn keep(&mut self, groups: &[u32]) -> Result<()>;

    fn bytes(&self) -> usize;

    fn save(&self, group: u32, out: &mut Vec<u8>);

    /// Takes back what was saved of a key, after what is remembered of it.
    fn load(&mut self, group: u32, histories: &Histories, from: &mut Reader<'_>) -> Option<()>;
}

/// A column of the rows that come.
pub(super) fn column(schema: &Schema, place: usize) -> Result<Arc<dyn PhysicalExpr>> {
    match schema.fields().get(place) {
        Some(field) => Ok(Arc::new(Column::new(field.name(), place))),
        None => exec_err!("a column is missing"),
    }
}

/// The call at a place, ready to run.
pub(super) fn run(spec: &Analysis, call: usize, histories: &mut Histories) -> Result<Box<dyn Run>> {
    let Some(call) = spec.calls.get(call) else { return exec_err!("a call is missing") };
    let kind = call.kind.clone();
    Ok(match &call.what {
        What::RowNumber => Box::new(Place::Row),
        What::Rank => Box::new(Place::Rank),
        What::DenseRank => Box::new(Dense(vec![])),
        What::Lag { arg, offset, default, ignore_nulls } => {
            let low = if *ignore_nulls { Low::Back(0) } else { Low::Back(*offset) };
            let at = histories.place((std::slice::from_ref(arg), None), false, low, &spec.input)?;
            match (histories.get(at)?.is_lane(), ignore_nulls) {
                (true, false) => Box::new(Lag::<i64>::new(at, *offset, default, kind)?),
                (false, false) => Box::new(Lag::<Packed>::new(at, *offset, default, kind)?),
                (true, true) => Box::new(LagValid::<i64>::new(at, *offset, default, kind)?),
                (false, true) => Box::new(LagValid::<Packed>::new(at, *offset, default, kind)?),
            }
        }
        What::Pick { arg, frame, which, ignore_nulls } => {
            let unbounded = spec.frames.get(*frame).is_none_or(|f| f.is_unbounded());
            let low = match ignore_nulls {
                true => low(unbounded, *frame),
                false => pick_low(*which, unbounded, *frame),
            };
            let at = histories.place((std::slice::from_ref(arg), None), false, low, &spec.input)?;
            match (histories.get(at)?.is_lane(), ignore_nulls, which) {
                (true, true, Which::Last) => Slide::<Last<i64>>::of(at, *frame, kind),
                (true, true, Which::Nth(_)) => Slide::<First<i64>>::of(at, *frame, kind),
                (false, true, Which::Last) => Slide::<Last<Packed>>::of(at, *frame, kind),
                (false, true, Which::Nth(_)) => Slide::<First<Packed>>::of(at, *frame, kind),
                (true, false, which) => {
                    Box::new(Pick::<i64>::new(at, *frame, *which, unbounded, kind))
                }
                (false, false, which) => {
                    Box::new(Pick::<Packed>::new(at, *frame, *which, unbounded, kind))
                }
            }
        }
        What::Aggregate { expr, filter, frame } => {
            let aggregate = Aggregate { expr: expr.clone(), filter: filter.clone() };
            return aggregated(spec, &aggregate, *frame, &kind, histories);
        }
    })
}

fn low(unbounded: bool, frame: usize) -> Low {
    if unbounded { Low::End(frame) } else { Low::Start(frame) }
}

fn aggregated(
    spec: &Analysis,
    aggregate: &Aggregate,
    frame: usize,
    kind: &DataType,
    histories: &mut Histories,
) -> Result<Box<dyn Run>> {
    let Aggregate { expr, filter } = aggregate;
    let of = spec.frames.get(frame).copied().ok_or_else(unfit)?;
    let (args, filter) = (expr.expressions(), filter.as_ref());
    let low = low(of.is_unbounded(), frame);
    let count = expr.fun().name() == "count" && args.len() == 1 && !expr.is_distinct();
    if count {
        let never_null = match args.first() {
            Some(arg) => !arg.nullable(&spec.input)?,
            None => false,
        };
        // All rows of the frame, which need not be looked at.
        let at = match never_null && filter.is_none() {
            true => None,
            false => Some(histories.place((&args, filter), false, low, &spec.input)?),
        };
        return Count::of(at, frame, histories);
    }
    let mut place = |whole| histories.place((&args, filter), whole, low, &spec.input);
    let float = *kind == DataType::Float64;
    let whole_number = matches!(kind, DataType::Int64 | DataType::UInt64);
    let one = args.len() == 1 && !expr.is_distinct();
    let lane =
        one && args.first().is_some_and(|a| a.data_type(&spec.input).is_ok_and(|k| has_lane(&k)));
    let typed: Option<Box<dyn Run>> = match expr.fun().name() {
        "sum" if lane && whole_number => {
            Some(Box::new(Sum::new(place(false)?, frame, kind.clone())))
        }
        "sum" if lane && float => {
            Some(Slide::<Total<false>>::of(place(false)?, frame, kind.clone()))
        }
        "avg" if lane && float => {
            Some(Slide::<Total<true>>::of(place(false)?, frame, kind.clone()))
        }
        "var" if lane && float => {
            Some(Slide::<Variance<true, false>>::of(place(false)?, frame, kind.clone()))
        }
        "var_pop" if lane && float => {
            Some(Slide::<Variance<false, false>>::of(place(false)?, frame, kind.clone()))
        }
        "stddev" if lane && float => {
            Some(Slide::<Variance<true, true>>::of(place(false)?, frame, kind.clone()))
        }
        "stddev_pop" if lane && float => {
            Some(Slide::<Variance<false, true>>::of(place(false)?, frame, kind.clone()))
        }
        "min" | "bool_and" if lane => {
            Some(Slide::<Least<i64>>::of(place(false)?, frame, kind.clone()))
        }
        "max" | "bool_or" if lane => {
            Some(Slide::<Most<i64>>::of(place(false)?, frame, kind.clone()))
        }
        "min" if one && in_order(kind) => {
            Some(Slide::<Least<Packed>>::of(place(false)?, frame, kind.clone()))
        }
        "max" if one && in_order(kind) => {
            Some(Slide::<Most<Packed>>::of(place(false)?, frame, kind.clone()))
        }
        _ => None,
    };
    if let Some(typed) = typed {
        return Ok(typed);
    }
    match of {
        Frame::Rows { start: None, end: 0 } | Frame::Range { start: None, end: 0 } => {
            Ok(Box::new(Whole::new(aggregate, (frame, of), &spec.input)?))
        }
        _ => Ok(Box::new(Anew::new(expr.clone(), place(true)?, frame))),
    }
}

/// Whether values of this type that have no lane are in the order of their bytes, as arrow puts these into rows.
fn in_order(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

/// Whether a call may fail for a row.
pub(crate) fn fails(what: &What, kind: &DataType) -> bool {
    let What::Aggregate { expr, .. } = what else { return false };
    let name = expr.fun().name();
    let float = *kind == DataType::Float64;
    let plain = expr.expressions().len() == 1 && !expr.is_distinct();
    let never = match name {
        "count" => true,
        "sum" | "avg" | "var" | "var_pop" | "stddev" | "stddev_pop" => float,
        "min" | "max" | "bool_and" | "bool_or" => has_lane(kind) || in_order(kind),
        _ => false,
    };
    !(plain && never)
}

/// Where a row stands among those of its key.
enum Place {
    Row,
    Rank,
}

impl Run for Place {
    fn grow(&mut self, _: usize) {}

    fn run(&mut self, seen: &Seen<'_>, _: &mut Failed) -> Result<ArrayRef> {
        let numbers = match self {
            Self::Row => &seen.rows.numbers,
            Self::Rank => &seen.rows.firsts,
        };
        Ok(Arc::new(UInt64Array::from_iter_values(numbers.iter().map(|n| n + 1))))
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

/// How many rows that order tells apart each key has had.
struct Dense(Vec<u64>);

impl Run for Dense {
    fn grow(&mut self, len: usize) {
        self.0.resize(len, 0);
    }

    fn run(&mut self, seen: &Seen<'_>, _: &mut Failed) -> Result<ArrayRef> {
        let rows = seen.rows.groups.iter().zip(&seen.rows.numbers).zip(&seen.rows.firsts);
        let ranks = rows.map(|((group, number), first)| {
            let Some(rank) = self.0.get_mut(*group as usize) else { return 0 };
            *rank += u64::from(number == first);
            *rank
        });
        Ok(Arc::new(UInt64Array::from_iter_values(ranks)))
    }

    fn clear(&mut self, group: u32) {
        if let Some(rank) = self.0.get_mut(group as usize) {
            *rank = 0;
        }
    }

    fn keep(&mut self, groups: &[u32]) -> Result<()> {
        self.0 = groups.iter().filter_map(|g| self.0.get(*g as usize).copied()).collect();
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }

    fn save(&self, group: u32, out: &mut Vec<u8>) {
        put(out, self.0.get(group as usize).copied().unwrap_or_default());
    }

    fn load(&mut self, group: u32, _: &Histories, from: &mut Reader<'_>) -> Option<()> {
        *self.0.get_mut(group as usize)? = from.u64()?;
        Some(())
    }
}
