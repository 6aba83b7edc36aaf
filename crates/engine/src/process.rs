//! The loop: read frames, take them through the line, seal epochs.
//!
//! While one epoch is sealed (prepare, commit, flush), the next is already being made. An epoch is
//! sealed as soon as the one before it is, so epochs are single blocks when it is quiet and
//! grow by themselves when it is busy.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use millstream_core::codec::Rows;
use millstream_core::queue::{Checkpoint, Epoch, LogId, Mark, Sent, Slab};
use millstream_core::record::Offset;
use millstream_core::{Error, Result};

use crate::dead_letters::Entry;
use crate::deliver::{Item, News, Seal};
use crate::lanes::{Lanes, Way};
use crate::line::Line;
use crate::lookup::Lookups;
use crate::pins::Wait;
use crate::rebuild::{Rebuild, Remade};
use crate::remember::State;
use crate::seal::{self, Book, Rendezvous, Sealed, Shared, Work};
use crate::status::Doing;
use crate::tasks::{self, Child};

/// Bytes in an epoch, of frames and of what they became, before it must be sealed: lanes hold its rows.
const EPOCH_BYTES_MAX: usize = 32 << 20;

/// Pieces of state that changed in an epoch before it must be sealed: while they are copied, nothing is processed. At some
/// 0.1 us a piece on a machine of 2026 that is 2 ms.
const EPOCH_CHANGES_MAX: usize = 20_000;

/// How long to go on, after a sink broke for good, to bring its siblings to the end of an epoch.
const BROKEN_WITHIN: Duration = Duration::from_secs(5);

/// How long to wait for a lane to say why it ended.
const WHY_WITHIN: Duration = Duration::from_millis(50);

/// Epochs begin no closer than this, so that a trickle from many sources does not become a commit per block.
const EPOCH_PACE: Duration = Duration::from_millis(5);

/// Epochs are so many times the time apart that it took to copy state for the last one.
const COPIES_APART: u32 = 5;

/// What the engine asks of the loop while it runs.
pub(crate) enum Ask {
    /// Commit entries to the dead letters (what was dropped or replayed), and say when that is done.
    Dead { entry: Entry, done: oneshot::Sender<()> },
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
    pub(crate) lookups: Lookups,
    pub(crate) lanes: Lanes,
    pub(crate) identity: (LogId, u32),
    /// Bytes of frames taken in one step.
    pub(crate) step_bytes: usize,
    /// `None` while it is with the task that seals.
    pub(crate) book: Option<Book>,
    pub(crate) sealing: Option<Child<Result<Sealed>>>,
    pub(crate) next: Offset,
    pub(crate) epoch: Epoch,
    /// Where the epoch that is being made begins.
    pub(crate) begun: Offset,
    /// What came of frames since then.
    pub(crate) work: Work,
    /// What lanes and people said.
    pub(crate) said: Work,
    /// Frames were taken that a commit has to hold.
    pub(crate) dirty: bool,
    /// Something else happened that a commit has to hold.
    pub(crate) asked: bool,
    pub(crate) bytes: usize,
    pub(crate) sealed_at: Option<Instant>,
    /// How long it took to copy what had changed of the state in the last epoch.
    pub(crate) copied_within: Duration,
    /// A sink that keeps no track got rows in the last epoch: an empty epoch after it keeps a restart from repeating them.
    pub(crate) settle: bool,
    /// Rows that wait until the columns of some source are known.
    pub(crate) pinning: Option<Wait>,
    /// A frame is half taken, as a lookup is away: when to ask it again.
    pub(crate) away: Option<Instant>,
    /// The end of the frames that the loop itself has appended.
    pub(crate) own: Offset,
    /// The views' state, while views may still be planned anew.
    pub(crate) state: State,
    /// What is to be built anew before the run goes on, and what came of that.
    pub(crate) rebuild: Option<Rebuild>,
    pub(crate) remade: Remade,
    /// A sink that is given up: the run ends.
    pub(crate) broken: Option<Error>,
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
        let error = match self.turn(start, repeats).await {
            Ok(()) => return self.end().await,
            Err(error) => error,
        };
        // A lane that ended in a panic is found missing a moment before it can say why.
        let why = async {
            while let (None, Some(news)) = (&self.broken, self.news.recv().await) {
                self.hear_news(news);
            }
        };
        drop(tokio::time::timeout(WHY_WITHIN, why).await);
        Err(self.broken.take().unwrap_or(error))
    }

    /// Turns until it is told to finish.
    async fn turn(&mut self, start: Offset, repeats: Vec<Checkpoint>) -> Result<()> {
        self.rebuild().await?;
        self.repeat(start, repeats).await?;
        self.shared.status.set_doing(Doing::Processing);
        loop {
            self.hear();
            if let Some(broken) = self.broken.take() {
                return Err(self.give_up(broken).await);
            }
            let slab = self.read().await?;
            let idle = slab.frames.is_empty() || !self.step(slab).await?;
            if self.leaves_rest() {
                return Ok(());
            }
            self.seal_if_due(idle).await?;
            if idle && self.finished() {
                return Ok(());
            }
            if idle && self.broken.is_none() {
                self.wait().await?;
            }
        }
    }

    /// Frames up to where the loop shall end.
    async fn read(&mut self) -> Result<Slab> {
        if self.full() {
            return Ok(Slab { frames: Vec::new(), next: self.next });
        }
        let mut slab = self.shared.queue.read(self.next, self.step_bytes).await?;
        if let Some(upto) = self.upto() {
            slab.frames.retain(|(offset, _)| *offset < upto);
        }
        Ok(slab)
    }

    /// Where the loop shall end, if it shall: pins that it writes on the way are part of it.
    pub(crate) fn upto(&self) -> Option<Offset> {
        self.finish.borrow().upto.map(|upto| upto.max(self.own))
    }

    /// Gives rows to a lane.
    pub(crate) async fn send(&mut self, sink: usize, rows: Rows) -> Result<()> {
        let way = self.lanes.way(sink, &rows)?;
        self.give(&way, Item::Rows(rows)).await
    }

    /// Gives an item to a lane. While that is full, lanes are heard: one may need a commit to go on.
    async fn give(&mut self, way: &Way, item: Item) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                room = way.room() => {
                    room?.send(item);
                    return Ok(());
                }
                Some(news) = self.news.recv() => self.hear_news(news),
                () = tokio::time::sleep(BROKEN_WITHIN), if self.broken.is_some() => {
                    return Err(Error::stop("no lane takes rows any more"));
                }
            }
        }
    }

    /// Takes in what lanes and people have to say.
    pub(crate) fn hear(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            self.hear_news(news);
        }
        while let Ok(ask) = self.asks.try_recv() {
            self.hear_ask(ask);
        }
    }

    fn hear_news(&mut self, news: News) {
        match news {
            News::Drained(drained) => self.said.drained.push(drained),
            News::Letters { letters, committed } => {
                self.said.letters.extend(letters.into_iter().map(Entry::Letter));
                self.said.told.push(committed);
            }
            News::Broken(sink, error) => {
                self.broken.get_or_insert(error.at(format!("sinks.{sink}")));
            }
        }
        self.asked = true;
    }

    fn hear_ask(&mut self, ask: Ask) {
        let Ask::Dead { entry, done } = ask;
        self.said.letters.push(entry);
        self.said.told.push(done);
        self.asked = true;
    }

    /// Waits until there is something to do.
    pub(crate) async fn wait(&mut self) -> Result<()> {
        let pace = self.pace_left();
        let due = (self.due() || self.settles()) && self.sealing.is_none();
        let away = self.away;
        let queue = self.shared.queue.clone();
        let next = self.pinning.as_ref().map_or(self.next, |p| p.at);
        let more = away.is_none() && !self.full() && self.upto().is_none_or(|upto| next < upto);
        tokio::select! {
            biased;
            sealed = joined(&mut self.sealing) => self.sealed(sealed)?,
            // A channel whose other end is gone (a queue without a folder has no control socket) says nothing.
            Some(news) = self.news.recv() => self.hear_news(news),
            Some(ask) = self.asks.recv() => self.hear_ask(ask),
            Ok(()) = self.finish.changed() => {}
            there = queue.wait(next), if more => there?,
            () = tokio::time::sleep(pace), if due => {}
            () = until(away), if away.is_some() => {}
        }
        Ok(())
    }

    /// Waits until then, or until something changes about the end of the run.
    pub(crate) async fn wait_for_end(&mut self, then: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(then) => {}
            Ok(()) = self.finish.changed() => {}
        }
    }

    /// Whether something happened that a commit has to hold, and can: not of frames while one is half taken.
    fn due(&self) -> bool {
        self.asked || (self.dirty && self.away.is_none())
    }

    /// Whether the epoch must be sealed before more is taken.
    pub(crate) fn full(&self) -> bool {
        // State that was taken over from other threads has changed although nothing was processed yet.
        self.bytes > EPOCH_BYTES_MAX || (self.dirty && self.line.changed() > EPOCH_CHANGES_MAX)
    }

    /// Whether an empty epoch is due as soon as nothing else is.
    fn settles(&self) -> bool {
        self.settle && self.away.is_none()
    }

    /// Whether the run was told to end, and the frames that are left wait for a lookup that is away.
    pub(crate) fn leaves_rest(&self) -> bool {
        let finish = *self.finish.borrow();
        self.away.is_some() && finish.upto.is_some() && !finish.outboxes
    }

    /// How long the next epoch has to wait: so that a small part of the time is spent on copying state, but not while the
    /// epoch takes no more.
    fn pace_left(&self) -> Duration {
        let pace = if self.full() {
            EPOCH_PACE
        } else {
            EPOCH_PACE.max(self.copied_within * COPIES_APART)
        };
        self.sealed_at.map_or(Duration::ZERO, |at| pace.saturating_sub(at.elapsed()))
    }

    /// Begins to seal the epoch, if the one before is sealed and there is something in it.
    pub(crate) async fn seal_if_due(&mut self, idle: bool) -> Result<()> {
        if self.sealing.as_ref().is_some_and(Child::is_finished) {
            let sealed = joined(&mut self.sealing).await;
            self.sealed(sealed)?;
        }
        let due = self.due() || (self.settles() && idle);
        if self.sealing.is_some() || !due || !self.pace_left().is_zero() {
            return Ok(());
        }
        self.begin_seal().await
    }

    async fn begin_seal(&mut self) -> Result<()> {
        let Some(book) = self.book.take() else { return Ok(()) };
        let began = Instant::now();
        self.epoch = self.epoch.next();
        let half = self.away.is_some();
        let mark = self.mark(self.epoch, if half { self.begun } else { self.next });
        let mut lanes = Vec::new();
        let mut work = Work::default();
        if !half {
            lanes = self.meet(mark).await?;
            self.settle = self.lanes.untracked(&lanes);
            let copying = Instant::now();
            self.snapshot()?;
            self.copied_within = copying.elapsed();
            work = std::mem::take(&mut self.work);
            work.records = self.lookups.take_record(self.epoch)?;
            self.dirty = false;
            self.bytes = 0;
        }
        work.add(std::mem::take(&mut self.said));
        self.asked = false;
        self.sealed_at = Some(Instant::now());
        self.sealing = Some(Child::spawn(seal::seal(self.shared.clone(), book, mark, work, lanes)));
        let pause = began.elapsed();
        self.shared.status.checkpoint_pause_seconds.observe(pause.as_secs_f64());
        Ok(())
    }

    /// Tells every lane that has rows of it that the epoch ends here.
    pub(crate) async fn meet(&mut self, mark: Mark) -> Result<Vec<Rendezvous>> {
        let (ends, lanes) = self.lanes.seal(mark, self.begun);
        self.begun = mark.next;
        for (way, end) in ends {
            self.give(&way, end).await?;
        }
        Ok(lanes)
    }

    pub(crate) fn mark(&self, epoch: Epoch, next: Offset) -> Mark {
        Mark { log: self.identity.0, incarnation: self.identity.1, epoch, next }
    }

    fn sealed(&mut self, sealed: Result<Sealed>) -> Result<()> {
        let Sealed { mut book, commit_again } = sealed?;
        self.lanes.add_sides(&mut book);
        self.book = Some(book);
        self.asked |= commit_again;
        Ok(())
    }

    fn finished(&self) -> bool {
        let next = self.pinning.as_ref().map_or(self.next, |p| p.at);
        self.upto().is_some_and(|upto| next >= upto)
            && !self.due()
            && !self.settle
            && self.sealing.is_none()
            && self.outboxes_done()
    }

    /// Whether what waits for sinks that were down is delivered, as far as this run can.
    fn outboxes_done(&self) -> bool {
        if self.finish.borrow().outboxes {
            return self.lanes.outboxes_empty();
        }
        self.shared.ending.send_replace(true);
        self.lanes.outboxes_done()
    }

    async fn end(mut self) -> Result<Book> {
        self.lanes.close(self.epoch).await?;
        // What a lane delivered from its outbox on the last yard is booked, so that it is not delivered again.
        self.hear();
        self.seal_rest().await?;
        let trouble = self.trouble();
        let mut book =
            self.book.take().ok_or_else(|| Error::stop("the book was not given back"))?;
        book.trouble = trouble;
        Ok(book)
    }

    /// What a person should know when the run ends before everything was processed.
    pub(crate) fn trouble(&self) -> Option<String> {
        if let Some(wait) = &self.pinning {
            return Some(wait.text());
        }
        let away = self.lookups.away().iter().map(|l| format!("`{l}`")).collect::<Vec<_>>();
        (self.away.is_some()).then(|| {
            let (next, away) = (self.begun, away.join(", "));
            format!("rows from offset {next} on wait for an answer of the lookup {away}")
        })
    }

    /// Brings what was begun to its end.
    async fn seal_rest(&mut self) -> Result<()> {
        loop {
            if self.sealing.is_some() {
                let sealed = joined(&mut self.sealing).await;
                self.sealed(sealed)?;
            }
            if !self.due() {
                return Ok(());
            }
            self.begin_seal().await?;
        }
    }

    /// A sink broke for good: its siblings get what was made for them, and the run ends.
    async fn give_up(&mut self, broken: Error) -> Error {
        match tokio::time::timeout(BROKEN_WITHIN, self.seal_rest()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = %e, "the last epoch could not be sealed"),
            Err(_) => tracing::warn!("the last epoch could not be sealed in time"),
        }
        broken
    }
}

async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

/// Waits for the task that seals, if there is one; else for ever. Cancel-safe.
async fn joined(sealing: &mut Option<Child<Result<Sealed>>>) -> Result<Sealed> {
    match sealing {
        None => std::future::pending().await,
        Some(task) => {
            let result = task.join().await;
            *sealing = None;
            result.unwrap_or_else(|e| Err(Error::stop("sealing an epoch panicked").because(e)))
        }
    }
}

/// A lane's rendezvous, both ends.
pub(crate) fn rendezvous(
    sink: &str,
    mark: Mark,
    sent: Sent,
    offsets: Range<Offset>,
) -> (Item, Rendezvous) {
    let (prepared, was_prepared) = oneshot::channel();
    let (go, may_go) = oneshot::channel();
    let (done, was_done) = oneshot::channel();
    let item = Item::Seal(Seal { mark, prepared, go: may_go, done });
    let meet = Rendezvous {
        sink: sink.to_owned(),
        sent,
        offsets,
        prepared: was_prepared,
        go,
        done: was_done,
    };
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
            biased;
            ended = processor.run(from, repeats) => ended,
            fired = killed.wait_for(|k| *k) => {
                drop(fired);
                Err(Error::retry("the pipeline did not come to its end in time"))
            }
        }
    })
}
