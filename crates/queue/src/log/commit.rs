//! What the writer does for checkpoints: commits, side streams, chunks, trimming, closing.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::queue::{Checkpoint, Epoch};
use millstream_core::record::Offset;
use millstream_core::{Error, Result};

use super::frame::Kind;
use super::side::Side;
use super::writer::{Doomed, Writer};
use super::{chunks, retain};

/// The payload of a checkpoint frame.
pub(crate) fn encode(chunk_next: u64, checkpoint: &Checkpoint) -> Result<Bytes> {
    let bytes = postcard::to_stdvec(&(chunk_next, checkpoint))
        .map_err(|e| Error::stop("cannot encode a checkpoint").because(e))?;
    Ok(bytes.into())
}

/// Puts a checkpoint behind those that are kept; a second one of the same epoch takes its place.
pub(crate) fn keep(
    checkpoints: &mut VecDeque<Checkpoint>,
    checkpoint: Checkpoint,
) -> Option<Checkpoint> {
    let again = checkpoints.back().is_some_and(|last| last.epoch == checkpoint.epoch);
    let gone = if again { checkpoints.pop_back() } else { None };
    checkpoints.push_back(checkpoint);
    gone
}

impl Writer {
    /// Makes what the checkpoint names durable, then writes its frame; the fsync comes later.
    pub(crate) fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.sound()?;
        // One commit at a time: the next builds on the one before.
        if self.is_committing() {
            self.sync()?;
        }
        let shared = self.shared.clone();
        {
            let state = shared.state.lock();
            let last = state.checkpoints.back();
            assert!(last.is_none_or(|l| l.epoch <= checkpoint.epoch), "epochs only grow");
            assert!(checkpoint.next.0 <= state.end, "a checkpoint ends where frames do");
        }
        for (name, extent) in &checkpoint.sides {
            let side = shared.sides.lock().get(name).cloned();
            let has = side.as_ref().map(|s| s.extent()).unwrap_or_default();
            if extent.end > has.end || extent.first > extent.end {
                return Err(Error::stop(format!(
                    "a checkpoint counts entries {}..{} of `{name}`, which has {}..{}",
                    extent.first, extent.end, has.first, has.end
                )));
            }
            if let Some(side) = side {
                self.sync_side(&side)?;
            }
        }
        let missing = {
            let table = shared.chunks.lock();
            checkpoint.chunks.iter().find(|c| !table.has(c.id)).map(|c| c.id)
        };
        if let Some(id) = missing {
            return Err(Error::stop(format!("a checkpoint names chunk {id}, which is not there")));
        }
        let unsynced = shared.chunks.lock().unsynced(&checkpoint.chunks);
        if let Err(e) = chunks::sync(&*shared.disk, &shared.folder, &unsynced) {
            return Err(self.break_down("make state durable", &chunks::folder(&shared.folder), &e));
        }
        shared.chunks.lock().synced(&unsynced);
        let chunk_next = shared.chunks.lock().next;
        self.put_fact(Kind::Checkpoint, &encode(chunk_next, checkpoint)?)
    }

    /// The checkpoint is durable: it counts, and what only those before it needed can go.
    pub(crate) fn committed(&mut self, checkpoint: Checkpoint) {
        let shared = self.shared.clone();
        for (name, extent) in &checkpoint.sides {
            let side = shared.sides.lock().get(name).cloned();
            if let Some(Err(error)) = side.map(|s| s.committed(&*shared.disk, *extent)) {
                tracing::warn!(name, %error, "cannot remove entries that are not needed any more");
            }
        }
        let gone = keep(&mut shared.state.lock().checkpoints, checkpoint);
        self.doom_chunks(gone.as_slice());
        if gone.is_some() {
            shared.room.notify_waiters();
        }
    }

    /// Chunks that only these checkpoints named are not needed any more.
    fn doom_chunks(&mut self, gone: &[Checkpoint]) {
        if gone.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        let state = shared.state.lock();
        let mut table = shared.chunks.lock();
        for chunk in gone.iter().flat_map(|c| &c.chunks) {
            let kept = state.checkpoints.iter().any(|c| c.chunks.iter().any(|k| k.id == chunk.id));
            if !kept && table.has(chunk.id) {
                table.forget(chunk.id);
                self.doomed.push(Doomed::Chunk(chunk.id));
            }
        }
    }

    /// Notes what is not needed any more, and drops the segments that the options do not keep.
    pub(crate) fn trim(&mut self, before: Offset, epoch: Epoch) -> Result<()> {
        self.sound()?;
        let shared = self.shared.clone();
        let (trimmed, changed) = {
            let state = shared.state.lock();
            let trimmed = retain::clamp(&state, (before.0, epoch.0));
            (trimmed, trimmed != state.trimmed)
        };
        if changed {
            let payload = postcard::to_stdvec(&trimmed)
                .map_err(|e| Error::stop("cannot encode a trim").because(e))?;
            // The commit before may still wait for its fsync, and this may outlive it.
            self.put_fact(Kind::Trim, &payload.into())?;
            let gone = {
                let mut state = shared.state.lock();
                state.trimmed = trimmed;
                retain::drop_checkpoints(&mut state.checkpoints, trimmed)
            };
            self.doom_chunks(&gone);
        }
        self.drop_segments(false);
        if shared.state.lock().waiting > 0 {
            self.make_room()?;
        }
        shared.room.notify_waiters();
        Ok(())
    }

    fn drop_segments(&mut self, for_room: bool) {
        let shared = self.shared.clone();
        let bytes = shared.bytes();
        let now = shared.env.clock.now();
        let spent =
            retain::spent(&mut shared.state.lock(), &shared.options.retain, bytes, now, for_room);
        self.doomed.extend(spent.into_iter().map(Doomed::Segment));
    }

    /// Frees what is kept without need; if everything is processed, that is the last segment too.
    pub(crate) fn make_room(&mut self) -> Result<()> {
        self.sound()?;
        self.drop_segments(true);
        let shared = self.shared.clone();
        let done = {
            let state = shared.state.lock();
            state.trimmed.0 == state.end && state.segments.len() == 1
        };
        let over = shared.bytes() > shared.append_bytes_max() / 2;
        if done && over && !self.segment.is_empty() {
            self.roll(true, None)?;
            self.drop_segments(true);
        }
        if !self.doomed.is_empty() {
            shared.room.notify_waiters();
        }
        Ok(())
    }

    pub(crate) fn put_chunk(&mut self, id: u64, bytes: &Bytes) -> Result<()> {
        self.sound()?;
        let shared = self.shared.clone();
        let write = |_: &mut Self| chunks::write(&*shared.disk, &shared.folder, id, bytes);
        let written = self.with_reserve(write, |_| Ok(()))?;
        written.map_err(|e| self.fail("store state", &chunks::folder(&shared.folder), &e))?;
        shared.chunks.lock().written(id, bytes.len() as u64);
        Ok(())
    }

    pub(crate) fn side_append(&mut self, side: &Arc<Side>, entries: &[Bytes]) -> Result<u64> {
        self.sound()?;
        let shared = self.shared.clone();
        let max = shared.options.side_bytes_max.0;
        let need = Side::weight(entries);
        if side.bytes() + need > max {
            return Err(Error::retry(format!(
                "`{}` holds {} bytes and may hold {max}: {need} more do not fit",
                side.name(),
                side.bytes()
            ))
            .fix(
                "mend what keeps its entries from going on, or raise `queue.log.side_bytes_max`",
            ));
        }
        let act = |_: &mut Self| side.append(&*shared.disk, &shared.folder, entries);
        let written: io::Result<u64> = self.with_reserve(act, |_| Ok(()))?;
        written.map_err(|e| {
            self.fail("add to a side stream", &super::side::folder(&shared.folder), &e)
        })
    }

    pub(crate) fn sync_side(&mut self, side: &Arc<Side>) -> Result<()> {
        let shared = self.shared.clone();
        side.sync(&*shared.disk, &shared.folder).map_err(|e| {
            self.break_down("make a side stream durable", &super::side::folder(&shared.folder), &e)
        })
    }

    pub(crate) fn new_incarnation(&mut self) -> Result<u32> {
        self.sound()?;
        let next = self.shared.state.lock().incarnation + 1;
        self.roll(true, Some(next))?;
        tracing::warn!(
            log = %self.shared.log,
            incarnation = next,
            "the log begins a new incarnation: what sinks hold beyond its end does not come from it"
        );
        Ok(next)
    }

    /// Says in the log that all of it is durable, so that the last frames too can be told from torn ones.
    pub(crate) fn close(&mut self) -> Result<()> {
        if self.lock.is_none() {
            return Ok(());
        }
        self.sync()?;
        // A full disk only costs that certainty.
        let closed = self.put_fact(Kind::Closed, &Bytes::new());
        if let Err(e) = closed
            && e.remedy() == millstream_core::Remedy::Stop
        {
            return Err(e);
        }
        self.sync()?;
        self.shared.state.lock().broken.get_or_insert_with(|| "the log is closed".into());
        self.lock = None;
        self.shared.moved.notify_waiters();
        self.shared.room.notify_waiters();
        Ok(())
    }
}
