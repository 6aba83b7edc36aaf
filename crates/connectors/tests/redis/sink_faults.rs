//! A sink whose server fails in the middle of something.

use std::time::Duration;

use fastrand::Rng;
use millstream_core::Remedy;
use millstream_core::sink::Held;
use millstream_testkit::laws::sink as laws;
use millstream_testkit::redis::{RedisServer, has_redis};
use serde_json::json;

use super::*;

/// Rows of an epoch: more than one script takes.
pub(super) const ROWS: i64 = 12_000;

pub(super) fn ids(epoch: u64) -> Vec<i64> {
    let first = i64::try_from(epoch).unwrap() * ROWS;
    (first..first + ROWS).collect()
}

/// As the engine does it: until the sink holds the epoch.
pub(super) async fn deliver(sink: &mut dyn Sink, epoch: u64) {
    let mark = laws::mark(epoch);
    for _ in 0..400 {
        match try_once(sink, epoch).await {
            Ok(()) => return,
            Err(e) => {
                assert_ne!(e.remedy(), Remedy::Stop, "{e}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    panic!("epoch {mark:?} could not be delivered");
}

pub(super) async fn try_once(sink: &mut dyn Sink, epoch: u64) -> millstream_core::Result<()> {
    let mark = laws::mark(epoch);
    if sink.open(laws::schema()).await? == Held::Upto(mark) {
        return Ok(());
    }
    for some in ids(epoch).chunks(1_500) {
        sink.write(&laws::rows(epoch, some)).await?;
    }
    assert!(sink.prepare(&mark).await?.is_empty());
    sink.flush(&mark).await
}

/// The ids of a list, in the order they were pushed.
pub(super) fn listed(server: &RedisServer) -> Vec<i64> {
    let all: Vec<String> = ask(server, &["LRANGE", "out", "0", "-1"]);
    let id = |row: &String| serde_json::from_str::<Value>(row).unwrap()["id"].as_i64().unwrap();
    all.iter().rev().map(id).collect()
}

pub(super) fn streamed(server: &RedisServer) -> Vec<i64> {
    let all: Vec<(String, Vec<String>)> = ask(server, &["XRANGE", "out", "-", "+"]);
    all.iter().map(|(_, fields)| fields[1].parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_in_the_middle_of_a_flush_leave_each_row_once() {
    if !has_redis("connections_cut_in_the_middle_of_a_flush_leave_each_row_once") {
        return;
    }
    let list = json!({ "list": { "key": "out" } });
    let stream = json!({ "stream": { "key": "out" } });
    for (write, read) in [(list, listed as fn(&RedisServer) -> Vec<i64>), (stream, streamed)] {
        let mut server = RedisServer::safe();
        let mut random = Rng::with_seed(3);
        let mut sink = sink(&server, write);
        for epoch in 0..12 {
            // Cut again and again until the epoch is there, then killed now and then.
            let mut cuts = 0;
            loop {
                let wait = Duration::from_micros(random.u64(0..120_000));
                if tokio::time::timeout(wait, try_once(sink.as_mut(), epoch))
                    .await
                    .is_ok_and(|r| r.is_ok())
                {
                    break;
                }
                cuts += 1;
                match random.u8(0..4) {
                    0 => server.cut_connections(),
                    1 => {
                        server.kill();
                        server.restart();
                    }
                    _ => {}
                }
                if cuts > 40 {
                    deliver(sink.as_mut(), epoch).await;
                    break;
                }
            }
        }
        let wanted: Vec<i64> = (0..12).flat_map(ids).collect();
        let seen = read(&server);
        assert_eq!(seen.len(), wanted.len());
        assert!(seen == wanted, "other rows, or another order");
    }
}

#[tokio::test]
async fn a_full_server_takes_part_of_an_epoch_and_later_the_rest() {
    if !has_redis("a_full_server_takes_part_of_an_epoch_and_later_the_rest") {
        return;
    }
    let server = RedisServer::forgetful();
    let mut sink = sink(&server, json!({ "list": { "key": "out" } }));
    deliver(sink.as_mut(), 0).await;
    let used: String = ask(&server, &["INFO", "memory"]);
    let used: u64 =
        used.lines().find_map(|l| l.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", &(used + 350_000).to_string()]);
    let mut full = 0;
    for _ in 0..3 {
        let e = try_once(sink.as_mut(), 1).await.unwrap_err();
        assert_eq!(e.remedy(), Remedy::Retry, "{e}");
        assert!(e.how_to_fix().unwrap().contains("maxmemory"), "{e}");
        full += 1;
    }
    assert_eq!(full, 3);
    let there = ask::<usize>(&server, &["LLEN", "out"]);
    assert!((12_001..24_000).contains(&there), "{there}: a part of it is there");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    deliver(sink.as_mut(), 1).await;
    assert!(listed(&server) == (0..2 * ROWS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_server_takes_keys_later() {
    if !has_redis("a_full_server_takes_keys_later") {
        return;
    }
    let server = RedisServer::forgetful();
    let mut sink = sink(&server, json!({ "hash": { "key": "h:{id}" } }));
    sink.open(laws::schema()).await.unwrap();
    sink.write(&laws::rows(1, &ids(1))).await.unwrap();
    sink.prepare(&laws::mark(1)).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let e = sink.flush(&laws::mark(1)).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
    assert!(e.how_to_fix().unwrap().contains("maxmemory"), "{e}");
    assert!(e.to_string().len() < 1_000, "one of thousands of errors is told: {e}");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    deliver(sink.as_mut(), 1).await;
    assert_eq!(ask::<i64>(&server, &["DBSIZE"]), ROWS + 1);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_does_not_write_twice() {
    if !has_redis("an_answer_that_comes_too_late_does_not_write_twice") {
        return;
    }
    let server = RedisServer::forgetful();
    let mut one = sink(&server, json!({ "list": { "key": "out" } }));
    one.open(laws::schema()).await.unwrap();
    one.write(&laws::rows(1, &[1, 2, 3])).await.unwrap();
    one.prepare(&laws::mark(1)).await.unwrap();
    server.freeze();
    let e = one.flush(&laws::mark(1)).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
    // What was sent is in the server's socket, and runs now.
    server.thaw();
    assert_eq!(one.open(laws::schema()).await.unwrap(), Held::Upto(laws::mark(1)));
    assert_eq!(listed(&server), [1, 2, 3]);
    // Two of one name: the second to write is told.
    let mut two = sink(&server, json!({ "list": { "key": "out" } }));
    two.open(laws::schema()).await.unwrap();
    for sink in [one.as_mut(), two.as_mut()] {
        sink.write(&laws::rows(2, &[4])).await.unwrap();
        sink.prepare(&laws::mark(2)).await.unwrap();
    }
    one.flush(&laws::mark(2)).await.unwrap();
    assert_eq!(two.flush(&laws::mark(2)).await.unwrap_err().remedy(), Remedy::Reopen);
    assert_eq!(listed(&server), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_user_who_may_not_write_the_mark_writes_no_rows() {
    if !has_redis("a_user_who_may_not_write_the_mark_writes_no_rows") {
        return;
    }
    let server = RedisServer::forgetful();
    server.ask(&["ACL", "SETUSER", "some", "on", ">pw", "~*", "+@all", "-set"]);
    let url = server.url().replace("redis://", "redis://some:pw@");
    let options = json!({ "url": url, "write": { "list": { "key": "out" } } });
    let sink = serde_json::from_value::<RedisSink>(options).unwrap();
    let mut sink = sink.build(&Env::test("output", "/")).unwrap();
    let e = try_once(sink.as_mut(), 1).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Stop, "{e}");
    assert!(e.how_to_fix().unwrap().contains("docs/redis.md"), "{e}");
    assert_eq!(ask::<usize>(&server, &["EXISTS", "out"]), 0);
}
