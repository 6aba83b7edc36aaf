//! Files and options that are wrong: code 2, every error with its place, and nothing created.

use crate::bench::{Bench, Running, edge};

/// Wrong in five places.
const WRONG: &str = "\
name: wrong
sources:
  orders:
    from:
      generat: { rows: 10 }
  readings:
    from: { generate: { rows: ten, fields: { id: { sequence: {} } } } }
queue: { log: { path: data, segmentbytes: 1MiB } }
views:
  hot: SELECT id FROM readings WHERE id > 1
sinks:
  store: { rows: hott, to: { sqlite: { path: \"${NOT_SET_ANYWHERE}\", table: t } } }
";

const BAD_SQL: &str = "\
sources:
  readings:
    from: { generate: { rows: 10, fields: { id: { sequence: {} } } } }
queue: { log: { path: data } }
views:
  hot: |
    SELECT id,
           valeu
    FROM readings
  sorted: SELECT id FROM readings ORDER BY id
sinks:
  store: { rows: hot, to: { sqlite: { path: out.db, table: t } } }
  other: { rows: sorted, to: discard }
";

#[test]
fn every_error_of_a_file_is_told_at_once_with_its_line_and_nothing_is_made() {
    for verb in [&["run", "p.yaml"][..], &["check", "p.yaml"], &["dead", "list", "p.yaml"]] {
        let bench = Bench::new();
        bench.write("p.yaml", WRONG);
        let done = bench.run(verb).with_code(2);
        for wanted in [
            "unknown source type `generat`",
            "did you mean `generate`",
            "p.yaml:5:7",
            "p.yaml:7:31",
            "`segmentbytes`",
            "NOT_SET_ANYWHERE",
            "`hott`",
        ] {
            assert!(done.stderr.contains(wanted), "no `{wanted}` of {verb:?} in\n{}", done.stderr);
        }
        assert!(done.stdout.is_empty());
        assert_eq!(bench.everything(), ["p.yaml"]);
    }
}

#[test]
fn errors_of_sql_have_their_place_in_the_file() {
    for verb in [&["run", "p.yaml"][..], &["check", "p.yaml"]] {
        let bench = Bench::new();
        bench.write("p.yaml", BAD_SQL);
        let done = bench.run(verb).with_code(2);
        assert!(done.stderr.contains("valeu"), "{}", done.stderr);
        assert!(done.stderr.contains("p.yaml:8:12"), "{}", done.stderr);
        assert!(done.stderr.contains("`ORDER BY`"), "{}", done.stderr);
        assert_eq!(bench.everything(), ["p.yaml"]);
    }
}

#[test]
fn errors_are_json_where_asked_for() {
    let bench = Bench::new();
    bench.write("p.yaml", WRONG);
    let done = bench.run(&["run", "p.yaml", "--json"]).with_code(2);
    let told: serde_json::Value = serde_json::from_str(done.stderr.trim()).unwrap();
    assert_eq!(told["event"], "refused");
    assert_eq!(told["problems"].as_array().unwrap().len(), 5, "{told}");
    let done = bench.run(&["check", "p.yaml", "--json"]).with_code(2);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&done.stdout).unwrap(), told);
}

#[test]
fn options_that_do_not_fit_are_refused_before_anything_is_made() {
    let endless = "
sources:
  made: { from: { generate: { fields: { id: { sequence: {} } } } } }
queue: { log: { path: data } }
sinks:
  nowhere: { rows: made, to: discard }
";
    let cases: &[(&[&str], &str)] = &[
        (&["--once"], "no source of this file ends by itself"),
        (&["--resume", "nowhre"], "there is no sink `nowhre`"),
        (&["--for", "15"], "with its unit"),
        (&["--listen", "here"], "is no address to listen on"),
        (&["--log-level", "millstream=loud"], "is no log level"),
    ];
    for (options, wanted) in cases {
        let bench = Bench::new();
        bench.write("p.yaml", endless);
        let args: Vec<&str> = ["run", "p.yaml"].iter().chain(*options).copied().collect();
        let done = bench.run(&args).with_code(2);
        assert!(done.stderr.contains(wanted), "no `{wanted}` in\n{}", done.stderr);
        assert_eq!(bench.everything(), ["p.yaml"], "{options:?}");
    }
}

#[test]
fn a_promise_that_cannot_be_kept_is_refused() {
    let bench = Bench::new();
    let asks = "
sources:
  made: { from: { generate: { rows: 1, fields: { id: { sequence: {} } } } } }
queue: { log: { path: data } }
sinks:
  terminal: { rows: made, promise: effectively_once, to: stdout }
";
    bench.write("p.yaml", asks);
    let done = bench.run(&["check", "p.yaml"]).with_code(2);
    assert!(done.stderr.contains("p.yaml:6"), "{}", done.stderr);
    assert!(
        done.stderr.contains("at_least_once") || done.stderr.contains("at least once"),
        "{}",
        done.stderr
    );
}

#[test]
fn secrets_are_never_shown() {
    let bench = Bench::new();
    let file = "
sources:
  api: { from: { http: { url: \"http://127.0.0.1:9/${TOKEN}/items\", every: 1s } } }
queue: { log: { path: data } }
sinks:
  nowhere: { rows: api, to: discard }
";
    bench.write("p.yaml", file);
    for args in [
        &["check", "p.yaml"][..],
        &["check", "p.yaml", "--json"],
        &["run", "p.yaml", "--for", "2500ms", "--json"],
    ] {
        let output = bench.command(args).env("TOKEN", "hunter2hunter2").output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("/***/items"), "{args:?}: {text}");
    }
}

#[test]
fn check_opens_and_makes_nothing() {
    let bench = Bench::new();
    bench.write("p.yaml", BAD_SQL.split("views:").next().unwrap());
    bench.run(&["init", "first.yaml"]).with_code(0);
    let before = bench.everything();
    bench.run(&["check", "first.yaml"]).with_code(0);
    bench.run(&["status", "first.yaml"]).with_code(1);
    assert_eq!(bench.everything(), before);
}

#[test]
fn init_writes_a_file_that_runs_and_never_overwrites() {
    let bench = Bench::new();
    bench.run(&["init"]).with_code(0);
    let done = bench.run(&["run", "pipeline.yaml", "--for", "1s", "--json"]).with_code(0);
    assert!(done.closed()["rows_out"].as_u64().unwrap() > 0);
    assert!(done.stdout.contains("sensor"), "{}", done.stdout);
    let before = std::fs::read(bench.path("pipeline.yaml")).unwrap();
    bench.run(&["init"]).with_code(1);
    assert_eq!(std::fs::read(bench.path("pipeline.yaml")).unwrap(), before);
}

/// What an API answers first may hold a row and no column.
#[test]
fn rows_without_columns_are_set_aside_and_stop_nothing() {
    let bench = Bench::new();
    bench.write("in.ndjson", "{}\n");
    bench.write(
        "p.yaml",
        "sources:
  empty: { from: { file: { path: in.ndjson } } }
  other: { from: { generate: { rows: 10, fields: { id: { sequence: {} } } } } }
queue: { log: { path: data } }
sinks:
  a: { rows: empty, to: { sqlite: { path: out.db, table: a } } }
  b: { rows: other, to: { sqlite: { path: out.db, table: b } } }
",
    );
    bench.run(&["run", "p.yaml", "--once"]).with_code(0);
    assert_eq!(bench.count("out.db", "SELECT count(*) FROM b"), 10);
    let dead = bench.run(&["dead", "list", "p.yaml"]).with_code(0);
    assert!(dead.stdout.contains("no columns are known yet"), "{}", dead.stdout);
    // Once it has something to say, it goes on.
    bench.write("in.ndjson", "{}\n{\"n\":1}\n");
    bench.run(&["run", "p.yaml", "--once"]).with_code(0);
    assert_eq!(bench.count("out.db", "SELECT count(*) FROM a WHERE n = 1"), 1);
}

/// A header, and enough rows for several records.
#[test]
fn a_csv_with_a_header_comes_whole_through_a_file_and_through_a_pipe() {
    let rows: String = (0..60_000).map(|i| format!("{i},name{i},{i}.5\n")).collect();
    let text = format!("id,name,x\n{rows}");
    for from in ["stdin", "{ file: { path: a.csv } }", "{ file: { path: a.csv, whole: true } }"] {
        let bench = Bench::new();
        bench.write("a.csv", &text);
        bench.write(
            "p.yaml",
            &format!("sources: {{ r: {{ from: {from}, decode: csv }} }}\nqueue: {{ log: {{ path: log }} }}\nsinks: {{ o: {{ rows: r, to: {{ sqlite: {{ path: out.db, table: t }} }} }} }}\n"),
        );
        let mut command = bench.command(&["run", "p.yaml", "--once", "--json"]);
        command.stdin(std::fs::File::open(bench.path("a.csv")).unwrap());
        let closed = Running::of(command).done().with_code(0).closed();
        assert_eq!(edge(&closed, "decode", "r", "set_aside"), 0, "{from}");
        let whole = "SELECT count(*) FROM t WHERE name = 'name' || id AND x = id + 0.5";
        assert_eq!(bench.count("out.db", whole), 60_000, "{from}");
        assert_eq!(bench.count("out.db", "SELECT count(DISTINCT id) FROM t"), 60_000, "{from}");
    }
}

#[test]
fn a_header_that_the_codec_contradicts_is_told_with_its_place() {
    let bench = Bench::new();
    for (header, decode) in
        [("true", "json"), ("true", "{ csv: { header: false } }"), ("false", "csv")]
    {
        bench.write("p.yaml", &format!("sources:\n  r:\n    from: {{ file: {{ path: a, header: {header} }} }}\n    decode: {decode}\nsinks: {{ o: {{ rows: r, to: discard }} }}\n"));
        let said = bench.run(&["check", "p.yaml"]).with_code(2).stderr;
        assert!(said.contains("at sources.r.from.file.header (p.yaml:3:"), "{said}");
        assert!(said.contains("fix: leave it out"), "{said}");
    }
}

#[test]
fn what_comes_from_the_environment_is_shown_nowhere() {
    let sink = "sinks: { o: { rows: r, to: discard } }";
    let made = "sources: { r: { from: { generate: { rows: 1, fields: { id: { sequence: {} } } } }, columns: { id: int64 } } }";
    let polled = |url: &str| {
        format!(
            "sources: {{ r: {{ from: {{ http: {{ url: \"{url}\", every: 1s }} }}, columns: {{ id: int64 }} }} }}\n{sink}\n"
        )
    };
    let files = [
        format!("{made}\nqueue: {{ log: {{ path: \"/proc/${{TOKEN}}\" }} }}\n{sink}\n"),
        polled("http://${TOKEN}.invalid/x"),
        polled("http://127.0.0.1:1/${ODD}/x"),
        polled("http://127.0.0.1:1/x?k=${ODD}"),
        polled("${TOKEN}://x"),
        format!(
            "{made}\nsinks: {{ o: {{ rows: r, to: {{ file: {{ path: \"${{TOKEN}}.zzz\" }} }} }} }}\n"
        ),
    ];
    let bench = Bench::new();
    for file in files {
        bench.write("p.yaml", &file);
        for verb in [
            &["check", "p.yaml"][..],
            &["run", "p.yaml", "--for", "300ms"],
            &["run", "p.yaml", "--for", "300ms", "--json"],
            &["status", "p.yaml"],
            &["dead", "list", "p.yaml"],
        ] {
            let mut command = bench.command(verb);
            command.env("TOKEN", "SeKrEtHost9").env("ODD", "p\u{e4} ss\"w<rd%");
            let done = Running::of(command).done();
            let said = format!("{}{}", done.stdout, done.stderr).to_lowercase();
            for part in ["sekret", "p\u{e4}", "p%c3", "w<rd", "w%3crd"] {
                assert!(!said.contains(part), "{verb:?} of\n{file}\nsays\n{said}");
            }
        }
    }
}

#[test]
fn an_address_that_is_listened_on_is_no_secret() {
    let bench = Bench::new();
    bench.write(
        "p.yaml",
        "sources: { r: { from: { generate: { rate: 1/s, fields: { id: { sequence: {} } } } } } }\nhttp: { listen: \"${LISTEN}\" }\nsinks: { o: { rows: r, to: discard } }\n",
    );
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = bench.command(&["run", "p.yaml", "--for", "100ms"]);
    command.env("LISTEN", free.to_string());
    let done = Running::of(command).done().with_code(0);
    assert!(done.stderr.contains(&free.to_string()), "{}", done.stderr);
}

#[test]
fn a_key_that_the_rows_do_not_have_is_told_by_check() {
    let bench = Bench::new();
    bench.write(
        "p.yaml",
        "sources: { r: { from: stdin, columns: { id: int64 } } }\nsinks:\n  o:\n    rows: r\n    to: { sqlite: { path: out.db, table: t, key: [nokey] } }\n",
    );
    let said = bench.run(&["check", "p.yaml"]).with_code(2).stderr;
    assert!(said.contains("key column `nokey` is not among the rows' columns"), "{said}");
    assert!(said.contains("at sinks.o.to (p.yaml:5:"), "{said}");
    assert!(said.contains("choose from `id`"), "{said}");
}

#[test]
fn a_row_that_several_sinks_of_one_file_refuse_is_set_aside_and_the_others_arrive() {
    let bench = Bench::new();
    bench.write(
        "p.yaml",
        "
sources: { a: { from: { file: { path: a.ndjson } }, columns: { id: int64, k: int64 } } }
queue: { log: { path: data } }
sinks:
  one: { rows: a, to: { sqlite: { path: o.db, table: one, key: [k], mode: upsert } } }
  two: { rows: a, to: { sqlite: { path: o.db, table: two, key: [k], mode: upsert } } }
",
    );
    bench.write("a.ndjson", "{\"id\":1,\"k\":null}\n{\"id\":2,\"k\":1}\n{\"id\":3,\"k\":2}\n");
    let closed = bench.run(&["run", "p.yaml", "--once", "--json"]).with_code(0).closed();
    for (sink, table) in [("one", "one"), ("two", "two")] {
        assert_eq!(crate::bench::edge(&closed, "sink", sink, "set_aside"), 1, "{sink}");
        assert_eq!(bench.count("o.db", &format!("SELECT count(*) FROM {table}")), 2, "{table}");
    }
}
