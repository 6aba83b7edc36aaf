//! The thread that reads files: once each, or for as long as it is let.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use millstream_core::record::Name;
use millstream_core::source::{Pulled, SplitPositions};
use millstream_core::{Error, Result};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::find::{Found, base};
use super::place::{FileId, Place};
use super::reader::{Read, Reader};
use super::source::{Begin, Task};
use super::stray::Strays;

/// Reads the files of a task and sends what it finds.
pub(super) struct Watch {
    pub(super) task: Task,
    /// Where splits stand whose file is not open.
    pub(super) known: BTreeMap<Name, Place>,
    pub(super) open: Vec<Open>,
    /// Files that begin like another one, and since when they wait.
    pub(super) waiting: BTreeMap<FileId, Instant>,
    /// Whether the files have not been listed yet.
    pub(super) first: bool,
    /// Files that were there at the first listing and have not been opened since.
    pub(super) early: BTreeSet<FileId>,
    /// Files that are read and closed: when each was changed, and how many looks found just that.
    pub(super) looks: BTreeMap<FileId, (i64, u8)>,
    /// What is not read for its name.
    pub(super) strays: Strays,
    sender: mpsc::Sender<Result<Pulled>>,
    stopped: Receiver<()>,
}

/// A file that is being followed.
pub(super) struct Open {
    pub(super) reader: Reader,
    /// Since when no path of the listing leads to it.
    pub(super) away: Option<Instant>,
    last_read: Instant,
}

/// Nobody takes the records any more.
pub(super) struct Gone;

/// Reads of one file before the others have their turn.
const READS_IN_TURN: usize = 16;
/// Files held open at one time.
const OPEN_MAX: usize = 500;
/// Of those, how many may be open with nothing to read. Others are closed, and opened again when they grow.
pub(super) const RESTING_MAX: usize = 250;
/// Between two tries of a file that cannot be read, when all others are done.
const TRY_AGAIN: Duration = Duration::from_secs(1);

impl Watch {
    pub(super) fn new(
        task: Task,
        after: &SplitPositions,
        sender: mpsc::Sender<Result<Pulled>>,
        stopped: Receiver<()>,
    ) -> Result<Self> {
        let mut known = BTreeMap::new();
        for (split, position) in after {
            known.insert(split.clone(), Place::parse(position)?);
        }
        Ok(Self {
            task,
            known,
            open: Vec::new(),
            waiting: BTreeMap::new(),
            first: true,
            early: BTreeSet::new(),
            looks: BTreeMap::new(),
            strays: Strays::default(),
            sender,
            stopped,
        })
    }

    /// Reads until all is read, or until the source is dropped.
    pub(super) fn run(mut self) {
        // The one error is that nobody listens: nothing is left to do.
        drop(match (self.task.whole, self.task.follow) {
            (true, _) => self.read_whole(),
            (false, true) => self.follow(),
            (false, false) => self.read_once(),
        });
    }

    fn read_once(&mut self) -> Result<(), Gone> {
        let mut rest = self.find();
        let mut tries = 0;
        while !rest.is_empty() {
            let (mut failed, mut first) = (Vec::new(), None);
            for mut found in rest {
                if let Err(error) = self.read_to_end(&mut found)? {
                    let seen = self.task.listing.seen(&found.path);
                    let error = unreadable(&found.path, error);
                    self.task.report.trouble(&seen, &error);
                    first.get_or_insert(error);
                    failed.push(found);
                }
            }
            rest = failed;
            if let Some(error) = first {
                tries += 1;
                let error = match rest.len() {
                    1 => error,
                    n => Error::retry(format!("{n} files cannot be read")).because(error),
                };
                self.sender.blocking_send(Err(error)).map_err(|_| Gone)?;
                self.rest(TRY_AGAIN * tries.min(60))?;
            }
        }
        Ok(())
    }

    /// The inner error is one of reading; what was read before it is sent.
    fn read_to_end(&mut self, found: &mut Found) -> Result<io::Result<()>, Gone> {
        let (split, place) = (found.split.clone(), found.place.as_ref());
        let opened = Reader::open(split, &found.path, place, self.task.lines);
        let mut reader = match opened {
            Ok(reader) if reader.place.id == found.id => reader,
            // Renamed since it was listed; what is there now is for the next run.
            Ok(_) => match self.task.listing.find_beside(base(&found.split), found.id) {
                Some(path) => {
                    let moved = io::Error::other(format!("it is now `{}`", path.display()));
                    found.path = path;
                    return Ok(Err(moved));
                }
                None => return Ok(Ok(())),
            },
            Err(e) => return Ok(Err(e)),
        };
        loop {
            match reader.read(true) {
                Ok(Read::End) => break,
                Ok(Read::Part) => {}
                Ok(read) => self.sent(&reader.path, read)?,
                Err(e) => return Ok(Err(e)),
            }
            found.place = Some(reader.place.clone());
        }
        self.send(reader.ended())?;
        Ok(Ok(()))
    }

    fn follow(&mut self) -> Result<(), Gone> {
        let mut listed: Option<Instant> = None;
        let mut found = VecDeque::new();
        loop {
            let now = Instant::now();
            if listed.is_none_or(|at| now.duration_since(at) >= self.task.times.list) {
                listed = Some(now);
                found = self.find().into();
            }
            self.close_resting();
            // The others have their turn as soon as some of these rest.
            while self.open.len() < OPEN_MAX
                && let Some(next) = found.pop_front()
            {
                self.begin(&next)?;
            }
            let mut open = std::mem::take(&mut self.open);
            let mut busy = false;
            let mut left = Vec::with_capacity(open.len());
            for mut file in open.drain(..) {
                match self.turn(&mut file)? {
                    Turn::Busy => busy = true,
                    Turn::Rests => {}
                    Turn::Over => {
                        self.known.insert(file.reader.split.clone(), file.reader.place);
                        continue;
                    }
                }
                left.push(file);
            }
            self.open = left;
            if !busy && found.is_empty() {
                self.rest(self.task.times.poll)?;
            }
        }
    }

    /// Opens a file that was found.
    fn begin(&mut self, found: &Found) -> Result<(), Gone> {
        let new = found.place.is_none();
        let opened =
            Reader::open(found.split.clone(), &found.path, found.place.as_ref(), self.task.lines);
        let mut reader = match opened {
            Ok(reader) if reader.place.id == found.id => reader,
            // Renamed since it was listed: the next listing has it where it is.
            Ok(_) => return Ok(()),
            Err(e) => {
                let seen = self.task.listing.seen(&found.path);
                self.task.report.trouble(&seen, &unreadable(&found.path, e));
                return Ok(());
            }
        };
        let now = Instant::now();
        if self.early.remove(&found.id) && new && self.task.from == Begin::End {
            match reader.skip_to_end() {
                Ok(pulled) => self.send(pulled)?,
                Err(e) => self.task.report.trouble(&found.split, &unreadable(&found.path, e)),
            }
        }
        self.known.remove(&found.split);
        let away = (!found.listed).then_some(now);
        self.open.push(Open { reader, away, last_read: now });
        Ok(())
    }

    fn turn(&mut self, file: &mut Open) -> Result<Turn, Gone> {
        for _ in 0..READS_IN_TURN {
            let now = Instant::now();
            let over = file.away.is_some_and(|since| {
                now.duration_since(since.max(file.last_read)) >= self.task.times.away
            });
            match file.reader.read(over) {
                Ok(Read::End) if over => {
                    self.send(file.reader.ended())?;
                    return Ok(Turn::Over);
                }
                Ok(Read::End) => return Ok(Turn::Rests),
                Ok(Read::Part) => file.last_read = now,
                Ok(read) => {
                    file.last_read = now;
                    self.sent(&file.reader.path, read)?;
                }
                Err(e) => {
                    let error = unreadable(&file.reader.path, e);
                    self.task.report.trouble(&file.reader.split, &error);
                    return Ok(Turn::Rests);
                }
            }
        }
        Ok(Turn::Busy)
    }

    fn close_resting(&mut self) {
        if self.open.len() > RESTING_MAX {
            self.open.sort_by_key(|f| (f.reader.rests(), std::cmp::Reverse(f.last_read)));
            let late = self.open.split_off(RESTING_MAX);
            let (rest, busy): (Vec<_>, Vec<_>) = late.into_iter().partition(|f| f.reader.rests());
            self.open.extend(busy);
            for file in rest {
                self.known.insert(file.reader.split.clone(), file.reader.place);
            }
        }
    }

    fn sent(&self, path: &Path, read: Read) -> Result<(), Gone> {
        let Read::Some(pulled, too_long) = read else { return Ok(()) };
        match too_long {
            Some(line) => {
                let max = millstream_core::fields::Bytes(self.task.lines.line_max as u64);
                let error = Error::set_aside(format!(
                    "a line of {} bytes is longer than {max}, so it stays in the file",
                    line.bytes
                ));
                let error = error.at(format!("{}:{}", path.display(), line.at));
                self.task.report.trouble(&pulled.split, &error.fix("raise `line_max`"));
            }
            None => self.task.report.fine(&pulled.split),
        }
        self.send(pulled)
    }

    pub(super) fn send(&self, pulled: Pulled) -> Result<(), Gone> {
        self.sender.blocking_send(Ok(pulled)).map_err(|_| Gone)
    }

    /// Waits, unless the source is dropped.
    pub(super) fn rest(&self, time: Duration) -> Result<(), Gone> {
        match self.stopped.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Gone),
        }
    }
}

/// What a file did in its turn.
enum Turn {
    Busy,
    Rests,
    Over,
}

pub(super) fn unreadable(path: &Path, cause: io::Error) -> Error {
    let error = Error::retry("cannot read the file").at(path.display().to_string()).because(cause);
    error.fix("check its permissions; reading goes on by itself")
}
