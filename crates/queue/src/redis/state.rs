//! What the tasks of an open queue share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use millstream_core::plugin::Env;
use millstream_core::queue::{Checkpoint, LogId, QueueStatus};
use millstream_core::record::Offset;
use millstream_core::{Error, Remedy, Result};
use millstream_redis::Session;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::append::Waiting;
use super::call::{Answer, Call, Failure};
use super::keys::Keys;
use super::run::Run;
use super::side::Side;
use super::sync::Syncing;

/// So often an append is made again at once, when something else was added to the frames.
const AGAIN_MAX: u32 = 5;

pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) keys: Keys,
    pub(crate) bounds: Bounds,
    /// Where the server is, for messages.
    pub(crate) place: String,
    /// Host, process id and a random part: never used again.
    pub(crate) process: String,
    pub(crate) log: LogId,
    pub(crate) seed: u32,
    /// Reads and acts of the processor.
    pub(crate) main: Session,
    /// Appends.
    pub(crate) appends: Session,
    /// Roles: never held up by the others.
    pub(crate) beats: Session,
    pub(crate) sync: Syncing,
    pub(crate) state: Mutex<State>,
    pub(crate) sides: Mutex<BTreeMap<String, Arc<Side>>>,
    /// Told of every change of the end, and when there will never be one.
    pub(crate) moved: Notify,
    /// Told when there may be room.
    pub(crate) room: Notify,
    pub(crate) waiting: Waiting,
    /// Those who wait for frames.
    pub(crate) followers: watch::Sender<usize>,
    pub(crate) roles_changed: Notify,
    /// One look at a time.
    pub(crate) looking: tokio::sync::Mutex<()>,
    /// The connection that frames are read over, by the number with which the server was last looked at: over
    /// another one it may be another server, or one that was restarted.
    pub(crate) looked: AtomicU64,
    /// One act of the processor at a time.
    pub(crate) acting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: u64,
    pub(crate) frames_max: Option<u64>,
    pub(crate) side_bytes_max: u64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The life of the data that all below was learned in.
    pub(crate) life: String,
    pub(crate) incarnation: u32,
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    /// The last frame known: what tells whether the stream is still the one it was.
    pub(crate) last: Option<Last>,
    /// The generation of ids that was met last: the next frame's, in all likelihood.
    pub(crate) generation: u64,
    /// The number of the last append whose outcome is known.
    pub(crate) sequence: u64,
    /// Frames this process appended last, up to the end.
    pub(crate) tail: Run,
    /// Frames read beyond what was asked for.
    pub(crate) ahead: Run,
    /// Bytes of a frame, about.
    pub(crate) frame_bytes: usize,
    pub(crate) claim: Claim,
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Roles taken, and their tokens.
    pub(crate) roles: BTreeMap<String, String>,
    /// Whether this process wants to collect.
    pub(crate) collects: bool,
    pub(crate) closed: bool,
    /// Why it takes no more.
    pub(crate) broken: Option<(String, String)>,
}

/// A frame as it was met: its offset, the generation of its id, its CRC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) at: u64,
    pub(crate) generation: u64,
    pub(crate) crc: u32,
}

/// Whether this process may do what the processor does.
#[derive(Debug, Default)]
pub(crate) enum Claim {
    /// It never asked.
    #[default]
    None,
    Held(Held),
    /// Another process has taken over.
    Lost(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) token: String,
    /// The number of the last act.
    pub(crate) act: u64,
    /// The number of the last act that was answered.
    pub(crate) answered: u64,
    /// It has committed: what it holds of the queue's identity is with sinks by now.
    pub(crate) committed: bool,
    /// The number of the next chunk.
    pub(crate) chunk: u64,
    /// The last epoch committed.
    pub(crate) epoch: u64,
}

impl State {
    pub(crate) fn sound(&self) -> Result<()> {
        if let Some((why, fix)) = &self.broken {
            return Err(Error::stop(why.clone()).fix(fix.clone()));
        }
        if self.closed { Err(Error::stop("the queue is closed")) } else { Ok(()) }
    }
}

impl Shared {
    pub(crate) fn sound(&self) -> Result<()> {
        self.state.lock().sound()
    }

    /// It takes no more: everyone is told why.
    pub(crate) fn break_down(&self, why: String, fix: &str) -> Error {
        let error = {
            let mut state = self.state.lock();
            let (why, fix) = state.broken.get_or_insert((why, fix.to_owned()));
            Error::stop(why.clone()).at(self.place.clone()).fix(fix.clone())
        };
        tracing::error!(queue = self.keys.root(), %error, "the queue takes no more");
        self.wake();
        error
    }

    /// Wakes all who wait for anything.
    pub(crate) fn wake(&self) {
        self.moved.notify_waiters();
        self.room.notify_waiters();
        self.roles_changed.notify_waiters();
    }

    pub(crate) fn status(&self) -> QueueStatus {
        let state = self.state.lock();
        QueueStatus {
            first: Offset(state.first),
            end: Offset(state.end),
            bytes: state.bytes,
            bytes_max: Some(self.bounds.bytes_max),
        }
    }

    /// Takes over what an answer says of the queue. Answers on several connections may overtake one another.
    pub(crate) fn saw(&self, end: u64, first: u64, bytes: u64) {
        let (moved, room) = {
            let mut state = self.state.lock();
            let (moved, room) = (end > state.end, bytes < state.bytes);
            if end >= state.end {
                state.bytes = bytes;
            }
            state.end = state.end.max(end);
            state.first = state.first.max(first);
            (moved, room)
        };
        if moved {
            self.moved.notify_waiters();
        }
        if room {
            self.room.notify_waiters();
        }
    }

    /// Calls a function that wants the life first, looking what is left when the server began another one.
    /// The answer has only what follows the queue's numbers.
    pub(crate) async fn call(
        &self,
        session: &Session,
        write: impl Fn(&str) -> Call + Send + Sync,
    ) -> Result<Answer, Failure> {
        let mut again = 0;
        loop {
            let life = {
                let state = self.state.lock();
                state.sound().map_err(Failure::unsent)?;
                state.life.clone()
            };
            let call = write(&life);
            let mut answer: Answer = Box::pin(call.send(session)).await?;
            match answer.word.as_str() {
                "LIFE" => Box::pin(self.verify()).await.map_err(Failure::unsent)?,
                "GONE" => return Err(Failure::unsent(self.gone())),
                "HOLE" => return Err(Failure::unsent(self.hole())),
                // Something was beyond the end, and is not any more.
                "AGAIN" if again < AGAIN_MAX => again += 1,
                "AGAIN" => return Err(Failure::unsent(self.meddled())),
                _ => {
                    self.saw(answer.number(0), answer.number(1), answer.number(2));
                    answer.rest.drain(..3.min(answer.rest.len()));
                    return Ok(answer);
                }
            }
        }
    }

    /// Keeps trying while the server cannot be reached, telling of it.
    pub(crate) async fn steady<T, F: Future<Output = Result<T>> + Send>(
        &self,
        what: &str,
        mut act: impl FnMut() -> F + Send,
    ) -> Result<T> {
        let mut pause = Pause::default();
        loop {
            self.sound()?;
            match act().await {
                Ok(value) => {
                    if pause.tried() {
                        self.env.report.fine(what);
                    }
                    return Ok(value);
                }
                Err(e) if e.remedy() == Remedy::Retry => {
                    self.env.report.trouble(what, &e);
                    pause.wait().await;
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// Waits a little longer each time, up to a second.
#[derive(Debug, Default)]
pub(crate) struct Pause(u32);

impl Pause {
    pub(crate) fn tried(&self) -> bool {
        self.0 > 0
    }

    pub(crate) async fn wait(&mut self) {
        let longest = 20u64 << self.0.min(6);
        self.0 += 1;
        // Not all at once, when many lost the same server.
        let ms = fastrand::u64(longest / 2..=longest.min(1000));
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
