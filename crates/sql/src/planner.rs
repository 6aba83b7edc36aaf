//! All views of a pipeline, planned together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{Schema, SchemaRef};
use datafusion_common::DataFusionError;
use datafusion_common::config::ConfigOptions;
use millstream_core::Error;
use millstream_core::operator::{
    Function, Planned, PlannedView, Planner, Table, View, ViewError, Windows,
};

use crate::arrival::Arrival;
use crate::catalog::Functions;
use crate::chain::{Chain, Feed};
use crate::complain::{Complaint, translate};
use crate::grown::{Grown, Spec};
use crate::late;
use crate::lookup::Lookups;
use crate::lower::Lowered;
use crate::names;
use crate::parse::{Parsed, parse};
use crate::plan;
use crate::reference::References;
use crate::refuse::refuse;
use crate::rewrite::name_columns;
use crate::search::Search;
use crate::state;
use crate::step::Step;
use crate::user;
use crate::view::ViewOperator;
use crate::window::Workers;
use crate::windowed::{Known, Role, TableFacts};

/// Planning recurses as deep as the query nests; this is enough for the deepest that is let in.
const STACK_BYTES: usize = 256 << 20;
/// More names than this are not listed in an error.
const NAMES_MAX: usize = 20;
/// A longer `state_ttl` is no time that could be added to every moment.
const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Turns SQL views into operators.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqlPlanner;

impl SqlPlanner {
    /// A planner.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Planner for SqlPlanner {
    fn plan(&self, tables: &[Table], views: &[View], functions: &[Arc<dyn Function>]) -> Planned {
        deep(|| Plan::new(tables, views, functions).run())
    }

    fn reads(&self, view: &View) -> Result<BTreeSet<String>, ViewError> {
        deep(|| match parse(&view.sql) {
            Ok(parsed) => Ok(parsed.reads().into_iter().map(|(name, _)| name).collect()),
            Err(complaint) => Err(complaint.of(&view.name)),
        })
    }
}

/// Runs on a thread with a deep stack.
#[expect(clippy::expect_used, reason = "without a thread there is no way on; a panic is passed on")]
fn deep<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("plan".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, run)
            .expect("a thread to plan on");
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Plan<'a> {
    tables: &'a [Table],
    views: &'a [View],
    functions: Functions,
    options: Arc<ConfigOptions>,
    lookups: Lookups,
    references: References,
    /// What is known of tables, and of views as they get planned.
    known: Arc<Known>,
    /// Columns of tables, and of views as they get planned.
    schemas: BTreeMap<String, SchemaRef>,
    /// Views with errors, and those above them.
    broken: BTreeSet<String>,
    planned: Planned,
    /// Threads that views share; one of them is at work at a time.
    workers: Arc<Workers>,
}

impl<'a> Plan<'a> {
    fn new(tables: &'a [Table], views: &'a [View], functions: &[Arc<dyn Function>]) -> Self {
        let mut all = Functions::standard();
        for f in functions {
            all.add(user::function(f.clone()));
        }
        let lookups = tables.iter().filter_map(|t| Some((t.name.clone(), t.lookup.clone()?)));
        let references = tables.iter().filter_map(|t| Some((t.name.clone(), t.reference.clone()?)));
        let schemas = tables.iter().filter_map(|t| Some((t.name.clone(), t.schema.clone()?)));
        Self {
            tables,
            views,
            functions: all,
            options: plan::options(),
            lookups: lookups.collect(),
            references: references.collect(),
            known: Arc::new(Known::new(tables)),
            schemas: schemas.collect(),
            broken: BTreeSet::new(),
            planned: Planned::default(),
            workers: Arc::default(),
        }
    }

    fn run(mut self) -> Planned {
        for table in self.tables {
            self.planned.used.entry(table.name.clone()).or_default();
        }
        let mut parsed = BTreeMap::new();
        for (i, view) in self.views.iter().enumerate() {
            let taken = self.taken(i);
            self.complain(&view.name, taken);
            match parse(&view.sql) {
                Ok(mut p) => {
                    let mut complaints = self.unknown_tables(&p);
                    complaints.extend(refuse(
                        &p,
                        &self.functions,
                        &self.known,
                        self.lookups.clone(),
                    ));
                    complaints.extend(name_columns(&mut p.query));
                    complaints.sort_by_key(|c| c.place);
                    self.complain(&view.name, complaints);
                    parsed.insert(view.name.as_str(), p);
                }
                Err(complaint) => self.complain(&view.name, vec![complaint]),
            }
        }
        let mut left: Vec<&View> = self.views.iter().collect();
        let mut turned = false;
        loop {
            let before = left.len();
            left.retain(|view| match parsed.get(view.name.as_str()) {
                Some(p) => !self.try_plan(view, p),
                None => false,
            });
            if left.is_empty() || left.len() == before {
                break;
            }
            // Views that stand in the file before what they read are mostly all of them so.
            left.reverse();
            turned = !turned;
        }
        if turned {
            left.reverse();
        }
        for view in left {
            self.circle(view, &parsed);
        }
        self.planned
    }

    /// Complains of a view whose name is not free.
    fn taken(&self, i: usize) -> Vec<Complaint> {
        let (earlier, rest) = self.views.split_at(i);
        let Some(view) = rest.first() else { return vec![] };
        let by = if let Some(table) = self.tables.iter().find(|t| t.name == view.name) {
            match (&table.lookup, &table.reference) {
                (Some(_), _) => "lookup",
                (None, Some(_)) => "reference table",
                (None, None) => "source",
            }
        } else if earlier.iter().any(|v| v.name == view.name) {
            "view"
        } else {
            return vec![];
        };
        let error = Error::stop(format!("there is a {by} called `{}` already", view.name))
            .fix("give the view another name");
        vec![Complaint::new(None, error)]
    }

    /// Complains of a view that reads itself, straight or through others.
    fn circle(&mut self, view: &View, parsed: &BTreeMap<&str, Parsed>) {
        let mut way = vec![view.name.clone()];
        loop {
            let last = way.last().and_then(|name| parsed.get(name.as_str()));
            let reads = last.map(Parsed::reads).unwrap_or_default();
            let stuck = |name: &String| {
                !self.schemas.contains_key(name) && !self.planned.waiting.contains_key(name)
            };
            let next = reads.into_iter().find(|(n, _)| parsed.contains_key(n.as_str()) && stuck(n));
            let Some((next, place)) = next else { return };
            let seen = way.iter().position(|n| *n == next);
            way.push(next);
            if let Some(start) = seen {
                // Views that only read from a circle have nothing wrong themselves.
                if start == 0 {
                    let circle = way.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>();
                    let what =
                        format!("views read each other in a circle: {}", circle.join(" reads "));
                    let error = Error::stop(what).fix("let one of them read a source instead");
                    let place = place.filter(|_| way.len() == 2);
                    self.complain(&view.name, vec![Complaint::new(place, error)]);
                }
                return;
            }
        }
    }

    fn complain(&mut self, view: &str, complaints: Vec<Complaint>) {
        if !complaints.is_empty() {
            self.broken.insert(view.to_owned());
        }
        self.planned.errors.extend(complaints.into_iter().map(|c| c.of(view)));
    }

    fn unknown_tables(&self, parsed: &Parsed) -> Vec<Complaint> {
        let known = self.tables.iter().map(|t| t.name.as_str());
        let known = known.chain(self.views.iter().map(|v| v.name.as_str()));
        let unknown = parsed.reads().into_iter().filter(|(n, _)| !known.clone().any(|k| k == n));
        unknown
            .map(|(name, place)| {
                let error = Error::stop(format!("there is no source or view `{name}`"))
                    .fix(names::fix(&name, known.clone(), NAMES_MAX));
                Complaint::new(place, error)
            })
            .collect()
    }

    /// Plans a view if all it reads is planned, waiting or broken; whether it is dealt with.
    fn try_plan(&mut self, view: &View, parsed: &Parsed) -> bool {
        if self.broken.contains(&view.name) {
            return true;
        }
        let mut waits = BTreeSet::new();
        for (name, _) in parsed.reads() {
            if self.broken.contains(&name) {
                self.broken.insert(view.name.clone());
                return true;
            }
            if let Some(on) = self.planned.waiting.get(&name) {
                waits.extend(on.iter().cloned());
            } else if !self.schemas.contains_key(&name) {
                if !self.tables.iter().any(|t| t.name == name) {
                    return false;
                }
                waits.insert(name);
            }
        }
        if waits.is_empty() {
            self.plan_view(view, parsed);
        } else {
            self.planned.waiting.insert(view.name.clone(), waits);
        }
        true
    }

    fn plan_view(&mut self, view: &View, parsed: &Parsed) {
        let arrival = Arrival::default();
        let functions = self.functions.at(&arrival);
        let lateness = view.windows.allowed_lateness.as_micros();
        let micros = |span: u128| i64::try_from(span).unwrap_or(i64::MAX);
        let known = Arc::make_mut(&mut self.known);
        known.lateness = micros(lateness);
        known.ttl = view.windows.state_ttl.map(|ttl| micros(ttl.as_micros()));
        let known = self.known.clone();
        let search = Search {
            tables: &self.schemas,
            lookups: &self.lookups,
            references: &self.references,
            functions: &functions,
            options: &self.options,
            tokens: &parsed.tokens,
            known: &known,
            windows: &view.windows,
        };
        let ready = |lowered: Lowered| {
            let Lowered { chains, grown, .. } = &lowered;
            let late = late::columns(view, chains, grown, &self.schemas, &parsed.tokens);
            let late = late.map_err(|complaint| vec![complaint])?;
            ready(view, arrival, lowered, late, &self.workers)
        };
        match search.lowered(&parsed.query).and_then(ready) {
            Ok(Ready { planned, used, facts }) => {
                self.note_used(&used);
                self.schemas.insert(view.name.clone(), planned.schema.clone());
                drop(known);
                Arc::make_mut(&mut self.known).tables.insert(view.name.clone(), facts);
                self.planned.views.push(planned);
            }
            Err(complaints) => self.complain(&view.name, complaints),
        }
    }

    fn note_used(&mut self, used: &[(String, Vec<String>)]) {
        for (table, columns) in used {
            if let Some(used) = self.planned.used.get_mut(table) {
                used.extend(columns.iter().cloned());
            }
        }
    }
}

/// A view that is planned.
struct Ready {
    planned: PlannedView,
    /// Columns that are read, by table.
    used: Vec<(String, Vec<String>)>,
    facts: TableFacts,
}

fn used(chains: &[Chain]) -> Vec<(String, Vec<String>)> {
    let mut used = vec![];
    for chain in chains {
        if let Feed::Table(name) = &chain.from {
            let columns = chain.scan.fields().iter().map(|f| f.name().clone());
            used.push((name.clone(), columns.collect()));
        }
        for step in &chain.steps {
            match step {
                Step::Lookup(lookup) => {
                    used.push((lookup.table.clone(), lookup.read().map(str::to_owned).collect()));
                }
                Step::Reference(of) => {
                    used.push((of.table.clone(), of.read().map(str::to_owned).collect()));
                }
                _ => {}
            }
        }
    }
    used
}

fn ready(
    view: &View,
    arrival: Arrival,
    lowered: Lowered,
    late: Option<SchemaRef>,
    workers: &Arc<Workers>,
) -> Result<Ready, Vec<Complaint>> {
    let Lowered { chains, grown, facts } = lowered;
    if let Some(error) = odd_options(&view.windows, &grown) {
        return Err(vec![Complaint::new(None, error)]);
    }
    let complain = |e: DataFusionError| vec![Complaint::new(None, translate(&e, None))];
    let last = chains.iter().find(|c| c.to.is_none());
    let schema = last.map_or_else(|| Arc::new(Schema::empty()), |c| c.schema.clone());
    let names = schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let updates = facts.updates(&names).map_err(complain)?;
    let inputs = chains.iter().filter_map(|c| match &c.from {
        Feed::Table(name) => Some(name.clone()),
        Feed::Node(_) => None,
    });
    let (inputs, used) = (inputs.collect(), used(&chains));
    let settles = grown.iter().any(|g| g.spec.settles());
    let explain = explain(&chains, &grown);
    let state = state::meaning(&chains, &grown).map_err(complain)?;
    let roles = facts.roles.into_iter().map(Role::behind);
    let facts = TableFacts {
        columns: names.into_iter().zip(roles).collect(),
        updates: facts.updates,
        live: facts.live,
        is_source: false,
        is_reference: false,
    };
    let parts = grown.into_iter().map(|g| g.spec.build(workers));
    let parts = parts.collect::<Result<Vec<_>, _>>().map_err(complain)?;
    let name = view.name.clone();
    let operator = ViewOperator::new(name, schema, arrival, chains, parts, late.clone());
    let planned = PlannedView::stateless(view.name.clone(), inputs, Box::new(operator));
    Ok(Ready {
        planned: PlannedView { explain, state, updates, settles, late, ..planned },
        used,
        facts,
    })
}

/// Options of a view that mean nothing for what it keeps.
fn odd_options(windows: &Windows, grown: &[Grown]) -> Option<Error> {
    let any = |is: fn(&Spec) -> bool| grown.iter().any(|g| is(&g.spec));
    let to_windows = "leave it out, or give it to the view with the windows";
    let (what, fix) = if !windows.allowed_lateness.is_zero() && !any(Spec::is_window) {
        ("the view has `allowed_lateness`, and no window that rows could be late for", to_windows)
    } else if windows.spill.is_some() && !any(Spec::spills) {
        (
            "the view has `at_bound: spill`, and no windows with keys whose state could be spilled",
            to_windows,
        )
    } else if windows.state_ttl.is_some_and(|ttl| ttl > TTL_MAX) {
        ("`state_ttl` is longer than 100 years", "make it shorter")
    } else if windows.state_ttl.is_none() || any(Spec::takes_ttl) {
        return None;
    } else if any(|spec| matches!(spec, Spec::Rank(rank) if rank.closing.is_none())) {
        (
            "the first rows of each key are kept for ever: `state_ttl` cannot tell when one is over",
            "leave it out, or take those of each window: `PARTITION BY window_end, …`",
        )
    } else {
        (
            "the view has `state_ttl`, and keeps nothing that would grow for ever without it",
            "leave it out",
        )
    };
    Some(Error::stop(what).fix(fix))
}

/// The plan for people: chains in order, each aggregation after those that feed it.
fn explain(chains: &[Chain], grown: &[Grown]) -> String {
    let mut lines = vec![];
    for (number, part) in grown.iter().enumerate() {
        for chain in chains.iter().filter(|c| c.to.is_some_and(|to| to.node == number)) {
            say(chain, grown, &mut lines);
        }
        let mut own = part.explain.iter();
        lines.extend(
            own.next().map(|first| format!("{} {}: {first}", part.spec.word(), number + 1)),
        );
        lines.extend(own.map(|line| format!("  {line}")));
    }
    for chain in chains.iter().filter(|c| c.to.is_none()) {
        say(chain, grown, &mut lines);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn say(chain: &Chain, grown: &[Grown], lines: &mut Vec<String>) {
    if let Feed::Node(number) = chain.from {
        if chain.explain.is_empty() && chain.to.is_none() {
            return;
        }
        let word = grown.get(number).map_or("window", |g| g.spec.word());
        lines.push(format!("rows of {word} {}", number + 1));
        lines.extend(chain.explain.iter().map(|line| format!("  {line}")));
        return;
    }
    for (depth, line) in chain.explain.iter().enumerate() {
        lines.push(format!("{}{line}", "  ".repeat(depth.min(1))));
    }
}
