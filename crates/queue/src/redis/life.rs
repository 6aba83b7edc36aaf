//! Looking what is left when the server was restarted, or another one took its place.
//!
//! The functions' library remembers, in the server's memory only, which *life* of the data it knows. A server
//! that was restarted, or a replica that was promoted, knows none and refuses every change until somebody has
//! looked. Every process looks for itself: is what I know of still there? If it is for all, nothing was lost, and
//! everyone goes on. If not, a new incarnation begins, and the process that missed something stops.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::record::Offset;
use millstream_core::role::Role;
use millstream_core::{Error, Result};
use millstream_redis::redis::cmd;

use super::call::{Answer, Call};
use super::entry;
use super::read::Entries;
use super::state::{Claim, Last, Shared, State};

/// What the server says of the queue.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Whether the server knows this life of the data.
    pub(crate) alive: bool,
    /// The number of this process's last append.
    pub(crate) sequence: Option<u64>,
    meta: BTreeMap<String, String>,
}

impl Look {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.meta.get(field).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        self.text(field).parse().unwrap_or(0)
    }

    pub(crate) fn incarnation(&self) -> u32 {
        self.text("incarnation").parse().unwrap_or(0)
    }

    pub(crate) fn bytes(&self) -> u64 {
        let frames = self.number("cum").saturating_sub(self.number("cut"));
        frames + self.number("side") + self.number("chunk")
    }

    pub(crate) fn of(answer: Answer) -> Option<Self> {
        if answer.word == "GONE" {
            return None;
        }
        let mut rest = answer.rest.into_iter();
        let own = rest.next().unwrap_or_default();
        let sequence = own.split(' ').next().and_then(|n| n.parse().ok());
        let mut meta = BTreeMap::new();
        while let (Some(field), Some(value)) = (rest.next(), rest.next()) {
            meta.insert(field, value);
        }
        Some(Self { alive: answer.word == "ALIVE", sequence, meta })
    }
}

pub(crate) const LOST_FIX: &str = "start again: what is left is gone on with, as a new incarnation, and a sink \
     that holds more than that says so. So that this cannot happen, let the server keep what it takes \
     (`appendonly yes` and `appendfsync always`; docs/redis-queue.md)";

impl Shared {
    /// What the server says of the queue; `None` if it has none.
    pub(crate) async fn look(&self) -> Result<Option<Look>> {
        self.steady("look", || async {
            let keys = [self.keys.meta.as_str(), self.keys.appenders.as_str()];
            let call = Call::new("look", &keys).arg(&self.process);
            Ok(Look::of(call.send(&self.main).await?))
        })
        .await
    }

    /// Looks whether all that this process knows of is still there, and goes on in the server's new life if it is.
    pub(crate) async fn verify(&self) -> Result<()> {
        let _one = self.looking.lock().await;
        let Some(look) = self.look().await? else { return Err(self.gone()) };
        let life = look.text("life").to_owned();
        if look.alive && life == self.state.lock().life {
            return Ok(());
        }
        if look.text("id") != self.log.to_string() {
            let other = look.text("id");
            let why = format!(
                "the server has another queue ({other}) in the place of this one ({})",
                self.log
            );
            return Err(self.break_down(why, LOST_FIX));
        }
        let missing = self.missing(&look).await?;
        let (known, was) = {
            let state = self.state.lock();
            (state.life.clone(), state.incarnation)
        };
        let keys = [self.keys.meta.as_str(), &self.keys.frames, &self.keys.appends];
        let mut now = look;
        if !now.alive {
            let fresh = format!("{:016x}", fastrand::u64(..));
            let lost =
                if missing.is_some() && now.incarnation() == was { known.as_str() } else { "" };
            let revive = || Call::new("revive", &keys).arg(&life).arg(&fresh).arg(lost);
            self.tell(revive).await?;
        } else if missing.is_some() && now.incarnation() == was {
            // Another process, which knew less, has gone on already.
            let incarnate = || Call::new("incarnate", &keys[..1]).arg(&life).arg(&known).arg(was);
            self.tell(incarnate).await?;
        }
        if missing.is_none() {
            now = self.look().await?.ok_or_else(|| self.gone())?;
        }
        if let Some(why) = missing {
            return Err(self.break_down(why, LOST_FIX));
        }
        self.go_on(&now)
    }

    async fn tell(&self, call: impl Fn() -> Call + Send + Sync) -> Result<()> {
        let told = || async { Ok(call().send::<Answer>(&self.main).await.map(drop)?) };
        self.steady("look", told).await
    }

    /// Takes the server's new life over, in which all that was known is still there.
    fn go_on(&self, look: &Look) -> Result<()> {
        let mut state = self.state.lock();
        let was = state.incarnation;
        let told = matches!(&state.claim, Claim::Held(held) if held.committed)
            || state.roles.contains_key(&Role::Process.to_string());
        if look.incarnation() != was && told {
            drop(state);
            return Err(self.break_down(
                format!(
                    "another process found frames missing after the server was restarted, and a new \
                     incarnation ({}) of the queue began at offset {}",
                    look.incarnation(),
                    look.text(&format!("began:{}", look.incarnation()))
                ),
                LOST_FIX,
            ));
        }
        state.life = look.text("life").to_owned();
        state.incarnation = look.incarnation();
        tracing::info!(
            queue = self.keys.root(),
            incarnation = state.incarnation,
            end = look.number("end"),
            "the server began a new life; nothing that this process knows of is missing"
        );
        drop(state);
        self.saw(look.number("end"), look.number("first"), look.bytes());
        Ok(())
    }

    /// What this process knows of and the server has no more.
    async fn missing(&self, look: &Look) -> Result<Option<String>> {
        let (end, last) = {
            let state = self.state.lock();
            if let Some(why) = missing_acts(&state, look) {
                return Ok(Some(why));
            }
            (state.end, state.last)
        };
        let has = look.number("end");
        if has < end {
            return Ok(Some(lost(has, end)));
        }
        if look.sequence.is_none_or(|n| n < self.state.lock().sequence) {
            return Ok(Some(format!(
                "the server lost the end of the queue: what this process appended below offset {end} is not there"
            )));
        }
        // Others may have appended in the place of what was lost.
        let Some(Last { at, generation, crc }) = last.filter(|l| l.at >= look.number("first"))
        else {
            return Ok(None);
        };
        let found = self.steady("look", || self.one(Offset(at), generation)).await?;
        let same = found.is_some_and(|bytes| {
            bytes.first_chunk().is_some_and(|b| u32::from_le_bytes(*b) == crc)
                && entry::decode(self.seed, Offset(at), &bytes).is_ok()
        });
        Ok((!same).then(|| {
            format!(
                "the server lost the end of the queue, and something else was appended since: the frame at \
                 offset {at} is not the one that was there"
            )
        }))
    }

    /// The entry of one frame.
    async fn one(&self, at: Offset, generation: u64) -> Result<Option<Bytes>> {
        let id = format!("{generation}-{}", at.0 + 1);
        let mut range = cmd("XRANGE");
        range.arg(&self.keys.frames).arg(&id).arg(&id);
        let Entries(found) = self.main.ask("cannot read the queue", &range).await?;
        Ok(found.into_iter().next().map(|stored| stored.bytes))
    }

    pub(crate) fn gone(&self) -> Error {
        let end = self.state.lock().end;
        self.break_down(
            format!(
                "the queue is gone from the server: `{}` does not exist, offsets below {end} are lost",
                self.keys.meta
            ),
            "find out who deleted it (FLUSHALL, an eviction policy other than `noeviction`, a restart of a server \
             that keeps nothing on disk). Put a backup of the server back, or start again with an empty queue: \
             sinks that hold rows of this one will say so",
        )
    }

    pub(crate) fn meddled(&self) -> Error {
        Error::retry(format!("something else adds entries to `{}` all the time", self.keys.frames))
            .at(self.place.clone())
            .fix("find out what does (`MONITOR`): nothing but Millstream may write to these keys")
    }

    pub(crate) fn hole(&self) -> Error {
        let (first, end) = {
            let state = self.state.lock();
            (state.first, state.end)
        };
        self.break_down(
            format!(
                "frames between offset {first} and {end} are gone from `{}`, or what `{}` says of them: something \
                 else deleted or trimmed it",
                self.keys.frames, self.keys.appends
            ),
            "put a backup of the server back. Or, to go on without them, delete all keys of this queue: \
             sinks that hold rows of it will say so, and say how to go on",
        )
    }
}

/// The text for a stream that ends before what is known of it.
pub(crate) fn lost(has: u64, end: u64) -> String {
    format!("the server lost the end of the queue: offsets {has} to {} are gone", end - 1)
}

fn missing_acts(state: &State, look: &Look) -> Option<String> {
    let Claim::Held(held) = &state.claim else { return None };
    if look.number("epoch") < held.epoch {
        return Some(format!(
            "the server lost the end of the queue: it has checkpoint {}, and {} was committed",
            look.text("epoch"),
            held.epoch
        ));
    }
    let acts = look.number("act") < held.answered;
    acts.then(|| "the server lost state and side entries that were stored".to_owned())
}
