//! Room on the disk that is taken in advance, so that commits still fit when the disk is full.

use std::io;
use std::path::{Path, PathBuf};

use millstream_core::disk::Disk;

/// A file that holds nothing but room.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Takes the room if it is there; if not, appends will wait for it.
    pub(crate) fn open(disk: &dyn Disk, log: &Path, bytes: u64) -> Self {
        let mut reserve = Self { path: log.join("RESERVE"), bytes, held: false };
        if let Err(error) = reserve.restore(disk) {
            tracing::warn!(%error, bytes, "no room for the log's reserve: sources wait until there is");
        }
        reserve
    }

    /// Takes the room, unless it is held already.
    pub(crate) fn restore(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.held || self.bytes == 0 {
            return Ok(());
        }
        let file = disk.create(&self.path)?;
        if let Err(e) = file.allocate(self.bytes) {
            file.truncate(0)?;
            return Err(e);
        }
        self.held = true;
        Ok(())
    }

    /// Gives the room up; says whether there was any.
    pub(crate) fn release(&mut self, disk: &dyn Disk) -> bool {
        let held = std::mem::take(&mut self.held);
        held && disk.open(&self.path).and_then(|f| f.truncate(0)).is_ok()
    }
}
