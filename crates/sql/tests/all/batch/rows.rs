//! Random rows of one table, in an order that event time allows or not.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow_schema::SchemaRef;
use fastrand::Rng;
use millstream_core::codec::Columns;

use crate::run::{Frame, Input};

/// The columns of the table `t`.
///
/// `k`, `s`, `p`, `d` have few values, to be keys; `x` and `y` are quarters, so that sums of them are exact; `w` has
/// what floats can be beside numbers.
pub(super) const COLUMNS: &str = r#"{"id":"int64","ts":"timestamp","k":"int64","s":"string","p":"bool","i":"int64","x":"float64","y":"float64","w":"float64","d":"date","m":"timestamp","l":{"list":"string"}}"#;

/// Moments in whole units of time, so that many are the edge of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Microseconds.
    pub unit: i64,
    pub begin: i64,
}

impl Clock {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let unit = [1, 1_000, 1_000_000, 1_000_000, 60_000_000, 3_600_000_000][rng.usize(..6)];
        let begin = [0, -20 * unit, 1_767_225_600_000_000, -86_400_000_000_000 * 3][rng.usize(..4)];
        Self { unit, begin }
    }
}

/// The rows, in the order they come.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub batch: RecordBatch,
    /// Microseconds by which rows may come late.
    pub delay: i64,
    /// How many rows come with each frame.
    pub frames: Vec<usize>,
    /// Rows may come later than that.
    pub late: bool,
}

fn maybe<T>(rng: &mut Rng, one_in: u32, value: T) -> Option<T> {
    (rng.u32(..one_in) > 0).then_some(value)
}

pub(super) fn quarter(rng: &mut Rng) -> f64 {
    f64::from(rng.i32(-256..257)) / 4.0
}

impl Table {
    /// Random rows; `alone`, one a frame.
    pub(super) fn random(rng: &mut Rng, clock: Clock, late: bool, alone: bool) -> Self {
        let count = rng.usize(1..60);
        let span = rng.i64(1..60);
        let disorder = rng.i64(0..20) * clock.unit;
        let mut times = (0..count)
            .map(|_| {
                let edge = rng.i64(0..=span) * clock.unit;
                let beside = if rng.u8(..4) == 0 { rng.i64(-1..=1) } else { 0 };
                let time = clock.begin + edge + beside;
                (time + rng.i64(0..=disorder / clock.unit.max(1)) * clock.unit, time)
            })
            .map(|(comes, time)| (comes.min(time + disorder), time))
            .collect::<Vec<_>>();
        times.sort_by_key(|(comes, _)| *comes);
        let timeless = rng.u8(..4) == 0;
        let times = times.into_iter().map(|(_, t)| t).collect::<Vec<_>>();
        let times = times.into_iter().map(|t| if timeless { maybe(rng, 12, t) } else { Some(t) });
        let times = times.collect::<Vec<_>>();
        let mut frames = vec![];
        let mut left = count;
        while left > 0 {
            // Both branches of a `UNION ALL` over one table get a frame one after the other, so what one of them closes
            // is closed when the rows that came before come through the other.
            let rows = if alone { 1 } else { rng.usize(1..=left.min(25)) };
            frames.push(rows);
            left -= rows;
        }
        let delay = if late { disorder * rng.i64(0..3) / 4 } else { disorder };
        Self { batch: batch(rng, &times), delay, frames, late }
    }

    pub(super) fn times(&self) -> Vec<Option<i64>> {
        use arrow_array::cast::AsArray as _;
        use arrow_array::types::TimestampMicrosecondType as Micros;
        self.batch.column(1).as_primitive::<Micros>().iter().collect()
    }

    /// The watermark just before each row, and after each frame, as the rule says it.
    pub(super) fn watermarks(&self) -> (Vec<i64>, Vec<i64>) {
        let (mut most, mut before, mut after) = (i64::MIN, vec![], vec![]);
        let times = self.times();
        let mut at = 0;
        for rows in &self.frames {
            for time in &times[at..at + rows] {
                before.push(most);
                most = most.max(time.map_or(i64::MIN, |t| t - self.delay));
            }
            at += rows;
            after.push(most);
        }
        (before, after)
    }

    /// The names that rows have, `frame/record/row`.
    pub(super) fn ids(&self) -> Vec<String> {
        let frames = self.frames.iter().enumerate();
        frames.flat_map(|(f, rows)| (0..*rows).map(move |r| format!("{f}/0/{r}"))).collect()
    }

    pub(super) fn input(&self) -> Input {
        let mut at = 0;
        let mut frame = |rows: &usize| {
            at += rows;
            let batch = self.batch.slice(at - rows, *rows);
            Frame { batch: Some(batch), ..Frame::default() }
        };
        let frames = self.frames.iter().map(&mut frame).collect();
        let time = Some(("ts".to_owned(), self.delay));
        Input { frames, time, ..Input::new("t", COLUMNS, "") }
    }

    /// The rows for people, each behind its name.
    pub(super) fn show(&self) -> String {
        let mut text = format!("delay {} us\n", self.delay);
        let (marks, _) = self.watermarks();
        for (row, id) in self.ids().into_iter().enumerate() {
            let mark = if marks[row] == i64::MIN { "-".to_owned() } else { marks[row].to_string() };
            write!(text, "{id} (watermark {mark})").unwrap();
            for (c, field) in self.batch.columns().iter().zip(self.batch.schema().fields()) {
                let value = arrow_cast::display::array_value_to_string(c, row).unwrap();
                if c.is_valid(row) {
                    write!(text, " {}={value}", field.name()).unwrap();
                }
            }
            text.push('\n');
        }
        text
    }
}

fn batch(rng: &mut Rng, times: &[Option<i64>]) -> RecordBatch {
    let columns: Columns = serde_json::from_str(COLUMNS).unwrap();
    let schema: SchemaRef = columns.schema();
    let n = times.len();
    let mut ids = (0..i64::try_from(n).unwrap()).collect::<Vec<_>>();
    rng.shuffle(&mut ids);
    let (kinds, wild) = (rng.usize(1..6), rng.u8(..3) == 0);
    let texts = ["a", "b", "", "A", "é", "zz"];
    let list = |rng: &mut Rng| {
        let n = rng.usize(..4);
        let items = some(rng, n, |r| texts[r.usize(..6)].to_owned());
        maybe(rng, 6, items)
    };
    let wilds = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0];
    let lists = (0..n).map(|_| list(rng)).collect::<Vec<_>>();
    let zone = |a: TimestampMicrosecondArray| Arc::new(a.with_timezone("UTC")) as ArrayRef;
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        zone(times.iter().copied().collect()),
        Arc::new(Int64Array::from(some(rng, n, |r| r.usize(..kinds) as i64))),
        Arc::new(StringArray::from(some(rng, n, |r| texts[r.usize(..kinds)]))),
        Arc::new(BooleanArray::from(some(rng, n, Rng::bool))),
        Arc::new(Int64Array::from(some(rng, n, |r| r.i64(-99..100)))),
        Arc::new(Float64Array::from(some(rng, n, quarter))),
        Arc::new(Float64Array::from(some(rng, n, quarter))),
        Arc::new(Float64Array::from(some(rng, n, |r| match wild && r.u8(..4) == 0 {
            true => wilds[r.usize(..5)],
            false => quarter(r),
        }))),
        Arc::new(Date32Array::from(some(rng, n, |r| r.i32(-2..5) * 4_000))),
        zone(some(rng, n, |r| r.i64(-9..9) * 500_000).into()),
        Arc::new(of_texts(&lists)),
    ];
    let arrays = arrays.into_iter().zip(schema.fields());
    let arrays = arrays.map(|(a, f)| arrow_cast::cast(&a, f.data_type()).unwrap()).collect();
    RecordBatch::try_new(schema, arrays).unwrap()
}

/// Values, and a null here and there.
fn some<T>(rng: &mut Rng, n: usize, value: impl Fn(&mut Rng) -> T) -> Vec<Option<T>> {
    let mut one = || {
        let value = value(rng);
        maybe(rng, 8, value)
    };
    (0..n).map(|_| one()).collect()
}

fn of_texts(lists: &[Option<Vec<Option<String>>>]) -> ListArray {
    let mut builder =
        arrow_array::builder::ListBuilder::new(arrow_array::builder::StringBuilder::new());
    for list in lists {
        match list {
            Some(items) => builder.append_value(items.iter().map(Option::as_deref)),
            None => builder.append_null(),
        }
    }
    builder.finish()
}
