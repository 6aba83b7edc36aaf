//! The spool: flushed rows on their way to a file.
//!
//! A file is made of it in steps, so that whatever step was the last one before a crash, the next
//! `open` goes on from there:
//!
//! 1. write all rows to `.part.tmp` in the file's format, fsync it, fsync the folder
//! 2. append a rolling frame with the file's name to the spool, fsync it: from here the rows are the file's
//! 3. rename `.part.tmp` to the file's name, fsync the folder
//! 4. write the next spool to `.part.new`, fsync it, rename it to `.part`, fsync the folder
//!
//! A spool that ends in a rolling frame is at step 3 if `.part.tmp` is there, and else at step 4, even if
//! somebody has taken the file away since.

use std::io;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use millstream_core::queue::Mark;
use millstream_core::sink::Held;
use millstream_core::{Error, Remedy, Result, Timestamp};

use super::damage::{damaged, read_head, torn_not_damaged};
use super::disk::{Disk, Out};
use super::format::{can_be_joined, check_parquet, convert, encode};
use super::frame::{Frames, HEAD, Head, MARK, Marked, ROLLING, ROWS, VERSION, frame};
use super::{Format, Options, fault};

/// Bytes of text, and rows of Parquet, that are put together into one frame.
const FRAME_BYTES: usize = 1024 * 1024;
const FRAME_ROWS: usize = 8192;

/// The spool of one sink.
pub(super) struct Spool {
    options: Options,
    disk: Box<dyn Disk>,
    open: Option<Open>,
    /// Keeps other processes out, from the first `open` on.
    lock: Option<Box<dyn Out>>,
    /// It has been open before: rights and folders were right once.
    was_open: bool,
    /// Where an fsync failed. What the page cache shows beyond may not be on the disk, whatever a later
    /// fsync says, so that it is cut and written anew.
    dubious_from: Option<u64>,
}

struct Open {
    out: Box<dyn Out>,
    head: Head,
    /// What is held, and when the first row of it was flushed if there is any in the spool.
    held: Option<Mark>,
    since: Option<Timestamp>,
    /// Where what is held ends, and what was appended.
    held_len: u64,
    len: u64,
    /// The name of the file that the rows have become, if step 2 is done.
    rolling: Option<String>,
    waiting: Waiting,
}

/// Rows of this epoch that are not in the spool yet.
#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    batches: Vec<RecordBatch>,
}

impl Spool {
    /// A spool by these options; opens nothing.
    pub(super) fn new(options: Options, disk: Box<dyn Disk>) -> Self {
        Self { options, disk, open: None, lock: None, was_open: false, dubious_from: None }
    }

    /// Opens the spool or makes one, cuts what was not flushed, ends a roll that was begun.
    pub(super) fn open(&mut self, schema: &SchemaRef) -> Result<Held> {
        self.open = None;
        if self.options.format == Format::Parquet {
            check_parquet(schema).map_err(|e| {
                Error::stop("the columns cannot be written as Parquet").because(e).at(self.place())
            })?;
        }
        let fields = schema.fields().iter();
        let columns = fields.map(|f| (f.name().clone(), f.data_type().to_string())).collect();
        let made = self.disk.make_folder(&self.options.folder);
        made.map_err(|e| self.explain("cannot open the spool", e))?;
        self.lock()?;
        let opened = self.recover(columns);
        let held = opened.map_err(|e| self.explain("cannot open the spool", e))?;
        self.was_open = true;
        Ok(held.map_or(Held::Fresh, Held::Upto))
    }

    /// Takes rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.end_roll()?;
        let format = self.options.format;
        self.during("cannot write rows", |open| {
            if can_be_joined(format) {
                if open.waiting.text.len() >= FRAME_BYTES {
                    open.append_waiting(format)?;
                }
                encode(format, batch, &mut open.waiting.text)
            } else {
                let rows: usize = open.waiting.batches.iter().map(RecordBatch::num_rows).sum();
                if rows >= FRAME_ROWS {
                    open.append_waiting(format)?;
                }
                open.waiting.batches.push(batch.clone());
                Ok(())
            }
        })
    }

    /// Puts all rows into the spool.
    pub(super) fn prepare(&mut self) -> Result<()> {
        self.end_roll()?;
        let format = self.options.format;
        self.during("cannot write rows", |open| open.append_waiting(format))
    }

    /// Marks them as held, and makes that survive power loss.
    pub(super) fn flush(&mut self, mark: Mark, now: Timestamp) -> Result<()> {
        let path = self.path("");
        let held_len = self.open.as_ref().map(|open| open.held_len);
        let has_lock = self.has_lock();
        let flushed = self.during("cannot flush rows", |open| {
            assert!(open.waiting.is_empty(), "an epoch was flushed that was not prepared");
            if !open.out.is_at(&path) || !has_lock {
                return Err(io::Error::other(
                    "the spool or its lock was deleted while it was open",
                ));
            }
            let since = open.since.unwrap_or(now);
            let marked = serde_json::to_vec(&Marked { mark, since })?;
            open.append(&frame(MARK, &marked)?)?;
            open.out.sync()?;
            open.held = Some(mark);
            open.since = Some(since);
            open.held_len = open.len;
            Ok(())
        });
        flushed.map_err(|e| {
            self.open = None;
            self.dubious_from = held_len;
            if e.remedy() == Remedy::Retry { e.with_remedy(Remedy::Reopen) } else { e }
        })
    }

    /// Makes a file of what is held, if it is large or old enough.
    pub(super) fn roll_if_due(&mut self, now: Timestamp) -> Result<()> {
        let roll = self.options.roll;
        let due = self.open.as_ref().is_some_and(|open| {
            let full = open.held_len >= roll.bytes.0;
            let old = open.since.is_some_and(|since| now.since(since) >= roll.age.0);
            let between = open.len == open.held_len && open.waiting.is_empty();
            open.rolling.is_some() || (open.since.is_some() && between && (full || old))
        });
        if due { self.roll() } else { Ok(()) }
    }

    /// Makes a file of what is held, if there is anything.
    pub(super) fn roll(&mut self) -> Result<()> {
        self.end_roll()?;
        let Some(open) = &self.open else { return Err(self.not_open()) };
        if open.since.is_none() {
            return Ok(());
        }
        let rolled = self.begin_roll().and_then(|()| self.finish_roll());
        rolled.map_err(|e| self.explain_open("cannot make a file of the rows", e))
    }

    /// Forgets what is held; rows of it become a file. A spool that is damaged is moved aside.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.open = None;
        if !self.disk.is_there(&self.path("")) {
            return Ok(());
        }
        self.lock()?;
        let forgotten = match self.recover_spool() {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => self.put_aside(&e),
            recovered => {
                recovered.and_then(|there| if there { self.begin_fresh() } else { Ok(()) })
            }
        };
        self.open = None;
        forgotten.map_err(|e| self.explain("cannot forget what is held", e))
    }

    /// Makes a file of what is held, and a spool in its place that holds nothing.
    fn begin_fresh(&mut self) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.since.is_some()) {
            self.begin_roll()?;
            self.finish_roll()?;
        }
        let Some(open) = self.open.take() else { return Ok(()) };
        self.renew(Head { held: None, ..open.head })
    }

    /// Gives a damaged spool another name, for a person to look into.
    fn put_aside(&mut self, damage: &io::Error) -> io::Result<()> {
        let (path, folder) = (self.path(""), &self.options.folder);
        let names = self.disk.names(folder)?;
        let mut aside = (1u32..).map(|n| format!("{}.damaged-{n}", self.options.spool));
        let aside = aside.find(|name| !names.contains(name)).unwrap_or_default();
        let head = read_head(&mut Frames::of(self.disk.read(&path)?)).ok();
        self.disk.rename(&path, &folder.join(&aside))?;
        self.disk.sync_folder(folder)?;
        tracing::warn!(
            sink = self.options.sink,
            spool = %path.display(),
            moved_to = %folder.join(&aside).display(),
            damage = %damage,
            "damaged spool was moved aside: rows that stand only there are in no file"
        );
        // So that no number is used again.
        head.map_or(Ok(()), |head| self.renew(Head { held: None, ..head }))
    }

    /// Keeps other processes out of this spool.
    fn lock(&mut self) -> Result<()> {
        if self.has_lock() {
            return Ok(());
        }
        self.lock = None;
        let path = self.path(LOCK);
        let locked = self.disk.lock(&path);
        self.lock = Some(locked.map_err(|e| {
            if e.kind() != io::ErrorKind::ResourceBusy {
                return self.explain("cannot lock the spool", e);
            }
            Error::retry("another process has this sink open")
                .at(path.display().to_string())
                .because(e)
                .fix("stop the one that holds this lock and rows go on by themselves, or give this pipeline or sink another name")
        })?);
        Ok(())
    }

    fn has_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.is_at(&self.path(LOCK)))
    }

    fn recover(&mut self, columns: Vec<(String, String)>) -> io::Result<Option<Mark>> {
        let there = self.recover_spool()?;
        let Options { format, before, after, .. } = self.options.clone();
        let (number, held) = self.open.as_ref().map_or((1, None), |o| (o.head.number, o.held));
        let head = Head { version: VERSION, number, held, format, columns, before, after };
        if !there {
            let number = self.free_number(&head)?;
            self.renew(Head { number, ..head })?;
        } else if self.open.as_ref().is_some_and(|open| !open.head.is_alike(&head)) {
            // Rows of other columns, format or name belong into a file of their own.
            if self.open.as_ref().is_some_and(|open| open.since.is_some()) {
                self.begin_roll()?;
                self.finish_roll()?;
            }
            let number = self.open.as_ref().map_or(number, |open| open.head.number);
            self.renew(Head { number, ..head })?;
        }
        Ok(held)
    }

    /// Opens the spool as it is; `false` if there is none.
    fn recover_spool(&mut self) -> io::Result<bool> {
        let path = self.path("");
        let read = match self.disk.read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            read => read?,
        };
        let read = match self.dubious_from.take() {
            None => read,
            Some(len) => {
                self.disk.extend(&path, len)?.sync()?;
                self.disk.read(&path)?
            }
        };
        let mut frames = Frames::of(read);
        let head = read_head(&mut frames)?;
        let (mut held, mut since, mut held_len, mut rolling) = (head.held, None, frames.at, None);
        while let Some((kind, payload)) = frames.next()? {
            match kind {
                MARK => {
                    let marked: Marked = serde_json::from_slice(&payload).map_err(damaged)?;
                    (held, since, held_len) = (Some(marked.mark), Some(marked.since), frames.at);
                }
                ROLLING => {
                    rolling = Some(String::from_utf8_lossy(&payload).into_owned());
                    break;
                }
                ROWS => {}
                other => {
                    return Err(damaged(format!("it has a frame of unknown kind {other}")));
                }
            }
        }
        if frames.torn {
            torn_not_damaged(self.disk.read(&path)?, frames.at, held)?;
        }
        self.disk.remove(&self.path(".new"))?;
        let len = if rolling.is_some() { frames.at } else { held_len };
        drop(frames);
        let mut out = self.disk.extend(&path, len)?;
        // The process before may have ended between a mark and its sync; what is told as held has to last.
        out.sync()?;
        let waiting = Waiting::default();
        let is_rolling = rolling.is_some();
        self.open = Some(Open { out, head, held, since, held_len, len, rolling, waiting });
        if is_rolling {
            self.finish_roll()?;
        } else {
            self.disk.remove(&self.path(".tmp"))?;
        }
        Ok(true)
    }

    /// Ends a roll that an error interrupted.
    fn end_roll(&mut self) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.rolling.is_some()) {
            let rolled = self.finish_roll();
            return rolled.map_err(|e| self.explain_open("cannot make a file of the rows", e));
        }
        Ok(())
    }

    /// Steps 1 and 2. After an error the spool is as before.
    fn begin_roll(&mut self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let tmp = self.path(".tmp");
        let name = open.head.name_of(self.free_number(&open.head)?);
        let written = self.disk.create(&tmp).and_then(|mut out| {
            let mut frames = Frames::of(self.disk.read(&self.path(""))?);
            let Head { format, columns, .. } = &open.head;
            let compression = self.options.compression;
            convert(*format, compression, columns, &mut frames, open.held_len, out.as_mut())?;
            out.sync()?;
            self.disk.sync_folder(&self.options.folder)
        });
        if let Err(e) = written {
            // Room for others, if it was room that lacked; a later roll begins with it anew anyway.
            drop(self.disk.remove(&tmp));
            return Err(e);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.rewind()?;
        open.append(&frame(ROLLING, name.as_bytes())?)?;
        if let Err(e) = open.out.sync() {
            // Nobody knows whether the roll has begun.
            self.dubious_from = Some(open.held_len);
            self.open = None;
            return Err(e);
        }
        open.rolling = Some(name);
        Ok(())
    }

    /// Steps 3 and 4; can be repeated after an error.
    fn finish_roll(&mut self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let Some(name) = &open.rolling else { return Ok(()) };
        let (folder, tmp) = (&self.options.folder, self.path(".tmp"));
        let names = self.disk.names(folder)?;
        if tmp.file_name().is_some_and(|t| names.iter().any(|n| n.as_str() == t)) {
            self.disk.rename(&tmp, &folder.join(name))?;
        }
        self.disk.sync_folder(folder)?;
        let number = open.head.number_of(name).unwrap_or(open.head.number) + 1;
        self.renew(Head { number, held: open.held, ..open.head.clone() })
    }

    /// Begins an empty spool in the place of the one that is there (step 4).
    fn renew(&mut self, head: Head) -> io::Result<()> {
        let (path, new) = (self.path(""), self.path(".new"));
        let mut out = self.disk.create(&new)?;
        let first = frame(HEAD, &serde_json::to_vec(&head)?)?;
        out.append(&first)?;
        out.sync()?;
        self.disk.rename(&new, &path)?;
        let len = first.len() as u64;
        let (held, waiting) = (head.held, Waiting::default());
        self.disk.sync_folder(&self.options.folder)?;
        self.open =
            Some(Open { out, head, held, since: None, held_len: len, len, rolling: None, waiting });
        Ok(())
    }

    /// The least number from the head's on that is beyond those of all files there are.
    fn free_number(&self, head: &Head) -> io::Result<u64> {
        let names = self.disk.names(&self.options.folder)?;
        let highest = names.iter().filter_map(|name| head.number_of(name)).max();
        Ok(head.number.max(highest.map_or(0, |n| n + 1)))
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.options.folder.join(format!("{}{ending}", self.options.spool))
    }

    fn place(&self) -> String {
        self.path("").display().to_string()
    }

    fn during<R>(&mut self, what: &str, act: impl FnOnce(&mut Open) -> io::Result<R>) -> Result<R> {
        let Some(open) = &mut self.open else {
            return Err(self.not_open());
        };
        act(open).map_err(|e| {
            let error = self.explain(what, e);
            if error.remedy() != Remedy::Retry {
                self.open = None;
            }
            error
        })
    }

    fn not_open(&self) -> Error {
        Error::reopen("the spool is not open").at(self.place())
    }

    /// The same call can be tried again only while the spool is open.
    fn explain_open(&self, what: &str, cause: io::Error) -> Error {
        let error = self.explain(what, cause);
        if self.open.is_none() && error.remedy() == Remedy::Retry {
            return error.with_remedy(Remedy::Reopen);
        }
        error
    }

    fn explain(&self, what: &str, cause: io::Error) -> Error {
        fault::explain(what, &self.place(), &self.options.sink, self.was_open, cause)
    }
}

/// What stands behind the spool's name in that of its lock.
const LOCK: &str = ".lock";

impl Waiting {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.batches.is_empty()
    }
}

impl Open {
    /// Puts waiting rows into the spool; after an error they still wait.
    fn append_waiting(&mut self, format: Format) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if let Some(first) = self.waiting.batches.first() {
            let one = concat_batches(&first.schema(), &self.waiting.batches);
            let one = one.map_err(io::Error::other)?;
            let mut stream = Vec::new();
            encode(format, &one, &mut stream)?;
            self.append(&frame(ROWS, &stream)?)?;
            self.waiting.batches.clear();
        } else {
            self.append(&frame(ROWS, &self.waiting.text)?)?;
            self.waiting.text.clear();
        }
        Ok(())
    }

    /// Appends; after an error the spool is as before.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(e) = self.out.append(bytes) {
            // If even that fails, the spool is closed; what is torn is cut when it is opened.
            self.out.cut(self.len)?;
            return Err(e);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Drops what was appended and not flushed.
    fn rewind(&mut self) -> io::Result<()> {
        self.waiting = Waiting::default();
        if self.len != self.held_len {
            self.out.cut(self.held_len)?;
            self.len = self.held_len;
        }
        Ok(())
    }
}
