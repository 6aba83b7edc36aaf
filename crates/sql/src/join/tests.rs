//! The operator alone, against one that keeps everything in lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;

use super::Joiner;
use super::spec::{At, Bound, Joining, Kind, SideSpec};
use crate::stateful::Stateful;

fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// Sides with id, key, time, another moment and text. A row of the left matches rows of the right from `from` before to `upto`
/// behind it; where `open`, up to its other moment.
fn spec(kind: Kind, from: i64, upto: i64, open: bool) -> Joining {
    let input = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("k", DataType::Int64, true),
        Field::new("t", moment(), true),
        Field::new("m", moment(), true),
        Field::new("s", DataType::Utf8, true),
    ]));
    let side = |deadline: (usize, i64)| SideSpec {
        input: input.clone(),
        keys: vec![1],
        time: 2,
        lag: 0,
        deadline,
        reach: (deadline.0 == 2).then_some(deadline.1),
    };
    let at = |side, column| At { side, column };
    let left = if open { (3, 0) } else { (2, upto) };
    let columns = match kind.tells() {
        true => vec![at(0, 0), at(0, 4)],
        false => vec![at(0, 0), at(1, 0), at(0, 4), at(1, 4)],
    };
    let schema = columns.iter().map(|at| input.field(at.column).clone()).collect::<Vec<_>>();
    Joining {
        kind,
        sides: [side(left), side((2, from))],
        nulls_equal: false,
        bounds: vec![
            Bound { less: at(1, 2), than: at(0, left.0), plus: left.1 },
            Bound { less: at(0, 2), than: at(1, 2), plus: from },
        ],
        condition: None,
        columns,
        schema: Arc::new(Schema::new(schema)),
        layout: "test".to_owned(),
        state_bytes: 1 << 30,
        ttl: false,
    }
}

/// A row: id, key, time, the other moment, and the watermark before it.
#[derive(Clone, Copy, Debug)]
struct Row {
    id: i64,
    key: Option<i64>,
    time: i64,
    other: Option<i64>,
    mark: i64,
}

fn rows(spec: &Joining, rows: &[Row]) -> Rows {
    let times = rows.iter().map(|r| r.time).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.id)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.key).collect::<Int64Array>()),
        Arc::new(TimestampMicrosecondArray::from(times)),
        Arc::new(rows.iter().map(|r| r.other).collect::<TimestampMicrosecondArray>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| format!("{:010}", r.id)))),
    ];
    let batch = RecordBatch::try_new(spec.sides[0].input.clone(), columns).unwrap();
    let marks = rows.iter().map(|r| Timestamp(r.mark)).collect::<Vec<_>>();
    let origin = Origin::new(Offset(0), Arc::from([0]), None).with_watermarks(marks.into());
    Rows { batch, origin }
}

/// What came out: the ids of both sides.
fn pairs(batch: &RecordBatch, tells: bool) -> Vec<(Option<i64>, Option<i64>)> {
    let left = batch.column(0).as_primitive::<Int64Type>();
    let right = (!tells).then(|| batch.column(1).as_primitive::<Int64Type>().clone());
    for (id, text) in left.iter().zip(batch.column(if tells { 1 } else { 2 }).as_string::<i32>()) {
        assert_eq!(id.map(|id| format!("{id:010}")).as_deref(), text);
    }
    let right = |i: usize| right.as_ref().and_then(|r| r.is_valid(i).then(|| r.value(i)));
    left.iter().enumerate().map(|(i, left)| (left, right(i))).collect()
}

/// A join that forgets nothing.
struct Model {
    kind: Kind,
    from: i64,
    upto: i64,
    open: bool,
    sides: [Vec<(Row, bool)>; 2],
    keys: [BTreeMap<i64, Vec<usize>>; 2],
    out: Vec<(Option<i64>, Option<i64>)>,
    late: u64,
    watermark: i64,
}

impl Model {
    fn deadline(&self, side: usize, row: &Row) -> i64 {
        match (side, self.open) {
            (0, true) => row.other.unwrap_or(row.time),
            (0, false) => row.time + self.upto,
            _ => row.time + self.from,
        }
    }

    fn matches(&self, left: &Row, right: &Row) -> bool {
        let upto = if self.open { left.other } else { Some(left.time + self.upto) };
        left.key.is_some()
            && left.key == right.key
            && upto.is_some_and(|upto| right.time <= upto)
            && left.time <= right.time + self.from
    }

    fn give(&mut self, side: usize, own: i64, other: Option<i64>) {
        self.out.push(if side == 0 { (Some(own), other) } else { (other, Some(own)) });
    }

    fn take(&mut self, side: usize, row: Row) {
        if row.time < row.mark {
            self.late += 1;
            return;
        }
        let expired = self.deadline(side, &row) < row.mark;
        let mut hit = false;
        let others = row.key.and_then(|k| self.keys[1 - side].get(&k)).cloned().unwrap_or_default();
        for at in others {
            let (other, marked) = self.sides[1 - side][at];
            let both = if side == 0 { (&row, &other) } else { (&other, &row) };
            if !self.matches(both.0, both.1) {
                continue;
            }
            self.sides[1 - side][at].1 = true;
            match (self.kind, side) {
                (Kind::Semi, 0) if !hit => self.out.push((Some(row.id), None)),
                (Kind::Semi, 1) if !marked => self.out.push((Some(other.id), None)),
                (Kind::Semi | Kind::Anti, _) => {}
                _ => self.give(side, row.id, Some(other.id)),
            }
            hit = true;
        }
        if expired {
            if !hit && self.kind.waits(side) {
                self.give(side, row.id, None);
            }
            return;
        }
        if let Some(key) = row.key {
            self.keys[side].entry(key).or_default().push(self.sides[side].len());
        }
        self.sides[side].push((row, hit));
    }

    fn advance(&mut self, watermark: i64) {
        let mut gone = vec![];
        for side in [0, 1].into_iter().filter(|side| self.kind.waits(*side)) {
            for (at, (row, hit)) in self.sides[side].iter().enumerate() {
                let deadline = self.deadline(side, row);
                let now = deadline < watermark || watermark == i64::MAX;
                if now && deadline >= self.watermark && !hit {
                    gone.push((deadline, side, at, row.id));
                }
            }
        }
        gone.sort_unstable();
        for (_, side, _, id) in gone {
            self.give(side, id, None);
        }
        self.watermark = watermark;
        if watermark == i64::MAX {
            self.sides = [vec![], vec![]];
            self.keys = [BTreeMap::new(), BTreeMap::new()];
            self.watermark = i64::MIN;
        }
    }
}

/// A join that is stopped now and then.
struct Ran {
    spec: Joining,
    joiner: Joiner,
    kept: BTreeMap<String, Bytes>,
    out: Vec<(Option<i64>, Option<i64>)>,
    late: u64,
}

impl Ran {
    fn new(spec: Joining) -> Self {
        let joiner = Joiner::new(spec.clone()).unwrap();
        Self { spec, joiner, kept: BTreeMap::new(), out: vec![], late: 0 }
    }

    fn take(&mut self, side: usize, some: &[Row]) {
        let taken = self.joiner.take(side, &rows(&self.spec, some)).unwrap();
        let late = taken.late.iter().map(|r| r.len() as u64).sum::<u64>();
        assert_eq!(taken.absorbed + late, some.len() as u64);
        self.late += late;
        while let Some(made) = self.joiner.made().unwrap() {
            assert!(made.len() <= 8_192 && !made.is_empty());
            self.out.extend(pairs(&made.batch, self.spec.kind.tells()));
        }
    }

    fn advance(&mut self, watermark: i64) {
        while let Some(made) = self.joiner.due(Timestamp(watermark)).unwrap() {
            self.out.extend(pairs(&made, self.spec.kind.tells()));
        }
    }

    fn restart(&mut self) {
        let mut chunks = Chunks::new();
        self.joiner.snapshot("3/", &mut chunks).unwrap();
        assert_eq!(self.joiner.changed(), 0);
        for (name, chunk) in chunks {
            match chunk {
                Some(chunk) => self.kept.insert(name, chunk),
                None => self.kept.remove(&name),
            };
        }
        self.joiner = Joiner::new(self.spec.clone()).unwrap();
        let kept = self.kept.iter().map(|(n, c)| (n.strip_prefix("3/").unwrap(), c));
        self.joiner.restore(&kept.collect::<Vec<_>>()).unwrap();
    }
}

const KINDS: [Kind; 6] = [Kind::Inner, Kind::Left, Kind::Right, Kind::Full, Kind::Semi, Kind::Anti];

/// Rows of both sides side by side in time; or, if some keys are `hot`, each side as far ahead as it comes to be.
fn random(seed: u64, steps: usize, most: usize, hot: bool) {
    let rng = &mut Rng::with_seed(seed);
    let kind = KINDS[rng.usize(..6)];
    let (from, upto, open) = (rng.i64(-2..8), rng.i64(-2..12), rng.u8(..3) == 0);
    let spec = spec(kind, from, upto, open);
    let mut ran = Ran::new(spec);
    let mut model = Model {
        kind,
        from,
        upto,
        open,
        sides: [vec![], vec![]],
        keys: [BTreeMap::new(), BTreeMap::new()],
        out: vec![],
        late: 0,
        watermark: i64::MIN,
    };
    let keys =
        [1, 3, 20, 1_000_000][rng.usize(..if most > 100 { 4 } else { 3 })].max(most as i64 / 8);
    let keys = if hot { rng.i64(1..4) } else { keys };
    let (mut mark, mut id, mut at) = (0, 0, [0_i64; 2]);
    let pace = rng.i64(1..6);
    for _ in 0..steps {
        let (side, count) = (rng.usize(..2), rng.usize(1..=most));
        let some = (0..count).map(|_| {
            if hot {
                at[side] += rng.i64(0..3);
                mark = mark.max(at[0].min(at[1]) - 8);
            } else {
                mark += i64::from(rng.usize(..count) == 0) * rng.i64(0..=pace);
            }
            id += 1;
            let time = if hot { at[side] } else { mark } + rng.i64(-1..8);
            let other = (rng.u8(..6) > 0).then(|| time + rng.i64(-4..20));
            let key = (rng.u8(..9) > 0).then(|| rng.i64(0..keys));
            Row { id, key, time, other, mark }
        });
        let some = some.collect::<Vec<_>>();
        some.iter().for_each(|row| model.take(side, *row));
        let mut left = some.as_slice();
        while !left.is_empty() {
            let (some, rest) = left.split_at(rng.usize(1..=left.len()));
            ran.take(side, some);
            left = rest;
        }
        if rng.u8(..3) > 0 {
            let end = rng.u8(..30) == 0;
            let watermark = if end { i64::MAX } else { mark };
            model.advance(watermark);
            ran.advance(watermark);
            if end {
                assert_eq!(ran.joiner.sides.iter().map(|s| s.rows()).sum::<usize>(), 0);
            }
        }
        if rng.u8(..4) == 0 {
            ran.restart();
        }
        assert_eq!(ran.out, model.out, "seed {seed} {kind:?} {from} {upto} {open}");
    }
    model.advance(i64::MAX);
    ran.advance(i64::MAX);
    assert_eq!(ran.out, model.out, "seed {seed} {kind:?}");
    assert_eq!(ran.late, model.late);
    ran.restart();
    assert_eq!(ran.kept.len(), 1, "nothing is kept but the notes");
}

#[test]
fn a_join_gives_what_one_that_forgets_nothing_gives() {
    (0..400).for_each(|seed| random(seed, 40, 12, false));
}

#[test]
fn and_so_it_does_over_many_rows() {
    (0..12).for_each(|seed| random(1_000 + seed, 14, 9_000, false));
}

#[test]
fn and_over_keys_with_many_rows_out_of_reach() {
    (0..24).for_each(|seed| random(2_000 + seed, 12, 1_500, true));
}

/// The bytes of rows as arrow has them: an int, a moment and a text of ten.
const ROW: u64 = 8 + 8 + 4 + 10;

/// Rows of two ints less than `spec` has.
fn slim() -> Joining {
    let mut slim = spec(Kind::Inner, 0, 10, false);
    slim.columns = vec![At { side: 0, column: 4 }, At { side: 1, column: 4 }];
    slim.schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Utf8, true),
    ]));
    slim
}

#[test]
fn a_row_takes_no_more_than_twice_its_own_bytes() {
    for (count, keys) in [(8_192, 8_192), (100_000, 100_000), (131_073, 131_073), (300_000, 50)] {
        let mut joiner = Joiner::new(slim()).unwrap();
        let all = (0..count).map(|id| {
            let mixed = id * 7_919 % keys;
            Row { id, key: Some(mixed), time: id, other: None, mark: 0 }
        });
        let all = all.collect::<Vec<_>>();
        for some in all.chunks(700) {
            joiner.take(0, &rows(&joiner.spec, some)).unwrap();
            assert!(joiner.made().unwrap().is_none());
        }
        let each = joiner.held() as f64 / count as f64;
        assert!(each <= 2.0 * ROW as f64, "{each} bytes for each of {count} rows");
        eprintln!("{count} rows, {each:.1} bytes each, {:.2} times their own", each / ROW as f64);
    }
}

#[test]
fn state_stays_as_it_is_over_a_million_rows_and_goes_at_the_end() {
    // One side with deadlines that vary is put together anew now and then.
    for open in [false, true] {
        let mut spec = spec(Kind::Inner, 2_000, 4_000, open);
        if open {
            spec.sides[0].deadline = (3, 0);
        }
        let mut joiner = Joiner::new(spec).unwrap();
        let rng = &mut Rng::with_seed(7);
        let (mut most, mut late, mut given) = (0, 0, 0_usize);
        for step in 0..250_i64 {
            for side in [0, 1] {
                let some = (0..2_000).map(|i| {
                    let time = step * 2_000 + i;
                    // One in a thousand waits a hundred times as long as others.
                    let wait = if rng.u16(..1_000) == 0 { 400_000 } else { rng.i64(0..8_000) };
                    let key = Some(rng.i64(0..1_000_000));
                    Row { id: time, key, time, other: Some(time + wait), mark: step * 2_000 }
                });
                let some = some.collect::<Vec<_>>();
                joiner.take(side, &rows(&joiner.spec, &some)).unwrap();
                while let Some(made) = joiner.made().unwrap() {
                    given += made.len();
                }
            }
            assert!(joiner.due(Timestamp(step * 2_000 + 2_000)).unwrap().is_none());
            let held = joiner.held();
            if step > 50 && step < 150 {
                most = most.max(held);
            } else if step >= 150 {
                late = late.max(held);
            }
        }
        assert!(given > 1_000, "{given}");
        assert!(late <= most + most / 4, "{most} bytes, and later {late}");
        assert!(most < 4 << 20, "{most} bytes for some ten thousand rows");
        assert!(joiner.due(Timestamp::END).unwrap().is_none());
        assert!(joiner.held() < 20_000, "{} bytes at the end", joiner.held());
    }
}

#[test]
fn a_snapshot_has_what_is_new_and_few_chunks() {
    let mut ran = Ran::new(spec(Kind::Left, 1_000_000, 1_000_000, false));
    for step in 0..600 {
        let some = (0..100).map(|i| {
            let time = step * 100 + i;
            Row { id: time, key: Some(time), time, other: None, mark: 0 }
        });
        ran.take(0, &some.collect::<Vec<_>>());
        let mut chunks = Chunks::new();
        ran.joiner.snapshot("", &mut chunks).unwrap();
        for (name, chunk) in chunks {
            match chunk {
                Some(chunk) => ran.kept.insert(name, chunk),
                None => ran.kept.remove(&name),
            };
        }
    }
    // 60,000 rows are eight slots; the last has a few chunks.
    assert!(ran.kept.len() < 8 + 14, "{:?}", ran.kept.keys());
    let bytes = ran.kept.values().map(Bytes::len).sum::<usize>();
    assert!(bytes < 60_000 * 90, "{bytes}");
}

#[test]
fn chunks_of_others_are_told_from_its_own() {
    let mut ran = Ran::new(spec(Kind::Left, 5, 5, false));
    let some = (0..100).map(|i| Row { id: i, key: Some(i), time: i, other: None, mark: 0 });
    ran.take(0, &some.collect::<Vec<_>>());
    ran.restart();
    let good = ran.kept.clone();
    let rng = &mut Rng::with_seed(3);
    for _ in 0..300 {
        let mut bad = good.clone();
        let name = good.keys().nth(rng.usize(..good.len())).unwrap();
        let mut bytes = good[name].to_vec();
        match rng.u8(..4) {
            0 => drop(bad.remove(name)),
            1 => bytes.truncate(rng.usize(..bytes.len())),
            2 => bytes.extend([1, 2, 3]),
            _ => {
                bad.insert("3/lx.0".to_owned(), Bytes::new());
            }
        }
        if bad.contains_key(name) {
            bad.insert(name.clone(), bytes.into());
        }
        let kept = bad.iter().map(|(n, c)| (n.strip_prefix("3/").unwrap(), c)).collect::<Vec<_>>();
        let mut joiner = Joiner::new(ran.spec.clone()).unwrap();
        // Without the rows it is a state too, of no rows.
        if bad != good && kept.iter().any(|(n, _)| *n != "n") {
            assert!(joiner.restore(&kept).is_err(), "{:?}", bad.keys());
        }
    }
}

#[test]
fn it_stops_before_it_has_too_much() {
    let mut spec = spec(Kind::Inner, 5, 5, false);
    spec.state_bytes = 100_000;
    let mut ran = Ran::new(spec);
    let mut held = 0;
    loop {
        let some = (0..100).map(|i| Row { id: i, key: Some(i), time: 0, other: None, mark: 0 });
        let some = rows(&ran.spec, &some.collect::<Vec<_>>());
        match ran.joiner.take(0, &some) {
            Ok(_) => held = ran.joiner.held(),
            Err(e) => {
                let text = crate::view::stop(e).to_string();
                assert!(text.contains("`state_bytes`, 100000 bytes"), "{text}");
                break;
            }
        }
        while ran.joiner.made().unwrap().is_some() {}
    }
    assert!(held > 70_000 && held <= 100_000, "{held}");
    assert_eq!(ran.joiner.held(), held);
}
