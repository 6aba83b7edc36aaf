//! Waiting until what the server took is on its disk, where the server does not do so by itself.
//!
//! `WAITAOF` holds up its connection until everything written on it before is fsynced. So it has a connection of
//! its own, on which it first writes a mark: what was appended before the mark is fsynced with it. One round
//! serves all who wait at that moment.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use millstream_core::{Error, Result};
use millstream_redis::Session;
use millstream_redis::redis::{FromRedisValue as _, cmd};
use tokio::sync::Mutex;

use super::call::Call;
use super::state::Shared;

pub(crate) struct Syncing {
    /// The connection; `None` where there is nothing to wait for.
    pub(crate) session: Option<Session>,
    /// The last round that was done.
    done: Mutex<u64>,
    /// The last round that was begun.
    begun: AtomicU64,
    timeout: Duration,
}

impl Syncing {
    pub(crate) fn new(session: Option<Session>, timeout: Duration) -> Self {
        Self { session, done: Mutex::default(), begun: AtomicU64::new(0), timeout }
    }
}

impl Shared {
    /// Returns once all that the server has answered for is on its disk.
    pub(crate) async fn synced(&self) -> Result<()> {
        let Some(session) = &self.sync.session else { return Ok(()) };
        let asked = self.sync.begun.load(SeqCst);
        let mut done = self.sync.done.lock().await;
        // A round that began after this was asked for serves this one too.
        if *done > asked {
            return Ok(());
        }
        let round = self.sync.begun.fetch_add(1, SeqCst) + 1;
        self.mark(session).await?;
        *done = round;
        Ok(())
    }

    async fn mark(&self, session: &Session) -> Result<()> {
        loop {
            let (number, _) = session.link().await?;
            self.call(session, |life| Call::new("mark", &[&self.keys.meta]).arg(life)).await?;
            let (after, mut link) = session.link().await?;
            if number != after {
                // The mark went over a connection that is gone: this one has nothing to wait for.
                continue;
            }
            let ms = u64::try_from(self.sync.timeout.as_millis() / 2).unwrap_or(1000).max(1);
            let mut wait = cmd("WAITAOF");
            wait.arg(1).arg(0).arg(ms);
            let answer = match link.query_beside(&self.keys.meta, wait).await {
                Ok(answer) => Vec::<i64>::from_redis_value(answer).unwrap_or_default(),
                Err(e) => {
                    return Err(session
                        .failed("cannot wait for the server's disk", number, e)
                        .await);
                }
            };
            if answer.first().is_some_and(|n| *n >= 1) {
                return Ok(());
            }
            let late = Error::retry(format!("the server's disk did not take it within {ms} ms"));
            self.env.report.trouble("disk", &late.at(self.place.clone()));
        }
    }
}
