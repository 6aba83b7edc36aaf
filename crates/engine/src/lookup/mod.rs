//! Lookups while the pipeline runs: what steps lack is asked for between two tries of the same frames.
//!
//! ```text
//! step ─ find ─▶ Memory ─ what is missing ─▶ Lookups::fetch ─▶ the place outside
//!                  ▲ answers                        │
//!                  └────────────────────────────────┘
//! ```
//!
//! Steps never wait: a frame that lacks answers ends early, what it had made is dropped, and it is taken again. That is
//! sound because a frame's rows are kept apart until it is whole, and views hold no state: with state, a view
//! that comes before a lookup would count its rows twice.

mod cache;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{DataType, Field, Schema};
use parking_lot::Mutex;
use tokio::time::Instant;

use millstream_core::codec::{Column, Columns};
use millstream_core::lookup::{KEY, Lookup};
use millstream_core::operator::Table;
use millstream_core::plugin::Report as _;
use millstream_core::{Error, Remedy, Result};

use self::cache::Cache;
use self::memory::Memory;
use crate::back_off::BackOff;
use crate::config::{LookupPart, OnFailure};
use crate::status::{Kind, PartStatus, Status};

/// All lookups of a run. Cheap to share.
#[derive(Clone, Default)]
pub(crate) struct Lookups(Arc<Vec<Asked>>);

/// One lookup.
struct Asked {
    name: String,
    lookup: Arc<dyn Lookup>,
    columns: Columns,
    on_failure: OnFailure,
    memory: Arc<Memory>,
    status: Arc<PartStatus>,
    pause: Mutex<Pause>,
}

/// When it is asked again after it gave no answer.
struct Pause {
    back_off: BackOff,
    until: Option<Instant>,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// Everything that was missing is at hand.
    All,
    /// Something is away; it is of no use to ask again before this moment.
    Away(Instant),
}

impl Lookups {
    pub(crate) fn new(parts: &[LookupPart], status: &Status, retry_max: Duration) -> Self {
        let asked = |part: &LookupPart| {
            let status = status.part(Kind::Lookup, &part.name);
            let cache = Cache::new(part.ttl.0, part.cache_bytes.0);
            let nulls = part.on_failure == OnFailure::Nulls;
            let back_off = BackOff::new(&part.name, retry_max);
            Asked {
                name: part.name.clone(),
                lookup: part.lookup.clone(),
                columns: part.columns.clone(),
                on_failure: part.on_failure,
                memory: Arc::new(Memory::new(nulls, cache, status.clone())),
                status,
                pause: Mutex::new(Pause { back_off, until: None }),
            }
        };
        Self(Arc::new(parts.iter().map(asked).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|l| l.name.as_str())
    }

    /// The lookups as SQL has them.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Table> {
        self.0.iter().map(|l| {
            let key = Field::new(KEY, DataType::Utf8, false);
            let fields = std::iter::once(key).chain(l.columns.0.iter().map(Column::field));
            Table {
                name: l.name.clone(),
                schema: Some(Arc::new(Schema::new(fields.collect::<Vec<_>>()))),
                lookup: Some(l.memory.clone()),
            }
        })
    }

    /// Which columns views read of each.
    pub(crate) fn use_columns(&self, used: &BTreeMap<String, BTreeSet<String>>) -> Result<()> {
        for l in self.0.iter() {
            let used = |c: &&Column| used.get(&l.name).is_some_and(|u| u.contains(&c.name));
            let columns = Columns(l.columns.0.iter().filter(used).cloned().collect());
            let reader = l.lookup.reader(&columns).map_err(|e| at(l, e))?;
            l.memory.use_columns(columns, reader);
        }
        Ok(())
    }

    /// Another step begins: what is at hand for it is found anew.
    pub(crate) fn begin(&self) {
        self.0.iter().for_each(|l| l.memory.begin());
    }

    /// Whether a step has found something missing that was not fetched yet.
    pub(crate) fn lack(&self) -> bool {
        self.0.iter().any(|l| l.memory.lacks())
    }

    /// The names of those that gave no answer when they were asked last.
    pub(crate) fn away(&self) -> Vec<&str> {
        let away = self.0.iter().filter(|l| l.pause.lock().until.is_some());
        away.map(|l| l.name.as_str()).collect()
    }

    /// Asks for all that is missing: once each, however many frames lack it.
    ///
    /// # Errors
    /// `Stop` with what a person has to mend.
    pub(crate) async fn fetch(&self) -> Result<Fetched> {
        let mut fetched = Fetched::All;
        for l in self.0.iter() {
            if let Fetched::Away(until) = l.fetch().await? {
                fetched = match fetched {
                    Fetched::Away(other) => Fetched::Away(other.max(until)),
                    Fetched::All => Fetched::Away(until),
                };
            }
        }
        Ok(fetched)
    }
}

impl Asked {
    async fn fetch(&self) -> Result<Fetched> {
        let (keys, columns) = self.memory.take_missing();
        if keys.is_empty() {
            return Ok(Fetched::All);
        }
        if let Some(until) = self.pause.lock().until.filter(|until| *until > Instant::now()) {
            return Ok(self.go_without(keys, until));
        }
        let asked = Instant::now();
        match self.lookup.ask(&keys, &columns).await {
            Ok(answers) if answers.len() == keys.len() => {
                self.status.seconds.observe(asked.elapsed().as_secs_f64());
                self.status.records.inc_by(keys.len() as u64);
                self.works();
                self.memory.learn(keys, answers);
                Ok(Fetched::All)
            }
            Ok(answers) => {
                let (given, wanted) = (answers.len(), keys.len());
                let what = format!("{given} answers came for {wanted} keys");
                Err(at(
                    self,
                    Error::stop(what).fix("this is a bug in the lookup: please report it"),
                ))
            }
            Err(e) if e.remedy() == Remedy::Stop => Err(at(self, e)),
            Err(e) => {
                self.status.trouble("", &e);
                let mut pause = self.pause.lock();
                let until = Instant::now() + pause.back_off.next();
                pause.until = Some(until);
                drop(pause);
                Ok(self.go_without(keys, until))
            }
        }
    }

    fn works(&self) {
        let mut pause = self.pause.lock();
        if pause.until.take().is_some() {
            pause.back_off.reset();
        }
        drop(pause);
        self.status.fine("");
    }

    /// What becomes of keys that nobody answers for.
    fn go_without(&self, keys: Vec<millstream_core::lookup::Key>, until: Instant) -> Fetched {
        match self.on_failure {
            OnFailure::Retry => Fetched::Away(until),
            OnFailure::Nulls => {
                self.memory.lose(keys);
                Fetched::All
            }
        }
    }
}

fn at(lookup: &Asked, error: Error) -> Error {
    let place = format!("lookups.{}", lookup.name);
    match error.place() {
        // Where it was asked says more.
        Some(_) => error,
        None => error.at(place),
    }
}
