//! Lookups on a real Redis: what changes there, and who dies meanwhile.

use millstream_testkit::redis::{RedisServer, has_redis};

use crate::bench::{Bench, edge};
use crate::job::{Job, millis, random};

const ROWS: i64 = 20_000;
const KILLS: u32 = 10;

/// Rows over ten things, each with what Redis has of it, and those of which it has something.
const JOB: &str = r#"
name: job
sources:
  readings:
    from:
      generate:
        rows: 20000
        rate: "${RATE}"
        fields: { id: { sequence: { start: 0 } }, thing: { sequence: { start: 0, step: 1 } } }
lookups:
  things:
    from: { redis: { url: "${REDIS}", read: { hash: { key: "thing:{key}" } }, timeout: 1s } }
    columns: { level: int64 }
    ttl: 50ms
    mode: ${MODE}
views:
  all_of_them: SELECT r.id, t.level FROM readings r LEFT JOIN things t ON t.key = r.id % 10
  known: SELECT r.id, t.level FROM readings r JOIN things t ON t.key = r.id % 10
sinks:
  every: { rows: all_of_them, to: { sqlite: { path: every.db, table: rows } } }
  some: { rows: known, to: { sqlite: { path: some.db, table: rows } } }
limits: { retry_max: 500ms }
"#;

fn job(server: &RedisServer, mode: &str) -> Job {
    Job::new(JOB).with("REDIS", server.url()).with("MODE", mode)
}

/// Every row is there, once, and so is every row of which something was known.
#[track_caller]
fn whole(job: &Job, closed: &serde_json::Value) {
    let count =
        |database: &str, what| job.bench.count(database, &format!("SELECT {what} FROM rows"));
    assert_eq!(edge(closed, "decode", "readings", "out"), ROWS.cast_unsigned());
    let of_every = (count("every.db", "count(*)"), count("every.db", "count(DISTINCT id)"));
    assert_eq!(of_every, (ROWS, ROWS));
    let some = count("some.db", "count(*)");
    assert_eq!(some, count("some.db", "count(DISTINCT id)"));
    assert_eq!(some.cast_unsigned(), edge(closed, "sink", "some", "out"));
    assert_eq!(some.cast_unsigned(), edge(closed, "view", "known", "out"));
}

/// Other levels for all ten, one of which there is only every second time.
fn change(server: &RedisServer, round: u32) {
    for thing in 0..10 {
        server.ask(&["HSET", &format!("thing:{thing}"), "level", &round.to_string()]);
    }
    if round.is_multiple_of(2) {
        server.ask(&["DEL", "thing:3"]);
    }
}

#[test]
fn answers_change_and_processes_are_killed_and_recorded_rows_are_there_once() {
    if !has_redis("answers_change_and_processes_are_killed_and_recorded_rows_are_there_once") {
        return;
    }
    let mut random = random();
    let server = RedisServer::forgetful();
    let job = job(&server, "recorded");
    change(&server, 0);
    for round in 1..=KILLS {
        let running = job.start_at("4000/s", &[]);
        millis(random.u64(150..500));
        change(&server, round);
        running.kill_after(random.u64(0..200));
    }
    whole(&job, &job.finish().closed());
    let levels = job.bench.count("every.db", "SELECT count(DISTINCT level) FROM rows");
    assert!(levels > 2, "answers did change");
}

#[test]
fn rows_wait_for_a_server_that_is_killed_and_frozen() {
    if !has_redis("rows_wait_for_a_server_that_is_killed_and_frozen") {
        return;
    }
    let mut server = RedisServer::safe();
    let job = job(&server, "live");
    change(&server, 1);
    let running = job.start_at("8000/s", &["--once"]);
    for _ in 0..2 {
        millis(500);
        server.kill();
        millis(700);
        server.restart();
    }
    server.freeze();
    millis(2_500);
    server.thaw();
    whole(&job, &running.done().with_code(0).closed());
    let without = job.bench.count("every.db", "SELECT count(*) - count(level) FROM rows");
    assert_eq!(without, 0, "none went without");
}

#[test]
fn a_run_that_is_told_to_stop_leaves_what_waits_to_the_next() {
    if !has_redis("a_run_that_is_told_to_stop_leaves_what_waits_to_the_next") {
        return;
    }
    let mut server = RedisServer::safe();
    let job = job(&server, "recorded");
    change(&server, 1);
    let running = job.start_at("4000/s", &[]);
    millis(700);
    server.kill();
    millis(1_000);
    running.signal("INT");
    let done = running.done();
    assert!(done.stderr.contains("wait for an answer of the lookup `things`"), "{}", done.stderr);
    server.restart();
    whole(&job, &job.finish().closed());
}

#[test]
fn what_a_window_gives_is_looked_up_too() {
    if !has_redis("what_a_window_gives_is_looked_up_too") {
        return;
    }
    let server = RedisServer::forgetful();
    for thing in 0..10 {
        server.ask(&["HSET", &format!("thing:{thing}"), "level", &thing.to_string()]);
    }
    let bench = Bench::new();
    let file = format!(
        r#"
sources:
  readings:
    from:
      generate:
        rows: 5000
        fields: {{ id: {{ sequence: {{ start: 0 }} }}, ms: {{ sequence: {{ start: 1790000000000, step: 10 }} }} }}
    columns: {{ id: int64, ms: timestamp_ms }}
    event_time: {{ column: ms }}
lookups:
  things:
    from: {{ redis: {{ url: "{}", read: {{ hash: {{ key: "thing:{{key}}" }} }} }} }}
    columns: {{ level: int64 }}
    ttl: 0s
    mode: recorded
views:
  counted: |
    SELECT w.window_start, w.thing, w.n, t.level
    FROM (SELECT window_start, id % 10 AS thing, count(*) AS n
          FROM TUMBLE(readings, ms, INTERVAL '5 seconds') GROUP BY window_start, id % 10) w
    LEFT JOIN things t ON t.key = w.thing
sinks:
  out: {{ rows: counted, to: {{ sqlite: {{ path: out.db, table: rows }} }} }}
"#,
        server.url()
    );
    bench.write("p.yaml", &file);
    let closed = bench.run(&["run", "p.yaml", "--once", "--json"]).with_code(0).closed();
    assert_eq!(edge(&closed, "view", "counted", "out"), 100);
    assert_eq!(
        bench.count("out.db", "SELECT count(*) FROM rows WHERE level = thing AND n = 50"),
        100
    );
}
