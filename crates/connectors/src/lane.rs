//! A thread of its own for work that blocks: databases, files, terminals.

use std::sync::{Arc, mpsc};
use std::thread;

use millstream_core::{Error, Result};
use tokio::sync::oneshot;

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A thread that owns a `T` and does one job after the other on it. The thread ends, and drops the
/// `T`, when this is dropped, which waits for it: what it held (locks, files) is free afterwards.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    name: Arc<str>,
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
        Ok(Self { name: name.into(), jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does the job on the thread and waits for its result. Dropped while waiting, the job still
    /// comes to its end.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut T) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.begin(job)?.end().await
    }

    /// Has the job done on the thread, behind those before it, without waiting.
    pub(crate) fn begin<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut T) -> Result<R> + Send + 'static,
    ) -> Result<Pending<R>> {
        let (reply, result) = oneshot::channel();
        let job: Job<T> = Box::new(move |owned| {
            // Nobody waits any more: then nobody misses the result either.
            drop(reply.send(job(owned)));
        });
        let pending = Pending { name: self.name.clone(), result };
        match self.jobs.as_ref().map(|jobs| jobs.send(job)) {
            Some(Ok(())) => Ok(pending),
            Some(Err(_)) | None => Err(pending.gone()),
        }
    }
}

/// A job that was begun.
#[derive(Debug)]
pub(crate) struct Pending<R> {
    name: Arc<str>,
    result: oneshot::Receiver<Result<R>>,
}

impl<R> Pending<R> {
    /// Waits for its result.
    pub(crate) async fn end(mut self) -> Result<R> {
        let result = (&mut self.result).await;
        result.map_err(|_| self.gone())?
    }

    fn gone(&self) -> Error {
        Error::stop(format!("the thread of `{}` has panicked", self.name))
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
