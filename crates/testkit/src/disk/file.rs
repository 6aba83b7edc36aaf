//! Open files and locks of the simulated disk.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use millstream_core::disk::{DiskFile, DiskLock};

use super::{Change, Fault, SimDisk, length, put};

pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) file: u64,
    pub(super) life: u64,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.file)
    }
}

impl DiskFile for SimFile {
    fn bytes(&self) -> io::Result<u64> {
        let mut sim = self.disk.0.lock();
        sim.alive(self.life)?;
        Ok(sim.file(self.file).seen.len() as u64)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut sim = self.disk.0.lock();
        sim.alive(self.life)?;
        let seen = &sim.file(self.file).seen;
        let from = length(at).min(seen.len());
        let n = into.len().min(seen.len() - from);
        if let (Some(into), Some(seen)) = (into.get_mut(..n), seen.get(from..from + n)) {
            into.copy_from_slice(seen);
        }
        Ok(n)
    }

    fn write_at(&self, at: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut sim = self.disk.0.lock();
        let sim = &mut *sim;
        let fault = sim.call(self.life)?;
        let at = length(at);
        let mut bytes = parts.concat();
        let room = sim.bytes_max.saturating_sub(sim.used());
        let grows = (at + bytes.len()).saturating_sub(sim.file(self.file).seen.len());
        let mut full = grows as u64 > room;
        if full {
            bytes.truncate((at + bytes.len() - grows + length(room)).saturating_sub(at));
        }
        if let Some(Fault::Stop | Fault::Full) = fault {
            full |= fault == Some(Fault::Full);
            sim.struck = true;
            bytes.truncate(sim.rng.usize(..=bytes.len()));
        }
        let file = sim.file(self.file);
        put(&mut file.seen, at, &bytes);
        file.pending.push(Change::Write(at, bytes));
        if fault == Some(Fault::Stop) {
            return Err(io::Error::other("the process has ended"));
        }
        if full { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut sim = self.disk.0.lock();
        sim.whole(self.life, false)?;
        let file = sim.file(self.file);
        file.seen.resize(length(bytes), 0);
        file.pending.push(Change::Length(length(bytes)));
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut sim = self.disk.0.lock();
        let sim = &mut *sim;
        sim.whole(self.life, true)?;
        let grows = bytes.saturating_sub(sim.file(self.file).seen.len() as u64);
        if sim.used() + grows > sim.bytes_max {
            return Err(ErrorKind::StorageFull.into());
        }
        let file = sim.file(self.file);
        file.seen.resize(length(bytes).max(file.seen.len()), 0);
        file.pending.push(Change::Length(length(bytes)));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sim = self.disk.0.lock();
        let sound = sim.sync(self.life)?;
        let file = sim.file(self.file);
        let pending = std::mem::take(&mut file.pending);
        if !sound {
            // The pages are marked clean all the same: they can be read, and are nowhere on the disk.
            return Err(io::Error::other("input/output error"));
        }
        // Not simply what is seen: that may hold what an earlier, failed sync has lost.
        for change in pending {
            match change {
                Change::Write(at, bytes) => put(&mut file.safe, at, &bytes),
                Change::Length(bytes) => file.safe.resize(bytes, 0),
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct SimLock {
    pub(super) disk: SimDisk,
    pub(super) path: PathBuf,
    pub(super) life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut sim = self.disk.0.lock();
        if sim.life == self.life {
            sim.locks.remove(&self.path);
        }
    }
}
