//! Nexmark's queries over bids: rows per second of CPU from an NDJSON file through the log, and from NDJSON that is on the log
//! already, on one core.
//!
//! The pipelines are the files of `bench/nexmark`. Each answer is first compared with one that is computed without
//! Millstream from the same bids; only then is the query timed, its rows counted each time.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin nexmark -- [--rows 5_000_000] [--pairs 3] [--rate 10_000] [--core 0] [--growth 0]
//! ```
//!
//! `--rate` is how many events (46 of 50 are bids) are in a second of event time; `--growth 1_000_000` runs q5 over so
//! many bids and over ten times as many.

use std::path::Path;

use millstream_bench::nexmark::{bids, expected, found, write};
use millstream_bench::once::{Took, count, from_log, growth, median, once};
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};

struct Query {
    name: &'static str,
    pipeline: &'static str,
    /// Rows a second on one core.
    target: f64,
}

macro_rules! query {
    ($name:literal, $target:literal) => {
        Query {
            name: $name,
            pipeline: include_str!(concat!("../../nexmark/", $name, ".yaml")),
            target: $target,
        }
    };
}

const QUERIES: &[Query] = &[
    query!("q0", 2e6),
    query!("q1", 2e6),
    query!("q2", 2e6),
    query!("q5", 1e6),
    query!("q7", 1e6),
    query!("q11", 1e6),
    query!("q12", 1e6),
];

#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
fn main() -> Result<(), Fault> {
    let (rows, pairs) = (option("rows", 5_000_000)?, option("pairs", 3)?);
    let (rate, core) = (option("rate", 10_000)?, option("core", 0)?);
    let folder = tempfile::tempdir_in(".")?;
    let bytes = write(&folder.path().join("bids.ndjson"), bids(rows, rate))?;
    println!(
        "{} bids of {:.0} bytes, {rate} events per second of event time",
        thousands(count(rows)),
        count(bytes) / count(rows)
    );
    let mut answers = Vec::new();
    for query in QUERIES {
        answers.push(checked(folder.path(), query, rows, rate)?);
    }
    let mut runs = QUERIES.iter().map(|_| [Vec::new(), Vec::new()]).collect::<Vec<_>>();
    for _ in 0..pairs {
        for ((query, runs), answer) in QUERIES.iter().zip(&mut runs).zip(&answers) {
            let [whole, log] = runs;
            let took = [
                (whole, once(folder.path(), query.pipeline, None)?),
                (log, from_log(folder.path(), query.pipeline, Some(core))?),
            ];
            for (runs, took) in took {
                if took.rows_out != *answer {
                    return Err(
                        format!("{}: {} rows of {answer}", query.name, took.rows_out).into()
                    );
                }
                runs.push(took);
            }
        }
    }
    let table: Vec<_> = QUERIES
        .iter()
        .zip(&runs)
        .zip(&answers)
        .filter_map(|((query, [all, one]), answer)| {
            Some(line(query, rows, median(all)?, median(one)?, *answer))
        })
        .collect();
    print(
        &[
            "",
            "file to answer: rows/CPU s",
            "rows/s",
            "peak MiB",
            "log to answer, one core: rows/CPU s",
            "rows/s",
            "target",
            "peak MiB",
            "rows out",
        ],
        &table,
    );
    match option("growth", 0)? {
        0 => Ok(()),
        rows => grow(folder.path(), rows, pairs, rate),
    }
}

fn line(query: &Query, rows: u64, all: Took, one: Took, answer: u64) -> Vec<String> {
    let n = count(rows);
    vec![
        query.name.to_owned(),
        thousands(n / all.cpu),
        thousands(n / all.seconds),
        format!("{:.0}", all.peak_mib),
        thousands(n / one.cpu),
        thousands(n / one.seconds),
        thousands(query.target),
        format!("{:.0}", one.peak_mib),
        thousands(count(answer)),
    ]
}

/// Runs a query once with its rows kept, compares them with what they have to be, and says how many there are.
fn checked(folder: &Path, query: &Query, rows: u64, rate: u64) -> Result<u64, Fault> {
    let out = folder.join("out");
    let kept = query.pipeline.replace("to: discard", "to: { file: { path: \"out/{n}.ndjson\" } }");
    once(folder, &kept, None)?;
    let wanted = expected(query.name, bids(rows, rate))?;
    let found = found(query.name, &out)?;
    std::fs::remove_dir_all(&out)?;
    if found != wanted {
        return Err(format!("{}: {wanted:?} expected, {found:?} found", query.name).into());
    }
    Ok(wanted.rows)
}

/// q5 over some bids, and over ten times as many.
#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
fn grow(folder: &Path, rows: u64, pairs: u64, rate: u64) -> Result<(), Fault> {
    let Some(q5) = QUERIES.iter().find(|q| q.name == "q5") else { return Err("no q5".into()) };
    let sizes = [0, rows, rows * 10];
    for size in sizes {
        write(&folder.join(format!("bids{size}.ndjson")), bids(size, rate))?;
    }
    let mut runs = sizes.map(|_| Vec::new());
    for _ in 0..pairs {
        for (size, runs) in sizes.iter().zip(&mut runs) {
            let pipeline = q5.pipeline.replace("bids.ndjson", &format!("bids{size}.ndjson"));
            runs.push(once(folder, &pipeline, None)?);
        }
    }
    if let [Some(none), Some(small), Some(large)] = runs.map(|runs| median(&runs)) {
        let (whole, net) = growth(rows, none, small, large);
        println!(
            "q5, CPU per row at ten times {} rows: {whole:.2} times, less the start {net:.2}",
            thousands(count(rows))
        );
    }
    Ok(())
}
