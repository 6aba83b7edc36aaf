//! What a checkpoint keeps of the line: the state of views, and how far event time has come.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::operator::Chunks;
use millstream_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::decode::Station;
use crate::line::Line;
use crate::status::{Kind, Status};
use crate::time::{Reach, SourceState};

/// The whole state, by view and key.
pub(crate) type State = BTreeMap<String, BTreeMap<String, Bytes>>;

/// In place of a view: event time. No view can have this name.
const TIME: &str = ":time";

/// Its one chunk: a commit makes each chunk durable by itself.
const ALL: &str = "all";

/// How far event time has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    sources: BTreeMap<String, SourceState>,
    views: BTreeMap<String, Reach>,
}

/// In place of a view: what the state of each view was made for.
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
        let times = self.times();
        if times != self.told {
            let bytes = postcard::to_stdvec(&times);
            let bytes = bytes.map_err(|e| Error::stop("cannot encode event time").because(e))?;
            changed.insert(TIME.to_owned(), Chunks::from([(ALL.to_owned(), Some(bytes.into()))]));
            self.told = times;
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

    /// The views whose state in there was not made for what they are now.
    pub(crate) fn made_otherwise(&self, state: &State) -> BTreeSet<String> {
        let told = texts(state);
        let made = self.made_for.iter().filter(|(view, text)| told.get(*view) != Some(*text));
        made.map(|(view, _)| view.clone()).collect()
    }

    fn times(&self) -> Times {
        let source = |(name, station): (&String, &Station)| {
            Some((name.clone(), station.time.as_ref()?.state().clone()))
        };
        let views = self.mills.reaches().map(|(view, reach)| (view.to_owned(), reach));
        Times { sources: self.stations.iter().filter_map(source).collect(), views: views.collect() }
    }

    fn go_back_in_time(&mut self, bytes: &[u8]) -> Result<()> {
        let Times { sources, views } = postcard::from_bytes(bytes).map_err(|e| {
            Error::stop("the event time in the checkpoint was written by another version")
                .because(e)
        })?;
        for (source, state) in sources {
            let station = self.stations.get_mut(&source);
            if let Some(time) = station.and_then(|station| station.time.as_mut()) {
                time.go_back(state);
                self.mills.set_source(&source, time.reach());
            }
        }
        for (view, reach) in views {
            self.mills.set_reach(&view, reach);
        }
        self.told = self.times();
        Ok(())
    }

    /// Tells people how far event time has come.
    pub(crate) fn tell_time(&self, status: &Status) {
        for (source, station) in &self.stations {
            if let Some(time) = &station.time {
                status.saw_watermark(Kind::Source, source, time.reach().upto());
            }
        }
        for (view, reach) in self.mills.reaches() {
            status.saw_watermark(Kind::View, view, reach.upto());
        }
    }

    /// Sets every view to a state, by view and key. Returns the views that have none there, or one that was made for
    /// another query, each with the event time from which on its windows are whole.
    pub(crate) fn restore(&mut self, state: &State) -> Result<Vec<(String, Timestamp)>> {
        if let Some(bytes) = state.get(TIME).and_then(|times| times.get(ALL)) {
            self.go_back_in_time(bytes)?;
        }
        self.told_for = texts(state);
        let mut anew = BTreeMap::new();
        for view in self.made_otherwise(state) {
            let latest = |source: &str| Some(self.stations.get(source)?.time.as_ref()?.latest());
            let latest = self.mills.feeding(&view).filter_map(latest).max();
            let latest = latest.filter(|at| *at != Timestamp::BEGIN);
            let whole_from = latest.map_or(Timestamp::BEGIN, |at| Timestamp(at.0 + 1));
            anew.insert(view, whole_from);
        }
        for (view, operator) in self.mills.operators() {
            let done = match (anew.get(view), state.get(view)) {
                (Some(whole_from), _) => operator.begin(*whole_from),
                (None, Some(chunks)) => operator.restore(chunks),
                (None, None) => Ok(()),
            };
            done.map_err(|e| e.at(format!("views.{view}")))?;
        }
        Ok(anew.into_iter().collect())
    }
}

/// What the state of each view was made for.
fn texts(state: &State) -> BTreeMap<String, String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let texts = state.get(MADE_FOR).into_iter().flatten();
    texts.map(|(view, bytes)| (view.clone(), text(bytes))).collect()
}
