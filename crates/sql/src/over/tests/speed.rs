//! How fast the operator is alone. `OVER_SPEED=1 cargo test --release -p millstream-sql --lib over::tests::speed -- --nocapture` prints
//! rows per second; without that it only counts what comes out, over fewer rows.

use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;

use super::super::Analyst;
use super::super::spec::Frame;
use super::{One, analysis, batch};
use crate::stateful::Stateful as _;

const SECOND: i64 = 1_000_000;

struct Case {
    what: &'static str,
    calls: &'static [&'static str],
    frame: Frame,
    keys: i64,
    /// Rows of one frame.
    batch: usize,
    /// Microseconds by which rows come late, a million rows in ten seconds of event time.
    disorder: i64,
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
fn speed(case: &Case, rows: usize) {
    let rng = &mut Rng::with_seed(1);
    let calls = case.calls.iter().map(|c| (*c, case.frame)).collect::<Vec<_>>();
    let mut spec = analysis(&calls);
    spec.forget = spec.reach().0.filter(|_| spec.reach().1 == Some(0));
    let mut operator = Analyst::new(spec).unwrap();
    let batches = (0..rows / case.batch).map(|number| {
        let first = (number * case.batch) as i64 * 10;
        let rows = (0..case.batch as i64).map(|n| One {
            ts: Some(first + n * 10 - rng.i64(0..=case.disorder)),
            k: Some(rng.i64(0..case.keys)),
            i: Some(rng.i64(0..1000)),
            f: Some(rng.f64()),
            s: Some("on".to_owned()),
        });
        let mark = Timestamp(first - case.disorder);
        let origin = Origin::new(Offset(number as u64), [0].into(), None);
        let origin = origin.with_watermarks(vec![mark; case.batch].into());
        Rows { batch: batch(&rows.collect::<Vec<_>>()), origin }
    });
    let batches = batches.collect::<Vec<_>>();
    let (mut out, mut written, mut snapshots, mut held) = (0, 0, 0.0, 0);
    let begin = std::time::Instant::now();
    for rows in &batches {
        operator.take(0, rows).unwrap();
        let mark = rows.origin.watermark_max().unwrap();
        while let Some(rows) = operator.due(mark).unwrap() {
            out += rows.num_rows();
        }
        if operator.changed() > 20_000 {
            let at = std::time::Instant::now();
            held = held.max(operator.bytes());
            let mut chunks = Chunks::new();
            operator.snapshot("", &mut chunks).unwrap();
            written += chunks.values().flatten().map(bytes::Bytes::len).sum::<usize>();
            snapshots += at.elapsed().as_secs_f64();
        }
    }
    while let Some(rows) = operator.due(Timestamp::END).unwrap() {
        out += rows.num_rows();
    }
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(out, batches.len() * case.batch);
    let million = rows as f64 / 1e6;
    println!(
        "{:44} {:6.2} M rows/s, without snapshots {:6.2}; held {} KiB, {} MiB of snapshots",
        case.what,
        million / took,
        million / (took - snapshots),
        held >> 10,
        written >> 20
    );
}

#[test]
fn speed_of_over() {
    let rows = if std::env::var("OVER_SPEED").is_ok() { 3_000_000 } else { 6_000 };
    let ten = Frame::Rows { start: Some(10), end: 0 };
    let range = Frame::Range { start: Some(10 * SECOND), end: 0 };
    let all = Frame::Rows { start: None, end: 0 };
    let case =
        |what, calls, frame| Case { what, calls, frame, keys: 10_000, batch: 300, disorder: 0 };
    let three: &[&str] = &["avg f", "stddev f", "lag f"];
    for case in [
        case("avg, stddev, lag of 10 rows, 10 k keys", three, ten),
        Case { disorder: SECOND, ..case("the same, a second late", three, ten) },
        Case { disorder: SECOND, batch: 10, ..case("the same, 10 rows a frame", three, ten) },
        Case { batch: 8_000, ..case("the same, in order, 8000 rows a frame", three, ten) },
        case("avg, stddev of 10 seconds", &["avg f", "stddev f"], range),
        Case {
            keys: 10,
            ..case("avg, stddev of 10 seconds, 10 keys", &["avg f", "stddev f"], range)
        },
        case("count, sum, min, max so far", &["count f", "sum i", "min f", "max i"], all),
        case("row_number, lag of text", &["row_number", "lag s"], all),
    ] {
        speed(&case, rows);
    }
    let slow = case("median of 10 rows", &["median f"], ten);
    speed(&slow, rows / 20 / 300 * 300);
}
