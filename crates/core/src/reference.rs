//! Reference tables: rows that are read whole from a file or a database, and joined to the rows that stream by.
//!
//! ```text
//! TableReader ─ content, when it changed ─▶ queue, as a frame ─▶ the version that holds for the frames behind it ─▶ step
//! ```
//!
//! What a table has is an input like any other: each content that was read is a frame with an offset, and a row is joined to the
//! version that held at its own offset, now and whenever it is made again.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;

use crate::codec::Columns;
use crate::error::Result;

/// What a reference table had at some time.
#[derive(Clone, Debug)]
pub struct Version {
    /// Made of its content: two versions with one number have the same rows.
    pub number: u128,
    /// Its rows, in order.
    pub rows: RecordBatch,
}

/// A reference table as a step of a view has it.
pub trait Reference: Send + Sync + fmt::Debug {
    /// The version that holds for the rows at hand. `None` while there is none: no row is given to a step before.
    fn version(&self) -> Option<Arc<Version>>;
}

/// All of a table, as it was read.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its columns, as they were asked for, or as they were found.
    pub columns: Columns,
    /// Its rows, with these columns.
    pub rows: RecordBatch,
}

/// Where a reference table is read from.
#[async_trait]
pub trait TableReader: Send {
    /// Reads all of it; `None` if it is as it was the last time, as far as one can tell without reading it: when that failed
    /// too, since the same would fail again.
    ///
    /// With `columns` it has these; without, those that are found. Of more bytes than `bytes_max`, as they are read or as they lie
    /// in memory, it reads none.
    ///
    /// # Errors
    /// What is wrong with it, which a person has to mend: it is not there, cannot be read, has other columns, is too large. It may be
    /// asked again.
    async fn read(&mut self, columns: Option<&Columns>, bytes_max: u64) -> Result<Option<Content>>;

    /// Whether it can have these columns.
    ///
    /// # Errors
    /// `Stop` with the column that it cannot have.
    fn suits(&self, columns: &Columns) -> Result<()>;

    /// One line for `check`.
    fn describe(&self) -> String;
}
