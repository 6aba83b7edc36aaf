//! The best of each partition: `ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n` with `n <= 10`.
//!
//! Where rows are parted by a window, or by event time, a partition is complete at some time, and its best leave then, once. Else they
//! are the best so far, and each place that somebody else has come to is given anew at the end of the frame.

mod best;
mod lower;
mod node;
mod part;
mod pattern;
mod saved;
mod spec;

pub(crate) use node::{Closing, RankNode};
pub(crate) use part::Rank;
pub(crate) use pattern::ranks;
pub(crate) use spec::Ranking;

#[cfg(test)]
mod tests;
