//! Rows on the terminal.

mod table;

use std::fmt;
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use millstream_core::codec::Rows;
use millstream_core::plugin::{Config, Env};
use millstream_core::queue::Mark;
use millstream_core::sink::{Held, Promise, Refused, Sink};
use millstream_core::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use self::table::Table;
use crate::lane::Lane;
use crate::render::JsonRows;

/// Prints rows as they are committed.
///
/// Rows of the last epoch may be printed twice after a crash.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stdout {
    /// How rows look.
    #[serde(default)]
    format: Format,
}

/// How rows look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// An aligned table for people: its header comes again every 50 rows, widths follow the rows, long
    /// values are cut with `…`.
    #[default]
    Table,
    /// One JSON object a line, exact.
    Ndjson,
}

impl Config<dyn Sink> for Stdout {
    const NAME: &'static str = "stdout";

    fn build(self, _: &Env) -> Result<Box<dyn Sink>> {
        Ok(Box::new(StdoutSink::new(self.format, Box::new(std::io::stdout()))))
    }
}

/// Locked only by the thread that prints.
type Printer = Arc<Mutex<Box<dyn Write + Send>>>;

/// Prints to any writer.
pub struct StdoutSink {
    format: Format,
    out: Printer,
    lane: Option<Lane<Printer>>,
    table: Option<Table>,
    /// Text of rows that are not flushed.
    text: Vec<u8>,
}

impl StdoutSink {
    /// A sink that prints to `out` in this format.
    #[must_use]
    pub fn new(format: Format, out: Box<dyn Write + Send>) -> Self {
        Self { format, out: Arc::new(Mutex::new(out)), lane: None, table: None, text: Vec::new() }
    }
}

impl fmt::Debug for StdoutSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StdoutSink({:?})", self.format)
    }
}

#[async_trait]
impl Sink for StdoutSink {
    async fn open(&mut self, schema: SchemaRef) -> Result<Held> {
        self.text.clear();
        self.table = (self.format == Format::Table).then(|| Table::of(&schema));
        if self.lane.is_none() {
            self.lane = Some(Lane::start("stdout", self.out.clone())?);
        }
        Ok(Held::Untracked)
    }

    async fn write(&mut self, rows: &Rows) -> Result<()> {
        match &mut self.table {
            Some(table) => table.push(&rows.batch, &mut self.text),
            None => {
                let json = JsonRows::new(&rows.batch);
                for row in 0..rows.len() {
                    json.write(row, &mut self.text);
                    self.text.push(b'\n');
                }
            }
        }
        Ok(())
    }

    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        Ok(Vec::new())
    }

    async fn flush(&mut self, _: &Mark) -> Result<()> {
        let Some(lane) = &self.lane else {
            return Err(Error::reopen("standard output is not open"));
        };
        let text = std::mem::take(&mut self.text);
        let print = move |out: &mut Printer| {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            let printed = out.write_all(&text).and_then(|()| out.flush());
            printed.map(|()| text).map_err(explain)
        };
        self.text = lane.run(print).await?;
        self.text.clear();
        Ok(())
    }

    async fn forget(&mut self) -> Result<()> {
        Ok(())
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    fn describe(&self) -> String {
        match self.format {
            Format::Table => "stdout: rows as a table".into(),
            Format::Ndjson => "stdout: rows as NDJSON".into(),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "one kind differs from all others")]
fn explain(cause: std::io::Error) -> Error {
    match cause.kind() {
        ErrorKind::BrokenPipe => Error::stop("whoever read standard output has closed it")
            .because(cause)
            .fix("to go on without a reader, take the `stdout` sink out of the file"),
        _ => Error::reopen("cannot write to standard output")
            .because(cause)
            .fix("if it is redirected into a file, look at the space on its disk"),
    }
}

#[cfg(test)]
mod tests;
