//! A thread of its own for work that blocks: databases, files, terminals.

use std::sync::mpsc;
use std::thread;

use millstream_core::{Error, Result};
use tokio::sync::oneshot;

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A thread that owns a `T` and does one job after the other on it. The thread ends, and drops the
/// `T`, when this is dropped, which waits for it: what it held (locks, files) is free afterwards.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    name: String,
    jobs: Option<mpsc::Sender<Job<T>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<T: Send + 'static> Lane<T> {
    /// Starts the thread.
    pub(crate) fn start(name: &str, mut owned: T) -> Result<Self> {
        let (jobs, taken) = mpsc::channel::<Job<T>>();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(job) = taken.recv() {
                job(&mut owned);
            }
        });
        let thread = thread.map_err(|e| {
            Error::retry(format!("cannot start a thread for `{name}`"))
                .because(e)
                .fix("raise the limit on threads (`ulimit -u`)")
        })?;
        Ok(Self { name: name.to_owned(), jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does the job on the thread and waits for its result. Dropped while waiting, the job still
    /// comes to its end.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut T) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let gone = || Error::stop(format!("the thread of `{}` has panicked", self.name));
        let (reply, result) = oneshot::channel();
        let job: Job<T> = Box::new(move |owned| {
            // Nobody waits any more: then nobody misses the result either.
            drop(reply.send(job(owned)));
        });
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there was already reported to whoever waited for the job.
            drop(thread.join());
        }
    }
}
