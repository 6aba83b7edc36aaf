//! What the writer and everyone who reads share.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use millstream_core::disk::Disk;
use millstream_core::plugin::Env;
use millstream_core::queue::{Checkpoint, LogId, SideExtent};
use millstream_core::record::Frame;
use millstream_core::{Error, Result};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::LogQueue;
use super::chunks::ChunkTable;
use super::segment::Segment;
use super::side::Side;
use super::splits::Splits;
use super::writer::Job;

/// Memory for frames that were just appended, so that nobody reads back what was just written.
pub(crate) const TAIL_BYTES_MAX: usize = 16 << 20;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: LogQueue,
    pub(crate) folder: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) env: Env,
    pub(crate) log: LogId,
    /// The CRC that every CRC of this log begins from.
    pub(crate) seed: u32,
    pub(crate) state: Mutex<State>,
    pub(crate) sides: Mutex<BTreeMap<String, Arc<Side>>>,
    pub(crate) chunks: Mutex<ChunkTable>,
    pub(crate) jobs: Mutex<Jobs>,
    pub(crate) wake: Condvar,
    /// Told when frames were appended, and when there will never be any.
    pub(crate) moved: Notify,
    /// Told when there may be room again.
    pub(crate) room: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) queue: VecDeque<Job>,
    pub(crate) stop: bool,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) incarnation: u32,
    pub(crate) splits: Splits,
    pub(crate) segments: VecDeque<Arc<Segment>>,
    /// The next sequence number and the next offset.
    pub(crate) sequence: u64,
    pub(crate) end: u64,
    pub(crate) checkpoints: VecDeque<Checkpoint>,
    /// Offset and epoch below which nothing is needed.
    pub(crate) trimmed: (u64, u64),
    pub(crate) tail: Tail,
    /// Bytes of appends that are on their way to the writer.
    pub(crate) in_flight: u64,
    /// Appenders that wait for room.
    pub(crate) waiting: usize,
    /// Why it takes no more.
    pub(crate) broken: Option<String>,
}

impl State {
    pub(crate) fn first(&self) -> u64 {
        self.segments.front().map_or(self.end, |s| s.first_offset)
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes()).sum()
    }

    /// How far each side stream is committed.
    pub(crate) fn side_extent(&self, name: &str) -> SideExtent {
        let last = self.checkpoints.back();
        last.and_then(|c| c.sides.get(name)).copied().unwrap_or_default()
    }

    pub(crate) fn sound(&self) -> Result<()> {
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(Error::stop(why.clone())
                .fix("stop and start again: the log is then read back from the disk, and goes on from what is really there")),
        }
    }
}

impl Shared {
    /// Bytes of all kinds.
    pub(crate) fn bytes(&self) -> u64 {
        let sides: u64 = self.sides.lock().values().map(|s| s.disk_bytes()).sum();
        let chunks = self.chunks.lock().bytes();
        self.state.lock().log_bytes() + sides + chunks
    }

    /// The bound that appends keep to.
    pub(crate) fn append_bytes_max(&self) -> u64 {
        self.options.bytes_max.0.saturating_sub(self.options.reserve.0)
    }

    /// How long a segment gets: so short that several fit into the bound.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.options.segment_bytes.0.min(self.append_bytes_max() / 4).max(1)
    }

    pub(crate) fn submit(&self, job: Job) {
        self.jobs.lock().queue.push_back(job);
        self.wake.notify_one();
    }
}

/// The frames appended last, up to a bound in bytes, without a gap up to the end of the log.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) first: u64,
    pub(crate) frames: VecDeque<Frame>,
    bytes: usize,
}

impl Tail {
    /// Nothing yet, at the end of the log.
    pub(crate) fn at(end: u64) -> Self {
        Self { first: end, ..Self::default() }
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes += frame.bytes();
        self.frames.push_back(frame);
        while self.bytes > TAIL_BYTES_MAX && self.frames.len() > 1 {
            let Some(old) = self.frames.pop_front() else { break };
            self.bytes -= old.bytes();
            self.first += 1;
        }
    }
}
