//! `OVER` in a plan, as the analysis that is run.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, plan_err};
use datafusion_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion_expr::{Expr, LogicalPlan, Window};
use datafusion_sql::sqlparser::keywords::Keyword;

use super::call::fails;
use super::row::Row;
use super::spec::{Analysis, Frame};
use super::words;
use crate::chain::{Chain, Feed, To};
use crate::complain::said_at;
use crate::explain::show;
use crate::grown::{Grown, Spec};
use crate::lower::Lower;
use crate::step::Step;
use crate::windowed::{Facts, span_words, unalias};

/// Where it stands in a text.
pub(super) const AT: &[Keyword] = &[Keyword::OVER];

/// What all calls have in common.
pub(super) struct Common<'a> {
    pub partition: &'a [Expr],
    pub order: &'a [Sort],
    pub facts: Facts,
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
        let (scan, last, steps) = comes_out(&mut spec, &physical, window);
        let number = self.grown.len();
        for chain in &mut chains {
            chain.to = Some(To { node: number, input: 0 });
        }
        self.closed.append(&mut chains);
        let explain = words::explain(&spec, &common, &calls);
        let state = words::meaning(&spec, &texts);
        let fields = window.schema.fields().iter().skip(spec.passing);
        let names = fields.zip(&calls).map(|(f, call)| (f.name().clone(), words::call(call)));
        let mut names = names.filter(|(name, shown)| name != shown).collect::<Vec<_>>();
        // A name may be in another.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        self.grown.push(Grown { spec: Spec::Over(spec), explain, state, names });
        let from = Feed::Node(number);
        Ok(vec![Chain { from, scan, steps, schema: last, explain: vec![], to: None }])
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
                let best = match name {
                    "row_number" | "rank" | "dense_rank" => {
                        "; or, for the best of each key, `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n FROM …) WHERE n <= 10`"
                    }
                    _ => "",
                };
                let sort = show(&sort.expr);
                let what = format!(
                    "`OVER` is in the order of `{sort}`, which is not event time: rows that belong before a row could come at any time"
                );
                (what, self.begin_with(&window.input) + best)
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

/// What comes out of an analysis, and what happens to that before anybody else sees it.
fn comes_out(
    spec: &mut Analysis,
    input: &Schema,
    window: &Window,
) -> (SchemaRef, SchemaRef, Vec<Step>) {
    let results = window.schema.fields().iter().skip(spec.passing);
    let fields = input.fields().iter().chain(results).map(|f| f.as_ref().clone());
    let fields = fields.collect::<Vec<_>>();
    let last: SchemaRef = Arc::new(Schema::new(fields.clone()));
    spec.fails = spec.calls.iter().any(|c| fails(&c.what, &c.kind));
    if !spec.fails {
        spec.schema = last.clone();
        return (last.clone(), last, vec![]);
    }
    let why = Field::new("why", DataType::Utf8, true);
    spec.schema = Arc::new(Schema::new(fields.into_iter().chain([why]).collect::<Vec<_>>()));
    (spec.schema.clone(), last.clone(), vec![Step::Refuse { schema: last }])
}

fn call(e: &Expr) -> Result<&WindowFunction> {
    match unalias(e) {
        Expr::WindowFunction(f) => Ok(f),
        other => plan_err!("`{}` is not computed over rows", show(other)),
    }
}
