//! `GROUP BY` over a window, as the aggregation that is kept for each window and key.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::{Aggregate, Expr, lit};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_sql::sqlparser::keywords::Keyword;

use super::between::{Between, Says, between, over_window};
use super::known::{Facts, unalias};
use super::made::{Comes, Made};
use super::role::{Cut, Edge, Side};
use crate::chain::{Chain, Feed, To};
use crate::complain::said_at;
use crate::explain::show;
use crate::grown::{Grown, Spec};
use crate::lower::Lower;
use crate::running::is_running;
use crate::step::Step;
use crate::window::{Aggregation, Window};

/// Where grouping stands in a text.
const AT: &[Keyword] = &[Keyword::GROUP, Keyword::DISTINCT];

impl Lower<'_> {
    /// The rows of a `GROUP BY`, as they come when windows are complete.
    pub(crate) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Vec<Chain>> {
        let mut facts = self.known.facts(&aggregate.input)?;
        facts.take_moment(&Facts::places(&aggregate.group_expr, aggregate.input.schema()));
        if is_running(aggregate, &facts) {
            return self.running(aggregate, None);
        }
        let (edge, again) = self.edge(aggregate, &facts)?;
        let cut = edge.of.clone();
        let session = !again && matches!(cut.window, Window::Session { .. });
        let between = if again {
            facts.take_windows_again(&cut);
            again_between(aggregate, &facts, &edge)
        } else {
            between(self.known, aggregate, session)?
        };
        let in_place = match (&between.computes, cut.window) {
            _ if again => true,
            (None, _) => false,
            (Some(_), Window::Tumble { .. }) => true,
            (Some(e), _) => return Err(too_early(e)),
        };
        if session {
            self.keyed_by_session(aggregate, &facts, &cut)?;
            self.stays_in_memory()?;
        }
        let before = std::mem::replace(&mut self.grouped, !in_place);
        let window = if again { cut.window.again() } else { cut.window };
        let chains = self.plan(&aggregate.input);
        self.grouped = before;
        let mut chains = chains?;
        self.answers_are_recorded(&chains, &facts)?;

        let mut made = self.made(aggregate, &facts, &chains, in_place)?;
        let time = self.time(&edge, aggregate, &facts, in_place)?;
        let time = made.compute(time, &mut chains)?;
        let number = self.grown.len();
        for chain in &mut chains {
            chain.to = Some(To { node: number, input: 0 });
        }
        self.closed.append(&mut chains);
        let conditions: &[Expr] = if in_place { &[] } else { &between.conditions };
        let after = self.after(aggregate, &made, conditions)?;
        let spec = Aggregation {
            window,
            input: made.input.clone(),
            time,
            lag: cut.lag,
            keys: made.keys(),
            aggregates: made.aggregates(),
            columns: after.columns,
            schema: after.schema.clone(),
            allowed_lateness: self.known.lateness,
            state_bytes: self.windows.state_bytes,
            whole_from: i64::MIN,
            threads: self.windows.threads,
            spill: self.windows.spill.clone(),
        };
        let (explain, state) = (made.explain(&spec, &between.times), made.state(&spec)?);
        self.grown.push(Grown { spec: Spec::Window(spec), explain, state, names: made.names() });
        Ok(vec![Chain {
            from: Feed::Node(number),
            scan: after.schema,
            steps: after.steps,
            schema: after.last,
            explain: after.explain,
            to: None,
        }])
    }

    /// What the columns of a `GROUP BY` are made of.
    pub(crate) fn made(
        &self,
        aggregate: &Aggregate,
        facts: &Facts,
        chains: &[Chain],
        in_place: bool,
    ) -> Result<Made> {
        let schema = aggregate.input.schema();
        let physical =
            chains.first().map_or_else(|| Arc::new(Schema::empty()), |c| c.schema.clone());
        let mut made = Made::new(physical);
        for (e, field) in aggregate.group_expr.iter().zip(aggregate.schema.fields()) {
            match (facts.side(e, schema), facts.says(e, schema)) {
                (Some(side), _) if side.is_time() => made.comes.push(Comes::Window(side)),
                (_, Says::All) if !in_place => {
                    made.add_computed(
                        over_window(e, facts, schema)?,
                        field.name(),
                        show(unalias(e)),
                    );
                }
                _ => {
                    let e = unalias(e);
                    made.add_key(self.expr(e, schema)?, field.name(), show(e))?;
                }
            }
        }
        let fields = aggregate.schema.fields().iter().skip(aggregate.group_expr.len());
        for (e, field) in aggregate.aggr_expr.iter().zip(fields) {
            made.add_aggregate(unalias(e), field.name(), &|e| self.expr(e, schema))?;
        }
        made.sort_aggregates();
        Ok(made)
    }

    /// The column of a window by which rows are grouped, and whether they came out of that window already.
    fn edge(&self, aggregate: &Aggregate, facts: &Facts) -> Result<(Edge, bool)> {
        let schema = aggregate.input.schema();
        let groups = || aggregate.group_expr.iter().filter_map(|e| facts.role(e, schema));
        let of = |edge: Option<&Edge>| edge.filter(|e| e.side.is_time()).cloned();
        let edges = groups().filter_map(|r| of(r.edge.as_ref())).collect::<Vec<_>>();
        let again = edges.is_empty();
        let past = || groups().filter_map(|r| of(r.past.as_ref())).collect::<Vec<_>>();
        let edges = if again { past() } else { edges };
        let Some(first) = edges.first() else {
            return plan_err!("rows are grouped by no window");
        };
        if edges.iter().any(|e| e.of != first.of) {
            let what = "`GROUP BY` goes by two windows at once";
            return Err(said_at(what, "group by one, and by the other in an outer `SELECT`", AT));
        }
        let ends = |e: &&Edge| matches!(e.side, Side::End | Side::Time);
        let named = edges.iter().find(ends).or_else(|| edges.iter().find(|e| e.names_window()));
        match named {
            Some(edge) if again && edge.side == Side::Start => {
                let what = "windows that rows came out of are told by their end";
                Err(said_at(what, "add `window_end` to `GROUP BY`, and to the columns below", AT))
            }
            Some(edge) => Ok((edge.clone(), again)),
            None => {
                let what = "windows of `CUMULATE` begin together, so that `window_start` alone does not tell them apart";
                Err(said_at(what, "add `window_end` to `GROUP BY`", AT))
            }
        }
    }

    fn keyed_by_session(&self, aggregate: &Aggregate, facts: &Facts, cut: &Cut) -> Result<()> {
        let schema = aggregate.input.schema();
        let mut left = (0..cut.keys.len()).collect::<Vec<_>>();
        let mut others = vec![];
        for e in &aggregate.group_expr {
            match (facts.side(e, schema), facts.says(e, schema)) {
                (Some(Side::Key(i)), _) => left.retain(|k| *k != i),
                (_, Says::Nothing) => others.push(show(e)),
                _ => {}
            }
        }
        let keys = cut.keys.iter().map(|k| format!(", {k}")).collect::<String>();
        let fix = format!("write `GROUP BY window_start, window_end{keys}`");
        if let Some(other) = others.first() {
            let what = format!(
                "sessions are not kept for each `{other}`, so rows cannot be grouped by it"
            );
            let fix = format!("{fix}, or add `{other}` to the arguments of `SESSION`");
            return Err(said_at(what, &fix, AT));
        }
        if let Some(key) = left.first().and_then(|k| cut.keys.get(*k)) {
            let what =
                format!("sessions are kept for each `{key}`, which is missing in `GROUP BY`");
            return Err(said_at(what, &fix, AT));
        }
        if self.known.lateness > 0 {
            let what = "a late row changes when its session begins or ends, so that the row given anew would not take the place of the one before";
            let fix = "leave out `allowed_lateness`, or give the source a longer `delay`";
            return Err(said_at(what, fix, AT));
        }
        Ok(())
    }

    /// Refuses to spill sessions.
    fn stays_in_memory(&self) -> Result<()> {
        if self.windows.spill.is_none() {
            return Ok(());
        }
        let what = "sessions cannot be spilled to disk: whether a row is late for its session depends on all rows of its key, so that no row could wait until its key is read back";
        let fix =
            "leave out `at_bound: spill`, and give `state_bytes` the room that open sessions need";
        Err(said_at(what, fix, AT))
    }

    /// Refuses answers that may be others when rows are made again: state is made of them.
    pub(crate) fn answers_are_recorded(&self, chains: &[Chain], facts: &Facts) -> Result<()> {
        let steps = chains.iter().flat_map(|c| &c.steps);
        let live = steps.filter_map(|s| match s {
            Step::Lookup(lookup) if !lookup.is_recorded() => Some(lookup.table.clone()),
            _ => None,
        });
        let Some(table) = live.into_iter().next().or_else(|| facts.live.clone()) else {
            return Ok(());
        };
        let what = format!(
            "the answers of `{table}` are not recorded, so its state could not be made again of the same rows"
        );
        let fix = format!(
            "have the lookup `{table}` record its answers, or join it to the rows that windows give"
        );
        Err(said_at(what, &fix, &[Keyword::JOIN, Keyword::FROM]))
    }

    /// A row's event time, as it stands where rows are grouped.
    fn time(
        &self,
        edge: &Edge,
        aggregate: &Aggregate,
        facts: &Facts,
        in_place: bool,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let schema = aggregate.input.schema();
        let is = |e: &&Expr| facts.side(e, schema) == Some(edge.side);
        let Some(column) = aggregate.group_expr.iter().find(is).map(unalias) else {
            return plan_err!("a window has no time");
        };
        if in_place && edge.side == Side::End {
            // A window's end is not in it.
            let micro = ScalarValue::new_interval_mdn(0, 0, 1_000);
            return self.expr(&(column.clone() - lit(micro)), schema);
        }
        self.expr(column, schema)
    }
}

/// What lies between windows that rows came out of and their groups: nothing.
fn again_between(aggregate: &Aggregate, facts: &Facts, edge: &Edge) -> Between {
    let Window::Again { .. } = edge.of.window else { return Between::of_past(edge) };
    // A moment of event time, by the name that it has here.
    let is = |e: &&Expr| facts.side(e, aggregate.input.schema()).is_some();
    let moment = aggregate.group_expr.iter().find(is);
    Between { times: moment.map(|e| show(unalias(e))).into_iter().collect(), ..Between::default() }
}

fn too_early(e: &str) -> DataFusionError {
    said_at(
        format!(
            "`{e}` is computed of the window's columns before rows are grouped, which only `TUMBLE` can do: a row is in several windows"
        ),
        "group by `window_start` and `window_end` as they are, and compute it of the result: in the `SELECT` list, in `HAVING`, or in an outer `SELECT`",
        AT,
    )
}
