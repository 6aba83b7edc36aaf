//! Records out of Redis: what other programs push, add or publish.

mod entry;
mod list;
mod pubsub;
mod stream;

use millstream_core::fields::{Bytes, Secret, Span};
use millstream_core::plugin::{Config, Env};
use millstream_core::source::Source;
use millstream_core::{Error, Result};
use millstream_redis::{Address, Nodes, Server, Session, Stake, Tls};
use schemars::JsonSchema;
use serde::Deserialize;

use self::list::ListSource;
use self::pubsub::PubsubSource;
use self::stream::StreamSource;
use super::disk::Disk;
use super::{five_seconds, key_is_given};

/// Reads a list, a stream or channels of a Redis, 7 or newer, or a Valkey.
///
/// - A **list**, as scripts with `LPUSH` and `BRPOP` use it. Records are moved to a list of this pipeline in the same
///   atomic step that takes them off, and removed there once they are in the queue: a crash neither loses nor
///   repeats one.
/// - A **stream**, as a member of a consumer group. Entries are acknowledged once they are in the queue; what a dead
///   member left is taken over.
/// - **Channels**: what is published while nobody is subscribed is lost, as always with pub/sub.
///
/// ```yaml
/// from:
///   redis:
///     url: "redis://127.0.0.1:6379"
///     read:
///       list: { key: data_queue }
/// ```
///
/// Keys that are used, and the permissions a user needs: `docs/redis.md`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSource {
    /// Where it is, such as `redis://127.0.0.1:6379`.
    url: Address,
    /// The password, if it is not in `url`.
    #[serde(default)]
    password: Option<Secret>,
    /// Certificates, for a `rediss://` URL.
    #[serde(default)]
    tls: Option<Tls>,
    /// The longest wait for an answer.
    #[serde(default = "five_seconds")]
    timeout: Span,
    /// What to read.
    read: RedisRead,
}

/// What to read of a Redis.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum RedisRead {
    /// A list: each element is a record. Several pipelines, processes and scripts may take from one list; each
    /// element goes to one of them.
    List(RedisReadList),
    /// A stream, as a member of a consumer group.
    Stream(RedisReadStream),
    /// Channels. What is published while this source is not connected is lost.
    Pubsub(RedisReadPubsub),
}

/// A list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisReadList {
    /// The list. It need not be there yet.
    key: String,
    /// The end to take from: `right` is where `BRPOP` takes what `LPUSH` has put in first.
    #[serde(default)]
    end: ListEnd,
    /// Under which name records are kept until they are in the queue; by default PIPELINE.SOURCE. Processes that run
    /// the same file at one time and share a list need a name each: one of the same name waits until the other has
    /// been gone for 10 s, and then takes over what it left.
    #[serde(default)]
    consumer: Option<String>,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ListEnd {
    /// The end with the oldest element, if others use `LPUSH`.
    #[default]
    Right,
    /// The end with the oldest element, if others use `RPUSH`.
    Left,
}

/// A stream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisReadStream {
    /// The stream. It is made, empty, if it is not there.
    key: String,
    /// The consumer group; by default PIPELINE.SOURCE. It is made if it is not there. Members of one group share the
    /// entries of a stream.
    #[serde(default)]
    group: Option<String>,
    /// The name of this member; by default one is made up at the first start and kept with the source's position.
    #[serde(default)]
    consumer: Option<String>,
    /// Where a group that is made begins.
    #[serde(default)]
    from: StreamStart,
    /// The field that is the record. Without it, and for entries that do not have it, the record is the whole entry as a
    /// JSON object, in which numbers, `true`, `false` and `null` stand without quotes.
    #[serde(default)]
    field: Option<String>,
    /// Fields that are text, also where they look like a number or `true`: in whole entries they always have quotes.
    #[serde(default)]
    text: Vec<String>,
    /// How long another member has to leave an entry unacknowledged before this one takes it over. `0s`: never.
    #[serde(default = "one_minute")]
    claim_after: Span,
}

/// Where a new consumer group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StreamStart {
    /// With the oldest entry there is.
    #[default]
    Start,
    /// After the newest entry there is.
    End,
}

/// Channels to subscribe to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisReadPubsub {
    /// Channels, by name.
    #[serde(default)]
    channels: Vec<String>,
    /// Patterns of channels, such as `sensors.*`.
    #[serde(default)]
    patterns: Vec<String>,
    /// Bytes of messages that may wait for the queue. Beyond it, new ones are dropped, and counted as a trouble.
    #[serde(default = "buffer")]
    buffer: Bytes,
}

fn one_minute() -> Span {
    Span(std::time::Duration::from_secs(60))
}

fn buffer() -> Bytes {
    Bytes(64 << 20)
}

impl Config<dyn Source> for RedisSource {
    const NAME: &'static str = "redis";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        let Self { url, password, tls, timeout, read } = self;
        let server = Server::new(url, password, tls, timeout.0, env)?;
        let server = Place { server, timeout: timeout.0, env: env.clone() };
        Ok(match read {
            RedisRead::List(options) => {
                key_is_given(&options.key)?;
                Box::new(ListSource::new(server, options))
            }
            RedisRead::Stream(options) => {
                key_is_given(&options.key)?;
                Box::new(StreamSource::new(server, options))
            }
            RedisRead::Pubsub(options) => {
                if options.channels.is_empty() && options.patterns.is_empty() {
                    return Err(Error::stop("neither `channels` nor `patterns` names a channel")
                        .fix("name one, such as `channels: [sensors]`"));
                }
                Box::new(PubsubSource::new(server, options))
            }
        })
    }
}

/// What all kinds know of where they read.
struct Place {
    server: Server,
    timeout: std::time::Duration,
    env: Env,
}

impl Place {
    /// The same server for commands that wait this long for something to come.
    fn patient(&self, wait: std::time::Duration) -> Server {
        self.server.clone().timeout(self.timeout.saturating_add(wait))
    }

    /// Warns of what the server would lose of the list or stream at `key`. It need not be waited for: what the server
    /// forgets of what it told comes again.
    async fn look_at_disk(&self, disk: &mut Disk, session: &Session, key: &str) -> Result<()> {
        let what = format!("what is in `{key}`");
        let stake = Stake { nodes: Nodes::Of(key), what: &what, waits: false };
        disk.look(session, &stake, &self.env).await
    }
}
