//! The byte layout of a spool.
//!
//! ```text
//! spool = frame*
//! frame = kind: u8 | length: u32 | CRC-32C of kind, length and payload: u32 | payload     (little-endian)
//!
//! kind  payload
//! 1     head, first and once: JSON of `Head`
//! 2     rows: text as it will stand in the file, or an Arrow IPC stream
//! 3     mark: JSON of `Marked`; all rows before it are held
//! 4     rolling: the name of the file that the rows before it have become
//! ```
//!
//! A frame that is cut short or does not match its CRC ends the spool: it is torn, and was never flushed. Unless a
//! whole mark stands behind it with more bytes behind that: bytes follow a mark only once it and all before it
//! were synced, so that the frame is damaged, and is not cut.

use std::io::{self, Read};

use millstream_core::Timestamp;
use millstream_core::queue::Mark;
use serde::{Deserialize, Serialize};

use super::Format;

pub(super) const HEADER: usize = 9;

/// The layout that this version writes.
pub(super) const VERSION: u32 = 1;

pub(super) const HEAD: u8 = 1;
pub(super) const ROWS: u8 = 2;
pub(super) const MARK: u8 = 3;
pub(super) const ROLLING: u8 = 4;

/// What a spool begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Of this layout: 1.
    pub(super) version: u32,
    /// The least number for the file that it will become.
    pub(super) number: u64,
    /// What is held before the first row.
    pub(super) held: Option<Mark>,
    /// How rows are written.
    pub(super) format: Format,
    /// Names and types of the rows' columns.
    pub(super) columns: Vec<(String, String)>,
    /// What stands in a file's name before its number.
    pub(super) before: String,
    /// And after it.
    pub(super) after: String,
}

impl Head {
    /// Whether rows of the other could stand in the same file.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let what = |head: &Self| (head.format, head.before.clone(), head.after.clone());
        what(self) == what(other) && self.columns == other.columns
    }

    /// The name of a file.
    pub(super) fn name_of(&self, number: u64) -> String {
        format!("{}{number:08}{}", self.before, self.after)
    }

    /// The number of a file of such a name.
    pub(super) fn number_of(&self, name: &str) -> Option<u64> {
        name.strip_prefix(&self.before)?.strip_suffix(&self.after)?.parse().ok()
    }
}

/// The end of a flushed epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marked {
    /// What is held up to here.
    pub(super) mark: Mark,
    /// When the first row of the spool was flushed.
    pub(super) since: Timestamp,
}

/// Packs a frame.
pub(super) fn frame(kind: u8, payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len())
        .map_err(|_| io::Error::other("a frame of the spool would be 4 GiB or longer"))?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc(kind, length, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

pub(super) fn crc(kind: u8, length: u32, payload: &[u8]) -> u32 {
    let before = crc32c::crc32c_append(crc32c::crc32c(&[kind]), &length.to_le_bytes());
    crc32c::crc32c_append(before, payload)
}

/// Reads frames up to the first that is not whole.
pub(super) struct Frames {
    from: Box<dyn Read>,
    /// Where the next frame begins.
    pub(super) at: u64,
    /// Whether it ended at a frame that is not whole.
    pub(super) torn: bool,
}

impl Frames {
    pub(super) fn of(from: Box<dyn Read>) -> Self {
        Self { from, at: 0, torn: false }
    }

    /// The next frame, or `None` at the end of what is whole.
    pub(super) fn next(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let mut header = [0; HEADER];
        if !fill(&mut self.from, &mut header)? {
            return Ok(None);
        }
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let mut payload = Vec::new();
        // Grows with what is there, whatever a torn length says.
        (&mut self.from).take(length.into()).read_to_end(&mut payload)?;
        let whole = payload.len() == length as usize
            && crc(kind, length, &payload) == u32::from_le_bytes([c0, c1, c2, c3]);
        if !whole {
            self.torn = true;
            return Ok(None);
        }
        self.at += HEADER as u64 + u64::from(length);
        Ok(Some((kind, payload)))
    }
}

fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
