//! Side streams: dead letters and outboxes, in files of their own beside the log.
//!
//! ```text
//! sides/<name, `/` as `~`>@<number of the first entry>.side
//!
//! entry:  crc u32 | length u32 | number u64 | bytes
//! ```
//!
//! `crc` is the CRC-32C of what follows it, begun from the CRCs of the log's id and the stream's
//! name. Files have no head: a checkpoint says which entries count, the rest is cut when the log is opened.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use millstream_core::Result;
use millstream_core::disk::{Disk, DiskFile};
use millstream_core::queue::SideExtent;
use parking_lot::Mutex;

use super::segment::{corrupt, unreadable};

const HEADER: usize = 16;
/// A file is closed and a new one begun at about this length: the unit in which space is freed.
const FILE_BYTES: u64 = 16 << 20;
/// Bytes between two entries whose place is remembered; also the least that is read at once.
const MARK_BYTES: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Side {
    name: String,
    seed: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    extent: SideExtent,
    files: VecDeque<Arc<File>>,
    /// Entries below are durable.
    synced: u64,
    /// A file was created since its folder was last synced.
    created: bool,
}

#[derive(Debug)]
struct File {
    first: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    bytes: AtomicU64,
    marks: Mutex<Vec<(u64, u64)>>,
}

impl File {
    fn new(first: u64, path: PathBuf, file: Arc<dyn DiskFile>) -> Self {
        Self { first, path, file, bytes: AtomicU64::new(0), marks: Mutex::default() }
    }

    fn mark(&self, number: u64, at: u64) {
        let mut marks = self.marks.lock();
        if marks.last().is_none_or(|(_, last)| at >= last + MARK_BYTES) {
            marks.push((number, at));
        }
    }

    fn near(&self, number: u64) -> (u64, u64) {
        let marks = self.marks.lock();
        let known = marks.partition_point(|(n, _)| *n <= number);
        known.checked_sub(1).and_then(|i| marks.get(i)).copied().unwrap_or((self.first, 0))
    }
}

/// `sides/` of a log's folder.
pub(crate) fn folder(log: &Path) -> PathBuf {
    log.join("sides")
}

fn file_name(name: &str, first: u64) -> String {
    format!("{}@{first:020}.side", name.replace('/', "~"))
}

/// The stream and the first entry that a file's name says.
pub(crate) fn of_file_name(file: &str) -> Option<(String, u64)> {
    let (name, first) = file.strip_suffix(".side")?.rsplit_once('@')?;
    Some((name.replace('~', "/"), first.parse().ok()?))
}

fn encode(seed: u32, number: u64, entry: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes();
    let number = number.to_le_bytes();
    let mut crc = crc32c::crc32c_append(seed, &length);
    crc = crc32c::crc32c_append(crc, &number);
    crc = crc32c::crc32c_append(crc, entry);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(&number);
    out.extend_from_slice(entry);
}

/// The entry at the start of `bytes` if it is this one, whole.
fn decode(seed: u32, number: u64, bytes: &Bytes) -> Option<Bytes> {
    let (crc, checked) = (bytes.get(..4)?, bytes.get(4..)?);
    let length = checked.get(..4)?.try_into().ok().map(u32::from_le_bytes)? as usize;
    if checked.get(4..12)? != number.to_le_bytes() {
        return None;
    }
    let whole = checked.get(..length.checked_add(12)?)?;
    (crc32c::crc32c_append(seed, whole).to_le_bytes() == crc)
        .then(|| bytes.slice(HEADER..HEADER + length))
}

/// Goes through a file entry by entry.
struct Walk<'a> {
    side: &'a Side,
    file: &'a File,
    number: u64,
    at: u64,
    buffer: Bytes,
    chunk: u64,
}

impl Walk<'_> {
    /// The next entry, or `None` if what is there is not it.
    fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(entry) = decode(self.side.seed, self.number, &self.buffer) {
                self.file.mark(self.number, self.at);
                self.number += 1;
                self.at += (HEADER + entry.len()) as u64;
                self.buffer.advance(HEADER + entry.len());
                return Ok(Some(entry));
            }
            // Not whole in the buffer: read as much as its length asks for.
            let said =
                self.buffer.get(4..8).and_then(|l| l.try_into().ok()).map(u32::from_le_bytes);
            let need = HEADER as u64 + said.map_or(0, u64::from);
            let have = self.buffer.len() as u64;
            let left = self.file.bytes.load(Ordering::Acquire).saturating_sub(self.at);
            if (said.is_some() && have >= need) || have >= left || left < need {
                return Ok(None);
            }
            let want = need.max(self.chunk).min(left);
            let mut buffer = vec![0; usize::try_from(want).unwrap_or(usize::MAX)];
            let got = self.file.file.read_at(self.at, &mut buffer);
            let got = got.map_err(|e| unreadable(&self.file.path, e))?;
            if got as u64 <= have {
                return Ok(None);
            }
            buffer.truncate(got);
            self.buffer = Bytes::from(buffer);
        }
    }
}

impl Side {
    pub(crate) fn new(name: &str, log_seed: u32) -> Self {
        let seed = crc32c::crc32c_append(log_seed, name.as_bytes());
        Self { name: name.to_owned(), seed, state: Mutex::default() }
    }

    /// Opens what a checkpoint says there is, and cuts what lies beyond it.
    pub(crate) fn open(
        name: &str,
        log_seed: u32,
        extent: SideExtent,
        disk: &dyn Disk,
        log: &Path,
        mut firsts: Vec<u64>,
    ) -> Result<Self> {
        let side = Self::new(name, log_seed);
        let folder = folder(log);
        let path = |first: u64| folder.join(file_name(name, first));
        firsts.sort_unstable();
        let kept = if extent.first == extent.end {
            firsts.len()
        } else {
            firsts.partition_point(|f| *f <= extent.first).saturating_sub(1)
        };
        let beyond = firsts.partition_point(|f| *f < extent.end);
        for (i, first) in firsts.iter().enumerate() {
            if i < kept || i >= beyond {
                disk.remove(&path(*first)).map_err(|e| unreadable(&path(*first), e))?;
            }
        }
        let mut number = None;
        let mut files = VecDeque::new();
        for first in firsts.get(kept..beyond.max(kept)).unwrap_or_default() {
            let path = path(*first);
            if number.is_some_and(|n| n != *first) || *first > extent.first && number.is_none() {
                break;
            }
            let handle = disk.open(&path).map_err(|e| unreadable(&path, e))?;
            let bytes = handle.bytes().map_err(|e| unreadable(&path, e))?;
            let file = File::new(*first, path, handle);
            file.bytes.store(bytes, Ordering::Release);
            number = Some(side.scan(&file, extent.end)?);
            files.push_back(Arc::new(file));
        }
        if extent.first < extent.end && number != Some(extent.end) {
            let at = number.map_or(extent.first, |n| n.max(extent.first));
            let place = files.back().map_or_else(|| path(at), |f| f.path.clone());
            let byte = files.back().map_or(0, |f| f.bytes.load(Ordering::Acquire));
            return Err(corrupt(
                &place,
                byte,
                &format!("entry {at} of `{name}`, which the last checkpoint counts, is not there"),
            ));
        }
        *side.state.lock() = State { extent, files, synced: extent.end, created: false };
        Ok(side)
    }

    /// Checks entries up to `end`, cuts the file there, and says which entry would come next.
    fn scan(&self, file: &File, end: u64) -> Result<u64> {
        let chunk = 1 << 20;
        let mut walk =
            Walk { side: self, file, number: file.first, at: 0, buffer: Bytes::new(), chunk };
        while walk.number < end && walk.next()?.is_some() {}
        let (number, at) = (walk.number, walk.at);
        if number == end && at < file.bytes.load(Ordering::Acquire) {
            let cut = file.file.truncate(at).and_then(|()| file.file.sync_data());
            cut.map_err(|e| unreadable(&file.path, e))?;
        }
        file.bytes.store(at, Ordering::Release);
        Ok(number)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn extent(&self) -> SideExtent {
        self.state.lock().extent
    }

    /// Bytes on the disk, of entries already trimmed too.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.state.lock().files.iter().map(|f| f.bytes.load(Ordering::Acquire)).sum()
    }

    /// Bytes of the entries it has, to within a file.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state.lock();
        if state.extent.first == state.extent.end {
            return 0;
        }
        let past = state.files.partition_point(|f| f.first <= state.extent.first).saturating_sub(1);
        state.files.range(past..).map(|f| f.bytes.load(Ordering::Acquire)).sum()
    }

    /// Bytes that these entries take.
    pub(crate) fn weight(entries: &[Bytes]) -> u64 {
        entries.iter().map(|e| (HEADER + e.len()) as u64).sum()
    }

    /// Adds entries; when that fails, nothing was added. Only the writer calls this.
    pub(crate) fn append(
        &self,
        disk: &dyn Disk,
        log: &Path,
        entries: &[Bytes],
    ) -> std::io::Result<u64> {
        let need = Self::weight(entries);
        let (end, last) = {
            let state = self.state.lock();
            (state.extent.end, state.files.back().cloned())
        };
        let fits = |f: &Arc<File>| {
            let bytes = f.bytes.load(Ordering::Acquire);
            bytes == 0 || bytes + need <= FILE_BYTES
        };
        let (file, fresh) = match last.filter(fits) {
            Some(file) => (file, false),
            None => {
                let path = folder(log).join(file_name(&self.name, end));
                let handle = disk.create(&path)?;
                (Arc::new(File::new(end, path, handle)), true)
            }
        };
        let at = file.bytes.load(Ordering::Acquire);
        let mut bytes = Vec::with_capacity(usize::try_from(need).unwrap_or(0));
        for (number, entry) in (end..).zip(entries) {
            file.mark(number, at + bytes.len() as u64);
            encode(self.seed, number, entry, &mut bytes);
        }
        if let Err(e) = file.file.write_at(at, &[&bytes]) {
            file.file.truncate(at)?;
            if fresh {
                disk.remove(&file.path)?;
            }
            return Err(e);
        }
        file.bytes.store(at + need, Ordering::Release);
        let mut state = self.state.lock();
        state.extent.end += entries.len() as u64;
        if fresh {
            state.files.push_back(file);
            state.created = true;
        }
        Ok(end)
    }

    /// Makes every entry durable. Only the writer calls this.
    pub(crate) fn sync(&self, disk: &dyn Disk, log: &Path) -> std::io::Result<()> {
        let (end, synced, created, files) = {
            let state = self.state.lock();
            (state.extent.end, state.synced, state.created, state.files.clone())
        };
        if synced == end && !created {
            return Ok(());
        }
        let from = files.partition_point(|f| f.first <= synced).saturating_sub(1);
        for file in files.range(from..) {
            file.file.sync_data()?;
        }
        if created {
            disk.sync_folder(&folder(log))?;
        }
        let mut state = self.state.lock();
        state.synced = end;
        state.created = false;
        Ok(())
    }

    /// Forgets entries below `before`; their bytes stay until a commit has named that.
    pub(crate) fn trim(&self, before: u64) {
        let mut state = self.state.lock();
        let end = state.extent.end;
        state.extent.first = state.extent.first.max(before.min(end));
    }

    /// A durable checkpoint names this extent: files wholly below it can go.
    pub(crate) fn committed(&self, disk: &dyn Disk, extent: SideExtent) -> std::io::Result<()> {
        loop {
            let path = {
                let mut state = self.state.lock();
                let spent = match state.files.get(1) {
                    Some(next) => next.first <= extent.first,
                    None => extent.first == state.extent.end && !state.files.is_empty(),
                };
                if !spent {
                    return Ok(());
                }
                state.files.pop_front().map(|f| f.path.clone())
            };
            if let Some(path) = path {
                disk.remove(&path)?;
            }
        }
    }

    pub(crate) fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<(u64, Bytes)>> {
        let (from, end, file) = {
            let state = self.state.lock();
            let from = from.max(state.extent.first);
            let next = state.files.partition_point(|f| f.first <= from);
            (from, state.extent.end, next.checked_sub(1).and_then(|i| state.files.get(i)).cloned())
        };
        let Some(file) = file.filter(|_| from < end) else { return Ok(Vec::new()) };
        let (number, at) = file.near(from);
        let chunk = (bytes_max as u64).clamp(MARK_BYTES, 1 << 20);
        let mut walk = Walk { side: self, file: &file, number, at, buffer: Bytes::new(), chunk };
        let mut entries = Vec::new();
        let mut bytes = 0;
        while walk.number < end && walk.at < file.bytes.load(Ordering::Acquire) {
            let number = walk.number;
            let Some(entry) = walk.next()? else {
                let what = format!("entry {number} of `{}` is damaged", self.name);
                return Err(corrupt(&file.path, walk.at, &what));
            };
            if number < from {
                continue;
            }
            if !entries.is_empty() && bytes + entry.len() > bytes_max {
                break;
            }
            bytes += entry.len();
            entries.push((number, entry));
        }
        Ok(entries)
    }
}
