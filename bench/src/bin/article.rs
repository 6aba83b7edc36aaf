//! The article's job, side by side: HTTP bodies of 1,000 rows, a durable queue, `value > 100`, SQLite.
//!
//! Ours: `millstream run` with the embedded log and fsync before acknowledge, and with the queue on a Redis
//! that keeps an append-only file, fsynced every second, and once that fsyncs every write; CPU and memory of
//! that Redis are counted in. Rival: the Python script in `bench/rivals/article.py` (aiohttp, a Redis list on a
//! Redis that keeps nothing, pandas, sqlite3, sleeps removed).
//!
//! ```text
//! cargo run --release -p millstream-bench --bin article -- [--rows 5_000_000] [--rival-rows 200_000] [--pairs 3]
//! ```
//!
//! The rival needs Redis and a Python with the packages of `bench/rivals/requirements.txt` (`PYTHON=…`
//! names it); without them only our side is measured.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use millstream_bench::api::{Api, passes};
use millstream_bench::process::{Process, millstream};
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};

/// Rows in one body.
const PER_BODY: u64 = 1000;

struct Measured {
    rows_per_second: f64,
    cpu_per_million: f64,
    peak_mib: f64,
}

/// What lies between collecting and processing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    Log,
    /// On a Redis that fsyncs its append-only file like this.
    Redis(&'static str),
}

const OURS: [(&str, Queue); 3] = [
    ("millstream, log with fsync", Queue::Log),
    ("millstream, redis everysec", Queue::Redis("everysec")),
    ("millstream, redis always", Queue::Redis("always")),
];

fn main() -> Result<(), Fault> {
    let (rows, rival_rows) = (option("rows", 5_000_000)?, option("rival-rows", 200_000)?);
    let pairs = option("pairs", 3)?;
    let redis = has_redis();
    let mut ours = OURS.map(|(name, queue)| (name, queue, Vec::new()));
    let mut rivals = Vec::new();
    for _ in 0..pairs {
        for (_, queue, measured) in &mut ours {
            if redis || *queue == Queue::Log {
                measured.push(run_ours(rows, *queue)?);
            }
        }
        rivals.extend(run_rival(rival_rows)?);
    }
    report(&ours, &rivals);
    Ok(())
}

fn report(ours: &[(&str, Queue, Vec<Measured>)], rivals: &[Measured]) {
    let median = |all: &[Measured]| {
        let mut rates: Vec<f64> = all.iter().map(|m| m.rows_per_second).collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    };
    let rival = median(rivals);
    let row = |name: &str, m: &Measured, ratio: Option<f64>| {
        vec![
            name.to_owned(),
            thousands(m.rows_per_second),
            format!("{:.2}", m.cpu_per_million),
            format!("{:.0}", m.peak_mib),
            ratio.map_or(String::new(), |r| format!("{r:.0}")),
        ]
    };
    let mut rows = Vec::new();
    for (name, _, measured) in ours {
        let ratio = median(measured).zip(rival).map(|(ours, rival)| ours / rival);
        rows.extend(measured.iter().map(|m| row(name, m, ratio)));
    }
    rows.extend(rivals.iter().map(|m| row("python, redis list", m, None)));
    print(&["", "rows/s", "CPU s/M rows", "peak MiB", "ratio of medians"], &rows);
}

fn has_redis() -> bool {
    let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|s| s.success())
}

/// A Redis of its own in a folder, and its port.
fn start_redis(folder: &Path, more: &[&str]) -> Result<(Process, u16), Fault> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let redis = Process::start(
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(more)
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null()),
    )?;
    std::thread::sleep(Duration::from_millis(500));
    Ok((redis, port))
}

fn run_ours(rows: u64, queue: Queue) -> Result<Measured, Fault> {
    let folder = tempfile::tempdir_in(".")?;
    let api = Api::new(rows, PER_BODY);
    let address = api.serve()?;
    let file = folder.path().join("article.yaml");
    let urls: Vec<String> =
        (0..4).map(|i| format!("\"http://{address}/realtime-data?{i}\"")).collect();
    let (redis, queue) = match queue {
        Queue::Log => (None, "log: { path: ./data }".to_owned()),
        Queue::Redis(fsync) => {
            let keep = ["--appendonly", "yes", "--appendfsync", fsync];
            let (redis, port) = start_redis(folder.path(), &keep)?;
            (Some(redis), format!("redis: {{ url: \"redis://127.0.0.1:{port}\" }}"))
        }
    };
    std::fs::write(
        &file,
        format!(
            "name: article\nsources:\n  readings:\n    from:\n      http: {{ urls: [{}], every: 1ms }}\n    decode:\n      json: {{ rows: /items }}\n    \
             columns: {{ id: int64, sensor: string, value: float64, ts: timestamp_ms }}\nqueue:\n  {queue}\n\
             views:\n  hot: SELECT id, sensor, value, ts FROM readings WHERE value > 100\n\
             sinks:\n  store:\n    rows: hot\n    to:\n      sqlite: {{ path: processed.db, table: processed_items }}\n",
            urls.join(", ")
        ),
    )?;
    let wanted = (0..rows).filter(|id| passes(*id)).count() as u64;
    let started = Instant::now();
    let process = Process::start(
        Command::new(millstream()?)
            .arg("run")
            .arg(&file)
            .stderr(Stdio::null())
            .stdout(Stdio::null()),
    )?;
    let database = folder.path().join("processed.db");
    let mut stored = 0;
    while stored < wanted {
        std::thread::sleep(Duration::from_millis(20));
        if api.served() >= rows {
            stored = count(&database).unwrap_or(0);
        }
        if started.elapsed() > Duration::from_secs(300) {
            return Err(format!("{stored} of {wanted} rows after 300 s").into());
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let (mut cpu, mut peak_mib) = (process.cpu_seconds()?, process.peak_mib()?);
    if let Some(redis) = &redis {
        cpu += redis.cpu_seconds()?;
        peak_mib += redis.peak_mib()?;
    }
    process.stop()?;
    check(&database, wanted)?;
    Ok(measured(rows, seconds, cpu, peak_mib))
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are small")]
fn measured(rows: u64, seconds: f64, cpu: f64, peak_mib: f64) -> Measured {
    let rows = rows as f64;
    Measured { rows_per_second: rows / seconds, cpu_per_million: cpu / rows * 1e6, peak_mib }
}

fn count(database: &Path) -> Result<u64, Fault> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = rusqlite::Connection::open_with_flags(database, flags)?;
    let last: Option<i64> =
        db.query_row("SELECT max(rowid) FROM processed_items", [], |r| r.get(0))?;
    Ok(last.unwrap_or(0).unsigned_abs())
}

/// Each row once.
fn check(database: &Path, wanted: u64) -> Result<(), Fault> {
    let db = rusqlite::Connection::open(database)?;
    let (rows, ids): (i64, i64) = db.query_row(
        "SELECT count(*), count(DISTINCT id) FROM processed_items WHERE value > 100",
        [],
        |r| Ok((r.get(0)?, r.get(1)?)),
    )?;
    if rows.unsigned_abs() == wanted && ids == rows {
        Ok(())
    } else {
        Err(format!("{wanted} rows expected, {rows} stored, {ids} of them different").into())
    }
}

/// `None` when Redis or the packages are not here.
#[expect(clippy::print_stderr, reason = "says why a side is missing")]
fn run_rival(rows: u64) -> Result<Option<Measured>, Fault> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let ready = Command::new(&python)
        .args(["-c", "import aiohttp, redis, pandas"])
        .stderr(Stdio::null())
        .status();
    if !(ready.is_ok_and(|s| s.success()) && has_redis()) {
        eprintln!(
            "rival not measured: it needs redis-server and bench/rivals/requirements.txt (PYTHON={python})"
        );
        return Ok(None);
    }
    let folder = tempfile::tempdir_in(".")?;
    let api = Api::new(rows, PER_BODY);
    let address = api.serve()?;
    let (redis, port) = start_redis(folder.path(), &[])?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals/article.py");
    let output = Command::new(&python)
        .arg(script)
        .arg(format!("http://{address}/realtime-data"))
        .arg(port.to_string())
        .arg(folder.path().join("rival.db"))
        .arg(rows.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    let result: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let number =
        |key: &str| result.get(key).and_then(serde_json::Value::as_f64).ok_or(format!("no {key}"));
    let cpu = number("cpu_seconds")? + redis.cpu_seconds()?;
    Ok(Some(measured(rows, number("seconds")?, cpu, number("rss_mib")? + redis.peak_mib()?)))
}
