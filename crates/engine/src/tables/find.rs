//! Which versions hold where a run goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream_core::Result;
use millstream_core::queue::Checkpoint;
use millstream_core::record::{Body, Frame, Offset};
use tokio::time::Instant;

use super::{STATE, Tables, name_of, never_read};
use crate::begin::SCAN_BYTES;
use crate::remember::State;
use crate::seal::Shared;

/// How long to wait for the process that collects to read a table for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Gives every table the version of the last checkpoint, else the first one behind it: views cannot be planned before it is known
/// which columns tables have.
///
/// # Errors
/// `Stop` when there is none.
pub(crate) async fn begin(tables: &Tables, shared: &Shared, latest: &Checkpoint) -> Result<()> {
    let mut kept = State::new();
    for chunk in latest.chunks.iter().filter(|c| c.operator == STATE) {
        let bytes = shared.retry("state", || shared.queue.get_chunk(chunk)).await?;
        kept.entry(STATE.to_owned()).or_default().insert(chunk.key.clone(), bytes);
    }
    if let Some(kept) = kept.get(STATE) {
        tables.restore(kept)?;
    }
    let mut at = latest.next;
    let began = Instant::now();
    loop {
        at = first_behind(tables, shared, at).await?;
        let lacking = tables.lacking();
        if lacking.is_empty() {
            return Ok(());
        }
        let left = PATIENCE.saturating_sub(began.elapsed());
        match tokio::time::timeout(left, shared.queue.wait(at)).await {
            Ok(there) => there?,
            Err(_) => return Err(never_read(&lacking)),
        }
    }
}

/// Goes back to a checkpoint before the last: tables of which it has no version begin with the first one behind it.
///
/// # Errors
/// As [`begin`].
pub(crate) async fn go_back(tables: &Tables, shared: &Shared, to: &Checkpoint) -> Result<()> {
    let new = tables.not_in(to);
    let held = tables.apart();
    tables.forget(&new);
    first_behind(tables, shared, to.next).await?;
    if tables.lacking().is_empty() { Ok(()) } else { Err(never_read(&held.names())) }
}

/// Gives tables without a version the first one from here on. Returns where it has not looked yet.
async fn first_behind(tables: &Tables, shared: &Shared, from: Offset) -> Result<Offset> {
    let mut at = from;
    while !tables.lacking().is_empty() {
        let slab = shared.retry("queue", || shared.queue.read(at, SCAN_BYTES)).await?;
        if slab.frames.is_empty() {
            break;
        }
        at = slab.next;
        for (_, frame) in &slab.frames {
            let Body::Table(bytes) = &frame.body else { continue };
            if name_of(frame).is_some_and(|name| tables.lacking().contains(name)) {
                tables.hear(frame, bytes)?;
            }
        }
    }
    Ok(at)
}

/// The first frame of each of these tables between two offsets.
///
/// # Errors
/// `Stop` when the queue cannot be read.
pub(crate) async fn first_between(
    names: &BTreeSet<String>,
    shared: &Shared,
    (from, upto): (Offset, Offset),
) -> Result<Vec<Frame>> {
    let (mut at, mut found) = (from, Vec::<Frame>::new());
    while at < upto && found.len() < names.len() {
        let slab = shared.retry("queue", || shared.queue.read(at, SCAN_BYTES)).await?;
        if slab.frames.is_empty() {
            break;
        }
        at = slab.next;
        for (_, frame) in slab.frames.into_iter().filter(|(offset, _)| *offset < upto) {
            let wanted = matches!(frame.body, Body::Table(_))
                && name_of(&frame).is_some_and(|name| names.contains(name))
                && found.iter().all(|f| f.source != frame.source);
            if wanted {
                found.push(frame);
            }
        }
    }
    Ok(found)
}
