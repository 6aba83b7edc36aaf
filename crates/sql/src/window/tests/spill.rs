//! State that is more than its bound, and lies in files.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::operator::Chunks;

use super::super::{Aggregation, Aggregator, Window};
use super::bounds::{Store, all_due, due, rows};
use super::{aggregation, bits, folder};

const TUMBLE: Window = Window::Tumble { size: 10, offset: 0 };

fn spilling(window: Window, aggregates: &[&str], bound: u64) -> Aggregation {
    let mut spec = aggregation(window, &["k"], aggregates);
    (spec.state_bytes, spec.spill) = (bound, Some(folder()));
    spec
}

/// Batches of rows with these keys, in one window.
fn of_keys(keys: std::ops::Range<i64>) -> impl Iterator<Item = millstream_core::codec::Rows> {
    let starts = keys.clone().step_by(1000);
    starts.map(move |from| {
        let to = keys.end.min(from + 1000);
        // Neighbours in time are not neighbours in keys.
        let some = (from..to).map(|n| (5, (n * 7919) % keys.end, n)).collect::<Vec<_>>();
        rows(&some, 0)
    })
}

fn sorted(of: &[arrow_array::RecordBatch]) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = of.iter().flat_map(bits).collect();
    all.sort();
    all
}

#[test]
fn many_keys_under_a_small_bound_end_with_all_rows() {
    let keys = 200_000;
    let count = usize::try_from(keys).unwrap();
    let spec = spilling(TUMBLE, &["count", "sum i", "avg f"], 4 << 20);
    let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
    let mut whole = Aggregator::new(
        Aggregation { state_bytes: 1 << 30, spill: None, ..spec.clone() },
        Arc::default(),
    )
    .unwrap();
    let (mut store, mut spilled, mut most) = (Store::default(), 0, 0);
    for round in 0..2 {
        for (number, batch) in of_keys(0..keys).enumerate() {
            assert_eq!(operator.take(&batch).unwrap().absorbed, 1000);
            whole.take(&batch).unwrap();
            most = most.max(operator.bytes());
            spilled = spilled.max(operator.spilled());
            if number == 77 {
                store.snapshot(&mut operator);
                assert_eq!(store.snapshot(&mut operator), 0, "nothing changed");
                if round == 1 {
                    operator = store.restored(&spec);
                    assert!(operator.bytes() <= spec.state_bytes, "{}", operator.bytes());
                }
            }
        }
    }
    assert!(most <= spec.state_bytes, "{most}");
    assert!(spilled > 2 * spec.state_bytes, "{spilled}");
    assert!(whole.bytes() > 3 * spec.state_bytes, "{}", whole.bytes());
    let (given, wanted) = (all_due(&mut operator, 10), all_due(&mut whole, 10));
    assert_eq!(given.iter().map(|g| g.num_rows()).sum::<usize>(), count);
    assert!(given.iter().all(|g| (1000..10_000).contains(&g.num_rows())));
    assert!(sorted(&given) == sorted(&wanted));
    store.snapshot(&mut operator);
    assert!(store.0.len() <= 33 && operator.spilled() == 0, "{:?}", store.0.keys());
}

#[test]
fn rows_that_wait_are_in_the_checkpoint_until_they_are_in_their_part() {
    let spec = spilling(TUMBLE, &["count", "sum i"], 1 << 20);
    let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
    of_keys(0..60_000).for_each(|batch| drop(operator.take(&batch).unwrap()));
    let mut store = Store::default();
    store.snapshot(&mut operator);
    let waiting = |store: &Store| store.0.keys().filter(|name| name.starts_with('b')).count();
    let (mut most, mut all) = (0, 60_000);
    for round in 0..40 {
        let before = waiting(&store);
        let some: Vec<_> = (0..100).map(|n| (5, round * 100 + n, 1)).collect();
        operator.take(&rows(&some, 0)).unwrap();
        all += 100;
        let written = store.snapshot(&mut operator);
        assert!(written < 500_000, "{written} bytes for a hundred rows");
        most = most.max(waiting(&store));
        assert!(waiting(&store) >= before.min(1) && waiting(&store) <= 14);
    }
    assert!(most > 8, "{most}");
    let bigger = Aggregation { state_bytes: 1 << 30, ..spec.clone() };
    let plain = Aggregation { spill: None, threads: 3, ..bigger.clone() };
    let wanted = sorted(&all_due(&mut operator, 10));
    let counts =
        |given: Vec<Vec<Option<i64>>>| given.iter().map(|row| row[2].unwrap()).sum::<i64>();
    for spec in [&spec, &bigger, &plain] {
        let mut again = store.restored(spec);
        // Whatever they were shared among before, it goes on as if they had not been.
        let mut other = Store(store.0.clone());
        other.snapshot(&mut again);
        assert_eq!(waiting(&other), usize::from(spec.spill.is_some()));
        assert!(sorted(&all_due(&mut again, 10)) == wanted);
        assert_eq!(counts(due(&mut other.restored(&plain), 10)), all);
    }
    let mut plainly = store.restored(&plain);
    let mut other = Store(store.0.clone());
    other.snapshot(&mut plainly);
    assert!(sorted(&all_due(&mut other.restored(&spec), 10)) == wanted);
}

#[test]
fn a_row_with_which_a_sum_would_overflow_is_refused_where_state_spills_too() {
    let rng = &mut fastrand::Rng::with_seed(3);
    for window in [
        TUMBLE,
        Window::Hop { size: 20, slide: 10, offset: 0 },
        Window::Cumulate { size: 30, step: 10, offset: 0 },
    ] {
        let spec = spilling(window, &["sum i", "count"], 1);
        let plain = Aggregation { spill: None, state_bytes: 1 << 30, ..spec.clone() };
        let mut operators =
            [&spec, &plain].map(|s| Aggregator::new(s.clone(), Arc::default()).unwrap());
        let mut refused = 0;
        for _ in 0..60 {
            let huge = rng.u8(..3) == 0;
            let value = |rng: &mut fastrand::Rng| if huge { rng.i64(..) } else { rng.i64(-9..9) };
            let some: Vec<_> =
                (0..20).map(|_| (rng.i64(0..30), rng.i64(0..40), value(rng))).collect();
            let taken = operators.each_mut().map(|o| o.take(&rows(&some, 0)).unwrap());
            let ids = taken.each_ref().map(|taken| {
                let ids = taken.refused.iter().map(|(rows, why)| (rows.origin.id(0), why.clone()));
                ids.collect::<Vec<_>>()
            });
            assert_eq!(ids[0], ids[1], "{window:?}");
            assert_eq!(taken[0].absorbed, taken[1].absorbed);
            refused += ids[0].len();
        }
        assert!(refused > 20 && operators[0].spilled() > 0, "{window:?}: {refused}");
        let [given, wanted] = operators.each_mut().map(|o| sorted(&all_due(o, i64::MAX)));
        assert!(given == wanted && given.len() > 100, "{window:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_and_state_is_as_it_was() {
    let mut spec = spilling(TUMBLE, &["count"], 200_000);
    spec.spill = Some(Arc::from(std::path::Path::new("/dev/null/spill")));
    let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
    let mut taken = 0;
    let error = of_keys(0..100_000).find_map(|batch| match operator.take(&batch) {
        Ok(some) => {
            taken += some.absorbed;
            None
        }
        Err(e) => Some(e.to_string()),
    });
    let error = error.unwrap();
    assert!(error.contains("cannot be spilled to `/dev/null/spill`"), "{error}");
    assert!(error.contains("Not a directory") && error.contains("make room there"), "{error}");
    let mut store = Store::default();
    store.snapshot(&mut operator);
    assert_eq!(store.snapshot(&mut operator), 0);
    spec.state_bytes = 1 << 30;
    for mut operator in [store.restored(&spec), operator] {
        assert_eq!(due(&mut operator, 10).len() as u64, taken);
    }
}

#[test]
fn one_part_that_is_too_much_alone_stops_the_view() {
    let spec = spilling(TUMBLE, &["array_agg i"], 2 << 20);
    let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
    let mut taken = 0;
    let error = loop {
        let some: Vec<_> = (0..2000).map(|n| (5, 1, n)).collect();
        match operator.take(&rows(&some, 0)) {
            Ok(_) => taken += 2000,
            Err(e) => break e.to_string(),
        }
    };
    assert!(
        error.contains("is too much alone") && error.contains("raise `state_bytes`"),
        "{error}"
    );
    let mut store = Store::default();
    store.snapshot(&mut operator);
    let roomy = Aggregation { state_bytes: 1 << 30, ..spec };
    let mut operator = store.restored(&roomy);
    let given = all_due(&mut operator, 10);
    let list = given[0].column(3);
    let list = list.as_any().downcast_ref::<arrow_array::ListArray>().unwrap();
    assert_eq!(list.value_length(0), taken);
}

#[test]
fn a_torn_chunk_of_rows_that_wait_is_refused() {
    let spec = spilling(TUMBLE, &["count", "sum i"], 1 << 20);
    let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
    of_keys(0..60_000).for_each(|batch| drop(operator.take(&batch).unwrap()));
    let mut chunks = Chunks::new();
    operator.snapshot("", &mut chunks).unwrap();
    let whole: BTreeMap<String, Bytes> =
        chunks.into_iter().map(|(name, chunk)| (name, chunk.unwrap())).collect();
    let rows = whole.keys().find(|name| name.len() == 9 && name.starts_with('b')).unwrap().clone();
    for (name, upto) in [(rows.as_str(), 700), ("b", 30), ("b", 0)] {
        let mut torn = whole.clone();
        torn.insert(name.to_owned(), whole[name].slice(..upto));
        let mut operator = Aggregator::new(spec.clone(), Arc::default()).unwrap();
        let error = operator.restore(torn.iter().map(|(n, c)| (n.as_str(), c))).unwrap_err();
        assert!(error.to_string().contains("was not made by this view"), "{name} {upto} {error}");
    }
    let mut without = whole.clone();
    without.remove("b");
    let mut operator = Aggregator::new(spec, Arc::default()).unwrap();
    operator.restore(without.iter().map(|(n, c)| (n.as_str(), c))).unwrap_err();
    operator.restore(whole.iter().map(|(n, c)| (n.as_str(), c))).unwrap();
    assert!(operator.due(Timestamp(10)).unwrap().is_some());
}
