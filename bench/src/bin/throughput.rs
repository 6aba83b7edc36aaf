//! File, decode, filter, discard: rows per second of CPU, at one size and at ten times that.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin throughput -- [--rows 3_000_000] [--pairs 3]
//! ```

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use millstream_bench::api::row;
use millstream_bench::process::{Process, millstream};
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};

#[expect(clippy::cast_precision_loss, reason = "numbers of rows are small")]
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
                let started = tokio::time::Instant::now();
                let (cpu, peak) = run(folder.path(), *size, queue)?;
                let seconds = started.elapsed().as_secs_f64();
                costs.push(cpu / *size as f64);
                table.push(vec![
                    format!(
                        "{} rows, {}",
                        thousands(*size as f64),
                        queue.split(':').next().unwrap_or("")
                    ),
                    thousands(*size as f64 / seconds),
                    thousands(*size as f64 / cpu),
                    format!("{:.3}", cpu / *size as f64 * 1e6),
                    format!("{peak:.0}"),
                ]);
            }
        }
    }
    print(&["", "rows/s", "rows/CPU s", "CPU s/M rows", "peak MiB"], &table);
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

fn run(folder: &Path, rows: u64, queue: &str) -> Result<(f64, f64), Fault> {
    drop(std::fs::remove_dir_all(folder.join("data")));
    let file = folder.join("throughput.yaml");
    std::fs::write(
        &file,
        format!(
            "sources:\n  readings:\n    from:\n      file: {{ path: {rows}.ndjson }}\n    decode:\n      json: {{}}\n    \
             columns: {{ id: int64, sensor: string, value: float64, ts: timestamp_ms }}\nqueue:\n  {queue}\n\
             views:\n  hot: SELECT id, sensor, value, ts FROM readings WHERE value > 100\n\
             sinks:\n  nowhere:\n    rows: hot\n    to:\n      discard: {{}}\n"
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
