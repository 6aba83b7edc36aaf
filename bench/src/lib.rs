//! What the benchmarks share: processes under measurement, a table, the API that is polled, Nexmark's events.
//!
//! Each benchmark is one command, `cargo run --release -p millstream-bench --bin NAME`, and prints a table.
//! They compare within one run, since the machine they run on is shared.

pub mod api;
pub mod live;
pub mod metrics;
pub mod nexmark;
pub mod once;
pub mod paced;
pub mod process;
pub mod table;

/// An error of a benchmark, for people.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The number after `--name`, or the default.
///
/// # Errors
/// It is no number.
pub fn option(name: &str, default: u64) -> Result<u64, Fault> {
    let flag = format!("--{name}");
    let mut arguments = std::env::args().skip_while(|a| *a != flag).skip(1);
    match arguments.next() {
        None => Ok(default),
        Some(text) => {
            text.replace('_', "").parse().map_err(|e| format!("{flag} {text}: {e}").into())
        }
    }
}

/// The text after `--name`.
#[must_use]
pub fn text(name: &str) -> Option<String> {
    let flag = format!("--{name}");
    std::env::args().skip_while(|a| *a != flag).nth(1)
}
