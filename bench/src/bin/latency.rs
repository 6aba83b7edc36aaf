//! End-to-end latency at half load: from a row's write into a pipe until another process sees it in SQLite, with fsync.
//!
//! `value > 100` (half of the rows; of these only each hundredth with `--every 100`) from standard input through the log to SQLite. First as fast as rows are taken; then at
//! half of that rate, in a write each millisecond. The database is asked each millisecond for its last row, as any reader
//! may. The time counts from when the pace says that a row is due, so a writer that is held up hides nothing. Beside it: what the pipeline
//! itself says, and writes of 64 KiB with fdatasync to the same disk before and after.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin latency -- [--rows 10_000_000] [--seconds 20] [--rate 0] [--every 1] [--segment 8]
//! ```

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use tokio::time::Instant;

use millstream_bench::api::{passes, row};
use millstream_bench::live::{Live, until};
use millstream_bench::metrics::Spread;
use millstream_bench::once::count;
use millstream_bench::paced::{Ring, Written};
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};

const PIPELINE: &str = "
sources:
  readings:
    from: stdin
    columns: { id: int64, sensor: string, value: float64, ts: timestamp_ms }
queue:
  log: { path: data, segment_bytes: SEGMENTMiB }
views:
  hot: SELECT id, sensor, value, ts FROM readings WHERE value > 100 AND id % EVERY = 0
sinks:
  store:
    rows: hot
    to:
      sqlite: { path: latency.db, table: hot }
";

/// Lines written again and again.
const RING: u64 = 2_000_000;
/// What an fsync is measured with: a block.
const BLOCK: usize = 64 << 10;
const FSYNCS: usize = 500;
const LOOK: Duration = Duration::from_millis(1);
/// How long half load goes on before it is measured.
const WARM_UP: Duration = Duration::from_secs(5);

fn main() -> Result<(), Fault> {
    let (rows, seconds) = (option("rows", 10_000_000)?, option("seconds", 20)?);
    let every = option("every", 1)?.max(1);
    // In MiB. When one is full or gone, the file system has something to do, in which nothing else gets its fsync.
    let segment = option("segment", 8)?;
    let folder = tempfile::tempdir_in(".")?;
    let ring = Ring::new(RING, |n, out| row(out, n));
    let passed = Passed::new(every);
    let file = folder.path().join("latency.yaml");
    let pipeline = PIPELINE.replace("EVERY", &every.to_string());
    std::fs::write(&file, pipeline.replace("SEGMENT", &segment.to_string()))?;
    let mut fsyncs = fsyncs(folder.path())?;
    let mut live = Live::start(&file, &[])?;
    let mut input = live.input()?;
    live.until_ready()?;
    let database = Database::open(folder.path())?;
    let began = Instant::now();
    let full = ring.rush(&mut input, 0, rows, Duration::MAX)?;
    until(|| Ok(Some(database.rows()?).filter(|r| *r >= passed.of(full))), LOOK)?;
    let most = count(full) / began.elapsed().as_secs_f64();
    let rate = match option("rate", 0)? {
        0 => most / 2.0,
        rate => count(rate),
    };
    // What the rush left behind (files to be checkpointed and removed) is not of half load.
    let full = full + ring.pace(&mut input, full, rate, WARM_UP, |_| {})?;
    let (before, cpu) = (live.metrics()?, live.process.cpu_seconds()?);
    let time = Duration::from_secs(seconds);
    let (tell, told) = std::sync::mpsc::channel();
    let (paced, seen) = std::thread::scope(|scope| -> Result<(u64, Seen), Fault> {
        let writer = scope.spawn(|| {
            let tell = tell;
            // Whoever listens ends only after this.
            ring.pace(&mut input, full, rate, time, |at| tell.send(at).unwrap_or_default())
        });
        let seen = watch(&database, &told, |lines| passed.of(full + lines))?;
        Ok((writer.join().map_err(|_| "the writer panicked")??, seen))
    })?;
    let cores = (live.process.cpu_seconds()? - cpu) / time.as_secs_f64();
    let now = live.metrics()?;
    fsyncs.extend(self::fsyncs(folder.path())?);
    report(most, count(paced) / time.as_secs_f64(), cores);
    print(
        &["", "n", "p50 ms", "p95", "p99", "p99.9", "longest"],
        &[
            line("row due until seen in SQLite", seen.since_due),
            line("row written until seen in SQLite", seen.since_written),
            buckets(
                "block arrived until flushed (/metrics)",
                &now.since(&before, "end_to_end_seconds"),
            ),
            buckets("fsync of the log (/metrics)", &now.since(&before, "fsync_seconds")),
            buckets("prepare and flush of SQLite (/metrics)", &now.since(&before, "flush_seconds")),
            line("64 KiB and fdatasync, alone", fsyncs),
        ],
    );
    Ok(())
}

/// How long rows took to be seen, in milliseconds.
#[derive(Default)]
struct Seen {
    since_due: Vec<f64>,
    since_written: Vec<f64>,
}

/// Asks the database until all that was written is there.
fn watch(
    database: &Database,
    told: &Receiver<Written>,
    stored: impl Fn(u64) -> u64,
) -> Result<Seen, Fault> {
    let (mut seen, mut waiting) = (Seen::default(), None);
    loop {
        // A row that is committed after this is not in there.
        let there = database.rows()?;
        let now = Instant::now();
        loop {
            let written: Written = match waiting.take().map_or_else(|| told.try_recv(), Ok) {
                Ok(written) => written,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(seen),
            };
            if stored(written.lines) > there {
                waiting = Some(written);
                break;
            }
            let ms = |at: Instant| now.saturating_duration_since(at).as_secs_f64() * 1e3;
            seen.since_due.push(ms(written.due));
            seen.since_written.push(ms(written.at));
        }
        std::thread::sleep(LOOK);
    }
}

fn line(name: &str, mut values: Vec<f64>) -> Vec<String> {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values.get(values.len().saturating_sub(1) * part / 1000);
    let ms = |part| format!("{:.1}", at(part).copied().unwrap_or(f64::NAN));
    vec![name.to_owned(), values.len().to_string(), ms(500), ms(950), ms(990), ms(999), ms(1000)]
}

fn buckets(name: &str, spread: &Spread) -> Vec<String> {
    let ms = |part| format!("<= {}", spread.ms(part));
    let n = format!("{:.0}", spread.count());
    vec![name.to_owned(), n, ms(0.5), ms(0.95), ms(0.99), ms(0.999), ms(1.0)]
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
fn report(most: f64, rate: f64, cores: f64) {
    println!(
        "at most {} rows/s; paced {} rows/s with {cores:.2} cores",
        thousands(most),
        thousands(rate)
    );
}

/// How many of the first rows pass.
struct Passed(Vec<u64>);

impl Passed {
    fn new(every: u64) -> Self {
        let (mut passed, mut so_far) = (vec![0], 0);
        for n in 0..RING {
            so_far += u64::from(passes(n) && n % every == 0);
            passed.push(so_far);
        }
        Self(passed)
    }

    /// Of the first `n`, which are the ring again and again.
    fn of(&self, n: u64) -> u64 {
        let of = |n: u64| usize::try_from(n).ok().and_then(|n| self.0.get(n)).copied().unwrap_or(0);
        n / RING * of(RING) + of(n % RING)
    }
}

struct Database(rusqlite::Connection);

impl Database {
    fn open(folder: &Path) -> Result<Self, Fault> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        Ok(Self(rusqlite::Connection::open_with_flags(folder.join("latency.db"), flags)?))
    }

    /// Rows that are committed: they are numbered in the order of their coming.
    fn rows(&self) -> Result<u64, Fault> {
        let mut query = self.0.prepare_cached("SELECT max(rowid) FROM hot")?;
        let last: Option<i64> = query.query_row([], |r| r.get(0))?;
        Ok(last.unwrap_or(0).unsigned_abs())
    }
}

/// Milliseconds that appending a block and fdatasync take.
fn fsyncs(folder: &Path) -> Result<Vec<f64>, Fault> {
    let mut file = File::create(folder.join("fsyncs"))?;
    let block = vec![7; BLOCK];
    let mut took = Vec::new();
    for _ in 0..FSYNCS {
        let began = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}
