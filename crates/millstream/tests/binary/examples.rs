//! Every example is checked and run, and gives what it says.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use millstream_testkit::redis::{RedisServer, has_redis};

use crate::api::Api;
use crate::bench::{Bench, Done, Running, edge};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// A copy of all examples, without what runs left there.
pub fn bench() -> Bench {
    let bench = Bench::new();
    for folder in ["", "input"] {
        for entry in std::fs::read_dir(examples().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = Path::new(folder).join(path.file_name().unwrap());
                bench.write(name.to_str().unwrap(), &std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    bench
}

/// Checks it, and runs it to its end.
pub fn once(bench: &Bench, file: &str) -> Done {
    bench.run(&["check", file]).with_code(0);
    bench.run(&["run", file, "--once", "--json"]).with_code(0)
}

fn a_while(bench: &Bench, file: &str) -> Done {
    bench.run(&["check", file]).with_code(0);
    bench.run(&["run", file, "--for", "2s", "--json"]).with_code(0)
}

/// Each example and the test that runs it: a new one fails here until it has one.
#[test]
fn every_example_has_its_test() {
    let mut names: Vec<String> = std::fs::read_dir(examples())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".yaml"))
        .collect();
    names.sort();
    let these = concat!(include_str!("examples.rs"), include_str!("analyses.rs"));
    for name in names {
        assert!(these.contains(&format!("\"{name}\"")), "add a test that runs examples/{name}");
    }
}

#[test]
fn quickstart_keeps_this_machines_sensors_and_shows_them() {
    let bench = bench();
    bench.run(&["check", "quickstart.yaml"]).with_code(0);
    // Long enough for a window to close.
    let done = bench.run(&["run", "quickstart.yaml", "--for", "9s", "--json"]).with_code(0);
    let closed = done.closed();
    let stored = bench.count("data/quickstart/metrics.db", "SELECT count(*) FROM metrics");
    assert!(stored > 0);
    assert_eq!(edge(&closed, "sink", "store", "out"), u64::try_from(stored).unwrap());
    assert!(edge(&closed, "view", "busy", "filtered") > 0, "nothing stands still on this machine");
    assert!(done.stdout.contains("memory_used") && done.stdout.contains("MiB"), "{}", done.stdout);
}

#[test]
fn http_api_stores_what_is_above_the_threshold() {
    let (bench, api) = (bench(), Api::start());
    bench.run(&["check", "http_api.yaml"]).with_code(0);
    let mut command = bench.command(&["run", "http_api.yaml", "--for", "2s", "--json"]);
    command.env("API_URL", api.url("realtime-data"));
    let closed = Running::of(command).done().with_code(0).closed();
    assert_eq!(edge(&closed, "decode", "readings", "out"), 100);
    // The first hundred items have the values 1 to 100.
    assert_eq!(edge(&closed, "view", "hot", "filtered"), 100);
    let mut command = bench.command(&["run", "http_api.yaml", "--for", "2s", "--json"]);
    command.env("API_URL", api.url("realtime-data"));
    Running::of(command).done().with_code(0).closed();
    let hot = "SELECT count(*) FROM processed_items WHERE value > 100";
    assert_eq!(bench.count("data/http_api/processed.db", hot), 100);
}

#[test]
fn many_apis_go_on_when_one_is_broken() {
    let (bench, api) = (bench(), Api::start());
    bench.run(&["check", "many_apis.yaml"]).with_code(0);
    let mut command = bench.command(&["run", "many_apis.yaml", "--for", "6s", "--json"]);
    command
        .env("NORTH", api.url("items"))
        .env("SOUTH", api.url("broken"))
        .env("LISTEN", "127.0.0.1:0");
    let done = Running::of(command).done().with_code(0);
    assert!(edge(&done.closed(), "sink", "store", "out") > 0);
    // Told once, not at each try.
    let told = done.stderr.lines().filter(|l| l.contains(r#""message":"trouble""#)).count();
    assert_eq!(told, 1, "{}", done.stderr);
}

#[test]
fn csv_files_become_parquet_and_are_read_once() {
    let bench = bench();
    let closed = once(&bench, "csv_to_parquet.yaml").closed();
    assert_eq!(edge(&closed, "decode", "orders", "out"), 9);
    assert_eq!(edge(&closed, "sink", "lake", "out"), 5);
    let parquet = |bench: &Bench| {
        bench.everything().into_iter().filter(|f| f.ends_with(".parquet")).collect::<Vec<_>>()
    };
    assert_eq!(parquet(&bench).len(), 1);
    bench.write(
        "input/orders-2026-12.csv",
        "order,customer,country,amount,placed\n1010,Kai,NO,500,2026-12-01T00:00:00Z\n",
    );
    let closed = once(&bench, "csv_to_parquet.yaml").closed();
    assert_eq!(edge(&closed, "decode", "orders", "out"), 10);
    assert_eq!(parquet(&bench).len(), 2);
}

#[test]
fn redis_list_stands_between_two_scripts() {
    if !has_redis("redis_list_stands_between_two_scripts") {
        return;
    }
    let (bench, server) = (bench(), RedisServer::forgetful());
    bench.run(&["check", "redis_list.yaml"]).with_code(0);
    // As redis_producer.py pushes them.
    for i in 1..=200 {
        let reading = format!(
            r#"{{"id": {i}, "sensor": "s", "value": {i}.5, "ts": "2026-11-23T05:00:00.123456+00:00"}}"#
        );
        server.ask(&["LPUSH", "data_queue", &reading]);
    }
    for _ in 0..2 {
        let mut command = bench.command(&["run", "redis_list.yaml", "--for", "2s", "--json"]);
        command.env("REDIS_URL", server.url());
        Running::of(command).done().with_code(0);
    }
    let stored = "SELECT count(*) FROM processed_items WHERE value > 100";
    assert_eq!(bench.count("data/redis_list/processed.db", stored), 101);
    assert_eq!(server.ask(&["LLEN", "hot_queue"]), ":101\r\n");
    assert!(server.ask(&["RPOP", "hot_queue"]).contains(r#"{"id":100,"sensor":"s","value":100.5"#));
    let left = server.ask(&["EXISTS", "data_queue", "{data_queue}:millstream:redis_list.readings"]);
    assert_eq!(left, ":0\r\n");
}

#[test]
fn reference_table_joins_rows_of_a_file() {
    let bench = bench();
    let told = bench.run(&["check", "reference_table.yaml"]).with_code(0);
    assert!(told.stdout.contains("table devices") && told.stdout.contains("looked at every 1s"));
    bench.run(&["test", "reference_table.yaml"]).with_code(0);
    let done = a_while(&bench, "reference_table.yaml").closed();
    let count = |sql: &str| bench.count("data/reference_table/readings.db", sql);
    let of = |part: &str| i64::try_from(edge(&done, "sink", part, "out")).unwrap();
    assert_eq!(count("SELECT count(*) FROM readings"), of("store"));
    assert_eq!(count("SELECT count(*) FROM north"), of("of_north"));
    let wrong = "SELECT count(*) FROM readings WHERE (sensor = 'pump-3') <> (site IS NULL)";
    assert_eq!(count(wrong), 0);
    let north = "SELECT count(*) FROM readings WHERE site = 'north'";
    assert_eq!(count(north), of("of_north"));
    assert!(of("of_north") > 0);
}

#[test]
fn redis_lookup_joins_what_the_server_knows() {
    if !has_redis("redis_lookup_joins_what_the_server_knows") {
        return;
    }
    let (bench, server) = (bench(), RedisServer::forgetful());
    let told = bench.run(&["check", "redis_lookup.yaml"]).with_code(0);
    assert!(told.stdout.contains("lookup devices (site, limit) by sensor"), "{}", told.stdout);
    server.ask(&["HSET", "device:pump-1", "site", "north", "limit", "80"]);
    server.ask(&["HSET", "device:pump-2", "site", "south", "limit", "1000"]);
    let mut command = bench.command(&["run", "redis_lookup.yaml", "--for", "2s", "--json"]);
    command.env("REDIS_URL", server.url());
    let closed = Running::of(command).done().with_code(0).closed();
    let count = |what: &str| {
        let sql = format!("SELECT count(*) FROM readings WHERE {what}");
        bench.count("data/redis_lookup/readings.db", &sql)
    };
    assert_eq!(u64::try_from(count("1 = 1")).unwrap(), edge(&closed, "decode", "readings", "out"));
    assert!(count("sensor = 'pump-1'") > 0 && count("sensor = 'pump-3'") > 0);
    assert_eq!(count("sensor = 'pump-1' AND (site <> 'north' OR too_high <> (value > 80))"), 0);
    assert_eq!(count("sensor = 'pump-2' AND (site <> 'south' OR too_high)"), 0);
    assert_eq!(count("sensor = 'pump-3' AND (site IS NOT NULL OR too_high IS NOT NULL)"), 0);
}

#[test]
fn iot_counts_by_the_minute_and_raises_an_alarm() {
    let bench = bench();
    let told = bench.run(&["test", "iot.yaml"]).with_code(0).stdout;
    assert!(told.contains("2 tests: 2 passed, 0 failed"), "{told}");
    let closed = once(&bench, "iot.yaml").closed();
    assert_eq!(edge(&closed, "view", "per_minute", "absorbed"), 450);
    assert_eq!(edge(&closed, "view", "per_minute", "out"), 15);
    let rows = bench.rows("data/iot/iot.db", "SELECT sum(n), count(*) FROM per_minute");
    assert_eq!(rows, ["Integer(450) Integer(15)"]);
    assert_eq!(edge(&closed, "sink", "alarms", "out"), 1, "the boiler ran hot for a minute");
    let late = bench.rows("data/iot/iot.db", "SELECT sensor, value FROM late");
    assert_eq!(late, ["Text(\"fan\") Real(22.15)"], "two minutes after its own");
}

#[test]
fn load_comes_to_its_end() {
    let bench = bench();
    let mut command = bench.command(&["run", "load.yaml", "--once", "--json"]);
    command.env("ROWS", "50000");
    let closed = Running::of(command).done().with_code(0).closed();
    assert_eq!(edge(&closed, "decode", "bids", "out"), 50_000);
    bench.run(&["check", "load.yaml"]).with_code(0);
}

#[test]
fn many_sinks_each_have_their_rows() {
    let bench = bench();
    let closed = a_while(&bench, "many_sinks.yaml").closed();
    let rows = edge(&closed, "view", "shaped", "out");
    assert!(rows > 0);
    let history = bench.count("data/many_sinks/history.db", "SELECT count(*) FROM readings");
    assert_eq!(u64::try_from(history).unwrap(), rows);
    let latest = bench.count("data/many_sinks/latest.db", "SELECT count(*) FROM latest");
    assert!((1..=4).contains(&latest), "{latest}");
    assert!(bench.everything().iter().any(|f| f.ends_with("archive-00000001.ndjson")));
}

#[test]
fn dead_letters_keep_what_does_not_fit() {
    let bench = bench();
    let closed = once(&bench, "dead_letters.yaml").closed();
    assert_eq!(edge(&closed, "decode", "readings", "set_aside"), 3);
    assert_eq!(edge(&closed, "sink", "store", "set_aside"), 1);
    let list = bench.run(&["dead", "list", "dead_letters.yaml"]).with_code(0).stdout;
    assert!(list.contains("column `value` is float64"), "{list}");
    assert!(list.contains("UNIQUE constraint failed"), "{list}");
    // As its head says: mended, sent through again, and the rest dropped.
    let text = std::fs::read_to_string(bench.path("dead_letters.yaml")).unwrap();
    assert!(text.contains("declare `value: json`") && text.contains("value: float64"));
    bench.write("dead_letters.yaml", &text.replace("value: float64", "value: json"));
    let replay = ["dead", "replay", "dead_letters.yaml", "--part", "readings"];
    assert_eq!(bench.run(&replay).with_code(0).stdout, "3 replayed\n");
    let closed = once(&bench, "dead_letters.yaml").closed();
    assert_eq!(edge(&closed, "decode", "readings", "set_aside"), 3 + 2);
    let warm = "SELECT count(*) FROM readings WHERE id = 2 AND sensor = 'boiler' AND value IS NULL";
    let database = "data/dead_letters/readings.db";
    assert_eq!(bench.count(database, warm), 1);
    assert_eq!(bench.count(database, "SELECT count(*) FROM readings WHERE value = 71.5"), 1);
    let dropped = bench.run(&["dead", "drop", "dead_letters.yaml", "--all"]).with_code(0);
    assert_eq!(dropped.stdout, "3 dropped\n");
    let list = bench.run(&["dead", "list", "dead_letters.yaml"]).with_code(0);
    assert_eq!(list.stdout, "no dead letters\n");
}

#[test]
fn stdin_goes_through_sql_to_stdout() {
    let bench = bench();
    bench.run(&["check", "stdin.yaml"]).with_code(0);
    let mut command = bench.command(&["run", "stdin.yaml", "--once"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"n\": 2}\n{\"n\": 3}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{\"n\":2,\"square\":4}\n{\"n\":3,\"square\":9}\n"
    );
}
