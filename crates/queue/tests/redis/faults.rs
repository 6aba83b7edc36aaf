//! Servers and connections that go away for a while: nothing is lost, nothing is there twice.

use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::queue::Epoch;
use millstream_core::record::Offset;
use millstream_testkit::laws::queue::{frame, read_all};
use millstream_testkit::redis::{RedisServer, has_redis};

use super::{Place, append_all, assert_all_once, checkpoint, large, numbered, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_amid_appends_has_all_of_them_once() {
    if !has_redis("a_server_killed_amid_appends_has_all_of_them_once") {
        return;
    }
    let mut server = RedisServer::safe();
    let place = Place::of(&server);
    let queue = place.open().await;
    let was = queue.identity();
    let tasks = append_all(&queue, 400);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.restart();
    }
    for task in tasks {
        within(30, task).await.unwrap();
    }
    assert_all_once(&*queue, 400).await;
    assert!(place.heard.has("append"), "the trouble was told");
    assert_eq!(queue.identity(), was, "nothing was lost, so that nothing began anew");
    drop(queue);
    server.kill();
    server.restart();
    let queue = place.open().await;
    assert_eq!(queue.identity(), was);
    assert_all_once(&*queue, 400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_again_and_again_lose_and_repeat_nothing() {
    if !has_redis("connections_cut_again_and_again_lose_and_repeat_nothing") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let queue = place.open().await;
    // Another process, so that reads really go to the server.
    let reader = place.open().await;
    let tasks = append_all(&queue, 300);
    let read = tokio::spawn(async move {
        let mut next = Offset(0);
        while next.0 < 300 {
            reader.wait(next).await.unwrap();
            for (offset, _) in reader.read(next, 1 << 10).await.unwrap().frames {
                assert_eq!(offset, next);
                next = next.next();
            }
        }
    });
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        server.cut_connections();
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    for task in tasks {
        within(30, task).await.unwrap();
    }
    within(30, read).await.unwrap();
    assert_all_once(&*queue, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_or_paused_server_holds_everything_up_and_loses_nothing() {
    if !has_redis("a_frozen_or_paused_server_holds_everything_up_and_loses_nothing") {
        return;
    }
    let server = RedisServer::forgetful();
    let mut place = Place::of(&server);
    place.options.timeout = millstream_core::fields::Span(Duration::from_millis(500));
    let queue = place.open().await;
    let tasks = append_all(&queue, 200);
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.freeze();
    // Longer than an answer is waited for: what was sent before is sent again meanwhile.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(tasks.iter().any(|t| !t.is_finished()));
    server.thaw();
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.ask(&["CLIENT", "PAUSE", "1500", "ALL"]);
    for task in tasks {
        within(30, task).await.unwrap();
    }
    assert_all_once(&*queue, 200).await;
    assert!(place.heard.has("append"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory_is_told_and_gone_on_from() {
    if !has_redis("out_of_memory_is_told_and_gone_on_from") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let queue = place.open().await;
    for n in 0..50 {
        queue.append(&[large(n)]).await.unwrap();
    }
    server.ask(&["CONFIG", "SET", "maxmemory", "3mb"]);
    let e = within(10, queue.append(&[large(50)])).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
    assert!(e.to_string().contains("maxmemory"), "{e}");
    // What makes room works all the same.
    let side = queue.side("dead").unwrap();
    side.append(&[bytes::Bytes::from_static(b"letter")]).await.unwrap();
    let chunk = queue.put_chunk("v", "k", bytes::Bytes::from_static(b"state")).await.unwrap();
    let mut sealed = checkpoint(1, 50);
    sealed.chunks.push(chunk);
    sealed.sides.insert("dead".into(), side.extent());
    queue.commit(&sealed).await.unwrap();
    queue.trim(Offset(50), Epoch(1)).await.unwrap();
    assert_eq!(queue.status().first, Offset(50));
    let got = queue.append(&[large(50)]).await;
    if let Err(e) = &got {
        // Freed memory is not counted as free at once.
        assert_eq!(e.remedy(), Remedy::Retry);
        server.ask(&["CONFIG", "SET", "maxmemory", "100mb"]);
        queue.append(&[large(50)]).await.unwrap();
    }
    assert_eq!(read_all(&*queue, Offset(50)).await, [large(50)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_on_frames_holds_appends_up() {
    if !has_redis("the_bound_on_frames_holds_appends_up") {
        return;
    }
    let server = RedisServer::forgetful();
    let mut place = Place::of(&server).bound(1 << 20);
    place.options.frames_max = Some(5);
    let queue = place.open().await;
    // The room is made by another process, which the first one only sees by looking.
    let other = place.open().await;
    for n in 0..5 {
        queue.append(&[numbered(n)]).await.unwrap();
    }
    let sixth = {
        let queue = queue.clone();
        tokio::spawn(async move { queue.append(&[numbered(5)]).await })
    };
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!sixth.is_finished());
    let e = queue.append(&vec![numbered(9); 6]).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::SetAside);
    other.commit(&checkpoint(1, 3)).await.unwrap();
    other.trim(Offset(3), Epoch(1)).await.unwrap();
    assert_eq!(within(5, sixth).await.unwrap().unwrap().start, Offset(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_when_another_process_appends() {
    if !has_redis("a_wait_ends_when_another_process_appends") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let (one, two) = (place.open().await, place.open().await);
    // Processes hear of one another every two seconds anyway: twenty in less is by the server's bell.
    let all = async {
        for n in 0..20 {
            let waiting = one.wait(Offset(n));
            let append = async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                two.append(&[frame("s", "b", "x", None)]).await.unwrap();
            };
            let (waited, ()) = tokio::join!(waiting, append);
            waited.unwrap();
            assert_eq!(one.read(Offset(n), 1).await.unwrap().frames.len(), 1);
        }
    };
    within(10, all).await;
}
