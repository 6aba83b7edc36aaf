//! Entries of a stream, as a member of a consumer group.
//!
//! What is delivered to a member stays in the group's list of pending entries until it is acknowledged, which is done
//! once it is in the queue. After a crash the pending entries of this member up to the source's position are in the
//! queue, and the others are brought first.
//!
//! Entries that another member left behind have any ids, older than the position too; so they are claimed in rounds,
//! under a name of their own that alternates, `CONSUMER~0` and `CONSUMER~1`. A round is brought in the order of
//! ids, and a new one begins when all of the one before is acknowledged. The position has the number of the round, and the id
//! that it has come to: what is pending under the other name is of a round of which nothing is in the queue.

mod group;
mod place;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_core::record::{BLOCK_BYTES, Name, Position, Record};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::group::{Entry, Group, WAIT};
use self::place::At;
use super::{Place, RedisReadStream, entry};
use crate::redis::disk::Disk;

/// A stream as a source.
pub(super) struct StreamSource {
    place: Place,
    options: RedisReadStream,
    split: Name,
    group: Arc<Group>,
    disk: Disk,
    at: Option<At>,
    /// Whether there may be pending entries of this member after the position.
    pending: bool,
    claimed_at: Option<Instant>,
    ready: VecDeque<Pulled>,
    /// The answer that is under way; it outlives a dropped `pull`.
    reading: JoinSet<Result<Read>>,
    /// What was pulled and is not acknowledged.
    unsettled: VecDeque<Unsettled>,
    /// Entries of the size seen so far that make up one answer.
    count: usize,
}

/// A block of entries that are not acknowledged.
struct Unsettled {
    /// The position after it.
    position: Position,
    ids: Vec<String>,
    what: What,
}

/// What one answer brought.
#[derive(Default)]
struct Read {
    entries: Vec<Entry>,
    what: What,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum What {
    /// Pending entries of this member.
    #[default]
    Pending,
    /// New entries.
    New,
    /// Entries of others.
    Claimed,
}

/// How long to wait for new entries while those of others are not acknowledged yet.
const WAIT_CLAIMING: Duration = Duration::from_millis(20);
const COUNT_MAX: usize = 2_000;
const COUNT_FIRST: usize = 100;
const READ_BYTES: usize = 4 * BLOCK_BYTES;

impl StreamSource {
    pub(super) fn new(place: Place, options: RedisReadStream) -> Self {
        let group = Group::new(&place, &options);
        Self {
            split: options.key.as_str().into(),
            group: Arc::new(group),
            disk: Disk::default(),
            at: None,
            pending: true,
            claimed_at: None,
            ready: VecDeque::new(),
            reading: JoinSet::new(),
            unsettled: VecDeque::new(),
            count: COUNT_FIRST,
            place,
            options,
        }
    }

    /// Begins to read whatever comes next.
    fn begin(&mut self, at: &At) {
        let (group, at, count, pending) =
            (self.group.clone(), at.clone(), self.count, self.pending);
        let every = self.options.claim_after.0;
        let due =
            !every.is_zero() && self.claimed_at.is_none_or(|last| last.elapsed() >= every / 4);
        // A round ends when it is acknowledged.
        let claiming = self.unsettled.iter().any(|of| of.what == What::Claimed);
        let claim = due && !claiming && !pending;
        let wait = if claiming { WAIT_CLAIMING } else { WAIT };
        self.reading.spawn(async move {
            let what = if pending {
                What::Pending
            } else if claim {
                What::Claimed
            } else {
                What::New
            };
            let entries = match what {
                What::Pending => group.pending(&at.consumer, &at.last, count).await?,
                What::New => group.new_entries(&at.consumer, count, wait).await?,
                What::Claimed => group.claim(&at, every, count).await?,
            };
            Ok(Read { entries, what })
        });
    }

    /// Makes blocks of an answer, each with the position after it.
    fn take(&mut self, read: Read) {
        let Some(at) = &mut self.at else { return };
        match (read.what, read.entries.is_empty()) {
            (What::Pending, true) => self.pending = false,
            // A round has ended: perhaps there is another.
            (What::Claimed, true) if at.end_round() => {}
            (What::Claimed, true) => self.claimed_at = Some(Instant::now()),
            _ => {}
        }
        let (mut records, mut ids, mut bytes, mut all) = (Vec::new(), Vec::new(), 0, 0);
        let mut left = read.entries.len();
        let entries = left;
        for Entry { id, fields } in read.entries {
            left -= 1;
            match read.what {
                What::Claimed => at.claimed.clone_from(&id),
                What::Pending | What::New => at.last.clone_from(&id),
            }
            ids.push(id);
            // Without fields, it was deleted from the stream while it was pending.
            if let Some(fields) = fields {
                let record =
                    entry::record(fields, self.options.field.as_deref(), &self.options.text);
                bytes += record.value.len();
                records.push(record);
            }
            if bytes >= BLOCK_BYTES || left == 0 {
                all += bytes;
                bytes = 0;
                let position = at.position();
                let ids = std::mem::take(&mut ids);
                let what = read.what;
                self.unsettled.push_back(Unsettled { position: position.clone(), ids, what });
                let records: Vec<Record> = std::mem::take(&mut records);
                let split = self.split.clone();
                self.ready.push_back(Pulled {
                    split,
                    records,
                    position: Some(position),
                    ended: false,
                });
            }
        }
        if let Some(each) = all.checked_div(entries) {
            let fit = READ_BYTES.checked_div(each).unwrap_or(COUNT_MAX);
            self.count = fit.clamp(1, (self.count * 2).min(COUNT_MAX));
        }
    }
}

#[async_trait]
impl Source for StreamSource {
    async fn open(&mut self, after: &SplitPositions) -> Result<()> {
        self.reading = JoinSet::new();
        self.ready.clear();
        self.unsettled.clear();
        (self.at, self.pending, self.claimed_at) = (None, true, None);
        self.group.make().await?;
        self.group.look_at_disk(&mut self.disk, &self.place).await?;
        let known = after.get(&self.split).and_then(At::of);
        let at = self.group.resume(known, self.options.consumer.as_deref(), &self.place).await?;
        self.at = Some(at);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        loop {
            if let Some(pulled) = self.ready.pop_front() {
                return Ok(Some(pulled));
            }
            let Some(at) = self.at.clone() else {
                return Err(Error::reopen("the stream is not open").at(self.place.server.place()));
            };
            if self.reading.is_empty() {
                self.begin(&at);
            }
            let Some(read) = self.reading.join_next().await else { continue };
            match read {
                Ok(Ok(read)) => self.take(read),
                Ok(Err(e)) => {
                    // What was delivered with an answer that was lost is pending now.
                    self.pending = true;
                    return Err(e);
                }
                Err(e) => {
                    return Err(Error::reopen("reading the stream ended too early").because(e));
                }
            }
        }
    }

    async fn settle(&mut self, upto: &SplitPositions) -> Result<()> {
        let Some(upto) = upto.get(&self.split) else { return Ok(()) };
        let Some(settled) = self.unsettled.iter().position(|of| of.position == *upto) else {
            return Ok(());
        };
        let upto = self.unsettled.iter().take(settled + 1);
        let ids: Vec<String> = upto.flat_map(|of| of.ids.iter().cloned()).collect();
        self.group.acknowledge(&ids).await?;
        self.unsettled.drain(..=settled);
        Ok(())
    }

    fn finite(&self) -> bool {
        false
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn describe(&self) -> String {
        let RedisReadStream { key, claim_after, .. } = &self.options;
        let (group, place) = (self.group.name(), self.place.server.place());
        let claims = if claim_after.0.is_zero() {
            "takes over nothing".to_owned()
        } else {
            format!("takes over what others leave for {claim_after}")
        };
        format!("redis: stream `{key}` of {place}, in group `{group}`, {claims}")
    }
}
