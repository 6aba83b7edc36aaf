//! How far a sink has come, as a JSON text in a key of the server.

use millstream_core::queue::{Epoch, LogId, Mark};
use millstream_core::record::Offset;
use millstream_core::{Error, Result};
use millstream_redis::Session;
use millstream_redis::redis::cmd;
use serde::{Deserialize, Serialize};

/// What the key says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Held whole.
    pub(super) held: Option<Mark>,
    /// The epoch of which the first rows are there. When the same rows come again, they are left out.
    pub(super) part: Option<Part>,
}

/// The first rows of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) of: Mark,
    pub(super) rows: u64,
    /// Of these rows, to know them again. Early versions wrote none.
    pub(super) digest: Option<u64>,
}

/// The text in the key.
#[derive(Serialize, Deserialize)]
struct Text {
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<(Held, u64)>,
    /// Of the rows of `part`: text, as many readers of JSON take no numbers of 64 bits either.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// A mark with its log id as text: many readers of JSON take no numbers of 128 bits.
#[derive(Serialize, Deserialize)]
struct Held {
    log: String,
    incarnation: u32,
    epoch: u64,
    next: u64,
}

impl From<Mark> for Held {
    fn from(mark: Mark) -> Self {
        let Mark { log, incarnation, epoch, next } = mark;
        Self { log: log.to_string(), incarnation, epoch: epoch.0, next: next.0 }
    }
}

impl Held {
    fn mark(&self) -> Option<Mark> {
        let log = LogId(u128::from_str_radix(&self.log, 16).ok()?);
        let (epoch, next) = (Epoch(self.epoch), Offset(self.next));
        Some(Mark { log, incarnation: self.incarnation, epoch, next })
    }
}

impl State {
    pub(super) fn whole(mark: Mark) -> Self {
        Self { held: Some(mark), part: None }
    }

    /// As it stands in the key. Equal states have equal texts.
    pub(super) fn text(&self) -> Result<String> {
        let part = self.part.map(|part| (part.of.into(), part.rows));
        let digest = self.part.and_then(|part| part.digest).map(|digest| format!("{digest:016x}"));
        let text = Text { held: self.held.map(Into::into), part, digest };
        serde_json::to_string(&text).map_err(|e| Error::stop("a mark cannot be written").because(e))
    }

    fn of(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let Text { held, part, digest } = serde_json::from_str(text).ok()?;
        let held = match held {
            Some(held) => Some(held.mark()?),
            None => None,
        };
        let digest = match digest {
            Some(digest) => Some(u64::from_str_radix(&digest, 16).ok()?),
            None => None,
        };
        let part = match part {
            Some((of, rows)) => Some(Part { of: of.mark()?, rows, digest }),
            None => None,
        };
        Some(Self { held, part })
    }
}

/// Says what is held. Writes it once more as it was: whoever may not write it must not begin to write rows.
pub(super) async fn open(session: &Session, key: &str) -> Result<State> {
    const OPEN: &str = "local text = redis.call('GET', KEYS[1]) \
                        if not text or text == '' then text = ARGV[1] end \
                        redis.call('SET', KEYS[1], text) \
                        return text";
    let fresh = State::default();
    let mut open = cmd("EVAL");
    open.arg(OPEN).arg(1).arg(key).arg(fresh.text()?);
    let text: String = session.ask("cannot open the sink's mark", &open).await?;
    State::of(&text).ok_or_else(|| {
        Error::stop(format!("`{key}` does not say how far this sink has come, but something else"))
            .at(session.server().place())
            .fix("name another key with `mark`")
    })
}

/// Says that all up to `mark` is held, if nobody else has said anything since.
pub(super) async fn set(
    session: &Session,
    key: &str,
    state: &mut State,
    mark: &Mark,
) -> Result<()> {
    const SET: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end \
                       redis.call('SET', KEYS[1], ARGV[2]) \
                       return 0";
    let whole = State::whole(*mark);
    let mut set = cmd("EVAL");
    set.arg(SET).arg(1).arg(key).arg(state.text()?).arg(whole.text()?);
    if session.ask::<i64>("cannot set the sink's mark", &set).await? != 0 {
        return Err(moved(session, key));
    }
    *state = whole;
    Ok(())
}

pub(super) async fn forget(session: &Session, key: &str) -> Result<()> {
    let mut forget = cmd("DEL");
    forget.arg(key);
    session.ask("cannot remove the sink's mark", &forget).await
}

/// Somebody has written the key meanwhile: perhaps this sink, by a command whose answer was lost.
pub(super) fn moved(session: &Session, key: &str) -> Error {
    Error::reopen(format!("`{key}` says something else than this sink has written last"))
        .at(session.server().place())
        .fix("if another process runs the same pipeline, stop one of them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back() {
        let mark = Mark {
            log: LogId(u128::MAX - 7),
            incarnation: 2,
            epoch: Epoch(9),
            next: Offset(u64::MAX),
        };
        let next = Mark { epoch: Epoch(10), ..mark };
        let old = Part { of: next, rows: 12, digest: None };
        let part = Part { digest: Some(u64::MAX - 9), ..old };
        for state in [
            State::default(),
            State::whole(mark),
            State { held: None, part: Some(part) },
            State { held: Some(mark), part: Some(part) },
            State { held: Some(mark), part: Some(old) },
        ] {
            assert_eq!(State::of(&state.text().unwrap()), Some(state));
        }
        // As it was written before there was a digest: it is compared by its text.
        let text = State { held: None, part: Some(old) }.text().unwrap();
        assert!(text.ends_with(",12]}"), "{text}");
        assert_eq!(State::of("{\"other\""), None);
        assert_eq!(State::of("7"), None);
        assert_eq!(State::of(r#"{"digest":"x"}"#), None);
    }
}
