//! What a windowed aggregation does.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{FieldRef, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

/// How event time is cut into windows. Spans are microseconds, more than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Window {
    /// Windows of one size, one after the other, from `offset` on.
    Tumble { size: i64, offset: i64 },
    /// Windows of one size, one every `slide`.
    Hop { size: i64, slide: i64, offset: i64 },
    /// Windows that begin every `size` and grow by `step` until they are `size` long.
    Cumulate { size: i64, step: i64, offset: i64 },
    /// For each key, rows that are less than `gap` apart.
    Session { gap: i64 },
    /// Windows that rows came out of: one ends every `step`, and is `size` long, or grows up to that.
    Again { step: i64, offset: i64, size: i64, grows: bool },
}

impl Window {
    /// Whether each is a moment.
    pub(crate) fn is_of_moments(self) -> bool {
        matches!(self, Self::Again { step: 1, size: 1, grows: false, .. })
    }

    /// For rows that came out of these windows: the same again, by a moment before the window's end.
    pub(crate) fn again(self) -> Self {
        match self {
            Self::Tumble { size, offset } => Self::Again { step: size, offset, size, grows: false },
            Self::Hop { size, slide, offset } => {
                Self::Again { step: slide, offset: offset + size, size, grows: false }
            }
            Self::Cumulate { size, step, offset } => {
                Self::Again { step, offset, size, grows: true }
            }
            // They end at any moment.
            Self::Session { .. } => Self::Again { step: 1, offset: 0, size: 1, grows: false },
            again @ Self::Again { .. } => again,
        }
    }
}

/// One aggregate.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    /// The function with its arguments, over the columns that come in.
    pub expr: Arc<AggregateFunctionExpr>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
}

/// A column that comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// The first moment of the window.
    WindowStart,
    /// The first moment after it.
    WindowEnd,
    /// The last moment in it: a microsecond before its end.
    WindowTime,
    /// A key, by its place.
    Key(usize),
    /// An aggregate, by its place.
    Aggregate(usize),
}

/// A windowed aggregation.
#[derive(Clone, Debug)]
pub(crate) struct Aggregation {
    pub window: Window,
    /// The columns that come in.
    pub input: SchemaRef,
    /// A row's event time: `Timestamp(Microsecond, _)`.
    pub time: Arc<dyn PhysicalExpr>,
    /// By how much that lags behind the watermark of its rows: 0 for the event time of a source, the size of the window for
    /// the `window_start` of another aggregation.
    pub lag: i64,
    /// What rows are grouped by, besides the window.
    pub keys: Vec<(Arc<dyn PhysicalExpr>, FieldRef)>,
    pub aggregates: Vec<Aggregate>,
    /// What comes out, as `schema` has it.
    pub columns: Vec<Column>,
    pub schema: SchemaRef,
    /// For so long after its end a window takes rows that come late, and gives its row anew.
    pub allowed_lateness: i64,
    /// The most bytes of state.
    pub state_bytes: u64,
    /// Windows that begin before this are not whole, and give no row.
    pub whole_from: i64,
    /// Keys are shared among so many threads.
    pub threads: usize,
    /// What does not fit into `state_bytes` goes to files in this folder; without one it fails there.
    pub spill: Option<Arc<Path>>,
}

impl Aggregation {
    /// Whether state may lie in files: the groups of some keys together, so that there have to be keys.
    pub(crate) fn spills(&self) -> bool {
        self.spill.is_some() && !self.keys.is_empty()
    }
}
