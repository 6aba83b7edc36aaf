//! An epoch that was cut off in the middle, and comes again: with the same rows, or with others.

use std::time::Duration;

use millstream_testkit::laws::sink as laws;
use millstream_testkit::redis::{RedisServer, has_redis};
use serde_json::json;

use super::logged::Logged;
use super::sink_faults::{listed, streamed};
use super::*;

/// Rows of an epoch: dozens of scripts.
const ROWS: i64 = 150_000;
const OTHER: &str = "comes again with other rows";

async fn flush(sink: &mut dyn Sink, ids: &[i64]) -> millstream_core::Result<()> {
    sink.open(laws::schema()).await?;
    for some in ids.chunks(10_000) {
        sink.write(&laws::rows(1, some)).await?;
    }
    assert!(sink.prepare(&laws::mark(1)).await?.is_empty());
    sink.flush(&laws::mark(1)).await
}

fn mark_of(server: &RedisServer) -> Value {
    let text: String = ask(server, &["GET", "{out}:millstream:test.output"]);
    serde_json::from_str(&text).unwrap()
}

/// A server that was killed while an epoch of these rows was written to it, and the process with it. How many are there.
async fn cut_off(write: &Value, ids: &[i64]) -> (RedisServer, usize) {
    for _ in 0..50 {
        let mut server = RedisServer::safe();
        let length = match write.get("list") {
            Some(_) => ["LLEN", "out"],
            None => ["XLEN", "out"],
        };
        let (mut sink, ids) = (sink(&server, write.clone()), ids.to_vec());
        let flushing = tokio::spawn(async move { flush(sink.as_mut(), &ids).await });
        while ask::<usize>(&server, &length) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        drop(flushing.await.unwrap());
        server.restart();
        if let Some(there) = mark_of(&server)["part"][1].as_u64() {
            let there = usize::try_from(there).unwrap();
            assert_eq!(ask::<usize>(&server, &length), there, "rows and mark in one step");
            assert!((1..usize::try_from(ROWS).unwrap()).contains(&there));
            return (server, there);
        }
    }
    panic!("it was never killed in the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_rows_go_on_after_those_that_are_there() {
    if !has_redis("the_same_rows_go_on_after_those_that_are_there") {
        return;
    }
    let ids: Vec<i64> = (0..ROWS).collect();
    let list = json!({ "list": { "key": "out" } });
    let stream = json!({ "stream": { "key": "out" } });
    for (write, read) in [(list, listed as fn(&RedisServer) -> Vec<i64>), (stream, streamed)] {
        let (server, _) = cut_off(&write, &ids).await;
        let logged = Logged::begin();
        flush(sink(&server, write).as_mut(), &ids).await.unwrap();
        logged.has(0, OTHER, "");
        assert!(read(&server) == ids);
        assert!(mark_of(&server).get("part").is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_other_rows_none_is_lost_and_it_is_told() {
    if !has_redis("of_other_rows_none_is_lost_and_it_is_told") {
        return;
    }
    let ids: Vec<i64> = (0..ROWS).collect();
    let write = json!({ "list": { "key": "out" } });
    for changed in ["one of the first", "fewer", "two have changed places", "none of the first"] {
        let (server, there) = cut_off(&write, &ids).await;
        let mut others = ids.clone();
        match changed {
            "one of the first" => others[there - 1] = -1,
            "fewer" => others.truncate(there - 1),
            "two have changed places" => others.swap(0, there - 1),
            _ => drop(others.drain(..1)),
        }
        let logged = Logged::begin();
        flush(sink(&server, write.clone()).as_mut(), &others).await.unwrap();
        logged.has(1, OTHER, changed);
        assert!(listed(&server) == [&ids[..there], &others].concat(), "{changed}");
    }
    // What comes only after those that are there may be other: it was never there.
    let (server, there) = cut_off(&write, &ids).await;
    let mut others = ids.clone();
    others[there] = -1;
    let logged = Logged::begin();
    flush(sink(&server, write).as_mut(), &others).await.unwrap();
    logged.has(0, OTHER, "");
    assert!(listed(&server) == others);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rows_that_are_cut_off_in_their_turn_are_known_again() {
    if !has_redis("other_rows_that_are_cut_off_in_their_turn_are_known_again") {
        return;
    }
    let ids: Vec<i64> = (0..ROWS).collect();
    let others: Vec<i64> = (ROWS..2 * ROWS).collect();
    let write = json!({ "list": { "key": "out" } });
    let (mut server, there) = cut_off(&write, &ids).await;
    let mut sink_again = sink(&server, write.clone());
    let again = others.clone();
    let flushing = tokio::spawn(async move { flush(sink_again.as_mut(), &again).await });
    while ask::<usize>(&server, &["LLEN", "out"]) == there {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.kill();
    drop(flushing.await.unwrap());
    server.restart();
    let logged = Logged::begin();
    flush(sink(&server, write).as_mut(), &others).await.unwrap();
    logged.has(0, OTHER, "");
    assert!(listed(&server) == [&ids[..there], &others].concat());
}

#[tokio::test]
async fn a_mark_without_a_digest_is_taken_as_it_is() {
    if !has_redis("a_mark_without_a_digest_is_taken_as_it_is") {
        return;
    }
    let server = RedisServer::forgetful();
    let logged = Logged::begin();
    let mark = r#"{"part":[{"log":"000000000000feed0000000000000007","incarnation":2,"epoch":1,"next":10},3]}"#;
    server.ask(&["SET", "{out}:millstream:test.output", mark]);
    let write = json!({ "list": { "key": "out" } });
    flush(sink(&server, write).as_mut(), &[1, 2, 3, 4, 5]).await.unwrap();
    assert_eq!(listed(&server), [4, 5]);
    logged.has(0, OTHER, "");
}

#[tokio::test]
async fn a_mark_of_another_key_or_epoch_leaves_nothing_out() {
    if !has_redis("a_mark_of_another_key_or_epoch_leaves_nothing_out") {
        return;
    }
    let server = RedisServer::forgetful();
    let build = |key: &str| {
        let options =
            json!({ "url": server.url(), "mark": "m", "write": { "list": { "key": key } } });
        let sink = serde_json::from_value::<RedisSink>(options).unwrap();
        sink.build(&Env::test("output", "/")).unwrap()
    };
    // Cut off for want of memory, after a part.
    let ids: Vec<i64> = (0..40_000).collect();
    let used: String = ask(&server, &["INFO", "memory"]);
    let used = used.lines().find_map(|l| l.strip_prefix("used_memory:")).unwrap();
    let used: u64 = used.trim().parse().unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", &(used + 800_000).to_string()]);
    flush(build("first").as_mut(), &ids).await.unwrap_err();
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let there = ask::<usize>(&server, &["LLEN", "first"]);
    assert!((1..ids.len()).contains(&there), "{there}");
    let logged = Logged::begin();
    // The file names another key now.
    let mut other = build("out");
    flush(other.as_mut(), &ids).await.unwrap();
    assert!(listed(&server) == ids);
    logged.has(1, OTHER, "");
}
