//! Reading frames, and waiting for them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_core::queue::{Checkpoint, Positions, Slab};
use millstream_core::record::{Name, Offset, Position};
use millstream_core::{Error, Result};
use millstream_redis::Session;
use millstream_redis::redis::{Cmd, FromRedisValue, Pipeline, Value, cmd, pipe};

use super::append::of_split_field;
use super::entry;
use super::state::{Pause, Shared};

/// What is read of the queue's numbers beside anything else.
const NUMBERS: [&str; 7] = ["life", "end", "first", "cum", "cut", "side", "chunk"];
/// How long the server holds an answer back while there is nothing to say.
pub(crate) const BLOCK: Duration = Duration::from_secs(4);
/// The most entries that are asked for at once.
const ENTRIES_MAX: usize = 4096;

/// The entries of a stream: number, first field's value, and the bytes before it.
pub(crate) struct Entries(pub(crate) Vec<(u64, Bytes, u64)>);

impl FromRedisValue for Entries {
    fn from_redis_value(value: Value) -> Result<Self, millstream_redis::redis::ParsingError> {
        let entries = Vec::<(String, Vec<Value>)>::from_redis_value(value)?;
        let number = |id: &str| {
            // An id that is not ours is no number of ours.
            let n = id.split_once('-').and_then(|(_, n)| n.parse::<u64>().ok());
            n.and_then(|n| n.checked_sub(1)).unwrap_or(u64::MAX)
        };
        let mut all = Vec::with_capacity(entries.len());
        for (id, fields) in entries {
            let mut fields = fields.into_iter().skip(1);
            let value = Vec::<u8>::from_redis_value(fields.next().unwrap_or_default())?;
            let before = fields.nth(1).map_or(Ok(0), u64::from_redis_value)?;
            all.push((number(&id), value.into(), before));
        }
        Ok(Self(all))
    }
}

impl Shared {
    fn numbers(&self) -> Cmd {
        let mut numbers = cmd("HMGET");
        numbers.arg(&self.keys.meta).arg(&NUMBERS);
        numbers
    }

    /// Takes the queue's numbers over. False if they are of another life, in which what was read beside them
    /// may not be what was there before.
    fn saw_numbers(&self, numbers: &[Option<String>]) -> Result<bool> {
        let text = |i: usize| numbers.get(i).and_then(Option::as_deref);
        let number = |i: usize| text(i).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let Some(life) = text(0) else { return Err(self.gone()) };
        if life != self.state.lock().life {
            return Ok(false);
        }
        let bytes = number(3).saturating_sub(number(4)) + number(5) + number(6);
        self.saw(number(1), number(2), bytes);
        Ok(true)
    }

    /// Asks for something together with the queue's numbers, until both are of one life.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        session: &Session,
        write: impl Fn(&mut Pipeline) + Send + Sync,
    ) -> Result<T> {
        loop {
            let mut commands = pipe();
            write(&mut commands);
            commands.add_command(self.numbers());
            let (answer, numbers): (T, Vec<Option<String>>) =
                session.ask_all("cannot read the queue", &commands).await?;
            if self.saw_numbers(&numbers)? {
                return Ok(answer);
            }
            Box::pin(self.verify()).await?;
        }
    }

    /// Learns the queue's end, first offset and bytes.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let numbers: Vec<Option<String>> =
            self.main.ask("cannot read the queue", &self.numbers()).await?;
        if self.saw_numbers(&numbers)? { Ok(()) } else { Box::pin(self.verify()).await }
    }

    pub(crate) async fn read(&self, from: Offset, bytes_max: usize) -> Result<Slab> {
        let (count, end) = {
            let state = self.state.lock();
            state.sound()?;
            if from.0 < state.first {
                return Err(trimmed(from, state.first));
            }
            let near = state.tail.read(from, bytes_max);
            if let Some(slab) = near.or_else(|| state.ahead.read(from, bytes_max)) {
                return Ok(slab);
            }
            let count = (bytes_max / state.frame_bytes.max(1) + 1).clamp(1, ENTRIES_MAX);
            (count, state.end)
        };
        let read = || async {
            let Entries(entries) = self
                .ask::<Entries>(&self.main, |commands| {
                    let start = format!("0-{}", from.0 + 1);
                    commands.cmd("XRANGE").arg(&self.keys.frames).arg(start).arg("+");
                    commands.arg("COUNT").arg(count);
                })
                .await?;
            Ok(entries)
        };
        let entries = self.steady("read", read).await?;
        self.slab(from, bytes_max, entries, end)
    }

    /// The frames of these entries; `end` is what the queue's end was known to be before they were asked for.
    /// What was appended since may or may not be among them.
    fn slab(
        &self,
        from: Offset,
        bytes_max: usize,
        entries: Vec<(u64, Bytes, u64)>,
        end: u64,
    ) -> Result<Slab> {
        let first = self.state.lock().first;
        if from.0 < first {
            return Err(trimmed(from, first));
        }
        if entries.is_empty() {
            if from.0 < end {
                return Err(self.hole());
            }
            return Ok(Slab { frames: Vec::new(), next: from });
        }
        let mut frames = Vec::with_capacity(entries.len());
        let mut last = None;
        let (mut next, mut bytes) = (from, 0);
        for (number, entry, _) in entries {
            if number != next.0 {
                return Err(self.hole());
            }
            bytes += entry.len();
            let (frame, crc) = entry::decode(self.seed, next, &entry)
                .map_err(|e| e.at(format!("{}, key `{}`", self.place, self.keys.frames)))?;
            last = Some((next.0, crc));
            frames.push((next, frame));
            next = next.next();
        }
        let mut state = self.state.lock();
        state.frame_bytes = (state.frame_bytes + bytes / frames.len().max(1)) / 2;
        if state.last.is_none_or(|(at, _)| last.is_some_and(|(new, _)| new > at)) {
            state.last = last;
        }
        state.end = state.end.max(next.0);
        let mut slab = Slab { frames: Vec::with_capacity(frames.len()), next: from };
        let mut bytes = 0;
        for (offset, frame) in frames {
            if !slab.frames.is_empty() && bytes + frame.bytes() > bytes_max {
                // More came than was asked for: the next read has it.
                bytes = usize::MAX >> 1;
                state.ahead.push(offset.0, frame);
                continue;
            }
            bytes += frame.bytes();
            slab.frames.push((offset, frame));
            slab.next = offset.next();
        }
        Ok(slab)
    }

    pub(crate) async fn wait(&self, from: Offset) -> Result<()> {
        struct Following<'a>(&'a Shared);
        impl Drop for Following<'_> {
            fn drop(&mut self) {
                self.0.followers.send_modify(|n| *n -= 1);
            }
        }
        let mut following = None;
        loop {
            let moved = self.moved.notified();
            {
                let state = self.state.lock();
                state.sound()?;
                if state.end > from.0 {
                    return Ok(());
                }
            }
            if following.is_none() {
                self.followers.send_modify(|n| *n += 1);
                following = Some(Following(self));
            }
            moved.await;
        }
    }

    /// Hears of frames that other processes append, as long as somebody waits for any.
    pub(crate) async fn follow_on(self: Arc<Self>, session: Session) {
        let mut waiting = self.followers.subscribe();
        let mut pause = Pause::default();
        loop {
            if waiting.wait_for(|n| *n > 0).await.is_err() {
                return;
            }
            let heard = self
                .ask::<Value>(&session, |commands| {
                    let after = format!("0-{}", self.state.lock().end);
                    commands.cmd("XREAD").arg("BLOCK").arg(BLOCK.as_millis().to_string());
                    commands.arg("STREAMS").arg(&self.keys.bell).arg(after);
                })
                .await;
            match heard {
                Ok(_) => {
                    if pause.tried() {
                        self.env.report.fine("wait");
                        pause = Pause::default();
                    }
                }
                Err(e) => {
                    if self.sound().is_err() {
                        return;
                    }
                    self.env.report.trouble("wait", &e);
                    pause.wait().await;
                }
            }
        }
    }

    pub(crate) async fn positions(&self) -> Result<Positions> {
        let read = || async {
            let all = self
                .ask::<Vec<(String, Vec<u8>)>>(&self.main, |commands| {
                    commands.cmd("HGETALL").arg(&self.keys.positions);
                })
                .await?;
            Ok(all)
        };
        let mut positions = Positions::new();
        for (field, position) in self.steady("read", read).await? {
            let Some((source, split)) = of_split_field(&field) else {
                return Err(Error::stop(format!("`{field}` names no split"))
                    .at(format!("{}, key `{}`", self.place, self.keys.positions))
                    .fix("something else wrote to this queue's keys: restore them from a backup"));
            };
            let splits = positions.entry(Name::from(source)).or_default();
            splits.insert(Name::from(split), Position(position.into()));
        }
        Ok(positions)
    }

    /// Where the first of the incarnations after this one began, as far as those are known.
    pub(crate) async fn lost_from(&self, incarnation: u32) -> Result<Option<Offset>> {
        let latest = self.state.lock().incarnation;
        let fields: Vec<String> =
            (incarnation + 1..=latest).map(|i| format!("began:{i}")).collect();
        if fields.is_empty() {
            return Ok(None);
        }
        let read = || async {
            let began = self
                .ask::<Vec<Option<u64>>>(&self.main, |commands| {
                    commands.cmd("HMGET").arg(&self.keys.meta).arg(&fields);
                })
                .await?;
            Ok(began)
        };
        let began = self.steady("read", read).await?;
        Ok(began.into_iter().flatten().min().map(Offset))
    }

    pub(crate) async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let read = || async {
            let all = self
                .ask::<Vec<(u64, Vec<u8>)>>(&self.main, |commands| {
                    commands.cmd("HGETALL").arg(&self.keys.checkpoints);
                })
                .await?;
            Ok(all)
        };
        let mut checkpoints = Vec::new();
        for (epoch, bytes) in self.steady("read", read).await? {
            let checkpoint: Checkpoint = postcard::from_bytes(&bytes).map_err(|e| {
                Error::stop(format!("checkpoint {epoch} cannot be read"))
                    .at(format!("{}, key `{}`", self.place, self.keys.checkpoints))
                    .because(e)
                    .fix("restore this queue's keys from a backup, or run the version that wrote them")
            })?;
            checkpoints.push(checkpoint);
        }
        checkpoints.sort_by_key(|c| c.epoch);
        Ok(checkpoints)
    }
}

fn trimmed(from: Offset, first: u64) -> Error {
    Error::stop(format!("offset {from} was trimmed away: the queue now begins at {first}"))
}
