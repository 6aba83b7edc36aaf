//! Groups without windows, distinct rows and the first of each in the real binary: killed in their midst, and refused where the sink would
//! keep what is outdated.

use crate::bench::{Bench, edge};
use crate::job::{Job, READINGS, random};

const KILLS: u32 = 10;

const JOB: &str = r#"
    event_time: { column: ms, delay: 2s }
views:
  totals: SELECT sensor, count(*) AS n, sum(id) AS ids, avg(value) AS mean, count(DISTINCT floor(value)) AS levels FROM readings GROUP BY sensor
  tops: |
    SELECT sensor, n, id, value
    FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) AS r WHERE n <= 5
  lasts: |
    SELECT sensor, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY id DESC) AS n FROM readings) AS r WHERE n = 1
  levels: SELECT DISTINCT sensor, floor(value) AS level FROM readings
  peaks: |
    SELECT window_end, sensor, id, n
    FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_end ORDER BY value DESC, id) AS n
          FROM TUMBLE(readings, ms, INTERVAL '3 seconds')) AS r WHERE n <= 2
sinks:
  one: { rows: totals, to: { sqlite: { path: out.db, table: totals, key: [sensor], mode: upsert } } }
  two: { rows: tops, to: { sqlite: { path: out.db, table: tops, key: [sensor, n], mode: upsert } } }
  three: { rows: lasts, to: { sqlite: { path: out.db, table: lasts, key: [sensor], mode: upsert } } }
  four: { rows: levels, to: { sqlite: { path: out.db, table: levels } } }
  five: { rows: peaks, to: { sqlite: { path: out.db, table: peaks } } }
"#;

fn all(bench: &Bench) -> Vec<String> {
    let asked = [
        "SELECT * FROM totals ORDER BY sensor",
        "SELECT * FROM tops ORDER BY sensor, n",
        "SELECT * FROM lasts ORDER BY sensor",
        "SELECT * FROM levels ORDER BY rowid",
        "SELECT * FROM peaks ORDER BY rowid",
    ];
    asked.iter().flat_map(|sql| bench.rows("out.db", sql)).collect()
}

#[test]
fn groups_that_were_killed_in_their_midst_are_those_of_an_unbroken_run() {
    let mut random = random();
    let job = || Job::new(&format!("{READINGS}{JOB}"));
    let whole = job();
    let closed = whole.finish().closed();
    let wanted = all(&whole.bench);
    // 40,000 rows are 400 s, in 134 windows.
    for (what, count) in [
        ("SELECT count(*) FROM totals", 5),
        ("SELECT count(*) FROM tops", 25),
        ("SELECT count(*) FROM lasts", 5),
        ("SELECT count(*) FROM peaks", 268),
        ("SELECT sum(n) FROM totals", 40_000),
    ] {
        assert_eq!(whole.bench.rows("out.db", what), [format!("Integer({count})")], "{what}");
    }
    assert_eq!(edge(&closed, "view", "totals", "absorbed"), 40_000);
    let job = job();
    for _ in 0..KILLS {
        job.start_at("4000/s", &[]).kill_after(random.u64(150..700));
    }
    job.finish();
    assert_eq!(all(&job.bench), wanted);
}

#[test]
fn a_sink_that_would_keep_what_is_outdated_is_refused() {
    let bench = Bench::new();
    let sinks = [
        "a: { rows: totals, to: stdout }",
        "b: { rows: tops, to: { file: { path: 'tops-{n}.ndjson' } } }",
        "c: { rows: tops, to: { sqlite: { path: out.db, table: x, key: [sensor], mode: upsert } } }",
    ];
    let sinks: String = sinks.iter().map(|sink| format!("  {sink}\n")).collect();
    bench.write("p.yaml", &format!("{READINGS}{JOB}{sinks}").replace("\"${RATE}\"", "10/s"));
    let check = bench.run(&["check", "p.yaml"]).with_code(2);
    for said in [
        "the groups of `totals` are never complete: each gives its row anew when it changes, and this sink would keep all of them at sinks.a.to",
        "the places of `tops` are never settled: whoever comes to one is given in place of who had it before, and this sink would keep all of them at sinks.b.to",
        "a row of `tops` takes the place of the one before with the same `sensor`, `n`, and this sink goes by `sensor` at sinks.c.to",
        "3 errors",
    ] {
        assert!(check.stderr.contains(said), "{said}\n{}", check.stderr);
    }
}
