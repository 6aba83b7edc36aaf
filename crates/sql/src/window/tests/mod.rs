//! The operator against a plain model of windows, whose results the library's own accumulators compute.

mod bounds;
mod log;
mod model;
mod random;
mod speed;
mod spill;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use datafusion_common::ScalarValue;
use datafusion_expr::AggregateUDF;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::PhysicalSortExpr;
use datafusion_physical_expr::aggregate::AggregateExprBuilder;
use datafusion_physical_expr::expressions::{Column as Col, Literal};
use millstream_core::operator::Chunks;

use super::{Aggregate, Aggregation, Aggregator, Column, Window};
use log::Frame;

/// The columns that come in.
pub(crate) fn input() -> SchemaRef {
    let time = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![
        Field::new("ts", time, true),
        Field::new("k", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("i", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("g", DataType::Float64, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("d", DataType::Decimal128(20, 3), true),
        Field::new("u", DataType::UInt64, true),
    ]))
}

pub(crate) fn column(name: &str) -> Arc<dyn PhysicalExpr> {
    Arc::new(Col::new(name, input().index_of(name).unwrap()))
}

/// An aggregate as one would write it: `sum i`, `count distinct i`, `first_value i order f`, `sum i filter b`.
pub(crate) fn aggregate(text: &str) -> Aggregate {
    let (text, filter) = text.split_once(" filter ").unwrap_or((text, ""));
    let (text, order) = text.split_once(" order ").unwrap_or((text, ""));
    let mut words = text.split(' ');
    let name = words.next().unwrap();
    let mut args = words.collect::<Vec<_>>();
    let distinct = args.first() == Some(&"distinct");
    args.drain(..usize::from(distinct));
    let all = datafusion_functions_aggregate::all_default_aggregate_functions();
    let function: Arc<AggregateUDF> = all.into_iter().find(|f| f.name() == name).unwrap();
    let args = args.into_iter().map(|a| match (a.parse::<f64>(), a.parse::<i64>()) {
        (_, Ok(i)) => Arc::new(Literal::new(ScalarValue::Int64(Some(i)))) as _,
        (Ok(f), _) => Arc::new(Literal::new(ScalarValue::Float64(Some(f)))) as _,
        _ if a == "," => Arc::new(Literal::new(ScalarValue::Utf8(Some(",".into())))) as _,
        _ => column(a),
    });
    let args: Vec<Arc<dyn PhysicalExpr>> = args.collect();
    let args = if args.is_empty() {
        vec![Arc::new(Literal::new(ScalarValue::Int64(Some(1)))) as _]
    } else {
        args
    };
    let order = order.split(' ').filter(|o| !o.is_empty());
    let order = order.map(|o| PhysicalSortExpr::new_default(column(o))).collect();
    let expr = AggregateExprBuilder::new(function, args)
        .schema(input())
        .alias(text)
        .order_by(order)
        .with_distinct(distinct)
        .build()
        .unwrap();
    let filter = (!filter.is_empty()).then(|| column(filter));
    Aggregate { expr: Arc::new(expr), filter }
}

pub(super) fn aggregation(window: Window, keys: &[&str], aggregates: &[&str]) -> Aggregation {
    let input = input();
    let time = Field::new("t", input.field(0).data_type().clone(), false);
    let keys: Vec<(_, FieldRef)> = keys
        .iter()
        .map(|k| (column(k), Arc::new(input.field_with_name(k).unwrap().clone())))
        .collect();
    let aggregates: Vec<_> = aggregates.iter().map(|a| aggregate(a)).collect();
    let mut columns = vec![Column::WindowEnd, Column::WindowStart];
    let mut fields = vec![Arc::new(time.clone()), Arc::new(time)];
    for (i, (_, field)) in keys.iter().enumerate() {
        columns.push(Column::Key(i));
        fields.push(field.clone());
    }
    for (i, aggregate) in aggregates.iter().enumerate() {
        columns.push(Column::Aggregate(i));
        fields.push(Arc::new(aggregate.expr.field().as_ref().clone().with_nullable(true)));
    }
    let names = fields.iter().enumerate().map(|(i, f)| f.as_ref().clone().with_name(i.to_string()));
    let schema = Arc::new(Schema::new(names.collect::<Vec<_>>()));
    Aggregation {
        window,
        input,
        time: column("ts"),
        lag: 0,
        keys,
        aggregates,
        columns,
        schema,
        allowed_lateness: 0,
        state_bytes: 1 << 30,
        whole_from: i64::MIN,
        threads: 1,
        spill: None,
    }
}

/// What came out of a run.
#[derive(Debug, PartialEq)]
pub(super) struct Ran {
    /// After each frame.
    pub rows: Vec<RecordBatch>,
    pub late: Vec<String>,
    pub refused: Vec<(String, String)>,
    /// The most bytes that lay in files.
    pub spilled: u64,
}

/// How frames are run.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// Batches have at most so many rows.
    pub cut: usize,
    /// The operator is restored from chunks before and after each frame's rows come out.
    pub restored: bool,
    /// How many threads share the keys: the first at first, the next after it was restored.
    pub threads: &'a [usize],
    /// State may spill, at this bound.
    pub bound: Option<u64>,
}

/// Frames as they are, on one thread.
pub(super) const STRAIGHT: Way<'_> =
    Way { cut: usize::MAX / 2, restored: false, threads: &[1], bound: None };

/// Where state is spilled to.
pub(super) fn folder() -> Arc<Path> {
    std::env::temp_dir().join("millstream-window-tests").into()
}

/// Runs frames.
pub(super) fn run(spec: &Aggregation, frames: &[Frame], way: Way<'_>) -> Ran {
    let mut spec = spec.clone();
    if let Some(bound) = way.bound {
        (spec.state_bytes, spec.spill) = (bound, Some(folder()));
    }
    let mut threads = way.threads.iter().cycle().copied();
    let mut next = || Aggregation { threads: threads.next().unwrap(), ..spec.clone() };
    let (cut, restored) = (way.cut, way.restored);
    let mut operator = Aggregator::new(next(), Arc::default()).unwrap();
    let mut state: BTreeMap<String, Bytes> = BTreeMap::new();
    let mut ran = Ran { rows: vec![], late: vec![], refused: vec![], spilled: 0 };
    for (number, frame) in frames.iter().enumerate() {
        // A file outlives snapshots, and not a restart.
        let back = way.bound.is_none() || cut == 1 || number % 3 == 2;
        let mut rows = frame.rows.len();
        let mut absorbed = 0;
        for part in frame.cut(cut) {
            let taken = operator.take(&part).unwrap();
            absorbed += taken.absorbed;
            for late in taken.late {
                rows -= late.len();
                ran.late.extend((0..late.len()).map(|i| late.origin.id(i).to_string()));
            }
            for (refused, why) in taken.refused {
                rows -= refused.len();
                ran.refused.push((refused.origin.id(0).to_string(), why));
            }
        }
        ran.spilled = ran.spilled.max(operator.spilled());
        assert_eq!(absorbed, rows as u64, "every row is absorbed, late or refused");
        if restored {
            operator = again(next(), operator, &mut state, back);
        }
        let mut made = vec![];
        while let Some(watermark) = frame.after {
            match operator.due(watermark).unwrap() {
                Some(rows) => made.push(rows),
                None => break,
            }
        }
        ran.rows.push(arrow_select::concat::concat_batches(&spec.schema, &made).unwrap());
        if restored {
            operator = again(next(), operator, &mut state, back);
        }
    }
    ran.refused.sort();
    ran
}

/// The operator that goes on with what a snapshot of this one has, or this one after it.
fn again(
    spec: Aggregation,
    mut operator: Aggregator,
    state: &mut BTreeMap<String, Bytes>,
    back: bool,
) -> Aggregator {
    let mut chunks = Chunks::new();
    operator.snapshot("w/", &mut chunks).unwrap();
    for (name, chunk) in chunks {
        match chunk {
            Some(chunk) => state.insert(name, chunk),
            None => Some(state.remove(&name).expect("a chunk that is there goes")),
        };
    }
    if !back {
        return operator;
    }
    let mut operator = Aggregator::new(spec, Arc::default()).unwrap();
    let chunks = state.iter().map(|(n, c)| (n.strip_prefix("w/").unwrap(), c));
    operator.restore(chunks).unwrap();
    operator
}

/// The rows, bit by bit.
pub(super) fn bits(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let fields = batch.columns().iter().map(|c| SortField::new(c.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).unwrap();
    let rows = converter.convert_columns(batch.columns()).unwrap();
    rows.iter().map(|r| r.data().to_vec()).collect()
}

pub(super) fn same(a: &Ran, b: &Ran, what: &str) {
    assert_eq!(a.late, b.late, "{what}");
    assert_eq!(a.refused, b.refused, "{what}");
    for (frame, (a, b)) in a.rows.iter().zip(&b.rows).enumerate() {
        assert_eq!(bits(a), bits(b), "{what}, frame {frame}\n{a:?}\n{b:?}");
    }
}

/// The same rows for each window, in whatever order those of one are.
pub(super) fn same_windows(a: &Ran, b: &Ran, what: &str) {
    assert_eq!(a.late, b.late, "{what}");
    assert_eq!(a.refused, b.refused, "{what}");
    for (frame, (a, b)) in a.rows.iter().zip(&b.rows).enumerate() {
        for column in [0, 1] {
            assert_eq!(a.column(column), b.column(column), "{what}, frame {frame}");
        }
        let (mut of_a, mut of_b) = (bits(a), bits(b));
        of_a.sort();
        of_b.sort();
        assert_eq!(of_a, of_b, "{what}, frame {frame}\n{a:?}\n{b:?}");
    }
}
