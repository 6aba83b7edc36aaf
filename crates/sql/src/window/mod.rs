//! `GROUP BY` over windows of event time: what is kept for each window and key until it is complete.
//!
//! ```text
//! rows ─ steps ─▶ Aggregator ─ rows of closed windows ─▶ steps ─▶
//!                     ▲ watermark
//! ```

mod aggregator;
mod batch;
mod bytes;
mod chunks;
mod emit;
mod groups;
mod keys;
mod lane;
mod panes;
mod saved;
mod sessions;
mod spans;
mod spec;
mod states;
mod tree;

pub(crate) use aggregator::{Aggregator, Taken};
pub(crate) use spec::{Aggregate, Aggregation, Column, Window};

#[cfg(test)]
mod tests;
