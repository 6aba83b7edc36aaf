//! What a view costs per row, beside the bare Arrow kernels that do the same, in one process.
//!
//! `cargo run --release -p millstream-bench --bin sql`. Repetitions alternate, so that whatever else
//! the machine does hits both alike; times are thread CPU time, the least of all repetitions.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cmp::gt;
use arrow::compute::kernels::numeric::{add, mul};
use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, Scalar, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use fastrand::Rng;
use millstream_core::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Output, PlannedView, Planner, Table, View};
use millstream_core::record::Offset;
use millstream_sql::SqlPlanner;

const ROWS: u32 = 200_000;
const REPEATS: usize = 15;

type Failure = Box<dyn Error>;
/// The same by bare kernels.
type Bare = fn(&RecordBatch) -> Result<RecordBatch, Failure>;

fn main() -> Result<(), Failure> {
    println!("{ROWS} rows of 4 columns, least of {REPEATS} repetitions, thread CPU time\n");
    println!(
        "{:<34} {:>6} {:>6} {:>12} {:>12} {:>6}",
        "view", "passes", "batch", "view ns/row", "bare ns/row", "ratio"
    );
    let all = "SELECT * FROM t WHERE value > 100";
    for passes in [0, 1, 50, 100] {
        for batch in [100, 1000, 8192] {
            case("value > 100, all columns", all, passes, batch, |b| keep(b, &[0, 1, 2, 3]))?;
        }
    }
    for batch in [100, 1000, 8192] {
        let two = "SELECT id, value FROM t WHERE value > 100";
        case("value > 100, id and value", two, 50, batch, |b| keep(b, &[0, 2]))?;
        let pick = "SELECT ts, id FROM t";
        case("two columns", pick, 50, batch, |b| Ok(b.project(&[3, 0])?))?;
        let computed = "SELECT id, value * 1.8 + 32 AS f FROM t";
        case("id, value * 1.8 + 32", computed, 50, batch, fahrenheit)?;
    }
    Ok(())
}

fn keep(batch: &RecordBatch, columns: &[usize]) -> Result<RecordBatch, Failure> {
    let mask = gt(batch.column(2), &Scalar::new(Float64Array::from(vec![100.0])))?;
    Ok(filter_record_batch(&batch.project(columns)?, &mask)?)
}

fn fahrenheit(batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let product = mul(batch.column(2), &Scalar::new(Float64Array::from(vec![1.8])))?;
    let sum = add(&product, &Scalar::new(Float64Array::from(vec![32.0])))?;
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
    ]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![batch.column(0).clone(), sum])?)
}

fn schema() -> SchemaRef {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("sensor", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
        Field::new("ts", moment, true),
    ]))
}

/// Batches in which `passes` of a hundred rows have a value above 100.
fn batches(rows: u32, passes: u32) -> Result<Vec<RecordBatch>, Failure> {
    let mut random = Rng::with_seed(7);
    let mut batches = Vec::new();
    let mut start = 0;
    while start < ROWS {
        let n = rows.min(ROWS - start);
        let ordinals = || (start..start + n).map(i64::from);
        let ids = Int64Array::from_iter_values(ordinals());
        let sensors: Vec<String> =
            (0..n).map(|_| format!("sensor-{:04}", random.u32(0..1000))).collect();
        let values = Float64Array::from_iter_values((0..n).map(|_| {
            let above = random.u32(0..100) < passes;
            random.f64() * 90.0 + if above { 101.0 } else { 0.0 }
        }));
        let ts = TimestampMicrosecondArray::from_iter_values(ordinals());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids),
            Arc::new(StringArray::from(sensors)),
            Arc::new(values),
            Arc::new(ts.with_timezone("UTC")),
        ];
        batches.push(RecordBatch::try_new(schema(), columns)?);
        start += n;
    }
    Ok(batches)
}

fn case(name: &str, sql: &str, passes: u32, rows: u32, bare: Bare) -> Result<(), Failure> {
    let tables = [Table::source("t", Some(schema()))];
    let views = [View::new("v", sql)];
    let mut planned = SqlPlanner::new().plan(&tables, &views, &[]);
    if let Some(e) = planned.errors.pop() {
        return Err(e.error.into());
    }
    let mut view = planned.views.pop().ok_or("no view was planned")?;
    let batches = batches(rows, passes)?;
    let (mut best_view, mut best_bare) = (f64::MAX, f64::MAX);
    for _ in 0..REPEATS {
        let start = cpu_ns();
        let of_view = run_view(&mut view, &batches)?;
        best_view = best_view.min(cpu_ns() - start);
        let start = cpu_ns();
        let mut of_bare = 0;
        for batch in &batches {
            of_bare += black_box(bare(batch)?).num_rows();
        }
        best_bare = best_bare.min(cpu_ns() - start);
        assert_eq!(of_view, of_bare, "both must do the same work");
    }
    let per_row = |ns: f64| ns / f64::from(ROWS);
    println!(
        "{name:<34} {passes:>5}% {rows:>6} {:>12.2} {:>12.2} {:>6.2}",
        per_row(best_view),
        per_row(best_bare),
        best_view / best_bare
    );
    Ok(())
}

fn run_view(view: &mut PlannedView, batches: &[RecordBatch]) -> Result<usize, Failure> {
    let mut made = 0;
    let starts: Arc<[u32]> = Arc::from([0]);
    for batch in batches {
        let origin = Origin::new(Offset(0), starts.clone(), None);
        let rows = Rows { batch: batch.clone(), origin };
        let mut out = Output::default();
        view.operator.process(0, rows, Timestamp(0), &mut out)?;
        made += black_box(&out.rows).iter().map(Rows::len).sum::<usize>();
    }
    Ok(made)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn cpu_ns() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}
