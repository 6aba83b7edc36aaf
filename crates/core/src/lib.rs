//! Vocabulary and seams of Millstream: what every part is written against.
//!
//! ```text
//! Source ─ records ─▶ Queue ─ blocks ─▶ Decoder ─ rows ─▶ Operator ─ rows ─▶ Sink
//! ```
//!
//! A part is a struct of options that implements [`plugin::Config`] for the seam it fills, and a row
//! in a table ([`plugin::Plugin::of`]). The engine meets parts only through these traits.

pub mod clock;
pub mod codec;
pub mod columns;
pub mod disk;
pub mod error;
pub mod fields;
pub mod ledger;
pub mod lookup;
pub mod operator;
mod origin;
pub mod plugin;
pub mod queue;
pub mod record;
pub mod reference;
pub mod role;
pub mod sink;
pub mod source;

pub use clock::{Clock, Timestamp};
pub use error::{Error, Remedy, Result};
