//! One file of the log: a head that repeats all that must outlive older files, then frames.
//!
//! ```text
//! byte 0            8          12      16       20
//!      magic        version    crc     length   head (postcard, `length` bytes), then frames
//!      "MSTRMLOG"   u32        u32     u32
//! ```
//!
//! `crc` is the CRC-32C of length and head. The head is written and fsynced under another name
//! first, so a file with a segment's name has a whole head, or is corrupt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use millstream_core::disk::{Disk, DiskFile};
use millstream_core::queue::Checkpoint;
use millstream_core::{Error, Result, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::frame::{HEADER, Header};
use super::splits::SplitRow;

const MAGIC: [u8; 8] = *b"MSTRMLOG";
const VERSION: u32 = 1;
const PREFIX: usize = 20;
/// Bytes between two places that a segment remembers.
const MARK_BYTES: u64 = 256 * 1024;

/// What the head of a segment repeats, so that older segments can go and only the last need be scanned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) log: u128,
    pub(crate) incarnation: u32,
    pub(crate) segment: u64,
    pub(crate) first_sequence: u64,
    pub(crate) first_offset: u64,
    /// Length of the segment before this one, which was durable in full when this one began.
    pub(crate) previous_bytes: u64,
    pub(crate) at: Timestamp,
    /// Offset and epoch below which nothing is needed.
    pub(crate) trimmed: (u64, u64),
    pub(crate) chunk_next: u64,
    pub(crate) splits: Vec<SplitRow>,
    pub(crate) checkpoints: Vec<Checkpoint>,
}

impl Head {
    fn encode(&self) -> Result<Vec<u8>> {
        let body = postcard::to_stdvec(self)
            .map_err(|e| Error::stop("cannot encode the head of a segment").because(e))?;
        let length = u32::try_from(body.len())
            .map_err(|_| Error::stop("the head of a segment would be longer than 4 GiB"))?;
        let mut out = Vec::with_capacity(PREFIX + body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), &body);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// Reads the head of an open segment file, and says where its frames begin.
    fn read(path: &Path, file: &dyn DiskFile) -> Result<(Self, u64)> {
        let bytes = file.bytes().map_err(|e| unreadable(path, e))?;
        let mut prefix = [0; PREFIX];
        let got = file.read_at(0, &mut prefix).map_err(|e| unreadable(path, e))?;
        let word = |at: usize| {
            let word = prefix.get(at..at + 4).and_then(|w| w.try_into().ok());
            u32::from_le_bytes(word.unwrap_or_default())
        };
        if got < PREFIX || prefix.get(..8) != Some(&MAGIC[..]) {
            return Err(corrupt(path, 0, "this is not the head of a segment"));
        }
        if word(8) != VERSION {
            return Err(Error::stop(format!(
                "the log is of format {}, and this program reads format {VERSION}",
                word(8)
            ))
            .at(path.display().to_string())
            .fix("use the version of millstream that wrote it, or one that reads both formats"));
        }
        let length = word(16);
        if u64::from(length) + PREFIX as u64 > bytes {
            return Err(corrupt(path, bytes, "the head of the segment is cut off"));
        }
        let mut body = vec![0; length as usize];
        let got = file.read_at(PREFIX as u64, &mut body).map_err(|e| unreadable(path, e))?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), &body);
        if got != body.len() || crc != word(12) {
            return Err(corrupt(path, 0, "the head of the segment does not match its checksum"));
        }
        let head = postcard::from_bytes(&body)
            .map_err(|e| corrupt(path, 0, "the head of the segment cannot be read").because(e))?;
        Ok((head, PREFIX as u64 + u64::from(length)))
    }
}

/// The error for bytes that are not what was written and made durable.
pub(crate) fn corrupt(path: &Path, at: u64, what: &str) -> Error {
    Error::stop(format!("the log is corrupt: {what}")).at(format!("{}:{at}", path.display())).fix(
        "check the disk, then restore the log's folder from a backup; \
         or move the folder away to start a new log: what sinks hold stays, what they have not yet received is lost",
    )
}

pub(crate) fn unreadable(path: &Path, e: std::io::Error) -> Error {
    Error::stop("cannot read the log").at(path.display().to_string()).because(e).fix(
        "check that the folder exists, that this user may read and write it, and the disk's health",
    )
}

pub(crate) fn file_name(segment: u64) -> String {
    format!("{segment:016}.log")
}

/// The id in a segment's file name.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// One open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) first_offset: u64,
    pub(crate) at: Timestamp,
    /// Where its frames begin.
    pub(crate) start: u64,
    /// Where its published frames end.
    bytes: AtomicU64,
    marks: Mutex<Marks>,
}

/// Some places where offsets begin, to start looking from.
#[derive(Debug, Default)]
struct Marks {
    by_offset: BTreeMap<u64, u64>,
    /// Where the last read ended: the next one usually goes on there.
    last: (u64, u64),
}

impl Segment {
    /// Makes the file so that it appears with a whole, durable head, or not at all.
    pub(crate) fn create(disk: &dyn Disk, folder: &Path, head: &Head) -> Result<CreateOutcome> {
        let bytes = head.encode()?;
        let path = folder.join(file_name(head.segment));
        let unborn = path.with_extension("tmp");
        let write = || {
            let file = disk.create(&unborn)?;
            file.write_at(0, &[&bytes])?;
            file.sync_data()?;
            disk.rename(&unborn, &path)?;
            disk.sync_folder(folder)?;
            Ok(file)
        };
        match write() {
            Ok(file) => Ok(Ok(Self::new(path, file, head, bytes.len() as u64, bytes.len() as u64))),
            Err(e) => Ok(Err((unborn, e))),
        }
    }

    /// Opens a file that is there.
    pub(crate) fn open(disk: &dyn Disk, path: PathBuf) -> Result<(Self, Head)> {
        let file = disk.open(&path).map_err(|e| unreadable(&path, e))?;
        let (head, start) = Head::read(&path, &*file)?;
        let bytes = file.bytes().map_err(|e| unreadable(&path, e))?;
        Ok((Self::new(path, file, &head, start, bytes), head))
    }

    fn new(path: PathBuf, file: Arc<dyn DiskFile>, head: &Head, start: u64, bytes: u64) -> Self {
        Self {
            id: head.segment,
            path,
            file,
            first_offset: head.first_offset,
            at: head.at,
            start,
            bytes: AtomicU64::new(bytes),
            marks: Mutex::default(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Frames up to here may be read.
    pub(crate) fn publish(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Release);
    }

    /// Whether it holds no frame yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() == self.start
    }

    /// Remembers that `offset`, or the frame just before it that has none, begins at byte `at`.
    pub(crate) fn mark(&self, offset: u64, at: u64) {
        let mut marks = self.marks.lock();
        marks.last = (offset, at);
        let near = marks.by_offset.range(..=offset).next_back().map_or(self.start, |(_, at)| *at);
        if at >= near + MARK_BYTES {
            marks.by_offset.insert(offset, at);
        }
    }

    /// A place at or before the frame with this offset, and the offset that begins there.
    fn near(&self, offset: u64) -> (u64, u64) {
        let marks = self.marks.lock();
        let known = marks.by_offset.range(..=offset).next_back().map(|(o, at)| (*o, *at));
        let known = known.unwrap_or((self.first_offset, self.start));
        if marks.last.0 <= offset && marks.last.0 > known.0 { marks.last } else { known }
    }

    /// Where the frame with this offset begins, or frames without one just before it.
    pub(crate) fn find(&self, offset: u64) -> Result<u64> {
        let (known, mut at) = self.near(offset);
        if known == offset {
            return Ok(at);
        }
        let mut walk = Walk::new(self, at, 64 * 1024);
        loop {
            let Some(header) = walk.header()? else {
                return Err(corrupt(&self.path, at, &format!("offset {offset} is not in it")));
            };
            if header.segment != self.id || header.offset > offset {
                return Err(corrupt(&self.path, at, "a frame is not where it should be"));
            }
            if header.offset == offset {
                return Ok(at);
            }
            at += header.bytes();
            walk.at = at;
        }
    }
}

/// Made, or the file to sweep away and why.
pub(crate) type CreateOutcome = Result<Segment, (PathBuf, std::io::Error)>;

/// A frame as it lies in a segment.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) header: Header,
    pub(crate) position: Bytes,
    pub(crate) payload: Bytes,
}

/// Goes through a segment frame by frame, reading large chunks whose bytes the frames share.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    /// Where the next frame begins.
    pub(crate) at: u64,
    end: u64,
    chunk: usize,
    buffer: Bytes,
    buffer_at: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(segment: &'a Segment, at: u64, chunk: usize) -> Self {
        Self { segment, at, end: segment.bytes(), chunk, buffer: Bytes::new(), buffer_at: 0 }
    }

    /// Bytes from `at` on, at least `need` of them; `None` if the segment ends before.
    fn bytes(&mut self, need: u64) -> Result<Option<Bytes>> {
        if self.at + need > self.end {
            return Ok(None);
        }
        let have = self.buffer_at + self.buffer.len() as u64;
        if self.at < self.buffer_at || self.at + need > have {
            let want = need.max(self.chunk as u64).min(self.end - self.at);
            let mut buffer = vec![0; usize::try_from(want).unwrap_or(usize::MAX)];
            let file = &self.segment.file;
            let got = file.read_at(self.at, &mut buffer);
            let got = got.map_err(|e| unreadable(&self.segment.path, e))?;
            if (got as u64) < need {
                return Ok(None);
            }
            buffer.truncate(got);
            self.buffer = Bytes::from(buffer);
            self.buffer_at = self.at;
        }
        let skip = usize::try_from(self.at - self.buffer_at).unwrap_or(usize::MAX);
        Ok(Some(self.buffer.slice(skip..)))
    }

    /// The header at `at`, unchecked; `None` if there is none.
    fn header(&mut self) -> Result<Option<Header>> {
        let bytes = self.bytes(HEADER as u64)?;
        Ok(bytes.and_then(|b| Header::decode(&b)).map(|(header, _)| header))
    }

    /// Whether the next frame is already in memory, and its bytes.
    pub(crate) fn at_hand(&self) -> Option<u64> {
        let skip = usize::try_from(self.at.checked_sub(self.buffer_at)?).ok()?;
        let rest = self.buffer.get(skip..)?;
        let (header, _) = Header::decode(rest)?;
        (header.bytes() <= rest.len() as u64).then(|| header.bytes())
    }

    /// Whether it has come to the end of the segment.
    pub(crate) fn ended(&self) -> bool {
        self.at == self.end
    }

    /// The next frame, checked, and steps over it; `None` if what is there is not a whole frame.
    pub(crate) fn next(&mut self, seed: u32) -> Result<Option<Stored>> {
        let Some(header) = self.header()? else { return Ok(None) };
        let Some(bytes) = self.bytes(header.bytes())? else { return Ok(None) };
        let Some((header, position, payload)) = Header::whole(seed, &bytes) else {
            return Ok(None);
        };
        if header.segment != self.segment.id {
            return Ok(None);
        }
        self.at += header.bytes();
        Ok(Some(Stored { header, position: bytes.slice(position), payload: bytes.slice(payload) }))
    }
}
