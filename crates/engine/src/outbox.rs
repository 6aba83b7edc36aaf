//! What waits for a sink that is down: rows in the queue's side stream `outbox/<sink>`, epoch by epoch.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use millstream_core::codec::{Origin, Rows};
use millstream_core::queue::{Epoch, Mark, SideStream};
use millstream_core::record::Offset;
use millstream_core::{Error, Result};

/// The side stream of a sink.
pub(crate) fn stream_name(sink: &str) -> String {
    format!("outbox/{sink}")
}

/// A sink's outbox, as its lane, its drainer and whoever seals epochs share it.
///
/// What is delivered is forgotten by the commit that books it, not before: after a crash the accounts
/// and the outbox tell the same story.
pub(crate) struct Outbox {
    pub(crate) stream: Arc<dyn SideStream>,
    /// The first entry that is not delivered.
    next: AtomicU64,
    /// Bytes of entries that are delivered and not forgotten.
    delivered: AtomicU64,
    /// The drainer waits for a commit: nobody may hold up commits by waiting for room.
    urgent: AtomicBool,
    /// The run ends, and the sink was tried once more in vain: what waits is for the next run.
    given_up: AtomicBool,
}

impl Outbox {
    pub(crate) fn new(stream: Box<dyn SideStream>) -> Arc<Self> {
        let next = AtomicU64::new(stream.extent().first);
        let stream = Arc::from(stream);
        Arc::new(Self {
            stream,
            next,
            delivered: AtomicU64::new(0),
            urgent: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        })
    }

    /// The first entry that is not delivered.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.next() >= self.stream.extent().end
    }

    /// Whether nothing waits, and a commit says so.
    pub(crate) fn is_settled(&self) -> bool {
        let extent = self.stream.extent();
        extent.first >= extent.end
    }

    /// Whether nothing waits that this run could still deliver.
    pub(crate) fn is_done(&self) -> bool {
        self.is_settled() || self.given_up.load(Ordering::SeqCst)
    }

    /// Leaves what waits to the next run.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.stream.bytes().saturating_sub(self.delivered.load(Ordering::SeqCst))
    }

    /// Whether `bytes` more would pass the bound. An empty outbox takes anything.
    pub(crate) fn is_full(&self, bytes: u64, max: u64) -> bool {
        let held = self.bytes();
        held > 0 && held.saturating_add(bytes) > max && !self.urgent.load(Ordering::SeqCst)
    }

    /// Entries below `upto` are delivered.
    pub(crate) fn deliver(&self, upto: u64, bytes: u64) {
        self.next.store(upto, Ordering::SeqCst);
        self.delivered.fetch_add(bytes, Ordering::SeqCst);
    }

    /// The next commit will say that entries below `upto` are gone.
    pub(crate) async fn forget(&self, upto: u64, bytes: u64) -> Result<()> {
        self.stream.trim(upto).await?;
        self.delivered.fetch_sub(bytes, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn set_urgent(&self, urgent: bool) {
        self.urgent.store(urgent, Ordering::SeqCst);
    }
}

/// One batch of one epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Parcel {
    /// The epoch it belongs to.
    pub(crate) epoch: Epoch,
    /// The epoch's next offset.
    pub(crate) next: Offset,
    offset: Offset,
    starts: Vec<u32>,
    ordinals: Vec<u32>,
    ipc: Bytes,
}

impl Parcel {
    /// Packs rows of an epoch.
    pub(crate) fn pack(mark: &Mark, rows: &Rows) -> Result<Bytes> {
        let parcel = Self {
            epoch: mark.epoch,
            next: mark.next,
            offset: rows.origin.offset(),
            starts: rows.origin.starts().to_vec(),
            ordinals: (0..rows.len()).map(|i| rows.origin.ordinal(i)).collect(),
            ipc: batch_to_ipc(&rows.batch)?,
        };
        let bytes = postcard::to_stdvec(&parcel)
            .map_err(|e| Error::stop("cannot encode rows for an outbox").because(e))?;
        Ok(bytes.into())
    }

    /// Reads a parcel back.
    pub(crate) fn unpack(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|e| {
            Error::stop("an entry of an outbox cannot be read: it was written by another version")
                .because(e)
        })
    }

    /// Its rows.
    ///
    /// # Errors
    /// `Stop` when they are not what was packed.
    pub(crate) fn rows(&self) -> Result<Rows> {
        let batch = batch_from_ipc(&self.ipc)?;
        let origin = Origin::new(
            self.offset,
            Arc::from(self.starts.as_slice()),
            Some(Arc::from(self.ordinals.as_slice())),
        );
        Ok(Rows { batch, origin })
    }
}

/// The epoch of the last parcel in a stream.
pub(crate) async fn last_epoch(stream: &dyn SideStream) -> Result<Option<Epoch>> {
    let extent = stream.extent();
    if extent.first >= extent.end {
        return Ok(None);
    }
    let last = stream.read(extent.end - 1, 1).await?;
    last.last().map(|(_, bytes)| Parcel::unpack(bytes).map(|p| p.epoch)).transpose()
}

pub(crate) fn batch_to_ipc(batch: &RecordBatch) -> Result<Bytes> {
    let write = || -> Result<Vec<u8>, arrow_schema::ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(batch)?;
        writer.into_inner()
    };
    write().map(Bytes::from).map_err(|e| Error::stop("cannot write rows as Arrow IPC").because(e))
}

pub(crate) fn batch_from_ipc(bytes: &[u8]) -> Result<RecordBatch> {
    let broken =
        |e: arrow_schema::ArrowError| Error::stop("cannot read rows as Arrow IPC").because(e);
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(broken)?;
    reader.next().ok_or_else(|| Error::stop("an Arrow IPC entry holds no batch"))?.map_err(broken)
}
