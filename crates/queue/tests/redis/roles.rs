//! Who may do what: one at a time, and a process that was replaced does nothing any more.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_core::Remedy;
use millstream_core::queue::{Epoch, Queue};
use millstream_core::record::{Body, Frame, Offset};
use millstream_core::role::Role;
use millstream_testkit::laws::queue::{frame, read_all};
use millstream_testkit::redis::{RedisServer, has_redis};

use super::{Place, checkpoint, numbered, within};

fn collect(source: &str) -> Role {
    Role::Collect(source.into())
}

/// Lets a role's lease run out, as if its holder had been frozen for longer than that.
fn expire(server: &RedisServer, role: &str) {
    let key = "millstream:{test}:roles";
    let record = server.ask(&["HGET", key, role]);
    let mut parts = record.lines().nth(1).unwrap().splitn(3, ' ');
    let (token, process) = (parts.next().unwrap(), parts.nth(1).unwrap());
    server.ask(&["HSET", key, role, &format!("{token} 1 {process}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_at_a_time_has_a_role() {
    if !has_redis("one_process_at_a_time_has_a_role") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let (one, two) = (place.open().await, place.open().await);
    assert!(one.take_role(&Role::Process).await.unwrap());
    assert!(one.take_role(&Role::Process).await.unwrap(), "it has it already");
    assert!(!two.take_role(&Role::Process).await.unwrap());
    assert!(two.take_role(&collect("s")).await.unwrap());
    assert!(!one.take_role(&collect("s")).await.unwrap());
    assert!(one.take_role(&collect("t")).await.unwrap());
    assert_eq!((one.collectors().await.unwrap(), two.collectors().await.unwrap()), (2, 2));
    let holders = one.holders().await.unwrap();
    assert_eq!(holders.len(), 3);
    let of = |role: Role| holders.iter().find(|h| h.role == role).unwrap().process.clone();
    assert_eq!(of(Role::Process), of(collect("t")));
    assert_ne!(of(Role::Process), of(collect("s")));
    assert!(of(Role::Process).contains(&format!(":{}:", std::process::id())));
    one.give_up_role(&Role::Process).await.unwrap();
    assert!(two.take_role(&Role::Process).await.unwrap());
    two.close().await.unwrap();
    assert!(one.take_role(&Role::Process).await.unwrap(), "a closed queue has no roles");
    assert_eq!(one.collectors().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_renewed_and_those_of_the_dead_are_free_within_ten_seconds() {
    if !has_redis("roles_are_renewed_and_those_of_the_dead_are_free_within_ten_seconds") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let (one, two) = (place.open().await, place.open().await);
    assert!(one.take_role(&Role::Process).await.unwrap());
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(!two.take_role(&Role::Process).await.unwrap(), "it was renewed");
    // Its tasks end with it, as if the process had been killed.
    drop(one);
    within(10, async {
        while !two.take_role(&Role::Process).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_was_replaced_does_nothing_any_more() {
    if !has_redis("a_processor_that_was_replaced_does_nothing_any_more") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let (one, two) = (place.open().await, place.open().await);
    assert!(one.take_role(&Role::Process).await.unwrap());
    one.append(&[numbered(0), numbered(1)]).await.unwrap();
    let dead = one.side("dead").unwrap();
    dead.append(&[Bytes::from_static(b"kept")]).await.unwrap();
    let mut sealed = checkpoint(1, 1);
    sealed.sides.insert("dead".into(), dead.extent());
    one.commit(&sealed).await.unwrap();
    dead.append(&[Bytes::from_static(b"not committed")]).await.unwrap();
    let lost = {
        let one = one.clone();
        tokio::spawn(async move { one.role_lost(&Role::Process).await })
    };
    expire(&server, "process");
    assert!(two.take_role(&Role::Process).await.unwrap());
    // The second goes on from what the first committed.
    let side = two.side("dead").unwrap();
    assert_eq!(side.extent().end, 1);
    assert_eq!(side.append(&[Bytes::from_static(b"second")]).await.unwrap(), 1);
    let pin = Frame { body: Body::Pin(Bytes::from_static(b"{}")), ..frame("s", "", "", None) };
    for e in [
        one.commit(&checkpoint(2, 2)).await.unwrap_err(),
        one.trim(Offset(1), Epoch(1)).await.unwrap_err(),
        dead.append(&[Bytes::from_static(b"late")]).await.unwrap_err(),
        one.put_chunk("v", "k", Bytes::from_static(b"late")).await.unwrap_err(),
        one.append(std::slice::from_ref(&pin)).await.unwrap_err(),
    ] {
        assert_eq!(e.remedy(), Remedy::Stop, "{e}");
        assert!(e.to_string().contains("another process took over"), "{e}");
    }
    within(5, lost).await.unwrap();
    assert_eq!(two.checkpoints().await.unwrap().len(), 1);
    two.append(&[pin]).await.unwrap();
    assert_eq!(side.read(0, 1 << 10).await.unwrap().len(), 2);
    // What it collects is its own still.
    one.append(&[numbered(2)]).await.unwrap();
}

/// Runs this very test program again, to have the roles in a process of its own, which is frozen and wakes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_frozen_for_too_long_does_nothing_when_it_wakes() {
    let name = "roles::a_process_that_was_frozen_for_too_long_does_nothing_when_it_wakes";
    if let Ok(url) = std::env::var("MILLSTREAM_TEST_FREEZE") {
        return frozen(&url).await;
    }
    if !has_redis(name) {
        return;
    }
    let server = RedisServer::forgetful();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("MILLSTREAM_TEST_FREEZE", server.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut hear = |text: &str| lines.any(|l| l.unwrap().contains(text));
    assert!(hear("has the roles"));
    let signal = |signal: &str| {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let place = Place::of(&server);
    let queue = place.open().await;
    within(10, async {
        while !queue.take_role(&Role::Process).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(queue.take_role(&collect("s")).await.unwrap());
    })
    .await;
    let end = queue.status().end;
    signal("-CONT");
    for act in ["append", "commit", "side", "chunk"] {
        assert!(hear(&format!("{act}: refused")), "{act}");
    }
    child.wait().unwrap();
    assert_eq!(queue.append(&[numbered(1)]).await.unwrap().start, end);
}

/// Does everything, again and again, until it is refused.
async fn frozen(url: &str) {
    let place = Place::at(url);
    let queue = place.open().await;
    assert!(queue.take_role(&Role::Process).await.unwrap());
    assert!(queue.take_role(&collect("s")).await.unwrap());
    let side = queue.side("dead").unwrap();
    println!("has the roles");
    let retried = |e: &millstream_core::Error| e.remedy() == Remedy::Retry;
    let says = |act: &str, e: &millstream_core::Error| println!("{act}: refused: {e}");
    for _ in 0..2_000 {
        match queue.append(&[numbered(0)]).await {
            Err(e) if !retried(&e) => {
                says("append", &e);
                break;
            }
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    for _ in 0..100 {
        match queue.commit(&checkpoint(1, 0)).await {
            Err(e) if !retried(&e) => {
                says("commit", &e);
                break;
            }
            _ => {}
        }
    }
    says("side", &side.append(&[Bytes::from_static(b"x")]).await.unwrap_err());
    says("chunk", &queue.put_chunk("v", "k", Bytes::new()).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_was_replaced_is_refused_and_its_siblings_are_not() {
    if !has_redis("a_collector_that_was_replaced_is_refused_and_its_siblings_are_not") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let (one, two) = (place.open().await, place.open().await);
    for source in ["s", "t"] {
        assert!(one.take_role(&collect(source)).await.unwrap());
    }
    let e = two.append(&[numbered(0)]).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Reopen, "it never had the role: {e}");
    expire(&server, "collect/s");
    assert!(two.take_role(&collect("s")).await.unwrap());
    let of = |source: &str, n: u64| frame(source, "a", "x", Some(&n.to_string()));
    let append = |queue: &Arc<dyn Queue>, frame: Frame| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.append(&[frame]).await })
    };
    // In one call: one is refused, the other is not.
    let (s, t) = (append(&one, of("s", 1)), append(&one, of("t", 2)));
    let e = s.await.unwrap().unwrap_err();
    assert_eq!(e.remedy(), Remedy::Reopen);
    assert!(e.to_string().contains("collect/s"), "{e}");
    t.await.unwrap().unwrap();
    within(1, one.role_lost(&collect("s"))).await;
    two.append(&[of("s", 3)]).await.unwrap();
    assert_eq!(read_all(&*two, Offset(0)).await, [of("t", 2), of("s", 3)]);
    assert_eq!(two.positions().await.unwrap()["s"]["a"].0, "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_processor_feeds_records_back_into_a_source_that_another_one_collects() {
    if !has_redis("the_processor_feeds_records_back_into_a_source_that_another_one_collects") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let (one, two) = (place.open().await, place.open().await);
    assert!(one.take_role(&Role::Process).await.unwrap());
    assert!(two.take_role(&collect("s")).await.unwrap());
    one.append(&[frame("s", "a", "again", None)]).await.unwrap();
    let e = one.append(&[frame("s", "a", "moves", Some("9"))]).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Reopen, "positions are the collector's: {e}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_opens_last_processes_if_nobody_asked_for_it() {
    if !has_redis("whoever_opens_last_processes_if_nobody_asked_for_it") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let one = place.open().await;
    one.append(&[numbered(0)]).await.unwrap();
    one.commit(&checkpoint(1, 0)).await.unwrap();
    let two = place.open().await;
    let e = one.commit(&checkpoint(2, 1)).await.unwrap_err();
    assert!(e.to_string().contains("another process took over"), "{e}");
    two.commit(&checkpoint(2, 1)).await.unwrap();
    // Somebody who asked for it is not replaced by one who only opens.
    assert!(two.take_role(&Role::Process).await.unwrap());
    let three = place.open().await;
    two.commit(&checkpoint(3, 1)).await.unwrap();
    let e = three.commit(&checkpoint(4, 1)).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Stop);
}
