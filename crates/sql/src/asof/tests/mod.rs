//! The operator against a plain model: all rows of both sides in lists.

mod model;
mod random;
mod size;
mod speed;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::Chunks;
use millstream_core::record::Offset;

use super::node::Bounds;
use super::spec::{Column, Side};
use super::{AsOf, Matching};
use crate::stateful::Stateful;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub bounds: Bounds,
    pub inner: bool,
    pub keys: Keyed,
    pub whole_from: i64,
}

/// What rows are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyed {
    Nothing,
    Number,
    Text,
    Both,
}

pub(super) fn bounds(least: i64, most: i64) -> Bounds {
    Bounds { lags: (0, 0), least, most, by_ttl: false }
}

/// One row of either side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct One {
    pub time: Option<i64>,
    pub number: Option<i64>,
    pub text: Option<&'static str>,
    pub id: i64,
    /// The watermark before it.
    pub mark: i64,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("id", DataType::Int64, false),
    ]))
}

fn spec(case: &Case) -> AsOf {
    let keys = match case.keys {
        Keyed::Nothing => vec![],
        Keyed::Number => vec![0],
        Keyed::Text => vec![2],
        Keyed::Both => vec![2, 0],
    };
    let side = |lag| Side { schema: schema(), time: 1, lag, keys: keys.clone() };
    let out = [("ts", 1), ("id", 3)].map(|(name, i)| schema().field(i).clone().with_name(name));
    let right = Field::new("other", DataType::Int64, !case.inner);
    AsOf {
        left: side(case.bounds.lags.0),
        right: side(case.bounds.lags.1),
        keys: keys.iter().map(|i| Arc::new(schema().field(*i).clone())).collect(),
        bounds: case.bounds,
        inner: case.inner,
        columns: vec![Column::Left(1), Column::Left(3), Column::Right(3)],
        schema: Arc::new(Schema::new(out.into_iter().chain([right]).collect::<Vec<_>>())),
        state_bytes: 1 << 30,
    }
}

pub(super) fn operator(case: &Case) -> Matching {
    let mut operator = Matching::new(spec(case)).unwrap();
    if case.whole_from > i64::MIN {
        operator.begin(Timestamp(case.whole_from));
    }
    operator
}

pub(super) fn rows(of: &[One]) -> Rows {
    let column = |f: &dyn Fn(&One) -> Option<i64>| of.iter().map(f).collect::<Int64Array>();
    let times = of.iter().map(|r| r.time).collect::<TimestampMicrosecondArray>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(column(&|r| r.number)),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(of.iter().map(|r| r.text).collect::<StringArray>()),
        Arc::new(column(&|r| Some(r.id))),
    ];
    let batch = RecordBatch::try_new(schema(), columns).unwrap();
    let origin = Origin::new(Offset(0), Arc::from([0]), None);
    let marks = of.iter().map(|r| Timestamp(r.mark)).collect::<Vec<_>>();
    Rows { batch, origin: origin.with_watermarks(marks.into()) }
}

/// The ids of a left row and of its right one.
pub(super) type Pair = (i64, Option<i64>);

/// All that is due.
pub(super) fn due(operator: &mut Matching, mark: Timestamp) -> Vec<Pair> {
    let mut found = vec![];
    while let Some(batch) = operator.due(mark).unwrap() {
        let (left, right) = (batch.column(1), batch.column(2));
        let (left, right) = (left.as_primitive::<Int64Type>(), right.as_primitive::<Int64Type>());
        assert!(batch.num_rows() > 0 && left.null_count() == 0);
        found.extend(left.values().iter().copied().zip(right.iter()));
    }
    found
}

/// An operator that is made anew of what another one kept.
pub(super) fn again(
    case: &Case,
    operator: &mut Matching,
    kept: &mut BTreeMap<String, Bytes>,
) -> Matching {
    save(operator, kept);
    let mut fresh = self::operator(case);
    fresh.restore(&kept.iter().map(|(k, c)| (k.as_str(), c)).collect::<Vec<_>>()).unwrap();
    assert_eq!(fresh.changed(), 0);
    fresh
}

pub(super) fn save(operator: &mut Matching, kept: &mut BTreeMap<String, Bytes>) {
    let mut chunks = Chunks::new();
    operator.snapshot("", &mut chunks).unwrap();
    assert_eq!(operator.changed(), 0);
    for (name, chunk) in chunks {
        match chunk {
            Some(chunk) => kept.insert(name, chunk),
            None => Some(kept.remove(&name).expect("what is gone was there")),
        };
    }
}
