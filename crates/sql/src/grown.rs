//! The parts of a view with state, as they are planned.

use std::sync::Arc;

use datafusion_common::Result;

use crate::asof::{AsOf, Matching};
use crate::join::{Joiner, Joining};
use crate::over::{Analysis, Analyst};
use crate::rank::{Rank, Ranking};
use crate::running::{Accumulation, Running};
use crate::stateful::Stateful;
use crate::window::{Aggregation, Aggregator, Workers};

/// A part of a view with state.
pub(crate) struct Grown {
    pub spec: Spec,
    /// What it does, for people.
    pub explain: Vec<String>,
    /// What its state means.
    pub state: String,
    /// What its columns are called in the plan, and for people.
    pub names: Vec<(String, String)>,
}

/// What it does.
pub(crate) enum Spec {
    /// `GROUP BY` over windows.
    Window(Aggregation),
    /// Rows of two sides that belong together.
    Join(Joining),
    /// A join as of event time.
    AsOf(AsOf),
    /// `GROUP BY` without a window, and `DISTINCT`.
    Running(Accumulation),
    /// The first rows of partitions.
    Rank(Ranking),
    /// `OVER`.
    Over(Analysis),
}

impl Spec {
    /// What it is called, for people.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Window(_) => "window",
            Self::Join(_) => "join",
            Self::AsOf(_) => "as-of join",
            Self::Running(spec) if spec.is_distinct() => "distinct",
            Self::Running(_) => "group",
            Self::Rank(_) => "rank",
            Self::Over(_) => "over",
        }
    }

    /// Whether it groups by windows, for which rows can be late and be taken all the same.
    pub(crate) fn is_window(&self) -> bool {
        matches!(self, Self::Window(_))
    }

    /// Whether it has rows to give at the end of frames.
    pub(crate) fn settles(&self) -> bool {
        match self {
            Self::Running(spec) => !spec.is_distinct(),
            Self::Rank(spec) => spec.closing.is_none(),
            Self::Window(_) | Self::Join(_) | Self::AsOf(_) | Self::Over(_) => false,
        }
    }

    /// Whether its state goes by `state_ttl`.
    pub(crate) fn takes_ttl(&self) -> bool {
        match self {
            Self::Window(_) | Self::Rank(_) => false,
            Self::Join(spec) => spec.ttl,
            Self::AsOf(spec) => spec.bounds.by_ttl,
            Self::Over(spec) => spec.takes_ttl(),
            Self::Running(_) => true,
        }
    }

    /// Whether its state may lie in files.
    pub(crate) fn spills(&self) -> bool {
        matches!(self, Self::Window(spec) if spec.spills())
    }

    /// The part, ready to take rows.
    pub(crate) fn build(self, workers: &Arc<Workers>) -> Result<Box<dyn Stateful>> {
        Ok(match self {
            Self::Window(spec) => Box::new(Aggregator::new(spec, workers.clone())?),
            Self::Join(spec) => Box::new(Joiner::new(spec)?),
            Self::AsOf(spec) => Box::new(Matching::new(spec)?),
            Self::Running(spec) => Box::new(Running::new(spec)?),
            Self::Rank(spec) => Box::new(Rank::new(spec)?),
            Self::Over(spec) => Box::new(Analyst::new(spec)?),
        })
    }
}
