//! A queue so simple that it is plainly right, to compare real ones with, through crashes too.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a difference panics")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream_core::queue::{Checkpoint, ChunkRef, Epoch, Positions, Queue, SideExtent};
use millstream_core::record::{Body, Frame, Offset};
use millstream_core::{Remedy, Result, Timestamp};

use crate::laws::queue::{frame, read_all};

/// Something done to a queue.
#[derive(Clone, Debug)]
pub enum Action {
    /// One append: a source, a split, a size for each frame.
    Append(Vec<(u8, u8, usize)>),
    /// Store a chunk in the place of the oldest one, for the next commit.
    Chunk(usize),
    /// Commit up to this many frames before the end, with the side streams as they are.
    Commit(u64),
    /// Trim to this many epochs before the last.
    Trim(u64),
    /// Add this many entries to a side stream.
    SideAppend(u8, usize),
    /// Forget this many entries of a side stream.
    SideTrim(u8, u64),
    /// Read all that is there.
    Read,
}

impl Action {
    /// A random one.
    pub fn random(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(..20) {
            0..8 => Self::Append(
                (0..rng.usize(1..4))
                    .map(|_| {
                        let large = rng.u8(..8) == 0;
                        (rng.u8(..2), rng.u8(..3), rng.usize(..if large { 6000 } else { 300 }))
                    })
                    .collect(),
            ),
            8 | 9 => Self::Chunk(rng.usize(..500)),
            10..14 => Self::Commit(rng.u64(..3)),
            14 | 15 => Self::Trim(rng.u64(..3)),
            16 | 17 => Self::SideAppend(rng.u8(..2), rng.usize(1..5)),
            18 => Self::SideTrim(rng.u8(..2), rng.u64(..4)),
            _ => Self::Read,
        }
    }
}

/// What a queue must hold, and what it may hold besides because nobody said whether it came through.
#[derive(Debug, Default)]
pub struct Model {
    frames: Vec<Frame>,
    /// So many frames must be there.
    acked: usize,
    /// Where appends end: never anything in between.
    ends: BTreeSet<usize>,
    /// Every checkpoint there ever was, the last of each epoch.
    checkpoints: BTreeMap<Epoch, Checkpoint>,
    committed: Epoch,
    trimmed: Epoch,
    chunks: Vec<ChunkRef>,
    chunk_bytes: BTreeMap<u64, Bytes>,
    sides: BTreeMap<String, (SideExtent, Vec<Bytes>)>,
    made: usize,
}

impl Model {
    fn text(&mut self, size: usize) -> Bytes {
        self.made += 1;
        let mut text = format!("{}:", self.made).into_bytes();
        text.resize(text.len() + size, u8::try_from(self.made % 251).unwrap());
        text.into()
    }

    /// Does this to the queue and to the model. After `Retry`, nothing must have happened; after any
    /// other error, nobody knows, and the queue is to be opened again.
    ///
    /// # Errors
    /// Those of the queue.
    ///
    /// # Panics
    /// When the queue differs.
    pub async fn act(&mut self, queue: &dyn Queue, action: &Action) -> Result<()> {
        match action {
            Action::Append(frames) => self.append(queue, frames).await,
            Action::Chunk(size) => {
                let bytes = self.text(*size);
                let chunk = queue.put_chunk("view", "key", bytes.clone()).await?;
                assert!(self.chunk_bytes.insert(chunk.id, bytes).is_none(), "an id came again");
                if self.chunks.len() > 2 {
                    self.chunks.remove(0);
                }
                self.chunks.push(chunk);
                Ok(())
            }
            Action::Commit(back) => self.commit(queue, *back).await,
            Action::Trim(back) => {
                let epoch = Epoch(self.committed.0.saturating_sub(*back));
                let next = self.checkpoints.get(&epoch).map_or(Offset(0), |c| c.next);
                // Should it fail, it may have come through.
                self.trimmed = self.trimmed.max(epoch);
                queue.trim(next, epoch).await
            }
            Action::SideAppend(name, count) => {
                let name = format!("side/{name}");
                let entries: Vec<Bytes> = (0..*count).map(|n| self.text(n * 700)).collect();
                let first = queue.side(&name)?.append(&entries).await?;
                let (extent, all) = self.sides.entry(name).or_default();
                assert_eq!(first, extent.end);
                extent.end += entries.len() as u64;
                all.truncate(usize::try_from(first).unwrap());
                all.extend(entries);
                Ok(())
            }
            Action::SideTrim(name, count) => {
                let name = format!("side/{name}");
                let Some((extent, _)) = self.sides.get_mut(&name) else { return Ok(()) };
                extent.first = (extent.first + count).min(extent.end);
                queue.side(&name)?.trim(extent.first).await
            }
            Action::Read => {
                self.check_frames(queue).await;
                self.check_sides(queue).await;
                Ok(())
            }
        }
    }

    async fn append(&mut self, queue: &dyn Queue, sizes: &[(u8, u8, usize)]) -> Result<()> {
        let mut frames = Vec::new();
        for (source, split, size) in sizes {
            let position = format!("{}", self.made);
            let text = self.text(*size);
            let position = (size % 3 > 0).then_some(position.as_str());
            let mut frame = frame(&format!("s{source}"), &format!("p{split}"), text, position);
            if size % 17 == 0 {
                frame.body = Body::Ended;
            }
            frames.push(frame);
        }
        let was = self.frames.len();
        self.frames.extend(frames.iter().cloned());
        match queue.append(&frames).await {
            Ok(range) => {
                assert_eq!(range, Offset(was as u64)..Offset(self.frames.len() as u64));
                self.acked = self.frames.len();
                self.ends.insert(self.acked);
                Ok(())
            }
            Err(e) if e.remedy() == Remedy::Retry => {
                self.frames.truncate(was);
                assert_eq!(queue.status().end, Offset(was as u64), "half an append after {e}");
                Err(e)
            }
            Err(e) => {
                self.ends.insert(self.frames.len());
                Err(e)
            }
        }
    }

    async fn commit(&mut self, queue: &dyn Queue, back: u64) -> Result<()> {
        let last = self.checkpoints.get(&self.committed).map_or(0, |c| c.next.0);
        let next = (self.acked as u64).saturating_sub(back).max(last);
        let sides = self.sides.iter().map(|(name, (extent, _))| (name.clone(), *extent)).collect();
        let checkpoint = Checkpoint {
            epoch: self.committed.next(),
            next: Offset(next),
            chunks: self.chunks.clone(),
            sides,
            at: Timestamp(i64::try_from(self.made).unwrap()),
            ..Checkpoint::default()
        };
        let epoch = checkpoint.epoch;
        self.checkpoints.insert(epoch, checkpoint.clone());
        let committed = queue.commit(&checkpoint).await;
        match &committed {
            Ok(()) => self.committed = epoch,
            Err(e) if e.remedy() == Remedy::Retry => {
                self.checkpoints.remove(&epoch);
            }
            Err(_) => {}
        }
        committed
    }

    /// Compares with a queue that was just opened, and learns from it what came through.
    ///
    /// # Panics
    /// When it has lost what was acknowledged, or holds what it cannot.
    pub async fn reopened(&mut self, queue: &dyn Queue) {
        let end = usize::try_from(queue.status().end.0).unwrap();
        assert!(end >= self.acked, "{} frames were acknowledged, {end} are there", self.acked);
        assert!(end <= self.frames.len(), "{end} frames of {}", self.frames.len());
        assert!(end == 0 || self.ends.contains(&end), "half an append: {end} of {:?}", self.ends);
        self.frames.truncate(end);
        self.acked = end;
        self.ends = self.ends.range(..=end).copied().collect();

        let kept = queue.checkpoints().await.unwrap();
        let last = kept.last().map_or(Epoch(0), |c| c.epoch);
        assert!(last >= self.committed, "checkpoint {} is lost, {last} is there", self.committed);
        for checkpoint in &kept {
            assert_eq!(Some(checkpoint), self.checkpoints.get(&checkpoint.epoch));
        }
        let (from, upto) = (self.trimmed.max(Epoch(1)), self.committed);
        for (epoch, _) in self.checkpoints.iter().filter(|(e, _)| (from..=upto).contains(*e)) {
            assert!(kept.iter().any(|c| c.epoch == *epoch), "checkpoint {epoch} is gone");
        }
        for chunk in kept.iter().flat_map(|c| &c.chunks) {
            let bytes = queue.get_chunk(chunk).await.unwrap();
            assert_eq!(bytes, self.chunk_bytes[&chunk.id]);
        }
        // What no checkpoint names is swept; after a power cut its id may come again.
        let named: BTreeSet<u64> = kept.iter().flat_map(|c| &c.chunks).map(|c| c.id).collect();
        self.chunk_bytes.retain(|id, _| named.contains(id));
        self.committed = last;
        self.checkpoints.retain(|epoch, _| *epoch <= last);
        let state = kept.last().cloned().unwrap_or_default();
        self.chunks = state.chunks;
        for (name, (extent, entries)) in &mut self.sides {
            *extent = state.sides.get(name).copied().unwrap_or_default();
            entries.truncate(usize::try_from(extent.end).unwrap());
        }
        if let Some(oldest) = kept.first() {
            assert!(queue.status().first <= oldest.next, "{oldest:?} needs what is gone");
        }
        self.check_frames(queue).await;
        self.check_sides(queue).await;
    }

    async fn check_frames(&self, queue: &dyn Queue) {
        let first = queue.status().first;
        let from = usize::try_from(first.0).unwrap();
        assert_eq!(read_all(queue, first).await, self.frames[from..]);
        let mut positions = Positions::new();
        for frame in &self.frames {
            if let Some(position) = &frame.position {
                let source = positions.entry(frame.source.clone()).or_default();
                source.insert(frame.split.clone(), position.clone());
            }
        }
        assert_eq!(queue.positions().await.unwrap(), positions);
    }

    async fn check_sides(&self, queue: &dyn Queue) {
        for (name, (extent, entries)) in &self.sides {
            let side = queue.side(name).unwrap();
            assert_eq!(side.extent(), *extent, "{name}");
            let mut next = extent.first;
            while next < extent.end {
                for (number, entry) in side.read(next, 2000).await.unwrap() {
                    assert_eq!(number, next);
                    assert_eq!(entry, entries[usize::try_from(number).unwrap()]);
                    next += 1;
                }
            }
        }
    }
}
