//! Views that are new, or others than before, are built from the frames that the queue still has, up to where the run goes on; and so
//! is the event time of sources that have another one than before.
//!
//! ```text
//! frames:   gone │ first … from ═══ through a line aside, muted ═══▶ upto ─── as ever ──▶
//! ```
//!
//! Nothing of it is delivered, counted or set aside: it was, by what the views were then. What cannot be built so begins anew where
//! the run goes on, and that is told with the reason: no start fails because of it. Until the next checkpoint is committed, every
//! start does it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::ledger::Stage;
use millstream_core::operator::Chunks;
use millstream_core::queue::Checkpoint;
use millstream_core::record::{Body, Frame, Offset};
use millstream_core::{Error, Remedy, Result};
use tokio::time::Instant;

use crate::aside::{Aside, remember};
use crate::begin::SCAN_BYTES;
use crate::grind::moment;
use crate::line::{Line, view_errors};
use crate::process::Processor;
use crate::remember::{Changed, State, Times};
use crate::seal::Work;
use crate::tables::{self, Tables};

/// While it goes on, it is told so often how far it has come.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What has no state to go on with, and where the run goes on.
pub(crate) struct Rebuild {
    changed: Changed,
    upto: Offset,
    /// When that was committed.
    at: Timestamp,
    /// Sources of which records have gone by.
    seen: BTreeSet<String>,
}

/// What is known of the time before the first frame that is taken.
pub(crate) enum Begins {
    /// There was none: it is the first of all.
    First,
    /// How far time had come.
    At(Times),
    /// Nothing. No view can be built then.
    Unknown,
}

/// What is built, and from where.
pub(crate) struct Plan {
    pub(crate) begins: Begins,
    from: Offset,
    pub(crate) views: BTreeSet<String>,
    /// Sources whose event time is another than before.
    pub(crate) sources: BTreeSet<String>,
    /// Views that begin anew, with the reason.
    anew: BTreeMap<String, String>,
}

/// State that goes into the next checkpoint whole, in place of what the last one had.
#[derive(Default)]
pub(crate) struct Remade {
    views: BTreeSet<String>,
    state: State,
    /// What else changed meanwhile.
    beside: BTreeMap<String, Chunks>,
}

impl Remade {
    /// Of these views, nothing that the last checkpoint has stays.
    pub(crate) fn new(views: BTreeSet<String>) -> Self {
        Self { views, ..Self::default() }
    }

    /// Keeps what changed amid epochs that are repeated: the last checkpoint has what else did.
    pub(crate) fn keep(&mut self, changed: BTreeMap<String, Chunks>) {
        for (part, chunks) in changed {
            if part.starts_with(':') {
                self.beside.entry(part).or_default().extend(chunks);
            } else if self.views.contains(&part) {
                remember(self.state.entry(part).or_default(), chunks);
            }
        }
    }

    /// What the next checkpoint has to have.
    pub(crate) fn into_work(self) -> Work {
        let Self { views: replaced, state, beside } = self;
        let whole = |chunks: BTreeMap<String, Bytes>| {
            chunks.into_iter().map(|(key, bytes)| (key, Some(bytes))).collect()
        };
        let state = state.into_iter().map(|(view, chunks)| (view, whole(chunks)));
        let chunks = state.chain(beside).collect();
        Work { replaced, chunks, ..Work::default() }
    }
}

impl Rebuild {
    /// What to do about what changed since a checkpoint, if anything.
    pub(crate) fn new(changed: Changed, to: &Checkpoint) -> Option<Self> {
        let edges = to.ledger.0.iter().filter(|(e, a)| e.stage == Stage::Records && a.r#in > 0);
        let seen: BTreeSet<String> = edges.map(|(edge, _)| edge.part.clone()).collect();
        let any = !changed.views.is_empty() || changed.sources.iter().any(|s| seen.contains(s));
        (any && to.next > Offset(0)).then_some(Self { changed, upto: to.next, at: to.at, seen })
    }

    /// Works out what can be built from frames from `first` on.
    fn plan(&self, line: &Line, first: Offset) -> Result<Plan> {
        let reads = line.reads(self.changed.views.iter().map(String::as_str));
        let lookups = line.lookups().names();
        let (mut views, mut anew) = (BTreeSet::new(), BTreeMap::new());
        for (view, below) in reads.map_err(|e| view_errors(&e))? {
            if below.is_disjoint(&self.seen) {
                // All there ever was is yet to come.
                continue;
            }
            match below.intersection(&lookups).next() {
                Some(lookup) => {
                    let why = "whose answers of then are not kept";
                    anew.insert(view, format!("it asks the lookup `{lookup}`, {why}"));
                }
                None => drop(views.insert(view)),
            }
        }
        let sources = self.changed.sources.intersection(&self.seen).cloned().collect();
        let begins = Begins::First;
        let mut plan = Plan { begins, from: Offset(0), views, sources, anew };
        if first > Offset(0) {
            plan.amid(line, first, self.upto);
        }
        Ok(plan)
    }
}

impl Plan {
    /// Frames before `first` are gone: begins where it is known how far time had come.
    fn amid(&mut self, line: &Line, first: Offset, upto: Offset) {
        let feeding = |view: &String| line.mills.feeding(view).map(str::to_owned).collect();
        let needs: BTreeMap<String, BTreeSet<String>> =
            self.views.iter().map(|view| (view.clone(), feeding(view))).collect();
        let knows = |times: &Times, sources: &BTreeSet<String>| {
            !sources.is_empty() && sources.iter().all(|s| times.sources.contains_key(s))
        };
        let all: BTreeSet<String> = needs.values().flatten().cloned().collect();
        let marks = || line.marks.since(first).take_while(|(at, _)| *at <= upto);
        let mark = marks().find(|(_, times)| knows(times, &all)).or_else(|| marks().next());
        let mark = mark.filter(|_| !self.views.is_empty());
        for (view, sources) in needs {
            if !mark.is_some_and(|(_, times)| knows(times, &sources)) {
                self.views.remove(&view);
                let why = "and nothing tells how far event time had come with them";
                let gone = format!("rows before offset {first} are gone from the queue, {why}");
                self.anew.insert(view, gone);
            }
        }
        (self.from, self.begins) = match mark {
            Some((at, times)) if !self.views.is_empty() => (at, Begins::At(times.clone())),
            _ => (first, Begins::Unknown),
        };
        if matches!(self.begins, Begins::Unknown) {
            // What was known of them, for another delay, is more than these frames can tell.
            self.sources.retain(|name| !has_time(line, name));
        }
    }

    /// Begins anew what cannot be built, with all that reads it.
    fn give_up(&mut self, line: &Line, error: &Error) -> Result<()> {
        let place = error.place().and_then(|place| place.strip_prefix("views."));
        let views = line.reads(self.views.iter().map(String::as_str));
        let of_one = |(view, below): &(String, BTreeSet<String>)| {
            place.is_some_and(|broken| view == broken || below.contains(broken))
        };
        let views: Vec<_> = views.map_err(|e| view_errors(&e))?.into_iter().collect();
        let one = views.iter().any(of_one);
        for view in views.into_iter().filter(|view| !one || of_one(view)) {
            self.views.remove(&view.0);
            self.anew
                .insert(view.0, format!("it cannot be built from the queue: {}", error.line()));
        }
        if !one {
            self.sources.clear();
        }
        Ok(())
    }
}

/// Whether anything is known of how far a source has come.
fn has_time(line: &Line, source: &str) -> bool {
    let time = line.stations.get(source).and_then(|s| s.time.as_ref());
    time.is_some_and(|time| time.latest() != Timestamp::BEGIN)
}

impl Processor {
    /// Builds views anew from the queue, as far as that reaches, before the run goes on.
    ///
    /// # Errors
    /// `Retry` when the run is told to end meanwhile; `Stop` when a sink says so.
    pub(crate) async fn rebuild(&mut self) -> Result<()> {
        let Some(rebuild) = self.rebuild.take() else { return Ok(()) };
        let mut plan = rebuild.plan(&self.line, self.shared.queue.status().first)?;
        let mut gives = BTreeMap::new();
        while !plan.views.is_empty() || !plan.sources.is_empty() {
            match self.build(&plan, rebuild.upto).await {
                Ok(mut aside) => {
                    aside.move_into(&mut self.line, &rebuild.changed);
                    self.told_rebuilt(&plan, rebuild.upto, &mut aside);
                    gives = aside.gives;
                    if !self.line.unpinned().is_empty() {
                        self.state.extend(aside.state.clone());
                    }
                    self.remade.state = aside.state;
                    break;
                }
                Err(e) if e.remedy() == Remedy::Retry || self.broken.is_some() => return Err(e),
                Err(e) => plan.give_up(&self.line, &e)?,
            }
        }
        for name in &rebuild.changed.sources {
            let whole = matches!(plan.begins, Begins::First) && plan.sources.contains(name);
            if rebuild.seen.contains(name) && !whole && !has_time(&self.line, name) {
                self.line.unseen(name, rebuild.at);
            }
        }
        // A long rebuild that nothing comes after shall not be done again.
        self.dirty = true;
        let views = plan.anew.keys().cloned().collect();
        for (view, whole_from) in self.line.begin_anew(&views, &mut gives)? {
            let Some(why) = plan.anew.get(&view) else { continue };
            tracing::warn!(
                view,
                from = rebuild.upto.0,
                windows_from = (whole_from != Timestamp::BEGIN).then(|| moment(whole_from)),
                why,
                "the view is new, or another one than before: it begins here, and gives no row of windows that began earlier"
            );
        }
        Ok(())
    }

    /// Takes the frames through a line aside.
    async fn build(&mut self, plan: &Plan, upto: Offset) -> Result<Aside> {
        let tables = self.line.tables().apart();
        // What holds now held all the time, unless there is a frame that says otherwise.
        let (all, span) = (tables.names(), (plan.from, upto));
        let found = tables::find::first_between(&all, &self.shared, span);
        let found = found.await?;
        self.set_tables(&tables, plan, &found)?;
        let mut aside = Aside::new(&self.line, tables, plan)?;
        let mut at = plan.from;
        let mut told = Instant::now();
        while at < upto {
            self.may_go_on()?;
            let shared = self.shared.clone();
            let read = || shared.queue.read(at, SCAN_BYTES);
            let mut slab = shared.retry("queue", read).await?;
            slab.frames.retain(|(offset, _)| *offset < upto);
            if slab.frames.is_empty() {
                return Err(Error::stop(format!("the queue has no frame at offset {at}")));
            }
            aside.take(&slab)?;
            at = slab.next.min(upto);
            if told.elapsed() > TELL_EVERY && at < upto {
                told = Instant::now();
                let (from, at, upto) = (plan.from.0, at.0, upto.0);
                tracing::info!(
                    views = names(&plan.views),
                    from,
                    at,
                    upto,
                    "views are rebuilt from the queue"
                );
            }
            // Others have their turn between two reads.
            tokio::task::yield_now().await;
        }
        Ok(aside)
    }

    /// Sets tables to the versions that held for the first frame that is taken, by the first frames of each behind it.
    fn set_tables(&self, tables: &Tables, plan: &Plan, found: &[Frame]) -> Result<()> {
        for frame in found {
            let Some(name) = tables::name_of(frame) else { continue };
            if plan.from > Offset(0) {
                let reads = self.line.reads(plan.views.iter().map(String::as_str));
                let reads = reads.map_err(|e| view_errors(&e))?;
                let reader = reads.iter().find(|(_, below)| below.contains(name));
                let Some((view, _)) = reader else { continue };
                let what = format!("the rows that the table `{name}` had then are gone from it");
                return Err(Error::stop(what).at(format!("views.{view}")));
            }
            tables.forget(&BTreeSet::from([name.to_owned()]));
            if let Body::Table(bytes) = &frame.body {
                tables.hear(frame, bytes)?;
            }
        }
        Ok(())
    }

    /// Whether nothing says that the run shall end.
    fn may_go_on(&mut self) -> Result<()> {
        self.hear();
        if let Some(broken) = &self.broken {
            return Err(Error::stop(format!("a sink is broken: {}", broken.line())));
        }
        let finish = *self.finish.borrow();
        if finish.upto.is_some() && !finish.outboxes {
            let what = "the run was told to end while views were rebuilt from the queue";
            return Err(Error::retry(what).fix("the next run begins with it again"));
        }
        Ok(())
    }

    fn told_rebuilt(&self, plan: &Plan, upto: Offset, aside: &mut Aside) {
        let (from, upto, frames) = (plan.from.0, upto.0, aside.frames);
        for view in &plan.views {
            let rows = aside.rows(view);
            match aside.whole_from.get(view).filter(|at| **at != Timestamp::BEGIN) {
                None => tracing::info!(
                    view,
                    from,
                    upto,
                    frames,
                    rows,
                    "the view is new, or another one than before: it was rebuilt from the queue, and all its windows are whole"
                ),
                Some(whole_from) => tracing::warn!(
                    view,
                    from,
                    upto,
                    frames,
                    rows,
                    windows_from = moment(*whole_from),
                    "the view is new, or another one than before: it was rebuilt as far back as the queue reaches, and gives no row of windows that began earlier"
                ),
            }
        }
        for source in &plan.sources {
            tracing::info!(
                source,
                from,
                upto,
                frames,
                "the source has another event time than before: how far that has come was made out from the queue"
            );
        }
    }
}

fn names(views: &BTreeSet<String>) -> String {
    views.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
