//! Entries of a stream, in a consumer group.

use std::time::Duration;

use fastrand::Rng;
use millstream_core::Remedy;
use millstream_core::source::{Pulled, SplitPositions};
use millstream_testkit::laws::source::pull_with_drops;
use millstream_testkit::redis::{RedisServer, has_redis};
use serde_json::json;

use super::*;

fn read() -> Value {
    json!({ "stream": { "key": "orders", "field": "data" } })
}

/// Adds entries with these values.
fn add(server: &RedisServer, values: &[String]) {
    let mut client = client(server);
    let mut all = millstream_redis::redis::pipe();
    for value in values {
        all.cmd("XADD").arg("orders").arg("*").arg("data").arg(value);
    }
    all.exec(&mut client).unwrap();
}

/// Entries that are delivered and not acknowledged.
fn pending(server: &RedisServer) -> usize {
    let (count, ..): (usize, Value4, Value4, Value4) =
        ask(server, &["XPENDING", "orders", "test.input"]);
    count
}

type Value4 = millstream_redis::redis::Value;

#[tokio::test]
async fn entries_come_in_order_and_are_acknowledged_once_appended() {
    if !has_redis("entries_come_in_order_and_are_acknowledged_once_appended") {
        return;
    }
    let server = RedisServer::forgetful();
    add(&server, &numbered("", 0..5_000));
    let (mut source, mut queue) = (source(&server, read()), Queue::default());
    source.open(&queue.positions).await.unwrap();
    while queue.rows.len() < 5_000 {
        queue.append(&pull(source.as_mut()).await);
    }
    assert_eq!(pending(&server), 5_000);
    source.settle(&queue.positions).await.unwrap();
    assert_eq!(pending(&server), 0);
    add(&server, &["late".into()]);
    assert_eq!(texts(&pull(source.as_mut()).await), ["late"]);
    assert_eq!(queue.rows, numbered("", 0..5_000));
}

#[tokio::test]
async fn an_entry_without_a_named_field_is_an_object() {
    if !has_redis("an_entry_without_a_named_field_is_an_object") {
        return;
    }
    let server = RedisServer::forgetful();
    server.ask(&["XADD", "orders", "*", "id", "7", "plate", "12", "name", "a b"]);
    let read = json!({ "stream": { "key": "orders", "text": ["plate"] } });
    let mut source = source(&server, read);
    source.open(&SplitPositions::new()).await.unwrap();
    assert_eq!(texts(&pull(source.as_mut()).await), [r#"{"id":7,"plate":"12","name":"a b"}"#]);
}

#[tokio::test]
async fn a_new_group_begins_where_it_is_told_to() {
    if !has_redis("a_new_group_begins_where_it_is_told_to") {
        return;
    }
    let server = RedisServer::forgetful();
    add(&server, &["old".into()]);
    let read = |from| json!({ "stream": { "key": "orders", "group": from, "from": from, "field": "data" } });
    for (from, wanted) in [("start", "old"), ("end", "new")] {
        let mut source = source(&server, read(from));
        source.open(&SplitPositions::new()).await.unwrap();
        add(&server, &["new".into()]);
        assert_eq!(texts(&pull(source.as_mut()).await)[0], wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dying_and_cut_off_at_random_it_brings_each_entry_once() {
    if !has_redis("dying_and_cut_off_at_random_it_brings_each_entry_once") {
        return;
    }
    for seed in 1..4 {
        let server = RedisServer::forgetful();
        let mut random = Rng::with_seed(seed);
        let all = numbered("", 0..12_000);
        let mut given = all.chunks(300);
        let mut queue = Queue::default();
        while queue.rows.len() < all.len() {
            let mut source = source(&server, read());
            source.open(&queue.positions).await.unwrap();
            // A process that dies before its first append has no name that its successor knows: what it was given
            // is taken over later.
            let mut ahead: Vec<Pulled> = Vec::new();
            for act in 0..random.usize(1..40) {
                given.next().into_iter().for_each(|some| add(&server, some));
                match random.u8(0..9) {
                    0..=4 => {
                        let wait = Duration::from_millis(300);
                        let pulled = tokio::time::timeout(
                            wait,
                            pull_with_drops(source.as_mut(), &mut random),
                        );
                        ahead.extend(pulled.await.ok().flatten());
                    }
                    5..=6 => ahead.drain(..).for_each(|pulled| queue.append(&pulled)),
                    7 => source.settle(&queue.positions).await.unwrap(),
                    _ => {
                        if act > 0 && queue.positions.is_empty() {
                            ahead.drain(..).for_each(|pulled| queue.append(&pulled));
                        }
                        server.cut_connections();
                        let pulled = pull_through(source.as_mut(), &queue.positions);
                        let wait = Duration::from_millis(500);
                        // Opened again inside, it would bring what is ahead a second time.
                        ahead.extend(tokio::time::timeout(wait, pulled).await.ok());
                    }
                }
            }
            if queue.positions.is_empty() {
                ahead.drain(..).for_each(|pulled| queue.append(&pulled));
            }
            if queue.positions.is_empty() {
                server.ask(&["XGROUP", "DESTROY", "orders", "test.input"]);
            }
        }
        assert_eq!(queue.rows, all, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_member_left_is_taken_over_once() {
    if !has_redis("what_a_dead_member_left_is_taken_over_once") {
        return;
    }
    for seed in 1..3 {
        let server = RedisServer::forgetful();
        server.ask(&["XGROUP", "CREATE", "orders", "test.input", "0", "MKSTREAM"]);
        add(&server, &numbered("", 0..9_000));
        // Two that die, and between their shares one of the survivor.
        let read =
            |claim| json!({ "stream": { "key": "orders", "field": "data", "claim_after": claim } });
        let give = |who: &str| {
            server.ask(&[
                "XREADGROUP",
                "GROUP",
                "test.input",
                who,
                "COUNT",
                "3000",
                "STREAMS",
                "orders",
                ">",
            ]);
        };
        give("dead one");
        let mut queue = Queue::default();
        let mut survivor = source(&server, read("0s"));
        survivor.open(&queue.positions).await.unwrap();
        while queue.rows.len() < 3_000 {
            queue.append(&pull(survivor.as_mut()).await);
        }
        drop(survivor);
        let mut random = Rng::with_seed(seed);
        // The rest goes to the second, but for what the survivor has taken beyond its 3,000.
        give("dead two");
        // It dies again and again, while it takes over.
        for _ in 0..2_000 {
            if queue.rows.len() >= 9_000 {
                break;
            }
            let mut source = source(&server, read("1ms"));
            source.open(&queue.positions).await.unwrap();
            let mut ahead: Vec<Pulled> = Vec::new();
            for _ in 0..random.usize(1..25) {
                match random.u8(0..6) {
                    0..=2 => {
                        let wait = Duration::from_millis(60);
                        let pulled = tokio::time::timeout(
                            wait,
                            pull_with_drops(source.as_mut(), &mut random),
                        );
                        ahead.extend(pulled.await.ok().flatten());
                    }
                    3..=4 => ahead.drain(..).for_each(|pulled| queue.append(&pulled)),
                    _ => source.settle(&queue.positions).await.unwrap(),
                }
            }
        }
        assert_eq!(queue.sorted(), numbered("", 0..9_000), "seed {seed}");
        let mut source = source(&server, read("1ms"));
        source.open(&queue.positions).await.unwrap();
        source.settle(&queue.positions).await.unwrap();
        assert!(is_quiet(source.as_mut()).await, "seed {seed}");
        assert_eq!(pending(&server), 0, "seed {seed}");
    }
}

#[tokio::test]
async fn entries_taken_over_later_may_be_older_than_those_before() {
    if !has_redis("entries_taken_over_later_may_be_older_than_those_before") {
        return;
    }
    let server = RedisServer::forgetful();
    server.ask(&["XGROUP", "CREATE", "orders", "test.input", "0", "MKSTREAM"]);
    add(&server, &numbered("", 0..200));
    for who in ["dead later", "dead first"] {
        let group = ["GROUP", "test.input", who, "COUNT", "100", "STREAMS", "orders", ">"];
        server.ask(&[&["XREADGROUP"], &group[..]].concat());
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    // One is still alive: its entries, which are the older ones, were touched just now.
    let words = ["XPENDING", "orders", "test.input", "-", "+", "100", "dead later"];
    let left: Vec<(String, String, u64, u64)> = ask(&server, &words);
    let mut touch = command(&["XCLAIM", "orders", "test.input", "dead later", "0"]);
    for (id, ..) in left {
        touch.arg(id);
    }
    touch.arg("JUSTID").exec(&mut client(&server)).unwrap();
    let read = json!({ "stream": { "key": "orders", "field": "data", "claim_after": "400ms" } });
    let (mut first, mut queue) = (source(&server, read.clone()), Queue::default());
    first.open(&queue.positions).await.unwrap();
    queue.fill(first.as_mut(), 100).await;
    assert_eq!(queue.rows, numbered("", 100..200));
    // They are taken over now, and the process dies before they are in the queue.
    assert_eq!(texts(&pull(first.as_mut()).await), numbered("", 0..100));
    drop(first);
    let mut second = source(&server, read);
    second.open(&queue.positions).await.unwrap();
    queue.fill(second.as_mut(), 200).await;
    assert_eq!(queue.sorted(), numbered("", 0..200));
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn what_is_under_way_is_not_taken_over() {
    if !has_redis("what_is_under_way_is_not_taken_over") {
        return;
    }
    let server = RedisServer::forgetful();
    add(&server, &numbered("", 0..100));
    let read = json!({ "stream": { "key": "orders", "field": "data", "claim_after": "10ms" } });
    let mut source = source(&server, read);
    source.open(&SplitPositions::new()).await.unwrap();
    assert_eq!(texts(&pull(source.as_mut()).await).len(), 100);
    // The queue is slow: its own pending entries are older than `claim_after` all the time.
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..5 {
        assert!(is_quiet(source.as_mut()).await);
    }
}

#[tokio::test]
async fn a_stream_that_is_deleted_begins_anew() {
    if !has_redis("a_stream_that_is_deleted_begins_anew") {
        return;
    }
    let mut server = RedisServer::forgetful();
    add(&server, &numbered("", 0..10));
    let (mut source, mut queue) = (source(&server, read()), Queue::default());
    source.open(&queue.positions).await.unwrap();
    queue.fill(source.as_mut(), 10).await;
    server.ask(&["DEL", "orders"]);
    add(&server, &numbered("", 10..20));
    let error = loop {
        match source.pull().await {
            Ok(_) => {}
            Err(e) => break e,
        }
    };
    assert_eq!(error.remedy(), Remedy::Reopen, "{error}");
    source.open(&queue.positions).await.unwrap();
    queue.fill(source.as_mut(), 20).await;
    assert_eq!(queue.rows, numbered("", 0..20));
    // The same when the server comes back with nothing.
    server.kill();
    server.restart();
    add(&server, &numbered("", 20..30));
    while queue.rows.len() < 30 {
        queue.append(&pull_through(source.as_mut(), &queue.positions).await);
    }
    assert_eq!(queue.rows, numbered("", 0..30));
}

#[tokio::test]
async fn entries_deleted_while_pending_are_acknowledged() {
    if !has_redis("entries_deleted_while_pending_are_acknowledged") {
        return;
    }
    let server = RedisServer::forgetful();
    add(&server, &numbered("", 0..3));
    let (mut source, mut queue) = (source(&server, read()), Queue::default());
    source.open(&queue.positions).await.unwrap();
    queue.fill(source.as_mut(), 3).await;
    add(&server, &numbered("", 3..6));
    let lost = pull(source.as_mut()).await;
    assert_eq!(lost.records.len(), 3);
    server.ask(&["XTRIM", "orders", "MAXLEN", "1"]);
    source.open(&queue.positions).await.unwrap();
    let again = pull(source.as_mut()).await;
    assert_eq!(texts(&again), ["000005"]);
    queue.append(&again);
    source.settle(&queue.positions).await.unwrap();
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn members_share_a_group() {
    if !has_redis("members_share_a_group") {
        return;
    }
    let server = RedisServer::forgetful();
    add(&server, &numbered("", 0..10_000));
    let mut members =
        [(source(&server, read()), Queue::default()), (source(&server, read()), Queue::default())];
    for (source, queue) in &mut members {
        source.open(&queue.positions).await.unwrap();
    }
    while members.iter().map(|(_, queue)| queue.rows.len()).sum::<usize>() < 10_000 {
        for (source, queue) in &mut members {
            let wait = Duration::from_millis(100);
            if let Ok(pulled) = tokio::time::timeout(wait, source.pull()).await {
                queue.append(&pulled.unwrap().unwrap());
                source.settle(&queue.positions).await.unwrap();
            }
        }
    }
    let name = |queue: &Queue| position_of(&queue.positions, "orders");
    assert_ne!(name(&members[0].1).split(' ').nth(3), name(&members[1].1).split(' ').nth(3));
    let mut all: Vec<String> = members.into_iter().flat_map(|(_, queue)| queue.rows).collect();
    all.sort();
    assert_eq!(all, numbered("", 0..10_000));
}

#[tokio::test]
async fn a_key_of_another_type_stops() {
    if !has_redis("a_key_of_another_type_stops") {
        return;
    }
    let server = RedisServer::forgetful();
    server.ask(&["SET", "orders", "x"]);
    let e = source(&server, read()).open(&SplitPositions::new()).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Stop, "{e}");
    assert!(e.how_to_fix().unwrap().contains("another key"), "{e}");
}
