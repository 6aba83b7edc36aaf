//! A version of a table as bytes: in a frame, and among the state of a checkpoint.
//!
//! ```text
//! length of the columns: u32 | columns: JSON, as in the pipeline file | rows: Arrow IPC stream of one batch
//! ```

use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use millstream_core::codec::Columns;
use millstream_core::reference::Content;
use millstream_core::{Error, Result};

/// A version as it was read from bytes.
pub(crate) struct Payload {
    pub(crate) number: u128,
    pub(crate) rows: RecordBatch,
}

/// What a version is told by.
pub(crate) fn number(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

/// The bytes of a version. The same content gives the same bytes.
pub(crate) fn write(content: &Content) -> Result<Bytes> {
    let failed = |e: &dyn std::fmt::Display| Error::stop(format!("a table cannot be kept: {e}"));
    let columns = serde_json::to_vec(&content.columns).map_err(|e| failed(&e))?;
    let length = u32::try_from(columns.len()).map_err(|e| failed(&e))?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(&columns);
    let mut writer =
        StreamWriter::try_new(&mut bytes, &content.rows.schema()).map_err(|e| failed(&e))?;
    writer.write(&content.rows).map_err(|e| failed(&e))?;
    writer.finish().map_err(|e| failed(&e))?;
    drop(writer);
    Ok(bytes.into())
}

impl Payload {
    /// # Errors
    /// `Stop` when these are no bytes of a version.
    pub(crate) fn read(bytes: &Bytes) -> Result<Self> {
        let broken = |e: &dyn std::fmt::Display| {
            Error::stop(format!("a version of the table in the queue cannot be read: {e}"))
                .fix("it was written by another version of Millstream, or the queue is damaged")
        };
        let length = bytes.first_chunk().map(|b| u32::from_le_bytes(*b) as usize);
        let rest = length.and_then(|length| {
            let (columns, rows) = bytes.get(4..)?.split_at_checked(length)?;
            serde_json::from_slice::<Columns>(columns).ok().map(|_| rows)
        });
        let rest = rest.ok_or_else(|| broken(&"it is cut"))?;
        let reader = StreamReader::try_new(Cursor::new(rest), None).map_err(|e| broken(&e))?;
        let schema = reader.schema();
        let mut rows = None;
        for batch in reader {
            if rows.replace(batch.map_err(|e| broken(&e))?).is_some() {
                return Err(broken(&"it has several batches"));
            }
        }
        let rows = rows.unwrap_or_else(|| RecordBatch::new_empty(schema));
        Ok(Self { number: number(bytes), rows })
    }
}
