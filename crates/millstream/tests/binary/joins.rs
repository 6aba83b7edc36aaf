//! Joins, running analysis and ranking in the real binary, killed in their midst: what came out is what SQLite makes of the same rows.

use crate::bench::{Bench, edge};
use crate::job::{Job, random};

const KILLS: u32 = 12;

/// Readings a hundredth of a second apart and events a twentieth apart, over the same 120 s; and all that is made of both.
const JOB: &str = r#"name: job
sources:
  readings:
    from:
      generate:
        rows: 12000
        rate: "${RATE}"
        seed: 7
        fields:
          id: { sequence: { start: 0 } }
          ms: { sequence: { start: 1790000000000, step: 10 } }
          sensor: { choice: [a, b, c, d, e] }
          level: { integer: { min: 0, max: 1000 } }
    columns: { id: int64, ms: timestamp_ms, sensor: string, level: int64 }
    event_time: { column: ms, delay: 2s }
  events:
    from:
      generate:
        rows: 2400
        rate: "${RATE}"
        seed: 8
        fields:
          id: { sequence: { start: 0 } }
          ms: { sequence: { start: 1790000000000, step: 50 } }
          sensor: { choice: [a, b, c, d, f] }
    columns: { id: int64, ms: timestamp_ms, sensor: string }
    event_time: { column: ms, delay: 1s }
views:
  near: |
    SELECT r.id AS reading, e.id AS event
    FROM readings r JOIN events e ON r.sensor = e.sensor AND e.ms BETWEEN r.ms AND r.ms + INTERVAL '100 milliseconds'
  alone: |
    SELECT r.id AS reading, e.id AS event
    FROM readings r FULL JOIN events e ON r.sensor = e.sensor AND e.ms BETWEEN r.ms - INTERVAL '20 milliseconds' AND r.ms + INTERVAL '20 milliseconds'
  unheard: |
    SELECT id FROM readings r WHERE NOT EXISTS
      (SELECT 1 FROM events e WHERE e.sensor = r.sensor AND e.ms BETWEEN r.ms AND r.ms + INTERVAL '200 milliseconds')
  moving: |
    SELECT id, sum(level) OVER (PARTITION BY sensor ORDER BY ms ROWS 10 PRECEDING) AS ten,
      count(*) OVER (PARTITION BY sensor ORDER BY ms RANGE INTERVAL '500 milliseconds' PRECEDING) AS busy,
      lag(id) OVER (PARTITION BY sensor ORDER BY ms) AS before
    FROM readings
  latest: SELECT sensor, count(*) AS n, max(id) AS last, sum(level) AS total FROM readings GROUP BY sensor
  top: |
    SELECT window_end, sensor, id, level, place FROM (
      SELECT *, row_number() OVER (PARTITION BY window_start, window_end, sensor ORDER BY level DESC, id) AS place
      FROM TUMBLE(readings, ms, INTERVAL '10 seconds')) WHERE place <= 3
sinks:
  readings: { rows: readings, to: { sqlite: { path: out.db, table: readings } } }
  events: { rows: events, to: { sqlite: { path: out.db, table: events } } }
  near: { rows: near, to: { sqlite: { path: out.db, table: near } } }
  alone: { rows: alone, to: { sqlite: { path: out.db, table: alone } } }
  unheard: { rows: unheard, to: { sqlite: { path: out.db, table: unheard } } }
  moving: { rows: moving, to: { sqlite: { path: out.db, table: moving } } }
  latest: { rows: latest, to: { sqlite: { path: out.db, table: latest, key: [sensor], mode: upsert } } }
  top: { rows: top, to: { sqlite: { path: out.db, table: top } } }
"#;

/// What is in each table, and what SQLite makes of the rows that came in. A reading is at 10 ms times its id, an event at 50 ms.
const ANSWERS: &[(&str, &str)] = &[
    (
        "SELECT reading, event FROM near",
        "SELECT r.id, e.id FROM readings r JOIN events e ON r.sensor = e.sensor AND e.id BETWEEN (r.id + 4) / 5 AND (r.id + 10) / 5",
    ),
    (
        "SELECT reading, event FROM alone",
        "SELECT r.id, e.id FROM readings r FULL JOIN events e ON r.sensor = e.sensor AND e.id BETWEEN (r.id + 2) / 5 AND (r.id + 2) / 5",
    ),
    (
        "SELECT id FROM unheard",
        "SELECT id FROM readings r WHERE NOT EXISTS \
         (SELECT 1 FROM events e WHERE e.sensor = r.sensor AND e.id BETWEEN (r.id + 4) / 5 AND (r.id + 20) / 5)",
    ),
    (
        "SELECT id, ten, busy, before FROM moving",
        "SELECT id, sum(level) OVER (PARTITION BY sensor ORDER BY id ROWS 10 PRECEDING), \
         count(*) OVER (PARTITION BY sensor ORDER BY id RANGE 50 PRECEDING), \
         lag(id) OVER (PARTITION BY sensor ORDER BY id) FROM readings",
    ),
    (
        "SELECT sensor, n, last, total FROM latest",
        "SELECT sensor, count(*), max(id), sum(level) FROM readings GROUP BY sensor",
    ),
    (
        "SELECT sensor, id, level, place FROM top",
        "SELECT sensor, id, level, place FROM (SELECT *, row_number() OVER \
         (PARTITION BY id / 1000, sensor ORDER BY level DESC, id) AS place FROM readings) WHERE place <= 3",
    ),
];

fn sorted(bench: &Bench, query: &str) -> Vec<String> {
    let mut rows = bench.rows("out.db", query);
    rows.sort_unstable();
    rows
}

#[track_caller]
fn compare(bench: &Bench) {
    // Without it SQLite would compare each reading with all events of its sensor.
    bench.rows("out.db", "CREATE INDEX by_sensor ON events (sensor, id)");
    for (out, plain) in ANSWERS {
        let (out, wanted) = (sorted(bench, out), sorted(bench, plain));
        assert!(!wanted.is_empty(), "{plain}");
        let differ = out.iter().zip(&wanted).find(|(a, b)| a != b);
        assert_eq!((out.len(), differ), (wanted.len(), None), "{plain}");
    }
}

#[test]
fn joins_and_running_analysis_that_were_killed_in_their_midst_are_what_sqlite_makes_of_the_same_rows()
 {
    let mut random = random();
    let job = Job::new(JOB);
    for _ in 0..KILLS {
        job.start_at("4000/s", &[]).kill_after(random.u64(150..700));
    }
    let closed = job.finish().closed();
    for (source, rows) in [("readings", 12_000), ("events", 2_400)] {
        assert_eq!(job.bench.count("out.db", &format!("SELECT count(*) FROM {source}")), rows);
    }
    compare(&job.bench);
    for view in ["near", "alone", "unheard", "moving", "latest", "top"] {
        assert_eq!(edge(&closed, "view", view, "late"), 0, "{view}");
    }
}
