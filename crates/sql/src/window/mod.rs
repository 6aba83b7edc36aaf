//! `GROUP BY` over windows of event time: what is kept for each window and key until it is complete.
//!
//! ```text
//! rows ─ steps ─▶ Aggregator ─ rows of closed windows ─▶ steps ─▶
//!                     ▲ watermark
//! ```
//!
//! Time is cut into panes, each wholly in a window or wholly outside of it (`spans`). A row goes into one pane, where its
//! key has a number (`keys`, `groups`), and each aggregate a column of states by that number (`states`). A window is its
//! panes put together (`tree`), always in the same way, so that floats come out the same. Sessions, which rows make, are
//! kept apart (`sessions`). Keys are shared among parts, each looked after by a thread (`part`, `workers`). A snapshot has
//! the groups that changed (`saved`, `chunks`).
//!
//! Where the view may spill, parts that do not fit into memory lie in files (`away`, `scratch`), and rows for them wait
//! until there are many (`waiting`, `spill`).

mod aggregator;
mod away;
pub(crate) mod batch;
pub(crate) mod bytes;
pub(crate) mod chunks;
mod emit;
pub(crate) mod groups;
pub(crate) mod keys;
pub(crate) mod lane;
mod panes;
mod part;
pub(crate) mod saved;
mod scratch;
mod session;
mod sessions;
mod share_out;
mod spans;
mod spec;
mod spill;
pub(crate) mod states;
mod tree;
mod waiting;
mod workers;

pub(crate) use aggregator::Aggregator;
pub(crate) use spans::MOMENT_MAX;
pub(crate) use spec::{Aggregate, Aggregation, Column, Window};
pub(crate) use workers::Workers;

#[cfg(test)]
pub(crate) mod tests;
