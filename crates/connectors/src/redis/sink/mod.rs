//! Rows into Redis: a list, a stream, a channel, or a key per row.

mod digest;
mod mark;
mod push;
mod render;
mod set;

use std::time::Duration;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use millstream_core::codec::Rows;
use millstream_core::fields::{Secret, Span};
use millstream_core::plugin::{Config, Env};
use millstream_core::queue::Mark;
use millstream_core::sink::{Held, Promise, Refused, Sink};
use millstream_core::{Error, Result};
use millstream_redis::{Address, Nodes, Server, Session, Stake, Tls};
use schemars::JsonSchema;
use serde::Deserialize;

use self::mark::State;
use self::push::Push;
use self::render::{Render, Rendered};
use self::set::Set;
use super::disk::Disk;
use super::template::Template;
use super::{beside, five_seconds, key_is_given, millis, own_name};

/// Writes rows to a Redis, 7 or newer, or a Valkey, many at a time.
///
/// Each row is there once, also after a crash: how far this sink has come is kept in a key of the same server. To lists,
/// streams and channels, rows and that key are written in one atomic step. Hashes and strings are set first, then the key:
/// after a crash the rows of the last moment are set again, to the same values.
///
/// That is as durable as the server: `appendonly yes` with `appendfsync always` survives a power cut, and so does `everysec`
/// where the server can be asked to wait for its disk (Redis 7.2, and 8 or newer); on others the last second may be lost, and
/// with it what the key says. What a server would lose is warned of at the start.
///
/// ```yaml
/// to:
///   redis:
///     url: "redis://127.0.0.1:6379"
///     write:
///       hash: { key: "device:{id}" }
/// ```
///
/// A row with null where it needs a value (in a key, or as the `value`) is refused and kept in the dead letters. Keys
/// that are used, and the permissions a user needs: `docs/redis.md`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSink {
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
    /// What to write.
    write: RedisWrite,
    /// The key that says how far this sink has come; by default one whose name has that of the pipeline and the sink.
    #[serde(default)]
    mark: Option<String>,
}

/// What to write to a Redis.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum RedisWrite {
    /// Each row is an element of a list, for a program that takes it with `BRPOP`, say.
    List(RedisList),
    /// Each row is an entry of a stream.
    Stream(RedisStream),
    /// Each row is a message on a channel, published once; whoever is not subscribed just then misses it.
    Pubsub(RedisPubsub),
    /// Each row sets the fields of a hash, one hash per key.
    Hash(RedisHash),
    /// Each row sets a string, one per key.
    String(RedisString),
}

/// A list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisList {
    /// The list.
    key: String,
    /// The side to push to: `left` is what `LPUSH` does, so that `BRPOP` takes rows in order.
    #[serde(default)]
    side: Side,
    /// The column that is the element, as text; by default it is the whole row as JSON.
    #[serde(default)]
    value: Option<String>,
}

/// A side of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Side {
    /// `LPUSH`.
    #[default]
    Left,
    /// `RPUSH`.
    Right,
}

/// A stream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisStream {
    /// The stream.
    key: String,
    /// About how many entries to keep: older ones are cut off, whether they were read or not. By default all are kept.
    #[serde(default)]
    maxlen: Option<u64>,
    /// The field that gets the whole row as JSON. By default each column is a field, and null is none.
    #[serde(default)]
    field: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisPubsub {
    /// The channel.
    channel: String,
    /// The column that is the message, as text; by default it is the whole row as JSON.
    #[serde(default)]
    value: Option<String>,
}

/// A hash per key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisHash {
    /// The key, such as `device:{id}`: a column's name in braces stands for its value, `{{` and `}}` for a brace. All
    /// columns that are not in it are fields; null takes the field away.
    key: Template,
    /// How long a hash stays after it was last set; by default for ever.
    #[serde(default)]
    ttl: Option<Span>,
}

/// A string per key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisString {
    /// The key, such as `latest:{id}`: a column's name in braces stands for its value, `{{` and `}}` for a brace.
    key: Template,
    /// The column that is the value, as text; by default it is the whole row as JSON.
    #[serde(default)]
    value: Option<String>,
    /// How long a value stays after it was last set; by default for ever.
    #[serde(default)]
    ttl: Option<Span>,
}

impl Config<dyn Sink> for RedisSink {
    const NAME: &'static str = "redis";

    fn build(self, env: &Env) -> Result<Box<dyn Sink>> {
        let Self { url, password, tls, timeout, write, mark } = self;
        let server = Server::new(url, password, tls, timeout.0, env)?;
        let own = own_name(env);
        let mark = mark.unwrap_or_else(|| {
            write.key().map_or_else(|| format!("millstream:{own}"), |key| beside(key, &own))
        });
        check(&write, &mark, &server)?;
        let render = Render::new(&write);
        let how = match &write {
            RedisWrite::List(to) => How::Push(Push::list(to, mark.clone())),
            RedisWrite::Stream(to) => How::Push(Push::stream(to, mark.clone())),
            RedisWrite::Pubsub(to) => How::Push(Push::channel(to, mark.clone())),
            RedisWrite::Hash(RedisHash { ttl, .. }) => How::Set(Set::hash(ttl.map(millis))),
            RedisWrite::String(RedisString { ttl, .. }) => How::Set(Set::string(ttl.map(millis))),
        };
        let session = Session::new(server);
        let state = State::default();
        Ok(Box::new(RowsToRedis {
            session,
            write,
            mark,
            render,
            how,
            state,
            disk: Disk::default(),
            timeout: timeout.0,
            env: env.clone(),
            rows: Rendered::default(),
        }))
    }
}

impl RedisWrite {
    /// The one key that all rows go to, if there is one.
    fn key(&self) -> Option<&str> {
        match self {
            Self::List(RedisList { key, .. }) | Self::Stream(RedisStream { key, .. }) => Some(key),
            Self::Pubsub(_) | Self::Hash(_) | Self::String(_) => None,
        }
    }

    fn ttl(&self) -> Option<Span> {
        match self {
            Self::Hash(RedisHash { ttl, .. }) | Self::String(RedisString { ttl, .. }) => *ttl,
            Self::List(_) | Self::Stream(_) | Self::Pubsub(_) => None,
        }
    }
}

fn check(write: &RedisWrite, mark: &str, server: &Server) -> Result<()> {
    let stop = |what: &str, fix: &str| Err(Error::stop(what).fix(fix));
    if let RedisWrite::Pubsub(RedisPubsub { channel, .. }) = write
        && channel.is_empty()
    {
        return stop("`channel` is empty", "name the channel, such as `channel: hot`");
    }
    if let Some(key) = write.key() {
        key_is_given(key)?;
        if key == mark {
            return stop("`mark` is the key that rows go to", "leave `mark` out");
        }
        let tag = |key: &str| super::hash_tag(key).unwrap_or(key).to_owned();
        if server.is_cluster() && tag(key) != tag(mark) {
            return stop(
                "`mark` may be on another node of the cluster than `key`, so that both cannot change in one step",
                "leave `mark` out, or give it the same hash tag, the part in `{…}`",
            );
        }
    }
    if write.ttl().is_some_and(|ttl| ttl.0 < Duration::from_millis(1)) {
        return stop("`ttl` is shorter than a millisecond", "give `1ms` or more, or leave it out");
    }
    Ok(())
}

/// Rows as commands.
struct RowsToRedis {
    session: Session,
    write: RedisWrite,
    mark: String,
    render: Render,
    how: How,
    /// What the server says this sink holds.
    state: State,
    disk: Disk,
    timeout: Duration,
    env: Env,
    /// Rows that are not flushed.
    rows: Rendered,
}

enum How {
    /// Rows and mark in one step.
    Push(Push),
    /// Rows, which may be set twice, and then the mark.
    Set(Set),
}

impl How {
    /// Where rows and mark are: keys per row are on any node of a cluster.
    fn nodes<'a>(&self, mark: &'a str) -> Nodes<'a> {
        match self {
            Self::Push(_) => Nodes::Of(mark),
            Self::Set(_) => Nodes::All,
        }
    }
}

impl RowsToRedis {
    /// Waits until the server's disk has the mark, and with it all rows before it.
    async fn wait(&self) -> Result<()> {
        self.disk.wait(&self.session, Nodes::Of(&self.mark), self.timeout).await
    }
}

#[async_trait]
impl Sink for RowsToRedis {
    async fn open(&mut self, schema: SchemaRef) -> Result<Held> {
        self.rows = Rendered::default();
        self.render.check(&schema)?;
        if let How::Push(push) = &self.how {
            push.check(&self.session).await?;
        }
        self.state = mark::open(&self.session, &self.mark).await?;
        let what = "what this sink has written";
        let stake = Stake { nodes: self.how.nodes(&self.mark), what, waits: true };
        self.disk.look(&self.session, &stake, &self.env).await?;
        // The mark may be of a flush whose wait was cut off.
        self.wait().await?;
        Ok(self.state.held.map_or(Held::Fresh, Held::Upto))
    }

    async fn write(&mut self, rows: &Rows) -> Result<()> {
        self.render.write(rows, &mut self.rows)
    }

    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        Ok(std::mem::take(&mut self.rows.refused))
    }

    async fn flush(&mut self, mark: &Mark) -> Result<()> {
        match &self.how {
            How::Push(push) => push.flush(&self.session, &self.rows, &mut self.state, mark).await?,
            How::Set(set) => {
                set.flush(&self.session, &self.rows).await?;
                if self.session.server().is_cluster() {
                    // The mark is on another node than most rows: these come first.
                    self.disk.wait(&self.session, Nodes::All, self.timeout).await?;
                }
                mark::set(&self.session, &self.mark, &mut self.state, mark).await?;
            }
        }
        self.wait().await?;
        self.rows.clear();
        Ok(())
    }

    async fn forget(&mut self) -> Result<()> {
        self.rows = Rendered::default();
        self.state = State::default();
        mark::forget(&self.session, &self.mark).await
    }

    fn key(&self) -> Option<Vec<String>> {
        let key = match &self.write {
            RedisWrite::Hash(hash) => &hash.key,
            RedisWrite::String(string) => &string.key,
            RedisWrite::List(_) | RedisWrite::Stream(_) | RedisWrite::Pubsub(_) => return None,
        };
        Some(key.columns().map(str::to_owned).collect())
    }

    fn suits(&self, schema: &Schema) -> Result<()> {
        self.render.check(schema)
    }

    fn promise(&self) -> Promise {
        Promise::EffectivelyOnce
    }

    fn describe(&self) -> String {
        let place = self.session.server().place();
        let what = match &self.write {
            RedisWrite::List(RedisList { key, side, .. }) => {
                let push = if *side == Side::Left { "LPUSH" } else { "RPUSH" };
                format!("{push} to list `{key}`")
            }
            RedisWrite::Stream(RedisStream { key, maxlen: None, .. }) => {
                format!("XADD to stream `{key}`")
            }
            RedisWrite::Stream(RedisStream { key, maxlen: Some(n), .. }) => {
                format!("XADD to stream `{key}`, which keeps about {n} entries")
            }
            RedisWrite::Pubsub(RedisPubsub { channel, .. }) => {
                format!("PUBLISH on `{channel}`, missed by whoever is not subscribed")
            }
            RedisWrite::Hash(RedisHash { key, .. }) => format!("a hash per `{key}`"),
            RedisWrite::String(RedisString { key, .. }) => format!("a string per `{key}`"),
        };
        let step = match self.how {
            How::Push(_) => "in one step with",
            How::Set(_) => "before",
        };
        format!(
            "redis: {what} of {place}, {step} its mark `{}`; flushed to the server's disk if it has `appendonly yes`, and `appendfsync always` or `WAITAOF`",
            self.mark
        )
    }
}
