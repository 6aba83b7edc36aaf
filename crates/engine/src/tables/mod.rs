//! Reference tables while the pipeline runs: which version holds for the frames at hand.
//!
//! ```text
//! keep: reader ─ content, when it changed ─▶ queue ─ frames ─▶ hear ─▶ version ─▶ steps of views
//!                                              ▲                 │
//!                                   find: where to begin        state of the checkpoint
//! ```
//!
//! A frame has all of a version. The one that holds for a frame is the last one before it, and for those before the first one it is the
//! first one. So it depends on the queue alone, and rows that are made again are joined to the same rows.

pub(crate) mod find;
pub(crate) mod keep;
mod payload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parking_lot::Mutex;

use millstream_core::codec::Columns;
use millstream_core::operator::{Chunks, Table};
use millstream_core::queue::Checkpoint;
use millstream_core::record::{Frame, TABLES};
use millstream_core::reference::{Reference, Version};
use millstream_core::{Error, Result};

use self::payload::Payload;
use crate::config::TablePart;

/// In place of a view in a checkpoint: the versions that hold. No view can have this name.
pub(crate) const STATE: &str = ":tables";

/// All reference tables of a line. Cheap to share.
#[derive(Clone, Default)]
pub(crate) struct Tables(Arc<Vec<Arc<Shown>>>);

/// One table.
#[derive(Debug)]
struct Shown {
    name: String,
    /// Its rows are given once for all, and are no state.
    given: bool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Its columns, as they are declared, else those of the first version.
    schema: Option<SchemaRef>,
    version: Option<Arc<Version>>,
    /// What the version was made of, while no snapshot has it.
    bytes: Bytes,
    /// The number of the version that the last snapshot has.
    told: Option<u128>,
}

impl Tables {
    pub(crate) fn new(parts: &[TablePart]) -> Self {
        let shown = |part: &TablePart| {
            let schema = part.columns.as_ref().map(Columns::schema);
            let held = Mutex::new(Held { schema, ..Held::default() });
            Arc::new(Shown { name: part.name.clone(), given: false, held })
        };
        Self(Arc::new(parts.iter().map(shown).collect()))
    }

    /// Tables with these rows for ever.
    pub(crate) fn of_rows(rows: Vec<(String, RecordBatch)>) -> Self {
        let shown = |(name, rows): (String, RecordBatch)| {
            let schema = Some(rows.schema());
            let version = Some(Arc::new(Version { number: 0, rows }));
            let held = Mutex::new(Held { schema, version, ..Held::default() });
            Arc::new(Shown { name, given: true, held })
        };
        Self(Arc::new(rows.into_iter().map(shown).collect()))
    }

    /// The same tables for another line, with the versions that hold now.
    pub(crate) fn apart(&self) -> Self {
        let copy = |shown: &Arc<Shown>| {
            let held = shown.held.lock();
            let (schema, version) = (held.schema.clone(), held.version.clone());
            let held = Mutex::new(Held { schema, version, ..Held::default() });
            Arc::new(Shown { name: shown.name.clone(), given: shown.given, held })
        };
        Self(Arc::new(self.0.iter().map(copy).collect()))
    }

    /// The tables as SQL has them.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Table> {
        self.0.iter().map(|shown| {
            let schema = shown.held.lock().schema.clone();
            let reference: Arc<dyn Reference> = shown.clone();
            Table { reference: Some(reference), ..Table::source(&shown.name, schema) }
        })
    }

    /// The names of all.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.0.iter().map(|shown| shown.name.clone()).collect()
    }

    /// The names of those without a version.
    pub(crate) fn lacking(&self) -> BTreeSet<String> {
        let lacking = self.0.iter().filter(|shown| shown.held.lock().version.is_none());
        lacking.map(|shown| shown.name.clone()).collect()
    }

    fn get(&self, name: &str) -> Option<&Arc<Shown>> {
        self.0.iter().find(|shown| shown.name == name)
    }

    /// From here on a version holds. Says whether it is one of these tables, and has its columns.
    ///
    /// # Errors
    /// `Stop` when the frame cannot be read.
    pub(crate) fn hear(&self, frame: &Frame, bytes: &Bytes) -> Result<bool> {
        let Some(shown) = name_of(frame).and_then(|name| self.get(name)) else { return Ok(false) };
        let payload = Payload::read(bytes).map_err(|e| e.at(format!("tables.{}", shown.name)))?;
        let mut held = shown.held.lock();
        let Some(rows) = held.fitted(&payload.rows) else {
            tracing::warn!(
                table = shown.name,
                "a version of a table has not the columns that are wanted now, and is passed over"
            );
            return Ok(false);
        };
        held.schema.get_or_insert_with(|| rows.schema());
        if held.version.as_ref().is_none_or(|v| v.number != payload.number) {
            held.version = Some(Arc::new(Version { number: payload.number, rows }));
            held.bytes = bytes.clone();
        }
        Ok(true)
    }

    /// Puts the versions that changed since this was asked last into what is kept.
    pub(crate) fn snapshot(&self) -> Chunks {
        let mut chunks = Chunks::new();
        for shown in self.0.iter().filter(|shown| !shown.given) {
            let mut held = shown.held.lock();
            let Some(number) = held.version.as_ref().map(|v| v.number) else { continue };
            if held.told == Some(number) {
                continue;
            }
            if let Some(told) = held.told {
                chunks.insert(key(&shown.name, told), None);
            }
            chunks.insert(key(&shown.name, number), Some(std::mem::take(&mut held.bytes)));
            held.told = Some(number);
        }
        chunks
    }

    /// Goes back to the versions that were kept, of tables that are there and have these columns.
    ///
    /// # Errors
    /// `Stop` when one cannot be read.
    pub(crate) fn restore(&self, kept: &BTreeMap<String, Bytes>) -> Result<()> {
        for (key, bytes) in kept {
            let Some((shown, number)) = self.of_key(key) else { continue };
            let mut held = shown.held.lock();
            if held.version.as_ref().is_none_or(|v| v.number != number) {
                let place = format!("tables.{}", shown.name);
                let payload = Payload::read(bytes).map_err(|e| e.at(place))?;
                let Some(rows) = held.fitted(&payload.rows) else { continue };
                held.schema.get_or_insert_with(|| rows.schema());
                held.version = Some(Arc::new(Version { number, rows }));
            }
            held.told = Some(number);
            held.bytes = Bytes::new();
        }
        Ok(())
    }

    /// The table and the version that a chunk is of.
    fn of_key(&self, key: &str) -> Option<(&Arc<Shown>, u128)> {
        let (name, number) = key.split_once('/')?;
        Some((self.get(name)?, u128::from_str_radix(number, 16).ok()?))
    }

    /// The names of those of which a checkpoint has no version.
    pub(crate) fn not_in(&self, checkpoint: &Checkpoint) -> BTreeSet<String> {
        let mut names = self.names();
        for chunk in checkpoint.chunks.iter().filter(|c| c.operator == STATE) {
            if let Some((name, _)) = chunk.key.split_once('/') {
                names.remove(name);
            }
        }
        names
    }

    /// Forgets the versions of some tables.
    pub(crate) fn forget(&self, names: &BTreeSet<String>) {
        for shown in self.0.iter().filter(|shown| names.contains(&shown.name)) {
            let mut held = shown.held.lock();
            (held.version, held.told, held.bytes) = (None, None, Bytes::new());
        }
    }
}

/// The key of a version among the chunks of a checkpoint.
fn key(table: &str, number: u128) -> String {
    format!("{table}/{number:032x}")
}

/// The table that a frame is of.
pub(crate) fn name_of(frame: &Frame) -> Option<&str> {
    frame.source.strip_prefix(TABLES)
}

impl Held {
    /// The rows with the columns that are wanted, if they have them all.
    fn fitted(&self, rows: &RecordBatch) -> Option<RecordBatch> {
        let Some(schema) = &self.schema else { return Some(rows.clone()) };
        let columns = schema.fields().iter().map(|field| {
            let column = rows.column_by_name(field.name())?;
            let fits = column.data_type() == field.data_type()
                && (field.is_nullable() || column.null_count() == 0);
            fits.then(|| column.clone())
        });
        RecordBatch::try_new(schema.clone(), columns.collect::<Option<Vec<_>>>()?).ok()
    }
}

impl Reference for Shown {
    fn version(&self) -> Option<Arc<Version>> {
        self.held.lock().version.clone()
    }
}

/// The error of a table without a version.
fn never_read(names: &BTreeSet<String>) -> Error {
    let all = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    Error::stop(format!("no version of the table {all} is in the queue"))
        .fix("a process that collects reads it first: start that one, such as `run --only collect`")
}
