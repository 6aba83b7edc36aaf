//! A pipeline with a source, a sink and a SQL function of one's own, in one program:
//!
//! ```text
//! cargo run -p millstream --example own_parts
//! ```
//!
//! A part is a struct of options (its form in the file, its JSON Schema and its reference) that builds
//! what fills a seam. The engine does the rest: retries, checkpoints, dead letters, the ledger.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::{DataType, SchemaRef};
use async_trait::async_trait;
use millstream::codec::{Column, ColumnType, Columns, Rows};
use millstream::operator::Function;
use millstream::queue::Mark;
use millstream::record::{Name, Position, Record};
use millstream::sink::{Held, Promise, Refused, Sink};
use millstream::source::{Pulled, Replay, Source, SplitPositions};
use millstream::{Closing, Config, Env, Error, Pipeline, Plugin, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const FILE: &str = "
name: own_parts
sources:
  kitchen:
    from: { thermometer: { readings: 100 } }
queue: { log: { path: data } }
views:
  warm: SELECT n, celsius(fahrenheit) AS celsius FROM kitchen WHERE fahrenheit >= 68
sinks:
  mean:
    rows: warm
    to: { mean: { column: celsius, path: mean.txt } }
";

/// A thermometer that is read a number of times: it shows 50 degrees Fahrenheit, then 51, and so on to 89.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thermometer {
    /// How often to read it.
    readings: u64,
}

impl Config<dyn Source> for Thermometer {
    const NAME: &'static str = "thermometer";

    fn build(self, _: &Env) -> Result<Box<dyn Source>> {
        Ok(Box::new(Readings { readings: self.readings, next: 0 }))
    }
}

struct Readings {
    readings: u64,
    next: u64,
}

#[async_trait]
impl Source for Readings {
    async fn open(&mut self, after: &SplitPositions) -> Result<()> {
        // Where it stood is in the queue, in the source's own words.
        self.next = match after.get("kitchen") {
            None => 0,
            Some(Position(bytes)) => std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Error::stop("the position of `kitchen` is no number"))?,
        };
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        if self.next == self.readings {
            return Ok(None);
        }
        let (n, mut lines) = (self.next, String::new());
        // Some rows to a record: each record on its own would cost an entry of the queue.
        self.next = (n + 10).min(self.readings);
        for n in n..self.next {
            let written = writeln!(lines, "{{\"n\":{n},\"fahrenheit\":{}}}", 50 + n % 40);
            written.map_err(|e| Error::stop("cannot write a reading").because(e))?;
        }
        Ok(Some(Pulled {
            split: Name::from("kitchen"),
            records: vec![Record::new(lines)],
            position: Some(Position(self.next.to_string().into())),
            ended: false,
        }))
    }

    fn finite(&self) -> bool {
        true
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn columns(&self) -> Option<Columns> {
        Some(Columns(vec![
            Column::new("n", ColumnType::Int64),
            Column::new("fahrenheit", ColumnType::Float64),
        ]))
    }

    fn describe(&self) -> String {
        format!("a thermometer, {} readings", self.readings)
    }
}

/// Keeps the mean of a column in a text file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mean {
    /// The column: numbers.
    column: String,
    /// The file.
    path: PathBuf,
}

impl Config<dyn Sink> for Mean {
    const NAME: &'static str = "mean";

    fn build(self, env: &Env) -> Result<Box<dyn Sink>> {
        let path = env.path(&self.path);
        Ok(Box::new(MeanOf { column: self.column, path, held: (0, 0.0), written: (0, 0.0) }))
    }
}

/// Counts and sums: what the file holds, and what was written since.
struct MeanOf {
    column: String,
    path: PathBuf,
    held: (u64, f64),
    written: (u64, f64),
}

#[async_trait]
impl Sink for MeanOf {
    async fn open(&mut self, schema: SchemaRef) -> Result<Held> {
        let field = schema
            .field_with_name(&self.column)
            .map_err(|e| Error::stop("no such column").because(e))?;
        if field.data_type() != &DataType::Float64 {
            return Err(Error::stop(format!("column `{}` is no float64", self.column)));
        }
        // Whatever was not flushed is forgotten; the engine writes it anew.
        self.written = (0, 0.0);
        Ok(Held::Untracked)
    }

    async fn write(&mut self, rows: &Rows) -> Result<()> {
        let column = rows
            .batch
            .column_by_name(&self.column)
            .ok_or_else(|| Error::stop(format!("no column `{}`", self.column)))?
            .as_primitive::<Float64Type>();
        for value in column.iter().flatten() {
            self.written = (self.written.0 + 1, self.written.1 + value);
        }
        Ok(())
    }

    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        Ok(Vec::new())
    }

    async fn flush(&mut self, _: &Mark) -> Result<()> {
        let (count, sum) = (self.held.0 + self.written.0, self.held.1 + self.written.1);
        #[expect(clippy::cast_precision_loss, reason = "nobody reads a thermometer that often")]
        let text = format!("{:.2} from {count} readings\n", sum / count.max(1) as f64);
        std::fs::write(&self.path, text)
            .map_err(|e| Error::reopen("cannot write the mean").because(e))?;
        (self.held, self.written) = ((count, sum), (0, 0.0));
        Ok(())
    }

    async fn forget(&mut self) -> Result<()> {
        Ok(())
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    fn describe(&self) -> String {
        format!("the mean of `{}` in {}", self.column, self.path.display())
    }
}

/// `celsius(fahrenheit)`: whole columns at a time.
#[derive(Debug)]
pub struct Celsius;

impl Function for Celsius {
    fn name(&self) -> &str {
        "celsius"
    }

    fn arguments(&self) -> Vec<DataType> {
        vec![DataType::Float64]
    }

    fn result(&self) -> DataType {
        DataType::Float64
    }

    fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let [fahrenheit] = arguments else {
            return Err(Error::stop("`celsius` takes one argument"));
        };
        let celsius = |f: f64| (f - 32.0) / 1.8;
        let result: Float64Array = fahrenheit.as_primitive::<Float64Type>().unary(celsius);
        Ok(Arc::new(result))
    }
}

/// Runs it in a folder until all readings are delivered.
///
/// # Errors
/// When the file is wrong, or the run stops before its end.
pub async fn run(folder: &Path) -> Result<Closing, Box<dyn std::error::Error>> {
    let registry = millstream::standard()
        .source(Plugin::of::<Thermometer>())
        .sink(Plugin::of::<Mean>())
        .function(Arc::new(Celsius));
    let pipeline = Pipeline::with(registry).parse(FILE, "own_parts.yaml", folder)?.once();
    Ok(pipeline.run().await?)
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for the terminal")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("millstream-own-parts-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let closing = run(&folder).await?;
    print!("{}", std::fs::read_to_string(folder.join("mean.txt"))?);
    println!(
        "{} edges, all balanced: {}",
        closing.ledger.0.len(),
        closing.ledger.unbalanced().next().is_none()
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
