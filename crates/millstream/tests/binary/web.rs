//! Metrics and health of a real run.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::bench::Bench;

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

#[test]
fn metrics_and_health_are_served_when_asked_for() {
    let bench = Bench::new();
    bench.write("p.yaml", ENDLESS);
    let mut running = bench.start(&["run", "p.yaml", "--listen", "127.0.0.1:0", "--json"]);
    let line = running.until("metrics and health");
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = told["fields"]["address"].as_str().unwrap().to_owned();
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
