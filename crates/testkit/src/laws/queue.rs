//! The laws of a queue. [`LAWS`] is walked by a test of each queue.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a law that is broken panics"
)]

mod reopen;
mod sides;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_core::plugin::QueueOpener;
use millstream_core::queue::{Checkpoint, Epoch, Queue};
use millstream_core::record::{Block, Body, Form, Frame, Offset, Position, Record};
use millstream_core::{Remedy, Timestamp};

use reopen::{
    a_new_incarnation_is_remembered, chunks_outlive_the_process, identity_stays, one_at_a_time,
    reopening_gives_the_same, side_streams_are_cut_to_the_last_checkpoint, status_counts,
};
use sides::{
    a_full_side_stream_says_so_and_its_siblings_go_on, side_entries_are_numbered_and_read_back,
    side_entries_can_be_trimmed, side_names_are_checked, side_streams_do_not_mix,
};

/// Places for one law to work in.
#[derive(Clone)]
pub struct Fresh {
    /// An empty queue with room for all that a law does (some 64 MiB).
    pub roomy: Arc<dyn QueueOpener>,
    /// Another, bounded so that 256 KiB fit and 4 MiB do not.
    pub small: Arc<dyn QueueOpener>,
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fresh")
    }
}

type Run = fn(Fresh) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! laws {
    ($($law:ident)*) => {
        /// Every law, by name. Each is to run in places of its own.
        pub const LAWS: &[(&str, Run)] = &[$((stringify!($law), |fresh| Box::pin($law(fresh)))),*];
    };
}

laws! {
    appends_get_dense_offsets_in_order
    an_append_of_many_frames_is_one_run_of_offsets
    an_empty_append_stores_nothing
    every_kind_of_frame_reads_back_as_it_was
    a_read_gives_at_least_one_frame_and_stops_at_its_bound
    reading_at_the_end_gives_nothing_yet
    frames_of_an_append_are_readable_when_it_returns
    waiting_ends_when_a_frame_comes
    waiting_for_what_is_there_does_not_wait
    positions_are_the_last_of_each_split
    positions_outlive_trimming
    concurrent_appends_are_all_there_once
    an_append_that_is_dropped_is_stored_whole_or_not_at_all
    at_the_bound_appends_wait_until_trim_makes_room
    what_never_fits_is_refused_at_once
    checkpoints_come_back_oldest_first
    a_second_commit_of_an_epoch_takes_the_place_of_the_first
    trim_keeps_what_checkpoints_need_and_the_last_checkpoint
    what_was_trimmed_is_an_error_not_a_gap
    chunks_read_back_and_are_checked
    chunk_ids_are_never_used_again
    side_entries_are_numbered_and_read_back
    side_entries_can_be_trimmed
    side_names_are_checked
    side_streams_do_not_mix
    a_full_side_stream_says_so_and_its_siblings_go_on
    identity_stays
    status_counts
    reopening_gives_the_same
    side_streams_are_cut_to_the_last_checkpoint
    chunks_outlive_the_process
    a_new_incarnation_is_remembered
    one_at_a_time
}

/// A frame of one record.
pub fn frame(source: &str, split: &str, text: impl Into<Bytes>, position: Option<&str>) -> Frame {
    Frame {
        source: source.into(),
        split: split.into(),
        arrival: Timestamp(1_000),
        position: position.map(|p| Position(Bytes::copy_from_slice(p.as_bytes()))),
        body: Body::Block(Block::pack(&[Record::new(text)]).unwrap()),
    }
}

/// All frames from `from` on, checked to be without a gap.
pub async fn read_all(queue: &dyn Queue, from: Offset) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut next = from;
    loop {
        let slab = queue.read(next, 64 << 10).await.unwrap();
        if slab.frames.is_empty() {
            assert_eq!(slab.next, next);
            return frames;
        }
        for (offset, frame) in slab.frames {
            assert_eq!(offset, next, "offsets are dense");
            frames.push(frame);
            next = next.next();
        }
        assert_eq!(slab.next, next);
    }
}

fn numbered(n: u64) -> Frame {
    frame("s", "a", format!("{n}"), Some(&n.to_string()))
}

fn large(n: u64) -> Frame {
    frame("s", "a", vec![u8::try_from(n % 251).unwrap(); 32 << 10], Some(&n.to_string()))
}

fn checkpoint(epoch: u64, next: u64) -> Checkpoint {
    Checkpoint { epoch: Epoch(epoch), next: Offset(next), at: Timestamp(5), ..Default::default() }
}

async fn appends_get_dense_offsets_in_order(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    for n in 0..50 {
        assert_eq!(queue.append(&[numbered(n)]).await.unwrap(), Offset(n)..Offset(n + 1));
    }
    let expected: Vec<Frame> = (0..50).map(numbered).collect();
    assert_eq!(read_all(&*queue, Offset(0)).await, expected);
}

async fn an_append_of_many_frames_is_one_run_of_offsets(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    queue.append(&[numbered(0)]).await.unwrap();
    let frames: Vec<Frame> = (1..100).map(numbered).collect();
    assert_eq!(queue.append(&frames).await.unwrap(), Offset(1)..Offset(100));
    assert_eq!(read_all(&*queue, Offset(1)).await, frames);
}

async fn an_empty_append_stores_nothing(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    assert_eq!(queue.append(&[]).await.unwrap(), Offset(0)..Offset(0));
    assert_eq!(queue.status().end, Offset(0));
}

async fn every_kind_of_frame_reads_back_as_it_was(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let records =
        [Record { key: Some("k".into()), value: "v".into() }, Record::new(""), Record::new("x")];
    let like = |body| Frame { body, ..frame("source", "split/ü", "", None) };
    let frames = vec![
        like(Body::Block(Block::pack(&records).unwrap())),
        like(Body::Block(Block::pack_as(Form::Rows, &records).unwrap())),
        like(Body::Block(Block::pack(&[]).unwrap())),
        like(Body::Block(Block::pack(&[Record::new(vec![7; 100_000])]).unwrap())),
        Frame { arrival: Timestamp(-5), ..like(Body::Idle) },
        like(Body::Pin(Bytes::from_static(b"{}"))),
        Frame {
            position: Some(Position(Bytes::from_static(b"v"))),
            ..like(Body::Table(Bytes::from(vec![3; 70_000])))
        },
        Frame { position: Some(Position::default()), ..like(Body::Ended) },
        frame("other", "", "payload", Some("p")),
    ];
    queue.append(&frames).await.unwrap();
    assert_eq!(read_all(&*queue, Offset(0)).await, frames);
    if fresh.roomy.durable() {
        drop(queue);
        let queue = fresh.roomy.open().await.unwrap();
        assert_eq!(read_all(&*queue, Offset(0)).await, frames);
    }
}

async fn a_read_gives_at_least_one_frame_and_stops_at_its_bound(fresh: Fresh) {
    let mut queue = fresh.roomy.open().await.unwrap();
    let frames: Vec<Frame> = (0..20).map(large).collect();
    queue.append(&frames).await.unwrap();
    for again in [false, true] {
        assert_eq!(queue.read(Offset(3), 1).await.unwrap().frames, [(Offset(3), large(3))]);
        let some = queue.read(Offset(3), 200 << 10).await.unwrap();
        assert!((2..=6).contains(&some.frames.len()), "{} frames", some.frames.len());
        if again || !fresh.roomy.durable() {
            break;
        }
        drop(queue);
        queue = fresh.roomy.open().await.unwrap();
    }
}

async fn reading_at_the_end_gives_nothing_yet(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    queue.append(&[numbered(0)]).await.unwrap();
    let slab = queue.read(Offset(1), 1 << 20).await.unwrap();
    assert_eq!((slab.frames.len(), slab.next), (0, Offset(1)));
}

async fn frames_of_an_append_are_readable_when_it_returns(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    for n in 0..30 {
        let range = queue.append(&[large(n)]).await.unwrap();
        let slab = queue.read(range.start, 1 << 20).await.unwrap();
        assert_eq!(slab.frames, [(Offset(n), large(n))]);
    }
}

async fn waiting_ends_when_a_frame_comes(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let other = queue.clone();
    let wait = tokio::spawn(async move { other.wait(Offset(1)).await });
    tokio::task::yield_now().await;
    queue.append(&[numbered(0)]).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!wait.is_finished(), "offset 1 is not there yet");
    queue.append(&[numbered(1)]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap().unwrap().unwrap();
}

async fn waiting_for_what_is_there_does_not_wait(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    queue.append(&[numbered(0)]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), queue.wait(Offset(0))).await.unwrap().unwrap();
}

async fn positions_are_the_last_of_each_split(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let frames = [
        frame("s", "a", "", Some("1")),
        frame("s", "b", "", Some("2")),
        frame("t", "a", "", None),
        frame("s", "a", "", Some("3")),
        frame("s", "b", "", None),
    ];
    queue.append(&frames).await.unwrap();
    let positions = queue.positions().await.unwrap();
    assert_eq!(positions.len(), 1, "a split without a position is not named");
    assert_eq!(positions["s"]["a"].0, "3");
    assert_eq!(positions["s"]["b"].0, "2");
}

async fn positions_outlive_trimming(fresh: Fresh) {
    let mut queue = fresh.roomy.open().await.unwrap();
    queue.append(&[frame("s", "old", "", Some("42"))]).await.unwrap();
    for n in 0..60 {
        queue.append(&[large(n)]).await.unwrap();
    }
    queue.commit(&checkpoint(1, 61)).await.unwrap();
    queue.trim(Offset(61), Epoch(1)).await.unwrap();
    if fresh.roomy.durable() {
        drop(queue);
        queue = fresh.roomy.open().await.unwrap();
    }
    let positions = queue.positions().await.unwrap();
    assert_eq!(
        (&positions["s"]["old"].0[..], &positions["s"]["a"].0[..]),
        (&b"42"[..], &b"59"[..])
    );
}

async fn concurrent_appends_are_all_there_once(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..1000 {
        let queue = queue.clone();
        tasks.push(tokio::spawn(async move {
            let range = queue.append(&[numbered(n), numbered(n)]).await.unwrap();
            assert_eq!(range.end.0 - range.start.0, 2);
            (range.start, numbered(n))
        }));
    }
    let mut told = BTreeMap::new();
    for task in tasks {
        let (offset, frame) = task.await.unwrap();
        assert!(told.insert(offset, frame).is_none(), "one offset, one frame");
    }
    let frames = read_all(&*queue, Offset(0)).await;
    assert_eq!(frames.len(), 2000);
    for (offset, frame) in told {
        let at = usize::try_from(offset.0).unwrap();
        assert_eq!((&frames[at], &frames[at + 1]), (&frame, &frame));
    }
}

async fn an_append_that_is_dropped_is_stored_whole_or_not_at_all(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    for n in 0..200 {
        let frames = vec![numbered(n); 3];
        // Polled a different number of times before it is dropped.
        let mut append = queue.append(&frames);
        for _ in 0..n % 3 {
            tokio::select! {
                biased;
                done = &mut append => { done.unwrap(); break; }
                () = tokio::task::yield_now() => {}
            }
        }
    }
    queue.append(&[numbered(1000)]).await.unwrap();
    let frames = read_all(&*queue, Offset(0)).await;
    assert_eq!(frames.len() % 3, 1, "threes, and the last one");
    for three in frames[..frames.len() - 1].chunks(3) {
        assert!(three[0] == three[1] && three[1] == three[2], "{three:?}");
    }
}

async fn at_the_bound_appends_wait_until_trim_makes_room(fresh: Fresh) {
    let queue = fresh.small.open().await.unwrap();
    let other = queue.clone();
    let appended = tokio::spawn(async move {
        for n in 0..200 {
            other.append(&[large(n)]).await.unwrap();
        }
    });
    let (mut next, mut epoch) = (0, 0);
    let mut stuck = 0;
    while next < 200 {
        let bound = queue.status().bytes_max.unwrap();
        assert!(queue.status().bytes <= bound, "{:?}", queue.status());
        // Only when nothing more comes is everything trimmed, so that the bound is really met.
        let moved = tokio::time::timeout(Duration::from_millis(20), queue.wait(Offset(next)));
        if moved.await.is_ok() {
            for (offset, frame) in queue.read(Offset(next), 1 << 20).await.unwrap().frames {
                assert_eq!(frame, large(offset.0));
                next = offset.0 + 1;
            }
        } else {
            stuck += 1;
            epoch += 1;
            queue.commit(&checkpoint(epoch, next)).await.unwrap();
            queue.trim(Offset(next), Epoch(epoch)).await.unwrap();
        }
    }
    tokio::time::timeout(Duration::from_secs(10), appended).await.unwrap().unwrap();
    assert!(stuck > 1, "the bound was never met");
}

async fn what_never_fits_is_refused_at_once(fresh: Fresh) {
    let queue = fresh.small.open().await.unwrap();
    let e = queue.append(&[frame("s", "a", vec![0; 4 << 20], None)]).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::SetAside, "{e}");
    queue.append(&[numbered(0)]).await.unwrap();
}

async fn checkpoints_come_back_oldest_first(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    assert_eq!(queue.checkpoints().await.unwrap(), []);
    queue.append(&[numbered(0), numbered(1)]).await.unwrap();
    let mut first = checkpoint(1, 1);
    first.ledger.account(millstream_core::ledger::Stage::Sink, "store").out = 3;
    first.pins.insert("s".into(), "{}".into());
    first.sent.insert(
        "store".into(),
        millstream_core::queue::Sent {
            epoch: millstream_core::queue::Epoch(1),
            rows: 1,
            digest: 2,
        },
    );
    queue.commit(&first).await.unwrap();
    queue.commit(&checkpoint(4, 2)).await.unwrap();
    assert_eq!(queue.checkpoints().await.unwrap(), [first, checkpoint(4, 2)]);
}

async fn a_second_commit_of_an_epoch_takes_the_place_of_the_first(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    queue.append(&[numbered(0)]).await.unwrap();
    queue.commit(&checkpoint(1, 1)).await.unwrap();
    let again = Checkpoint { at: Timestamp(77), ..checkpoint(1, 1) };
    queue.commit(&again).await.unwrap();
    assert_eq!(queue.checkpoints().await.unwrap(), [again]);
}

async fn trim_keeps_what_checkpoints_need_and_the_last_checkpoint(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    for n in 0..60 {
        queue.append(&[large(n)]).await.unwrap();
    }
    queue.trim(Offset(60), Epoch(9)).await.unwrap();
    assert_eq!(queue.status().first, Offset(0), "without a checkpoint all is needed");
    for (epoch, next) in [(1, 20), (2, 40), (3, 50)] {
        queue.commit(&checkpoint(epoch, next)).await.unwrap();
    }
    queue.trim(Offset(60), Epoch(2)).await.unwrap();
    assert_eq!(queue.checkpoints().await.unwrap(), [checkpoint(2, 40), checkpoint(3, 50)]);
    assert_eq!(read_all(&*queue, Offset(40)).await.len(), 20);
    assert!(queue.status().first <= Offset(40));
    queue.trim(Offset(60), Epoch(9)).await.unwrap();
    assert_eq!(queue.checkpoints().await.unwrap(), [checkpoint(3, 50)]);
    assert_eq!(read_all(&*queue, Offset(50)).await.len(), 10);
    queue.trim(Offset(0), Epoch(0)).await.unwrap();
    assert_eq!(queue.checkpoints().await.unwrap(), [checkpoint(3, 50)]);
}

async fn what_was_trimmed_is_an_error_not_a_gap(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    for n in 0..100 {
        queue.append(&[large(n)]).await.unwrap();
    }
    queue.commit(&checkpoint(1, 100)).await.unwrap();
    queue.trim(Offset(100), Epoch(1)).await.unwrap();
    let first = queue.status().first;
    assert!(first > Offset(0), "3 MiB are more than one segment");
    let e = queue.read(Offset(first.0 - 1), 1).await.unwrap_err();
    assert_eq!(e.remedy(), Remedy::Stop);
    assert_eq!(queue.append(&[numbered(100)]).await.unwrap().start, Offset(100));
}

async fn chunks_read_back_and_are_checked(fresh: Fresh) {
    let queue = fresh.roomy.open().await.unwrap();
    let chunk = queue.put_chunk("view", "pane", Bytes::from_static(b"state")).await.unwrap();
    assert_eq!((chunk.operator.as_str(), chunk.key.as_str(), chunk.bytes), ("view", "pane", 5));
    assert_eq!(queue.get_chunk(&chunk).await.unwrap(), "state");
    let mut other = chunk.clone();
    other.crc ^= 1;
    assert_eq!(queue.get_chunk(&other).await.unwrap_err().remedy(), Remedy::Stop);
    other = chunk.clone();
    other.id += 1;
    assert_eq!(queue.get_chunk(&other).await.unwrap_err().remedy(), Remedy::Stop);
    let empty = queue.put_chunk("view", "", Bytes::new()).await.unwrap();
    assert_eq!(queue.get_chunk(&empty).await.unwrap(), "");
}

async fn chunk_ids_are_never_used_again(fresh: Fresh) {
    let mut queue = fresh.roomy.open().await.unwrap();
    let mut last = None;
    for epoch in 1..10 {
        let chunk = queue.put_chunk("view", "k", Bytes::from_static(b"x")).await.unwrap();
        assert!(last < Some(chunk.id), "{last:?} {chunk:?}");
        last = Some(chunk.id);
        let chunks = vec![chunk];
        queue.commit(&Checkpoint { chunks, ..checkpoint(epoch, 0) }).await.unwrap();
        queue.trim(Offset(0), Epoch(epoch)).await.unwrap();
        if fresh.roomy.durable() {
            drop(queue);
            queue = fresh.roomy.open().await.unwrap();
        }
    }
}
