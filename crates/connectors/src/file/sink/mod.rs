//! Rows into files that appear whole.

mod damage;
mod disk;
mod fault;
mod format;
mod frame;
mod spool;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use millstream_core::codec::Rows;
use millstream_core::fields::{Bytes, Span};
use millstream_core::plugin::{Config, Env};
use millstream_core::queue::{Epoch, Mark};
use millstream_core::sink::{Held, Promise, Refused, Sink};
use millstream_core::{Clock, Error, Result, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::disk::RealDisk;
use self::spool::Spool;
use crate::lane::Lane;

/// Writes rows to files, each row exactly once. A file appears complete or not at all.
///
/// Flushed rows are kept in a hidden spool beside the files, `.PIPELINE.SINK.part`, which survives power
/// loss and says how far it has come. It becomes a file when it is large or old enough, always with
/// whole epochs, and when the pipeline stops in good order. Files are numbered from 1 on; a number is
/// never used again, even if its file is moved away, and a file that is there is never overwritten. One process
/// at a time has the spool, by a lock on `.PIPELINE.SINK.part.lock`; another one waits for it.
///
/// Leave the spool where it is. Before you change the folder, stop the pipeline in good order, so that
/// nothing is left in it. A spool that is damaged (a flipped bit, say) before its last epoch stops the pipeline and is
/// left as it is; `--resume SINK` moves it aside, as `.PIPELINE.SINK.part.damaged-1`, and goes on without it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSink {
    /// The files: a path whose name contains `{n}`, such as `out/readings-{n}.ndjson`, which becomes
    /// `out/readings-00000001.ndjson` and so on; or a folder, ending in `/`, for `SINK-{n}.FORMAT`. The
    /// folder is made if it is not there.
    path: PathBuf,
    /// How rows are written; told by the path's ending (`.ndjson`, `.jsonl`, `.csv`, `.parquet`) if not given.
    #[serde(default)]
    format: Option<Format>,
    /// When a file is finished and the next begun.
    #[serde(default)]
    roll: Roll,
    /// How Parquet pages are compressed; `zstd` if not given. Other formats are not compressed.
    #[serde(default)]
    compression: Option<Compression>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// One JSON object a line, exact; NaN and infinities as the texts `"NaN"`, `"Infinity"`, `"-Infinity"`.
    Ndjson,
    /// RFC 4180 with a header line. Null is nothing, the empty text is `""`.
    Csv,
    /// Apache Parquet, with the columns' own types.
    Parquet,
}

/// When a file is finished, at the end of an epoch.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Roll {
    /// When it has this many bytes; for Parquet, before compression.
    bytes: Bytes,
    /// When its first row was flushed this long ago.
    age: Span,
}

impl Default for Roll {
    fn default() -> Self {
        Self { bytes: Bytes(64 << 20), age: Span(std::time::Duration::from_secs(600)) }
    }
}

/// How Parquet pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    /// Not at all.
    None,
    /// Fast.
    Snappy,
    /// Small.
    Zstd,
}

/// The options, checked, with paths made whole.
#[derive(Clone, Debug)]
struct Options {
    folder: PathBuf,
    /// What stands before and after the number.
    before: String,
    after: String,
    /// Where the spool is, and the sink's name.
    spool: String,
    sink: String,
    format: Format,
    roll: Roll,
    compression: Compression,
}

impl Options {
    fn of(file: &FileSink, env: &Env) -> Result<Self> {
        let shown = file.path.display().to_string();
        let stop = |what: &str, fix: &str| Err(Error::stop(what).at(shown.clone()).fix(fix));
        let ending = file.path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        let told = match ending.as_deref() {
            Some("ndjson" | "jsonl") => Some(Format::Ndjson),
            Some("csv") => Some(Format::Csv),
            Some("parquet") => Some(Format::Parquet),
            Some(_) | None => None,
        };
        let Some(format) = file.format.or(told) else {
            return stop(
                "the path does not tell the format",
                "add `format: ndjson`, `csv` or `parquet`",
            );
        };
        let compression = match (format, file.compression) {
            (Format::Parquet, given) => given.unwrap_or(Compression::Zstd),
            (Format::Ndjson | Format::Csv, None | Some(Compression::None)) => Compression::None,
            (Format::Ndjson | Format::Csv, Some(_)) => {
                return stop("only Parquet files can be compressed", "take `compression` out");
            }
        };
        let (folder, name) = if shown.ends_with(['/', std::path::MAIN_SEPARATOR]) {
            let ending = match format {
                Format::Ndjson => "ndjson",
                Format::Csv => "csv",
                Format::Parquet => "parquet",
            };
            (env.path(&file.path), format!("{}-{{n}}.{ending}", env.name))
        } else {
            let folder = file.path.parent().map(|f| env.path(f));
            let name = file.path.file_name().map(|n| n.to_string_lossy().into_owned());
            (folder.unwrap_or_else(|| env.folder.clone()), name.unwrap_or_default())
        };
        let folder_shown = folder.display().to_string();
        let Some((before, after)) = name.split_once("{n}") else {
            return stop(
                "the path has no `{n}` for the file's number",
                "write it like `out/readings-{n}.ndjson`, or end it with `/` to name a folder",
            );
        };
        if after.contains("{n}") || folder_shown.contains("{n}") {
            return stop(
                "`{n}` may stand only once, in the file's name",
                "write it like `out/readings-{n}.ndjson`",
            );
        }
        if before.starts_with('.') {
            return stop("a name with a dot in front would be hidden", "take the dot away");
        }
        let (before, after) = (before.to_owned(), after.to_owned());
        let spool = format!(".{}.{}.part", env.pipeline, env.name);
        let sink = env.name.clone();
        Ok(Self { folder, before, after, spool, sink, format, roll: file.roll, compression })
    }
}

impl Config<dyn Sink> for FileSink {
    const NAME: &'static str = "file";

    fn build(self, env: &Env) -> Result<Box<dyn Sink>> {
        let options = Options::of(&self, env)?;
        Ok(Box::new(Files { options, clock: env.clock.clone(), lane: None }))
    }
}

/// Hands everything to a thread that has the spool.
struct Files {
    options: Options,
    clock: Arc<dyn Clock>,
    lane: Option<Lane<Spool>>,
}

impl Files {
    async fn run<R: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut Spool) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let lane = match &mut self.lane {
            Some(lane) => lane,
            none => {
                let spool = Spool::new(self.options.clone(), Box::new(RealDisk));
                none.insert(Lane::start(&format!("file {}", self.options.sink), spool)?)
            }
        };
        lane.run(job).await
    }
}

#[async_trait]
impl Sink for Files {
    async fn open(&mut self, schema: SchemaRef) -> Result<Held> {
        self.run(move |spool| spool.open(&schema)).await
    }

    async fn write(&mut self, rows: &Rows) -> Result<()> {
        let batch = rows.batch.clone();
        self.run(move |spool| spool.write(&batch)).await
    }

    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        self.run(Spool::prepare).await?;
        Ok(Vec::new())
    }

    async fn flush(&mut self, mark: &Mark) -> Result<()> {
        let (mark, now) = (*mark, self.clock.now());
        self.run(move |spool| spool.flush(mark, now)).await
    }

    async fn forget(&mut self) -> Result<()> {
        self.run(Spool::forget).await
    }

    async fn tick(&mut self, now: Timestamp) -> Result<()> {
        if self.lane.is_none() {
            return Ok(());
        }
        self.run(move |spool| spool.roll_if_due(now)).await
    }

    async fn close(&mut self, _: Epoch) -> Result<()> {
        if self.lane.is_none() {
            return Ok(());
        }
        self.run(Spool::roll).await
    }

    fn local(&self) -> bool {
        true
    }

    fn promise(&self) -> Promise {
        Promise::EffectivelyOnce
    }

    fn describe(&self) -> String {
        let Options { folder, before, after, roll, .. } = &self.options;
        let name = folder.join(format!("{before}{{n}}{after}"));
        format!("file: {}, a new one after {} or {}", name.display(), roll.bytes, roll.age)
    }
}

#[cfg(test)]
mod tests;
