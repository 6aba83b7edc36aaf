//! The part against a plain model, with batch cuts and restores; its bounds, its chunks and how it shrinks.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, SortOptions, TimeUnit};
use bytes::Bytes;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column as Col;
use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;

use super::{Closing, Rank, Ranking};
use crate::stateful::Stateful;

fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
    ]))
}

fn column(name: &str) -> Arc<dyn PhysicalExpr> {
    Arc::new(Col::new(name, input().index_of(name).unwrap()))
}

fn spec(count: usize, closing: bool) -> Ranking {
    let input = input();
    let field = |name: &str| Arc::new(input.field_with_name(name).unwrap().clone());
    let mut partition = vec![(column("k"), field("k"))];
    if closing {
        partition.push((column("ts"), field("ts")));
    }
    let fields = input.fields().iter().map(|f| f.as_ref().clone());
    let fields = fields.chain([Field::new("n", DataType::UInt64, false)]);
    Ranking {
        partition,
        order: vec![(column("v"), SortOptions { descending: true, nulls_first: false })],
        count,
        closing: closing.then_some(Closing { by: 1, after: 1, back: 0 }),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        input,
        state_bytes: 1 << 30,
        whole_from: i64::MIN,
    }
}

/// Event time, key, value; the text is the number of the row.
type Row = (i64, i64, Option<i64>, usize);

fn frame(number: u64, rows: &[Row], marks: &[i64]) -> Rows {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.0)).collect::<TimestampMicrosecondArray>()),
        Arc::new(rows.iter().map(|r| Some(r.1)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| Some(r.3.to_string())).collect::<StringArray>()),
    ];
    let before: Arc<[Timestamp]> = marks.iter().map(|m| Timestamp(*m)).collect();
    let origin = Origin::new(Offset(number), Arc::from([0]), None).with_watermarks(before);
    Rows { batch: RecordBatch::try_new(input(), columns).unwrap(), origin }
}

fn shown(batch: &RecordBatch) -> Vec<String> {
    let show = |c: &ArrayRef, i| arrow::util::display::array_value_to_string(c, i).unwrap();
    let row = |i| batch.columns()[3..].iter().map(|c| show(c, i)).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

/// The best first; of equal ones the first that came. Nulls come last.
fn best(rows: &[Row], count: usize) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|r| (r.2.is_none(), std::cmp::Reverse(r.2)));
    rows.truncate(count);
    rows
}

fn keep(rank: &mut Rank, kept: &mut BTreeMap<String, Bytes>) {
    let mut chunks = Chunks::new();
    rank.snapshot("", &mut chunks).unwrap();
    for (name, chunk) in chunks {
        match chunk {
            Some(chunk) => kept.insert(name, chunk),
            None => kept.remove(&name),
        };
    }
}

fn random(rng: &mut Rng) -> Vec<(Vec<Row>, Vec<i64>, i64)> {
    let (mut now, mut mark, mut frames, mut number) = (0, i64::MIN, vec![], 0);
    for _ in 0..rng.usize(1..20) {
        let (mut rows, mut marks) = (vec![], vec![]);
        for _ in 0..rng.usize(0..15) {
            now += i64::from(rng.u8(..4) == 0);
            let time = now - rng.i64(0..4);
            let value = if rng.u8(..9) == 0 { None } else { Some(rng.i64(0..9)) };
            rows.push((time, rng.i64(0..3), value, number));
            marks.push(mark);
            mark = mark.max(time - 2);
            number += 1;
        }
        frames.push((rows, marks, mark));
    }
    frames
}

/// What is kept, and what a frame gives, of a plain model.
#[derive(Default)]
struct Model {
    parts: BTreeMap<(i64, i64), Vec<Row>>,
    late: u64,
}

impl Model {
    fn take(&mut self, rows: &[Row], marks: &[i64], after: i64, spec: &Ranking) -> Vec<String> {
        let (mut changed, before) = (vec![], self.parts.clone());
        for (row, mark) in rows.iter().zip(marks) {
            let key = if spec.closing.is_some() { (row.0, row.1) } else { (0, row.1) };
            if spec.closing.is_some() && row.0 < *mark {
                self.late += 1;
                continue;
            }
            let part = self.parts.entry(key).or_default();
            let was = best(part, spec.count);
            part.push(*row);
            if best(part, spec.count) != was && !changed.contains(&key) {
                changed.push(key);
            }
        }
        let place = |(n, row): (usize, Row)| format!("{} {}", row.3, n + 1);
        if spec.closing.is_some() {
            let closed = self.parts.keys().copied().filter(|(time, _)| *time < after);
            let closed = closed.collect::<Vec<_>>();
            let rows = closed.into_iter().flat_map(|key| {
                let part = self.parts.remove(&key).unwrap();
                best(&part, spec.count).into_iter().enumerate().map(place).collect::<Vec<_>>()
            });
            return rows.collect();
        }
        let rows = changed.into_iter().flat_map(|key| {
            let was = before.get(&key).map(|rows| best(rows, spec.count)).unwrap_or_default();
            let now = best(&self.parts[&key], spec.count);
            let same = was.iter().zip(&now).take_while(|(a, b)| a == b).count();
            now.into_iter().enumerate().skip(same).map(place).collect::<Vec<_>>()
        });
        rows.collect()
    }
}

#[test]
fn the_first_rows_are_those_of_a_plain_model() {
    let (mut late, mut given_in_all) = (0, 0);
    for seed in 0..600 {
        let rng = &mut Rng::with_seed(seed);
        let spec = spec(rng.usize(1..4), rng.bool());
        let (mut model, mut rank) = (Model::default(), Rank::new(spec.clone()).unwrap());
        let (mut kept, mut absorbed) = (BTreeMap::new(), 0);
        let frames = random(rng);
        for (number, (rows, marks, after)) in (0..).zip(&frames) {
            let wanted = model.take(rows, marks, *after, &spec);
            let whole = frame(number, rows, marks);
            let mut at = 0;
            while at < rows.len() {
                let len = rng.usize(1..=rows.len() - at);
                let (batch, origin) = (whole.batch.slice(at, len), whole.origin.slice(at, len));
                absorbed += rank.take(0, &Rows { batch, origin }).unwrap().absorbed;
                at += len;
                if rng.u8(..3) == 0 {
                    keep(&mut rank, &mut kept);
                    rank = Rank::new(spec.clone()).unwrap();
                    let chunks: Vec<_> = kept.iter().map(|(n, c)| (n.as_str(), c)).collect();
                    rank.restore(&chunks).unwrap();
                }
            }
            let mut given = vec![];
            while let Some(rows) = rank.due(Timestamp(*after)).unwrap() {
                given.extend(shown(&rows));
            }
            while let Some(rows) = rank.settled().unwrap() {
                given.extend(shown(&rows));
            }
            assert_eq!(given, wanted, "seed {seed} frame {number}");
            given_in_all += given.len();
        }
        let all = frames.iter().map(|f| f.0.len() as u64).sum::<u64>();
        assert_eq!(absorbed + model.late, all, "seed {seed}");
        late += model.late;
    }
    assert!(late > 100 && given_in_all > 10_000, "{late} {given_in_all}");
}

#[test]
fn state_shrinks_behind_the_watermark_and_so_do_chunks() {
    let mut rank = Rank::new(spec(2, true)).unwrap();
    let (mut held, mut kept, mut bytes) = (vec![], BTreeMap::new(), vec![]);
    for number in 0..300_i64 {
        let rows: Vec<Row> = (0..100).map(|i| (number, i, Some(i), 0)).collect();
        rank.take(0, &frame(number.unsigned_abs(), &rows, &[number - 1])).unwrap();
        while rank.due(Timestamp(number - 5)).unwrap().is_some() {}
        keep(&mut rank, &mut kept);
        held.push(rank.held());
        bytes.push(kept.values().map(Bytes::len).sum::<usize>());
    }
    assert!(held[299] <= held[20] * 2, "{} {}", held[20], held[299]);
    assert!(bytes[299] <= bytes[20] * 3, "{} {}", bytes[20], bytes[299]);
    assert!(kept.len() < 40, "{}", kept.len());
    while rank.due(Timestamp::END).unwrap().is_some() {}
    assert!(rank.held() < 10_000, "{}", rank.held());
    keep(&mut rank, &mut kept);
    assert_eq!(kept.len(), 1, "{:?}", kept.keys());
}

#[test]
fn partitions_that_began_unseen_are_not_given() {
    let mut spec = spec(1, true);
    spec.closing = Some(Closing { by: 1, after: 0, back: 10 });
    let mut rank = Rank::new(spec).unwrap();
    assert_eq!(rank.begin(Timestamp(25)), Timestamp(35));
    rank.take(0, &frame(0, &[(30, 1, None, 1), (35, 1, None, 2), (40, 1, None, 3)], &[0; 3]))
        .unwrap();
    let given = rank.due(Timestamp::END).unwrap().unwrap();
    assert_eq!(shown(&given), ["2 1", "3 1"]);
    assert!(rank.due(Timestamp::END).unwrap().is_none());
}

#[test]
fn at_the_bound_no_row_is_taken_and_what_is_beaten_still_fits() {
    let mut spec = spec(2, false);
    spec.state_bytes = 100_000;
    let mut rank = Rank::new(spec).unwrap();
    let full = (0..1_000_i64).find_map(|number| {
        let rows: Vec<Row> = (0..50).map(|i| (0, number * 25 + i / 2, Some(5), 0)).collect();
        let before = rank.held();
        let full = rank.take(0, &frame(number.unsigned_abs(), &rows, &[0])).err();
        assert!(rank.held() <= 100_000, "{}", rank.held());
        while rank.settled().unwrap().is_some() {}
        full.map(|e| (e.to_string(), number, before == rank.held()))
    });
    let (what, frames, same) = full.unwrap();
    assert!(same && what.contains("`state_bytes`, 100000 bytes") && frames > 5, "{what} {frames}");
    let rows: Vec<Row> = (0..50).map(|i| (0, i, Some(4), 0)).collect();
    assert_eq!(rank.take(0, &frame(9_999, &rows, &[0])).unwrap().absorbed, 50);
}

#[test]
fn chunks_that_do_not_fit_are_refused() {
    let mut rank = Rank::new(spec(2, false)).unwrap();
    let rows: Vec<Row> = (0..50).map(|i| (0, i, Some(i), 5)).collect();
    rank.take(0, &frame(0, &rows, &[0])).unwrap();
    let mut kept = BTreeMap::new();
    keep(&mut rank, &mut kept);
    let rng = &mut Rng::with_seed(3);
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut bad = kept.clone();
        let name = bad.keys().nth(rng.usize(..bad.len())).unwrap().clone();
        let chunk = bad[&name].to_vec();
        bad.insert(name, chunk[..rng.usize(..chunk.len())].to_vec().into());
        let chunks: Vec<_> = bad.iter().map(|(n, c)| (n.as_str(), c)).collect();
        let mut other = Rank::new(spec(2, false)).unwrap();
        refused += u32::from(other.restore(&chunks).is_err());
    }
    assert!(refused > 1_500, "{refused}");
}

/// How fast it is alone: `SPEED=1 cargo test --release -p millstream-sql --lib a_million -- --nocapture`.
#[test]
#[expect(clippy::disallowed_methods, reason = "to tell how long it takes")]
fn a_million_rows() {
    if std::env::var_os("SPEED").is_none() {
        return;
    }
    for (count, keys) in [(10, 10_000), (1, 10_000), (1, 1_000_000)] {
        let mut rank = Rank::new(spec(count, false)).unwrap();
        let rng = &mut Rng::with_seed(1);
        let frames: Vec<_> = (0..250)
            .map(|number| {
                let row = |_| (0, rng.i64(0..keys), Some(rng.i64(0..100_000)), 7);
                frame(number, &(0..4_000).map(row).collect::<Vec<_>>(), &[0])
            })
            .collect();
        let begin = std::time::Instant::now();
        let mut given = 0;
        for frame in &frames {
            rank.take(0, frame).unwrap();
            while let Some(rows) = rank.settled().unwrap() {
                given += rows.num_rows();
            }
        }
        eprintln!("{count} of {keys}: {:?} a million rows, {given} given", begin.elapsed());
    }
}
