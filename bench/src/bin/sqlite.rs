//! The SQLite sink against one-row prepared inserts: same table, rows, transaction sizes and durability, in
//! turns in one run.
//!
//! `cargo run --release -p millstream-bench --bin sqlite [-- --rows 1000000 --rounds 5]`
//!
//! The rival is what one writes by hand with rusqlite: WAL with `synchronous = FULL`, `prepare` once,
//! `execute(params![…])` per row, timestamps as text by chrono. It runs twice more with what the sink knows
//! beyond that: its pages and checkpoints, and then also with its texts ready, so that one sees what is owed
//! to what.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use chrono::SecondsFormat;
use millstream_bench::{Fault, option, table};
use millstream_connectors::Sqlite;
use millstream_core::codec::{Origin, Rows};
use millstream_core::plugin::{Config, Env};
use millstream_core::queue::{Epoch, LogId, Mark};
use millstream_core::record::Offset;
use rusqlite::{Connection, params};

/// Rows to a batch, as blocks of 64 KiB decode to.
const BATCH: i64 = 1_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One shape of table and epoch.
struct Case {
    name: &'static str,
    key: &'static str,
    rows_per_epoch: i64,
}

const CASES: [Case; 3] = [
    Case { name: "no key, 10,000 rows/tx", key: "[]", rows_per_epoch: 10_000 },
    Case { name: "integer key, 10,000 rows/tx", key: "[\"id\"]", rows_per_epoch: 10_000 },
    Case { name: "no key, 1,000 rows/tx", key: "[]", rows_per_epoch: 1_000 },
];

/// Inserts of one row by hand.
#[derive(Clone, Copy)]
struct Rival {
    name: &'static str,
    /// With the sink's size of pages and checkpoints.
    tuned: bool,
    /// With the texts of its timestamps ready.
    ready: bool,
}

const RIVALS: [Rival; 3] = [
    Rival { name: "by hand", tuned: false, ready: false },
    Rival { name: "by hand, sink's pages", tuned: true, ready: false },
    Rival { name: "by hand, pages, texts ready", tuned: true, ready: true },
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let rows = i64::try_from(option("rows", 1_000_000)?)?;
    let rounds = option("rounds", 5)?;
    let batches: Vec<RecordBatch> = (0..rows / BATCH).map(batch).collect::<Result<_, _>>()?;
    let texts: Vec<Vec<String>> = batches.iter().map(moments).collect();
    let mut lines = Vec::new();
    for case in &CASES {
        let mut ours = Vec::new();
        let mut rivals = RIVALS.map(|rival| (rival, Vec::new()));
        for _ in 0..rounds {
            let folder = tempfile::tempdir()?;
            ours.push(sink(folder.path(), case, &batches).await?);
            for (rival, passes) in &mut rivals {
                let folder = tempfile::tempdir()?;
                passes.push(one_by_one(folder.path(), case, &batches, &texts, rival)?);
            }
        }
        lines.push(line(case.name, "sqlite sink", &ours, &ours, rows));
        for (rival, passes) in &rivals {
            lines.push(line(case.name, rival.name, passes, &ours, rows));
        }
    }
    let headings = ["table", "how", "rows/s", "CPU ns/row", "sink's rate", "sink's CPU"];
    table::print(&headings, &lines);
    Ok(())
}

/// Seconds of one pass.
struct Figures {
    wall: f64,
    cpu: f64,
}

/// One row of the result: medians, and the medians of what the sink did better in the same round.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn line(name: &str, how: &str, passes: &[Figures], ours: &[Figures], rows: i64) -> Vec<String> {
    let rows = rows as f64;
    let ratio = |of: fn(&Figures) -> f64| {
        let better = median(passes.iter().zip(ours).map(|(theirs, ours)| of(theirs) / of(ours)));
        if std::ptr::eq(passes, ours) { String::new() } else { format!("{better:.2}x") }
    };
    vec![
        name.into(),
        how.into(),
        table::thousands(rows / median(passes.iter().map(|f| f.wall))),
        table::thousands(median(passes.iter().map(|f| f.cpu)) * 1e9 / rows),
        ratio(|f| f.wall),
        ratio(|f| f.cpu),
    ]
}

fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn batch(n: i64) -> Result<RecordBatch, Fault> {
    let ids = n * BATCH..(n + 1) * BATCH;
    let id: Int64Array = ids.clone().map(Some).collect();
    let sensor: StringArray = ids.clone().map(|i| Some(format!("sensor-{:03}", i % 500))).collect();
    #[expect(clippy::cast_precision_loss, reason = "any float will do")]
    let value: Float64Array = ids.clone().map(|i| Some(i as f64 * 1.37)).collect();
    let ts =
        TimestampMicrosecondArray::from_iter_values(ids.map(|i| 1_795_411_024_000_000 + i * 977));
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(id)),
        ("sensor", Arc::new(sensor)),
        ("value", Arc::new(value)),
        ("ts", Arc::new(ts.with_timezone("UTC"))),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// The timestamps as the sink stores them.
fn moments(batch: &RecordBatch) -> Vec<String> {
    (0..batch.num_rows())
        .map(|row| {
            let row = millstream_connectors::render::row_json(batch, row);
            row.rsplit('"').nth(1).unwrap_or_default().to_owned()
        })
        .collect()
}

async fn sink(folder: &Path, case: &Case, batches: &[RecordBatch]) -> Result<Figures, Fault> {
    let options = format!(r#"{{"path":"t.db","table":"t","key":{}}}"#, case.key);
    let options: Sqlite = serde_json::from_str(&options)?;
    let mut sink = options.build(&Env::test("store", folder))?;
    let Some(first) = batches.first() else { return Err("no rows".into()) };
    sink.open(first.schema()).await?;
    let started = (now(), cpu()?);
    let per_epoch = usize::try_from(case.rows_per_epoch / BATCH)?;
    let mut offset = 0;
    for (epoch, epoch_batches) in (1..).zip(batches.chunks(per_epoch)) {
        for batch in epoch_batches {
            let origin = Origin::new(Offset(offset), Arc::from([0]), None);
            sink.write(&Rows { batch: batch.clone(), origin }).await?;
            offset += 1;
        }
        let mark =
            Mark { log: LogId(1), incarnation: 0, epoch: Epoch(epoch), next: Offset(offset) };
        let refused = sink.prepare(&mark).await?;
        assert!(refused.is_empty(), "good rows were refused");
        sink.flush(&mark).await?;
    }
    Ok(Figures { wall: (now() - started.0).as_secs_f64(), cpu: cpu()? - started.1 })
}

fn one_by_one(
    folder: &Path,
    case: &Case,
    batches: &[RecordBatch],
    texts: &[Vec<String>],
    rival: &Rival,
) -> Result<Figures, Fault> {
    let conn = Connection::open(folder.join("t.db"))?;
    if rival.tuned {
        conn.execute_batch(
            "PRAGMA page_size = 16384; PRAGMA wal_autocheckpoint = 1024; PRAGMA cache_size = -16384;
             PRAGMA temp_store = MEMORY;",
        )?;
    }
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    let key = if case.key == "[]" { "" } else { " PRIMARY KEY NOT NULL" };
    conn.execute_batch(&format!(
        "CREATE TABLE t (id INTEGER{key}, sensor TEXT, value REAL, ts TEXT);
         CREATE TABLE held (epoch INTEGER PRIMARY KEY)"
    ))?;
    let started = (now(), cpu()?);
    let per_epoch = usize::try_from(case.rows_per_epoch / BATCH)?;
    let mut insert = conn.prepare("INSERT INTO t VALUES (?1, ?2, ?3, ?4)")?;
    for (n, epoch) in batches.chunks(per_epoch).enumerate() {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        for (i, batch) in epoch.iter().enumerate() {
            let id = batch.column(0).as_primitive::<Int64Type>();
            let sensor = batch.column(1).as_string::<i32>();
            let value = batch.column(2).as_primitive::<Float64Type>();
            let ts = batch.column(3).as_primitive::<TimestampMicrosecondType>();
            let texts = texts.get(n * per_epoch + i).filter(|_| rival.ready);
            for row in 0..batch.num_rows() {
                let (id, sensor, value) = (id.value(row), sensor.value(row), value.value(row));
                if let Some(text) = texts.and_then(|texts| texts.get(row)) {
                    insert.execute(params![id, sensor, value, text])?;
                } else {
                    let ts = chrono::DateTime::from_timestamp_micros(ts.value(row));
                    let text = ts.ok_or("no moment")?.to_rfc3339_opts(SecondsFormat::Micros, true);
                    insert.execute(params![id, sensor, value, text])?;
                }
            }
        }
        conn.execute("INSERT OR REPLACE INTO held VALUES (1)", [])?;
        conn.execute_batch("COMMIT")?;
    }
    Ok(Figures { wall: (now() - started.0).as_secs_f64(), cpu: cpu()? - started.1 })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark asks the machine")]
fn now() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// CPU seconds of this process so far, all threads, kernel time included.
fn cpu() -> Result<f64, Fault> {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of one run")]
    Ok(usage.tv_sec as f64 + usage.tv_nsec as f64 * 1e-9)
}
