//! Stops after every act on the disk, loses what was not synced, and goes on.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millstream_core::Timestamp;
use millstream_core::queue::{Epoch, LogId, Mark};
use millstream_core::record::Offset;
use millstream_core::sink::Held;

use super::disk::{Disk, Out};
use super::spool::Spool;
use super::{Compression, Format, Options, Roll};

/// What is left when everything stops.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// The process dies; the disk keeps what it was given.
    Killed,
    /// The power fails: only what was synced is left, bytes and names.
    PowerLoss,
    /// The power fails, and the disk had already written names and half of the bytes by itself.
    PowerLossHalfWritten,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
struct Platter {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    acts: u64,
    stop_at: Option<u64>,
    full_at: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct MemoryDisk(Arc<Mutex<Platter>>);

impl MemoryDisk {
    fn with<R>(&self, act: impl FnOnce(&mut Platter) -> R) -> R {
        act(&mut self.0.lock().unwrap())
    }

    /// One act that changes the disk: counted, and refused from the one that stops everything on.
    fn act<R>(&self, act: impl FnOnce(&mut Platter) -> io::Result<R>) -> io::Result<R> {
        self.with(|p| {
            p.acts += 1;
            if p.stop_at.is_some_and(|stop| p.acts > stop) {
                return Err(io::Error::other("stopped"));
            }
            if p.full_at.is_some_and(|full| (full..full + 3).contains(&p.acts)) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            act(p)
        })
    }

    fn stopped(&self) -> bool {
        self.with(|p| p.stop_at.is_some_and(|stop| p.acts > stop))
    }

    fn restart(&self, stop: Stop) {
        self.with(|p| {
            p.stop_at = None;
            match stop {
                Stop::Killed => {}
                Stop::PowerLoss => p.names = p.synced_names.clone(),
                Stop::PowerLossHalfWritten => p.synced_names = p.names.clone(),
            }
            for inode in &mut p.inodes {
                match stop {
                    Stop::Killed => {}
                    Stop::PowerLoss => inode.bytes = inode.synced.clone(),
                    Stop::PowerLossHalfWritten => {
                        if inode.bytes.starts_with(&inode.synced) {
                            let half = (inode.synced.len() + inode.bytes.len()) / 2;
                            inode.bytes.truncate(half);
                        }
                        inode.synced = inode.bytes.clone();
                    }
                }
            }
        });
    }

    /// The finished files.
    fn files(&self) -> BTreeMap<String, String> {
        self.with(|p| {
            let names = p.names.iter().filter(|(path, _)| !name(path).starts_with('.'));
            names
                .map(|(path, i)| {
                    (name(path), String::from_utf8(p.inodes[*i].bytes.clone()).unwrap())
                })
                .collect()
        })
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

impl Disk for MemoryDisk {
    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn names(&self, _: &Path) -> io::Result<Vec<String>> {
        self.with(|p| Ok(p.names.keys().map(|path| name(path)).collect()))
    }

    fn is_there(&self, path: &Path) -> bool {
        self.with(|p| p.names.contains_key(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Out>> {
        // Made outside of what is counted: nothing depends on whether it lasts.
        let inode = self.with(|p| {
            p.inodes.push(Inode::default());
            let new = p.inodes.len() - 1;
            *p.names.entry(path.into()).or_insert(new)
        });
        Ok(Box::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        self.with(|p| {
            let inode = *p.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(io::Cursor::new(p.inodes[inode].bytes.clone())) as Box<dyn Read>)
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Out>> {
        let inode = self.act(|p| {
            p.inodes.push(Inode::default());
            p.names.insert(path.into(), p.inodes.len() - 1);
            Ok(p.inodes.len() - 1)
        })?;
        Ok(Box::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn extend(&self, path: &Path, len: u64) -> io::Result<Box<dyn Out>> {
        let inode = self.with(|p| p.names.get(path).copied()).ok_or(io::ErrorKind::NotFound)?;
        let mut file = MemoryFile { disk: self.clone(), inode };
        file.cut(len)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(|p| {
            let inode = p.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            p.names.insert(to.into(), inode);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.with(|p| !p.names.contains_key(path)) {
            return Ok(());
        }
        self.act(|p| {
            p.names.remove(path);
            Ok(())
        })
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.act(|p| {
            p.synced_names = p.names.clone();
            Ok(())
        })
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    inode: usize,
}

impl Out for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let torn = self.disk.with(|p| {
            let at = p.acts + 1;
            p.stop_at == Some(p.acts) || p.full_at.is_some_and(|f| (f..f + 3).contains(&at))
        });
        if torn {
            let half = bytes.len() / 2;
            self.disk.with(|p| p.inodes[self.inode].bytes.extend_from_slice(&bytes[..half]));
        }
        self.disk.act(|p| {
            p.inodes[self.inode].bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        // Giving space back works on a full disk too.
        let full = self.disk.with(|p| p.full_at.take());
        let cut = self.disk.act(|p| {
            p.inodes[self.inode].bytes.truncate(usize::try_from(len).unwrap());
            Ok(())
        });
        self.disk.with(|p| p.full_at = full);
        cut
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.act(|p| {
            let inode = &mut p.inodes[self.inode];
            inode.synced = inode.bytes.clone();
            Ok(())
        })
    }

    fn is_at(&self, path: &Path) -> bool {
        self.disk.with(|p| p.names.get(path) == Some(&self.inode))
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

fn options() -> Options {
    let roll = Roll::default();
    Options {
        folder: "/out".into(),
        before: "rows-".into(),
        after: ".ndjson".into(),
        spool: ".test.sink.part".into(),
        sink: "sink".into(),
        format: Format::Ndjson,
        roll,
        compression: Compression::None,
    }
}

fn mark(epoch: u64) -> Mark {
    Mark { log: LogId(1 << 100), incarnation: 0, epoch: Epoch(epoch), next: Offset(epoch) }
}

fn rows(epoch: u64) -> RecordBatch {
    let first = i64::try_from(epoch * 10).unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![first, first + 1]));
    RecordBatch::try_new(schema(), vec![ids]).unwrap()
}

const EPOCHS: u64 = 5;

/// One process: goes on from what is held, and makes a file after every second epoch.
fn run(disk: &MemoryDisk, prepared_max: &mut u64) -> millstream_core::Result<()> {
    let mut spool = Spool::new(options(), Box::new(disk.clone()));
    let held = match spool.open(&schema())? {
        Held::Upto(held) => held.epoch.0,
        Held::Fresh | Held::Untracked => 0,
    };
    assert!(held <= *prepared_max, "it holds epoch {held}, which was never flushed");
    for epoch in held + 1..=EPOCHS {
        spool.write(&rows(epoch))?;
        spool.prepare()?;
        *prepared_max = epoch.max(*prepared_max);
        spool.flush(mark(epoch), Timestamp(0))?;
        if epoch % 2 == 0 {
            spool.roll()?;
        }
    }
    spool.roll()
}

fn wanted() -> String {
    (1..=EPOCHS).map(|e| format!("{{\"id\":{}}}\n{{\"id\":{}}}\n", e * 10, e * 10 + 1)).collect()
}

/// Files are never changed once they are seen.
fn unchanged(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>, place: &str) {
    for (name, text) in before {
        assert_eq!(now.get(name), Some(text), "{name} has changed, {place}");
    }
}

#[test]
fn stopped_after_any_act_each_row_is_in_one_file_once_and_files_are_whole() {
    for stop in [Stop::Killed, Stop::PowerLoss, Stop::PowerLossHalfWritten] {
        let mut acts = 0;
        loop {
            let disk = MemoryDisk::default();
            disk.with(|p| p.stop_at = Some(acts));
            let mut prepared = 0;
            let first = run(&disk, &mut prepared);
            if !disk.stopped() {
                first.unwrap();
                break;
            }
            first.unwrap_err();
            disk.restart(stop);
            let place = format!("{stop:?} after {acts} acts");
            let seen = disk.files();
            for text in seen.values() {
                assert!(
                    wanted().contains(text.as_str()) && text.lines().count() % 2 == 0,
                    "{place}"
                );
            }
            run(&disk, &mut prepared).unwrap();
            unchanged(&seen, &disk.files(), &place);
            let all: String = disk.files().into_values().collect();
            assert_eq!(all, wanted(), "{place}");
            acts += 1;
        }
        assert!(acts > 40, "the script did only {acts} acts");
    }
}

#[test]
fn stopped_twice_anywhere_it_still_holds() {
    for first in 0..60 {
        for second in 0..25 {
            let disk = MemoryDisk::default();
            let mut prepared = 0;
            for stop_at in [first, second] {
                disk.with(|p| p.stop_at = Some(p.acts + stop_at));
                if run(&disk, &mut prepared).is_err() {
                    disk.restart(Stop::PowerLoss);
                }
            }
            disk.with(|p| p.stop_at = None);
            run(&disk, &mut prepared).unwrap();
            let all: String = disk.files().into_values().collect();
            assert_eq!(all, wanted(), "stopped after {first} and {second} acts");
        }
    }
}

#[test]
fn a_full_disk_is_retried_and_nothing_is_lost_or_doubled() {
    let mut acts = 1;
    loop {
        let disk = MemoryDisk::default();
        disk.with(|p| p.full_at = Some(acts));
        let mut spool = Spool::new(options(), Box::new(disk.clone()));
        // As the engine does: the same call again, or everything from what is held on.
        let mut send = || {
            let held = match spool.open(&schema())? {
                Held::Upto(mark) => mark.epoch.0,
                Held::Fresh | Held::Untracked => 0,
            };
            for epoch in held + 1..=EPOCHS {
                retried(|| spool.write(&rows(epoch)))?;
                retried(|| spool.prepare())?;
                spool.flush(mark(epoch), Timestamp(0))?;
                retried(|| spool.roll())?;
            }
            retried(|| spool.roll())
        };
        let tries = (0..30).take_while(|_| send().is_err()).count();
        assert!(tries < 30, "it does not come to an end, full at act {acts}");
        let all: String = disk.files().into_values().collect();
        assert_eq!(all, wanted(), "full at act {acts}");
        if disk.with(|p| p.acts) < acts {
            break;
        }
        acts += 1;
    }
}

fn retried(mut call: impl FnMut() -> millstream_core::Result<()>) -> millstream_core::Result<()> {
    for _ in 0..8 {
        match call() {
            Err(e) if e.remedy() == millstream_core::Remedy::Retry => {}
            done => return done,
        }
    }
    call()
}

#[test]
fn a_number_is_never_used_again_and_a_file_never_overwritten() {
    let disk = MemoryDisk::default();
    disk.create(Path::new("/out/rows-00000007.ndjson")).unwrap();
    let mut spool = Spool::new(options(), Box::new(disk.clone()));
    spool.open(&schema()).unwrap();
    let flush = |spool: &mut Spool, epoch| {
        spool.write(&rows(epoch)).unwrap();
        spool.prepare().unwrap();
        spool.flush(mark(epoch), Timestamp(0)).unwrap();
        spool.roll().unwrap();
    };
    flush(&mut spool, 1);
    disk.remove(Path::new("/out/rows-00000008.ndjson")).unwrap();
    disk.create(Path::new("/out/rows-00000009.ndjson")).unwrap();
    flush(&mut spool, 2);
    let names: Vec<String> = disk.files().into_keys().collect();
    assert_eq!(names, ["rows-00000007.ndjson", "rows-00000009.ndjson", "rows-00000010.ndjson"]);
}

#[test]
fn rows_of_other_columns_begin_a_new_file() {
    let disk = MemoryDisk::default();
    let mut spool = Spool::new(options(), Box::new(disk.clone()));
    spool.open(&schema()).unwrap();
    spool.write(&rows(1)).unwrap();
    spool.prepare().unwrap();
    spool.flush(mark(1), Timestamp(0)).unwrap();
    let other = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
    assert_eq!(spool.open(&other).unwrap(), Held::Upto(mark(1)));
    assert_eq!(disk.files()["rows-00000001.ndjson"], "{\"id\":10}\n{\"id\":11}\n");
}

#[test]
fn a_file_is_made_when_it_is_large_or_old_enough_and_only_between_epochs() {
    let disk = MemoryDisk::default();
    let mut spool = Spool::new(options(), Box::new(disk.clone()));
    spool.open(&schema()).unwrap();
    spool.roll_if_due(Timestamp(i64::MAX)).unwrap();
    spool.write(&rows(1)).unwrap();
    spool.prepare().unwrap();
    spool.flush(mark(1), Timestamp(5)).unwrap();
    spool.roll_if_due(Timestamp(600_000_004)).unwrap();
    assert_eq!(disk.files().len(), 0, "not old enough");
    spool.write(&rows(2)).unwrap();
    spool.roll_if_due(Timestamp(600_000_005)).unwrap();
    assert_eq!(disk.files().len(), 0, "an epoch is not whole");
    spool.prepare().unwrap();
    spool.flush(mark(2), Timestamp(6)).unwrap();
    // The age survives a restart.
    let mut spool = Spool::new(options(), Box::new(disk.clone()));
    spool.open(&schema()).unwrap();
    spool.roll_if_due(Timestamp(600_000_005)).unwrap();
    assert_eq!(disk.files().len(), 1);
    let small = Roll { bytes: millstream_core::fields::Bytes(1), ..Roll::default() };
    let mut spool = Spool::new(Options { roll: small, ..options() }, Box::new(disk.clone()));
    spool.open(&schema()).unwrap();
    spool.write(&rows(3)).unwrap();
    spool.prepare().unwrap();
    spool.flush(mark(3), Timestamp(7)).unwrap();
    spool.roll_if_due(Timestamp(7)).unwrap();
    assert_eq!(disk.files().len(), 2);
}
