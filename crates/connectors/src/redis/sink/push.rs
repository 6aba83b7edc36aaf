//! Lists, streams and channels: rows and mark in one step.
//!
//! An epoch goes in pieces of some [`PIECE_BYTES`], each a script that adds its rows and says in the mark how many of the
//! epoch are there by now, and a digest of them; so no script holds up the server for long. A piece is only taken after
//! the one before.
//!
//! An epoch that is sent again after a crash usually has the same rows: those that are there are left out. It may have
//! others, as when a view asks a live lookup, or the file was changed: then all of them are pushed, so that none is lost.

use millstream_core::Result;
use millstream_core::queue::Mark;
use millstream_redis::Session;
use millstream_redis::redis::{Pipeline, Value, cmd};

use super::digest::Digest;
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

    /// Where rows go.
    fn target(&self) -> &str {
        self.key.as_ref().unwrap_or(&self.more)
    }

    /// How many of the rows are there already, and the digest of those.
    fn resume(&self, rows: &Rendered, state: &State, mark: &Mark) -> (usize, Digest) {
        let begin = || Digest::to(self.target());
        let Some(part) = state.part else { return (0, begin()) };
        if part.of == *mark {
            let there = usize::try_from(part.rows).unwrap_or(usize::MAX);
            let known = there.min(rows.len());
            let mut digest = begin();
            digest.add(rows, 0..known);
            let same = part.digest.is_none_or(|of| known == there && of == digest.value());
            if same {
                return (known, digest);
            }
        }
        tracing::warn!(
            to = self.target(),
            mark = self.mark,
            epoch = part.of.epoch.0,
            rows_there = part.rows,
            rows_again = rows.len(),
            "the epoch that was cut off comes again with other rows: all are written, and some may be there twice"
        );
        (0, begin())
    }

    /// Adds the rows that are not there yet.
    pub(super) async fn flush(
        &self,
        session: &Session,
        rows: &Rendered,
        state: &mut State,
        mark: &Mark,
    ) -> Result<()> {
        let (mut at, mut digest) = self.resume(rows, state, mark);
        loop {
            let mut pieces = Pipeline::new();
            let mut after = *state;
            while pieces.len() < PIECES && after.held != Some(*mark) {
                let end = rows.piece(at, PIECE_ROWS, PIECE_BYTES);
                digest.add(rows, at..end);
                let before = after.text()?;
                after = if end == rows.len() {
                    State::whole(*mark)
                } else {
                    let digest = Some(digest.value());
                    State {
                        held: after.held,
                        part: Some(Part { of: *mark, rows: end as u64, digest }),
                    }
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
