//! What a ranking does.

use std::sync::Arc;

use arrow_schema::{FieldRef, SchemaRef, SortOptions};
use datafusion_physical_expr::PhysicalExpr;

use super::node::Closing;

/// The best rows of each partition.
#[derive(Clone, Debug)]
pub(crate) struct Ranking {
    /// The columns that come in.
    pub input: SchemaRef,
    pub partition: Vec<(Arc<dyn PhysicalExpr>, FieldRef)>,
    pub order: Vec<(Arc<dyn PhysicalExpr>, SortOptions)>,
    /// So many rows of each partition are kept.
    pub count: usize,
    /// When partitions are complete; without it the places that changed are given at the end of each frame.
    pub closing: Option<Closing>,
    /// The columns that come in, and the number.
    pub schema: SchemaRef,
    /// The most bytes of state.
    pub state_bytes: u64,
    /// Partitions that began before this are not whole, and give no row.
    pub whole_from: i64,
}
