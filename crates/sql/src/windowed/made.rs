//! What the columns of a `GROUP BY` are made of.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, SortOptions, TimeUnit};
use datafusion_common::{Result, plan_err};
use datafusion_expr::expr::{AggregateFunctionParams, NullTreatment};
use datafusion_expr::{Aggregate, AggregateUDF, Expr, when};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column as At, Literal, PhysicalSortExpr};

use super::role::Side;
use super::{WINDOW_COLUMNS, span};
use crate::chain::Chain;
use crate::checked::constants;
use crate::explain::show;
use crate::sample::fails_always;
use crate::state::{typed, unnamed};
use crate::step::Step;
use crate::window::{self, Aggregation, Column, Window};

/// What a column of a `GROUP BY` is made of.
pub(crate) enum Comes {
    Window(Side),
    /// Of the window, once it is complete.
    Computed(Expr),
    Key(usize),
    Aggregate(usize),
}

/// All that an aggregation is made of.
pub(crate) struct Made {
    pub comes: Vec<Comes>,
    keys: Vec<Key>,
    aggregates: Vec<One>,
    /// What is computed of the window is called in the plan, and for people.
    computed: Vec<(String, String)>,
    /// The columns of the rows that come.
    pub input: SchemaRef,
}

struct Key {
    of: Arc<dyn PhysicalExpr>,
    field: FieldRef,
    shown: String,
}

/// An aggregate.
struct One {
    function: Function,
    args: Vec<Shown>,
    orders: Vec<(Shown, SortOptions)>,
    filter: Option<Shown>,
    shown: String,
    /// What it means, over the columns that come.
    text: String,
    expr: Arc<AggregateFunctionExpr>,
}

struct Function {
    of: Arc<AggregateUDF>,
    distinct: bool,
    ignore_nulls: bool,
    name: String,
}

/// An expression, and how it is written.
#[derive(Clone)]
struct Shown {
    of: Arc<dyn PhysicalExpr>,
    shown: String,
}

type Planner<'a> = &'a dyn Fn(&Expr) -> Result<Arc<dyn PhysicalExpr>>;

impl Made {
    pub(crate) fn new(input: SchemaRef) -> Self {
        Self { comes: vec![], keys: vec![], aggregates: vec![], computed: vec![], input }
    }

    pub(crate) fn add_key(
        &mut self,
        of: Arc<dyn PhysicalExpr>,
        name: &str,
        shown: String,
    ) -> Result<()> {
        fails_always(&of, &self.input)?;
        let (kind, nullable) = (of.data_type(&self.input)?, of.nullable(&self.input)?);
        let marks = of.return_field(&self.input)?.metadata().clone();
        let field = Arc::new(Field::new(name, kind, nullable).with_metadata(marks));
        self.comes.push(Comes::Key(self.keys.len()));
        self.keys.push(Key { of, field, shown });
        Ok(())
    }

    pub(crate) fn add_computed(&mut self, of: Expr, name: &str, shown: String) {
        self.comes.push(Comes::Computed(of));
        self.computed.push((name.to_owned(), shown));
    }

    pub(crate) fn add_aggregate(&mut self, e: &Expr, name: &str, plan: Planner<'_>) -> Result<()> {
        let Expr::AggregateFunction(call) = e else {
            return plan_err!("`{}` is no aggregate", show(e));
        };
        let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } =
            &call.params;
        let shown = |e: &Expr| -> Result<Shown> {
            let of = plan(e)?;
            fails_always(&of, &self.input)?;
            Ok(Shown { of, shown: show(e) })
        };
        let args = args.iter().map(|e| match (filter, e) {
            (None, e) | (_, e @ (Expr::Column(_) | Expr::Literal(..))) => shown(e),
            // Of rows that are left out nothing is computed, which could fail.
            (Some(filter), e) => {
                let of = shown(&when(filter.as_ref().clone(), e.clone()).end()?)?.of;
                Ok(Shown { of, shown: show(e) })
            }
        });
        let args = args.collect::<Result<Vec<_>>>()?;
        let filter = filter.as_ref().map(|e| shown(e)).transpose()?;
        let orders = order_by.iter().map(|o| {
            let options = SortOptions { descending: !o.asc, nulls_first: o.nulls_first };
            Ok((shown(&o.expr)?, options))
        });
        let orders = orders.collect::<Result<Vec<_>>>()?;
        let ignore_nulls = *null_treatment == Some(NullTreatment::IgnoreNulls);
        let name = name.to_owned();
        let (function, distinct) = (call.func.clone(), *distinct);
        let function = Function { of: function, distinct, ignore_nulls, name };
        let expr = function.over(&args, &orders, &self.input)?;
        let text = meaning(&function, &args, &orders, filter.as_ref(), &expr, &self.input)?;
        let shown = show(e);
        self.comes.push(Comes::Aggregate(self.aggregates.len()));
        self.aggregates.push(One { function, args, orders, filter, shown, text, expr });
        Ok(())
    }

    /// Puts aggregates in an order of their own, so that the order in which they are asked for does not matter to state.
    pub(crate) fn sort_aggregates(&mut self) {
        let mut order = (0..self.aggregates.len()).collect::<Vec<_>>();
        order.sort_by_key(|i| self.aggregates.get(*i).map(|a| a.text.clone()));
        for comes in &mut self.comes {
            if let Comes::Aggregate(i) = comes {
                *i = order.iter().position(|o| o == i).unwrap_or_default();
            }
        }
        self.aggregates.sort_by(|a, b| a.text.cmp(&b.text));
    }

    /// Has everything that is not a column computed before rows come to the aggregation, where a row that fails is set
    /// aside alone. `time` is the event time, before and after.
    pub(crate) fn compute(
        &mut self,
        time: Arc<dyn PhysicalExpr>,
        chains: &mut [Chain],
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let aggregates = self.aggregates.iter().flat_map(One::all);
        let mut all = self.keys.iter().map(|k| &k.of).chain(aggregates);
        if stays(&time) && all.all(stays) {
            return Ok(time);
        }
        drop(all);
        let mut row =
            Row { input: self.input.clone(), exprs: vec![], fields: vec![], texts: vec![] };
        for key in &mut self.keys {
            key.of = row.column(&key.of, &key.shown)?;
        }
        let time = row.column(&time, "event time")?;
        for one in &mut self.aggregates {
            let all = one.args.iter_mut().chain(one.orders.iter_mut().map(|(o, _)| o));
            for e in all.chain(&mut one.filter) {
                e.of = row.column(&e.of, &e.shown)?;
            }
        }
        let schema: SchemaRef = Arc::new(Schema::new(row.fields));
        for one in &mut self.aggregates {
            one.expr = one.function.over(&one.args, &one.orders, &schema)?;
        }
        let sums = row.exprs.iter().map(constants).collect::<Result<Vec<_>>>()?;
        let constants = sums.into_iter().sum();
        let names = schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>();
        let line = format!("compute {}", names.join(", "));
        for chain in chains {
            let (exprs, schema) = (row.exprs.clone(), schema.clone());
            chain.steps.push(Step::Project { exprs, constants, schema: schema.clone() });
            chain.schema = schema;
            chain.explain.push(line.clone());
        }
        self.input = schema;
        Ok(time)
    }

    pub(crate) fn keys(&self) -> Vec<(Arc<dyn PhysicalExpr>, FieldRef)> {
        self.keys.iter().map(|k| (k.of.clone(), k.field.clone())).collect()
    }

    pub(crate) fn aggregates(&self) -> Vec<window::Aggregate> {
        let one = |a: &One| window::Aggregate {
            expr: a.expr.clone(),
            filter: a.filter.as_ref().map(|f| f.of.clone()),
        };
        self.aggregates.iter().map(one).collect()
    }

    /// What aggregates are called in the plan, and for people.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let keys = self.keys.iter().map(|k| (k.field.name().clone(), k.shown.clone()));
        let all = self.aggregates.iter().map(|a| (a.function.name.clone(), a.shown.clone()));
        let all = keys.chain(self.computed.iter().cloned()).chain(all);
        let mut all = all.filter(|(name, shown)| name != shown).collect::<Vec<_>>();
        // A name may be in another.
        all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        all
    }

    /// The type of the moments of a window.
    pub(crate) fn moment(&self, aggregate: &Aggregate) -> DataType {
        let fields = self.comes.iter().zip(aggregate.schema.fields());
        let mut windows = fields.filter(|(comes, _)| matches!(comes, Comes::Window(_)));
        let of = windows.next().map(|(_, field)| field.data_type().clone());
        of.unwrap_or(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
    }

    /// A column that comes out, and what it is like.
    pub(crate) fn column(&self, comes: &Comes, moment: &DataType) -> (Column, Field) {
        let time = Field::new("", moment.clone(), false);
        match comes {
            Comes::Window(Side::Start | Side::Key(_)) | Comes::Computed(_) => {
                (Column::WindowStart, time)
            }
            Comes::Window(Side::End) => (Column::WindowEnd, time),
            Comes::Window(Side::Time) => (Column::WindowTime, time),
            Comes::Key(i) => {
                let field = self.keys.get(*i).map_or(time, |k| k.field.as_ref().clone());
                (Column::Key(*i), field)
            }
            Comes::Aggregate(i) => {
                let field = self.aggregates.get(*i).map(|a| a.expr.field());
                (Column::Aggregate(*i), field.map_or(time, |f| f.as_ref().clone()))
            }
        }
    }

    /// What the aggregation does and keeps, for people.
    pub(crate) fn explain(&self, spec: &Aggregation, times: &[String]) -> Vec<String> {
        let mut times = times.to_vec();
        times.dedup();
        let moment = times.first().filter(|t| !WINDOW_COLUMNS.contains(&t.as_str()));
        let mut first = match spec.window {
            Window::Again { .. } if moment.is_some() => {
                format!("each moment of {}", times.join(", "))
            }
            again @ Window::Again { .. } => span::words(again),
            window => format!("{} of {}", span::words(window), times.join(", ")),
        };
        let keys = self.keys.iter().map(|k| k.shown.as_str()).collect::<Vec<_>>();
        if !keys.is_empty() {
            first.push_str(&format!(", by {}", keys.join(", ")));
        }
        let mut lines = vec![first];
        if !self.aggregates.is_empty() {
            let all = self.aggregates.iter().map(|a| a.shown.as_str()).collect::<Vec<_>>();
            lines.push(format!("compute {}", all.join(", ")));
        }
        let group = match (spec.window, keys.is_empty()) {
            (Window::Session { .. }, true) => "session",
            (Window::Session { .. }, false) => "session and key",
            (_, true) => "window",
            (_, false) => "window and key",
        };
        let late = match spec.allowed_lateness {
            0 => String::new(),
            late => format!(" and {} of `allowed_lateness` more", span::show(late)),
        };
        let bytes = millstream_core::fields::Bytes(spec.state_bytes);
        let bound = if spec.spills() {
            format!("{bytes} at most in memory (`state_bytes`), more on disk (`at_bound: spill`)")
        } else {
            format!("{bytes} at most (`state_bytes`)")
        };
        lines.push(format!(
            "keep a state for each {group} until event time has passed the window's end{late}, {bound}"
        ));
        let all = self.aggregates.iter().filter(|a| a.keeps_all()).map(|a| a.shown.as_str());
        let all = all.collect::<Vec<_>>();
        if !all.is_empty() {
            lines.push(format!("keep every value for {}", all.join(", ")));
        }
        lines
    }

    /// What the state means: it changes with all that the state is made of, and with nothing else.
    pub(crate) fn state(&self, spec: &Aggregation) -> Result<String> {
        let mut text =
            format!("{:?} lag {} lateness {}\n", spec.window, spec.lag, spec.allowed_lateness);
        text.push_str(&self.keys_meaning()?);
        text.push_str(&format!("time {}\n", unnamed(&spec.time)?));
        text.push_str(&self.aggregates_meaning());
        Ok(text)
    }

    /// What keys and aggregates mean.
    pub(crate) fn meaning(&self) -> Result<String> {
        Ok(self.keys_meaning()? + &self.aggregates_meaning())
    }

    fn keys_meaning(&self) -> Result<String> {
        let keys = self
            .keys
            .iter()
            .map(|key| Ok(format!("key {} is {}\n", unnamed(&key.of)?, key.field.data_type())));
        keys.collect()
    }

    fn aggregates_meaning(&self) -> String {
        self.aggregates.iter().map(|a| format!("{}\n", a.text)).collect()
    }

    /// What rows are grouped by, for people.
    pub(crate) fn key_words(&self) -> Vec<&str> {
        self.keys.iter().map(|k| k.shown.as_str()).collect()
    }

    /// What is computed, for people.
    pub(crate) fn aggregate_words(&self) -> Vec<&str> {
        self.aggregates.iter().map(|a| a.shown.as_str()).collect()
    }

    /// Aggregates whose state grows with every value, for people.
    pub(crate) fn kept_words(&self) -> Vec<&str> {
        let all = self.aggregates.iter().filter(|a| a.keeps_all());
        all.map(|a| a.shown.as_str()).collect()
    }
}

impl One {
    fn all(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        let orders = self.orders.iter().map(|(o, _)| o);
        self.args.iter().chain(orders).chain(&self.filter).map(|e| &e.of)
    }

    /// Whether its state grows with every value, or with every other one.
    fn keeps_all(&self) -> bool {
        const ALL: [&str; 5] =
            ["array_agg", "string_agg", "median", "percentile_cont", "nth_value"];
        self.function.distinct || ALL.contains(&self.function.of.name())
    }
}

impl Function {
    fn over(
        &self,
        args: &[Shown],
        orders: &[(Shown, SortOptions)],
        schema: &SchemaRef,
    ) -> Result<Arc<AggregateFunctionExpr>> {
        let orders = orders
            .iter()
            .map(|(o, options)| PhysicalSortExpr { expr: o.of.clone(), options: *options });
        let args = args.iter().map(|a| a.of.clone()).collect();
        let expr = AggregateExprBuilder::new(self.of.clone(), args)
            .order_by(orders.collect())
            .schema(schema.clone())
            .alias(self.name.clone())
            .with_ignore_nulls(self.ignore_nulls)
            .with_distinct(self.distinct)
            .build()?;
        // What is wrong with its constants is told only when it starts.
        expr.create_accumulator()?;
        Ok(Arc::new(expr))
    }
}

fn meaning(
    function: &Function,
    args: &[Shown],
    orders: &[(Shown, SortOptions)],
    filter: Option<&Shown>,
    expr: &AggregateFunctionExpr,
    schema: &Schema,
) -> Result<String> {
    let args = args.iter().map(|a| typed(&a.of, schema)).collect::<Result<Vec<_>>>()?;
    let distinct = if function.distinct { "distinct " } else { "" };
    let mut text = format!("{}({distinct}{})", function.of.name(), args.join(", "));
    for (o, options) in orders {
        text.push_str(&format!(" order by {} {options:?}", typed(&o.of, schema)?));
    }
    if let Some(filter) = filter {
        text.push_str(&format!(" where {}", unnamed(&filter.of)?));
    }
    if function.ignore_nulls {
        text.push_str(" ignore nulls");
    }
    text.push_str(&format!(" is {}", expr.field().data_type()));
    Ok(text)
}

/// Whether nothing has to be computed for it. Constants are asked for as such by some functions.
fn stays(e: &Arc<dyn PhysicalExpr>) -> bool {
    e.downcast_ref::<At>().is_some() || e.downcast_ref::<Literal>().is_some()
}

/// The columns that an aggregation reads.
struct Row {
    input: SchemaRef,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<Field>,
    texts: Vec<String>,
}

impl Row {
    /// The column that has this, which is computed once.
    fn column(&mut self, e: &Arc<dyn PhysicalExpr>, shown: &str) -> Result<Arc<dyn PhysicalExpr>> {
        if e.downcast_ref::<Literal>().is_some() {
            return Ok(e.clone());
        }
        let text = typed(e, &self.input)?;
        let at = match self.texts.iter().position(|t| *t == text) {
            Some(at) => at,
            None => {
                let (kind, nullable) = (e.data_type(&self.input)?, e.nullable(&self.input)?);
                let marks = e.return_field(&self.input)?.metadata().clone();
                self.fields.push(Field::new(shown, kind, nullable).with_metadata(marks));
                self.exprs.push(e.clone());
                self.texts.push(text);
                self.texts.len() - 1
            }
        };
        Ok(Arc::new(At::new(shown, at)))
    }
}
