//! One turn: a run of frames through the line, its rows to the lanes; and the turns of epochs that are repeated.

use tokio::time::Instant;

use millstream_core::queue::{Checkpoint, Slab};
use millstream_core::record::{Body, Frame, Offset};
use millstream_core::{Error, Result};

use crate::dead_letters::Entry;
use crate::line::Ground;
use crate::lookup::Fetched;
use crate::process::Processor;
use crate::seal::{self, Work};

/// What came of a run of frames.
struct Taken {
    ground: Ground,
    /// How many of them were taken: the first that has to wait is not, nor are those behind it.
    taken: usize,
}

impl Processor {
    /// Takes frames through the line and sends the rows to the lanes. Says whether it took any.
    pub(crate) async fn step(&mut self, slab: Slab) -> Result<bool> {
        let started = Instant::now();
        let Taken { ground, taken } = self.grind(&slab.frames).await?;
        if taken == 0 {
            return Ok(false);
        }
        for (offset, frame) in slab.frames.iter().take(taken) {
            self.bytes += frame.bytes();
            self.next = offset.next();
            if matches!(frame.body, Body::Block(_)) {
                self.work.arrivals.push(frame.arrival);
            }
        }
        self.dirty = true;
        self.shared.status.step_seconds.observe(started.elapsed().as_secs_f64());
        let Ground { rows, letters, ledger, took, .. } = ground;
        self.lanes.count(&ledger, &took, &self.shared.status);
        for (edge, account) in &ledger.0 {
            self.work.ledger.account(edge.stage, &edge.part).add(account);
        }
        self.work.letters.extend(letters.into_iter().map(Entry::Letter));
        for (sink, rows) in rows {
            self.send(sink, rows).await?;
        }
        self.shared.status.saw_queue(self.shared.queue.status(), self.next.0);
        Ok(true)
    }

    /// Takes frames through the line up to the first that has to wait.
    async fn grind(&mut self, frames: &[(Offset, Frame)]) -> Result<Taken> {
        if !self.lookups.is_empty() {
            return self.grind_with_lookups(frames).await;
        }
        let mut ground = Ground::default();
        let mut taken = 0;
        for (offset, frame) in frames {
            if !self.take(*offset, frame, &mut ground).await? {
                break;
            }
            taken += 1;
        }
        Ok(Taken { ground, taken })
    }

    /// The same, where views ask lookups: what the frames lack is asked for at once, and those that lacked it are
    /// taken again. Frames before the first that lacks an answer which cannot be had go on without it.
    async fn grind_with_lookups(&mut self, frames: &[(Offset, Frame)]) -> Result<Taken> {
        self.lookups.begin();
        let mut grounds = Vec::new();
        for (offset, frame) in frames {
            let mut own = Ground::default();
            if !self.take(*offset, frame, &mut own).await? {
                break;
            }
            grounds.push(own);
        }
        self.away = None;
        while grounds.iter().any(|own| own.waits) {
            assert!(self.lookups.lack(), "a frame waits for answers, and none is missing");
            if let Fetched::Away(until) = self.lookups.fetch().await? {
                self.away = Some(until);
                break;
            }
            for (own, (offset, frame)) in grounds.iter_mut().zip(frames) {
                if let (true, Body::Block(block)) = (own.waits, &frame.body) {
                    *own = Ground::default();
                    self.line.take(*offset, frame, block, own)?;
                }
            }
        }
        let mut all = Taken { ground: Ground::default(), taken: 0 };
        for own in grounds.into_iter().take_while(|own| !own.waits) {
            all.ground.add(own);
            all.taken += 1;
        }
        Ok(all)
    }

    /// Takes one frame; `false` if it has to wait for the columns of some source.
    async fn take(&mut self, offset: Offset, frame: &Frame, ground: &mut Ground) -> Result<bool> {
        match &frame.body {
            Body::Block(block) => {
                if !self.pinned(offset, &frame.source).await? {
                    return Ok(false);
                }
                self.line.take(offset, frame, block, ground)?;
            }
            Body::Pin(json) => self.see_pin(&frame.source, json)?,
            // Event time is not kept yet; these frames are for the views that will.
            Body::Idle | Body::Ended => {}
        }
        Ok(true)
    }

    /// Repeats committed epochs for the sinks that lack them.
    pub(crate) async fn repeat(&mut self, start: Offset, repeats: Vec<Checkpoint>) -> Result<()> {
        let upto = self.next;
        (self.next, self.begun) = (start, start);
        for checkpoint in repeats {
            while self.next < checkpoint.next {
                self.step_again(&checkpoint).await?;
            }
            let lanes = self.meet(self.mark(checkpoint.epoch, checkpoint.next)).await?;
            tracing::info!(epoch = checkpoint.epoch.0, sinks = lanes.len(), "epoch repeated");
            self.settle |= self.lanes.untracked(&lanes);
            let live = self.line.looked_up_for();
            let silent = self.lanes.silent(&checkpoint, &lanes, &live);
            let Some(book) = self.book.as_mut() else { continue };
            self.dirty |= seal::sent_nothing(book, &checkpoint, &silent);
            self.dirty |= seal::repeat(&self.shared, book, &checkpoint, lanes, &live).await?;
            // The state at this point is in the checkpoint.
            self.line.snapshot()?;
        }
        assert_eq!(self.next, upto, "repeats end where the last checkpoint does");
        // Accounts, letters and pins of these epochs are in the checkpoint already; what lanes told is not.
        let Work { drained, told, .. } = std::mem::take(&mut self.work);
        self.work = Work { drained, told, ..Work::default() };
        Ok(())
    }

    /// One turn of an epoch that is repeated.
    async fn step_again(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let mut slab = self.shared.queue.read(self.next, self.step_bytes).await?;
        slab.frames.retain(|(offset, _)| *offset < checkpoint.next);
        if slab.frames.is_empty() {
            return Err(Error::stop(format!(
                "the queue ends at offset {} before epoch {} does",
                self.next, checkpoint.epoch
            )));
        }
        let Taken { ground, taken } = self.grind(&slab.frames).await?;
        if let Some((offset, _)) = slab.frames.iter().take(taken).last() {
            self.next = offset.next();
        }
        for (sink, rows) in ground.rows {
            if self.lanes.lacks(sink, checkpoint.epoch) {
                self.send(sink, rows).await?;
            }
        }
        match self.away {
            _ if taken == slab.frames.len() => Ok(()),
            // Nothing new can be made before this is repeated, so there is nothing else to do meanwhile.
            Some(until) => {
                tokio::time::sleep_until(until).await;
                Ok(())
            }
            None => Err(Error::stop(format!(
                "the columns that epoch {} was made with are gone",
                checkpoint.epoch
            ))),
        }
    }
}
