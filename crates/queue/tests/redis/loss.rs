//! What the server loses, or somebody deletes, is told: never a gap, never silence.

use millstream_core::Remedy;
use millstream_core::queue::Queue;
use millstream_core::record::Offset;
use millstream_queue::redis::Durability;
use millstream_testkit::redis::{RedisServer, has_redis};

use super::{Place, checkpoint, numbered, within};

/// A server that keeps what it had when it was told to, as one with `appendfsync everysec` that crashed.
struct Forgets(RedisServer);

impl Forgets {
    fn new() -> Self {
        Self(RedisServer::forgetful())
    }

    fn remember(&self) {
        self.0.ask(&["SAVE"]);
    }

    fn crash(&mut self) {
        self.0.kill();
        self.0.restart();
    }
}

async fn fill(queue: &dyn Queue, range: std::ops::Range<u64>) {
    for n in range {
        queue.append(&[numbered(n)]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_tail_stops_those_who_knew_it_and_begins_a_new_incarnation() {
    if !has_redis("a_lost_tail_stops_those_who_knew_it_and_begins_a_new_incarnation") {
        return;
    }
    let mut server = Forgets::new();
    let place = Place::of(&server.0);
    let queue = place.open().await;
    let (id, incarnation) = queue.identity();
    fill(&*queue, 0..7).await;
    server.remember();
    fill(&*queue, 7..10).await;
    server.crash();
    let e = within(10, queue.append(&[numbered(10)])).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Stop, "{e}");
    assert!(e.to_string().contains("offsets 7 to 9 are gone"), "{e}");
    assert!(e.to_string().contains("appendfsync always"), "{e}");
    // Everything else says so too.
    assert_eq!(queue.read(Offset(0), 1).await.unwrap_err().remedy(), Remedy::Stop);
    assert_eq!(within(5, queue.wait(Offset(99))).await.unwrap_err().remedy(), Remedy::Stop);
    assert_eq!(queue.commit(&checkpoint(1, 7)).await.unwrap_err().remedy(), Remedy::Stop);
    let queue = place.open().await;
    assert_eq!(queue.identity(), (id, incarnation + 1));
    // What a sink holds from there on is of frames that are no more.
    assert_eq!(queue.lost_from(incarnation).await.unwrap(), Some(Offset(7)));
    assert_eq!(queue.lost_from(incarnation + 1).await.unwrap(), None);
    assert_eq!(queue.append(&[numbered(7)]).await.unwrap().start, Offset(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_others_wrote_over_is_noticed() {
    if !has_redis("a_tail_that_others_wrote_over_is_noticed") {
        return;
    }
    let mut server = Forgets::new();
    let place = Place::of(&server.0);
    let (processor, collector) = (place.open().await, place.open().await);
    fill(&*collector, 0..7).await;
    server.remember();
    fill(&*collector, 7..10).await;
    // The processor has read up to the end that is lost.
    while processor.status().end < Offset(10) {
        let end = processor.status().end;
        processor.wait(end).await.unwrap();
        processor.read(end, 1 << 20).await.unwrap();
    }
    processor.read(Offset(9), 1 << 20).await.unwrap();
    server.0.kill();
    // A third process finds the server first, and appends in the place of what was lost.
    server.0.restart();
    let third = place.open().await;
    fill(&*third, 20..40).await;
    let e = loop {
        let e = within(10, processor.commit(&checkpoint(1, 10))).await.unwrap_err();
        if e.remedy() != Remedy::Retry {
            break e;
        }
    };
    assert_eq!(e.remedy(), Remedy::Stop);
    assert!(e.to_string().contains("lost the end of the queue"), "{e}");
    let e = within(10, collector.append(&[numbered(10)])).await.unwrap_err();
    assert!(e.to_string().contains("what this process appended"), "{e}");
    assert_eq!(third.append(&[numbered(41)]).await.unwrap().start, Offset(27));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_knew_less_goes_on_and_one_that_knew_more_begins_the_incarnation() {
    if !has_redis("one_that_knew_less_goes_on_and_one_that_knew_more_begins_the_incarnation") {
        return;
    }
    let mut server = Forgets::new();
    let place = Place::of(&server.0);
    let knows = place.open().await;
    fill(&*knows, 0..7).await;
    server.remember();
    let less = place.open().await;
    // Its first sign of life, which tells it the end, is over; the next one is long after this test.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    server.remember();
    fill(&*knows, 7..10).await;
    server.crash();
    fill(&*less, 20..30).await;
    assert_eq!(less.identity().1, 0);
    let e = within(10, knows.append(&[numbered(10)])).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Stop, "{e}");
    // From where the lost frames were on, not from where the queue ends by now.
    let began = server.0.ask(&["HGET", "millstream:{test}:meta", "began:1"]);
    assert_eq!(began, "$1\r\n7\r\n");
    assert_eq!(place.open().await.identity().1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_lost_nothing_stops_nobody() {
    if !has_redis("a_restart_that_lost_nothing_stops_nobody") {
        return;
    }
    let mut server = Forgets::new();
    let place = Place::of(&server.0);
    let (one, two) = (place.open().await, place.open().await);
    fill(&*one, 0..5).await;
    fill(&*two, 5..9).await;
    one.read(Offset(0), 1 << 20).await.unwrap();
    server.remember();
    server.crash();
    fill(&*one, 9..12).await;
    fill(&*two, 12..15).await;
    assert_eq!(one.identity().1, 0);
    // Whoever comes now trusts those who looked.
    assert_eq!(place.open().await.identity().1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_after_a_crash_that_nobody_saw_is_a_new_incarnation_unless_the_server_is_safe() {
    if !has_redis(
        "an_open_after_a_crash_that_nobody_saw_is_a_new_incarnation_unless_the_server_is_safe",
    ) {
        return;
    }
    for (fsync, begins) in [("always", 0), ("everysec", 1)] {
        let arguments = ["--appendonly", "yes", "--appendfsync", fsync];
        let mut server = RedisServer::start(&arguments);
        let mut place = Place::of(&server);
        place.options.durability = Durability::Relaxed;
        let queue = place.open().await;
        fill(&*queue, 0..5).await;
        drop(queue);
        // The append-only file is with the kernel by now, which survives: but who knows that.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        server.kill();
        server.restart();
        let queue = place.open().await;
        assert_eq!(queue.identity().1, begins, "{arguments:?}");
        assert_eq!(queue.status().end, Offset(5));
        assert_eq!(place.heard.has("incarnation 1 of the queue begins at offset 5"), begins == 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_under_us_is_named() {
    if !has_redis("what_was_deleted_under_us_is_named") {
        return;
    }
    let server = RedisServer::forgetful();
    for (way, said) in [
        (&["DEL", "p:{test}:frames"][..], "frames between offset 0 and 9 are gone"),
        (
            &["XTRIM", "p:{test}:frames", "MINID", "1000000000000000-4"][..],
            "frames between offset 0 and 9 are gone",
        ),
        (
            &["XDEL", "p:{test}:frames", "1000000000000000-4"][..],
            "frames between offset 0 and 9 are gone",
        ),
        (&["DEL", "p:{test}:meta"][..], "the queue is gone from the server"),
        (&["FLUSHALL"][..], "the queue is gone from the server"),
    ] {
        server.ask(&["FLUSHALL"]);
        let mut place = Place::of(&server);
        place.options.prefix = "p".into();
        let queue = place.open().await;
        fill(&*queue, 0..9).await;
        let reader = place.open().await;
        server.ask(way);
        // By whoever writes, and by whoever reads.
        let e = queue.append(&[numbered(9)]).await.unwrap_err();
        assert_eq!(e.remedy(), Remedy::Stop);
        assert!(e.to_string().contains(said) && e.how_to_fix().is_some(), "{way:?}: {e}");
        let mut next = Offset(0);
        let e = loop {
            match reader.read(next, 1).await {
                Ok(slab) => next = slab.next,
                Err(e) => break e,
            }
            assert!(next < Offset(9), "{way:?}: all was read");
        };
        assert!(e.to_string().contains(said), "{way:?}: {e}");
    }
    // Half a queue is none to begin with.
    server.ask(&["FLUSHALL"]);
    let mut place = Place::of(&server);
    place.options.prefix = "p".into();
    fill(&*place.open().await, 0..3).await;
    server.ask(&["DEL", "p:{test}:meta"]);
    let e = place.refused().await;
    assert!(e.to_string().contains("half of a queue"), "{e}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_entry_is_spoilt_and_not_a_frame() {
    if !has_redis("a_forged_entry_is_spoilt_and_not_a_frame") {
        return;
    }
    let server = RedisServer::forgetful();
    let place = Place::of(&server);
    let queue = place.open().await;
    fill(&*queue, 0..3).await;
    let reader = place.open().await;
    // As if an append had counted it in.
    server.ask(&["XADD", "millstream:{test}:frames", "*", "f", "nonsense"]);
    server.ask(&["HINCRBY", "millstream:{test}:meta", "end", "1"]);
    let e = reader.read(Offset(3), 1).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Stop);
    assert!(e.to_string().contains("offset 3 is spoilt"), "{e}");
}
