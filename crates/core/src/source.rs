//! Where records come from.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::error::Result;
use crate::record::{Name, Position, Record};

/// Where each split of one source stands.
pub type SplitPositions = BTreeMap<Name, Position>;

/// What one call of [`Source::pull`] brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The split that all of it is of: one URL, one file, one partition.
    pub split: Name,
    /// The records, in order; about [`crate::record::BLOCK_BYTES`] at most unless one record is larger.
    pub records: Vec<Record>,
    /// Where the split stands after them; `None` if that did not change.
    pub position: Option<Position>,
    /// Whether the split ends here. With no records, that is all it says.
    pub ended: bool,
}

/// What a source can give again after a crash, which bounds what can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Replay {
    /// It continues just after a position: nothing is lost before the queue.
    Exact,
    /// Each pull sees the state of the moment: what was not polled is not missed, what was polled and
    /// not yet appended is polled again or superseded.
    Polled,
    /// It can give nothing again: what was read and not yet appended is lost in a crash.
    Never,
}

/// A place that records are pulled from. Back-pressure is simply no call to `pull`.
///
/// The engine calls `open` first, then `pull` in a loop; after an error it does what the error's
/// remedy says. A source only moves bytes: it never parses a payload beyond finding where a record
/// ends. It owns no retry loop of its own but for one: a source with several splits keeps pulling the
/// healthy ones while a broken one waits, and tells of it through [`crate::plugin::Env::report`].
#[async_trait]
pub trait Source: Send {
    /// Continues just after the given positions; a split without one starts where the options say.
    ///
    /// May be called again after an error.
    ///
    /// # Errors
    /// `Retry`/`Reopen` when the other side is away, `Stop` when only a person can mend it.
    async fn open(&mut self, after: &SplitPositions) -> Result<()>;

    /// Waits for the next records of any split. `None`: all splits have ended, for good.
    ///
    /// Cancel-safe: dropped before it returns, nothing is lost and the next call goes on.
    ///
    /// # Errors
    /// By remedy; the engine waits, calls again, opens again or stops.
    async fn pull(&mut self) -> Result<Option<Pulled>>;

    /// Everything up to these positions is durable: acknowledge upstream where that means something.
    ///
    /// # Errors
    /// As [`Source::pull`].
    async fn settle(&mut self, upto: &SplitPositions) -> Result<()> {
        let _ = upto;
        Ok(())
    }

    /// Whether it ends by itself, so that `run --once` can wait for it.
    fn finite(&self) -> bool;

    /// What it can give again after a crash.
    fn replay(&self) -> Replay;

    /// Told once, before `open`: whether each record has to begin with the header of its text, for the codec takes
    /// the first line of each record for one. A source that cuts one text into several records repeats the header in
    /// each; one whose records are documents of their own has nothing to do, as each brings its own.
    ///
    /// # Errors
    /// `Stop` when its options say otherwise.
    fn repeat_header(&mut self, header: bool) -> Result<()> {
        let _ = header;
        Ok(())
    }

    /// The columns of its rows, where the source itself knows them (a generator, the host's sensors).
    fn columns(&self) -> Option<crate::codec::Columns> {
        None
    }

    /// One line for `check`: what it reads and within which bounds.
    fn describe(&self) -> String;
}
