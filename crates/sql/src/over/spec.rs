//! What an analysis of rows by those before them does.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, SchemaRef, SortOptions};
use datafusion_common::ScalarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

/// All calls over one `PARTITION BY … ORDER BY …`.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    /// The columns that come in. Only the first `passing` of them go on.
    pub input: SchemaRef,
    pub passing: usize,
    /// The place of a row's event time, `Timestamp(Microsecond, _)`, and by how much it lags behind the watermark of its rows.
    pub time: usize,
    pub lag: i64,
    /// The places of what rows are apart by.
    pub keys: Vec<(usize, FieldRef)>,
    /// The places of what puts rows of one moment in order.
    pub orders: Vec<(usize, SortOptions)>,
    pub frames: Vec<Frame>,
    pub calls: Vec<Call>,
    /// What comes out: the columns that pass, a result for each call, and if `fails` why it could not be computed.
    pub schema: SchemaRef,
    pub fails: bool,
    /// The place of a key that is event time, and by how much it lags: once that has passed, the key is gone for good.
    pub dies: Option<(usize, i64)>,
    /// A key that was silent for longer than this begins anew.
    pub forget: Option<i64>,
    /// The most bytes of state.
    pub state_bytes: u64,
}

/// The rows of the same key that a call looks at, by how far they are before the row. `None` is without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Frame {
    /// So many rows before it.
    Rows { start: Option<u64>, end: u64 },
    /// So many microseconds before it. 0 takes all rows in that are not told apart from it by order.
    Range { start: Option<i64>, end: i64 },
}

impl Frame {
    pub(crate) fn is_unbounded(self) -> bool {
        matches!(self, Self::Rows { start: None, .. } | Self::Range { start: None, .. })
    }
}

/// What is computed for each row.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub what: What,
    /// The type of the results.
    pub kind: DataType,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    RowNumber,
    Rank,
    DenseRank,
    /// The value so many rows before.
    Lag {
        arg: Arc<dyn PhysicalExpr>,
        offset: u64,
        default: ScalarValue,
        ignore_nulls: bool,
    },
    /// One of the frame, by its number.
    Pick {
        arg: Arc<dyn PhysicalExpr>,
        frame: usize,
        which: Which,
        ignore_nulls: bool,
    },
    Aggregate {
        expr: Arc<AggregateFunctionExpr>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        frame: usize,
    },
}

/// Which row of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// From 0 on.
    Nth(u64),
    Last,
}

impl Analysis {
    /// Whether a key is remembered for as long as the view runs.
    pub(crate) fn is_for_ever(&self) -> bool {
        self.forget.is_none() && self.dies.is_none()
    }

    /// Whether keys are forgotten by `state_ttl`, or would be.
    pub(crate) fn takes_ttl(&self) -> bool {
        !self.keys.is_empty() && self.reach().1 != Some(0)
    }

    /// How far back frames reach in time, and in rows; `None` is without bound.
    pub(crate) fn reach(&self) -> (Option<i64>, Option<u64>) {
        let (mut time, mut rows) = (Some(0), Some(0));
        for call in &self.calls {
            let frame = match call.what {
                What::RowNumber | What::Rank | What::DenseRank => {
                    rows = None;
                    continue;
                }
                What::Lag { ignore_nulls: true, .. } => {
                    rows = None;
                    continue;
                }
                What::Lag { offset, .. } => {
                    rows = rows.map(|r| r.max(offset));
                    continue;
                }
                What::Pick { frame, .. } | What::Aggregate { frame, .. } => self.frames.get(frame),
            };
            match frame {
                Some(Frame::Rows { start: Some(start), .. }) => {
                    rows = rows.map(|r| r.max(*start));
                }
                Some(Frame::Range { start: Some(start), .. }) => {
                    time = time.map(|t| t.max(*start));
                }
                _ => (time, rows) = (None, None),
            }
        }
        (time, rows)
    }
}
