//! A source that plays a script.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::record::{Name, Position, Record};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::World;

/// What a source has to give, split by split. Shared, so that a test can add to it while it is played.
#[derive(Clone, Debug, Default)]
pub struct Script {
    splits: Arc<Mutex<BTreeMap<Name, Vec<Bytes>>>>,
    settled: Arc<Mutex<SplitPositions>>,
    endless: bool,
    more: Arc<Notify>,
}

impl Script {
    /// A script that ends once all splits are played.
    #[must_use]
    pub fn new(splits: impl IntoIterator<Item = (Name, Vec<Bytes>)>) -> Self {
        let splits = Arc::new(Mutex::new(splits.into_iter().collect()));
        Self { splits, settled: Arc::default(), endless: false, more: Arc::default() }
    }

    /// The same, waiting for more instead of ending.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Adds a record to a split.
    pub fn push(&self, split: &str, record: impl Into<Bytes>) {
        self.splits.lock().entry(split.into()).or_default().push(record.into());
        self.more.notify_one();
    }

    /// All records, by split.
    #[must_use]
    pub fn splits(&self) -> BTreeMap<Name, Vec<Bytes>> {
        self.splits.lock().clone()
    }

    /// The positions that were last settled.
    #[must_use]
    pub fn settled(&self) -> SplitPositions {
        self.settled.lock().clone()
    }
}

/// How far a split was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    next: usize,
    ended: bool,
}

impl Cursor {
    fn position(self) -> Position {
        Position(format!("{}{}", self.next, if self.ended { "." } else { "" }).into())
    }

    fn read(position: &Position) -> Option<Self> {
        let text = std::str::from_utf8(&position.0).ok()?;
        let (number, ended) = match text.strip_suffix('.') {
            Some(number) => (number, true),
            None => (text, false),
        };
        Some(Self { next: number.parse().ok()?, ended })
    }
}

/// Plays a [`Script`] a few records at a time.
pub struct ScriptedSource {
    name: String,
    script: Script,
    world: World,
    cursors: BTreeMap<Name, Cursor>,
    open: bool,
}

impl std::fmt::Debug for ScriptedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScriptedSource({})", self.name)
    }
}

impl ScriptedSource {
    /// A source of this name.
    #[must_use]
    pub fn new(name: &str, script: Script, world: &World) -> Self {
        let (name, world) = (name.to_owned(), world.clone());
        Self { name, script, world, cursors: BTreeMap::new(), open: false }
    }

    async fn act(&mut self, act: &str) -> Result<()> {
        self.world.begin(&format!("source.{}.{act}", self.name)).await?;
        if self.world.chance(self.world.odds().source) {
            if self.world.chance(500) {
                return Err(Error::retry("the script rustles"));
            }
            self.open = false;
            return Err(Error::reopen("the script fell down"));
        }
        Ok(())
    }

    /// A split that has something to say, by chance.
    fn pick(&self) -> Option<(Name, Vec<Bytes>)> {
        let splits = self.script.splits();
        let waiting: Vec<_> = splits
            .into_iter()
            .filter(|(split, records)| {
                let at = self.cursors.get(split).copied().unwrap_or_default();
                at.next < records.len() || (!at.ended && !self.script.endless)
            })
            .collect();
        let at = self.world.below(waiting.len() as u64);
        waiting.into_iter().nth(usize::try_from(at).unwrap_or(0))
    }
}

#[async_trait]
impl Source for ScriptedSource {
    async fn open(&mut self, after: &SplitPositions) -> Result<()> {
        self.act("open").await?;
        self.cursors = after
            .iter()
            .map(|(split, position)| {
                let cursor = Cursor::read(position)
                    .ok_or_else(|| Error::stop(format!("`{position:?}` is no position")))?;
                Ok((split.clone(), cursor))
            })
            .collect::<Result<_>>()?;
        self.open = true;
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        assert!(self.open, "source `{}` was pulled without being opened again", self.name);
        self.act("pull").await?;
        let (split, records) = loop {
            match self.pick() {
                Some(picked) => break picked,
                None if !self.script.endless => return Ok(None),
                None => self.script.more.notified().await,
            }
        };
        // From here on nothing waits: a pull that is dropped has moved nothing.
        let at = self.cursors.entry(split.clone()).or_default();
        let left = records.len().saturating_sub(at.next) as u64;
        let some =
            usize::try_from(1 + self.world.below(3).min(left.saturating_sub(1))).unwrap_or(1);
        let taken: Vec<Record> =
            records.iter().skip(at.next).take(some).cloned().map(Record::new).collect();
        at.next += taken.len();
        at.ended = !self.script.endless
            && at.next == records.len()
            && (taken.is_empty() || self.world.chance(500));
        let (position, ended) = (Some(at.position()), at.ended);
        Ok(Some(Pulled { split, records: taken, position, ended }))
    }

    async fn settle(&mut self, upto: &SplitPositions) -> Result<()> {
        let acted = self.act("settle").await;
        // To acknowledge nothing is no reason to be opened again.
        self.open = true;
        acted?;
        *self.script.settled.lock() = upto.clone();
        Ok(())
    }

    fn finite(&self) -> bool {
        !self.script.endless
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn describe(&self) -> String {
        format!("plays the script of `{}`", self.name)
    }
}
