//! The stage on which tests of the engine play: a pipeline of fakes, its lives, and what must be true at the end.

#![allow(dead_code, reason = "each test file uses its own part of the stage")]

pub(crate) mod days;
pub(crate) mod expect;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_core::Result;
use millstream_core::clock::{Clock, ManualClock, Timestamp};
use millstream_core::codec::Codec;
use millstream_core::fields::{Bytes, Span};
use millstream_core::operator::{Late, View};
use millstream_core::plugin::{Config, Env, Plugin, QueueOpener, Registry};
use millstream_core::sink::Sink;
use millstream_core::source::Source;
use millstream_engine::config::{
    EventTime, LookupMode, LookupPart, OnFailure, Place, QueuePart, SinkPart, SourcePart,
    Surroundings, TablePart,
};
use millstream_engine::{Closing, Engine, Options, Pipeline, Placement, Status};
use millstream_testkit::fakes::{
    Board, BoardReader, Chain, Disk, Lines, Script, ScriptedSource, Shelf, ShelfLookup, Target,
    TrackingSink, UntrackedSink, World,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// A source of the plot.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) script: Script,
    /// Whether the file declares its columns.
    pub(crate) declared: bool,
    pub(crate) event_time: Option<EventTime>,
}

/// A sink of the plot.
#[derive(Clone, Debug)]
pub(crate) struct Mouth {
    pub(crate) name: String,
    pub(crate) rows: String,
    pub(crate) target: Target,
    pub(crate) tracking: bool,
}

/// A lookup of the plot.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) name: String,
    pub(crate) shelf: Shelf,
    pub(crate) ttl: Duration,
    pub(crate) on_failure: OnFailure,
    pub(crate) mode: LookupMode,
}

/// A reference table of the plot.
#[derive(Clone, Debug)]
pub(crate) struct Slate {
    pub(crate) name: String,
    pub(crate) board: Board,
    pub(crate) declared: bool,
    pub(crate) reload: Duration,
}

/// A pipeline, and all that outlives a process.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) world: World,
    pub(crate) disk: Disk,
    pub(crate) sources: Vec<Origin>,
    pub(crate) views: Vec<(String, String)>,
    /// Views whose late rows are for sinks.
    pub(crate) streams: Vec<String>,
    pub(crate) lookups: Vec<Window>,
    pub(crate) tables: Vec<Slate>,
    pub(crate) sinks: Vec<Mouth>,
    pub(crate) outbox_bytes: u64,
    pub(crate) dead_bytes: u64,
    pub(crate) stop_within: Duration,
    /// Tracking sinks lie about what they hold.
    pub(crate) forgetful: bool,
}

impl Plot {
    pub(crate) fn new(seed: u64) -> Self {
        let world = World::new(seed);
        Self {
            disk: Disk::new(&world),
            world,
            sources: Vec::new(),
            views: Vec::new(),
            streams: Vec::new(),
            lookups: Vec::new(),
            tables: Vec::new(),
            sinks: Vec::new(),
            outbox_bytes: 1 << 30,
            dead_bytes: 1 << 30,
            stop_within: Duration::from_secs(30),
            forgetful: false,
        }
    }

    /// A finite source of one split `s` with declared columns.
    pub(crate) fn source(mut self, name: &str, records: &[&str]) -> Self {
        let records = records.iter().map(|r| (*r).to_owned().into()).collect();
        let script = Script::new([("s".into(), records)]);
        self.sources.push(Origin { name: name.into(), script, declared: true, event_time: None });
        self
    }

    /// A source that waits for what a test pushes, with declared columns.
    pub(crate) fn endless(mut self, name: &str) -> Self {
        let script = Script::new([]).endless();
        self.sources.push(Origin { name: name.into(), script, declared: true, event_time: None });
        self
    }

    /// The last source's columns are to be inferred.
    pub(crate) fn undeclared(mut self) -> Self {
        self.sources.last_mut().unwrap().declared = false;
        self
    }

    /// The last source's rows have event time: behind an `@`, in microseconds.
    pub(crate) fn timed(mut self, delay_us: u64, idle: Option<Duration>) -> Self {
        let (column, ahead) = ("t".to_owned(), Span(Duration::from_secs(3600)));
        let delay = Span(Duration::from_micros(delay_us));
        let time = EventTime { column, delay, idle: idle.map(Span), ahead };
        self.sources.last_mut().unwrap().event_time = Some(time);
        self
    }

    pub(crate) fn view(mut self, name: &str, text: &str) -> Self {
        self.views.push((name.into(), text.into()));
        self
    }

    /// A tracking sink of what comes late for the last view.
    pub(crate) fn late(mut self, sink: &str) -> Self {
        let view = self.views.last().unwrap().0.clone();
        self.streams.push(view.clone());
        self.tracking(sink, &View::late_rows(&view))
    }

    /// A lookup that waits while it is away.
    pub(crate) fn lookup(mut self, name: &str, values: &[(&str, &str)]) -> Self {
        let shelf = Shelf::default();
        values.iter().for_each(|(key, value)| shelf.set(key, value));
        let (ttl, on_failure) = (Duration::from_secs(10), OnFailure::Retry);
        let mode = LookupMode::Live;
        self.lookups.push(Window { name: name.into(), shelf, ttl, on_failure, mode });
        self
    }

    /// A reference table of one number, whose column is found.
    pub(crate) fn table(mut self, name: &str, number: i64) -> Self {
        let (board, reload) = (Board::of(number), Duration::from_secs(1));
        self.tables.push(Slate { name: name.into(), board, declared: false, reload });
        self
    }

    pub(crate) fn shelf(&self) -> &Shelf {
        &self.lookups[0].shelf
    }

    pub(crate) fn tracking(self, name: &str, rows: &str) -> Self {
        self.sink(name, rows, true, None)
    }

    pub(crate) fn untracked(self, name: &str, rows: &str) -> Self {
        self.sink(name, rows, false, None)
    }

    pub(crate) fn sink(
        mut self,
        name: &str,
        rows: &str,
        tracking: bool,
        refuses: Option<i64>,
    ) -> Self {
        let target = Target::refusing(refuses);
        self.sinks.push(Mouth { name: name.into(), rows: rows.into(), target, tracking });
        self
    }

    pub(crate) fn script(&self, source: &str) -> &Script {
        &self.sources.iter().find(|s| s.name == source).unwrap().script
    }

    pub(crate) fn target(&self, sink: &str) -> &Target {
        &self.sinks.iter().find(|s| s.name == sink).unwrap().target
    }

    /// The pipeline, with its parts built anew.
    pub(crate) fn pipeline(&self) -> Pipeline {
        let text = "sources: { a: { from: { fake: {} }, decode: { fake: {} } } }\n\
                    queue: { fake: {} }\nsinks: { b: { rows: a, to: { fake: {} } } }\n";
        let mut pipeline =
            Pipeline::parse(text, "sim.yaml", "sim", Path::new("."), &registry(), &Nowhere)
                .unwrap();
        pipeline.sources = self
            .sources
            .iter()
            .map(|s| SourcePart {
                name: s.name.clone(),
                kind: "fake",
                source: Box::new(ScriptedSource::new(&s.name, s.script.clone(), &self.world)),
                codec_kind: "fake",
                codec: Arc::new(Lines),
                columns: s.declared.then(|| match s.event_time {
                    Some(_) => Lines::with_time(),
                    None => Lines::columns(),
                }),
                declared: s.declared,
                event_time: s.event_time.clone(),
            })
            .collect();
        pipeline.lookups = self
            .lookups
            .iter()
            .map(|l| LookupPart {
                name: l.name.clone(),
                kind: "fake",
                lookup: Arc::new(ShelfLookup::new(&l.name, &l.shelf, &self.world)),
                columns: Lines::columns(),
                ttl: Span(l.ttl),
                cache_bytes: Bytes(1 << 20),
                on_failure: l.on_failure,
                mode: l.mode,
            })
            .collect();
        pipeline.tables = self.table_parts();
        pipeline.views = self.views.iter().map(|(name, sql)| View::new(name, sql)).collect();
        for view in pipeline.views.iter_mut().filter(|v| self.streams.contains(&v.name)) {
            view.windows.late = Late::Stream;
        }
        pipeline.sinks = self
            .sinks
            .iter()
            .map(|s| SinkPart {
                name: s.name.clone(),
                kind: "fake",
                rows: s.rows.clone(),
                sink: if s.tracking {
                    let sink = TrackingSink::new(&s.name, &s.target, &self.world);
                    Box::new(sink.forgetful(self.forgetful)) as Box<dyn Sink>
                } else {
                    Box::new(UntrackedSink::new(&s.name, &s.target, &self.world))
                },
                wanted: None,
            })
            .collect();
        pipeline.queue = QueuePart { kind: "fake", opener: Box::new(self.disk.clone()) };
        pipeline.limits.outbox_bytes = Bytes(self.outbox_bytes);
        pipeline.limits.dead_bytes = Bytes(self.dead_bytes);
        pipeline.limits.stop_within = Span(self.stop_within);
        pipeline
    }

    fn table_parts(&self) -> Vec<TablePart> {
        self.tables
            .iter()
            .map(|t| TablePart {
                name: t.name.clone(),
                kind: "fake",
                reader: Box::new(BoardReader::new(&t.name, &t.board, &self.world)),
                columns: t.declared.then(Lines::columns),
                reload: Span(t.reload),
                bytes_max: Bytes(1 << 20),
            })
            .collect()
    }

    pub(crate) fn engine(&self, options: Options) -> Engine {
        engine(self.pipeline(), options)
    }

    /// Runs until all sources have ended and all is delivered.
    pub(crate) fn run(&self) -> Result<Closing> {
        alone(async { self.engine(once()).run().await })
    }

    /// Runs for so many seconds, then stops in good order.
    pub(crate) fn run_for(&self, seconds: u64) -> Result<Closing> {
        self.run_with(Options::default(), seconds)
    }

    pub(crate) fn run_with(&self, options: Options, seconds: u64) -> Result<Closing> {
        self.live(options, Some(Duration::from_secs(seconds))).unwrap()
    }

    /// One life, with something that happens beside it.
    pub(crate) fn live_beside(
        &self,
        options: Options,
        stop: Option<Duration>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Result<Closing>> {
        self.lived(options, stop, beside)
    }

    /// One life of the process: until it ends, is stopped after `stop`, or dies. `None`: it died.
    pub(crate) fn live(&self, options: Options, stop: Option<Duration>) -> Option<Result<Closing>> {
        self.lived(options, stop, async {})
    }

    fn lived(
        &self,
        options: Options,
        stop: Option<Duration>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Result<Closing>> {
        let ended = alone(async {
            tokio::spawn(beside);
            let engine = self.engine(options);
            let stopper = engine.stopper();
            if let Some(after) = stop {
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    stopper.stop();
                });
            }
            let run = tokio::time::timeout(Duration::from_secs(3600), engine.run());
            tokio::select! {
                biased;
                () = self.world.crashed() => None,
                ended = run => Some(ended.unwrap_or_else(|_| panic!("the run hangs"))),
            }
        });
        if ended.is_none() {
            self.disk.crash();
        }
        ended
    }
}

/// An engine for a pipeline of fakes, on one thread.
pub(crate) fn engine(pipeline: Pipeline, options: Options) -> Engine {
    engine_with(pipeline, registry(), options)
}

/// The same with parts of one's own.
pub(crate) fn engine_with(pipeline: Pipeline, registry: Registry, options: Options) -> Engine {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(1_000_000)));
    let options = Options { placement: Placement::Shared, ..options };
    Engine::new(pipeline, registry, options, Status::new(clock.clone()), clock)
}

pub(crate) fn once() -> Options {
    Options { once: true, ..Options::default() }
}

/// Runs a future on a runtime of its own with a paused clock; all its tasks die with it.
pub(crate) fn alone<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

struct Nowhere;

impl Surroundings for Nowhere {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn env(&self, place: Place<'_>) -> Env {
        Env::test(place.name, place.folder)
    }
}

pub(crate) fn registry() -> Registry {
    Registry::empty(Arc::new(Chain))
        .source(Plugin::of::<Fake>())
        .sink(Plugin::of::<Fake>())
        .codec(Plugin::of::<Fake>())
        .queue(Plugin::of::<Fake>())
}

/// A part that stands in the text until the real one takes its place.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fake {}

impl Config<dyn Source> for Fake {
    const NAME: &'static str = "fake";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        Ok(Box::new(ScriptedSource::new(&env.name, Script::new([]), &World::new(0))))
    }
}

impl Config<dyn Sink> for Fake {
    const NAME: &'static str = "fake";

    fn build(self, env: &Env) -> Result<Box<dyn Sink>> {
        Ok(Box::new(UntrackedSink::new(&env.name, &Target::default(), &World::new(0))))
    }
}

impl Config<dyn Codec> for Fake {
    const NAME: &'static str = "fake";

    fn build(self, _: &Env) -> Result<Box<dyn Codec>> {
        Ok(Box::new(Lines))
    }
}

impl Config<dyn QueueOpener> for Fake {
    const NAME: &'static str = "fake";

    fn build(self, _: &Env) -> Result<Box<dyn QueueOpener>> {
        Ok(Box::new(Disk::new(&World::new(0))))
    }
}
