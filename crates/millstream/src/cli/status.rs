//! `millstream status`: asks a running pipeline how it is doing.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millstream::control::{self, Answer, Request};
use millstream::plugin::QueueOpener;
use millstream::role::Holder;
use millstream::snapshot::PartSnapshot;
use millstream::status::Doing;
use millstream::{Error, Snapshot, Timestamp};

use super::failure::{Failure, load, say, say_json};
use super::letters::moment;
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
        let loaded = load(&self.file)?;
        let pipeline = &loaded.pipeline;
        let opener = &pipeline.queue.opener;
        let folder = opener.folder().ok_or_else(|| {
            Error::stop("a queue in memory has no folder to be asked through")
                .fix("run with `--listen 127.0.0.1:9464` and ask http://127.0.0.1:9464/status")
        })?;
        let (snapshot, holders) = super::dead::block_on(async {
            let answer = control::ask(&folder, &Request::Status).await?;
            let holders =
                if opener.shared() { holders(opener.as_ref()).await? } else { Vec::new() };
            match answer {
                Some(Answer::Status(snapshot)) => Ok((Some(snapshot), holders)),
                None => Ok((None, holders)),
                Some(other) => {
                    Err(Error::stop(format!("the pipeline answered something else: {other:?}")))
                }
            }
        })?;
        if snapshot.is_none() && holders.is_empty() {
            return Err(Error::stop(format!("pipeline `{}` does not run", pipeline.name))
                .at(folder.display().to_string())
                .fix(format!("start it with `millstream run {}`", self.file.display()))
                .into());
        }
        if self.json {
            return say_json(&json(snapshot.as_deref(), &holders)?);
        }
        let mut text = match &snapshot {
            Some(snapshot) => render(&pipeline.name, snapshot),
            None => format!("pipeline {}: no process of this host processes it\n", pipeline.name),
        };
        if !holders.is_empty() {
            text.push('\n');
            text.push_str(&who(&holders));
        }
        say(&text)
    }
}

/// Who does what, as the queue itself says.
async fn holders(opener: &dyn QueueOpener) -> millstream::Result<Vec<Holder>> {
    let queue = opener.open().await?;
    let holders = queue.holders().await;
    queue.close().await?;
    holders
}

fn json(snapshot: Option<&Snapshot>, holders: &[Holder]) -> millstream::Result<serde_json::Value> {
    let json = |e| Error::stop("cannot write JSON").because(e);
    let mut all = match snapshot {
        Some(snapshot) => serde_json::to_value(snapshot).map_err(json)?,
        None => serde_json::json!({ "ready": false }),
    };
    if let (Some(fields), false) = (all.as_object_mut(), holders.is_empty()) {
        fields.insert("holders".into(), serde_json::to_value(holders).map_err(json)?);
    }
    Ok(all)
}

/// Which process has which role.
fn who(holders: &[Holder]) -> String {
    let cells = |h: &Holder| vec![h.role.to_string(), h.process.clone()];
    aligned(&["role", "process"], &holders.iter().map(cells).collect::<Vec<_>>())
}

/// How far event time has come at a part that has any, and the state that a view keeps.
fn time_cells(part: &PartSnapshot) -> Option<Vec<String>> {
    if part.watermark_us.is_none() && part.state_bytes == 0 {
        return None;
    }
    let at = part.watermark_us.map_or_else(|| "-".to_owned(), |at| moment(Timestamp(at)));
    let numbers = [part.late, part.state_bytes].map(grouped);
    let mut cells = vec![part.kind.clone(), part.name.clone(), at];
    cells.extend(numbers);
    Some(cells)
}

fn render(name: &str, now: &Snapshot) -> String {
    let mut out = format!(
        "pipeline {name}: {}, up {}, epoch {}, lag {} frames, {} bytes in the queue\n\n",
        match now.doing {
            Doing::Opening => "opening",
            Doing::Processing => "ready",
            Doing::StandingBy => "standing by",
            Doing::Collecting => "collecting",
        },
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
    let times: Vec<Vec<String>> = now.parts.iter().filter_map(time_cells).collect();
    if !times.is_empty() {
        out.push('\n');
        let head =
            ["kind", "part", "event time complete up to", ">rows late", ">state in memory, bytes"];
        out.push_str(&aligned(&head, &times));
    }
    for part in &now.parts {
        for (split, why) in &part.troubles {
            let of = if split.is_empty() { String::new() } else { format!(" {split}") };
            out.push_str(&format!("! {} {}{of}: {why}\n", part.kind, part.name));
        }
    }
    out
}
