//! The first rows of each partition, in a plan.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{DFSchemaRef, Result, plan_err};
use datafusion_expr::expr::{Sort, WindowFunctionParams};
use datafusion_expr::{
    Expr, LogicalPlan, UserDefinedLogicalNodeCore, Window, WindowFunctionDefinition,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::operator::{Anew, Updates};

use crate::complain::said_at;
use crate::explain::show;
use crate::window;
use crate::windowed::{Cut, Facts, NUMBER, Role, Side, given_anew, unalias};

/// Where the call stands in a text.
const AT: &[Keyword] = &[Keyword::OVER, Keyword::QUALIFY];
/// More places than this are not kept.
const COUNT_MAX: u64 = 100_000;

/// When partitions are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Which column of `PARTITION BY` tells.
    pub by: usize,
    /// It is so once the watermark has come so far past it.
    pub after: i64,
    /// What belongs to it began so long before.
    pub back: i64,
}

/// The first rows of each partition, each with its number behind its columns. It is put into a plan that is made otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RankNode {
    pub input: Arc<LogicalPlan>,
    pub partition: Vec<Expr>,
    pub order: Vec<Sort>,
    /// So many.
    pub count: u64,
    pub schema: DFSchemaRef,
}

impl RankNode {
    /// The first rows that a numbering gives, if it is one.
    pub(super) fn of(window: &Window, count: u64) -> Option<Self> {
        let [call] = window.window_expr.as_slice() else { return None };
        let Expr::WindowFunction(call) = unalias(call) else { return None };
        let WindowFunctionDefinition::WindowUDF(f) = &call.fun else { return None };
        if f.name() != "row_number" {
            return None;
        }
        let WindowFunctionParams { partition_by, order_by, .. } = &call.params;
        Some(Self {
            input: window.input.clone(),
            partition: partition_by.clone(),
            order: order_by.clone(),
            count,
            schema: window.schema.clone(),
        })
    }

    /// When partitions are complete, if they ever are.
    pub(crate) fn closing(&self, facts: &Facts) -> Option<Closing> {
        let schema = self.input.schema();
        let all = self.partition.iter().enumerate();
        let all = all.filter_map(|(by, e)| closing(by, facts.role(e, schema)?));
        // The end of a window, where there is one, says it best.
        all.min_by_key(|(order, _)| *order).map(|(_, closing)| closing)
    }

    /// Whether it only asks for the first by event time, which is known once that has come so far.
    pub(super) fn keeps_first(&self, facts: &Facts) -> bool {
        let first = self.order.first().filter(|o| o.asc);
        let role = first.and_then(|o| facts.role(&o.expr, self.input.schema()));
        role.is_some_and(|r| r.lag.is_some()) && self.closing(facts).is_none()
    }

    /// What is known of its columns.
    pub(crate) fn facts(&self, facts: Facts) -> Result<Facts> {
        if facts.updates.is_some() {
            let why = "who was in its place before would have to be found";
            return Err(given_anew("`ROW_NUMBER`", why, AT));
        }
        if self.count > COUNT_MAX {
            let what = format!("{} places of each partition are asked for", self.count);
            return Err(said_at(what, &format!("ask for {COUNT_MAX} at most"), AT));
        }
        if self.closing(&facts).is_some() {
            let keys = self.columns();
            let behind = |(i, role): (usize, Role)| {
                let past = role.edge.filter(|e| e.side.is_time()).or(role.past);
                let lag = role.lag.filter(|_| past.is_some() || keys.contains(&Some(i)));
                Role { lag, edge: None, past, key: None }
            };
            let mut roles: Vec<_> = facts.roles.into_iter().enumerate().map(behind).collect();
            roles.push(Role::default());
            return Ok(Facts { roles, updates: None, live: facts.live });
        }
        let mut roles = vec![Role::default(); facts.roles.len() + 1];
        let mut by = vec![];
        for (e, column) in self.partition.iter().zip(self.columns()) {
            let Some(role) = column.and_then(|c| roles.get_mut(c)) else {
                let e = show(e);
                let what = format!("`{e}` names a place beside its number, and is no column");
                let fix = format!(
                    "compute it in an inner `SELECT`, `{e} AS key`, and write `PARTITION BY key`"
                );
                return Err(said_at(what, &fix, AT));
            };
            role.key.get_or_insert(by.len());
            by.push(show(unalias(e)));
        }
        if self.count > 1 || by.is_empty() {
            if let Some(number) = roles.last_mut() {
                number.key = Some(by.len());
            }
            by.push(NUMBER.to_owned());
        }
        Ok(Facts { roles, updates: Some(Updates { by, why: Anew::Ranked }), live: facts.live })
    }

    /// The places of the columns of `PARTITION BY`.
    fn columns(&self) -> Vec<Option<usize>> {
        let place = |e: &Expr| match unalias(e) {
            Expr::Column(c) => self.input.schema().maybe_index_of_column(c),
            _ => None,
        };
        self.partition.iter().map(place).collect()
    }
}

fn closing(by: usize, role: &Role) -> Option<(u8, Closing)> {
    let lag = role.lag?;
    let edge = role.edge.as_ref().or(role.past.as_ref()).filter(|e| e.side.is_time());
    // What came out of windows is all there from some time on, whichever side of them tells.
    let back = |of: &Cut| match of.window {
        window::Window::Tumble { size, .. }
        | window::Window::Hop { size, .. }
        | window::Window::Cumulate { size, .. }
            if role.edge.is_some() =>
        {
            size
        }
        _ => 0,
    };
    Some(match edge.map(|e| (e.side, &e.of)) {
        Some((Side::End, of)) => (0, Closing { by, after: lag, back: back(of) }),
        Some((Side::Time, of)) => (1, Closing { by, after: lag.checked_add(1)?, back: back(of) }),
        Some((Side::Start, _)) => (2, Closing { by, after: lag, back: 0 }),
        Some((Side::Key(_), _)) | None => (3, Closing { by, after: lag.checked_add(1)?, back: 0 }),
    })
}

impl PartialOrd for RankNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for RankNode {
    fn name(&self) -> &'static str {
        "rank"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.partition.iter().chain(self.order.iter().map(|o| &o.expr)).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "rank: first {}", self.count)
    }

    fn with_exprs_and_inputs(
        &self,
        mut exprs: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let Some(input) = inputs.into_iter().next() else {
            return plan_err!("a rank has an input");
        };
        let orders = exprs.split_off(self.partition.len().min(exprs.len()));
        let order = self.order.iter().zip(orders).map(|(o, expr)| Sort { expr, ..o.clone() });
        let order = order.collect();
        Ok(Self { input: Arc::new(input), partition: exprs, order, ..self.clone() })
    }
}
