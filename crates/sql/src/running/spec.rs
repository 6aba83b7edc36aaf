//! What a running aggregation does.

use std::sync::Arc;

use arrow_schema::{FieldRef, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::window::{Aggregate, Column};

/// A running aggregation.
#[derive(Clone, Debug)]
pub(crate) struct Accumulation {
    /// The columns that come in.
    pub input: SchemaRef,
    /// What rows are grouped by.
    pub keys: Vec<(Arc<dyn PhysicalExpr>, FieldRef)>,
    /// None, if only the keys are asked for: then each leaves once, when it is first seen.
    pub aggregates: Vec<Aggregate>,
    /// What comes out, as `schema` has it: keys and aggregates.
    pub columns: Vec<Column>,
    pub schema: SchemaRef,
    /// The most bytes of state.
    pub state_bytes: u64,
    /// When keys are forgotten.
    pub ttl: Option<Ttl>,
}

impl Accumulation {
    /// Whether each key leaves once, when it is first seen.
    pub(crate) fn is_distinct(&self) -> bool {
        self.aggregates.is_empty()
    }
}

/// A key is forgotten once the watermark is so far past the latest event time of its rows.
#[derive(Clone, Debug)]
pub(crate) struct Ttl {
    /// A row's event time: `Timestamp(Microsecond, _)`.
    pub time: Arc<dyn PhysicalExpr>,
    /// By how much that lags behind the watermark of its rows.
    pub lag: i64,
    /// Microseconds.
    pub span: i64,
}
