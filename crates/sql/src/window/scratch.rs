//! The scratch file of a part: chunks of its state that are not in memory.
//!
//! It is no part of a checkpoint. Its name goes as soon as it is open, so that nothing is left of it however the process
//! ends; where it has what is known in memory alone, so that nothing is read that was not wholly written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::error::{Error, Result};

/// So many bytes are written at once.
const PIECE: usize = 1 << 20;
/// A file is written anew when so much of it, and more than half, counts no more.
const WASTE: u64 = 64 << 10;

pub(super) struct Scratch {
    folder: Arc<Path>,
    file: File,
    /// Where each chunk is, and how long.
    places: BTreeMap<String, (u64, usize)>,
    end: u64,
}

impl Scratch {
    pub(super) fn new(folder: &Arc<Path>) -> Result<Self> {
        let file = unnamed(folder).map_err(|e| unwritable(folder, &e))?;
        Ok(Self { folder: folder.clone(), file, places: BTreeMap::new(), end: 0 })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Writes chunks; when that fails, it has what it had.
    pub(super) fn put(&mut self, chunks: impl Iterator<Item = (String, Bytes)>) -> Result<()> {
        let (places, end) =
            write(&mut self.file, self.end, chunks).map_err(|e| unwritable(&self.folder, &e))?;
        self.places.extend(places);
        self.end = end;
        Ok(())
    }

    /// Forgets all other chunks.
    pub(super) fn keep(&mut self, names: &BTreeSet<String>) -> Result<()> {
        self.places.retain(|name, _| names.contains(name));
        let live: u64 = self.places.values().map(|(_, len)| *len as u64).sum();
        if self.end <= 2 * live + WASTE {
            return Ok(());
        }
        let all = self.all()?;
        let mut anew = Self::new(&self.folder)?;
        anew.put(all.into_iter())?;
        *self = anew;
        Ok(())
    }

    /// All its chunks.
    pub(super) fn all(&self) -> Result<BTreeMap<String, Bytes>> {
        let read = || {
            let mut file = &self.file;
            let mut all = vec![0; usize::try_from(self.end).map_err(io::Error::other)?];
            file.seek(SeekFrom::Start(0))?;
            file.read_exact(&mut all)?;
            Ok(Bytes::from(all))
        };
        let bytes = read().map_err(|e: io::Error| {
            let folder = self.folder.display();
            Error::stop(format!(
                "state of windows that was spilled to `{folder}` cannot be read: {e}"
            ))
            .fix(
                "see to the disk, and start again: the state is made anew from the last checkpoint",
            )
        })?;
        let chunk = |(name, (at, len)): (&String, &(u64, usize))| {
            let at = usize::try_from(*at).unwrap_or(usize::MAX);
            (name.clone(), bytes.slice(at..at + len))
        };
        Ok(self.places.iter().map(chunk).collect())
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }
}

/// A file in the folder that has no name.
fn unnamed(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    for number in 0_u64.. {
        let path = folder.join(format!("{}-{number}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

type Places = Vec<(String, (u64, usize))>;

/// Writes chunks one after the other, in pieces; where they are, and where the last one ends.
fn write(
    file: &mut File,
    from: u64,
    chunks: impl Iterator<Item = (String, Bytes)>,
) -> io::Result<(Places, u64)> {
    let (mut places, mut end, mut piece) = (vec![], from, vec![]);
    file.seek(SeekFrom::Start(from))?;
    for (name, bytes) in chunks {
        places.push((name, (end, bytes.len())));
        end += bytes.len() as u64;
        piece.extend_from_slice(&bytes);
        if piece.len() >= PIECE {
            file.write_all(&piece)?;
            piece.clear();
        }
    }
    file.write_all(&piece)?;
    Ok((places, end))
}

fn unwritable(folder: &Path, e: &io::Error) -> Error {
    let folder = folder.display();
    Error::stop(format!("state of windows cannot be spilled to `{folder}`: {e}"))
        .fix("make room there, or raise `state_bytes` so that less is spilled")
}
