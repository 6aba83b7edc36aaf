//! Laws: what every part of a kind has to keep, whoever wrote it.

pub mod codec;
