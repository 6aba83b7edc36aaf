//! Laws of sinks.
//!
//! A test names a [`Subject`] and calls [`hold`]; each law is also there on its own.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use millstream_core::codec::{Origin, Rows};
use millstream_core::queue::{Epoch, LogId, Mark};
use millstream_core::record::Offset;
use millstream_core::sink::{Held, Promise, Sink};

/// A sink under test, and a way to look at its target.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new sink for the same target, pipeline and name: what a restarted process would make.
    fn sink(&self) -> Box<dyn Sink>;

    /// The `id` of every row that a reader of the target sees, in the order it sees them.
    async fn ids(&self) -> Vec<i64>;

    /// Whether flushed rows are seen only once the sink is closed, as in files that appear whole.
    fn seen_after_close(&self) -> bool {
        false
    }

    /// Whether the target refuses rows whose `id` is negative.
    fn refuses_negative(&self) -> bool {
        false
    }
}

/// Checks all laws, each on a fresh subject.
///
/// # Panics
/// When a law is broken.
pub async fn hold<S: Subject>(fresh: impl Fn() -> S) {
    written_and_not_flushed_is_gone_after_reopen(&fresh()).await;
    flushed_is_seen_once_and_in_order(&fresh()).await;
    held_is_the_mark_of_the_last_flush(&fresh()).await;
    an_epoch_sent_again_after_a_crash_at_any_point_leaves_each_row_once(&fresh()).await;
    one_sink_opened_again_and_again_is_as_good_as_new_ones(&fresh()).await;
    forget_makes_the_next_open_fresh_and_leaves_rows(&fresh()).await;
    refused_rows_come_back_whole_and_the_others_go_on(&fresh()).await;
}

/// The columns of the rows that laws send.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

/// Rows with these ids, as the frame at `offset` would carry them.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "two columns of one length always make a batch")]
pub fn rows(offset: u64, ids: &[i64]) -> Rows {
    let names: StringArray = ids.iter().map(|id| Some(format!("row {id}"))).collect();
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(names)];
    let batch = RecordBatch::try_new(schema(), columns);
    let origin = Origin::new(Offset(offset), Arc::from([0]), None);
    match batch {
        Ok(batch) => Rows { batch, origin },
        Err(e) => panic!("{e}"),
    }
}

/// The mark of an epoch of one and the same queue.
#[must_use]
pub fn mark(epoch: u64) -> Mark {
    Mark {
        log: LogId(0xfeed << 64 | 7),
        incarnation: 2,
        epoch: Epoch(epoch),
        next: Offset(epoch * 10),
    }
}

/// What one epoch sends: two batches of three rows.
fn epoch_ids(epoch: u64) -> [[i64; 3]; 2] {
    let first = i64::try_from(epoch).unwrap_or(0) * 100;
    [[first, first + 1, first + 2], [first + 3, first + 4, first + 5]]
}

/// Where a try at an epoch ends as if the process had died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Opened,
    WroteOne,
    WroteAll,
    Prepared,
    Flushed,
}

const STOPS: [Stop; 5] =
    [Stop::Opened, Stop::WroteOne, Stop::WroteAll, Stop::Prepared, Stop::Flushed];

/// Takes one epoch as far as `stop`.
async fn send(sink: &mut dyn Sink, epoch: u64, stop: Stop) {
    let [one, two] = epoch_ids(epoch);
    if stop >= Stop::WroteOne {
        well(sink.write(&rows(epoch * 10, &one)).await);
    }
    if stop >= Stop::WroteAll {
        well(sink.write(&rows(epoch * 10 + 1, &two)).await);
    }
    if stop >= Stop::Prepared {
        let refused = well(sink.prepare(&mark(epoch)).await);
        assert!(refused.is_empty(), "good rows were refused: {refused:?}");
    }
    if stop >= Stop::Flushed {
        well(sink.flush(&mark(epoch)).await);
    }
}

fn well<R>(result: millstream_core::Result<R>) -> R {
    match result {
        Ok(result) => result,
        Err(e) => panic!("{e}"),
    }
}

async fn opened(subject: &dyn Subject) -> (Box<dyn Sink>, Held) {
    let mut sink = subject.sink();
    let held = well(sink.open(schema()).await);
    (sink, held)
}

/// What is seen once this sink has come to a good end after `last`.
async fn seen(subject: &dyn Subject, mut sink: Box<dyn Sink>, last: u64) -> Vec<i64> {
    if subject.seen_after_close() {
        well(sink.close(Epoch(last)).await);
    }
    drop(sink);
    subject.ids().await
}

fn ids_of(epochs: impl IntoIterator<Item = u64>) -> Vec<i64> {
    epochs.into_iter().flat_map(epoch_ids).flatten().collect()
}

/// What was written, or even prepared, is not seen before `flush`, and gone after the next `open`.
///
/// # Panics
/// When it does not hold.
pub async fn written_and_not_flushed_is_gone_after_reopen(subject: &dyn Subject) {
    for stop in [Stop::Opened, Stop::WroteOne, Stop::WroteAll, Stop::Prepared] {
        let (mut sink, _) = opened(subject).await;
        send(sink.as_mut(), 1, stop).await;
        assert_eq!(subject.ids().await, [0; 0], "seen before flush, at {stop:?}");
        drop(sink);
        let (sink, held) = opened(subject).await;
        assert_ne!(held, Held::Upto(mark(1)), "held without flush, at {stop:?}");
        assert_eq!(seen(subject, sink, 0).await, [0; 0], "seen after reopen, at {stop:?}");
    }
}

/// Every flushed row is seen, once, in the order it was written.
///
/// # Panics
/// When it does not hold.
pub async fn flushed_is_seen_once_and_in_order(subject: &dyn Subject) {
    let (mut sink, _) = opened(subject).await;
    for epoch in 1..=5 {
        send(sink.as_mut(), epoch, Stop::Flushed).await;
        if !subject.seen_after_close() {
            assert_eq!(subject.ids().await, ids_of(1..=epoch));
        }
    }
    assert_eq!(seen(subject, sink, 5).await, ids_of(1..=5));
}

/// A sink that tracks says after every flush, however it is opened again, just that mark.
///
/// # Panics
/// When it does not hold.
pub async fn held_is_the_mark_of_the_last_flush(subject: &dyn Subject) {
    let tracks = subject.sink().promise() == Promise::EffectivelyOnce;
    for epoch in 1..=4 {
        let (mut sink, held) = opened(subject).await;
        let wanted = match (tracks, epoch) {
            (false, _) => Held::Untracked,
            (true, 1) => Held::Fresh,
            (true, _) => Held::Upto(mark(epoch - 1)),
        };
        assert_eq!(held, wanted);
        send(sink.as_mut(), epoch, Stop::Flushed).await;
        if epoch % 2 == 0 {
            well(sink.close(Epoch(epoch)).await);
        }
    }
}

/// However often and wherever a sink that tracks is stopped, sending what it does not hold again leaves
/// each row once.
///
/// # Panics
/// When it does not hold.
pub async fn an_epoch_sent_again_after_a_crash_at_any_point_leaves_each_row_once(
    subject: &dyn Subject,
) {
    if subject.sink().promise() != Promise::EffectivelyOnce {
        return;
    }
    let mut epoch = 1;
    for first in STOPS {
        for second in STOPS {
            for stop in [first, second, Stop::Flushed] {
                let (mut sink, held) = opened(subject).await;
                if held != Held::Upto(mark(epoch)) {
                    send(sink.as_mut(), epoch, stop).await;
                }
            }
            epoch += 1;
        }
    }
    let (sink, held) = opened(subject).await;
    assert_eq!(held, Held::Upto(mark(epoch - 1)));
    assert_eq!(seen(subject, sink, epoch - 1).await, ids_of(1..epoch));
}

/// `open` on a sink that is in the middle of something discards it, as the engine does after errors.
///
/// # Panics
/// When it does not hold.
pub async fn one_sink_opened_again_and_again_is_as_good_as_new_ones(subject: &dyn Subject) {
    let (mut sink, _) = opened(subject).await;
    for (i, stop) in (1..).zip(STOPS) {
        send(sink.as_mut(), i, stop).await;
        let held = well(sink.open(schema()).await);
        if stop != Stop::Flushed {
            assert_ne!(held, Held::Upto(mark(i)), "at {stop:?}");
            send(sink.as_mut(), i, Stop::Flushed).await;
        }
    }
    assert_eq!(seen(subject, sink, 5).await, ids_of(1..=5));
}

/// After `forget` the next `open` says `Fresh`, and the rows are still there.
///
/// # Panics
/// When it does not hold.
pub async fn forget_makes_the_next_open_fresh_and_leaves_rows(subject: &dyn Subject) {
    let tracks = subject.sink().promise() == Promise::EffectivelyOnce;
    // Before there is anything, there is nothing to forget.
    well(subject.sink().forget().await);
    let (mut sink, _) = opened(subject).await;
    send(sink.as_mut(), 1, Stop::Flushed).await;
    drop(sink);
    well(subject.sink().forget().await);
    let (mut sink, held) = opened(subject).await;
    assert_eq!(held, if tracks { Held::Fresh } else { Held::Untracked });
    send(sink.as_mut(), 2, Stop::Flushed).await;
    assert_eq!(seen(subject, sink, 2).await, ids_of([1, 2]));
}

/// Rows the target does not take come back from `prepare`, whole and named; the others arrive.
///
/// # Panics
/// When it does not hold.
pub async fn refused_rows_come_back_whole_and_the_others_go_on(subject: &dyn Subject) {
    if !subject.refuses_negative() {
        return;
    }
    let (mut sink, _) = opened(subject).await;
    let ids: Vec<i64> = (1..=200).map(|i| if i % 67 == 0 { -i } else { i }).collect();
    let bad: Vec<i64> = ids.iter().copied().filter(|i| *i < 0).collect();
    well(sink.write(&rows(3, &[-7])).await);
    well(sink.write(&rows(4, &ids)).await);
    let refused = well(sink.prepare(&mark(1)).await);
    well(sink.flush(&mark(1)).await);
    let names: Vec<String> = refused.iter().map(|r| r.id.to_string()).collect();
    assert_eq!(names, ["3/0/0", "4/0/66", "4/0/133"]);
    for (refused, id) in refused.iter().zip([-7].iter().chain(&bad)) {
        assert_eq!(refused.row, rows(0, &[*id]).batch);
        assert!(!refused.reason.is_empty());
    }
    let good: Vec<i64> = ids.into_iter().filter(|i| *i > 0).collect();
    assert_eq!(seen(subject, sink, 1).await, good);
}
