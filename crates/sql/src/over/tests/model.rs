//! What should come out.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use bytes::Bytes;
use datafusion_common::ScalarValue;
use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::record::Offset;

use super::super::Analyst;
use super::super::spec::{Analysis, Frame};
use super::{Frameful, One, Way, again, analysis, batch, bits, random, run};
use crate::stateful::Stateful as _;

const CALLS: &[&str] = &[
    "count",
    "count f",
    "count s",
    "sum i",
    "sum f",
    "avg f",
    "min f",
    "max i",
    "min s",
    "var_pop f",
    "stddev f",
    "median f",
    "array_agg i",
    "first i",
    "first s",
    "first valid f",
    "nth i 3",
    "last f",
    "last valid s",
    "lag i",
    "lag s 2",
    "lag f 0",
    "lag valid f 2",
    "lag valid s 1",
    "row_number",
    "rank",
    "dense_rank",
];

fn frame(rng: &mut Rng) -> Frame {
    let (a, b) = (rng.u64(0..8), rng.u64(0..8));
    let rows = |n: u64| n.cast_signed();
    match rng.u8(..7) {
        0 => Frame::Rows { start: None, end: 0 },
        1 => Frame::Range { start: None, end: 0 },
        2 => Frame::Rows { start: Some(a), end: b },
        3 => Frame::Range { start: Some(rows(a) * 4), end: rows(b) * 4 },
        4 => Frame::Range { start: Some(rows(a) * 4), end: 0 },
        _ => Frame::Rows { start: Some(a), end: 0 },
    }
}

/// The rows in the order in which they come out, and for each the rows of its key in order and its own place there.
fn placed(frames: &[Frameful], forget: Option<i64>) -> Vec<(One, Vec<One>, usize)> {
    let rows = frames.iter().flat_map(|f| f.rows.iter().zip(&f.marks));
    let mut rows: Vec<_> = rows.filter(|(r, m)| r.ts.is_some_and(|t| t >= **m)).collect();
    rows.sort_by_key(|(r, _)| r.ts);
    let mut keys: BTreeMap<Option<i64>, Vec<Vec<One>>> = BTreeMap::new();
    let mut places = vec![];
    for (row, _) in &rows {
        let parts = keys.entry(row.k).or_default();
        let last = parts.last().and_then(|p| p.last()).map(|r| r.ts.unwrap());
        if last.is_none_or(|t| forget.is_some_and(|f| row.ts.unwrap() - t > f)) {
            parts.push(vec![]);
        }
        let part = parts.len() - 1;
        places.push((part, parts[part].len()));
        parts[part].push((*row).clone());
    }
    let all = rows.into_iter().zip(places);
    all.map(|((row, _), (part, at))| (row.clone(), keys[&row.k][part].clone(), at)).collect()
}

fn values(text: &str, rows: &[One]) -> Vec<ScalarValue> {
    let column = text.split(' ').filter(|w| *w != "valid").nth(1);
    let value = |r: &One| match column {
        Some("i") => ScalarValue::Int64(r.i),
        Some("f") => ScalarValue::Float64(r.f),
        Some("s") => ScalarValue::Utf8(r.s.clone()),
        _ => ScalarValue::Int64(Some(1)),
    };
    rows.iter().map(value).collect()
}

/// The result for a row, of all rows of its key.
fn expected(text: &str, frame: Frame, key: &[One], at: usize) -> ScalarValue {
    let time = |r: &One| r.ts.unwrap();
    let own = time(&key[at]);
    let (start, end) = match frame {
        Frame::Rows { start, end } => {
            let start = start.map_or(0, |n| at.saturating_sub(place(n)));
            (start, (at + 1).saturating_sub(place(end)))
        }
        Frame::Range { start, end } => {
            let start = start.map_or(0, |s| key.partition_point(|r| time(r) < own - s));
            (start, key.partition_point(|r| time(r) <= own - end))
        }
    };
    let seen = if start < end { &key[start..end] } else { &[] };
    let (all, seen) = (values(text, key), values(text, seen));
    let null = ScalarValue::try_from(&all[0].data_type()).unwrap();
    let valid = seen.iter().filter(|v| !v.is_null()).cloned().collect::<Vec<_>>();
    let words = text.split(' ').collect::<Vec<_>>();
    let number = |default: usize| words.last().and_then(|w| w.parse().ok()).unwrap_or(default);
    let unsigned = |n: usize| ScalarValue::UInt64(Some(n as u64));
    match words[0] {
        "row_number" => unsigned(at + 1),
        "rank" => unsigned(key.partition_point(|r| time(r) < own) + 1),
        "dense_rank" => {
            let mut times = key[..=at].iter().map(time).collect::<Vec<_>>();
            times.dedup();
            unsigned(times.len())
        }
        "lag" if words[1] == "valid" => {
            let before = all[..at].iter().rev().filter(|v| !v.is_null());
            before.into_iter().nth(number(1) - 1).cloned().unwrap_or(null)
        }
        "lag" => at.checked_sub(number(1)).map_or(null, |b| all[b].clone()),
        "first" if words[1] == "valid" => valid.first().cloned().unwrap_or(null),
        "last" if words[1] == "valid" => valid.last().cloned().unwrap_or(null),
        "first" => seen.first().cloned().unwrap_or(null),
        "last" => seen.last().cloned().unwrap_or(null),
        "nth" => seen.get(number(1) - 1).cloned().unwrap_or(null),
        name => {
            let super::super::spec::What::Aggregate { expr, .. } = super::call(text, 0).what else {
                panic!("{name}")
            };
            let mut accumulator = expr.create_accumulator().unwrap();
            if !seen.is_empty() {
                let column = ScalarValue::iter_to_array(seen).unwrap();
                accumulator.update_batch(&[column]).unwrap();
            }
            accumulator.evaluate().unwrap()
        }
    }
}

fn place(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

/// The name of a chunk behind the prefix.
fn own(name: &str) -> String {
    name.strip_prefix("p/").unwrap().to_owned()
}

fn near(a: &ScalarValue, b: &ScalarValue) -> bool {
    match (a, b) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => {
            (a - b).abs() <= 1e-7 * a.abs().max(b.abs()).max(1.0)
        }
        (a, b) => a == b,
    }
}

fn check(spec: &Analysis, calls: &[(&str, Frame)], frames: &[Frameful], rows: &RecordBatch) {
    let placed = placed(frames, spec.forget);
    assert_eq!(rows.num_rows(), placed.len());
    for (row, (one, key, at)) in placed.iter().enumerate() {
        let ts = ScalarValue::try_from_array(rows.column(0), row).unwrap();
        assert_eq!(ts, ScalarValue::TimestampMicrosecond(one.ts, None), "row {row}");
        for (column, (text, frame)) in calls.iter().enumerate() {
            let ours = ScalarValue::try_from_array(rows.column(5 + column), row).unwrap();
            let theirs = expected(text, *frame, key, *at);
            assert!(near(&ours, &theirs), "{text} {frame:?} row {row}: {ours:?} is not {theirs:?}");
        }
    }
}

#[test]
fn all_calls_give_what_a_plain_model_gives_however_they_are_run() {
    for seed in 0..400 {
        let rng = &mut Rng::with_seed(seed);
        let calls = (0..rng.usize(1..5)).map(|_| (CALLS[rng.usize(..CALLS.len())], frame(rng)));
        let calls = calls.collect::<Vec<_>>();
        let mut spec = analysis(&calls);
        let (time, rows) = spec.reach();
        spec.forget = match rows {
            Some(0) => time,
            _ => rng.bool().then(|| time.unwrap_or(0).max(28) + rng.i64(0..20)),
        };
        let keys = rng.i64(1..8);
        let frames = random(rng, keys);
        let straight = Way { cut: usize::MAX / 2, stops: 0 };
        let whole = run(&spec, &frames, straight, rng);
        let what = format!("seed {seed}: {calls:?} {:?}", spec.forget);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(&spec, &calls, &frames, &whole.rows);
        }));
        assert!(checked.is_ok(), "{what}");
        let late = frames.iter().flat_map(|f| f.rows.iter().zip(&f.marks));
        let late = late.filter(|(r, m)| r.ts.is_some_and(|t| t < **m)).count();
        assert_eq!(whole.late, late, "{what}");
        for stops in [0, 3, 1] {
            let way = Way { cut: rng.usize(1..9), stops };
            let other = run(&spec, &frames, way, rng);
            assert_eq!(bits(&whole.rows), bits(&other.rows), "{what} {way:?}");
            assert_eq!((whole.late, whole.refused), (other.late, other.refused), "{what} {way:?}");
        }
    }
}

fn one(ts: i64, k: i64) -> One {
    One { ts: Some(ts), k: Some(k), i: Some(ts), f: Some(0.5), s: Some("x".to_owned()) }
}

fn give(operator: &mut Analyst, rows: &[One], mark: i64) -> Vec<RecordBatch> {
    let marks = vec![Timestamp(i64::MIN); rows.len()].into();
    let origin = Origin::new(Offset(0), [0].into(), None).with_watermarks(marks);
    operator.take(0, &Rows { batch: batch(rows), origin }).unwrap();
    std::iter::from_fn(|| operator.due(Timestamp(mark)).unwrap()).collect()
}

#[test]
fn state_shrinks_behind_the_watermark() {
    let frame = Frame::Range { start: Some(1_000), end: 0 };
    let mut spec = analysis(&[("avg f", frame), ("max i", frame), ("median f", frame)]);
    spec.forget = spec.reach().0;
    let mut operator = Analyst::new(spec.clone()).unwrap();
    let (mut most, mut state) = (0, BTreeMap::new());
    for round in 0..300 {
        // Each time other keys; of some thousand rows.
        let rows = (0..200).map(|n| one(round * 200 + n, round * 50 + n % 50)).collect::<Vec<_>>();
        give(&mut operator, &rows, round * 200);
        if round == 20 {
            most = operator.bytes();
        }
        if round > 20 {
            assert!(operator.bytes() <= most * 2, "{} is more than {most}", operator.bytes());
        }
        operator = again(operator, &spec, &mut state, round % 7 == 0);
        let chunks = state.values().map(Bytes::len).sum::<usize>();
        assert!(chunks < 400_000 && state.len() < 60, "{chunks} bytes in {} chunks", state.len());
    }
    give(&mut operator, &[one(1_000_000, 0)], 2_000_000);
    assert!(operator.bytes() < most / 8, "{} of {most}", operator.bytes());
}

#[test]
fn of_keys_with_much_to_remember_only_what_is_new_is_written() {
    let frame = Frame::Range { start: Some(20_000), end: 0 };
    let mut spec = analysis(&[("avg f", frame), ("min s", frame), ("last valid s", frame)]);
    spec.forget = spec.reach().0;
    let mut operator = Analyst::new(spec.clone()).unwrap();
    let mut unbroken = Analyst::new(spec.clone()).unwrap();
    let (mut state, mut written) = (BTreeMap::new(), 0);
    for round in 0..400 {
        let rows = (0..100).map(|n| One {
            f: Some(f64::from(n) / 7.0),
            ..one(round * 100 + i64::from(n), i64::from(n % 2))
        });
        let rows = rows.collect::<Vec<_>>();
        let made = give(&mut operator, &rows, round * 100);
        let same = give(&mut unbroken, &rows, round * 100);
        assert!(made.iter().map(bits).eq(same.iter().map(bits)), "round {round}");
        let before = state.keys().cloned().collect::<Vec<_>>();
        operator = again(operator, &spec, &mut state, round % 9 == 0);
        let new = state.iter().filter(|(name, _)| !before.contains(name));
        written += new.map(|(_, chunk)| chunk.len()).sum::<usize>();
        assert!(state.len() < 60, "{} chunks", state.len());
    }
    // The last 20,000 rows are there, and each was written a few times.
    let held = state.values().map(Bytes::len).sum::<usize>();
    assert!(held > 20_000 * 20 && held < 20_000 * 70, "{held}");
    assert!(written < 40_000 * 70 * 4, "{written}");
}

#[test]
fn rows_that_wait_for_long_are_in_few_chunks() {
    let spec = analysis(&[("lag i", Frame::Rows { start: None, end: 0 })]);
    let mut operator = Analyst::new(spec.clone()).unwrap();
    let (mut state, mut out) = (BTreeMap::new(), 0);
    for round in 0..2_000 {
        // One row in ten is far ahead of time.
        let ts = if round % 10 == 0 { 1_000_000 + round } else { round };
        out += give(&mut operator, &[one(ts, round % 3)], round - 500)
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>();
        operator = again(operator, &spec, &mut state, round % 50 == 0);
        assert!(state.len() < 60, "{} chunks", state.len());
    }
    assert_eq!(out, 1_499 - 150);
}

#[test]
fn at_the_bound_no_row_is_taken() {
    let mut spec = analysis(&[("lag i", Frame::Rows { start: None, end: 0 })]);
    spec.state_bytes = 20_000;
    let mut operator = Analyst::new(spec).unwrap();
    let rows = (0..10).map(|n| one(n, n)).collect::<Vec<_>>();
    let e = loop {
        let before = operator.bytes();
        let marks = vec![Timestamp(0); rows.len()].into();
        let origin = Origin::new(Offset(0), [0].into(), None).with_watermarks(marks);
        if let Err(e) = operator.take(0, &Rows { batch: batch(&rows), origin }) {
            assert_eq!(operator.bytes(), before);
            break e;
        }
        assert!(operator.bytes() <= 20_000);
    };
    assert!(e.to_string().contains("`state_bytes`, 20000 bytes"), "{e}");
}

#[test]
fn amid_a_stream_only_rows_that_have_all_before_them_are_given() {
    let out = |frames: &[Frame], forget, keys: &[i64]| {
        let calls = frames.iter().map(|f| ("count i", *f)).collect::<Vec<_>>();
        let mut spec = analysis(&calls);
        spec.forget = forget;
        let mut operator = Analyst::new(spec).unwrap();
        let whole = operator.begin(Timestamp(100));
        let rows = keys.iter().enumerate().map(|(n, k)| one(100 + n as i64 * 10, *k));
        let made = give(&mut operator, &rows.collect::<Vec<_>>(), 10_000);
        let count = made.iter().map(RecordBatch::num_rows).sum::<usize>();
        let first = made.first().map(|b| ScalarValue::try_from_array(b.column(2), 0).unwrap());
        (whole.0, count, first)
    };
    let first = |ts| Some(ScalarValue::Int64(Some(ts)));
    let range = Frame::Range { start: Some(30), end: 0 };
    assert_eq!(out(&[range], Some(30), &[1; 10]), (130, 7, first(130)));
    // Three rows of a key are before the first that is given.
    let rows = Frame::Rows { start: Some(3), end: 0 };
    assert_eq!(out(&[rows], None, &[1, 2, 1, 2, 1, 2, 1, 2]), (i64::MAX, 2, first(160)));
    let all = Frame::Rows { start: None, end: 0 };
    assert_eq!(out(&[all], None, &[1; 10]), (i64::MAX, 0, None));
    // A key that comes late enough was forgotten, if it ever was.
    assert_eq!(out(&[all], Some(50), &[1, 1, 1, 1, 1, 1, 1, 2, 2]), (i64::MAX, 2, first(170)));
}

#[test]
fn chunks_that_are_not_its_own_are_refused() {
    let spec = analysis(&[
        ("avg f", Frame::Rows { start: Some(3), end: 0 }),
        ("lag s", Frame::Rows { start: None, end: 0 }),
    ]);
    let mut operator = Analyst::new(spec.clone()).unwrap();
    let mut state = BTreeMap::new();
    give(&mut operator, &(0..50).map(|n| one(n, n % 4)).collect::<Vec<_>>(), 30);
    drop(again(operator, &spec, &mut state, false));
    let rng = &mut Rng::with_seed(1);
    let read = |state: &BTreeMap<String, Vec<u8>>| {
        let chunks = state.iter().map(|(n, c)| (own(n), c.clone().into()));
        let chunks = chunks.collect::<Vec<(String, bytes::Bytes)>>();
        let chunks = chunks.iter().map(|(n, c)| (n.as_str(), c)).collect::<Vec<_>>();
        Analyst::new(spec.clone()).unwrap().restore(&chunks)
    };
    let whole: BTreeMap<_, _> = state.iter().map(|(n, c)| (n.clone(), c.to_vec())).collect();
    read(&whole).unwrap();
    for _ in 0..300 {
        let mut cut = whole.clone();
        let (_, chunk) = cut.iter_mut().nth(rng.usize(..whole.len())).unwrap();
        chunk.truncate(rng.usize(..chunk.len()));
        assert!(read(&cut).is_err());
        let mut flipped = whole.clone();
        let (_, chunk) = flipped.iter_mut().nth(rng.usize(..whole.len())).unwrap();
        let place = rng.usize(..chunk.len());
        chunk[place] ^= 1 << rng.u8(..8);
        // It may not be seen; but nothing breaks.
        let _result = read(&flipped);
    }
    let other = analysis(&[("avg f", Frame::Rows { start: Some(4), end: 0 })]);
    let chunks = state.iter().map(|(n, c)| (own(n), c)).collect::<Vec<_>>();
    let chunks = chunks.iter().map(|(n, c)| (n.as_str(), *c)).collect::<Vec<_>>();
    assert!(Analyst::new(other).unwrap().restore(&chunks).is_err());
}
