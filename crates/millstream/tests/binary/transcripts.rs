//! What people see, word for word. After a wanted change: `INSTA_UPDATE=always cargo test -p millstream --test binary`.

use crate::bench::Bench;

/// Runs it and gives back what was typed and said.
fn transcript(bench: &Bench, args: &[&str]) -> String {
    let done = bench.run(args);
    let code = done.code.map_or("a signal".to_owned(), |c| c.to_string());
    let mut text = format!("$ millstream {}\n{}", args.join(" "), done.stdout);
    if !done.stderr.is_empty() {
        text.push_str(&format!("--- stderr\n{}", done.stderr));
    }
    text.push_str(&format!("--- ends with {code}\n"));
    text
}

/// Compares, with what differs from run to run taken out.
fn same(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../transcripts");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[moment]");
    settings.add_filter(r"in \d+\.\ds \([\d,.]+ rows/s\)", "in [time] ([rate] rows/s)");
    settings.add_filter(r"/tmp/\.tmp\w+", "[folder]");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

const FILE: &str = "\
name: sensors
sources:
  readings:
    from: { file: { path: in.ndjson } }
    columns: { id: int64, sensor: string, value: float64, note: string }
  unknown:
    from: { file: { path: other.ndjson } }
queue: { log: { path: data } }
views:
  hot: SELECT id, sensor, value FROM readings WHERE value > 100
  later: SELECT * FROM unknown
sinks:
  store: { rows: hot, to: { sqlite: { path: out.db, table: hot, key: [id] } } }
  terminal: { rows: hot, to: stdout }
  rest: { rows: later, to: discard }
";

const INPUT: &str = "{\"id\":1,\"sensor\":\"a\",\"value\":120.5}\n{\"id\":2,\"sensor\":\"b\",\"value\":\"warm\"}\n{\"id\":3,\"sensor\":\"a\",\"value\":7}\n";

#[test]
fn help_of_each_verb() {
    let bench = Bench::new();
    same("help", &transcript(&bench, &["--help"]));
    for verb in ["run", "check", "dead", "status", "init", "schema", "docs", "completions"] {
        same(&format!("help_{verb}"), &transcript(&bench, &[verb, "--help"]));
    }
}

#[test]
fn check_says_what_a_pipeline_does_and_promises() {
    let bench = Bench::new();
    bench.write("p.yaml", FILE);
    same("check", &transcript(&bench, &["check", "p.yaml"]));
}

#[test]
fn errors_stand_under_their_lines() {
    let bench = Bench::new();
    let wrong = FILE
        .replace("from: { file: { path: in.ndjson } }", "from: { fil: { path: in.ndjson } }")
        .replace("value: float64", "value: flaot64")
        .replace("rows: hot, to: stdout", "rows: hott, to: stdout")
        .replace("key: [id]", "keys: [id]");
    bench.write("p.yaml", &wrong);
    same("errors", &transcript(&bench, &["check", "p.yaml"]));
    bench.write("sql.yaml", &FILE.replace("value > 100", "valeu > 100"));
    same("errors_of_sql", &transcript(&bench, &["run", "sql.yaml"]));
    same("no_file", &transcript(&bench, &["check", "nothing.yaml"]));
}

/// Windows that give rows anew, and whose late rows are for sinks.
const WINDOWS: &str = "\
name: windows
sources:
  readings:
    from: { file: { path: in.ndjson } }
    columns: { id: int64, sensor: string, tags: { list: string }, note: string, ts: timestamp }
    event_time: { column: ts, delay: 5s }
  others:
    from: { file: { path: others.ndjson } }
    columns: { id: int64, ts: timestamp }
    event_time: { column: ts }
queue: { log: { path: data } }
views:
  per_minute:
    allowed_lateness: 10m
    late: stream
    sql: SELECT window_start, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, sensor
  plain: SELECT window_start, count(*) AS n FROM TUMBLE(others, ts, INTERVAL '1 minute') GROUP BY window_start
sinks:
  latest: { rows: per_minute, to: { sqlite: { path: out.db, table: minutes, key: [window_start, sensor], mode: upsert } } }
  late: { rows: per_minute.late, to: { sqlite: { path: out.db, table: late } } }
  rest: { rows: plain, to: stdout }
";

#[test]
fn check_and_explain_say_what_becomes_of_late_rows() {
    let bench = Bench::new();
    bench.write("p.yaml", WINDOWS);
    same("check_late", &transcript(&bench, &["check", "p.yaml"]));
    same("explain_late", &transcript(&bench, &["explain", "p.yaml"]));
}

#[test]
fn late_rows_that_could_not_be_given_are_refused_with_the_way_that_works() {
    let bench = Bench::new();
    let sinks = WINDOWS.find("sinks:").unwrap();
    let tags = "  tags: { late: stream, sql: \"SELECT window_start, t.tag, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') AS r CROSS JOIN UNNEST(r.tags) AS t(tag) GROUP BY window_start, t.tag\" }\n";
    let both = "  both: { late: stream, sql: \"WITH b AS (SELECT id, ts FROM readings UNION ALL SELECT id, ts FROM others) SELECT window_start, count(*) AS n FROM TUMBLE(b, ts, INTERVAL '1 minute') GROUP BY window_start\" }\n";
    let none = "  none: { late: stream, sql: SELECT id FROM readings }\n";
    let taken = "  x: { rows: tags.late, to: stdout }\n  y: { rows: both.late, to: stdout }\n  z: { rows: none.late, to: stdout }\n";
    let (views, rest) = WINDOWS.split_at(sinks);
    bench.write("p.yaml", &format!("{views}{tags}{both}{none}{rest}{taken}"));
    same("errors_of_late_rows", &transcript(&bench, &["check", "p.yaml"]));
    // And where it is known without the SQL.
    bench.write(
        "run.yaml",
        &WINDOWS.replace("    late: stream\n", "").replace("rows: plain", "rows: plain.late"),
    );
    same("errors_of_late_sinks", &transcript(&bench, &["run", "run.yaml"]));
}

#[test]
fn rows_given_anew_are_refused_where_the_sink_would_have_them_twice() {
    let bench = Bench::new();
    let sinks = [
        "appended: { rows: per_minute, to: { sqlite: { path: out.db, table: minutes } } }",
        "lines: { rows: per_minute, to: { file: { path: 'minutes-{n}.ndjson' } } }",
        "other: { rows: per_minute, to: { sqlite: { path: out.db, table: other, key: [sensor], mode: upsert } } }",
        // It keeps none, so it has none twice.
        "dropped: { rows: per_minute, to: discard }",
    ];
    let sinks: String = sinks.iter().map(|sink| format!("  {sink}\n")).collect();
    bench.write("p.yaml", &format!("{WINDOWS}{sinks}"));
    same("errors_of_lateness", &transcript(&bench, &["check", "p.yaml"]));
    let run = bench.run(&["run", "p.yaml", "--once"]).with_code(2);
    assert!(run.stderr.contains("would have them twice"), "{}", run.stderr);
    assert_eq!(bench.everything(), ["p.yaml"], "nothing is opened");
}

#[test]
fn a_run_and_its_dead_letters() {
    let bench = Bench::new();
    // One source alone: of two, either may be first in the log.
    let other = ["unknown", "other.ndjson", "later"];
    let one: Vec<&str> = FILE.lines().filter(|l| !other.iter().any(|o| l.contains(o))).collect();
    bench.write("p.yaml", &one.join("\n"));
    bench.write("in.ndjson", INPUT);
    same("run", &transcript(&bench, &["run", "p.yaml", "--once", "--log-level", "warn"]));
    same("dead_list", &transcript(&bench, &["dead", "list", "p.yaml"]));
    same("dead_show", &transcript(&bench, &["dead", "show", "p.yaml"]));
}

#[test]
fn init_says_what_to_do_next() {
    let bench = Bench::new();
    same("init", &transcript(&bench, &["init"]));
    same("init_again", &transcript(&bench, &["init"]));
}

#[test]
fn every_shell_has_its_completions() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = bench.run(&["completions", shell]).with_code(0).stdout;
        assert!(script.contains("millstream") && script.contains("replay"), "{shell}");
    }
}
