//! The line that frames run through: decoders, views and the ways between them, without I/O.
//!
//! `process` feeds it frame by frame; the same frames always give the same rows. It looks at the clock
//! for metrics only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use millstream_core::codec::{Columns, Rows};
use millstream_core::ledger::Ledger;
use millstream_core::operator::{
    Function, Planned, PlannedView, Planner, Table, Updates, View, ViewError,
};
use millstream_core::record::Block;
use millstream_core::{Error, Result};

use crate::busy::Busy;
use crate::dead_letters::DeadLetter;
use crate::decode::{Feed, Station};
use crate::grind::{Mills, Progress, Way, Ways};
use crate::lookup::Lookups;
use crate::marks::Marks;
use crate::meaning::Meanings;
use crate::remember::Times;
use crate::tables::Tables;

struct Door {
    name: String,
    schema: Option<SchemaRef>,
}

/// What a line is built from.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) sources: Vec<Feed>,
    pub(crate) lookups: Lookups,
    pub(crate) tables: Tables,
    pub(crate) views: Vec<View>,
    /// Name, and the source or view it takes, or [`View::late_rows`] of a view.
    pub(crate) sinks: Vec<(String, String)>,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) functions: Vec<Arc<dyn Function>>,
}

/// Decoders and views, wired.
pub(crate) struct Line {
    pub(crate) blueprint: Blueprint,
    pub(crate) stations: BTreeMap<String, Station>,
    pub(crate) mills: Mills,
    pub(crate) busy: Arc<Busy>,
    doors: Vec<Door>,
    explained: Vec<Explained>,
    waiting: BTreeMap<String, BTreeSet<String>>,
    /// For each view with state, and each source with event time, what that is made for.
    pub(crate) made_for: BTreeMap<String, String>,
    /// How far event time had come before, and whether a snapshot has yet to say so.
    pub(crate) marks: Marks,
    pub(crate) marked: bool,
    /// What the last snapshot said: how far views had come, and what their state was made for.
    pub(crate) told: Times,
    pub(crate) told_for: BTreeMap<String, String>,
}

/// A planned view in words.
pub(crate) struct Explained {
    pub(crate) name: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) schema: SchemaRef,
    pub(crate) steps: String,
    pub(crate) updates: Option<Updates>,
    /// Whether it has windows.
    pub(crate) windows: bool,
    /// The columns of rows that come late for them, where these go to sinks.
    pub(crate) late: Option<SchemaRef>,
}

/// What came of some frames.
#[derive(Default)]
pub(crate) struct Ground {
    /// Rows by sink, in order.
    pub(crate) rows: Vec<(usize, Rows)>,
    /// What was set aside on the way.
    pub(crate) letters: Vec<DeadLetter>,
    /// Accounts of records, decoding and views.
    pub(crate) ledger: Ledger,
    /// Bytes of all rows for sinks since this was taken last.
    pub(crate) bytes: usize,
    /// How long each view took for a batch: for metrics only, no row depends on it.
    pub(crate) took: Vec<(String, Duration)>,
}

impl Line {
    /// Plans everything whose columns are known.
    ///
    /// # Errors
    /// Everything that is wrong with any view.
    pub(crate) fn new(blueprint: Blueprint, busy: Arc<Busy>) -> Result<Self, Vec<ViewError>> {
        let mut line = Self {
            blueprint,
            stations: BTreeMap::new(),
            mills: Mills::default(),
            busy,
            doors: Vec::new(),
            explained: Vec::new(),
            waiting: BTreeMap::new(),
            made_for: BTreeMap::new(),
            marks: Marks::default(),
            marked: false,
            told: Times::default(),
            told_for: BTreeMap::new(),
        };
        for feed in &line.blueprint.sources {
            line.stations.insert(feed.name.clone(), Station::new(feed));
        }
        line.plan()?;
        Ok(line)
    }

    /// Sets the columns of a source that had none and plans anew what waited for them.
    pub(crate) fn pin(&mut self, source: &str, columns: Columns) -> Result<(), Vec<ViewError>> {
        if let Some(station) = self.stations.get_mut(source) {
            station.columns.get_or_insert(columns);
        }
        self.plan()
    }

    fn plan(&mut self) -> Result<(), Vec<ViewError>> {
        let tables: Vec<Table> = self
            .blueprint
            .sources
            .iter()
            .map(|feed| {
                let columns = self.stations.get(&feed.name).and_then(|s| s.columns.as_ref());
                let event_time = feed.event_time.as_ref().map(|time| time.column.clone());
                Table { event_time, ..Table::source(&feed.name, columns.map(Columns::schema)) }
            })
            .chain(self.blueprint.lookups.tables())
            .chain(self.blueprint.tables.tables())
            .collect();
        let planned =
            self.blueprint.planner.plan(&tables, &self.blueprint.views, &self.blueprint.functions);
        if !planned.errors.is_empty() {
            return Err(planned.errors);
        }
        self.wire(planned)
    }

    fn wire(&mut self, planned: Planned) -> Result<(), Vec<ViewError>> {
        self.blueprint.lookups.use_columns(&planned.used).map_err(|error| {
            let view = error.place().unwrap_or_default().to_owned();
            vec![ViewError { view, place: None, error }]
        })?;
        let mut ways_of: BTreeMap<String, Vec<Way>> = BTreeMap::new();
        for (i, view) in planned.views.iter().enumerate() {
            for (port, input) in view.inputs.iter().enumerate() {
                ways_of.entry(input.clone()).or_default().push(Way::View { index: i, port });
            }
        }
        for (i, (_, rows)) in self.blueprint.sinks.iter().enumerate() {
            ways_of.entry(rows.clone()).or_default().push(Way::Sink(i));
        }
        let reads = self.reads(planned.waiting.keys().map(String::as_str))?;
        // A sink that takes the source as it is needs every column, and so does a view that gives what comes late.
        let late = planned.views.iter().filter(|v| v.late.is_some());
        let late = late.flat_map(|v| v.inputs.iter().map(String::as_str));
        let direct = self.blueprint.sinks.iter().map(|(_, r)| r.as_str());
        let direct: BTreeSet<&str> = direct.chain(late).collect();
        for (name, station) in &mut self.stations {
            station.ways = ways_of.get(name).cloned().unwrap_or_default();
            station.use_columns(if direct.contains(name.as_str()) {
                None
            } else {
                Some(planned.used.get(name).cloned().unwrap_or_default())
            });
            station.waits_for = planned
                .waiting
                .iter()
                .filter(|(view, _)| reads.get(*view).is_some_and(|r| r.contains(name)))
                .flat_map(|(_, tables)| tables.iter().cloned())
                .collect();
        }
        self.doors = self.doors_of(&planned);
        self.explained = planned
            .views
            .iter()
            .map(|v| Explained {
                name: v.name.clone(),
                inputs: v.inputs.clone(),
                schema: v.schema.clone(),
                steps: v.explain.clone(),
                updates: v.updates.clone(),
                windows: v.state.is_some(),
                late: v.late.clone(),
            })
            .collect();
        self.waiting = planned.waiting;
        self.made_for = self.meant(&planned.views);
        let views = planned.views.into_iter().map(|view| {
            let of = |rows: &str| ways_of.get(rows).cloned().unwrap_or_default();
            let late = view.late.as_ref().map(|_| of(&View::late_rows(&view.name)));
            let ways = Ways { rows: of(&view.name), late: late.unwrap_or_default() };
            (view, ways)
        });
        let timed = self
            .stations
            .iter()
            .filter_map(|(name, station)| Some((name.clone(), station.time.as_ref()?.reach())));
        self.mills = Mills::new(views, timed, self.busy.clone());
        Ok(())
    }

    /// Every sink with the columns of what it takes, as far as they are known.
    fn doors_of(&self, planned: &Planned) -> Vec<Door> {
        let mut schemas = BTreeMap::new();
        for view in &planned.views {
            schemas.insert(view.name.clone(), view.schema.clone());
            schemas.extend(view.late.iter().map(|c| (View::late_rows(&view.name), c.clone())));
        }
        let doors = self.blueprint.sinks.iter().map(|(name, rows)| {
            let of_source = || self.stations.get(rows)?.columns.as_ref().map(Columns::schema);
            let schema = schemas.get(rows).cloned().or_else(of_source);
            Door { name: name.clone(), schema }
        });
        doors.collect()
    }

    /// What the state of these views, and the event time of sources, is made for.
    fn meant(&self, views: &[PlannedView]) -> BTreeMap<String, String> {
        let mut meanings = Meanings::default();
        let timed = self.blueprint.sources.iter();
        let timed = timed.filter_map(|feed| Some((feed, feed.event_time.as_ref()?)));
        let mut made_for: BTreeMap<String, String> = timed
            .map(|(feed, time)| (feed.name.clone(), meanings.source(&feed.name, time)))
            .collect();
        let file: BTreeMap<&str, &View> =
            self.blueprint.views.iter().map(|view| (view.name.as_str(), view)).collect();
        for view in views {
            let text = meanings.view(view, file.get(view.name.as_str()).copied());
            made_for.extend(text.map(|text| (view.name.clone(), text)));
        }
        made_for
    }

    /// What each of these views reads, through other views too.
    pub(crate) fn reads<'a>(
        &self,
        of: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, Vec<ViewError>> {
        let mut of = of.peekable();
        let mut straight = BTreeMap::new();
        if of.peek().is_some() {
            for view in &self.blueprint.views {
                let tables = self.blueprint.planner.reads(view).map_err(|e| vec![e])?;
                straight.insert(view.name.as_str(), tables);
            }
        }
        let through = of.map(|view| {
            let mut reads = BTreeSet::new();
            // What comes late for a view depends on all that the view reads.
            let mut next = vec![View::of_late(view).unwrap_or(view)];
            while let Some(tables) = next.pop().map(|view| straight.get(view)) {
                let new = tables.into_iter().flatten().filter(|t| reads.insert((*t).clone()));
                next.extend(new.map(String::as_str));
            }
            (view.to_owned(), reads)
        });
        Ok(through.collect())
    }

    /// Sinks whose rows are made of what these lookups answer, with those.
    ///
    /// # Errors
    /// The text of a view cannot be parsed.
    pub(crate) fn looked_up(
        &self,
        lookups: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, Vec<ViewError>> {
        if lookups.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sinks = self.blueprint.sinks.iter();
        let reads = self.reads(sinks.clone().map(|(_, rows)| rows.as_str()))?;
        let of = |(sink, rows): &(String, String)| {
            let asked: BTreeSet<String> = reads.get(rows)?.intersection(lookups).cloned().collect();
            (!asked.is_empty()).then(|| (sink.clone(), asked))
        };
        Ok(sinks.filter_map(of).collect())
    }

    /// What views ask.
    pub(crate) fn lookups(&self) -> &Lookups {
        &self.blueprint.lookups
    }

    /// The reference tables that views join.
    pub(crate) fn tables(&self) -> &Tables {
        &self.blueprint.tables
    }

    /// Whether a source's columns have what its event time needs.
    ///
    /// # Errors
    /// `Stop` with what to declare.
    pub(crate) fn fits(&self, source: &str, columns: &Columns) -> Result<()> {
        let time = self.stations.get(source).and_then(|s| s.time.as_ref());
        time.map_or(Ok(()), |time| time.fits(source, columns))
    }

    /// Sinks with the schema of their rows; `None` while columns are missing.
    pub(crate) fn sinks(&self) -> impl Iterator<Item = (&str, Option<&SchemaRef>)> {
        self.doors.iter().map(|d| (d.name.as_str(), d.schema.as_ref()))
    }

    /// Whether there is a view of this name that keeps state, or may turn out to once it is planned.
    pub(crate) fn may_have_state(&self, name: &str) -> bool {
        self.made_for.contains_key(name) || self.waiting.contains_key(name)
    }

    /// Views with their inputs and plans.
    pub(crate) fn explained(&self) -> &[Explained] {
        &self.explained
    }

    /// What a view that is not planned yet waits for.
    pub(crate) fn waits_for(&self, view: &str) -> Vec<String> {
        self.waiting.get(view).map_or_else(Vec::new, |w| w.iter().cloned().collect())
    }

    /// Columns of a source: all of them, and the ones that are decoded.
    pub(crate) fn columns(&self, source: &str) -> Option<(&Columns, Option<&BTreeSet<String>>)> {
        let station = self.stations.get(source)?;
        Some((station.columns.as_ref()?, station.used.as_ref()))
    }

    /// Sources without columns.
    pub(crate) fn unpinned(&self) -> BTreeSet<String> {
        self.stations.iter().filter(|(_, s)| s.columns.is_none()).map(|(n, _)| n.clone()).collect()
    }

    /// Sources whose columns must be known before a frame of this one can be taken: itself, and those
    /// that feed the same view.
    pub(crate) fn missing_for(&self, source: &str) -> BTreeSet<String> {
        let Some(station) = self.stations.get(source) else { return BTreeSet::new() };
        let mut missing: BTreeSet<String> = station.waits_for.clone();
        if station.columns.is_none() {
            missing.insert(source.to_owned());
        }
        missing.retain(|s| self.stations.get(s).is_some_and(|s| s.columns.is_none()));
        missing
    }

    /// Works out columns from blocks of a source.
    pub(crate) fn infer(&self, source: &str, blocks: &[Block]) -> Result<Option<Columns>> {
        match self.stations.get(source) {
            Some(station) => station.codec.infer(blocks),
            None => Ok(None),
        }
    }

    /// Takes decoded rows through the views, as far as they come; called again, it goes on from there.
    pub(crate) fn grind(&mut self, ground: &mut Ground) -> Result<Progress> {
        self.mills.grind(ground)
    }

    /// How many pieces of state a snapshot would have to write now.
    pub(crate) fn changed(&self) -> usize {
        self.mills.mills.iter().map(|mill| mill.operator.changed()).sum()
    }

    /// Forgets the frame that is half taken.
    pub(crate) fn forget(&mut self) {
        self.mills.clear();
    }
}

/// A person's text for views that are wrong, when no file is at hand.
pub(crate) fn view_errors(errors: &[ViewError]) -> Error {
    let text: Vec<String> = errors
        .iter()
        .map(|e| match e.place {
            Some((line, column)) => format!("view `{}` ({line}:{column}): {}", e.view, e.error),
            None => format!("view `{}`: {}", e.view, e.error),
        })
        .collect();
    Error::stop(text.join("\n"))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use millstream_testkit::fakes::{Chain, Lines};

    use super::*;

    /// A thousand views, each on the one before.
    fn line(columns: Option<Columns>) -> Line {
        let view = |i: u32| {
            let of = if i == 0 { "a".to_owned() } else { format!("v{}", i - 1) };
            View::new(format!("v{i}"), format!("all of {of}"))
        };
        let blueprint = Blueprint {
            sources: vec![Feed {
                name: "a".into(),
                codec: Arc::new(Lines),
                columns,
                event_time: None,
            }],
            lookups: Lookups::default(),
            tables: Tables::default(),
            views: (0..1_000).map(view).collect(),
            sinks: vec![("s".into(), "v999".into())],
            planner: Arc::new(Chain),
            functions: Vec::new(),
        };
        Line::new(blueprint, Arc::default()).unwrap()
    }

    #[test]
    fn a_thousand_views_on_each_other_are_wired_in_no_time() {
        let started = Instant::now();
        assert_eq!(line(Some(Lines::columns())).explained().len(), 1_000);
        let waiting = line(None);
        assert_eq!(waiting.waits_for("v999"), ["a"]);
        assert_eq!(waiting.missing_for("a").len(), 1);
        // A debug build, beside other tests.
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
}
