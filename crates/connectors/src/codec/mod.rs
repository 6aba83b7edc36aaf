//! Bytes to rows: JSON and CSV.
//!
//! Both refuse rather than guess. A value that the column's type cannot hold exactly refuses its row,
//! whole and with its bytes; neighbours go on. There is no coercion: a number in quotes is a text.

mod cells;
pub mod csv;
pub mod json;
mod moment;
mod number;
mod seen;
mod short;
mod tally;
mod texts;

pub(crate) use json::tokens;
pub(crate) use texts::Texts;
