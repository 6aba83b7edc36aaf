//! What a queue has on disk, and what of it a crash leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::Result;
use millstream_core::plugin::QueueOpener;
use millstream_core::queue::{Checkpoint, Epoch, LogId, Queue, SideExtent};
use millstream_core::record::{Frame, Offset};
use parking_lot::Mutex;

use super::{DiskQueue, World};

/// An entry of the one log: what was appended is before what was appended later, in a crash too.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Frames(Vec<Frame>),
    Commit(Box<Checkpoint>),
    Trim(Offset, Epoch),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// The number of the first entry that is still there.
    pub(super) base: u64,
    pub(super) entries: Vec<Bytes>,
    /// The first entry that was not trimmed away.
    pub(super) first: u64,
    /// Entries below this survive.
    pub(super) synced: u64,
}

impl Side {
    pub(super) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn cut(&mut self, to: SideExtent) {
        assert!(self.base <= to.first, "entries of a side stream went before a commit said so");
        assert!(self.end() >= to.end, "a commit names entries of a side stream that are lost");
        self.entries.truncate(usize::try_from(to.end - self.base).unwrap_or(usize::MAX));
        self.first = to.first;
        self.synced = to.end;
        self.forget(to.first);
    }

    /// Frees entries below `first`.
    pub(super) fn forget(&mut self, first: u64) {
        while self.base < first && !self.entries.is_empty() {
            self.entries.remove(0);
            self.base += 1;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) log: LogId,
    pub(super) incarnation: u32,
    pub(super) entries: Vec<Entry>,
    /// So many entries survive.
    pub(super) synced: usize,
    pub(super) sides: BTreeMap<String, Side>,
    pub(super) chunks: BTreeMap<u64, Bytes>,
    pub(super) chunk_next: u64,
    /// Which open queue may write.
    pub(super) tenant: u64,
}

/// What checkpoints a queue shows when it is opened: a test of tests can have it lie.
pub type Recovery = fn(Vec<Checkpoint>) -> Vec<Checkpoint>;

/// The disk of one queue. Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) world: World,
    pub(super) recovery: Recovery,
    /// So many frames are kept beyond what is needed.
    pub(super) kept: u64,
    /// This frame cannot be read.
    pub(super) damaged: Option<u64>,
    folder: Option<std::path::PathBuf>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let log = LogId(u128::from(world.below(u64::MAX)) + 1);
        let state = State { log, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let recovery: Recovery = |checkpoints| checkpoints;
        Self { state, world: world.clone(), recovery, kept: 0, damaged: None, folder: None }
    }

    /// The same disk, whose queue lies about its checkpoints.
    #[must_use]
    pub fn lying(mut self, recovery: Recovery) -> Self {
        self.recovery = recovery;
        self
    }

    /// The same disk, whose queue keeps so many frames beyond what is needed.
    #[must_use]
    pub fn keeping(mut self, frames: u64) -> Self {
        self.kept = frames;
        self
    }

    /// The same disk, of which one frame cannot be read any more.
    #[must_use]
    pub fn damaged(mut self, at: u64) -> Self {
        self.damaged = Some(at);
        self
    }

    /// The same disk with a folder for the control socket.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Every frame that ever survived, trimmed or not.
    #[must_use]
    pub fn history(&self) -> Vec<(Offset, Frame)> {
        let state = self.state.lock();
        let frames = state.entries.iter().filter_map(|e| match e {
            Entry::Frames(frames) => Some(frames),
            Entry::Commit(_) | Entry::Trim(..) => None,
        });
        frames.flatten().cloned().enumerate().map(|(i, f)| (Offset(i as u64), f)).collect()
    }

    /// Every checkpoint that ever survived, in the order of their commits.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        let state = self.state.lock();
        state
            .entries
            .iter()
            .filter_map(|e| match e {
                Entry::Commit(c) => Some(c.as_ref().clone()),
                Entry::Frames(_) | Entry::Trim(..) => None,
            })
            .collect()
    }

    /// The power fails: of what was not synced, by chance more or less is left.
    ///
    /// # Panics
    /// When a commit had named what was not synced, or what was there no more.
    pub fn crash(&self) {
        self.world.revive();
        let mut state = self.state.lock();
        let loose = state.entries.len() - state.synced;
        let kept = state.synced + usize::try_from(self.world.below(loose as u64 + 1)).unwrap_or(0);
        state.entries.truncate(kept);
        state.synced = kept;
        state.tenant += 1;
        let named = state
            .entries
            .iter()
            .rev()
            .find_map(|e| match e {
                Entry::Commit(c) => Some(c.sides.clone()),
                Entry::Frames(_) | Entry::Trim(..) => None,
            })
            .unwrap_or_default();
        for (name, side) in &mut state.sides {
            let end = side.synced.max(named.get(name).map_or(0, |n| n.end)) - side.base;
            assert!(
                named.get(name).is_none_or(|n| n.end <= side.synced),
                "a commit named entries of `{name}` that were not synced"
            );
            side.entries.truncate(usize::try_from(end).unwrap_or(usize::MAX));
            side.cut(
                named.get(name).copied().unwrap_or(SideExtent { first: side.base, end: side.base }),
            );
        }
    }
}

#[async_trait]
impl QueueOpener for Disk {
    async fn open(&self) -> Result<Arc<dyn Queue>> {
        // A queue that was not closed comes to the same as a crash that lost nothing or all.
        self.crash();
        Ok(Arc::new(DiskQueue::new(self)))
    }

    fn folder(&self) -> Option<std::path::PathBuf> {
        self.folder.clone()
    }

    fn durable(&self) -> bool {
        true
    }

    fn side_bytes_max(&self) -> u64 {
        u64::MAX
    }

    fn describe(&self) -> Vec<String> {
        vec!["a disk in memory that outlives the queue on it".into()]
    }
}
