//! The way of one input's rows through a view.

use arrow_schema::SchemaRef;

use crate::step::Step;

/// What happens to the rows of one port, from the scan on.
pub(crate) struct Chain {
    /// Which source or view the rows come from.
    pub input: String,
    /// The columns that are read, with the types they were planned for.
    pub scan: SchemaRef,
    /// What is done with them, in order.
    pub steps: Vec<Step>,
    /// The columns after the last step.
    pub schema: SchemaRef,
    /// The steps for people.
    pub explain: Vec<String>,
}
