//! Random rows and queries without windows: the last row of each key is what DataFusion's batch engine gives of all rows, and
//! the first rows of `DISTINCT` are what is distinct.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_common::ScalarValue;
use fastrand::Rng;

use super::rows::{Clock, Table};
use super::{SEEDS, newest, seeds};
use crate::run::{Input, Result as Ran, plan, view};
use crate::time::{Way, run_so};

/// The batch engine.
pub(super) struct Batch {
    runtime: tokio::runtime::Runtime,
    context: SessionContext,
}

impl Batch {
    pub(super) fn new() -> Self {
        let mut config = SessionConfig::new().with_target_partitions(1);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { runtime, context: SessionContext::new_with_config(config) }
    }

    /// What a query gives of these rows; none where it cannot have two orders at once.
    pub(super) fn answer(&self, rows: RecordBatch, sql: &str) -> Option<RecordBatch> {
        self.context.deregister_table("t").unwrap();
        self.context.register_batch("t", rows).unwrap();
        let run = async {
            let frame = self.context.sql(sql).await?;
            let schema = Arc::new(frame.schema().as_arrow().clone());
            let all = frame.collect().await?;
            let schema = all.first().map_or(schema, RecordBatch::schema);
            Ok(arrow::compute::concat_batches(&schema, &all)?)
        };
        let ran: datafusion_common::Result<_> = self.runtime.block_on(run);
        match ran {
            Err(e) if e.to_string().contains("Conflicting ordering requirements") => None,
            ran => Some(ran.unwrap_or_else(|e| panic!("{sql}\n{e}"))),
        }
    }
}

/// Rows as text, sorted. Whole numbers and quarters are exact, so that text is.
pub(super) fn texts(batch: &RecordBatch) -> Vec<String> {
    let row = |i| {
        let values = batch.columns().iter().map(|c| {
            let value = ScalarValue::try_from_array(c, i).unwrap();
            match value {
                ScalarValue::Float64(Some(v)) => format!("{}", v + 0.0),
                // Only its number matters.
                value => value.to_string(),
            }
        });
        values.collect::<Vec<_>>().join(" | ")
    };
    let mut all = (0..batch.num_rows()).map(row).collect::<Vec<_>>();
    all.sort();
    all
}

/// Runs a view straight, cut and broken off at random, which must make no difference.
pub(super) fn ran(seed: u64, inputs: &[Input], sql: &str) -> (Ran, Option<Vec<String>>, SchemaRef) {
    let views = [view("v", sql)];
    let mut fresh = || {
        let planned = plan(inputs, &views, &[]);
        if let Some(e) = planned.errors.first() {
            panic!("seed {seed}: {sql}\n{}", e.error);
        }
        planned
    };
    let mut planned = fresh();
    let updates = planned.views[0].updates.as_ref().map(|u| u.by.clone());
    let schema = planned.views[0].schema.clone();
    let mut whole = run_so(inputs, &mut planned, Way::of(usize::MAX), &mut fresh);
    let rng = &mut Rng::with_seed(seed);
    for stops in [0, 3] {
        let way = Way { seed: Some(rng.u64(..)), stops, ..Way::of(rng.usize(1..12)) };
        let mut planned = fresh();
        let other = run_so(inputs, &mut planned, way, &mut fresh);
        assert_eq!(whole["v"], other["v"], "seed {seed} {way:?}: {sql}");
    }
    (whole.remove("v").unwrap(), updates, schema)
}

fn pick<'a>(rng: &mut Rng, all: &[&'a str]) -> &'a str {
    all[rng.usize(..all.len())]
}

fn some<'a>(rng: &mut Rng, all: &[&'a str], most: usize) -> Vec<&'a str> {
    let mut all = all.to_vec();
    rng.shuffle(&mut all);
    all.truncate(rng.usize(1..=most));
    all
}

const KEYS: &[&str] =
    &["k", "s", "p", "d", "k % 2", "upper(s)", "date_trunc('minute', ts)", "x > 0"];
const CALLS: &[&str] = &[
    "count(*)",
    "count(i)",
    "sum(i)",
    "sum(x)",
    "min(y)",
    "max(s)",
    "avg(x)",
    "bool_or(p)",
    "count(DISTINCT i)",
    "count(DISTINCT s)",
    "count(DISTINCT k)",
    "count(DISTINCT ts)",
    "sum(DISTINCT i)",
    "first_value(i ORDER BY id)",
    "last_value(s ORDER BY id DESC)",
    "count(DISTINCT x + 1)",
];
const FILTERS: &[&str] =
    &["", "", " FILTER (WHERE i > 0)", " FILTER (WHERE p)", " FILTER (WHERE k = 1 OR s = 'a')"];
const WHERE: &[&str] = &["", "", " WHERE i < 50", " WHERE s IS NOT NULL"];

fn grouped(rng: &mut Rng) -> String {
    let keys = some(rng, KEYS, 3);
    let names = (0..keys.len()).map(|i| format!("g{i}")).collect::<Vec<_>>().join(", ");
    let keys = keys.iter().enumerate().map(|(i, k)| format!("{k} AS g{i}"));
    let calls =
        (0..rng.usize(1..5)).map(|i| format!("{}{} AS c{i}", pick(rng, CALLS), pick(rng, FILTERS)));
    let calls = calls.collect::<Vec<_>>();
    let list = keys.chain(calls).collect::<Vec<_>>().join(", ");
    format!("SELECT {list} FROM t{} GROUP BY {names}", pick(rng, WHERE))
}

fn distinct(rng: &mut Rng) -> String {
    let keys = some(rng, KEYS, 3);
    let keys = keys.iter().enumerate().map(|(i, k)| format!("{k} AS g{i}"));
    let list = keys.collect::<Vec<_>>().join(", ");
    format!("SELECT DISTINCT {list} FROM t{}", pick(rng, WHERE))
}

/// Rows of a table in frames, with event time or without.
pub(super) fn input(rng: &mut Rng, table: &Table) -> Input {
    let input = table.input();
    if rng.bool() { input } else { Input { time: None, ..input } }
}

fn check(seed: u64, batch: &Batch) {
    let rng = &mut Rng::with_seed(seed);
    let clock = Clock::random(rng);
    let table = Table::random(rng, clock, false, false);
    let inputs = [input(rng, &table)];
    let sql = if rng.u8(..3) == 0 { distinct(rng) } else { grouped(rng) };
    let (ran, updates, schema) = ran(seed, &inputs, &sql);
    let rows = newest(&ran.made.whole(&schema), updates.as_deref());
    let Some(wanted) = batch.answer(table.batch.clone(), &sql) else { return };
    assert_eq!(texts(&rows), texts(&wanted), "seed {seed}: {sql}\n{}", table.show());
    assert!(ran.late.is_empty() && ran.refused.is_empty(), "seed {seed}: {sql}");
}

#[test]
fn running_groups_come_to_what_the_batch_engine_gives() {
    let batch = Batch::new();
    seeds(SEEDS).for_each(|seed| check(seed, &batch));
}

/// The last rows of keys, where one of the rows that came is left out: the oracle sees that.
#[test]
fn a_row_that_is_lost_is_seen() {
    let batch = Batch::new();
    let sql = "SELECT k AS g0, count(*) AS c0 FROM t GROUP BY g0";
    let found = (0..20).filter(|seed| {
        let rng = &mut Rng::with_seed(*seed);
        let clock = Clock::random(rng);
        let table = Table::random(rng, clock, false, false);
        let (ran, updates, schema) = ran(*seed, &[table.input()], sql);
        let rows = newest(&ran.made.whole(&schema), updates.as_deref());
        let fewer = table.batch.slice(1, table.batch.num_rows() - 1);
        texts(&rows) != texts(&batch.answer(fewer, sql).unwrap())
    });
    assert_eq!(found.count(), 20);
}
