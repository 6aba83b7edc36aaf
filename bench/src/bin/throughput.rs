//! File, decode, filter, discard: rows per second of CPU, at one size and at ten times that.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin throughput -- [--rows 3_000_000] [--pairs 3]
//! ```

use std::io::Write as _;
use std::path::Path;

use millstream_bench::api::row;
use millstream_bench::once::{HEADINGS, count, once};
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};

#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
fn main() -> Result<(), Fault> {
    let (rows, pairs) = (option("rows", 3_000_000)?, option("pairs", 3)?);
    let folder = tempfile::tempdir_in(".")?;
    let sizes = [rows, rows * 10];
    for size in sizes {
        write_rows(&folder.path().join(format!("{size}.ndjson")), size)?;
    }
    let mut table = Vec::new();
    let mut per_row: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for queue in ["log: { path: ./data }", "memory: {}"] {
        for _ in 0..pairs {
            for (size, costs) in sizes.iter().zip(&mut per_row) {
                let took = once(folder.path(), &pipeline(*size, queue), None)?;
                costs.push(took.cpu / count(*size));
                let queue = queue.split(':').next().unwrap_or("");
                let name = format!("{} rows, {queue}", thousands(count(*size)));
                table.push(took.cells(&name, *size));
            }
        }
    }
    print(&HEADINGS, &table);
    let [small, large] = per_row.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        costs.get(costs.len() / 2).copied().unwrap_or(f64::NAN)
    });
    println!("CPU per row at ten times the rows: {:.2} times", large / small);
    Ok(())
}

fn write_rows(path: &Path, rows: u64) -> Result<(), Fault> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut line = String::new();
    for id in 0..rows {
        line.clear();
        row(&mut line, id);
        line.push('\n');
        file.write_all(line.as_bytes())?;
    }
    file.flush()?;
    Ok(())
}

fn pipeline(rows: u64, queue: &str) -> String {
    format!(
        "sources:\n  readings:\n    from:\n      file: {{ path: {rows}.ndjson }}\n    decode:\n      json: {{}}\n    \
         columns: {{ id: int64, sensor: string, value: float64, ts: timestamp_ms }}\nqueue:\n  {queue}\n\
         views:\n  hot: SELECT id, sensor, value, ts FROM readings WHERE value > 100\n\
         sinks:\n  nowhere:\n    rows: hot\n    to:\n      discard: {{}}\n"
    )
}
