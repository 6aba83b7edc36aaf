//! Where data comes from and goes to: one file per technology.

mod discard;
mod file;
mod lane;
pub mod render;
mod sqlite;
mod stdout;

use millstream_core::plugin::Plugin;
use millstream_core::sink::Sink;

pub use discard::Discard;
pub use file::FileSink;
pub use sqlite::Sqlite;
pub use stdout::{Format as StdoutFormat, Stdout, StdoutSink};

/// All sinks there are.
pub const SINKS: &[Plugin<dyn Sink>] = &[
    Plugin::of::<Discard>(),
    Plugin::of::<FileSink>(),
    Plugin::of::<Sqlite>(),
    Plugin::of::<Stdout>(),
];
