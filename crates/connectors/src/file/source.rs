//! The options of a `file` source, and the thread that reads ahead.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_core::fields::Bytes;
use millstream_core::plugin::{Config, Env, Report};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Remedy, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::lines::READ_BYTES;
use super::listing::Listing;
use super::reader::ReaderOptions;
use super::watch::Watch;

/// Reads files: lines (NDJSON, CSV, logs) or whole documents.
///
/// A record is a run of whole lines, up to some 256 KiB; where the codec reads a header (CSV), the first line of a file
/// that is not empty is put before each record of it. Each file is a split; what was read of it is known
/// by the file itself, not by its name, so that nothing is read twice or left out when a log is rotated, be it by
/// renaming or by copying and cutting (what is written between the two is lost to any reader). A file that was cut and
/// written anew is told by its length, or by its time of change and the first and last 256 bytes of what was read: one
/// that agrees in all of these is taken for unchanged, and so is the part that agrees of one that has grown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// The file, or a pattern such as `logs/*.ndjson`; `**` stands for folders at any depth.
    pub path: String,
    /// Waits for more lines and more files, without end. Otherwise each file is read once; a last line
    /// without its line end then counts.
    #[serde(default)]
    pub follow: bool,
    /// Where to begin in files that are there at the first start. Later files are read from their start.
    #[serde(default)]
    pub from: Begin,
    /// Whether the first line of each file is a header, which is put before each record. Left out, it is as the codec
    /// says; what the codec contradicts is refused.
    #[serde(default)]
    pub header: Option<bool>,
    /// Each file is one record (a JSON document, say). With `follow`, a file that changes is read again.
    #[serde(default)]
    pub whole: bool,
    /// The longest line to take, or with `whole` the largest file. A longer one is left out, which counts as
    /// a trouble of its file.
    #[serde(default = "line_max")]
    pub line_max: Bytes,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// At the beginning.
    #[default]
    Start,
    /// After the last line there is.
    End,
}

fn line_max() -> Bytes {
    Bytes(16 << 20)
}

/// Records read ahead: enough to keep the reader and the queue busy at one time.
const RECORDS_AHEAD: usize = 4;

impl Config<dyn Source> for FileSource {
    const NAME: &'static str = "file";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        Ok(Box::new(Files::new(&self, env, Times::default())?))
    }
}

/// How often files are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Between two looks at whether a file has grown.
    pub(super) poll: Duration,
    /// Between two listings of the files.
    pub(super) list: Duration,
    /// How long a file that was renamed or deleted is still read.
    pub(super) away: Duration,
    /// How long a new file that begins like one that is being read waits for the other to be cut.
    pub(super) copy: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(100),
            list: Duration::from_secs(1),
            away: Duration::from_secs(5),
            copy: Duration::from_secs(10),
        }
    }
}

/// What the reading thread is told once.
#[derive(Clone)]
pub(super) struct Task {
    pub(super) listing: Listing,
    pub(super) follow: bool,
    pub(super) from: Begin,
    pub(super) whole: bool,
    pub(super) lines: ReaderOptions,
    pub(super) times: Times,
    pub(super) report: Arc<dyn Report>,
}

/// The reader's own thread: reading a file blocks, on a network disk perhaps for long.
pub(super) struct Files {
    task: Task,
    name: String,
    /// What the file says of headers.
    header: Option<bool>,
    records: Option<mpsc::Receiver<Result<Pulled>>>,
    /// Dropped with the source, which ends the thread.
    stop: Option<std::sync::mpsc::Sender<()>>,
    ended: bool,
}

impl Files {
    pub(super) fn new(options: &FileSource, env: &Env, times: Times) -> Result<Self> {
        let line_max = usize::try_from(options.line_max.0).unwrap_or(usize::MAX);
        if line_max < READ_BYTES {
            return Err(Error::stop(format!("`line_max: {}` is too short", options.line_max))
                .fix("give 256KiB or more"));
        }
        if options.whole && (options.header.is_some() || options.from == Begin::End) {
            return Err(Error::stop("`whole` reads files as they are, not by lines")
                .fix("leave out `header` and `from`"));
        }
        if options.from == Begin::End && !options.follow {
            return Err(Error::stop("`from: end` without `follow` reads nothing")
                .fix("give `follow: true`, or leave out `from`"));
        }
        let listing = Listing::new(&options.path, env)?;
        let lines = ReaderOptions { header: options.header == Some(true), line_max };
        let task = Task {
            listing,
            follow: options.follow,
            from: options.from,
            whole: options.whole,
            lines,
            times,
            report: env.report.clone(),
        };
        let (name, header) = (env.name.clone(), options.header);
        Ok(Self { task, name, header, records: None, stop: None, ended: false })
    }
}

#[async_trait]
impl Source for Files {
    async fn open(&mut self, after: &SplitPositions) -> Result<()> {
        (self.stop, self.records, self.ended) = (None, None, false);
        let (sender, records) = mpsc::channel(RECORDS_AHEAD);
        let (stop, stopped) = std::sync::mpsc::channel();
        let watch = Watch::new(self.task.clone(), after, sender, stopped)?;
        let (task, fresh) = (self.task.clone(), after.is_empty());
        // Looked at beforehand, so that a wrong path is told at once.
        let look = move || {
            let pattern = task.listing.is_pattern();
            if pattern && (task.follow || !fresh || !task.listing.entries().is_empty()) {
                return Ok(());
            }
            match task.listing.missing() {
                Err(e) if task.follow && !pattern => Err(e.with_remedy(Remedy::Retry)),
                // What was there and is gone has been read.
                Err(_) if !task.follow && !fresh => Ok(()),
                other => other,
            }
        };
        let looked = tokio::task::spawn_blocking(look).await;
        looked.map_err(|e| Error::reopen("the look at the files broke off").because(e))??;
        std::thread::Builder::new()
            .name(format!("file {}", self.name))
            .spawn(move || watch.run())
            .map_err(|e| Error::retry("cannot start a thread to read files").because(e))?;
        (self.stop, self.records) = (Some(stop), Some(records));
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        if self.ended {
            return Ok(None);
        }
        let Some(records) = &mut self.records else {
            return Err(Error::reopen("the files are not open"));
        };
        match records.recv().await {
            Some(pulled) => pulled.map(Some),
            None if self.task.follow => Err(Error::reopen("the reading of files broke off")),
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    fn finite(&self) -> bool {
        !self.task.follow
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn repeat_header(&mut self, header: bool) -> Result<()> {
        if self.task.whole {
            // Each file is one record, and brings its own.
            return Ok(());
        }
        if let Some(given) = self.header.filter(|given| *given != header) {
            let codec = if header { "takes the first line for one" } else { "reads none" };
            return Err(Error::stop(format!("`header: {given}`, but the codec {codec}"))
                .at("header")
                .fix("leave it out, for the source follows `decode`; `csv: { header: false }` reads without"));
        }
        self.task.lines.header = header;
        Ok(())
    }

    fn describe(&self) -> String {
        let what = match (self.task.whole, self.task.follow) {
            (true, false) => "whole files, once",
            (true, true) => "whole files, new and changed ones",
            (false, false) => "lines, once",
            (false, true) => "lines, as they are written",
        };
        let max = Bytes(self.task.lines.line_max as u64);
        let unit = if self.task.whole { "file" } else { "line" };
        let header = if self.task.lines.header { ", the header before each record" } else { "" };
        format!("`{}`: {what}{header}, up to {max} a {unit}", self.task.listing.text())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
