//! Brings a sink back: opens it again and again, and delivers what waits in its outbox.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use tokio::sync::{mpsc, oneshot, watch};

use millstream_core::clock::Clock;
use millstream_core::plugin::Report;
use millstream_core::queue::{Epoch, LogId, Mark, Queue, SideStream};
use millstream_core::record::Offset;
use millstream_core::sink::{Held, Sink};
use millstream_core::{Error, Remedy, Result};

use crate::back_off::BackOff;
use crate::dead_letters::{self, DeadLetter, Payload};
use crate::deliver::{News, held_epoch, refused_letters};
use crate::outbox::{Outbox, Parcel, batch_to_ipc};
use crate::recover;
use crate::status::PartStatus;
use crate::tasks::{Child, panicked};

/// How much of the outbox is read at a time.
const READ_BYTES: usize = 4 << 20;

/// An epoch that waited in the outbox and is delivered: to be booked and forgotten by one commit.
pub(crate) struct Drained {
    pub(crate) sink: String,
    pub(crate) outbox: Arc<Outbox>,
    /// Rows the sink holds now.
    pub(crate) rows: u64,
    /// Rows it refused; they are in the dead letters.
    pub(crate) refused: u64,
    /// Entries of the outbox below this are done with.
    pub(crate) upto: u64,
    pub(crate) bytes: u64,
}

/// What it takes to bring a sink back.
pub(crate) struct Drainer {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) identity: (LogId, u32),
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) dead: Arc<dyn SideStream>,
    pub(crate) committed: watch::Receiver<Epoch>,
    /// The run ends: try once more, at once.
    pub(crate) ending: watch::Receiver<bool>,
    pub(crate) status: Arc<PartStatus>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The first wait.
    pub(crate) wait: Duration,
    pub(crate) back_off: BackOff,
    pub(crate) news: mpsc::Sender<News>,
    /// The last epoch whose refused rows were committed: a further try does not tell them again.
    pub(crate) told: Option<Epoch>,
}

type Returned = Result<Box<dyn Sink>, Error>;

/// A drainer at work; it ends with whoever holds this.
pub(crate) struct Handle {
    name: String,
    task: Child<Returned>,
}

impl Handle {
    /// Waits for the sink to be back with an empty outbox, or broken for good. Cancel-safe.
    pub(crate) async fn back(&mut self) -> Returned {
        self.task.join().await.unwrap_or_else(|e| match e.try_into_panic() {
            Ok(panic) => Err(panicked(&format!("sinks.{}", self.name), panic.as_ref())),
            Err(_) => Err(Error::stop("a sink was given up while it was waited for")),
        })
    }

    /// Gives up; what was not flushed is discarded by the next open.
    pub(crate) async fn abandon(self) {
        self.task.abandon().await;
    }
}

/// One epoch as it waits in the outbox.
struct Waiting {
    epoch: Epoch,
    parcels: Vec<Parcel>,
    upto: u64,
    bytes: u64,
}

impl Drainer {
    /// Starts on its own task.
    pub(crate) fn start(self, sink: Box<dyn Sink>) -> Handle {
        Handle { name: self.name.clone(), task: Child::spawn(self.run(sink)) }
    }

    async fn run(mut self, mut sink: Box<dyn Sink>) -> Returned {
        let mut wait = self.wait;
        let mut last = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Ok(_) = self.ending.wait_for(|ending| *ending), if !last => last = true,
            }
            let tried = match sink.open(self.schema.clone()).await {
                Ok(held) => self.empty(sink.as_mut(), &held).await,
                Err(e) => Err(e),
            };
            self.outbox.set_urgent(false);
            match tried {
                Ok(()) => return Ok(sink),
                Err(e) if e.remedy() == Remedy::Stop => return Err(e),
                Err(e) => self.status.trouble("", &e),
            }
            if last {
                self.outbox.give_up();
            }
            wait = self.back_off.next();
        }
    }

    /// Delivers the outbox, one epoch after the other, until nothing is left in it.
    async fn empty(&mut self, sink: &mut dyn Sink, held: &Held) -> Result<()> {
        if let Held::Upto(mark) = held {
            let latest = *self.committed.borrow();
            recover::belongs(self.queue.as_ref(), &self.name, mark, latest).await?;
        }
        let held = held_epoch(held);
        while let Some(waiting) = self.next_epoch().await? {
            self.until_committed(waiting.epoch).await?;
            let (rows, refused) = if held.is_none_or(|h| waiting.epoch > h) {
                self.deliver(sink, &waiting).await?
            } else {
                self.counted(&waiting).await?
            };
            self.outbox.deliver(waiting.upto, waiting.bytes);
            let bytes = i64::try_from(self.outbox.bytes()).unwrap_or(i64::MAX);
            self.status.outbox_bytes.set(bytes);
            let drained = Drained {
                sink: self.name.clone(),
                outbox: self.outbox.clone(),
                rows,
                refused,
                upto: waiting.upto,
                bytes: waiting.bytes,
            };
            drop(self.news.send(News::Drained(drained)).await);
        }
        Ok(())
    }

    /// All of the first epoch that waits.
    async fn next_epoch(&self) -> Result<Option<Waiting>> {
        let first = self.outbox.next();
        let mut waiting = Waiting { epoch: Epoch(0), parcels: Vec::new(), upto: first, bytes: 0 };
        while waiting.upto < self.outbox.stream.extent().end {
            let entries = self.outbox.stream.read(waiting.upto, READ_BYTES).await?;
            if entries.is_empty() {
                return Err(Error::stop(format!(
                    "the outbox of sink `{}` has no entry {}",
                    self.name, waiting.upto
                )));
            }
            for (number, bytes) in entries {
                let parcel = Parcel::unpack(&bytes)?;
                if waiting.parcels.is_empty() {
                    waiting.epoch = parcel.epoch;
                }
                if parcel.epoch != waiting.epoch {
                    return Ok(Some(waiting));
                }
                waiting.parcels.push(parcel);
                waiting.upto = number + 1;
                waiting.bytes += bytes.len() as u64;
            }
        }
        Ok((waiting.upto > first).then_some(waiting))
    }

    /// Commit, then flush: an epoch that waits counts once its commit is durable.
    async fn until_committed(&mut self, epoch: Epoch) -> Result<()> {
        let there = self.committed.wait_for(|committed| *committed >= epoch).await;
        there.map(drop).map_err(|_| stopped())
    }

    /// What became of an epoch that the sink holds already: a crash came before it was booked.
    async fn counted(&self, waiting: &Waiting) -> Result<(u64, u64)> {
        let all = Offset(0)..Offset(u64::MAX);
        let letters = dead_letters::of_sink(self.dead.as_ref(), &self.name, &all).await?;
        let (mut rows, mut refused) = (0, 0);
        for parcel in &waiting.parcels {
            let part = parcel.rows()?;
            for row in 0..part.len() {
                rows += 1;
                let id = part.origin.id(row);
                if letters.iter().any(|(refused, _)| *refused == id) {
                    let form = Payload::Arrow(batch_to_ipc(&part.batch.slice(row, 1))?);
                    refused += u64::from(letters.contains(&(id, form)));
                }
            }
        }
        Ok((rows - refused, refused))
    }

    /// Writes and flushes an epoch: rows that the sink holds now, and rows that it refused.
    async fn deliver(&mut self, sink: &mut dyn Sink, waiting: &Waiting) -> Result<(u64, u64)> {
        let (mut rows, mut next) = (0, None);
        for parcel in &waiting.parcels {
            let part = parcel.rows()?;
            if part.batch.schema().fields() != self.schema.fields() {
                return Err(self.other_shape());
            }
            rows += part.len() as u64;
            next = Some(parcel.next);
            sink.write(&part).await?;
        }
        let Some(next) = next else { return Ok((0, 0)) };
        let (log, incarnation) = self.identity;
        let mark = Mark { log, incarnation, epoch: waiting.epoch, next };
        let refused = sink.prepare(&mark).await?;
        if !refused.is_empty() && self.told != Some(waiting.epoch) {
            let letters = refused_letters(&self.name, &refused, self.clock.as_ref(), &self.status)?;
            self.commit(letters).await?;
            self.told = Some(waiting.epoch);
        }
        sink.flush(&mark).await?;
        let refused = refused.len() as u64;
        self.status.rows.inc_by(rows - refused);
        Ok((rows - refused, refused))
    }

    /// Refused rows are durable before the flush.
    async fn commit(&self, letters: Vec<DeadLetter>) -> Result<()> {
        let (committed, told) = oneshot::channel();
        self.outbox.set_urgent(true);
        self.news.send(News::Letters { letters, committed }).await.map_err(|_| stopped())?;
        let committed = told.await;
        self.outbox.set_urgent(false);
        committed.map_err(|_| stopped())
    }

    fn other_shape(&self) -> Error {
        Error::stop(format!("rows of another shape wait for sink `{}`", self.name))
            .fix("run the pipeline file as it was until they are delivered, then change the view")
    }
}

fn stopped() -> Error {
    Error::reopen("the pipeline stopped before rows from the outbox could be delivered")
}
