//! How appends are written: encoded behind one another, then one write for all that were waiting.

use std::ops::Range;

use millstream_core::record::{Frame, Name, Offset};
use millstream_core::{Error, Result};

use super::Durability;
use super::frame::{Header, Kind, MORE};
use super::splits::stored_as;
use super::state::State;
use super::writer::{Done, Waiting, Writer, answer, full, is_full};

/// Appends that are encoded and not yet written.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    frames: Vec<(Frame, u32, Kind)>,
    splits: Vec<(Name, Name)>,
    appends: Vec<(Done<Range<Offset>>, Range<Offset>, u64)>,
    sequence: u64,
}

/// Appends are written when this much is encoded, however much more is waiting.
const BATCH_BYTES: u64 = 4 << 20;

impl Writer {
    /// Begins a new segment if these bytes do not fit into this one.
    fn fit(&mut self, need: u64) -> Result<()> {
        if self.batch.bytes() + need > BATCH_BYTES {
            self.write_staged();
        }
        let fresh = self.segment.is_empty() && self.staged.appends.is_empty();
        let over = self.at + self.batch.bytes() + need > self.shared.segment_bytes();
        if !over || fresh {
            return Ok(());
        }
        self.write_staged();
        self.sound()?;
        self.roll(false, None)
    }

    /// Encodes an append behind those that are waiting to be written.
    pub(crate) fn stage(&mut self, frames: Vec<Frame>, need: u64, done: Done<Range<Offset>>) {
        if let Err(e) = self.fit(need) {
            self.shared.state.lock().in_flight -= need;
            self.shared.room.notify_waiters();
            return answer(done, Err(e));
        }
        if self.staged.appends.is_empty() {
            self.staged.sequence = self.sequence;
        }
        let shared = self.shared.clone();
        let state = shared.state.lock();
        let start = state.end + self.staged.frames.len() as u64;
        let ids: Vec<u32> = frames.iter().map(|f| self.split_id(&state, f, start)).collect();
        let last = frames.len().saturating_sub(1);
        let mut end = start;
        for (i, (frame, id)) in frames.into_iter().zip(ids).enumerate() {
            let (kind, flags, payload) = stored_as(&frame);
            let more = if i < last { MORE } else { 0 };
            let mut header = self.header(self.staged.sequence, end, kind, flags | more);
            header.arrival = frame.arrival.0;
            header.split = id;
            let position = frame.position.as_ref().map_or(&[][..], |p| &p.0);
            self.batch.put(shared.seed, header, position, &payload);
            self.staged.sequence += 1;
            self.staged.frames.push((frame, id, kind));
            end += 1;
        }
        self.staged.appends.push((done, Offset(start)..Offset(end), need));
    }

    pub(crate) fn header(&self, sequence: u64, offset: u64, kind: Kind, flags: u8) -> Header {
        Header {
            length: 0,
            position: 0,
            segment: self.segment.id,
            sequence,
            offset,
            durable_upto: self.durable,
            arrival: 0,
            split: 0,
            kind,
            flags,
        }
    }

    /// The id of a frame's split; a new split is put into the batch, as part of this append.
    fn split_id(&mut self, state: &State, frame: &Frame, offset: u64) -> u32 {
        if let Some(id) = state.splits.id(&frame.source, &frame.split) {
            return id;
        }
        let same =
            |(source, split): &(Name, Name)| *source == frame.source && *split == frame.split;
        let staged = self.staged.splits.iter().position(same);
        let place = state.splits.rows().len() + staged.unwrap_or(self.staged.splits.len());
        let id = u32::try_from(place).unwrap_or(u32::MAX);
        if staged.is_none() {
            let names = postcard::to_stdvec(&(&*frame.source, &*frame.split)).unwrap_or_default();
            let mut header = self.header(self.staged.sequence, offset, Kind::Split, MORE);
            header.split = id;
            self.batch.put(self.shared.seed, header, &[], &names.into());
            self.staged.sequence += 1;
            self.staged.splits.push((frame.source.clone(), frame.split.clone()));
        }
        id
    }

    /// Writes the staged appends in one call and makes them readable, or none of them.
    pub(crate) fn write_staged(&mut self) {
        if self.staged.appends.is_empty() {
            return;
        }
        let staged = std::mem::take(&mut self.staged);
        let need: u64 = staged.appends.iter().map(|(_, _, need)| need).sum();
        let outcome = self.sound().and_then(|()| self.write_appends());
        self.batch.clear();
        let mut state = self.shared.state.lock();
        state.in_flight -= need;
        if let Err(e) = outcome {
            drop(state);
            for (done, _, _) in staged.appends {
                let error = Error::new(e.remedy(), e.line());
                answer(
                    done,
                    Err(match e.how_to_fix() {
                        Some(fix) => error.fix(fix),
                        None => error,
                    }),
                );
            }
            return self.shared.room.notify_waiters();
        }
        self.sequence = staged.sequence;
        state.sequence = staged.sequence;
        for (source, split) in staged.splits {
            state.splits.add(source, split);
        }
        for (frame, id, kind) in staged.frames {
            state.splits.follow(id, kind, frame.position.as_ref());
            state.tail.push(frame);
            state.end += 1;
        }
        self.segment.publish(self.at);
        self.segment.mark(state.end, self.at);
        drop(state);
        self.shared.moved.notify_waiters();
        for (done, range, _) in staged.appends {
            match self.shared.options.durability {
                Durability::Fsync => self.waiting.push(Waiting::Append(done, range)),
                Durability::Relaxed => answer(done, Ok(range)),
            }
        }
    }

    fn write_appends(&mut self) -> Result<()> {
        let path = self.segment.path.clone();
        // Collectors stop until what commits fall back on is there again.
        if let Err(e) = self.reserve.restore(&*self.shared.disk) {
            return Err(full("append", &path, &e));
        }
        match self.batch.write(&*self.segment.file, self.at) {
            Ok(()) => {
                self.at += self.batch.bytes();
                Ok(())
            }
            Err(e) if is_full(&e) => {
                self.cut()?;
                Err(full("append", &path, &e))
            }
            Err(e) => Err(self.break_down("write", &path, &e)),
        }
    }

    /// Takes back what a failed write may have left.
    pub(crate) fn cut(&mut self) -> Result<()> {
        let segment = self.segment.clone();
        let cut = segment.file.truncate(self.at);
        cut.map_err(|e| self.break_down("cut off half a write", &segment.path, &e))
    }
}
