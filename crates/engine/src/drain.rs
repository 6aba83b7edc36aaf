//! Brings a sink back: opens it again and again, and delivers what waits in its outbox.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use millstream_core::clock::Clock;
use millstream_core::plugin::Report;
use millstream_core::queue::{Epoch, LogId, Mark, SideStream};
use millstream_core::sink::{Held, Sink};
use millstream_core::{Error, Remedy, Result};

use crate::back_off::BackOff;
use crate::dead_letters::DeadLetter;
use crate::deliver::{News, held_epoch, refused_letters};
use crate::outbox::Parcel;
use crate::status::PartStatus;

/// How much of the outbox is read at a time.
const READ_BYTES: usize = 4 << 20;

/// How long to wait for the commit that makes waiting parcels count.
const COMMIT_WAIT: Duration = Duration::from_millis(20);

/// What became of rows that waited.
pub(crate) struct Drained {
    pub(crate) sink: String,
    /// Rows the sink holds now.
    pub(crate) rows: u64,
    /// Rows refused by the target: they have to be committed before the flush.
    pub(crate) letters: Vec<DeadLetter>,
    /// Answered after the commit; `None` when there is nothing to wait for.
    pub(crate) committed: Option<oneshot::Sender<()>>,
}

/// What it takes to bring a sink back.
pub(crate) struct Drainer {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) identity: (LogId, u32),
    pub(crate) outbox: Arc<dyn SideStream>,
    pub(crate) committed: watch::Receiver<Epoch>,
    pub(crate) status: Arc<PartStatus>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The first wait.
    pub(crate) wait: Duration,
    pub(crate) back_off: BackOff,
    pub(crate) news: mpsc::Sender<News>,
    /// The last epoch whose refused rows were committed: a further try does not tell them again.
    pub(crate) told: Option<Epoch>,
}

type Returned = Result<Box<dyn Sink>, (Box<dyn Sink>, Error)>;

/// A drainer at work.
pub(crate) struct Handle {
    task: JoinHandle<Returned>,
}

impl Handle {
    /// Waits for the sink to be back with an empty outbox, or broken for good. Cancel-safe.
    pub(crate) async fn back(&mut self) -> Returned {
        match (&mut self.task).await {
            Ok(returned) => returned,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// Gives up; what was not flushed is discarded by the next open.
    pub(crate) async fn abandon(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

impl Drainer {
    /// Starts on its own task.
    pub(crate) fn start(self, sink: Box<dyn Sink>) -> Handle {
        Handle { task: tokio::spawn(self.run(sink)) }
    }

    async fn run(mut self, mut sink: Box<dyn Sink>) -> Returned {
        let mut wait = self.wait;
        loop {
            tokio::time::sleep(wait).await;
            let tried = match sink.open(self.schema.clone()).await {
                Ok(held) => self.empty(sink.as_mut(), &held).await,
                Err(e) => Err(e),
            };
            match tried {
                Ok(()) => return Ok(sink),
                Err(e) if e.remedy() == Remedy::Stop => return Err((sink, e)),
                Err(e) => self.status.trouble("", &e),
            }
            wait = self.back_off.next();
        }
    }

    /// Delivers the outbox, one epoch after the other, until nothing is left in it.
    async fn empty(&mut self, sink: &mut dyn Sink, held: &Held) -> Result<()> {
        let held = held_epoch(held);
        loop {
            let extent = self.outbox.extent();
            if extent.first >= extent.end {
                return Ok(());
            }
            let entries = self.outbox.read(extent.first, READ_BYTES).await?;
            let parcels = entries
                .iter()
                .map(|(n, bytes)| Ok((*n, Parcel::unpack(bytes)?)))
                .collect::<Result<Vec<_>>>()?;
            let Some(epoch) = parcels.first().map(|(_, p)| p.epoch) else { return Ok(()) };
            // An epoch may be longer than one read.
            let whole =
                parcels.last().is_some_and(|(n, p)| p.epoch != epoch || n + 1 == extent.end);
            let mut parcels: Vec<_> =
                parcels.into_iter().filter(|(_, p)| p.epoch == epoch).collect();
            if !whole {
                self.read_rest(epoch, &mut parcels).await?;
            }
            self.until_committed(epoch).await;
            if held.is_none_or(|h| epoch > h) {
                self.deliver(sink, epoch, &parcels).await?;
            } else {
                let rows = count(&parcels)?;
                self.tell(rows, Vec::new(), None).await;
            }
            if let Some((last, _)) = parcels.last() {
                self.outbox.trim(last + 1).await?;
                let bytes = i64::try_from(self.outbox.bytes()).unwrap_or(i64::MAX);
                self.status.outbox_bytes.set(bytes);
            }
        }
    }

    async fn read_rest(&self, epoch: Epoch, parcels: &mut Vec<(u64, Parcel)>) -> Result<()> {
        while let Some((last, _)) = parcels.last() {
            let entries = self.outbox.read(last + 1, READ_BYTES).await?;
            if entries.is_empty() {
                return Ok(());
            }
            for (number, bytes) in entries {
                let parcel = Parcel::unpack(&bytes)?;
                if parcel.epoch != epoch {
                    return Ok(());
                }
                parcels.push((number, parcel));
            }
        }
        Ok(())
    }

    /// Commit, then flush: an epoch that waits counts once its commit is durable.
    async fn until_committed(&mut self, epoch: Epoch) {
        while *self.committed.borrow() < epoch {
            if self.committed.changed().await.is_err() {
                tokio::time::sleep(COMMIT_WAIT).await;
            }
        }
    }

    async fn deliver(
        &mut self,
        sink: &mut dyn Sink,
        epoch: Epoch,
        parcels: &[(u64, Parcel)],
    ) -> Result<()> {
        let (mut rows, mut next) = (0, None);
        for (_, parcel) in parcels {
            let part = parcel.rows()?;
            if part.batch.schema().fields() != self.schema.fields() {
                return Err(self.other_shape());
            }
            rows += part.len() as u64;
            next = Some(parcel.next);
            sink.write(&part).await?;
        }
        let Some(next) = next else { return Ok(()) };
        let (log, incarnation) = self.identity;
        let mark = Mark { log, incarnation, epoch, next };
        let refused = sink.prepare(&mark).await?;
        let refused_rows = refused.len() as u64;
        if refused_rows > 0 && self.told != Some(epoch) {
            let letters = refused_letters(&self.name, &refused, self.clock.as_ref(), &self.status)?;
            let (tell, told) = oneshot::channel();
            self.tell(0, letters, Some(tell)).await;
            if told.await.is_err() {
                return Err(Error::reopen(
                    "the pipeline stopped before refused rows were committed",
                ));
            }
            self.told = Some(epoch);
        }
        sink.flush(&mark).await?;
        self.status.rows.inc_by(rows - refused_rows);
        self.tell(rows - refused_rows, Vec::new(), None).await;
        Ok(())
    }

    fn other_shape(&self) -> Error {
        Error::stop(format!("rows of another shape wait for sink `{}`", self.name))
            .fix("run the pipeline file as it was until they are delivered, then change the view")
    }

    async fn tell(
        &self,
        rows: u64,
        letters: Vec<DeadLetter>,
        committed: Option<oneshot::Sender<()>>,
    ) {
        let drained = Drained { sink: self.name.clone(), rows, letters, committed };
        drop(self.news.send(News::Drained(drained)).await);
    }
}

fn count(parcels: &[(u64, Parcel)]) -> Result<u64> {
    parcels.iter().map(|(_, p)| p.rows().map(|r| r.len() as u64)).sum()
}
