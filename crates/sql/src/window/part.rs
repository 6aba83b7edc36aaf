//! A part of the state: the groups of some keys, which one thread looks after.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion_common::Result;

use super::away::{Away, Store};
use super::batch::Batch;
use super::emit::Source;
use super::groups::{Groups, Shape};
use super::keys::Key;
use super::panes::Panes;
use super::sessions::Sessions;
use super::spans::Spans;
use super::spec::{Aggregation, Window};
use super::waiting::Waiting;

pub(super) struct Part {
    pub state: State,
    /// The number of the next chunk.
    pub next_run: u32,
    /// What the last snapshot had beside groups.
    pub notes: Vec<u8>,
    /// It lies in a file; `state` has no groups then, and says up to where windows were given.
    pub away: Option<Away>,
    /// Its chunks that a checkpoint does not have yet, and its file.
    pub store: Store,
    /// Rows that wait for it to come back.
    pub waiting: Waiting,
}

pub(super) enum State {
    Panes(Box<Panes>),
    Sessions(Box<Sessions>),
}

/// Rows of a batch that were not taken.
#[derive(Default)]
pub(super) struct Aside {
    pub late: Vec<u32>,
    /// A sum would overflow with them.
    pub refused: Vec<u32>,
}

/// The part of `parts` that has a key.
pub(super) fn part_of(key: Key<'_>, parts: usize) -> usize {
    // Bits of the hash that tables, which use its ends, need least.
    let bits = (key.hash() >> 16) & u64::from(u32::MAX);
    usize::try_from((bits * parts as u64) >> 32).unwrap_or(0)
}

impl Part {
    pub(super) fn new(spec: &Aggregation, shape: &Arc<Shape>) -> Self {
        let (lateness, shape) = (spec.allowed_lateness, shape.clone());
        let state = match (spec.window, Spans::new(spec.window)) {
            // Of windows of a moment there are as many as of groups: nothing would be shared in a pane.
            (window, _) if window.is_of_moments() && spec.spill.is_none() => {
                State::Sessions(Box::new(Sessions::of_moments(lateness, shape)))
            }
            (_, Some(spans)) => State::Panes(Box::new(Panes::new(spans, lateness, shape))),
            (Window::Session { gap }, None) => {
                State::Sessions(Box::new(Sessions::new(gap, lateness, shape)))
            }
            (_, None) => State::Sessions(Box::new(Sessions::new(1, lateness, shape))),
        };
        let (store, waiting) = (Store::default(), Waiting::default());
        Self { state, next_run: 0, notes: vec![], away: None, store, waiting }
    }

    /// Takes rows in.
    pub(super) fn add(&mut self, batch: &Batch, rows: &[u32]) -> Result<Aside> {
        let mut aside = Aside::default();
        match &mut self.state {
            State::Panes(panes) => {
                let sorted = panes.sort(batch, rows);
                aside.late = sorted.late;
                for turn in &sorted.turns {
                    if let Some(upto) = turn.seal {
                        panes.seal(upto)?;
                    }
                    for (pane, rows) in &turn.rows {
                        panes.add(batch, *pane, rows, &mut aside.refused)?;
                    }
                }
            }
            State::Sessions(sessions) => {
                sessions.add(batch, rows, &mut aside.late, &mut aside.refused)?;
            }
        }
        Ok(aside)
    }

    /// What rows may add to the bytes of state, beyond their keys and values: the most, or exactly. `shares` are
    /// its rows of each batch.
    pub(super) fn growth(&self, batches: &[Batch], shares: &[&[u32]], exactly: bool) -> usize {
        match &self.state {
            State::Panes(panes) => {
                let sorted = batches.iter().zip(shares).map(|(b, rows)| panes.sort(b, rows));
                panes.growth(batches, &sorted.collect::<Vec<_>>(), exactly)
            }
            State::Sessions(sessions) => sessions.growth(shares.iter().map(|s| s.len()).sum()),
        }
    }

    /// More than rows can add to the bytes of state, beyond their keys and values, found quickly.
    pub(super) fn growth_max(&self, rows: usize) -> usize {
        match &self.state {
            // Each row may be the first of a pane, and each pane may have to make room.
            State::Panes(panes) => {
                let empty = Groups::new(&panes.shape);
                panes.bytes() + rows * (empty.growth(1) + empty.growth(4))
            }
            State::Sessions(sessions) => sessions.growth(rows),
        }
    }

    /// What is to be given at this moment: where the groups are, and which, in order.
    pub(super) fn open(&mut self, at: i64) -> Result<(Option<Source>, Vec<u32>)> {
        match &mut self.state {
            State::Panes(panes) if panes.next(at) == Some(at) => {
                let (source, order) = panes.open(at)?;
                Ok((Some(source), order))
            }
            State::Panes(_) => Ok((None, vec![])),
            State::Sessions(sessions) => Ok((None, sessions.find_due(at)?)),
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        if let Some(away) = &self.away {
            return away.groups;
        }
        match &self.state {
            State::Panes(panes) => panes.panes.values().map(Groups::len).sum(),
            State::Sessions(sessions) => sessions.len(),
        }
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        match &self.state {
            State::Panes(panes) => panes.bytes() + self.away.as_ref().map_or(0, Away::bytes),
            State::Sessions(sessions) => sessions.bytes(),
        }
    }

    /// How many groups a snapshot would have to write.
    pub(super) fn changed(&self) -> usize {
        match &self.state {
            State::Panes(panes) => panes.panes.values().map(|g| g.saved.changed()).sum(),
            State::Sessions(sessions) => sessions.saved.changed(),
        }
    }

    /// The first moments of panes; none of sessions.
    pub(super) fn panes(&self) -> BTreeSet<i64> {
        if let Some(away) = &self.away {
            return away.panes.keys().copied().collect();
        }
        match &self.state {
            State::Panes(panes) => panes.panes.keys().copied().collect(),
            State::Sessions(_) => BTreeSet::new(),
        }
    }
}
