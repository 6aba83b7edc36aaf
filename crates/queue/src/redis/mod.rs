//! The queue on a Redis stream: several processes can share one, and divide the work by roles.
//!
//! ```text
//! <prefix>:{<pipeline>}:frames        the stream; entry `G-N` is the frame at offset N-1
//!                      :meta          numbers about the whole queue
//!                      :positions     where each split stands
//!                      :checkpoints :chunks :sides :side:<name>      what the processor keeps
//!                      :roles :members :appenders                    who does what, and did last
//!                      :appends       what each append brought; wakes those who wait for frames
//! ```
//!
//! Every change is one call of a function in `millstream.lua`, which the server runs whole or not at all; `append`,
//! `commit`, `side` and `roles` are all that ever call them. Of an append that call is the last command of a
//! transaction, and counts in what the commands before it added. `life` tells a restart of the server that lost nothing
//! from one that did. `docs/redis-queue.md` has the whole picture.

mod append;
mod call;
mod commit;
mod entry;
mod keys;
mod life;
mod open;
mod options;
mod read;
mod roles;
mod run;
mod server;
mod side;
mod state;
mod sync;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::queue::{
    Checkpoint, ChunkRef, Epoch, LogId, Positions, Queue, QueueStatus, SideStream, Slab,
};
use millstream_core::record::{Frame, Offset};
use millstream_core::role::{Holder, Role};
use millstream_core::{Error, Result};
use tokio::task::JoinHandle;

pub use options::{Durability, RedisOpener, RedisQueue};
use side::RedisSide;
use state::Shared;

/// An open queue on Redis.
pub struct Redis {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({}, {}, {:?})", self.shared.place, self.shared.keys.root(), self.status())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.state.lock().closed = true;
        self.shared.turn_away();
    }
}

#[async_trait]
impl Queue for Redis {
    fn identity(&self) -> (LogId, u32) {
        (self.shared.log, self.shared.state.lock().incarnation)
    }

    fn durable(&self) -> bool {
        true
    }

    async fn append(&self, frames: &[Frame]) -> Result<Range<Offset>> {
        self.shared.sound()?;
        if frames.is_empty() {
            let end = self.shared.status().end;
            return Ok(end..end);
        }
        // From here on the appender has it: whole, whether or not someone waits for the answer.
        let answer = self.shared.submit(frames)?;
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.shared.sound()?;
                Err(Error::stop("the queue is closed"))
            }
        }
    }

    async fn positions(&self) -> Result<Positions> {
        self.shared.positions().await
    }

    async fn read(&self, from: Offset, bytes_max: usize) -> Result<Slab> {
        self.shared.read(from, bytes_max).await
    }

    async fn wait(&self, from: Offset) -> Result<()> {
        self.shared.wait(from).await
    }

    async fn put_chunk(&self, operator: &str, key: &str, bytes: Bytes) -> Result<ChunkRef> {
        self.shared.put_chunk(operator, key, bytes).await
    }

    async fn get_chunk(&self, chunk: &ChunkRef) -> Result<Bytes> {
        self.shared.get_chunk(chunk).await
    }

    async fn commit(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.shared.commit(checkpoint).await
    }

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        self.shared.checkpoints().await
    }

    async fn trim(&self, before: Offset, epoch: Epoch) -> Result<()> {
        self.shared.trim(before, epoch).await
    }

    fn side(&self, name: &str) -> Result<Box<dyn SideStream>> {
        crate::check_side_name(name)?;
        let side = self.shared.side_named(name);
        Ok(Box::new(RedisSide { shared: self.shared.clone(), side }))
    }

    async fn sides(&self) -> Result<Vec<String>> {
        Ok(self.shared.sides.lock().keys().cloned().collect())
    }

    fn status(&self) -> QueueStatus {
        self.shared.status()
    }

    async fn new_incarnation(&self) -> Result<u32> {
        self.shared.new_incarnation().await
    }

    async fn lost_from(&self, incarnation: u32) -> Result<Option<Offset>> {
        self.shared.lost_from(incarnation).await
    }

    async fn take_role(&self, role: &Role) -> Result<bool> {
        self.shared.take_role(role).await
    }

    async fn role_lost(&self, role: &Role) {
        self.shared.role_lost(role).await;
    }

    async fn give_up_role(&self, role: &Role) -> Result<()> {
        self.shared.give_up_role(role).await
    }

    async fn collectors(&self) -> Result<usize> {
        self.shared.collectors().await
    }

    async fn holders(&self) -> Result<Vec<Holder>> {
        self.shared.holders().await
    }

    async fn close(&self) -> Result<()> {
        if self.shared.state.lock().closed {
            return Ok(());
        }
        let left = self.shared.leave().await;
        self.shared.state.lock().closed = true;
        for task in &self.tasks {
            task.abort();
        }
        self.shared.turn_away();
        self.shared.wake();
        left
    }
}
