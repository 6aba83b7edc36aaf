//! A durable queue on a [`Disk`].

use std::collections::BTreeSet;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::queue::{
    Checkpoint, ChunkRef, Epoch, LogId, Positions, Queue, QueueStatus, SideStream, Slab,
};
use millstream_core::record::{Frame, Offset};
use millstream_core::{Error, Result};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::Disk;
use super::disk::{Entry, Recovery, State};
use super::side::DiskSide;

/// What is known of an open queue without going to its disk.
#[derive(Debug, Default)]
struct View {
    frames: Vec<Frame>,
    first: u64,
    first_epoch: Epoch,
    positions: Positions,
}

impl View {
    fn append(&mut self, frames: &[Frame]) {
        for frame in frames {
            if let Some(position) = &frame.position {
                let splits = self.positions.entry(frame.source.clone()).or_default();
                splits.insert(frame.split.clone(), position.clone());
            }
            self.frames.push(frame.clone());
        }
    }

    fn trim(&mut self, before: Offset, epoch: Epoch) {
        self.first = self.first.max(before.0);
        self.first_epoch = self.first_epoch.max(epoch);
    }
}

/// The queue: durable, with the faults and delays of its world.
pub struct DiskQueue {
    disk: Disk,
    tenant: u64,
    view: Mutex<View>,
    end: watch::Sender<u64>,
}

impl std::fmt::Debug for DiskQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskQueue({:?})", self.status())
    }
}

impl DiskQueue {
    pub(super) fn new(disk: &Disk) -> Self {
        let mut view = View::default();
        let tenant = {
            let mut state = disk.state.lock();
            for entry in &state.entries {
                match entry {
                    Entry::Frames(frames) => view.append(frames),
                    Entry::Trim(before, epoch) => view.trim(*before, *epoch),
                    Entry::Commit(_) => {}
                }
            }
            state.tenant += 1;
            state.tenant
        };
        let end = watch::channel(view.frames.len() as u64).0;
        Self { disk: disk.clone(), tenant, view: Mutex::new(view), end }
    }

    /// The disk, as long as this queue is the one that holds it.
    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.disk.state.lock();
        assert_eq!(state.tenant, self.tenant, "a queue that is closed or dead was written to");
        state
    }

    /// Appends one entry and waits until it survives.
    async fn log(&self, entry: Entry, act: &str) -> Result<()> {
        let at = {
            let mut state = self.state();
            state.entries.push(entry);
            state.entries.len()
        };
        self.disk.world.end(act).await?;
        let mut state = self.state();
        state.synced = state.synced.max(at);
        Ok(())
    }

    async fn begin(&self, act: &str) -> Result<()> {
        self.disk.world.begin(act).await?;
        if self.disk.world.chance(self.disk.world.odds().queue) {
            return Err(Error::retry(format!("`{act}`: no space left on device")));
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for DiskQueue {
    fn identity(&self) -> (LogId, u32) {
        let state = self.disk.state.lock();
        (state.log, state.incarnation)
    }

    fn durable(&self) -> bool {
        true
    }

    async fn append(&self, frames: &[Frame]) -> Result<Range<Offset>> {
        self.begin("queue.append").await?;
        let start = {
            let mut view = self.view.lock();
            let start = view.frames.len() as u64;
            view.append(frames);
            // The log has them in the same breath: both, or neither.
            self.state().entries.push(Entry::Frames(frames.to_vec()));
            start
        };
        let at = self.state().entries.len();
        let end = start + frames.len() as u64;
        self.end.send_replace(end);
        self.disk.world.moment().await;
        let mut state = self.state();
        state.synced = state.synced.max(at);
        Ok(Offset(start)..Offset(end))
    }

    async fn positions(&self) -> Result<Positions> {
        Ok(self.view.lock().positions.clone())
    }

    async fn read(&self, from: Offset, bytes_max: usize) -> Result<Slab> {
        // Steps must not matter, so they are of any length.
        let bytes_max = match self.disk.world.odds().slow {
            0 => bytes_max,
            _ => usize::try_from(self.disk.world.below(400)).unwrap_or(1),
        };
        let view = self.view.lock();
        if from.0 < view.first {
            return Err(Error::stop(format!("offset {from} was trimmed away")));
        }
        let mut slab = Slab { frames: Vec::new(), next: from };
        let mut bytes = 0;
        if self.disk.damaged == Some(from.0) {
            return Err(Error::stop(format!("the frame at offset {from} is damaged")));
        }
        for frame in view.frames.iter().skip(usize::try_from(from.0).unwrap_or(usize::MAX)) {
            if !slab.frames.is_empty() && bytes + frame.bytes() > bytes_max {
                break;
            }
            if self.disk.damaged == Some(slab.next.0) {
                break;
            }
            bytes += frame.bytes();
            slab.frames.push((slab.next, frame.clone()));
            slab.next = slab.next.next();
        }
        Ok(slab)
    }

    async fn wait(&self, from: Offset) -> Result<()> {
        let mut end = self.end.subscribe();
        let waited = end.wait_for(|end| *end > from.0).await;
        waited.map(drop).map_err(|e| Error::stop("the queue is gone").because(e))
    }

    async fn put_chunk(&self, operator: &str, key: &str, bytes: Bytes) -> Result<ChunkRef> {
        self.begin("queue.put_chunk").await?;
        let mut state = self.state();
        let id = state.chunk_next;
        state.chunk_next += 1;
        let length = bytes.len() as u64;
        state.chunks.insert(id, bytes);
        Ok(ChunkRef {
            operator: operator.to_owned(),
            key: key.to_owned(),
            id,
            bytes: length,
            crc: 0,
        })
    }

    async fn get_chunk(&self, chunk: &ChunkRef) -> Result<Bytes> {
        self.begin("queue.get_chunk").await?;
        let bytes = self.state().chunks.get(&chunk.id).cloned();
        bytes.ok_or_else(|| Error::stop(format!("chunk {} is gone", chunk.id)))
    }

    async fn commit(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.begin("queue.commit").await?;
        {
            let mut state = self.state();
            for (name, extent) in &checkpoint.sides {
                let side = state.sides.entry(name.clone()).or_default();
                assert!(extent.end <= side.end(), "`{name}` has no entry {}", extent.end);
                side.synced = side.synced.max(extent.end);
            }
            for chunk in &checkpoint.chunks {
                assert!(state.chunks.contains_key(&chunk.id), "chunk {} is gone", chunk.id);
            }
        }
        self.disk.world.moment().await;
        self.log(Entry::Commit(Box::new(checkpoint.clone())), "queue.commit").await?;
        let mut state = self.state();
        for (name, extent) in &checkpoint.sides {
            if let Some(side) = state.sides.get_mut(name) {
                side.forget(extent.first);
            }
        }
        Ok(())
    }

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let first = self.view.lock().first_epoch;
        let mut kept: Vec<Checkpoint> = Vec::new();
        for checkpoint in self.disk.checkpoints() {
            // A second commit of an epoch takes the place of the first.
            kept.retain(|c| c.epoch < checkpoint.epoch);
            kept.push(checkpoint);
        }
        let last = kept.last().map_or(Epoch(0), |c| c.epoch);
        kept.retain(|c| c.epoch >= first || c.epoch == last);
        let recovery: Recovery = self.disk.recovery;
        Ok(recovery(kept))
    }

    async fn trim(&self, before: Offset, epoch: Epoch) -> Result<()> {
        self.begin("queue.trim").await?;
        let before = Offset(before.0.saturating_sub(self.disk.kept));
        self.view.lock().trim(before, epoch);
        self.log(Entry::Trim(before, epoch), "queue.trim").await?;
        let named: BTreeSet<u64> =
            self.checkpoints().await?.iter().flat_map(|c| c.chunks.iter().map(|c| c.id)).collect();
        // Those put since the last commit are not named yet.
        let newest = named.last().copied().unwrap_or(0);
        self.state().chunks.retain(|id, _| *id > newest || named.contains(id));
        Ok(())
    }

    fn side(&self, name: &str) -> Result<Box<dyn SideStream>> {
        self.state().sides.entry(name.to_owned()).or_default();
        Ok(Box::new(DiskSide::new(&self.disk, self.tenant, name)))
    }

    async fn sides(&self) -> Result<Vec<String>> {
        Ok(self.state().sides.keys().cloned().collect())
    }

    fn status(&self) -> QueueStatus {
        let view = self.view.lock();
        let bytes = view.frames.iter().map(|f| f.bytes() as u64).sum();
        QueueStatus {
            first: Offset(view.first),
            end: Offset(view.frames.len() as u64),
            bytes,
            bytes_max: None,
        }
    }

    async fn close(&self) -> Result<()> {
        let mut state = self.state();
        state.synced = state.entries.len();
        // Whoever writes now does so without holding the queue.
        state.tenant += 1;
        Ok(())
    }
}
