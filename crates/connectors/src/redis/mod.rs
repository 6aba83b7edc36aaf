//! Redis: lists, streams, pub/sub, hashes and strings, as other programs use them, and keys to look up.

mod disk;
mod lookup;
mod sink;
mod slot;
mod source;
mod template;

pub use lookup::RedisLookup;
pub use sink::RedisSink;
pub use source::RedisSource;

use std::time::Duration;

use millstream_core::fields::Span;
use millstream_core::plugin::Env;
use millstream_core::{Error, Result};
use millstream_redis::redis::Value;

fn five_seconds() -> Span {
    Span(Duration::from_secs(5))
}

/// PIPELINE.PART.
fn own_name(env: &Env) -> String {
    format!("{}.{}", env.pipeline, env.name)
}

fn key_is_given(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::stop("`key` is empty").fix("name the key, such as `key: data_queue`"));
    }
    Ok(())
}

fn millis(time: Span) -> u64 {
    u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX)
}

/// A value that is a text.
fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(text) => String::from_utf8(text).ok(),
        _ => None,
    }
}

/// A key beside `key`, for what this pipeline keeps there. Its hash tag is that of `key`, so that both are on one
/// node of a cluster: the first `{…}` that is not empty counts, else the whole key.
fn beside(key: &str, name: &str) -> String {
    match hash_tag(key) {
        Some(_) => format!("{key}:millstream:{name}"),
        None => format!("{{{key}}}:millstream:{name}"),
    }
}

/// What of a key says on which node of a cluster it is, if not all of it.
fn hash_tag(key: &str) -> Option<&str> {
    let (_, after) = key.split_once('{')?;
    let (tag, _) = after.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}
