//! Laws of identity, and of what a reopened queue gives back.

use bytes::Bytes;
use millstream_core::Remedy;
use millstream_core::queue::{Checkpoint, SideExtent};
use millstream_core::record::Offset;
use std::collections::BTreeMap;

use super::sides::{add, entries, texts};
use super::{Fresh, checkpoint, large, numbered, read_all};

pub(super) async fn identity_stays(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let other = fresh.small.open().await.unwrap();
    assert_ne!(queue.identity().0, other.identity().0, "two queues are told apart");
    if fresh.roomy.durable() {
        let was = queue.identity();
        drop(queue);
        assert_eq!(fresh.roomy.open().await.unwrap().identity(), was);
    }
}

pub(super) async fn status_counts(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let empty = queue.status();
    queue.append(&[large(0), large(1)]).await.unwrap();
    let status = queue.status();
    assert_eq!((status.first, status.end), (Offset(0), Offset(2)));
    let more = status.bytes - empty.bytes;
    assert!((64 << 10..66 << 10).contains(&more), "{more}");
}

pub(super) async fn reopening_gives_the_same(fresh: Fresh) {
    if !fresh.roomy.durable() {
        return;
    }
    let mut frames = Vec::new();
    let mut checkpoints = Vec::new();
    for round in 0..6 {
        let queue = fresh.roomy.open().await.unwrap();
        assert_eq!(read_all(&*queue, Offset(0)).await, frames);
        assert_eq!(queue.checkpoints().await.unwrap(), checkpoints);
        for n in 0..10 {
            let more = [large(round * 10 + n), numbered(n)];
            queue.append(&more).await.unwrap();
            frames.extend(more);
        }
        checkpoints.push(checkpoint(round + 1, 5));
        queue.commit(checkpoints.last().unwrap()).await.unwrap();
        if round % 2 == 0 {
            queue.close().await.unwrap();
            assert!(queue.append(&[numbered(0)]).await.is_err(), "closed is closed");
        }
    }
}

pub(super) async fn side_streams_are_cut_to_the_last_checkpoint(fresh: Fresh) {
    if !fresh.roomy.durable() {
        return;
    }
    let queue = fresh.roomy.open().await.unwrap();
    let side = queue.side("dead").unwrap();
    add(&*side, 0..10).await;
    side.trim(2).await.unwrap();
    let sides = BTreeMap::from([("dead".to_owned(), side.extent())]);
    queue.commit(&Checkpoint { sides, ..checkpoint(1, 0) }).await.unwrap();
    add(&*side, 10..20).await;
    side.trim(15).await.unwrap();
    side.sync().await.unwrap();
    add(&*queue.side("never/committed").unwrap(), 0..1).await;
    drop((side, queue));
    let queue = fresh.roomy.open().await.unwrap();
    assert_eq!(queue.sides().await.unwrap(), ["dead"]);
    let side = queue.side("dead").unwrap();
    assert_eq!(side.extent(), SideExtent { first: 2, end: 10 });
    assert_eq!(entries(&*side, 0).await, texts(2..10));
    add(&*side, 10..11).await;
    assert_eq!(entries(&*side, 9).await, texts(9..11));
}

pub(super) async fn chunks_outlive_the_process(fresh: Fresh) {
    if !fresh.roomy.durable() {
        return;
    }
    let queue = fresh.roomy.open().await.unwrap();
    let kept = queue.put_chunk("view", "k", Bytes::from_static(b"kept")).await.unwrap();
    let chunks = vec![kept.clone()];
    queue.commit(&Checkpoint { chunks, ..checkpoint(1, 0) }).await.unwrap();
    let orphan = queue.put_chunk("view", "k", Bytes::from_static(b"orphan")).await.unwrap();
    drop(queue);
    let queue = fresh.roomy.open().await.unwrap();
    assert_eq!(queue.get_chunk(&kept).await.unwrap(), "kept");
    queue.get_chunk(&orphan).await.unwrap_err();
}

pub(super) async fn a_new_incarnation_is_remembered(fresh: Fresh) {
    if !fresh.roomy.durable() {
        return;
    }
    let queue = fresh.roomy.open().await.unwrap();
    queue.append(&[numbered(0)]).await.unwrap();
    let (id, was) = queue.identity();
    assert_eq!(queue.new_incarnation().await.unwrap(), was + 1);
    assert_eq!(queue.identity(), (id, was + 1));
    assert_eq!(queue.append(&[numbered(1)]).await.unwrap().start, Offset(1));
    drop(queue);
    let queue = fresh.roomy.open().await.unwrap();
    assert_eq!(queue.identity(), (id, was + 1));
    assert_eq!(read_all(&*queue, Offset(0)).await, [numbered(0), numbered(1)]);
}

pub(super) async fn one_at_a_time(fresh: Fresh) {
    if !fresh.roomy.durable() || fresh.roomy.shared() {
        return;
    }
    let queue = fresh.roomy.open().await.unwrap();
    let e = fresh.roomy.open().await.err().unwrap();
    assert_eq!(e.remedy(), Remedy::Retry);
    assert!(e.how_to_fix().is_some(), "{e}");
    queue.close().await.unwrap();
    fresh.roomy.open().await.unwrap();
}
