//! Files: read as lines as they are written or as whole documents, and written by epochs.

mod find;
pub(crate) mod lines;
mod listing;
mod place;
mod reader;
mod sink;
mod source;
mod stray;
mod watch;
mod whole;

pub use sink::FileSink;
pub use source::{Begin, FileSource};
