//! Parts that can be configured and nothing else, shaped like the real ones.
#![expect(dead_code, reason = "options are only shown, by `Debug`")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use millstream_core::codec::{Codec, Columns, Decoder, Rows};
use millstream_core::fields::{Bytes, Secret, Span};
use millstream_core::lookup::{Answer, Key, Lookup, Read, Reader};
use millstream_core::operator::{Function, Planned, Planner, Table, View, ViewError};
use millstream_core::plugin::{Config, Env, Plugin, QueueOpener, Registry};
use millstream_core::queue::{Mark, Queue};
use millstream_core::record::Block;
use millstream_core::reference::{Content, TableReader};
use millstream_core::sink::{Held, Promise, Refused, Sink};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Result};
use millstream_engine::config::{Place, Surroundings};
use schemars::JsonSchema;
use serde::Deserialize;

/// Polls an HTTP API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSource {
    /// What to fetch, such as `http://127.0.0.1:8080/items`.
    url: String,
    /// How often.
    #[serde(default = "five_seconds")]
    every: Span,
    /// How long one request may take; less than `every`.
    #[serde(default = "one_second")]
    timeout: Span,
    /// The longest body that is taken.
    #[serde(default = "body")]
    body_bytes_max: Bytes,
    /// The port of a proxy.
    proxy_port: Option<u16>,
    /// The method.
    #[serde(default)]
    method: Method,
    /// How to log in.
    auth: Option<Auth>,
    /// Headers by name.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Whether to follow redirects.
    #[serde(default)]
    follow: bool,
    /// Other URLs that say the same.
    #[serde(default)]
    mirrors: Vec<String>,
}

fn five_seconds() -> Span {
    Span(std::time::Duration::from_secs(5))
}

fn one_second() -> Span {
    Span(std::time::Duration::from_secs(1))
}

fn body() -> Bytes {
    Bytes(1 << 20)
}

/// A method of HTTP.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Method {
    /// GET.
    #[default]
    Get,
    /// POST with a body.
    Post(String),
}

/// How to log in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Auth {
    /// A token.
    Bearer(Secret),
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// Counts from 0.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateSource {
    /// How many rows; without end if left out.
    rows: Option<u64>,
    /// Rows a second.
    #[serde(default = "rate")]
    rate: f64,
}

fn rate() -> f64 {
    1.5
}

/// Reads what is piped in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StdinSource {}

/// What any fake source became.
pub(crate) struct Fake {
    described: String,
}

impl Config<dyn Source> for HttpSource {
    const NAME: &'static str = "http";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        if self.timeout > self.every {
            return Err(Error::stop("a request may take longer than the time between two")
                .at("timeout")
                .fix("make `timeout` shorter, or `every` longer"));
        }
        if !self.url.starts_with("http") {
            return Err(Error::stop(format!("`{}` is no URL of HTTP", self.url))
                .fix("write it with `http://` or `https://`"));
        }
        let described = format!("{env:?} {self:?}");
        Ok(Box::new(Fake { described }))
    }
}

impl Config<dyn Source> for GenerateSource {
    const NAME: &'static str = "generate";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        Ok(Box::new(Fake { described: format!("{env:?} {self:?}") }))
    }
}

impl Config<dyn Source> for StdinSource {
    const NAME: &'static str = "stdin";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        Ok(Box::new(Fake { described: format!("{env:?} {self:?}") }))
    }
}

#[async_trait]
impl Source for Fake {
    async fn open(&mut self, _: &SplitPositions) -> Result<()> {
        unreachable!("nothing is opened")
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        unreachable!("nothing is opened")
    }

    fn finite(&self) -> bool {
        false
    }

    fn replay(&self) -> Replay {
        Replay::Polled
    }

    fn repeat_header(&mut self, header: bool) -> Result<()> {
        if header && self.described.contains("no header") {
            return Err(Error::stop("there is no header").at("url").fix("write another"));
        }
        self.described.push_str(if header { " with a header" } else { "" });
        Ok(())
    }

    fn describe(&self) -> String {
        self.described.clone()
    }
}

/// JSON documents.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonCodec {
    /// JSON pointer to the array of rows.
    rows: Option<String>,
}

/// Comma-separated values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CsvCodec {
    /// Whether the first line has the names of columns.
    header: bool,
    /// What stands between two values.
    separator: char,
}

impl Default for CsvCodec {
    fn default() -> Self {
        Self { header: true, separator: ',' }
    }
}

impl Config<dyn Codec> for JsonCodec {
    const NAME: &'static str = "json";

    fn build(self, env: &Env) -> Result<Box<dyn Codec>> {
        Ok(Box::new(FakeCodec(format!("{env:?} {self:?}"))))
    }
}

impl Config<dyn Codec> for CsvCodec {
    const NAME: &'static str = "csv";

    fn build(self, env: &Env) -> Result<Box<dyn Codec>> {
        Ok(Box::new(FakeCodec(format!("{env:?} {self:?}"))))
    }
}

struct FakeCodec(String);

impl Codec for FakeCodec {
    fn infer(&self, _: &[Block]) -> Result<Option<Columns>> {
        unreachable!("nothing is decoded")
    }

    fn decoder(&self, _: &Columns, _: Option<&BTreeSet<String>>) -> Result<Box<dyn Decoder>> {
        unreachable!("nothing is decoded")
    }

    fn has_header(&self) -> bool {
        self.0.contains("header: true")
    }

    fn describe(&self) -> String {
        self.0.clone()
    }
}

/// Keeps rows in a SQLite table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqliteSink {
    /// The database file.
    path: PathBuf,
    /// The table.
    table: String,
    /// Columns that tell one row from another.
    #[serde(default)]
    key: Vec<String>,
}

/// Prints rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StdoutSink {}

impl Config<dyn Sink> for SqliteSink {
    const NAME: &'static str = "sqlite";

    fn build(self, env: &Env) -> Result<Box<dyn Sink>> {
        let described = format!("{env:?} {self:?}");
        Ok(Box::new(FakeSink { described, promise: Promise::EffectivelyOnce }))
    }
}

impl Config<dyn Sink> for StdoutSink {
    const NAME: &'static str = "stdout";

    fn build(self, env: &Env) -> Result<Box<dyn Sink>> {
        let described = format!("{env:?} {self:?}");
        Ok(Box::new(FakeSink { described, promise: Promise::AtLeastOnce }))
    }
}

struct FakeSink {
    described: String,
    promise: Promise,
}

#[async_trait]
impl Sink for FakeSink {
    async fn open(&mut self, _: arrow_schema::SchemaRef) -> Result<Held> {
        unreachable!("nothing is opened")
    }

    async fn write(&mut self, _: &Rows) -> Result<()> {
        unreachable!("nothing is opened")
    }

    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        unreachable!("nothing is opened")
    }

    async fn flush(&mut self, _: &Mark) -> Result<()> {
        unreachable!("nothing is opened")
    }

    async fn forget(&mut self) -> Result<()> {
        unreachable!("nothing is opened")
    }

    fn promise(&self) -> Promise {
        self.promise
    }

    fn describe(&self) -> String {
        self.described.clone()
    }
}

/// The embedded log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQueue {
    /// Its folder, such as `./data`.
    path: PathBuf,
}

/// Keeps records in memory: a crash loses them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemoryQueue {}

impl Config<dyn QueueOpener> for LogQueue {
    const NAME: &'static str = "log";

    fn build(self, env: &Env) -> Result<Box<dyn QueueOpener>> {
        Ok(Box::new(FakeQueue(Some(env.path(self.path)))))
    }
}

impl Config<dyn QueueOpener> for MemoryQueue {
    const NAME: &'static str = "memory";

    fn build(self, _: &Env) -> Result<Box<dyn QueueOpener>> {
        Ok(Box::new(FakeQueue(None)))
    }
}

struct FakeQueue(Option<PathBuf>);

#[async_trait]
impl QueueOpener for FakeQueue {
    async fn open(&self) -> Result<Arc<dyn Queue>> {
        unreachable!("nothing is opened")
    }

    fn folder(&self) -> Option<PathBuf> {
        self.0.clone()
    }

    fn durable(&self) -> bool {
        self.0.is_some()
    }

    fn side_bytes_max(&self) -> u64 {
        0
    }

    fn describe(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Asks a table that stands somewhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableLookup {
    /// Where it stands, such as `http://127.0.0.1:8080/devices`.
    url: String,
}

impl Config<dyn Lookup> for TableLookup {
    const NAME: &'static str = "table";

    fn build(self, _: &Env) -> Result<Box<dyn Lookup>> {
        Ok(Box::new(self))
    }
}

#[async_trait]
impl Lookup for TableLookup {
    async fn ask(&self, _: &[Key], _: &Columns) -> Result<Vec<Answer>> {
        unreachable!("nothing is asked")
    }

    fn reader(&self, columns: &Columns) -> Result<Box<dyn Reader>> {
        if columns.0.iter().any(|c| c.required) {
            return Err(Error::stop("a table has no required columns").fix("leave `required` out"));
        }
        Ok(Box::new(NoReader))
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

struct NoReader;

impl Reader for NoReader {
    fn read(&mut self, _: &[&[Option<bytes::Bytes>]]) -> Result<Read> {
        unreachable!("nothing is read")
    }
}

/// Reads a table off a sheet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SheetTable {
    /// The sheet.
    path: PathBuf,
}

impl Config<dyn TableReader> for SheetTable {
    const NAME: &'static str = "sheet";

    fn build(self, _: &Env) -> Result<Box<dyn TableReader>> {
        Ok(Box::new(self))
    }
}

#[async_trait]
impl TableReader for SheetTable {
    async fn read(&mut self, _: Option<&Columns>, _: u64) -> Result<Option<Content>> {
        unreachable!("nothing is read")
    }

    fn suits(&self, columns: &Columns) -> Result<()> {
        if columns.0.iter().any(|c| c.required) {
            return Err(Error::stop("a sheet has no required columns").fix("leave `required` out"));
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

struct NoPlanner;

impl Planner for NoPlanner {
    fn plan(&self, _: &[Table], _: &[View], _: &[Arc<dyn Function>]) -> Planned {
        Planned::default()
    }

    fn reads(&self, _: &View) -> Result<BTreeSet<String>, ViewError> {
        Ok(BTreeSet::new())
    }
}

pub(crate) fn registry() -> Registry {
    Registry::empty(Arc::new(NoPlanner))
        .source(Plugin::of::<HttpSource>())
        .source(Plugin::of::<GenerateSource>())
        .source(Plugin::of::<StdinSource>())
        .sink(Plugin::of::<SqliteSink>())
        .sink(Plugin::of::<StdoutSink>())
        .lookup(Plugin::of::<TableLookup>())
        .table(Plugin::of::<SheetTable>())
        .codec(Plugin::of::<JsonCodec>())
        .codec(Plugin::of::<CsvCodec>())
        .queue(Plugin::of::<LogQueue>())
        .queue(Plugin::of::<MemoryQueue>())
}

/// A small environment of its own.
pub(crate) struct Around;

impl Surroundings for Around {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "TOKEN" => "hunter2-is-secret",
            "PORT" => "8080",
            "EMPTY" => "",
            "HOST" => "example.org",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn env(&self, place: Place<'_>) -> Env {
        Env {
            pipeline: place.pipeline.to_owned(),
            ..Env::test(&format!("{:?} {}", place.role, place.name), place.folder)
        }
    }
}
