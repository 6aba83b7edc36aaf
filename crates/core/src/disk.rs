//! The disk seam: the few acts on files that durability is made of.
//!
//! The log does nothing to a disk but through these, so that a test can put a simulated disk in
//! their place and lose power after every single one of them.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Folders and names. All paths are absolute or relative to the working folder. Calls block.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes the folder and those above it, so that they survive power loss; fine if it is there.
    ///
    /// # Errors
    /// As the file system says.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in the folder survive power loss.
    ///
    /// # Errors
    /// As the file system says; what survives is then unknown.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Names of the files in the folder, sorted; none if there is no such folder.
    ///
    /// # Errors
    /// As the file system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file for reading and writing; one that was there is emptied.
    ///
    /// # Errors
    /// As the file system says.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there for reading and writing.
    ///
    /// # Errors
    /// As the file system says.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what had it, in one step.
    ///
    /// # Errors
    /// As the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name; whoever has it open can still read it.
    ///
    /// # Errors
    /// As the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock that the file stands for and writes `holder` into it. While the value lives,
    /// nobody else gets it; when the process ends, however it ends, it is free again.
    ///
    /// # Errors
    /// `WouldBlock` when it is taken; the error's text is then what its holder wrote.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn DiskLock>>;

    /// Bytes that can still be written to the file system of this folder.
    ///
    /// # Errors
    /// As the file system says.
    fn bytes_free(&self, folder: &Path) -> io::Result<u64>;

    /// A number that nobody else has: the identity of something new.
    fn random(&self) -> u128;
}

/// One open file. Calls block; reads may run beside one writer.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length.
    ///
    /// # Errors
    /// As the file system says.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads as much as there is from `at` on, up to the length of `into`; returns how much that was.
    ///
    /// # Errors
    /// As the file system says.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all parts, one after the other, from `at` on.
    ///
    /// # Errors
    /// As the file system says; then any part of it may have been written.
    fn write_at(&self, at: u64, parts: &[&[u8]]) -> io::Result<()>;

    /// Cuts or stretches it to this length.
    ///
    /// # Errors
    /// As the file system says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Takes room on the disk for the first `bytes` of it, making it that long.
    ///
    /// # Errors
    /// `StorageFull` when there is no such room.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Makes its bytes and its length survive power loss. Not its name: see [`Disk::sync_folder`].
    ///
    /// # Errors
    /// As the file system says; what survives is then unknown, and asking again proves nothing.
    fn sync_data(&self) -> io::Result<()>;
}

/// A lock that is held while this lives.
pub trait DiskLock: Send + Sync + fmt::Debug {}
