//! The loop: read frames, take them through the line, seal epochs.
//!
//! While one epoch is sealed (prepare, commit, flush), the next is already being made. An epoch is
//! sealed as soon as the one before it is, so epochs are single blocks when it is quiet and
//! grow by themselves when it is busy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use millstream_core::codec::{Columns, Rows};
use millstream_core::operator::ViewError;
use millstream_core::queue::{Checkpoint, Epoch, LogId, Mark, Sent, Slab};
use millstream_core::record::{Block, Body, Frame, Offset};
use millstream_core::{Error, Result};

use crate::dead_letters::Entry;
use crate::deliver::{Item, News, Seal};
use crate::digest::Digest;
use crate::lanes::Lanes;
use crate::line::{Ground, Line, view_errors};
use crate::seal::{self, Book, Rendezvous, Sealed, Shared, Work};
use crate::tasks;

/// Bytes of frames in an epoch before it must be sealed.
const EPOCH_BYTES_MAX: usize = 32 << 20;

/// Epochs begin no closer than this, so that a trickle from many sources does not become a commit per block.
const EPOCH_PACE: Duration = Duration::from_millis(5);

/// What the engine asks of the loop while it runs.
pub(crate) enum Ask {
    /// Commit entries to the dead letters (what was dropped or replayed), and say when that is done.
    Dead { entry: Entry, first: Option<u64>, done: oneshot::Sender<()> },
}

/// When the loop shall end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finish {
    /// Once everything before this is sealed.
    pub(crate) upto: Option<Offset>,
    /// And once no outbox holds anything.
    pub(crate) outboxes: bool,
}

/// The loop and all it holds.
pub(crate) struct Processor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) line: Line,
    pub(crate) lanes: Lanes,
    pub(crate) identity: (LogId, u32),
    /// Bytes of frames taken in one step.
    pub(crate) step_bytes: usize,
    /// `None` while it is with the task that seals.
    pub(crate) book: Option<Book>,
    pub(crate) sealing: Option<JoinHandle<Result<Sealed>>>,
    pub(crate) next: Offset,
    pub(crate) epoch: Epoch,
    pub(crate) work: Work,
    /// Something happened that a commit has to hold.
    pub(crate) dirty: bool,
    pub(crate) bytes: usize,
    pub(crate) sealed_at: Option<Instant>,
    /// A sink that keeps no track got rows in the last epoch: an empty epoch after it keeps a restart from repeating them.
    pub(crate) settle: bool,
    pub(crate) news: mpsc::Receiver<News>,
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) finish: watch::Receiver<Finish>,
}

impl Processor {
    /// Repeats what sinks lack, then runs until told to finish.
    ///
    /// # Errors
    /// `Stop` for what only a person can mend; everything committed stays committed.
    pub(crate) async fn run(mut self, start: Offset, repeats: Vec<Checkpoint>) -> Result<Book> {
        self.repeat(start, repeats).await?;
        self.shared.status.set_ready();
        loop {
            self.hear()?;
            let slab = self.read().await?;
            let idle = slab.frames.is_empty();
            if !idle {
                self.step(slab).await?;
            }
            self.seal_if_due(idle).await?;
            if idle && self.finished() {
                return self.end().await;
            }
            if idle {
                self.wait().await?;
            }
        }
    }

    /// Frames up to where the loop shall end.
    async fn read(&mut self) -> Result<Slab> {
        if self.bytes > EPOCH_BYTES_MAX {
            return Ok(Slab { frames: Vec::new(), next: self.next });
        }
        let mut slab = self.shared.queue.read(self.next, self.step_bytes).await?;
        if let Some(upto) = self.finish.borrow().upto {
            slab.frames.retain(|(offset, _)| *offset < upto);
            slab.next = slab.next.min(upto.max(self.next));
        }
        Ok(slab)
    }

    /// Takes frames through the line and sends the rows to the lanes.
    async fn step(&mut self, slab: Slab) -> Result<()> {
        let started = Instant::now();
        let mut ground = Ground::default();
        for (offset, frame) in &slab.frames {
            self.take(*offset, frame, &mut ground).await?;
            self.bytes += frame.bytes();
            self.next = offset.next();
        }
        self.dirty = true;
        self.shared.status.step_seconds.observe(started.elapsed().as_secs_f64());
        let Ground { rows, letters, ledger, took } = ground;
        self.lanes.count(&ledger, &took, &self.shared.status);
        for (edge, account) in &ledger.0 {
            self.work.ledger.account(edge.stage, &edge.part).add(account);
        }
        self.work.letters.extend(letters.into_iter().map(Entry::Letter));
        for (sink, rows) in rows {
            self.lanes.send(sink, rows).await?;
        }
        self.shared.status.saw_queue(self.shared.queue.status(), self.next.0);
        Ok(())
    }

    async fn take(&mut self, offset: Offset, frame: &Frame, ground: &mut Ground) -> Result<()> {
        match &frame.body {
            Body::Block(block) => {
                let missing = self.line.missing_for(&frame.source);
                if !missing.is_empty() {
                    self.pin(offset, &frame.source, missing).await?;
                }
                self.work.arrivals.push(frame.arrival);
                self.line.take(offset, frame, block, ground)
            }
            Body::Pin(json) => self.see_pin(&frame.source, json),
            // Event time is not kept yet; these frames are for the views that will.
            Body::Idle | Body::Ended => Ok(()),
        }
    }

    /// Columns that an earlier run pinned.
    fn see_pin(&mut self, source: &str, json: &[u8]) -> Result<()> {
        let known = self.line.unpinned();
        if known.contains(source) {
            let columns = parse_pin(source, json)?;
            self.set_pin(source, &columns)?;
        }
        Ok(())
    }

    fn set_pin(&mut self, source: &str, columns: &Columns) -> Result<()> {
        let json = serde_json::to_string(columns)
            .map_err(|e| Error::stop("cannot write columns down").because(e))?;
        tracing::info!(source, columns = json, "columns pinned");
        self.work.pins.insert(source.to_owned(), json);
        self.line.pin(source, columns.clone()).map_err(|e| after_pin(source, &e))
    }

    /// Finds out the columns of sources, looking ahead in the queue for their first rows.
    async fn pin(&mut self, from: Offset, source: &str, missing: BTreeSet<String>) -> Result<()> {
        let mut blocks: BTreeMap<String, Vec<Block>> = BTreeMap::new();
        let mut missing = missing;
        let mut at = from;
        let mut told = false;
        while !missing.is_empty() {
            let slab = self.shared.queue.read(at, self.step_bytes).await?;
            at = slab.next.max(at);
            for (_, frame) in &slab.frames {
                if !missing.contains(frame.source.as_ref()) {
                    continue;
                }
                match &frame.body {
                    Body::Block(b) => {
                        blocks.entry(frame.source.to_string()).or_default().push(b.clone());
                    }
                    Body::Pin(json) => {
                        self.see_pin(&frame.source, json)?;
                        missing.remove(frame.source.as_ref());
                    }
                    Body::Idle | Body::Ended => {}
                }
            }
            for name in missing.clone() {
                let seen = blocks.get(&name).map_or(&[] as &[Block], Vec::as_slice);
                if let Some(columns) = self.line.infer(&name, seen)? {
                    self.write_pin(&name, &columns).await?;
                    missing.remove(&name);
                }
            }
            if missing.is_empty() || !slab.frames.is_empty() {
                continue;
            }
            // The queue ends here. Blocks of this source that hold no row at all can go on without.
            missing.remove(source);
            if missing.is_empty() {
                return Ok(());
            }
            if !std::mem::replace(&mut told, true) {
                let sources: Vec<&str> = missing.iter().map(String::as_str).collect();
                tracing::warn!(
                    waiting_for = sources.join(", "),
                    "rows wait until the columns of these sources are known; declare `columns` to go on without"
                );
            }
            self.wait_for_frames(at).await?;
        }
        Ok(())
    }

    async fn wait_for_frames(&mut self, at: Offset) -> Result<()> {
        let mut finish = self.finish.clone();
        tokio::select! {
            there = self.shared.queue.wait(at) => there,
            ended = finish.wait_for(|f| f.upto.is_some_and(|upto| at >= upto)) => {
                drop(ended);
                Err(Error::reopen("stopped while waiting for the columns of a source"))
            }
        }
    }

    /// A pin is durable before the first step that uses it.
    async fn write_pin(&mut self, source: &str, columns: &Columns) -> Result<()> {
        let json = serde_json::to_vec(columns)
            .map_err(|e| Error::stop("cannot write columns down").because(e))?;
        let frame = Frame {
            source: source.into(),
            split: "".into(),
            arrival: self.shared.clock.now(),
            position: None,
            body: Body::Pin(json.into()),
        };
        let frames = [frame];
        self.shared.retry("append", || self.shared.queue.append(&frames)).await?;
        self.set_pin(source, columns)?;
        let ready = self.lanes.ready(&self.line);
        self.lanes.open_missing(ready, &self.shared, self.book.as_mut()).await
    }

    /// Takes in what lanes and people have to say.
    fn hear(&mut self) -> Result<()> {
        while let Ok(news) = self.news.try_recv() {
            self.hear_news(news)?;
        }
        while let Ok(ask) = self.asks.try_recv() {
            self.hear_ask(ask);
        }
        Ok(())
    }

    fn hear_news(&mut self, news: News) -> Result<()> {
        match news {
            News::Drained(drained) => {
                self.work.drained.push(drained);
                self.dirty = true;
                Ok(())
            }
            News::Broken(sink, error) => Err(error.at(format!("sinks.{sink}"))),
        }
    }

    fn hear_ask(&mut self, ask: Ask) {
        let Ask::Dead { entry, first, done } = ask;
        self.work.letters.push(entry);
        self.work.dead_first = first.or(self.work.dead_first);
        self.work.told.push(done);
        self.dirty = true;
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<()> {
        let pace = self.pace_left();
        let due = (self.dirty || self.settle) && self.sealing.is_none();
        let queue = self.shared.queue.clone();
        let full = self.bytes > EPOCH_BYTES_MAX;
        tokio::select! {
            there = queue.wait(self.next), if !full => there?,
            sealed = joined(&mut self.sealing) => self.sealed(sealed)?,
            news = self.news.recv() => if let Some(news) = news { self.hear_news(news)? },
            ask = self.asks.recv() => if let Some(ask) = ask { self.hear_ask(ask) },
            changed = self.finish.changed() => drop(changed),
            () = tokio::time::sleep(pace), if due => {}
        }
        Ok(())
    }

    fn pace_left(&self) -> Duration {
        self.sealed_at.map_or(Duration::ZERO, |at| EPOCH_PACE.saturating_sub(at.elapsed()))
    }

    /// Begins to seal the epoch, if the one before is sealed and there is something in it.
    async fn seal_if_due(&mut self, idle: bool) -> Result<()> {
        if self.sealing.as_ref().is_some_and(JoinHandle::is_finished) {
            let sealed = joined(&mut self.sealing).await;
            self.sealed(sealed)?;
        }
        let due = self.dirty || (self.settle && idle);
        if self.sealing.is_some() || !due || !self.pace_left().is_zero() {
            return Ok(());
        }
        self.begin_seal().await
    }

    async fn begin_seal(&mut self) -> Result<()> {
        let Some(book) = self.book.take() else { return Ok(()) };
        self.epoch = self.epoch.next();
        let mark = self.mark(self.epoch, self.next);
        let lanes = self.lanes.seal(mark).await?;
        self.settle = self.lanes.untracked(&lanes);
        let work = std::mem::take(&mut self.work);
        self.dirty = false;
        self.bytes = 0;
        self.sealed_at = Some(Instant::now());
        self.sealing = Some(tokio::spawn(seal::seal(self.shared.clone(), book, mark, work, lanes)));
        Ok(())
    }

    fn mark(&self, epoch: Epoch, next: Offset) -> Mark {
        Mark { log: self.identity.0, incarnation: self.identity.1, epoch, next }
    }

    fn sealed(&mut self, sealed: Result<Sealed>) -> Result<()> {
        let Sealed { mut book, commit_again } = sealed?;
        self.lanes.add_sides(&mut book);
        self.book = Some(book);
        self.dirty |= commit_again;
        Ok(())
    }

    fn finished(&self) -> bool {
        let finish = *self.finish.borrow();
        finish.upto.is_some_and(|upto| self.next >= upto)
            && !self.dirty
            && !self.settle
            && self.sealing.is_none()
            && (!finish.outboxes || self.lanes.outboxes_empty())
    }

    async fn end(mut self) -> Result<Book> {
        self.lanes.close(self.epoch).await?;
        self.book.take().ok_or_else(|| Error::stop("the book was not given back"))
    }

    /// Repeats committed epochs for the sinks that lack them.
    async fn repeat(&mut self, start: Offset, repeats: Vec<Checkpoint>) -> Result<()> {
        let upto = self.next;
        self.next = start;
        for checkpoint in repeats {
            while self.next < checkpoint.next {
                let slab = self.shared.queue.read(self.next, self.step_bytes).await?;
                let mut ground = Ground::default();
                for (offset, frame) in &slab.frames {
                    if *offset < checkpoint.next {
                        self.take(*offset, frame, &mut ground).await?;
                        self.next = offset.next();
                    }
                }
                if slab.frames.is_empty() {
                    return Err(Error::stop(format!(
                        "the queue ends at offset {} before epoch {} does",
                        self.next, checkpoint.epoch
                    )));
                }
                for (sink, rows) in ground.rows {
                    self.lanes.send_again(sink, rows, checkpoint.epoch).await?;
                }
            }
            let lanes = self.lanes.seal(self.mark(checkpoint.epoch, checkpoint.next)).await?;
            tracing::info!(epoch = checkpoint.epoch.0, sinks = lanes.len(), "epoch repeated");
            self.dirty |= seal::repeat(&checkpoint, lanes).await?;
        }
        assert_eq!(self.next, upto, "repeats end where the last checkpoint does");
        // Accounts, letters and pins of these epochs are in the checkpoint already.
        self.work = Work::default();
        Ok(())
    }
}

/// Waits for the task that seals, if there is one; else for ever. Cancel-safe.
async fn joined(sealing: &mut Option<JoinHandle<Result<Sealed>>>) -> Result<Sealed> {
    match sealing {
        None => std::future::pending().await,
        Some(task) => {
            let result = task.await;
            *sealing = None;
            result.unwrap_or_else(|e| Err(Error::stop("sealing an epoch panicked").because(e)))
        }
    }
}

fn parse_pin(source: &str, json: &[u8]) -> Result<Columns> {
    serde_json::from_slice(json).map_err(|e| {
        Error::stop(format!("the pinned columns of source `{source}` cannot be read")).because(e)
    })
}

/// A view does not fit the columns that turned up.
fn after_pin(source: &str, errors: &[ViewError]) -> Error {
    Error::stop(format!(
        "with the columns that source `{source}` turned out to have, {}",
        view_errors(errors).what()
    ))
    .fix("mend the view or declare `columns`; everything collected so far is in the queue and is processed then")
}

/// Rows and digest of the epoch for one lane.
#[derive(Default)]
pub(crate) struct Tally {
    digest: Digest,
}

impl Tally {
    pub(crate) fn add(&mut self, rows: &Rows) {
        self.digest.add(&rows.batch);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.digest.rows() == 0
    }

    /// What was sent in `epoch`; begins the next.
    pub(crate) fn take(&mut self, epoch: Epoch) -> Sent {
        let (rows, digest) = self.digest.take();
        Sent { epoch, rows, digest }
    }
}

/// A lane's rendezvous, both ends.
pub(crate) fn rendezvous(sink: &str, mark: Mark, sent: Sent) -> (Item, Rendezvous) {
    let (prepared, was_prepared) = oneshot::channel();
    let (go, may_go) = oneshot::channel();
    let (done, was_done) = oneshot::channel();
    let item = Item::Seal(Seal { mark, prepared, go: may_go, done });
    let meet =
        Rendezvous { sink: sink.to_owned(), sent, prepared: was_prepared, go, done: was_done };
    (item, meet)
}

/// Starts the loop where the placement says; dropped when `killed` fires.
pub(crate) fn start(
    placement: tasks::Placement,
    processor: Processor,
    from: Offset,
    repeats: Vec<Checkpoint>,
    mut killed: watch::Receiver<bool>,
) -> oneshot::Receiver<Result<Book>> {
    tasks::start(placement, "process", async move {
        tokio::select! {
            ended = processor.run(from, repeats) => ended,
            fired = killed.wait_for(|k| *k) => {
                drop(fired);
                Err(Error::retry("the pipeline did not come to its end in time"))
            }
        }
    })
}
