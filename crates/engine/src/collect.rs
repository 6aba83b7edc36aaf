//! One task per source: open, pull, append, settle. Bytes only; nothing is parsed here.
//!
//! While one append waits for its fsync, the next records are already pulled, up to a bound; what has
//! gathered by then goes into one append. So a quiet source has the latency of one fsync and a busy
//! one the throughput of the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::plugin::Report;
use millstream_core::record::{Block, Body, Frame, Name, Position};
use millstream_core::source::{Pulled, Source, SplitPositions};
use millstream_core::{Error, Remedy, Result};

use crate::back_off::BackOff;
use crate::seal::Shared;
use crate::status::PartStatus;
use crate::tasks::Stopper;

/// Bytes that may be pulled and not yet appended, per source.
const AHEAD_BYTES: usize = 4 << 20;

/// A source and what it takes to collect from it.
pub(crate) struct Collector {
    pub(crate) name: Name,
    pub(crate) source: Box<dyn Source>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) status: Arc<PartStatus>,
}

/// How a collector ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The source has no more, and everything is appended.
    Ended,
    /// It was asked to stop.
    Stopped,
}

enum Event {
    Pulled(Result<Option<Pulled>>),
    Appended(Result<()>),
    Stop,
}

impl Collector {
    /// Collects until the source ends or the run stops. When it returns, everything pulled is durable.
    ///
    /// # Errors
    /// `Stop` from the source or the queue.
    pub(crate) async fn run(&mut self, stopper: &Stopper) -> Result<Ending> {
        let mut back_off = BackOff::new(&self.name, self.shared.retry_max);
        let mut after =
            self.shared.queue.positions().await?.remove(self.name.as_ref()).unwrap_or_default();
        loop {
            if stopper.stopping() {
                return Ok(Ending::Stopped);
            }
            let opened = tokio::select! {
                opened = self.source.open(&after) => opened,
                () = stopper.asked() => return Ok(Ending::Stopped),
            };
            let failed = match opened {
                Ok(()) => {
                    self.status.fine("");
                    match self.pull_all(&mut after, &mut back_off, stopper).await {
                        Ok(ending) => return Ok(ending),
                        Err(e) => e,
                    }
                }
                Err(e) => e,
            };
            if failed.remedy() == Remedy::Stop {
                return Err(failed.at(format!("sources.{}", self.name)));
            }
            self.status.trouble("", &failed);
            sleep(stopper, &mut back_off).await;
        }
    }

    /// Pulls until the source has to be opened again, ends, or the run stops.
    async fn pull_all(
        &mut self,
        after: &mut SplitPositions,
        back_off: &mut BackOff,
        stopper: &Stopper,
    ) -> Result<Ending> {
        let shared = self.shared.clone();
        let mut ahead: Vec<Frame> = Vec::new();
        let mut ahead_bytes = 0;
        let mut appending = None;
        let mut appended = SplitPositions::new();
        let mut ended = None;
        loop {
            if appending.is_none() && !ahead.is_empty() {
                let frames = std::mem::take(&mut ahead);
                ahead_bytes = 0;
                appended = positions(&frames);
                let shared = shared.clone();
                appending = Some(Box::pin(async move {
                    shared.retry("append", || shared.queue.append(&frames)).await.map(drop)
                }));
            }
            if let (Some(ending), None) = (ended, &appending) {
                return Ok(ending);
            }
            let pull = ended.is_none() && ahead_bytes < AHEAD_BYTES;
            let event = tokio::select! {
                biased;
                done = optional(&mut appending) => Event::Appended(done),
                () = stopper.asked(), if ended.is_none() => Event::Stop,
                pulled = self.source.pull(), if pull => Event::Pulled(pulled),
            };
            match event {
                Event::Appended(done) => {
                    appending = None;
                    done?;
                    after.extend(std::mem::take(&mut appended));
                    if let Err(e) = self.source.settle(after).await {
                        self.status.trouble("settle", &e);
                    }
                }
                Event::Stop => ended = Some(Ending::Stopped),
                Event::Pulled(Ok(None)) => {
                    self.status.end();
                    ended = Some(Ending::Ended);
                }
                Event::Pulled(Ok(Some(pulled))) => {
                    back_off.reset();
                    self.status.fine("");
                    for frame in self.frames(pulled) {
                        ahead_bytes += frame.bytes();
                        ahead.push(frame);
                    }
                }
                Event::Pulled(Err(e)) if e.remedy() == Remedy::Retry => {
                    self.status.trouble("", &e);
                    sleep(stopper, back_off).await;
                }
                Event::Pulled(Err(e)) => {
                    // What was pulled before is good: it goes into the queue before anything else.
                    if let Some(append) = appending.take() {
                        append.await?;
                        after.extend(std::mem::take(&mut appended));
                    }
                    if !ahead.is_empty() {
                        shared.retry("append", || shared.queue.append(&ahead)).await?;
                        after.extend(positions(&ahead));
                    }
                    return Err(e);
                }
            }
        }
    }

    /// Packs what was pulled.
    fn frames(&self, pulled: Pulled) -> Vec<Frame> {
        let Pulled { split, records, position, ended } = pulled;
        let arrival = self.shared.clock.now();
        let bytes: usize = records.iter().map(|r| r.value.len()).sum();
        self.status.records.inc_by(records.len() as u64);
        self.status.bytes.inc_by(bytes as u64);
        let frame = |body, position: Option<Position>| Frame {
            source: self.name.clone(),
            split: split.clone(),
            arrival,
            position,
            body,
        };
        let mut frames = Vec::new();
        let mut position = position;
        if !records.is_empty() {
            match Block::pack(&records) {
                Ok(block) => frames.push(frame(Body::Block(block), position.take())),
                Err(e) => self.status.trouble(&split, &e),
            }
        }
        if ended {
            frames.push(frame(Body::Ended, position.take()));
        } else if let Some(position) = position {
            // Only the position moved: an empty block carries it.
            if let Ok(empty) = Block::pack(&[]) {
                frames.push(frame(Body::Block(empty), Some(position)));
            }
        }
        frames
    }
}

/// Waits before the next try, unless the run stops.
async fn sleep(stopper: &Stopper, back_off: &mut BackOff) {
    tokio::select! {
        () = tokio::time::sleep(back_off.next()) => {}
        () = stopper.asked() => {}
    }
}

async fn optional<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(f) => f.await,
        None => std::future::pending().await,
    }
}

fn positions(frames: &[Frame]) -> SplitPositions {
    let mut last: BTreeMap<Name, Position> = BTreeMap::new();
    for frame in frames {
        if let Some(position) = &frame.position {
            last.insert(frame.split.clone(), position.clone());
        }
    }
    last
}

/// The text for a queue that takes no more.
pub(crate) fn no_source_ends() -> Error {
    Error::stop("`--once` waits until every finite source has ended, and no source of this pipeline ever ends")
        .fix("leave `--once` out, or use `--for 15s`")
}
