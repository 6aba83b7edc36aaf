//! `millstream dead`: what was set aside, and what one does with it.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use millstream::clock::SystemClock;
use millstream::control::{self, Answer, Request};
use millstream::dead_letters::DeadLetter;
use millstream::desk::{self, Outcome, Pick};
use millstream::opening::patiently;
use millstream::queue::Queue;
use millstream::role::Role;
use millstream::{Error, Remedy};
use millstream_engine::config;

use super::failure::{Failure, load, say};
use super::letters;

/// List, show, replay or drop the records and rows that were set aside.
///
/// A running pipeline is asked to do it; else its queue is opened for as long as it takes. Nothing is created.
#[derive(Debug, Args)]
pub(crate) struct Dead {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them: number, stage, part, row, arrival and reason.
    List(List),
    /// Show them whole: the bytes as they arrived, or the row.
    Show(Show),
    /// Send them through the pipeline again, once what refused them is mended.
    Replay(Act),
    /// Drop them for ever.
    Drop(Act),
}

#[derive(Debug, Args)]
struct List {
    /// The pipeline file.
    file: PathBuf,
    /// Only those of this source, view or sink.
    #[arg(long)]
    part: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// The pipeline file.
    file: PathBuf,
    /// Numbers, as `dead list` gives them; all if none is given.
    numbers: Vec<u64>,
    /// Only those of this source, view or sink.
    #[arg(long)]
    part: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Act {
    /// The pipeline file.
    file: PathBuf,
    /// Numbers, as `dead list` gives them.
    #[arg(required_unless_present_any = ["all", "part"], conflicts_with = "all")]
    numbers: Vec<u64>,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// Only those of this source, view or sink.
    #[arg(long)]
    part: Option<String>,
}

impl Dead {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List(v) => v.run(),
            Verb::Show(v) => v.run(),
            Verb::Replay(v) => v.run("replayed", Request::Replay),
            Verb::Drop(v) => v.run("dropped", Request::Drop),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        // One more than is shown tells whether there are more.
        let limit = Some(self.limit.saturating_add(1));
        let pick = Pick { numbers: BTreeSet::new(), part: self.part, limit };
        let mut found = found(&self.file, pick)?;
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        if self.json {
            return say(&letters::json(&found)?);
        }
        let mut text = letters::list(&found);
        if more {
            text.push_str(&format!(
                "there are more than {}: see them with `--limit`\n",
                self.limit
            ));
        }
        say(&text)
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let numbers: BTreeSet<u64> = self.numbers.into_iter().collect();
        let pick = Pick { numbers: numbers.clone(), part: self.part, limit: None };
        let found = found(&self.file, pick)?;
        if let Some(number) = numbers.iter().find(|n| !found.iter().any(|(f, _)| f == *n)) {
            return Err(no_such(*number));
        }
        say(&if self.json { letters::json(&found)? } else { letters::show(&found)? })
    }
}

impl Act {
    fn run(self, done: &str, request: fn(Pick) -> Request) -> Result<(), Failure> {
        let numbers: BTreeSet<u64> = self.numbers.into_iter().collect();
        let pick = Pick { numbers: numbers.clone(), part: self.part, limit: None };
        let part = pick.part.clone();
        let (answer, parts) = ask(&self.file, &request(pick))?;
        let Some(answer) = answer else {
            parts.know(part.as_deref())?;
            return match numbers.first() {
                Some(number) => Err(no_such(*number)),
                None => say(&format!("0 {done}\n")),
            };
        };
        let Answer::Done(Outcome { done: count, left, why }) = answer else {
            return Err(odd(&answer));
        };
        if count + left == 0 {
            parts.know(part.as_deref())?;
        }
        say(&format!("{count} {done}\n"))?;
        if numbers.len() > count + left {
            let missing = numbers.len() - count - left;
            return Err(Failure::Options(
                Error::stop(format!("{missing} of these numbers are not among the dead letters"))
                    .fix("see `millstream dead list`"),
            ));
        }
        match why {
            Some(why) => Err(Error::stop(format!("{left} left as they were")).fix(why).into()),
            None => Ok(()),
        }
    }
}

fn found(file: &Path, pick: Pick) -> Result<Vec<(u64, DeadLetter)>, Failure> {
    let part = pick.part.clone();
    let (answer, parts) = ask(file, &Request::List(pick))?;
    let letters = match answer {
        None => Vec::new(),
        Some(Answer::Letters(letters)) => letters,
        Some(other) => return Err(odd(&other)),
    };
    if letters.is_empty() {
        parts.know(part.as_deref())?;
    }
    Ok(letters)
}

/// The parts of the file that can set something aside. Letters may be of others, which the file has no more.
struct Parts(Vec<String>);

impl Parts {
    fn of(pipeline: &config::Pipeline) -> Self {
        let sources = pipeline.sources.iter().map(|s| &s.name);
        let views = pipeline.views.iter().map(|v| &v.name);
        let sinks = pipeline.sinks.iter().map(|s| &s.name);
        Self(sources.chain(views).chain(sinks).cloned().collect())
    }

    /// Where nothing is found, the name may be wrong.
    fn know(&self, part: Option<&str>) -> Result<(), Failure> {
        let Some(part) = part.filter(|part| !self.0.iter().any(|known| known == part)) else {
            return Ok(());
        };
        let what = format!("there is no part `{part}`, and no dead letter of it");
        let fix = format!("parts of this file: {}", self.0.join(", "));
        Err(Failure::Options(Error::stop(what).fix(fix)))
    }
}

/// Asks the running pipeline, else the queue at rest; `None` if there is no queue yet.
fn ask(file: &Path, request: &Request) -> Result<(Option<Answer>, Parts), Failure> {
    let loaded = load(file)?;
    let opener = &loaded.pipeline.queue.opener;
    let folder = opener.folder().ok_or_else(|| {
        Failure::World(
            Error::stop("this pipeline's queue is memory: what it set aside ended with its run")
                .fix("keep it with `queue: { log: { path: ./data } }`"),
        )
    })?;
    // Another verb may hold the queue for a moment, or a pipeline that has just begun and does not listen yet.
    let acts = matches!(request, Request::Drop(_) | Request::Replay(_));
    let finally = |error: Error| error.with_remedy(Remedy::Stop);
    let tried = async || {
        let asked = control::ask(&folder, request).await;
        // What broke off may have been done all the same.
        if let Some(answer) = if acts { asked.map_err(finally) } else { asked }? {
            return Ok(Some(answer));
        }
        // Opening makes what is not there, so look first.
        let nothing =
            || std::fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
        if !opener.shared() && nothing() {
            return Ok(None);
        }
        let opened = opener.open().await;
        let queue = if opener.shared() { opened.map_err(finally) } else { opened }?;
        if acts {
            not_elsewhere(queue.as_ref()).await.map_err(finally)?;
        }
        let answer = desk::at_rest(queue.as_ref(), &SystemClock, request.clone()).await;
        queue.close().await.map_err(finally)?;
        answer.map(Some).map_err(finally)
    };
    Ok((block_on(patiently(tried))?, Parts::of(&loaded.pipeline)))
}

/// Only the process that processes can change the dead letters while it runs.
async fn not_elsewhere(queue: &dyn Queue) -> millstream::Result<()> {
    let holders = queue.holders().await?;
    match holders.iter().find(|h| h.role == Role::Process) {
        None => Ok(()),
        Some(holder) => Err(Error::stop(format!(
            "`{}` processes this pipeline now, and only there can dead letters be dropped or replayed",
            holder.process
        ))
        .fix("run this command on that host, beside the same pipeline file, or stop that process first")),
    }
}

/// Runs one short thing.
pub(crate) fn block_on<T>(
    future: impl Future<Output = millstream::Result<T>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::stop("cannot start").because(e))?;
    Ok(runtime.block_on(future)?)
}

fn no_such(number: u64) -> Failure {
    Failure::Options(
        Error::stop(format!("there is no dead letter {number}")).fix("see `millstream dead list`"),
    )
}

fn odd(answer: &Answer) -> Failure {
    Error::stop(format!("the pipeline answered something else: {answer:?}"))
        .fix("it may be of another version: stop it and ask again")
        .into()
}
