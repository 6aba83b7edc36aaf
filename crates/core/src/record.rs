//! What travels before it is decoded: records, packed into blocks, carried by frames.

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A name that is cloned often: of a source, a split, a sink.
pub type Name = Arc<str>;

/// The dense place of a frame in its queue.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset just after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a split stands, in words only its source understands: a cursor, an `ETag`, a file offset.
///
/// Kept small (some hundred bytes): it travels in every frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Bytes);

/// One payload as it arrived. It may carry many rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The key that the place it came from gave it, if any.
    pub key: Option<Bytes>,
    /// The payload, untouched.
    pub value: Bytes,
}

impl Record {
    /// A record without a key.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { key: None, value: value.into() }
    }
}

/// How a block's records are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Form {
    /// As they arrived: the codec's options apply.
    #[default]
    Arrived,
    /// Rows taken out of a record and fed back from the dead letters: each record is one bare row,
    /// so a codec's `rows` pointer does not apply.
    Rows,
}

/// The soft bound of a block, in bytes of payload: sources stop packing when they pass it.
pub const BLOCK_BYTES: usize = 64 * 1024;

const LENGTHS: usize = 8;
const NO_KEY: u32 = u32::MAX;

/// Records of one split packed together: the unit of append, fsync, transport, decode and error isolation.
///
/// Packed form, all integers little-endian:
///
/// ```text
/// count: u32 | count × (value length: u32, key length: u32, all ones if none) | count × (key, value)
/// ```
///
/// Cloning is cheap: the bytes are shared.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    form: Form,
    packed: Bytes,
}

impl Block {
    /// Packs records; copies them once.
    ///
    /// # Errors
    /// `SetAside` when a record is 4 GiB or longer.
    pub fn pack(records: &[Record]) -> Result<Self> {
        Self::pack_as(Form::Arrived, records)
    }

    /// Packs records that are to be read in the given form.
    ///
    /// # Errors
    /// `SetAside` when a record is 4 GiB or longer.
    pub fn pack_as(form: Form, records: &[Record]) -> Result<Self> {
        let too_long =
            || Error::set_aside("a record of 4 GiB or more cannot be packed into a block");
        let count = u32::try_from(records.len()).map_err(|_| too_long())?;
        let bytes: usize = records
            .iter()
            .map(|r| LENGTHS + r.value.len() + r.key.as_ref().map_or(0, Bytes::len))
            .sum();
        let mut packed = BytesMut::with_capacity(4 + bytes);
        packed.put_u32_le(count);
        for r in records {
            packed.put_u32_le(u32::try_from(r.value.len()).map_err(|_| too_long())?);
            let key = match &r.key {
                Some(k) => {
                    u32::try_from(k.len()).ok().filter(|l| *l != NO_KEY).ok_or_else(too_long)?
                }
                None => NO_KEY,
            };
            packed.put_u32_le(key);
        }
        for r in records {
            if let Some(k) = &r.key {
                packed.put_slice(k);
            }
            packed.put_slice(&r.value);
        }
        Ok(Self { form, packed: packed.freeze() })
    }

    /// Reads a packed block back, checking that its lengths add up.
    ///
    /// # Errors
    /// `Stop` when they do not: the bytes were not written by [`Block::pack`].
    pub fn unpack(form: Form, packed: Bytes) -> Result<Self> {
        let block = Self { form, packed };
        let mut end = 4 + block.len() * LENGTHS;
        for i in 0..block.len() {
            let Some((value, key)) = block.lengths(i) else {
                return Err(Error::stop("a block is shorter than its own table of lengths"));
            };
            end += value + key.unwrap_or(0);
        }
        if block.packed.len() < 4 || end != block.packed.len() {
            return Err(Error::stop(format!(
                "a block of {} bytes says that it is {end} bytes long",
                block.packed.len()
            )));
        }
        Ok(block)
    }

    /// How its records are to be read.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The packed bytes, as [`Block::unpack`] takes them.
    #[must_use]
    pub fn packed(&self) -> &Bytes {
        &self.packed
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.u32_at(0).unwrap_or(0) as usize
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.packed.len().saturating_sub(4 + self.len() * LENGTHS)
    }

    /// The records, in order, sharing this block's bytes.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let mut at = 4 + self.len() * LENGTHS;
        (0..self.len()).filter_map(move |i| {
            let (value, key) = self.lengths(i)?;
            let key = key.map(|k| {
                let bytes = self.packed.slice(at..at + k);
                at += k;
                bytes
            });
            let value = {
                let bytes = self.packed.slice(at..at + value);
                at += value;
                bytes
            };
            Some(Record { key, value })
        })
    }

    fn lengths(&self, i: usize) -> Option<(usize, Option<usize>)> {
        let at = 4 + i * LENGTHS;
        let value = self.u32_at(at)? as usize;
        let key = self.u32_at(at + 4)?;
        Some((value, (key != NO_KEY).then_some(key as usize)))
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let bytes = self.packed.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} records, {} bytes)", self.len(), self.payload_bytes())
    }
}

/// One entry of the queue: a block, or a fact that affects rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The source it is about.
    pub source: Name,
    /// The split it is about.
    pub split: Name,
    /// When it was handed to the queue; views see it as `now()`.
    pub arrival: Timestamp,
    /// Where the split stands after this frame, if that changed.
    pub position: Option<Position>,
    /// What it says.
    pub body: Body,
}

/// What a [`Frame`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Records arrived.
    Block(Block),
    /// The split has had nothing to say for a while: event time need not wait for it.
    Idle,
    /// The split is finished. A later block reopens it as a new generation.
    Ended,
    /// The columns that were inferred for this source, for ever (JSON of [`crate::codec::Columns`]).
    Pin(Bytes),
    /// From here on this is all that a reference table has; `source` is [`TABLES`] and its name. The bytes are the engine's.
    Table(Bytes),
}

/// What stands before the name of a reference table where a frame has its source. No name of a source begins so.
pub const TABLES: &str = "tables.";

impl Frame {
    /// Bytes this frame weighs in buffers and bounds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let body = match &self.body {
            Body::Block(b) => b.packed().len(),
            Body::Pin(b) | Body::Table(b) => b.len(),
            Body::Idle | Body::Ended => 0,
        };
        body + self.source.len()
            + self.split.len()
            + self.position.as_ref().map_or(0, |p| p.0.len())
            + 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_back_its_records() {
        let records = vec![
            Record::new("one"),
            Record { key: Some(Bytes::from_static(b"k")), value: Bytes::from_static(b"") },
            Record { key: Some(Bytes::new()), value: Bytes::from_static(b"three") },
        ];
        let block = Block::pack(&records).unwrap();
        assert_eq!(block.len(), 3);
        assert_eq!(block.payload_bytes(), 9);
        let again = Block::unpack(Form::Arrived, block.packed().clone()).unwrap();
        assert_eq!(again.records().collect::<Vec<_>>(), records);
    }

    #[test]
    fn a_block_cut_anywhere_or_stretched_is_refused() {
        let block = Block::pack(&[Record::new("one"), Record::new("two")]).unwrap();
        for end in 0..block.packed().len() {
            Block::unpack(Form::Arrived, block.packed().slice(..end)).unwrap_err();
        }
        let mut longer = block.packed().to_vec();
        longer.push(0);
        Block::unpack(Form::Arrived, longer.into()).unwrap_err();
        Block::unpack(Form::Arrived, vec![255; 64].into()).unwrap_err();
    }
}
