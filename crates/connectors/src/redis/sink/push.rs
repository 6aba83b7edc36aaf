//! Lists, streams and channels: rows and mark in one step.
//!
//! An epoch goes in pieces of some [`PIECE_BYTES`], each a script that adds its rows and says in the mark how many of the
//! epoch are there by now; so no script holds up the server for long. A piece is only taken after the one before.

use millstream_core::Result;
use millstream_core::queue::Mark;
use millstream_redis::Session;
use millstream_redis::redis::{Pipeline, Value, cmd};

use super::mark::{Part, State, moved};
use super::render::Rendered;
use super::{RedisList, RedisPubsub, RedisStream, Side};

const PUSH: &str = include_str!("push.lua");
/// Bytes and rows of one script: a few milliseconds of the server.
const PIECE_BYTES: usize = 256 * 1024;
const PIECE_ROWS: usize = 4096;
/// Scripts that are sent at once.
const PIECES: usize = 8;

/// Rows onto something that grows.
pub(super) struct Push {
    mark: String,
    /// The list or stream; a channel is no key.
    key: Option<String>,
    command: &'static str,
    /// The channel, or how many entries a stream keeps.
    more: String,
}

impl Push {
    pub(super) fn list(to: &RedisList, mark: String) -> Self {
        let command = if to.side == Side::Left { "LPUSH" } else { "RPUSH" };
        Self { mark, key: Some(to.key.clone()), command, more: String::new() }
    }

    pub(super) fn stream(to: &RedisStream, mark: String) -> Self {
        let more = to.maxlen.map(|n| n.to_string()).unwrap_or_default();
        Self { mark, key: Some(to.key.clone()), command: "XADD", more }
    }

    pub(super) fn channel(to: &RedisPubsub, mark: String) -> Self {
        Self { mark, key: None, command: "PUBLISH", more: to.channel.clone() }
    }

    /// Finds out whether the key is of another type.
    pub(super) async fn check(&self, session: &Session) -> Result<()> {
        let Some(key) = &self.key else { return Ok(()) };
        let mut length = cmd(if self.command == "XADD" { "XLEN" } else { "LLEN" });
        length.arg(key);
        session.ask::<Value>(&format!("cannot write to `{key}`"), &length).await.map(drop)
    }

    /// Adds the rows that are not there yet.
    pub(super) async fn flush(
        &self,
        session: &Session,
        rows: &Rendered,
        state: &mut State,
        mark: &Mark,
    ) -> Result<()> {
        let mut at = usize::try_from(state.rows_of(mark)).unwrap_or(usize::MAX).min(rows.len());
        loop {
            let mut pieces = Pipeline::new();
            let mut after = *state;
            while pieces.len() < PIECES && after.held != Some(*mark) {
                let end = rows.piece(at, PIECE_ROWS, PIECE_BYTES);
                let before = after.text()?;
                after = if end == rows.len() {
                    State::whole(*mark)
                } else {
                    State { held: after.held, part: Some(Part { of: *mark, rows: end as u64 }) }
                };
                let piece = pieces.cmd("EVAL").arg(PUSH).arg(1 + usize::from(self.key.is_some()));
                piece.arg(&self.mark).arg(self.key.as_ref());
                piece.arg(before).arg(after.text()?).arg(self.command).arg(&self.more);
                for argument in rows.arguments(at..end) {
                    piece.arg(argument);
                }
                at = end;
            }
            if pieces.is_empty() {
                return Ok(());
            }
            let told: Vec<i64> = session.ask_all("cannot write rows", &pieces).await?;
            if told.iter().any(|told| *told != 0) {
                return Err(moved(session, &self.mark));
            }
            *state = after;
        }
    }
}
