//! `millstream status`: asks a running pipeline how it is doing.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millstream::control::{self, Answer, Request};
use millstream::snapshot::PartSnapshot;
use millstream::{Error, Pipeline, Snapshot};

use super::failure::{Failure, say, say_json};
use super::numbers::{grouped, span};
use super::table::aligned;

/// Ask a running pipeline how it is doing.
///
/// The pipeline answers through a socket in its queue's folder; nothing is opened or changed.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The pipeline file.
    file: PathBuf,
    /// Print the numbers as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let loaded = Pipeline::with(millstream::standard()).parts(&self.file)?;
        let pipeline = &loaded.pipeline;
        let folder = pipeline.queue.opener.folder().ok_or_else(|| {
            Error::stop("a queue in memory has no folder to be asked through")
                .fix("run with `--listen 127.0.0.1:9464` and ask http://127.0.0.1:9464/status")
        })?;
        match super::dead::block_on(control::ask(&folder, &Request::Status))? {
            Some(Answer::Status(snapshot)) if self.json => say_json(&snapshot),
            Some(Answer::Status(snapshot)) => say(&render(&pipeline.name, &snapshot)),
            Some(other) => {
                Err(Error::stop(format!("the pipeline answered something else: {other:?}")).into())
            }
            None => Err(Error::stop(format!("pipeline `{}` does not run", pipeline.name))
                .at(folder.display().to_string())
                .fix(format!("start it with `millstream run {}`", self.file.display()))
                .into()),
        }
    }
}

fn render(name: &str, now: &Snapshot) -> String {
    let mut out = format!(
        "pipeline {name}: {}, up {}, epoch {}, lag {} frames, {} bytes in the queue\n\n",
        if now.ready { "ready" } else { "opening" },
        span(Duration::from_secs_f64(now.elapsed_s.max(0.0))),
        grouped(now.epoch),
        grouped(now.lag_frames),
        grouped(now.queue_bytes),
    );
    let cells = |p: &PartSnapshot| {
        let state = match (p.troubles.is_empty(), p.ended) {
            (false, _) => "in trouble",
            (true, true) => "ended",
            (true, false) => "works",
        };
        let mut cells = vec![p.kind.clone(), p.name.clone(), state.to_owned()];
        cells.extend([p.records, p.bytes, p.rows, p.filtered, p.set_aside, p.errors].map(grouped));
        cells
    };
    out.push_str(&aligned(
        &[
            "kind",
            "part",
            "state",
            ">records",
            ">bytes",
            ">rows",
            ">filtered",
            ">set aside",
            ">errors",
        ],
        &now.parts.iter().map(cells).collect::<Vec<_>>(),
    ));
    for part in &now.parts {
        for (split, why) in &part.troubles {
            let of = if split.is_empty() { String::new() } else { format!(" {split}") };
            out.push_str(&format!("! {} {}{of}: {why}\n", part.kind, part.name));
        }
    }
    out
}
