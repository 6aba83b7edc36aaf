//! Views: SQL planned with DataFusion, run as our own streaming operators.
//!
//! ```text
//! text ─ parse ─▶ tree ─ refuse ─▶ plan ─ lower ─▶ chains of steps ─ operator ─▶ rows
//! ```
//!
//! DataFusion parses, resolves names, coerces types, simplifies, and computes expressions; what runs
//! is [`core::operator::Operator`](millstream_core::operator::Operator)s of our own, one a view. This
//! is the only crate that names DataFusion.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "trees and plans of DataFusion have dozens of variants, of which a view meets a few"
)]

mod arrival;
mod asof;
mod bounded;
mod catalog;
mod chain;
mod checked;
mod complain;
mod dialect;
mod explain;
mod extract;
mod flow;
mod gather;
mod grown;
mod join;
mod json;
mod late;
mod lateral;
mod lookup;
mod lower;
mod measure;
mod micros;
mod names;
mod over;
mod parse;
mod plan;
mod planner;
mod quiet;
mod rank;
mod reference;
mod refuse;
mod rewrite;
mod running;
mod sample;
mod search;
mod size;
mod state;
mod stateful;
mod step;
mod unnest;
mod user;
mod view;
mod window;
mod windowed;

pub use catalog::functions;
pub use planner::SqlPlanner;
