//! Planning and running views in a test.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arrow::compute::concat_batches;
use arrow_array::RecordBatch;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millstream_core::codec::{Columns, Rows};
use millstream_core::ledger::Account;
use millstream_core::lookup::{Answers, Known, Place};
use millstream_core::operator::{Function, Planned, Planner, Table, View};
use millstream_core::reference::{Reference, Version};
use millstream_sql::SqlPlanner;

/// A table and its rows, frame by frame.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub name: String,
    pub schema: SchemaRef,
    pub frames: Vec<Frame>,
    /// The column with the event time, and how many microseconds rows may come late.
    pub time: Option<(String, i64)>,
    /// It is a lookup, which has these rows by their key.
    pub lookup: Option<Arc<Shelf>>,
    /// It is a reference table, of which each frame is a version.
    pub board: Option<Arc<Board>>,
}

/// The rows of a frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// As JSON.
    pub rows: String,
    /// In place of these, rows that JSON cannot say.
    pub batch: Option<RecordBatch>,
    /// The input ends with it. It may begin anew.
    pub ends: bool,
}

impl Input {
    pub(crate) fn new(name: &str, columns: &str, rows: &str) -> Self {
        let columns: Columns = serde_json::from_str(columns).unwrap();
        let frame = Frame { rows: rows.to_owned(), ..Frame::default() };
        Self {
            name: name.to_owned(),
            schema: columns.schema(),
            frames: vec![frame],
            time: None,
            lookup: None,
            board: None,
        }
    }

    /// A lookup with rows that have a `key` beside the columns.
    pub(crate) fn lookup(name: &str, columns: &str, rows: &str, nulls: bool, live: bool) -> Self {
        let columns: Columns = serde_json::from_str(columns).unwrap();
        let key = Field::new("key", DataType::Utf8, false);
        let fields = std::iter::once(key).chain(columns.0.iter().map(|c| c.field()));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let shelf = Arc::new(Shelf { live, ..Shelf::new(schema.clone(), rows, nulls) });
        let lookup = Some(shelf);
        Self { name: name.to_owned(), schema, frames: vec![], time: None, lookup, board: None }
    }

    pub(crate) fn table(&self) -> Table {
        let lookup = self.lookup.clone().map(|s| s as Arc<dyn Answers>);
        let event_time = self.time.as_ref().map(|(column, _)| column.clone());
        let reference = self.board.clone().map(|b| b as Arc<dyn Reference>);
        Table {
            lookup,
            reference,
            event_time,
            ..Table::source(&self.name, Some(self.schema.clone()))
        }
    }

    /// The rows of all frames.
    pub(crate) fn batch(&self) -> RecordBatch {
        let all = self.frames.iter().map(|f| match &f.batch {
            Some(batch) => batch.clone(),
            None => self.batch_of(&f.rows),
        });
        let all = all.collect::<Vec<_>>();
        concat_batches(&self.schema, &all).unwrap()
    }

    /// The rows of one frame.
    pub(crate) fn version(&self, frame: usize) -> RecordBatch {
        let frame = &self.frames[frame];
        frame.batch.clone().unwrap_or_else(|| self.batch_of(&frame.rows))
    }

    fn batch_of(&self, rows: &str) -> RecordBatch {
        let mut decoder = arrow_json::ReaderBuilder::new(self.schema.clone())
            .with_batch_size(1 << 20)
            .build_decoder()
            .unwrap();
        decoder.decode(rows.as_bytes()).unwrap();
        decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone()))
    }
}

/// The version of a reference table that holds now.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Option<Arc<Version>>>);

impl Board {
    /// From now on these are its rows.
    pub(crate) fn show(&self, rows: RecordBatch) {
        let mut held = self.0.lock().unwrap();
        let number = held.as_ref().map_or(0, |v| v.number) + 1;
        *held = Some(Arc::new(Version { number, rows }));
    }
}

impl Reference for Board {
    fn version(&self) -> Option<Arc<Version>> {
        self.0.lock().unwrap().clone()
    }
}

/// What came out of the views, by view.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Result {
    pub rows: Vec<String>,
    pub refused: Vec<String>,
    pub late: Vec<String>,
    pub account: Account,
    pub made: Made,
}

/// Rows as they came out, which are the same when they are so bit by bit, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Made(pub Vec<RecordBatch>);

impl Made {
    /// All rows.
    pub(crate) fn whole(&self, schema: &SchemaRef) -> RecordBatch {
        concat_batches(schema, &self.0).unwrap()
    }

    fn bits(&self) -> Vec<Vec<u8>> {
        let Some(first) = self.0.first().filter(|b| b.num_columns() > 0) else { return vec![] };
        let columns = first.columns().iter();
        let fields = columns.map(|c| SortField::new(c.data_type().clone()));
        let converter = RowConverter::new(fields.collect::<Vec<_>>()).unwrap();
        let whole = self.whole(&first.schema());
        let rows = converter.convert_columns(whole.columns()).unwrap();
        rows.iter().map(|r| r.data().to_vec()).collect()
    }
}

impl PartialEq for Made {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

pub(crate) fn view(name: &str, sql: &str) -> View {
    View::new(name, sql)
}

/// The same views, the keys of whose windows so many threads share.
pub(crate) fn shared(views: &[View], threads: usize) -> Vec<View> {
    let mut views = views.to_vec();
    views.iter_mut().for_each(|view| view.windows.threads = threads);
    views
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

/// A lookup whose rows are known from the start, and which has each at hand only when it is asked a second time.
#[derive(Debug)]
pub(crate) struct Shelf {
    rows: RecordBatch,
    keys: Vec<String>,
    /// Keys under which something stands that fits no row.
    unfit: BTreeSet<String>,
    nulls: bool,
    live: bool,
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
        Self {
            rows,
            keys,
            unfit,
            nulls,
            live: false,
            hand: Mutex::default(),
            asked: Mutex::default(),
        }
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
        !self.live
    }

    fn gives_nulls(&self) -> bool {
        self.nulls
    }
}
