//! A queue in memory: the same laws as the log, for tests and for data that may be lost.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::fields;
use millstream_core::plugin::{Config, Env, QueueOpener};
use millstream_core::queue::{
    Checkpoint, ChunkRef, Epoch, LogId, Positions, Queue, QueueStatus, SideExtent, SideStream, Slab,
};
use millstream_core::record::{Frame, Offset};
use millstream_core::{Error, Result};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Notify;

/// Keeps everything in memory. What it took does not survive the process: a crash or a restart
/// loses whatever sources cannot give again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryQueue {
    /// The bound on all it holds. At it, sources wait until sinks have caught up.
    #[serde(default = "default_bytes_max")]
    pub bytes_max: fields::Bytes,
    /// The bound on each outbox and on the dead letters.
    #[serde(default = "default_side_bytes_max")]
    pub side_bytes_max: fields::Bytes,
}

fn default_bytes_max() -> fields::Bytes {
    fields::Bytes(256 << 20)
}

fn default_side_bytes_max() -> fields::Bytes {
    fields::Bytes(64 << 20)
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self { bytes_max: default_bytes_max(), side_bytes_max: default_side_bytes_max() }
    }
}

impl Config<dyn QueueOpener> for MemoryQueue {
    const NAME: &'static str = "memory";

    fn build(self, _: &Env) -> Result<Box<dyn QueueOpener>> {
        Ok(Box::new(self))
    }
}

#[async_trait]
impl QueueOpener for MemoryQueue {
    async fn open(&self) -> Result<Arc<dyn Queue>> {
        Ok(Arc::new(Memory::new(self)))
    }

    fn folder(&self) -> Option<PathBuf> {
        None
    }

    fn durable(&self) -> bool {
        false
    }

    fn side_bytes_max(&self) -> u64 {
        self.side_bytes_max.0
    }

    fn describe(&self) -> Vec<String> {
        vec![
            "in memory: lost when the process ends".into(),
            format!("at most {}; at the bound, sources wait", self.bytes_max),
            format!("at most {} in each outbox and in the dead letters", self.side_bytes_max),
        ]
    }
}

/// The open queue in memory.
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    id: LogId,
    bytes_max: u64,
    side_bytes_max: u64,
    state: Mutex<State>,
    /// Told of every change: frames, room.
    changed: Notify,
}

#[derive(Default)]
struct State {
    first: u64,
    frames: VecDeque<Frame>,
    positions: Positions,
    checkpoints: VecDeque<Checkpoint>,
    chunks: BTreeMap<u64, Bytes>,
    chunk_next: u64,
    sides: BTreeMap<String, Side>,
    bytes: u64,
}

#[derive(Default)]
struct Side {
    first: u64,
    entries: VecDeque<Bytes>,
    bytes: u64,
}

fn weight(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl State {
    fn end(&self) -> u64 {
        self.first + weight(self.frames.len())
    }

    /// Drops checkpoints below `epoch`, but the last one.
    fn drop_checkpoints(&mut self, epoch: Epoch) {
        let mut gone = Vec::new();
        while self.checkpoints.len() > 1
            && self.checkpoints.front().is_some_and(|c| c.epoch < epoch)
        {
            gone.extend(self.checkpoints.pop_front());
        }
        self.drop_chunks(&gone);
    }

    /// Frees chunks that only these checkpoints named.
    fn drop_chunks(&mut self, gone: &[Checkpoint]) {
        for chunk in gone.iter().flat_map(|c| &c.chunks) {
            let kept =
                self.checkpoints.iter().any(|c| c.chunks.iter().any(|kept| kept.id == chunk.id));
            if !kept && let Some(bytes) = self.chunks.remove(&chunk.id) {
                self.bytes -= weight(bytes.len());
            }
        }
    }
}

impl Memory {
    /// An empty queue.
    #[must_use]
    pub fn new(options: &MemoryQueue) -> Self {
        Self {
            shared: Arc::new(Shared {
                id: LogId(fastrand::u128(..)),
                bytes_max: options.bytes_max.0,
                side_bytes_max: options.side_bytes_max.0,
                state: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({:?})", self.status())
    }
}

#[async_trait]
impl Queue for Memory {
    fn identity(&self) -> (LogId, u32) {
        (self.shared.id, 0)
    }

    fn durable(&self) -> bool {
        false
    }

    async fn append(&self, frames: &[Frame]) -> Result<Range<Offset>> {
        let need: u64 = frames.iter().map(|f| weight(f.bytes())).sum();
        let max = self.shared.bytes_max;
        if need > max {
            return Err(Error::set_aside(format!(
                "{need} bytes cannot be appended to a queue bounded at {max}"
            ))
            .fix("raise `queue.memory.bytes_max`"));
        }
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut state = self.shared.state.lock();
                if state.bytes + need <= max {
                    let start = state.end();
                    state.bytes += need;
                    for frame in frames {
                        if let Some(position) = &frame.position {
                            let splits = state.positions.entry(frame.source.clone()).or_default();
                            splits.insert(frame.split.clone(), position.clone());
                        }
                        state.frames.push_back(frame.clone());
                    }
                    let end = state.end();
                    drop(state);
                    self.shared.changed.notify_waiters();
                    return Ok(Offset(start)..Offset(end));
                }
            }
            changed.await;
        }
    }

    async fn positions(&self) -> Result<Positions> {
        Ok(self.shared.state.lock().positions.clone())
    }

    async fn read(&self, from: Offset, bytes_max: usize) -> Result<Slab> {
        let state = self.shared.state.lock();
        let Some(skip) = from.0.checked_sub(state.first) else {
            return Err(Error::stop(format!(
                "offset {from} was trimmed away: the queue now begins at {}",
                state.first
            )));
        };
        let mut slab = Slab { frames: Vec::new(), next: from };
        let mut bytes = 0;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(state.frames.len());
        for frame in state.frames.range(skip..) {
            if !slab.frames.is_empty() && bytes + frame.bytes() > bytes_max {
                break;
            }
            bytes += frame.bytes();
            slab.frames.push((slab.next, frame.clone()));
            slab.next = slab.next.next();
        }
        Ok(slab)
    }

    async fn wait(&self, from: Offset) -> Result<()> {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.state.lock().end() > from.0 {
                return Ok(());
            }
            changed.await;
        }
    }

    async fn put_chunk(&self, operator: &str, key: &str, bytes: Bytes) -> Result<ChunkRef> {
        let mut state = self.shared.state.lock();
        let id = state.chunk_next;
        let chunk = ChunkRef {
            operator: operator.to_owned(),
            key: key.to_owned(),
            id,
            bytes: weight(bytes.len()),
            crc: crc32c::crc32c(&bytes),
        };
        state.chunk_next += 1;
        state.bytes += chunk.bytes;
        state.chunks.insert(id, bytes);
        Ok(chunk)
    }

    async fn get_chunk(&self, chunk: &ChunkRef) -> Result<Bytes> {
        let bytes = self.shared.state.lock().chunks.get(&chunk.id).cloned();
        bytes
            .filter(|b| weight(b.len()) == chunk.bytes && crc32c::crc32c(b) == chunk.crc)
            .ok_or_else(|| {
                Error::stop(format!("chunk {} of `{}` is gone", chunk.id, chunk.operator))
            })
    }

    async fn commit(&self, checkpoint: &Checkpoint) -> Result<()> {
        let mut state = self.shared.state.lock();
        // A second commit of the same epoch (dead letters dropped, say) takes the place of the first.
        let again = state.checkpoints.back().is_some_and(|last| last.epoch == checkpoint.epoch);
        let gone = if again { state.checkpoints.pop_back() } else { None };
        assert!(
            state.checkpoints.back().is_none_or(|last| last.epoch < checkpoint.epoch),
            "epochs only grow"
        );
        state.checkpoints.push_back(checkpoint.clone());
        state.drop_chunks(gone.as_slice());
        Ok(())
    }

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        Ok(self.shared.state.lock().checkpoints.iter().cloned().collect())
    }

    async fn trim(&self, before: Offset, epoch: Epoch) -> Result<()> {
        {
            let mut state = self.shared.state.lock();
            state.drop_checkpoints(epoch);
            let needed = state.checkpoints.front().map_or(0, |oldest| oldest.next.0);
            while state.first < before.0.min(needed) {
                let Some(frame) = state.frames.pop_front() else { break };
                state.bytes -= weight(frame.bytes());
                state.first += 1;
            }
        }
        self.shared.changed.notify_waiters();
        Ok(())
    }

    fn side(&self, name: &str) -> Result<Box<dyn SideStream>> {
        crate::check_side_name(name)?;
        self.shared.state.lock().sides.entry(name.to_owned()).or_default();
        Ok(Box::new(MemorySide { shared: self.shared.clone(), name: name.to_owned() }))
    }

    async fn sides(&self) -> Result<Vec<String>> {
        Ok(self.shared.state.lock().sides.keys().cloned().collect())
    }

    fn status(&self) -> QueueStatus {
        let state = self.shared.state.lock();
        QueueStatus {
            first: Offset(state.first),
            end: Offset(state.end()),
            bytes: state.bytes,
            bytes_max: Some(self.shared.bytes_max),
        }
    }
}

struct MemorySide {
    shared: Arc<Shared>,
    name: String,
}

impl MemorySide {
    fn with<T>(&self, f: impl FnOnce(&mut Side, &mut u64) -> T) -> T {
        let mut state = self.shared.state.lock();
        let State { sides, bytes, .. } = &mut *state;
        f(sides.entry(self.name.clone()).or_default(), bytes)
    }
}

#[async_trait]
impl SideStream for MemorySide {
    async fn append(&self, entries: &[Bytes]) -> Result<u64> {
        let need: u64 = entries.iter().map(|e| weight(e.len())).sum();
        let max = self.shared.side_bytes_max;
        self.with(|side, bytes| {
            if side.bytes + need > max {
                return Err(Error::retry(format!(
                    "`{}` holds {} bytes and may hold {max}",
                    self.name, side.bytes
                ))
                .fix("mend the sink, or raise `queue.memory.side_bytes_max`"));
            }
            let first = side.first + weight(side.entries.len());
            side.entries.extend(entries.iter().cloned());
            side.bytes += need;
            *bytes += need;
            Ok(first)
        })
    }

    async fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<(u64, Bytes)>> {
        self.with(|side, _| {
            let from = from.max(side.first);
            let skip = usize::try_from(from - side.first).unwrap_or(usize::MAX);
            let mut bytes = 0;
            let mut entries = Vec::new();
            for (number, entry) in (from..).zip(side.entries.iter().skip(skip)) {
                if !entries.is_empty() && bytes + entry.len() > bytes_max {
                    break;
                }
                bytes += entry.len();
                entries.push((number, entry.clone()));
            }
            Ok(entries)
        })
    }

    fn extent(&self) -> SideExtent {
        self.with(|side, _| SideExtent {
            first: side.first,
            end: side.first + weight(side.entries.len()),
        })
    }

    fn bytes(&self) -> u64 {
        self.with(|side, _| side.bytes)
    }

    async fn trim(&self, before: u64) -> Result<()> {
        self.with(|side, bytes| {
            while side.first < before {
                let Some(entry) = side.entries.pop_front() else { break };
                side.first += 1;
                side.bytes -= weight(entry.len());
                *bytes -= weight(entry.len());
            }
        });
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        Ok(())
    }
}
