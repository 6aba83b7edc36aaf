//! Rows that went by before their source had event time: nobody knows when they were.
//!
//! A view that begins then has windows of which such rows were part. Which ones these are is known, as far as it can be, once the
//! source's first rows with event time are there: those before them were no later than that and its `delay`, or they would have
//! made these late. Until then no window is whole.

use millstream_core::Result;
use millstream_core::clock::Timestamp;
use millstream_core::ledger::{Ledger, Stage};

use crate::grind::moment;
use crate::line::Line;

impl Line {
    /// Takes in of which sources rows had gone by at a checkpoint; before the line goes back to it.
    pub(crate) fn went_by(&mut self, ledger: &Ledger) {
        for (edge, account) in &ledger.0 {
            let station = self.stations.get_mut(&edge.part);
            if edge.stage == Stage::Decode
                && account.out > 0
                && let Some(time) = station.and_then(|station| station.time.as_mut())
            {
                time.miss();
            }
        }
    }

    /// Whether rows of what feeds the view went by, of which nobody knows when they were.
    pub(crate) fn lacks_times(&self, view: &str) -> bool {
        let unseen = |source: &str| {
            self.stations.get(source)?.time.as_ref().filter(|time| time.is_missing()).map(drop)
        };
        self.mills.feeding(view).any(|source| unseen(source).is_some())
    }

    /// The event time from which on windows of a view that begins now are whole.
    pub(crate) fn whole_from(&self, view: &str) -> Timestamp {
        if self.lacks_times(view) {
            return Timestamp::END;
        }
        let latest = |source: &str| Some(self.stations.get(source)?.time.as_ref()?.latest());
        let latest = self.mills.feeding(view).filter_map(latest).max();
        let latest = latest.filter(|at| *at != Timestamp::BEGIN);
        latest.map_or(Timestamp::BEGIN, |at| Timestamp(at.0.saturating_add(1)))
    }

    /// The first rows with event time of a source are there: views that waited for them begin, before they take these.
    pub(crate) fn saw_first(&mut self, source: &str) -> Result<()> {
        let fed = |view: &&String| self.mills.feeding(view).any(|s| s == source);
        let views = self.begins.iter().filter(fed).filter(|view| !self.lacks_times(view));
        let views: Vec<(String, Timestamp)> =
            views.map(|view| (view.clone(), self.whole_from(view))).collect();
        for (view, from) in views {
            tracing::warn!(
                view,
                source,
                windows_from = moment(from),
                "rows of the source went by before it had event time: the view gives no row of windows that began earlier"
            );
            for (name, operator) in self.mills.operators() {
                if name == view {
                    operator.begin(from).map_err(|e| e.at(format!("views.{view}")))?;
                }
            }
            self.begins.remove(&view);
        }
        Ok(())
    }
}
