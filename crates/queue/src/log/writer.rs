//! The one writer: takes whatever jobs are waiting, writes them, and lets one fsync answer them all.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::disk::DiskLock;
use millstream_core::plugin::Act;
use millstream_core::queue::{Checkpoint, Epoch};
use millstream_core::record::{Frame, Offset};
use millstream_core::{Error, Result};
use tokio::sync::oneshot;

use super::append::Staged;
use super::chunks;
use super::frame::{Batch, Kind};
use super::reserve::Reserve;
use super::segment::{Head, Segment};
use super::side::Side;
use super::state::Shared;

pub(crate) type Done<T> = oneshot::Sender<Result<T>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    Append {
        frames: Vec<Frame>,
        need: u64,
        done: Done<Range<Offset>>,
    },
    Commit {
        checkpoint: Box<Checkpoint>,
        done: Done<()>,
    },
    Trim {
        before: Offset,
        epoch: Epoch,
        done: Done<()>,
    },
    /// An appender waits for room.
    MakeRoom,
    PutChunk {
        id: u64,
        bytes: Bytes,
        done: Done<()>,
    },
    SideAppend {
        side: Arc<Side>,
        entries: Vec<Bytes>,
        done: Done<u64>,
    },
    SideSync {
        side: Arc<Side>,
        done: Done<()>,
    },
    NewIncarnation {
        done: Done<u32>,
    },
    Close {
        done: Done<()>,
    },
}

/// Who waits for the next fsync.
#[derive(Debug)]
pub(crate) enum Waiting {
    Append(Done<Range<Offset>>, Range<Offset>),
    Commit(Done<()>, Box<Checkpoint>),
}

/// A file that nobody needs once the frame that says so is durable.
#[derive(Debug)]
pub(crate) enum Doomed {
    Segment(Arc<Segment>),
    Chunk(u64),
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    /// The segment that is written to, and where its written frames end.
    pub(crate) segment: Arc<Segment>,
    pub(crate) at: u64,
    pub(crate) sequence: u64,
    /// Frames with a lower sequence number are durable.
    pub(crate) durable: u64,
    pub(crate) reserve: Reserve,
    pub(crate) lock: Option<Box<dyn DiskLock>>,
    pub(crate) doomed: Vec<Doomed>,
    pub(crate) batch: Batch,
    pub(crate) staged: Staged,
    pub(crate) waiting: Vec<Waiting>,
    must_sync: bool,
}

pub(crate) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(crate) fn full(what: &str, path: &Path, e: &io::Error) -> Error {
    Error::retry(format!("the disk is full: cannot {what}"))
        .at(path.display().to_string())
        .because(io::Error::new(e.kind(), e.to_string()))
        .fix("free some space; it goes on by itself")
}

pub(crate) fn answer<T>(done: Done<T>, outcome: Result<T>) {
    // Whoever asked may have stopped waiting.
    done.send(outcome).ok();
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        segment: Arc<Segment>,
        sequence: u64,
        reserve: Reserve,
        lock: Box<dyn DiskLock>,
    ) -> Self {
        Self {
            at: segment.bytes(),
            shared,
            segment,
            sequence,
            durable: sequence,
            reserve,
            lock: Some(lock),
            doomed: Vec::new(),
            batch: Batch::default(),
            staged: Staged::default(),
            waiting: Vec::new(),
            must_sync: false,
        }
    }

    /// Does these jobs, in order, and answers all of them.
    pub(crate) fn turn(&mut self, jobs: impl IntoIterator<Item = Job>) {
        for job in jobs {
            if !matches!(job, Job::Append { .. }) {
                self.write_staged();
            }
            match job {
                Job::Append { frames, need, done } => self.stage(frames, need, done),
                Job::Commit { checkpoint, done } => match self.commit(&checkpoint) {
                    Ok(()) => self.waiting.push(Waiting::Commit(done, checkpoint)),
                    Err(e) => answer(done, Err(e)),
                },
                Job::Trim { before, epoch, done } => {
                    let outcome = self.trim(before, epoch);
                    self.must_sync |= self.has_doomed_segments();
                    answer(done, outcome);
                }
                Job::MakeRoom => {
                    if let Err(error) = self.make_room() {
                        tracing::warn!(%error, "cannot make room in the log");
                    }
                    self.must_sync |= self.has_doomed_segments();
                }
                Job::PutChunk { id, bytes, done } => answer(done, self.put_chunk(id, &bytes)),
                Job::SideAppend { side, entries, done } => {
                    answer(done, self.side_append(&side, &entries));
                }
                Job::SideSync { side, done } => {
                    let outcome = self.sound().and_then(|()| self.sync_side(&side));
                    answer(done, outcome);
                }
                Job::NewIncarnation { done } => answer(done, self.new_incarnation()),
                Job::Close { done } => answer(done, self.close()),
            }
        }
        self.write_staged();
        if self.must_sync || !self.waiting.is_empty() {
            // A failure has already been told to everyone who waited.
            self.sync().ok();
        }
    }

    pub(crate) fn sound(&self) -> Result<()> {
        self.shared.state.lock().sound()
    }

    /// Whether a commit waits for the next fsync.
    pub(crate) fn is_committing(&self) -> bool {
        self.waiting.iter().any(|w| matches!(w, Waiting::Commit(..)))
    }

    fn has_doomed_segments(&self) -> bool {
        self.doomed.iter().any(|d| matches!(d, Doomed::Segment(_)))
    }

    /// Takes no more, and tells everyone who waits.
    pub(crate) fn break_down(&mut self, what: &str, path: &Path, e: &io::Error) -> Error {
        let why = format!("the log takes no more: cannot {what} at {}: {e}", path.display());
        tracing::error!(path = %path.display(), error = %e, "the log takes no more until it is opened anew");
        self.shared.state.lock().broken.get_or_insert(why);
        let waiting = std::mem::take(&mut self.waiting);
        let error = || self.sound().err().unwrap_or_else(|| Error::stop("the log takes no more"));
        for waiting in waiting {
            match waiting {
                Waiting::Append(done, _) => answer(done, Err(error())),
                Waiting::Commit(done, _) => answer(done, Err(error())),
            }
        }
        self.shared.moved.notify_waiters();
        self.shared.room.notify_waiters();
        error()
    }

    /// Writes one frame that has no offset, out of the reserve if need be.
    pub(crate) fn put_fact(&mut self, kind: Kind, payload: &Bytes) -> Result<()> {
        let need = super::frame::HEADER as u64 + payload.len() as u64;
        if self.at + need > self.shared.segment_bytes() && !self.segment.is_empty() {
            self.roll(true, None)?;
        }
        let end = self.shared.state.lock().end;
        let mut header = self.header(self.sequence, end, kind, 0);
        header.arrival = self.shared.env.clock.now().0;
        self.batch.clear();
        self.batch.put(self.shared.seed, header, &[], payload);
        let written = self.with_reserve(|w| w.batch.write(&*w.segment.file, w.at), Self::cut);
        let bytes = self.batch.bytes();
        self.batch.clear();
        let path = self.segment.path.clone();
        written?.map_err(|e| self.fail("write", &path, &e))?;
        self.at += bytes;
        self.sequence += 1;
        self.shared.state.lock().sequence = self.sequence;
        self.segment.publish(self.at);
        Ok(())
    }

    /// `Retry` for a full disk; breaks down for all else.
    pub(crate) fn fail(&mut self, what: &str, path: &Path, e: &io::Error) -> Error {
        if is_full(e) { full(what, path, e) } else { self.break_down(what, path, e) }
    }

    /// Tries once more with the reserve given up when the disk is full. `undo` takes back half a try.
    pub(crate) fn with_reserve<T>(
        &mut self,
        mut act: impl FnMut(&mut Self) -> io::Result<T>,
        mut undo: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<io::Result<T>> {
        let first = act(self);
        let full = first.as_ref().is_err_and(is_full);
        if !full {
            return Ok(first);
        }
        undo(self)?;
        let shared = self.shared.clone();
        if !self.reserve.release(&*shared.disk) {
            return Ok(first);
        }
        tracing::warn!("the disk is full: commits go on from the reserve, collectors wait");
        let second = act(self);
        if second.as_ref().is_err_and(is_full) {
            undo(self)?;
        }
        Ok(second)
    }

    /// Makes all that was written durable, with one fsync, and answers everyone who waits for it.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.sound()?;
        self.must_sync = false;
        if self.durable < self.sequence {
            let segment = self.segment.clone();
            let clock = &self.shared.env.clock;
            let began = clock.now();
            let synced = segment.file.sync_data();
            self.shared.env.report.took(Act::Fsync, clock.now().since(began));
            synced.map_err(|e| self.break_down("make the log durable", &segment.path, &e))?;
            self.durable = self.sequence;
        }
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Append(done, range) => answer(done, Ok(range)),
                Waiting::Commit(done, checkpoint) => {
                    self.committed(*checkpoint);
                    answer(done, Ok(()));
                }
            }
        }
        for doomed in std::mem::take(&mut self.doomed) {
            let disk = &*self.shared.disk;
            let removed = match &doomed {
                Doomed::Segment(segment) => disk.remove(&segment.path),
                Doomed::Chunk(id) => chunks::remove(disk, &self.shared.folder, *id),
            };
            if let Err(error) = removed {
                tracing::warn!(?doomed, %error, "cannot remove a file that is not needed any more");
            }
        }
        Ok(())
    }

    /// Seals the segment and begins the next one, whose head repeats all that must live on.
    pub(crate) fn roll(&mut self, with_reserve: bool, incarnation: Option<u32>) -> Result<()> {
        self.sync()?;
        let shared = self.shared.clone();
        let head = {
            let state = shared.state.lock();
            Head {
                log: shared.log.0,
                incarnation: incarnation.unwrap_or(state.incarnation),
                segment: self.segment.id + 1,
                first_sequence: self.sequence,
                first_offset: state.end,
                previous_bytes: self.at,
                at: shared.env.clock.now(),
                trimmed: state.trimmed,
                chunk_next: shared.chunks.lock().next,
                splits: state.splits.rows().to_vec(),
                checkpoints: state.checkpoints.iter().cloned().collect(),
            }
        };
        let create = |_: &mut Self| {
            Segment::create(&*shared.disk, &shared.folder, &head)
                .map_err(|e| io::Error::other(e.to_string()))?
                .map_err(|(unborn, e)| {
                    shared.disk.remove(&unborn).ok();
                    e
                })
        };
        let made = if with_reserve { self.with_reserve(create, |_| Ok(()))? } else { create(self) };
        let segment = match made {
            Ok(segment) => Arc::new(segment),
            Err(e) => return Err(self.fail("begin a segment", &shared.folder, &e)),
        };
        let mut state = shared.state.lock();
        state.incarnation = head.incarnation;
        state.segments.push_back(segment.clone());
        drop(state);
        self.at = segment.bytes();
        self.segment = segment;
        Ok(())
    }
}
