//! Opening a log: cut what is torn, stop at what is corrupt, and never lose what was durable.
//!
//! A bad frame is *torn* if nothing durable can have been there: its sequence number is at or above
//! the highest `durable_upto` in any frame, before it or after it. Everything from the append it
//! belongs to is then cut. If a later frame says that this place was durable, it is *corrupt*.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_core::disk::Disk;
use millstream_core::plugin::Env;
use millstream_core::queue::{Checkpoint, LogId};
use millstream_core::record::Position;
use millstream_core::{Error, Result, Timestamp};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::chunks::{self, ChunkTable};
use super::frame::{self, HEADER, Header, Kind, MAGIC, MORE, POSITION};
use super::reserve::Reserve;
use super::segment::{self, Head, Segment, Stored, Walk, corrupt, unreadable};
use super::side::{self, Side};
use super::splits::Splits;
use super::state::{Jobs, Shared, State, Tail};
use super::writer::{Doomed, Writer};
use super::{LogQueue, commit, retain};

/// Opens the log in `folder`, making it if it is not there.
pub(crate) fn open(
    options: &LogQueue,
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    env: Env,
) -> Result<(Arc<Shared>, Writer)> {
    for folder in [&folder, &side::folder(&folder), &chunks::folder(&folder)] {
        disk.create_folder(folder).map_err(|e| unreadable(folder, e))?;
    }
    let lock = lock(&*disk, &folder, &env)?;
    let reserve = Reserve::open(&*disk, &folder, options.reserve.0);
    let segments = segments(&*disk, &folder, &env)?;
    let Some((last, head)) = segments.last() else {
        return Err(Error::stop("a log has at least one segment"));
    };
    let seed = frame::seed(head.log);
    let mut tail = Replay::new(head);
    tail.scan(last, seed)?;
    tail.finish(last, seed)?;
    let Replay { sequence, offset, splits, checkpoints, trimmed, chunk_next, .. } = tail;
    let mut state = State {
        incarnation: head.incarnation,
        splits,
        sequence,
        end: offset,
        checkpoints,
        trimmed,
        tail: Tail::at(offset),
        in_flight: 0,
        waiting: 0,
        broken: None,
        segments: VecDeque::new(),
    };
    let (last, log) = (last.clone(), LogId(head.log));
    state.segments.extend(segments.into_iter().map(|(segment, _)| segment));
    check_reach(&state, &folder)?;
    let sides = open_sides(&*disk, &folder, seed, &state)?;
    let table = ChunkTable::open(&*disk, &folder, chunk_next, state.checkpoints.iter())?;
    let shared = Arc::new(Shared {
        options: options.clone(),
        folder,
        disk,
        env,
        log,
        seed,
        state: Mutex::new(state),
        sides: Mutex::new(sides),
        chunks: Mutex::new(table),
        jobs: Mutex::new(Jobs::default()),
        wake: Condvar::new(),
        moved: Notify::new(),
        room: Notify::new(),
    });
    let mut writer = Writer::new(shared.clone(), last, sequence, reserve, lock);
    // What a crash kept from being removed.
    let (bytes, now) = (shared.bytes(), shared.env.clock.now());
    let spent = retain::spent(&mut shared.state.lock(), &options.retain, bytes, now, false);
    writer.doomed.extend(spent.into_iter().map(Doomed::Segment));
    writer.sync()?;
    Ok((shared, writer))
}

/// `2026-11-23T05:18:39Z`, for people.
fn utc(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant's `civil_from_days` (https://howardhinnant.github.io/date_algorithms.html).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn lock(
    disk: &dyn Disk,
    folder: &Path,
    env: &Env,
) -> Result<Box<dyn millstream_core::disk::DiskLock>> {
    let path = folder.join("LOCK");
    let holder = format!(
        "process {} of pipeline `{}`, since {}",
        std::process::id(),
        env.pipeline,
        utc(env.clock.now())
    );
    disk.lock(&path, &holder).map_err(|e| {
        if e.kind() == std::io::ErrorKind::WouldBlock {
            let other = e.to_string();
            let other = if other.is_empty() { "another process".into() } else { other };
            // Perhaps for a moment only: whoever opens it knows how long to wait.
            Error::retry(format!("the log is held by {other}"))
                .at(folder.display().to_string())
                .fix("stop that process first, or give this pipeline a folder of its own in `queue.log.path`")
        } else {
            unreadable(&path, e)
        }
    })
}

/// Opens every segment and checks that they follow on one another; makes the first if there is none.
fn segments(disk: &dyn Disk, folder: &Path, env: &Env) -> Result<Vec<(Arc<Segment>, Head)>> {
    let names = disk.list(folder).map_err(|e| unreadable(folder, e))?;
    // The last process may have ended between a rename and this.
    disk.sync_folder(folder).map_err(|e| unreadable(folder, e))?;
    for unborn in names.iter().filter(|n| n.ends_with(".tmp")) {
        let path = folder.join(unborn);
        disk.remove(&path).map_err(|e| unreadable(&path, e))?;
    }
    let ids: Vec<u64> = names.iter().filter_map(|n| segment::id_of(n)).collect();
    if ids.is_empty() {
        return Ok(vec![first_segment(disk, folder, env)?]);
    }
    let mut segments: Vec<(Arc<Segment>, Head)> = Vec::new();
    for id in ids {
        let path = folder.join(segment::file_name(id));
        let (segment, head) = Segment::open(disk, path.clone())?;
        if head.segment != id {
            return Err(corrupt(&path, 0, &format!("it is segment {}, not {id}", head.segment)));
        }
        if let Some((before, before_head)) = segments.last() {
            if before_head.log != head.log {
                return Err(corrupt(&path, 0, "it is a segment of another log"));
            }
            if before.id + 1 != id {
                let missing = folder.join(segment::file_name(before.id + 1));
                return Err(corrupt(&missing, 0, "a segment in the middle of the log is gone"));
            }
            if before.bytes() < head.previous_bytes {
                let what = format!("the segment had {} bytes and is cut off", head.previous_bytes);
                return Err(corrupt(&before.path, before.bytes(), &what));
            }
            before.publish(head.previous_bytes);
        }
        segments.push((Arc::new(segment), head));
    }
    Ok(segments)
}

fn first_segment(disk: &dyn Disk, folder: &Path, env: &Env) -> Result<(Arc<Segment>, Head)> {
    for part in [side::folder(folder), chunks::folder(folder)] {
        let left = disk.list(&part).map_err(|e| unreadable(&part, e))?;
        if let Some(name) = left.first() {
            return Err(corrupt(
                &part.join(name),
                0,
                "the segments of the log are gone, and other parts of it are still there",
            ));
        }
    }
    let head = Head {
        log: disk.random(),
        incarnation: 1,
        segment: 1,
        first_sequence: 0,
        first_offset: 0,
        previous_bytes: 0,
        at: env.clock.now(),
        trimmed: (0, 0),
        chunk_next: 0,
        splits: Vec::new(),
        checkpoints: Vec::new(),
    };
    let segment =
        Segment::create(disk, folder, &head)?.map_err(|(path, e)| unreadable(&path, e))?;
    Ok((Arc::new(segment), head))
}

/// Checks that frames which a kept checkpoint needs are there.
fn check_reach(state: &State, folder: &Path) -> Result<()> {
    let Some(oldest) = state.checkpoints.front() else { return Ok(()) };
    let first = state.first();
    if oldest.next.0 < first {
        return Err(corrupt(
            folder,
            0,
            &format!(
                "it begins at offset {first}, but what lies from {} on is still needed",
                oldest.next
            ),
        ));
    }
    Ok(())
}

fn open_sides(
    disk: &dyn Disk,
    folder: &Path,
    seed: u32,
    state: &State,
) -> Result<BTreeMap<String, Arc<Side>>> {
    let side_folder = side::folder(folder);
    let mut firsts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for file in disk.list(&side_folder).map_err(|e| unreadable(&side_folder, e))? {
        if let Some((name, first)) = side::of_file_name(&file) {
            firsts.entry(name).or_default().push(first);
        }
    }
    for name in state.checkpoints.back().iter().flat_map(|c| c.sides.keys()) {
        firsts.entry(name.clone()).or_default();
    }
    let mut sides = BTreeMap::new();
    for (name, firsts) in firsts {
        let named = state.checkpoints.back().is_some_and(|c| c.sides.contains_key(&name));
        let side = Side::open(&name, seed, state.side_extent(&name), disk, folder, firsts)?;
        if named {
            sides.insert(name, Arc::new(side));
        }
    }
    Ok(sides)
}

/// Follows the frames of the last segment.
struct Replay {
    sequence: u64,
    offset: u64,
    splits: Splits,
    checkpoints: VecDeque<Checkpoint>,
    trimmed: (u64, u64),
    chunk_next: u64,
    /// Everything below was durable, by what was read so far.
    durable: u64,
    /// Where the frames begin that may not be durable: sequence and byte.
    loose: VecDeque<(u64, u64)>,
    /// Where whole appends end: everything behind is cut.
    end: u64,
    /// Frames of an append that is not whole yet.
    part: Vec<Stored>,
}

impl Replay {
    fn new(head: &Head) -> Self {
        Self {
            sequence: head.first_sequence,
            offset: head.first_offset,
            splits: Splits::from_rows(head.splits.clone()),
            checkpoints: head.checkpoints.clone().into(),
            trimmed: head.trimmed,
            chunk_next: head.chunk_next,
            durable: head.first_sequence,
            loose: VecDeque::new(),
            end: 0,
            part: Vec::new(),
        }
    }

    fn scan(&mut self, last: &Segment, seed: u32) -> Result<()> {
        let mut walk = Walk::new(last, last.start, 1 << 20);
        self.end = last.start;
        let (mut sequence, mut offset) = (self.sequence, self.offset);
        loop {
            let at = walk.at;
            let Some(stored) = walk.next(seed)? else { break };
            let header = stored.header;
            if header.sequence != sequence || header.offset != offset {
                break;
            }
            sequence += 1;
            offset += u64::from(header.kind.has_offset());
            self.durable = self.durable.max(header.durable_upto);
            self.loose.push_back((header.sequence, at));
            while self.loose.front().is_some_and(|(s, _)| *s < self.durable) {
                self.loose.pop_front();
            }
            let whole = header.flags & MORE == 0;
            self.part.push(stored);
            if whole {
                for stored in &std::mem::take(&mut self.part) {
                    self.apply(&last.path, stored)?;
                }
                (self.sequence, self.offset, self.end) = (sequence, offset, walk.at);
                last.mark(offset, walk.at);
            }
        }
        Ok(())
    }

    fn apply(&mut self, path: &Path, stored: &Stored) -> Result<()> {
        let header = stored.header;
        let unreadable = |what: &str| corrupt(path, self.end, &format!("{what} cannot be read"));
        match header.kind {
            Kind::Block | Kind::Idle | Kind::Ended | Kind::Pin | Kind::Table => {
                let position = (header.flags & POSITION != 0)
                    .then(|| Position(bytes::Bytes::copy_from_slice(&stored.position)));
                self.splits.follow(header.split, header.kind, position.as_ref());
            }
            Kind::Split => {
                let (source, split): (Arc<str>, Arc<str>) =
                    postcard::from_bytes(&stored.payload)
                        .map_err(|e| unreadable("a split").because(e))?;
                self.splits.add(source, split);
            }
            Kind::Checkpoint => {
                let (chunk_next, checkpoint): (u64, Checkpoint) =
                    postcard::from_bytes(&stored.payload)
                        .map_err(|e| unreadable("a checkpoint").because(e))?;
                self.chunk_next = self.chunk_next.max(chunk_next);
                drop(commit::keep(&mut self.checkpoints, checkpoint));
            }
            Kind::Trim => {
                self.trimmed = postcard::from_bytes(&stored.payload)
                    .map_err(|e| unreadable("a trim").because(e))?;
                drop(retain::drop_checkpoints(&mut self.checkpoints, self.trimmed));
            }
            Kind::Closed => {}
        }
        Ok(())
    }

    /// Tells torn from corrupt, cuts what is torn, and makes the rest durable.
    fn finish(&mut self, last: &Segment, seed: u32) -> Result<()> {
        let bytes = last.bytes();
        let failed = |e| unreadable(&last.path, e);
        if self.end < bytes {
            let later = later(last, self.end, self.sequence, seed)?.max(self.durable);
            if later > self.sequence {
                let what =
                    format!("frame {} was durable and does not match its checksum", self.sequence);
                return Err(corrupt(&last.path, self.end, &what));
            }
            last.file.truncate(self.end).map_err(failed)?;
            tracing::warn!(
                path = %last.path.display(),
                at = self.end,
                bytes = bytes - self.end,
                "cut the torn tail of the log: after a crash it is what was never acknowledged"
            );
        }
        last.publish(self.end);
        // After a failed fsync the page cache may show bytes that the disk never got: write them again.
        let loose = self.loose.front().map_or(self.end, |(_, at)| *at).min(self.end);
        let mut at = loose;
        let mut buffer = vec![0; 1 << 20];
        while at < self.end {
            let want = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let part = buffer.get_mut(..want).unwrap_or_default();
            let got = last.file.read_at(at, part).map_err(failed)?;
            if got < want {
                return Err(corrupt(&last.path, at, "it became shorter while it was read"));
            }
            last.file.write_at(at, &[part]).map_err(failed)?;
            at += got as u64;
        }
        if loose < self.end || self.end < bytes {
            last.file.sync_data().map_err(failed)?;
        }
        Ok(())
    }
}

/// The highest `durable_upto` in any whole frame of this log behind the bad place.
fn later(last: &Segment, from: u64, sequence: u64, seed: u32) -> Result<u64> {
    let rest = usize::try_from(last.bytes() - from).unwrap_or(usize::MAX);
    let mut bytes = vec![0; rest];
    let got = last.file.read_at(from, &mut bytes).map_err(|e| unreadable(&last.path, e))?;
    bytes.truncate(got);
    let mut highest = 0;
    for at in memchr::memmem::find_iter(&bytes, &MAGIC) {
        let Some(candidate) = bytes.get(at..) else { continue };
        if candidate.len() < HEADER {
            break;
        }
        if let Some((header, _, _)) = Header::whole(seed, candidate)
            && header.segment == last.id
            && header.sequence >= sequence
        {
            highest = highest.max(header.durable_upto);
        }
    }
    Ok(highest)
}
