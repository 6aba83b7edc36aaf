//! One run of a pipeline: open, recover, collect, process, deliver, and end in good order.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use millstream_core::ledger::Ledger;
use millstream_core::operator::View;
use millstream_core::plugin::{QueueOpener, Registry};
use millstream_core::queue::{Epoch, Queue};
use millstream_core::record::{Body, Offset};
use millstream_core::{Clock, Error, Result};

use crate::begin::SCAN_BYTES;
use crate::collect::{Collector, Ending, no_source_ends};
use crate::config::{Pipeline, QueuePart, SinkPart, SourcePart, TablePart};
use crate::line::Blueprint;
use crate::lookup::Lookups;
use crate::opening;
use crate::process::Finish;
use crate::seal::{Book, Shared};
use crate::share::Share;
use crate::standby::{Processing, Standby};
use crate::status::{Kind, Status};
use crate::tables::keep::Keeper;
use crate::tables::{self, Tables};
use crate::tasks::{Placement, Stopper, finish, panicked};

/// With more frames left than this, a few pins among them do not matter.
const TAIL_FRAMES_MAX: u64 = 1_000;

/// How long a run that did not end in time may take to let go.
const KILLED_WITHIN: Duration = Duration::from_millis(500);

/// What of a pipeline one process does, where several share its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Only {
    /// Everything: it collects its share of the sources, and processes when no other process does.
    #[default]
    All,
    /// It collects its share of the sources.
    Collect,
    /// It processes when no other process does.
    Process,
}

/// How a pipeline shall be run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What of it.
    pub only: Only,
    /// End by itself once every finite source has ended and everything is delivered.
    pub once: bool,
    /// Sinks that go on from where the queue stands, whatever they hold.
    pub resume: BTreeSet<String>,
    /// Where the processing loop runs.
    pub placement: Placement,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Closing {
    /// Accounts over the queue's life.
    pub ledger: Ledger,
    /// The last epoch committed.
    pub epoch: Epoch,
    /// Frames that are in the queue and not processed; 0 after a stop in good order.
    pub frames_left: u64,
    /// Something did not end as it should; the data is safe.
    pub trouble: Option<String>,
}

/// A pipeline, ready to run.
pub struct Engine {
    pipeline: Pipeline,
    registry: Registry,
    options: Options,
    status: Arc<Status>,
    stopper: Stopper,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.pipeline.name)
    }
}

impl Engine {
    /// Takes a loaded pipeline. `status` is the one whose parts were handed out as reports when it was loaded.
    #[must_use]
    pub fn new(
        pipeline: Pipeline,
        registry: Registry,
        options: Options,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { pipeline, registry, options, status, stopper: Stopper::new(), clock }
    }

    /// How it shall be run; to be changed before it is.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// To stop the run from elsewhere.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The live numbers.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Runs until stopped, or, with `once`, until everything finite is delivered.
    ///
    /// # Errors
    /// `Stop` with what a person has to mend. Everything appended is in the queue, and the next run goes on.
    pub async fn run(self) -> Result<Closing> {
        let status = self.status.clone();
        let closing = self.run_inner().await;
        status.set_stopped();
        closing
    }

    async fn run_inner(self) -> Result<Closing> {
        let Self { pipeline, registry, options, status, stopper, clock } = self;
        let Pipeline {
            name,
            sources,
            lookups,
            tables,
            views,
            sinks,
            queue: QueuePart { opener, .. },
            limits,
            ..
        } = pipeline;
        let collects = options.only != Only::Process;
        possible(&options, &sources, opener.as_ref())?;
        let queue = opening::open(opener.as_ref(), &name).await?;
        let shared = Arc::new(Shared::new(queue.clone(), status, clock, &limits)?);
        let (finish_tell, finish_hear) = watch::channel(Finish::default());
        let kill = Arc::new(watch::channel(false).0);
        let lookups = Lookups::new(&lookups, &shared.status, limits.retry_max.0);
        let (tables, keepers) = read_first(tables, collects, &shared).await?;
        let blueprint = blueprint(&sources, (lookups, tables), views, &sinks, registry);
        let standby = Standby {
            pipeline: name,
            blueprint,
            sinks,
            shared: shared.clone(),
            step_bytes: usize::try_from(limits.step_bytes.0).unwrap_or(usize::MAX),
            outbox_bytes: limits.outbox_bytes.0,
            resume: options.resume,
            placement: options.placement,
            folder: opener.folder(),
            finish: finish_hear,
            kill: kill.clone(),
        };
        let mut processing = match options.only {
            Only::Collect => standby.never(),
            Only::All | Only::Process => standby.start().await?,
        };
        let sources = if collects { sources } else { Vec::new() };
        let ends = finite(&sources);
        let hush = Stopper::new();
        let share = Share::new(queue.clone(), sources.len());
        let counting = (collects && opener.shared()).then(|| share.count());
        let mut collecting = collect_all(sources, keepers, &shared, &share, &hush);
        let watched = Watch {
            once: options.once,
            finite: ends,
            stopper: &stopper,
            hush: &hush,
            shared: &shared,
        };
        let early = watched.until_over(&mut collecting, &mut processing, &finish_tell).await;
        stopper.stop();
        hush.stop();
        let ended = drain(Drain {
            early,
            collecting,
            processing,
            shared: &shared,
            finish: &finish_tell,
            kill: &kill,
            within: limits.stop_within.0,
        })
        .await;
        drop((counting, opening::sweep(opener.as_ref())));
        let closing = closing(ended, &shared, &queue).await;
        close(queue.as_ref()).await;
        closing
    }
}

async fn close(queue: &dyn Queue) {
    if let Err(e) = queue.close().await {
        tracing::warn!(error = %e, "queue did not close well");
    }
}

/// Reference tables, of each of which the queue has a version now where this process collects; and who looks at them from now on.
async fn read_first(
    parts: Vec<TablePart>,
    collects: bool,
    shared: &Arc<Shared>,
) -> Result<(Tables, Vec<Keeper>)> {
    let tables = Tables::new(&parts);
    let parts = if collects { parts } else { Vec::new() };
    Ok((tables, tables::keep::first(parts, shared).await?))
}

/// Whether this pipeline can be run in this way.
fn possible(options: &Options, sources: &[SourcePart], queue: &dyn QueueOpener) -> Result<()> {
    if options.once && options.only != Only::Process && finite(sources) == 0 {
        return Err(no_source_ends());
    }
    if options.only != Only::All && !queue.shared() && queue.folder().is_none() {
        return Err(forgotten());
    }
    Ok(())
}

/// The error of a process that shall do a part of what is forgotten with it.
fn forgotten() -> Error {
    Error::stop("`--only` is for a queue that other processes can go on with, and this one ends with the process")
        .fix("leave `--only` out, or use `queue: { log: { path: ./data } }`, or one on Redis")
}

/// How a collector ended, and whether its source was to end by itself.
type Collecting = JoinSet<(bool, Result<Ending>)>;

async fn closing(ended: Result<Book>, shared: &Shared, queue: &Arc<dyn Queue>) -> Result<Closing> {
    match ended {
        Ok(book) => Ok(Closing {
            frames_left: left(queue.as_ref(), book.next).await?,
            ledger: book.ledger,
            epoch: book.epoch,
            trouble: book.trouble,
        }),
        Err(e) if e.remedy() == millstream_core::Remedy::Stop => Err(e),
        Err(e) => {
            // It did not come to its end in time: what is committed counts, the rest is in the queue.
            let (epoch, ledger) = shared.status.ledger();
            let status = shared.status.queue();
            let left = u64::try_from(shared.status.lag_frames.get()).unwrap_or(0);
            tracing::warn!(error = %e, end = status.end.0, "stopped before everything was processed");
            Ok(Closing { ledger, epoch, frames_left: left, trouble: Some(e.line()) })
        }
    }
}

/// Frames that nobody has processed. Pins behind the last block are our own, and heeded already; tables wait for rows.
async fn left(queue: &dyn Queue, next: Offset) -> Result<u64> {
    let left = queue.status().end.0.saturating_sub(next.0);
    if left == 0 || left > TAIL_FRAMES_MAX {
        return Ok(left);
    }
    let slab = queue.read(next, SCAN_BYTES).await?;
    let pins =
        slab.frames.iter().filter(|(_, f)| matches!(f.body, Body::Pin(_) | Body::Table(_))).count();
    Ok(left.saturating_sub(pins as u64))
}

fn finite(sources: &[SourcePart]) -> usize {
    sources.iter().filter(|s| s.source.finite()).count()
}

fn blueprint(
    sources: &[SourcePart],
    (lookups, tables): (Lookups, Tables),
    views: Vec<View>,
    sinks: &[SinkPart],
    registry: Registry,
) -> Blueprint {
    Blueprint {
        sources: sources.iter().map(SourcePart::feed).collect(),
        lookups,
        tables,
        views,
        sinks: sinks.iter().map(|s| (s.name.clone(), s.rows.clone())).collect(),
        planner: registry.planner,
        functions: registry.functions,
    }
}

fn collect_all(
    sources: Vec<SourcePart>,
    keepers: Vec<Keeper>,
    shared: &Arc<Shared>,
    share: &Arc<Share>,
    stopper: &Stopper,
) -> Collecting {
    let mut collecting = JoinSet::new();
    for keeper in keepers {
        let stopper = stopper.clone();
        collecting.spawn(async move { (false, keeper.run(&stopper).await) });
    }
    for source in sources {
        let status = shared.status.part(Kind::Source, &source.name);
        let finite = source.source.finite();
        let collector = Collector {
            name: source.name.as_str().into(),
            source: source.source,
            shared: shared.clone(),
            status,
            event_time: source.event_time,
        };
        let name = source.name.clone();
        let (share, stopper) = (share.clone(), stopper.clone());
        collecting.spawn(async move {
            let collect = share.collect(collector, &stopper);
            let ending = AssertUnwindSafe(collect).catch_unwind().await;
            let ending = ending
                .unwrap_or_else(|panic| Err(panicked(&format!("sources.{name}"), panic.as_ref())));
            if !finite && matches!(ending, Ok(Ending::Ended)) {
                tracing::info!(source = name, "a source ended that was not expected to");
            }
            (finite, ending)
        });
    }
    collecting
}

struct Watch<'a> {
    once: bool,
    /// Sources that end by themselves.
    finite: usize,
    stopper: &'a Stopper,
    /// Stops collectors alone.
    hush: &'a Stopper,
    shared: &'a Shared,
}

impl Watch<'_> {
    /// Waits until it is time to end: asked to, everything ended, or something broke. Gives back the
    /// processor's result if that came first.
    async fn until_over(
        &self,
        collecting: &mut Collecting,
        processing: &mut Processing,
        finish_tell: &watch::Sender<Finish>,
    ) -> Early {
        let mut left = self.finite;
        let (mut finishing, mut told) = (false, false);
        loop {
            if left == 0 && self.once && !finishing {
                // Those that never end by themselves have to be told; then nothing will come any more.
                self.hush.stop();
                finishing = true;
            }
            if finishing && collecting.is_empty() && !std::mem::replace(&mut told, true) {
                // Deliver and end.
                let upto = Some(self.shared.queue.status().end);
                finish_tell.send_replace(Finish { upto, outboxes: true });
            }
            tokio::select! {
                biased;
                ended = &mut *processing => {
                    let ended = ended.unwrap_or_else(|_| Err(Error::stop("the processing thread panicked")
                        .fix("this is a bug in Millstream or a plugin; nothing is lost, start again")));
                    return Early { processed: Some(ended), failed: None };
                }
                () = self.stopper.asked() => return Early::default(),
                joined = collecting.join_next(), if !collecting.is_empty() => match joined {
                    Some(Ok((finite, Ok(_)))) => left -= usize::from(finite),
                    Some(Ok((_, Err(e)))) => return Early { processed: None, failed: Some(e) },
                    Some(Err(e)) => {
                        let failed = Error::stop("a source panicked").because(e);
                        return Early { processed: None, failed: Some(failed) };
                    }
                    None => {}
                }
            }
        }
    }
}

#[derive(Default)]
struct Early {
    processed: Option<Result<Book>>,
    failed: Option<Error>,
}

struct Drain<'a> {
    early: Early,
    collecting: Collecting,
    processing: Processing,
    shared: &'a Shared,
    finish: &'a watch::Sender<Finish>,
    kill: &'a watch::Sender<bool>,
    within: Duration,
}

/// Lets collectors finish their appends and the processor seal what there is, within a bound.
async fn drain(d: Drain<'_>) -> Result<Book> {
    let Drain { early, mut collecting, processing, shared, finish: finish_tell, kill, within } = d;
    let deadline = tokio::time::Instant::now() + within;
    let mut failed = early.failed;
    let joining = async {
        while let Some(joined) = collecting.join_next().await {
            if let Ok((_, Err(e))) = joined {
                failed.get_or_insert(e);
            }
        }
    };
    if tokio::time::timeout_at(deadline, joining).await.is_err() {
        tracing::warn!("a source did not stop in time, going on without it");
        collecting.abort_all();
    }
    if let Some(processed) = early.processed {
        return processed;
    }
    let upto = Some(shared.queue.status().end);
    finish_tell.send_replace(Finish { upto, outboxes: false });
    let mut processing = Box::pin(finish("process", processing));
    let processed = match tokio::time::timeout_at(deadline, &mut processing).await {
        Ok(processed) => processed,
        Err(_) => {
            kill.send_replace(true);
            shared.busy.give_up();
            // A view that computes sees nothing of it: its thread is left behind.
            match tokio::time::timeout(KILLED_WITHIN, processing).await {
                Ok(processed) => processed,
                Err(_) => Err(shared.busy.left_behind()),
            }
        }
    };
    match failed {
        Some(e) => Err(e),
        None => processed,
    }
}
