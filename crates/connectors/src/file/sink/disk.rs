//! The few acts on files that a spool is made of, so that a test can stop after each of them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::folder;

/// A disk, or something that behaves like one.
pub(super) trait Disk: Send {
    /// Makes a folder and those above it.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Whether there is a file of this name.
    fn is_there(&self, path: &Path) -> bool;
    /// A file from its beginning.
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>>;
    /// A new, empty file; one that is there is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Out>>;
    /// A file that is there, to be written on at `len`, where it is cut.
    fn extend(&self, path: &Path, len: u64) -> io::Result<Box<dyn Out>>;
    /// Gives a file another name; the file that had it is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; none there is fine too.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// An empty file, made if it is not there, that nobody else can have until what is given back is dropped;
    /// `ResourceBusy` while another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Out>>;
    /// Makes names in a folder survive power loss.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file being written.
pub(super) trait Out: Send {
    /// Appends.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts it, and goes on there.
    fn cut(&mut self, len: u64) -> io::Result<()>;
    /// Makes what was appended survive power loss.
    fn sync(&mut self) -> io::Result<()>;
    /// Whether it is still the file of this name: one that was deleted takes writes, and they are lost.
    fn is_at(&self, path: &Path) -> bool;
}

/// The machine's disks.
#[derive(Clone, Copy, Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        folder::make(folder)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(folder)?.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn is_there(&self, path: &Path) -> bool {
        path.exists()
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(io::BufReader::with_capacity(256 * 1024, File::open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Out>> {
        Ok(Box::new(File::create(path)?))
    }

    fn extend(&self, path: &Path, len: u64) -> io::Result<Box<dyn Out>> {
        let mut out: Box<dyn Out> = Box::new(OpenOptions::new().write(true).open(path)?);
        out.cut(len)?;
        Ok(out)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Out>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        Ok(Box::new(locked(file)?))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        folder::sync(folder)
    }
}

fn locked(file: File) -> io::Result<File> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
        // A file system without locks.
        Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

impl Out for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        io::Seek::seek(self, io::SeekFrom::Start(len)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    #[cfg(unix)]
    fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let (Ok(open), Ok(named)) = (self.metadata(), fs::metadata(path)) else { return false };
        (open.dev(), open.ino()) == (named.dev(), named.ino())
    }

    #[cfg(not(unix))]
    fn is_at(&self, path: &Path) -> bool {
        path.exists()
    }
}
