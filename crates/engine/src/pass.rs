//! Event time passes through the views: each hears how far what it reads has come, once that has given all its rows.
//!
//! ```text
//! frame ─ rows, all the way ─▶ its source has come further ─▶ view ─ rows that time makes, all the way ─▶ the next view …
//! ```
//!
//! So does the end of a frame: a view that gives each row that changed gives it once, however often it changed with the frame.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::Result;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Operator, Output, PlannedView};
use millstream_core::record::Offset;

use crate::grind::Mills;
use crate::line::Ground;
use crate::time::Reach;

/// What feeds a port, as far as time goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Feed {
    Source(String),
    /// A view, by its index.
    View(usize),
    /// It has no event time.
    Timeless,
}

/// What came of letting a view hear of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// All have heard of it.
    All,
    /// One more has, or a part of what it gives has come.
    One,
    /// What it gives next lacks answers of a lookup.
    Waits,
}

/// How a view stands in time.
pub(crate) struct Timing {
    feeds: Vec<Feed>,
    /// Whether time passing means something to it.
    stateful: bool,
    /// How far it has come; `None` if nothing that feeds it has event time.
    reach: Option<Reach>,
    /// It has rows to give when a frame ends.
    settles: bool,
    /// Rows that time, or its end, made with this frame so far.
    made: u32,
    /// Rows of one source come to it by several feeds.
    kin: bool,
}

/// What a view is yet to hear of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// How far time has come with it.
    Time(usize),
    /// That it ends.
    End(usize),
}

/// How far sources have come, and who is yet to hear of it.
#[derive(Default)]
pub(crate) struct Passing {
    sources: BTreeMap<String, Reach>,
    /// Views so far by name, and whether they have event time: while views are put in place.
    views: BTreeMap<String, (usize, bool)>,
    /// The views that a source feeds, straight or through others, in order.
    fed: BTreeMap<String, BTreeSet<usize>>,
    /// The same of all sources, those without event time too.
    behind: BTreeMap<String, BTreeSet<usize>>,
    /// The source of the frame, and how far it has come with it; told once all rows have gone through.
    came: Option<(String, Option<Reach>)>,
    /// What views are yet to hear, the next last.
    due: Vec<Turn>,
    frame: (Offset, Timestamp),
}

impl Passing {
    pub(crate) fn new(sources: impl IntoIterator<Item = (String, Reach)>) -> Self {
        Self { sources: sources.into_iter().collect(), ..Self::default() }
    }

    /// How the next view stands in time.
    pub(crate) fn of(&mut self, view: &PlannedView) -> Timing {
        let index = self.views.len();
        let feed = |input: &String| match self.views.get(input) {
            _ if self.sources.contains_key(input) => Feed::Source(input.clone()),
            Some((view, true)) => Feed::View(*view),
            _ => Feed::Timeless,
        };
        let feeds: Vec<Feed> = view.inputs.iter().map(feed).collect();
        for feed in &feeds {
            match feed {
                Feed::Source(source) => {
                    self.fed.entry(source.clone()).or_default().insert(index);
                }
                Feed::View(through) => {
                    for fed in self.fed.values_mut().filter(|fed| fed.contains(through)) {
                        fed.insert(index);
                    }
                }
                Feed::Timeless => {}
            }
        }
        self.note_behind(index, view);
        let timed = feeds.iter().any(|feed| *feed != Feed::Timeless);
        let behind = feeds.iter().flat_map(|feed| self.sources_of(feed)).collect::<Vec<_>>();
        let kin = behind.iter().collect::<BTreeSet<_>>().len() < behind.len();
        self.views.insert(view.name.clone(), (index, timed));
        let reach = timed.then_some(Reach::BEGIN);
        Timing { feeds, stateful: view.state.is_some(), settles: view.settles, reach, made: 0, kin }
    }

    /// Notes which sources feed a view, whether they have event time or not.
    fn note_behind(&mut self, index: usize, view: &PlannedView) {
        for input in &view.inputs {
            match self.views.get(input) {
                None => {
                    self.behind.entry(input.clone()).or_default().insert(index);
                }
                Some((through, _)) => {
                    for fed in self.behind.values_mut().filter(|fed| fed.contains(through)) {
                        fed.insert(index);
                    }
                }
            }
        }
    }

    /// The sources of a feed, straight or through others.
    fn sources_of(&self, feed: &Feed) -> Vec<String> {
        match feed {
            Feed::Source(source) => vec![source.clone()],
            Feed::View(view) => {
                let fed = self.fed.iter().filter(|(_, fed)| fed.contains(view));
                fed.map(|(source, _)| source.clone()).collect()
            }
            Feed::Timeless => vec![],
        }
    }

    /// Whether some view is yet to hear of it.
    pub(crate) fn is_passing(&self) -> bool {
        self.came.is_some() || !self.due.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.came = None;
        self.due.clear();
    }
}

impl Timing {
    /// Whether the view keeps state.
    pub(crate) fn keeps_state(&self) -> bool {
        self.stateful
    }
}

impl Mills {
    /// A frame of a source has come, and with it event time this far, if the source has one.
    pub(crate) fn rise(&mut self, frame: (Offset, Timestamp), source: &str, reach: Option<Reach>) {
        self.time.frame = frame;
        let before = self.time.sources.get(source);
        let rose = reach.is_some_and(|reach| before.is_some_and(|before| *before != reach));
        let behind = self.time.behind.get(source).into_iter().flatten();
        let mut mills = behind.filter_map(|index| self.mills.get(*index));
        if rose || mills.any(|mill| mill.timing.settles) {
            self.time.came = Some((source.to_owned(), reach.filter(|_| rose)));
        }
        for mill in &mut self.mills {
            mill.timing.made = 0;
        }
    }

    /// How far each view with event time has come.
    pub(crate) fn reaches(&self) -> impl Iterator<Item = (&str, Reach)> {
        self.mills.iter().filter_map(|m| Some((m.name.as_ref(), m.timing.reach?)))
    }

    /// Goes back to where a view had come.
    pub(crate) fn set_reach(&mut self, view: &str, reach: Reach) {
        for mill in self.mills.iter_mut().filter(|m| m.name.as_ref() == view) {
            mill.timing.reach = mill.timing.reach.map(|_| reach);
        }
    }

    /// Sets how far views have come: each to what is given for it, knowing where it stands; else to where what it reads stands.
    pub(crate) fn settle_reaches(&mut self, given: impl Fn(&str, Reach) -> Option<Reach>) {
        for index in 0..self.mills.len() {
            let Some(mill) = self.mills.get(index) else { continue };
            let Some(now) = mill.timing.reach else { continue };
            let reach = given(&mill.name, now).unwrap_or_else(|| {
                let feeds = mill.timing.feeds.iter().filter_map(|feed| self.reach_of(feed));
                Reach::of_all(Reach::BEGIN, feeds)
            });
            if let Some(mill) = self.mills.get_mut(index) {
                mill.timing.reach = Some(reach);
            }
        }
    }

    /// The sources that feed a view, straight or through others.
    pub(crate) fn feeding(&self, view: &str) -> impl Iterator<Item = &str> {
        let index = self.mills.iter().position(|m| m.name.as_ref() == view);
        let fed =
            self.time.fed.iter().filter(move |(_, fed)| index.is_some_and(|i| fed.contains(&i)));
        fed.map(|(source, _)| source.as_str())
    }

    /// Goes back to where a source had come.
    pub(crate) fn set_source(&mut self, source: &str, reach: Reach) {
        self.time.sources.insert(source.to_owned(), reach);
    }

    fn reach_of(&self, feed: &Feed) -> Option<Reach> {
        match feed {
            Feed::Source(name) => self.time.sources.get(name).copied(),
            Feed::View(index) => self.mills.get(*index)?.timing.reach,
            Feed::Timeless => None,
        }
    }

    /// Rows where they meet those of other feeds of a view: none of them is later than the last feed lets it be.
    pub(crate) fn meeting(&self, index: usize, port: usize, mut rows: Rows) -> Rows {
        let Some(timing) = self.mills.get(index).map(|m| &m.timing) else { return rows };
        let (Some(reach), true) = (timing.reach, timing.feeds.len() > 1) else { return rows };
        let others = timing.feeds.iter().enumerate().filter(|(other, _)| *other != port);
        let most = others.filter_map(|(_, feed)| match self.reach_of(feed)? {
            Reach::Upto(at) => Some(at),
            // Rows of this very frame may be yet to come by the other feed.
            Reach::Idle(at) => timing.kin.then_some(at),
        });
        let most = most.min().unwrap_or(Timestamp::END);
        let least = Some(reach.upto()).filter(|at| *at != Timestamp::END);
        rows.origin = rows.origin.meeting(least.unwrap_or(Timestamp::BEGIN), most);
        rows
    }

    /// Lets the next view hear of the frame, if there is one.
    pub(crate) fn pass(&mut self, ground: &mut Ground) -> Result<Passed> {
        if let Some((source, reach)) = self.time.came.take() {
            self.plan_turns(&source, reach.is_some());
            if let Some(reach) = reach {
                self.time.sources.insert(source, reach);
            }
        }
        match self.time.due.pop() {
            Some(Turn::Time(index)) => self.pass_time(index, ground),
            Some(Turn::End(index)) => self.end(index, ground),
            None => Ok(Passed::All),
        }
    }

    fn plan_turns(&mut self, source: &str, rose: bool) {
        let fed = self.time.fed.get(source);
        let mut due = vec![];
        for index in self.time.behind.get(source).into_iter().flatten().rev() {
            if self.mills.get(*index).is_some_and(|mill| mill.timing.settles) {
                due.push(Turn::End(*index));
            }
            if rose && fed.is_some_and(|fed| fed.contains(index)) {
                due.push(Turn::Time(*index));
            }
        }
        self.time.due = due;
    }

    /// Lets a view hear how far time has come.
    fn pass_time(&mut self, index: usize, ground: &mut Ground) -> Result<Passed> {
        let Some(timing) = self.mills.get(index).map(|m| &m.timing) else { return Ok(Passed::One) };
        let Some(before) = timing.reach else { return Ok(Passed::One) };
        let stateful = timing.stateful;
        let reach = Reach::of_all(before, timing.feeds.iter().filter_map(|f| self.reach_of(f)));
        let (mut more, mut waits) = (false, false);
        if stateful && reach.upto() != before.upto() {
            let act = |view: &mut dyn Operator, arrival, out: &mut Output| {
                view.advance(reach.upto(), arrival, out)
            };
            (more, waits) = self.turn(index, before.upto(), ground, act)?;
        }
        if more {
            self.time.due.push(Turn::Time(index));
        } else if let Some(mill) = self.mills.get_mut(index) {
            mill.timing.reach = Some(reach);
        }
        Ok(if waits { Passed::Waits } else { Passed::One })
    }

    /// Lets a view hear that the frame ends.
    fn end(&mut self, index: usize, ground: &mut Ground) -> Result<Passed> {
        let reach = self.mills.get(index).and_then(|m| m.timing.reach);
        let before = reach.map_or(Timestamp::BEGIN, Reach::upto);
        let act = |view: &mut dyn Operator, arrival, out: &mut Output| view.settle(arrival, out);
        let (more, waits) = self.turn(index, before, ground, act)?;
        if more {
            self.time.due.push(Turn::End(index));
        }
        Ok(if waits { Passed::Waits } else { Passed::One })
    }

    /// Lets a view give rows; whether it has more, and whether it lacks answers for them.
    fn turn(
        &mut self,
        index: usize,
        before: Timestamp,
        ground: &mut Ground,
        act: impl FnOnce(&mut dyn Operator, Timestamp, &mut Output) -> Result<()>,
    ) -> Result<(bool, bool)> {
        let (offset, arrival) = self.time.frame;
        let mut out = Output::default();
        self.act(index, ground, |view| act(view, arrival, &mut out))?;
        let name = self.mills.get(index).map_or("", |mill| mill.name.as_ref());
        assert!(out.late.is_empty(), "view `{name}` has rows of time come late");
        self.name(index, offset, before, &mut out);
        self.pass_on(index, &out, arrival, ground)?;
        Ok((out.more || out.waits, out.waits))
    }

    /// Gives rows that time made their names.
    fn name(&mut self, index: usize, offset: Offset, before: Timestamp, out: &mut Output) {
        let Some(mill) = self.mills.get_mut(index) else { return };
        let made = &mut mill.timing.made;
        let refused = out.refused.iter_mut().map(|(rows, _)| rows);
        for rows in out.rows.iter_mut().chain(refused) {
            rows.origin = Origin::of_time(offset, *made, rows.len(), before);
            *made = made.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        }
    }
}
