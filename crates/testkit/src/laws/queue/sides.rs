//! Laws of side streams.

use bytes::Bytes;
use millstream_core::Remedy;
use millstream_core::queue::{Checkpoint, SideExtent, SideStream};
use std::collections::BTreeMap;

use super::{Fresh, checkpoint};

pub(super) async fn entries(side: &dyn SideStream, from: u64) -> Vec<(u64, Bytes)> {
    let mut all: Vec<(u64, Bytes)> = Vec::new();
    let mut from = from;
    loop {
        let some = side.read(from, 1000).await.unwrap();
        let Some((last, _)) = some.last() else { return all };
        from = last + 1;
        all.extend(some);
    }
}

pub(super) fn texts(range: std::ops::Range<u64>) -> Vec<(u64, Bytes)> {
    range.map(|n| (n, Bytes::from(format!("entry {n}")))).collect()
}

pub(super) async fn add(side: &dyn SideStream, range: std::ops::Range<u64>) {
    let some: Vec<Bytes> = texts(range.clone()).into_iter().map(|(_, e)| e).collect();
    assert_eq!(side.append(&some).await.unwrap(), range.start);
}

pub(super) async fn side_entries_are_numbered_and_read_back(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let side = queue.side("outbox/store").unwrap();
    assert_eq!(side.extent(), SideExtent::default());
    add(&*side, 0..3).await;
    add(&*side, 3..500).await;
    assert_eq!(side.extent(), SideExtent { first: 0, end: 500 });
    assert_eq!(entries(&*side, 0).await, texts(0..500));
    assert_eq!(entries(&*side, 123).await, texts(123..500));
    assert_eq!(side.read(7, 1).await.unwrap(), texts(7..8));
    assert_eq!(side.read(500, 1).await.unwrap(), []);
    assert_eq!(entries(&*queue.side("outbox/store").unwrap(), 499).await, texts(499..500));
    assert!(side.bytes() > 3000);
}

pub(super) async fn side_entries_can_be_trimmed(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let side = queue.side("dead").unwrap();
    add(&*side, 0..10).await;
    side.trim(4).await.unwrap();
    assert_eq!(side.extent(), SideExtent { first: 4, end: 10 });
    assert_eq!(entries(&*side, 0).await, texts(4..10));
    side.trim(100).await.unwrap();
    assert_eq!(side.extent(), SideExtent { first: 10, end: 10 });
    assert_eq!(side.bytes(), 0);
    let sides = BTreeMap::from([("dead".to_owned(), side.extent())]);
    queue.commit(&Checkpoint { sides, ..checkpoint(1, 0) }).await.unwrap();
    add(&*side, 10..12).await;
    assert_eq!(entries(&*side, 0).await, texts(10..12));
}

pub(super) async fn side_names_are_checked(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    for bad in ["", "a b", "../up", "a//b", "/a", "ü", "a~b"] {
        assert!(queue.side(bad).is_err(), "`{bad}`");
    }
    queue.side("Dead-letters_1.2/x").unwrap();
}

pub(super) async fn side_streams_do_not_mix(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let (one, two) = (queue.side("a/b").unwrap(), queue.side("a").unwrap());
    add(&*one, 0..5).await;
    add(&*two, 0..1).await;
    assert_eq!(entries(&*two, 0).await, texts(0..1));
    assert_eq!(entries(&*one, 0).await, texts(0..5));
    assert_eq!(queue.sides().await.unwrap(), ["a", "a/b"]);
}

pub(super) async fn a_full_side_stream_says_so_and_its_siblings_go_on(fresh: Fresh) {
    let queue = fresh.small.open().await.unwrap();
    let side = queue.side("outbox").unwrap();
    let max = usize::try_from(fresh.small.side_bytes_max()).unwrap();
    let e = side.append(&[Bytes::from(vec![0; max + 1])]).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Retry);
    assert_eq!(side.extent(), SideExtent::default(), "nothing was added");
    add(&*side, 0..3).await;
    add(&*queue.side("dead").unwrap(), 0..3).await;
}
