//! Windows from NDJSON through the log: rows per second of CPU, beside the same rows without a window in the same run.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin windows -- [--rows 5_000_000] [--pairs 3]
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use millstream_bench::process::{Process, millstream};
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};

/// Rows a millisecond of event time.
const DENSITY: u64 = 10;

struct Case {
    name: &'static str,
    keys: u64,
    sql: &'static str,
}

const MEAN: &str = "SELECT window_start, key, avg(value) AS mean FROM TUMBLE(readings, ts, INTERVAL '10 seconds') GROUP BY window_start, key";

const CASES: &[Case] = &[
    Case {
        name: "no window: value > 50",
        keys: 1_000,
        sql: "SELECT key, value FROM readings WHERE value > 50",
    },
    Case { name: "tumbling mean, 1 k keys", keys: 1_000, sql: MEAN },
    Case { name: "tumbling mean, 100 k keys", keys: 100_000, sql: MEAN },
    Case {
        name: "tumbling mean, 5 M keys, one window",
        keys: 5_000_000,
        sql: "SELECT window_start, key, avg(value) AS mean FROM TUMBLE(readings, ts, INTERVAL '1 day') GROUP BY window_start, key",
    },
    Case {
        name: "hop, size / slide 1, 1 k keys",
        keys: 1_000,
        sql: "SELECT window_end, key, count(*) AS n FROM HOP(readings, ts, INTERVAL '60 seconds', INTERVAL '60 seconds') GROUP BY window_start, window_end, key",
    },
    Case {
        name: "hop, size / slide 60, 1 k keys",
        keys: 1_000,
        sql: "SELECT window_end, key, count(*) AS n FROM HOP(readings, ts, INTERVAL '60 seconds', INTERVAL '3600 seconds') GROUP BY window_start, window_end, key",
    },
    Case {
        name: "hop, size / slide 600, 1 k keys",
        keys: 1_000,
        sql: "SELECT window_end, key, count(*) AS n FROM HOP(readings, ts, INTERVAL '60 seconds', INTERVAL '36000 seconds') GROUP BY window_start, window_end, key",
    },
    Case {
        name: "session of 20 ms, 1 k keys",
        keys: 1_000,
        sql: "SELECT window_end, key, count(*) AS n FROM SESSION(readings, ts, INTERVAL '20 milliseconds', key) GROUP BY window_start, window_end, key",
    },
];

#[expect(clippy::cast_precision_loss, reason = "numbers of rows are small")]
fn main() -> Result<(), Fault> {
    let (rows, pairs) = (option("rows", 5_000_000)?, option("pairs", 3)?);
    let folder = tempfile::tempdir_in(".")?;
    let mut keys: Vec<u64> = CASES.iter().map(|c| c.keys).collect();
    keys.dedup();
    for keys in keys {
        write_rows(&folder.path().join(format!("{keys}.ndjson")), rows, keys)?;
    }
    let mut runs: Vec<Vec<(f64, f64, f64)>> = CASES.iter().map(|_| Vec::new()).collect();
    for _ in 0..pairs {
        for (case, runs) in CASES.iter().zip(&mut runs) {
            let started = tokio::time::Instant::now();
            let (cpu, peak) = run(folder.path(), case)?;
            runs.push((cpu, started.elapsed().as_secs_f64(), peak));
        }
    }
    let mut table = Vec::new();
    for (case, runs) in CASES.iter().zip(&mut runs) {
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((cpu, seconds, peak)) = runs.get(runs.len() / 2) else { continue };
        table.push(vec![
            case.name.to_owned(),
            thousands(rows as f64 / seconds),
            thousands(rows as f64 / cpu),
            format!("{:.3}", cpu / rows as f64 * 1e6),
            format!("{peak:.0}"),
        ]);
    }
    print(&["", "rows/s", "rows/CPU s", "CPU s/M rows", "peak MiB"], &table);
    Ok(())
}

fn write_rows(path: &Path, rows: u64, keys: u64) -> Result<(), Fault> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut line = String::new();
    for id in 0..rows {
        line.clear();
        // Keys in no order, the same ones each time.
        let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        let (key, value) = (mixed % keys, mixed % 1_000);
        writeln!(
            line,
            r#"{{"key":{key},"value":{}.{},"ts":{}}}"#,
            value / 10,
            value % 10,
            1_790_000_000_000 + id / DENSITY
        )?;
        file.write_all(line.as_bytes())?;
    }
    file.flush()?;
    Ok(())
}

fn run(folder: &Path, case: &Case) -> Result<(f64, f64), Fault> {
    drop(std::fs::remove_dir_all(folder.join("data")));
    let file = folder.join("windows.yaml");
    std::fs::write(
        &file,
        format!(
            "sources:\n  readings:\n    from:\n      file: {{ path: {}.ndjson }}\n    \
             columns: {{ key: int64, value: float64, ts: timestamp_ms }}\n    event_time: {{ column: ts, delay: 1s, ahead: 36500d }}\n\
             queue:\n  log: {{ path: ./data }}\nviews:\n  v: \"{}\"\nsinks:\n  nowhere:\n    rows: v\n    to:\n      discard: {{}}\n",
            case.keys, case.sql
        ),
    )?;
    Process::start(
        Command::new(millstream()?)
            .args(["run", "--once"])
            .arg(&file)
            .stderr(Stdio::null())
            .stdout(Stdio::null()),
    )?
    .wait()
}
