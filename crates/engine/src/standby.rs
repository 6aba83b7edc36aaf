//! Processing, when it is this process's turn: at once where it has the queue to itself, else once no other
//! process does it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use millstream_core::queue::Checkpoint;
use millstream_core::role::Role;
use millstream_core::{Error, Remedy, Result};

use crate::begin::{Begun, Parts, begin};
use crate::config::SinkPart;
use crate::control::Control;
use crate::decode::Feed;
use crate::line::{Blueprint, Line, view_errors};
use crate::process::{self, Finish};
use crate::recover;
use crate::seal::{Book, Shared};
use crate::status::Doing;
use crate::tables;
use crate::tasks::{Child, Placement, tell};

/// How long to wait before asking again whether it is our turn.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait for the loop to say why it can do no more.
const WHY_WITHIN: Duration = Duration::from_millis(500);

/// The result of processing, once it has ended.
pub(crate) type Processing = oneshot::Receiver<Result<Book>>;

/// All that processing needs.
pub(crate) struct Standby {
    pub(crate) pipeline: String,
    /// With columns as they are declared; a checkpoint may have pinned others.
    pub(crate) blueprint: Blueprint,
    pub(crate) sinks: Vec<SinkPart>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) step_bytes: usize,
    pub(crate) outbox_bytes: u64,
    pub(crate) resume: BTreeSet<String>,
    pub(crate) placement: Placement,
    /// Where one can ask it.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) finish: watch::Receiver<Finish>,
    pub(crate) kill: Arc<watch::Sender<bool>>,
}

/// Processing that has begun.
struct Running {
    processing: Processing,
    control: Control,
}

impl Standby {
    /// Begins before it returns if it is this process's turn, so that what is wrong with a sink is told before
    /// anything is collected; else waits for the turn beside everything else.
    ///
    /// # Errors
    /// `Stop` when processing cannot begin.
    pub(crate) async fn start(self) -> Result<Processing> {
        let shared = self.shared.clone();
        let finish = self.finish.clone();
        let kill = self.kill.clone();
        let (answer, told) = oneshot::channel();
        if shared.queue.take_role(&Role::Process).await? {
            let running = self.begin().await?;
            tokio::spawn(async move { tell(answer, watched(running, &shared, &kill).await) });
            return Ok(told);
        }
        tracing::info!("another process processes this pipeline: standing by");
        shared.status.set_doing(Doing::StandingBy);
        tokio::spawn(async move {
            let book = async {
                if !turn(&shared, finish).await? {
                    return unprocessed(&shared).await;
                }
                tracing::info!("no other process processes this pipeline any more: taking over");
                shared.status.set_doing(Doing::Opening);
                watched(self.begin().await?, &shared, &kill).await
            };
            tell(answer, book.await);
        });
        Ok(told)
    }

    /// For a process that only collects: nothing is processed, and it ends when the run does.
    pub(crate) fn never(self) -> Processing {
        let Self { shared, mut finish, .. } = self;
        let (answer, told) = oneshot::channel();
        shared.status.set_doing(Doing::Collecting);
        tokio::spawn(async move {
            // An error means that the run is over as well.
            drop(finish.wait_for(|f| f.upto.is_some()).await);
            tell(answer, unprocessed(&shared).await);
        });
        told
    }

    /// Opens the sinks, works out where to go on, and starts the loop.
    async fn begin(self) -> Result<Running> {
        let checkpoints = recover::with_origin(self.shared.queue.checkpoints().await?);
        let sources = pinned(self.blueprint.sources, &checkpoints)?;
        let latest = checkpoints.last().cloned().unwrap_or_default();
        tables::find::begin(&self.blueprint.tables, &self.shared, &latest).await?;
        let line = Line::new(Blueprint { sources, ..self.blueprint }, self.shared.busy.clone());
        let line = line.map_err(|e| view_errors(&e))?;
        let (asks, asks_hear) = mpsc::channel(64);
        let begun = begin(Parts {
            line,
            sinks: self.sinks,
            shared: self.shared.clone(),
            checkpoints,
            step_bytes: self.step_bytes,
            outbox_bytes: self.outbox_bytes,
            resume: self.resume,
            asks: asks_hear,
            finish: self.finish,
        });
        let Begun { processor, start, repeats } = begun.await?;
        let control = Control::start(self.folder, &self.pipeline, self.shared, asks)?;
        let killed = self.kill.subscribe();
        let processing = process::start(self.placement, processor, start, repeats, killed);
        Ok(Running { processing, control })
    }
}

/// Waits for the turn; `false` if the run ends before.
async fn turn(shared: &Shared, mut finish: watch::Receiver<Finish>) -> Result<bool> {
    loop {
        tokio::select! {
            _ = finish.wait_for(|f| f.upto.is_some()) => return Ok(false),
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
        match shared.queue.take_role(&Role::Process).await {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(e) if e.remedy() == Remedy::Stop => return Err(e),
            Err(e) => tracing::debug!(error = %e, "cannot ask whose turn it is"),
        }
    }
}

/// Waits for the end of processing, or of the turn.
async fn watched(running: Running, shared: &Shared, kill: &watch::Sender<bool>) -> Result<Book> {
    let Running { mut processing, control } = running;
    let _looking = Child::spawn(shared.busy.clone().keep_looking(shared.status.clone()));
    let panicked = |_| {
        Err(Error::stop("the processing thread panicked")
            .fix("this is a bug in Millstream or a plugin; nothing is lost, start again"))
    };
    let book = tokio::select! {
        biased;
        ended = &mut processing => ended.unwrap_or_else(panicked),
        () = shared.queue.role_lost(&Role::Process) => {
            // A queue that broke takes the roles along: why it broke is worth more than that.
            let why = tokio::time::timeout(WHY_WITHIN, &mut processing).await;
            kill.send_replace(true);
            shared.busy.give_up();
            match why {
                Ok(Ok(Err(e))) => Err(e),
                Ok(_) => Err(taken_over()),
                Err(_) => {
                    drop(processing.await);
                    Err(taken_over())
                }
            }
        }
    };
    control.stop().await;
    if let Err(e) = shared.queue.give_up_role(&Role::Process).await {
        // It falls free by itself.
        tracing::debug!(error = %e, "cannot give up processing");
    }
    book
}

/// The error of a process that lost its turn.
fn taken_over() -> Error {
    Error::stop(
        "this process was cut off or stopped for so long that another one may process this pipeline now: \
         what it had not committed is left to that one",
    )
    .fix("nothing is lost; start it again, and it stands by")
}

/// What the queue itself says, where nothing was processed here.
async fn unprocessed(shared: &Shared) -> Result<Book> {
    let latest = shared.queue.checkpoints().await?.pop().unwrap_or_default();
    let Checkpoint { ledger, epoch, next, flushed, .. } = latest;
    Ok(Book { ledger, epoch, next, flushed, ..Book::default() })
}

/// Columns as declared, else as pinned by the last checkpoint.
fn pinned(feeds: Vec<Feed>, checkpoints: &[Checkpoint]) -> Result<Vec<Feed>> {
    let pins = checkpoints.last().map(|c| &c.pins);
    let pinned = feeds.into_iter().map(|feed| {
        let name = &feed.name;
        let columns = match (feed.columns, pins.and_then(|p| p.get(name))) {
            (None, Some(json)) => Some(serde_json::from_str(json).map_err(|e| {
                Error::stop(format!("the pinned columns of source `{name}` cannot be read"))
                    .because(e)
            })?),
            (declared, _) => declared,
        };
        Ok(Feed { columns, ..feed })
    });
    pinned.collect()
}
