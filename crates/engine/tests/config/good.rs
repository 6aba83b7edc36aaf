//! Files that are taken, and what becomes of them.

use std::path::Path;

use millstream_core::fields::{Bytes, Span};
use millstream_core::sink::Promise;
use millstream_engine::config::{OnFailure, Pipeline};

use crate::fakes::{Around, registry};
use crate::{SENSORS, parse};

fn taken(text: &str) -> Pipeline {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// What the options of the one source `a` became.
fn source(options: &str) -> String {
    let text =
        format!("sources:\n  a:\n    from:\n{options}\nsinks:\n  out: {{ rows: a, to: stdout }}\n");
    taken(&text).sources[0].source.describe()
}

#[test]
fn a_file_becomes_parts_that_are_built_and_not_opened() {
    let pipeline = taken(SENSORS);
    assert_eq!(pipeline.name, "sensors");
    assert_eq!(pipeline.queue.kind, "log");
    assert_eq!(pipeline.queue.opener.folder().unwrap(), Path::new("/pipes/./data"));
    let readings = &pipeline.sources[0];
    assert_eq!((readings.kind, readings.codec_kind), ("http", "json"));
    assert!(readings.declared);
    assert_eq!(readings.columns.as_ref().unwrap().0.len(), 4);
    assert!(readings.source.describe().starts_with("Env(sensors.Source readings)"));
    assert!(readings.source.describe().contains("every: 5s"));
    assert_eq!(
        readings.codec.describe(),
        "Env(sensors.Codec readings) JsonCodec { rows: Some(\"/items\") }"
    );
    assert_eq!(pipeline.views[0].name, "hot");
    let store = &pipeline.sinks[0];
    assert_eq!((store.rows.as_str(), store.kind), ("hot", "sqlite"));
    assert_eq!(store.wanted, Some(Promise::EffectivelyOnce));
}

#[test]
fn what_is_left_out_has_its_default() {
    let pipeline =
        taken("sources: { a: { from: stdin } }\nsinks: { out: { rows: a, to: stdout } }\n");
    assert_eq!(pipeline.name, "pipeline");
    assert_eq!((pipeline.queue.kind, pipeline.sources[0].codec_kind), ("log", "json"));
    // Two pipelines in one folder do not share a log.
    assert_eq!(pipeline.queue.opener.folder().unwrap(), Path::new("/pipes/data/pipeline"));
    assert!(pipeline.views.is_empty() && pipeline.http.is_none());
    assert_eq!(pipeline.sinks[0].wanted, None);
    assert_eq!(pipeline.limits.step_bytes, Bytes(1 << 20));
    assert_eq!(pipeline.limits.retry_max, Span(std::time::Duration::from_secs(10)));
    assert!(!pipeline.sources[0].declared && pipeline.sources[0].columns.is_none());
}

#[test]
fn options_keep_the_order_and_the_values_of_the_file() {
    let pipeline = taken(
        "name: x-1\nsources:\n  z: { from: stdin }\n  a: { from: { generate: { rows: 3, rate: 2 } } }\nviews:\n  w: SELECT 1\n  b: |\n    SELECT 2\n    FROM a\nsinks:\n  out: { rows: w, to: { stdout: } }\nhttp:\nlimits: { step_bytes: 1MiB, stop_within: 1m }\n",
    );
    let names: Vec<&str> = pipeline.sources.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["z", "a"]);
    assert!(pipeline.sources[1].source.describe().contains("rows: Some(3), rate: 2.0"));
    assert_eq!(pipeline.views[1].sql, "SELECT 2\nFROM a\n");
    assert_eq!(pipeline.limits.step_bytes, Bytes(1 << 20));
    assert_eq!(pipeline.limits.dead_bytes, Bytes(1 << 30));
    assert_eq!(pipeline.limits.stop_within.0.as_secs(), 60);
    assert!(pipeline.http.is_none(), "`http:` with nothing below it asks for nothing");
}

#[test]
fn tables_are_read_with_their_defaults() {
    let pipeline = parse(
        "sources: { a: { from: { stdin: {} } } }\ntables:\n  one: { from: { sheet: { path: x } } }\n  two: { from: { sheet: { path: y } }, columns: { n: int64 }, reload: 1m, bytes_max: 1KiB }\nsinks: { out: { rows: a, to: stdout } }\n",
    )
    .unwrap();
    let [one, two] = &pipeline.tables[..] else { panic!("{pipeline:?}") };
    assert_eq!((one.name.as_str(), one.kind, &one.columns), ("one", "sheet", &None));
    assert_eq!((one.reload.0.as_secs(), one.bytes_max.0), (10, 64 << 20));
    assert_eq!(two.columns.as_ref().map(|c| c.0.len()), Some(1));
    assert_eq!((two.reload.0.as_secs(), two.bytes_max.0), (60, 1 << 10));
}

#[test]
fn lookups_are_read_with_their_defaults() {
    let pipeline = taken(
        "sources: { a: { from: stdin } }\nlookups:\n  one: { from: { table: { url: x } }, columns: { name: string } }\n  two: { from: { table: { url: y } }, columns: { n: int64 }, ttl: 0s, cache_bytes: 1KiB, on_failure: nulls }\nsinks: { out: { rows: a, to: stdout } }\n",
    );
    let [one, two] = &pipeline.lookups[..] else { panic!("{pipeline:?}") };
    assert_eq!((one.name.as_str(), one.kind, one.columns.0.len()), ("one", "table", 1));
    assert_eq!((one.ttl.0.as_secs(), one.cache_bytes), (10, Bytes(64 << 20)));
    assert_eq!((one.on_failure, two.on_failure), (OnFailure::Retry, OnFailure::Nulls));
    assert!(two.ttl.0.is_zero());
    assert_eq!(two.cache_bytes, Bytes(1 << 10));
    assert!(two.lookup.describe().contains("url: \"y\""));
}

#[test]
fn choices_are_read_in_all_their_forms() {
    for (method, want) in
        [("get", "Get"), ("{ get: }", "Get"), ("{ post: body }", "Post(\"body\")")]
    {
        let described = source(&format!("      http: {{ url: \"http://x\", method: {method} }}"));
        assert!(described.contains(&format!("method: {want},")), "{method}: {described}");
    }
    let described =
        source("      http: { url: \"http://x\", auth: { basic: { user: me, password: pw } } }");
    assert!(described.contains("auth: Some(Basic { user: \"me\", password: *** })"), "{described}");
}

#[test]
fn values_come_from_the_environment() {
    let described = source(
        "      http:\n        url: http://${HOST}:${PORT}/${NOWHERE:-def}${EMPTY:-ault}?$${x}\n        proxy_port: ${PORT}\n        headers: { a: \"${EMPTY}\", b: \"${PORT}\" }\n        follow: ${NOWHERE:-true}\n",
    );
    assert!(described.contains("url: \"http://example.org:8080/default?${x}\""), "{described}");
    assert!(described.contains("proxy_port: Some(8080)"), "{described}");
    assert!(described.contains("follow: true"), "{described}");
    // Inside of braces they need quotes, and are numbers all the same.
    let described = source("      http: { url: \"http://x\", proxy_port: \"${PORT}\" }");
    assert!(described.contains("proxy_port: Some(8080)"), "{described}");
    // Only values: a key is what it says.
    assert!(parse("sources: { \"${HOST}\": { from: stdin } }").is_err());
}

#[test]
fn values_come_from_files_beside_the_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe line.yaml");
    std::fs::write(folder.path().join("url.txt"), "http://from-a-file\r\n").unwrap();
    std::fs::write(&path, "sources:\n  a: { from: { http: { url: \"${file:url.txt}\" } } }\nsinks:\n  out: { rows: a, to: stdout }\n").unwrap();
    let pipeline = Pipeline::load(&path, &registry(), &Around).unwrap();
    assert!(pipeline.sources[0].source.describe().contains("url: \"http://from-a-file\""));
    assert_eq!((pipeline.name.as_str(), pipeline.folder.as_path()), ("pipe_line", folder.path()));
    assert_eq!(pipeline.file.as_deref(), Some(path.as_path()));
    assert_eq!(pipeline.text.secrets().redact("GET http://from-a-file/x"), "GET ***/x");
}

#[test]
fn secrets_are_hidden_whole_words_only_where_they_are_short() {
    let pipeline = taken(
        "sources:\n  a:\n    from:\n      http:\n        url: http://${HOST}\n        headers: { a: \"Bearer ${TOKEN}\" }\n        proxy_port: ${PORT}\nsinks:\n  out: { rows: a, to: stdout }\n",
    );
    let secrets = pipeline.text.secrets();
    assert_eq!(secrets.redact("Bearer hunter2-is-secret at example.org"), "Bearer *** at ***");
    assert_eq!(secrets.redact("nothing to hide"), "nothing to hide");
    assert!(!format!("{pipeline:?} {:?}", pipeline.text).contains("hunter2"));
}

#[test]
fn aliases_and_merge_keys_repeat_what_was_written_once() {
    let pipeline = taken(
        "sources:\n  a: &base\n    from: { http: &http { url: \"http://a\", every: 7s } }\n    decode: csv\n  b: *base\n  c:\n    <<: *base\n    from: { http: { <<: [*http], url: \"http://c\" } }\nsinks:\n  out: { rows: c, to: stdout }\n",
    );
    let kinds: Vec<&str> = pipeline.sources.iter().map(|s| s.codec_kind).collect();
    assert_eq!(kinds, ["csv", "csv", "csv"]);
    let c = pipeline.sources[2].source.describe();
    assert!(c.contains("url: \"http://c\"") && c.contains("every: 7s"), "{c}");
}

#[test]
fn other_machines_are_let_in_only_when_that_is_said() {
    let file = |http: &str| {
        parse(&format!(
            "sources: {{ a: {{ from: stdin }} }}\nsinks: {{ out: {{ rows: a, to: stdout }} }}\nhttp: {http}\n"
        ))
    };
    let open = file("{ listen: \"0.0.0.0:1\", open_to_network: true }").unwrap();
    assert_eq!(open.http.unwrap().address().unwrap().to_string(), "0.0.0.0:1");
    let local = file("{}").unwrap();
    assert_eq!(local.http.unwrap().address().unwrap().to_string(), "127.0.0.1:9464");
    assert!(file("{ listen: \"[::1]:5\" }").is_ok());
    assert!(file("{ listen: \"[::]:5\" }").is_err());
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str| {
        Pipeline::load(&folder.path().join(name), &registry(), &Around).unwrap_err().to_string()
    };
    assert!(load("none.yaml").starts_with("cannot read the pipeline file: No such file"));
    std::fs::write(folder.path().join("latin1.yaml"), b"name: caf\xe9\n").unwrap();
    assert!(load("latin1.yaml").starts_with("the pipeline file is not UTF-8: byte 9"));
    std::fs::write(folder.path().join("long.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(load("long.yaml").starts_with("the pipeline file is longer than"));
    let deep = parse(&format!("a: {}", "[".repeat(10_000))).unwrap_err().to_string();
    assert!(deep.starts_with("the file is nested deeper than 64"), "{deep}");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let text = format!("\u{feff}{}", SENSORS.replace('\n', "\r\n"));
    let pipeline = taken(&text);
    assert_eq!(pipeline.views[0].sql, taken(SENSORS).views[0].sql);
    let broken = parse(&text.replace("hot\r\n    to", "hut\r\n    to")).unwrap_err();
    assert!(broken.to_string().contains("(pipeline.yaml:18:11)"), "{broken}");
}

#[test]
fn a_source_is_told_whether_its_codec_reads_a_header() {
    let text = |url: &str, decode: &str| {
        format!(
            "sources: {{ a: {{ from: {{ http: {{ url: \"http://{url}\" }} }}, decode: {decode} }} }}\nsinks: {{ o: {{ rows: a, to: stdout }} }}\n"
        )
    };
    for (decode, header) in
        [("csv", true), ("{ csv: { header: false } }", false), ("json", false), ("", false)]
    {
        let described = taken(&text("a", decode)).sources[0].source.describe();
        assert_eq!(described.ends_with(" with a header"), header, "{decode}: {described}");
    }
    let told = parse(&text("no header", "csv")).unwrap_err().render(false);
    assert!(told.contains("there is no header at sources.a.from.http.url"), "{told}");
    assert!(told.contains("fix: write another"), "{told}");
}
