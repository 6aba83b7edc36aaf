//! One lane per sink: rows in, sealed epoch by epoch, and an outbox so that a sink that is down never
//! stalls its siblings.
//!
//! ```text
//!            rows, seal(N)                 go(N): N is committed
//! process ───────────────▶ lane ◀──────────────────────────────── seal
//!                           │ direct: write, prepare(N) … flush(N)
//!                           └ down:   kept rows ─▶ outbox/<sink> ─▶ drain: write, prepare, flush
//! ```

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use tokio::sync::{mpsc, oneshot, watch};

use millstream_core::clock::Clock;
use millstream_core::codec::Rows;
use millstream_core::ledger::Stage;
use millstream_core::plugin::{Act, Report};
use millstream_core::queue::{Epoch, LogId, Mark, Queue, SideStream};
use millstream_core::sink::{Held, Refused, Sink};
use millstream_core::{Error, Remedy, Result};

use crate::back_off::BackOff;
use crate::dead_letters::DeadLetter;
use crate::drain::{self, Drained, Drainer};
use crate::outbox::{Outbox, Parcel};
use crate::status::PartStatus;
use crate::tasks::tell;

/// Batches that may wait before a lane. A batch is a block's worth of rows, so this bounds bytes too.
pub(crate) const LANE_ITEMS: usize = 64;

/// How often an idle sink gets its tick.
const TICK: Duration = Duration::from_millis(500);

/// How long a lane waits before it looks again whether its outbox has room.
const FULL_WAIT: Duration = Duration::from_millis(50);

/// What a lane is sent.
pub(crate) enum Item {
    /// Rows of the epoch that is being made.
    Rows(Rows),
    /// The epoch ends here.
    Seal(Seal),
    /// The pipeline ends in good order after this epoch.
    Close(Epoch, oneshot::Sender<Result<()>>),
}

/// The two rendezvous of one epoch.
pub(crate) struct Seal {
    pub(crate) mark: Mark,
    pub(crate) prepared: oneshot::Sender<Result<Prepared>>,
    /// Sent once the epoch is committed.
    pub(crate) go: oneshot::Receiver<()>,
    pub(crate) done: oneshot::Sender<Done>,
}

/// Everything short of the commit has been done.
#[derive(Default)]
pub(crate) struct Prepared {
    /// Rows the target refused, to be made durable before the flush.
    pub(crate) letters: Vec<DeadLetter>,
    /// Rows that went into the sink, or, if it is down, into the outbox.
    pub(crate) rows_direct: u64,
    pub(crate) rows_outboxed: u64,
}

/// What became of a committed epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The sink holds it.
    Flushed,
    /// It waits in the outbox, named by the commit of the epoch.
    Waits,
    /// It could not be flushed and went into the outbox afterwards: only the next commit names it.
    WaitsUnnamed {
        /// All its rows.
        rows: u64,
        /// Those of them that were refused.
        refused: u64,
    },
}

/// What a lane needs.
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    /// The queue whose epochs these are.
    pub(crate) identity: (LogId, u32),
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) outbox_bytes_max: u64,
    pub(crate) dead: Arc<dyn SideStream>,
    pub(crate) committed: watch::Receiver<Epoch>,
    pub(crate) ending: watch::Receiver<bool>,
    pub(crate) status: Arc<PartStatus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) back_off: BackOff,
    /// To tell the processor: rows drained from the outbox, letters to be committed, the end of it all.
    pub(crate) news: mpsc::Sender<News>,
}

/// What a lane tells the processor outside of seals.
pub(crate) enum News {
    /// An epoch that waited in the outbox is delivered.
    Drained(Drained),
    /// Rows refused by a sink that empties its outbox: to be committed before they are flushed.
    Letters { letters: Vec<DeadLetter>, committed: oneshot::Sender<()> },
    /// Only a person can mend this.
    Broken(String, Error),
}

/// How a sink stands.
enum Mode {
    Direct(Box<dyn Sink>),
    Down(drain::Handle),
    /// It is given up in this run; its rows go into the outbox until the pipeline has stopped.
    Broken,
}

impl Lane {
    /// Runs until told to close, or until the processor is gone.
    pub(crate) async fn run(mut self, sink: Start, mut items: mpsc::Receiver<Item>) {
        let mut mode = match sink {
            Start::Open(sink) => Mode::Direct(sink),
            Start::Down(sink, error) => self.go_down(sink, error).await,
        };
        let mut kept: Vec<Rows> = Vec::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let event = match &mut mode {
                Mode::Direct(_) => tokio::select! {
                    biased;
                    item = items.recv() => Event::Item(item),
                    _ = tick.tick() => Event::Tick,
                },
                Mode::Down(drainer) => tokio::select! {
                    biased;
                    back = drainer.back() => Event::Back(back),
                    item = items.recv() => Event::Item(item),
                },
                Mode::Broken => Event::Item(items.recv().await),
            };
            mode = match event {
                Event::Item(None) => return,
                Event::Item(Some(Item::Rows(rows))) => {
                    let mode = self.write(mode, &rows).await;
                    kept.push(rows);
                    mode
                }
                Event::Item(Some(Item::Seal(seal))) => {
                    self.seal(mode, std::mem::take(&mut kept), seal).await
                }
                Event::Item(Some(Item::Close(last, closed))) => {
                    self.close(mode, last, closed).await;
                    return;
                }
                Event::Back(Ok(sink)) => self.come_back(sink, &kept).await,
                Event::Back(Err(error)) => self.give_up(error).await,
                Event::Tick => self.tick(mode, kept.is_empty()).await,
            };
        }
    }

    /// Hands rows to a sink that works; for any other they are only kept until the epoch ends.
    async fn write(&mut self, mode: Mode, rows: &Rows) -> Mode {
        let Mode::Direct(mut sink) = mode else { return mode };
        match sink.write(rows).await {
            Ok(()) => Mode::Direct(sink),
            Err(e) => self.go_down(sink, e).await,
        }
    }

    /// The sink works again and its outbox is empty: give it the rows kept since, and go on directly.
    async fn come_back(&mut self, mut sink: Box<dyn Sink>, kept: &[Rows]) -> Mode {
        if !self.outbox.is_empty() {
            // An epoch was sealed into it just as the drainer had seen it empty.
            return Mode::Down(self.drainer(Duration::ZERO).start(sink));
        }
        for rows in kept {
            if let Err(e) = sink.write(rows).await {
                return self.go_down(sink, e).await;
            }
        }
        self.status.fine("");
        Mode::Direct(sink)
    }

    async fn tick(&mut self, mode: Mode, between: bool) -> Mode {
        let Mode::Direct(mut sink) = mode else { return mode };
        if !between {
            return Mode::Direct(sink);
        }
        match sink.tick(self.clock.now()).await {
            Ok(()) => Mode::Direct(sink),
            Err(e) => self.go_down(sink, e).await,
        }
    }

    /// Hands the sink to a drainer, which opens it again and empties the outbox.
    async fn go_down(&mut self, sink: Box<dyn Sink>, error: Error) -> Mode {
        if error.remedy() == Remedy::Stop {
            return self.give_up(error).await;
        }
        self.status.trouble("", &error);
        let wait = self.back_off.next();
        Mode::Down(self.drainer(wait).start(sink))
    }

    /// Only a person can mend this sink: the pipeline stops, and its rows wait in the outbox.
    async fn give_up(&mut self, error: Error) -> Mode {
        self.status.trouble("", &error);
        drop(self.news.send(News::Broken(self.name.clone(), error)).await);
        Mode::Broken
    }

    fn drainer(&self, wait: Duration) -> Drainer {
        Drainer {
            name: self.name.clone(),
            schema: self.schema.clone(),
            identity: self.identity,
            queue: self.queue.clone(),
            outbox: self.outbox.clone(),
            dead: self.dead.clone(),
            committed: self.committed.clone(),
            ending: self.ending.clone(),
            status: self.status.clone(),
            clock: self.clock.clone(),
            wait,
            back_off: self.back_off.clone(),
            news: self.news.clone(),
            told: None,
        }
    }

    /// Ends an epoch: prepare, tell, wait for the commit, flush.
    async fn seal(&mut self, mode: Mode, kept: Vec<Rows>, seal: Seal) -> Mode {
        let mode = match mode {
            Mode::Direct(mut sink) => match sink.prepare(&seal.mark).await {
                Ok(refused) => return self.seal_direct(sink, &refused, &kept, seal).await,
                Err(e) => self.go_down(sink, e).await,
            },
            down => down,
        };
        // The epoch goes into the outbox, and the commit names it.
        let Seal { mark, prepared, go, done } = seal;
        let rows = count(&kept);
        let put = self.put(&mark, &kept, matches!(mode, Mode::Broken)).await;
        let answer = put.map(|()| Prepared { rows_outboxed: rows, ..Prepared::default() });
        if prepared.send(answer).is_ok() && go.await.is_ok() {
            tell(done, Done::Waits);
        }
        mode
    }

    /// The sink is prepared: flush once the epoch is committed.
    async fn seal_direct(
        &mut self,
        sink: Box<dyn Sink>,
        refused: &[Refused],
        kept: &[Rows],
        seal: Seal,
    ) -> Mode {
        let Seal { mark, prepared, go, done } = seal;
        let (rows, refused_rows) = (count(kept), refused.len() as u64);
        let letters = refused_letters(&self.name, refused, self.clock.as_ref(), &self.status);
        let ready =
            letters.map(|letters| Prepared { letters, rows_direct: rows, rows_outboxed: 0 });
        let started = tokio::time::Instant::now();
        // The sender is dropped when the commit failed: then nothing may be flushed.
        if prepared.send(ready).is_err() || go.await.is_err() {
            return Mode::Direct(sink);
        }
        let mut sink = sink;
        let Err(error) = sink.flush(&mark).await else {
            self.back_off.reset();
            self.status.fine("");
            self.status.rows.inc_by(rows - refused_rows);
            self.status.took(Act::Fsync, started.elapsed());
            tell(done, Done::Flushed);
            return Mode::Direct(sink);
        };
        // What cannot be flushed goes into the outbox.
        let broken = error.remedy() == Remedy::Stop;
        let mode = self.go_down(sink, error).await;
        match self.put(&mark, kept, broken).await {
            Ok(()) => tell(done, Done::WaitsUnnamed { rows, refused: refused_rows }),
            // Neither sink nor outbox: the log still has the epoch, and a restart repeats it.
            Err(e) => drop(self.give_up(e).await),
        }
        mode
    }

    /// Puts an epoch into the outbox, waiting for room unless nobody will ever make any: this is where
    /// back-pressure begins.
    async fn put(&mut self, mark: &Mark, kept: &[Rows], broken: bool) -> Result<()> {
        let parcels = kept.iter().map(|r| Parcel::pack(mark, r)).collect::<Result<Vec<_>>>()?;
        if parcels.is_empty() {
            return Ok(());
        }
        let bytes: u64 = parcels.iter().map(|p| p.len() as u64).sum();
        let mut told = false;
        loop {
            let full = self.outbox.is_full(bytes, self.outbox_bytes_max);
            if full && broken {
                return Err(Error::stop(format!("the outbox of sink `{}` is full", self.name)));
            }
            let tried = if full { None } else { Some(self.outbox.stream.append(&parcels).await) };
            match tried {
                Some(Ok(_)) => break,
                Some(Err(e)) if e.remedy() != Remedy::Retry => return Err(e),
                _ => {}
            }
            if !told {
                told = true;
                tracing::warn!(
                    sink = self.name,
                    bytes = self.outbox.bytes(),
                    "outbox is full, the pipeline waits for the sink"
                );
            }
            tokio::time::sleep(FULL_WAIT).await;
        }
        self.status.outbox_bytes.set(i64::try_from(self.outbox.bytes()).unwrap_or(i64::MAX));
        self.outbox.stream.sync().await
    }

    async fn close(&mut self, mode: Mode, last: Epoch, closed: oneshot::Sender<Result<()>>) {
        let result = match mode {
            Mode::Direct(mut sink) => sink.close(last).await,
            // What waits in the outbox is durable and is delivered by the next run.
            Mode::Down(drainer) => {
                drainer.abandon().await;
                Ok(())
            }
            Mode::Broken => Ok(()),
        };
        tell(closed, result);
    }
}

fn count(kept: &[Rows]) -> u64 {
    kept.iter().map(|r| r.len() as u64).sum()
}

/// Letters for rows that a sink refused.
pub(crate) fn refused_letters(
    sink: &str,
    refused: &[Refused],
    clock: &dyn Clock,
    status: &PartStatus,
) -> Result<Vec<DeadLetter>> {
    status.set_aside.inc_by(refused.len() as u64);
    refused
        .iter()
        .map(|r| {
            DeadLetter::of_arrow(Stage::Sink, sink, r.id, r.reason.clone(), &r.row, clock.now())
        })
        .collect()
}

/// How a lane begins.
pub(crate) enum Start {
    /// The sink is open.
    Open(Box<dyn Sink>),
    /// The sink could not be opened yet, or rows wait in its outbox.
    Down(Box<dyn Sink>, Error),
}

enum Event {
    Item(Option<Item>),
    Back(Result<Box<dyn Sink>>),
    Tick,
}

/// The epoch a sink says it holds, if it says so.
pub(crate) fn held_epoch(held: &Held) -> Option<Epoch> {
    match held {
        Held::Upto(mark) => Some(mark.epoch),
        Held::Untracked | Held::Fresh => None,
    }
}
