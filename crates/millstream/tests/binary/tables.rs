//! Reference tables that change while processes are killed.

use std::fs;

use millstream_testkit::redis::{RedisServer, has_redis};

use crate::bench::{Bench, Running, edge};
use crate::job::{Job, millis, random};

const ROWS: i64 = 20_000;
const KILLS: u32 = 10;

/// Rows over ten things, each with what the table has of it, and how many of each version there were in a window.
const JOB: &str = r#"
name: job
sources:
  readings:
    from:
      generate:
        rows: 20000
        rate: "${RATE}"
        fields:
          id: { sequence: { start: 0 } }
          ms: { sequence: { start: 1790000000000, step: 10 } }
    columns: { id: int64, ms: timestamp_ms }
    event_time: { column: ms }
tables:
  things:
    from: { csv: { path: things.csv } }
    reload: 20ms
views:
  all_of_them: SELECT r.id, t.version FROM readings r LEFT JOIN things t ON t.thing = r.id % 10
  known: SELECT id FROM readings r WHERE EXISTS (SELECT 1 FROM things t WHERE t.thing = r.id % 10)
  joined: SELECT r.ms, t.version FROM readings r JOIN things t ON t.thing = r.id % 10
  counted: |
    SELECT window_start, version, count(*) AS n
    FROM TUMBLE(joined, ms, INTERVAL '5 seconds') GROUP BY window_start, window_end, version
sinks:
  every: { rows: all_of_them, to: { sqlite: { path: every.db, table: rows } } }
  some: { rows: known, to: { sqlite: { path: some.db, table: rows } } }
  counts: { rows: counted, to: { sqlite: { path: counts.db, table: rows } } }
"#;

/// Another version of all ten, of which there is one only every second time; and it has not changed just now.
fn change(bench: &Bench, version: u32) {
    let things = (0..10).filter(|thing| *thing != 3 || !version.is_multiple_of(2));
    let rows: String = things.map(|thing| format!("{thing},{version}\n")).collect();
    let path = bench.path("things.csv");
    let beside = bench.path("things.new");
    fs::write(&beside, format!("thing,version\n{rows}")).unwrap();
    let file = fs::File::options().append(true).open(&beside).unwrap();
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(5);
    file.set_modified(then).unwrap();
    fs::rename(beside, path).unwrap();
}

#[test]
fn a_file_changes_and_processes_are_killed_and_every_row_is_joined_to_one_version_for_ever() {
    let mut random = random();
    let job = Job::new(JOB);
    change(&job.bench, 0);
    for round in 1..=KILLS {
        let running = job.start_at("4000/s", &[]);
        millis(random.u64(150..500));
        change(&job.bench, round);
        running.kill_after(random.u64(0..200));
    }
    whole(&job);
}

/// The file is watched by whoever collects; whoever processes learns of it from the queue alone.
#[test]
fn processes_on_redis_are_killed_and_join_every_row_to_one_version() {
    let name = "processes_on_redis_are_killed_and_join_every_row_to_one_version";
    if !has_redis(name) {
        return;
    }
    let mut random = random();
    let server = RedisServer::safe();
    let on_redis = JOB.replacen("sources:", "queue: { redis: { url: \"${REDIS}\" } }\nsources:", 1);
    let job = Job::new(&on_redis).with("REDIS", server.url());
    change(&job.bench, 0);
    let start = |slot| job.start_one_of_four(slot, "4000/s");
    let mut running: Vec<Running> = (0..4).map(start).collect();
    for round in 1..=KILLS {
        millis(random.u64(100..600));
        change(&job.bench, round);
        let slot = random.usize(0..4);
        std::mem::replace(&mut running[slot], start(slot)).kill();
    }
    // The last one has to be there before it can hear a signal.
    millis(1_500);
    for process in running {
        process.signal("INT");
        process.done().with_code(0);
    }
    whole(&job);
}

/// What is left is done, and every row is joined to one version.
fn whole(job: &Job) {
    let closed = job.finish().closed();
    let count = |database: &str, sql: &str| job.bench.count(database, sql);
    assert_eq!(edge(&closed, "decode", "readings", "out"), ROWS.cast_unsigned());
    let every = "SELECT count(*) FROM rows";
    assert_eq!(
        (count("every.db", every), count("every.db", "SELECT count(DISTINCT id) FROM rows")),
        (ROWS, ROWS)
    );
    assert!(count("every.db", "SELECT count(DISTINCT version) FROM rows") > 2, "it did change");
    // One source in its order: no row has an older version than a row before it.
    let back = "SELECT count(*) FROM (SELECT version, max(version) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS before FROM rows) WHERE version < before";
    assert_eq!(count("every.db", back), 0);
    // The views agree on each row, as each was joined at one offset.
    let known = count("every.db", "SELECT count(version) FROM rows");
    assert_eq!(count("some.db", every), known);
    assert_eq!(count("some.db", "SELECT count(DISTINCT id) FROM rows"), known);
    assert_eq!(count("counts.db", "SELECT sum(n) FROM rows"), known);
    let attach = format!("ATTACH '{}' AS e", job.bench.path("every.db").display());
    let conn = rusqlite::Connection::open(job.bench.path("counts.db")).unwrap();
    conn.execute_batch(&attach).unwrap();
    let differ: i64 = conn
        .query_row(
            "SELECT count(*) FROM (SELECT version, sum(n) AS n FROM rows GROUP BY version) c \
             FULL JOIN (SELECT version, count(*) AS n FROM e.rows WHERE version IS NOT NULL GROUP BY version) r \
             ON c.version = r.version AND c.n = r.n WHERE c.n IS NULL OR r.n IS NULL",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(differ, 0);
}

#[test]
fn a_table_that_is_not_there_or_is_no_table_is_told_of_before_anything_is_collected() {
    let job = Job::new(JOB).with("RATE", "1000/s");
    let done = job.start(&["--once"]).done().with_code(1);
    assert!(done.stderr.contains("the table `things` cannot be read"), "{}", done.stderr);
    assert!(done.stderr.contains("there is no such file"), "{}", done.stderr);
    job.bench.write("things.csv", "thing,version\n1,2,3\n");
    let done = job.start(&["--once"]).done().with_code(1);
    assert!(done.stderr.contains("row 1: "), "{}", done.stderr);
    change(&job.bench, 1);
    let closed = job.finish().closed();
    assert_eq!(edge(&closed, "decode", "readings", "out"), ROWS.cast_unsigned());
}
