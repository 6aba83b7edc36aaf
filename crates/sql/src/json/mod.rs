//! JSON functions and the operators `->`, `->>` and `?`, as PostgreSQL has them.
//!
//! `datafusion-functions-json` stands on the whole of DataFusion, so these few are our own.

mod functions;
mod walk;

pub(crate) use functions::{JsonPlanner, functions};
