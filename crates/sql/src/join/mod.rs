//! Rows of two sides that belong together: by keys that are equal, and by event times that bound each other.
//!
//! ```text
//! left ─▶ Joiner ─ pairs at once, rows without a partner when none can come any more ─▶ steps ─▶
//! right ───▲ watermark
//! ```
//!
//! From the conditions it is read off how long a row can match rows of the other side (`limits`, `timed`, `bound`), and what is known of event time
//! behind the join (`facts`); `planned` makes a [`Joining`] of that. Rows of a side are kept column by column, found by the hash of their
//! keys (`kept`, `slot`, `read`); a row that comes looks up those of the other side (`walk`), and what it finds is put together
//! some thousands at once (`put`, `joiner`, `tell` for `EXISTS`, `leave` for rows without a partner). A snapshot has the rows that are new (`chunks`).

mod bound;
mod chunks;
mod facts;
mod joiner;
mod kept;
mod leave;
mod limits;
mod planned;
mod put;
mod read;
mod slot;
mod spec;
mod tell;
mod timed;
mod walk;

pub(crate) use bound::bound_all;
pub(crate) use joiner::Joiner;
pub(crate) use planned::narrow;
pub(crate) use spec::{Joining, Kind};

#[cfg(test)]
mod tests;
