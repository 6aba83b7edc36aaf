//! Which view is at work, for those who wait for it.
//!
//! A view computes without ever waiting, so nothing else can be asked of its thread meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use millstream_core::Error;
use millstream_core::plugin::Report;

use crate::status::{Kind, Status};

/// A step that takes longer than this is told.
const STEP_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether one does.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is told of it.
const STEP: &str = "step";

/// The view that is at work, if one is.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    now: Mutex<Option<(Arc<str>, Instant)>>,
    given_up: AtomicBool,
}

impl Busy {
    /// A view begins with a step.
    pub(crate) fn begin(&self, view: &Arc<str>) {
        *self.now.lock() = Some((view.clone(), Instant::now()));
    }

    /// It has ended. Says whether somebody still waits for what it made.
    pub(crate) fn end(&self) -> bool {
        *self.now.lock() = None;
        !self.given_up.load(Ordering::Acquire)
    }

    /// Nobody waits any more: whatever a view makes from now on goes nowhere.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// The view that is at work, and since when.
    fn at_work(&self) -> Option<(Arc<str>, Instant)> {
        self.now.lock().clone()
    }

    /// The error of a run that ends without its thread.
    pub(crate) fn left_behind(&self) -> Error {
        match self.at_work() {
            Some((view, since)) => Error::retry(format!(
                "view `{view}` has been at work on one step for {} s and was left behind",
                since.elapsed().as_secs()
            ))
            .fix("nothing of that step is committed, and the next run begins with it again; let the view compute less for a row"),
            None => Error::retry("the pipeline did not come to its end in time"),
        }
    }

    /// Tells of steps that take long. Never returns.
    pub(crate) async fn keep_looking(self: Arc<Self>, status: Arc<Status>) {
        let mut told: Option<(Arc<str>, Instant)> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.at_work().filter(|(_, since)| since.elapsed() > STEP_MAX);
            if now == told {
                continue;
            }
            if let Some((view, _)) = told {
                status.part(Kind::View, &view).fine(STEP);
            }
            if let Some((view, _)) = &now {
                let error = Error::retry(format!(
                    "at work on one step for more than {} s, and nothing else is processed meanwhile",
                    STEP_MAX.as_secs()
                ));
                let error = error.fix("let the view compute less for a row");
                status.part(Kind::View, view).trouble(STEP, &error);
            }
            told = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::clock::{ManualClock, Timestamp};

    use super::*;
    use crate::tasks::Child;

    #[tokio::test(start_paused = true)]
    async fn a_view_that_is_long_at_work_on_a_step_is_told_until_it_has_done() {
        let status = Status::new(Arc::new(ManualClock::at(Timestamp(0))));
        let busy = Arc::new(Busy::default());
        let _looking = Child::spawn(busy.clone().keep_looking(status.clone()));
        let view = status.part(Kind::View, "slow");
        busy.begin(&"slow".into());
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(view.troubles().is_empty());
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(view.troubles()[STEP].contains("more than 10 s"), "{:?}", view.troubles());
        assert!(
            busy.left_behind()
                .to_string()
                .contains("view `slow` has been at work on one step for 13 s")
        );
        assert!(busy.end());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(view.troubles().is_empty());
        busy.give_up();
        assert!(!busy.end());
    }
}
