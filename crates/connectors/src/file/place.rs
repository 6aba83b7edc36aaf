//! Where reading stands in a file, and which file that is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt, MetadataExt};

use millstream_core::record::Position;
use millstream_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What tells a file from all others for as long as it exists, whatever it is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { dev: metadata.dev(), ino: metadata.ino() }
    }
}

/// A digest of some bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Print {
    bytes: u64,
    xxh3: u64,
}

/// How much of a file's beginning, and of what was read last, is remembered to know it again.
const PRINT_BYTES: u64 = 256;

impl Print {
    /// Of the bytes from `from` to `to`; `None` when they are not all there.
    fn of(file: &File, from: u64, to: u64) -> io::Result<Option<Self>> {
        if to - from > PRINT_BYTES {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        match file.read_exact_at(&mut bytes, from) {
            Ok(()) => Ok(Some(Self { bytes: to - from, xxh3: xxhash_rust::xxh3::xxh3_64(&bytes) })),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// When a file was changed, in nanoseconds since 1970.
pub(super) fn changed(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// Whether these bytes, or the last of them, end at `end` in the file.
pub(super) fn ends_at(file: &File, bytes: &[u8], end: u64) -> io::Result<bool> {
    let known = bytes.len().min(usize::try_from(PRINT_BYTES).unwrap_or(0));
    let known = bytes.get(bytes.len() - known..).unwrap_or_default();
    let mut found = vec![0; known.len()];
    match file.read_exact_at(&mut found, end.saturating_sub(known.len() as u64)) {
        Ok(()) => Ok(found == known),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// How several files begin, by the number of bytes that are known of each.
#[derive(Debug, Default)]
pub(super) struct Heads(BTreeMap<u64, BTreeSet<u64>>);

impl Heads {
    /// Those of the files that have been read up to these places.
    pub(super) fn of<'a>(places: impl Iterator<Item = &'a Place>) -> Self {
        let mut heads = Self::default();
        for place in places.filter(|p| p.at > 0) {
            heads.0.entry(place.head.bytes).or_default().insert(place.head.xxh3);
        }
        heads
    }

    /// Whether a file begins like one of them. It is read once, however many they are.
    pub(super) fn begin(&self, file: &File) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let mut from = file.take(PRINT_BYTES);
        io::Seek::rewind(&mut from.get_mut())?;
        from.read_to_end(&mut bytes)?;
        Ok(self.0.iter().any(|(length, prints)| {
            let head = usize::try_from(*length).ok().and_then(|length| bytes.get(..length));
            head.is_some_and(|head| prints.contains(&xxhash_rust::xxh3::xxh3_64(head)))
        }))
    }
}

/// The position of a split: a file, and how much of it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) id: FileId,
    /// Bytes that are read.
    pub(super) at: u64,
    /// The file's first bytes.
    head: Print,
    /// The last bytes before `at`.
    tail: Print,
    /// When it was changed, in nanoseconds since 1970, if it was read as a whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) changed: i64,
    /// Whether the split has been told to have ended here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) ended: bool,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !*b
}

impl Place {
    /// The beginning of a file.
    pub(super) fn begin(id: FileId) -> Self {
        Self { id, ..Self::default() }
    }

    /// The same place in a file with the same bytes.
    pub(super) fn of(&self, id: FileId) -> Self {
        Self { id, ..self.clone() }
    }

    /// The same file further on. A file that has meanwhile become shorter is told by the next [`Place::is_in`].
    pub(super) fn moved(&self, file: &File, at: u64) -> io::Result<Self> {
        let head = if self.head.bytes == PRINT_BYTES {
            Some(self.head)
        } else {
            Print::of(file, 0, at.min(PRINT_BYTES))?
        };
        let tail = Print::of(file, at.saturating_sub(PRINT_BYTES), at)?;
        let unknown = Print { bytes: u64::MAX, xxh3: 0 };
        Ok(Self {
            id: self.id,
            at,
            head: head.unwrap_or(unknown),
            tail: tail.unwrap_or(unknown),
            changed: 0,
            ended: false,
        })
    }

    /// Whether the file holds what was read up to here.
    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        let from = self.at.saturating_sub(PRINT_BYTES);
        let head = Print::of(file, 0, self.head.bytes)? == Some(self.head);
        Ok(self.at == 0 || (head && Print::of(file, from, self.at)? == Some(self.tail)))
    }

    /// Reads a position back.
    ///
    /// # Errors
    /// `Stop` when it is not one of a file.
    pub(super) fn parse(position: &Position) -> Result<Self> {
        serde_json::from_slice(&position.0).map_err(|e| {
            Error::stop("the position kept for a split of this `file` source is not one of a file")
                .because(e)
                .fix("give the source a new name, so that it starts afresh")
        })
    }

    pub(super) fn position(&self) -> Position {
        Position(serde_json::to_vec(self).unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_is_known_again_by_what_was_read_of_it() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'a'; 1000]).unwrap();
        let begin = Place::begin(FileId::of(&file.metadata().unwrap()));
        assert!(begin.is_in(&file).unwrap());
        for at in [1, 255, 256, 257, 1000] {
            let place = begin.moved(&file, at).unwrap();
            assert!(place.is_in(&file).unwrap());
            assert_eq!(Place::parse(&place.position()).unwrap(), place);
        }
        let place = begin.moved(&file, 900).unwrap();
        file.write_all(b"more").unwrap();
        assert!(place.is_in(&file).unwrap());
        file.write_at(b"b", 899).unwrap();
        assert!(!place.is_in(&file).unwrap());
        file.write_at(b"a", 899).unwrap();
        file.write_at(b"b", 0).unwrap();
        assert!(!place.is_in(&file).unwrap());
        file.set_len(500).unwrap();
        assert!(!place.is_in(&file).unwrap());
    }
}
