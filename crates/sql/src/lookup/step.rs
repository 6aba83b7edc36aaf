//! Rows in, their keys out, and the rows with what was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::compute::take;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt32Array, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::filter::FilterBuilder;
use datafusion_common::{DataFusionError, Result, exec_err, plan_err};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::cast;
use datafusion_physical_expr::utils::collect_columns;
use millstream_core::codec::Rows;
use millstream_core::lookup::{Answers, KEY, Known, Place};

use super::LookupNode;
use crate::chain::Chain;
use crate::complain::plain_types;
use crate::state::unnamed;
use crate::step::{Counts, Step, batch_of};

/// Adds the columns of a lookup to each row.
pub(crate) struct LookupStep {
    /// The lookup.
    pub table: String,
    answers: Arc<dyn Answers>,
    key: Arc<dyn PhysicalExpr>,
    /// The key for people.
    shown: String,
    inner: bool,
    /// What comes behind the columns of the row.
    columns: Vec<Comes>,
    schema: SchemaRef,
    /// The line of the plan for people that tells of this step.
    line: usize,
}

enum Comes {
    /// The key itself.
    Key,
    /// What was answered, by name.
    Column(String),
    /// Nothing: no later step reads it.
    Unread,
}

impl LookupStep {
    /// A step behind `chain`, of which no column is known to be unread yet.
    pub(crate) fn new(
        node: &LookupNode,
        answers: Arc<dyn Answers>,
        key: Arc<dyn PhysicalExpr>,
        shown: String,
        chain: &Chain,
    ) -> Result<Self> {
        let key = match key.data_type(&chain.schema)? {
            DataType::Utf8 => key,
            t if t.is_integer() || t.is_string() || t.is_null() => {
                cast(key, &chain.schema, DataType::Utf8)?
            }
            other => {
                let other = plain_types(&other.to_string());
                return plan_err!(
                    "a key is a string or a whole number, and `{shown}` is of type {other}: write `CAST({shown} AS VARCHAR)` if that is how the keys are written"
                );
            }
        };
        let columns = node.columns().map(|name| match name {
            KEY => Comes::Key,
            name => Comes::Column(name.to_owned()),
        });
        let (table, columns) = (node.table.clone(), columns.collect());
        let schema =
            Arc::new(datafusion_expr::UserDefinedLogicalNodeCore::schema(node).as_arrow().clone());
        let line = chain.explain.len();
        Ok(Self { table, answers, key, shown, inner: node.inner, columns, schema, line })
    }

    /// The columns that are asked for.
    pub(crate) fn read(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter_map(|c| match c {
            Comes::Column(name) => Some(name.as_str()),
            Comes::Key | Comes::Unread => None,
        })
    }

    /// What the step does to state that is made of its rows.
    pub(crate) fn meaning(&self) -> Result<String> {
        let columns = self.columns.iter().map(|c| match c {
            Comes::Key => "the key",
            Comes::Column(name) => name,
            Comes::Unread => "nothing",
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let inner = if self.inner { ", or none" } else { "" };
        Ok(format!("lookup {} by {}: {columns}{inner}", self.table, unnamed(&self.key)?))
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.answers.is_recorded()
    }

    fn asks_nothing(&self) -> bool {
        !self.inner && self.columns.iter().all(|c| matches!(c, Comes::Unread))
    }

    /// The step for people.
    fn explain(&self) -> String {
        if self.asks_nothing() {
            return format!("lookup {}: nothing of it is read, so it is not asked", self.table);
        }
        let names = self.read().collect::<Vec<_>>().join(", ");
        let misses = if self.inner { "; rows without an answer are left out" } else { "" };
        format!("lookup {} ({names}) by {}{misses}", self.table, self.shown)
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Runs the step; `None` when no row is left, or when answers are not at hand.
    pub(crate) fn run(&self, rows: Rows, counts: &mut Counts) -> Result<Option<Rows>> {
        if self.asks_nothing() {
            let columns = self.beside(&rows.batch, None)?;
            let batch = batch_of(&self.schema, columns, rows.len())?;
            return Ok(Some(Rows { batch, origin: rows.origin }));
        }
        let keys = self.key.evaluate(&rows.batch)?.into_array(rows.len())?;
        let keys = keys.as_string::<i32>();
        let (distinct, which) = distinct(keys);
        let known =
            self.answers.find(&distinct).map_err(|e| DataFusionError::External(e.into()))?;
        let Some(known) = known else {
            counts.waits = true;
            return Ok(None);
        };
        let places = places(&distinct, &which, &known)?;
        if self.inner {
            return self.matched(&rows, keys, &known, &places, counts);
        }
        let columns = self.beside(&rows.batch, Some((keys, &known, &places)))?;
        let batch = batch_of(&self.schema, columns, rows.len())?;
        Ok(Some(Rows { batch, origin: rows.origin }))
    }

    /// The columns of the rows and behind them those of the lookup.
    fn beside(
        &self,
        batch: &RecordBatch,
        found: Option<(&StringArray, &Known, &UInt32Array)>,
    ) -> Result<Vec<ArrayRef>> {
        let mut columns = batch.columns().to_vec();
        let width = columns.len();
        for (comes, field) in self.columns.iter().zip(self.schema.fields().iter().skip(width)) {
            columns.push(match (comes, found) {
                (Comes::Key, Some((keys, _, places))) => key_column(keys, places),
                (Comes::Column(name), Some((_, known, places))) => {
                    let Some(column) = known.rows.column_by_name(name) else {
                        return exec_err!("`{}` gave no column `{name}`", self.table);
                    };
                    take(column, places, None)?
                }
                // A column that nobody reads may be of any values, but an inner join's have to be some.
                (Comes::Unread, _) if !field.is_nullable() => {
                    empty(field.data_type(), batch.num_rows())?
                }
                (Comes::Unread, _) | (_, None) => {
                    new_null_array(field.data_type(), batch.num_rows())
                }
            });
        }
        Ok(columns)
    }

    /// The rows whose keys have an answer.
    fn matched(
        &self,
        rows: &Rows,
        keys: &StringArray,
        known: &Known,
        places: &UInt32Array,
        counts: &mut Counts,
    ) -> Result<Option<Rows>> {
        let mask: BooleanArray = places.iter().map(|p| Some(p.is_some())).collect();
        let kept = mask.true_count();
        counts.filtered += (rows.len() - kept) as u64;
        if kept == 0 {
            return Ok(None);
        }
        let filter = FilterBuilder::new(&mask).optimize().build();
        let batch = filter.filter_record_batch(&rows.batch)?;
        let keys = filter.filter(keys)?;
        let places = filter.filter(places)?;
        let found = Some((keys.as_string::<i32>(), known, places.as_primitive()));
        let columns = self.beside(&batch, found)?;
        let batch = batch_of(&self.schema, columns, kept)?;
        let origin = rows.origin.take(mask.values().set_indices());
        Ok(Some(Rows { batch, origin }))
    }
}

/// A column without nulls of whatever values.
fn empty(of: &DataType, rows: usize) -> Result<ArrayRef> {
    let one = datafusion_common::ScalarValue::new_default(of)?;
    one.to_array_of_size(rows)
}

/// Each key once, and for each row which of them it has.
fn distinct(keys: &StringArray) -> (Vec<&str>, Vec<Option<usize>>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut distinct = Vec::new();
    let mut last: Option<(&str, usize)> = None;
    let which = keys.iter().map(|key| {
        let key = key?;
        // Rows of one thing often stand together.
        if let Some((same, i)) = last
            && same == key
        {
            return Some(i);
        }
        let i = *seen.entry(key).or_insert_with(|| {
            distinct.push(key);
            distinct.len() - 1
        });
        last = Some((key, i));
        Some(i)
    });
    let which = which.collect();
    (distinct, which)
}

/// Where the row of the lookup is for each row. What a row has that none can be made of fails it.
fn places(distinct: &[&str], which: &[Option<usize>], known: &Known) -> Result<UInt32Array> {
    let mut places = Vec::with_capacity(which.len());
    for which in which {
        let place = which.and_then(|i| Some((known.places.get(i)?, distinct.get(i)?)));
        places.push(match place {
            Some((Place::Row(row), _)) => Some(*row),
            Some((Place::Nowhere, _)) | None => None,
            Some((Place::Unfit(why), key)) => {
                return exec_err!("what the lookup has for `{key}` does not fit: {why}");
            }
        });
    }
    Ok(places.into())
}

/// The key where it was found.
fn key_column(keys: &StringArray, places: &UInt32Array) -> ArrayRef {
    let found = keys.iter().zip(places).map(|(key, place)| key.filter(|_| place.is_some()));
    Arc::new(found.collect::<StringArray>())
}

/// Lets each lookup ask only for the columns that later steps read. Filters have to keep all columns yet.
pub(crate) fn narrow(chain: &mut Chain) {
    for i in 0..chain.steps.len() {
        let (before, after) = chain.steps.split_at_mut(i + 1);
        if let Some(Step::Reference(reference)) = before.last_mut() {
            reference.narrow(read_by(after, &reference.schema()).as_ref(), &mut chain.explain);
            continue;
        }
        let Some(Step::Lookup(lookup)) = before.last_mut() else { continue };
        if let Some(read) = read_by(after, &lookup.schema) {
            let width = lookup.schema.fields().len() - lookup.columns.len();
            for (at, comes) in lookup.columns.iter_mut().enumerate() {
                if !read.contains(&(width + at)) {
                    *comes = Comes::Unread;
                }
            }
        }
        if let Some(line) = chain.explain.get_mut(lookup.line) {
            *line = lookup.explain();
        }
    }
}

/// The columns that steps read of what comes to them; `None` if it is all of them.
fn read_by(steps: &[Step], schema: &SchemaRef) -> Option<BTreeSet<usize>> {
    let of = |e: &Arc<dyn PhysicalExpr>| {
        collect_columns(e).into_iter().map(|c| c.index()).collect::<Vec<_>>()
    };
    let mut read = BTreeSet::new();
    for step in steps {
        match step {
            Step::Filter { predicate, .. } => read.extend(of(predicate)),
            Step::Project { exprs, .. } => {
                read.extend(exprs.iter().flat_map(of));
                return Some(read);
            }
            // The columns before stay where they are.
            Step::Lookup(next) if next.schema.fields().len() > schema.fields().len() => {
                read.extend(of(&next.key));
            }
            Step::Reference(next) if next.schema().fields().len() >= schema.fields().len() => {
                read.extend(next.reads());
            }
            Step::Reference(_)
            | Step::Lookup(_)
            | Step::Unnest(_)
            | Step::Rename { .. }
            | Step::Window(_) => {
                return None;
            }
        }
    }
    None
}
