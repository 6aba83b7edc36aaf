//! One frame as an entry of the stream, byte by byte.
//!
//! ```text
//! byte  0      4      5       6          8          10     12         16        24
//!       crc    kind   flags   source     split      zero   position   arrival   source, split, position, body
//!       u32    u8     u8      u16        u16        u16    u32        i64
//! ```
//!
//! All integers are little-endian; `source`, `split` and `position` are lengths. `crc` is the CRC-32C of
//! everything after it, begun from the CRC of the log's id: an entry of another queue is none of this one.

use bytes::{Buf, Bytes};
use millstream_core::queue::LogId;
use millstream_core::record::{Block, Body, Form, Frame, Name, Offset, Position};
use millstream_core::{Error, Result, Timestamp};

const HEADER: usize = 24;
/// Has a position, which may be empty.
const POSITION: u8 = 1;
/// The records are bare rows.
const ROWS: u8 = 2;
/// No entry is longer: Redis takes 512 MiB (`proto-max-bulk-len`).
pub(crate) const ENTRY_BYTES_MAX: usize = 256 << 20;

/// The CRC that all CRCs of this log begin from.
pub(crate) fn seed(log: LogId) -> u32 {
    crc32c::crc32c(&log.0.to_le_bytes())
}

/// A frame, ready to be sent. The body is the frame's own.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Bytes,
    pub(crate) crc: u32,
}

impl Entry {
    pub(crate) fn of(seed: u32, frame: &Frame) -> Result<Self> {
        let (kind, mut flags, body) = match &frame.body {
            Body::Block(block) => {
                let flags = if block.form() == Form::Rows { ROWS } else { 0 };
                (1u8, flags, block.packed().clone())
            }
            Body::Idle => (2, 0, Bytes::new()),
            Body::Ended => (3, 0, Bytes::new()),
            Body::Pin(json) => (4, 0, json.clone()),
            Body::Table(rows) => (5, 0, rows.clone()),
        };
        let too_long = |what: &str| {
            Error::set_aside(format!("{what} of `{}` is too long for the queue", frame.source))
        };
        let position = frame.position.as_ref().map_or(&[][..], |p| &p.0);
        if frame.position.is_some() {
            flags |= POSITION;
        }
        let (source, split) = (frame.source.as_bytes(), frame.split.as_bytes());
        let length = |bytes: &[u8], what| u16::try_from(bytes.len()).map_err(|_| too_long(what));
        let mut head = Vec::with_capacity(HEADER + source.len() + split.len() + position.len());
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&[kind, flags]);
        head.extend_from_slice(&length(source, "the name")?.to_le_bytes());
        head.extend_from_slice(&length(split, "a split's name")?.to_le_bytes());
        head.extend_from_slice(&[0; 2]);
        let positions = u32::try_from(position.len()).map_err(|_| too_long("a position"))?;
        head.extend_from_slice(&positions.to_le_bytes());
        head.extend_from_slice(&frame.arrival.0.to_le_bytes());
        head.extend_from_slice(source);
        head.extend_from_slice(split);
        head.extend_from_slice(position);
        if head.len() + body.len() > ENTRY_BYTES_MAX {
            return Err(too_long("a frame"));
        }
        let crc = crc32c::crc32c_append(seed, head.get(4..).unwrap_or_default());
        let crc = crc32c::crc32c_append(crc, &body);
        if let Some(place) = head.first_chunk_mut() {
            *place = crc.to_le_bytes();
        }
        Ok(Self { head, body, crc })
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// The frame and its CRC.
pub(crate) fn decode(seed: u32, offset: Offset, bytes: &Bytes) -> Result<(Frame, u32)> {
    let spoilt = |why: &str| {
        Error::stop(format!("the frame at offset {offset} is spoilt: {why}")).fix(
            "something else wrote to this queue's keys, or the server's memory failed: \
             restore them from a backup, or point `queue` to a fresh `prefix`",
        )
    };
    let short = || spoilt("it is shorter than its header");
    let crc = bytes.first_chunk().map(|b| u32::from_le_bytes(*b)).ok_or_else(short)?;
    let checked = bytes.get(4..).unwrap_or_default();
    if crc32c::crc32c_append(seed, checked) != crc {
        return Err(spoilt("it does not match its checksum"));
    }
    if bytes.len() < HEADER {
        return Err(short());
    }
    let mut rest = bytes.slice(4..);
    let (kind, flags) = (rest.get_u8(), rest.get_u8());
    let (source, split) = (usize::from(rest.get_u16_le()), usize::from(rest.get_u16_le()));
    rest.advance(2);
    let position = rest.get_u32_le() as usize;
    let arrival = Timestamp(rest.get_i64_le());
    if rest.len() < source + split + position {
        return Err(spoilt("its lengths do not add up"));
    }
    let name = |bytes: Bytes| match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Name::from(text)),
        Err(_) => Err(spoilt("a name is not UTF-8")),
    };
    let source = name(rest.split_to(source))?;
    let split = name(rest.split_to(split))?;
    let position = rest.split_to(position);
    let body = match kind {
        1 => {
            let form = if flags & ROWS == 0 { Form::Arrived } else { Form::Rows };
            Body::Block(Block::unpack(form, rest)?)
        }
        2 => Body::Idle,
        3 => Body::Ended,
        4 => Body::Pin(rest),
        5 => Body::Table(rest),
        _ => return Err(spoilt(&format!("kind {kind} is not known to this version"))),
    };
    // A position is kept for long; it shall not keep the whole block with it.
    let position = (flags & POSITION != 0).then(|| Position(Bytes::copy_from_slice(&position)));
    Ok((Frame { source, split, arrival, position, body }, crc))
}

#[cfg(test)]
mod tests {
    use millstream_core::Remedy;
    use millstream_core::record::Record;

    use super::*;

    fn frame() -> Frame {
        Frame {
            source: "source".into(),
            split: "split/ü".into(),
            arrival: Timestamp(-7),
            position: Some(Position::default()),
            body: Body::Block(Block::pack_as(Form::Rows, &[Record::new("one")]).unwrap()),
        }
    }

    fn bytes(entry: &Entry) -> Vec<u8> {
        [&entry.head[..], &entry.body[..]].concat()
    }

    #[test]
    fn a_flipped_bit_anywhere_and_a_cut_anywhere_are_noticed() {
        let seed = seed(LogId(5));
        let entry = Entry::of(seed, &frame()).unwrap();
        let good = bytes(&entry);
        let (read, crc) = decode(seed, Offset(3), &good.clone().into()).unwrap();
        assert_eq!((read, crc), (frame(), entry.crc));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            let e = decode(seed, Offset(3), &bad.into()).unwrap_err();
            assert_eq!(e.remedy(), Remedy::Stop);
            assert!(e.what().contains("offset 3"), "{e}");
            decode(seed, Offset(3), &good[..at].to_vec().into()).unwrap_err();
        }
        decode(super::seed(LogId(6)), Offset(3), &good.into()).unwrap_err();
    }

    #[test]
    fn the_layout_is_the_one_that_is_documented() {
        let entry = Entry::of(0, &frame()).unwrap();
        let expected =
            [1, 3, 6, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0xf9, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(entry.head[4..24], expected);
        assert_eq!(&entry.head[24..], "sourcesplit/ü".as_bytes());
    }
}
