//! What waits for a sink that is down: rows in the queue's side stream `outbox/<sink>`, epoch by epoch.

use std::io::Cursor;
use std::sync::Arc;

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
