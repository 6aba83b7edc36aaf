//! A line aside from the one that rows are delivered from: frames of the past go through it once more, and nothing of that is heard.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::ledger::{Ledger, Stage};
use millstream_core::queue::Slab;
use millstream_core::record::{Body, Frame, Offset};
use millstream_core::{Error, Result};

use crate::decode::Feed;
use crate::grind::Progress;
use crate::line::{Blueprint, Ground, Line, view_errors};
use crate::lookup::Lookups;
use crate::rebuild::{Begins, Plan};
use crate::remember::{Changed, State};
use crate::tables::Tables;

/// Views that are built anew, and those below them.
pub(crate) struct Aside {
    line: Line,
    /// Those that are built, with the state that they have come to.
    pub(crate) state: State,
    /// From when on their windows are whole, and the rows of each view all there: of those that lack some.
    pub(crate) whole_from: BTreeMap<String, Timestamp>,
    pub(crate) gives: BTreeMap<String, Timestamp>,
    /// What went through.
    pub(crate) frames: u64,
    ledger: Ledger,
}

impl Aside {
    /// As much of a line as the plan needs, at its beginning, with the versions of tables that hold there.
    ///
    /// # Errors
    /// `Stop` when the views cannot be planned.
    pub(crate) fn new(line: &Line, tables: Tables, plan: &Plan) -> Result<Self> {
        let reads = line.reads(plan.views.iter().map(String::as_str));
        let mut needed: BTreeSet<String> =
            reads.map_err(|e| view_errors(&e))?.into_values().flatten().collect();
        needed.extend(plan.views.iter().chain(&plan.sources).cloned());
        let sources = line.blueprint.sources.iter().filter(|feed| needed.contains(&feed.name));
        let sources = sources.map(|feed| {
            let columns = line.stations.get(&feed.name).and_then(|s| s.columns.clone());
            Feed { columns, ..feed.clone() }
        });
        // In the order in which they are planned there, so that rows take the same ways here.
        let planned = line.explained().iter().filter(|view| needed.contains(&view.name));
        let in_file =
            |name: &String| line.blueprint.views.iter().find(|v| v.name == *name).cloned();
        let blueprint = Blueprint {
            sources: sources.collect(),
            lookups: Lookups::default(),
            tables,
            views: planned.filter_map(|view| in_file(&view.name)).collect(),
            sinks: Vec::new(),
            ..line.blueprint.clone()
        };
        let mut aside = Line::new(blueprint, line.busy.clone()).map_err(|e| view_errors(&e))?;
        for (name, station) in &mut aside.stations {
            // A row that cannot be decoded there is none here either.
            station.use_columns(line.stations.get(name).and_then(|s| s.used.clone()));
        }
        let state = plan.views.iter().map(|view| (view.clone(), BTreeMap::new())).collect();
        let mut aside = Self {
            line: aside,
            state,
            whole_from: BTreeMap::new(),
            gives: BTreeMap::new(),
            frames: 0,
            ledger: Ledger::default(),
        };
        aside.go_to(plan)?;
        Ok(aside)
    }

    /// Goes to where event time stood before the first frame.
    fn go_to(&mut self, plan: &Plan) -> Result<()> {
        let Begins::At(times) = &plan.begins else { return Ok(()) };
        for (name, station) in &mut self.line.stations {
            if let (Some(time), Some(state)) = (&mut station.time, times.sources.get(name)) {
                time.go_back(state.clone());
                self.line.mills.set_source(name, time.reach());
            }
        }
        let views = self.line.made_for.keys().filter(|n| !self.line.stations.contains_key(*n));
        let views: BTreeSet<String> = views.cloned().collect();
        self.line.mills.settle_reaches(|view, _| {
            let kept = views.contains(view) && !plan.views.contains(view);
            times.views.get(view).filter(|_| kept).copied()
        });
        self.whole_from = self.line.begin_anew(&views, &mut self.gives)?;
        Ok(())
    }

    /// Takes some frames through, and keeps what views became.
    ///
    /// # Errors
    /// Those of views.
    pub(crate) fn take(&mut self, slab: &Slab) -> Result<()> {
        for (offset, frame) in &slab.frames {
            self.frame(*offset, frame)?;
        }
        for (view, chunks) in self.line.snapshot()? {
            let Some(state) = self.state.get_mut(&view) else { continue };
            remember(state, chunks);
        }
        Ok(())
    }

    fn frame(&mut self, offset: Offset, frame: &Frame) -> Result<()> {
        let mut ground = Ground::default();
        self.frames += 1;
        match &frame.body {
            Body::Block(block) => self.line.take(offset, frame, block, &mut ground)?,
            Body::Idle | Body::Ended => self.line.hear(offset, frame),
            Body::Table(bytes) => drop(self.line.tables().hear(frame, bytes)?),
            Body::Pin(_) => {}
        }
        loop {
            match self.line.grind(&mut ground)? {
                Progress::Done => break,
                Progress::Full => {}
                Progress::Waits => return Err(Error::stop("a view waits for a lookup")),
            }
        }
        for (edge, account) in &ground.ledger.0 {
            self.ledger.account(edge.stage, &edge.part).add(account);
        }
        Ok(())
    }

    /// Rows that a view was given.
    pub(crate) fn rows(&mut self, view: &str) -> u64 {
        self.ledger.account(Stage::View, view).r#in
    }

    /// The views that were built, and the sources whose event time is another than before, take their place in a line.
    pub(crate) fn move_into(&mut self, line: &mut Line, changed: &Changed) {
        for view in self.state.keys() {
            if let (Some(there), Some(here)) =
                (line.mills.operator(view), self.line.mills.operator(view))
            {
                std::mem::swap(there, here);
            }
        }
        for name in &changed.sources {
            let here = self.line.stations.get_mut(name).and_then(|s| s.time.take());
            if let (Some(station), Some(time)) = (line.stations.get_mut(name), here) {
                line.mills.set_source(name, time.reach());
                station.time = Some(time);
            }
        }
        let reaches: BTreeMap<&str, _> = self.line.mills.reaches().collect();
        let kept = line.under_state(&changed.views);
        line.mills.settle_reaches(|view, now| match kept.contains(view) {
            true => Some(now),
            false => reaches.get(view).copied(),
        });
    }
}

/// Adds what changed to a state.
pub(crate) fn remember(
    state: &mut BTreeMap<String, Bytes>,
    changed: millstream_core::operator::Chunks,
) {
    for (key, bytes) in changed {
        match bytes {
            Some(bytes) => drop(state.insert(key, bytes)),
            None => drop(state.remove(&key)),
        }
    }
}
