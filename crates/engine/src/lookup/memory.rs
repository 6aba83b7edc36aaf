//! What is known of one lookup's keys while frames are taken, as steps of views see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use millstream_core::codec::Columns;
use millstream_core::lookup::{Answer, Answers, Key, Known, Place, Read, Reader};
use millstream_core::{Error, Result};

use super::cache::Cache;
use crate::status::PartStatus;

/// Answers at hand for the frames that are being taken, and the cache they come from.
///
/// A key has one answer within a step, however short its time is; if answers are recorded, within an epoch.
pub(crate) struct Memory {
    /// What cannot be had is nulls.
    nulls: bool,
    recorded: bool,
    status: Arc<PartStatus>,
    state: Mutex<State>,
}

struct State {
    columns: Columns,
    /// Made for the columns in use; none before it is known which they are.
    reader: Option<Box<dyn Reader>>,
    cache: Cache,
    hand: BTreeMap<Key, Arc<Answer>>,
    missing: BTreeSet<Key>,
    /// Keys that became nulls meanwhile, as their answer could not be had or read.
    nulled: BTreeSet<Key>,
    now: Instant,
}

/// What is known only from outside of it.
pub(crate) struct Habits {
    /// What cannot be had is nulls.
    pub(crate) nulls: bool,
    /// Answers are recorded.
    pub(crate) recorded: bool,
}

impl Memory {
    pub(crate) fn new(habits: &Habits, cache: Cache, status: Arc<PartStatus>) -> Self {
        let state = State {
            columns: Columns::default(),
            reader: None,
            cache,
            hand: BTreeMap::new(),
            missing: BTreeSet::new(),
            nulled: BTreeSet::new(),
            now: Instant::now(),
        };
        let Habits { nulls, recorded } = *habits;
        Self { nulls, recorded, status, state: Mutex::new(state) }
    }

    /// Which columns are asked for from now on. Other answers than theirs are forgotten.
    pub(crate) fn use_columns(&self, columns: Columns, reader: Box<dyn Reader>) {
        let mut state = self.state.lock();
        if state.reader.is_some() && state.columns == columns {
            return;
        }
        state.columns = columns;
        state.reader = Some(reader);
        state.cache.clear();
        state.hand.clear();
        state.missing.clear();
    }

    /// Another step begins.
    pub(crate) fn begin(&self) {
        let mut state = self.state.lock();
        if !self.recorded {
            state.hand.clear();
            state.nulled.clear();
        }
        state.missing.clear();
        state.now = Instant::now();
    }

    /// An epoch ends: what was at hand in it, for those columns.
    pub(crate) fn take_hand(&self) -> (Vec<String>, BTreeMap<Key, Arc<Answer>>) {
        let mut state = self.state.lock();
        state.nulled.clear();
        (state.names(), std::mem::take(&mut state.hand))
    }

    /// An epoch begins for which this is at hand.
    pub(crate) fn put_hand(&self, hand: BTreeMap<Key, Arc<Answer>>) {
        let mut state = self.state.lock();
        state.nulled.clear();
        state.hand = hand;
    }

    /// The names of the columns in use.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.state.lock().names()
    }

    /// The keys whose answers steps have waited for since this was asked last, and the columns to ask for.
    pub(crate) fn take_missing(&self) -> (Vec<Key>, Columns) {
        let mut state = self.state.lock();
        let keys = std::mem::take(&mut state.missing).into_iter().collect();
        (keys, state.columns.clone())
    }

    /// They could not be had yet.
    pub(crate) fn put_missing(&self, keys: Vec<Key>) {
        self.state.lock().missing.extend(keys);
    }

    pub(crate) fn lacks(&self) -> bool {
        !self.state.lock().missing.is_empty()
    }

    /// Puts answers at hand, and keeps them for a while.
    pub(crate) fn learn(&self, keys: Vec<Key>, answers: Vec<Answer>) {
        let mut state = self.state.lock();
        let now = Instant::now();
        for (key, answer) in keys.into_iter().zip(answers) {
            let answer = Arc::new(answer);
            state.cache.put(key.clone(), answer.clone(), now);
            state.hand.insert(key, answer);
        }
    }

    /// Nobody answers for these keys: in this step they have nothing.
    pub(crate) fn lose(&self, keys: Vec<Key>) {
        let mut state = self.state.lock();
        self.status.unanswered.inc_by(keys.len() as u64);
        for key in keys {
            state.nulled.insert(key.clone());
            state.hand.insert(key, Arc::new(Answer::Nothing));
        }
    }
}

impl State {
    fn names(&self) -> Vec<String> {
        self.columns.0.iter().map(|c| c.name.clone()).collect()
    }

    /// The answers for keys, if all are at hand.
    fn answers(&mut self, keys: &[&str]) -> Option<Vec<Arc<Answer>>> {
        let mut answers = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(answer) = self.hand.get(*key) {
                answers.push(answer.clone());
            } else if let Some(answer) = self.cache.get(key, self.now) {
                self.hand.insert(Arc::from(*key), answer.clone());
                answers.push(answer);
            } else {
                self.missing.insert(Arc::from(*key));
            }
        }
        (answers.len() == keys.len()).then_some(answers)
    }
}

impl Answers for Memory {
    fn find(&self, keys: &[&str]) -> Result<Option<Known>> {
        let mut state = self.state.lock();
        let Some(answers) = state.answers(keys) else { return Ok(None) };
        let mut found = Vec::new();
        // For each found answer, which key it is of.
        let mut of = Vec::new();
        let mut places = vec![Place::Nowhere; keys.len()];
        for ((i, answer), place) in answers.iter().enumerate().zip(&mut places) {
            match answer.as_ref() {
                Answer::Nothing => {}
                Answer::Found(values) => {
                    found.push(values.as_slice());
                    of.push(i);
                }
                Answer::Unfit(why) => *place = Place::Unfit(why.clone()),
            }
        }
        let Some(reader) = state.reader.as_mut() else {
            return Err(Error::stop("a lookup is asked before it is known for which columns"));
        };
        let Read { rows, unfit } = reader.read(&found)?;
        let mut unfit: BTreeMap<usize, String> = unfit.into_iter().collect();
        let mut row = 0;
        for (i, key) in of.into_iter().enumerate() {
            let Some(place) = places.get_mut(key) else { continue };
            *place = match unfit.remove(&i) {
                Some(why) => Place::Unfit(why),
                None => {
                    row += 1;
                    Place::Row(row - 1)
                }
            };
        }
        if self.nulls {
            self.make_nulls(&mut state, keys, &mut places);
        }
        Ok(Some(Known { rows, places }))
    }

    fn is_recorded(&self) -> bool {
        self.recorded
    }

    fn gives_nulls(&self) -> bool {
        self.nulls
    }
}

impl Memory {
    /// What does not fit is nulls, and counted once.
    fn make_nulls(&self, state: &mut State, keys: &[&str], places: &mut [Place]) {
        for (key, place) in keys.iter().zip(places) {
            if let Place::Unfit(why) = place {
                if state.nulled.insert(Arc::from(*key)) {
                    self.status.unanswered.inc();
                    tracing::debug!(key, why, "what the lookup has does not fit");
                }
                *place = Place::Nowhere;
            }
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
