//! What rows become, and the laws of sinks.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use millstream_core::Remedy;
use millstream_core::codec::{Origin, Rows};
use millstream_core::record::Offset;
use millstream_core::sink::{Held, Promise};
use millstream_testkit::laws::sink as laws;
use millstream_testkit::redis::{RedisServer, has_redis};
use serde_json::json;

use super::*;

/// One way to write, and how to read it back.
struct Written {
    server: RedisServer,
    write: Value,
}

impl Written {
    fn new(write: Value) -> Self {
        Self { server: RedisServer::forgetful(), write }
    }
}

fn id_of(row: &str) -> i64 {
    serde_json::from_str::<Value>(row).unwrap()["id"].as_i64().unwrap()
}

#[async_trait]
impl laws::Subject for Written {
    fn sink(&self) -> Box<dyn Sink> {
        sink(&self.server, self.write.clone())
    }

    async fn ids(&self) -> Vec<i64> {
        let ask = |words: &[&str]| -> Vec<String> { super::ask(&self.server, words) };
        let by_key = |pattern: &str| {
            let keys = ask(&["KEYS", pattern]);
            let mut ids: Vec<i64> =
                keys.iter().map(|key| key.split(':').nth(1).unwrap().parse().unwrap()).collect();
            ids.sort_unstable();
            ids
        };
        match self.write.as_object().unwrap().keys().next().unwrap().as_str() {
            "list" if self.write["list"]["side"] == "right" => {
                ask(&["LRANGE", "out", "0", "-1"]).iter().map(|row| id_of(row)).collect()
            }
            "list" => {
                ask(&["LRANGE", "out", "0", "-1"]).iter().rev().map(|row| id_of(row)).collect()
            }
            "stream" => {
                let entries: Vec<(String, Vec<String>)> =
                    super::ask(&self.server, &["XRANGE", "out", "-", "+"]);
                let id = |fields: Vec<String>| match fields.as_slice() {
                    [data, row] if data == "data" => id_of(row),
                    [id, value, ..] if id == "id" => value.parse().unwrap(),
                    other => panic!("{other:?}"),
                };
                entries.into_iter().map(|(_, fields)| id(fields)).collect()
            }
            "hash" => by_key("device:*"),
            _ => by_key("latest:*"),
        }
    }
}

#[tokio::test]
async fn every_way_to_write_holds_the_laws() {
    if !has_redis("every_way_to_write_holds_the_laws") {
        return;
    }
    for write in [
        json!({ "list": { "key": "out" } }),
        json!({ "list": { "key": "out", "side": "right" } }),
        json!({ "stream": { "key": "out" } }),
        json!({ "stream": { "key": "out", "field": "data" } }),
        json!({ "hash": { "key": "device:{id}" } }),
        json!({ "string": { "key": "latest:{id}", "ttl": "1h" } }),
    ] {
        assert_eq!(Written::new(write.clone()).sink_promise(), Promise::EffectivelyOnce);
        laws::hold(|| Written::new(write.clone())).await;
    }
}

impl Written {
    fn sink_promise(&self) -> Promise {
        laws::Subject::sink(self).promise()
    }
}

/// Three rows; the second has nulls, the third an id that is null.
fn rows() -> Rows {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), Some(2), None]))),
        ("name", Arc::new(StringArray::from(vec![Some("a \"b\""), None, None]))),
        ("value", Arc::new(Float64Array::from(vec![Some(1.5), None, None]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    Rows { batch, origin: Origin::new(Offset(3), Arc::from([0, 1, 2]), None) }
}

/// Writes the rows in one epoch; the names of those that are refused, and why.
async fn deliver(
    server: &RedisServer,
    write: Value,
    epoch: u64,
    rows: &Rows,
) -> Vec<(String, String)> {
    let mut sink = sink(server, write);
    sink.open(rows.batch.schema()).await.unwrap();
    sink.write(rows).await.unwrap();
    let refused = sink.prepare(&laws::mark(epoch)).await.unwrap();
    sink.flush(&laws::mark(epoch)).await.unwrap();
    assert!(refused.iter().all(|r| r.row.num_rows() == 1));
    refused.into_iter().map(|r| (r.id.to_string(), r.reason)).collect()
}

#[tokio::test]
async fn a_list_gets_json_or_a_column() {
    if !has_redis("a_list_gets_json_or_a_column") {
        return;
    }
    let server = RedisServer::forgetful();
    assert!(deliver(&server, json!({ "list": { "key": "json" } }), 1, &rows()).await.is_empty());
    let taken: Vec<String> = (0..3).map(|_| ask(&server, &["RPOP", "json"])).collect();
    assert_eq!(
        taken,
        [
            r#"{"id":1,"name":"a \"b\"","value":1.5}"#,
            r#"{"id":2,"name":null,"value":null}"#,
            r#"{"id":null,"name":null,"value":null}"#
        ]
    );
    let column = json!({ "list": { "key": "column", "value": "name", "side": "right" } });
    let refused = deliver(&server, column, 2, &rows()).await;
    assert_eq!(ask::<Vec<String>>(&server, &["LRANGE", "column", "0", "-1"]), ["a \"b\""]);
    assert_eq!(refused.iter().map(|r| r.0.as_str()).collect::<Vec<_>>(), ["3/1/0", "3/2/0"]);
    assert!(refused[0].1.contains("`name`"), "{refused:?}");
}

#[tokio::test]
async fn a_stream_gets_fields_and_leaves_nulls_out() {
    if !has_redis("a_stream_gets_fields_and_leaves_nulls_out") {
        return;
    }
    let server = RedisServer::forgetful();
    let refused = deliver(&server, json!({ "stream": { "key": "s" } }), 1, &rows()).await;
    assert_eq!(refused.len(), 1, "a row of nulls is no entry: {refused:?}");
    let entries: Vec<(String, Vec<String>)> = ask(&server, &["XRANGE", "s", "-", "+"]);
    assert_eq!(entries[0].1, ["id", "1", "name", "a \"b\"", "value", "1.5"]);
    assert_eq!(entries[1].1, ["id", "2"]);
    // Cut to about a bound.
    let bounded = json!({ "stream": { "key": "bounded", "maxlen": 100, "field": "data" } });
    let many: Vec<i64> = (0..5_000).collect();
    deliver(&server, bounded, 2, &laws::rows(1, &many)).await;
    let length = ask::<usize>(&server, &["XLEN", "bounded"]);
    assert!((100..=300).contains(&length), "{length}");
}

#[tokio::test]
async fn a_hash_has_the_other_columns_and_loses_those_that_become_null() {
    if !has_redis("a_hash_has_the_other_columns_and_loses_those_that_become_null") {
        return;
    }
    let server = RedisServer::forgetful();
    let write = json!({ "hash": { "key": "device:{id}", "ttl": "1m" } });
    server.ask(&["HSET", "device:2", "name", "old", "other", "stays"]);
    let refused = deliver(&server, write, 1, &rows()).await;
    assert_eq!(refused, [("3/2/0".to_owned(), "`id`, which is in the key, is null".to_owned())]);
    let fields: Vec<String> = ask(&server, &["HGETALL", "device:1"]);
    assert_eq!(fields, ["name", "a \"b\"", "value", "1.5"]);
    assert_eq!(ask::<Vec<String>>(&server, &["HGETALL", "device:2"]), ["other", "stays"]);
    assert!((50_000..=60_000).contains(&ask::<usize>(&server, &["PTTL", "device:1"])));
}

#[tokio::test]
async fn a_string_is_a_column_or_the_row() {
    if !has_redis("a_string_is_a_column_or_the_row") {
        return;
    }
    let server = RedisServer::forgetful();
    let column = json!({ "string": { "key": "v:{id}:{{x}}", "value": "value", "ttl": "1m" } });
    assert_eq!(deliver(&server, column, 1, &rows()).await.len(), 2);
    assert_eq!(ask::<String>(&server, &["GET", "v:1:{x}"]), "1.5");
    assert!((50_000..=60_000).contains(&ask::<usize>(&server, &["PTTL", "v:1:{x}"])));
    assert_eq!(
        deliver(&server, json!({ "string": { "key": "r:{id}" } }), 2, &rows()).await.len(),
        1
    );
    assert_eq!(ask::<String>(&server, &["GET", "r:2"]), r#"{"id":2,"name":null,"value":null}"#);
    assert_eq!(ask::<i64>(&server, &["PTTL", "r:2"]), -1);
    // Of two rows of one key the later counts.
    let twice = laws::rows(1, &[5, 6, 5]);
    deliver(&server, json!({ "string": { "key": "n:{name}" } }), 4, &twice).await;
    assert_eq!(ask::<usize>(&server, &["EXISTS", "n:row 5", "n:row 6"]), 2);
}

#[tokio::test]
async fn a_channel_gets_each_row_once() {
    if !has_redis("a_channel_gets_each_row_once") {
        return;
    }
    let server = RedisServer::forgetful();
    let mut client = client(&server);
    let mut channel = client.as_pubsub();
    channel.subscribe("hot").unwrap();
    let write = json!({ "pubsub": { "channel": "hot" } });
    deliver(&server, write.clone(), 1, &laws::rows(1, &[1, 2])).await;
    let mut again = sink(&server, write);
    assert_eq!(again.open(laws::schema()).await.unwrap(), Held::Upto(laws::mark(1)));
    for id in [1, 2] {
        let payload: String = channel.get_message().unwrap().get_payload().unwrap();
        assert_eq!(id_of(&payload), id);
    }
}

#[tokio::test]
async fn what_does_not_fit_together_stops() {
    if !has_redis("what_does_not_fit_together_stops") {
        return;
    }
    let server = RedisServer::forgetful();
    server.ask(&["SET", "text", "x"]);
    for (write, said) in [
        (json!({ "list": { "key": "text" } }), "another key"),
        (json!({ "stream": { "key": "text" } }), "another key"),
        (json!({ "list": { "key": "l", "value": "nam" } }), "name one of: id, name"),
        (json!({ "hash": { "key": "x:{other}" } }), "name one of: id, name"),
        (json!({ "hash": { "key": "x:{id}:{name}" } }), "write `string`"),
    ] {
        let e = sink(&server, write).open(laws::schema()).await.unwrap_err();
        assert_eq!(e.remedy(), Remedy::Stop, "{e}");
        assert!(e.how_to_fix().unwrap().contains(said), "{e}");
    }
    // A key per row that is somebody's.
    let mut keyed = sink(&server, json!({ "hash": { "key": "{name}" } }));
    keyed.open(laws::schema()).await.unwrap();
    server.ask(&["SET", "row 7", "x"]);
    keyed.write(&laws::rows(1, &[6, 7])).await.unwrap();
    keyed.prepare(&laws::mark(1)).await.unwrap();
    let e = keyed.flush(&laws::mark(1)).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Stop, "{e}");
    assert!(e.to_string().starts_with("cannot set `row 7`"), "{e}");
    assert!(e.how_to_fix().unwrap().contains("another key"), "{e}");
    // A mark that is something else.
    let options =
        json!({ "url": server.url(), "write": { "list": { "key": "l" } }, "mark": "text" });
    let other = serde_json::from_value::<RedisSink>(options).unwrap().build(&env().0);
    let e = other.unwrap().open(laws::schema()).await.unwrap_err();
    assert!(e.how_to_fix().unwrap().contains("`mark`"), "{e}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let build = |options: Value| {
        let sink = serde_json::from_value::<RedisSink>(options).map_err(|e| e.to_string());
        sink.and_then(|sink| sink.build(&env().0).map(drop).map_err(|e| e.to_string()))
    };
    let one = "redis://127.0.0.1:1";
    let cluster = "redis+cluster://127.0.0.1:1";
    for (options, said) in [
        (json!({ "url": one, "write": { "list": { "key": "" } } }), "`key` is empty"),
        (json!({ "url": one, "write": { "pubsub": { "channel": "" } } }), "`channel` is empty"),
        (
            json!({ "url": one, "write": { "list": { "key": "a" } }, "mark": "a" }),
            "`mark` is the key",
        ),
        (json!({ "url": cluster, "write": { "list": { "key": "a" } }, "mark": "b" }), "hash tag"),
        (json!({ "url": one, "write": { "hash": { "key": "a" } } }), "names no column"),
        (json!({ "url": one, "write": { "hash": { "key": "a{x}", "ttl": "0s" } } }), "`ttl`"),
        (json!({ "url": one, "write": { "lists": { "key": "a" } } }), "unknown variant"),
    ] {
        let e = build(options).unwrap_err();
        assert!(e.contains(said), "{e}");
    }
    build(json!({ "url": cluster, "write": { "list": { "key": "a" } } })).unwrap();
    build(json!({ "url": cluster, "write": { "list": { "key": "x{a}" } }, "mark": "a" })).unwrap();
}
