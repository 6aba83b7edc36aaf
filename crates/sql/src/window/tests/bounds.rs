//! Bounds: of state, of chunks, of sums.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array, RecordBatch, TimestampMicrosecondArray, new_null_array};
use bytes::Bytes;
use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;

use super::super::{Aggregation, Aggregator, Window};
use super::{aggregation, input};
use crate::stateful::Taken;

/// Rows with a time, a key and a number, the watermark before all of them being the same.
pub(super) fn rows(of: &[(i64, i64, i64)], watermark: i64) -> Rows {
    let input = input();
    let columns = input.fields().iter().map(|field| match field.name().as_str() {
        "ts" => Arc::new(of.iter().map(|r| Some(r.0)).collect::<TimestampMicrosecondArray>()) as _,
        "k" => Arc::new(of.iter().map(|r| Some(r.1)).collect::<Int64Array>()) as _,
        "i" => Arc::new(of.iter().map(|r| Some(r.2)).collect::<Int64Array>()) as _,
        _ => new_null_array(field.data_type(), of.len()),
    });
    let batch = RecordBatch::try_new(input.clone(), columns.collect()).unwrap();
    let origin = Origin::new(Offset(1), Arc::from([0]), None);
    Rows { batch, origin: origin.with_watermarks(vec![Timestamp(watermark); of.len()].into()) }
}

pub(super) fn all_due(operator: &mut Aggregator, watermark: i64) -> Vec<RecordBatch> {
    std::iter::from_fn(|| operator.due(Timestamp(watermark)).unwrap()).collect()
}

/// The first row of what is due: start, keys and results as numbers.
pub(super) fn due(operator: &mut Aggregator, watermark: i64) -> Vec<Vec<Option<i64>>> {
    let mut found = vec![];
    for batch in all_due(operator, watermark) {
        for row in 0..batch.num_rows() {
            let columns = batch.columns().iter().skip(1).map(|c| {
                let c = arrow::compute::cast(c, &arrow_schema::DataType::Int64).unwrap();
                let c = c.as_primitive::<Int64Type>().clone();
                c.is_valid(row).then(|| c.value(row))
            });
            found.push(columns.collect());
        }
    }
    found
}

fn windows() -> [Window; 4] {
    [
        Window::Tumble { size: 10, offset: 0 },
        Window::Hop { size: 20, slide: 10, offset: 0 },
        Window::Cumulate { size: 30, step: 10, offset: 0 },
        Window::Session { gap: 10 },
    ]
}

#[test]
fn an_operator_can_go_to_another_thread() {
    fn goes<T: Send>(_: T) {}
    goes(
        Aggregator::new(aggregation(windows()[0], &["k"], &["sum i", "corr f g"]), Arc::default())
            .unwrap(),
    );
}

fn refused(taken: &Taken) -> Vec<String> {
    taken.refused.iter().map(|(rows, _)| rows.origin.id(0).to_string()).collect()
}

#[test]
fn a_row_with_which_a_sum_would_overflow_is_refused_and_no_other() {
    for window in windows() {
        let mut operator =
            Aggregator::new(aggregation(window, &["k"], &["sum i", "count"]), Arc::default())
                .unwrap();
        let most = i64::MAX;
        let taken = operator
            .take(&rows(&[(1, 1, most), (2, 1, 1), (3, 1, -5), (4, 1, 5), (5, 2, 7), (6, 1, 1)], 0))
            .unwrap();
        assert_eq!(refused(&taken), ["1/0/1", "1/0/5"], "{window:?}");
        assert_eq!(taken.absorbed, 4);
        let rows = due(&mut operator, i64::MAX);
        let of_key = |k| rows.iter().filter(move |r| r[1] == Some(k));
        assert!(of_key(1).all(|r| r[2..] == [Some(most), Some(3)]), "{window:?} {rows:?}");
        assert!(of_key(2).all(|r| r[2..] == [Some(7), Some(1)]), "{window:?} {rows:?}");
    }
}

#[test]
fn a_sum_over_panes_or_sessions_does_not_overflow_either() {
    let half = i64::MAX / 2 + 1;
    for window in windows() {
        let mut operator =
            Aggregator::new(aggregation(window, &["k"], &["sum i"]), Arc::default()).unwrap();
        // The second is in another pane or session of the key, that the third is also in, or brings together.
        let taken =
            operator.take(&rows(&[(9, 1, half), (25, 1, half), (18, 1, half)], -100)).unwrap();
        let wanted: &[&str] = match window {
            Window::Tumble { .. } => &[],
            Window::Hop { .. } | Window::Session { .. } => &["1/0/2"],
            Window::Cumulate { .. } | Window::Again { .. } => &["1/0/1", "1/0/2"],
        };
        assert_eq!(refused(&taken), wanted, "{window:?}");
        assert!(due(&mut operator, i64::MAX).iter().all(|r| r[2] >= Some(half)), "{window:?}");
    }
}

#[test]
fn at_the_bound_of_state_nothing_of_a_batch_is_taken() {
    for window in windows() {
        let mut spec = aggregation(window, &["k"], &["count", "sum i"]);
        spec.state_bytes = 40_000;
        let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
        let mut taken = 0;
        let batch = |n: i64| rows(&(n..n + 50).map(|k| (3, k, 1)).collect::<Vec<_>>(), 0);
        let error = loop {
            match operator.take(&batch(taken)) {
                Ok(_) => taken += 50,
                Err(e) => break e.to_string(),
            }
            assert!(operator.bytes() <= spec.state_bytes, "{window:?}");
        };
        assert!(taken >= 100, "{window:?} {taken}");
        assert!(error.contains(&format!("{taken} groups")), "{error}");
        assert!(error.contains("keys: `k`") && error.contains("raise `state_bytes`"), "{error}");
        let mut chunks = Chunks::new();
        operator.snapshot("", &mut chunks).unwrap();
        spec.state_bytes = 1 << 20;
        let mut operator = Aggregator::new(spec, Arc::default()).unwrap();
        operator.restore(chunks.iter().map(|(n, c)| (n.as_str(), c.as_ref().unwrap()))).unwrap();
        operator.take(&batch(taken)).unwrap();
        let given =
            due(&mut operator, 10 + 10 * i64::from(matches!(window, Window::Session { .. })));
        assert_eq!(given.len(), usize::try_from(taken).unwrap() + 50, "{window:?}");
        assert!(given.iter().all(|r| r[2..] == [Some(1), Some(1)]), "{window:?}");
    }
}

#[test]
fn rows_come_in_pieces_by_key() {
    for window in windows() {
        let mut operator =
            Aggregator::new(aggregation(window, &["k"], &["sum i"]), Arc::default()).unwrap();
        let some: Vec<_> = (0..30_000).map(|n| (5, (n * 7919) % 30_000 - 9_000, n)).collect();
        operator.take(&rows(&some, 0)).unwrap();
        let pieces = all_due(&mut operator, 20);
        assert!(pieces.iter().all(|p| p.num_rows() <= 8192), "{window:?}");
        let keys =
            pieces.iter().take(4).flat_map(|p| p.column(2).as_primitive::<Int64Type>().values());
        assert!(keys.copied().eq(-9_000..21_000), "{window:?}");
    }
}

/// A store of chunks, as a checkpoint has them.
#[derive(Default)]
pub(super) struct Store(pub BTreeMap<String, Bytes>);

impl Store {
    /// Takes a snapshot; gives the bytes written.
    pub(super) fn snapshot(&mut self, operator: &mut Aggregator) -> usize {
        let mut chunks = Chunks::new();
        operator.snapshot("", &mut chunks).unwrap();
        let mut written = 0;
        for (name, chunk) in chunks {
            match chunk {
                Some(chunk) => {
                    written += chunk.len();
                    self.0.insert(name, chunk);
                }
                None => drop(self.0.remove(&name).unwrap()),
            }
        }
        written
    }

    fn bytes(&self) -> usize {
        self.0.values().map(Bytes::len).sum()
    }

    pub(super) fn restored(&self, spec: &Aggregation) -> Aggregator {
        let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
        operator.restore(self.0.iter().map(|(n, c)| (n.as_str(), c))).unwrap();
        operator
    }
}

#[test]
fn a_snapshot_writes_what_changed_and_chunks_stay_few() {
    for window in windows() {
        let rng = &mut Rng::with_seed(7);
        let spec = aggregation(window, &["k"], &["count", "avg f", "sum i"]);
        let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
        let mut store = Store::default();
        let keys = 20_000;
        operator.take(&rows(&(0..keys).map(|k| (5, k, k)).collect::<Vec<_>>(), 0)).unwrap();
        let whole = store.snapshot(&mut operator);
        assert_eq!(store.snapshot(&mut operator), 0, "{window:?}: nothing changed");
        let (mut most, mut sum) = (0, 0);
        for _ in 0..300 {
            let some: Vec<_> = (0..100).map(|_| (5, rng.i64(0..keys), 1)).collect();
            operator.take(&rows(&some, 0)).unwrap();
            let written = store.snapshot(&mut operator);
            (most, sum) = (most.max(written), sum + written);
            assert!(store.0.len() <= 16, "{window:?}: {} chunks", store.0.len());
            assert!(store.bytes() <= whole * 5 / 2, "{window:?}: {}", store.bytes());
        }
        // 300 times 100 groups are 1.5 times all groups; with what is written anew some times that.
        assert!(sum <= whole * 12, "{window:?}: {sum} of {whole}");
        let mut again = store.restored(&spec);
        assert_eq!(all_due(&mut operator, i64::MAX), all_due(&mut again, i64::MAX), "{window:?}");
        store.snapshot(&mut operator);
        let names: Vec<_> = store.0.keys().collect();
        assert_eq!(names, ["m"], "{window:?}: chunks of closed windows go");
        assert!(operator.bytes() < 1000, "{window:?}: {}", operator.bytes());
    }
}

#[test]
fn chunks_of_another_kind_are_refused() {
    let spec = aggregation(Window::Tumble { size: 10, offset: 0 }, &["k"], &["sum i"]);
    let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
    operator.take(&rows(&[(1, 1, 1), (2, 2, 2)], 0)).unwrap();
    let mut store = Store::default();
    store.snapshot(&mut operator);
    let restore = |spec: &Aggregation, store: &Store| {
        let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
        operator.restore(store.0.iter().map(|(n, c)| (n.as_str(), c)))
    };
    restore(&spec, &store).unwrap();
    for (window, keys, aggregates) in [
        (spec.window, vec!["k"], vec!["avg f"]),
        (spec.window, vec!["s", "b"], vec!["sum i"]),
        (spec.window, vec!["k"], vec!["sum i", "count"]),
        (Window::Session { gap: 10 }, vec!["k"], vec!["sum i"]),
    ] {
        let other = aggregation(window, &keys, &aggregates);
        let error = restore(&other, &store).unwrap_err().to_string();
        assert!(error.contains("was not made by this view"), "{error}");
    }
    for cut in 0..store.0.values().map(Bytes::len).max().unwrap() {
        let mut torn = Store::default();
        for (name, chunk) in &store.0 {
            torn.0.insert(name.clone(), chunk.slice(..cut.min(chunk.len())));
        }
        // It ends in an error, or in less state; never in a panic.
        drop(restore(&spec, &torn));
    }
}
