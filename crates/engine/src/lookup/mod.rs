//! Lookups while the pipeline runs: what steps lack is asked for between two tries of the same frames.
//!
//! ```text
//! step ─ find ─▶ Memory ─ what is missing ─▶ Lookups::fetch ─▶ the place outside
//!                  ▲ answers                        │
//!                  └────────────────────────────────┘
//! ```
//!
//! Steps never wait: rows that lack answers are left where they are, and go on from there once these are at hand.

mod cache;
mod given;
mod memory;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use millstream_core::codec::{Column, Columns};
use millstream_core::lookup::{KEY, Key, Lookup};
use millstream_core::operator::Table;
use millstream_core::plugin::Report as _;
use millstream_core::queue::{Epoch, Queue, SideStream};
use millstream_core::{Error, Remedy, Result};

use self::cache::Cache;
pub(crate) use self::given::GivenRows;
use self::memory::{Habits, Memory};
use self::record::{Reading, not_recorded};
pub(crate) use self::record::{Record, STREAMS};
use crate::back_off::BackOff;
use crate::config::{LookupMode, LookupPart, OnFailure};
use crate::status::{Kind, PartStatus, Status};

/// All lookups of a run. Cheap to share.
#[derive(Clone, Default)]
pub(crate) struct Lookups(Arc<Vec<Asked>>, Arc<Vec<GivenRows>>);

/// One lookup.
struct Asked {
    name: String,
    lookup: Arc<dyn Lookup>,
    columns: Columns,
    on_failure: OnFailure,
    mode: LookupMode,
    memory: Arc<Memory>,
    status: Arc<PartStatus>,
    pause: Mutex<Pause>,
    /// Only while epochs are made again: where its answers are, and of which epoch they are at hand.
    reading: tokio::sync::Mutex<Option<Reading>>,
    recalled: Mutex<Option<Epoch>>,
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
            let habits = Habits {
                nulls: part.on_failure == OnFailure::Nulls,
                recorded: part.mode == LookupMode::Recorded,
            };
            let back_off = BackOff::new(&part.name, retry_max);
            Asked {
                name: part.name.clone(),
                lookup: part.lookup.clone(),
                columns: part.columns.clone(),
                on_failure: part.on_failure,
                mode: part.mode,
                memory: Arc::new(Memory::new(&habits, cache, status.clone())),
                status,
                pause: Mutex::new(Pause { back_off, until: None }),
                reading: tokio::sync::Mutex::default(),
                recalled: Mutex::default(),
            }
        };
        Self(Arc::new(parts.iter().map(asked).collect()), Arc::default())
    }

    /// Lookups that answer with these rows, and are asked nothing.
    pub(crate) fn of_rows(rows: Vec<GivenRows>) -> Self {
        Self(Arc::default(), Arc::new(rows))
    }

    /// The names of all.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.0.iter().map(|l| l.name.clone()).collect()
    }

    /// The names of those whose answers are not kept for rows that are made again.
    pub(crate) fn live(&self) -> BTreeSet<String> {
        let live = self.0.iter().filter(|l| l.mode == LookupMode::Live);
        live.map(|l| l.name.clone()).collect()
    }

    fn recorded(&self) -> impl Iterator<Item = &Asked> {
        self.0.iter().filter(|l| l.mode == LookupMode::Recorded)
    }

    /// The lookups as SQL has them.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Table> {
        let given = self.1.iter().map(GivenRows::table);
        given.chain(self.0.iter().map(|l| {
            let key = Field::new(KEY, DataType::Utf8, false);
            let fields = std::iter::once(key).chain(l.columns.0.iter().map(Column::field));
            Table {
                name: l.name.clone(),
                schema: Some(Arc::new(Schema::new(fields.collect::<Vec<_>>()))),
                event_time: None,
                lookup: Some(l.memory.clone()),
                reference: None,
            }
        }))
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

    /// The names of those that gave no answer when they were asked last.
    pub(crate) fn away(&self) -> Vec<&str> {
        let away = self.0.iter().filter(|l| l.pause.lock().until.is_some());
        away.map(|l| l.name.as_str()).collect()
    }

    /// The records, by the names of their side streams.
    ///
    /// # Errors
    /// `Stop` when the queue cannot have them.
    pub(crate) async fn records(&self, queue: &dyn Queue) -> Result<BTreeMap<String, Record>> {
        let mut records = BTreeMap::new();
        for l in self.recorded() {
            let name = record::stream_name(&l.name);
            let stream: Arc<dyn SideStream> = queue.side(&name)?.into();
            let last = stream.extent().first;
            *l.reading.lock().await = Some(Reading::new(stream.clone()));
            records.insert(name, Record { stream, last });
        }
        Ok(records)
    }

    /// What is to be recorded of an epoch that ends now, by side stream.
    ///
    /// # Errors
    /// `Stop` when it cannot be encoded.
    pub(crate) fn take_record(&self, epoch: Epoch) -> Result<BTreeMap<String, Vec<Bytes>>> {
        let of = |l: &Asked| {
            let (columns, answers) = l.memory.take_hand();
            Ok((record::stream_name(&l.name), record::encode(epoch, &columns, answers)?))
        };
        self.recorded().map(of).collect()
    }

    /// An epoch is made again: what was answered in it is at hand. Returns the names of the lookups that
    /// are asked anew, as their answers were not recorded.
    ///
    /// # Errors
    /// `Stop` when what was recorded is not what is needed now.
    pub(crate) async fn recall(&self, epoch: Epoch) -> Result<BTreeSet<String>> {
        let mut anew = self.live();
        for l in self.recorded() {
            let mut reading = l.reading.lock().await;
            let Some(reading) = reading.as_mut() else { continue };
            let hand = reading.of(epoch, &l.memory.columns()).await.map_err(|e| at(l, e))?;
            *l.recalled.lock() = hand.is_some().then_some(epoch);
            if hand.is_none() {
                anew.insert(l.name.clone());
            }
            l.memory.put_hand(hand.unwrap_or_default());
        }
        Ok(anew)
    }

    /// From now on everything is made for the first time.
    pub(crate) async fn recalled_all(&self) {
        for l in self.recorded() {
            *l.reading.lock().await = None;
            *l.recalled.lock() = None;
            l.memory.put_hand(BTreeMap::new());
        }
    }

    /// Asks for all that is missing: once each, however many rows lack it.
    ///
    /// # Errors
    /// `Stop` with what a person has to mend.
    ///
    /// # Panics
    /// When nothing is missing: then nobody should have waited.
    pub(crate) async fn fetch(&self) -> Result<Fetched> {
        assert!(
            self.0.iter().any(|l| l.memory.lacks()),
            "rows wait for answers, and none is missing"
        );
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
        if let (Some(epoch), Some(key)) = (*self.recalled.lock(), keys.first()) {
            return Err(at(self, not_recorded(epoch, key)));
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
    fn go_without(&self, keys: Vec<Key>, until: Instant) -> Fetched {
        match self.on_failure {
            OnFailure::Retry => {
                self.memory.put_missing(keys);
                Fetched::Away(until)
            }
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
