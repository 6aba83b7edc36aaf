//! Who does the writing: a thread of its own, or, for simulations, whoever calls.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use millstream_core::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::state::Shared;
use super::writer::{Done, Job, Writer};

/// Who does the writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    /// A thread of its own.
    Thread,
    /// Whoever calls, before the call returns.
    Inline,
}

/// What the log and its side streams hold on to. Dropping the last of them ends the writer.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    drive: Drive,
    inline: Option<Mutex<Writer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({}, {:?})", self.shared.folder.display(), self.drive)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.shared.jobs.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // It has told everyone already if it broke down.
            thread.join().ok();
        }
    }
}

/// Does the jobs until there will be none any more.
fn write_on(mut writer: Writer) {
    /// Lets nobody wait for a writer that is gone, however it went.
    struct Gone(Arc<Shared>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let mut jobs = self.0.jobs.lock();
            jobs.stop = true;
            jobs.queue.clear();
            drop(jobs);
            self.0.state.lock().broken.get_or_insert_with(|| "the log's writer is gone".into());
            self.0.moved.notify_waiters();
            self.0.room.notify_waiters();
        }
    }
    let gone = Gone(writer.shared.clone());
    loop {
        let waiting = {
            let mut jobs = gone.0.jobs.lock();
            while jobs.queue.is_empty() && !jobs.stop {
                gone.0.wake.wait(&mut jobs);
            }
            std::mem::take(&mut jobs.queue)
        };
        if waiting.is_empty() {
            return;
        }
        writer.turn(waiting);
    }
}

/// Runs something that blocks where that may be done.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(e) => Err(Error::stop("a read of the log broke off").because(e)),
    }
}

impl Core {
    /// Lets the writer work.
    pub(crate) fn start(shared: Arc<Shared>, writer: Writer, drive: Drive) -> Result<Self> {
        let (inline, thread) = match drive {
            Drive::Inline => (Some(Mutex::new(writer)), None),
            Drive::Thread => {
                let thread = std::thread::Builder::new()
                    .name("log".into())
                    .spawn(move || write_on(writer))
                    .map_err(|e| Error::stop("cannot start the log's thread").because(e))?;
                (None, Some(thread))
            }
        };
        Ok(Self { shared, drive, inline, thread: Mutex::new(thread) })
    }

    /// Has the writer do something and waits for its answer.
    pub(crate) async fn ask<T>(&self, job: impl FnOnce(Done<T>) -> Job) -> Result<T> {
        let (done, answer) = oneshot::channel();
        self.submit(job(done));
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.shared.state.lock().sound()?;
                Err(Error::stop("the log is closed"))
            }
        }
    }

    pub(crate) fn submit(&self, job: Job) {
        self.shared.submit(job);
        if let Some(writer) = &self.inline {
            let mut writer = writer.lock();
            let waiting = std::mem::take(&mut self.shared.jobs.lock().queue);
            writer.turn(waiting);
        }
    }

    /// Reads where that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.drive {
            Drive::Inline => act(&self.shared),
            Drive::Thread => {
                let shared = self.shared.clone();
                blocking(move || act(&shared)).await
            }
        }
    }
}
