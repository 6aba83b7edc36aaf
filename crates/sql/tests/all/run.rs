//! Planning and running views in a test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millstream_core::Timestamp;
use millstream_core::codec::{Columns, Origin, Rows};
use millstream_core::ledger::Account;
use millstream_core::lookup::{Answers, Known, Place};
use millstream_core::operator::{Function, Output, Planned, PlannedView, Planner, Table, View};
use millstream_core::record::Offset;
use millstream_sql::SqlPlanner;

/// A table and its rows, as one frame.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub name: String,
    pub schema: SchemaRef,
    pub rows: String,
    /// It is a lookup, which has these rows by their key.
    pub lookup: Option<Arc<Shelf>>,
}

impl Input {
    pub(crate) fn new(name: &str, columns: &str, rows: &str) -> Self {
        let columns: Columns = serde_json::from_str(columns).unwrap();
        Self {
            name: name.to_owned(),
            schema: columns.schema(),
            rows: rows.to_owned(),
            lookup: None,
        }
    }

    /// A lookup with rows that have a `key` beside the columns.
    pub(crate) fn lookup(name: &str, columns: &str, rows: &str, nulls: bool) -> Self {
        let columns: Columns = serde_json::from_str(columns).unwrap();
        let key = Field::new("key", DataType::Utf8, false);
        let fields = std::iter::once(key).chain(columns.0.iter().map(|c| c.field()));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let shelf = Arc::new(Shelf::new(schema.clone(), rows, nulls));
        Self { name: name.to_owned(), schema, rows: String::new(), lookup: Some(shelf) }
    }

    pub(crate) fn table(&self) -> Table {
        let lookup = self.lookup.clone().map(|s| s as Arc<dyn Answers>);
        Table { lookup, ..Table::source(&self.name, Some(self.schema.clone())) }
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
    View::new(name, sql)
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
    for (i, input) in inputs.iter().filter(|i| i.lookup.is_none()).enumerate() {
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

/// As the engine does it: what is left is given again, and what waits at most so often.
fn process(view: &mut PlannedView, port: usize, rows: &Rows, arrival: Timestamp, out: &mut Output) {
    let (mut left, mut waited) = (Some(rows.clone()), 0);
    while let Some(rows) = left {
        view.operator.process(port, rows, arrival, out).unwrap();
        left = out.left.take();
        waited += usize::from(std::mem::take(&mut out.waits));
        assert!(waited < 1_000, "answers are missing again and again");
    }
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
        for (port, input) in view.inputs.clone().iter().enumerate() {
            for rows in ready.get(input).into_iter().flatten() {
                process(view, port, rows, arrival, &mut out);
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

/// A lookup whose rows are known from the start, and which has each at hand only when it is asked a second time.
#[derive(Debug)]
pub(crate) struct Shelf {
    rows: RecordBatch,
    keys: Vec<String>,
    /// Keys under which something stands that fits no row.
    unfit: BTreeSet<String>,
    nulls: bool,
    hand: Mutex<BTreeSet<String>>,
    /// How often it was asked for answers that were at hand, and for how many keys.
    pub(crate) asked: Mutex<Vec<Vec<String>>>,
}

impl Shelf {
    fn new(schema: SchemaRef, rows: &str, nulls: bool) -> Self {
        let mut unfit = BTreeSet::new();
        let mut keys = Vec::new();
        let mut decoder = arrow_json::ReaderBuilder::new(schema.clone()).build_decoder().unwrap();
        for line in rows.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let key = row["key"].as_str().unwrap().to_owned();
            if row.get("unfit").is_some() {
                unfit.insert(key);
                continue;
            }
            decoder.decode(line.as_bytes()).unwrap();
            keys.push(key);
        }
        let rows = decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(schema));
        Self { rows, keys, unfit, nulls, hand: Mutex::default(), asked: Mutex::default() }
    }
}

impl Answers for Shelf {
    fn find(&self, keys: &[&str]) -> millstream_core::Result<Option<Known>> {
        let distinct: BTreeSet<&str> = keys.iter().copied().collect();
        assert_eq!(distinct.len(), keys.len(), "each key is asked for once");
        let mut hand = self.hand.lock().unwrap();
        let before = hand.len();
        hand.extend(keys.iter().map(ToString::to_string));
        if hand.len() > before {
            return Ok(None);
        }
        self.asked.lock().unwrap().push(keys.iter().map(ToString::to_string).collect());
        let place = |key: &&str| {
            if self.unfit.contains(*key) && !self.nulls {
                return Place::Unfit("column `ceiling` is float64, found `much`".to_owned());
            }
            let at = self.keys.iter().position(|k| k == key);
            at.map_or(Place::Nowhere, |i| Place::Row(u32::try_from(i).unwrap()))
        };
        Ok(Some(Known { rows: self.rows.clone(), places: keys.iter().map(place).collect() }))
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn gives_nulls(&self) -> bool {
        self.nulls
    }
}
