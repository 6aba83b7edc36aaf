//! What a join does.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

/// Which rows come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Inner,
    Left,
    Right,
    Full,
    /// Rows of the left that match some row of the right.
    Semi,
    /// Rows of the left that match none.
    Anti,
}

impl Kind {
    /// Whether rows of a side that match none come out, once no more can match them.
    pub(crate) fn waits(self, side: usize) -> bool {
        match self {
            Self::Inner | Self::Semi => false,
            Self::Left | Self::Anti => side == 0,
            Self::Right => side == 1,
            Self::Full => true,
        }
    }

    /// Whether it only tells rows of the left that match from those that do not.
    pub(crate) fn tells(self) -> bool {
        matches!(self, Self::Semi | Self::Anti)
    }

    /// For people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Inner => "inner",
            Self::Left => "left",
            Self::Right => "right",
            Self::Full => "full",
            Self::Semi => "rows that match some",
            Self::Anti => "rows that match none",
        }
    }
}

/// A column of one of the sides, by its place among those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub side: usize,
    pub column: usize,
}

/// Of a pair `less <= than + plus`, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub less: At,
    pub than: At,
    pub plus: i64,
}

/// A condition on pairs.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// Over the columns below.
    pub of: Arc<dyn PhysicalExpr>,
    pub columns: Vec<At>,
    pub schema: SchemaRef,
    /// It may fail on some pairs.
    pub may_fail: bool,
}

/// One side of a join.
#[derive(Clone, Debug)]
pub(crate) struct SideSpec {
    /// The columns that come.
    pub input: SchemaRef,
    pub keys: Vec<usize>,
    /// A row's event time.
    pub time: usize,
    /// A row comes only while the watermark is at most so far beyond that.
    pub lag: i64,
    /// A row can match rows of the other side up to this moment of it, but for so many microseconds.
    pub deadline: (usize, i64),
    /// By how much that is after the row's own event time, if that is always the same.
    pub reach: Option<i64>,
}

/// A join of two sides by keys and time.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    pub kind: Kind,
    pub sides: [SideSpec; 2],
    /// Two nulls are the same key.
    pub nulls_equal: bool,
    pub bounds: Vec<Bound>,
    pub condition: Option<Condition>,
    /// What comes out, as `schema` has it.
    pub columns: Vec<At>,
    pub schema: SchemaRef,
    /// What the state is made for.
    pub layout: String,
    pub state_bytes: u64,
    /// Rows meet by `state_ttl`.
    pub ttl: bool,
}
