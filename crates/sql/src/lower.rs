//! Plan to chains of steps: one a scan, and one a window.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, Result, plan_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Expr, Extension, LogicalPlan, Projection, TableScan, Union};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use millstream_core::operator::Windows;

use crate::asof::{self, AsOfNode};
use crate::chain::{Chain, Feed};
use crate::checked::{checked, constants};
use crate::explain::{column, list, node, show};
use crate::grown::{Grown, Spec};
use crate::join;
use crate::lookup::{LookupNode, LookupStep, Lookups, narrow};
use crate::parse::DEPTH_MAX;
use crate::rank::RankNode;
use crate::reference::{
    Condition, Parts, ReferenceNode, ReferenceStep, References, reference_alone,
};
use crate::running::LastNode;
use crate::sample::fails_always;
use crate::step::Step;
use crate::unnest::UnnestStep;
use crate::windowed::{AssignStep, Facts, Known, WindowNode};

/// What a plan became.
pub(crate) struct Lowered {
    /// All chains: those of ports in their order, and those of aggregations.
    pub chains: Vec<Chain>,
    /// Aggregations, each after those that feed it.
    pub grown: Vec<Grown>,
    /// What is known of the columns.
    pub facts: Facts,
}

/// Makes the chains of a plan.
pub(crate) fn lower(
    plan: &LogicalPlan,
    (lookups, references): (&Lookups, &References),
    known: &Known,
    windows: &Windows,
    options: &Arc<ConfigOptions>,
) -> Result<Lowered> {
    let mut props = ExecutionProps::new();
    props.config_options = Some(options.clone());
    let facts = known.facts(plan)?;
    let mut lower = Lower {
        props,
        lookups,
        references,
        known,
        windows,
        grouped: false,
        reads_reference: false,
        grown: vec![],
        closed: vec![],
    };
    let last = lower.plan(plan)?;
    let mut chains = lower.closed;
    chains.extend(last);
    join::narrow(&mut chains, &mut lower.grown)?;
    let mut names = lower.grown.iter().flat_map(|g| g.names.clone()).collect::<Vec<_>>();
    // A name may be in another.
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let plain = |line: &mut String| {
        for (name, shown) in &names {
            *line = line.replace(name, shown).replace(&format!("{shown} AS {shown}"), shown);
        }
    };
    for chain in &mut chains {
        if let Feed::Node(number) = chain.from
            && let Some(Spec::AsOf(spec)) = lower.grown.get_mut(number).map(|g| &mut g.spec)
        {
            asof::narrow(chain, spec)?;
        }
        narrow(chain);
        narrow_filters(&mut chain.steps)?;
        chain.explain.iter_mut().for_each(plain);
    }
    lower.grown.iter_mut().flat_map(|g| &mut g.explain).for_each(plain);
    Ok(Lowered { chains, grown: lower.grown, facts })
}

/// Casts and functions that stand for several come on top of what the text may nest.
const COMPUTED_DEPTH_MAX: usize = 3 * DEPTH_MAX;

fn depth(e: &Arc<dyn PhysicalExpr>) -> usize {
    1 + e.children().into_iter().map(depth).max().unwrap_or(0)
}

pub(crate) struct Lower<'a> {
    props: ExecutionProps,
    lookups: &'a Lookups,
    references: &'a References,
    pub known: &'a Known,
    pub windows: &'a Windows,
    /// What is lowered now is grouped by its windows further on.
    pub grouped: bool,
    /// What is lowered now is the side of a join that is a reference table.
    reads_reference: bool,
    pub grown: Vec<Grown>,
    /// Chains that end in an aggregation.
    pub closed: Vec<Chain>,
}

impl Lower<'_> {
    pub(crate) fn plan(&mut self, plan: &LogicalPlan) -> Result<Vec<Chain>> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.over(window),
            LogicalPlan::Filter(filter) => {
                let mut chains = self.plan(&filter.input)?;
                let Some(predicate) = self.before_windows(&filter.predicate, &filter.input)? else {
                    return Ok(chains);
                };
                for chain in &mut chains {
                    self.filter(chain, &predicate, filter.input.schema())?;
                }
                Ok(chains)
            }
            LogicalPlan::Projection(projection) => self.project(projection),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Unnest(unnest) => {
                let mut chains = self.plan(&unnest.input)?;
                for chain in &mut chains {
                    let step = UnnestStep::new(unnest);
                    chain.schema = step.schema.clone();
                    let lists = unnest.exec_columns.iter().map(|c| column(&c.name));
                    chain.explain.push(lists.collect::<Vec<_>>().join(", "));
                    chain.steps.push(Step::Unnest(step));
                }
                Ok(chains)
            }
            LogicalPlan::Extension(e) => self.extension(e),
            other => plan_err!("`{}` is not yet possible in a view", node(other)),
        }
    }

    fn extension(&mut self, e: &Extension) -> Result<Vec<Chain>> {
        let any = e.node.as_any();
        if let Some(node) = any.downcast_ref::<LookupNode>() {
            return self.lookup(node);
        }
        if let Some(node) = any.downcast_ref::<RankNode>() {
            return self.rank(node);
        }
        if let Some(node) = any.downcast_ref::<LastNode>() {
            let (aggregate, last) = node.parts()?;
            return self.running(&aggregate, Some(&last));
        }
        if let Some(node) = any.downcast_ref::<AsOfNode>() {
            return self.as_of(node);
        }
        if let Some(node) = any.downcast_ref::<ReferenceNode>() {
            return self.reference(node);
        }
        match any.downcast_ref::<WindowNode>() {
            Some(node) => self.window(node),
            None => plan_err!("`{}` is not yet possible in a view", e.node.name()),
        }
    }

    /// The part of a condition that is not on windows by which rows are grouped further on: for that part,
    /// see there.
    fn before_windows(&self, predicate: &Expr, input: &LogicalPlan) -> Result<Option<Expr>> {
        if !self.grouped {
            return Ok(Some(predicate.clone()));
        }
        let facts = self.known.facts(input)?;
        let parts = split_conjunction(predicate).into_iter();
        let parts = parts.filter(|e| !facts.is_of_window(e, input.schema())).cloned();
        Ok(conjunction(parts))
    }

    fn window(&mut self, node: &WindowNode) -> Result<Vec<Chain>> {
        let grouped = std::mem::replace(&mut self.grouped, false);
        let chains = self.plan(&node.input);
        self.grouped = grouped;
        let mut chains = chains?;
        for chain in &mut chains {
            let time = self.expr(&node.time, node.input.schema())?;
            let step = AssignStep::new(node, time, chain, grouped)?;
            chain.schema = step.schema.clone();
            chain.explain.extend(step.explain());
            chain.steps.push(Step::Window(step));
        }
        Ok(chains)
    }

    pub(crate) fn expr(&self, e: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        let e = create_physical_expr(e, schema, &self.props, &PhysicalPlanningContext::default())?;
        if depth(&e) > COMPUTED_DEPTH_MAX {
            // Subqueries were merged: no single expression of the text is this deep.
            return plan_err!(
                "the steps of the query add up to an expression nested deeper than {COMPUTED_DEPTH_MAX} levels; split it into several views"
            );
        }
        checked(e, schema.as_arrow())
    }

    fn scan(&self, scan: &TableScan) -> Result<Vec<Chain>> {
        let input = scan.table_name.table().to_owned();
        if self.lookups.contains_key(&input) {
            return plan_err!(
                "`{input}` is a lookup: it can only be joined by its key, `… LEFT JOIN {input} ON {input}.key = …`"
            );
        }
        if self.references.contains_key(&input) && !self.reads_reference {
            return Err(reference_alone(&input));
        }
        Ok(vec![self.scan_of(scan, input)?])
    }

    fn scan_of(&self, scan: &TableScan, input: String) -> Result<Chain> {
        let schema: SchemaRef = Arc::new(scan.projected_schema.as_arrow().clone());
        let names = schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>();
        let explain = vec![format!("scan {input} ({})", names.join(", "))];
        let from = Feed::Table(input);
        let mut chain =
            Chain { from, scan: schema.clone(), steps: vec![], schema, explain, to: None };
        for predicate in &scan.filters {
            self.filter(&mut chain, predicate, &scan.projected_schema)?;
        }
        Ok(chain)
    }

    pub(crate) fn filter(
        &self,
        chain: &mut Chain,
        predicate: &Expr,
        schema: &DFSchema,
    ) -> Result<()> {
        let keep = (0..chain.schema.fields().len()).collect();
        let predicate_physical = self.expr(predicate, schema)?;
        fails_always(&predicate_physical, &chain.schema)?;
        let constants = constants(&predicate_physical)?;
        chain.explain.push(format!("filter {}", show(predicate)));
        chain.steps.push(Step::Filter {
            predicate: predicate_physical,
            constants,
            keep,
            schema: chain.schema.clone(),
        });
        Ok(())
    }

    fn project(&mut self, projection: &Projection) -> Result<Vec<Chain>> {
        let mut chains = self.plan(&projection.input)?;
        let schema: SchemaRef = Arc::new(projection.schema.as_arrow().clone());
        for chain in &mut chains {
            let exprs = projection
                .expr
                .iter()
                .map(|e| self.expr(e, projection.input.schema()))
                .collect::<Result<Vec<_>>>()?;
            for e in &exprs {
                fails_always(e, &chain.schema)?;
            }
            let fields = exprs.iter().zip(schema.fields()).map(|(e, f)| {
                let nullable = e.nullable(&chain.schema)?;
                // What a column is marked with (text that is JSON) stays with it.
                let marks = e.return_field(&chain.schema)?.metadata().clone();
                Ok(Field::new(f.name(), e.data_type(&chain.schema)?, nullable).with_metadata(marks))
            });
            let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
            chain.explain.push(format!("project {}", list(&projection.expr)));
            let sums = exprs.iter().map(constants).collect::<Result<Vec<_>>>()?;
            let constants = sums.into_iter().sum();
            chain.steps.push(Step::Project { exprs, constants, schema: schema.clone() });
            chain.schema = schema;
        }
        Ok(chains)
    }

    fn lookup(&mut self, node: &LookupNode) -> Result<Vec<Chain>> {
        let Some(answers) = self.lookups.get(&node.table) else {
            return plan_err!("there is no lookup `{}`", node.table);
        };
        let mut chains = self.plan(&node.input)?;
        for chain in &mut chains {
            let key = self.expr(&node.key, node.input.schema())?;
            fails_always(&key, &chain.schema)?;
            let step = LookupStep::new(node, answers.clone(), key, show(&node.key), chain)?;
            chain.schema = step.schema();
            chain.explain.push(format!("lookup {}", node.table));
            chain.steps.push(Step::Lookup(step));
        }
        Ok(chains)
    }

    fn reference(&mut self, node: &ReferenceNode) -> Result<Vec<Chain>> {
        let Some(versions) = self.references.get(node.table()) else {
            return plan_err!("there is no reference table `{}`", node.table());
        };
        let mut chains = self.plan(&node.input)?;
        for chain in &mut chains {
            let side = self.reference_side(&node.side)?;
            let mut parts = Parts { side, keys: vec![], side_keys: vec![], condition: None };
            for (key, of) in &node.on {
                let key = self.expr(key, node.input.schema())?;
                fails_always(&key, &chain.schema)?;
                parts.keys.push(key);
                parts.side_keys.push(self.expr(of, node.side.schema())?);
            }
            if let Some(filter) = &node.filter {
                parts.condition = Some(self.reference_condition(filter, node)?);
            }
            let step = ReferenceStep::new(node, versions.clone(), parts, chain);
            chain.schema = step.schema();
            chain.explain.push(format!("join table {}", node.table()));
            chain.steps.push(Step::Reference(Box::new(step)));
        }
        Ok(chains)
    }

    /// What is made of a reference table.
    fn reference_side(&mut self, plan: &LogicalPlan) -> Result<Chain> {
        let grouped = std::mem::replace(&mut self.grouped, false);
        let references = std::mem::replace(&mut self.reads_reference, true);
        let chains = self.plan(plan);
        (self.grouped, self.reads_reference) = (grouped, references);
        match <[Chain; 1]>::try_from(chains?) {
            Ok([chain]) => Ok(chain),
            Err(_) => plan_err!("a join is with one reference table"),
        }
    }

    /// A condition on a row and one of a reference table.
    fn reference_condition(&self, filter: &Expr, node: &ReferenceNode) -> Result<Condition> {
        let pairs = node.pairs()?;
        let width = node.input.schema().fields().len();
        let read = filter.column_refs().into_iter().filter_map(|c| pairs.maybe_index_of_column(c));
        let read: BTreeSet<usize> = read.collect();
        let fields = read.iter().map(|i| {
            let (qualifier, field) = pairs.qualified_field(*i);
            (qualifier.cloned(), field.clone())
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), pairs.metadata().clone())?;
        let (input, side): (Vec<usize>, Vec<usize>) = read.into_iter().partition(|i| *i < width);
        let predicate = self.expr(filter, &schema)?;
        fails_always(&predicate, schema.as_arrow())?;
        let side = side.into_iter().map(|i| i - width).collect();
        Ok(Condition { predicate, input, side, schema: Arc::new(schema.as_arrow().clone()) })
    }

    fn union(&mut self, union: &Union) -> Result<Vec<Chain>> {
        let schema: SchemaRef = Arc::new(union.schema.as_arrow().clone());
        let mut chains = Vec::new();
        for input in &union.inputs {
            chains.extend(self.plan(input)?);
        }
        for chain in &mut chains {
            chain.steps.push(Step::Rename { schema: schema.clone() });
            chain.schema = schema.clone();
        }
        Ok(chains)
    }
}

/// Lets each filter copy only the columns that the projection after it reads.
fn narrow_filters(steps: &mut [Step]) -> Result<()> {
    for i in 1..steps.len() {
        let (before, after) = steps.split_at_mut(i);
        let (Some(Step::Filter { keep, schema, .. }), Some(Step::Project { exprs, .. })) =
            (before.last_mut(), after.first_mut())
        else {
            continue;
        };
        let mut read = exprs
            .iter()
            .flat_map(|e| collect_columns(e).into_iter().map(|c| c.index()))
            .collect::<Vec<_>>();
        read.sort_unstable();
        read.dedup();
        for e in exprs.iter_mut() {
            *e = renumber(e, &read)?;
        }
        *schema = Arc::new(schema.project(&read)?);
        *keep = read;
    }
    Ok(())
}

/// The same expression over a batch that has only the columns `read` of the one before.
pub(crate) fn renumber(e: &Arc<dyn PhysicalExpr>, read: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
    let moved = e.clone().transform_down(|e| match e.downcast_ref::<Column>() {
        Some(c) => {
            let index = read.binary_search(&c.index()).unwrap_or(usize::MAX);
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(c.name(), index));
            Ok(Transformed::yes(column))
        }
        None => Ok(Transformed::no(e)),
    })?;
    Ok(moved.data)
}
