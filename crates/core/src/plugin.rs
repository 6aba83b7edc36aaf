//! How parts are made from the pipeline file, and the table of all parts there are.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::clock::{Clock, SystemClock};
use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::lookup::Lookup;
use crate::operator::{Function, Planner};
use crate::queue::Queue;
use crate::reference::TableReader;
use crate::sink::Sink;
use crate::source::Source;

/// What a part is told about the place it works in.
#[derive(Clone)]
pub struct Env {
    /// The pipeline's name.
    pub pipeline: String,
    /// The part's own name in the file.
    pub name: String,
    /// The folder of the pipeline file: relative paths begin here.
    pub folder: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where it tells how it is doing.
    pub report: Arc<dyn Report>,
}

impl Env {
    /// A path from the file, taken relative to the file's folder.
    #[must_use]
    pub fn path(&self, path: impl AsRef<std::path::Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// An env for tests: the machine's clock, reports dropped.
    #[must_use]
    pub fn test(name: &str, folder: impl Into<PathBuf>) -> Self {
        Self {
            pipeline: "test".into(),
            name: name.into(),
            folder: folder.into(),
            clock: Arc::new(SystemClock),
            report: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({}.{})", self.pipeline, self.name)
    }
}

/// Where a part tells how it is doing. The engine logs a trouble once, when it begins and when it ends, and counts each.
pub trait Report: Send + Sync {
    /// `what` (a split, a file; empty for the whole part) fails, again or for the first time.
    fn trouble(&self, what: &str, error: &Error);

    /// `what` works, again or for the first time.
    fn fine(&self, what: &str);

    /// One act took this long.
    fn took(&self, act: Act, time: Duration);
}

/// An act whose durations are worth a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Making appended bytes durable.
    Fsync,
    /// One request of a source.
    Request,
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Report for Silent {
    fn trouble(&self, _: &str, _: &Error) {}
    fn fine(&self, _: &str) {}
    fn took(&self, _: Act, _: Duration) {}
}

/// A struct of options that *is* the part: YAML form, JSON Schema, reference docs and builder in one.
///
/// Doc comments on the struct and its fields become the reference.
pub trait Config<Part: ?Sized>: DeserializeOwned + JsonSchema {
    /// What it is called in the file.
    const NAME: &'static str;

    /// Makes the part without opening anything: no file, no connection.
    ///
    /// # Errors
    /// `Stop` when options contradict each other.
    fn build(self, env: &Env) -> Result<Box<Part>>;
}

type Build<Part> = fn(
    &mut dyn erased_serde::Deserializer<'_>,
    &Env,
) -> Result<Result<Box<Part>>, erased_serde::Error>;

/// A row of a table of parts.
pub struct Plugin<Part: ?Sized + 'static> {
    /// What it is called in the file.
    pub name: &'static str,
    /// The schema of its options.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads options and makes the part. The outer error is one of reading (it has a place in the
    /// file), the inner one of building.
    pub build: Build<Part>,
}

impl<Part: ?Sized + 'static> Plugin<Part> {
    /// The row of the part that `C` configures.
    #[must_use]
    pub const fn of<C: Config<Part> + 'static>() -> Self {
        Self {
            name: C::NAME,
            schema: |g| g.subschema_for::<C>(),
            build: |d, env| Ok(erased_serde::deserialize::<C>(d)?.build(env)),
        }
    }
}

impl<Part: ?Sized> Clone for Plugin<Part> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Part: ?Sized> Copy for Plugin<Part> {}

impl<Part: ?Sized> fmt::Debug for Plugin<Part> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plugin({})", self.name)
    }
}

/// All parts a pipeline can be made of. A value, not a global: tests and programs have their own.
#[derive(Clone)]
pub struct Registry {
    /// Where records come from.
    pub sources: Vec<Plugin<dyn Source>>,
    /// Where rows go.
    pub sinks: Vec<Plugin<dyn Sink>>,
    /// How bytes become rows.
    pub codecs: Vec<Plugin<dyn Codec>>,
    /// What is asked for columns by a key.
    pub lookups: Vec<Plugin<dyn Lookup>>,
    /// What reference tables are read from.
    pub tables: Vec<Plugin<dyn TableReader>>,
    /// What lies between.
    pub queues: Vec<Plugin<dyn QueueOpener>>,
    /// Scalar SQL functions beyond the built-in ones.
    pub functions: Vec<Arc<dyn Function>>,
    /// What turns SQL into operators.
    pub planner: Arc<dyn Planner>,
}

impl Registry {
    /// A registry with a planner and no parts.
    #[must_use]
    pub fn empty(planner: Arc<dyn Planner>) -> Self {
        Self {
            sources: Vec::new(),
            sinks: Vec::new(),
            codecs: Vec::new(),
            lookups: Vec::new(),
            tables: Vec::new(),
            queues: Vec::new(),
            functions: Vec::new(),
            planner,
        }
    }

    /// Adds a source; one of the same name is replaced.
    #[must_use]
    pub fn source(mut self, plugin: Plugin<dyn Source>) -> Self {
        self.sources.retain(|p| p.name != plugin.name);
        self.sources.push(plugin);
        self
    }

    /// Adds a sink; one of the same name is replaced.
    #[must_use]
    pub fn sink(mut self, plugin: Plugin<dyn Sink>) -> Self {
        self.sinks.retain(|p| p.name != plugin.name);
        self.sinks.push(plugin);
        self
    }

    /// Adds a codec; one of the same name is replaced.
    #[must_use]
    pub fn codec(mut self, plugin: Plugin<dyn Codec>) -> Self {
        self.codecs.retain(|p| p.name != plugin.name);
        self.codecs.push(plugin);
        self
    }

    /// Adds a lookup; one of the same name is replaced.
    #[must_use]
    pub fn lookup(mut self, plugin: Plugin<dyn Lookup>) -> Self {
        self.lookups.retain(|p| p.name != plugin.name);
        self.lookups.push(plugin);
        self
    }

    /// Adds what a reference table is read from; one of the same name is replaced.
    #[must_use]
    pub fn table(mut self, plugin: Plugin<dyn TableReader>) -> Self {
        self.tables.retain(|p| p.name != plugin.name);
        self.tables.push(plugin);
        self
    }

    /// Adds a queue; one of the same name is replaced.
    #[must_use]
    pub fn queue(mut self, plugin: Plugin<dyn QueueOpener>) -> Self {
        self.queues.retain(|p| p.name != plugin.name);
        self.queues.push(plugin);
        self
    }

    /// Adds a SQL function; one of the same name is replaced.
    #[must_use]
    pub fn function(mut self, function: Arc<dyn Function>) -> Self {
        self.functions.retain(|f| f.name() != function.name());
        self.functions.push(function);
        self
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("sources", &self.sources)
            .field("sinks", &self.sinks)
            .field("codecs", &self.codecs)
            .field("lookups", &self.lookups)
            .field("tables", &self.tables)
            .field("queues", &self.queues)
            .field("functions", &self.functions)
            .finish_non_exhaustive()
    }
}

/// A queue that is configured but not open: nothing is created or locked before `open`.
#[async_trait::async_trait]
pub trait QueueOpener: Send + Sync {
    /// Opens the queue, making it if it is not there, cutting a torn tail, taking the lock.
    ///
    /// # Errors
    /// `Retry` when another process holds it (naming it), `Stop` when it is corrupt (naming file and byte).
    async fn open(&self) -> Result<Arc<dyn Queue>>;

    /// The folder beside which the pipeline keeps its socket and state; `None` if it keeps nothing on disk.
    fn folder(&self) -> Option<PathBuf>;

    /// Whether what it takes survives the process.
    fn durable(&self) -> bool;

    /// Whether several processes can have it open at once and divide the work by roles.
    fn shared(&self) -> bool {
        false
    }

    /// The bound on bytes in outboxes and other side streams.
    fn side_bytes_max(&self) -> u64;

    /// Lines for `check`: where it is, what it promises, its bounds and what happens at them.
    fn describe(&self) -> Vec<String>;
}
