//! A list on a server that fails.

use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::source::SplitPositions;
use millstream_testkit::redis::{RedisServer, has_redis};
use serde_json::json;

use super::*;

const PROCESSING: &str = "{data_queue}:millstream:test.input";

fn read() -> Value {
    json!({ "list": { "key": "data_queue" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_cut_off_again_and_again_loses_and_repeats_nothing() {
    if !has_redis("a_server_that_is_killed_and_cut_off_again_and_again_loses_and_repeats_nothing") {
        return;
    }
    let mut server = RedisServer::safe();
    let all = numbered(&"x".repeat(200), 0..60_000);
    let (mut source, mut queue) = (source(&server, read()), Queue::default());
    source.open(&queue.positions).await.unwrap();
    for (i, some) in all.chunks(6_000).enumerate() {
        push(&server, "LPUSH", "data_queue", some);
        for _ in 0..4 {
            let pulled = pull_through(source.as_mut(), &queue.positions).await;
            queue.append(&pulled);
            // It may be away just now: then the next one settles this as well.
            drop(source.settle(&queue.positions).await);
            if i % 3 == 0 {
                server.cut_connections();
            }
        }
        if i % 3 == 1 {
            server.kill();
            if let Ok(pulled) = source.pull().await {
                queue.append(&pulled.unwrap());
            }
            server.restart();
        }
    }
    while queue.rows.len() < all.len() {
        let pulled = pull_through(source.as_mut(), &queue.positions).await;
        queue.append(&pulled);
    }
    assert_eq!(queue.rows, all);
    source.settle(&queue.positions).await.unwrap();
    assert_eq!(ask::<usize>(&server, &["LLEN", PROCESSING]), 0);
}

#[tokio::test]
async fn a_frozen_server_is_a_trouble_and_no_more() {
    if !has_redis("a_frozen_server_is_a_trouble_and_no_more") {
        return;
    }
    let server = RedisServer::forgetful();
    push(&server, "LPUSH", "data_queue", &numbered(&"x".repeat(300), 0..5_000));
    let (mut source, mut queue) = (source(&server, read()), Queue::default());
    source.open(&queue.positions).await.unwrap();
    queue.append(&pull(source.as_mut()).await);
    server.freeze();
    let began = tokio::time::Instant::now();
    let away = loop {
        match source.pull().await {
            Ok(pulled) => queue.append(&pulled.unwrap()),
            Err(e) => break e,
        }
    };
    assert_eq!(away.remedy(), Remedy::Retry, "{away}");
    assert!(began.elapsed() < Duration::from_secs(4), "told after {:?}", began.elapsed());
    // What was asked last is in the server's socket, and moves elements to nobody now.
    server.thaw();
    while queue.rows.len() < 5_000 {
        queue.append(&pull_through(source.as_mut(), &queue.positions).await);
    }
    assert_eq!(queue.rows, numbered(&"x".repeat(300), 0..5_000));
}

#[tokio::test]
async fn a_server_that_has_lost_its_writes_is_told_of_and_nothing_is_lost() {
    if !has_redis("a_server_that_has_lost_its_writes_is_told_of_and_nothing_is_lost") {
        return;
    }
    let server = RedisServer::forgetful();
    push(&server, "LPUSH", "data_queue", &numbered("", 0..5_000));
    let (env, heard) = env();
    let (mut source, mut queue) = (source_in(&server, read(), &env), Queue::default());
    source.open(&queue.positions).await.unwrap();
    queue.fill(source.as_mut(), 5_000).await;
    // As after a failover to a replica that was behind: 1,000 elements are back on the list.
    let state = format!("{PROCESSING}:at");
    let base = ask::<usize>(&server, &["HGET", &state, "base"]) - 1_000;
    server.ask(&["HSET", &state, "base", &base.to_string()]);
    push(
        &server,
        "RPUSH",
        "data_queue",
        &numbered("", 4_000..5_000).into_iter().rev().collect::<Vec<_>>(),
    );
    push(&server, "LPUSH", "data_queue", &numbered("", 5_000..6_000));
    while queue.rows.len() < 7_000 {
        queue.append(&pull_through(source.as_mut(), &queue.positions).await);
    }
    assert!(heard.has("the server has lost its last writes"), "{:?}", heard.0);
    let mut rows = queue.sorted();
    rows.dedup();
    assert_eq!(rows, numbered("", 0..6_000));
    // Everything is lost, and something is pushed.
    server.ask(&["FLUSHALL"]);
    push(&server, "LPUSH", "data_queue", &numbered("", 6_000..6_010));
    while queue.rows.len() < 7_010 {
        queue.append(&pull_through(source.as_mut(), &queue.positions).await);
    }
    assert!(heard.has("the server has forgotten"), "{:?}", heard.0);
    assert_eq!(queue.rows[7_000..], numbered("", 6_000..6_010));
}

#[tokio::test]
async fn a_full_server_is_drained() {
    if !has_redis("a_full_server_is_drained") {
        return;
    }
    let server = RedisServer::start(&["--maxmemory", "8mb"]);
    let all: Vec<String> = numbered(&"x".repeat(1_000), 0..3_000);
    push(&server, "LPUSH", "data_queue", &all);
    server.ask(&["CONFIG", "SET", "maxmemory", "2mb"]);
    let full = command(&["LPUSH", "data_queue", "y"]).exec(&mut client(&server)).unwrap_err();
    assert_eq!(full.code(), Some("OOM"));
    let (mut source, mut queue) = (source(&server, read()), Queue::default());
    source.open(&queue.positions).await.unwrap();
    queue.fill(source.as_mut(), all.len()).await;
    assert_eq!(queue.rows, all);
}

/// What `open` says with these options; the URL has another login if one is given.
async fn refusal(server: &RedisServer, login: &str, read: Value) -> Error {
    let url = server.url().replace("redis://", &format!("redis://{login}"));
    let options = json!({ "url": url, "timeout": "1s", "read": read });
    let source = serde_json::from_value::<RedisSource>(options).unwrap().build(&env().0);
    source.unwrap().open(&SplitPositions::new()).await.unwrap_err()
}

#[tokio::test]
async fn what_only_a_person_can_mend_says_how_and_takes_nothing() {
    if !has_redis("what_only_a_person_can_mend_says_how_and_takes_nothing") {
        return;
    }
    let server = RedisServer::forgetful();
    push(&server, "LPUSH", "data_queue", &numbered("", 0..10));
    for acl in [
        "user some on >pw ~* +@all -rpush",
        "user some on >pw ~* +@all -ltrim",
        "user some on >pw ~* +@all -rpop",
        "user some on >pw ~data_queue +@all",
        "user some on >pw ~* +@all -eval",
    ] {
        let words: Vec<&str> = acl.split(' ').collect();
        server.ask(&[&["ACL", "SETUSER", "some", "reset"], &words[2..]].concat());
        let e = refusal(&server, "some:pw@", read()).await;
        assert_eq!(e.remedy(), Remedy::Stop, "{acl}: {e}");
        assert!(e.how_to_fix().unwrap_or_default().contains("docs/redis.md"), "{acl}: {e}");
        assert_eq!(ask::<usize>(&server, &["LLEN", "data_queue"]), 10, "{acl}");
        assert_eq!(ask::<usize>(&server, &["EXISTS", PROCESSING]), 0, "{acl}");
    }

    let wrong = refusal(&server, "some:no@", read()).await;
    assert_eq!(wrong.remedy(), Remedy::Stop, "{wrong}");
    assert!(wrong.how_to_fix().unwrap().contains("password"), "{wrong}");
    for key in ["data_queue", PROCESSING, &format!("{PROCESSING}:at")] {
        server.ask(&["FLUSHALL"]);
        push(&server, "LPUSH", "data_queue", &numbered("", 0..10));
        server.ask(&["SET", key, "somebody's"]);
        let e = refusal(&server, "", read()).await;
        assert_eq!(e.remedy(), Remedy::Stop, "{key}: {e}");
        assert!(e.how_to_fix().unwrap().contains("another key"), "{key}: {e}");
    }
}

#[tokio::test]
async fn a_replica_and_a_server_that_is_away_are_waited_for() {
    if !has_redis("a_replica_and_a_server_that_is_away_are_waited_for") {
        return;
    }
    let mut server = RedisServer::forgetful();
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let e = refusal(&server, "", read()).await;
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
    assert!(e.how_to_fix().unwrap().contains("primary"), "{e}");
    server.kill();
    let e = refusal(&server, "", read()).await;
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
}
