//! The columns that an analysis reads, and its calls over them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, SortOptions};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion_expr::{
    AggregateUDF, Expr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
    when,
};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column, Literal};

use super::plan::{AT, Common};
use super::spec::{Analysis, Call, Frame, What, Which};
use crate::chain::Chain;
use crate::checked::constants;
use crate::complain::said_at;
use crate::explain::show;
use crate::lower::Lower;
use crate::sample::fails_always;
use crate::state::{typed, unnamed};
use crate::step::Step;
use crate::windowed::{micros as interval, unalias};

/// The columns that an analysis reads: those that pass, and then what is computed before.
pub(super) struct Row<'a, 'b> {
    lower: &'a Lower<'b>,
    names: &'a DFSchema,
    input: SchemaRef,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<Field>,
    texts: Vec<String>,
    shown: Vec<String>,
}

impl<'a, 'b> Row<'a, 'b> {
    pub(super) fn new(lower: &'a Lower<'b>, names: &'a DFSchema, input: SchemaRef) -> Self {
        let fields = input.fields().iter().map(|f| f.as_ref().clone()).collect::<Vec<_>>();
        let exprs = fields.iter().enumerate();
        let exprs = exprs.map(|(i, f)| Arc::new(Column::new(f.name(), i)) as _).collect();
        Self {
            lower,
            names,
            input,
            exprs,
            texts: vec![String::new(); fields.len()],
            fields,
            shown: vec![],
        }
    }

    /// The place of the column that has this, which is computed once.
    fn place(&mut self, e: &Expr) -> Result<usize> {
        let of = self.lower.expr(e, self.names)?;
        if let Some(column) = of.downcast_ref::<Column>() {
            return Ok(column.index());
        }
        let text = typed(&of, &self.input)?;
        if let Some(place) = self.texts.iter().position(|t| *t == text) {
            return Ok(place);
        }
        fails_always(&of, &self.input)?;
        let marks = of.return_field(&self.input)?.metadata().clone();
        let (kind, nullable) = (of.data_type(&self.input)?, of.nullable(&self.input)?);
        let name = show(unalias(e));
        self.fields.push(Field::new(&name, kind, nullable).with_metadata(marks));
        self.exprs.push(of);
        self.texts.push(text);
        self.shown.push(name);
        Ok(self.fields.len() - 1)
    }

    /// The column that has this, or what is the same for all rows.
    fn column(&mut self, e: &Expr) -> Result<Arc<dyn PhysicalExpr>> {
        let of = self.lower.expr(e, self.names)?;
        if of.downcast_ref::<Literal>().is_some() {
            return Ok(of);
        }
        let place = self.place(e)?;
        let name = self.fields.get(place).map_or("", |f| f.name().as_str());
        Ok(Arc::new(Column::new(name, place)))
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.clone()))
    }

    fn field(&self, place: usize) -> Result<&Field> {
        match self.fields.get(place) {
            Some(field) => Ok(field),
            None => plan_err!("a column is missing"),
        }
    }

    pub(super) fn common(&mut self, common: &Common<'_>, lag: i64) -> Result<Analysis> {
        let passing = self.fields.len();
        let mut places = common.order.iter().map(|sort| {
            let options = SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first };
            Ok((self.place(&sort.expr)?, options))
        });
        let time = places.next().transpose()?.map_or(0, |(place, _)| place);
        let orders = places.collect::<Result<Vec<_>>>()?;
        let (mut keys, mut dies) = (vec![], None);
        for e in common.partition {
            let place = self.place(e)?;
            keys.push((place, Arc::new(self.field(place)?.clone())));
            if let Some(lag) = common.facts.role(e, self.names).and_then(|r| r.lag) {
                dies = Some((place, lag));
            }
        }
        let input = self.input.clone();
        Ok(Analysis {
            schema: input.clone(),
            input,
            passing,
            time,
            lag,
            keys,
            orders,
            frames: vec![],
            calls: vec![],
            fails: false,
            dies,
            forget: None,
            state_bytes: 0,
        })
    }

    /// A call, and what it means.
    pub(super) fn call(
        &mut self,
        f: &WindowFunction,
        kind: &DataType,
        frames: &mut Vec<Frame>,
    ) -> Result<(Call, String)> {
        let params = &f.params;
        let ignore_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
        let what = match &f.fun {
            WindowFunctionDefinition::AggregateUDF(udaf) => {
                let frame = place(frames, frame(&params.window_frame)?);
                let filter = params.filter.as_ref().map(|e| self.column(e)).transpose()?;
                let args = params.args.iter().map(|e| match (&params.filter, e) {
                    (None, e) | (_, e @ (Expr::Column(_) | Expr::Literal(..))) => self.column(e),
                    // Of rows that are left out nothing is computed, which could fail.
                    (Some(filter), e) => {
                        self.column(&when(filter.as_ref().clone(), e.clone()).end()?)
                    }
                });
                let args = args.collect::<Result<Vec<_>>>()?;
                let expr = aggregate(udaf, args, self.schema(), params.distinct, ignore_nulls)?;
                What::Aggregate { expr: Arc::new(expr), filter, frame }
            }
            WindowFunctionDefinition::WindowUDF(udwf) => match udwf.name() {
                "row_number" => What::RowNumber,
                "rank" => What::Rank,
                "dense_rank" => What::DenseRank,
                "lag" => self.lag(params, kind, ignore_nulls)?,
                name @ ("first_value" | "last_value" | "nth_value") => {
                    let Some(arg) = params.args.first() else {
                        return plan_err!("`{name}` wants a value");
                    };
                    let which = match name {
                        "first_value" => Which::Nth(0),
                        "last_value" => Which::Last,
                        _ => Which::Nth(nth(params.args.get(1))?),
                    };
                    if ignore_nulls && name == "nth_value" {
                        let what = "`nth_value` with `IGNORE NULLS` is not yet possible";
                        return Err(said_at(what, "take `first_value` or `last_value`", AT));
                    }
                    let frame = place(frames, frame(&params.window_frame)?);
                    What::Pick { arg: self.column(arg)?, frame, which, ignore_nulls }
                }
                other => return plan_err!("`{other}` with `OVER` is not yet possible"),
            },
        };
        let call = Call { what, kind: kind.clone() };
        let text = self.text(f, &call)?;
        Ok((call, text))
    }

    fn lag(
        &mut self,
        params: &WindowFunctionParams,
        kind: &DataType,
        ignore_nulls: bool,
    ) -> Result<What> {
        let Some(arg) = params.args.first() else { return plan_err!("`lag` wants a value") };
        let offset = params.args.get(1).map_or(Ok(1), |e| whole(e, "lag", "how many rows back"))?;
        if ignore_nulls && offset == 0 {
            let what = "`lag` by 0 rows with `IGNORE NULLS` means nothing";
            return Err(said_at(what, "write `last_value(…) IGNORE NULLS`", AT));
        }
        let default = match params.args.get(2).map(|e| self.column(e)).transpose()? {
            None => ScalarValue::try_from(kind)?,
            Some(e) => match e.downcast_ref::<Literal>() {
                Some(literal) => literal.value().cast_to(kind)?,
                None => {
                    let what = "what `lag` gives where there is no row has to be a constant";
                    return Err(said_at(what, "write `coalesce(lag(…) OVER (…), …)`", AT));
                }
            },
        };
        Ok(What::Lag { arg: self.column(arg)?, offset, default, ignore_nulls })
    }

    fn text(&self, f: &WindowFunction, call: &Call) -> Result<String> {
        let schema = self.schema();
        let one = |e: &Arc<dyn PhysicalExpr>| typed(e, &schema);
        let mut text = f.fun.name().to_owned();
        match &call.what {
            What::RowNumber | What::Rank | What::DenseRank => {}
            What::Lag { arg, offset, default, ignore_nulls } => {
                text.push_str(&format!("({}) {offset} {default:?} {ignore_nulls}", one(arg)?));
            }
            What::Pick { arg, frame, which, ignore_nulls } => {
                text.push_str(&format!("({}) {which:?} {ignore_nulls} {frame}", one(arg)?));
            }
            What::Aggregate { expr, filter, frame } => {
                let args = expr.expressions().iter().map(one).collect::<Result<Vec<_>>>()?;
                let distinct = if expr.is_distinct() { "distinct " } else { "" };
                text.push_str(&format!("({distinct}{}) {frame}", args.join(", ")));
                if let Some(filter) = filter {
                    text.push_str(&format!(" where {}", unnamed(filter)?));
                }
                if expr.ignore_nulls() {
                    text.push_str(" ignore nulls");
                }
            }
        }
        text.push_str(&format!(" is {}", call.kind));
        Ok(text)
    }

    /// Has what is not there computed before, and gives the columns that come in then.
    pub(super) fn finish(self, chains: &mut [Chain]) -> Result<SchemaRef> {
        let schema = self.schema();
        if self.shown.is_empty() {
            return Ok(schema);
        }
        let sums = self.exprs.iter().map(constants).collect::<Result<Vec<_>>>()?;
        let constants = sums.into_iter().sum();
        for chain in chains {
            let (exprs, schema) = (self.exprs.clone(), schema.clone());
            chain.steps.push(Step::Project { exprs, constants, schema: schema.clone() });
            chain.schema = schema;
            chain.explain.push(format!("compute {}", self.shown.join(", ")));
        }
        Ok(schema)
    }
}

fn aggregate(
    udaf: &Arc<AggregateUDF>,
    args: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    distinct: bool,
    ignore_nulls: bool,
) -> Result<AggregateFunctionExpr> {
    let expr = AggregateExprBuilder::new(udaf.clone(), args)
        .schema(schema)
        .alias(udaf.name())
        .with_ignore_nulls(ignore_nulls)
        .with_distinct(distinct)
        .build()?;
    // What is wrong with its constants is told only when it starts.
    expr.create_accumulator()?;
    Ok(expr)
}

/// The place of a frame; calls with the same one share it.
fn place(frames: &mut Vec<Frame>, frame: Frame) -> usize {
    match frames.iter().position(|f| *f == frame) {
        Some(place) => place,
        None => {
            frames.push(frame);
            frames.len() - 1
        }
    }
}

/// A whole number from 0 on that a call is written with.
fn whole(e: &Expr, name: &str, what: &str) -> Result<u64> {
    if let Expr::Literal(value, _) = e
        && let Ok(ScalarValue::Int64(Some(n))) = value.cast_to(&DataType::Int64)
    {
        return match u64::try_from(n) {
            Ok(n) => Ok(n),
            Err(_) => Err(said_at(
                format!(
                    "`{name}` cannot look ahead by {}: those rows are still to come",
                    n.unsigned_abs()
                ),
                "look back from the later row, with a number from 0 on",
                AT,
            )),
        };
    }
    let text = format!("{what} `{name}` looks has to be a whole number: `{}`", show(e));
    Err(said_at(text, &format!("write `{name}(…, 1)`"), AT))
}

fn nth(e: Option<&Expr>) -> Result<u64> {
    let n = match e {
        Some(e) => whole(e, "nth_value", "which row")?,
        None => 0,
    };
    n.checked_sub(1).ok_or_else(|| {
        said_at("`nth_value` counts the rows of its frame from 1 on", "write `nth_value(…, 1)`", AT)
    })
}

/// How far a frame reaches.
pub(super) fn frame(of: &WindowFrame) -> Result<Frame> {
    match of.units {
        WindowFrameUnits::Rows => {
            let end = rows(&of.end_bound)?.unwrap_or(0);
            Ok(Frame::Rows { start: rows(&of.start_bound)?, end })
        }
        WindowFrameUnits::Range => {
            let end = time(&of.end_bound)?.unwrap_or(0);
            Ok(Frame::Range { start: time(&of.start_bound)?, end })
        }
        WindowFrameUnits::Groups => {
            Err(said_at("a frame of `GROUPS` is not yet possible", "write `ROWS` or `RANGE`", AT))
        }
    }
}

fn ahead() -> DataFusionError {
    let what = "a frame cannot go on behind its row (`FOLLOWING`): those rows are still to come";
    said_at(what, "let it end with `CURRENT ROW`, and look back from the later row", AT)
}

fn rows(bound: &WindowFrameBound) -> Result<Option<u64>> {
    match bound {
        WindowFrameBound::CurrentRow => Ok(Some(0)),
        WindowFrameBound::Preceding(n) if n.is_null() => Ok(None),
        WindowFrameBound::Preceding(ScalarValue::UInt64(Some(n))) => Ok(Some(*n)),
        WindowFrameBound::Preceding(n) => plan_err!("a frame of `{n}` rows is not possible"),
        WindowFrameBound::Following(_) => Err(ahead()),
    }
}

fn time(bound: &WindowFrameBound) -> Result<Option<i64>> {
    match bound {
        WindowFrameBound::CurrentRow => Ok(Some(0)),
        WindowFrameBound::Preceding(span) if span.is_null() => Ok(None),
        WindowFrameBound::Preceding(span) => {
            let span = Expr::Literal(span.clone(), None);
            let micros = interval(&span, "span", &show(&span))?;
            if micros < 0 { Err(ahead()) } else { Ok(Some(micros)) }
        }
        WindowFrameBound::Following(_) => Err(ahead()),
    }
}
