//! Reading frames, and waiting for them.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use millstream_core::queue::{Checkpoint, Positions, Slab};
use millstream_core::record::{Name, Offset, Position};
use millstream_core::{Error, Result};
use millstream_redis::Session;
use millstream_redis::redis::{Cmd, FromRedisValue, Pipeline, Value, cmd, pipe};

use super::append::of_split_field;
use super::entry;
use super::state::{Last, Pause, Shared};

/// What is read of the queue's numbers beside anything else.
const NUMBERS: [&str; 7] = ["life", "end", "first", "cum", "cut", "side", "chunk"];
/// How long the server holds an answer back while there is nothing to say.
pub(crate) const BLOCK: Duration = Duration::from_secs(4);
/// The most entries that are asked for at once.
const ENTRIES_MAX: usize = 4096;

/// An entry of a stream: its id, `generation-(number + 1)`, the first field's value, and the bytes before it where the
/// entry says so.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) generation: u64,
    pub(crate) number: u64,
    pub(crate) bytes: Bytes,
    pub(crate) before: u64,
}

/// The entries of a stream.
pub(crate) struct Entries(pub(crate) Vec<Stored>);

impl FromRedisValue for Entries {
    fn from_redis_value(value: Value) -> Result<Self, millstream_redis::redis::ParsingError> {
        let entries = Vec::<(String, Vec<Value>)>::from_redis_value(value)?;
        let of_id = |id: &str| {
            let (generation, number) = id.split_once('-')?;
            Some((generation.parse().ok()?, number.parse::<u64>().ok()?.checked_sub(1)?))
        };
        let mut all = Vec::with_capacity(entries.len());
        for (id, fields) in entries {
            let mut fields = fields.into_iter().skip(1);
            let bytes = Vec::<u8>::from_redis_value(fields.next().unwrap_or_default())?.into();
            let before = fields.nth(1).map_or(Ok(0), u64::from_redis_value)?;
            // An id that is not ours is no number of ours.
            let (generation, number) = of_id(&id).unwrap_or((0, u64::MAX));
            all.push(Stored { generation, number, bytes, before });
        }
        Ok(Self(all))
    }
}

/// The queue's numbers as the server has them.
type Numbers = Vec<Option<String>>;

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
            let (answer, numbers): (T, Numbers) =
                session.ask_all("cannot read the queue", &commands).await?;
            if self.saw_numbers(&numbers)? {
                return Ok(answer);
            }
            Box::pin(self.verify()).await?;
        }
    }

    /// Learns the queue's end, first offset and bytes.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let numbers: Numbers = self.main.ask("cannot read the queue", &self.numbers()).await?;
        if self.saw_numbers(&numbers)? { Ok(()) } else { Box::pin(self.verify()).await }
    }

    pub(crate) async fn read(&self, from: Offset, bytes_max: usize) -> Result<Slab> {
        let (count, mut generation) = {
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
            (count, state.generation)
        };
        let mut looked = false;
        loop {
            let range = || self.range(from, generation, count);
            let (end, entries) = self.steady("read", range).await?;
            let found = entries.first().is_some_and(|stored| stored.number == from.0);
            if found || looked || from.0 >= end {
                return self.slab(from, bytes_max, entries, end);
            }
            // Its id is of another generation than those that were met last.
            generation = self.steady("read", || self.generation(from)).await?;
            looked = true;
        }
    }

    /// The queue's end, and then entries from this one on, if that is the generation of its id.
    async fn range(
        &self,
        from: Offset,
        generation: u64,
        count: usize,
    ) -> Result<(u64, Vec<Stored>)> {
        loop {
            let (link, _) = self.main.link().await?;
            if self.looked.load(SeqCst) != link {
                Box::pin(self.verify()).await?;
                self.looked.store(link, SeqCst);
            }
            let mut commands = pipe();
            // Before them: what was beyond the end then may be something else by now. After them: all of one life.
            commands.add_command(self.numbers());
            let start = format!("{generation}-{}", from.0 + 1);
            commands.cmd("XRANGE").arg(&self.keys.frames).arg(start).arg("+");
            commands.arg("COUNT").arg(count).add_command(self.numbers());
            let (before, Entries(entries), after): (Numbers, Entries, Numbers) =
                self.main.ask_all("cannot read the queue", &commands).await?;
            if !self.saw_numbers(&after)? {
                Box::pin(self.verify()).await?;
            } else if before.first() == after.first() && self.main.link().await?.0 == link {
                let end = before.into_iter().nth(1).flatten();
                return Ok((end.and_then(|n| n.parse().ok()).unwrap_or(0), entries));
            }
        }
    }

    /// The generation of the id of a frame, or of the last one before it.
    async fn generation(&self, of: Offset) -> Result<u64> {
        type Appends = Vec<(String, Vec<(String, String)>)>;
        let appends = self
            .ask::<Appends>(&self.main, |commands| {
                let id = format!("0-{}", of.0 + 1);
                commands.cmd("XREVRANGE").arg(&self.keys.appends).arg(id).arg("-");
                commands.arg("COUNT").arg(1);
            })
            .await?;
        let fields = appends.first().map_or(&[][..], |(_, fields)| fields);
        let said = fields.iter().find(|(field, _)| field == "g");
        // What was appended in format 1 is named by no append.
        Ok(said.and_then(|(_, generation)| generation.parse().ok()).unwrap_or(0))
    }

    /// The frames of these entries; `end` is what the queue's end was before they were asked for. What is beyond it
    /// may be there or not, and may not be what it will be.
    fn slab(
        &self,
        from: Offset,
        bytes_max: usize,
        mut entries: Vec<Stored>,
        end: u64,
    ) -> Result<Slab> {
        let first = self.state.lock().first;
        if from.0 < first {
            return Err(trimmed(from, first));
        }
        if from.0 >= end {
            return Ok(Slab { frames: Vec::new(), next: from });
        }
        entries.retain(|stored| stored.number < end);
        if entries.is_empty() {
            return Err(self.hole());
        }
        let mut frames = Vec::with_capacity(entries.len());
        let mut last = None;
        let (mut next, mut bytes) = (from, 0);
        for Stored { generation, number, bytes: entry, .. } in entries {
            if number != next.0 {
                return Err(self.hole());
            }
            bytes += entry.len();
            let (frame, crc) = entry::decode(self.seed, next, &entry)
                .map_err(|e| e.at(format!("{}, key `{}`", self.place, self.keys.frames)))?;
            last = Some(Last { at: next.0, generation, crc });
            frames.push((next, frame));
            next = next.next();
        }
        let mut state = self.state.lock();
        state.frame_bytes = (state.frame_bytes + bytes / frames.len().max(1)) / 2;
        state.generation = last.map_or(state.generation, |last| last.generation);
        if state.last.is_none_or(|old| last.is_some_and(|new| new.at > old.at)) {
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
                    commands.cmd("XREAD").arg("COUNT").arg(1);
                    commands.arg("BLOCK").arg(BLOCK.as_millis().to_string());
                    commands.arg("STREAMS").arg(&self.keys.appends).arg(after);
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
