//! The part against a plain model, with event time, forgotten keys, batch cuts and restores; its bounds and its chunks.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;

use super::spec::Ttl;
use super::{Accumulation, Running};
use crate::stateful::Stateful;
use crate::window::Column;
use crate::window::tests::{aggregate, column, input};

const TTL: i64 = 20;

fn spec(aggregates: &[&str], ttl: bool) -> Accumulation {
    let input = input();
    let key = Arc::new(input.field_with_name("k").unwrap().clone());
    let aggregates: Vec<_> = aggregates.iter().map(|a| aggregate(a)).collect();
    let mut columns = vec![Column::Key(0)];
    let mut fields = vec![key.as_ref().clone()];
    for (i, aggregate) in aggregates.iter().enumerate() {
        columns.push(Column::Aggregate(i));
        let field = aggregate.expr.field().as_ref().clone().with_nullable(true);
        fields.push(Field::with_name(field, format!("a{i}")));
    }
    Accumulation {
        keys: vec![(column("k"), key)],
        input,
        aggregates,
        columns,
        schema: Arc::new(Schema::new(fields)),
        state_bytes: 1 << 30,
        ttl: ttl.then(|| Ttl { time: column("ts"), lag: 0, span: TTL }),
    }
}

/// Event time, key, value, and whether its `FILTER` holds.
type Row = (i64, Option<i64>, Option<i64>, bool);

fn batch(rows: &[Row]) -> RecordBatch {
    let n = rows.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.0)).collect::<TimestampMicrosecondArray>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.2.map(|v| format!("t{v}"))).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>()),
        Arc::new(Float64Array::from(vec![0.5; n])),
        Arc::new(Float64Array::from(vec![0.5; n])),
        Arc::new(rows.iter().map(|r| Some(r.3)).collect::<BooleanArray>()),
        Arc::new(Decimal128Array::from(vec![1; n]).with_precision_and_scale(20, 3).unwrap()),
        Arc::new(UInt64Array::from(vec![1; n])),
    ];
    RecordBatch::try_new(input(), columns).unwrap()
}

/// Rows of a frame, with the watermark before each.
fn frame(number: u64, rows: &[Row], marks: &[i64]) -> Rows {
    let before: Arc<[Timestamp]> = marks.iter().map(|m| Timestamp(*m)).collect();
    let origin = Origin::new(Offset(number), Arc::from([0]), None).with_watermarks(before);
    Rows { batch: batch(rows), origin }
}

fn shown(batch: &RecordBatch) -> Vec<String> {
    let show = |c: &ArrayRef, i| arrow::util::display::array_value_to_string(c, i).unwrap();
    let row = |i| batch.columns().iter().map(|c| show(c, i)).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

#[derive(Default)]
struct Model {
    /// Of each key: the last event time, all values, and those whose `FILTER` holds.
    keys: BTreeMap<Option<i64>, (i64, Vec<Row>)>,
    late: u64,
}

impl Model {
    /// The rows of a frame; what it gives.
    fn take(&mut self, rows: &[Row], marks: &[i64]) -> Vec<String> {
        let mut changed: Vec<Option<i64>> = vec![];
        for (row, mark) in rows.iter().zip(marks) {
            if row.0 + TTL <= *mark {
                self.late += 1;
                continue;
            }
            let kept = self.keys.entry(row.1).or_insert((i64::MIN, vec![]));
            if kept.0 != i64::MIN && kept.0 + TTL <= *mark {
                *kept = (i64::MIN, vec![]);
                // It is another one than that before.
                changed.retain(|k| *k != row.1);
            }
            kept.0 = kept.0.max(row.0);
            kept.1.push(*row);
            if !changed.contains(&row.1) {
                changed.push(row.1);
            }
        }
        changed.iter().map(|key| self.row(*key)).collect()
    }

    fn row(&self, key: Option<i64>) -> String {
        let rows = &self.keys[&key].1;
        let distinct = |some: &dyn Fn(&Row) -> bool| {
            let all = rows.iter().filter(|r| some(r)).filter_map(|r| r.2);
            all.collect::<std::collections::BTreeSet<_>>().len()
        };
        let sum: i64 = rows.iter().filter_map(|r| r.2).sum();
        let any = rows.iter().any(|r| r.2.is_some());
        let sum = if any { sum.to_string() } else { String::new() };
        let key = key.map_or(String::new(), |k| k.to_string());
        let (all, some) = (distinct(&|_| true), distinct(&|r| r.3));
        format!("{key} {} {sum} {all} {some} {all}", rows.len())
    }
}

fn random(rng: &mut Rng) -> Vec<(Vec<Row>, Vec<i64>, i64)> {
    let (mut now, mut mark, mut frames) = (0, i64::MIN, vec![]);
    for _ in 0..rng.usize(1..25) {
        let (mut rows, mut marks) = (vec![], vec![]);
        for _ in 0..rng.usize(0..12) {
            now += if rng.u8(..12) == 0 { rng.i64(0..60) } else { rng.i64(0..4) };
            let behind = if rng.u8(..9) == 0 { 40 } else { 5 };
            let time = now - rng.i64(0..behind);
            let key = if rng.u8(..9) == 0 { None } else { Some(rng.i64(0..6)) };
            let value = if rng.u8(..9) == 0 { None } else { Some(rng.i64(-3..9)) };
            rows.push((time, key, value, rng.bool()));
            marks.push(mark);
            mark = mark.max(time - 3);
        }
        frames.push((rows, marks, mark));
    }
    frames
}

const CALLS: &[&str] =
    &["count", "sum i", "count distinct i", "count distinct i filter b", "count distinct s"];

fn keep(running: &mut Running, kept: &mut BTreeMap<String, Bytes>) {
    let mut chunks = Chunks::new();
    running.snapshot("", &mut chunks).unwrap();
    for (name, chunk) in chunks {
        match chunk {
            Some(chunk) => kept.insert(name, chunk),
            None => kept.remove(&name),
        };
    }
}

#[test]
fn keys_come_to_what_their_rows_say() {
    let mut late = 0;
    for seed in 0..400 {
        let rng = &mut Rng::with_seed(seed);
        let frames = random(rng);
        let (mut model, mut absorbed) = (Model::default(), 0);
        let mut running = Running::new(spec(CALLS, true)).unwrap();
        let mut kept = BTreeMap::new();
        for (number, (rows, marks, after)) in (0..).zip(&frames) {
            let wanted = model.take(rows, marks);
            let whole = frame(number, rows, marks);
            let mut at = 0;
            while at < rows.len() {
                let len = rng.usize(1..=rows.len() - at);
                let (batch, origin) = (whole.batch.slice(at, len), whole.origin.slice(at, len));
                absorbed += running.take(0, &Rows { batch, origin }).unwrap().absorbed;
                at += len;
                if rng.u8(..3) == 0 {
                    keep(&mut running, &mut kept);
                    running = Running::new(spec(CALLS, true)).unwrap();
                    let chunks: Vec<_> = kept.iter().map(|(n, c)| (n.as_str(), c)).collect();
                    running.restore(&chunks).unwrap();
                }
            }
            assert!(running.due(Timestamp(*after)).unwrap().is_none());
            let mut given = vec![];
            while let Some(rows) = running.settled().unwrap() {
                given.extend(shown(&rows));
            }
            assert_eq!(given, wanted, "seed {seed} frame {number}");
        }
        let all = frames.iter().map(|f| f.0.len() as u64).sum::<u64>();
        assert_eq!(absorbed + model.late, all, "seed {seed}");
        late += model.late;
    }
    assert!(late > 100, "{late}");
}

/// Keys that come once each: with `ttl` they are forgotten.
fn passing(ttl: bool) -> Vec<usize> {
    let mut running = Running::new(spec(CALLS, ttl)).unwrap();
    let (mut held, mut kept, mut chunks) = (vec![], BTreeMap::new(), vec![]);
    for number in 0..200 {
        let rows: Vec<Row> =
            (0..100).map(|i| (number, Some(number * 100 + i), Some(i), true)).collect();
        let marks = vec![number - 1; rows.len()];
        running.take(0, &frame(number.unsigned_abs(), &rows, &marks)).unwrap();
        running.due(Timestamp(number)).unwrap();
        while running.settled().unwrap().is_some() {}
        keep(&mut running, &mut kept);
        held.push(running.held());
        chunks.push(kept.values().map(Bytes::len).sum::<usize>());
    }
    assert!(kept.len() < 60, "{} chunks", kept.len());
    if ttl {
        let (first, last) = (chunks[60], chunks[199]);
        assert!(last < first * 2, "{first} {last}");
    }
    held
}

#[test]
fn state_shrinks_where_keys_are_forgotten() {
    let (with, without) = (passing(true), passing(false));
    let most = with[60..].iter().max().unwrap();
    assert!(*most < with[40] * 3, "{} {most}", with[40]);
    assert!(without[199] > most * 3, "{} {most}", without[199]);
}

#[test]
fn at_the_bound_no_row_is_taken() {
    for calls in [CALLS, &[]] {
        let mut spec = spec(calls, false);
        spec.state_bytes = 100_000;
        let mut running = Running::new(spec).unwrap();
        let mut taken = 0;
        let full = (0..1000).find_map(|number: i64| {
            let rows: Vec<Row> =
                (0..50).map(|i| (0, Some(number * 50 + i), Some(i), true)).collect();
            let before = running.keys();
            match running.take(0, &frame(number.unsigned_abs(), &rows, &[0; 50])) {
                Ok(came) => taken += came.absorbed,
                Err(e) => {
                    assert_eq!(running.keys(), before);
                    return Some(e.to_string());
                }
            }
            assert!(running.held() <= 100_000, "{}", running.held());
            while running.settled().unwrap().is_some() {}
            while running.made().unwrap().is_some() {}
            None
        });
        let full = full.unwrap();
        assert!(full.contains("`state_bytes`, 100000 bytes"), "{full}");
        assert!(taken >= 250, "{taken}");
        // Rows of keys that are there still fit.
        let rows: Vec<Row> = (0..50).map(|i| (0, Some(i), Some(i), true)).collect();
        assert_eq!(running.take(0, &frame(9_999, &rows, &[0; 50])).unwrap().absorbed, 50);
    }
}

#[test]
fn chunks_that_do_not_fit_are_refused() {
    let mut running = Running::new(spec(CALLS, true)).unwrap();
    let rows: Vec<Row> = (0..50).map(|i| (i, Some(i), Some(i), true)).collect();
    running.take(0, &frame(0, &rows, &[0; 50])).unwrap();
    let mut kept = BTreeMap::new();
    keep(&mut running, &mut kept);
    assert!(kept.len() >= 4, "{:?}", kept.keys());
    let rng = &mut Rng::with_seed(7);
    let mut refused = 0;
    for _ in 0..500 {
        let mut bad: BTreeMap<String, Vec<u8>> =
            kept.iter().map(|(n, c)| (n.clone(), c.to_vec())).collect();
        let name = bad.keys().nth(rng.usize(..bad.len())).unwrap().clone();
        let chunk = bad.get_mut(&name).unwrap();
        match rng.bool() {
            true => chunk.truncate(rng.usize(..chunk.len())),
            false => drop(bad.remove(&name)),
        }
        let bad: BTreeMap<String, Bytes> = bad.into_iter().map(|(n, c)| (n, c.into())).collect();
        let chunks: Vec<_> = bad.iter().map(|(n, c)| (n.as_str(), c)).collect();
        let mut other = Running::new(spec(CALLS, true)).unwrap();
        refused += u32::from(other.restore(&chunks).is_err());
    }
    assert!(refused > 300, "{refused}");
    let mut less = Running::new(spec(&["count"], true)).unwrap();
    let chunks: Vec<_> = kept.iter().map(|(n, c)| (n.as_str(), c)).collect();
    assert!(less.restore(&chunks).is_err());
}

#[test]
fn distinct_rows_leave_once_with_the_names_of_those_that_came() {
    let mut running = Running::new(spec(&[], false)).unwrap();
    let rows: Vec<Row> = [3, 1, 3, 2, 1].into_iter().map(|k| (0, Some(k), None, true)).collect();
    assert_eq!(running.take(0, &frame(4, &rows, &[0; 5])).unwrap().absorbed, 5);
    let made = running.made().unwrap().unwrap();
    let keys = made.batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(keys.values().to_vec(), [3, 1, 2]);
    let names: Vec<_> = (0..3).map(|i| made.origin.id(i).row).collect();
    assert_eq!(names, [0, 1, 3]);
    assert!(running.made().unwrap().is_none() && running.settled().unwrap().is_none());
}

/// How fast it is alone: `SPEED=1 cargo test --release -p millstream-sql --lib a_million -- --nocapture`.
#[test]
#[expect(clippy::disallowed_methods, reason = "to tell how long it takes")]
fn a_million_rows() {
    if std::env::var_os("SPEED").is_none() {
        return;
    }
    for calls in [&["count", "max f", "sum i"][..], CALLS, &[]] {
        let mut running = Running::new(spec(calls, false)).unwrap();
        let rng = &mut Rng::with_seed(1);
        let frames: Vec<_> = (0..250)
            .map(|number| {
                let row = |_| (0, Some(rng.i64(0..10_000)), Some(rng.i64(0..100_000)), rng.bool());
                frame(number, &(0..4_000).map(row).collect::<Vec<_>>(), &[0])
            })
            .collect();
        let begin = std::time::Instant::now();
        let mut given = 0;
        for frame in &frames {
            running.take(0, frame).unwrap();
            while let Some(rows) = running.made().unwrap() {
                given += rows.len();
            }
            while let Some(rows) = running.settled().unwrap() {
                given += rows.num_rows();
            }
        }
        eprintln!("{calls:?}: {:?} a million rows, {given} given", begin.elapsed());
    }
}
