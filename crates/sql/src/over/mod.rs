//! `f(x) OVER (PARTITION BY k ORDER BY ts …)`: what is computed for each row of it and those of its key that came before in event time.
//!
//! ```text
//! rows ─ steps ─▶ Analyst ─ the same rows, in the order of event time, with more columns ─▶ steps ─▶
//!                    ▲ watermark
//! ```
//!
//! Rows wait (`waiting`) until the watermark has passed them. Then they are taken in the order of event time, each gets the
//! number it has among those of its key (`names`, `moment`), and what frames may still reach of it is remembered (`history`). A
//! frame is a span of these numbers (`frame`), which only moves forward: so sums are added to and subtracted from, and what
//! cannot be subtracted is kept in two stacks (`slide`). What else there is computes its frame anew (`anew`).

mod analyst;
mod anew;
mod call;
mod exact;
mod frame;
mod histories;
mod history;
mod moment;
mod names;
mod pick;
mod plan;
mod refuse;
mod row;
mod sealed;
mod slide;
mod spec;
mod stored;
mod waiting;
mod words;

pub(crate) use analyst::Analyst;
pub(crate) use spec::Analysis;

#[cfg(test)]
mod tests;
