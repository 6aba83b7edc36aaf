//! What a checkpoint keeps of the line: the state of views, and how far event time has come.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;
use millstream_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::decode::Station;
use crate::line::{Explained, Line};
use crate::marks::Marks;
use crate::meaning::{same, same_rows};
use crate::status::{Kind, Status};
use crate::tables;
use crate::time::{Reach, SourceState};

/// The whole state, by view and key.
pub(crate) type State = BTreeMap<String, BTreeMap<String, Bytes>>;

/// In place of a view: event time. No view can have this name.
const TIME: &str = ":time";

/// Its one chunk: a commit makes each chunk durable by itself.
const ALL: &str = "all";

/// And one that changes seldom: how far it had come before.
const MARKS: &str = "marks";

/// How far event time has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) sources: BTreeMap<String, SourceState>,
    pub(crate) views: BTreeMap<String, Reach>,
}

/// What has no state that it can go on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Views that keep state.
    pub(crate) views: BTreeSet<String>,
    /// Sources with event time.
    pub(crate) sources: BTreeSet<String>,
}

/// In place of a view: what the state of each view, and the event time of each source, was made for.
pub(crate) const MADE_FOR: &str = ":made_for";

impl Line {
    /// What changed of the state since this was asked last. Views without state say nothing.
    pub(crate) fn snapshot(&mut self) -> Result<BTreeMap<String, Chunks>> {
        let mut changed = BTreeMap::new();
        for (view, operator) in self.mills.operators() {
            let mut chunks = Chunks::new();
            operator.snapshot(&mut chunks).map_err(|e| e.at(format!("views.{view}")))?;
            if !chunks.is_empty() {
                changed.insert(view.to_owned(), chunks);
            }
        }
        let versions = self.tables().snapshot();
        if !versions.is_empty() {
            changed.insert(tables::STATE.to_owned(), versions);
        }
        let times = self.times();
        if times != self.told {
            let bytes = postcard::to_stdvec(&times);
            let bytes = bytes.map_err(|e| Error::stop("cannot encode event time").because(e))?;
            changed.insert(TIME.to_owned(), Chunks::from([(ALL.to_owned(), Some(bytes.into()))]));
            self.told = times;
        }
        if std::mem::take(&mut self.marked) {
            let marks = self.marks.encode()?;
            let chunks = changed.entry(TIME.to_owned()).or_default();
            chunks.insert(MARKS.to_owned(), Some(marks));
        }
        if self.told_for != self.made_for {
            let text = |text: &String| Some(Bytes::from(text.clone()));
            let gone = self.told_for.keys().map(|view| (view.clone(), None));
            let made = self.made_for.iter().map(|(view, t)| (view.clone(), text(t)));
            changed.insert(MADE_FOR.to_owned(), gone.chain(made).collect());
            self.told_for = self.made_for.clone();
        }
        Ok(changed)
    }

    /// Rows of a source have gone by unseen, which had arrived by then.
    pub(crate) fn unseen(&mut self, source: &str, arrived: Timestamp) {
        if let Some(time) = self.stations.get_mut(source).and_then(|s| s.time.as_mut()) {
            time.unseen(arrived);
        }
    }

    /// All frames before this have gone through, of which the queue still has those from `first` on: keeps how far time has come.
    pub(crate) fn mark(&mut self, at: Offset, first: Offset) {
        let mut marks = std::mem::take(&mut self.marks);
        if self.stations.values().any(|station| station.time.is_some()) {
            self.marked |= marks.add(at, first, || self.times());
        }
        self.marks = marks;
    }

    /// Views and sources whose state in there was not made for what they are now.
    pub(crate) fn made_otherwise(&self, state: &State) -> BTreeSet<String> {
        let told = texts(state);
        let told = |part: &str| told.get(part).map(String::as_str);
        let made = self.made_for.iter().filter(|(part, text)| !same(told(part), text));
        made.map(|(part, _)| part.clone()).collect()
    }

    fn times(&self) -> Times {
        let source = |(name, station): (&String, &Station)| {
            Some((name.clone(), station.time.as_ref()?.state().clone()))
        };
        let views = self.mills.reaches().map(|(view, reach)| (view.to_owned(), reach));
        Times { sources: self.stations.iter().filter_map(source).collect(), views: views.collect() }
    }

    /// Goes back to where sources and views had come. Says which sources had come nowhere that they can go on from.
    fn go_back_in_time(&mut self, times: Times) -> BTreeSet<String> {
        let Times { mut sources, views } = times;
        let mut changed = BTreeSet::new();
        for (name, station) in &mut self.stations {
            let Some(time) = &mut station.time else { continue };
            let told = self.told_for.get(name).map(String::as_str);
            let made = self.made_for.get(name).map_or("", String::as_str);
            match sources.remove(name) {
                // Older versions did not say what it was made for.
                Some(state) if told.is_none_or(|told| told == made) => time.go_back(state),
                other => {
                    changed.insert(name.clone());
                    let state = other.filter(|_| same_rows(told, made));
                    self.marked = true;
                    self.marks.each(|times| match (&state, times.sources.get_mut(name)) {
                        (Some(_), Some(mark)) => mark.for_delay(time.delay()),
                        (Some(_), None) => {}
                        (None, _) => drop(times.sources.remove(name)),
                    });
                    if let Some(state) = state {
                        time.go_back_for(state);
                    }
                }
            }
            self.mills.set_source(name, time.reach());
        }
        for (view, reach) in views {
            self.mills.set_reach(&view, reach);
        }
        changed
    }

    /// Tells people how far event time has come, and how much state views hold.
    pub(crate) fn tell_time(&self, status: &Status) {
        for (source, station) in &self.stations {
            if let Some(time) = &station.time {
                status.saw_watermark(Kind::Source, source, time.reach().upto());
            }
        }
        for (view, reach) in self.mills.reaches() {
            status.saw_watermark(Kind::View, view, reach.upto());
        }
        for (view, bytes) in self.mills.state_bytes() {
            status.saw_state(view, bytes);
        }
    }

    /// Sets every view and source to a state, by view and key, as far as it was made for what they are now. The others stay as
    /// if nothing had come: they are to be rebuilt, or to begin anew.
    pub(crate) fn restore(&mut self, state: &State) -> Result<Changed> {
        self.told_for = texts(state);
        if let Some(versions) = state.get(tables::STATE) {
            self.tables().restore(versions)?;
        }
        let chunk = |key: &str| state.get(TIME).and_then(|times| times.get(key));
        if let Some(bytes) = chunk(MARKS) {
            self.marks = Marks::decode(bytes)?;
        }
        let times = match chunk(ALL) {
            Some(bytes) => postcard::from_bytes(bytes).map_err(|e| {
                Error::stop("the event time in the checkpoint was written by another version")
                    .because(e)
            })?,
            None => Times::default(),
        };
        self.told = times.clone();
        let sources = self.go_back_in_time(times);
        let mut views = self.made_otherwise(state);
        views.retain(|name| !self.stations.contains_key(name));
        for (view, operator) in self.mills.operators() {
            let kept = self.made_for.contains_key(view) && !views.contains(view);
            if let (true, Some(chunks)) = (kept, state.get(view)) {
                operator.restore(chunks).map_err(|e| e.at(format!("views.{view}")))?;
            }
        }
        if !views.is_empty() {
            let kept = self.under_state(&views);
            self.mills.settle_reaches(|view, reach| kept.contains(view).then_some(reach));
        }
        Ok(Changed { views, sources })
    }

    /// Views with state other than these, and all that they read.
    pub(crate) fn under_state(&self, but: &BTreeSet<String>) -> BTreeSet<String> {
        let mut kept: BTreeSet<String> =
            self.made_for.keys().filter(|name| !but.contains(*name)).cloned().collect();
        for view in self.explained().iter().rev() {
            if kept.contains(&view.name) {
                kept.extend(view.inputs.iter().cloned());
            }
        }
        kept
    }

    /// Views begin where frames have come to: rows before that have gone by unseen. Says from when on their windows are whole;
    /// `gives` has from when on the rows of views that lack some are all there.
    pub(crate) fn begin_anew(
        &mut self,
        views: &BTreeSet<String>,
        gives: &mut BTreeMap<String, Timestamp>,
    ) -> Result<BTreeMap<String, Timestamp>> {
        let of = |view: &Explained| (view.name.clone(), view.inputs.clone());
        let all: Vec<(String, Vec<String>)> = self.explained().iter().map(of).collect();
        let mut begun = BTreeMap::new();
        for (view, inputs) in all {
            let given = inputs.iter().filter_map(|input| gives.get(input).copied()).max();
            if !views.contains(&view) {
                // A view without state passes on what it lacks.
                if let Some(given) = given {
                    gives.entry(view).or_insert(given);
                }
                continue;
            }
            let latest = |source: &str| Some(self.stations.get(source)?.time.as_ref()?.latest());
            let latest = self.mills.feeding(&view).filter_map(latest).max();
            let seen = latest.filter(|at| *at != Timestamp::BEGIN).map(|at| Timestamp(at.0 + 1));
            let whole_from = given.max(seen).unwrap_or(Timestamp::BEGIN);
            if whole_from != Timestamp::BEGIN
                && let Some(operator) = self.mills.operator(&view)
            {
                let given =
                    operator.begin(whole_from).map_err(|e| e.at(format!("views.{view}")))?;
                gives.insert(view.clone(), given);
            }
            begun.insert(view, whole_from);
        }
        Ok(begun)
    }
}

/// What the state of each view was made for.
fn texts(state: &State) -> BTreeMap<String, String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let texts = state.get(MADE_FOR).into_iter().flatten();
    texts.map(|(view, bytes)| (view.clone(), text(bytes))).collect()
}
