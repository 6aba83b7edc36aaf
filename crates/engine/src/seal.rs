//! Seals an epoch: every sink prepares, the checkpoint is made durable, every sink flushes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use millstream_core::clock::{Clock, Timestamp};
use millstream_core::ledger::{Ledger, Stage};
use millstream_core::plugin::Report;
use millstream_core::queue::{Checkpoint, Epoch, Mark, Queue, Sent, SideStream};
use millstream_core::record::Offset;
use millstream_core::{Error, Remedy, Result};

use crate::back_off::BackOff;
use crate::dead_letters::{self, Entry};
use crate::deliver::{Done, Prepared};
use crate::drain::Drained;
use crate::status::{Kind, PartStatus, Status};
use crate::tasks::tell;

/// What a run shares between its tasks.
pub(crate) struct Shared {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) dead: Arc<dyn SideStream>,
    pub(crate) dead_bytes_max: u64,
    pub(crate) status: Arc<Status>,
    pub(crate) queue_status: Arc<PartStatus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retry_max: Duration,
    /// The last epoch committed, for whoever may deliver up to it.
    pub(crate) committed: watch::Sender<Epoch>,
}

impl Shared {
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        dead_bytes_max: u64,
        retry_max: Duration,
    ) -> Result<Self> {
        Ok(Self {
            dead: Arc::from(queue.side(dead_letters::STREAM)?),
            queue_status: status.part(Kind::Queue, "queue"),
            queue,
            dead_bytes_max,
            status,
            clock,
            retry_max,
            committed: watch::channel(Epoch(0)).0,
        })
    }

    /// Tries until it works, telling of the trouble once; gives up on what a retry cannot mend.
    pub(crate) async fn retry<T, F: Future<Output = Result<T>>>(
        &self,
        what: &str,
        mut act: impl FnMut() -> F,
    ) -> Result<T> {
        let mut back_off = BackOff::new(what, self.retry_max);
        loop {
            match act().await {
                Ok(value) => {
                    self.queue_status.fine(what);
                    return Ok(value);
                }
                Err(e) if e.remedy() == Remedy::Retry => {
                    self.queue_status.trouble(what, &e);
                    tokio::time::sleep(back_off.next()).await;
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// Everything that goes from one checkpoint into the next.
#[derive(Clone, Default)]
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    pub(crate) sent: BTreeMap<String, Sent>,
    pub(crate) pins: BTreeMap<String, String>,
    pub(crate) epoch: Epoch,
    pub(crate) next: Offset,
    /// Side streams that checkpoints name.
    pub(crate) sides: BTreeMap<String, Arc<dyn SideStream>>,
}

/// One lane's part in an epoch.
pub(crate) struct Rendezvous {
    pub(crate) sink: String,
    pub(crate) sent: Sent,
    pub(crate) prepared: oneshot::Receiver<Result<Prepared>>,
    pub(crate) go: oneshot::Sender<()>,
    pub(crate) done: oneshot::Receiver<Done>,
}

/// An epoch on its way to its checkpoint.
#[derive(Default)]
pub(crate) struct Work {
    /// Accounts of this epoch alone.
    pub(crate) ledger: Ledger,
    /// What it adds to the dead letters.
    pub(crate) letters: Vec<Entry>,
    /// What was delivered from outboxes since the last epoch.
    pub(crate) drained: Vec<Drained>,
    /// When its blocks had arrived.
    pub(crate) arrivals: Vec<Timestamp>,
    /// Told once it is committed.
    pub(crate) told: Vec<oneshot::Sender<()>>,
    /// Columns pinned in it.
    pub(crate) pins: BTreeMap<String, String>,
    /// The dead letters from here on are still needed; those before are freed.
    pub(crate) dead_first: Option<u64>,
}

/// What sealing an epoch came to.
pub(crate) struct Sealed {
    pub(crate) book: Book,
    /// Rows went into an outbox after the commit: another commit has to name them.
    pub(crate) commit_again: bool,
}

/// Seals `mark`'s epoch.
///
/// # Errors
/// `Stop` when the queue can commit no more: nothing of this epoch counts.
pub(crate) async fn seal(
    shared: Arc<Shared>,
    mut book: Book,
    mark: Mark,
    work: Work,
    lanes: Vec<Rendezvous>,
) -> Result<Sealed> {
    let before = (book.epoch, book.next);
    let Work { ledger, mut letters, drained, arrivals, mut told, pins, dead_first } = work;
    for (edge, account) in &ledger.0 {
        book.ledger.account(edge.stage, &edge.part).add(account);
    }
    book.pins.extend(pins);
    for drained in drained {
        settle(&mut book.ledger, &drained);
        letters.extend(drained.letters.into_iter().map(Entry::Letter));
        told.extend(drained.committed);
    }
    let mut go = Vec::new();
    for lane in lanes {
        let prepared = lane.prepared.await.map_err(|_| lane_gone(&lane.sink))??;
        let refused = prepared.letters.len() as u64;
        let account = book.ledger.account(Stage::Sink, &lane.sink);
        account.r#in += prepared.rows_direct + prepared.rows_outboxed;
        account.out += prepared.rows_direct - refused;
        account.set_aside += refused;
        account.in_flight += prepared.rows_outboxed;
        letters.extend(prepared.letters.into_iter().map(Entry::Letter));
        book.sent.insert(lane.sink.clone(), lane.sent);
        go.push((lane.sink, lane.go, lane.done));
    }
    check_balance(&book.ledger)?;
    put_letters(&shared, &letters).await?;
    commit(&shared, &mut book, mark, dead_first, before.0).await?;
    let mut commit_again = false;
    let mut dones = Vec::new();
    for (sink, go, done) in go {
        // A lane that is gone has said why through its news.
        if go.send(()).is_ok() {
            dones.push((sink, done));
        }
    }
    for waiting in told {
        tell(waiting, ());
    }
    for (sink, done) in dones {
        commit_again |= done.await.map_err(|_| lane_gone(&sink))? == Done::WaitsUnnamed;
    }
    let now = shared.clock.now();
    for arrival in arrivals {
        shared.status.end_to_end_seconds.observe(now.since(arrival).as_secs_f64());
    }
    // The checkpoint before this one stays: a sink may have to be brought from there to here.
    shared.retry("trim", || shared.queue.trim(before.1, before.0)).await?;
    Ok(Sealed { book, commit_again })
}

fn settle(ledger: &mut Ledger, drained: &Drained) {
    let account = ledger.account(Stage::Sink, &drained.sink);
    let refused = drained.letters.len() as u64;
    account.out += drained.rows;
    account.set_aside += refused;
    // More cannot have waited than was put there.
    assert!(
        account.in_flight >= drained.rows + refused,
        "sink `{}` delivered more rows from its outbox than went in",
        drained.sink
    );
    account.in_flight -= drained.rows + refused;
}

fn check_balance(ledger: &Ledger) -> Result<()> {
    match ledger.unbalanced().next() {
        None => Ok(()),
        Some((edge, account)) => Err(Error::stop(format!(
            "the ledger does not balance at {:?} `{}`: {account:?}",
            edge.stage, edge.part
        ))
        .fix("this is a bug: nothing was committed, nothing is lost; please report it")),
    }
}

fn lane_gone(sink: &str) -> Error {
    Error::stop(format!("the lane of sink `{sink}` ended before its epoch did"))
}

async fn put_letters(shared: &Shared, letters: &[Entry]) -> Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    let entries = letters.iter().map(Entry::encode).collect::<Result<Vec<Bytes>>>()?;
    let bytes: u64 = entries.iter().map(|e| e.len() as u64).sum();
    shared
        .retry("dead letters", || async {
            let held = shared.dead.bytes();
            if held > 0 && held.saturating_add(bytes) > shared.dead_bytes_max {
                return Err(Error::retry(format!(
                    "the dead letters are full: {held} bytes of {}",
                    shared.dead_bytes_max
                ))
                .fix("look at them with `millstream dead list`, then `dead drop` or `dead replay`; the pipeline goes on by itself"));
            }
            shared.dead.append(&entries).await
        })
        .await?;
    Ok(())
}

async fn commit(
    shared: &Shared,
    book: &mut Book,
    mark: Mark,
    dead_first: Option<u64>,
    flushed: Epoch,
) -> Result<()> {
    book.epoch = mark.epoch;
    book.next = mark.next;
    if let Some(first) = dead_first {
        shared.dead.trim(first).await?;
    }
    let mut sides: BTreeMap<_, _> =
        book.sides.iter().map(|(name, side)| (name.clone(), side.extent())).collect();
    sides.insert(dead_letters::STREAM.to_owned(), shared.dead.extent());
    let checkpoint = Checkpoint {
        epoch: mark.epoch,
        next: mark.next,
        flushed,
        chunks: Vec::new(),
        ledger: book.ledger.clone(),
        sides,
        sent: book.sent.clone(),
        pins: book.pins.clone(),
        at: shared.clock.now(),
    };
    shared.retry("commit", || shared.queue.commit(&checkpoint)).await?;
    shared.committed.send_replace(mark.epoch);
    shared.status.epochs.inc();
    shared.status.saw_ledger(mark.epoch, &checkpoint.ledger);
    shared.status.saw_queue(shared.queue.status(), mark.next.0);
    Ok(())
}

/// Repeats a committed epoch for the sinks that lack it: no commit, no letters, no accounts.
///
/// # Errors
/// `Stop` when the rows are not those that were sent before.
pub(crate) async fn repeat(checkpoint: &Checkpoint, lanes: Vec<Rendezvous>) -> Result<bool> {
    let mut commit_again = false;
    for lane in lanes {
        let prepared = lane.prepared.await.map_err(|_| lane_gone(&lane.sink))??;
        let was = checkpoint.sent.get(&lane.sink).copied().unwrap_or_default();
        if was != lane.sent {
            return Err(Error::stop(format!(
                "epoch {} does not repeat for sink `{}`: {} rows with digest {:016x} were sent, now there are {} with {:016x}",
                checkpoint.epoch, lane.sink, was.rows, was.digest, lane.sent.rows, lane.sent.digest
            ))
            .fix(format!(
                "the views, columns or version changed while the sink was behind: run the file as it was until it has caught up,                  or run once with `--resume {}` to go on from where the queue stands",
                lane.sink
            )));
        }
        commit_again |= prepared.rows_outboxed > 0;
        if lane.go.send(()).is_ok() {
            let done = lane.done.await.map_err(|_| lane_gone(&lane.sink))?;
            commit_again |= done == Done::WaitsUnnamed;
        }
    }
    Ok(commit_again)
}
