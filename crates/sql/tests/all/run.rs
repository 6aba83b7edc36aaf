//! Planning and running views in a test.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use millstream_core::Timestamp;
use millstream_core::codec::{Columns, Origin, Rows};
use millstream_core::ledger::Account;
use millstream_core::operator::{Function, Output, Planned, Planner, Table, View};
use millstream_core::record::Offset;
use millstream_sql::SqlPlanner;

/// A table and its rows, as one frame.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub name: String,
    pub schema: SchemaRef,
    pub rows: String,
}

impl Input {
    pub(crate) fn new(name: &str, columns: &str, rows: &str) -> Self {
        let columns: Columns = serde_json::from_str(columns).unwrap();
        Self { name: name.to_owned(), schema: columns.schema(), rows: rows.to_owned() }
    }

    pub(crate) fn table(&self) -> Table {
        Table::source(&self.name, Some(self.schema.clone()))
    }

    pub(crate) fn batch(&self) -> RecordBatch {
        let mut decoder =
            arrow_json::ReaderBuilder::new(self.schema.clone()).build_decoder().unwrap();
        decoder.decode(self.rows.as_bytes()).unwrap();
        decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone()))
    }
}

/// What came out of the views, by view.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Result {
    pub rows: Vec<String>,
    pub refused: Vec<String>,
    pub account: Account,
}

pub(crate) fn view(name: &str, sql: &str) -> View {
    View { name: name.to_owned(), sql: sql.to_owned() }
}

pub(crate) fn plan(inputs: &[Input], views: &[View], functions: &[Arc<dyn Function>]) -> Planned {
    let tables: Vec<Table> = inputs.iter().map(Input::table).collect();
    SqlPlanner::new().plan(&tables, views, functions)
}

/// Rows as JSON, each behind its id.
pub(crate) fn lines(rows: &Rows) -> Vec<String> {
    let mut writer = arrow_json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow_json::writer::LineDelimited>(Vec::new());
    writer.write(&rows.batch).unwrap();
    writer.finish().unwrap();
    let mut text = String::from_utf8(writer.into_inner()).unwrap();
    if rows.batch.num_columns() == 0 {
        text = "{}\n".repeat(rows.len());
    }
    text.lines().enumerate().map(|(i, l)| format!("{} {l}", rows.origin.id(i))).collect()
}

/// Runs all views over the inputs, one frame each, cut into batches of `size` rows.
pub(crate) fn run(
    inputs: &[Input],
    planned: &mut Planned,
    size: usize,
) -> BTreeMap<String, Result> {
    let mut results: BTreeMap<String, Result> = BTreeMap::new();
    for (i, input) in inputs.iter().enumerate() {
        let offset = Offset(i as u64);
        let arrival = Timestamp(1_790_000_000_000_000 + i as i64 * 1_500_000);
        let batch = input.batch();
        let origin = Origin::new(offset, Arc::from([0]), None);
        let mut from = 0;
        while from < batch.num_rows() {
            let len = size.min(batch.num_rows() - from);
            let rows = Rows { batch: batch.slice(from, len), origin: origin.slice(from, len) };
            step(planned, &input.name, &rows, arrival, &mut results);
            from += len;
        }
    }
    results
}

fn step(
    planned: &mut Planned,
    input: &str,
    rows: &Rows,
    arrival: Timestamp,
    results: &mut BTreeMap<String, Result>,
) {
    let mut ready: BTreeMap<String, Vec<Rows>> = BTreeMap::new();
    ready.insert(input.to_owned(), vec![rows.clone()]);
    for view in &mut planned.views {
        let mut out = Output::default();
        for (port, input) in view.inputs.iter().enumerate() {
            for rows in ready.get(input).into_iter().flatten() {
                view.operator.process(port, rows.clone(), arrival, &mut out).unwrap();
            }
        }
        let result = results.entry(view.name.clone()).or_default();
        result.account.add(&out.account);
        assert!(out.account.balances(), "{:?}", out.account);
        for rows in &out.rows {
            assert_eq!(rows.batch.schema(), view.schema, "the schema is exact");
            result.rows.extend(lines(rows));
        }
        for (rows, reason) in &out.refused {
            assert_eq!(rows.len(), 1);
            result.refused.push(format!("{} {reason}", rows.origin.id(0)));
        }
        ready.insert(view.name.clone(), out.rows);
    }
}
