//! `kill -9` at random moments over one job: afterwards each row is there exactly once.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bench::{Bench, edge};
use crate::job::{Job, random};

const KILLS: u32 = 30;
const MADE: u64 = 40_000;
const READ: u64 = 30_000;

/// Two sources with known ids; tables and files that hold what they were given.
const JOB: &str = r#"
name: job
sources:
  made:
    from: { generate: { rows: 40000, rate: "${RATE}", fields: { id: { sequence: { start: 0 } } } } }
  read:
    from: { file: { path: input.ndjson } }
    columns: { id: int64, pad: string }
queue: { log: { path: data, segment_bytes: 1MiB } }
views:
  even: SELECT id FROM made WHERE id % 2 = 0
sinks:
  made_rows: { rows: even, to: { sqlite: { path: out.db, table: made } } }
  read_rows: { rows: read, to: { sqlite: { path: out.db, table: read } } }
  made_lines: { rows: even, to: { file: { path: "lines-{n}.ndjson", roll: { bytes: 64KiB } } } }
"#;

#[test]
fn killed_thirty_times_each_row_is_there_exactly_once() {
    let mut random = random();
    let job = Job::new(JOB);
    let pad = "x".repeat(100);
    let input: String =
        (0..READ).map(|id| format!("{{\"id\":{id},\"pad\":\"{pad}\"}}\n")).collect();
    job.bench.write("input.ndjson", &input);

    let mut killed = 0;
    for _ in 0..KILLS * 3 {
        let mut running = job.start_at("2000/s", &["--once"]);
        std::thread::sleep(Duration::from_millis(random.u64(20..500)));
        if running.ended() {
            // Ended by itself: only a whole job may do that.
            running.done().with_code(0).closed();
            continue;
        }
        running.kill();
        killed += 1;
        if killed == KILLS {
            break;
        }
    }
    assert_eq!(killed, KILLS, "the job was done before it was killed often enough");
    let closed = job.finish().closed();
    let bench = &job.bench;

    assert_eq!(edge(&closed, "decode", "made", "out"), MADE);
    assert_eq!(edge(&closed, "decode", "read", "out"), READ);
    for (table, rows) in [("made", MADE / 2), ("read", READ)] {
        let rows = i64::try_from(rows).unwrap();
        assert_eq!(
            bench.count("out.db", &format!("SELECT count(*) FROM {table}")),
            rows,
            "{table}"
        );
        assert_eq!(
            bench.count("out.db", &format!("SELECT count(DISTINCT id) FROM {table}")),
            rows,
            "{table}"
        );
    }
    let odd = bench.count("out.db", "SELECT count(*) FROM made WHERE id % 2 = 1");
    assert_eq!(odd, 0);
    let lines = lines(bench);
    assert_eq!(lines.len() as u64, MADE / 2, "lines");
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len(), "lines twice");
}

/// All lines of the finished files.
fn lines(bench: &Bench) -> Vec<String> {
    let files = bench
        .everything()
        .into_iter()
        .filter(|f| f.starts_with("lines-") && f.ends_with(".ndjson"));
    files
        .flat_map(|f| {
            let text = std::fs::read_to_string(bench.path(&f)).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}
