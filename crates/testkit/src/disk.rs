//! A disk in memory that loses power, fills up and fails on demand; one seed, one course of events.
//!
//! What a program sees and what would survive a power cut are kept apart. [`SimDisk::crash`] makes one
//! of the other: each 512-byte sector written since the last sync, each change of length and each
//! change of a name may have reached the disk or not.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use millstream_core::disk::{Disk, DiskFile, DiskLock};
use parking_lot::Mutex;

use file::{SimFile, SimLock};

const SECTOR: usize = 512;

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process ends in the middle of it: a write is done in part, and every later call fails.
    Stop,
    /// The disk is full for this one call, if it needs room.
    Full,
    /// The sync fails, if it is one, and what it was to make durable never will be, though it can be read.
    FailedSync,
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The process ended, and the machine went on: all of it.
    Kept,
    /// Nothing.
    Lost,
    /// Some sectors, some lengths, and names up to some moment.
    Some,
    /// As `Some`, and a bit of it is flipped.
    Flipped,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Sim>>);

struct Sim {
    rng: Rng,
    files: BTreeMap<u64, File>,
    names: BTreeMap<PathBuf, u64>,
    safe_names: BTreeMap<PathBuf, u64>,
    renamed: Vec<Renaming>,
    folders: BTreeSet<PathBuf>,
    locks: BTreeMap<PathBuf, String>,
    /// Handles of earlier lives are dead.
    life: u64,
    next_file: u64,
    calls: u64,
    fault: Option<(u64, Fault)>,
    struck: bool,
    stopped: bool,
    bytes_max: u64,
}

#[derive(Default)]
struct File {
    seen: Vec<u8>,
    safe: Vec<u8>,
    pending: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

enum Renaming {
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Renaming {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Create(path, _) | Self::Rename(path, _) | Self::Remove(path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn put(into: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if into.len() < at + bytes.len() {
        into.resize(at + bytes.len(), 0);
    }
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

impl File {
    /// What a power cut leaves of it.
    fn survive(&mut self, cut: Cut, rng: &mut Rng) {
        let mut safe = std::mem::take(&mut self.safe);
        let mut places = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Length(bytes) if rng.bool() => safe.resize(bytes, 0),
                Change::Length(_) => {}
                Change::Write(at, bytes) => {
                    // Its length may be on the disk before its bytes are.
                    if rng.u8(..8) == 0 && safe.len() < at + bytes.len() {
                        safe.resize(at + bytes.len(), 0);
                    }
                    let mut from = 0;
                    while from < bytes.len() {
                        let sector = (SECTOR - (at + from) % SECTOR).min(bytes.len() - from);
                        if rng.bool() {
                            put(
                                &mut safe,
                                at + from,
                                bytes.get(from..from + sector).unwrap_or(&[]),
                            );
                            places.push((at + from, sector));
                        }
                        from += sector;
                    }
                }
            }
        }
        if cut == Cut::Flipped && !places.is_empty() {
            let (at, sector) = places.get(rng.usize(..places.len())).copied().unwrap_or((0, 1));
            let at = at + rng.usize(..sector);
            if let Some(byte) = safe.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        self.seen = safe.clone();
        self.safe = safe;
    }
}

impl Sim {
    /// Counts a call that changes something, and says what is wrong with it.
    fn call(&mut self, life: u64) -> io::Result<Option<Fault>> {
        self.alive(life)?;
        self.calls += 1;
        let fault = self.fault.filter(|(at, _)| *at == self.calls).map(|(_, fault)| fault);
        if fault == Some(Fault::Stop) {
            self.stopped = true;
            self.struck = true;
        }
        Ok(fault)
    }

    fn alive(&self, life: u64) -> io::Result<()> {
        if self.stopped || life != self.life {
            return Err(io::Error::other("the process has ended"));
        }
        Ok(())
    }

    /// A call that is done whole or not at all.
    fn whole(&mut self, life: u64, needs_room: bool) -> io::Result<()> {
        match self.call(life)? {
            Some(Fault::Stop) => Err(io::Error::other("the process has ended")),
            Some(Fault::Full) if needs_room => {
                self.struck = true;
                Err(ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn sync(&mut self, life: u64) -> io::Result<bool> {
        match self.call(life)? {
            Some(Fault::Stop) => Err(io::Error::other("the process has ended")),
            Some(Fault::FailedSync) => {
                self.struck = true;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        named.iter().filter_map(|f| self.files.get(f)).map(|f| f.seen.len() as u64).sum()
    }

    fn file(&mut self, id: u64) -> &mut File {
        self.files.entry(id).or_default()
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl SimDisk {
    /// An empty disk; all that is random about it follows from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Sim {
            rng: Rng::with_seed(seed),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            renamed: Vec::new(),
            folders: BTreeSet::new(),
            locks: BTreeMap::new(),
            life: 0,
            next_file: 0,
            calls: 0,
            fault: None,
            struck: false,
            stopped: false,
            bytes_max: u64::MAX,
        })))
    }

    /// Has this go wrong at the `at`-th call from now on that changes something (the first is 1).
    pub fn fail_at(&self, at: u64, fault: Fault) {
        let mut sim = self.0.lock();
        sim.fault = Some((sim.calls + at, fault));
        sim.struck = false;
    }

    /// Whether the fault asked for has come about.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.0.lock().struck
    }

    /// How many calls have changed something.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// How much fits on it.
    pub fn set_bytes_max(&self, bytes: u64) {
        self.0.lock().bytes_max = bytes;
    }

    /// Bytes in all files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Ends the process and, unless `Kept`, cuts the power. Handles from before are dead.
    pub fn crash(&self, cut: Cut) {
        let mut sim = self.0.lock();
        let sim = &mut *sim;
        sim.life += 1;
        sim.fault = None;
        sim.stopped = false;
        sim.locks.clear();
        if cut == Cut::Kept {
            return;
        }
        let survived = match cut {
            Cut::Lost => 0,
            Cut::Kept | Cut::Some | Cut::Flipped => sim.rng.usize(..=sim.renamed.len()),
        };
        for renaming in sim.renamed.drain(..).take(survived) {
            renaming.apply(&mut sim.safe_names);
        }
        sim.names = sim.safe_names.clone();
        for file in sim.files.values_mut() {
            if cut == Cut::Lost {
                file.pending.clear();
                file.seen = file.safe.clone();
            } else {
                file.survive(cut, &mut sim.rng);
            }
        }
    }

    /// Names of all files there are.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// The bytes of a file; empty if there is none.
    #[must_use]
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let mut sim = self.0.lock();
        sim.find(path).map(|id| sim.file(id).seen.clone()).unwrap_or_default()
    }

    /// Replaces the bytes of a file, durably, behind everyone's back.
    pub fn set_content(&self, path: &Path, bytes: &[u8]) {
        let mut sim = self.0.lock();
        if let Ok(id) = sim.find(path) {
            *sim.file(id) =
                File { seen: bytes.to_vec(), safe: bytes.to_vec(), pending: Vec::new() };
        }
    }

    /// A disk of its own with the same content, all of it durable.
    #[must_use]
    pub fn copy(&self, seed: u64) -> Self {
        let other = Self::new(seed);
        {
            let sim = self.0.lock();
            let mut into = other.0.lock();
            into.names = sim.names.clone();
            into.safe_names = sim.names.clone();
            into.folders = sim.folders.clone();
            into.next_file = sim.next_file;
            for (id, file) in &sim.files {
                let copy =
                    File { seen: file.seen.clone(), safe: file.seen.clone(), pending: Vec::new() };
                into.files.insert(*id, copy);
            }
        }
        other
    }

    fn handle(&self, sim: &Sim, file: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), file, life: sim.life })
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk({} calls)", self.0.lock().calls)
    }
}

impl Disk for SimDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut sim = self.0.lock();
        if sim.folders.contains(folder) {
            return Ok(());
        }
        let life = sim.life;
        sim.whole(life, true)?;
        sim.folders.insert(folder.to_owned());
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut sim = self.0.lock();
        let sim = &mut *sim;
        if !sim.sync(sim.life)? {
            return Err(io::Error::other("input/output error"));
        }
        let (these, others): (Vec<_>, Vec<_>) =
            sim.renamed.drain(..).partition(|r| r.folder() == Some(folder));
        sim.renamed = others;
        for renaming in these {
            renaming.apply(&mut sim.safe_names);
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let sim = self.0.lock();
        sim.alive(sim.life)?;
        let here = sim.names.keys().filter(|p| p.parent() == Some(folder));
        Ok(here.filter_map(|p| Some(p.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut sim = self.0.lock();
        let life = sim.life;
        sim.whole(life, true)?;
        let file = if let Ok(file) = sim.find(path) {
            let there = sim.file(file);
            there.seen.clear();
            there.pending.push(Change::Length(0));
            file
        } else {
            let file = sim.next_file;
            sim.next_file += 1;
            sim.file(file);
            sim.names.insert(path.to_owned(), file);
            sim.renamed.push(Renaming::Create(path.to_owned(), file));
            file
        };
        Ok(self.handle(&sim, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let sim = self.0.lock();
        sim.alive(sim.life)?;
        Ok(self.handle(&sim, sim.find(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut sim = self.0.lock();
        let sim = &mut *sim;
        sim.whole(sim.life, false)?;
        sim.find(from)?;
        let renaming = Renaming::Rename(from.to_owned(), to.to_owned());
        renaming.apply(&mut sim.names);
        sim.renamed.push(renaming);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.0.lock();
        let sim = &mut *sim;
        sim.whole(sim.life, false)?;
        sim.find(path)?;
        let renaming = Renaming::Remove(path.to_owned());
        renaming.apply(&mut sim.names);
        sim.renamed.push(renaming);
        Ok(())
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn DiskLock>> {
        let mut sim = self.0.lock();
        sim.alive(sim.life)?;
        if let Some(other) = sim.locks.get(path) {
            return Err(io::Error::new(ErrorKind::WouldBlock, other.clone()));
        }
        sim.locks.insert(path.to_owned(), holder.to_owned());
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), life: sim.life }))
    }

    fn bytes_free(&self, _: &Path) -> io::Result<u64> {
        let sim = self.0.lock();
        Ok(sim.bytes_max.saturating_sub(sim.used()))
    }

    fn random(&self) -> u128 {
        self.0.lock().rng.u128(..)
    }
}
