//! One task per source: open, pull, append, settle. Bytes only; nothing is parsed here.
//!
//! While one append waits for its fsync, the next records are already pulled, up to a bound; what has
//! gathered by then goes into one append. So a quiet source has the latency of one fsync and a busy
//! one the throughput of the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use millstream_core::plugin::Report;
use millstream_core::record::{Block, Body, Frame, Name, Position};
use millstream_core::source::{Pulled, Source, SplitPositions};
use millstream_core::{Error, Remedy, Result};

use crate::back_off::BackOff;
use crate::config::EventTime;
use crate::quiet::Silence;
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
    pub(crate) event_time: Option<EventTime>,
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
    /// Some split has been waited for long enough.
    Idle,
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
        let mut silence = self.silence(after);
        loop {
            if appending.is_none() && !ahead.is_empty() {
                let frames = std::mem::take(&mut ahead);
                ahead_bytes = 0;
                appended = positions(&frames);
                appending = Some(Box::pin(append(shared.clone(), frames)));
            }
            if let (Some(ending), None) = (ended, &appending) {
                return Ok(ending);
            }
            let pull = ended.is_none() && ahead_bytes < AHEAD_BYTES;
            let left = silence.as_ref().and_then(Silence::left).filter(|_| pull);
            let began = Instant::now();
            let event = tokio::select! {
                biased;
                done = optional(&mut appending) => Event::Appended(done),
                () = stopper.asked(), if ended.is_none() => Event::Stop,
                pulled = self.source.pull(), if pull => Event::Pulled(pulled),
                () = tokio::time::sleep(left.unwrap_or_default()), if left.is_some() => Event::Idle,
            };
            let waited = if pull { began.elapsed() } else { Duration::ZERO };
            silence.iter_mut().for_each(|silence| silence.wait(waited));
            match event {
                Event::Idle => ahead.extend(silence.iter_mut().flat_map(|s| self.idle(s))),
                Event::Appended(done) => {
                    appending = None;
                    done?;
                    after.extend(std::mem::take(&mut appended));
                    self.settle(after).await;
                }
                Event::Stop => ended = Some(Ending::Stopped),
                Event::Pulled(Ok(None)) => {
                    self.status.end();
                    ahead.extend(self.end());
                    ended = Some(Ending::Ended);
                }
                Event::Pulled(Ok(Some(pulled))) => {
                    back_off.reset();
                    self.status.fine("");
                    silence.iter_mut().for_each(|s| s.hear(&pulled.split, pulled.ended));
                    let frames = self.frames(pulled);
                    ahead_bytes += frames.iter().map(Frame::bytes).sum::<usize>();
                    ahead.extend(frames);
                }
                Event::Pulled(Err(e)) if e.remedy() == Remedy::Retry => {
                    self.status.trouble("", &e);
                    sleep(stopper, back_off).await;
                }
                Event::Pulled(Err(e)) => {
                    // What was pulled before is good: it goes into the queue before anything else.
                    if let Some(append) = appending.take() {
                        append.await?;
                        after.extend(appended);
                    }
                    let last = positions(&ahead);
                    append(shared, ahead).await?;
                    after.extend(last);
                    return Err(e);
                }
            }
        }
    }

    /// Nothing comes any more: what waits for later rows is complete.
    fn end(&self) -> Option<Frame> {
        self.event_time.is_some().then(|| self.fact(Body::Ended, "".into()))
    }

    async fn settle(&mut self, upto: &SplitPositions) {
        if let Err(e) = self.source.settle(upto).await {
            self.status.trouble("settle", &e);
        }
    }

    /// The silence of its splits, if it matters.
    fn silence(&self, heard: &SplitPositions) -> Option<Silence> {
        let idle = self.event_time.as_ref()?.idle?;
        Some(Silence::new(idle.0, heard.keys().cloned()))
    }

    /// Splits that have been waited for long enough: time need not wait for them.
    fn idle(&self, silence: &mut Silence) -> Vec<Frame> {
        silence.due().into_iter().map(|split| self.fact(Body::Idle, split)).collect()
    }

    /// A frame that says something of a split.
    fn fact(&self, body: Body, split: Name) -> Frame {
        let (source, arrival) = (self.name.clone(), self.shared.clock.now());
        Frame { source, split, arrival, position: None, body }
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

async fn append(shared: Arc<Shared>, frames: Vec<Frame>) -> Result<()> {
    if !frames.is_empty() {
        shared.retry("append", || shared.queue.append(&frames)).await?;
    }
    Ok(())
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
