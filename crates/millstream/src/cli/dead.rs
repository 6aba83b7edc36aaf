//! `millstream dead`: what was set aside, and what one does with it.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use millstream::clock::SystemClock;
use millstream::control::{self, Answer, Request};
use millstream::dead_letters::DeadLetter;
use millstream::desk::{self, Outcome, Pick};
use millstream::queue::Queue;
use millstream::role::Role;
use millstream::Error;

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
        let Some(answer) = ask(&self.file, request(pick))? else {
            return match numbers.first() {
                Some(number) => Err(no_such(*number)),
                None => say(&format!("0 {done}\n")),
            };
        };
        let Answer::Done(Outcome { done: count, left, why }) = answer else {
            return Err(odd(&answer));
        };
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

fn found(file: &PathBuf, pick: Pick) -> Result<Vec<(u64, DeadLetter)>, Failure> {
    match ask(file, Request::List(pick))? {
        None => Ok(Vec::new()),
        Some(Answer::Letters(letters)) => Ok(letters),
        Some(other) => Err(odd(&other)),
    }
}

/// Asks the running pipeline, else the queue at rest; `None` if there is no queue yet.
fn ask(file: &PathBuf, request: Request) -> Result<Option<Answer>, Failure> {
    let loaded = load(file)?;
    let opener = &loaded.pipeline.queue.opener;
    let folder = opener.folder().ok_or_else(|| {
        Failure::World(
            Error::stop("this pipeline's queue is memory: what it set aside ended with its run")
                .fix("keep it with `queue: { log: { path: ./data } }`"),
        )
    })?;
    block_on(async {
        if let Some(answer) = control::ask(&folder, &request).await? {
            return Ok(Some(answer));
        }
        // Opening makes what is not there, so look first.
        let nothing =
            || std::fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
        if !opener.shared() && nothing() {
            return Ok(None);
        }
        let queue = opener.open().await?;
        if matches!(request, Request::Drop(_) | Request::Replay(_)) {
            not_elsewhere(queue.as_ref()).await?;
        }
        let answer = desk::at_rest(queue.as_ref(), &SystemClock, request).await;
        queue.close().await?;
        answer.map(Some)
    })
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
