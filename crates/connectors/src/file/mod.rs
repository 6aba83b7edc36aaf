//! Files as sinks.

mod sink;

pub use sink::FileSink;
