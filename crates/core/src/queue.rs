//! The one durable, ordered place between sources and everything else.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::record::{Frame, Name, Offset};
use crate::role::{Holder, Role};
use crate::source::SplitPositions;

/// The steps sealed by one checkpoint. The first epoch is 1; 0 means before all of them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The random identity a queue is born with, shown in hexadecimal.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LogId(pub u128);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A place in the life of one queue: what a sink stores beside its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The queue.
    pub log: LogId,
    /// How often that queue has lost its tail and gone on.
    pub incarnation: u32,
    /// The last epoch that is held whole.
    pub epoch: Epoch,
    /// The first offset that is not in it.
    pub next: Offset,
}

/// Positions of every split of every source.
pub type Positions = BTreeMap<Name, SplitPositions>;

/// A run of frames as read.
#[derive(Clone, Debug, Default)]
pub struct Slab {
    /// The frames, in order and without a gap.
    pub frames: Vec<(Offset, Frame)>,
    /// The offset to read from next.
    pub next: Offset,
}

/// One immutable piece of operator state, beside the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// Which operator it belongs to (its view's name).
    pub operator: String,
    /// The operator's own name for it, such as a pane.
    pub key: String,
    /// Unique in this queue, never used again.
    pub id: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// CRC-32C of its bytes.
    pub crc: u32,
}

/// The last rows one sink was sent: a replay has to send the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The last epoch in which it was sent any; what a sink holds is compared with this.
    pub epoch: Epoch,
    /// Rows sent in that epoch.
    pub rows: u64,
    /// Digest of those rows, in order.
    pub digest: u64,
}

/// How far a side stream reaches at a checkpoint; what lies beyond was never committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideExtent {
    /// The first entry still kept.
    pub first: u64,
    /// The first entry not part of it.
    pub end: u64,
}

/// The only commit point: everything below `next` is processed, and this is all one needs to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The epoch it seals.
    pub epoch: Epoch,
    /// The first offset that is not processed.
    pub next: Offset,
    /// Every sink holds the epochs up to this one, or has what it was sent in them in its outbox.
    pub flushed: Epoch,
    /// The whole state of all operators.
    pub chunks: Vec<ChunkRef>,
    /// Row accounts, cumulative over the queue's life.
    pub ledger: Ledger,
    /// Side streams, by name.
    pub sides: BTreeMap<String, SideExtent>,
    /// What each sink was sent last, by sink; carried on through epochs without rows for it.
    pub sent: BTreeMap<String, Sent>,
    /// Columns pinned so far, by source (JSON of [`crate::codec::Columns`]).
    pub pins: BTreeMap<String, String>,
    /// Wall-clock time of the commit.
    pub at: Timestamp,
}

/// What a queue says of itself, for metrics, `check` and error messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// The first offset kept.
    pub first: Offset,
    /// The next offset to be given.
    pub end: Offset,
    /// Bytes it holds now, of all kinds.
    pub bytes: u64,
    /// The bound on those bytes, if there is one.
    pub bytes_max: Option<u64>,
}

/// The one durable place. Cheap to share: every method takes `&self`.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Which queue this is, and which life of it it lives.
    fn identity(&self) -> (LogId, u32);

    /// Whether what it took survives the process. If not, marks held by sinks mean nothing.
    fn durable(&self) -> bool;

    /// Appends the frames in one atomic step, and returns once they survive power loss (or as much of
    /// that as its durability option says).
    ///
    /// Readable from the moment they are appended, which is before this returns. At the byte bound it
    /// waits for room. Cancel-safe: dropped before it returns, all of the frames are stored, or none.
    ///
    /// # Errors
    /// `Retry` when the disk is full (nothing was stored); `Reopen` or `Stop` when it can take no more.
    async fn append(&self, frames: &[Frame]) -> Result<Range<Offset>>;

    /// Where every split stands after all frames taken so far.
    ///
    /// # Errors
    /// `Stop` when the queue cannot be read.
    async fn positions(&self) -> Result<Positions>;

    /// Reads frames from `from` on, at least one if there is one, stopping at about `bytes_max`.
    ///
    /// Returns an empty slab when there is nothing yet; see [`Queue::wait`].
    ///
    /// # Errors
    /// `Stop` for corruption, naming file and byte, and for offsets that were trimmed away.
    async fn read(&self, from: Offset, bytes_max: usize) -> Result<Slab>;

    /// Waits until there is a frame at `from` or beyond. Cancel-safe.
    ///
    /// # Errors
    /// `Stop` when the queue is broken and will never have one.
    async fn wait(&self, from: Offset) -> Result<()>;

    /// Stores an immutable chunk of operator state; durable when the commit that names it returns.
    ///
    /// # Errors
    /// As [`Queue::append`].
    async fn put_chunk(&self, operator: &str, key: &str, bytes: Bytes) -> Result<ChunkRef>;

    /// Reads a chunk back, checking its length and CRC.
    ///
    /// # Errors
    /// `Stop` when it is gone or is not what was stored.
    async fn get_chunk(&self, chunk: &ChunkRef) -> Result<Bytes>;

    /// Makes everything appended so far, the side streams up to the extents named, the chunks named
    /// and the checkpoint itself durable, in one fsync of the log on the way.
    ///
    /// May use the reserve that appends may not.
    ///
    /// # Errors
    /// `Retry` when the disk is full (nothing was committed); `Stop` when an fsync failed: nothing
    /// since the last checkpoint counts, and the queue takes no more until it is opened anew.
    async fn commit(&self, checkpoint: &Checkpoint) -> Result<()>;

    /// All checkpoints still kept, oldest first.
    ///
    /// # Errors
    /// `Stop` when the queue cannot be read.
    async fn checkpoints(&self) -> Result<Vec<Checkpoint>>;

    /// Frames below `before`, and checkpoints of epochs below `epoch`, are needed by nobody; keep
    /// them only as far as the retention options ask. The last checkpoint, and all frames from the
    /// oldest kept checkpoint's `next` on, stay whatever is asked.
    ///
    /// # Errors
    /// As [`Queue::commit`].
    async fn trim(&self, before: Offset, epoch: Epoch) -> Result<()>;

    /// A named side stream: dead letters or an outbox.
    ///
    /// # Errors
    /// `Stop` when the name is not made of `a-z A-Z 0-9 _ - . /`.
    fn side(&self, name: &str) -> Result<Box<dyn SideStream>>;

    /// Names of all side streams that exist.
    ///
    /// # Errors
    /// `Stop` when the queue cannot be read.
    async fn sides(&self) -> Result<Vec<String>>;

    /// What it has to say of itself.
    fn status(&self) -> QueueStatus;

    /// Begins a new incarnation, loudly, and returns it: for when a sink is ahead of this queue and a
    /// person has said to go on. Marks of earlier incarnations then mean nothing beyond its end.
    ///
    /// # Errors
    /// `Stop` when this queue cannot; else as [`Queue::commit`].
    async fn new_incarnation(&self) -> Result<u32> {
        Err(crate::Error::stop("this queue has no incarnations"))
    }

    /// The least offset at which a later incarnation than this one began: what a mark of this one says of frames
    /// from there on is of frames that were lost. `None` if nothing was.
    ///
    /// # Errors
    /// As [`Queue::positions`].
    async fn lost_from(&self, incarnation: u32) -> Result<Option<Offset>> {
        let _ = incarnation;
        Ok(None)
    }

    /// Tries to take a role that one process at a time has; true if it is now this one's, or was already.
    ///
    /// It stays so, renewed by the queue itself, until it is given up or lost: when this process was
    /// stopped, or cut off, for so long that another one may have taken over. What it then still asks the
    /// queue for in that role is refused. A queue that one process at a time has open gives it every role.
    ///
    /// # Errors
    /// As [`Queue::positions`].
    async fn take_role(&self, role: &Role) -> Result<bool> {
        let _ = role;
        Ok(true)
    }

    /// Waits until a role that this process has taken is no longer its own. Cancel-safe.
    async fn role_lost(&self, role: &Role) {
        let _ = role;
        std::future::pending().await
    }

    /// Gives a role up, so that another process can take it at once.
    ///
    /// # Errors
    /// As [`Queue::positions`]; the role then falls free by itself a little later.
    async fn give_up_role(&self, role: &Role) -> Result<()> {
        let _ = role;
        Ok(())
    }

    /// How many processes collect for this pipeline now, this one included: what a fair share is of.
    ///
    /// # Errors
    /// As [`Queue::positions`].
    async fn collectors(&self) -> Result<usize> {
        Ok(1)
    }

    /// Who has which role now; nothing for a queue that one process at a time has open.
    ///
    /// # Errors
    /// As [`Queue::positions`].
    async fn holders(&self) -> Result<Vec<Holder>> {
        Ok(Vec::new())
    }

    /// Flushes and gives up the lock. Without it nothing is lost either.
    ///
    /// # Errors
    /// As [`Queue::commit`].
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// An ordered stream of small entries beside the frames, part of the same commits.
///
/// When the queue is opened, each is cut to the extent that the last checkpoint names.
#[async_trait]
pub trait SideStream: Send + Sync {
    /// Adds entries and returns the number of the first. Durable with the next commit that names them,
    /// or after [`SideStream::sync`].
    ///
    /// # Errors
    /// `Retry` when the disk is full or the stream is at its bound (nothing was added).
    async fn append(&self, entries: &[Bytes]) -> Result<u64>;

    /// The entries from `from` on, with their numbers, stopping at about `bytes_max`.
    ///
    /// # Errors
    /// `Stop` for corruption.
    async fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<(u64, Bytes)>>;

    /// The entries it has.
    fn extent(&self) -> SideExtent;

    /// Bytes of the entries it has.
    fn bytes(&self) -> u64;

    /// Forgets entries below `before`, once a commit has named the new extent.
    ///
    /// # Errors
    /// `Retry`; the space is then not yet free.
    async fn trim(&self, before: u64) -> Result<()>;

    /// Makes all entries so far durable. They still do not count before a commit names them.
    ///
    /// # Errors
    /// `Stop` when an fsync failed.
    async fn sync(&self) -> Result<()>;
}
