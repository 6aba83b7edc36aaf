//! Keys looked up: hashes and strings, many at once.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, TimeUnit};
use millstream_connectors::RedisLookup;
use millstream_core::Remedy;
use millstream_core::codec::Columns;
use millstream_core::lookup::{Answer, Key, Lookup};
use millstream_core::plugin::{Config, Env};
use millstream_testkit::redis::{RedisServer, has_redis};
use serde_json::{Value, json};

use crate::ask as command;

fn built(options: Value) -> millstream_core::Result<Box<dyn Lookup>> {
    serde_json::from_value::<RedisLookup>(options).unwrap().build(&Env::test("devices", "/"))
}

fn lookup(server: &RedisServer, read: Value) -> Box<dyn Lookup> {
    built(json!({ "url": server.url(), "timeout": "1s", "read": read })).unwrap()
}

fn columns(columns: Value) -> Columns {
    serde_json::from_value(columns).unwrap()
}

fn keys<T: ToString>(keys: impl IntoIterator<Item = T>) -> Vec<Key> {
    keys.into_iter().map(|k| Key::from(k.to_string())).collect()
}

fn lines(rows: &RecordBatch) -> Vec<String> {
    let cell = |column: &arrow_array::ArrayRef, row: usize| {
        // Without the time zone, which this crate alone cannot write.
        let bare = DataType::Timestamp(TimeUnit::Microsecond, None);
        let column = match column.data_type() {
            DataType::Timestamp(..) => &arrow_cast::cast(column, &bare).unwrap(),
            _ => column,
        };
        if column.is_null(row) { "-".into() } else { array_value_to_string(column, row).unwrap() }
    };
    (0..rows.num_rows())
        .map(|row| rows.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" "))
        .collect()
}

/// Asks and reads: for each key its row, `nothing`, or why it does not fit.
async fn find(lookup: &dyn Lookup, keys: &[Key], columns: &Columns) -> Vec<String> {
    let answers = lookup.ask(keys, columns).await.unwrap();
    let found = answers.iter().filter_map(|a| match a {
        Answer::Found(values) => Some(values.as_slice()),
        Answer::Nothing | Answer::Unfit(_) => None,
    });
    let found: Vec<_> = found.collect();
    let read = lookup.reader(columns).unwrap().read(&found).unwrap();
    assert_eq!(read.rows.schema(), columns.schema());
    let mut rows = lines(&read.rows).into_iter();
    let mut unfit = read.unfit.into_iter().peekable();
    let mut seen = 0;
    let told = answers.into_iter().map(|a| match a {
        Answer::Nothing => "nothing".to_owned(),
        Answer::Unfit(why) => why,
        Answer::Found(_) => {
            seen += 1;
            let why = unfit.next_if(|(i, _)| *i == seen - 1);
            why.map_or_else(|| rows.next().unwrap(), |(_, why)| why)
        }
    });
    told.collect()
}

#[tokio::test]
async fn hashes_give_their_fields_as_the_columns_have_them() {
    if !has_redis("hashes_give_their_fields_as_the_columns_have_them") {
        return;
    }
    let server = RedisServer::forgetful();
    let set = |words: &[&str]| server.ask(&[&["HSET"], words].concat());
    set(&[
        "device:a",
        "name",
        "first",
        "limit",
        "10.5",
        "on",
        "TRUE",
        "Since when",
        "2026-11-23T05:00:00Z",
    ]);
    set(&["device:b", "name", "", "n", "7", "more", "{\"x\": 1}"]);
    set(&["device:other", "elsewhere", "1"]);
    set(&["device:bad", "limit", "much"]);
    set(&["device:worse", "name", "x", "n", "1.5"]);
    server.ask(&["SET", "device:text", "no hash"]);
    let columns = columns(json!({
        "name": "string", "limit": "float64", "n": "int64", "on": "bool",
        "since": { "type": "timestamp", "at": "/Since when" }, "more": "json"
    }));
    let lookup = lookup(&server, json!({ "hash": { "key": "device:{key}" } }));
    let keys = keys(["a", "b", "other", "gone", "bad", "worse", "text"]);
    let told = find(lookup.as_ref(), &keys, &columns).await;
    assert_eq!(
        told,
        [
            "first 10.5 - true 2026-11-23T05:00:00 -",
            " - 7 - - {\"x\": 1}",
            "- - - - - -",
            "nothing",
            "column `limit` is float64, found `much`",
            "column `n` is int64, found `1.5`",
            "`device:text` is no hash but another type of value",
        ]
    );
    // Without any column it is only of interest which keys there are.
    let none = Columns::default();
    let told = lookup.ask(&keys, &none).await.unwrap();
    let there: Vec<bool> = told.iter().map(|a| *a != Answer::Nothing).collect();
    assert_eq!(there, [true, true, true, false, true, true, true]);
}

#[tokio::test]
async fn strings_give_their_value_or_the_json_in_it() {
    if !has_redis("strings_give_their_value_or_the_json_in_it") {
        return;
    }
    let server = RedisServer::forgetful();
    for (key, value) in [
        ("a", r#"{"name": "first", "at": {"floor": 3}, "more": [1]}"#),
        ("b", r#"{"name": null}"#),
        ("cut", r#"{"name": "fir"#),
        ("list", r#"[{"name": "x"}, {"name": "y"}]"#),
        ("wrong", r#"{"name": 5}"#),
        ("n", "42"),
    ] {
        server.ask(&["SET", &format!("{key}:x"), value]);
    }
    server.ask(&["HSET", "hash:x", "name", "x"]);
    let json_columns =
        columns(json!({ "name": "string", "floor": { "type": "int64", "at": "/at/floor" } }));
    let lookup_json = lookup(&server, json!({ "json": { "key": "{key}:x" } }));
    let keys = keys(["a", "b", "cut", "list", "wrong", "n", "gone", "hash"]);
    let told = find(lookup_json.as_ref(), &keys, &json_columns).await;
    assert_eq!(told[..2], ["first 3", "- -"]);
    for (i, why) in [(2, ""), (3, ""), (4, "column `name` is string, found `5`"), (5, "")] {
        assert!(
            told[i] != "nothing" && !told[i].starts_with("first") && told[i].contains(why),
            "{told:?}"
        );
    }
    // `MGET` says of another type what it says of no key.
    assert_eq!(told[6..], ["nothing", "nothing"]);
    let plain = lookup(&server, json!({ "string": { "key": "{key}:x" } }));
    let told = find(plain.as_ref(), &keys[5..7], &columns(json!({ "level": "int64" }))).await;
    assert_eq!(told, ["42", "nothing"]);
    let told = find(plain.as_ref(), &keys[..1], &columns(json!({ "level": "int64" }))).await;
    assert!(told[0].starts_with("column `level` is int64, found `{\"name\""), "{told:?}");
    assert!(matches!(
        plain.ask(&keys[5..], &Columns::default()).await.unwrap()[..],
        [Answer::Found(_), Answer::Nothing, Answer::Nothing]
    ));
}

/// How often a command was run.
fn calls(server: &RedisServer, name: &str) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]);
    let line = stats.lines().find(|l| l.starts_with(&format!("cmdstat_{name}:calls=")));
    line.map_or(0, |l| l.split(['=', ',']).nth(1).unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_batch_is_one_mget_or_one_pipeline() {
    if !has_redis("a_batch_is_one_mget_or_one_pipeline") {
        return;
    }
    let server = RedisServer::forgetful();
    for i in 0..900 {
        server.ask(&["SET", &format!("s:{i}"), &i.to_string()]);
    }
    let level = columns(json!({ "level": "int64" }));
    let strings = lookup(&server, json!({ "string": { "key": "s:{key}" } }));
    let told = find(strings.as_ref(), &keys(0..1000), &level).await;
    assert_eq!(told[899..901], ["899", "nothing"]);
    assert_eq!(calls(&server, "mget"), 1);
    // Beyond the bound of one request there are several.
    find(strings.as_ref(), &keys(0..2500), &level).await;
    assert_eq!(calls(&server, "mget"), 4);
    let hashes = lookup(&server, json!({ "hash": { "key": "h:{key}" } }));
    for i in 0..100 {
        server.ask(&["HSET", &format!("h:{i}"), "level", &i.to_string(), "large", "x"]);
    }
    let clients = || {
        let read = server.ask(&["INFO", "stats"]);
        let line = read.lines().find(|l| l.starts_with("total_reads_processed:")).unwrap();
        line.split(':').nth(1).unwrap().trim().parse::<u64>().unwrap()
    };
    find(hashes.as_ref(), &keys(0..1), &level).await;
    let (hmget, reads) = (calls(&server, "hmget"), clients());
    assert_eq!(find(hashes.as_ref(), &keys(0..100), &level).await[99], "99");
    assert_eq!(calls(&server, "hmget") - hmget, 100);
    // Ours, and those of the questions themselves.
    assert!(clients() - reads <= 10, "one pipeline, not one request a key");
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_and_then_answers() {
    if !has_redis("a_server_that_is_away_is_asked_again_and_then_answers") {
        return;
    }
    let mut server = RedisServer::safe();
    server.ask(&["SET", "a", "1"]);
    let level = columns(json!({ "level": "int64" }));
    let both = [("string", "a"), ("hash", "h")];
    server.ask(&["HSET", "h", "level", "2"]);
    for (read, key) in both {
        let lookup = lookup(&server, json!({ read: { "key": "{key}" } }));
        find(lookup.as_ref(), &keys([key]), &level).await;
        server.kill();
        for _ in 0..2 {
            let error = lookup.ask(&keys([key]), &level).await.unwrap_err();
            assert_eq!(error.remedy(), Remedy::Retry, "{error}");
        }
        server.restart();
        assert_ne!(find(lookup.as_ref(), &keys([key]), &level).await, ["nothing"]);
        server.freeze();
        let error = lookup.ask(&keys([key]), &level).await.unwrap_err();
        assert_eq!(error.remedy(), Remedy::Retry, "{error}");
        server.thaw();
        assert_ne!(find(lookup.as_ref(), &keys([key]), &level).await, ["nothing"]);
    }
    server.ask(&["CONFIG", "SET", "requirepass", "x"]);
    let lookup = lookup(&server, json!({ "string": { "key": "{key}" } }));
    let error = lookup.ask(&keys(["a"]), &level).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Stop, "{error}");
}

#[tokio::test]
async fn just_the_permissions_of_the_docs_are_enough() {
    if !has_redis("just_the_permissions_of_the_docs_are_enough") {
        return;
    }
    let server = RedisServer::forgetful();
    for (read, commands) in
        [("hash", vec!["+hmget", "+exists"]), ("json", vec!["+mget"]), ("string", vec!["+mget"])]
    {
        let acl = ["ACL", "SETUSER", "me", "reset", "on", ">pw", "~device:*"];
        server.ask(&[&acl[..], &commands].concat());
        let url = server.url().replace("redis://", "redis://me:pw@");
        let lookup =
            |key: &str| built(json!({ "url": url, "read": { read: { "key": key } } })).unwrap();
        let one = columns(json!({ "name": "string" }));
        assert_eq!(find(lookup("device:{key}").as_ref(), &keys(["a"]), &one).await, ["nothing"]);
        let error = lookup("other:{key}").ask(&keys(["a"]), &one).await.unwrap_err();
        assert_eq!(error.remedy(), Remedy::Stop, "{error}");
    }
}

#[tokio::test]
async fn a_cluster_is_asked_too() {
    if !has_redis("a_cluster_is_asked_too") {
        return;
    }
    let server = RedisServer::start(&["--cluster-enabled", "yes"]);
    server.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    while !command::<String>(&server, &["CLUSTER", "INFO"]).contains("cluster_state:ok") {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for i in 0..100 {
        server.ask(&["HSET", &format!("h:{i}"), "level", &i.to_string()]);
        server.ask(&["SET", &format!("s:{i}"), &i.to_string()]);
    }
    let url = server.url().replace("redis://", "redis+cluster://");
    let level = columns(json!({ "level": "int64" }));
    let wanted: Vec<String> =
        (0..120).map(|i| if i < 100 { i.to_string() } else { "nothing".into() }).collect();
    for read in [json!({ "hash": { "key": "h:{key}" } }), json!({ "string": { "key": "s:{key}" } })]
    {
        let lookup: Arc<dyn Lookup> =
            Arc::from(built(json!({ "url": url, "read": read })).unwrap());
        assert_eq!(
            find(lookup.as_ref(), &keys(0..120), &level).await,
            wanted,
            "in the order asked"
        );
    }
}

#[test]
fn options_that_cannot_be_are_refused() {
    let url = "redis://127.0.0.1:1";
    let error =
        built(json!({ "url": url, "read": { "hash": { "key": "a:{id}" } } })).err().unwrap();
    assert!(error.to_string().contains("`{id}`"), "{error}");
    let of =
        |read: &str| built(json!({ "url": url, "read": { read: { "key": "{key}" } } })).unwrap();
    let refused = |read: &str, c: Value| of(read).reader(&columns(c)).err().map(|e| e.to_string());
    let two = json!({ "a": "int64", "b": "int64" });
    assert!(refused("string", two.clone()).unwrap().contains("several columns"));
    assert_eq!(refused("hash", two.clone()), None);
    assert_eq!(refused("json", two), None);
    let nested = json!({ "a": { "list": "int64" } });
    assert!(refused("hash", nested.clone()).unwrap().contains("which no text holds"));
    assert_eq!(refused("json", nested), None);
    let deep = json!({ "a": { "type": "int64", "at": "/x/y" } });
    assert!(refused("hash", deep.clone()).unwrap().contains("leads into a field"));
    assert_eq!(refused("json", deep), None);
    assert!(of("hash").describe().contains("a hash per `{key}` of redis://127.0.0.1:1"));
}

#[test]
fn a_key_that_is_none_is_told_with_its_place_and_how_to_write_it() {
    for (key, what) in [
        ("device", "it names no column"),
        ("device:{id}", "`{id}` in it, which is not known here"),
        ("a{", "a `{` has no `}`"),
    ] {
        for read in ["hash", "json", "string"] {
            let url = "redis://127.0.0.1:1";
            let error =
                built(json!({ "url": url, "read": { read: { "key": key } } })).err().unwrap();
            assert!(error.what().contains(what), "{error}");
            assert_eq!(error.place(), Some(&*format!("read.{read}.key")));
            assert!(error.how_to_fix().unwrap().contains("`device:{key}`"), "{error}");
        }
    }
}
