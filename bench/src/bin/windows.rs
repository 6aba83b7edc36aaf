//! Windows and `OVER` from NDJSON through the log: rows per second of CPU, beside the same rows without a window in the same run.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin windows -- [--rows 5_000_000] [--pairs 3] [--growth 0]
//! ```
//!
//! `--growth 3_000_000` measures the mean over 100,000 keys also over so many rows and ten times as many.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use millstream_bench::once::{HEADINGS, Took, count, growth, median, once};
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
    Case {
        name: "OVER: change since the row before, 10 k keys",
        keys: 10_000,
        sql: "SELECT key, ts, value - lag(value) OVER (PARTITION BY key ORDER BY ts) AS change FROM readings",
    },
    Case {
        name: "OVER: mean and deviation of 10 rows, 10 k keys",
        keys: 10_000,
        sql: "SELECT key, ts, avg(value) OVER w AS mean, stddev(value) OVER w AS deviation FROM readings WINDOW w AS (PARTITION BY key ORDER BY ts ROWS 9 PRECEDING)",
    },
    Case {
        name: "OVER: mean of 10 seconds, 10 k keys",
        keys: 10_000,
        sql: "SELECT key, ts, avg(value) OVER (PARTITION BY key ORDER BY ts RANGE INTERVAL '10 seconds' PRECEDING) AS mean FROM readings",
    },
];

fn main() -> Result<(), Fault> {
    let (rows, pairs) = (option("rows", 5_000_000)?, option("pairs", 3)?);
    let folder = tempfile::tempdir_in(".")?;
    let mut keys: Vec<u64> = CASES.iter().map(|c| c.keys).collect();
    keys.dedup();
    for keys in keys {
        write_rows(&folder.path().join(format!("{keys}.ndjson")), rows, keys)?;
    }
    let mut runs: Vec<Vec<Took>> = CASES.iter().map(|_| Vec::new()).collect();
    for _ in 0..pairs {
        for (case, runs) in CASES.iter().zip(&mut runs) {
            let file = format!("{}.ndjson", case.keys);
            runs.push(once(folder.path(), &pipeline(&file, case.sql), None)?);
        }
    }
    let lines = CASES.iter().zip(&runs);
    let table: Vec<_> =
        lines.filter_map(|(case, runs)| Some(median(runs)?.cells(case.name, rows))).collect();
    print(&HEADINGS, &table);
    match option("growth", 0)? {
        0 => Ok(()),
        rows => grow(folder.path(), rows, pairs),
    }
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

fn pipeline(file: &str, sql: &str) -> String {
    format!(
        "sources:\n  readings:\n    from:\n      file: {{ path: {file} }}\n    \
         columns: {{ key: int64, value: float64, ts: timestamp_ms }}\n    event_time: {{ column: ts, delay: 1s, ahead: 36500d }}\n\
         queue:\n  log: {{ path: ./data }}\nviews:\n  v: \"{sql}\"\nsinks:\n  nowhere:\n    rows: v\n    to:\n      discard: {{}}\n"
    )
}

/// The mean over so many keys of some rows, and of ten times as many.
#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
fn grow(folder: &Path, rows: u64, pairs: u64) -> Result<(), Fault> {
    let sizes = [0, rows, rows * 10];
    for size in sizes {
        write_rows(&folder.join(format!("rows{size}.ndjson")), size, 100_000)?;
    }
    let mut runs = sizes.map(|_| Vec::new());
    for _ in 0..pairs {
        for (size, runs) in sizes.iter().zip(&mut runs) {
            runs.push(once(folder, &pipeline(&format!("rows{size}.ndjson"), MEAN), None)?);
        }
    }
    if let [Some(none), Some(small), Some(large)] = runs.map(|runs| median(&runs)) {
        let (whole, net) = growth(rows, none, small, large);
        println!(
            "tumbling mean, 100 k keys, CPU per row at ten times {} rows: {whole:.2} times, less the start {net:.2}",
            thousands(count(rows))
        );
    }
    Ok(())
}
