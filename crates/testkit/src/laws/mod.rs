//! What every part of a kind has to keep, as functions that run against any of them.

pub mod codec;
pub mod queue;
pub mod sink;
pub mod source;
