//! `FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, …`, from its text to what
//! [`crate::window`] does.
//!
//! ```text
//! tokens ─ flink: the short spelling ─▶ tree ─ shape: arguments ─▶ plan ─ node ─▶ lowered ─ group: an aggregation
//!                                                                   ▲                    └ assign: columns for each row
//!                                              known: which columns are event time
//! ```

mod after;
mod assign;
mod between;
mod flink;
mod group;
mod known;
mod made;
mod node;
mod planner;
mod role;
mod shape;
pub(crate) mod span;

pub(crate) use assign::AssignStep;
pub(crate) use flink::short;
pub(crate) use known::{Facts, Known, NUMBER, TableFacts, given_anew, unalias};
pub(crate) use made::Made;
pub(crate) use node::{WindowNode, are_cut_by};
pub(crate) use planner::{UNREAD, WindowPlanner};
pub(crate) use role::{Cut, Edge, Role, Side};
pub(crate) use shape::{Kind, form_for, read, refuse_call};
pub(crate) use span::{count, micros, show as span_words};

/// The columns that a window adds.
pub(crate) const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];
