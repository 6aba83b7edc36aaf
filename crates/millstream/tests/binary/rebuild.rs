//! A view that becomes another while the real binary is killed again and again: what comes after is what it would be had the
//! view always been so.

use std::time::Duration;

use serde_json::Value;

use crate::bench::{Bench, Running, edge};
use crate::job::READINGS;

/// Rows a hundredth of a second apart, over 400 s of event time.
const JOB: &str = r#"
    event_time: { column: ms, delay: DELAYs }
queue: { log: { path: data, segment_bytes: SEGMENT } }
views:
  same: |
    SELECT window_start, sensor, sum(id) AS ids, avg(value) AS mean
    FROM TUMBLE(readings, ms, INTERVAL '11 seconds') GROUP BY window_start, window_end, sensor
  other: |
    SELECT window_end AS upto, sensor, count(*) AS n, sum(id) AS ids, stddev(value) AS dev, SIZE AS size
    FROM HOP(readings, ms, INTERVAL '1 second', INTERVAL 'SIZE seconds') GROUP BY window_start, window_end, sensor
  above: |
    SELECT window_start, window_end AS upto, max(n) AS n, sum(ids) AS ids, SIZE AS size
    FROM TUMBLE(other, upto, INTERVAL '5 seconds') GROUP BY window_start, window_end
  within: |
    WITH few AS (
      SELECT window_end AS at, sensor, sum(id) AS ids
      FROM TUMBLE(readings, ms, INTERVAL 'SIZE seconds') GROUP BY window_start, window_end, sensor
    )
    SELECT window_end AS upto, sum(ids) AS ids, count(*) AS n, SIZE AS size
    FROM TUMBLE(few, at, INTERVAL '17 seconds') GROUP BY window_start, window_end
sinks:
  one: { rows: same, to: { sqlite: { path: out.db, table: same } } }
  two: { rows: other, to: { sqlite: { path: out.db, table: other } } }
  three: { rows: above, to: { sqlite: { path: out.db, table: above } } }
  four: { rows: within, to: { sqlite: { path: out.db, table: within } } }
"#;

/// How the file is written.
#[derive(Clone, Copy)]
struct Form {
    size: u32,
    delay: u32,
    segment: &'static str,
}

const FORM: Form = Form { size: 7, delay: 2, segment: "64MiB" };

fn write(bench: &Bench, form: Form) {
    let text = format!("{READINGS}{JOB}").replace("SIZE", &form.size.to_string());
    let text = text.replace("DELAY", &form.delay.to_string()).replace("SEGMENT", form.segment);
    bench.write("job.yaml", &text);
}

fn start(bench: &Bench, args: &[&str], rate: &str) -> Running {
    let mut command = bench.command(&["run", "job.yaml", "--json"]);
    command.args(args).env("RATE", rate);
    Running::of(command)
}

/// Runs to the end; what was said, and the closing line.
fn finish(bench: &Bench) -> (String, Value) {
    let done = start(bench, &["--once"], "1000000/s").done().with_code(0);
    let closed = done.closed();
    (done.stderr, closed)
}

fn rows(bench: &Bench, table: &str) -> Vec<String> {
    bench.rows("out.db", &format!("SELECT * FROM {table} ORDER BY rowid"))
}

/// What a view had given as it was, as far as the run had come, and what it gives as it is now.
fn parts(bench: &Bench, table: &str, size: u32) -> (Vec<String>, Vec<String>) {
    let own = format!("Integer({size})");
    rows(bench, table).into_iter().partition(|row| !row.ends_with(&own))
}

/// The end of the window of each row, as text that is ordered.
fn ends(bench: &Bench, table: &str, condition: &str) -> Vec<String> {
    bench.rows("out.db", &format!("SELECT upto FROM {table} WHERE {condition} ORDER BY rowid"))
}

/// The lines that say what became of a view at the start.
fn said(stderr: &str, view: &str) -> Vec<Value> {
    let lines = stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line["fields"].clone())
        .filter(|fields| fields["view"] == view && fields["upto"].is_u64())
        .collect()
}

/// Runs of the one form that are killed and then end in good order; then of the other, killed as well, to the end.
fn changed(before: Form, after: Form, seed: u64) -> (Bench, String, Value) {
    let mut random = fastrand::Rng::with_seed(seed);
    let bench = Bench::new();
    write(&bench, before);
    for _ in 0..3 {
        let mut running = start(&bench, &[], "6000/s");
        std::thread::sleep(Duration::from_millis(random.u64(300..900)));
        assert!(!running.ended(), "it ended by itself");
        running.kill();
    }
    // A sink that lacks an epoch gets it as it was made. A busy machine has not come far by then.
    for _ in 0..20 {
        start(&bench, &["--for", "300ms"], "6000/s").done().with_code(0);
        if rows(&bench, "above").len() > 8 && rows(&bench, "other").len() > 60 {
            break;
        }
    }
    write(&bench, after);
    for _ in 0..5 {
        let mut running = start(&bench, &[], "6000/s");
        std::thread::sleep(Duration::from_millis(random.u64(100..600)));
        assert!(!running.ended(), "it ended by itself:\n{}", running.done().stderr);
        running.kill();
    }
    let (stderr, closed) = finish(&bench);
    (bench, stderr, closed)
}

#[test]
fn a_view_that_changed_amid_kills_gives_the_rows_of_one_that_was_always_so() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}: run again with SEED={seed}");
    let after = Form { size: 13, ..FORM };
    let (was, whole) = (Bench::new(), Bench::new());
    write(&was, FORM);
    finish(&was);
    write(&whole, after);
    let (_, unbroken) = finish(&whole);
    let (bench, _, closed) = changed(FORM, after, seed);
    assert_eq!(rows(&bench, "same"), rows(&whole, "same"), "what did not change");
    for (table, least) in [("other", 50), ("above", 5), ("within", 0)] {
        let (then, now) = parts(&bench, table, 13);
        assert!(then.len() > least && now.len() > least, "{table} {} {}", then.len(), now.len());
        assert!(rows(&was, table).starts_with(&then), "{table}");
        let wanted = rows(&whole, table);
        assert!(wanted.ends_with(&now), "{table}");
        // The first window that is given now is the first that had not closed then.
        let last = ends(&bench, table, "size = 7").pop().unwrap();
        let muted = wanted.len() - now.len();
        let all = ends(&whole, table, "true");
        assert!(all[muted] > last, "{table}: a window came twice");
        let next = ends(&was, table, "true").into_iter().find(|end| *end > last).unwrap();
        assert!(all[muted - 1] < next, "{table}: a window is missing");
    }
    for what in ["in", "absorbed", "late"] {
        assert_eq!(edge(&closed, "view", "same", what), edge(&unbroken, "view", "same", what));
    }
    assert_eq!(edge(&closed, "view", "other", "in"), 40_000, "each row was given to it once");
}

#[test]
fn of_a_log_that_was_trimmed_only_whole_windows_are_given_and_the_start_says_from_when() {
    let small = Form { segment: "64KiB", ..FORM };
    let after = Form { size: 13, delay: 3, ..small };
    let whole = Bench::new();
    write(&whole, after);
    finish(&whole);
    let bench = Bench::new();
    write(&bench, small);
    start(&bench, &["--for", "2500ms"], "8000/s").done().with_code(0);
    write(&bench, after);
    let stopped = start(&bench, &["--for", "1s"], "8000/s").done().with_code(0);
    let said = said(&stopped.stderr, "other");
    assert_eq!(said.len(), 1, "{}", stopped.stderr);
    let said = &said[0];
    let (from, upto) = (said["from"].as_u64().unwrap(), said["upto"].as_u64().unwrap());
    assert!(from > 0 && from < upto, "{said}");
    assert!(said["rows"].as_u64().unwrap() > 0 && said["frames"].as_u64() == Some(upto - from));
    let windows_from = said["windows_from"].as_str().unwrap();
    let (stderr, _) = finish(&bench);
    assert!(self::said(&stderr, "other").is_empty(), "it is there now:\n{stderr}");
    for table in ["other", "above", "within"] {
        let (then, now) = parts(&bench, table, 13);
        assert!(!then.is_empty() && !now.is_empty());
        assert!(rows(&whole, table).ends_with(&now), "{table}");
    }
    // The first one began after that moment, and the one before it did not.
    let first = &bench.rows(
        "out.db",
        "SELECT strftime('%Y-%m-%dT%H:%M:%S', datetime(upto, '-13 seconds')) FROM other WHERE size = 13 ORDER BY rowid LIMIT 1",
    )[0];
    let first = first.trim_start_matches("Text(\"").trim_end_matches("\")");
    assert!(first >= windows_from.get(..19).unwrap(), "{first} {windows_from}");
}
