//! Hashes and strings: keys that are set, and set again to the same values after a crash.

use std::collections::BTreeMap;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use millstream_core::Result;
use millstream_redis::Session;
use millstream_redis::redis::{Arg, Cmd, Pipeline, RedisError, Value, cmd};

use super::render::Rendered;
use crate::redis::slot::slot;

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
