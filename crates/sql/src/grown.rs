//! The parts of a view with state, as they are planned.

use std::sync::Arc;

use datafusion_common::Result;

use crate::over::{Analysis, Analyst};
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
    /// `OVER`.
    Over(Analysis),
}

impl Spec {
    /// What it is called, for people.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Window(_) => "window",
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
            Self::Window(_) | Self::Over(_) => false,
        }
    }

    /// Whether its state goes by `state_ttl`.
    pub(crate) fn takes_ttl(&self) -> bool {
        match self {
            Self::Window(_) => false,
            Self::Over(spec) => spec.takes_ttl(),
        }
    }

    /// Whether its state may lie in files.
    pub(crate) fn spills(&self) -> bool {
        match self {
            Self::Window(spec) => spec.spills(),
            Self::Over(_) => false,
        }
    }

    /// The part, ready to take rows.
    pub(crate) fn build(self, workers: &Arc<Workers>) -> Result<Box<dyn Stateful>> {
        Ok(match self {
            Self::Window(spec) => Box::new(Aggregator::new(spec, workers.clone())?),
            Self::Over(spec) => Box::new(Analyst::new(spec)?),
        })
    }
}
