//! A pipeline whose rows come day by day, each in a life of its own, so that its views can become others in between.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::ledger::Stage;
use millstream_core::operator::Planner;
use millstream_core::queue::Checkpoint;
use millstream_engine::Options;
use millstream_testkit::fakes::Chain;

use super::{Plot, alone, engine_with, registry};

/// Everything is kept.
pub(crate) const ALL: u64 = 1 << 40;

/// A day's rows, three a frame: one on time, one behind it, one sometimes late.
pub(crate) fn rows(day: i64) -> Vec<String> {
    let row = |i: i64| format!("{i}@{}\n1@{}\n7@{}", i * 3, (i - 1) * 3, (i * 3 - 17).max(0));
    (day * 20..day * 20 + 20).map(row).collect()
}

/// A pipeline whose rows come day by day, each in a life of its own.
pub(crate) struct Job {
    pub(crate) plot: Plot,
    /// Rows that each day ended with.
    pub(crate) ends: Vec<usize>,
    pub(crate) planner: Arc<dyn Planner>,
}

impl Job {
    pub(crate) fn new(kept: u64, views: &[(&str, &str)]) -> Self {
        let mut plot = Plot::new(1).endless("a").timed(5, None);
        plot.disk = plot.disk.clone().keeping(kept);
        for (name, text) in views {
            plot = plot.view(name, text);
        }
        let plot = views.iter().fold(plot, |plot, (name, _)| plot.tracking(name, name));
        Self { plot, ends: vec![], planner: Arc::new(Chain) }
    }

    /// What comes on a day. Most days have as many frames as records.
    pub(crate) fn day(&mut self) {
        let day = i64::try_from(self.ends.len()).unwrap();
        let ended = alone(async {
            let mut registry = registry();
            registry.planner = self.planner.clone();
            let engine = engine_with(self.plot.pipeline(), registry, Options::default());
            let stopper = engine.stopper();
            let running = tokio::spawn(engine.run());
            for record in rows(day) {
                self.plot.script("a").push("s", record);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            stopper.stop();
            running.await.unwrap()
        });
        assert_eq!(ended.unwrap().frames_left, 0);
        self.ends.push(self.out().len());
    }

    pub(crate) fn days(mut self, days: usize) -> Self {
        (0..days).for_each(|_| self.day());
        self
    }

    pub(crate) fn set(&mut self, view: &str, text: &str) {
        self.plot.views.iter_mut().find(|(name, _)| name == view).unwrap().1 = text.into();
    }

    /// What the first sink has.
    pub(crate) fn out(&self) -> Vec<i64> {
        self.plot.target(&self.plot.sinks[0].name).values()
    }

    /// What came since the last day's end.
    pub(crate) fn last(&self) -> Vec<i64> {
        self.last_of(self.ends.len() - 1)
    }

    /// What came since the end of this day.
    pub(crate) fn last_of(&self, day: usize) -> Vec<i64> {
        self.out()[self.ends[day - 1]..].to_vec()
    }

    pub(crate) fn absorbed(&self, view: &str) -> (u64, u64) {
        let last: Checkpoint = self.plot.disk.checkpoints().pop().unwrap();
        assert_eq!(last.ledger.unbalanced().count(), 0);
        let mut accounts = last.ledger.0.iter();
        let found = accounts.find(|(e, _)| e.stage == Stage::View && e.part == view).unwrap();
        (found.1.r#in, found.1.late)
    }
}
