//! A pipeline as a library has it: loaded, planned, and run.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use millstream_core::clock::SystemClock;
use millstream_core::plugin::{Env, Registry};
use millstream_core::{Clock, Error, Result};
use millstream_engine::config::{self, HttpOptions, Place, Problems, Role, Surroundings};
use millstream_engine::plan::{self, Plan};
use millstream_engine::status::Kind;
use millstream_engine::{Closing, Engine, Only, Options, Status, Stopper};
use millstream_web::Server;

/// A pipeline that is checked and planned; nothing is open yet.
#[derive(Debug)]
pub struct Pipeline {
    engine: Engine,
    plan: Plan,
    http: Option<HttpOptions>,
    finite: bool,
    lasts: bool,
}

/// Reads pipelines that are made of a registry's parts.
#[derive(Debug)]
pub struct Loader {
    registry: Registry,
    clock: Arc<dyn Clock>,
}

/// What a file says, before it is made into a run: for tools that look at its parts.
#[derive(Debug)]
pub struct Loaded {
    /// The parts, built and not opened.
    pub pipeline: config::Pipeline,
    /// What the parts report to.
    pub status: Arc<Status>,
    registry: Registry,
    clock: Arc<dyn Clock>,
}

impl Pipeline {
    /// Reads a file made of the parts that come with Millstream.
    ///
    /// # Errors
    /// Everything that is wrong with the file, each with its place.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Problems> {
        Self::with(crate::standard()).load(path)
    }

    /// Reads files made of these parts.
    #[must_use]
    pub fn with(registry: Registry) -> Loader {
        Loader { registry, clock: Arc::new(SystemClock) }
    }

    /// Ends by itself once every finite source has ended and everything is delivered.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.engine.options_mut().once = true;
        self
    }

    /// Does only a part of it, where several processes share its queue.
    #[must_use]
    pub fn only(mut self, only: Only) -> Self {
        self.engine.options_mut().only = only;
        self
    }

    /// Has a sink go on from where the queue stands, whatever it holds: what it holds stays, what the
    /// queue has beyond that is delivered.
    #[must_use]
    pub fn resume(mut self, sink: impl Into<String>) -> Self {
        self.engine.options_mut().resume.insert(sink.into());
        self
    }

    /// Serves metrics and health on this address instead of the one in the file.
    #[must_use]
    pub fn listen(mut self, on: HttpOptions) -> Self {
        self.http = Some(on);
        self
    }

    /// What it will do.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// To stop the run in good order from elsewhere.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.engine.stopper()
    }

    /// The live numbers.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.engine.status()
    }

    /// Whether the options fit this file; [`Pipeline::run`] asks first, before it opens anything.
    ///
    /// # Errors
    /// `Stop` for `once` without a source that ends, a sink to resume that is not there, and an
    /// address that must not be listened on.
    pub fn check_options(&mut self) -> Result<()> {
        let options = self.engine.options_mut();
        if options.only != Only::All && !self.lasts {
            return Err(Error::stop("`--only` is for a queue that other processes can go on with, and that of this file ends with the process")
                .fix("leave `--only` out, or use `queue: { log: { path: ./data } }`, or one on Redis"));
        }
        if options.once && options.only != Only::Process && !self.finite {
            return Err(Error::stop("no source of this file ends by itself, so `--once` would never end")
                .fix("use `--for 15s`, or a source that ends (a file that is not followed, a bound on rows)"));
        }
        for name in &options.resume {
            if !self.plan.sinks.iter().any(|s| s.name == *name) {
                let known: Vec<&str> = self.plan.sinks.iter().map(|s| s.name.as_str()).collect();
                return Err(Error::stop(format!("there is no sink `{name}` to resume"))
                    .fix(format!("sinks of this file: {}", known.join(", "))));
            }
        }
        self.address().map(|_| ())
    }

    /// Runs until stopped, or, with [`Pipeline::once`], until everything is delivered.
    ///
    /// # Errors
    /// `Stop` with what a person has to mend. Everything the queue took is kept, and the next run goes on.
    pub async fn run(mut self) -> Result<Closing> {
        self.check_options()?;
        let serving = match self.address()? {
            Some(address) => {
                let server = Server::bind(address).await?;
                tracing::info!(address = %server.address(), "metrics and health");
                Some(server.serve(self.engine.status()))
            }
            None => None,
        };
        let closing = self.engine.run().await;
        drop(serving);
        closing
    }

    fn address(&self) -> Result<Option<SocketAddr>> {
        self.http.as_ref().map(HttpOptions::address).transpose()
    }
}

impl Loader {
    /// Tells the time by this clock instead of the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Reads a file, builds its parts and plans its views; opens nothing.
    ///
    /// # Errors
    /// Everything that is wrong with the file, each with its place.
    pub fn load(self, path: impl AsRef<Path>) -> Result<Pipeline, Problems> {
        self.parts(path)?.plan()
    }

    /// The same for text. Its relative paths begin at `folder`; errors call it `name`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(self, text: &str, name: &str, folder: &Path) -> Result<Pipeline, Problems> {
        let status = self.surroundings();
        let stem = Path::new(name)
            .file_stem()
            .map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let pipeline = config::Pipeline::parse(
            text,
            name,
            &stem,
            folder,
            &self.registry,
            &Machine::of(&self, &status),
        )?;
        status.hide(pipeline.text.secrets().clone());
        Loaded { pipeline, status, registry: self.registry, clock: self.clock }.plan()
    }

    /// Reads a file and builds its parts, and plans no views.
    ///
    /// # Errors
    /// Everything that is wrong with the file but its SQL.
    pub fn parts(self, path: impl AsRef<Path>) -> Result<Loaded, Problems> {
        let status = self.surroundings();
        let around = Machine::of(&self, &status);
        let pipeline = config::Pipeline::load(path.as_ref(), &self.registry, &around)?;
        status.hide(pipeline.text.secrets().clone());
        Ok(Loaded { pipeline, status, registry: self.registry, clock: self.clock })
    }

    fn surroundings(&self) -> Arc<Status> {
        // Another crate of the program may have chosen its provider before us: that one serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        Status::new(self.clock.clone())
    }
}

impl Loaded {
    /// Plans the views: what is left to be wrong is in their SQL.
    ///
    /// # Errors
    /// Everything that is wrong with the views, each with its place in the file.
    pub fn plan(self) -> Result<Pipeline, Problems> {
        let Self { pipeline, status, registry, clock } = self;
        let plan = plan::plan(&pipeline, &registry)?;
        let http = pipeline.http.clone();
        let finite = pipeline.sources.iter().any(|s| s.source.finite());
        let opener = &pipeline.queue.opener;
        let lasts = opener.shared() || opener.folder().is_some();
        let engine = Engine::new(pipeline, registry, Options::default(), status, clock);
        Ok(Pipeline { engine, plan, http, finite, lasts })
    }
}

/// This machine's environment and clock, and the status that parts report to.
struct Machine<'a> {
    clock: &'a Arc<dyn Clock>,
    status: &'a Arc<Status>,
}

impl<'a> Machine<'a> {
    fn of(loader: &'a Loader, status: &'a Arc<Status>) -> Self {
        Self { clock: &loader.clock, status }
    }
}

impl Surroundings for Machine<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn env(&self, place: Place<'_>) -> Env {
        let kind = match place.role {
            // A codec speaks for its source: they have one name.
            Role::Source | Role::Codec => Kind::Source,
            Role::Queue => Kind::Queue,
            Role::Sink => Kind::Sink,
            Role::Lookup => Kind::Lookup,
            Role::Table => Kind::Table,
        };
        Env {
            pipeline: place.pipeline.to_owned(),
            name: place.name.to_owned(),
            folder: place.folder.to_owned(),
            clock: self.clock.clone(),
            report: self.status.part(kind, place.name),
        }
    }
}
