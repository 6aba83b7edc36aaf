//! Where data comes from and goes to: one file per technology.

pub mod codec;
mod generate;
mod host;
mod http;

use millstream_core::codec::Codec;
use millstream_core::plugin::Plugin;
use millstream_core::source::Source;

pub use generate::{Field, Fields, Generate, Rate};
pub use host::{Host, Metric};
pub use http::{Address, Auth, Http, Method, Target, Tls};

/// How bytes become rows.
pub const CODECS: &[Plugin<dyn Codec>] = &[Plugin::of::<codec::json::Json>()];

/// All sources, by name.
pub const SOURCES: &[Plugin<dyn Source>] =
    &[Plugin::of::<generate::Generate>(), Plugin::of::<host::Host>(), Plugin::of::<http::Http>()];
