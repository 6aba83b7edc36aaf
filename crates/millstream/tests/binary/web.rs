//! Metrics and health of a real run.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use crate::bench::{Bench, PATIENCE, Running};

const ENDLESS: &str = "
sources:
  made: { from: { generate: { rate: 100/s, fields: { id: { sequence: {} } } } } }
queue: { log: { path: data } }
views:
  some: SELECT id FROM made WHERE id % 2 = 0
sinks:
  nowhere: { rows: some, to: discard }
";

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Starts a pipeline, and gives the address it serves at.
fn serving(bench: &Bench) -> (Running, String) {
    let mut running = bench.start(&["run", "p.yaml", "--listen", "127.0.0.1:0", "--json"]);
    let line = running.until("metrics and health");
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = told["fields"]["address"].as_str().unwrap().to_owned();
    (running, address)
}

#[test]
fn metrics_and_health_are_served_when_asked_for() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    let (running, address) = serving(&bench);
    while !get(&address, "/readyz").starts_with("HTTP/1.1 200") {}
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    let metrics = loop {
        let metrics = get(&address, "/metrics");
        // Numbers that move, once rows do.
        if !metrics.contains("millstream_rows_total{sink=\"nowhere\"} 0") {
            break metrics;
        }
    };
    for wanted in [
        "millstream_records_total{source=\"made\"}",
        "millstream_collected_bytes_total{source=\"made\"}",
        "millstream_rows_total{view=\"some\"}",
        "millstream_rows_total{sink=\"nowhere\"}",
        "millstream_rows_filtered_total{view=\"some\"}",
        "millstream_set_aside_total{sink=\"nowhere\"}",
        "millstream_errors_total{source=\"made\"}",
        "millstream_lag_frames ",
        "millstream_step_seconds_bucket",
        "millstream_end_to_end_seconds_bucket",
        "millstream_checkpoint_pause_seconds_bucket",
        "millstream_checkpoint_bytes_total ",
        "millstream_fsync_seconds_count{queue=\"queue\"}",
        "millstream_flush_seconds_count{sink=\"nowhere\"}",
        "millstream_view_seconds_count{view=\"some\"}",
        "millstream_request_seconds_count{source=\"made\"}",
    ] {
        assert!(metrics.contains(wanted), "no `{wanted}` in\n{metrics}");
    }
    for moved in [
        "millstream_fsync_seconds_count{queue=\"queue\"} 0",
        "millstream_checkpoint_pause_seconds_count 0",
        "millstream_view_seconds_count{view=\"some\"} 0",
        "millstream_flush_seconds_count{sink=\"nowhere\"} 0",
    ] {
        assert!(!metrics.contains(moved), "`{moved}` stands still");
    }
    assert!(get(&address, "/status").contains("\"lag_frames\""));
    running.signal("TERM");
    running.done().with_code(0).closed();
}

const WINDOWS: &str = "
sources:
  readings:
    from: { file: { path: in.ndjson, follow: true } }
    columns: { id: int64, ts: timestamp }
    event_time: { column: ts, delay: 5s }
views:
  minutes: SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
  streamed:
    late: stream
    sql: SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
sinks:
  one: { rows: minutes, to: discard }
  two: { rows: streamed, to: discard }
  late: { rows: streamed.late, to: discard }
";

/// Names of metrics in the pages for people.
fn named() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path());
    let pages = docs.filter(|p| p.extension().is_some_and(|e| e == "md"));
    let begins = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    let mut found = BTreeSet::new();
    for page in pages.chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(page).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics = words.filter(|w| w.strip_prefix("millstream_").is_some_and(begins));
        found.extend(metrics.map(str::to_owned));
    }
    found
}

#[test]
fn how_far_event_time_has_come_is_told_under_the_names_that_pages_give() {
    let bench = Bench::new();
    bench.write("p.yaml", WINDOWS);
    let row = |id, time| format!("{{\"id\":{id},\"ts\":\"2026-01-01T00:{time}Z\"}}\n");
    bench.write("in.ndjson", &[row(1, "00:01"), row(2, "01:30"), row(3, "00:59")].concat());
    let (running, address) = serving(&bench);
    let deadline = Instant::now() + PATIENCE;
    let metrics = loop {
        let metrics = get(&address, "/metrics");
        if metrics.contains("millstream_rows_total{sink=\"late\"} 1") {
            break metrics;
        }
        assert!(Instant::now() < deadline, "no late row came:\n{metrics}");
    };
    let named = named();
    assert!(named.len() >= 2, "{named:?}");
    for name in &named {
        // Samples, but of a histogram, which has several of each.
        let lines = [format!("{name}{{"), format!("{name} "), format!("# TYPE {name} histogram")];
        let there = metrics.lines().any(|l| lines.iter().any(|line| l.starts_with(line)));
        assert!(there, "pages name `{name}`, and there is no such metric:\n{metrics}");
    }
    // 2026-01-01T00:01:30Z less the delay.
    for wanted in [
        "millstream_watermark_seconds{source=\"readings\"} 1767225685.0",
        "millstream_watermark_seconds{view=\"minutes\"} 1767225685.0",
        "millstream_watermark_seconds{view=\"streamed\"} 1767225685.0",
        "millstream_late_total{view=\"minutes\"} 1",
        "millstream_late_total{view=\"streamed\"} 1",
        "millstream_rows_total{view=\"minutes\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == wanted), "no `{wanted}` in\n{metrics}");
    }
    let told = bench.run(&["status", "p.yaml"]).with_code(0).stdout;
    assert!(told.contains(", lag 0 frames, "), "{told}");
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = told.lines().map(cells).collect();
    for (kind, part, late) in
        [("source", "readings", "0"), ("view", "minutes", "1"), ("view", "streamed", "1")]
    {
        let wanted = [kind, part, "2026-01-01T00:01:25.000Z", late];
        let line = lines.iter().find(|l| l.iter().take(4).eq(wanted.iter()));
        let state = line.and_then(|l| l.get(4)?.replace(',', "").parse::<u64>().ok());
        // A window is open in each view; a source keeps nothing.
        assert_eq!(state.map(|bytes| bytes > 0), Some(kind == "view"), "{wanted:?} in\n{told}");
    }
    running.signal("TERM");
    running.done().with_code(0).closed();
}

#[test]
fn a_port_in_use_is_told_before_anything_is_opened() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = bench.run(&["run", "p.yaml", "--listen", &address]).with_code(1);
    assert!(done.stderr.contains(&format!("cannot listen on `{address}`")), "{}", done.stderr);
    assert_eq!(bench.everything(), ["p.yaml"]);
}

#[test]
fn other_machines_are_not_let_in_by_an_option_alone() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    let done = bench.run(&["run", "p.yaml", "--listen", "0.0.0.0:0"]).with_code(2);
    assert!(done.stderr.contains("other machines"), "{}", done.stderr);
}
