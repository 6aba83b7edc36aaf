//! Seals an epoch: every sink prepares, the checkpoint is made durable, every sink flushes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use millstream_core::clock::{Clock, Timestamp};
use millstream_core::ledger::{Ledger, Stage};
use millstream_core::operator::Chunks;
use millstream_core::plugin::Report;
use millstream_core::queue::{Checkpoint, ChunkRef, Epoch, Mark, Queue, Sent, SideStream};
use millstream_core::record::Offset;
use millstream_core::{Error, Remedy, Result};

use crate::back_off::BackOff;
use crate::busy::Busy;
use crate::config::Limits;
use crate::dead_letters::{self, Entry};
use crate::deliver::{Done, Prepared};
use crate::drain::Drained;
use crate::lookup::Record;
use crate::outbox::Outbox;
use crate::status::{Kind, PartStatus, Status};
use crate::tasks::tell;

/// What a run shares between its tasks.
pub(crate) struct Shared {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) dead: Arc<dyn SideStream>,
    pub(crate) dead_bytes_max: u64,
    pub(crate) status: Arc<Status>,
    pub(crate) busy: Arc<Busy>,
    pub(crate) queue_status: Arc<PartStatus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retry_max: Duration,
    /// The last epoch committed, for whoever may deliver up to it.
    pub(crate) committed: watch::Sender<Epoch>,
    /// The run ends: sinks that are down are tried once more.
    pub(crate) ending: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        limits: &Limits,
    ) -> Result<Self> {
        Ok(Self {
            dead: Arc::from(queue.side(dead_letters::STREAM)?),
            queue_status: status.part(Kind::Queue, "queue"),
            queue,
            dead_bytes_max: limits.dead_bytes.0,
            busy: Arc::default(),
            status,
            clock,
            retry_max: limits.retry_max.0,
            committed: watch::channel(Epoch(0)).0,
            ending: watch::channel(false).0,
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
    /// The epoch up to which every sink holds its rows or has them in its outbox.
    pub(crate) flushed: Epoch,
    /// Outboxes by the names of their streams; those of sinks that are not in the file any more are kept as they are.
    pub(crate) outboxes: BTreeMap<String, Arc<Outbox>>,
    /// What lookups answered, by the names of the streams.
    pub(crate) records: BTreeMap<String, Record>,
    /// State by view and key.
    pub(crate) chunks: BTreeMap<(String, String), ChunkRef>,
    /// Why the run ended before its end.
    pub(crate) trouble: Option<String>,
}

/// One lane's part in an epoch.
pub(crate) struct Rendezvous {
    pub(crate) sink: String,
    pub(crate) sent: Sent,
    /// The frames its rows came from.
    pub(crate) offsets: Range<Offset>,
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
    /// Changed state by view, as it was at the epoch's end.
    pub(crate) chunks: BTreeMap<String, Chunks>,
    /// Views of which this is all the state there is.
    pub(crate) replaced: BTreeSet<String>,
    /// What lookups answered in it, by side stream.
    pub(crate) records: BTreeMap<String, Vec<Bytes>>,
}

impl Work {
    /// Adds what lanes and people said.
    pub(crate) fn add(&mut self, said: Self) {
        self.letters.extend(said.letters);
        self.drained.extend(said.drained);
        self.told.extend(said.told);
    }
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
    let Work { ledger, mut letters, drained, arrivals, told, pins, chunks, records, replaced } =
        work;
    for (edge, account) in &ledger.0 {
        book.ledger.account(edge.stage, &edge.part).add(account);
    }
    book.pins.extend(pins);
    for drained in &drained {
        settle(&mut book.ledger, drained);
    }
    book.chunks.retain(|(view, _), _| !replaced.contains(view));
    put_chunks(&shared, &mut book, chunks).await?;
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
    put_records(&shared, &mut book, records).await?;
    for d in &drained {
        shared.retry("outbox", || d.outbox.forget(d.upto, d.bytes)).await?;
    }
    (book.epoch, book.next, book.flushed) = (mark.epoch, mark.next, before.0);
    commit(&shared, &book).await?;
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
        if let Done::WaitsUnnamed { rows, refused } = done.await.map_err(|_| lane_gone(&sink))? {
            wait_after_all(&mut book.ledger, &sink, rows, refused);
            commit_again = true;
        }
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
    account.out += drained.rows;
    account.set_aside += drained.refused;
    // More cannot have waited than was put there.
    assert!(
        account.in_flight >= drained.rows + drained.refused,
        "sink `{}` delivered more rows from its outbox than went in",
        drained.sink
    );
    account.in_flight -= drained.rows + drained.refused;
}

/// Rows that were booked as delivered went into the outbox after all.
fn wait_after_all(ledger: &mut Ledger, sink: &str, rows: u64, refused: u64) {
    let account = ledger.account(Stage::Sink, sink);
    assert!(
        account.out >= rows - refused && account.set_aside >= refused,
        "sink `{sink}` gave back more rows than it was given"
    );
    account.in_flight += rows;
    account.out -= rows - refused;
    account.set_aside -= refused;
}

/// Stores what changed of the operators' state.
async fn put_chunks(
    shared: &Shared,
    book: &mut Book,
    chunks: BTreeMap<String, Chunks>,
) -> Result<()> {
    for (view, chunks) in chunks {
        for (key, bytes) in chunks {
            let place = (view.clone(), key.clone());
            match bytes {
                Some(bytes) => {
                    let put = || shared.queue.put_chunk(&view, &key, bytes.clone());
                    let chunk = shared.retry("state", put).await?;
                    shared.status.checkpoint_bytes.inc_by(chunk.bytes);
                    book.chunks.insert(place, chunk);
                }
                None => drop(book.chunks.remove(&place)),
            }
        }
    }
    Ok(())
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
    let (letters, notes): (Vec<&Entry>, Vec<&Entry>) =
        letters.iter().partition(|e| matches!(e, Entry::Letter(_)));
    let encode = |entries: Vec<&Entry>| -> Result<Vec<Bytes>> {
        entries.into_iter().map(Entry::encode).collect()
    };
    let (entries, notes) = (encode(letters)?, encode(notes)?);
    if !notes.is_empty() {
        // That letters are gone is what makes room: it needs none.
        shared.retry("dead letters", || shared.dead.append(&notes)).await?;
    }
    if entries.is_empty() {
        return Ok(());
    }
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

/// Keeps what lookups answered in this epoch, and what they did in the one before, which the checkpoint before still needs.
async fn put_records(
    shared: &Shared,
    book: &mut Book,
    records: BTreeMap<String, Vec<Bytes>>,
) -> Result<()> {
    for (name, entries) in records {
        let Some(record) = book.records.get_mut(&name) else { continue };
        let first = shared.retry("lookups", || record.stream.append(&entries)).await?;
        shared.retry("lookups", || record.stream.trim(record.last)).await?;
        record.last = first;
    }
    Ok(())
}

async fn commit(shared: &Shared, book: &Book) -> Result<()> {
    let mut sides: BTreeMap<_, _> =
        book.outboxes.iter().map(|(name, o)| (name.clone(), o.stream.extent())).collect();
    sides.extend(book.records.iter().map(|(name, r)| (name.clone(), r.stream.extent())));
    sides.insert(dead_letters::STREAM.to_owned(), shared.dead.extent());
    let checkpoint = Checkpoint {
        epoch: book.epoch,
        next: book.next,
        flushed: book.flushed,
        chunks: book.chunks.values().cloned().collect(),
        ledger: book.ledger.clone(),
        sides,
        sent: book.sent.clone(),
        pins: book.pins.clone(),
        at: shared.clock.now(),
    };
    shared.retry("commit", || shared.queue.commit(&checkpoint)).await?;
    shared.committed.send_replace(book.epoch);
    shared.status.epochs.inc();
    shared.status.saw_ledger(book.epoch, &book.ledger);
    shared.status.saw_queue(shared.queue.status(), book.next.0);
    Ok(())
}

/// Books rows of a repeated epoch that were looked up anew, and so may be others and more or fewer than were booked.
/// Says whether they are.
fn sent_anew(book: &mut Book, sink: &str, was: Sent, now: Sent) -> bool {
    if was == now {
        return false;
    }
    tracing::info!(
        sink,
        was = was.rows,
        now = now.rows,
        "a lookup has answered otherwise this time"
    );
    let before = if was.epoch == now.epoch { was.rows } else { 0 };
    let account = book.ledger.account(Stage::Sink, sink);
    // Rows that were refused the first time stay in the dead letters, and so in the account.
    account.out = (account.out + now.rows).saturating_sub(before);
    account.r#in = account.out + account.set_aside + account.in_flight;
    if book.sent.get(sink).is_none_or(|sent| sent.epoch <= now.epoch) {
        book.sent.insert(sink.to_owned(), now);
    }
    true
}

/// Books that sinks which were sent rows of an epoch get none now that it is repeated, as a lookup answers otherwise.
/// Says whether there are any.
pub(crate) fn sent_nothing(
    book: &mut Book,
    checkpoint: &Checkpoint,
    silent: &[(String, Epoch)],
) -> bool {
    for (sink, holds) in silent {
        let was = checkpoint.sent.get(sink).copied().unwrap_or_default();
        sent_anew(book, sink, was, Sent { epoch: checkpoint.epoch, ..Sent::default() });
        // It lacks nothing, though its mark stays where it is.
        book.sent.insert(sink.clone(), Sent { epoch: *holds, ..Sent::default() });
    }
    !silent.is_empty()
}

/// Repeats a committed epoch for the sinks that lack it. It is booked already, but for rows that went
/// into an outbox this time, or that only now were refused. Says whether a commit has to tell.
///
/// # Errors
/// `Stop` when the rows are not those that were sent before.
pub(crate) async fn repeat(
    shared: &Shared,
    book: &mut Book,
    checkpoint: &Checkpoint,
    lanes: Vec<Rendezvous>,
    live: &BTreeMap<String, BTreeSet<String>>,
) -> Result<bool> {
    let mut commit_again = false;
    for lane in lanes {
        let prepared = lane.prepared.await.map_err(|_| lane_gone(&lane.sink))??;
        let was = checkpoint.sent.get(&lane.sink).copied().unwrap_or_default();
        if live.contains_key(&lane.sink) {
            commit_again |= sent_anew(book, &lane.sink, was, lane.sent);
        } else if was != lane.sent {
            return Err(does_not_repeat(checkpoint, &lane.sink, was, lane.sent));
        }
        let known = || dead_letters::of_sink(shared.dead.as_ref(), &lane.sink, &lane.offsets);
        let mut fresh: Vec<Entry> = Vec::new();
        if !prepared.letters.is_empty() {
            let known = known().await?;
            let letters = prepared
                .letters
                .into_iter()
                .filter(|l| !known.contains(&(l.id, l.payload.clone())));
            fresh.extend(letters.map(Entry::Letter));
        }
        if !fresh.is_empty() {
            // Refused rows are durable before the flush, these too: the last epoch is committed once more.
            let account = book.ledger.account(Stage::Sink, &lane.sink);
            account.out -= fresh.len() as u64;
            account.set_aside += fresh.len() as u64;
            put_letters(shared, &fresh).await?;
            commit(shared, book).await?;
        }
        if lane.go.send(()).is_err() {
            continue;
        }
        let done = lane.done.await.map_err(|_| lane_gone(&lane.sink))?;
        if prepared.rows_outboxed > 0 || matches!(done, Done::WaitsUnnamed { .. }) {
            let refused = known().await?.len() as u64;
            wait_after_all(&mut book.ledger, &lane.sink, lane.sent.rows, refused);
            commit_again = true;
        }
    }
    Ok(commit_again)
}

fn does_not_repeat(checkpoint: &Checkpoint, sink: &str, was: Sent, now: Sent) -> Error {
    Error::stop(format!(
        "epoch {} does not repeat for sink `{sink}`: {} rows with digest {:016x} were sent, now there are {} with {:016x}",
        checkpoint.epoch, was.rows, was.digest, now.rows, now.digest
    ))
    .fix(format!(
        "the views, columns or version changed while the sink was behind: run the file as it was until it has caught up, \
         or run once with `--resume {sink}` to go on from where the queue stands"
    ))
}
