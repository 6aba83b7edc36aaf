//! What stands between a window and the `GROUP BY` over it.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DataFusionError, Result};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Aggregate, Expr, LogicalPlan};

use datafusion_sql::sqlparser::keywords::Keyword;

use super::known::{Facts, Known, unalias};
use super::role::{Cut, Edge, Side};
use super::{WINDOW_COLUMNS, WindowNode};
use crate::complain::said_at;
use crate::explain::show;
use crate::lookup::LookupNode;
use crate::reference::ReferenceNode;
use crate::window::Window;

/// What is done with rows that have windows before they are grouped by these.
#[derive(Debug, Default)]
pub(crate) struct Between {
    /// Something is computed of the window's columns, so that they have to be there.
    pub computes: Option<String>,
    /// Conditions on the window alone, over [`WINDOW_COLUMNS`]: they hold for all rows of a group or for none.
    pub conditions: Vec<Expr>,
    /// What the event time is called.
    pub times: Vec<String>,
}

impl Between {
    /// Nothing: rows came out of their windows long before.
    pub(crate) fn of_past(edge: &Edge) -> Self {
        let name = match edge.side {
            Side::Start | Side::Key(_) => WINDOW_COLUMNS[0],
            Side::End => WINDOW_COLUMNS[1],
            Side::Time => WINDOW_COLUMNS[2],
        };
        Self { times: vec![name.to_owned()], ..Self::default() }
    }
}

/// What an expression says of the window that its row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    /// It is made of the window's columns alone.
    All,
    Some,
}

impl Facts {
    /// Whether an expression is made of the window's columns alone.
    pub(crate) fn is_of_window(&self, e: &Expr, schema: &DFSchema) -> bool {
        self.says(e, schema) == Says::All
    }

    /// What an expression says of the window of its row.
    pub(crate) fn says(&self, e: &Expr, schema: &DFSchema) -> Says {
        let (mut window, mut other) = (false, false);
        for column in e.column_refs() {
            match self.side(&Expr::Column(column.clone()), schema) {
                Some(side) if side.is_time() => window = true,
                _ => other = true,
            }
        }
        match (window, other) {
            (false, _) => Says::Nothing,
            (true, false) => Says::All,
            (true, true) => Says::Some,
        }
    }

    /// Has the windows that rows came out of be those by which they are grouped.
    pub(crate) fn take_windows_again(&mut self, of: &Arc<Cut>) {
        for role in &mut self.roles {
            role.edge = role.past.take().filter(|past| past.of == *of);
            // Each session has a beginning of its own.
            if matches!(of.window, Window::Session { .. })
                && role.edge.as_ref().is_some_and(|e| e.side == Side::Start)
            {
                role.edge = None;
            }
        }
    }

    /// The column of a window that this is.
    pub(crate) fn side(&self, e: &Expr, schema: &DFSchema) -> Option<Side> {
        self.role(e, schema)?.edge.as_ref().map(|e| e.side)
    }
}

/// The expression over [`WINDOW_COLUMNS`] by their own names.
pub(crate) fn over_window(e: &Expr, facts: &Facts, schema: &DFSchema) -> Result<Expr> {
    let over = e.clone().transform_up(|e| {
        let name = match facts.side(&e, schema) {
            Some(Side::Start) => WINDOW_COLUMNS[0],
            Some(Side::End) => WINDOW_COLUMNS[1],
            Some(Side::Time) => WINDOW_COLUMNS[2],
            Some(Side::Key(_)) | None => return Ok(Transformed::no(e)),
        };
        Ok(Transformed::yes(Expr::Column(Column::from_name(name))))
    })?;
    Ok(over.data)
}

/// Looks from a `GROUP BY` down to the windows that it groups by.
pub(crate) fn between(known: &Known, aggregate: &Aggregate, session: bool) -> Result<Between> {
    let mut look = Look { known, session, union: false, found: Between::default() };
    look.plan(&aggregate.input)?;
    let facts = known.facts(&aggregate.input)?;
    let schema = aggregate.input.schema();
    for e in &aggregate.aggr_expr {
        if facts.says(e, schema) != Says::Nothing {
            look.found.computes.get_or_insert(show(e));
        }
    }
    for e in &aggregate.group_expr {
        if facts.says(e, schema) == Says::Some {
            look.found.computes.get_or_insert(show(e));
        }
    }
    Ok(look.found)
}

struct Look<'a> {
    known: &'a Known,
    session: bool,
    /// What is seen now is one of several branches.
    union: bool,
    found: Between,
}

impl Look<'_> {
    fn plan(&mut self, plan: &LogicalPlan) -> Result<()> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Union(union) => {
                let before = std::mem::replace(&mut self.union, true);
                union.inputs.iter().try_for_each(|input| self.plan(input))?;
                self.union = before;
                Ok(())
            }
            LogicalPlan::Projection(projection) => {
                let facts = self.known.facts(&projection.input)?;
                for e in projection.expr.iter().map(unalias) {
                    let column = matches!(e, Expr::Column(_));
                    if !column && facts.says(e, projection.input.schema()) != Says::Nothing {
                        self.found.computes.get_or_insert(show(e));
                    }
                }
                self.plan(&projection.input)
            }
            LogicalPlan::Filter(filter) => {
                self.condition(&filter.predicate, &filter.input)?;
                self.plan(&filter.input)
            }
            LogicalPlan::Unnest(unnest) => {
                if self.session {
                    return Err(before_session("`UNNEST`", &[Keyword::UNNEST]));
                }
                self.plan(&unnest.input)
            }
            LogicalPlan::Extension(e) => {
                if let Some(node) = e.node.as_any().downcast_ref::<WindowNode>() {
                    self.found.times.push(show(&node.time));
                    return Ok(());
                }
                if let Some(node) = e.node.as_any().downcast_ref::<ReferenceNode>() {
                    return self.reference(node);
                }
                let Some(node) = e.node.as_any().downcast_ref::<LookupNode>() else {
                    return Ok(());
                };
                let facts = self.known.facts(&node.input)?;
                if facts.says(&node.key, node.input.schema()) != Says::Nothing {
                    self.found.computes.get_or_insert(show(&node.key));
                }
                if self.session && node.inner {
                    self.leaves_out(&node.key, &facts, node.input.schema(), "`INNER JOIN`")?;
                }
                self.plan(&node.input)
            }
            _ => Ok(()),
        }
    }

    fn reference(&mut self, node: &ReferenceNode) -> Result<()> {
        let facts = self.known.facts(&node.input)?;
        let schema = node.input.schema();
        for by in node.by() {
            if facts.says(by, schema) != Says::Nothing {
                self.found.computes.get_or_insert(show(by));
            }
        }
        if self.session {
            return Err(before_session(
                "a join with a reference table",
                &[Keyword::JOIN, Keyword::WHERE],
            ));
        }
        self.plan(&node.input)
    }

    fn condition(&mut self, predicate: &Expr, input: &LogicalPlan) -> Result<()> {
        let facts = self.known.facts(input)?;
        let schema = input.schema();
        for part in split_conjunction(predicate) {
            match facts.says(part, schema) {
                Says::All if !self.union => {
                    self.found.conditions.push(over_window(part, &facts, schema)?);
                }
                Says::All | Says::Some => {
                    self.found.computes.get_or_insert(show(part));
                }
                Says::Nothing if self.session => {
                    let what = format!("the condition `{}`", show(part));
                    self.leaves_out(part, &facts, schema, &what)?;
                }
                Says::Nothing => {}
            }
        }
        Ok(())
    }

    /// Refuses to leave out rows that keep a session going, but for whole sessions.
    fn leaves_out(&self, by: &Expr, facts: &Facts, schema: &DFSchema, what: &str) -> Result<()> {
        let is_key = |c: &&Column| {
            matches!(facts.side(&Expr::Column((*c).clone()), schema), Some(Side::Key(_)))
        };
        if by.column_refs().iter().all(is_key) {
            return Ok(());
        }
        Err(before_session(what, &[Keyword::WHERE, Keyword::JOIN]))
    }
}

fn before_session(what: &str, at: &'static [Keyword]) -> DataFusionError {
    said_at(
        format!("{what} comes after `SESSION`, which goes by all rows of its table"),
        "put it before: `WITH some AS (SELECT … WHERE …) SELECT … FROM SESSION(some, …) GROUP BY …`; or, for aggregates only, write `FILTER (WHERE …)`",
        at,
    )
}
