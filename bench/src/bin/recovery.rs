//! How long a crash takes to recover from, per GiB of log: rows with windows, killed in the middle.
//!
//! A run collects faster than it processes, and is killed (SIGKILL) once its log is so long, so that a backlog and the state
//! of windows remain; all of the log is retained. Then, on copies of what is left: the log alone is opened, and the
//! pipeline is run again until it goes on. Both with the files in the page cache, and not. What is left to process then
//! takes as long as it takes without a crash.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin recovery -- [--gib 2] [--keys 1_000_000] [--pairs 3]
//! ```

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use tokio::time::Instant;

use millstream_bench::live::{Live, until};
use millstream_bench::once::count;
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};
use millstream_core::fields::{Bytes, Span};
use millstream_core::plugin::{Env, QueueOpener as _};
use millstream_queue::log::{LogOpener, LogQueue, Retain};

const PIPELINE: &str = "
sources:
  readings:
    from:
      file: { path: rows.ndjson }
    columns: { key: int64, value: float64, ts: timestamp_ms }
    event_time: { column: ts, delay: 1s, ahead: 36500d }
queue:
  log: { path: data, bytes_max: 32GiB, retain: { age: 1d } }
views:
  hot: SELECT key, value FROM readings WHERE value > 50
  per_day: |
    SELECT window_start, key, count(*) AS n, avg(value) AS mean
    FROM TUMBLE(readings, ts, INTERVAL '1 day')
    GROUP BY window_start, window_end, key
sinks:
  rows: { rows: hot, to: discard }
  windows: { rows: per_day, to: discard }
";

const ROWS: &str = "rows_total{source=\"readings\"}";
const LOOK: Duration = Duration::from_millis(1);

/// What one recovery took, in seconds from the start of the process.
struct Recovered {
    name: &'static str,
    opened: f64,
    ready: f64,
    first: f64,
    sealed: f64,
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
fn main() -> Result<(), Fault> {
    let (log, keys) = (option("gib", 2)? << 30, option("keys", 1_000_000)?);
    let pairs = option("pairs", 3)?;
    let folder = tempfile::tempdir_in(".")?;
    let folder = folder.path();
    let file = folder.join("recovery.yaml");
    std::fs::write(&file, PIPELINE)?;
    write_rows(&folder.join("rows.ndjson"), log, keys)?;
    let (rows, lag) = kill_in_the_middle(&file, log)?;
    let (data, left) = (folder.join("data"), folder.join("left"));
    std::fs::rename(&data, &left)?;
    let gib = gib(&left)?;
    println!(
        "{gib:.2} GiB in the log's folder; killed after {} rows in {} groups, with {lag} frames to process",
        thousands(rows),
        thousands(count(keys).min(rows)),
    );
    let mut runs = Vec::new();
    for _ in 0..pairs {
        for (name, cached) in [("in the page cache", true), ("not in the page cache", false)] {
            copy(&left, &data, cached)?;
            let opened = open(folder)?;
            copy(&left, &data, cached)?;
            runs.push(Recovered { opened, ..recover(&file, name)? });
        }
    }
    let table: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let s = |seconds: f64| format!("{seconds:.3}");
            vec![
                run.name.to_owned(),
                s(run.opened),
                s(run.opened / gib),
                s(run.ready),
                s(run.first),
                s(run.sealed),
                s(run.sealed / gib),
            ]
        })
        .collect();
    print(
        &[
            "seconds",
            "log open alone",
            "per GiB",
            "start to ready",
            "to the first new row",
            "to its checkpoint",
            "per GiB",
        ],
        &table,
    );
    Ok(())
}

/// Rows for a log that is a little longer than it has to become.
fn write_rows(path: &Path, log: u64, keys: u64) -> Result<(), Fault> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut line = String::new();
    let (mut n, mut bytes) = (0_u64, 0);
    while bytes < log + log / 8 {
        line.clear();
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        let (key, value) = (mixed % keys, mixed % 1_000);
        let ts = 1_790_000_000_000 + n / 1_000;
        writeln!(line, r#"{{"key":{key},"value":{}.{},"ts":{ts}}}"#, value / 10, value % 10)?;
        file.write_all(line.as_bytes())?;
        (n, bytes) = (n + 1, bytes + line.len() as u64);
    }
    file.flush()?;
    Ok(())
}

/// Runs until the log is so long; says how many rows were processed, and how many frames were not.
fn kill_in_the_middle(file: &Path, log: u64) -> Result<(f64, f64), Fault> {
    let live = Live::start(file, &[])?;
    live.until_ready()?;
    let seen = live.until(|m| m.of("queue_bytes") > count(log), LOOK)?;
    // Dropped, it is killed.
    drop(live);
    Ok((seen.of(ROWS), seen.of("lag_frames")))
}

/// Starts it again and looks how far it comes.
fn recover(file: &Path, name: &'static str) -> Result<Recovered, Fault> {
    let began = Instant::now();
    let live = Live::start(file, &[])?;
    let since = || began.elapsed().as_secs_f64();
    until(|| Ok(live.ready().then_some(())), LOOK)?;
    let ready = since();
    live.until(|m| m.of(ROWS) > 0.0, LOOK)?;
    let first = since();
    live.until(|m| m.of("epochs_total") > 0.0, LOOK)?;
    Ok(Recovered { name, opened: 0.0, ready, first, sealed: since() })
}

/// Opens the log and closes it; says how many seconds opening took.
fn open(folder: &Path) -> Result<f64, Fault> {
    let options = LogQueue {
        bytes_max: Bytes(32 << 30),
        retain: Retain { age: Span(Duration::from_secs(86_400)), bytes: None },
        ..LogQueue::at("data")
    };
    let opener = LogOpener::new(options, &Env::test("recovery", folder))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let began = Instant::now();
        let queue = opener.open().await?;
        let seconds = began.elapsed().as_secs_f64();
        drop(queue);
        Ok(seconds)
    })
}

/// Bytes in a folder and all below it.
fn gib(folder: &Path) -> Result<f64, Fault> {
    let (mut bytes, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.metadata()? {
                m if m.is_dir() => folders.push(entry.path()),
                m => bytes += m.len(),
            }
        }
    }
    Ok(count(bytes) / count(1 << 30))
}

/// Copies a folder of folders of files, and has the page cache keep the copy or not.
fn copy(from: &Path, to: &Path, cached: bool) -> Result<(), Fault> {
    drop(std::fs::remove_dir_all(to));
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
            if kind.is_dir() {
                folders.push((entry.path(), to));
            } else if kind.is_file() {
                std::fs::copy(entry.path(), &to)?;
                let file = File::open(&to)?;
                // What is not on the disk yet cannot leave the page cache.
                file.sync_all()?;
                if !cached {
                    fadvise(&file, 0, None, Advice::DontNeed)?;
                }
            }
        }
    }
    Ok(())
}
