//! What every part of a kind has to keep, as functions that run against any of them.

pub mod queue;
pub mod sink;
pub mod source;
