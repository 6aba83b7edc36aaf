//! Elements of a list, moved to a processing list until they are appended.
//!
//! Elements are numbered as they are moved. The processing list holds a run of them, and a hash beside it says the number
//! of its first; both change only together, in a script. The source's position is the number after the last element
//! that was pulled. So after a crash at any point, position and numbers together tell which of the elements in the
//! processing list are in the queue already, and each comes once.
//!
//! ```text
//! data_queue                                  what others push to
//! {data_queue}:millstream:PIPELINE.SOURCE     the processing list: moved, and not known to be in the queue
//! {data_queue}:millstream:PIPELINE.SOURCE:at  hash: id, base (number of the first there), until (held, ms since 1970)
//! ```
//!
//! `id` names one line of positions. A process without a position of that line (another queue, or a first start) waits
//! until the one before has been gone for [`HOLD`], then takes over all that is there, under a new id; whoever
//! comes back with the old one is told so. `LMPOP` or `RPOP` with a count would be as fast, but what they take is
//! nowhere while the answer is on its way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::fields::Span;
use millstream_core::record::{BLOCK_BYTES, Name, Position, Record};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Result};
use millstream_redis::Session;
use millstream_redis::redis::{Cmd, Value, cmd};
use tokio::task::JoinSet;

use super::{ListEnd, Place, RedisReadList};
use crate::redis::disk::Disk;
use crate::redis::{beside, millis, own_name, text};

const TAKE: &str = include_str!("take.lua");
const OPEN: &str = include_str!("open.lua");
const SETTLE: &str = include_str!("settle.lua");
const HOLD_ON: &str = include_str!("hold.lua");

/// How long a process holds its processing list after it last said so.
const HOLD: Duration = Duration::from_secs(10);
/// How long one wait for an element lasts before the next begins.
const WAIT: Duration = Duration::from_secs(2);
/// Bytes and elements of one answer: several blocks, so that there is little to wait for between them.
const TAKE_BYTES: usize = 4 * BLOCK_BYTES;
const TAKE_COUNT: usize = 16 * 1024;

/// A list as a source.
pub(super) struct ListSource {
    place: Place,
    split: Name,
    taker: Arc<Taker>,
    disk: Disk,
    at: Option<At>,
    /// Pulled from the server, not yet by the engine.
    ready: VecDeque<Pulled>,
    /// The answer that is under way; it outlives a dropped `pull`.
    taking: JoinSet<Result<Vec<Record>>>,
    holding: JoinSet<()>,
}

/// Where this source stands: the number of the element to bring next, on this line of positions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct At {
    id: String,
    next: u64,
}

impl At {
    fn position(&self) -> Position {
        Position(format!("{}:{}", self.id, self.next).into())
    }

    fn of(position: &Position) -> Option<Self> {
        let (id, next) = std::str::from_utf8(&position.0).ok()?.split_once(':')?;
        Some(Self { id: id.to_owned(), next: next.parse().ok()? })
    }
}

impl ListSource {
    pub(super) fn new(place: Place, options: RedisReadList) -> Self {
        let name = options.consumer.unwrap_or_else(|| own_name(&place.env));
        let processing = beside(&options.key, &name);
        let taker = Taker {
            session: Session::new(place.server.clone()),
            waiter: Session::new(place.patient(WAIT)),
            state: format!("{processing}:at"),
            processing,
            list: options.key,
            end: options.end,
        };
        Self {
            place,
            split: taker.list.as_str().into(),
            taker: Arc::new(taker),
            disk: Disk::default(),
            at: None,
            ready: VecDeque::new(),
            taking: JoinSet::new(),
            holding: JoinSet::new(),
        }
    }

    /// Cuts an answer into blocks, each with the position after it.
    fn take(&mut self, records: Vec<Record>) {
        let Some(at) = &mut self.at else { return };
        let mut block = Vec::new();
        let mut bytes = 0;
        let mut left = records.len();
        for record in records {
            bytes += record.value.len();
            block.push(record);
            left -= 1;
            if bytes >= BLOCK_BYTES || left == 0 {
                at.next += block.len() as u64;
                bytes = 0;
                self.ready.push_back(Pulled {
                    split: self.split.clone(),
                    records: std::mem::take(&mut block),
                    position: Some(at.position()),
                    ended: false,
                });
            }
        }
    }

    /// Says what is not as it was left, where that may lose or repeat records.
    fn tell(&self, note: &str) {
        let what = match note {
            "lost" => {
                "the server has lost its last writes: elements of the list may come a second time"
            }
            "forgotten" => {
                "the server has forgotten what it kept for this source: elements may be lost, or come a second time"
            }
            "other" => {
                "another process of this name took over what this one had left: elements may come a second time"
            }
            "ahead" => {
                "the queue has lost records that it had confirmed: they are no longer in the list"
            }
            _ => return,
        };
        let error =
            Error::retry(what).at(format!("{} of {}", self.split, self.place.server.place()));
        self.place.env.report.trouble(&self.split, &error);
        self.place.env.report.fine(&self.split);
    }
}

#[async_trait]
impl Source for ListSource {
    async fn open(&mut self, after: &SplitPositions) -> Result<()> {
        self.taking = JoinSet::new();
        self.holding = JoinSet::new();
        self.ready.clear();
        self.at = None;
        let known = after.get(&self.split).and_then(At::of);
        let Taker { session, list, .. } = &*self.taker;
        self.place.look_at_disk(&mut self.disk, session, list).await?;
        let (at, note) = self.taker.open(known.as_ref()).await?;
        self.tell(&note);
        let (taker, id) = (self.taker.clone(), at.id.clone());
        self.holding.spawn(async move {
            loop {
                tokio::time::sleep(HOLD / 3).await;
                // If it fails there is nothing to hold, or the next try will do.
                drop(taker.hold(&id, HOLD).await);
            }
        });
        self.at = Some(at);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        loop {
            if let Some(pulled) = self.ready.pop_front() {
                return Ok(Some(pulled));
            }
            let Some(at) = &self.at else {
                return Err(Error::reopen("the list is not open").at(self.place.server.place()));
            };
            if self.taking.is_empty() {
                self.taking.spawn(self.taker.clone().next(at.clone()));
            }
            let Some(taken) = self.taking.join_next().await else { continue };
            let taken = taken.unwrap_or_else(|e| {
                Err(Error::reopen("taking from the list ended too early").because(e))
            })?;
            self.take(taken);
            // The next answer is on its way while this one is appended.
            if let Some(at) = &self.at {
                self.taking.spawn(self.taker.clone().next(at.clone()));
            }
        }
    }

    async fn settle(&mut self, upto: &SplitPositions) -> Result<()> {
        let Some(upto) = upto.get(&self.split).and_then(At::of) else { return Ok(()) };
        let ours = self.at.as_ref().is_some_and(|at| at.id == upto.id);
        if ours { self.taker.settle(&upto).await } else { Ok(()) }
    }

    fn finite(&self) -> bool {
        false
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn describe(&self) -> String {
        let Taker { list, processing, end, .. } = &*self.taker;
        let end = match end {
            ListEnd::Right => "right",
            ListEnd::Left => "left",
        };
        let place = self.place.server.place();
        format!("redis: the {end} end of list `{list}` of {place}, by way of `{processing}`")
    }
}

impl Drop for ListSource {
    fn drop(&mut self) {
        self.holding.abort_all();
        // Given back at once, a successor need not wait. Without a runtime it waits, and that is all.
        if let (Some(at), Ok(runtime)) = (self.at.take(), tokio::runtime::Handle::try_current()) {
            let taker = self.taker.clone();
            runtime.spawn(async move { taker.hold(&at.id, Duration::ZERO).await });
        }
    }
}

/// Talks to the server.
struct Taker {
    session: Session,
    /// For commands that wait, which would hold up others.
    waiter: Session,
    list: String,
    processing: String,
    state: String,
    end: ListEnd,
}

impl Taker {
    fn pop(&self) -> &'static str {
        match self.end {
            ListEnd::Right => "RPOP",
            ListEnd::Left => "LPOP",
        }
    }

    fn place(&self) -> String {
        format!("{} of {}", self.list, self.session.server().place())
    }

    /// A script on the list, the processing list and its state.
    fn script(&self, text: &str) -> Cmd {
        let mut script = cmd("EVAL");
        script.arg(text).arg(3).arg(&self.list).arg(&self.processing).arg(&self.state);
        script
    }

    async fn open(&self, known: Option<&At>) -> Result<(At, String)> {
        let new = format!("{:016x}", fastrand::u64(..));
        let mut script = self.script(OPEN);
        let (id, next) = known.map_or(("", 0), |at| (at.id.as_str(), at.next));
        script.arg(id).arg(next).arg(new).arg(millis(Span(HOLD))).arg(self.pop());
        let what = "cannot open the list";
        let mut answer = self.session.ask::<Vec<Value>>(what, &script).await?.into_iter();
        match (answer.next(), answer.next()) {
            (Some(Value::Int(0)), Some(id)) => {
                let mut rest = answer.filter_map(text);
                let next = rest.next().and_then(|n| n.parse().ok());
                let (Some(id), Some(next)) = (text(id), next) else { return Err(self.strange(what)) };
                Ok((At { id, next }, rest.next().unwrap_or_default()))
            }
            (Some(Value::Int(1)), Some(Value::Int(ms))) => Err(Error::retry(format!(
                "another process holds `{}`, for {ms}ms more at least",
                self.processing
            ))
            .at(self.place())
            .fix("to share the list, give each process a name of its own with `consumer`; a process that died is waited for")),
            _ => Err(self.strange(what)),
        }
    }

    /// Waits for the elements from `at` on.
    async fn next(self: Arc<Self>, at: At) -> Result<Vec<Record>> {
        let mut script = self.script(TAKE);
        script.arg(&at.id).arg(at.next).arg(TAKE_COUNT).arg(TAKE_BYTES).arg(self.pop());
        let what = "cannot take from the list";
        loop {
            let answer: Vec<Value> = self.session.ask(what, &script).await?;
            let mut answer = answer.into_iter();
            match answer.next() {
                Some(Value::Int(0)) => {}
                Some(Value::Int(told)) => return Err(self.refused(told)),
                Some(_) | None => return Err(self.strange(what)),
            }
            if answer.len() > 0 {
                let records = answer.map(|value| match value {
                    Value::BulkString(value) => Ok(Record::new(Bytes::from(value))),
                    _ => Err(self.strange(what)),
                });
                return records.collect();
            }
            self.wait().await?;
        }
    }

    /// Waits until there is an element, which then is in the processing list: the next `TAKE` brings it, whatever
    /// becomes of the answer to this.
    async fn wait(&self) -> Result<()> {
        let from = match self.end {
            ListEnd::Right => "RIGHT",
            ListEnd::Left => "LEFT",
        };
        let mut wait = cmd("BLMOVE");
        wait.arg(&self.list).arg(&self.processing).arg(from).arg("RIGHT").arg(WAIT.as_secs());
        self.waiter.ask::<Value>("cannot wait for the list", &wait).await.map(drop)
    }

    async fn settle(&self, upto: &At) -> Result<()> {
        let mut script = cmd("EVAL");
        script.arg(SETTLE).arg(2).arg(&self.processing).arg(&self.state);
        script.arg(&upto.id).arg(upto.next);
        match self.session.ask("cannot remove what is appended", &script).await? {
            0 => Ok(()),
            told => Err(self.refused(told)),
        }
    }

    async fn hold(&self, id: &str, time: Duration) -> Result<i64> {
        let mut script = cmd("EVAL");
        script.arg(HOLD_ON).arg(1).arg(&self.state).arg(id).arg(millis(Span(time)));
        self.session.ask("cannot hold the processing list", &script).await
    }

    fn refused(&self, told: i64) -> Error {
        match told {
            1 => Error::reopen(
                "another process of this name has taken over, or the server has forgotten this one",
            )
            .at(self.place())
            .fix("to share the list, give each process a name of its own with `consumer`"),
            _ => Error::reopen("the server has lost its last writes").at(self.place()).fix(
                "have it keep them: `appendonly yes`, and `appendfsync always` for a power cut",
            ),
        }
    }

    fn strange(&self, what: &str) -> Error {
        Error::stop(format!("{what}: the server answers what this version does not know"))
            .at(self.place())
            .fix("use Redis 7 or newer, or Valkey")
    }
}
