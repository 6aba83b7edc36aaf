//! Laws: what every part of a kind has to keep, whatever its technology.

pub mod sink;
