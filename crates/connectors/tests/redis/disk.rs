//! What a server keeps: warned of, waited for, and when its disk fails.

use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::sink::Held;
use millstream_testkit::laws::sink as laws;
use millstream_testkit::redis::{RedisServer, cluster, has_redis};
use serde_json::json;

use super::logged::Logged;
use super::servers::{Way, channels, do_all, list, stream, writes};
use super::sink_faults::{ROWS, deliver, ids, listed, try_once};
use super::*;

#[tokio::test]
async fn what_a_server_would_lose_is_told_once() {
    if !has_redis("what_a_server_would_lose_is_told_once") {
        return;
    }
    let logged = Logged::begin();
    let evicting = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy"];
    for (server, said) in [
        (RedisServer::safe(), None),
        (RedisServer::forgetful(), Some("the server keeps nothing on disk")),
        (RedisServer::start(&["--save", "3600 1"]), Some("no append-only file")),
        (
            RedisServer::start(&[&evicting[..], &["allkeys-lru"]].concat()),
            Some("`maxmemory-policy` is `allkeys-lru`"),
        ),
        // Nothing of a pipeline has a time to live that should not.
        (RedisServer::start(&[&evicting[..], &["volatile-lru"]].concat()), None),
        (
            RedisServer::start(&["--appendonly", "yes", "--rename-command", "CONFIG", ""]),
            Some("`CONFIG GET` is forbidden"),
        ),
    ] {
        let way = Way::at(&server.url());
        for (read, how) in
            [(list(), &["LPUSH", "data_queue"][..]), (stream(), &["XADD", "orders", "*", "data"])]
        {
            do_all(&mut client(&server), how, &numbered("", 0..1));
            let (mut source, mut queue) = (way.source(read.clone()), Queue::default());
            source.open(&queue.positions).await.unwrap();
            queue.fill(source.as_mut(), 1).await;
            source.open(&queue.positions).await.unwrap();
            let times = usize::from(said.is_some());
            logged.has(times, said.unwrap_or_default(), &read.to_string());
        }
        // Nobody expects a channel to keep anything.
        way.source(channels()).open(&SplitPositions::new()).await.unwrap();
        logged.has(0, "", "");
        let waits = said == Some("`CONFIG GET` is forbidden") && can_wait(&server);
        for write in writes() {
            let mut sink = way.sink(write.clone());
            deliver(sink.as_mut(), 0).await;
            deliver(sink.as_mut(), 1).await;
            let times = usize::from(said.is_some() && !waits);
            logged.has(times, said.unwrap_or_default(), &write.to_string());
        }
    }
}

/// Whether a server can be asked to wait for its disk, and does: with `everysec` that takes up to a second.
pub(super) fn can_wait(server: &RedisServer) -> bool {
    let there = server.ask(&["COMMAND", "INFO", "WAITAOF"]).contains("waitaof");
    let info = server.ask(&["INFO", "server"]);
    let too_early = ["redis_version:7.4", "valkey_version:8", "valkey_version:9"];
    there && !too_early.iter().any(|version| info.contains(version))
}

/// How often a server was asked to wait for its disk.
fn waits(server: &RedisServer) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]);
    let calls = stats.lines().find_map(|l| l.strip_prefix("cmdstat_waitaof:calls="));
    calls.and_then(|l| l.split(',').next()).map_or(0, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_returns_when_the_disk_has_it_where_the_server_can_be_asked() {
    if !has_redis("a_flush_returns_when_the_disk_has_it_where_the_server_can_be_asked") {
        return;
    }
    let second = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let server = RedisServer::start(&second);
    let can = can_wait(&server);
    let way = Way::at(&server.url());
    for write in writes() {
        let mut sink = way.sink(write.clone());
        deliver(sink.as_mut(), 0).await;
        let before = waits(&server);
        try_once(sink.as_mut(), 1).await.unwrap();
        // At the open, and after the flush.
        assert_eq!(waits(&server) >= before + 2, can, "{write}");
        // Its append-only file is switched off under way: the next flush says so, and the next open takes it as it is.
        server.ask(&["CONFIG", "SET", "appendonly", "no"]);
        sink.write(&laws::rows(2, &ids(2))).await.unwrap();
        sink.prepare(&laws::mark(2)).await.unwrap();
        match sink.flush(&laws::mark(2)).await {
            Ok(()) => assert!(!can),
            Err(e) => assert_eq!((e.remedy(), can), (Remedy::Reopen, true), "{e}"),
        }
        let before = waits(&server);
        assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Upto(laws::mark(2)));
        deliver(sink.as_mut(), 3).await;
        assert_eq!(waits(&server), before);
        server.ask(&["CONFIG", "SET", "appendonly", "yes"]);
        while ask::<String>(&server, &["INFO", "persistence"]).contains("rewrite_in_progress:1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // One that answers when it is there need not be asked; with `no`, an answer would never come.
    for fsync in ["always", "no"] {
        let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", fsync]);
        deliver(Way::at(&server.url()).sink(json!({ "list": { "key": "out" } })).as_mut(), 0).await;
        assert_eq!(waits(&server), 0);
    }
    // Keys that are set are on all nodes of a cluster, and a list on one.
    let nodes = cluster(&second);
    let way = Way::at(&format!("redis+cluster://127.0.0.1:{}", nodes[0].port()));
    deliver(way.sink(json!({ "hash": { "key": "device:{id}" } })).as_mut(), 0).await;
    let before = nodes.each_ref().map(waits);
    assert_eq!(before.iter().all(|n| *n > 0), can, "{before:?}");
    deliver(way.sink(json!({ "list": { "key": "out" } })).as_mut(), 0).await;
    let after = nodes.each_ref().map(waits);
    let asked = before.iter().zip(after).filter(|(before, after)| *before < after).count();
    assert_eq!(asked, usize::from(can));
}

#[tokio::test]
async fn a_server_that_cannot_snapshot_is_waited_for_and_told_of() {
    if !has_redis("a_server_that_cannot_snapshot_is_waited_for_and_told_of") {
        return;
    }
    let server = RedisServer::start(&["--stop-writes-on-bgsave-error", "yes"]);
    let way = Way::at(&server.url());
    let mut sinks = writes().map(|write| way.sink(write));
    for sink in &mut sinks {
        deliver(sink.as_mut(), 0).await;
    }
    push(&server, "LPUSH", "data_queue", &numbered("", 0..10_000));
    let (mut source, mut queue) = (way.source(list()), Queue::default());
    source.open(&queue.positions).await.unwrap();
    queue.append(&pull(source.as_mut()).await);
    // Where the snapshot should be is a folder.
    let dump = server.folder().join("dump.rdb");
    let snapshot = |wanted: &str| {
        server.ask(&["BGSAVE"]);
        while !ask::<String>(&server, &["INFO", "persistence"]).contains(wanted) {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    std::fs::create_dir_all(dump.join("full")).unwrap();
    server.ask(&["CONFIG", "SET", "save", "3600 1"]);
    snapshot("rdb_last_bgsave_status:err");
    for sink in &mut sinks {
        // Both where it is open already, and where it is opened.
        sink.write(&laws::rows(1, &ids(1))).await.unwrap();
        sink.prepare(&laws::mark(1)).await.unwrap();
        let e = sink.flush(&laws::mark(1)).await.unwrap_err();
        assert_eq!(e.remedy(), Remedy::Retry, "{e}");
        assert!(e.how_to_fix().unwrap().contains("cannot write to its disk"), "{e}");
        let e = sink.open(laws::schema()).await.unwrap_err();
        assert_eq!(e.remedy(), Remedy::Retry, "{e}");
    }
    let e = loop {
        match source.pull().await {
            Ok(pulled) => queue.append(&pulled.unwrap()),
            Err(e) => break e,
        }
    };
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
    assert!(e.how_to_fix().unwrap().contains("cannot write to its disk"), "{e}");
    assert_eq!(source.settle(&queue.positions).await.unwrap_err().remedy(), Remedy::Retry);
    std::fs::remove_dir_all(&dump).unwrap();
    snapshot("rdb_last_bgsave_status:ok");
    for sink in &mut sinks {
        deliver(sink.as_mut(), 1).await;
    }
    assert!(listed(&server) == (0..2 * ROWS).collect::<Vec<_>>());
    while queue.rows.len() < 10_000 {
        queue.append(&pull_through(source.as_mut(), &queue.positions).await);
    }
    assert_eq!(queue.rows, numbered("", 0..10_000));
}
