//! Columns that come from outside, by a key, while rows are processed.
//!
//! ```text
//! step ─ keys ─▶ Answers ─ rows, if they are at hand ─▶ step
//!                   │ keys that are not
//!                   ▼
//!                 Lookup ─ answers
//! ```
//!
//! A step is pure and waits for nobody. It asks [`Answers`], which has what the engine put at hand for these rows.
//! What is not at hand is noted and the rows that lack it are left; the engine asks the [`Lookup`], puts the answers at
//! hand, and gives them again.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::Columns;
use crate::error::Result;

/// The column of every lookup that rows are joined by. It is text.
pub const KEY: &str = "key";

/// A key that is asked for.
pub type Key = Arc<str>;

/// What there is under one key, as it was read: the lookup's [`Reader`] makes a row of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// These values. How many there are, and what they are, is the lookup's own matter.
    Found(Vec<Option<Bytes>>),
    /// Something that no row can be made of, and why: a key of another type, say.
    Unfit(String),
}

impl Answer {
    /// About how many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Nothing => 0,
                Self::Found(values) => {
                    let held = values.iter().flatten().map(Bytes::len).sum::<usize>();
                    held + values.len() * size_of::<Option<Bytes>>()
                }
                Self::Unfit(reason) => reason.len(),
            }
    }
}

/// A place outside that is asked for values by keys.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// Asks for keys, each of which comes once, and gives an answer for each, in their order. `columns` are those in
    /// use, which may be none; then it is only of interest which keys there are.
    ///
    /// It connects when it is first called and anew after it broke. Cancel-safe.
    ///
    /// # Errors
    /// `Retry` when nobody answered; `Stop` when only a person can mend it. What is wrong with one key is its answer.
    async fn ask(&self, keys: &[Key], columns: &Columns) -> Result<Vec<Answer>>;

    /// What makes rows of answers that were asked for with these columns.
    ///
    /// # Errors
    /// `Stop` when it cannot have such columns.
    fn reader(&self, columns: &Columns) -> Result<Box<dyn Reader>>;

    /// One line for `check`.
    fn describe(&self) -> String;
}

/// Answers to rows. Pure: the same values, the same rows.
pub trait Reader: Send {
    /// Makes a row of the values of each answer that was found, in order, leaving out those that do not fit.
    ///
    /// # Errors
    /// `Stop` for a broken invariant only.
    fn read(&mut self, found: &[&[Option<Bytes>]]) -> Result<Read>;
}

/// What some answers became.
#[derive(Debug)]
pub struct Read {
    /// The rows that fit, in order, with the columns in use.
    pub rows: RecordBatch,
    /// The others by their index, rising, each with the reason, which names the column.
    pub unfit: Vec<(usize, String)>,
}

/// A lookup as a step of a view has it.
pub trait Answers: Send + Sync + fmt::Debug {
    /// What is known of these keys, of which each comes once. `None` if some answers are not at hand: it is noted
    /// which, and the rows are left with [`crate::operator::Output::waits`].
    ///
    /// # Errors
    /// `Stop` for a broken invariant only.
    fn find(&self, keys: &[&str]) -> Result<Option<Known>>;

    /// Whether rows that are made again are made of the same answers. Others may not reach what keeps state.
    fn is_recorded(&self) -> bool;

    /// Whether what cannot be had is nulls, rather than waited for or set aside.
    fn gives_nulls(&self) -> bool;
}

/// What is known of some keys.
#[derive(Debug)]
pub struct Known {
    /// The rows that were found, with the columns in use.
    pub rows: RecordBatch,
    /// For each key, in order, where its row is.
    pub places: Vec<Place>,
}

/// Where the row of a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its index.
    Row(u32),
    /// There is none.
    Nowhere,
    /// There is something that no row can be made of: rows with this key are refused, and this is why.
    Unfit(String),
}
