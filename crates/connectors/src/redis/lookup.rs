//! Columns of a hash or a string, by a key: many keys in one request.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use millstream_core::codec::{Codec as _, Columns, Decoder};
use millstream_core::fields::{Secret, Span};
use millstream_core::lookup::{Answer, KEY, Key, Lookup, Read, Reader};
use millstream_core::plugin::{Config, Env};
use millstream_core::record::{Block, Form, Record};
use millstream_core::{Error, Result};
use millstream_redis::redis::aio::ConnectionLike as _;
use millstream_redis::redis::{Pipeline, RedisError, ServerError, Value, cmd};
use millstream_redis::{Address, Server, Session, Tls};
use schemars::JsonSchema;
use serde::Deserialize;

use super::five_seconds;
use super::slot::slot;
use super::template::{Piece, Template};
use crate::codec::Texts;
use crate::codec::json::JsonCodec;

/// Keys of one request.
const KEYS: usize = 1024;
/// Nodes of a cluster that are asked at one time.
const NODES: usize = 16;

/// Asks a Redis, 7 or newer, or a Valkey: the columns are the fields of a hash, or what a string holds.
///
/// All keys of a batch are asked for at once: one `MGET` for strings, one pipeline of `HMGET` for hashes.
///
/// ```yaml
/// from:
///   redis:
///     url: "redis://127.0.0.1:6379"
///     read:
///       hash: { key: "device:{key}" }
/// ```
///
/// The permissions a user needs: `docs/redis.md`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisLookup {
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
    /// What stands under a key.
    read: RedisUnder,
}

/// What stands under a key of a Redis.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum RedisUnder {
    /// A hash. Each column is a field, as text; a field that is not there is null.
    Hash(RedisKey),
    /// A string that is a JSON object. Each column is a key of it, or where its `at` points to.
    Json(RedisKey),
    /// A string. The one column is its value, as text.
    String(RedisKey),
}

/// Where a key of SQL is in a Redis.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisKey {
    /// The key in Redis, such as `device:{key}`, in which `{key}` stands for the one looked up; `{{` and `}}` for a brace.
    #[schemars(with = "Template")]
    key: String,
}

impl RedisUnder {
    /// The key as written, and where.
    fn written(&self) -> (&str, &'static str) {
        match self {
            Self::Hash(k) => (&k.key, "read.hash.key"),
            Self::Json(k) => (&k.key, "read.json.key"),
            Self::String(k) => (&k.key, "read.string.key"),
        }
    }

    /// The key, with the one thing in it that is known here.
    fn key(&self) -> Result<Template> {
        let (text, place) = self.written();
        let parsed =
            Template::parse(text).map_err(|why| format!("`{text}` is no key to look up by: {why}"));
        let one = parsed.and_then(|key| {
            let other = key.columns().find(|c| *c != KEY).map(str::to_owned);
            other.map_or(Ok(key), |other| {
                Err(format!("the key has `{{{other}}}` in it, which is not known here"))
            })
        });
        one.map_err(|what| {
            let fix = format!(
                "write `{{{KEY}}}` where the key looked up stands, such as `device:{{{KEY}}}`"
            );
            Error::stop(what).at(place).fix(fix)
        })
    }
}

impl Config<dyn Lookup> for RedisLookup {
    const NAME: &'static str = "redis";

    fn build(self, env: &Env) -> Result<Box<dyn Lookup>> {
        let Self { url, password, tls, timeout, read } = self;
        let key = read.key()?;
        let server = Server::new(url, password, tls, timeout.0, env)?;
        Ok(Box::new(KeysOfRedis { session: Session::new(server), read, key }))
    }
}

struct KeysOfRedis {
    session: Session,
    read: RedisUnder,
    key: Template,
}

#[async_trait]
impl Lookup for KeysOfRedis {
    async fn ask(&self, keys: &[Key], columns: &Columns) -> Result<Vec<Answer>> {
        let fields = columns.0.iter().map(Texts::name_of).collect::<Result<Vec<_>>>();
        // Only a hash has fields by name.
        let fields = if matches!(self.read, RedisUnder::Hash(_)) { fields? } else { Vec::new() };
        let mut answers = Vec::with_capacity(keys.len());
        for piece in keys.chunks(KEYS) {
            let keys: Vec<String> = piece.iter().map(|key| self.key(key)).collect();
            answers.extend(self.ask_piece(&keys, &fields).await?);
        }
        Ok(answers)
    }

    fn reader(&self, columns: &Columns) -> Result<Box<dyn Reader>> {
        match &self.read {
            RedisUnder::Hash(_) => {
                columns.0.iter().try_for_each(|c| Texts::name_of(c).map(drop))?;
                Ok(Box::new(Texts::of(columns)?))
            }
            RedisUnder::Json(_) => {
                Ok(Box::new(Documents(JsonCodec::plain().decoder(columns, None)?)))
            }
            RedisUnder::String(_) if columns.0.len() > 1 => {
                Err(Error::stop("a string has one value, and here are several columns")
                    .fix("declare one column, or use `read: { json: … }` if it is a JSON object"))
            }
            RedisUnder::String(_) => Ok(Box::new(Texts::of(columns)?)),
        }
    }

    fn describe(&self) -> String {
        let what = match &self.read {
            RedisUnder::Hash(_) => "hash",
            RedisUnder::Json(_) => "string of JSON",
            RedisUnder::String(_) => "string",
        };
        format!("redis: a {what} per `{}` of {}", self.key, self.session.server().place())
    }
}

impl KeysOfRedis {
    /// The key in Redis.
    fn key(&self, key: &str) -> String {
        let pieces = self.key.pieces().iter();
        pieces
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Column(_) => key,
            })
            .collect()
    }

    /// Asks for keys that are few enough for one request. In a cluster, for those of one slot in one each.
    async fn ask_piece(&self, keys: &[String], fields: &[String]) -> Result<Vec<Answer>> {
        if !self.session.server().is_cluster() {
            return self.ask_once(keys, fields).await;
        }
        let mut slots: BTreeMap<u16, (Vec<usize>, Vec<String>)> = BTreeMap::new();
        for (i, key) in keys.iter().enumerate() {
            let (places, of_slot) = slots.entry(slot(key.as_bytes())).or_default();
            places.push(i);
            of_slot.push(key.clone());
        }
        let asked = stream::iter(slots.into_values().map(|(places, keys)| async move {
            let answers = self.ask_once(&keys, fields).await?;
            Ok::<_, Error>(places.into_iter().zip(answers).collect::<Vec<_>>())
        }));
        let answers: Vec<Vec<(usize, Answer)>> =
            asked.buffer_unordered(NODES).try_collect().await?;
        let by_place: BTreeMap<usize, Answer> = answers.into_iter().flatten().collect();
        Ok(by_place.into_values().collect())
    }

    async fn ask_once(&self, keys: &[String], fields: &[String]) -> Result<Vec<Answer>> {
        match &self.read {
            RedisUnder::Hash(_) => self.hashes(keys, fields).await,
            RedisUnder::Json(_) | RedisUnder::String(_) => {
                let mut command = cmd("MGET");
                command.arg(keys);
                let values: Vec<Option<Vec<u8>>> =
                    self.session.ask("cannot look up", &command).await?;
                let answer = |value: Option<Vec<u8>>| match value {
                    Some(value) => Answer::Found(vec![Some(value.into())]),
                    None => Answer::Nothing,
                };
                self.all(keys, values.into_iter().map(answer).collect())
            }
        }
    }

    /// The fields of hashes. A hash that has none of them is told from none at all by asking once more.
    async fn hashes(&self, keys: &[String], fields: &[String]) -> Result<Vec<Answer>> {
        let mut answers = vec![Answer::Nothing; keys.len()];
        if !fields.is_empty() {
            let command = |key: &String| {
                let mut command = cmd("HMGET");
                command.arg(key).arg(fields);
                command
            };
            let values = self.send(keys.iter().map(command).collect()).await?;
            let made = keys.iter().zip(values).map(|(key, value)| hash(key, value));
            answers = self.all(keys, made.collect())?;
        }
        let unsure = || answers.iter().enumerate().filter(|(_, a)| **a == Answer::Nothing);
        let places: Vec<usize> = unsure().map(|(i, _)| i).collect();
        let command = |key: &String| {
            let mut command = cmd("EXISTS");
            command.arg(key);
            command
        };
        let asked = places.iter().filter_map(|i| keys.get(*i));
        let there = self.send(asked.map(command).collect()).await?;
        for (i, there) in places.into_iter().zip(there) {
            if let (Value::Int(1), Some(answer)) = (there, answers.get_mut(i)) {
                *answer = Answer::Found(vec![None; fields.len()]);
            }
        }
        Ok(answers)
    }

    /// Runs commands sent at once; what one of them failed with is its answer.
    async fn send(&self, commands: Vec<millstream_redis::redis::Cmd>) -> Result<Vec<Value>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let count = commands.len();
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        let (number, mut link) = self.session.link().await?;
        let answered = match link.req_packed_commands(&pipeline, 0, count).await {
            Ok(values) => values,
            Err(e) => return Err(self.session.failed("cannot look up", number, e).await),
        };
        // What is wrong with one key is its own matter, what is wrong with the server everybody's.
        let everybodys = answered.iter().find_map(|value| match value {
            Value::ServerError(e) if !is_wrong_type(e) => Some(e.clone()),
            _ => None,
        });
        match everybodys {
            Some(e) => {
                Err(self.session.failed("cannot look up", number, RedisError::from(e)).await)
            }
            None => Ok(answered),
        }
    }

    /// As many answers as keys.
    fn all(&self, keys: &[String], answers: Vec<Answer>) -> Result<Vec<Answer>> {
        if answers.len() == keys.len() {
            return Ok(answers);
        }
        let what = format!("{} answers for {} keys", answers.len(), keys.len());
        Err(Error::retry(what).at(self.session.server().place()))
    }
}

fn is_wrong_type(e: &ServerError) -> bool {
    e.code() == "WRONGTYPE"
}

/// What `HMGET` of one key came to.
fn hash(key: &str, value: Value) -> Answer {
    let values = match value {
        Value::Array(values) => values,
        Value::ServerError(_) => {
            return Answer::Unfit(format!("`{key}` is no hash but another type of value"));
        }
        _ => return Answer::Unfit(format!("`{key}` was answered with something else")),
    };
    let values = values.into_iter().map(|value| match value {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        _ => None,
    });
    let values: Vec<Option<Bytes>> = values.collect();
    if values.iter().all(Option::is_none) { Answer::Nothing } else { Answer::Found(values) }
}

/// Rows of JSON objects.
struct Documents(Box<dyn Decoder>);

impl Reader for Documents {
    fn read(&mut self, found: &[&[Option<Bytes>]]) -> Result<Read> {
        let document = |values: &&[Option<Bytes>]| {
            Record::new(values.first().cloned().flatten().unwrap_or_default())
        };
        let records: Vec<Record> = found.iter().map(document).collect();
        let decoded = self.0.decode(&Block::pack_as(Form::Rows, &records)?)?;
        let rows = decoded.refused.into_iter().map(|r| (r.ordinal, r.reason));
        let records = decoded.refused_records.into_iter().map(|r| (r.record, r.reason));
        let unfit: BTreeMap<u32, String> = rows.chain(records).collect();
        let place = |(i, why): (u32, String)| (usize::try_from(i).unwrap_or(usize::MAX), why);
        Ok(Read { rows: decoded.batch, unfit: unfit.into_iter().map(place).collect() })
    }
}
