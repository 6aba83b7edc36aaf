//! Chunks of operator state: files beside the log, written once, named by checkpoints.
//!
//! `chunks/<id in 16 hexadecimal digits>` holds the bare bytes; length and CRC are in the checkpoint.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use millstream_core::Result;
use millstream_core::disk::Disk;
use millstream_core::queue::{Checkpoint, ChunkRef};

use super::segment::{corrupt, unreadable};

/// Which chunks there are.
#[derive(Debug, Default)]
pub(crate) struct ChunkTable {
    /// The next id: never one that was given before.
    pub(crate) next: u64,
    live: BTreeMap<u64, Chunk>,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    bytes: u64,
    synced: bool,
}

/// `chunks/` of a log's folder.
pub(crate) fn folder(log: &Path) -> PathBuf {
    log.join("chunks")
}

fn path(log: &Path, id: u64) -> PathBuf {
    folder(log).join(format!("{id:016x}"))
}

/// The id that a file's name says.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok())?
}

/// Writes a chunk; when that fails, nothing is left of it.
pub(crate) fn write(disk: &dyn Disk, log: &Path, id: u64, bytes: &[u8]) -> io::Result<()> {
    let path = path(log, id);
    let written = disk.create(&path).and_then(|f| f.write_at(0, &[bytes]));
    if written.is_err() && disk.open(&path).is_ok() {
        disk.remove(&path)?;
    }
    written
}

/// Reads a chunk, checking that it is what was stored.
pub(crate) fn read(disk: &dyn Disk, log: &Path, chunk: &ChunkRef) -> Result<Bytes> {
    let path = path(log, chunk.id);
    let file = disk.open(&path).map_err(|e| unreadable(&path, e))?;
    let mut bytes = vec![0; usize::try_from(chunk.bytes).unwrap_or(usize::MAX)];
    let got = file.read_at(0, &mut bytes).map_err(|e| unreadable(&path, e))?;
    let long = file.bytes().map_err(|e| unreadable(&path, e))?;
    if got as u64 != chunk.bytes || long != chunk.bytes || crc32c::crc32c(&bytes) != chunk.crc {
        let what = format!("state `{}` of `{}` is not what was stored", chunk.key, chunk.operator);
        return Err(corrupt(&path, 0, &what));
    }
    Ok(bytes.into())
}

impl ChunkTable {
    /// Sweeps files that no kept checkpoint names, and checks that all that are named are there.
    pub(crate) fn open<'a>(
        disk: &dyn Disk,
        log: &Path,
        next: u64,
        kept: impl Iterator<Item = &'a Checkpoint>,
    ) -> Result<Self> {
        let folder = folder(log);
        let names = disk.list(&folder).map_err(|e| unreadable(&folder, e))?;
        let mut table = Self { next, live: BTreeMap::new() };
        for chunk in kept.flat_map(|c| &c.chunks) {
            table.next = table.next.max(chunk.id + 1);
            let path = path(log, chunk.id);
            let file = disk.open(&path).map_err(|e| {
                let what = format!("state `{}` of `{}` is gone", chunk.key, chunk.operator);
                corrupt(&path, 0, &what).because(e)
            })?;
            let bytes = file.bytes().map_err(|e| unreadable(&path, e))?;
            if bytes != chunk.bytes {
                let what = format!("state `{}` of `{}` is cut off", chunk.key, chunk.operator);
                return Err(corrupt(&path, bytes, &what));
            }
            table.live.insert(chunk.id, Chunk { bytes, synced: true });
        }
        for id in names.iter().filter_map(|n| id_of(n)) {
            table.next = table.next.max(id + 1);
            if !table.live.contains_key(&id) {
                let path = path(log, id);
                disk.remove(&path).map_err(|e| unreadable(&path, e))?;
            }
        }
        Ok(table)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.live.values().map(|c| c.bytes).sum()
    }

    pub(crate) fn take_id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn written(&mut self, id: u64, bytes: u64) {
        self.live.insert(id, Chunk { bytes, synced: false });
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.live.contains_key(&id)
    }

    /// Those among the named that are not yet durable.
    pub(crate) fn unsynced(&self, named: &[ChunkRef]) -> Vec<u64> {
        let unsynced = |c: &&ChunkRef| self.live.get(&c.id).is_some_and(|live| !live.synced);
        named.iter().filter(unsynced).map(|c| c.id).collect()
    }

    pub(crate) fn synced(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some(chunk) = self.live.get_mut(id) {
                chunk.synced = true;
            }
        }
    }

    pub(crate) fn forget(&mut self, id: u64) {
        self.live.remove(&id);
    }
}

/// Makes these chunks and their names durable.
pub(crate) fn sync(disk: &dyn Disk, log: &Path, ids: &[u64]) -> io::Result<()> {
    for id in ids {
        disk.open(&path(log, *id))?.sync_data()?;
    }
    if ids.is_empty() { Ok(()) } else { disk.sync_folder(&folder(log)) }
}

pub(crate) fn remove(disk: &dyn Disk, log: &Path, id: u64) -> io::Result<()> {
    disk.remove(&path(log, id))
}
