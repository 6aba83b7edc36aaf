//! Rows that come late: to a sink of their own, or into their windows anew, whoever dies meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use crate::bench::{Bench, edge};
use crate::job::{Job, millis, random};

const ROWS: i64 = 24_000;
const KILLS: i64 = 12;
/// Rows that are written at once.
const STEP: i64 = 100;

/// Windows whose late rows go to sinks of their own, and others that take some of them.
const JOB: &str = r#"
name: job
sources:
  readings:
    from: { file: { path: in.ndjson, follow: "${FOLLOW}" } }
    columns: { id: int64, sensor: string, note: string, ms: timestamp_ms }
    event_time: { column: ms, delay: 2s }
views:
  once:
    late: stream
    sql: SELECT window_start, sensor, count(*) AS n, sum(id) AS ids FROM TUMBLE(readings, ms, INTERVAL '7 seconds') GROUP BY window_start, sensor
  anew:
    allowed_lateness: 5s
    late: stream
    sql: SELECT window_start, sensor, count(*) AS n, sum(id) AS ids FROM TUMBLE(readings, ms, INTERVAL '7 seconds') GROUP BY window_start, sensor
sinks:
  windows: { rows: once, to: { sqlite: { path: out.db, table: once } } }
  late: { rows: once.late, to: { sqlite: { path: out.db, table: once_late } } }
  late_lines: { rows: once.late, to: { file: { path: "late-{n}.ndjson" } } }
  latest: { rows: anew, to: { sqlite: { path: out.db, table: anew, key: [window_start, sensor], mode: upsert } } }
  latest_late: { rows: anew.late, to: { sqlite: { path: out.db, table: anew_late } } }
"#;

const BEGIN: i64 = 1_790_000_000_000;
const DELAY: i64 = 2_000;
const SIZE: i64 = 7_000;

/// When a row was: a hundredth of a second after the one before, but for some that lag behind.
fn ms(id: i64) -> i64 {
    let lag = if id % 7 == 3 { 3_000 + (id * 37) % 9_000 } else { 0 };
    BEGIN + id * 10 - lag
}

fn sensor(id: i64) -> String {
    ["a", "b", "c"][usize::try_from(id % 3).unwrap()].to_owned()
}

fn lines(ids: std::ops::Range<i64>) -> String {
    let line = |id| {
        let (sensor, ms) = (sensor(id), ms(id));
        format!("{{\"id\":{id},\"sensor\":\"{sensor}\",\"note\":\"note {id}\",\"ms\":{ms}}}\n")
    };
    ids.map(line).collect()
}

/// What has to come out, worked out row by row: windows, in seconds, with their count and sum, and what is late.
fn wanted(lateness: i64) -> (Vec<String>, Vec<i64>) {
    let mut windows: BTreeMap<(i64, String), (i64, i64)> = BTreeMap::new();
    let (mut late, mut latest) = (Vec::new(), i64::MIN);
    for id in 0..ROWS {
        let start = ms(id).div_euclid(SIZE) * SIZE;
        if latest != i64::MIN && start + SIZE + lateness <= latest - DELAY {
            late.push(id);
        } else {
            let window = windows.entry((start / 1_000, sensor(id))).or_default();
            *window = (window.0 + 1, window.1 + id);
        }
        latest = latest.max(ms(id));
    }
    let text = |((start, sensor), (n, ids)): ((i64, String), (i64, i64))| {
        format!("Integer({start}) Text({sensor:?}) Integer({n}) Integer({ids})")
    };
    (windows.into_iter().map(text).collect(), late)
}

fn windows(bench: &Bench, table: &str) -> Vec<String> {
    let start = "CAST(strftime('%s', window_start) AS INTEGER)";
    bench.rows(
        "out.db",
        &format!("SELECT {start} AS at, sensor, n, ids FROM {table} ORDER BY at, sensor"),
    )
}

fn late(bench: &Bench, table: &str) -> Vec<String> {
    let columns = "id, sensor, note, CAST(strftime('%s', ms) AS INTEGER)";
    bench.rows("out.db", &format!("SELECT {columns} FROM {table} ORDER BY rowid"))
}

/// A late row as it came, with a column that no view reads.
fn row(id: i64) -> String {
    let (sensor, seconds) = (sensor(id), ms(id).div_euclid(1_000));
    format!("Integer({id}) Text({sensor:?}) Text(\"note {id}\") Integer({seconds})")
}

#[test]
fn late_rows_are_where_they_belong_whoever_is_killed() {
    let mut random = random();
    let mut job = Job::new(JOB).with("FOLLOW", "true");
    let mut file = File::create(job.bench.path("in.ndjson")).unwrap();
    let mut written = 0;
    for round in 1..=KILLS {
        let running = job.start(&[]);
        // Rows come as it works, up to the moment of its death.
        while written < round * ROWS / KILLS {
            file.write_all(lines(written..written + STEP).as_bytes()).unwrap();
            written += STEP;
            millis(random.u64(5..40));
        }
        running.kill_after(random.u64(0..20));
    }
    job.set("FOLLOW", "false");
    let closed = job.finish().closed();
    let bench = &job.bench;
    let ((once, once_late), (anew, anew_late)) = (wanted(0), wanted(5_000));
    assert!(once_late.len() > 1_000 && anew_late.len() > 100 && anew_late.len() < once_late.len());
    assert_eq!(windows(bench, "once"), once);
    assert_eq!(windows(bench, "anew"), anew);
    let rows = |ids: &[i64]| ids.iter().map(|id| row(*id)).collect::<Vec<_>>();
    assert_eq!(late(bench, "once_late"), rows(&once_late));
    assert_eq!(late(bench, "anew_late"), rows(&anew_late));
    let mut files: Vec<String> =
        bench.everything().into_iter().filter(|f| f.starts_with("late-")).collect();
    files.sort();
    let text: String = files.iter().map(|f| bench.read(f)).collect();
    let ids = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    assert_eq!(ids.map(|l| l["id"].as_i64().unwrap()).collect::<Vec<_>>(), once_late);

    let count = |ids: &[i64]| ids.len() as u64;
    for (view, sinks, ids) in [
        ("once", &["late", "late_lines"] as &[_], &once_late),
        ("anew", &["latest_late"], &anew_late),
    ] {
        assert_eq!(edge(&closed, "view", view, "in"), ROWS.cast_unsigned());
        assert_eq!(edge(&closed, "view", view, "late"), count(ids));
        assert_eq!(edge(&closed, "view", view, "absorbed"), ROWS.cast_unsigned() - count(ids));
        for sink in sinks {
            assert_eq!(edge(&closed, "sink", sink, "in"), count(ids), "{sink}");
            assert_eq!(edge(&closed, "sink", sink, "out"), count(ids), "{sink}");
        }
    }
    assert!(
        edge(&closed, "view", "anew", "out") > count(&[]) + anew.len() as u64,
        "none came anew"
    );
    assert_eq!(edge(&closed, "view", "once", "out"), once.len() as u64);
    let dead = bench.run(&["dead", "list", "job.yaml"]);
    assert!(!dead.stdout.contains("late"), "{}", dead.stdout);
}

/// Tests that expect late rows in each way there is, and two that fail.
const TESTED: &str = "
sources:
  readings:
    from: stdin
    columns: { sensor: string, value: int64, ts: timestamp }
    event_time: { column: ts, delay: 5s }
views:
  minutes:
    late: stream
    sql: SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') WHERE value > 0 GROUP BY window_start
sinks:
  out: { rows: minutes, to: stdout }
  stragglers: { rows: minutes.late, to: stdout }
tests:
  good:
    given: { readings: &rows [
      { sensor: a, value: 1, ts: '2026-01-01T00:00:01Z' },
      { sensor: a, value: 2, ts: '2026-01-01T00:01:06Z' },
      { sensor: b, value: 3, ts: '2026-01-01T00:00:59Z' },
      { sensor: c, value: -3, ts: '2026-01-01T00:00:59Z' }] }
    expect:
      minutes: [{ n: 1 }, { n: 1 }]
      minutes.late: [{ sensor: b, value: 3, ts: '2026-01-01T00:00:59Z' }]
      stragglers: [{ sensor: b }]
    late: { minutes: [{ sensor: b, value: 3 }] }
  plain: { given: { readings: [] }, expect: { minutes: [], minutes.late: [] } }
  missed: { given: { readings: *rows }, expect: { minutes.late: [] } }
  counted: { given: { readings: *rows }, late: { minutes: [{ sensor: b }, { sensor: c }] } }
";

#[test]
fn tests_of_a_file_expect_late_rows_like_others() {
    let bench = Bench::new();
    bench.write("p.yaml", TESTED);
    let good = bench.run(&["test", "p.yaml", "good"]).with_code(0).stdout;
    // In no other order, in which others would be late.
    let ways = |told: &str| {
        let (_, rest) = told.split_once("passed (").unwrap_or_else(|| panic!("{told}"));
        rest.split(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let plain = bench.run(&["test", "p.yaml", "plain"]).with_code(0).stdout;
    assert!(ways(&good) < ways(&plain), "{good}{plain}");
    let missed = bench.run(&["test", "p.yaml", "missed"]).with_code(1).stdout;
    assert!(missed.contains("minutes.late: rows differ") && missed.contains("+ row 1"), "{missed}");
    let counted = bench.run(&["test", "p.yaml", "counted"]).with_code(1).stdout;
    assert!(counted.contains("- row 2 {\"sensor\":\"c\"}"), "{counted}");
    bench.write("p.yaml", &TESTED.replace("minutes.late: [{", "readings.late: [{"));
    let told = bench.run(&["test", "p.yaml", "good"]).with_code(2).stderr;
    assert!(told.contains("there is no `readings.late`"), "{told}");
    assert!(told.contains("known here: minutes, minutes.late, out, stragglers"), "{told}");
}
