//! Folders that survive power loss.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes a folder and those above it, and syncs the ones that got a new entry; fine if it is there.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|f| !f.as_os_str().is_empty());
    above.map_or(Ok(()), make)?;
    match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && !folder.is_dir() => {
            let what = format!("`{}` is no folder", folder.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, what));
        }
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        Ok(()) | Err(_) => {}
    }
    sync(above.unwrap_or(Path::new(".")))
}

/// Makes names in a folder survive power loss.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    // Elsewhere folders cannot be opened, and names survive by themselves.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
