//! Where data comes from and goes to: one file per technology.

pub mod codec;
mod discard;
mod file;
mod folder;
mod generate;
mod host;
mod http;
mod lane;
pub mod render;
mod sqlite;
mod stdin;
mod stdout;

use millstream_core::codec::Codec;
use millstream_core::plugin::Plugin;
use millstream_core::sink::Sink;
use millstream_core::source::Source;

pub use discard::Discard;
pub use file::{FileSink, FileSource, From};
pub use generate::{Field, Fields, Generate, Rate};
pub use host::{Host, Metric};
pub use http::{Address, Auth, Http, Method, Target, Tls};
pub use sqlite::Sqlite;
pub use stdin::Stdin;
pub use stdout::{Format as StdoutFormat, Stdout, StdoutSink};

/// How bytes become rows.
pub const CODECS: &[Plugin<dyn Codec>] =
    &[Plugin::of::<codec::csv::Csv>(), Plugin::of::<codec::json::Json>()];

/// Where records come from.
pub const SOURCES: &[Plugin<dyn Source>] = &[
    Plugin::of::<FileSource>(),
    Plugin::of::<Generate>(),
    Plugin::of::<Host>(),
    Plugin::of::<Http>(),
    Plugin::of::<Stdin>(),
];

/// Where rows go.
pub const SINKS: &[Plugin<dyn Sink>] = &[
    Plugin::of::<Discard>(),
    Plugin::of::<FileSink>(),
    Plugin::of::<Sqlite>(),
    Plugin::of::<Stdout>(),
];
