//! Messages of channels.

use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::source::{Replay, SplitPositions};
use millstream_testkit::redis::{RedisServer, has_redis};
use serde_json::json;

use super::*;

fn read() -> Value {
    json!({ "pubsub": { "channels": ["news"], "patterns": ["sensors.*"] } })
}

#[tokio::test]
async fn messages_come_with_their_channel() {
    if !has_redis("messages_come_with_their_channel") {
        return;
    }
    let server = RedisServer::forgetful();
    let mut source = source(&server, read());
    assert_eq!(source.replay(), Replay::Never);
    assert!(source.describe().contains("lost"), "{}", source.describe());
    source.open(&SplitPositions::new()).await.unwrap();
    server.ask(&["PUBLISH", "news", "one"]);
    server.ask(&["PUBLISH", "sensors.a", "two"]);
    server.ask(&["PUBLISH", "other", "three"]);
    let mut all = Vec::new();
    while all.len() < 2 {
        let pulled = pull(source.as_mut()).await;
        assert_eq!(pulled.position, None);
        all.extend(pulled.records);
    }
    let seen: Vec<(&[u8], &[u8])> =
        all.iter().map(|r| (&**r.key.as_ref().unwrap(), &*r.value)).collect();
    assert_eq!(seen, [(&b"news"[..], &b"one"[..]), (b"sensors.a", b"two")]);
    assert!(is_quiet(source.as_mut()).await);
}

/// Pulls until it has subscribed again, which may take longer than one wait.
async fn subscribed(server: &RedisServer, source: &mut dyn Source) {
    while ask::<i64>(server, &["PUBSUB", "NUMPAT"]) == 0 {
        assert!(is_quiet(source).await);
    }
}

#[tokio::test]
async fn a_cut_subscription_is_a_trouble_and_is_made_again() {
    if !has_redis("a_cut_subscription_is_a_trouble_and_is_made_again") {
        return;
    }
    let mut server = RedisServer::forgetful();
    let mut source = source(&server, read());
    source.open(&SplitPositions::new()).await.unwrap();
    server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let e = source.pull().await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
    assert!(e.to_string().contains("is lost"), "{e}");
    subscribed(&server, source.as_mut()).await;
    server.ask(&["PUBLISH", "news", "after"]);
    assert_eq!(texts(&pull(source.as_mut()).await), ["after"]);
    server.freeze();
    let frozen = tokio::time::timeout(Duration::from_secs(5), source.pull()).await.unwrap();
    assert_eq!(frozen.unwrap_err().remedy(), Remedy::Retry);
    server.thaw();
    server.kill();
    while source.pull().await.is_ok() {}
    server.restart();
    subscribed(&server, source.as_mut()).await;
    server.ask(&["PUBLISH", "news", "again"]);
    assert_eq!(texts(&pull(source.as_mut()).await), ["again"]);
}

#[tokio::test]
async fn what_comes_faster_than_it_is_taken_is_bounded_and_told() {
    if !has_redis("what_comes_faster_than_it_is_taken_is_bounded_and_told") {
        return;
    }
    let server = RedisServer::forgetful();
    let (env, heard) = env();
    let read = json!({ "pubsub": { "channels": ["news"], "buffer": "10KiB" } });
    let mut source = source_in(&server, read, &env);
    source.open(&SplitPositions::new()).await.unwrap();
    let mut client = client(&server);
    for _ in 0..100 {
        command(&["PUBLISH", "news", &"x".repeat(1_000)]).exec(&mut client).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let pulled = pull(source.as_mut()).await;
    assert_eq!(pulled.records.len(), 10);
    assert!(heard.has("90 messages were dropped"), "{:?}", heard.0);
    server.ask(&["PUBLISH", "news", "after"]);
    assert_eq!(texts(&pull(source.as_mut()).await), ["after"]);
}
