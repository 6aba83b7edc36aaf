//! How a run begins: sinks are opened, and what they hold decides where to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use millstream_core::codec::Columns;
use millstream_core::queue::{Checkpoint, ChunkRef};
use millstream_core::record::{Body, Offset};
use millstream_core::sink::Held;
use millstream_core::{Error, Result};

use crate::config::SinkPart;
use crate::lanes::{Lanes, Waiting};
use crate::line::{Line, view_errors};
use crate::lookup::STREAMS;
use crate::outbox::Outbox;
use crate::process::{self, Finish, Processor};
use crate::rebuild::{Rebuild, Remade};
use crate::recover::{self, SinkStand};
use crate::remember::{self, State};
use crate::seal::{Book, Shared, Work};
use crate::tables;

/// Bytes of frames read at a time while looking for pins.
pub(crate) const SCAN_BYTES: usize = 4 << 20;

/// What a run is made of.
pub(crate) struct Parts {
    pub(crate) line: Line,
    pub(crate) sinks: Vec<SinkPart>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) step_bytes: usize,
    pub(crate) outbox_bytes: u64,
    pub(crate) resume: BTreeSet<String>,
    pub(crate) asks: mpsc::Receiver<process::Ask>,
    pub(crate) finish: watch::Receiver<Finish>,
}

pub(crate) struct Begun {
    pub(crate) processor: Processor,
    pub(crate) start: Offset,
    pub(crate) repeats: Vec<Checkpoint>,
}

/// Opens the sinks and works out where to go on.
pub(crate) async fn begin(parts: Parts) -> Result<Begun> {
    let Parts {
        mut line,
        sinks,
        shared,
        checkpoints,
        step_bytes,
        outbox_bytes,
        resume,
        asks,
        finish,
    } = parts;
    all_known(&resume, &sinks)?;
    let latest = checkpoints.last().cloned().unwrap_or_default();
    let pinned = scan_pins(&mut line, &shared, latest.next).await?;
    let (news, news_hear) = mpsc::channel(64);
    let waiting = sinks.into_iter().map(|s| Waiting { name: s.name, sink: s.sink }).collect();
    let mut lanes = Lanes::new(waiting, news, outbox_bytes, resume);
    let ready = lanes.ready(&line);
    let opened = lanes.open(ready, &shared).await?;
    let stands: Vec<_> = opened.iter().map(|o| o.stand.clone()).collect();
    all_belong(&stands, &shared, &latest).await?;
    let identity = shared.queue.identity();
    let restart = recover::restart(identity, shared.queue.durable(), &checkpoints, &stands)?;
    let mut book = book(&latest, pinned, &shared).await?;
    book.records = line.lookups().records(shared.queue.as_ref()).await?;
    shared.committed.send_replace(latest.epoch);
    shared.status.saw_ledger(latest.epoch, &latest.ledger);
    for opened in opened {
        let after = restart.after.get(&opened.stand.name).copied().unwrap_or(latest.epoch);
        lanes.start(opened, after, &mut book, &shared);
    }
    let start = checkpoints.get(restart.from).map_or(Offset(0), |c| c.next);
    let BackAt { state, rebuild, remade } =
        go_back(&mut line, checkpoints.get(restart.from), &mut book, &shared).await?;
    let repeats: Vec<Checkpoint> = checkpoints.into_iter().skip(restart.from + 1).collect();
    let processor = Processor {
        lookups: line.lookups().clone(),
        shared,
        line,
        lanes,
        identity,
        step_bytes,
        book: Some(book),
        sealing: None,
        next: latest.next,
        epoch: latest.epoch,
        begun: latest.next,
        work: Work::default(),
        said: Work::default(),
        dirty: false,
        asked: false,
        bytes: 0,
        sealed_at: None,
        copied_within: std::time::Duration::ZERO,
        settle: false,
        pinning: None,
        away: None,
        own: Offset(0),
        state,
        rebuild,
        remade,
        broken: None,
        news: news_hear,
        asks,
        finish,
    };
    Ok(Begun { processor, start, repeats })
}

fn all_known(resume: &BTreeSet<String>, sinks: &[SinkPart]) -> Result<()> {
    match resume.iter().find(|name| !sinks.iter().any(|s| s.name == **name)) {
        Some(name) => Err(Error::stop(format!("`--resume {name}`: there is no sink of this name"))),
        None => Ok(()),
    }
}

/// The line at a checkpoint.
#[derive(Default)]
struct BackAt {
    state: State,
    rebuild: Option<Rebuild>,
    remade: Remade,
}

/// Sets views to their state at a checkpoint, as far as they have one there.
async fn go_back(
    line: &mut Line,
    to: Option<&Checkpoint>,
    book: &mut Book,
    shared: &Shared,
) -> Result<BackAt> {
    let Some(to) = to else { return Ok(BackAt::default()) };
    let mut state = read_state(shared, to).await?;
    let changed = line.restore(&state)?;
    if to.epoch < book.epoch {
        tables::find::go_back(line.tables(), shared, to).await?;
    }
    state.retain(|view, _| !changed.views.contains(view));
    // The last checkpoint may be a later one, whose state was made for something else again.
    let mut last = State::new();
    for chunk in book.chunks.values().filter(|c| c.operator == remember::MADE_FOR) {
        let bytes = shared.retry("state", || shared.queue.get_chunk(chunk)).await?;
        last.entry(chunk.operator.clone()).or_default().insert(chunk.key.clone(), bytes);
    }
    let mut views = line.made_otherwise(&last);
    views.extend(changed.views.iter().cloned());
    // State of views that are gone from the file, or keep none any more, is of no use to anyone.
    let known = |view: &str| view.starts_with(':') || line.may_have_state(view);
    views.extend(book.chunks.keys().map(|(view, _)| view.clone()).filter(|view| !known(view)));
    Ok(BackAt { state, rebuild: Rebuild::new(changed, to), remade: Remade::new(views) })
}

/// What goes from the last checkpoint into the next.
async fn book(
    latest: &Checkpoint,
    pinned: BTreeMap<String, String>,
    shared: &Shared,
) -> Result<Book> {
    let mut book = Book {
        ledger: latest.ledger.clone(),
        sent: latest.sent.clone(),
        pins: latest.pins.clone(),
        epoch: latest.epoch,
        next: latest.next,
        flushed: latest.flushed,
        chunks: chunks_of(latest),
        ..Book::default()
    };
    // The next checkpoint may lie beyond these frames: it has to hold what they said.
    book.pins.extend(pinned);
    for name in shared.queue.sides().await? {
        // Outboxes of sinks that are not in the file any more are kept as they are; answers of such lookups are not.
        if name != crate::dead_letters::STREAM && !name.starts_with(STREAMS) {
            book.outboxes.insert(name.clone(), Outbox::new(shared.queue.side(&name)?));
        }
    }
    Ok(book)
}

/// Whether what sinks hold is of this queue, and of frames that it still knows.
async fn all_belong(stands: &[SinkStand], shared: &Shared, latest: &Checkpoint) -> Result<()> {
    for stand in stands.iter().filter(|s| !s.resume) {
        if let Some(Held::Upto(mark)) = &stand.held {
            recover::belongs(shared.queue.as_ref(), &stand.name, mark, latest.epoch).await?;
        }
    }
    Ok(())
}

/// The chunks of a checkpoint by view and key.
fn chunks_of(checkpoint: &Checkpoint) -> BTreeMap<(String, String), ChunkRef> {
    let chunks = checkpoint.chunks.iter();
    chunks.map(|c| ((c.operator.clone(), c.key.clone()), c.clone())).collect()
}

/// The views' state at a checkpoint.
async fn read_state(shared: &Shared, checkpoint: &Checkpoint) -> Result<State> {
    let mut state = State::new();
    for chunk in &checkpoint.chunks {
        let bytes = shared.retry("state", || shared.queue.get_chunk(chunk)).await?;
        state.entry(chunk.operator.clone()).or_default().insert(chunk.key.clone(), bytes);
    }
    Ok(state)
}

/// Finds pins that were written and not yet part of a checkpoint.
async fn scan_pins(
    line: &mut Line,
    shared: &Shared,
    from: Offset,
) -> Result<BTreeMap<String, String>> {
    let mut pinned = BTreeMap::new();
    let mut at = from;
    while !line.unpinned().is_empty() {
        let slab = shared.queue.read(at, SCAN_BYTES).await?;
        if slab.frames.is_empty() {
            break;
        }
        at = slab.next;
        for (_, frame) in slab.frames {
            if let Body::Pin(json) = &frame.body
                && line.unpinned().contains(frame.source.as_ref())
            {
                let columns: Columns = serde_json::from_slice(json).map_err(|e| {
                    Error::stop(format!("a pin of source `{}` cannot be read", frame.source))
                        .because(e)
                })?;
                line.fits(&frame.source, &columns)?;
                line.pin(&frame.source, columns).map_err(|e| view_errors(&e))?;
                let json = String::from_utf8_lossy(json).into_owned();
                pinned.insert(frame.source.to_string(), json);
            }
        }
    }
    Ok(pinned)
}
