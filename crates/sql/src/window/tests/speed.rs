//! How fast the operator is alone. `WINDOW_SPEED=1 cargo test --release -p millstream-sql --lib speed -- --nocapture`
//! prints rows per second; without that it only counts what comes out, over fewer rows.

use std::sync::Arc;

use arrow_array::new_null_array;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;

use super::super::{Aggregation, Aggregator, Window};
use super::{aggregation, folder, input};

const SECOND: i64 = 1_000_000;
/// A snapshot is taken before so many groups have changed, as the engine does.
const CHANGES: usize = 30_000;
/// Rows of one batch.
const BATCH: usize = 1000;

struct Case {
    what: &'static str,
    window: Window,
    keys: i64,
    /// Rows in one second of event time.
    rate: i64,
    rows: usize,
    aggregates: &'static [&'static str],
}

/// In order but for a tenth of a second, `delay` a second.
fn batches(case: &Case, rows: usize) -> Vec<Rows> {
    let rng = &mut Rng::with_seed(1);
    let input = input();
    let mut number = 0_i64;
    (0..rows / BATCH)
        .map(|offset| {
            let before = number * SECOND / case.rate - SECOND;
            let column = |f: &mut dyn FnMut(i64) -> i64| -> Vec<i64> {
                (number..number + BATCH as i64).map(f).collect()
            };
            let times = column(&mut |n| n * SECOND / case.rate - rng.i64(0..SECOND / 10));
            let keys = column(&mut |_| rng.i64(0..case.keys));
            let values = Float64Array::from_iter_values((0..BATCH).map(|_| rng.f64()));
            number += BATCH as i64;
            let columns = input.fields().iter().map(|field| -> ArrayRef {
                match field.name().as_str() {
                    "ts" => Arc::new(TimestampMicrosecondArray::from(times.clone())),
                    "k" => Arc::new(Int64Array::from(keys.clone())),
                    "i" => Arc::new(Int64Array::from(keys.clone())),
                    "f" => Arc::new(values.clone()),
                    _ => new_null_array(field.data_type(), BATCH),
                }
            });
            let batch = RecordBatch::try_new(input.clone(), columns.collect()).unwrap();
            let origin = Origin::new(Offset(offset as u64), Arc::from([0]), None);
            let origin = origin.with_watermarks(vec![Timestamp(before); BATCH].into());
            Rows { batch, origin }
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
fn speed(case: &Case, full: bool, threads: usize) {
    let rows = if full { case.rows } else { 20 * BATCH };
    let batches = batches(case, rows);
    let mut spec = aggregation(case.window, &["k"], case.aggregates);
    spec.state_bytes = 8 << 30;
    spec.threads = threads;
    let mut operator = Aggregator::new(spec, Arc::default()).unwrap();
    let (mut out, mut held, mut pauses, mut written) = (0, 0, vec![], 0);
    let mut snapshots = 0.0;
    let begin = std::time::Instant::now();
    for (number, batch) in batches.iter().enumerate() {
        operator.take(batch).unwrap();
        let watermark = batch.origin.watermark_max().unwrap();
        while let Some(rows) = operator.due(watermark).unwrap() {
            out += rows.num_rows();
        }
        if number % 1000 == 999 || operator.changed() > CHANGES {
            let at = std::time::Instant::now();
            let mut chunks = Chunks::new();
            operator.snapshot("", &mut chunks).unwrap();
            written += chunks.values().flatten().map(bytes::Bytes::len).sum::<usize>();
            let took = at.elapsed().as_secs_f64();
            snapshots += took;
            pauses.push(took);
            held = held.max(operator.bytes());
        }
    }
    held = held.max(operator.bytes());
    let taken = begin.elapsed().as_secs_f64() - snapshots;
    while let Some(rows) = operator.due(Timestamp::END).unwrap() {
        out += rows.num_rows();
    }
    let all = begin.elapsed().as_secs_f64() - snapshots;
    assert!(out > 0, "{}", case.what);
    assert!(operator.bytes() < 2000);
    let million = rows as f64 / 1e6;
    pauses.sort_by(f64::total_cmp);
    let pause = |part: usize| pauses.get(pauses.len() * part / 100).copied().unwrap_or(0.0) * 1e3;
    let longest = pauses.last().copied().unwrap_or(0.0) * 1e3;
    println!(
        "{:30} {threads} threads {:6.2} M rows/s, with the end {:6.2}; out {out}, held {} MiB, {} snapshots of {} MiB: p50 {:.1}, p99 {:.1}, longest {longest:.1} ms",
        case.what,
        million / taken,
        million / all,
        held >> 20,
        pauses.len(),
        written >> 20,
        pause(50),
        pause(99)
    );
}

/// Rows through a window whose state is four times its bound, beside the same without a bound.
#[test]
#[expect(clippy::disallowed_methods, reason = "this measures")]
fn speed_of_state_that_spills() {
    let full = std::env::var("WINDOW_SPEED").is_ok();
    let keys = if full { 2_000_000 } else { 20_000 };
    let window = Window::Tumble { size: 3600 * SECOND, offset: 0 };
    let (what, rate, aggregates) = ("spill", 10_000, &["avg f", "sum i"][..]);
    let rows = usize::try_from(keys * 4).unwrap();
    let case = Case { what, window, keys, rate, rows, aggregates };
    let batches = batches(&case, rows);
    let run = |spec: Aggregation| {
        let bound = spec.state_bytes >> 10;
        let mut operator = Aggregator::new(spec, Arc::default()).unwrap();
        let begin = std::time::Instant::now();
        let (mut held, mut spilled, mut out) = (0, 0, 0);
        for batch in &batches {
            operator.take(batch).unwrap();
            (held, spilled) = (held.max(operator.bytes()), spilled.max(operator.spilled()));
        }
        let taken = begin.elapsed().as_secs_f64();
        while let Some(rows) = operator.due(Timestamp::END).unwrap() {
            out += rows.num_rows();
        }
        let all = begin.elapsed().as_secs_f64();
        let million = rows as f64 / 1e6;
        println!(
            "{keys} keys, bound {bound} KiB: {:.3} M rows/s, with the end {:.3}; out {out}, held {} KiB, spilled {} KiB",
            million / taken,
            million / all,
            held >> 10,
            spilled >> 10
        );
        (held, spilled, out)
    };
    let spec = aggregation(window, &["k"], aggregates);
    let (held, _, out) = run(Aggregation { state_bytes: 8 << 30, ..spec.clone() });
    for (part, spills) in [(1, false), (2, true), (4, true), (16, true)] {
        let state_bytes = if spills { held / part } else { 8 << 30 };
        let ran = run(Aggregation { state_bytes, spill: Some(folder()), ..spec.clone() });
        assert_eq!((ran.1 > 0, ran.2), (spills, out));
    }
}

#[test]
fn speed_of_all_windows() {
    let full = std::env::var("WINDOW_SPEED").is_ok();
    let minute = Window::Tumble { size: 60 * SECOND, offset: 0 };
    let hop = |size: i64| Window::Hop { size: size * SECOND, slide: SECOND, offset: 0 };
    let avg: &[&str] = &["avg f"];
    let case =
        |what, window, keys, rate, rows| Case { what, window, keys, rate, rows, aggregates: avg };
    for case in [
        case("tumble 1 min, 1 k keys", minute, 1000, 20_000, 10_000_000),
        case("tumble 1 min, 100 k keys", minute, 100_000, 50_000, 10_000_000),
        case(
            "tumble 1 h, 5 M keys",
            Window::Tumble { size: 3600 * SECOND, offset: 0 },
            5_000_000,
            10_000,
            8_000_000,
        ),
        case("hop 1 of 1 s, 1 k keys", hop(1), 1000, 20_000, 4_000_000),
        case("hop 1 of 60 s, 1 k keys", hop(60), 1000, 20_000, 4_000_000),
        case("hop 1 of 600 s, 1 k keys", hop(600), 1000, 20_000, 20_000_000),
        case(
            "cumulate 1 s to 1 min, 1 k keys",
            Window::Cumulate { size: 60 * SECOND, step: SECOND, offset: 0 },
            1000,
            20_000,
            4_000_000,
        ),
        case("session 1 s, 10 k keys", Window::Session { gap: SECOND }, 10_000, 20_000, 4_000_000),
    ] {
        for threads in [1, 2] {
            speed(&case, full, threads);
        }
    }
}
