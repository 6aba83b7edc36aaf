//! Tasks that belong to one run, and how they are asked to stop.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};

use millstream_core::{Error, Result};

/// How far a run has come on its way to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything runs.
    Run,
    /// Collect no more, process and deliver what is there, checkpoint, end.
    Drain,
}

/// Asks a run to stop; clones ask the same run.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<Phase>);

impl Stopper {
    pub(crate) fn new() -> Self {
        Self(watch::channel(Phase::Run).0)
    }

    /// Stop in good order: drain, checkpoint, end.
    pub fn stop(&self) {
        self.0.send_replace(Phase::Drain);
    }

    /// Whether it was asked to stop.
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.0.borrow() != Phase::Run
    }

    /// Waits until somebody asks to stop. Cancel-safe.
    pub async fn asked(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives in self, so the channel cannot be closed while we wait.
        if receiver.wait_for(|p| *p != Phase::Run).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A task that does not outlive whoever holds this.
#[derive(Debug)]
pub(crate) struct Child<T>(JoinHandle<T>);

impl<T: Send + 'static> Child<T> {
    pub(crate) fn spawn(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its end. Cancel-safe.
    pub(crate) async fn join(&mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }

    /// Ends it, and waits until it has ended.
    pub(crate) async fn abandon(mut self) {
        self.0.abort();
        drop(self.join().await);
    }
}

impl<T> Drop for Child<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

/// The error for a part that panicked.
pub(crate) fn panicked(part: &str, panic: &(dyn std::any::Any + Send)) -> Error {
    Error::stop(format!("`{part}` panicked: {}", panic_text(panic)))
        .fix("this is a bug in Millstream or in a plugin: nothing is lost, start again; please report the text above")
}

/// Answers somebody who may have stopped waiting, which is then no trouble.
pub(crate) fn tell<T>(waiting: oneshot::Sender<T>, answer: T) {
    if waiting.send(answer).is_err() {
        tracing::trace!("nobody waits for this answer any more");
    }
}

/// Where the processing loop runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// On a thread of its own, so that decoding never delays a socket.
    #[default]
    OwnThread,
    /// As a task among the others: for simulations on one thread.
    Shared,
}

/// Runs the future where `placement` says and gives back its result; a panic becomes an error that names the task.
pub(crate) fn start<T: Send + 'static>(
    placement: Placement,
    name: &'static str,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> oneshot::Receiver<Result<T>> {
    let (answer, told) = oneshot::channel();
    match placement {
        Placement::Shared => {
            tokio::spawn(async move { tell(answer, future.await) });
        }
        Placement::OwnThread => {
            let runtime = Handle::current();
            let spawned = std::thread::Builder::new().name(format!("ms-{name}")).spawn(move || {
                tell(answer, runtime.block_on(future));
            });
            if let Err(e) = spawned {
                tracing::error!(task = name, error = %e, "cannot start a thread");
            }
        }
    }
    told
}

/// Waits for a task begun by [`start`].
pub(crate) async fn finish<T>(name: &str, told: oneshot::Receiver<Result<T>>) -> Result<T> {
    told.await.unwrap_or_else(|_| {
        Err(Error::stop(format!("the `{name}` task ended by a panic"))
            .fix("this is a bug in Millstream or in a plugin: nothing is lost, start again; please report the text above"))
    })
}
