//! One turn of the loop: a run of frames through the line and their rows to the lanes, the first time or again.

use tokio::time::Instant;

use millstream_core::codec::Rows;
use millstream_core::queue::{Checkpoint, Epoch, Slab};
use millstream_core::record::{Body, Frame, Offset};
use millstream_core::{Error, Result};

use crate::dead_letters::Entry;
use crate::grind::Progress;
use crate::line::{Ground, view_errors};
use crate::lookup::Fetched;
use crate::process::Processor;
use crate::seal;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It is processed.
    Whole,
    /// It has to wait for the columns of some source.
    Waits,
    /// The run was told to end before its lookups could be had: what came of it so far counts for nothing.
    Left,
}

impl Processor {
    /// Takes frames through the line and sends the rows to the lanes. Says whether it took any.
    pub(crate) async fn step(&mut self, slab: Slab) -> Result<bool> {
        let started = Instant::now();
        let mut ground = Ground::default();
        let first = self.next;
        self.lookups.begin();
        for (offset, frame) in &slab.frames {
            match self.take(*offset, frame, &mut ground, None).await? {
                Taken::Whole => {}
                Taken::Waits => break,
                Taken::Left => return Ok(false),
            }
            self.bytes += frame.bytes() + std::mem::take(&mut ground.bytes);
            self.next = offset.next();
            if self.full() {
                break;
            }
        }
        if self.next == first {
            return Ok(false);
        }
        self.dirty = true;
        self.shared.status.step_seconds.observe(started.elapsed().as_secs_f64());
        let Ground { mut rows, letters, ledger, took, .. } = ground;
        self.lanes.count(&ledger, &took, &self.shared.status);
        self.line.tell_time(&self.shared.status);
        for (edge, account) in &ledger.0 {
            self.work.ledger.account(edge.stage, &edge.part).add(account);
        }
        self.work.letters.extend(letters.into_iter().map(Entry::Letter));
        self.send_all(&mut rows, None).await?;
        self.shared.status.saw_queue(self.shared.queue.status(), self.next.0);
        Ok(true)
    }

    /// Takes one frame, of a committed epoch that is repeated or of a new one.
    async fn take(
        &mut self,
        offset: Offset,
        frame: &Frame,
        ground: &mut Ground,
        repeat: Option<Epoch>,
    ) -> Result<Taken> {
        match &frame.body {
            Body::Block(block) => {
                if !self.pinned(offset, &frame.source).await? {
                    return Ok(Taken::Waits);
                }
                self.work.arrivals.push(frame.arrival);
                self.line.take(offset, frame, block, ground)?;
            }
            Body::Pin(json) => self.see_pin(&frame.source, json)?,
            Body::Idle | Body::Ended => self.line.hear(offset, frame),
            Body::Table(bytes) => drop(self.line.tables().hear(frame, bytes)?),
        }
        loop {
            match self.line.grind(ground)? {
                Progress::Done => return Ok(Taken::Whole),
                Progress::Full => self.send_all(&mut ground.rows, repeat).await?,
                Progress::Waits => {
                    if !self.look_up(repeat).await? {
                        self.line.forget();
                        return Ok(Taken::Left);
                    }
                }
            }
        }
    }

    /// Asks lookups for what rows lack, until it is at hand; `false` if the run was told to end before. A frame is half
    /// taken meanwhile, so nothing that came of frames since the last epoch can be sealed; what lanes and people say can.
    async fn look_up(&mut self, repeat: Option<Epoch>) -> Result<bool> {
        while let Fetched::Away(until) = self.lookups.fetch().await? {
            self.away = Some(until);
            while Instant::now() < until {
                self.shared.status.saw_queue(self.shared.queue.status(), self.next.0);
                if self.leaves_rest() {
                    return Ok(false);
                }
                if repeat.is_some() {
                    // What is committed already comes before everything else.
                    self.wait_for_end(until).await;
                    continue;
                }
                self.hear();
                if self.broken.is_some() {
                    return Ok(false);
                }
                self.seal_if_due(false).await?;
                self.wait().await?;
            }
        }
        self.away = None;
        Ok(true)
    }

    /// Sends rows to the lanes; those of an epoch that is repeated only where it is lacking.
    async fn send_all(
        &mut self,
        rows: &mut Vec<(usize, Rows)>,
        repeat: Option<Epoch>,
    ) -> Result<()> {
        for (sink, rows) in rows.drain(..) {
            if repeat.is_none_or(|epoch| self.lanes.lacks(sink, epoch)) {
                self.send(sink, rows).await?;
            }
        }
        Ok(())
    }

    /// Repeats committed epochs for the sinks that lack them.
    pub(crate) async fn repeat(&mut self, start: Offset, repeats: Vec<Checkpoint>) -> Result<()> {
        let upto = self.next;
        (self.next, self.begun) = (start, start);
        for checkpoint in repeats {
            let anew = self.lookups.recall(checkpoint.epoch).await?;
            while self.next < checkpoint.next {
                self.step_again(&checkpoint).await?;
            }
            let lanes = self.meet(self.mark(checkpoint.epoch, checkpoint.next)).await?;
            tracing::info!(epoch = checkpoint.epoch.0, sinks = lanes.len(), "epoch repeated");
            self.settle |= self.lanes.untracked(&lanes);
            let live = self.line.looked_up(&anew).map_err(|e| view_errors(&e))?;
            let silent = self.lanes.silent(&checkpoint, &lanes, &live);
            let Some(book) = self.book.as_mut() else { continue };
            self.asked |= seal::sent_nothing(book, &checkpoint, &silent);
            self.asked |= seal::repeat(&self.shared, book, &checkpoint, lanes, &live).await?;
            let changed = self.changes()?;
            self.remade.keep(changed);
        }
        assert_eq!(self.next, upto, "repeats end where the last checkpoint does");
        self.lookups.recalled_all().await;
        // Accounts, letters and pins of these epochs are in the checkpoint already.
        self.work = std::mem::take(&mut self.remade).into_work();
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
        let mut ground = Ground::default();
        let epoch = Some(checkpoint.epoch);
        self.lookups.begin();
        for (offset, frame) in &slab.frames {
            match self.take(*offset, frame, &mut ground, epoch).await? {
                Taken::Whole => self.next = offset.next(),
                // Nothing can be sealed amid an epoch that is repeated, so there is no good order to end in.
                Taken::Left => {
                    let trouble = self.trouble().unwrap_or_default();
                    return Err(Error::retry(trouble).fix("the next run begins with them"));
                }
                Taken::Waits => {
                    return Err(Error::stop(format!(
                        "the columns that epoch {} was made with are gone",
                        checkpoint.epoch
                    )));
                }
            }
        }
        self.send_all(&mut ground.rows, epoch).await
    }
}
