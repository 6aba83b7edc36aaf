//! Appends: those that wait are gathered into one call of the server, one call at a time.
//!
//! Each call has the next number of this process. While its answer is not known, the very same call is made
//! again, and the server, which knows the number, stores it once.
//!
//! A call is a transaction: `XADD` of each frame, then the function `append`, which counts in what it may and takes the
//! rest away again. So the frames are spared the way through the server's interpreter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use millstream_core::record::{Block, Body, Form, Frame, Offset, Position};
use millstream_core::role::Role;
use millstream_core::{Error, Remedy, Result};
use millstream_redis::redis::{Cmd, Pipeline, RedisWrite, ToRedisArgs, ToSingleRedisArg};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::call::{Answer, Call, Failure};
use super::entry::{ENTRY_BYTES_MAX, Entry};
use super::state::{Claim, Last, Pause, Shared};

/// A call carries about this much, however much more is waiting.
const CALL_BYTES: u64 = 4 << 20;
/// And no more appends than this.
const CALL_GROUPS: usize = 1024;
/// How often a full queue is looked at: another process may have made room.
const ROOM_EVERY: Duration = Duration::from_millis(100);

/// Appends that wait for their turn. Each caller has one, so that there are never more than callers.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queue: Mutex<VecDeque<Group>>,
    come: Notify,
}

/// One append.
#[derive(Debug)]
pub(crate) struct Group {
    frames: Vec<Frame>,
    entries: Vec<Entry>,
    /// Roles that its frames are appended in, with the tokens of this process.
    roles: Vec<(String, String)>,
    /// The last position of each split.
    positions: Vec<(String, Position)>,
    need: u64,
    done: Done,
}

/// What came of an append: of each group in a word, and the generation of the ids of what was stored.
struct Outcomes {
    generation: u64,
    groups: Vec<String>,
}

type Done = oneshot::Sender<Result<Range<Offset>>>;

/// The field of a split's position: `<length of the source>:<source><split>`.
pub(crate) fn split_field(source: &str, split: &str) -> String {
    format!("{}:{source}{split}", source.len())
}

/// Source and split of such a field.
pub(crate) fn of_split_field(field: &str) -> Option<(&str, &str)> {
    let (length, names) = field.split_once(':')?;
    names.split_at_checked(length.parse().ok()?)
}

impl ToRedisArgs for Entry {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        use std::io::Write as _;
        // Straight into the command, so that the body is not copied to stand behind its head.
        let mut writer = out.writer_for_next_arg();
        for part in [&self.head[..], &self.body[..]] {
            // The writer is a vector: it takes everything.
            if writer.write_all(part).is_err() {
                return;
            }
        }
    }
}

impl ToSingleRedisArg for Entry {}

impl Shared {
    /// Hands frames over to be appended. From then on they are stored whole, or not at all, whoever waits.
    pub(crate) fn submit(
        &self,
        frames: &[Frame],
    ) -> Result<oneshot::Receiver<Result<Range<Offset>>>> {
        let entries = frames.iter().map(|f| Entry::of(self.seed, f)).collect::<Result<Vec<_>>>()?;
        let need: u64 = entries.iter().map(|e| e.len() as u64).sum();
        let most = self.bounds.bytes_max.min(ENTRY_BYTES_MAX as u64);
        let count = frames.len() as u64;
        if need > most || self.bounds.frames_max.is_some_and(|max| count > max) {
            return Err(Error::set_aside(format!(
                "{count} frames of {need} bytes cannot be appended at once to a queue bounded at {most} bytes{}",
                self.bounds.frames_max.map_or_else(String::new, |n| format!(" and {n} frames"))
            ))
            .fix("raise `queue.redis.bytes_max` or `frames_max`"));
        }
        let mut positions = BTreeMap::new();
        for frame in frames {
            if let Some(position) = &frame.position {
                positions.insert(split_field(&frame.source, &frame.split), position.clone());
            }
        }
        let roles = self.roles_of(frames);
        let (done, answer) = oneshot::channel();
        self.waiting.queue.lock().push_back(Group {
            frames: frames.to_vec(),
            entries,
            roles,
            positions: positions.into_iter().collect(),
            need,
            done,
        });
        self.waiting.come.notify_one();
        Ok(answer)
    }

    /// The roles that frames are appended in, with the tokens of this process (empty where it has none).
    fn roles_of(&self, frames: &[Frame]) -> Vec<(String, String)> {
        let state = self.state.lock();
        let process = match &state.claim {
            Claim::Held(held) => held.token.clone(),
            Claim::None => String::new(),
            // No role has such a token.
            Claim::Lost(_) => "0".to_owned(),
        };
        let mut roles = BTreeSet::new();
        for frame in frames {
            let collect = Role::Collect(frame.source.clone()).to_string();
            let token = state.roles.get(&collect);
            // The processor feeds records back from the dead letters; they say nothing of a split.
            let fed_back = match &frame.body {
                Body::Pin(_) => true,
                Body::Block(block) => {
                    let bare = Block::form(block) == Form::Rows || frame.position.is_none();
                    bare && token.is_none() && !process.is_empty()
                }
                Body::Idle | Body::Ended | Body::Table(_) => false,
            };
            roles.insert(if fed_back {
                (Role::Process.to_string(), process.clone())
            } else {
                (collect, token.cloned().unwrap_or_default())
            });
        }
        roles.into_iter().collect()
    }

    /// Takes what is waiting, up to the bounds of a call.
    fn gather(&self) -> Vec<Group> {
        let mut queue = self.waiting.queue.lock();
        let mut groups: Vec<Group> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = queue.front() {
            let over = bytes + next.need > CALL_BYTES || groups.len() == CALL_GROUPS;
            if over && !groups.is_empty() {
                break;
            }
            bytes += next.need;
            groups.extend(queue.pop_front());
        }
        groups
    }

    fn write(&self, life: &str, sequence: u64, groups: &[Group]) -> Call {
        let keys = &self.keys;
        let names = [
            keys.meta.as_str(),
            &keys.frames,
            &keys.positions,
            &keys.appenders,
            &keys.roles,
            &keys.appends,
        ];
        let entries = || groups.iter().flat_map(|g| &g.entries);
        let mut added = Pipeline::with_capacity(entries().count() + 1);
        for entry in entries() {
            // Each argument's place and the command's own words beside the frame.
            let mut add = Cmd::with_capacity(5, entry.len() + keys.frames.len() + 8);
            add.arg("XADD").arg(&keys.frames).arg("*").arg("f").arg(entry);
            added.add_command(add);
        }
        let frames_max = self.bounds.frames_max.unwrap_or(u64::MAX >> 12);
        let mut call = Call::new("append", &names)
            .arg(life)
            .arg(&self.process)
            .arg(sequence)
            .arg(added.len())
            .arg(self.bounds.bytes_max)
            .arg(frames_max)
            .arg(groups.len());
        for group in groups {
            call = call.arg(group.roles.len());
            for (role, token) in &group.roles {
                call = call.arg(role).arg(token);
            }
            call = call.arg(group.positions.len());
            for (split, position) in &group.positions {
                call = call.arg(split).arg(&position.0[..]);
            }
            let lengths: Vec<String> = group.entries.iter().map(|e| e.len().to_string()).collect();
            call = call.arg(group.need).arg(lengths.len()).arg(lengths.join(" "));
        }
        call.after(added)
    }

    /// Appends until it knows what came of it.
    async fn store(&self, sequence: u64, groups: &[Group]) -> Result<Outcomes> {
        let mut pause = Pause::default();
        let mut doubt = false;
        loop {
            let call = |life: &str| self.write(life, sequence, groups);
            let failure = match self.call(&self.appends, call).await {
                Ok(answer) => {
                    if pause.tried() {
                        self.env.report.fine("append");
                    }
                    return self.outcomes(&answer);
                }
                Err(failure) => failure,
            };
            doubt |= !failure.known;
            let Failure { error, known } = failure;
            if error.remedy() != Remedy::Retry {
                if doubt {
                    // The next append must not be taken for this one.
                    let why = format!("it is not known what became of an append: {}", error.line());
                    return Err(
                        self.break_down(why, "start again: what was appended is gone on from")
                    );
                }
                return Err(error);
            }
            // Refused for what may last: the callers shall know, and ask again.
            if known && lasting(&error) {
                if !doubt {
                    return Err(error);
                }
                if let Some(outcomes) = self.settle(sequence).await? {
                    return Ok(outcomes);
                }
                return Err(error);
            }
            self.env.report.trouble("append", &error);
            pause.wait().await;
        }
    }

    fn outcomes(&self, answer: &Answer) -> Result<Outcomes> {
        if answer.word == "OK" {
            let (generation, all) = answer.text(0).split_once(' ').unwrap_or_default();
            return Ok(Outcomes {
                generation: generation.parse().unwrap_or(0),
                groups: all.split(',').map(ToOwned::to_owned).collect(),
            });
        }
        let why = "the server does not know this process any more: it was cut off for a day, or its record in \
                   `appenders` was changed";
        Err(self.break_down(why.to_owned(), "start it again"))
    }

    /// What came of an append in doubt. `None`: nothing, and nothing will.
    async fn settle(&self, sequence: u64) -> Result<Option<Outcomes>> {
        let keys = [self.keys.meta.as_str(), self.keys.appenders.as_str()];
        let answer = self
            .steady("append", || async {
                let call = |life: &str| {
                    Call::new("settle", &keys).arg(life).arg(&self.process).arg(sequence)
                };
                Ok(self.call(&self.appends, call).await?)
            })
            .await?;
        if answer.word == "NONE" {
            self.state.lock().sequence = sequence;
            return Ok(None);
        }
        self.outcomes(&answer).map(Some)
    }

    /// Appends what comes, until the queue is closed or broken.
    pub(crate) async fn append_on(self: Arc<Self>) {
        let mut sequence = 0;
        loop {
            let come = self.waiting.come.notified();
            let groups = self.gather();
            if groups.is_empty() {
                come.await;
                continue;
            }
            sequence += 1;
            match self.store(sequence, &groups).await {
                Ok(outcomes) => {
                    self.state.lock().sequence = sequence;
                    if let Some(need) = self.deliver(groups, &outcomes).await {
                        self.wait_for_room(need).await;
                    }
                }
                Err(e) => {
                    // It was refused before anything was written, so that its number was not used.
                    sequence = self.state.lock().sequence.max(sequence - 1);
                    for group in groups {
                        answer(group.done, Err(again(&e)));
                    }
                }
            }
        }
    }

    /// Tells each append what came of it. The others go back to where they waited. If there was no room for the first
    /// of them: the bytes and frames that it needs.
    async fn deliver(
        self: &Arc<Self>,
        groups: Vec<Group>,
        outcomes: &Outcomes,
    ) -> Option<(u64, u64)> {
        let mut back = VecDeque::new();
        let mut full = None;
        let mut stored = Vec::new();
        let mut refused = Vec::new();
        {
            let mut state = self.state.lock();
            for (i, group) in groups.into_iter().enumerate() {
                match outcomes.groups.get(i).map(String::as_str) {
                    Some("r") => refused.push(group),
                    // It was behind one that was refused.
                    Some("a") => back.push_back(group),
                    Some("f") | None => {
                        full.get_or_insert((group.need, group.frames.len() as u64));
                        back.push_back(group);
                    }
                    Some(start) => {
                        let start: u64 = start.parse().unwrap_or(0);
                        let mut end = start;
                        for (frame, entry) in group.frames.into_iter().zip(&group.entries) {
                            state.frame_bytes = (state.frame_bytes * 7 + entry.len()) / 8;
                            state.tail.push(end, frame);
                            if state.last.is_none_or(|last| last.at <= end) {
                                let (generation, crc) = (outcomes.generation, entry.crc);
                                state.last = Some(Last { at: end, generation, crc });
                                state.generation = generation;
                            }
                            end += 1;
                        }
                        stored.push((group.done, Offset(start)..Offset(end)));
                    }
                }
            }
        }
        self.moved.notify_waiters();
        self.acknowledge(stored);
        for group in refused {
            let error = self.refusal(&group.roles).await;
            answer(group.done, Err(error));
        }
        let mut queue = self.waiting.queue.lock();
        while let Some(group) = back.pop_back() {
            queue.push_front(group);
        }
        full
    }

    /// Answers appends, once the server's disk has them where that has to be waited for.
    fn acknowledge(self: &Arc<Self>, stored: Vec<(Done, Range<Offset>)>) {
        if self.sync.session.is_none() {
            for (done, range) in stored {
                answer(done, Ok(range));
            }
            return;
        }
        let shared = self.clone();
        // The next call need not wait for the disk as well.
        tokio::spawn(async move {
            let synced = shared.steady("disk", || shared.synced()).await;
            for (done, range) in stored {
                answer(done, synced.as_ref().map(|()| range).map_err(again));
            }
        });
    }

    /// Waits until there may be room for so many bytes and frames.
    async fn wait_for_room(&self, (need, frames): (u64, u64)) {
        let fits = || {
            let state = self.state.lock();
            let bytes = state.bytes.saturating_add(need) <= self.bounds.bytes_max;
            let kept = (state.end - state.first).saturating_add(frames);
            state.sound().is_err()
                || (bytes && self.bounds.frames_max.is_none_or(|max| kept <= max))
        };
        loop {
            let room = self.room.notified();
            if fits() {
                return;
            }
            tokio::select! {
                () = room => {}
                () = tokio::time::sleep(ROOM_EVERY) => {
                    if let Err(e) = self.refresh().await {
                        self.env.report.trouble("append", &e);
                    }
                }
            }
        }
    }

    /// Answers everyone who still waits: it is closed.
    pub(crate) fn turn_away(&self) {
        let groups = std::mem::take(&mut *self.waiting.queue.lock());
        for group in groups {
            answer(group.done, Err(Error::stop("the queue is closed")));
        }
    }
}

/// A state of the server that lasts until somebody does something about it, other than being away.
fn lasting(e: &Error) -> bool {
    let line = e.line();
    ["OOM", "MISCONF", "NOREPLICAS"].iter().any(|code| line.contains(code))
}

/// The same error once more, for another caller.
fn again(e: &Error) -> Error {
    let error = Error::new(e.remedy(), e.line());
    match e.how_to_fix() {
        Some(fix) => error.fix(fix),
        None => error,
    }
}

fn answer<T>(done: oneshot::Sender<Result<T>>, outcome: Result<T>) {
    // Whoever asked may have gone away.
    done.send(outcome).ok();
}
