//! How much is kept, and for how long.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, UInt32Array};
use bytes::Bytes;
use millstream_core::clock::Timestamp;

use super::{Case, Keyed, One, again, bounds, due, operator, rows, save, spec};
use crate::asof::Matching;
use crate::stateful::Stateful;

const SECOND: i64 = 1_000_000;

fn case(most: i64) -> Case {
    Case { bounds: bounds(0, most), inner: true, keys: Keyed::Number, whole_from: i64::MIN }
}

fn one(id: i64, time: i64, number: i64) -> One {
    One { time: Some(time), number: Some(number), text: Some("abcdefgh"), id, mark: i64::MIN }
}

/// So many rows, each `step` after the other, over so many keys.
fn many(from: i64, count: i64, step: i64, keys: i64) -> Vec<One> {
    (from..from + count).map(|i| one(i, i * step, i * 7 % keys)).collect()
}

#[test]
fn what_is_kept_goes_behind_the_watermark_and_stays_as_small_as_its_rows() {
    let case = case(60 * SECOND);
    let (mut all, mut kept) = (operator(&case), BTreeMap::new());
    let own = rows(&many(0, 1_000, 1, 10)).batch;
    let own = own.columns().iter().map(|c| crate::size::bytes(c.as_ref())).sum::<u64>() / 1_000;
    // A thousand rows a second, of ten thousand keys: 60,000 rows would be younger than a minute.
    for second in 0..400 {
        let rights = many(second * 1_000, 1_000, SECOND / 1_000, 10_000);
        all.take(1, &rows(&rights)).unwrap();
        all.take(0, &rows(&many(second * 100, 100, SECOND / 100, 10_000))).unwrap();
        due(&mut all, Timestamp(second * SECOND));
        if second > 20 {
            let (bytes, keys) = (all.bytes(), all.latest.len() as u64);
            assert!(keys >= 10_000, "{keys}");
            assert!(bytes < 14_000 * own * 2, "second {second}: {bytes} for rows of {own}");
        }
        if second % 7 == 0 {
            save(&mut all, &mut kept);
            assert!(kept.len() < 60, "{}", kept.len());
            let largest = kept.values().map(Bytes::len).max().unwrap();
            assert!(largest < 1 << 20, "{largest}");
        }
    }
    let before = all.bytes();
    // A right row of one key: those of the others are older than a minute by then.
    all.take(1, &rows(&[one(0, 1_000 * SECOND, 3)])).unwrap();
    due(&mut all, Timestamp(999 * SECOND));
    let after = all.bytes();
    assert!(after * 50 < before, "{after} of {before}");
    due(&mut all, Timestamp::END);
    assert!(all.bytes() < 1_000, "{}", all.bytes());
    save(&mut all, &mut kept);
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["m"]);
}

#[test]
fn frames_of_one_row_make_few_chunks() {
    let case = case(3_600 * SECOND);
    let (mut all, mut kept) = (operator(&case), BTreeMap::new());
    for i in 0..5_000 {
        // Nothing is due for long, and then all at once.
        all.take(usize::from(i % 2 == 0), &rows(&[one(i, i * SECOND, i % 1_500)])).unwrap();
        if i % 1_000 == 999 {
            due(&mut all, Timestamp(i * SECOND));
        }
        save(&mut all, &mut kept);
        assert!(kept.len() < 100, "{}", kept.len());
    }
    all = again(&case, &mut all, &mut kept);
    assert_eq!((all.latest.len(), all.right.len()), (750, 0));
}

#[test]
fn at_the_bound_none_of_the_rows_is_taken() {
    let mut spec = spec(&case(SECOND));
    spec.state_bytes = 20_000;
    let mut all = Matching::new(spec).unwrap();
    let mut taken = 0;
    let why = loop {
        match all.take(1, &rows(&many(taken, 10, 1, 1_000))) {
            Ok(_) => taken += 10,
            Err(e) => break e.to_string(),
        }
        assert!(all.bytes() <= 20_000);
    };
    assert!((150..600).contains(&taken), "{taken}");
    assert_eq!(all.right.len() as i64, taken);
    assert!(why.contains("would be more than `state_bytes`, 20000 bytes: 0 left and"), "{why}");
    due(&mut all, Timestamp::END);
    all.take(0, &rows(&many(0, 10, 1, 1_000))).unwrap();
}

#[test]
fn rows_far_away_are_refused() {
    let mut all = operator(&case(SECOND));
    let far = [one(1, i64::MAX, 1), one(2, 5, 1), one(3, i64::MIN + 1, 1)];
    let taken = all.take(0, &rows(&far)).unwrap();
    assert_eq!((taken.absorbed, taken.refused.len(), taken.refused[0].0.len()), (1, 1, 2));
    assert!(due(&mut all, Timestamp(6)).is_empty());
}

#[test]
fn chunks_that_do_not_fit_are_told() {
    let case = case(60 * SECOND);
    let (mut all, mut kept) = (operator(&case), BTreeMap::new());
    all.take(1, &rows(&many(0, 100, SECOND / 100, 7))).unwrap();
    all.take(0, &rows(&many(0, 100, SECOND / 100, 7))).unwrap();
    due(&mut all, Timestamp(SECOND / 2));
    save(&mut all, &mut kept);
    let letters = kept.keys().filter_map(|k| k.chars().next()).collect::<String>();
    assert_eq!(letters, "lmrs");
    let restore = |chunks: &BTreeMap<String, Bytes>| {
        let chunks = chunks.iter().map(|(k, c)| (k.as_str(), c)).collect::<Vec<_>>();
        operator(&case).restore(&chunks)
    };
    restore(&kept).unwrap();
    for name in kept.keys() {
        let mut less = kept.clone();
        less.remove(name);
        // Which rows are the latest is told by nothing else.
        assert_eq!(restore(&less).is_err(), !name.starts_with('s'), "{name}");
        let mut other = kept.clone();
        let whole = kept[name].len();
        for cut in [0, 1, whole / 2, whole - 9] {
            other.insert(name.clone(), kept[name].slice(..cut));
            assert!(restore(&other).is_err(), "{name} {cut}");
        }
    }
    let mut more = kept.clone();
    more.insert("x1".into(), Bytes::new());
    assert!(restore(&more).is_err());
    // Rows of another join.
    let odd = UInt32Array::from(vec![1]);
    let batch =
        arrow_array::RecordBatch::try_from_iter([("a", Arc::new(odd) as Arc<dyn Array>)]).unwrap();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let mut other = kept.clone();
    let name = kept.keys().find(|k| k.starts_with('s')).unwrap();
    other.insert(name.clone(), Bytes::from(writer.into_inner().unwrap()));
    assert!(restore(&other).is_err());
}
