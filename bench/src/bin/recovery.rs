//! How long a crash takes to recover from, per GiB of log: rows with windows, killed in the middle.
//!
//! A log is filled without being processed; a run processes some of it and is killed (SIGKILL), so that a backlog and the
//! state of windows remain; all of the log is retained. Then, on copies of what is left: the log alone is opened, and
//! the pipeline is run again until it goes on. Both with the files in the page cache, and not.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin recovery -- [--rows 45_000_000] [--keys 1_000_000] [--pairs 3]
//! ```

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use tokio::time::Instant;

use millstream_bench::live::{Live, until};
use millstream_bench::once::{count, on_core};
use millstream_bench::table::print;
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
    all: f64,
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
fn main() -> Result<(), Fault> {
    let (rows, keys) = (option("rows", 45_000_000)?, option("keys", 1_000_000)?);
    let pairs = option("pairs", 3)?;
    let folder = tempfile::tempdir_in(".")?;
    let folder = folder.path();
    let file = folder.join("recovery.yaml");
    std::fs::write(&file, PIPELINE)?;
    write_rows(&folder.join("rows.ndjson"), rows, keys)?;
    let collected = on_core(None)?
        .args(["run", "--once", "--only", "collect"])
        .arg(&file)
        .stderr(Stdio::null())
        .status()?;
    if !collected.success() {
        return Err(format!("collecting ended with {collected}").into());
    }
    let done = kill_in_the_middle(&file, rows)?;
    let (data, left) = (folder.join("data"), folder.join("left"));
    std::fs::rename(&data, &left)?;
    let gib = gib(&left)?;
    println!(
        "log of {gib:.2} GiB, {:.2} GiB of chunks among it; killed after {:.0} % of {rows} rows, {keys} groups",
        self::gib(&left.join("chunks")).unwrap_or(0.0),
        done / count(rows) * 100.0
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
                s(run.all),
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
            "to the end of the backlog",
        ],
        &table,
    );
    Ok(())
}

fn write_rows(path: &Path, rows: u64, keys: u64) -> Result<(), Fault> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut line = String::new();
    for n in 0..rows {
        line.clear();
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        let (key, value) = (mixed % keys, mixed % 1_000);
        let ts = 1_790_000_000_000 + n / 1_000;
        writeln!(line, r#"{{"key":{key},"value":{}.{},"ts":{ts}}}"#, value / 10, value % 10)?;
        file.write_all(line.as_bytes())?;
    }
    file.flush()?;
    Ok(())
}

/// Processes about half of the rows; says how many.
fn kill_in_the_middle(file: &Path, rows: u64) -> Result<f64, Fault> {
    let live = Live::start(file, &[])?;
    live.until_ready()?;
    let seen = live.until(|m| m.of(ROWS) > count(rows) / 2.0, LOOK)?;
    // Dropped, it is killed.
    drop(live);
    Ok(seen.of(ROWS))
}

/// Starts it again and looks how far it comes.
fn recover(file: &Path, name: &'static str) -> Result<Recovered, Fault> {
    let began = Instant::now();
    let live = Live::start(file, &["--once"])?;
    let since = || began.elapsed().as_secs_f64();
    until(|| Ok(live.ready().then_some(())), LOOK)?;
    let ready = since();
    live.until(|m| m.of(ROWS) > 0.0, LOOK)?;
    let first = since();
    live.until(|m| m.of("epochs_total") > 0.0, LOOK)?;
    let sealed = since();
    let Live { process, .. } = live;
    process.wait()?;
    Ok(Recovered { name, opened: 0.0, ready, first, sealed, all: since() })
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
