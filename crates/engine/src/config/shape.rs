//! What a pipeline file may hold. Doc comments here become the JSON Schema and the reference.

use std::net::SocketAddr;

use millstream_core::Error;
use millstream_core::codec::Columns;
use millstream_core::fields::{Bytes, Span};
use millstream_core::sink::Promise;
use schemars::JsonSchema;
use serde::Deserialize;

use super::stand_in::{Codecs, LookupTable, Named, Part, Queues, Sinks, Sources, TableTable};
use super::test_shape::TestShape;
use super::view_shape::ViewShape;

/// A pipeline: where records come from, the queue that keeps them, the views over them, and where rows go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Millstream pipeline")]
pub(super) struct FileShape {
    /// What the pipeline is called in logs, metrics and sinks; by default the name of the file.
    pub(super) name: Option<String>,
    /// Where records come from, by name. Views and sinks read a source by that name.
    pub(super) sources: Named<SourceShape>,
    /// Where records are kept until every sink has their rows; by default a `log` in
    /// the folder `data/` and the name of the pipeline.
    #[expect(
        dead_code,
        reason = "read from the tree, by the table of queues; here for the schema"
    )]
    pub(super) queue: Option<Part<Queues>>,
    /// What is outside and asked for columns by a key, by name. Views join a lookup by that name.
    #[serde(default)]
    pub(super) lookups: Named<LookupShape>,
    /// Reference tables, by name: read whole from a file or a database, again when they change, and joined in views.
    #[serde(default)]
    pub(super) tables: Named<TableShape>,
    /// SQL queries over sources and other views, by name.
    #[serde(default)]
    pub(super) views: Named<ViewShape>,
    /// Tests of the views, by name: `millstream test` plays them.
    #[serde(default)]
    pub(super) tests: Named<TestShape>,
    /// Where rows go, by name.
    pub(super) sinks: Named<SinkShape>,
    /// Metrics and health over HTTP; off unless given.
    pub(super) http: Option<HttpOptions>,
    /// Bounds of the engine.
    #[serde(default)]
    pub(super) limits: Limits,
}

/// A place that records come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceShape {
    /// What it reads: one kind of source with its options.
    #[expect(
        dead_code,
        reason = "read from the tree, by the table of sources; here for the schema"
    )]
    pub(super) from: Part<Sources>,
    /// How its bytes become rows: one codec with its options; by default `json: {}`.
    #[expect(
        dead_code,
        reason = "read from the tree, by the table of codecs; here for the schema"
    )]
    pub(super) decode: Option<Part<Codecs>>,
    /// The columns of its rows, by name, each with its type. Left out, they are those that the source
    /// itself knows, or else inferred from the first rows and kept from then on.
    pub(super) columns: Option<Columns>,
    /// The time at which things happened, for windows: a column of moments. Without it rows have no event time.
    pub(super) event_time: Option<EventTime>,
}

/// The time at which things happened: a column of moments, and how far it is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTime {
    /// The column.
    pub column: String,
    /// How late rows may come: time is taken to be complete up to the latest moment seen less this.
    #[serde(default)]
    pub delay: Span,
    /// After so long without a record a split, such as one URL or one file, holds windows back no more until it has one
    /// again. Left out, all wait for it.
    #[serde(default)]
    pub idle: Option<Span>,
    /// A row that is further in the future than this when it arrives is set aside: one bad clock must not close the windows of all.
    #[serde(default = "one_hour")]
    pub ahead: Span,
}

fn one_hour() -> Span {
    Span(std::time::Duration::from_secs(3600))
}

/// A place that is asked for columns by a key. In SQL it is a table with the column `key` and those
/// declared here, which is joined by its key: `FROM readings r LEFT JOIN devices d ON d.key = r.sensor`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupShape {
    /// What is asked: one kind of lookup with its options.
    #[expect(
        dead_code,
        reason = "read from the tree, by the table of lookups; here for the schema"
    )]
    pub(super) from: Part<LookupTable>,
    /// The columns that an answer has, by name, each with its type.
    pub(super) columns: Columns,
    /// How long an answer is kept in the process, such as `10s`; with `0s` each batch asks anew.
    #[serde(default = "ten_seconds")]
    pub(super) ttl: Span,
    /// The most bytes of answers that are kept; at the bound those that were used longest ago leave.
    #[serde(default = "cache_bytes")]
    pub(super) cache_bytes: Bytes,
    /// What becomes of rows whose answer cannot be had.
    #[serde(default)]
    pub(super) on_failure: OnFailure,
    /// Whether rows that are made again after a crash are the same.
    #[serde(default)]
    pub(super) mode: LookupMode,
}

fn ten_seconds() -> Span {
    Span(std::time::Duration::from_secs(10))
}

fn cache_bytes() -> Bytes {
    Bytes(64 << 20)
}

/// A table that is read whole and joined to rows in views: `FROM readings r JOIN devices d ON d.id = r.device`. It is read at the
/// start, and again when it has changed; every content is kept in the queue, so that a row is joined to the one that held when it came,
/// also when it is made again after a crash.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TableShape {
    /// What it is read from: one kind of file or database with its options.
    #[expect(
        dead_code,
        reason = "read from the tree, by the table of tables; here for the schema"
    )]
    pub(super) from: Part<TableTable>,
    /// Its columns, by name, each with its type. Left out, they are those that it is found to have at first, and kept from then on.
    pub(super) columns: Option<Columns>,
    /// How often it is looked at. Only when the file has changed it is read, and only when its rows are others they are a new version.
    #[serde(default = "ten_seconds")]
    pub(super) reload: Span,
    /// The most bytes of its file, and of its rows: each version is kept in memory and in the queue. One that is larger is none.
    #[serde(default = "cache_bytes")]
    pub(super) bytes_max: Bytes,
}

/// Whether rows that are made again after a crash are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LookupMode {
    /// It is asked anew, so that they may be others: sinks of such rows are promised no more than at least once.
    #[default]
    Live,
    /// Answers are kept in the queue until no sink needs them, and rows are made of the same ones again. A key has one
    /// answer in an epoch.
    Recorded,
}

/// What becomes of rows whose answer cannot be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// While nobody answers, rows wait and it is tried again. A row whose answer does not fit the columns is set aside.
    #[default]
    Retry,
    /// The columns are null, and the key is counted as unanswered; nobody waits.
    Nulls,
}

/// A place that rows go to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SinkShape {
    /// The view or source whose rows it gets; `VIEW.late` for those that come too late for the windows of a view
    /// that says `late: stream`.
    pub(super) rows: String,
    /// Where it writes: one kind of sink with its options.
    #[expect(dead_code, reason = "read from the tree, by the table of sinks; here for the schema")]
    pub(super) to: Part<Sinks>,
    /// What has to hold for its rows after a crash. A file that asks for more than its parts can hold
    /// is refused; left out, the sink promises what it can.
    pub(super) promise: Option<Wanted>,
}

/// What has to hold for rows after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wanted {
    /// Each row arrives; some may arrive twice.
    AtLeastOnce,
    /// Each row is there once.
    EffectivelyOnce,
}

impl From<Wanted> for Promise {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::AtLeastOnce => Self::AtLeastOnce,
            Wanted::EffectivelyOnce => Self::EffectivelyOnce,
        }
    }
}

/// Metrics and health over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpOptions {
    /// The address to listen on, such as `127.0.0.1:9464`.
    #[serde(default = "listen")]
    pub listen: String,
    /// Whether `listen` may be an address that other machines reach. There is no password.
    #[serde(default)]
    pub open_to_network: bool,
}

impl HttpOptions {
    /// Listening on `listen`, from this machine only.
    #[must_use]
    pub fn local(listen: impl Into<String>) -> Self {
        Self { listen: listen.into(), open_to_network: false }
    }

    /// The address, if it may be listened on.
    ///
    /// # Errors
    /// `Stop` when it is none, or when other machines reach it and that is not allowed.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        let address: SocketAddr = self.listen.parse().map_err(|_| {
            Error::stop(format!("`{}` is no address to listen on", self.listen))
                .at("listen")
                .fix("write an IP address and a port, such as `127.0.0.1:9464`")
        })?;
        if address.ip().is_loopback() || self.open_to_network {
            return Ok(address);
        }
        Err(Error::stop(format!(
            "other machines could reach `{address}`, and there is no password"
        ))
        .at("listen")
        .fix("listen on `127.0.0.1`, or add `open_to_network: true` if everyone there may see it"))
    }
}

fn listen() -> String {
    "127.0.0.1:9464".to_owned()
}

/// Bounds of the engine, and what happens at each.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most bytes that one step takes from the queue; the rest waits for the next step.
    pub step_bytes: Bytes,
    /// The most bytes kept for one sink that is away; at the bound the pipeline waits for that sink.
    pub outbox_bytes: Bytes,
    /// The most bytes of records and rows set aside; at the bound the pipeline waits until some are dropped or replayed.
    pub dead_bytes: Bytes,
    /// The longest wait between two tries of what failed; waits double up to it.
    pub retry_max: Span,
    /// How long an ordered stop may take to deliver what is under way; what is left goes on at the next start.
    pub stop_within: Span,
    /// Threads that share the keys of windows, up to 64; left out, as many as there are processor cores. No row depends on it.
    pub threads: Option<Threads>,
}

/// A number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "u16")]
pub struct Threads(#[schemars(range(min = 1, max = 64))] u16);

impl TryFrom<u16> for Threads {
    type Error = String;

    fn try_from(threads: u16) -> Result<Self, String> {
        if (1..=Self::MAX).contains(&threads) {
            return Ok(Self(threads));
        }
        Err(format!("{threads} threads are not possible: from 1 to {}", Self::MAX))
    }
}

impl Threads {
    const MAX: u16 = 64;

    /// As many as there are cores.
    fn of_cores() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(u16::try_from(cores).unwrap_or(Self::MAX).min(Self::MAX))
    }
}

impl Limits {
    /// How many threads share the keys of windows.
    pub(crate) fn threads(&self) -> usize {
        usize::from(self.threads.unwrap_or_else(Threads::of_cores).0)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            step_bytes: Bytes(1 << 20),
            outbox_bytes: Bytes(1 << 30),
            dead_bytes: Bytes(1 << 30),
            retry_max: Span(std::time::Duration::from_secs(10)),
            stop_within: Span(std::time::Duration::from_secs(30)),
            threads: None,
        }
    }
}
