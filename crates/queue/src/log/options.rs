//! What can be chosen for a log, and the opener that it configures.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use millstream_core::disk::Disk;
use millstream_core::fields::{Bytes, Span};
use millstream_core::plugin::{Config, Env, QueueOpener};
use millstream_core::queue::Queue;
use millstream_core::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Log;
use super::disk::RealDisk;
use super::drive::Drive;

/// Keeps everything in an embedded log on this machine's disk. What it took survives power loss.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQueue {
    /// The folder it lives in, relative to the pipeline file. It is made if it is not there. One
    /// process at a time can hold it.
    pub path: PathBuf,
    /// When what sources bring counts as taken.
    #[serde(default)]
    pub durability: Durability,
    /// The bound on all bytes it holds. At it, sources wait until sinks have caught up.
    #[serde(default = "default_bytes_max")]
    pub bytes_max: Bytes,
    /// The length of one file: the unit in which space is freed. At most a quarter of `bytes_max`.
    #[serde(default = "default_segment_bytes")]
    pub segment_bytes: Bytes,
    /// The bound on each outbox and on the dead letters.
    #[serde(default = "default_side_bytes_max")]
    pub side_bytes_max: Bytes,
    /// Room that is taken on the disk in advance, and kept free below `bytes_max`: sources stop
    /// before it, so that commits still fit when there is no more.
    #[serde(default = "default_reserve")]
    pub reserve: Bytes,
    /// How much to keep beyond what is still needed, to look at or to replay. Nothing by default.
    #[serde(default)]
    pub retain: Retain,
}

/// When what sources bring counts as taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Once it survives power loss: one fsync for all who wait at that moment.
    #[default]
    Fsync,
    /// Once it survives the process. A power cut can lose what came since the last commit, which is
    /// still made with fsync; sources that can replay bring it again.
    Relaxed,
}

/// What to keep beyond what is still needed: whatever is younger than `age`, as far as all of it stays
/// below `bytes`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retain {
    /// Keep frames for this long after nobody needs them.
    #[serde(default)]
    pub age: Span,
    /// But no more than this in all. Without it, up to `bytes_max`: room that is needed is taken from
    /// what is only retained.
    #[serde(default)]
    pub bytes: Option<Bytes>,
}

fn default_bytes_max() -> Bytes {
    Bytes(8 << 30)
}

fn default_segment_bytes() -> Bytes {
    Bytes(64 << 20)
}

fn default_side_bytes_max() -> Bytes {
    Bytes(1 << 30)
}

fn default_reserve() -> Bytes {
    Bytes(32 << 20)
}

impl LogQueue {
    /// A log in this folder, all else by default.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            bytes_max: default_bytes_max(),
            segment_bytes: default_segment_bytes(),
            side_bytes_max: default_side_bytes_max(),
            reserve: default_reserve(),
            retain: Retain::default(),
        }
    }
}

impl Config<dyn QueueOpener> for LogQueue {
    const NAME: &'static str = "log";

    fn build(self, env: &Env) -> Result<Box<dyn QueueOpener>> {
        Ok(Box::new(LogOpener::new(self, env)?))
    }
}

/// A log that is configured but not open.
#[derive(Clone, Debug)]
pub struct LogOpener {
    options: LogQueue,
    env: Env,
    disk: Arc<dyn Disk>,
    drive: Drive,
}

impl LogOpener {
    /// A log on this machine's disk, with a thread of its own.
    ///
    /// # Errors
    /// `Stop` when options contradict each other.
    pub fn new(options: LogQueue, env: &Env) -> Result<Self> {
        if options.reserve.0 > options.bytes_max.0 / 2 {
            return Err(Error::stop(format!(
                "`reserve` ({}) is more than half of `bytes_max` ({})",
                options.reserve, options.bytes_max
            ))
            .fix("raise `bytes_max`, or lower `reserve`"));
        }
        Ok(Self { options, env: env.clone(), disk: Arc::new(RealDisk), drive: Drive::Thread })
    }

    /// The same log on another disk, doing its I/O within each call, on the caller's thread: for simulations.
    #[must_use]
    pub fn inline_on(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self.drive = Drive::Inline;
        self
    }

    fn log_folder(&self) -> PathBuf {
        self.env.path(&self.options.path)
    }

    /// Opens it: [`QueueOpener::open`] with its own type.
    ///
    /// # Errors
    /// As there.
    pub async fn open_log(&self) -> Result<Log> {
        let this = self.clone();
        let open = move || {
            Log::open(
                &this.options,
                this.log_folder(),
                this.disk.clone(),
                this.env.clone(),
                this.drive,
            )
        };
        match self.drive {
            Drive::Inline => open(),
            Drive::Thread => super::drive::blocking(open).await,
        }
    }
}

#[async_trait]
impl QueueOpener for LogOpener {
    async fn open(&self) -> Result<Arc<dyn Queue>> {
        Ok(Arc::new(self.open_log().await?))
    }

    fn folder(&self) -> Option<PathBuf> {
        Some(self.log_folder())
    }

    fn durable(&self) -> bool {
        true
    }

    fn side_bytes_max(&self) -> u64 {
        self.options.side_bytes_max.0
    }

    fn describe(&self) -> Vec<String> {
        let options = &self.options;
        let mut lines = vec![format!("log in `{}`", self.log_folder().display())];
        lines.push(match options.durability {
            Durability::Fsync => "taken once it survives power loss (fsync)".into(),
            Durability::Relaxed => {
                "taken once it survives the process: a power cut can lose what came \
                 since the last commit, unless its source can replay (relaxed)"
                    .into()
            }
        });
        lines.push(format!(
            "at most {} in all; sources wait at {}, the last {} are for commits",
            options.bytes_max,
            Bytes(options.bytes_max.0.saturating_sub(options.reserve.0)),
            options.reserve
        ));
        lines.push(format!(
            "at most {} in each outbox and in the dead letters",
            options.side_bytes_max
        ));
        lines.push(match (options.retain.age.0.is_zero(), options.retain.bytes) {
            (true, _) => "keeps only what is still needed".into(),
            (false, None) => format!("keeps what is not needed for {} more", options.retain.age),
            (false, Some(bytes)) => format!(
                "keeps what is not needed for {} more, as far as all stays below {bytes}",
                options.retain.age
            ),
        });
        lines
    }
}
