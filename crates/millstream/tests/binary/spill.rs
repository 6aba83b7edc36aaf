//! State of windows that is more than its bound, in the real binary: it goes to disk, and nothing shows it.

use crate::bench::{Bench, edge};
use crate::job::{Job, random};

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

fn job((state, at_bound): (&str, &str)) -> Job {
    Job::new(JOB).with("STATE", state).with("AT_BOUND", at_bound)
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
    let mut random = random();
    let whole = job(("1GiB", "stop"));
    let closed = whole.finish().closed();
    let wanted = all(&whole.bench);
    assert!(wanted.len() > 40_000, "{}", wanted.len());

    let stopped = job(("512KiB", "stop")).start_at("1000000/s", &["--once"]).done();
    assert_ne!(stopped.code, Some(0));
    assert!(stopped.stderr.contains("state_bytes"), "{}", stopped.stderr);

    let job = job(SMALL);
    for _ in 0..KILLS {
        job.start_at("12000/s", &[]).kill_after(random.u64(300..900));
    }
    let again = job.finish().closed();
    assert!(all(&job.bench) == wanted);
    for what in ["in", "out", "absorbed", "late"] {
        let of = |closed| edge(closed, "view", "exploding", what);
        assert_eq!(of(&again), of(&closed), "{what}");
    }
    assert!(
        job.bench.everything().iter().all(|file| !file.contains("spill")),
        "nothing is left of it"
    );
}
