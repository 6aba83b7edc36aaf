//! Where rows leave.

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;

use crate::codec::{RowId, Rows};
use crate::error::Result;
use crate::queue::{Epoch, Mark};

/// What a sink says it durably holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It does not keep track: rows of the last epoch may be repeated after a crash.
    Untracked,
    /// It keeps track and holds nothing yet for this pipeline and sink.
    Fresh,
    /// It holds exactly everything up to here.
    Upto(Mark),
}

/// What can be promised of a sink's rows after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Each row arrives, some may arrive twice.
    AtLeastOnce,
    /// Each row is there once, since the sink stores its mark in the same step as the rows.
    EffectivelyOnce,
}

/// A row the target would not take, kept whole in the dead letters.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Which row.
    pub id: RowId,
    /// Why, in the target's words.
    pub reason: String,
    /// The row itself: a batch of one.
    pub row: arrow_array::RecordBatch,
}

/// A place that rows are delivered to.
///
/// The engine calls `open`, then for each epoch: `write` any number of times, `prepare` once, makes
/// its checkpoint durable, and `flush` once. After any error it opens the sink again, which discards
/// whatever was written and not flushed, and writes the epoch anew. Epochs without rows for this sink
/// are not prepared or flushed.
#[async_trait]
pub trait Sink: Send {
    /// Connects, creates or checks the target against the schema, discards what was not flushed, and
    /// says what is held.
    ///
    /// # Errors
    /// `Stop` when the target has another shape; `Retry` when it is away or locked. `Stop` with
    /// [`Error::mended_by_forgetting`](crate::Error::mended_by_forgetting) when it is damaged, or has lost what it
    /// should hold, and `forget` would let it go on.
    async fn open(&mut self, schema: SchemaRef) -> Result<Held>;

    /// Takes rows; they count only after `flush`.
    ///
    /// # Errors
    /// By remedy. One bad row is no error here: it comes back from `prepare`.
    async fn write(&mut self, rows: &Rows) -> Result<()>;

    /// Does everything short of the commit, and returns the rows the target refuses.
    ///
    /// # Errors
    /// By remedy.
    async fn prepare(&mut self, mark: &Mark) -> Result<Vec<Refused>>;

    /// Makes the rows and the mark durable, in one step where the target can. When it returns they
    /// survive power loss.
    ///
    /// # Errors
    /// By remedy; whether the epoch is held is then told by the next `open`.
    async fn flush(&mut self, mark: &Mark) -> Result<()>;

    /// What a sink which does not belong to this queue's history should be told to forget; makes the next `open` say
    /// `Fresh` while leaving the rows alone. Only on a person's explicit order.
    ///
    /// # Errors
    /// By remedy.
    async fn forget(&mut self) -> Result<()>;

    /// A moment without rows, some ten times a second while idle and after each flush: roll files by age, for one.
    ///
    /// # Errors
    /// By remedy.
    async fn tick(&mut self, now: crate::clock::Timestamp) -> Result<()> {
        let _ = now;
        Ok(())
    }

    /// The pipeline stops in good order after this epoch: finish what is open (roll files, say).
    ///
    /// # Errors
    /// By remedy.
    async fn close(&mut self, last: Epoch) -> Result<()> {
        let _ = last;
        Ok(())
    }

    /// Whether it can take rows of these columns, as far as that can be told without opening anything.
    ///
    /// # Errors
    /// `Stop` when it cannot.
    fn suits(&self, schema: &Schema) -> Result<()> {
        let _ = schema;
        Ok(())
    }

    /// What can be promised of its rows.
    fn promise(&self) -> Promise;

    /// For a sink that puts a row in the place of one before it with the same key: the columns of that key. Others
    /// add each row to what they hold, and cannot take a row that is given anew.
    fn key(&self) -> Option<Vec<String>> {
        None
    }

    /// Whether it keeps rows. One that keeps none takes a row that is given anew as well: it has nothing twice.
    fn keeps(&self) -> bool {
        true
    }

    /// Whether it writes to a disk of this host, so that no process on another host can go on with it.
    fn local(&self) -> bool {
        false
    }

    /// One line for `check`: where it writes and within which bounds.
    fn describe(&self) -> String;
}
