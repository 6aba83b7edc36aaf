//! `OVER` in a plan, as the analysis that is run.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, SortOptions};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::expr::{NullTreatment, Sort, WindowFunction, WindowFunctionParams};
use datafusion_expr::{
    AggregateUDF, Expr, LogicalPlan, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition, when,
};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_sql::sqlparser::keywords::Keyword;

use super::call::fails;
use super::spec::{Analysis, Call, Frame, What, Which};
use crate::chain::{Chain, Feed, To};
use crate::checked::constants;
use crate::complain::said_at;
use crate::explain::show;
use crate::grown::{Grown, Spec};
use crate::lower::Lower;
use crate::sample::fails_always;
use crate::state::{typed, unnamed};
use crate::step::Step;
use crate::windowed::{Facts, micros as interval, span_words, unalias};

/// Where it stands in a text.
const AT: &[Keyword] = &[Keyword::OVER];

/// What all calls have in common.
struct Common<'a> {
    partition: &'a [Expr],
    order: &'a [Sort],
    facts: Facts,
}

impl Common<'_> {
    /// Whether a call has the same keys and order. The optimizer gives names to what is in several calls, in some of them.
    fn is_of(&self, call: &WindowFunctionParams) -> bool {
        let keys = self.partition.iter().zip(&call.partition_by);
        let order = self.order.iter().zip(&call.order_by);
        self.partition.len() == call.partition_by.len()
            && self.order.len() == call.order_by.len()
            && keys.into_iter().all(|(a, b)| unalias(a) == unalias(b))
            && order.into_iter().all(|(a, b)| {
                let same = a.asc == b.asc && a.nulls_first == b.nulls_first;
                same && unalias(&a.expr) == unalias(&b.expr)
            })
    }
}

impl Lower<'_> {
    /// The rows of a plan with what is computed over those before them.
    pub(crate) fn over(&mut self, window: &Window) -> Result<Vec<Chain>> {
        let schema = window.input.schema();
        let facts = self.known.facts(&window.input)?;
        let calls = window.window_expr.iter().map(call).collect::<Result<Vec<_>>>()?;
        let Some(first) = calls.first().map(|c| &c.params) else {
            return plan_err!("`OVER` computes nothing");
        };
        let common = Common { partition: &first.partition_by, order: &first.order_by, facts };
        if !calls.iter().all(|c| common.is_of(&c.params)) {
            let what = "several `OVER` with other keys in another order cannot be computed in one `SELECT`";
            return Err(said_at(what, "compute each in a view of its own, one over the other", AT));
        }
        let lag = self.event_time(&common, window, calls.first().copied())?;
        let grouped = std::mem::replace(&mut self.grouped, false);
        let chains = self.plan(&window.input);
        self.grouped = grouped;
        let mut chains = chains?;
        self.answers_are_recorded(&chains, &common.facts)?;
        let physical =
            chains.first().map_or_else(|| Arc::new(Schema::empty()), |c| c.schema.clone());
        let mut row = Row::new(self, schema, physical.clone());
        let mut spec = row.common(&common, lag)?;
        let mut texts = vec![];
        for (f, field) in calls.iter().zip(window.schema.fields().iter().skip(spec.passing)) {
            let (call, text) = row.call(f, field.data_type(), &mut spec.frames)?;
            spec.calls.push(call);
            texts.push(text);
        }
        spec.input = row.finish(&mut chains)?;
        self.bound(&mut spec)?;
        spec.fails = spec.calls.iter().any(|c| fails(&c.what, &c.kind));
        let results = window.schema.fields().iter().skip(spec.passing).map(|f| f.as_ref().clone());
        let fields = physical.fields().iter().map(|f| f.as_ref().clone()).chain(results);
        let last: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        spec.schema = last.clone();
        let number = self.grown.len();
        for chain in &mut chains {
            chain.to = Some(To { node: number, input: 0 });
        }
        self.closed.append(&mut chains);
        let mut chain = Chain {
            from: Feed::Node(number),
            scan: last.clone(),
            steps: vec![],
            schema: last.clone(),
            explain: vec![],
            to: None,
        };
        if spec.fails {
            let why = Field::new("why", DataType::Utf8, true);
            let fields = last.fields().iter().map(|f| f.as_ref().clone()).chain([why]);
            spec.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            chain.scan = spec.schema.clone();
            chain.steps.push(Step::Refuse { schema: last });
        }
        let explain = explain(&spec, &common, &calls);
        let state = meaning(&spec, &texts)?;
        let fields = window.schema.fields().iter().skip(spec.passing);
        let names = fields.zip(&calls).map(|(f, call)| (f.name().clone(), shown(call)));
        let mut names = names.filter(|(name, shown)| name != shown).collect::<Vec<_>>();
        // A name may be in another.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        self.grown.push(Grown { spec: Spec::Over(spec), explain, state, names });
        Ok(vec![chain])
    }

    /// By how much the event time lags that rows are in the order of.
    fn event_time(
        &self,
        common: &Common<'_>,
        window: &Window,
        call: Option<&WindowFunction>,
    ) -> Result<i64> {
        let first = common.order.first();
        let role = |sort: &Sort| common.facts.role(&sort.expr, window.input.schema()).cloned();
        let lag = first.and_then(|sort| role(sort)?.lag);
        let (what, fix) = match (lag, first) {
            (Some(lag), Some(sort)) if sort.asc => return Ok(lag),
            (Some(_), Some(sort)) => {
                let sort = show(&sort.expr);
                let what = format!(
                    "`OVER` goes backwards in time (`{sort} DESC`): a row would have to wait for all that are still to come"
                );
                (what, "leave out `DESC`".to_owned())
            }
            (_, Some(sort)) => {
                let name = call.map_or("", |f| f.fun.name());
                let ranked = match name {
                    "row_number" | "rank" | "dense_rank" => {
                        "; ranks by something else are known of complete windows only"
                    }
                    _ => "",
                };
                let sort = show(&sort.expr);
                let what = format!(
                    "`OVER` is in the order of `{sort}`, which is not event time: rows that belong before a row could come at any time{ranked}"
                );
                (what, self.begin_with(&window.input))
            }
            (_, None) => {
                let what = "`OVER` without `ORDER BY` would need all rows of a key, of which there is no last one";
                (what.to_owned(), self.begin_with(&window.input))
            }
        };
        Err(said_at(what, &fix, AT))
    }

    /// How to name the event time of what is read.
    fn begin_with(&self, plan: &LogicalPlan) -> String {
        let mut times = vec![];
        let _all = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = self.known.tables.get(scan.table_name.table())
            {
                let of_time = table.columns.iter().filter(|(_, role)| role.lag.is_some());
                times.extend(of_time.map(|(name, _)| format!("`ORDER BY {name}`")));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        match times.first() {
            Some(_) => format!("begin with {}", times.join(" or ")),
            None => {
                "declare `event_time` at the source, and write `ORDER BY` its column".to_owned()
            }
        }
    }

    /// Says after how long a key is forgotten.
    fn bound(&self, spec: &mut Analysis) -> Result<()> {
        spec.state_bytes = self.windows.state_bytes;
        let (time, rows) = spec.reach();
        if rows == Some(0) {
            spec.forget = time;
            return Ok(());
        }
        if spec.keys.is_empty() {
            return Ok(());
        }
        let Some(ttl) = self.known.ttl else { return Ok(()) };
        let ranges = spec.frames.iter().filter_map(|f| match f {
            Frame::Range { start, .. } => *start,
            Frame::Rows { .. } => None,
        });
        if let Some(longest) = ranges.max().filter(|longest| *longest > ttl) {
            let what = format!(
                "`state_ttl` is shorter than a frame of {}, which would miss rows of a key that was forgotten",
                span_words(longest)
            );
            return Err(said_at(what, "raise `state_ttl`, or make the frame shorter", AT));
        }
        spec.forget = Some(ttl);
        Ok(())
    }
}

fn call(e: &Expr) -> Result<&WindowFunction> {
    match unalias(e) {
        Expr::WindowFunction(f) => Ok(f),
        other => plan_err!("`{}` is not computed over rows", show(other)),
    }
}

/// The columns that an analysis reads: those that pass, and then what is computed before.
struct Row<'a, 'b> {
    lower: &'a Lower<'b>,
    names: &'a DFSchema,
    input: SchemaRef,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<Field>,
    texts: Vec<String>,
    shown: Vec<String>,
}

impl<'a, 'b> Row<'a, 'b> {
    fn new(lower: &'a Lower<'b>, names: &'a DFSchema, input: SchemaRef) -> Self {
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

    fn common(&mut self, common: &Common<'_>, lag: i64) -> Result<Analysis> {
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
    fn call(
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
    fn finish(self, chains: &mut [Chain]) -> Result<SchemaRef> {
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
fn frame(of: &WindowFrame) -> Result<Frame> {
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

/// A call for people.
fn shown(f: &WindowFunction) -> String {
    let WindowFunctionParams { args, window_frame, filter, null_treatment, distinct, .. } =
        &f.params;
    let mut inner = args.iter().map(show).collect::<Vec<_>>().join(", ");
    if (f.fun.name(), inner.as_str()) == ("count", "1") {
        "*".clone_into(&mut inner);
    }
    let distinct = if *distinct { "DISTINCT " } else { "" };
    let filter = filter.as_ref().map(|e| format!(" FILTER (WHERE {})", show(e)));
    let nulls =
        if *null_treatment == Some(NullTreatment::IgnoreNulls) { " IGNORE NULLS" } else { "" };
    let text = format!("{}({distinct}{inner}){}{nulls}", f.fun.name(), filter.unwrap_or_default());
    if matches!(f.fun.name(), "row_number" | "rank" | "dense_rank" | "lag") {
        return text;
    }
    match frame(window_frame) {
        Ok(frame) => format!("{text} over {}", frame_words(frame)),
        Err(_) => text,
    }
}

/// A frame for people.
fn frame_words(frame: Frame) -> String {
    let rows = |n: u64| if n == 0 { "CURRENT ROW".to_owned() } else { format!("{n} PRECEDING") };
    let time = |n: i64| match n {
        0 => "CURRENT ROW".to_owned(),
        n => format!("{} PRECEDING", span_words(n)),
    };
    let (unit, start, end) = match frame {
        Frame::Rows { start, end } => ("ROWS", start.map(rows), rows(end)),
        Frame::Range { start, end } => ("RANGE", start.map(time), time(end)),
    };
    let start = start.unwrap_or_else(|| "UNBOUNDED PRECEDING".to_owned());
    match end.as_str() {
        "CURRENT ROW" => format!("{unit} {start}"),
        end => format!("{unit} BETWEEN {start} AND {end}"),
    }
}

/// What it does and keeps, for people.
fn explain(spec: &Analysis, common: &Common<'_>, calls: &[&WindowFunction]) -> Vec<String> {
    let order = common
        .order
        .iter()
        .map(|sort| format!("{}{}", show(&sort.expr), if sort.asc { "" } else { " DESC" }));
    let order = order.collect::<Vec<_>>().join(", ");
    let keys = common.partition.iter().map(show).collect::<Vec<_>>().join(", ");
    let first = match keys.is_empty() {
        true => format!("in the order of {order}"),
        false => format!("by {keys}, in the order of {order}"),
    };
    let compute = calls.iter().map(|f| shown(f)).collect::<Vec<_>>().join(", ");
    let (time, rows) = spec.reach();
    let kept = match (spec.forget, spec.keys.is_empty()) {
        (Some(0), _) => String::new(),
        (Some(_), _) if rows == Some(0) => {
            format!(", and remember {} of each key", span_words(time.unwrap_or(0)))
        }
        (Some(ttl), _) => {
            format!(
                ", and a state for each key until it was silent for {} (`state_ttl`)",
                span_words(ttl)
            )
        }
        (None, true) => ", and a state for ever".to_owned(),
        (None, false) if spec.dies.is_some() => {
            ", and a state for each key until event time has passed it".to_owned()
        }
        (None, false) => {
            ", and a state for each key for ever (`state_ttl` would bound it)".to_owned()
        }
    };
    let kept = if spec.keys.is_empty() { kept.replace(" of each key", "") } else { kept };
    let bytes = millstream_core::fields::Bytes(spec.state_bytes);
    vec![
        first,
        format!("compute {compute}"),
        format!(
            "keep rows until event time has passed them{kept}, {bytes} at most (`state_bytes`)"
        ),
    ]
}

/// What the state means: it changes with all that the state is made of, and with nothing else.
fn meaning(spec: &Analysis, texts: &[String]) -> Result<String> {
    let mut text = format!(
        "time {} lag {} keys {:?} order {:?} dies {:?} forget {:?}\n",
        spec.time,
        spec.lag,
        spec.keys.iter().map(|(at, field)| (at, field.data_type())).collect::<Vec<_>>(),
        spec.orders,
        spec.dies,
        spec.forget
    );
    for frame in &spec.frames {
        text.push_str(&format!("frame {frame:?}\n"));
    }
    for call in texts {
        text.push_str(&format!("{call}\n"));
    }
    Ok(text)
}
