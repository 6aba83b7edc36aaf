//! Side streams: dead letters and outboxes, each a stream of its own.
//!
//! Only the processor writes them, and it knows where they end: an append says which end it expects, and what may
//! have been left by an append whose answer was lost is cut off before the next one.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::queue::{SideExtent, SideStream};
use millstream_core::{Error, Result};
use parking_lot::Mutex;

use super::call::{Call, Failure};
use super::commit::act_call;
use super::entry::ENTRY_BYTES_MAX;
use super::read::{Entries, Stored};
use super::state::Shared;

#[derive(Debug)]
pub(crate) struct Side {
    name: String,
    place: Mutex<Place>,
    /// One append at a time.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    extent: SideExtent,
    /// Bytes before the first entry and before the end, ever.
    cut: u64,
    cum: u64,
    /// The server may have more than this.
    doubt: bool,
    /// Bytes of an entry, about.
    entry_bytes: usize,
}

impl Side {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            place: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn set(&self, extent: SideExtent, cut: u64, cum: u64) {
        *self.place.lock() = Place { extent, cut, cum, ..Place::default() };
    }
}

/// A handle on a side stream.
pub(crate) struct RedisSide {
    pub(crate) shared: Arc<Shared>,
    pub(crate) side: Arc<Side>,
}

impl RedisSide {
    fn check(&self, entries: &[Bytes]) -> Result<()> {
        let need: usize = entries.iter().map(Bytes::len).sum();
        let (held, max) = (self.bytes(), self.shared.bounds.side_bytes_max);
        if need > ENTRY_BYTES_MAX {
            return Err(Error::set_aside(format!(
                "{need} bytes are too many for one command of Redis"
            )));
        }
        if held.saturating_add(need as u64) > max {
            return Err(Error::retry(format!(
                "`{}` holds {held} bytes and may hold {max}: {need} more do not fit",
                self.side.name
            ))
            .fix(
                "mend what keeps its entries from going on, or raise `queue.redis.side_bytes_max`",
            ));
        }
        Ok(())
    }

    async fn entries(&self, from: u64, count: usize) -> Result<Vec<Stored>> {
        let stream = self.shared.keys.side(&self.side.name);
        let keys = [self.shared.keys.sides.as_str(), &stream];
        let name = &self.side.name;
        let read = || async {
            let call = Call::new("side_read", &keys).arg(name).arg(from).arg(count);
            let Entries(entries) = call.send(&self.shared.main).await?;
            Ok(entries)
        };
        self.shared.steady("side streams", read).await
    }
}

#[async_trait]
impl SideStream for RedisSide {
    async fn append(&self, entries: &[Bytes]) -> Result<u64> {
        let _one = self.side.writing.lock().await;
        self.check(entries)?;
        self.shared.claim().await?;
        let shared = &self.shared;
        let place = *self.side.place.lock();
        if place.doubt {
            shared.side_cut(&self.side.name, place.extent).await?;
        }
        // Until the answer is here, and if nobody waits for it.
        self.side.place.lock().doubt = true;
        let stream = shared.keys.side(&self.side.name);
        let keys = [shared.keys.meta.as_str(), &shared.keys.roles, &shared.keys.sides, &stream];
        let end = place.extent.end;
        let answer = shared
            .act(|life, held| {
                let call = act_call("side_append", &keys, life, held);
                let call = call.arg(&self.side.name).arg(end);
                entries.iter().fold(call, |call, entry| call.arg(&entry[..]))
            })
            .await;
        let answer = match answer {
            Ok(answer) if answer.word == "MOVED" => {
                return Err(Error::retry(format!(
                    "`{}` ends at {} on the server, not at {end}: what is beyond was not committed",
                    self.side.name,
                    answer.text(0)
                )));
            }
            Ok(answer) => answer,
            Err(Failure { error, known }) => {
                self.side.place.lock().doubt = place.doubt || !known;
                return Err(error);
            }
        };
        let bytes: usize = entries.iter().map(Bytes::len).sum();
        let mut place = self.side.place.lock();
        place.extent.end += entries.len() as u64;
        place.cum = answer.number(0);
        place.doubt = false;
        place.entry_bytes = (place.entry_bytes + bytes / entries.len().max(1)) / 2;
        Ok(end)
    }

    async fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<(u64, Bytes)>> {
        let (from, end, mean) = {
            let place = self.side.place.lock();
            (from.max(place.extent.first), place.extent.end, place.entry_bytes.max(64))
        };
        if from >= end {
            return Ok(Vec::new());
        }
        let found = self.entries(from, (bytes_max / mean + 1).clamp(1, 4096)).await?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        for (next, Stored { number, bytes: entry, .. }) in (from..end).zip(found) {
            let enough = !entries.is_empty() && bytes + entry.len() > bytes_max;
            // Behind a gap nothing is given: the next read begins there, and says so.
            if number != next || enough {
                break;
            }
            bytes += entry.len();
            entries.push((number, entry));
        }
        if entries.is_empty() {
            return Err(Error::stop(format!(
                "entry {from} of side stream `{}` is gone",
                self.side.name
            ))
            .at(self.shared.place.clone())
            .fix("something else deleted it: put a backup of the server back"));
        }
        self.side.place.lock().entry_bytes = bytes / entries.len().max(1);
        Ok(entries)
    }

    fn extent(&self) -> SideExtent {
        self.side.place.lock().extent
    }

    fn bytes(&self) -> u64 {
        let place = self.side.place.lock();
        place.cum - place.cut
    }

    /// Only here: the server keeps the entries until a commit names the new extent.
    async fn trim(&self, before: u64) -> Result<()> {
        let _one = self.side.writing.lock().await;
        let place = *self.side.place.lock();
        let before = before.min(place.extent.end);
        if before <= place.extent.first {
            return Ok(());
        }
        // The entry itself says how many bytes were before it.
        let cut = if before == place.extent.end {
            place.cum
        } else {
            let found = self.entries(before, 1).await?;
            found.first().map_or(place.cut, |stored| stored.before)
        };
        let mut place = self.side.place.lock();
        place.extent.first = before;
        place.cut = cut;
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        self.shared.synced().await
    }
}
