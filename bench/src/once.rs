//! A pipeline that is run once to its end, and what that took.

use std::path::Path;
use std::process::{Command, Stdio};

use tokio::time::Instant;

use crate::Fault;
use crate::process::{Process, millstream};
use crate::table::thousands;

/// What one run took, from the start of the process to its end.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// By the clock on the wall.
    pub seconds: f64,
    /// CPU seconds of all threads, user and system.
    pub cpu: f64,
    /// Peak resident memory.
    pub peak_mib: f64,
    /// Rows that sinks got.
    pub rows_out: u64,
}

/// What the headings of [`Took::cells`] are.
pub const HEADINGS: [&str; 5] = ["", "rows/s", "rows/CPU s", "CPU s/M rows", "peak MiB"];

impl Took {
    /// A line of a table for so many rows.
    #[must_use]
    pub fn cells(&self, name: &str, rows: u64) -> Vec<String> {
        let rows = count(rows);
        vec![
            name.to_owned(),
            thousands(rows / self.seconds),
            thousands(rows / self.cpu),
            format!("{:.3}", self.cpu / rows * 1e6),
            format!("{:.0}", self.peak_mib),
        ]
    }
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are small")]
#[must_use]
pub fn count(n: u64) -> f64 {
    n as f64
}

/// The run whose CPU time is in the middle.
#[must_use]
pub fn median(runs: &[Took]) -> Option<Took> {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    runs.get(runs.len() / 2).copied()
}

/// Runs the pipeline in the folder until its sources have ended, with a queue that is empty at the start (in `data`), on
/// one core only if that is given.
///
/// # Errors
/// It cannot be started, or does not end well.
pub fn once(folder: &Path, pipeline: &str, core: Option<u64>) -> Result<Took, Fault> {
    drop(std::fs::remove_dir_all(folder.join("data")));
    run(folder, pipeline, core, &[])
}

/// Fills the queue (in `data`) with all that the sources have, and then runs the pipeline over what is there.
///
/// # Errors
/// As [`once`].
pub fn from_log(folder: &Path, pipeline: &str, core: Option<u64>) -> Result<Took, Fault> {
    drop(std::fs::remove_dir_all(folder.join("data")));
    run(folder, pipeline, None, &["--only", "collect"])?;
    run(folder, pipeline, core, &["--only", "process"])
}

fn run(folder: &Path, pipeline: &str, core: Option<u64>, part: &[&str]) -> Result<Took, Fault> {
    let file = folder.join("once.yaml");
    std::fs::write(&file, pipeline)?;
    let told = folder.join("once.told");
    let started = Instant::now();
    let process = Process::start(
        on_core(core)?
            .args(["run", "--once", "--json"])
            .args(part)
            .arg(&file)
            .stderr(std::fs::File::create(&told)?)
            .stdout(Stdio::null()),
    )?;
    let ended = process.wait();
    let seconds = started.elapsed().as_secs_f64();
    let said = std::fs::read_to_string(&told)?;
    let (cpu, peak_mib) = ended.map_err(|e| format!("{e}:\n{said}"))?;
    let closed: serde_json::Value = serde_json::from_str(said.lines().last().unwrap_or_default())?;
    let rows_out = closed.get("rows_out").and_then(serde_json::Value::as_u64);
    let rows_out = rows_out.ok_or_else(|| format!("no `rows_out` in {closed}"))?;
    Ok(Took { seconds, cpu, peak_mib, rows_out })
}

/// The command that runs `millstream`, on one core if it is given.
///
/// # Errors
/// It has not been built.
pub fn on_core(core: Option<u64>) -> Result<Command, Fault> {
    let millstream = millstream()?;
    Ok(match core {
        None => Command::new(millstream),
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(millstream);
            command
        }
    })
}

/// CPU per row at ten times the rows against CPU per row: as it is, and less what a run without rows takes.
#[must_use]
pub fn growth(rows: u64, none: Took, small: Took, large: Took) -> (f64, f64) {
    let (few, many) = (count(rows), count(rows * 10));
    let whole = (large.cpu / many) / (small.cpu / few);
    let net = ((large.cpu - none.cpu) / many) / ((small.cpu - none.cpu) / few);
    (whole, net)
}
