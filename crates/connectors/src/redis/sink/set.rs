//! Hashes and strings: keys that are set, and set again to the same values after a crash.

use std::collections::BTreeMap;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use millstream_core::Result;
use millstream_redis::Session;
use millstream_redis::redis::{Arg, Cmd, Pipeline, RedisError, Value, cmd};

use super::render::Rendered;

/// Commands and bytes that are sent at once.
const ROWS: usize = 2048;
const BYTES: usize = 512 * 1024;
/// Slots of a cluster that are written to at one time: one fsync of a node serves many.
const SLOTS: usize = 256;

/// Rows as keys of their own.
pub(super) struct Set {
    hash: bool,
    /// How long they stay, in ms.
    ttl: Option<u64>,
}

impl Set {
    pub(super) fn hash(ttl: Option<u64>) -> Self {
        Self { hash: true, ttl }
    }

    pub(super) fn string(ttl: Option<u64>) -> Self {
        Self { hash: false, ttl }
    }

    /// Sets all rows, in order.
    pub(super) async fn flush(&self, session: &Session, rows: &Rendered) -> Result<()> {
        let mut at = 0;
        while at < rows.len() {
            let end = rows.piece(at, ROWS, BYTES);
            // In a cluster, what is sent at once has to be for keys of one slot; the order matters only within one.
            let mut slots: BTreeMap<u16, Pipeline> = BTreeMap::new();
            for row in at..end {
                let words: Vec<&[u8]> = rows.arguments(row..row + 1).collect();
                let Some((key, rest)) = words.split_first() else { continue };
                let slot = if session.server().is_cluster() { slot(key) } else { 0 };
                let commands = slots.entry(slot).or_default();
                // In one transaction, what belongs to a row is seen at once, and there is one fsync for all.
                commands.atomic();
                if self.hash {
                    self.set_hash(key, rest, commands)
                } else {
                    self.set_string(key, rest, commands)
                }
            }
            let sent =
                futures::stream::iter(slots.into_values().map(|commands| send(session, commands)));
            sent.buffer_unordered(SLOTS).try_collect::<()>().await?;
            at = end;
        }
        Ok(())
    }

    fn set_string(&self, key: &[u8], rest: &[&[u8]], commands: &mut Pipeline) {
        let mut set = cmd("SET");
        set.arg(key).arg(rest);
        if let Some(ttl) = self.ttl {
            set.arg("PX").arg(ttl);
        }
        commands.add_command(set);
    }

    fn set_hash(&self, key: &[u8], rest: &[&[u8]], commands: &mut Pipeline) {
        let Some((count, fields)) = rest.split_first() else { return };
        let count = std::str::from_utf8(count).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        let Some((set, gone)) = fields.split_at_checked(count) else { return };
        let mut add = |name: &str, words: &[&[u8]]| {
            if !words.is_empty() {
                let mut command: Cmd = cmd(name);
                command.arg(key).arg(words);
                commands.add_command(command);
            }
        };
        add("HSET", set);
        add("HDEL", gone);
        if let Some(ttl) = self.ttl {
            add("PEXPIRE", &[ttl.to_string().as_bytes()]);
        }
    }
}

async fn send(session: &Session, commands: Pipeline) -> Result<()> {
    let (number, mut link) = session.link().await?;
    let Err(e) = commands.query_async::<Value>(&mut link).await else { return Ok(()) };
    let what = match failed_key(&commands, &e) {
        Some(key) => format!("cannot set `{key}`"),
        None => "cannot set keys".to_owned(),
    };
    Err(session.failed(&what, number, e).await)
}

/// The key of the first command that failed.
fn failed_key(commands: &Pipeline, e: &RedisError) -> Option<String> {
    let first = e.clone().into_server_errors()?.first()?.0;
    match commands.cmd_iter().nth(first)?.args_iter().nth(1)? {
        Arg::Simple(key) => Some(String::from_utf8_lossy(key).into_owned()),
        _ => None,
    }
}

/// The slot of a key in a cluster: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
fn slot(key: &[u8]) -> u16 {
    let tag = || {
        let (_, after) = key.split_at_checked(key.iter().position(|b| *b == b'{')? + 1)?;
        let (tag, _) = after.split_at_checked(after.iter().position(|b| *b == b'}')?)?;
        (!tag.is_empty()).then_some(tag)
    };
    let crc = tag().unwrap_or(key).iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // From the specification, and from `CLUSTER KEYSLOT`.
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }
}
