//! Appends that are refused, repeated, or counted in by nobody: nothing of them stays.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::queue::{Epoch, Queue};
use millstream_core::record::{Frame, Offset};
use millstream_core::role::Role;
use millstream_testkit::laws::queue::{frame, read_all};
use millstream_testkit::redis::{RedisServer, has_redis};

use super::{Place, append_all, assert_all_once, checkpoint, large, numbered, within};

const FRAMES: &str = "millstream:{test}:frames";
const META: &str = "millstream:{test}:meta";
/// The first generation of ids.
const FIRST: u64 = 1_000_000_000_000_000;

/// Generation and number of each entry of the stream of frames.
fn ids(server: &RedisServer) -> Vec<(u64, u64)> {
    let answer = server.ask(&["XRANGE", FRAMES, "-", "+"]);
    let id = |line: &str| {
        let (generation, number) = line.split_once('-')?;
        Some((generation.parse().ok()?, number.parse().ok()?))
    };
    answer.lines().filter_map(id).filter(|(generation, _)| *generation > 1_000_000).collect()
}

/// The stream has the frames that count, and nothing else; how many generations of ids there have been.
fn assert_dense(server: &RedisServer, kept: std::ops::Range<u64>) -> u64 {
    let ids = ids(server);
    let numbers: Vec<u64> = ids.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, (kept.start + 1..=kept.end).collect::<Vec<_>>());
    assert!(ids.is_sorted());
    let generation = server.ask(&["HGET", META, "generation"]);
    generation.lines().nth(1).unwrap().parse::<u64>().unwrap() - FIRST
}

fn append(queue: &Arc<dyn Queue>, frames: Vec<Frame>) -> tokio::task::JoinHandle<Appended> {
    let queue = queue.clone();
    tokio::spawn(async move { queue.append(&frames).await })
}

type Appended = millstream_core::Result<std::ops::Range<Offset>>;

/// Long enough for what is sent to a frozen server to be with its kernel.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_append_leaves_nothing_and_those_behind_it_are_stored() {
    if !has_redis("a_refused_append_leaves_nothing_and_those_behind_it_are_stored") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let (one, two) = (place.open().await, place.open().await);
    assert!(two.take_role(&Role::Collect("s".into())).await.unwrap());
    let of = |source: &str, n: u64| frame(source, "a", format!("{n}"), Some(&n.to_string()));
    one.append(&[of("t", 0)]).await.unwrap();
    assert_eq!(assert_dense(&server, 0..1), 0);
    let e = one.append(&[of("s", 1), of("s", 2)]).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Reopen, "{e}");
    assert_eq!(assert_dense(&server, 0..1), 1, "it was added, and taken back");
    // Whole or not at all: one of its frames could be stored.
    one.append(&[of("t", 9), of("s", 9)]).await.unwrap_err();
    assert_eq!(assert_dense(&server, 0..1), 2);
    // Three in one call, because the server cannot take the one before it.
    server.freeze();
    let first = append(&one, vec![of("t", 1)]);
    a_moment().await;
    let mut rest = Vec::new();
    for (source, n) in [("t", 2), ("s", 3), ("t", 4)] {
        rest.push(append(&one, vec![of(source, n)]));
        a_moment().await;
    }
    server.thaw();
    assert_eq!(within(5, first).await.unwrap().unwrap(), Offset(1)..Offset(2));
    let [before, refused, behind] = rest.try_into().unwrap();
    assert_eq!(within(5, before).await.unwrap().unwrap(), Offset(2)..Offset(3));
    assert_eq!(within(5, refused).await.unwrap().unwrap_err().remedy(), Remedy::Reopen);
    assert_eq!(within(5, behind).await.unwrap().unwrap(), Offset(3)..Offset(4));
    assert_eq!(assert_dense(&server, 0..4), 3);
    two.append(&[of("s", 5)]).await.unwrap();
    // Ids of several generations are read from anywhere, forth and back.
    let all = [of("t", 0), of("t", 1), of("t", 2), of("t", 4), of("s", 5)];
    let reader = place.open().await;
    assert_eq!(read_all(&*reader, Offset(0)).await, all);
    for from in [4, 0, 3, 1, 2] {
        let reader = place.open().await;
        let slab = reader.read(Offset(from), 1).await.unwrap();
        let at = usize::try_from(from).unwrap();
        assert_eq!(slab.frames, [(Offset(from), all[at].clone())]);
        assert_eq!(read_all(&*reader, Offset(0)).await, all);
    }
    assert_eq!(reader.positions().await.unwrap()["s"]["a"].0, "5", "of what was refused none");
    // And trimmed in the middle of one.
    let reader = place.open().await;
    reader.commit(&checkpoint(1, 3)).await.unwrap();
    let bytes = reader.status().bytes;
    reader.trim(Offset(3), Epoch(1)).await.unwrap();
    assert_eq!(reader.status().bytes, bytes * 2 / 5);
    assert_dense(&server, 3..5);
    assert_eq!(read_all(&*place.open().await, Offset(3)).await, all[3..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_came_twice_is_stored_once() {
    if !has_redis("an_append_that_came_twice_is_stored_once") {
        return;
    }
    let server = RedisServer::forgetful();
    let mut place = Place::of(&server);
    place.options.timeout = millstream_core::fields::Span(Duration::from_millis(400));
    let queue = place.open().await;
    queue.append(&[numbered(0)]).await.unwrap();
    server.freeze();
    // It is with the server's kernel by now, whole; and again, over another connection, after each 400 ms.
    let second = append(&queue, vec![numbered(1), numbered(2)]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.thaw();
    assert_eq!(within(10, second).await.unwrap().unwrap(), Offset(1)..Offset(3));
    queue.append(&[numbered(3)]).await.unwrap();
    assert!(assert_dense(&server, 0..4) > 0, "it did come twice");
    let all = [numbered(0), numbered(1), numbered(2), numbered(3)];
    assert_eq!(read_all(&*place.open().await, Offset(0)).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_counted_in_is_never_read_and_goes() {
    if !has_redis("what_nobody_counted_in_is_never_read_and_goes") {
        return;
    }
    let mut server = RedisServer::safe();
    let place = Place::of(&server);
    let (queue, reader) = (place.open().await, place.open().await);
    queue.append(&[numbered(0)]).await.unwrap();
    // What a transaction leaves that finds no function to count it in.
    let leave = |server: &RedisServer, n: usize| {
        for _ in 0..n {
            server.ask(&["XADD", FRAMES, "*", "f", "nobody"]);
        }
    };
    leave(&server, 3);
    assert_eq!(ids(&server).len(), 4);
    assert_eq!(read_all(&*reader, Offset(0)).await, [numbered(0)]);
    assert!(reader.read(Offset(1), 1 << 20).await.unwrap().frames.is_empty());
    tokio::time::timeout(Duration::from_millis(300), reader.wait(Offset(1))).await.unwrap_err();
    queue.append(&[numbered(1)]).await.unwrap();
    assert_eq!(assert_dense(&server, 0..2), 1);
    assert_eq!(read_all(&*reader, Offset(0)).await, [numbered(0), numbered(1)]);
    // Trimmed to the end, there is nothing but that.
    reader.commit(&checkpoint(1, 2)).await.unwrap();
    reader.trim(Offset(2), Epoch(1)).await.unwrap();
    leave(&server, 2);
    assert!(reader.read(Offset(2), 1 << 20).await.unwrap().frames.is_empty());
    queue.append(&[numbered(2)]).await.unwrap();
    assert_eq!(assert_dense(&server, 2..3), 2);
    // Whoever finds a server that was restarted clears it away as well.
    leave(&server, 2);
    server.kill();
    server.restart();
    within(10, async {
        while let Err(e) = reader.commit(&checkpoint(2, 3)).await {
            assert_eq!(e.remedy(), Remedy::Retry, "{e}");
        }
    })
    .await;
    assert_eq!(assert_dense(&server, 2..3), 3);
    queue.append(&[numbered(3)]).await.unwrap();
    assert_eq!(read_all(&*place.open().await, Offset(2)).await, [numbered(2), numbered(3)]);
    assert_eq!(queue.identity().1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_that_is_thrown_away_again_and_again_loses_and_repeats_nothing() {
    if !has_redis("a_library_that_is_thrown_away_again_and_again_loses_and_repeats_nothing") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let (queue, reader) = (place.open().await, place.open().await);
    queue.append(&[numbered(400)]).await.unwrap();
    server.ask(&["FUNCTION", "FLUSH"]);
    queue.append(&[numbered(401)]).await.unwrap();
    assert!(assert_dense(&server, 0..2) > 0, "it was added without being counted in");
    let tasks = append_all(&queue, 400);
    let read = tokio::spawn(async move {
        let mut next = Offset(0);
        while next.0 < 402 {
            reader.wait(next).await.unwrap();
            for (offset, _) in reader.read(next, 1 << 10).await.unwrap().frames {
                assert_eq!(offset, next);
                next = next.next();
            }
        }
    });
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        server.ask(&["FUNCTION", "FLUSH"]);
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    for task in tasks {
        within(30, task).await.unwrap();
    }
    within(30, read).await.unwrap();
    assert_all_once(&*queue, 402).await;
    assert_dense(&server, 0..402);
    assert_all_once(&*place.open().await, 402).await;
    assert_eq!(queue.identity().1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_that_others_have_reached_refuses_without_a_trace() {
    if !has_redis("a_bound_that_others_have_reached_refuses_without_a_trace") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server).bound(5 * (66 << 10));
    let (one, two) = (place.open().await, place.open().await);
    for n in 0..4 {
        one.append(&[large(n)]).await.unwrap();
    }
    // The other one has not heard of these yet, or has: it finds no room, and waits.
    let waits = append(&two, vec![large(4), large(5)]);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!waits.is_finished());
    assert_eq!(assert_dense(&server, 0..4), 1);
    // What fits goes on for whoever does not wait behind that.
    one.append(&[large(6)]).await.unwrap();
    one.commit(&checkpoint(1, 3)).await.unwrap_err();
    two.commit(&checkpoint(1, 3)).await.unwrap();
    two.trim(Offset(3), Epoch(1)).await.unwrap();
    assert_eq!(within(5, waits).await.unwrap().unwrap(), Offset(5)..Offset(7));
    assert_dense(&server, 3..7);
    let all = [large(3), large(6), large(4), large(5)];
    assert_eq!(read_all(&*place.open().await, Offset(3)).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_amid_large_appends_of_two_processes_has_all_of_them_once() {
    if !has_redis("a_server_killed_amid_large_appends_of_two_processes_has_all_of_them_once") {
        return;
    }
    let mut server = RedisServer::safe();
    let place = Place::of(&server);
    let queues = [place.open().await, place.open().await];
    let task = |t: u64| {
        let queue = queues[usize::try_from(t % 2).unwrap()].clone();
        tokio::spawn(async move {
            for n in (t..300).step_by(10) {
                queue.append(&[large(n)]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    };
    let tasks: Vec<_> = (0..10).map(task).collect();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        server.kill();
        server.restart();
    }
    for task in tasks {
        within(60, task).await.unwrap();
    }
    assert_dense(&server, 0..300);
    assert_all_once(&*place.open().await, 300).await;
    assert_eq!(queues[0].identity().1, 0, "nothing was lost");
}

/// Adds what Redis leaves in its file when it is killed while it writes a transaction: the first commands of it.
fn cut_short(server: &RedisServer, ids: &[String]) {
    let folder = server.folder().join("appendonlydir");
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let file = files.filter(|f| f.to_string_lossy().ends_with(".incr.aof")).max().unwrap();
    let mut text = String::new();
    let mut command = |words: &[&str]| {
        text.push_str(&format!("*{}\r\n", words.len()));
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
    };
    command(&["MULTI"]);
    for id in ids {
        command(&["XADD", FRAMES, id, "f", "cut short"]);
    }
    text.push_str("*5\r\n$4\r\nXA");
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_cut_short_in_the_file_of_the_server_does_not_come_back() {
    if !has_redis("a_transaction_cut_short_in_the_file_of_the_server_does_not_come_back") {
        return;
    }
    let mut server = RedisServer::safe();
    let place = Place::of(&server);
    let (queue, reader) = (place.open().await, place.open().await);
    for n in 0..3 {
        queue.append(&[numbered(n)]).await.unwrap();
    }
    server.kill();
    cut_short(&server, &[4, 5].map(|n| format!("{FIRST}-{n}")));
    server.restart();
    for n in 3..6 {
        queue.append(&[numbered(n)]).await.unwrap();
    }
    // Only now the server does what it had dropped; and whoever comes first reads.
    server.kill();
    server.restart();
    if server.ask(&["INFO"]).contains("redis_version:7.0") {
        assert!(ids(&server).len() > 6, "or this tests nothing");
    }
    let all: Vec<_> = (0..6).map(numbered).collect();
    let read = within(10, read_all(&*reader, Offset(0))).await;
    assert_eq!(read, all);
    assert_dense(&server, 0..6);
    queue.append(&[numbered(6)]).await.unwrap();
    assert_dense(&server, 0..7);
    assert_eq!(queue.identity().1, 0);
    // Where it is not known which frames there are, none of them is deleted.
    server.ask(&["DEL", "millstream:{test}:appends"]);
    server.kill();
    server.restart();
    queue.append(&[numbered(7)]).await.unwrap();
    assert_dense(&server, 0..8);
}
