//! `FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`: beside each row the latest of the other side, as
//! of its event time.
//!
//! ```text
//! tokens ─ spell: a plain join with a mark ─▶ tree ─ refuse ─▶ plan ─ node: marked joins become one node ─▶ lowered ─ grow ─▶ AsOf
//!                                                               ▲ condition: what ON says
//!
//! left rows ──▶ pile ─ due, in order of time ─▶ ┌────────┐
//!                                               │ AsOf   │─▶ each with the latest row of its key
//! right rows ─▶ pile ─ up to the left row ────▶ └────────┘
//!                                              latest: one row a key
//! ```
//!
//! Both sides wait in piles, in order of time, until the watermark has passed them. Then both are gone through in that order:
//! a right row becomes the latest of its key, a left row takes the latest there is.

mod chunks;
mod condition;
mod grow;
mod latest;
mod mark;
mod matching;
mod node;
mod piece;
mod pile;
mod refuse;
mod spec;
mod spell;

pub(crate) use grow::narrow;
pub(crate) use mark::{MARK, mark};
pub(crate) use matching::Matching;
pub(crate) use node::{AsOfNode, join_all};
pub(crate) use refuse::{is_mark, is_marked, refuse_join};
pub(crate) use spec::AsOf;
pub(crate) use spell::plain;

#[cfg(test)]
mod tests;
