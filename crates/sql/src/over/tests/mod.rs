//! The operator against a plain model, which looks at all rows of a key for each of them.

mod model;
mod speed;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use datafusion_common::ScalarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateExprBuilder;
use datafusion_physical_expr::expressions::{Column, Literal};
use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;

use super::Analyst;
use super::call::fails;
use super::spec::{Analysis, Call, Frame, What, Which};
use crate::stateful::Stateful as _;

pub(super) fn input() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![
        Field::new("ts", time, true),
        Field::new("k", DataType::Int64, true),
        Field::new("i", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
    ]))
}

fn column(name: &str) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, input().index_of(name).unwrap()))
}

/// A call as one would write it: `sum i`, `lag s 2`, `first valid i`, `row_number`; with the frame it is over.
fn call(text: &str, frame: usize) -> Call {
    let words = text.split(' ').collect::<Vec<_>>();
    let ignore_nulls = words.contains(&"valid");
    let words = words.into_iter().filter(|w| *w != "valid").collect::<Vec<_>>();
    let arg = || column(words[1]);
    let kind = || input().field_with_name(words[1]).unwrap().data_type().clone();
    let number = || words.get(2).map_or(1, |n| n.parse().unwrap());
    let (what, kind) = match words[0] {
        "row_number" => (What::RowNumber, DataType::UInt64),
        "rank" => (What::Rank, DataType::UInt64),
        "dense_rank" => (What::DenseRank, DataType::UInt64),
        "lag" => {
            let default = ScalarValue::try_from(&kind()).unwrap();
            (What::Lag { arg: arg(), offset: number(), default, ignore_nulls }, kind())
        }
        "first" => (What::Pick { arg: arg(), frame, which: Which::Nth(0), ignore_nulls }, kind()),
        "nth" => {
            let which = Which::Nth(number() - 1);
            (What::Pick { arg: arg(), frame, which, ignore_nulls }, kind())
        }
        "last" => (What::Pick { arg: arg(), frame, which: Which::Last, ignore_nulls }, kind()),
        name => {
            let all = datafusion_functions_aggregate::all_default_aggregate_functions();
            let function = all.into_iter().find(|f| f.name() == name).unwrap();
            let one: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::Int64(Some(1))));
            let arg = if words.len() > 1 { arg() } else { one };
            let expr = AggregateExprBuilder::new(function, vec![arg]);
            let expr = Arc::new(expr.schema(input()).alias(text).build().unwrap());
            let kind = expr.field().data_type().clone();
            (What::Aggregate { expr, filter: None, frame }, kind)
        }
    };
    Call { what, kind }
}

/// Calls over frames, by the key `k`.
pub(super) fn analysis(calls: &[(&str, Frame)]) -> Analysis {
    let frames = calls.iter().map(|(_, frame)| *frame).collect::<Vec<_>>();
    let calls = calls.iter().enumerate().map(|(at, (text, _))| call(text, at)).collect::<Vec<_>>();
    let input = input();
    let mut fields = input.fields().iter().map(|f| f.as_ref().clone()).collect::<Vec<_>>();
    for (at, call) in calls.iter().enumerate() {
        fields.push(Field::new(format!("c{at}"), call.kind.clone(), true));
    }
    let fails = calls.iter().any(|c| fails(&c.what, &c.kind));
    if fails {
        fields.push(Field::new("why", DataType::Utf8, true));
    }
    Analysis {
        passing: input.fields().len(),
        time: 0,
        lag: 0,
        keys: vec![(1, Arc::new(input.field(1).clone()))],
        orders: vec![],
        frames,
        calls,
        schema: Arc::new(Schema::new(fields)),
        input,
        fails,
        dies: None,
        forget: None,
        state_bytes: 1 << 30,
    }
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct One {
    pub ts: Option<i64>,
    pub k: Option<i64>,
    pub i: Option<i64>,
    pub f: Option<f64>,
    pub s: Option<String>,
}

/// Rows that come together, and how far event time has come after them.
pub(super) struct Frameful {
    pub rows: Vec<One>,
    pub marks: Vec<i64>,
    pub after: Timestamp,
}

pub(super) fn batch(rows: &[One]) -> RecordBatch {
    let ts = rows.iter().map(|r| r.ts).collect::<TimestampMicrosecondArray>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ts),
        Arc::new(rows.iter().map(|r| r.k).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.i).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.f).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.s.clone()).collect::<StringArray>()),
    ];
    RecordBatch::try_new(input(), columns).unwrap()
}

/// Frames of random rows, some of them late; and after the last one all has ended.
pub(super) fn random(rng: &mut Rng, keys: i64) -> Vec<Frameful> {
    let (delay, pace) = (rng.i64(0..30), rng.i64(1..6));
    let (mut now, mut most) = (0, i64::MIN);
    let mut frames: Vec<_> = (0..rng.usize(1..30))
        .map(|_| {
            let mut frame = Frameful { rows: vec![], marks: vec![], after: Timestamp::BEGIN };
            for _ in 0..rng.usize(0..12) {
                now += rng.i64(0..pace);
                let ts = (rng.u8(..40) > 0).then(|| now - rng.i64(0..delay + 2));
                let some = |rng: &mut Rng| rng.u8(..6) > 0;
                frame.marks.push(most);
                most = most.max(ts.map_or(i64::MIN, |t| t - delay));
                frame.rows.push(One {
                    ts,
                    k: some(rng).then(|| rng.i64(0..keys)),
                    i: some(rng).then(|| rng.i64(-50..50)),
                    f: some(rng).then(|| f64::from(rng.i32(-400..400)) / 7.0),
                    s: some(rng).then(|| ["", "a", "bb"][rng.usize(..3)].to_owned()),
                });
            }
            frame.after = Timestamp(most);
            frame
        })
        .collect();
    frames.last_mut().unwrap().after = Timestamp::END;
    frames
}

/// How frames are run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Batches have at most so many rows.
    pub cut: usize,
    /// In one of so many places the operator goes on from its chunks; 0 never.
    pub stops: usize,
}

/// The rows that came out, and how many were late and refused.
pub(super) struct Ran {
    pub rows: RecordBatch,
    pub late: usize,
    pub refused: usize,
}

pub(super) fn run(spec: &Analysis, frames: &[Frameful], way: Way, rng: &mut Rng) -> Ran {
    let mut operator = Analyst::new(spec.clone()).unwrap();
    let mut state = BTreeMap::new();
    let (mut made, mut late, mut refused) = (vec![], 0, 0);
    for (number, frame) in frames.iter().enumerate() {
        let marks: Arc<[Timestamp]> = frame.marks.iter().map(|m| Timestamp(*m)).collect();
        let origin =
            Origin::new(Offset(number as u64), Arc::from([0]), None).with_watermarks(marks);
        let batch = batch(&frame.rows);
        let mut from = 0;
        while from < batch.num_rows() {
            let len = way.cut.min(batch.num_rows() - from);
            let rows = Rows { batch: batch.slice(from, len), origin: origin.slice(from, len) };
            let taken = operator.take(0, &rows).unwrap();
            let aside = taken.late.iter().map(Rows::len).sum::<usize>();
            let bad = taken.refused.iter().map(|(r, _)| r.len()).sum::<usize>();
            assert_eq!(taken.absorbed as usize + aside + bad, len);
            (late, refused) = (late + aside, refused + bad);
            from += len;
            operator = maybe_again(operator, spec, way, rng, &mut state);
        }
        while let Some(rows) = operator.due(frame.after).unwrap() {
            made.push(rows);
        }
        operator = maybe_again(operator, spec, way, rng, &mut state);
    }
    assert!(operator.bytes() < 1_000, "all is let go at the end: {}", operator.bytes());
    let rows = arrow_select::concat::concat_batches(&spec.schema, &made).unwrap();
    Ran { rows, late, refused }
}

fn maybe_again(
    operator: Analyst,
    spec: &Analysis,
    way: Way,
    rng: &mut Rng,
    state: &mut BTreeMap<String, Bytes>,
) -> Analyst {
    if way.stops == 0 || rng.usize(..way.stops) > 0 {
        return operator;
    }
    let back = rng.bool();
    again(operator, spec, state, back)
}

/// What goes on after a snapshot: the same operator, or one made of the chunks.
pub(super) fn again(
    mut operator: Analyst,
    spec: &Analysis,
    state: &mut BTreeMap<String, Bytes>,
    back: bool,
) -> Analyst {
    let mut chunks = Chunks::new();
    operator.snapshot("p/", &mut chunks).unwrap();
    assert_eq!(operator.changed(), 0);
    for (name, chunk) in chunks {
        match chunk {
            Some(chunk) => drop(state.insert(name, chunk)),
            None => assert!(state.remove(&name).is_some(), "a chunk that goes is there: {name}"),
        }
    }
    if !back {
        return operator;
    }
    let mut operator = Analyst::new(spec.clone()).unwrap();
    let chunks = state.iter().map(|(n, c)| (n.strip_prefix("p/").unwrap(), c)).collect::<Vec<_>>();
    operator.restore(&chunks).unwrap();
    operator
}

/// The rows, bit by bit.
pub(super) fn bits(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let fields = batch.columns().iter().map(|c| SortField::new(c.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).unwrap();
    let rows = converter.convert_columns(batch.columns()).unwrap();
    rows.iter().map(|r| r.data().to_vec()).collect()
}
