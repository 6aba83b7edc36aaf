//! A join of a plan as the part that does it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, NullEquality, Result, plan_err};
use datafusion_expr::utils::conjunction;
use datafusion_expr::{Expr, Join, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr, cast,
};
use datafusion_physical_expr::utils::collect_columns;

use super::bound::called;
use super::limits::{Limit, index};
use super::spec::{At, Bound, Condition, Joining, Kind, SideSpec};
use super::timed::{AT, Timed};
use crate::chain::{Chain, Feed, To};
use crate::complain::said_at;
use crate::explain::show;
use crate::grown::{Grown, Spec};
use crate::lower::{Lower, renumber};
use crate::sample::fails_always;
use crate::state::unnamed;
use crate::step::Step;
use crate::window::lane::has_lane;
use crate::windowed::span;

/// One side as it is being planned.
struct Half {
    chains: Vec<Chain>,
    schema: Arc<DFSchema>,
    /// The columns that come, and those that are computed.
    fields: Vec<Field>,
    computed: Vec<Arc<dyn PhysicalExpr>>,
    shown: Vec<String>,
}

impl Lower<'_> {
    /// The rows of a join. A side that is no stream but a table to look things up in was taken out before.
    pub(crate) fn join(&mut self, join: &Join) -> Result<Vec<Chain>> {
        let grouped = std::mem::replace(&mut self.grouped, false);
        let halves = self.plan(&join.left).and_then(|l| Ok([l, self.plan(&join.right)?]));
        self.grouped = grouped;
        let [left, right] = halves?;
        let timed = Timed::of(self.known, join, &[])?;
        self.may_keep(&timed, [&left, &right])?;
        let mut halves = [
            Half::new(left, join.left.schema().clone()),
            Half::new(right, join.right.schema().clone()),
        ];
        let number = self.grown.len();
        let rest = conjunction(timed.rest.iter().cloned());
        let spec = self.joining(join, &timed, rest.as_ref(), &mut halves)?;
        for (input, half) in halves.iter_mut().enumerate() {
            half.close(To { node: number, input })?;
        }
        let schema = spec.schema.clone();
        let state = format!("{}\n", spec.layout);
        let mut chains = halves.into_iter().flat_map(|half| half.chains).collect();
        self.closed.append(&mut chains);
        let explain = words(join, &timed, self.windows.state_bytes);
        self.grown.push(Grown { spec: Spec::Join(spec), explain, state, names: vec![] });
        let mut chain = Chain {
            from: Feed::Node(number),
            scan: schema.clone(),
            steps: vec![],
            schema,
            explain: vec![],
            to: None,
        };
        if let Some(e) = rest.filter(|_| timed.kind == Kind::Inner) {
            // A pair for which it cannot be computed is set aside alone there.
            self.filter(&mut chain, &e, &join.schema)?;
        }
        Ok(vec![chain])
    }

    /// What the join does. `rest` are its conditions on other things than keys and moments.
    fn joining(
        &self,
        join: &Join,
        timed: &Timed,
        rest: Option<&Expr>,
        halves: &mut [Half; 2],
    ) -> Result<Joining> {
        let mut keys = [vec![], vec![]];
        for (left, right) in &timed.keys {
            for ((half, keys), e) in halves.iter_mut().zip(&mut keys).zip([left, right]) {
                keys.push(half.key(self, e)?);
            }
        }
        let mut bounds = vec![];
        let mut deadlines = [(0, 0); 2];
        for (side, deadline) in deadlines.iter_mut().enumerate() {
            let Some(limit) = timed.deadline.get(side) else { continue };
            *deadline = (self.moment(halves, side, &limit.by)?, limit.plus);
        }
        for Limit { side, least, by, plus } in &timed.limits {
            let less = At { side: *side, column: self.moment(halves, *side, least)? };
            let than = At { side: 1 - side, column: self.moment(halves, 1 - side, by)? };
            bounds.push(Bound { less, than, plus: *plus });
        }
        let [left, right] = &*halves;
        let sides = [(left, 0_usize), (right, 1)].map(|(half, side)| SideSpec {
            input: Arc::new(Schema::new(half.fields.clone())),
            keys: keys.get(side).cloned().unwrap_or_default(),
            time: timed.time.get(side).copied().unwrap_or_default(),
            lag: timed.lag.get(side).copied().unwrap_or_default(),
            deadline: deadlines.get(side).copied().unwrap_or_default(),
            reach: timed.reach(side, join),
        });
        let (columns, schema) = output(timed, join, &sides);
        let condition = match rest.filter(|_| timed.kind != Kind::Inner) {
            Some(e) => Some(self.condition(e, join, &sides)?),
            None => None,
        };
        let mut spec = Joining {
            kind: timed.kind,
            sides,
            nulls_equal: join.null_equality == NullEquality::NullEqualsNull,
            bounds,
            condition,
            columns,
            schema,
            layout: String::new(),
            state_bytes: self.windows.state_bytes,
            ttl: timed.ttl.is_some(),
        };
        spec.layout = spec.means()?;
        Ok(spec)
    }

    /// Refuses answers that may be others when rows are made again: state is made of them.
    fn may_keep(&self, timed: &Timed, sides: [&Vec<Chain>; 2]) -> Result<()> {
        let steps = sides.into_iter().flatten().flat_map(|c| &c.steps);
        let live = steps.filter_map(|s| match s {
            Step::Lookup(lookup) if !lookup.is_recorded() => Some(lookup.table.clone()),
            _ => None,
        });
        let below = timed.facts.iter().find_map(|f| f.live.clone());
        let Some(table) = live.into_iter().next().or(below) else { return Ok(()) };
        let what = format!(
            "the answers of `{table}` are not recorded, so a join could not be made again of the same rows"
        );
        let fix = format!(
            "have the lookup `{table}` record its answers, or join it to the rows that this join gives"
        );
        Err(said_at(what, &fix, AT))
    }

    /// The place of a moment among the columns of a side, computed if need be.
    fn moment(&self, halves: &mut [Half; 2], side: usize, e: &Expr) -> Result<usize> {
        let Some(half) = halves.get_mut(side) else { return plan_err!("a join has two sides") };
        let micros = |t: &DataType| matches!(t, DataType::Timestamp(TimeUnit::Microsecond, _));
        half.place(self, e, |e, schema| {
            let kind = e.data_type(schema)?;
            let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            if micros(&kind) { Ok(e) } else { cast(e, schema, moment) }
        })
    }

    /// A condition over rows of both sides.
    fn condition(&self, e: &Expr, join: &Join, sides: &[SideSpec; 2]) -> Result<Condition> {
        let both = join.left.schema().join(join.right.schema())?;
        let of = self.expr(e, &both)?;
        fails_always(&of, both.as_arrow())?;
        let width = join.left.schema().fields().len();
        let read = collect_columns(&of).into_iter().map(|c| c.index()).collect::<BTreeSet<_>>();
        let read = read.into_iter().collect::<Vec<_>>();
        let at = |i: &usize| match i.checked_sub(width) {
            None => At { side: 0, column: *i },
            Some(column) => At { side: 1, column },
        };
        let columns = read.iter().map(at).collect::<Vec<_>>();
        let fields = columns.iter().filter_map(|at| {
            let field = sides.get(at.side)?.input.fields().get(at.column)?;
            Some(field.as_ref().clone().with_nullable(true))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let may_fail = may_fail(&of);
        Ok(Condition { of: renumber(&of, &read)?, columns, schema, may_fail })
    }
}

impl Half {
    fn new(chains: Vec<Chain>, schema: Arc<DFSchema>) -> Self {
        let fields = chains.first().map(|c| c.schema.fields().iter());
        let mut fields =
            fields.into_iter().flatten().map(|f| f.as_ref().clone()).collect::<Vec<_>>();
        for chain in chains.iter().skip(1) {
            for (field, other) in fields.iter_mut().zip(chain.schema.fields()) {
                *field = field.clone().with_nullable(field.is_nullable() || other.is_nullable());
            }
        }
        Self { chains, schema, fields, computed: vec![], shown: vec![] }
    }

    /// The place of an expression among the columns, computed if it is none.
    fn place(
        &mut self,
        lower: &Lower<'_>,
        e: &Expr,
        fit: impl Fn(Arc<dyn PhysicalExpr>, &Schema) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<usize> {
        let Some(chain) = self.chains.first() else { return plan_err!("a side has no rows") };
        let schema = chain.schema.clone();
        let of = fit(lower.expr(e, &self.schema)?, &schema)?;
        if let (Some(_), Some(column)) = (index(e, &self.schema), of.downcast_ref::<Column>()) {
            return Ok(column.index());
        }
        let width = schema.fields().len();
        if let Some(at) = self.computed.iter().position(|c| c.as_ref() == of.as_ref()) {
            return Ok(width + at);
        }
        fails_always(&of, &schema)?;
        self.fields.push(Field::new(show(e), of.data_type(&schema)?, true));
        self.computed.push(of);
        self.shown.push(show(e));
        Ok(width + self.computed.len() - 1)
    }

    fn key(&mut self, lower: &Lower<'_>, e: &Expr) -> Result<usize> {
        self.place(lower, e, |e, schema| {
            let kind = e.data_type(schema)?;
            match kind {
                DataType::LargeUtf8 | DataType::Utf8View => cast(e, schema, DataType::Utf8),
                kind if kind.is_nested() && !has_lane(&kind) => {
                    plan_err!("a list or struct cannot be a key of a join")
                }
                _ => Ok(e),
            }
        })
    }

    /// Has the rows go to the join, with what is computed behind their columns.
    fn close(&mut self, to: To) -> Result<()> {
        for chain in &mut self.chains {
            chain.to = Some(to);
            let schema: SchemaRef = Arc::new(Schema::new(self.fields.clone()));
            if self.computed.is_empty() && chain.schema == schema {
                continue;
            }
            let own = chain.schema.fields().iter().enumerate();
            let own = own.map(|(i, f)| Arc::new(Column::new(f.name(), i)) as Arc<dyn PhysicalExpr>);
            let exprs = own.chain(self.computed.iter().cloned()).collect();
            if !self.shown.is_empty() {
                chain.explain.push(format!("compute {}", self.shown.join(", ")));
            }
            chain.steps.push(Step::Project { exprs, constants: 0, schema: schema.clone() });
            chain.schema = schema;
        }
        Ok(())
    }
}

/// What comes out.
fn output(timed: &Timed, join: &Join, sides: &[SideSpec; 2]) -> (Vec<At>, SchemaRef) {
    let width = join.left.schema().fields().len();
    let (mut columns, mut fields) = (vec![], vec![]);
    for (i, field) in join.schema.fields().iter().enumerate() {
        let at = match i.checked_sub(width) {
            Some(column) if !timed.kind.tells() => At { side: 1, column },
            _ => At { side: 0, column: i },
        };
        let own = sides.get(at.side).map(|s| s.input.field(at.column).clone());
        let own = own.unwrap_or_else(|| field.as_ref().clone());
        let others = match timed.kind {
            Kind::Inner | Kind::Semi | Kind::Anti => false,
            Kind::Left => at.side == 1,
            Kind::Right => at.side == 0,
            Kind::Full => true,
        };
        let null = own.is_nullable() || others;
        columns.push(at);
        fields.push(own.with_name(field.name()).with_nullable(null));
    }
    (columns, Arc::new(Schema::new(fields)))
}

/// Whether it may fail on some rows.
fn may_fail(e: &Arc<dyn PhysicalExpr>) -> bool {
    let mut fails = false;
    let _all = e.apply(|e| {
        let safe = e.downcast_ref::<Column>().is_some()
            || e.downcast_ref::<Literal>().is_some()
            || e.downcast_ref::<NotExpr>().is_some()
            || e.downcast_ref::<IsNullExpr>().is_some()
            || e.downcast_ref::<IsNotNullExpr>().is_some()
            || e.downcast_ref::<InListExpr>().is_some()
            || e.downcast_ref::<LikeExpr>().is_some()
            || e.downcast_ref::<BinaryExpr>().is_some_and(|b| {
                use Operator as O;
                matches!(
                    b.op(),
                    O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::And | O::Or
                )
            });
        fails |= !safe;
        Ok(TreeNodeRecursion::Continue)
    });
    fails
}

impl Joining {
    /// What its state means: it changes with all that the state is made of, and with nothing else.
    fn means(&self) -> Result<String> {
        let mut text = format!("{} nulls {}", self.kind.word(), self.nulls_equal);
        for side in &self.sides {
            let kind = |i: &usize| format!("{i} {}", side.input.field(*i).data_type());
            let keys = side.keys.iter().map(kind).collect::<Vec<_>>().join(", ");
            let (deadline, plus) = side.deadline;
            text.push_str(&format!(
                "; time {} lag {} up to {deadline} + {plus}, keys {keys}",
                side.time, side.lag
            ));
        }
        for b in &self.bounds {
            let at = |at: At| format!("{}.{}", at.side, at.column);
            text.push_str(&format!("; {} <= {} + {}", at(b.less), at(b.than), b.plus));
        }
        if let Some(condition) = &self.condition {
            text.push_str(&format!("; where {}", unnamed(&condition.of)?));
            let at = condition.columns.iter().map(|at| format!(" {}.{}", at.side, at.column));
            text.extend(at);
        }
        text.push_str("; gives");
        for (at, field) in self.columns.iter().zip(self.schema.fields()) {
            text.push_str(&format!(" {}.{} {}", at.side, at.column, field.data_type()));
        }
        Ok(text)
    }
}

/// What the join does and keeps, for people.
fn words(join: &Join, timed: &Timed, state_bytes: u64) -> Vec<String> {
    let names = [called(&join.left), called(&join.right)];
    let [left, right] = &names;
    let first = match timed.kind {
        Kind::Semi => format!("rows of {left} that match some of {right}"),
        Kind::Anti => format!("rows of {left} that match none of {right}"),
        kind => format!("{} of {left} and {right}", kind.word()),
    };
    let keys = timed.keys.iter().map(|(l, r)| format!("{} = {}", full(l, left), full(r, right)));
    let keys = keys.collect::<Vec<_>>();
    let by = if keys.is_empty() { String::new() } else { format!(", by {}", keys.join(" and ")) };
    let mut lines = vec![format!("{first}{by}")];
    if let Some(ttl) = timed.ttl {
        lines.push(format!(
            "rows match only if their event times are at most {} apart (`state_ttl`)",
            span::show(ttl)
        ));
    } else {
        for (side, limit) in timed.deadline.iter().enumerate() {
            let (own, other) = if side == 0 { (left, right) } else { (right, left) };
            let plus = match limit.plus {
                0 => String::new(),
                plus if plus > 0 => format!(" + {}", span::show(plus)),
                plus => format!(" - {}", span::show(plus.saturating_neg())),
            };
            let least = full(&limit.least, other);
            lines.push(format!(
                "a row of {own} waits for {least} up to {}{plus}",
                full(&limit.by, own)
            ));
        }
    }
    let rest = timed.rest.iter().map(show).collect::<Vec<_>>();
    if !rest.is_empty() && timed.kind != Kind::Inner {
        lines.push(format!("match if {}", rest.join(" AND ")));
    }
    let bytes = millstream_core::fields::Bytes(state_bytes);
    lines.push(format!(
        "keep rows until event time has passed all that they wait for, {bytes} at most (`state_bytes`)"
    ));
    lines
}

/// An expression over one side, with the name of that before a column.
fn full(e: &Expr, side: &str) -> String {
    let Expr::Column(c) = e else { return show(e) };
    let named = c.relation.as_ref().map(|r| r.table()).filter(|t| !t.starts_with("__"));
    format!("{}.{}", named.unwrap_or(side), crate::explain::column(&c.name))
}

/// Lets joins give only the columns that are read behind them.
pub(crate) fn narrow(chains: &mut [Chain], grown: &mut [Grown]) -> Result<()> {
    for chain in chains {
        let Feed::Node(number) = chain.from else { continue };
        let Some(Spec::Join(spec)) = grown.get_mut(number).map(|g| &mut g.spec) else { continue };
        // Filters keep all columns yet, up to the step that makes others.
        let mut read = BTreeSet::new();
        let mut ends = None;
        let of = |e: &Arc<dyn PhysicalExpr>| {
            collect_columns(e).into_iter().map(|c| c.index()).collect::<Vec<_>>()
        };
        for (i, step) in chain.steps.iter().enumerate() {
            match step {
                Step::Filter { predicate, .. } => read.extend(of(predicate)),
                Step::Project { exprs, .. } => {
                    read.extend(exprs.iter().flat_map(of));
                    ends = Some(i);
                    break;
                }
                _ => break,
            }
        }
        let Some(ends) = ends else { continue };
        let read = read.into_iter().collect::<Vec<_>>();
        if read.len() == spec.columns.len() {
            continue;
        }
        let schema: SchemaRef = Arc::new(spec.schema.project(&read)?);
        for step in chain.steps.iter_mut().take(ends + 1) {
            match step {
                Step::Filter { predicate, keep, schema: own, .. } => {
                    *predicate = renumber(predicate, &read)?;
                    *keep = (0..read.len()).collect();
                    *own = schema.clone();
                }
                Step::Project { exprs, .. } => {
                    for e in exprs {
                        *e = renumber(e, &read)?;
                    }
                }
                _ => {}
            }
        }
        spec.columns = read.iter().filter_map(|i| spec.columns.get(*i).copied()).collect();
        spec.schema = schema.clone();
        spec.layout = spec.means()?;
        chain.scan = schema;
        if let Some(grown) = grown.get_mut(number)
            && let Spec::Join(spec) = &grown.spec
        {
            grown.state = format!("{}\n", spec.layout);
        }
    }
    Ok(())
}
