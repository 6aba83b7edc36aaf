//! Windows in the real binary: killed in their midst, at the bound of their state, changed; and the tests that a file has.

use crate::bench::{Bench, edge};
use crate::job::{Job, READINGS, random};

const KILLS: u32 = 15;

/// Rows a hundredth of a second apart, over 400 s of event time, some behind their time.
const JOB: &str = r#"
    event_time: { column: ms, delay: 2s }
views:
  tumbling:
    state_bytes: ${STATE}
    sql: |
      SELECT window_start, sensor, count(*) AS n, sum(id) AS ids, avg(value) AS mean, stddev(value) AS dev, max(value) AS peak
      FROM TUMBLE(readings, ms, INTERVAL '7 seconds') GROUP BY window_start, window_end, sensor
  hopping: |
    SELECT window_end, sum(value) AS total, approx_distinct(id) AS ids
    FROM HOP(readings, ms, INTERVAL '3 seconds', INTERVAL '10 seconds') GROUP BY window_start, window_end
  sessions: |
    SELECT window_start, window_end, sensor, count(*) AS n, corr(value, id) AS c
    FROM SESSION(readings, ms, INTERVAL '45 milliseconds', sensor) GROUP BY window_start, window_end, sensor
  busiest: |
    SELECT window_start, max(n) AS n FROM TUMBLE(tumbling, window_start, INTERVAL '35 seconds') GROUP BY window_start, window_end
sinks:
  one: { rows: tumbling, to: { sqlite: { path: out.db, table: tumbling } } }
  two: { rows: hopping, to: { sqlite: { path: out.db, table: hopping } } }
  three: { rows: sessions, to: { file: { path: "out/sessions-{n}.ndjson" } } }
  four: { rows: busiest, to: { sqlite: { path: out.db, table: busiest } } }
"#;

fn job() -> Job {
    Job::new(&format!("{READINGS}{JOB}")).with("STATE", "64MiB")
}

/// Everything that came out, as text, in the order it came.
fn all(bench: &Bench) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["tumbling", "hopping", "busiest"] {
        all.extend(bench.rows("out.db", &format!("SELECT * FROM {table} ORDER BY rowid")));
    }
    let mut files: Vec<String> =
        bench.everything().into_iter().filter(|f| f.ends_with(".ndjson")).collect();
    files.sort();
    all.extend(files.iter().map(|f| bench.read(f)).collect::<String>().lines().map(str::to_owned));
    all
}

#[test]
fn windows_that_were_killed_in_their_midst_are_those_of_an_unbroken_run() {
    let mut random = random();
    let whole = job();
    let closed = whole.finish().closed();
    let wanted = all(&whole.bench);
    assert!(wanted.len() > 5_000, "{}", wanted.len());
    assert_eq!(edge(&closed, "view", "tumbling", "absorbed"), 40_000);
    let job = job();
    for _ in 0..KILLS {
        job.start_at("4000/s", &[]).kill_after(random.u64(150..700));
    }
    let again = job.finish().closed();
    assert_eq!(all(&job.bench), wanted);
    for view in ["tumbling", "hopping", "sessions", "busiest"] {
        for what in ["in", "out", "absorbed", "late"] {
            assert_eq!(
                edge(&again, "view", view, what),
                edge(&closed, "view", view, what),
                "{view} {what}"
            );
        }
    }
}

#[test]
fn at_the_bound_of_its_state_a_run_stops_and_goes_on_once_there_is_room() {
    let (whole, mut job) = (job(), job());
    whole.finish();
    job.set("STATE", "2KiB");
    let stopped = job.start_at("1000000/s", &["--once"]).done();
    assert_ne!(stopped.code, Some(0));
    assert!(stopped.stderr.contains("state_bytes"), "{}", stopped.stderr);
    job.set("STATE", "64MiB");
    job.finish();
    assert_eq!(all(&job.bench), all(&whole.bench));
}

#[test]
fn a_window_is_taken_up_again_after_a_stop_in_good_order() {
    let (whole, job) = (job(), job());
    whole.finish();
    for _ in 0..3 {
        job.start_at("8000/s", &["--for", "600ms"]).done().with_code(0);
    }
    job.finish();
    assert_eq!(all(&job.bench), all(&whole.bench));
}

#[test]
fn tests_of_a_file_pass_or_say_what_differs() {
    let bench = Bench::new();
    let file = "
sources:
  readings:
    from: stdin
    columns: { sensor: string, value: int64, ts: timestamp }
    event_time: { column: ts, delay: 5s }
views:
  minutes: SELECT window_start, sensor, sum(value) AS total FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, sensor
sinks: { out: { rows: minutes, to: stdout } }
tests:
  good:
    given:
      readings:
        - { sensor: a, value: 1, ts: '2026-01-01T00:00:01Z' }
        - { sensor: a, value: 2, ts: '2026-01-01T00:00:59Z' }
        - { sensor: b, value: x, ts: '2026-01-01T00:00:59Z' }
    expect: { minutes: [{ window_start: '2026-01-01T00:00:00Z', sensor: a, total: 3 }] }
    set_aside: { readings: [{ sensor: b, reason: value }] }
  bad:
    given: { readings: [{ sensor: a, value: 1, ts: '2026-01-01T00:00:01Z' }] }
    expect: { minutes: [{ total: 2 }] }
";
    bench.write("p.yaml", file);
    let told = bench.run(&["explain", "p.yaml", "minutes"]).with_code(0).stdout;
    for said in
        ["TUMBLE of 1 minute of ts, by sensor", "keep a state for each window and key", "decoded"]
    {
        assert!(told.contains(said), "{said}\n{told}");
    }
    bench.run(&["explain", "p.yaml", "nothing"]).with_code(2);
    bench.run(&["test", "p.yaml", "good"]).with_code(0);
    let told = bench.run(&["test", "p.yaml"]).with_code(1);
    for said in [
        "test good: passed",
        "test bad: FAILED",
        "- row 1 {\"total\":2}",
        "+ row 1 {\"total\":1}",
        "2 tests: 1 passed, 1 failed",
    ] {
        assert!(told.stdout.contains(said), "{said}\n{}", told.stdout);
    }
    assert!(bench.everything().iter().all(|f| f == "p.yaml"), "nothing is kept");
    // Beside the file, and with errors in their place.
    bench.write(
        "p.test.yaml",
        "tests:\n  more: { given: { readings: [] }, expect: { minutes: [] } }\n",
    );
    assert!(bench.run(&["test", "p.yaml", "more"]).with_code(0).stdout.contains("more: passed"));
    bench.write("p.test.yaml", "tests:\n  more: { gven: {} }\n");
    assert!(bench.run(&["test", "p.yaml"]).with_code(2).stderr.contains("did you mean `given`?"));
}

#[test]
fn a_view_that_changed_is_rebuilt_from_the_queue_beside_one_that_did_not() {
    let bench = Bench::new();
    let view = |size: &str| {
        format!(
            "
sources:
  readings:
    from: {{ file: {{ path: in.ndjson }} }}
    columns: {{ value: int64, ts: timestamp }}
    event_time: {{ column: ts }}
views:
  same: SELECT window_start, sum(value) AS total FROM TUMBLE(readings, ts, INTERVAL '10 seconds') GROUP BY window_start
  other: SELECT window_start, sum(value) AS total FROM TUMBLE(readings, ts, INTERVAL '{size} seconds') GROUP BY window_start
sinks:
  one: {{ rows: same, to: {{ sqlite: {{ path: out.db, table: same }} }} }}
  two: {{ rows: other, to: {{ sqlite: {{ path: out.db, table: other }} }} }}
"
        )
    };
    let append = |seconds: std::ops::Range<u32>| {
        let path = bench.path("in.ndjson");
        let mut text = std::fs::read_to_string(&path).unwrap_or_default();
        for s in seconds {
            text.push_str(&format!("{{\"value\": 1, \"ts\": \"2026-01-01T00:00:{s:02}Z\"}}\n"));
        }
        std::fs::write(path, text).unwrap();
    };
    let follow = |size: &str| {
        let file = view(size).replace("path: in.ndjson", "path: in.ndjson, follow: true");
        bench.write("p.yaml", &file);
        bench.run(&["run", "p.yaml", "--for", "1500ms"]).with_code(0)
    };
    append(0..14);
    follow("10");
    append(14..26);
    let told = follow("5");
    let lines = told.stderr.lines().filter(|l| l.contains("rebuilt from the queue"));
    let lines = lines.collect::<Vec<_>>();
    assert_eq!(lines.len(), 1, "{}", told.stderr);
    for said in ["view=\"other\"", "from=0", "rows=14", "all its windows are whole"] {
        assert!(lines[0].contains(said), "{said}: {}", lines[0]);
    }
    append(26..41);
    follow("5");
    let totals = |table: &str| {
        let sql = format!("SELECT substr(window_start, 18, 2), total FROM {table} ORDER BY rowid");
        bench.rows("out.db", &sql)
    };
    // What did not change goes on with what it has.
    let ten = |at: &str, n: u32| format!("Text(\"{at}\") Integer({n})");
    assert_eq!(totals("same"), [ten("00", 10), ten("10", 10), ten("20", 10), ten("30", 10)]);
    // The window from 10 on was open when the view became another; those before had been given as they were then.
    let fives = [("00", 10), ("10", 5), ("15", 5), ("20", 5), ("25", 5), ("30", 5), ("35", 5)];
    assert_eq!(totals("other"), fives.map(|(at, n)| ten(at, n)));
}

/// A view that reads one source twice takes the rows of a block in two rounds: those of the second are not late by those of
/// the first, whatever the block.
#[test]
fn no_row_is_lost_where_a_view_reads_a_source_twice() {
    let bench = Bench::new();
    let counted = "SELECT window_start, count(*) AS n FROM TUMBLE(both, ts, INTERVAL '1 minute') GROUP BY window_start, window_end";
    let pipeline = format!(
        r#"sources:
  r:
    from: {{ stdin: {{}} }}
    columns: {{ v: int64, ts: timestamp }}
    event_time: {{ column: ts, delay: 0s }}
views:
  within: WITH both AS (SELECT v, ts FROM r WHERE v > 50 UNION ALL SELECT v, ts FROM r WHERE v <= 50) {counted}
  both: SELECT v, ts FROM r WHERE v > 50 UNION ALL SELECT v, ts FROM r WHERE v <= 50
  above: {counted}
  high: SELECT v, ts FROM r WHERE v > 50
  low: SELECT v, ts FROM r WHERE v <= 50
  apart: WITH both AS (SELECT v, ts FROM high UNION ALL SELECT v, ts FROM low) {counted}
sinks:
  a: {{ rows: within, to: {{ discard: {{}} }} }}
  b: {{ rows: above, to: {{ discard: {{}} }} }}
  c: {{ rows: apart, to: {{ discard: {{}} }} }}
tests:
  all:
    given:
      r:
        - {{ v: 1, ts: "2026-01-01T00:00:10Z" }}
        - {{ v: 100, ts: "2026-01-01T00:01:10Z" }}
        - {{ v: 100, ts: "2026-01-01T00:01:20Z" }}
        - {{ v: 2, ts: "2026-01-01T00:01:30Z" }}
        - {{ v: 100, ts: "2026-01-01T00:05:00Z" }}
        - {{ v: 3, ts: "2026-01-01T00:06:00Z" }}
    expect:
"#
    );
    let rows = [("00:00:00", 1), ("00:01:00", 3), ("00:05:00", 1), ("00:06:00", 1)]
        .map(|(at, n)| format!("        - {{ window_start: \"2026-01-01T{at}Z\", n: {n} }}\n"))
        .concat();
    let views = ["within", "above", "apart"].map(|view| format!("      {view}:\n{rows}")).concat();
    bench.write("p.yaml", &(pipeline + &views));
    bench.run(&["test", "p.yaml"]).with_code(0);
}
