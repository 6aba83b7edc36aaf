//! What the processor does: take over, commit, trim, keep state.
//!
//! Each act carries the token of the role and a number that grows, so that nothing counts that comes from a
//! process that was replaced, or from a connection that was given up.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::queue::{Checkpoint, ChunkRef, Epoch, SideExtent};
use millstream_core::record::Offset;
use millstream_core::role::Role;
use millstream_core::{Error, Result};
use millstream_redis::redis::cmd;

use super::call::{Answer, Call, Failure};
use super::entry::ENTRY_BYTES_MAX;
use super::roles::{Over, Taken, taken_over};
use super::side::Side;
use super::state::{Claim, Held, Shared};

/// So many chunks are removed by one call.
const SWEEP: usize = 1000;

impl Shared {
    /// Takes up what the processor before left: what it did not commit goes.
    pub(crate) async fn take_over(&self, token: &str) -> Result<()> {
        if matches!(&self.state.lock().claim, Claim::Held(held) if held.token == token) {
            return Ok(());
        }
        let look = self.look().await?.ok_or_else(|| self.gone())?;
        let checkpoints = self.checkpoints().await?;
        let last = checkpoints.last().cloned().unwrap_or_default();
        self.state.lock().claim = Claim::Held(Held {
            token: token.to_owned(),
            act: look.number("act"),
            answered: look.number("act"),
            committed: false,
            chunk: look.number("chunks"),
            epoch: last.epoch.0,
        });
        self.cut_sides(&last).await?;
        self.sweep(&checkpoints).await?;
        self.state.lock().checkpoints = checkpoints;
        Ok(())
    }

    async fn cut_sides(&self, last: &Checkpoint) -> Result<()> {
        let there = || async {
            self.ask::<Vec<(String, String)>>(&self.main, |commands| {
                commands.cmd("HGETALL").arg(&self.keys.sides);
            })
            .await
        };
        let there = self.steady("side streams", there).await?;
        for side in self.sides.lock().values() {
            side.set(SideExtent::default(), 0, 0);
        }
        for (name, _) in &there {
            let extent = last.sides.get(name).copied().unwrap_or_default();
            let (cut, cum) = self
                .steady("side streams", || async { Ok(self.side_cut(name, extent).await?) })
                .await?;
            if last.sides.contains_key(name) {
                self.side_named(name).set(extent, cut, cum);
            }
        }
        let counts = |e: &SideExtent| e.end > e.first;
        let gone = last.sides.iter().find(|(name, extent)| {
            counts(extent) && !there.iter().any(|(there, _)| there == *name)
        });
        match gone {
            None => Ok(()),
            Some((name, extent)) => Err(Error::stop(format!(
                "entries {}..{} of side stream `{name}` are gone from the server",
                extent.first, extent.end
            ))
            .at(self.place.clone())
            .fix("something else deleted them: put a backup of the server back")),
        }
    }

    /// Makes the server's side stream begin and end where it counts; its bytes before both places.
    pub(crate) async fn side_cut(
        &self,
        name: &str,
        extent: SideExtent,
    ) -> Result<(u64, u64), Failure> {
        let stream = self.keys.side(name);
        let keys = [self.keys.meta.as_str(), &self.keys.roles, &self.keys.sides, &stream];
        let answer = self
            .act(|life, held| {
                act_call("side_cut", &keys, life, held).arg(name).arg(extent.first).arg(extent.end)
            })
            .await?;
        if answer.word == "SIDE" {
            return Err(Failure::unsent(Error::stop(format!(
                "side stream `{name}` has entries {}..{}, and the last checkpoint counts {}..{}",
                answer.text(1),
                answer.text(2),
                extent.first,
                extent.end
            ))));
        }
        Ok((answer.number(0), answer.number(1)))
    }

    pub(crate) fn side_named(&self, name: &str) -> Arc<Side> {
        let mut sides = self.sides.lock();
        sides.entry(name.to_owned()).or_insert_with(|| Arc::new(Side::new(name))).clone()
    }

    /// Removes state that no checkpoint names.
    async fn sweep(&self, checkpoints: &[Checkpoint]) -> Result<()> {
        let there = || async {
            self.ask::<Vec<u64>>(&self.main, |commands| {
                commands.cmd("HKEYS").arg(&self.keys.chunks);
            })
            .await
        };
        let there = self.steady("state", there).await?;
        let named: BTreeSet<u64> =
            checkpoints.iter().flat_map(|c| &c.chunks).map(|c| c.id).collect();
        let orphans: Vec<u64> = there.into_iter().filter(|id| !named.contains(id)).collect();
        let keys = [self.keys.meta.as_str(), &self.keys.roles, &self.keys.chunks];
        for some in orphans.chunks(SWEEP) {
            let sweep = || async {
                Ok(self.act(|life, held| act_call("sweep", &keys, life, held).arg(some)).await?)
            };
            self.steady("state", sweep).await?;
        }
        Ok(())
    }

    /// One act of the processor. If nobody is the processor, this process is, until another one asks for it.
    pub(crate) async fn act(
        &self,
        write: impl Fn(&str, &Held) -> Call + Send + Sync,
    ) -> Result<Answer, Failure> {
        let _one = self.acting.lock().await;
        let held = {
            let mut state = self.state.lock();
            state.sound().map_err(Failure::unsent)?;
            match &mut state.claim {
                Claim::Lost(by) => return Err(Failure::unsent(taken_over(by))),
                Claim::None => {
                    return Err(Failure::unsent(taken_over("nobody, or another process,")));
                }
                Claim::Held(held) => {
                    held.act += 1;
                    held.clone()
                }
            }
        };
        let answer = self.call(&self.main, |life| write(life, &held)).await?;
        match answer.word.as_str() {
            "FENCED" => {
                let by = match answer.text(0) {
                    "" => "another process, which gave it up since,",
                    by => by,
                };
                self.lose(&Role::Process.to_string(), by);
                Err(Failure::unsent(taken_over(by)))
            }
            "LATE" => {
                let late =
                    Error::retry("the server had a later act of this process before this one");
                Err(Failure::unsent(late))
            }
            "OK" => {
                if let Claim::Held(mine) = &mut self.state.lock().claim {
                    mine.answered = mine.answered.max(held.act);
                }
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    /// Becomes the processor if nobody is, before the first act.
    pub(crate) async fn claim(&self) -> Result<()> {
        if !matches!(self.state.lock().claim, Claim::None) {
            return Ok(());
        }
        let role = Role::Process.to_string();
        match self.ask_role(&role, false, Over::Expired).await? {
            Taken::Token(token) => self.take_over(&token).await,
            Taken::By(by) => Err(taken_over(&by)),
        }
    }

    pub(crate) async fn commit(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.claim().await?;
        let gone = {
            let state = self.state.lock();
            let last = state.checkpoints.last();
            assert!(last.is_none_or(|l| l.epoch <= checkpoint.epoch), "epochs only grow");
            last.filter(|l| l.epoch == checkpoint.epoch).cloned()
        };
        let bytes = postcard::to_stdvec(checkpoint)
            .map_err(|e| Error::stop("cannot encode a checkpoint").because(e))?;
        let drop = {
            let state = self.state.lock();
            let kept = state.checkpoints.iter().filter(|c| c.epoch != checkpoint.epoch);
            only_in(gone.as_slice(), kept.chain([checkpoint]))
        };
        let streams: Vec<String> = checkpoint.sides.keys().map(|n| self.keys.side(n)).collect();
        let keys = &self.keys;
        let mut names =
            vec![keys.meta.as_str(), &keys.roles, &keys.checkpoints, &keys.chunks, &keys.sides];
        names.extend(streams.iter().map(String::as_str));
        let answer = self
            .act(|life, held| {
                let mut call = act_call("commit", &names, life, held);
                call = call.arg(checkpoint.epoch.0).arg(checkpoint.next.0).arg(&bytes[..]);
                call = call.arg(checkpoint.sides.len());
                for (name, extent) in &checkpoint.sides {
                    call = call.arg(name).arg(extent.first).arg(extent.end);
                }
                drop.iter().fold(call.arg(drop.len()), |call, id| call.arg(*id))
            })
            .await?;
        match answer.word.as_str() {
            "AHEAD" => return Err(self.hole()),
            "SIDE" => {
                return Err(Error::stop(format!(
                    "a checkpoint counts more entries of `{}` than its {}",
                    answer.text(0),
                    answer.text(1)
                )));
            }
            _ => {}
        }
        self.synced().await?;
        let mut state = self.state.lock();
        if gone.is_some() {
            state.checkpoints.pop();
        }
        state.checkpoints.push(checkpoint.clone());
        if let Claim::Held(held) = &mut state.claim {
            held.epoch = held.epoch.max(checkpoint.epoch.0);
            held.committed = true;
        }
        Ok(())
    }

    pub(crate) async fn trim(&self, before: Offset, epoch: Epoch) -> Result<()> {
        self.claim().await?;
        let (first, epochs, ids, needless) = {
            let state = self.state.lock();
            let last = state.checkpoints.len().saturating_sub(1);
            let old = |(i, c): &(usize, &Checkpoint)| *i < last && c.epoch < epoch;
            let all = state.checkpoints.iter().enumerate();
            let gone: Vec<Checkpoint> = all.take_while(old).map(|(_, c)| c.clone()).collect();
            let kept = || state.checkpoints.iter().skip(gone.len());
            let needed = kept().next().map_or(0, |oldest| oldest.next.0);
            let first = before.0.min(needed);
            let epochs: Vec<u64> = gone.iter().map(|c| c.epoch.0).collect();
            (first, epochs, only_in(&gone, kept()), gone.is_empty() && first <= state.first)
        };
        if needless {
            return Ok(());
        }
        let keys = &self.keys;
        let names = [
            keys.meta.as_str(),
            &keys.roles,
            &keys.checkpoints,
            &keys.chunks,
            &keys.frames,
            &keys.appends,
        ];
        self.act(|life, held| {
            let call = act_call("trim", &names, life, held).arg(first).arg(epochs.len());
            let call = epochs.iter().fold(call, |call, epoch| call.arg(*epoch));
            ids.iter().fold(call.arg(ids.len()), |call, id| call.arg(*id))
        })
        .await?;
        self.state.lock().checkpoints.retain(|c| !epochs.contains(&c.epoch.0));
        self.room.notify_waiters();
        Ok(())
    }

    pub(crate) async fn put_chunk(
        &self,
        operator: &str,
        key: &str,
        bytes: Bytes,
    ) -> Result<ChunkRef> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(Error::stop(format!(
                "{} bytes of state of `{operator}` are too much for one value of Redis",
                bytes.len()
            ))
            .fix("use `queue: log`, or a query that needs less state at once"));
        }
        self.claim().await?;
        let id = {
            let mut state = self.state.lock();
            match &mut state.claim {
                Claim::Held(held) => {
                    held.chunk += 1;
                    held.chunk - 1
                }
                Claim::Lost(by) => return Err(taken_over(by)),
                Claim::None => return Err(taken_over("another process")),
            }
        };
        let keys = [self.keys.meta.as_str(), &self.keys.roles, &self.keys.chunks];
        self.act(|life, held| act_call("put_chunk", &keys, life, held).arg(id).arg(&bytes[..]))
            .await?;
        Ok(ChunkRef {
            operator: operator.to_owned(),
            key: key.to_owned(),
            id,
            bytes: bytes.len() as u64,
            crc: crc32c::crc32c(&bytes),
        })
    }

    pub(crate) async fn get_chunk(&self, chunk: &ChunkRef) -> Result<Bytes> {
        let mut get = cmd("HGET");
        get.arg(&self.keys.chunks).arg(chunk.id);
        let read = || self.main.ask("cannot read state", &get);
        let found: Option<Vec<u8>> = self.steady("state", read).await?;
        let place = || format!("{}, key `{}`", self.place, self.keys.chunks);
        let why = match found {
            None => "is gone",
            Some(bytes)
                if bytes.len() as u64 != chunk.bytes || crc32c::crc32c(&bytes) != chunk.crc =>
            {
                "is not what was stored"
            }
            Some(bytes) => return Ok(bytes.into()),
        };
        Err(Error::stop(format!("state {} of `{}` {why}", chunk.id, chunk.operator))
            .at(place())
            .fix("something else wrote to this queue's keys: put a backup of the server back"))
    }

    pub(crate) async fn new_incarnation(&self) -> Result<u32> {
        let keys = [self.keys.meta.as_str()];
        let was = self.state.lock().incarnation;
        let call = |life: &str| Call::new("incarnate", &keys).arg(life).arg(life).arg(was);
        let answer = self.call(&self.main, call).await?;
        self.synced().await?;
        let incarnation = answer.text(0).parse().unwrap_or(u32::MAX);
        self.state.lock().incarnation = incarnation;
        tracing::warn!(
            queue = self.keys.root(),
            log = %self.log,
            incarnation,
            "the queue begins a new incarnation: what sinks hold beyond its end does not come from it"
        );
        Ok(incarnation)
    }
}

/// A call that begins as all acts of the processor do.
pub(crate) fn act_call(function: &'static str, keys: &[&str], life: &str, held: &Held) -> Call {
    Call::new(function, keys).arg(life).arg(&held.token).arg(held.act)
}

/// Chunks that only these checkpoints name.
fn only_in<'a>(gone: &[Checkpoint], kept: impl Iterator<Item = &'a Checkpoint>) -> Vec<u64> {
    let kept: BTreeSet<u64> = kept.flat_map(|c| &c.chunks).map(|c| c.id).collect();
    let ids: BTreeSet<u64> = gone.iter().flat_map(|c| &c.chunks).map(|c| c.id).collect();
    ids.difference(&kept).copied().collect()
}
