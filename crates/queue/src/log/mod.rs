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
//! [`frame`] and [`segment`] draw the bytes, [`recover`] tells torn from corrupt, [`writer`] and
//! [`commit`] are all that ever writes; `docs/log-format.md` has the whole picture.

mod chunks;
mod commit;
pub mod disk;
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

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::disk::Disk;
use millstream_core::plugin::Env;
use millstream_core::queue::{
    Checkpoint, ChunkRef, Epoch, LogId, Positions, Queue, QueueStatus, SideExtent, SideStream, Slab,
};
use millstream_core::record::{Frame, Offset};
use millstream_core::{Error, Result, Timestamp};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use options::{Durability, LogOpener, LogQueue, Retain};
use segment::{Segment, Walk, corrupt};
use side::Side;
use state::Shared;
use writer::{Done, Job, Writer};

/// Who does the writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    /// A thread of its own.
    Thread,
    /// Whoever calls, before the call returns.
    Inline,
}

/// An open log.
#[derive(Debug)]
pub struct Log {
    core: Arc<Core>,
}

/// What the log and its side streams hold on to. Dropping the last of them ends the writer.
struct Core {
    shared: Arc<Shared>,
    drive: Drive,
    inline: Option<Mutex<Writer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({}, {:?})", self.shared.folder.display(), self.drive)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.shared.jobs.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // It has told everyone already if it broke down.
            thread.join().ok();
        }
    }
}

/// Does the jobs until there will be none any more.
fn write_on(mut writer: Writer) {
    /// Lets nobody wait for a writer that is gone, however it went.
    struct Gone(Arc<Shared>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let mut jobs = self.0.jobs.lock();
            jobs.stop = true;
            jobs.queue.clear();
            drop(jobs);
            self.0.state.lock().broken.get_or_insert_with(|| "the log's writer is gone".into());
            self.0.moved.notify_waiters();
            self.0.room.notify_waiters();
        }
    }
    let gone = Gone(writer.shared.clone());
    loop {
        let waiting = {
            let mut jobs = gone.0.jobs.lock();
            while jobs.queue.is_empty() && !jobs.stop {
                gone.0.wake.wait(&mut jobs);
            }
            std::mem::take(&mut jobs.queue)
        };
        if waiting.is_empty() {
            return;
        }
        writer.turn(waiting);
    }
}

/// Runs something that blocks where that may be done.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(e) => Err(Error::stop("a read of the log broke off").because(e)),
    }
}

/// `2026-11-23T05:18:39Z`, for people.
pub(crate) fn utc(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant's `civil_from_days` (https://howardhinnant.github.io/date_algorithms.html).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

impl Core {
    /// Has the writer do something and waits for its answer.
    async fn ask<T>(&self, job: impl FnOnce(Done<T>) -> Job) -> Result<T> {
        let (done, answer) = oneshot::channel();
        self.submit(job(done));
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.shared.state.lock().sound()?;
                Err(Error::stop("the log is closed"))
            }
        }
    }

    fn submit(&self, job: Job) {
        self.shared.submit(job);
        if let Some(writer) = &self.inline {
            let mut writer = writer.lock();
            let waiting = std::mem::take(&mut self.shared.jobs.lock().queue);
            writer.turn(waiting);
        }
    }

    /// Reads where that may block.
    async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.drive {
            Drive::Inline => act(&self.shared),
            Drive::Thread => {
                let shared = self.shared.clone();
                blocking(move || act(&shared)).await
            }
        }
    }
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
        let (inline, thread) = match drive {
            Drive::Inline => (Some(Mutex::new(writer)), None),
            Drive::Thread => {
                let thread = std::thread::Builder::new()
                    .name("log".into())
                    .spawn(move || write_on(writer))
                    .map_err(|e| Error::stop("cannot start the log's thread").because(e))?;
                (None, Some(thread))
            }
        };
        Ok(Self { core: Arc::new(Core { shared, drive, inline, thread: Mutex::new(thread) }) })
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

/// Reads frames of one segment from the disk, checking each.
fn read_segment(
    shared: &Shared,
    segment: &Segment,
    from: Offset,
    bytes_max: usize,
) -> Result<Slab> {
    let at = segment.find(from.0)?;
    let mut walk = Walk::new(segment, at, bytes_max.clamp(64 << 10, 4 << 20));
    let mut next = from.0;
    let mut bytes = 0;
    let mut stored = Vec::new();
    while !walk.ended() {
        let full = |b: u64| bytes + b > bytes_max as u64;
        if !stored.is_empty() && walk.at_hand().is_none_or(full) {
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
            next.checked_sub(1).and_then(|i| state.segments.get(i)).cloned()
        };
        let Some(segment) = segment else {
            return Err(Error::stop(format!("offset {from} is in no segment")));
        };
        self.core.read(move |shared| read_segment(shared, &segment, from, bytes_max)).await
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
