//! Records and rows that could not go on, kept whole: what a letter holds, and what one can do with it.
//!
//! Letters live in the queue's side stream `dead`. Entries are letters, or a note that letters are
//! gone (dropped or replayed); the front of the stream is freed once all letters in it are gone.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow_array::RecordBatch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use millstream_core::clock::Timestamp;
use millstream_core::codec::{RefusedRecord, RefusedRow, RowId};
use millstream_core::ledger::Stage;
use millstream_core::queue::SideStream;
use millstream_core::record::{Block, Body, Form, Frame, Offset, Position, Record};
use millstream_core::{Error, Result};

use crate::outbox::{batch_from_ipc, batch_to_ipc};

/// The side stream that holds them.
pub(crate) const STREAM: &str = "dead";

/// How much of the stream is read at a time.
const READ_BYTES: usize = 4 << 20;

/// A record or row that was set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Where it failed: at decoding, in a view or at a sink.
    pub stage: Stage,
    /// The source, view or sink that could not take it.
    pub part: String,
    /// Which row, or which record (then its row is 0).
    pub id: RowId,
    /// Why, for people.
    pub reason: String,
    /// The split it came from, where that is known.
    pub split: String,
    /// When it had arrived.
    pub arrival: Timestamp,
    /// The thing itself.
    pub payload: Payload,
}

/// What a letter holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Payload {
    /// A whole record, as it arrived.
    Record(Bytes),
    /// The bytes of one row, as found in its record.
    Row(Bytes),
    /// One decoded row, as Arrow IPC.
    Arrow(Bytes),
}

/// An entry of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// Something set aside.
    Letter(DeadLetter),
    /// Letters that were dropped or replayed, by number.
    Gone(Vec<u64>),
}

impl Entry {
    pub(crate) fn encode(&self) -> Result<Bytes> {
        let bytes = postcard::to_stdvec(self)
            .map_err(|e| Error::stop("cannot encode a dead letter").because(e))?;
        Ok(bytes.into())
    }

    fn decode(number: u64, bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|e| {
            Error::stop(format!(
                "dead letter {number} cannot be read: it was written by another version"
            ))
            .because(e)
        })
    }
}

impl DeadLetter {
    /// A row the decoder refused.
    pub(crate) fn of_row(source: &str, id: RowId, row: RefusedRow, frame: &Frame) -> Self {
        Self {
            stage: Stage::Decode,
            part: source.into(),
            id,
            reason: row.reason,
            split: frame.split.to_string(),
            arrival: frame.arrival,
            payload: Payload::Row(row.bytes),
        }
    }

    /// A record the decoder refused.
    pub(crate) fn of_record(
        source: &str,
        offset: Offset,
        refused: RefusedRecord,
        value: Bytes,
        frame: &Frame,
    ) -> Self {
        Self {
            stage: Stage::Records,
            part: source.into(),
            id: RowId { offset, record: refused.record, row: 0 },
            reason: refused.reason,
            split: frame.split.to_string(),
            arrival: frame.arrival,
            payload: Payload::Record(value),
        }
    }

    /// The same, to be read as a bare row again: it came out of the dead letters that way.
    pub(crate) fn into_row(mut self) -> Self {
        if let Payload::Record(bytes) = self.payload {
            self.payload = Payload::Row(bytes);
        }
        self
    }

    /// A decoded row that a view or a sink could not take.
    ///
    /// # Errors
    /// `Stop` when Arrow cannot write it.
    pub(crate) fn of_arrow(
        stage: Stage,
        part: &str,
        id: RowId,
        reason: String,
        row: &RecordBatch,
        arrival: Timestamp,
    ) -> Result<Self> {
        let payload = Payload::Arrow(batch_to_ipc(row)?);
        Ok(Self { stage, part: part.into(), id, reason, split: String::new(), arrival, payload })
    }

    /// The frame that sends it through the pipeline again; `None` for rows that have no bytes of their own.
    ///
    /// # Errors
    /// `SetAside` when it does not fit a block.
    pub fn frame(&self, now: Timestamp) -> Result<Option<Frame>> {
        let (form, value) = match &self.payload {
            Payload::Record(bytes) => (Form::Arrived, bytes),
            Payload::Row(bytes) => (Form::Rows, bytes),
            Payload::Arrow(_) => return Ok(None),
        };
        let block = Block::pack_as(form, &[Record::new(value.clone())])?;
        Ok(Some(Frame {
            source: self.part.as_str().into(),
            split: self.split.as_str().into(),
            arrival: now,
            position: None::<Position>,
            body: Body::Block(block),
        }))
    }

    /// The decoded row, for letters of views and sinks.
    ///
    /// # Errors
    /// `Stop` when it is not what was written.
    pub fn batch(&self) -> Result<Option<RecordBatch>> {
        match &self.payload {
            Payload::Arrow(bytes) => batch_from_ipc(bytes).map(Some),
            Payload::Record(_) | Payload::Row(_) => Ok(None),
        }
    }
}

/// Reads all letters that are not gone, with their numbers, in order, giving each to `see`.
///
/// # Errors
/// `Stop` when the stream cannot be read, and whatever `see` returns.
pub async fn each(
    stream: &dyn SideStream,
    mut see: impl FnMut(u64, DeadLetter) -> Result<()>,
) -> Result<()> {
    let gone = gone(stream).await?;
    // A crash between committing a sink's refused rows and flushing the epoch writes them twice. One row may
    // come to a sink in two forms (a view over a table and a view of it), so the form is part of the key.
    let mut seen = BTreeSet::new();
    let mut from = stream.extent().first;
    loop {
        let entries = stream.read(from, READ_BYTES).await?;
        let Some((last, _)) = entries.last() else { return Ok(()) };
        from = last + 1;
        for (number, bytes) in entries {
            if let Entry::Letter(letter) = Entry::decode(number, &bytes)?
                && !gone.contains(&number)
                && (letter.stage != Stage::Sink
                    || seen.insert((letter.part.clone(), letter.id, letter.payload.clone())))
            {
                see(number, letter)?;
            }
        }
    }
}

/// Rows of some frames that one sink refused, and that are in the dead letters.
pub(crate) async fn of_sink(
    stream: &dyn SideStream,
    sink: &str,
    offsets: &Range<Offset>,
) -> Result<BTreeSet<(RowId, Payload)>> {
    let mut ids = BTreeSet::new();
    each(stream, |_, letter| {
        if letter.stage == Stage::Sink && letter.part == sink && offsets.contains(&letter.id.offset)
        {
            ids.insert((letter.id, letter.payload));
        }
        Ok(())
    })
    .await?;
    Ok(ids)
}

async fn gone(stream: &dyn SideStream) -> Result<BTreeSet<u64>> {
    let mut gone = BTreeSet::new();
    let mut from = stream.extent().first;
    loop {
        let entries = stream.read(from, READ_BYTES).await?;
        let Some((last, _)) = entries.last() else { return Ok(gone) };
        from = last + 1;
        for (number, bytes) in entries {
            if let Entry::Gone(numbers) = Entry::decode(number, &bytes)? {
                gone.extend(numbers);
            }
        }
    }
}
