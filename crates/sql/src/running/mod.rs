//! `GROUP BY` without a window: a state for each key for as long as it is asked for, and the keys that changed with a frame anew
//! at its end; and `DISTINCT`, whose rows leave when their key is first seen.
//!
//! ```text
//! rows ─ steps ─▶ Running ─ rows of the keys that changed ─▶ steps ─▶
//!                    ▲ end of a frame
//! ```

mod expiry;
mod lower;
mod node;
mod pairs;
mod part;
mod saved;
mod spec;

pub(crate) use lower::is_running;
pub(crate) use node::{LastNode, keep_last};
pub(crate) use part::Running;
pub(crate) use spec::Accumulation;

#[cfg(test)]
mod tests;
