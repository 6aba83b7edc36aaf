//! A queue that an older version wrote goes on, once no process of that version works with it.
//!
//! `formats/redis-1` is what a server saved that had a queue of format 1 (frames 0 to 5, trimmed to 2; one commit at 2, a
//! side entry, some state), with the functions of that version.

use std::path::Path;
use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::queue::{Epoch, LogId};
use millstream_core::record::Offset;
use millstream_testkit::laws::queue::read_all;
use millstream_testkit::redis::{RedisServer, has_redis};

use super::{Place, checkpoint, numbered, within};

const META: &str = "millstream:{test}:meta";
const ROLES: &str = "millstream:{test}:roles";
const LOG: LogId = LogId(0x078e_aa7e_4c88_f709_888e_3f67_bd0c_40b5);

fn restored() -> RedisServer {
    let mut server = RedisServer::forgetful();
    server.kill();
    let saved = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/redis-1/dump.rdb");
    std::fs::copy(saved, server.folder().join("dump.rdb")).unwrap();
    server.restart();
    server
}

/// A call of a function of the older version.
fn old(server: &RedisServer, function: &str, keys: &[&str], arguments: &[&str]) -> String {
    let (name, count) = (format!("millstream_1_{function}"), keys.len().to_string());
    server.ask(&[&["FCALL", name.as_str(), count.as_str()], keys, arguments].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_format_1_goes_on_and_its_processes_do_not() {
    if !has_redis("a_queue_of_format_1_goes_on_and_its_processes_do_not") {
        return;
    }
    let server = restored();
    let mut place = Place::of(&server);
    // A process of that version finds the server restarted and all there, and lives.
    let life = server.ask(&["HGET", META, "life"]).lines().nth(1).unwrap().to_owned();
    old(&server, "revive", &[META], &[&life, "0123", ""]);
    let beat = || {
        let keys = [META, ROLES, "millstream:{test}:members"];
        old(&server, "beat", &keys, &["0123", "older:1:x", "6000", "0"])
    };
    assert!(beat().contains("OK"));
    place.options.timeout = millstream_core::fields::Span(Duration::from_millis(300));
    let e = place.refused().await;
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
    assert!(e.to_string().contains("older:1:x works with this queue"), "{e}");
    assert!(beat().contains("OK"), "nothing happened to it");
    // It is frozen, and counts as gone then.
    place.options.timeout = millstream_core::fields::Span(Duration::from_secs(12));
    let queue = within(12, place.open()).await;
    assert_eq!(queue.identity(), (LOG, 0), "it is the same queue, and nothing of it is lost");
    assert!(beat().contains("LIFE"), "it does nothing when it wakes");
    let looks = old(&server, "look", &[META, "millstream:{test}:appenders"], &["older:1:x"]);
    assert!(looks.contains("DEAD") && looks.contains("of a newer version"), "{looks}");
    let (frames, appenders) = ("millstream:{test}:frames", "millstream:{test}:appenders");
    let opens = old(&server, "hello", &[META, appenders, frames], &["older:2:x", "1", "2", "1"]);
    assert!(opens.contains("FORMAT"), "nor is it opened by another one: {opens}");
    assert_eq!((queue.status().first, queue.status().end), (Offset(2), Offset(6)));
    // What it had is read, added to, committed and trimmed, across the two formats.
    let last = queue.checkpoints().await.unwrap().pop().unwrap();
    assert_eq!((last.epoch, last.next), (Epoch(1), Offset(2)));
    assert_eq!(queue.get_chunk(&last.chunks[0]).await.unwrap(), "state");
    assert_eq!(queue.side("dead").unwrap().read(0, 1 << 10).await.unwrap().len(), 1);
    assert_eq!(queue.positions().await.unwrap()["s"]["a"].0, "5");
    for n in 6..9 {
        assert_eq!(queue.append(&[numbered(n)]).await.unwrap().start, Offset(n));
    }
    let all = |from: u64| (from..9).map(numbered).collect::<Vec<_>>();
    place.options.timeout = millstream_core::fields::Span(Duration::from_secs(2));
    let other = place.open().await;
    assert_eq!(read_all(&*other, Offset(2)).await, all(2));
    for (epoch, first) in [(2, 4), (3, 6), (4, 7), (5, 9)] {
        let other = place.open().await;
        other.commit(&checkpoint(epoch, first)).await.unwrap();
        other.trim(Offset(first), Epoch(epoch)).await.unwrap();
        assert_eq!(read_all(&*place.open().await, Offset(first)).await, all(first));
    }
    assert_eq!(server.ask(&["XLEN", frames]), ":0\r\n");
    assert_eq!(place.open().await.status().bytes, 0);
    queue.append(&[numbered(9)]).await.unwrap();
    assert_eq!(read_all(&*place.open().await, Offset(9)).await, [numbered(9)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_format_1_on_a_server_that_was_restarted_may_lack_what_came_last() {
    if !has_redis("a_queue_of_format_1_on_a_server_that_was_restarted_may_lack_what_came_last") {
        return;
    }
    let server = restored();
    let place = Place::of(&server);
    let queue = place.open().await;
    assert_eq!(queue.identity(), (LOG, 1));
    assert!(place.heard.has("incarnation 1 of the queue begins at offset 6"));
    queue.append(&[numbered(6)]).await.unwrap();
    let all: Vec<_> = (2..7).map(numbered).collect();
    assert_eq!(read_all(&*place.open().await, Offset(2)).await, all);
}
