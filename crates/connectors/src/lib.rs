//! Where data comes from and goes to: one file per technology.

pub mod codec;

use millstream_core::codec::Codec;
use millstream_core::plugin::Plugin;

/// How bytes become rows.
pub const CODECS: &[Plugin<dyn Codec>] =
    &[Plugin::of::<codec::csv::Csv>(), Plugin::of::<codec::json::Json>()];
