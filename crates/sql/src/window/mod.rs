//! `GROUP BY` over windows of event time: what is kept for each window and key until it is complete.
//!
//! ```text
//! rows ─ steps ─▶ Aggregator ─ rows of closed windows ─▶ steps ─▶
//!                     ▲ watermark
//! ```

mod spec;

pub(crate) use spec::{Aggregate, Aggregation, Column, Window};
