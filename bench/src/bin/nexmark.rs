//! Writes the events of Nexmark for `bench/run`, which races over them, and says how many rows are in each file.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin nexmark -- --folder FOLDER [--events 5_000_000] [--rate 10_000]
//! ```
//!
//! `--rate` is how many events are in a second of event time. The same numbers give the same files, byte for byte.

use std::path::Path;

use millstream_bench::nexmark::write;
use millstream_bench::{Fault, option, text};

#[expect(clippy::print_stdout, reason = "what was written is its output")]
fn main() -> Result<(), Fault> {
    let folder = text("folder").ok_or("say `--folder FOLDER`")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let written = write(folder, option("events", 5_000_000)?, option("rate", 10_000)?)?;
    println!("{}", serde_json::to_string(&written)?);
    Ok(())
}
