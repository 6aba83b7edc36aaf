//! Which columns are event time, which are the edges of a window, and which name a row that may be given anew:
//! followed from the sources through a plan and through views.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion_common::{DFSchema, DataFusionError, Result};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, Extension, JoinType, LogicalPlan, Projection,
    TableScan, Union, Unnest, Window as OverWindow,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::operator::{Anew, Table, Updates};

use super::node::{WindowNode, are_cut_by};
use super::role::{Cut, Edge, Role, Side, is_same_number};
use crate::asof::AsOfNode;
use crate::complain::said_at;
use crate::explain::show;
use crate::lookup::LookupNode;
use crate::rank::RankNode;
use crate::reference::{ReferenceNode, is_of_reference};
use crate::running::{LastNode, is_running};
use crate::window::Window;

/// What is known of the columns that a plan gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub roles: Vec<Role>,
    /// A row may be given anew, in place of the one that has the same in these columns, and why. They go by their numbers.
    pub updates: Option<Updates>,
    /// A lookup that may answer otherwise when it is asked again was asked on the way.
    pub live: Option<String>,
}

/// What is known of a source or view.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableFacts {
    pub columns: BTreeMap<String, Role>,
    pub updates: Option<Updates>,
    pub live: Option<String>,
    /// It is a source, where an event time could be declared.
    pub is_source: bool,
    /// It is a reference table.
    pub is_reference: bool,
}

/// What is known of everything that a view can read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub tables: BTreeMap<String, TableFacts>,
    /// Lookups that may answer otherwise when they are asked again.
    pub live: BTreeSet<String>,
    /// For so long, in microseconds, a window of the view at hand takes rows that come late.
    pub lateness: i64,
    /// The `state_ttl` of the view at hand, in microseconds.
    pub ttl: Option<i64>,
}

impl Known {
    pub(crate) fn new(tables: &[Table]) -> Self {
        let mut known = Self::default();
        for table in tables {
            if table.lookup.as_ref().is_some_and(|l| !l.is_recorded()) {
                known.live.insert(table.name.clone());
            }
            let role = Role { lag: Some(0), ..Role::default() };
            let columns = table.event_time.iter().map(|name| (name.clone(), role.clone()));
            let facts = TableFacts {
                columns: columns.collect(),
                is_source: table.lookup.is_none() && table.reference.is_none(),
                is_reference: table.reference.is_some(),
                ..TableFacts::default()
            };
            known.tables.insert(table.name.clone(), facts);
        }
        known
    }

    /// Why windows give rows anew, if they do.
    fn anew(&self) -> Option<Anew> {
        (self.lateness > 0).then_some(Anew::Late)
    }

    /// What is known of a plan's columns. Refuses what cannot be when rows are given anew.
    pub(crate) fn facts(&self, plan: &LogicalPlan) -> Result<Facts> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.facts(&alias.input),
            LogicalPlan::Subquery(query) => self.facts(&query.subquery),
            LogicalPlan::Filter(filter) => {
                let facts = match filter.input.as_ref() {
                    // `FROM a, b WHERE …`, which no rule has made a join with conditions of yet.
                    LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
                        self.join(join, &split_conjunction(&filter.predicate))?
                    }
                    input => self.facts(input)?,
                };
                facts.may_leave_out(&filter.predicate, filter.input.schema())?;
                Ok(facts)
            }
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            // Not yet made one node.
            LogicalPlan::Join(join) if self.is_of_reference(&join.left) => {
                let right = self.facts(&join.right)?;
                let width = join.left.schema().fields().len();
                let mut roles = vec![Role::default(); width];
                roles.extend(right.roles);
                roles.truncate(join.schema.fields().len());
                Ok(Facts { roles, ..right })
            }
            LogicalPlan::Join(join) if self.is_of_reference(&join.right) => {
                let mut facts = self.facts(&join.left)?;
                facts.roles.resize(join.schema.fields().len(), Role::default());
                Ok(facts)
            }
            LogicalPlan::Join(join) => self.join(join, &[]),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.over(window),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let mut facts = self.facts(input)?;
                let roles = (0..facts.roles.len()).map(Some).collect::<Vec<_>>();
                facts.take_moment(&roles);
                Ok(facts.grouped(&roles, input.schema(), self.anew()))
            }
            LogicalPlan::Extension(e) => self.extension(e, plan),
            other => Ok(Facts::none(other)),
        }
    }

    fn extension(&self, e: &Extension, plan: &LogicalPlan) -> Result<Facts> {
        let any = e.node.as_any();
        if let Some(node) = any.downcast_ref::<LookupNode>() {
            return self.lookup(node, plan.schema());
        }
        if let Some(node) = any.downcast_ref::<AsOfNode>() {
            return self.as_of(node);
        }
        if let Some(node) = any.downcast_ref::<RankNode>() {
            return node.facts(self.facts(&node.input)?);
        }
        if let Some(node) = any.downcast_ref::<LastNode>() {
            return self.aggregate(&node.parts()?.0);
        }
        if let Some(node) = any.downcast_ref::<ReferenceNode>() {
            return self.reference(node, plan.schema());
        }
        match any.downcast_ref::<WindowNode>() {
            Some(node) => self.window(node),
            None => Ok(Facts::none(plan)),
        }
    }

    /// Rows leave `OVER` when the watermark has passed the event time that they are in order of.
    fn over(&self, window: &OverWindow) -> Result<Facts> {
        let facts = self.facts(&window.input)?;
        if facts.updates.is_some() {
            return Err(given_anew(
                "`OVER`",
                "it would see a row and the one in its place",
                &[Keyword::OVER],
            ));
        }
        let first = match window.window_expr.first().map(unalias) {
            Some(Expr::WindowFunction(call)) => call.params.order_by.first(),
            _ => None,
        };
        let of = first.and_then(|sort| match &sort.expr {
            Expr::Column(c) => window.input.schema().maybe_index_of_column(c),
            _ => None,
        });
        let time = of.and_then(|i| facts.roles.get(i)).cloned().unwrap_or_default();
        let cut = of.is_some_and(|i| are_cut_by(&window.input, i));
        let roles = facts.roles.into_iter().enumerate();
        let roles = roles.map(|(i, role)| role.waited(&time, Some(i) == of, cut, 0));
        let mut roles = roles.collect::<Vec<_>>();
        roles.resize(window.schema.fields().len(), Role::default());
        Ok(Facts { roles, ..facts })
    }

    fn scan(&self, scan: &TableScan) -> Result<Facts> {
        let Some(table) = self.tables.get(scan.table_name.table()) else {
            let roles = vec![Role::default(); scan.projected_schema.fields().len()];
            return Ok(Facts { roles, ..Facts::default() });
        };
        let fields = scan.projected_schema.fields().iter();
        let roles = fields.map(|f| table.columns.get(f.name()).cloned().unwrap_or_default());
        let facts = Facts {
            roles: roles.collect(),
            updates: table.updates.clone(),
            live: table.live.clone(),
        };
        for predicate in &scan.filters {
            facts.may_leave_out(predicate, &scan.projected_schema)?;
        }
        Ok(facts)
    }

    fn projection(&self, projection: &Projection) -> Result<Facts> {
        let facts = self.facts(&projection.input)?;
        let schema = projection.input.schema();
        let roles = projection.expr.iter().map(|e| match facts.role(e, schema) {
            Some(role) => role.clone(),
            None => Role { key: facts.key_of_cast(e, schema), ..Role::default() },
        });
        let roles = roles.collect();
        Ok(Facts { roles, ..facts })
    }

    fn union(&self, union: &Union) -> Result<Facts> {
        let all = union.inputs.iter().map(|i| self.facts(i)).collect::<Result<Vec<_>>>()?;
        if all.iter().any(|f| f.updates.is_some()) {
            return Err(given_anew(
                "`UNION ALL`",
                "rows of its sides could take each other's places",
                &[Keyword::UNION],
            ));
        }
        let live = all.iter().find_map(|f| f.live.clone());
        let mut roles = all.into_iter().map(|f| f.roles);
        let mut met = roles.next().unwrap_or_default();
        for other in roles {
            for (role, other) in met.iter_mut().zip(other) {
                role.lag = role.lag.zip(other.lag).map(|(a, b)| a.max(b));
                if role.edge != other.edge {
                    role.edge = None;
                }
                if role.past != other.past {
                    role.past = None;
                }
            }
        }
        Ok(Facts { roles: met, updates: None, live })
    }

    fn unnest(&self, unnest: &Unnest) -> Result<Facts> {
        let facts = self.facts(&unnest.input)?;
        if facts.updates.is_some() {
            return Err(given_anew(
                "`UNNEST`",
                "one row becomes several of the same key",
                &[Keyword::UNNEST],
            ));
        }
        let apart = |i: &usize| {
            unnest.list_type_columns.iter().any(|(c, _)| c == i)
                || unnest.struct_type_columns.contains(i)
        };
        let from = unnest.dependency_indices.iter();
        let roles = from.map(|i| match facts.roles.get(*i) {
            Some(role) if !apart(i) => role.clone(),
            _ => Role::default(),
        });
        Ok(Facts { roles: roles.collect(), ..facts })
    }

    fn lookup(&self, node: &LookupNode, schema: &DFSchema) -> Result<Facts> {
        let mut facts = self.facts(&node.input)?;
        if node.inner {
            facts.may_leave_out(&node.key, node.input.schema())?;
        }
        if self.live.contains(&node.table) {
            facts.live = Some(node.table.clone());
        }
        facts.roles.resize(schema.fields().len(), Role::default());
        Ok(facts)
    }

    fn as_of(&self, node: &AsOfNode) -> Result<Facts> {
        let (left, right) = (self.facts(&node.left)?, self.facts(&node.right)?);
        if left.updates.is_some() || right.updates.is_some() {
            return Err(given_anew(
                "a join as of event time",
                "a row and the one in its place would both be rows of their time",
                &[Keyword::JOIN],
            ));
        }
        let live = left.live.clone().or(right.live);
        Ok(Facts { live, ..node.facts(left) })
    }

    fn is_of_reference(&self, plan: &LogicalPlan) -> bool {
        is_of_reference(plan, |table| self.tables.get(table).is_some_and(|t| t.is_reference))
    }

    fn reference(&self, node: &ReferenceNode, schema: &DFSchema) -> Result<Facts> {
        let mut facts = self.facts(&node.input)?;
        if facts.updates.is_some() {
            return Err(given_anew(
                "a join with a reference table",
                "the row given before may have met other rows there than the one in its place",
                &[Keyword::JOIN, Keyword::EXISTS, Keyword::IN],
            ));
        }
        facts.roles.resize(schema.fields().len(), Role::default());
        Ok(facts)
    }

    fn window(&self, node: &WindowNode) -> Result<Facts> {
        let facts = self.facts(&node.input)?;
        if facts.updates.is_some() {
            return Err(given_anew(
                "a window",
                "it would count a row and the one in its place",
                &[Keyword::FROM],
            ));
        }
        let schema = node.input.schema();
        let key = |e: &Expr| match e {
            Expr::Column(c) => schema.maybe_index_of_column(c),
            _ => None,
        };
        let keys = node.keys.iter().map(key).collect::<Vec<_>>();
        let names = node.keys.iter().map(|e| e.schema_name().to_string());
        let names = names.map(|n| n.rsplit('.').next().unwrap_or_default().to_owned());
        let of = Arc::new(Cut { window: node.window, lag: node.lag, keys: names.collect() });
        let edge = |side| Some(Edge { side, of: of.clone() });
        let passing = node.passing();
        let mut roles = passing
            .into_iter()
            .map(|i| Role {
                lag: facts.roles.get(i).and_then(|r| r.lag),
                edge: keys.iter().position(|k| *k == Some(i)).and_then(|k| edge(Side::Key(k))),
                ..Role::default()
            })
            .collect::<Vec<_>>();
        let start = match node.window {
            Window::Tumble { size, .. }
            | Window::Hop { size, .. }
            | Window::Cumulate { size, .. } => node.lag.checked_add(size),
            Window::Session { .. } | Window::Again { .. } => None,
        };
        let sides =
            [(start, Side::Start), (Some(node.lag), Side::End), (Some(node.lag), Side::Time)];
        roles.extend(sides.map(|(lag, side)| Role { lag, edge: edge(side), ..Role::default() }));
        Ok(Facts { roles, ..facts })
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Facts> {
        let mut facts = self.facts(&aggregate.input)?;
        if facts.updates.is_some() {
            return Err(given_anew(
                "`GROUP BY`",
                "it would count a row and the one in its place",
                &[Keyword::GROUP],
            ));
        }
        let schema = aggregate.input.schema();
        let groups = Facts::places(&aggregate.group_expr, schema);
        facts.take_moment(&groups);
        let mut grouped = match (is_running(aggregate, &facts), aggregate.aggr_expr.is_empty()) {
            (false, _) => facts.grouped(&groups, &aggregate.schema, self.anew()),
            (true, true) => facts.first_seen(&groups),
            (true, false) if groups.is_empty() => return Err(without_keys(aggregate)),
            (true, false) => facts.grouped(&groups, &aggregate.schema, Some(Anew::Running)),
        };
        grouped.roles.resize(aggregate.schema.fields().len(), Role::default());
        Ok(grouped)
    }
}

impl Facts {
    fn none(plan: &LogicalPlan) -> Self {
        Self { roles: vec![Role::default(); plan.schema().fields().len()], ..Self::default() }
    }

    /// What is known of an expression that is a column.
    pub(crate) fn role(&self, e: &Expr, schema: &DFSchema) -> Option<&Role> {
        match unalias(e) {
            Expr::Column(c) => self.roles.get(schema.maybe_index_of_column(c)?),
            _ => None,
        }
    }

    /// The key that a cast leaves as it is: to what sinks know, of whole numbers and of timestamps of as many digits.
    fn key_of_cast(&self, e: &Expr, schema: &DFSchema) -> Option<usize> {
        let Expr::Cast(cast) = unalias(e) else { return None };
        let from = cast.expr.get_type(schema).ok()?;
        let fits = is_same_number(&from, cast.field.data_type());
        self.role(&cast.expr, schema).filter(|_| fits)?.key
    }

    /// Refuses to leave out rows by other columns than those that name a row: its successor may not be left out.
    pub(crate) fn may_leave_out(&self, by: &Expr, schema: &DFSchema) -> Result<()> {
        let names_row = |e: &Expr| self.role(e, schema).is_some_and(|r| r.key.is_some());
        let columns = by.column_refs().into_iter().cloned().map(Expr::Column);
        if self.updates.is_none() || columns.into_iter().all(|c| names_row(&c)) {
            return Ok(());
        }
        Err(given_anew(
            "a condition on computed columns",
            "a row that no longer fulfils it would leave the one before in its place",
            &[Keyword::HAVING, Keyword::WHERE],
        ))
    }

    /// The same rows, grouped by columns of these places or by expressions.
    fn grouped(self, groups: &[Option<usize>], names: &DFSchema, anew: Option<Anew>) -> Self {
        let mut updates = vec![];
        let mut roles = vec![];
        for (i, group) in groups.iter().enumerate() {
            let role = group.and_then(|g| self.roles.get(g)).cloned().unwrap_or_default();
            let edge = role.edge.or(role.past).filter(|e| e.side.is_time());
            let name = names.fields().get(i).map(|f| f.name().clone()).unwrap_or_default();
            let key = match &edge {
                Some(e) if !e.names_window() => None,
                Some(_) => Some(0),
                None => Some(i + 1),
            };
            updates.push((key, name));
            let lag = edge.as_ref().and(role.lag);
            roles.push(Role { lag, edge: None, past: edge, key: key.filter(|_| anew.is_some()) });
        }
        let Some(why) = anew else { return Self { roles, updates: None, live: self.live } };
        // The keys are numbered by their places, so that the names of those that may miss can be told.
        let mut wanted = vec![String::new(); groups.len() + 1];
        for (key, name) in updates {
            if let Some(slot) = key.and_then(|k| wanted.get_mut(k))
                && slot.is_empty()
            {
                *slot = name;
            }
        }
        Self { roles, updates: Some(Updates { by: wanted, why }), live: self.live }
    }

    /// Rows that leave when what they are grouped by comes for the first time.
    fn first_seen(self, groups: &[Option<usize>]) -> Self {
        let roles = groups.iter().map(|group| {
            let role = group.and_then(|g| self.roles.get(g)).cloned().unwrap_or_default();
            Role { key: None, ..role }
        });
        Self { roles: roles.collect(), updates: None, live: self.live }
    }

    /// The columns by which a row takes the place of one before it; refuses when one of them is missing.
    pub(crate) fn updates(&self, names: &[String]) -> Result<Option<Updates>> {
        let Some(Updates { by, why }) = &self.updates else { return Ok(None) };
        for (key, name) in by.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if !self.roles.iter().any(|r| r.key == Some(key)) {
                let (with, name) = match why {
                    Anew::Late => ("with `allowed_lateness`", format!("`{name}`")),
                    Anew::Running => ("of a group without a window", format!("`{name}`")),
                    Anew::Ranked if name == NUMBER => {
                        ("of a place", "the number of the place".to_owned())
                    }
                    Anew::Ranked => ("of a place", format!("`{name}`")),
                };
                let what = format!(
                    "{name} is missing among the columns: {with} a row is given anew, and takes the place of the one with the same keys"
                );
                let fix = format!("add {name} to the `SELECT` list");
                return Err(said_at(what, &fix, &[]));
            }
        }
        let of = self.roles.iter().zip(names).filter(|(r, _)| r.key.is_some());
        Ok(Some(Updates { by: of.map(|(_, name)| name.clone()).collect(), why: *why }))
    }
}

/// What the number of a place is called among the names of keys.
pub(crate) const NUMBER: &str = "the number";

pub(crate) fn unalias(e: &Expr) -> &Expr {
    match e {
        Expr::Alias(alias) => unalias(&alias.expr),
        e => e,
    }
}

fn without_keys(aggregate: &Aggregate) -> DataFusionError {
    let first = aggregate.aggr_expr.first().map(|e| show(unalias(e))).unwrap_or_default();
    said_at(
        format!(
            "`{first}` without `GROUP BY` is one row for all time, which changes with every row, and no column says which row it takes the place of"
        ),
        &format!(
            "give it a name: `SELECT 'all' AS id, {first} … GROUP BY id`; or gather rows in windows of event time: `FROM TUMBLE(…) GROUP BY window_start, window_end`"
        ),
        &[],
    )
}

pub(crate) fn given_anew(what: &str, why: &str, at: &'static [Keyword]) -> DataFusionError {
    said_at(
        format!(
            "{what} is not possible over rows that are given anew, each in place of one before: {why}"
        ),
        "do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`",
        at,
    )
}
