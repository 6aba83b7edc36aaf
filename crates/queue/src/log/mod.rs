//! The embedded log: segment files of frames, one writer, one fsync for all who wait.
//!
//! ```text
//! <path>/0000000000000001.log  …2.log    segments: a head, then frames (blocks, facts, checkpoints)
//!        sides/<name>@<first>.side       dead letters and outboxes
//!        chunks/<id>                     operator state, named by checkpoints
//!        RESERVE                         room for commits when the disk is full
//!        LOCK                            held by the one process that has it open
//! ```
//!
//! `frame` and `segment` draw the bytes, `recover` tells torn from corrupt, `writer`, `append` and
//! `commit` are all that ever writes; `docs/log-format.md` has the whole picture.

mod append;
mod chunks;
mod commit;
pub mod disk;
mod drive;
mod frame;
mod options;
mod recover;
mod reserve;
mod retain;
mod segment;
mod side;
mod splits;
mod state;
mod writer;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::disk::Disk;
use millstream_core::plugin::Env;
use millstream_core::queue::{
    Checkpoint, ChunkRef, Epoch, LogId, Positions, Queue, QueueStatus, SideExtent, SideStream, Slab,
};
use millstream_core::record::{Frame, Offset};
use millstream_core::{Error, Result};

use drive::{Core, Drive};
pub use options::{Durability, LogOpener, LogQueue, Retain};
use segment::{Segment, Walk, corrupt};
use side::Side;
use state::Shared;
use writer::Job;

/// An open log.
#[derive(Debug)]
pub struct Log {
    core: Arc<Core>,
}

impl Log {
    pub(crate) fn open(
        options: &LogQueue,
        folder: PathBuf,
        disk: Arc<dyn Disk>,
        env: Env,
        drive: Drive,
    ) -> Result<Self> {
        let (shared, writer) = recover::open(options, folder, disk, env)?;
        Ok(Self { core: Arc::new(Core::start(shared, writer, drive)?) })
    }

    /// Bytes that these frames take at most.
    fn weigh(frames: &[Frame]) -> Result<u64> {
        let mut need = 0;
        for frame in frames {
            // Names go in again when the split is new.
            let bytes = frame.bytes() as u64 + 4 * frame::HEADER as u64;
            if bytes >= u64::from(u32::MAX) {
                return Err(Error::set_aside(format!(
                    "a frame of {bytes} bytes is too long for the log"
                )));
            }
            need += bytes;
        }
        Ok(need)
    }

    /// Waits until there is room for these bytes, and takes it.
    async fn take_room(&self, need: u64) -> Result<()> {
        struct Waiting<'a>(&'a Shared);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.state.lock().waiting -= 1;
            }
        }
        let shared = &self.core.shared;
        let max = shared.append_bytes_max();
        if need > max {
            return Err(Error::set_aside(format!(
                "{need} bytes cannot be appended to a log bounded at {max}"
            ))
            .fix("raise `queue.log.bytes_max`"));
        }
        let mut waiting = None;
        loop {
            let room = shared.room.notified();
            let held = shared.bytes();
            {
                let mut state = shared.state.lock();
                state.sound()?;
                if held + state.in_flight + need <= max {
                    state.in_flight += need;
                    return Ok(());
                }
                if waiting.is_none() {
                    state.waiting += 1;
                }
            }
            if waiting.is_none() {
                waiting = Some(Waiting(shared));
                self.core.submit(Job::MakeRoom);
            }
            room.await;
        }
    }
}

/// Reads frames of one segment, whose offsets end at `end`, from the disk, checking each.
fn read_segment(
    shared: &Shared,
    segment: &Segment,
    from: Offset,
    end: u64,
    bytes_max: usize,
) -> Result<Slab> {
    let at = segment.find(from.0)?;
    let mut walk = Walk::new(segment, at, bytes_max.clamp(64 << 10, 4 << 20));
    let mut next = from.0;
    let mut bytes = 0;
    let mut stored = Vec::new();
    while !walk.ended() {
        let full = |b: u64| bytes + b > bytes_max as u64;
        // Behind its last offset, all that is left of the segment is checked as well.
        if !stored.is_empty() && next < end && walk.at_hand().is_none_or(full) {
            break;
        }
        let at = walk.at;
        let frame = walk.next(shared.seed)?.filter(|s| s.header.offset == next);
        let Some(frame) = frame else {
            return Err(corrupt(&segment.path, at, "a frame does not match its checksum"));
        };
        if frame.header.kind.has_offset() {
            bytes += frame.header.bytes();
            next += 1;
            stored.push(frame);
        }
    }
    segment.mark(next, walk.at);
    let names: Vec<_> = {
        let state = shared.state.lock();
        stored.iter().map(|s| state.splits.names(s.header.split)).collect()
    };
    let mut slab = Slab { frames: Vec::with_capacity(stored.len()), next: Offset(next) };
    for (stored, names) in stored.into_iter().zip(names) {
        let offset = Offset(stored.header.offset);
        let Some((source, split)) = names else {
            return Err(corrupt(
                &segment.path,
                at,
                &format!("frame {offset} names no known split"),
            ));
        };
        slab.frames.push((offset, splits::frame(stored, source, split)?));
    }
    Ok(slab)
}

#[async_trait]
impl Queue for Log {
    fn identity(&self) -> (LogId, u32) {
        let shared = &self.core.shared;
        (shared.log, shared.state.lock().incarnation)
    }

    fn durable(&self) -> bool {
        true
    }

    async fn append(&self, frames: &[Frame]) -> Result<Range<Offset>> {
        if frames.is_empty() {
            let state = self.core.shared.state.lock();
            state.sound()?;
            return Ok(Offset(state.end)..Offset(state.end));
        }
        let need = Self::weigh(frames)?;
        self.take_room(need).await?;
        // From here on the writer has it: whole, whether or not someone waits for the answer.
        self.core.ask(|done| Job::Append { frames: frames.to_vec(), need, done }).await
    }

    async fn positions(&self) -> Result<Positions> {
        Ok(self.core.shared.state.lock().splits.positions())
    }

    async fn read(&self, from: Offset, bytes_max: usize) -> Result<Slab> {
        let segment = {
            let state = self.core.shared.state.lock();
            let first = state.first();
            if from.0 < first {
                return Err(Error::stop(format!(
                    "offset {from} was trimmed away: the log now begins at {first}"
                )));
            }
            if let Some(skip) = from.0.checked_sub(state.tail.first) {
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                let mut slab = Slab { frames: Vec::new(), next: from };
                let mut bytes = 0;
                for frame in state.tail.frames.iter().skip(skip) {
                    if !slab.frames.is_empty() && bytes + frame.bytes() > bytes_max {
                        break;
                    }
                    bytes += frame.bytes();
                    slab.frames.push((slab.next, frame.clone()));
                    slab.next = slab.next.next();
                }
                return Ok(slab);
            }
            let next = state.segments.partition_point(|s| s.first_offset <= from.0);
            let end = state.segments.get(next).map_or(state.end, |s| s.first_offset);
            next.checked_sub(1).and_then(|i| state.segments.get(i)).map(|s| (s.clone(), end))
        };
        let Some((segment, end)) = segment else {
            return Err(Error::stop(format!("offset {from} is in no segment")));
        };
        self.core.read(move |shared| read_segment(shared, &segment, from, end, bytes_max)).await
    }

    async fn wait(&self, from: Offset) -> Result<()> {
        let shared = &self.core.shared;
        loop {
            let moved = shared.moved.notified();
            {
                let state = shared.state.lock();
                if state.end > from.0 {
                    return Ok(());
                }
                state.sound()?;
            }
            moved.await;
        }
    }

    async fn put_chunk(&self, operator: &str, key: &str, bytes: Bytes) -> Result<ChunkRef> {
        let id = self.core.shared.chunks.lock().take_id();
        let chunk = ChunkRef {
            operator: operator.to_owned(),
            key: key.to_owned(),
            id,
            bytes: bytes.len() as u64,
            crc: crc32c::crc32c(&bytes),
        };
        self.core.ask(|done| Job::PutChunk { id, bytes, done }).await?;
        Ok(chunk)
    }

    async fn get_chunk(&self, chunk: &ChunkRef) -> Result<Bytes> {
        let chunk = chunk.clone();
        self.core.read(move |s| chunks::read(&*s.disk, &s.folder, &chunk)).await
    }

    async fn commit(&self, checkpoint: &Checkpoint) -> Result<()> {
        let checkpoint = Box::new(checkpoint.clone());
        self.core.ask(|done| Job::Commit { checkpoint, done }).await
    }

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        Ok(self.core.shared.state.lock().checkpoints.iter().cloned().collect())
    }

    async fn trim(&self, before: Offset, epoch: Epoch) -> Result<()> {
        self.core.ask(|done| Job::Trim { before, epoch, done }).await
    }

    fn side(&self, name: &str) -> Result<Box<dyn SideStream>> {
        crate::check_side_name(name)?;
        let shared = &self.core.shared;
        let mut sides = shared.sides.lock();
        let side = sides
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Side::new(name, shared.seed)))
            .clone();
        drop(sides);
        Ok(Box::new(LogSide { core: self.core.clone(), side }))
    }

    async fn sides(&self) -> Result<Vec<String>> {
        Ok(self.core.shared.sides.lock().keys().cloned().collect())
    }

    fn status(&self) -> QueueStatus {
        let shared = &self.core.shared;
        let bytes = shared.bytes();
        let state = shared.state.lock();
        QueueStatus {
            first: Offset(state.first()),
            end: Offset(state.end),
            bytes,
            bytes_max: Some(shared.options.bytes_max.0),
        }
    }

    async fn new_incarnation(&self) -> Result<u32> {
        self.core.ask(|done| Job::NewIncarnation { done }).await
    }

    async fn close(&self) -> Result<()> {
        self.core.ask(|done| Job::Close { done }).await
    }
}

/// A handle on a side stream.
struct LogSide {
    core: Arc<Core>,
    side: Arc<Side>,
}

#[async_trait]
impl SideStream for LogSide {
    async fn append(&self, entries: &[Bytes]) -> Result<u64> {
        if entries.iter().any(|e| u32::try_from(e.len()).is_err()) {
            return Err(Error::set_aside(
                "an entry of 4 GiB or more is too long for a side stream",
            ));
        }
        let (side, entries) = (self.side.clone(), entries.to_vec());
        self.core.ask(|done| Job::SideAppend { side, entries, done }).await
    }

    async fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<(u64, Bytes)>> {
        let side = self.side.clone();
        self.core.read(move |_| side.read(from, bytes_max)).await
    }

    fn extent(&self) -> SideExtent {
        self.side.extent()
    }

    fn bytes(&self) -> u64 {
        self.side.bytes()
    }

    async fn trim(&self, before: u64) -> Result<()> {
        self.side.trim(before);
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        let side = self.side.clone();
        self.core.ask(|done| Job::SideSync { side, done }).await
    }
}
