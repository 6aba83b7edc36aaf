//! Reference tables: files that are read whole, and again when they changed.
//!
//! A file that is written while it is read must not become half a table. So it counts only if it was the same before and after, and
//! one that changed a moment ago is left for the next look, but for the first one.

mod csv;
mod parquet;
mod sqlite;

use std::fmt;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_core::codec::{Column, Columns, Decoded};
use millstream_core::fields::Bytes;
use millstream_core::plugin::Env;
use millstream_core::reference::{Content, TableReader};
use millstream_core::{Clock, Error, Result};

pub use self::csv::CsvTable;
pub use self::parquet::ParquetTable;
pub use self::sqlite::SqliteTable;

/// For so long after a change another one may not show in the time of the file, and may be under way.
const FRESH: Duration = Duration::from_secs(1);

/// How a file becomes a table.
trait Format: Send + Sync + fmt::Debug {
    /// Reads all of it.
    fn read(&self, path: &Path, columns: Option<&Columns>, bytes_max: u64) -> Result<Content>;

    /// Whether it can have these columns.
    fn suits(&self, columns: &Columns) -> Result<()>;

    /// What it is, for `check`.
    fn describe(&self) -> String;

    /// Files beside it that tell of a change as well, by what is added to its name.
    fn beside(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A file as a table.
struct FileTable {
    path: PathBuf,
    format: Arc<dyn Format>,
    clock: Arc<dyn Clock>,
    seen: Option<Seen>,
}

/// What was there when it was read last.
struct Seen {
    stamp: Vec<Stamp>,
    /// It had not changed for a while, so that nothing can have changed unseen since.
    sure: bool,
}

/// What tells of a change of a file: its number, its length, and when it was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    file: u64,
    bytes: u64,
    changed: i64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = metadata.mtime().saturating_mul(1_000_000_000);
        Self {
            file: metadata.ino(),
            bytes: metadata.len(),
            changed: changed.saturating_add(metadata.mtime_nsec()),
        }
    }
}

impl FileTable {
    fn open(env: &Env, path: &Path, format: impl Format + 'static) -> Box<dyn TableReader> {
        Box::new(Self {
            path: env.path(path),
            format: Arc::new(format),
            clock: env.clock.clone(),
            seen: None,
        })
    }

    fn stamp(&self) -> Result<Vec<Stamp>> {
        let own = std::fs::metadata(&self.path).map_err(|e| missing(&self.path, e))?;
        let mut stamps = vec![Stamp::of(&own)];
        for more in self.format.beside() {
            let mut name = self.path.clone().into_os_string();
            name.push(more);
            stamps.push(match std::fs::metadata(&name) {
                Ok(found) => Stamp::of(&found),
                Err(e) if e.kind() == ErrorKind::NotFound => Stamp::default(),
                Err(e) => return Err(missing(Path::new(&name), e)),
            });
        }
        Ok(stamps)
    }

    /// Whether it changed so lately that more may be under way.
    fn fresh(&self, stamp: &[Stamp]) -> bool {
        let now = self.clock.now().0.saturating_mul(1_000);
        let since = |s: &Stamp| now.saturating_sub(s.changed);
        let fresh = i64::try_from(FRESH.as_nanos()).unwrap_or(i64::MAX);
        stamp.iter().any(|s| since(s) < fresh)
    }
}

#[async_trait]
impl TableReader for FileTable {
    async fn read(&mut self, columns: Option<&Columns>, bytes_max: u64) -> Result<Option<Content>> {
        let stamp = self.stamp()?;
        let fresh = self.fresh(&stamp);
        match &self.seen {
            Some(seen) if seen.stamp == stamp && seen.sure => return Ok(None),
            Some(_) if fresh => return Ok(None),
            _ => {}
        }
        let bytes = stamp.first().map_or(0, |s| s.bytes);
        self.seen = Some(Seen { stamp: stamp.clone(), sure: !fresh });
        if bytes > bytes_max && self.format.beside().is_empty() {
            return Err(too_large(&self.path, bytes, bytes_max));
        }
        let (path, format) = (self.path.clone(), self.format.clone());
        let columns = columns.cloned();
        let read = move || {
            let place = path.display().to_string();
            format.read(&path, columns.as_ref(), bytes_max).map_err(|e| match e.place() {
                Some(_) => e,
                None => e.at(place),
            })
        };
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|e| Error::stop("reading a table panicked").because(e))?;
        if self.stamp()? != stamp {
            self.seen = None;
            return Err(Error::retry("it changed while it was read")
                .at(self.path.display().to_string())
                .fix("write it beside under another name and rename it, so that it is never half there"));
        }
        read.map(Some)
    }

    fn suits(&self, columns: &Columns) -> Result<()> {
        self.format.suits(columns)
    }

    fn describe(&self) -> String {
        format!("`{}`: {}", self.path.display(), self.format.describe())
    }
}

fn missing(path: &Path, error: std::io::Error) -> Error {
    let place = path.display().to_string();
    let error = match error.kind() {
        ErrorKind::NotFound => Error::retry("there is no such file").because(error),
        ErrorKind::PermissionDenied => Error::retry("it may not be read").because(error),
        _ => Error::retry("it cannot be read").because(error),
    };
    error.at(place)
}

fn too_large(path: &Path, bytes: u64, most: u64) -> Error {
    let (bytes, most) = (Bytes(bytes), Bytes(most));
    Error::stop(format!("a table of {bytes} is larger than {most}"))
        .at(path.display().to_string())
        .fix("raise `bytes_max` of the table: each version is kept in memory and in the queue; or look rows up by a key, with `lookups`")
}

/// What the file calls a column.
fn name_in_file(column: &Column) -> Result<String> {
    let Some(at) = &column.at else { return Ok(column.name.clone()) };
    let mut tokens = crate::codec::tokens(at)?;
    tokens.pop().filter(|_| tokens.is_empty()).ok_or_else(|| {
        Error::stop(format!("column `{}`: `at: {at}` leads into a value", column.name))
            .fix("in a table `at` is the name of one column, such as `/Sensor name`")
    })
}

/// Whether there are all columns that there have to be.
fn all_there(columns: &Columns, names: &[String]) -> Result<()> {
    for column in &columns.0 {
        let name = name_in_file(column)?;
        if !names.contains(&name) {
            let names = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            return Err(Error::stop(format!("there is no column `{name}`")).fix(format!(
                "it has {names}: let it have that one too, or declare the table's `columns` without it"
            )));
        }
    }
    Ok(())
}

/// What was decoded, if all of it could be.
fn whole(decoded: Decoded) -> Result<arrow_array::RecordBatch> {
    if let Some(refused) = decoded.refused_records.first() {
        return Err(Error::stop(refused.reason.clone()));
    }
    match decoded.refused.first() {
        Some(row) => {
            let what = format!("row {}: {}", row.ordinal + 1, row.reason);
            Err(Error::stop(what)
                .fix("mend the row, or declare the table's `columns` so that it fits"))
        }
        None => Ok(decoded.batch),
    }
}

fn no_columns() -> Error {
    Error::stop("nothing tells which columns it has").fix("declare the table's `columns`")
}

#[cfg(test)]
mod tests;
