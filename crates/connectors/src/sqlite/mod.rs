//! Rows into a table of an SQLite database.

mod cells;
mod database;
mod error;
mod feed;
mod insert;
mod mark;
mod neighbours;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use millstream_core::codec::Rows;
use millstream_core::plugin::{Config, Env};
use millstream_core::queue::Mark;
use millstream_core::sink::{Held, Promise, Refused, Sink};
use millstream_core::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use self::database::Database;
use self::neighbours::Neighbour;
use self::table::Table;
use crate::lane::{Lane, Pending};

/// Stores rows in a table of an SQLite database, each exactly once: how far it has come is kept in
/// the same transaction, in a table `_millstream_held` beside yours.
///
/// The table is made from the rows' columns, or checked against them if it is there. Values are
/// kept exactly: int64 and bool as INTEGER (bools as 0 and 1), float64 as REAL, text and json as TEXT,
/// lists and structs as JSON text, dates as text `2026-11-23`, bytes as BLOB, decimals as text. A value
/// that SQLite would change is refused and its row kept in the dead letters: NaN (which would become
/// NULL), integers above 9223372036854775807, years outside 0000 to 9999. Rows that break a constraint
/// of the table (UNIQUE, NOT NULL, CHECK, foreign keys, a trigger's RAISE) are refused likewise, and
/// their neighbours go on; so are rows that a trigger leaves out by `RAISE(IGNORE)`. What a trigger itself
/// changes or deletes after a row was stored cannot be told.
///
/// The database is put into WAL mode with `synchronous=FULL`: what is flushed survives power loss, and
/// others can read at any time. Other programs can write between flushes; while one holds the database
/// longer than half a second, rows wait and are tried again. Should a second process come to write rows of
/// the same pipeline and sink, the one that finds the other's mark stops. So does a sink whose table is gone while
/// its mark is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sqlite {
    /// The database file. It and its folder are made if they are not there.
    path: PathBuf,
    /// The table.
    table: String,
    /// What to do with a row whose key is there already.
    #[serde(default)]
    mode: Mode,
    /// The columns that tell rows apart: the primary key of a table that is made. `mode: upsert` needs
    /// it, and a table that is there needs a unique index on exactly these columns for that.
    #[serde(default)]
    key: Vec<String>,
    /// Whether to make the database and the table if they are not there.
    #[serde(default = "yes")]
    create: bool,
    /// How moments are stored.
    #[serde(default)]
    timestamps: Timestamps,
}

/// What to do with a row whose key is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Refuse it: it goes to the dead letters.
    #[default]
    Insert,
    /// Let it replace the values of the one that is there.
    Upsert,
}

/// How moments are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Timestamps {
    /// As text, `2026-11-23T05:16:24.000000Z`: sorts like time, and is what SQLite's date functions,
    /// Python's `datetime.fromisoformat` and pandas' `parse_dates` read.
    #[default]
    Text,
    /// As an INTEGER, microseconds since 1970-01-01 UTC: a third of the space.
    Us,
}

fn yes() -> bool {
    true
}

/// The options with all paths made whole.
#[derive(Clone, Debug)]
struct Options {
    path: PathBuf,
    table: String,
    mode: Mode,
    key: Vec<String>,
    create: bool,
    timestamps: Timestamps,
    /// Under which names its mark is kept.
    pipeline: String,
    sink: String,
}

impl Options {
    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

impl Config<dyn Sink> for Sqlite {
    const NAME: &'static str = "sqlite";

    fn build(self, env: &Env) -> Result<Box<dyn Sink>> {
        let path = env.path(&self.path);
        let stop = |what: String, fix: &str| Err(Error::stop(what).fix(fix));
        if self.mode == Mode::Upsert && self.key.is_empty() {
            return stop(
                "`mode: upsert` has no `key`".into(),
                "name the columns that tell rows apart, such as `key: [id]`",
            );
        }
        for (i, name) in self.key.iter().enumerate() {
            if self.key.iter().take(i).any(|n| n.eq_ignore_ascii_case(name)) {
                return stop(format!("`key` names `{name}` twice"), "name each column once");
            }
        }
        let lower = self.table.to_ascii_lowercase();
        if lower.trim().is_empty() {
            return stop("`table` is empty".into(), "name a table, such as `table: readings`");
        }
        if lower.starts_with("sqlite_") || lower.starts_with("_millstream_") {
            let owner = if lower.starts_with('_') { "Millstream" } else { "SQLite" };
            return stop(
                format!("`table: {}` is a name that {owner} keeps for itself", self.table),
                "choose another name, such as `table: readings`",
            );
        }
        if self.table.contains('\0') {
            return stop("`table` holds a NUL".into(), "choose another name");
        }
        let Self { table, mode, key, create, timestamps, .. } = self;
        let (pipeline, sink) = (env.pipeline.clone(), env.name.clone());
        let options = Options { path, table, mode, key, create, timestamps, pipeline, sink };
        let neighbour = Arc::new(Neighbour::of(&options.path));
        Ok(Box::new(SqliteSink { options, neighbour, lane: None, writing: None, begun: false }))
    }
}

/// Hands everything to a thread that has the database.
struct SqliteSink {
    options: Options,
    /// From the first: all sinks of a pipeline are built before any is opened.
    neighbour: Arc<Neighbour>,
    lane: Option<Lane<Database>>,
    /// The last write, while the engine works on the next.
    writing: Option<Pending<()>>,
    /// The first write of an epoch has been done, so that its transaction is open.
    begun: bool,
}

impl SqliteSink {
    fn lane(&mut self) -> Result<&Lane<Database>> {
        Ok(match &mut self.lane {
            Some(lane) => lane,
            none => {
                let database = Database::new(self.options.clone(), self.neighbour.clone());
                none.insert(Lane::start(&format!("sqlite {}", self.options.sink), database)?)
            }
        })
    }

    async fn run<R: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut Database) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        if let Some(before) = self.writing.take() {
            before.end().await?;
        }
        self.lane()?.run(job).await
    }
}

#[async_trait]
impl Sink for SqliteSink {
    async fn open(&mut self, schema: SchemaRef) -> Result<Held> {
        // Whatever became of it, it is discarded now.
        self.writing = None;
        self.begun = false;
        self.run(move |database| database.open(&schema)).await
    }

    async fn write(&mut self, rows: &Rows) -> Result<()> {
        let rows = rows.clone();
        let write = move |database: &mut Database| database.write(rows);
        if self.begun {
            // One is inserted while the engine makes the next; the call after says how it went.
            if let Some(before) = self.writing.take() {
                before.end().await?;
            }
            self.writing = Some(self.lane()?.begin(write)?);
        } else {
            // The first may find the database locked, and can then be tried again.
            self.run(write).await?;
            self.begun = true;
        }
        Ok(())
    }

    async fn prepare(&mut self, mark: &Mark) -> Result<Vec<Refused>> {
        let mark = *mark;
        self.run(move |database| database.prepare(mark)).await
    }

    async fn flush(&mut self, mark: &Mark) -> Result<()> {
        let mark = *mark;
        self.run(move |database| database.flush(mark)).await?;
        self.begun = false;
        Ok(())
    }

    async fn forget(&mut self) -> Result<()> {
        self.writing = None;
        self.begun = false;
        self.run(Database::forget).await
    }

    fn local(&self) -> bool {
        true
    }

    fn suits(&self, schema: &Schema) -> Result<()> {
        Table::new(&self.options, schema).map(drop)
    }

    fn key(&self) -> Option<Vec<String>> {
        (self.options.mode == Mode::Upsert).then(|| self.options.key.clone())
    }

    fn promise(&self) -> Promise {
        Promise::EffectivelyOnce
    }

    fn describe(&self) -> String {
        let how = match self.options.mode {
            Mode::Insert => "insert into",
            Mode::Upsert => "upsert into",
        };
        let Options { table, path, .. } = &self.options;
        format!("sqlite: {how} `{table}` of {}, one transaction per epoch", path.display())
    }
}
