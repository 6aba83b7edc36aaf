//! What a join as of event time does.

use arrow_schema::{FieldRef, SchemaRef};

use super::node::Bounds;

/// A join as of event time, as it is planned.
pub(crate) struct AsOf {
    pub left: Side,
    pub right: Side,
    /// What keys are kept as.
    pub keys: Vec<FieldRef>,
    pub bounds: Bounds,
    /// Left rows without a right one are left out.
    pub inner: bool,
    pub columns: Vec<Column>,
    pub schema: SchemaRef,
    /// The most bytes of state.
    pub state_bytes: u64,
}

/// The rows of one side.
#[derive(Clone)]
pub(crate) struct Side {
    pub schema: SchemaRef,
    /// The column with the event time.
    pub time: usize,
    /// By how much it may lag behind the watermark.
    pub lag: i64,
    /// The columns with the keys.
    pub keys: Vec<usize>,
}

/// Where a column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Left(usize),
    Right(usize),
}
