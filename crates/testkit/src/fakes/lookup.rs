//! A lookup over values in memory, and a view that asks it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Columns, Rows};
use millstream_core::lookup::{Answer, Answers, Key, Lookup, Place, Read, Reader};
use millstream_core::operator::{Operator, Output};
use millstream_core::{Error, Result};
use parking_lot::Mutex;

use super::{Lines, World};

/// What stands outside: values by key, which outlive the process.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Stands>>);

#[derive(Debug, Default)]
struct Stands {
    values: BTreeMap<String, String>,
    asked: Vec<Vec<String>>,
}

impl Shelf {
    /// Puts a value there; what is no integer fits no row.
    pub fn set(&self, key: &str, value: &str) {
        self.0.lock().values.insert(key.to_owned(), value.to_owned());
    }

    /// Takes a value away.
    pub fn remove(&self, key: &str) {
        self.0.lock().values.remove(key);
    }

    /// The keys of each request that was answered.
    #[must_use]
    pub fn asked(&self) -> Vec<Vec<String>> {
        self.0.lock().asked.clone()
    }
}

/// Asks a shelf. Its one column is `v`, an integer.
#[derive(Debug)]
pub struct ShelfLookup {
    name: String,
    shelf: Shelf,
    world: World,
}

impl ShelfLookup {
    /// A lookup of this name over a shelf.
    #[must_use]
    pub fn new(name: &str, shelf: &Shelf, world: &World) -> Self {
        Self { name: format!("lookup.{name}.ask"), shelf: shelf.clone(), world: world.clone() }
    }
}

#[async_trait]
impl Lookup for ShelfLookup {
    async fn ask(&self, keys: &[Key], _: &Columns) -> Result<Vec<Answer>> {
        self.world.begin(&self.name).await?;
        let distinct: BTreeSet<&Key> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "each key is asked for once");
        let answers = {
            let mut shelf = self.shelf.0.lock();
            shelf.asked.push(keys.iter().map(ToString::to_string).collect());
            let answer = |key: &Key| match shelf.values.get(key.as_ref()) {
                Some(value) => Answer::Found(vec![Some(value.clone().into())]),
                None => Answer::Nothing,
            };
            keys.iter().map(answer).collect()
        };
        self.world.end(&self.name).await?;
        Ok(answers)
    }

    fn reader(&self, columns: &Columns) -> Result<Box<dyn Reader>> {
        Ok(Box::new(Integers(columns.schema())))
    }

    fn describe(&self) -> String {
        "asks a shelf".into()
    }
}

struct Integers(SchemaRef);

impl Reader for Integers {
    fn read(&mut self, found: &[&[Option<Bytes>]]) -> Result<Read> {
        let (mut values, mut unfit) = (Vec::new(), Vec::new());
        for (i, found) in found.iter().enumerate() {
            let text = found.first().cloned().flatten().unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            match text.parse::<i64>() {
                Ok(value) => values.push(value),
                Err(e) => unfit.push((i, format!("column `v`: {e}"))),
            }
        }
        let rows =
            RecordBatch::try_new(self.0.clone(), vec![Arc::new(Int64Array::from(values))])
                .map_err(|e| Error::stop("the columns are not those of the testkit").because(e))?;
        Ok(Read { rows, unfit })
    }
}

/// What a row without an answer gets instead.
pub(super) const NOTHING: i64 = 999;

/// `find L`: each value, times 1000, plus what the lookup `L` has under it, or 999. `keep L` leaves out rows without an
/// answer.
pub(super) struct Finder {
    pub(super) answers: Arc<dyn Answers>,
    pub(super) inner: bool,
}

impl Operator for Finder {
    fn schema(&self) -> SchemaRef {
        Lines::columns().schema()
    }

    fn process(&mut self, _: usize, input: Rows, _: Timestamp, out: &mut Output) -> Result<()> {
        let values = input.batch.column(0).as_primitive::<Int64Type>().values();
        let keys: BTreeSet<String> = values.iter().map(ToString::to_string).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let Some(known) = self.answers.find(&keys)? else {
            (out.left, out.waits) = (Some(input), true);
            return Ok(());
        };
        let answers = known.rows.column(0).as_primitive::<Int64Type>().values();
        let (mut made, mut kept) = (Vec::new(), Vec::new());
        for (i, value) in values.iter().enumerate() {
            out.account.r#in += 1;
            let at = keys.binary_search(&value.to_string().as_str()).ok();
            let answer = match at.and_then(|at| known.places.get(at)) {
                Some(Place::Row(row)) => {
                    usize::try_from(*row).ok().and_then(|row| answers.get(row)).copied()
                }
                Some(Place::Unfit(why)) => {
                    let batch = input.batch.slice(i, 1);
                    let row = Rows { batch, origin: input.origin.slice(i, 1) };
                    out.refused.push((row, why.clone()));
                    out.account.set_aside += 1;
                    continue;
                }
                Some(Place::Nowhere) | None => None,
            };
            if answer.is_none() && self.inner {
                out.account.filtered += 1;
                continue;
            }
            made.push(value * 1000 + answer.unwrap_or(NOTHING));
            kept.push(i);
            out.account.out += 1;
        }
        let batch = RecordBatch::try_new(self.schema(), vec![Arc::new(Int64Array::from(made))])
            .map_err(|e| Error::stop("rows of another shape").because(e))?;
        out.rows.push(Rows { batch, origin: input.origin.take(kept.into_iter()) });
        Ok(())
    }
}
