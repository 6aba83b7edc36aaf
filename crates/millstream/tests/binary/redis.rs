//! The queue on a real Redis: killed, frozen, full, emptied; and several processes that share it.

use std::time::{Duration, Instant};

use millstream_testkit::redis::{RedisServer, has_redis};

use crate::bench::{Bench, Running, edge};
use crate::job::{Job, millis, random};

const KILLS: u32 = 20;
const ROWS: u64 = 20_000;

/// Two sources with known ids, each into a database of its own.
const JOB: &str = r#"
name: job
sources:
  one:
    from: { generate: { rows: 20000, rate: "${RATE}", fields: { id: { sequence: { start: 0 } } } } }
  two:
    from: { generate: { rows: 20000, rate: "${RATE}", fields: { id: { sequence: { start: 0 } } } } }
queue: { redis: { url: "${REDIS}" } }
views:
  even: SELECT id FROM one WHERE id % 2 = 0
sinks:
  one_rows: { rows: even, to: { sqlite: { path: one.db, table: rows } } }
  two_rows: { rows: two, to: { sqlite: { path: two.db, table: rows } } }
"#;

/// A job over a server.
fn job(server: &RedisServer) -> Job {
    Job::new(JOB).with("REDIS", server.url())
}

/// Every row is there, once.
#[track_caller]
fn whole(job: &Job, closed: &serde_json::Value) {
    assert_eq!(edge(closed, "decode", "one", "out"), ROWS);
    assert_eq!(edge(closed, "decode", "two", "out"), ROWS);
    for (database, rows) in [("one.db", ROWS / 2), ("two.db", ROWS)] {
        let rows = i64::try_from(rows).unwrap();
        let count = |what: &str| job.bench.count(database, &format!("SELECT {what} FROM rows"));
        assert_eq!((count("count(*)"), count("count(DISTINCT id)")), (rows, rows), "{database}");
    }
}

#[test]
fn processes_that_share_a_queue_are_killed_twenty_times_and_each_row_is_there_once() {
    let name = "processes_that_share_a_queue_are_killed_twenty_times_and_each_row_is_there_once";
    if !has_redis(name) {
        return;
    }
    let mut random = random();
    let server = RedisServer::safe();
    let job = job(&server);
    let start = |slot| job.start_one_of_four(slot, "1000/s");
    let mut running: Vec<Running> = (0..4).map(start).collect();
    for _ in 0..KILLS {
        millis(random.u64(50..700));
        let slot = random.usize(0..4);
        assert!(!running[slot].ended(), "a process ended by itself");
        std::mem::replace(&mut running[slot], start(slot)).kill();
    }
    // The last one has to be there before it can hear a signal.
    millis(1_500);
    for process in running {
        process.signal("INT");
        process.done().with_code(0);
    }
    whole(&job, &job.finish().closed());
}

#[test]
fn a_server_that_keeps_every_write_may_be_killed_and_frozen_under_load() {
    if !has_redis("a_server_that_keeps_every_write_may_be_killed_and_frozen_under_load") {
        return;
    }
    let mut server = RedisServer::safe();
    let job = job(&server);
    let running = job.start_at("3000/s", &["--once"]);
    for _ in 0..3 {
        millis(700);
        server.kill();
        millis(300);
        server.restart();
    }
    millis(300);
    server.cut_connections();
    server.freeze();
    millis(30_000);
    server.thaw();
    let done = running.done().with_code(0);
    whole(&job, &done.closed());
}

#[test]
fn a_server_without_memory_holds_sources_back_and_loses_nothing() {
    if !has_redis("a_server_without_memory_holds_sources_back_and_loses_nothing") {
        return;
    }
    let server = RedisServer::safe();
    let job = job(&server);
    let mut running = job.start_at("4000/s", &["--once"]);
    millis(1_000);
    server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    running.until("maxmemory");
    millis(1_000);
    assert!(!running.ended(), "it waits");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let done = running.done().with_code(0);
    whole(&job, &done.closed());
}

#[test]
fn a_server_that_forgot_everything_stops_the_run_and_says_what_is_gone() {
    if !has_redis("a_server_that_forgot_everything_stops_the_run_and_says_what_is_gone") {
        return;
    }
    let mut server = RedisServer::forgetful();
    let job = job(&server);
    let mut running = job.start_at("4000/s", &["--once"]);
    // It is said before anything is lost, too.
    running.until("append");
    millis(1_500);
    server.kill();
    server.restart();
    let done = running.done().with_code(1);
    assert!(done.stderr.contains("gone") || done.stderr.contains("lost"), "{}", done.stderr);
    // What the sinks hold is beyond what the queue knows: nobody goes on in silence.
    let again = job.start_at("1000000/s", &["--once"]).done().with_code(1);
    assert!(again.stderr.contains("--resume"), "{}", again.stderr);
}

#[test]
fn a_stream_that_is_deleted_stops_the_run_and_is_named() {
    if !has_redis("a_stream_that_is_deleted_stops_the_run_and_is_named") {
        return;
    }
    let server = RedisServer::safe();
    let job = job(&server);
    let running = job.start_at("4000/s", &["--once"]);
    millis(1_500);
    server.ask(&["DEL", "millstream:{job}:frames"]);
    let done = running.done().with_code(1);
    assert!(done.stderr.contains("millstream:{job}:frames"), "{}", done.stderr);
}

#[test]
fn a_wrong_password_is_told_with_what_to_do() {
    if !has_redis("a_wrong_password_is_told_with_what_to_do") {
        return;
    }
    let server = RedisServer::start(&["--requirepass", "right"]);
    let mut job = job(&server);
    job.set("REDIS", format!("redis://:wr0ng@127.0.0.1:{}", server.port()));
    let done = job.start_at("4000/s", &["--once"]).done().with_code(1);
    assert!(done.stderr.contains("check the user and the password"), "{}", done.stderr);
    assert!(!done.stderr.contains("wr0ng"), "{}", done.stderr);
}

#[test]
fn a_processor_that_is_frozen_is_taken_over_within_ten_seconds_and_does_no_harm_when_it_wakes() {
    let name = "a_processor_that_is_frozen_is_taken_over_within_ten_seconds_and_does_no_harm_when_it_wakes";
    if !has_redis(name) {
        return;
    }
    let server = RedisServer::safe();
    let job = job(&server);
    let collector = job.start_at("800/s", &["--only", "collect"]);
    let first = job.start_at("800/s", &["--only", "process"]);
    millis(1_500);
    let mut second = job.start_at("800/s", &["--only", "process"]);
    second.until("standing by");
    first.signal("STOP");
    let frozen = Instant::now();
    second.until("taking over");
    assert!(frozen.elapsed() < Duration::from_secs(10), "{:?}", frozen.elapsed());
    millis(1_000);
    first.signal("CONT");
    let told = first.done().with_code(1);
    assert!(told.stderr.contains("another"), "{}", told.stderr);
    millis(1_000);
    for process in [collector, second] {
        process.signal("INT");
        process.done().with_code(0);
    }
    whole(&job, &job.finish().closed());
}

#[test]
fn check_says_who_can_take_over_and_opens_nothing() {
    let bench = Bench::new();
    bench.write("job.yaml", JOB);
    let mut command = bench.command(&["check", "job.yaml"]);
    // Nobody listens there.
    command.env("RATE", "10/s").env("REDIS", "redis://me:s3cret@127.0.0.1:1");
    let done = Running::of(command).done().with_code(0);
    assert!(done.stdout.contains("only a process on this host can take over"), "{}", done.stdout);
    assert!(done.stdout.contains("several processes can share it"), "{}", done.stdout);
    assert!(!done.stdout.contains("s3cret"), "{}", done.stdout);
}

#[test]
fn one_process_can_do_a_part_after_another_where_the_queue_outlives_it() {
    let bench = Bench::new();
    let file = |queue: &str| {
        format!(
            "sources: {{ a: {{ from: {{ generate: {{ rows: 100, fields: {{ id: {{ sequence: {{}} }} }} }} }} }} }}\nqueue: {queue}\nsinks: {{ b: {{ rows: a, to: discard }} }}\n"
        )
    };
    bench.write("p.yaml", &file("{ memory: {} }"));
    let done = bench.run(&["run", "p.yaml", "--only", "collect"]).with_code(2);
    assert!(done.stderr.contains("`--only` is for a queue that other processes can go on with"));
    assert_eq!(bench.everything(), ["p.yaml"]);
    bench.write("p.yaml", &file("{ log: { path: data } }"));
    bench.run(&["run", "p.yaml", "--once", "--only", "collect"]).with_code(0);
    for _ in 0..2 {
        // The second has nothing left to do; the ledger stays.
        let done = bench.run(&["run", "p.yaml", "--once", "--json", "--only", "process"]);
        assert_eq!(edge(&done.with_code(0).closed(), "sink", "b", "out"), 100);
    }
}
