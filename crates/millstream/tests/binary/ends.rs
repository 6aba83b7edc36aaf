//! A run from its start to each of its ends: the main job, signals, times, a second process.

use std::time::Duration;

use serde_json::Value;

use crate::api::{Api, ITEMS, value};
use crate::bench::{Bench, edge};

/// The main job, on the API of the test.
fn main_job(api: &Api) -> String {
    format!(
        r#"
name: main
sources:
  readings:
    from: {{ http: {{ url: "{}", every: 50ms }} }}
    decode: {{ json: {{ rows: /items }} }}
    columns: {{ id: int64, sensor: string, value: float64, ts: timestamp }}
queue: {{ log: {{ path: data }} }}
views:
  hot: SELECT id, sensor, value, ts FROM readings WHERE value > 100
sinks:
  store:
    rows: hot
    to: {{ sqlite: {{ path: out.db, table: hot }} }}
"#,
        api.url("items")
    )
}

/// Made-up rows into SQLite, ended by their number.
const FINITE: &str = "
sources:
  made:
    from: { generate: { rows: 1000, fields: { id: { sequence: { start: 1 } } } } }
queue: { log: { path: data } }
views:
  even: SELECT id FROM made WHERE id % 2 = 0
sinks:
  store: { rows: even, to: { sqlite: { path: out.db, table: even } } }
";

/// Made-up rows without end.
const ENDLESS: &str = "
sources:
  made:
    from: { generate: { rate: 1000/s, fields: { id: { sequence: { start: 1 } } } } }
queue: { log: { path: data } }
sinks:
  store: { rows: made, to: { sqlite: { path: out.db, table: made } } }
";

fn wait_for_rows(bench: &Bench, table: &str, least: i64) {
    for _ in 0..20_000 {
        if bench.path("out.db").exists() {
            let db = rusqlite::Connection::open(bench.path("out.db")).unwrap();
            let rows: Result<i64, _> =
                db.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0));
            if rows.is_ok_and(|n| n >= least) {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("`{table}` does not come to {least} rows");
}

#[test]
fn an_api_goes_through_log_and_sql_into_sqlite_and_every_row_is_counted() {
    let (api, bench) = (Api::start(), Bench::new());
    bench.write("main.yaml", &main_job(&api));
    let running = bench.start(&["run", "main.yaml", "--json"]);
    wait_for_rows(&bench, "hot", 500);
    running.signal("INT");
    let done = running.done().with_code(0);
    let closed = done.closed();
    assert!(done.stdout.is_empty(), "stdout is for rows: {}", done.stdout);

    let decoded = edge(&closed, "decode", "readings", "out");
    let stored = bench.count("out.db", "SELECT count(*) FROM hot");
    let distinct = bench.count("out.db", "SELECT count(DISTINCT id) FROM hot");
    assert_eq!(stored, distinct, "a row is there twice");
    assert_eq!(edge(&closed, "sink", "store", "out"), u64::try_from(stored).unwrap());
    assert_eq!(edge(&closed, "view", "hot", "in"), decoded);
    // Whole answers, in order, without a gap; one may have been under way when it was stopped.
    assert_eq!(decoded % ITEMS, 0);
    let polls = decoded / ITEMS;
    assert!(
        polls == api.served() || polls + 1 == api.served(),
        "{polls} of {} answers",
        api.served()
    );
    let wanted = (0..decoded).filter(|id| value(*id) > 100).count();
    assert_eq!(stored, i64::try_from(wanted).unwrap());
    let wrong = bench.count(
        "out.db",
        &format!("SELECT count(*) FROM hot WHERE id >= {decoded} OR value <= 100"),
    );
    assert_eq!(wrong, 0);
    assert_eq!(closed["frames_left"], 0);
}

#[test]
fn once_ends_when_all_is_delivered_and_a_second_time_adds_nothing() {
    let bench = Bench::new();
    bench.write("p.yaml", FINITE);
    for _ in 0..2 {
        let closed = bench.run(&["run", "p.yaml", "--once", "--json"]).with_code(0).closed();
        assert_eq!(edge(&closed, "view", "even", "filtered"), 500);
        assert_eq!(edge(&closed, "sink", "store", "out"), 500);
        assert_eq!(bench.count("out.db", "SELECT count(*) FROM even"), 500);
    }
}

#[test]
fn a_time_ends_it_in_good_order() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    let closed = bench.run(&["run", "p.yaml", "--for", "700ms", "--json"]).with_code(0).closed();
    let stored = u64::try_from(bench.count("out.db", "SELECT count(*) FROM made")).unwrap();
    assert!(stored > 0);
    assert_eq!(edge(&closed, "sink", "store", "out"), stored);
    assert_eq!(edge(&closed, "decode", "made", "in"), stored);
}

#[test]
fn each_signal_stops_it_in_good_order_with_the_ledger() {
    for signal in ["INT", "TERM", "HUP"] {
        let bench = Bench::new();
        bench.write("p.yaml", ENDLESS);
        let mut running = bench.start(&["run", "p.yaml"]);
        wait_for_rows(&bench, "made", 10);
        running.signal(signal);
        running.until("stopping: delivering what is under way");
        let done = running.done().with_code(0);
        assert!(done.stderr.contains("balanced: in = out"), "{signal}: {}", done.stderr);
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_next_run_goes_on() {
    let bench = Bench::new();
    // Nobody reads its stdout, so what is under way cannot be delivered.
    let blocked = "
sources:
  made:
    from: { generate: { fields: { id: { sequence: { start: 1 } } } } }
queue: { log: { path: data } }
sinks:
  out: { rows: made, to: { stdout: { format: ndjson } } }
";
    bench.write("p.yaml", blocked);
    let mut running = bench.start(&["run", "p.yaml"]);
    running.read(8);
    // More than a pipe holds has to be under way.
    std::thread::sleep(Duration::from_millis(500));
    running.signal("INT");
    running.until("stopping: delivering what is under way");
    assert!(!running.ended());
    running.signal("INT");
    running.until("stopped at once");
    assert_eq!(running.code(), Some(130));
    bench.write("p.yaml", &blocked.replace("{ generate: { ", "{ generate: { rate: 10/s, "));
    bench.run(&["run", "p.yaml", "--for", "200ms", "--json"]).with_code(0).closed();
}

#[test]
fn a_second_process_on_one_log_is_told_who_holds_it() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    let first = bench.start(&["run", "p.yaml", "--json"]);
    wait_for_rows(&bench, "made", 1);
    let second = bench.run(&["run", "p.yaml", "--for", "1s"]).with_code(1);
    assert!(
        second.stderr.contains(&format!("held by process {}", first.id())),
        "{}",
        second.stderr
    );
    assert!(second.stderr.contains("data"), "{}", second.stderr);
    first.signal("TERM");
    first.done().with_code(0).closed();
}

#[test]
fn a_running_pipeline_is_asked_how_it_is_doing() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    bench.run(&["status", "p.yaml"]).with_code(1);
    let running = bench.start(&["run", "p.yaml", "--json"]);
    wait_for_rows(&bench, "made", 1);
    let asked = bench.run(&["status", "p.yaml", "--json"]).with_code(0);
    let numbers: Value = serde_json::from_str(&asked.stdout).unwrap();
    assert_eq!(numbers["ready"], true);
    let text = bench.run(&["status", "p.yaml"]).with_code(0).stdout;
    assert!(text.contains("source  made   works"), "{text}");
    running.signal("TERM");
    running.done().with_code(0);
}

#[test]
fn a_verb_at_the_moment_of_a_start_ends_neither() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    bench.run(&["run", "p.yaml", "--for", "100ms"]).with_code(0);
    // As a verb has it while it reads.
    let lock = std::fs::File::options().write(true).open(bench.path("data/LOCK")).unwrap();
    lock.lock().unwrap();
    let running = bench.start(&["run", "p.yaml", "--for", "100ms"]);
    let listing = bench.start(&["dead", "list", "p.yaml"]);
    std::thread::sleep(Duration::from_millis(700));
    drop(lock);
    running.done().with_code(0);
    assert_eq!(listing.done().with_code(0).stdout, "no dead letters\n");
}

#[test]
fn a_pipeline_that_is_frozen_is_not_waited_for() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    let running = bench.start(&["run", "p.yaml"]);
    wait_for_rows(&bench, "made", 1);
    running.signal("STOP");
    for verb in [&["status"][..], &["dead", "list"]] {
        let asked = bench.run(&[verb, &["p.yaml"]].concat()).with_code(1);
        let told = format!("the pipeline of process {} holds the queue", running.id());
        assert!(asked.stderr.contains(&told), "{}", asked.stderr);
        assert!(asked.stderr.contains("kill -CONT"), "{}", asked.stderr);
    }
    running.signal("CONT");
    bench.run(&["status", "p.yaml"]).with_code(0);
    running.signal("TERM");
    running.done().with_code(0);
}
