//! What can be chosen for a queue on Redis, and the opener that it configures.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_core::fields::{Bytes, Secret, Span};
use millstream_core::plugin::{Config, Env, QueueOpener};
use millstream_core::queue::Queue;
use millstream_core::{Error, Result};
use millstream_redis::{Address, Server, Tls};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Redis;
use super::keys::Keys;

/// Keeps everything in a Redis stream (Redis 7 or newer, or Valkey), so that several processes on several machines
/// can share one pipeline: some collect, one processes, others stand by.
///
/// What it took survives what the server survives. For the promise of the embedded log, let the server run with
/// `appendonly yes` and `appendfsync always`, or be Redis 7.2 or newer, or Valkey, with `appendonly yes`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisQueue {
    /// Where the server is: `redis://host:6379/0`, `rediss://…` for TLS, `redis+sentinel://…`, `redis+cluster://…`.
    pub url: Address,
    /// The password, if it is not in `url`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Certificates for a `rediss://` server.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// The longest wait for an answer. After it the connection is made anew, and what was asked is asked again.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// What all keys begin with: `<prefix>:{<pipeline>}:…`.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// When what sources bring counts as taken.
    #[serde(default)]
    pub durability: Durability,
    /// The bound on all bytes it holds: frames, outboxes, dead letters, state. At it, sources wait until sinks have
    /// caught up. The server needs up to a quarter more memory than this, for blocks of many records.
    #[serde(default = "default_bytes_max")]
    pub bytes_max: Bytes,
    /// A bound on the number of frames, if there shall be one: many small frames take more memory than their bytes.
    #[serde(default)]
    pub frames_max: Option<u64>,
    /// The bound on each outbox and on the dead letters.
    #[serde(default = "default_side_bytes_max")]
    pub side_bytes_max: Bytes,
    /// The folder for the socket that `status` and `dead` talk to. By default `.millstream/<pipeline>` beside the
    /// pipeline file.
    #[serde(default)]
    pub folder: Option<PathBuf>,
}

/// When what sources bring counts as taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Once it is on the server's disk: by itself with `appendfsync always`. Redis 7.2, and 8 and newer, are asked to wait for
    /// it with `everysec` (`WAITAOF`); what other servers are asked to they do not do, so there this means as much as their
    /// `appendfsync` says.
    #[default]
    Fsync,
    /// Once the server has it in memory. If the server crashes, it may lose what came last (one second with
    /// `appendfsync everysec`, everything without `appendonly`): never silently, but then rows may be missing.
    Relaxed,
}

fn default_timeout() -> Span {
    Span(Duration::from_secs(10))
}

fn default_prefix() -> String {
    "millstream".into()
}

fn default_bytes_max() -> Bytes {
    Bytes(1 << 30)
}

fn default_side_bytes_max() -> Bytes {
    Bytes(256 << 20)
}

impl RedisQueue {
    /// A queue on this server, all else by default.
    #[must_use]
    pub fn at(url: Address) -> Self {
        Self {
            url,
            password: None,
            tls: None,
            timeout: default_timeout(),
            prefix: default_prefix(),
            durability: Durability::default(),
            bytes_max: default_bytes_max(),
            frames_max: None,
            side_bytes_max: default_side_bytes_max(),
            folder: None,
        }
    }
}

impl Config<dyn QueueOpener> for RedisQueue {
    const NAME: &'static str = "redis";

    fn build(self, env: &Env) -> Result<Box<dyn QueueOpener>> {
        Ok(Box::new(RedisOpener::new(self, env)?))
    }
}

/// A queue on Redis that is configured but not open.
#[derive(Clone, Debug)]
pub struct RedisOpener {
    pub(crate) options: RedisQueue,
    pub(crate) env: Env,
    pub(crate) server: Server,
}

impl RedisOpener {
    /// A queue on this server.
    ///
    /// # Errors
    /// `Stop` when options contradict each other.
    pub fn new(options: RedisQueue, env: &Env) -> Result<Self> {
        let plain = |text: &str| !text.is_empty() && !text.contains(['{', '}', ' ', '\r', '\n']);
        if !plain(&options.prefix) {
            return Err(Error::stop(format!("`{}` cannot begin the keys", options.prefix)).fix(
                "use letters, digits and `:` in `prefix`; braces choose the node of a cluster",
            ));
        }
        if !plain(&env.pipeline) {
            return Err(Error::stop(format!("`{}` cannot be part of a key", env.pipeline))
                .fix("give the pipeline a name without spaces and braces"));
        }
        if options.timeout.0 < Duration::from_millis(100) {
            return Err(Error::stop(format!("`timeout` ({}) is too short", options.timeout))
                .fix("give the server at least `100ms`"));
        }
        if options.frames_max == Some(0) || options.bytes_max.0 == 0 {
            return Err(Error::stop("nothing fits into a queue bounded at 0")
                .fix("raise `bytes_max` and `frames_max`"));
        }
        let server = Server::new(
            options.url.clone(),
            options.password.clone(),
            options.tls.clone(),
            options.timeout.0,
            env,
        )?;
        Ok(Self { options, env: env.clone(), server })
    }

    pub(crate) fn data_folder(&self) -> PathBuf {
        match &self.options.folder {
            Some(folder) => self.env.path(folder),
            None => self.env.path(PathBuf::from(".millstream").join(&self.env.pipeline)),
        }
    }

    /// Opens it: [`QueueOpener::open`] with its own type.
    ///
    /// # Errors
    /// As there.
    pub async fn open_redis(&self) -> Result<Redis> {
        super::open::open(self).await
    }
}

#[async_trait]
impl QueueOpener for RedisOpener {
    async fn open(&self) -> Result<Arc<dyn Queue>> {
        Ok(Arc::new(self.open_redis().await?))
    }

    fn folder(&self) -> Option<PathBuf> {
        Some(self.data_folder())
    }

    fn durable(&self) -> bool {
        true
    }

    fn shared(&self) -> bool {
        true
    }

    fn side_bytes_max(&self) -> u64 {
        self.options.side_bytes_max.0
    }

    fn describe(&self) -> Vec<String> {
        let options = &self.options;
        let keys = Keys::new(&options.prefix, &self.env.pipeline);
        let mut lines = vec![format!("Redis at {}, keys `{}:…`", self.server.place(), keys.root())];
        lines.push(match options.durability {
            Durability::Fsync => "taken once it is on the server's disk (Redis 7.2 or newer, or Valkey, with \
                 `appendonly yes`; Redis 7.0 with `appendfsync always`), else as safe as the server's settings"
                .into(),
            Durability::Relaxed => "taken once it is in the server's memory: a crash of the server can lose what \
                 came last, which is told, and begins a new incarnation (relaxed)"
                .into(),
        });
        let frames = options.frames_max.map_or_else(String::new, |n| format!(" and {n} frames"));
        lines.push(format!(
            "at most {}{frames} in all; at the bound, sources wait, and commits go on",
            options.bytes_max
        ));
        lines.push(format!(
            "at most {} in each outbox and in the dead letters",
            options.side_bytes_max
        ));
        lines.push(
            "several processes can share it: one processes, each source is collected by one, and a dead one's \
             work is free within 10s"
                .into(),
        );
        lines
    }
}
