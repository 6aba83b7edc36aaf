//! State of windows that is more than its bound, in the real binary: it goes to disk, and nothing shows it.

use std::time::Duration;

use crate::bench::{Bench, Running, edge};

const KILLS: u32 = 6;

/// A key of its own for nearly every row of a window, of which three end.
const JOB: &str = r#"
name: job
sources:
  readings:
    from:
      generate:
        rows: 60000
        rate: "${RATE}"
        seed: 7
        fields:
          id: { sequence: { start: 0 } }
          ms: { sequence: { start: 1790000000000, step: 10 } }
          value: { random_walk: { start: 20, step: 0.7, min: -1000, max: 1000 } }
    columns: { id: int64, ms: timestamp_ms, value: float64 }
    event_time: { column: ms, delay: 2s }
views:
  exploding:
    state_bytes: ${STATE}
    at_bound: ${AT_BOUND}
    sql: |
      SELECT window_start, id % 9001 AS k, count(*) AS n, sum(id) AS ids, avg(value) AS mean, first_value(value) AS first
      FROM HOP(readings, ms, INTERVAL '125 seconds', INTERVAL '250 seconds') GROUP BY window_start, window_end, id % 9001
sinks:
  out: { rows: exploding, to: { file: { path: "out/rows-{n}.ndjson" } } }
"#;

fn job() -> Bench {
    let bench = Bench::new();
    bench.write("job.yaml", JOB);
    bench
}

fn start(bench: &Bench, args: &[&str], rate: &str, (state, at_bound): (&str, &str)) -> Running {
    let mut command = bench.command(&["run", "job.yaml", "--json"]);
    command.args(args).env("RATE", rate).env("STATE", state).env("AT_BOUND", at_bound);
    Running::of(command)
}

const SMALL: (&str, &str) = ("512KiB", "spill");

/// Everything that came out, sorted: rows of one window come in another order.
fn all(bench: &Bench) -> Vec<String> {
    let files = bench.everything().into_iter().filter(|f| f.ends_with(".ndjson"));
    let text = files.map(|f| bench.read(&f)).collect::<String>();
    let mut all: Vec<_> = text.lines().map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
fn state_that_spills_and_was_killed_in_its_midst_is_that_of_an_unbroken_run_without_a_bound() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}: run again with SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let whole = job();
    let closed = start(&whole, &["--once"], "1000000/s", ("1GiB", "stop")).done().with_code(0);
    let closed = closed.closed();
    let wanted = all(&whole);
    assert!(wanted.len() > 40_000, "{}", wanted.len());

    let stopping = job();
    let stopped = start(&stopping, &["--once"], "1000000/s", ("512KiB", "stop")).done();
    assert_ne!(stopped.code, Some(0));
    assert!(stopped.stderr.contains("state_bytes"), "{}", stopped.stderr);

    let bench = job();
    for _ in 0..KILLS {
        let mut running = start(&bench, &[], "12000/s", SMALL);
        std::thread::sleep(Duration::from_millis(random.u64(300..900)));
        assert!(!running.ended(), "it ended by itself");
        running.kill();
    }
    let again = start(&bench, &["--once"], "1000000/s", SMALL).done().with_code(0).closed();
    assert!(all(&bench) == wanted);
    for what in ["in", "out", "absorbed", "late"] {
        let of = |closed| edge(closed, "view", "exploding", what);
        assert_eq!(of(&again), of(&closed), "{what}");
    }
    assert!(bench.everything().iter().all(|file| !file.contains("spill")), "nothing is left of it");
}
