//! `millstream run`: runs a pipeline until it is stopped.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millstream::fields::Span;
use millstream::{Closing, Error, HttpOptions, Only, Pipeline, Status, Stopper};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Failure, load, redact};
use super::ledger;
use super::line::{self, Manner};
use super::logs::Logs;
use super::screen::Screen;

/// What a shell says of a program ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Run a pipeline.
///
/// It runs until SIGINT (Ctrl-C) or SIGTERM: then it collects no more, delivers what is under way, makes a last
/// checkpoint, prints the ledger and ends with 0. A second signal ends it at once with 130; nothing is lost, the
/// next run goes on. Rows of a `stdout` sink go to stdout; everything said here goes to stderr.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The pipeline file.
    file: PathBuf,
    /// Stop in good order after this time, such as `15s`.
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    for_span: Option<Span>,
    /// End once every source that ends by itself has ended and is delivered.
    #[arg(long)]
    once: bool,
    /// Do only a part: collect, or process. Several processes can share a queue on Redis: they divide the sources
    /// among them, and one of them processes while the others stand by; a log is held by one process after the other.
    /// With `--once`, `process` ends when what the queue held at its start is delivered.
    #[arg(long, value_enum, value_name = "PART")]
    only: Option<Part>,
    /// Serve /metrics, /healthz, /readyz and /status here, such as `127.0.0.1:9464`; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Have this sink go on from where the queue stands, whatever it holds (may be given again).
    #[arg(long, value_name = "SINK")]
    resume: Vec<String>,
    /// Say everything on stderr as JSON, one object a line: `status`, `closed`, and logs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logs: Logs,
}

/// What `--only` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Collect from the sources into the queue.
    Collect,
    /// Take from the queue, process and deliver.
    Process,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text)
        .ok_or_else(|| "write a number with its unit, such as `15s` or `1h30m`".to_owned())
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let screen = Screen::stderr();
        let json = self.json;
        let done = self.run_on(&screen);
        screen.clear();
        match done {
            // With `--json`, stderr holds JSON alone.
            Err(failure) if json && !matches!(failure, Failure::Told(_) | Failure::Closed) => {
                screen.print(&format!("{}\n", failure.to_json()));
                Err(failure.told())
            }
            done => done,
        }
    }

    fn run_on(self, screen: &Screen) -> Result<(), Failure> {
        self.logs.begin(screen, self.json)?;
        let loaded = load(&self.file)?;
        screen.hide(loaded.pipeline.text.secrets().clone());
        let prints_rows = loaded.pipeline.sinks.iter().any(|s| s.kind == "stdout");
        let mut pipeline = loaded.plan()?;
        if self.once {
            pipeline = pipeline.once();
        }
        pipeline = pipeline.only(match self.only {
            None => Only::All,
            Some(Part::Collect) => Only::Collect,
            Some(Part::Process) => Only::Process,
        });
        for sink in &self.resume {
            pipeline = pipeline.resume(sink);
        }
        if let Some(address) = &self.listen {
            pipeline = pipeline.listen(HttpOptions::local(address));
        }
        pipeline.check_options().map_err(Failure::Options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().max(2)))
            .enable_all()
            .build()
            .map_err(|e| Failure::World(Error::stop("cannot start threads").because(e)))?;
        let status = pipeline.status();
        let manner = Manner::of(self.json, prints_rows);
        let closing = runtime.block_on(self.drive(pipeline, manner, screen))?;
        // A thread that still waits (for stdin, say) must not keep the program from ending.
        runtime.shutdown_background();
        self.close(&closing, &status, screen)
    }

    /// Runs it, with the signals, the clock and the status line beside it.
    async fn drive(
        &self,
        pipeline: Pipeline,
        manner: Manner,
        screen: &Screen,
    ) -> Result<Closing, Failure> {
        let stopper = pipeline.stopper();
        heed_signals(stopper.clone(), screen.clone(), self.json)?;
        if let Some(Span(time)) = self.for_span {
            tokio::spawn(stop_after(time, stopper));
        }
        let telling = tokio::spawn(line::tell(manner, pipeline.status(), screen.clone()));
        let closing = pipeline.run().await;
        telling.abort();
        screen.clear();
        let mut closing = closing?;
        closing.trouble = closing.trouble.as_deref().map(redact);
        Ok(closing)
    }

    fn close(&self, closing: &Closing, status: &Status, screen: &Screen) -> Result<(), Failure> {
        let ran = status.snapshot();
        if self.json {
            screen.print(&format!("{}\n", ledger::json(closing, &ran)));
        } else {
            screen.print(&ledger::text(closing, &ran));
        }
        let whole = closing.ledger.unbalanced().next().is_none() && closing.trouble.is_none();
        if whole { Ok(()) } else { Err(Failure::Told(1)) }
    }
}

async fn stop_after(time: Duration, stopper: Stopper) {
    tokio::time::sleep(time).await;
    stopper.stop();
}

/// The first signal stops in good order, the second at once.
fn heed_signals(stopper: Stopper, screen: Screen, json: bool) -> Result<(), Failure> {
    let hear = |kind| signal(kind).map_err(|e| Error::stop("cannot hear signals").because(e));
    let mut interrupt = hear(SignalKind::interrupt())?;
    let mut terminate = hear(SignalKind::terminate())?;
    let mut hang_up = hear(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                Some(()) = interrupt.recv() => {}
                Some(()) = terminate.recv() => {}
                Some(()) = hang_up.recv() => {}
                else => return,
            }
            if asked {
                screen.clear();
                screen.print(&said(
                    "stopped at once: what the queue holds is processed by the next run",
                    json,
                ));
                at_once();
            }
            asked = true;
            stopper.stop();
            screen.print(&said(
                "stopping: delivering what is under way (again to stop at once; nothing is lost)",
                json,
            ));
        }
    });
    Ok(())
}

fn said(text: &str, json: bool) -> String {
    if json {
        return format!("{}\n", serde_json::json!({ "event": "stopping", "what": text }));
    }
    format!("{text}\n")
}

#[expect(
    clippy::exit,
    reason = "the person asked twice: no destructor shall delay the end, and none is needed"
)]
fn at_once() -> ! {
    std::process::exit(INTERRUPTED)
}
