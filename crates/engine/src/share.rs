//! Sources divided among the processes that share a queue: each is collected by one of them at a time.
//!
//! Where one process has the queue to itself, it has every source at once and nothing here waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use millstream_core::queue::Queue;
use millstream_core::record::Name;
use millstream_core::role::Role;
use millstream_core::{Remedy, Result};

use crate::collect::{Collector, Ending};
use crate::tasks::{Child, Stopper};

/// How long to wait before asking again for a source that another process has.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often to look how many processes there are.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// How long a source that was handed on is left to others.
const LEFT_FOR: Duration = Duration::from_secs(5);

/// The sources that this process has, and how many would be its fair share.
pub(crate) struct Share {
    queue: Arc<dyn Queue>,
    sources: usize,
    held: Mutex<BTreeSet<Name>>,
    fair: watch::Sender<usize>,
}

/// Why a source is not collected here any more.
enum Left {
    /// It ended, or the run stops.
    Done(Result<Ending>),
    /// Another process shall have it.
    HandedOn,
    /// Another process may have it already.
    Lost,
}

impl Share {
    /// All of the sources, until it is known that there are others to share them with.
    pub(crate) fn new(queue: Arc<dyn Queue>, sources: usize) -> Arc<Self> {
        let fair = watch::channel(sources).0;
        Arc::new(Self { queue, sources, held: Mutex::default(), fair })
    }

    /// Looks again and again how many processes share the sources, for as long as the task is held.
    pub(crate) fn count(self: &Arc<Self>) -> Child<()> {
        Child::spawn(self.clone().keep_counting())
    }

    async fn keep_counting(self: Arc<Self>) {
        loop {
            match self.queue.collectors().await {
                Ok(processes) => {
                    let fair = self.sources.div_ceil(processes.max(1));
                    self.fair.send_if_modified(|now| std::mem::replace(now, fair) != fair);
                }
                Err(e) => tracing::debug!(error = %e, "cannot count the processes that collect"),
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    }

    /// Collects from a source whenever it is this process's to collect, until it ends or the run stops.
    ///
    /// # Errors
    /// `Stop` from the source or the queue.
    pub(crate) async fn collect(
        &self,
        mut collector: Collector,
        stopper: &Stopper,
    ) -> Result<Ending> {
        let name = collector.name.clone();
        let role = Role::Collect(name.clone());
        loop {
            if !self.gain(&name, &role, stopper).await? {
                return Ok(Ending::Stopped);
            }
            let left = self.hold(&mut collector, &role, stopper).await;
            self.held.lock().remove(&name);
            match left {
                Left::Done(ended) => {
                    self.give_up(&role).await;
                    return ended;
                }
                Left::HandedOn => {
                    self.give_up(&role).await;
                    tracing::info!(source = %name, "handed a source on to another process");
                    rest(LEFT_FOR, stopper).await;
                }
                Left::Lost => {
                    tracing::warn!(source = %name, "lost a source: this process was cut off or stopped for so long that another one may have it");
                    rest(ASK_EVERY, stopper).await;
                }
            }
        }
    }

    /// Waits until the source is this process's; `false` if the run stops before.
    async fn gain(&self, name: &Name, role: &Role, stopper: &Stopper) -> Result<bool> {
        while !stopper.stopping() {
            let room = {
                let mut held = self.held.lock();
                held.len() < *self.fair.borrow() && held.insert(name.clone())
            };
            if room {
                match self.queue.take_role(role).await {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(e) if e.remedy() == Remedy::Stop => return Err(e),
                    Err(e) => tracing::debug!(error = %e, "cannot ask for a source"),
                }
                self.held.lock().remove(name);
            }
            rest(ASK_EVERY, stopper).await;
        }
        Ok(false)
    }

    /// Collects while the source is this process's.
    async fn hold(&self, collector: &mut Collector, role: &Role, stopper: &Stopper) -> Left {
        let name = collector.name.clone();
        let own = Stopper::new();
        let mut handed_on = false;
        let mut run = std::pin::pin!(collector.run(&own));
        loop {
            tokio::select! {
                biased;
                () = self.queue.role_lost(role) => return Left::Lost,
                ended = &mut run => {
                    let ended_here = !matches!(ended, Ok(Ending::Stopped));
                    return if handed_on && !ended_here { Left::HandedOn } else { Left::Done(ended) };
                }
                () = stopper.asked(), if !own.stopping() => own.stop(),
                () = self.too_many(&name), if !own.stopping() => {
                    handed_on = true;
                    own.stop();
                }
            }
        }
    }

    /// Waits until this process has more than its share and this source is one of those too many.
    async fn too_many(&self, name: &Name) {
        let mut fair = self.fair.subscribe();
        loop {
            let fair_now = *fair.borrow_and_update();
            if self.held.lock().iter().position(|n| n == name).is_some_and(|at| at >= fair_now) {
                return;
            }
            if fair.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn give_up(&self, role: &Role) {
        if let Err(e) = self.queue.give_up_role(role).await {
            // It falls free by itself.
            tracing::debug!(error = %e, %role, "cannot give up a role");
        }
    }
}

/// Waits, unless the run stops.
async fn rest(time: Duration, stopper: &Stopper) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stopper.asked() => {}
    }
}
