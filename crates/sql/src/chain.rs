//! The way of rows through a part of a view.

use arrow_schema::SchemaRef;

use crate::step::Step;

/// Where rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// A source or view.
    Table(String),
    /// A part of the same view with state, by its number.
    Node(usize),
}

/// Where rows go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct To {
    /// A part of the view with state, by its number.
    pub node: usize,
    /// Which of its inputs.
    pub input: usize,
}

/// What happens to the rows of one port, or of one part with state.
pub(crate) struct Chain {
    pub from: Feed,
    /// The columns that come, with the types they were planned for.
    pub scan: SchemaRef,
    /// What is done with them, in order.
    pub steps: Vec<Step>,
    /// The columns after the last step.
    pub schema: SchemaRef,
    /// The steps for people.
    pub explain: Vec<String>,
    /// What takes the rows in; `None` if they leave the view.
    pub to: Option<To>,
}
