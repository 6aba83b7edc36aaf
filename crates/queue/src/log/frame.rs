//! One frame, byte by byte.
//!
//! ```text
//! byte  0      4      8        12         16        24         32       40             48
//!       magic  crc    length   position   segment   sequence   offset   durable upto   arrival
//!       u32    u32    u32      u32        u64       u64        u64      u64            i64
//! byte 56      60     61      62          64
//!       split  kind   flags   zero        position bytes, then payload
//!       u32    u8     u8      u16         `length` bytes in all
//! ```
//!
//! All integers are little-endian. `crc` is the CRC-32C of everything after it, begun from the CRC of
//! the log's id: bytes of another log are never taken for a frame of this one.

use std::ops::Range;

use bytes::Bytes;
use millstream_core::disk::DiskFile;

pub(crate) const HEADER: usize = 64;
pub(crate) const MAGIC: [u8; 4] = *b"MSf1";
/// Smaller payloads are copied beside their header; a part of its own costs more than the copy.
const COPIED_MAX: usize = 4096;

/// What a frame is. Kinds below 16 affect rows and have an offset of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Idle,
    Ended,
    Pin,
    Table,
    /// A split appears for the first time: its id is in the header, its names in the payload.
    Split,
    Checkpoint,
    /// Frames and checkpoints below the payload's offset and epoch are needed by nobody.
    Trim,
    /// Closed in good order: all before it is durable.
    Closed,
}

impl Kind {
    const ALL: [(u8, Self); 9] = [
        (1, Self::Block),
        (2, Self::Idle),
        (3, Self::Ended),
        (4, Self::Pin),
        (5, Self::Table),
        (16, Self::Split),
        (17, Self::Checkpoint),
        (18, Self::Trim),
        (19, Self::Closed),
    ];

    fn of(code: u8) -> Option<Self> {
        Self::ALL.iter().find(|(c, _)| *c == code).map(|(_, k)| *k)
    }

    fn code(self) -> u8 {
        match self {
            Self::Block => 1,
            Self::Idle => 2,
            Self::Ended => 3,
            Self::Pin => 4,
            Self::Table => 5,
            Self::Split => 16,
            Self::Checkpoint => 17,
            Self::Trim => 18,
            Self::Closed => 19,
        }
    }

    pub(crate) fn has_offset(self) -> bool {
        self.code() < 16
    }
}

/// The next frame belongs to the same append: all of them are stored, or none.
pub(crate) const MORE: u8 = 1;
/// The split's position changed (it may be empty and still be one).
pub(crate) const POSITION: u8 = 2;
/// The block's records are bare rows (`Form::Rows`).
pub(crate) const ROWS: u8 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of position and payload.
    pub(crate) length: u32,
    pub(crate) position: u32,
    pub(crate) segment: u64,
    pub(crate) sequence: u64,
    /// Its own offset; for kinds that have none, the next one to be given.
    pub(crate) offset: u64,
    pub(crate) durable_upto: u64,
    pub(crate) arrival: i64,
    pub(crate) split: u32,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
}

impl Header {
    /// Bytes of the whole frame.
    pub(crate) fn bytes(&self) -> u64 {
        HEADER as u64 + u64::from(self.length)
    }

    fn encode(&self, seed: u32, position: &[u8], payload: &[u8]) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(place) = out.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
            at += bytes.len();
        };
        put(&MAGIC);
        put(&[0; 4]);
        put(&self.length.to_le_bytes());
        put(&self.position.to_le_bytes());
        put(&self.segment.to_le_bytes());
        put(&self.sequence.to_le_bytes());
        put(&self.offset.to_le_bytes());
        put(&self.durable_upto.to_le_bytes());
        put(&self.arrival.to_le_bytes());
        put(&self.split.to_le_bytes());
        put(&[self.kind.code(), self.flags, 0, 0]);
        let (_, checked) = out.split_at(8);
        let mut crc = crc32c::crc32c_append(seed, checked);
        crc = crc32c::crc32c_append(crc, position);
        crc = crc32c::crc32c_append(crc, payload);
        if let Some(place) = out.get_mut(4..8) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        out
    }

    /// Reads a header and its CRC; `None` if these bytes cannot be one. The CRC is not checked here.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, u32)> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        if bytes.get(..4)? != MAGIC {
            return None;
        }
        let header = Self {
            length: u32_at(8)?,
            position: u32_at(12)?,
            segment: u64_at(16)?,
            sequence: u64_at(24)?,
            offset: u64_at(32)?,
            durable_upto: u64_at(40)?,
            arrival: i64::from_le_bytes(bytes.get(48..56)?.try_into().ok()?),
            split: u32_at(56)?,
            kind: Kind::of(*bytes.get(60)?)?,
            flags: *bytes.get(61)?,
        };
        (header.position <= header.length).then_some((header, u32_at(4)?))
    }

    /// Reads the whole frame at the start of `bytes`, checking its CRC.
    pub(crate) fn whole(seed: u32, bytes: &[u8]) -> Option<(Self, Range<usize>, Range<usize>)> {
        let (header, crc) = Self::decode(bytes)?;
        let end = HEADER.checked_add(header.length as usize)?;
        if crc32c::crc32c_append(seed, bytes.get(8..end)?) != crc {
            return None;
        }
        let payload = HEADER + header.position as usize;
        Some((header, HEADER..payload, payload..end))
    }
}

/// The CRC that every CRC of this log begins from.
pub(crate) fn seed(log: u128) -> u32 {
    crc32c::crc32c(&log.to_le_bytes())
}

/// Frames encoded and not yet written: headers and small payloads in one buffer, large ones shared.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    arena: Vec<u8>,
    parts: Vec<Part>,
    bytes: u64,
}

#[derive(Debug)]
enum Part {
    Arena(Range<usize>),
    Shared(Bytes),
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.arena.clear();
        self.parts.clear();
        self.bytes = 0;
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a frame; `header.length` and `header.position` are set here.
    pub(crate) fn put(&mut self, seed: u32, mut header: Header, position: &[u8], payload: &Bytes) {
        header.position = u32::try_from(position.len()).unwrap_or(u32::MAX);
        header.length = u32::try_from(position.len() + payload.len()).unwrap_or(u32::MAX);
        assert!(header.length < u32::MAX, "frames of 4 GiB are refused before they are encoded");
        let start = self.arena.len();
        self.arena.extend_from_slice(&header.encode(seed, position, payload));
        self.arena.extend_from_slice(position);
        let shared = payload.len() > COPIED_MAX;
        if !shared {
            self.arena.extend_from_slice(payload);
        }
        match self.parts.last_mut() {
            Some(Part::Arena(last)) if last.end == start => last.end = self.arena.len(),
            _ => self.parts.push(Part::Arena(start..self.arena.len())),
        }
        if shared {
            self.parts.push(Part::Shared(payload.clone()));
        }
        self.bytes += header.bytes();
    }

    /// Writes all of it at `at`, in one call.
    pub(crate) fn write(&self, file: &dyn DiskFile, at: u64) -> std::io::Result<()> {
        let parts: Vec<&[u8]> = self
            .parts
            .iter()
            .map(|p| match p {
                Part::Arena(range) => self.arena.get(range.clone()).unwrap_or_default(),
                Part::Shared(bytes) => bytes,
            })
            .collect();
        file.write_at(at, &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_with_any_bit_flipped_is_no_frame() {
        let header = Header {
            length: 0,
            position: 0,
            segment: 3,
            sequence: 7,
            offset: 5,
            durable_upto: 6,
            arrival: -1,
            split: 2,
            kind: Kind::Block,
            flags: POSITION,
        };
        let payload = Bytes::from_static(b"payload");
        let mut batch = Batch::default();
        batch.put(9, header, b"pos", &payload);
        let mut bytes = batch.arena.clone();
        let (read, position, body) = Header::whole(9, &bytes).unwrap();
        assert_eq!((&bytes[position], &bytes[body]), (&b"pos"[..], &b"payload"[..]));
        assert_eq!(Header { length: 0, position: 0, ..read }, header);
        assert!(Header::whole(10, &bytes).is_none(), "a frame of another log");
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::whole(9, &bytes).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
