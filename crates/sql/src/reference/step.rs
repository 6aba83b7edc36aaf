//! Rows in, their matches in a reference table out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::compute::take;
use arrow_array::cast::AsArray;
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::filter::FilterBuilder;
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::UserDefinedLogicalNodeCore as _;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::utils::collect_columns;
use millstream_core::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::record::Offset;
use millstream_core::reference::{Reference, Version};

use super::index::{Index, NONE};
use super::{ReferenceNode, Way};
use crate::chain::Chain;
use crate::complain::reason;
use crate::explain::{list, show};
use crate::state::unnamed;
use crate::step::{Became, Counts, Piecewise, Step, batch_of};

/// A piece has no more rows than this.
const PIECE_ROWS: usize = 8_192;
/// Of several rows at once no more pairs are looked at than this: fewer rows are tried then.
const PAIRS_MAX: usize = 1 << 20;

/// Joins rows with those of a reference table.
pub(crate) struct ReferenceStep {
    /// The table.
    pub table: String,
    versions: Arc<dyn Reference>,
    /// What is made of the table's rows, and the columns it is made of.
    side: Chain,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    side_keys: Vec<Arc<dyn PhysicalExpr>>,
    condition: Option<Condition>,
    way: Way,
    /// The columns that come behind those of the row; `None` if no later step reads it.
    columns: Vec<Option<usize>>,
    schema: SchemaRef,
    /// The conditions for people.
    by: String,
    /// The line of the plan for people that tells of this step.
    line: usize,
    index: Mutex<Option<Indexed>>,
}

/// The index of a version, or why there can be none.
type Indexed = (u128, Result<Arc<Index>, String>);

/// A condition on a row and one that may match it.
pub(crate) struct Condition {
    /// Over the columns of both that it reads.
    pub predicate: Arc<dyn PhysicalExpr>,
    /// Which these are: of the row, and then of the table.
    pub input: Vec<usize>,
    pub side: Vec<usize>,
    pub schema: SchemaRef,
}

/// What the parts of a node became.
pub(crate) struct Parts {
    pub side: Chain,
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    pub side_keys: Vec<Arc<dyn PhysicalExpr>>,
    pub condition: Option<Condition>,
}

impl ReferenceStep {
    /// A step behind `chain`, of which no column is known to be unread yet.
    pub(crate) fn new(
        node: &ReferenceNode,
        versions: Arc<dyn Reference>,
        parts: Parts,
        chain: &Chain,
    ) -> Self {
        let Parts { side, keys, side_keys, condition } = parts;
        let columns = match node.way {
            Way::Inner | Way::Left => (0..side.schema.fields().len()).map(Some).collect(),
            Way::Semi | Way::Anti | Way::NotIn => vec![],
        };
        Self {
            table: node.table().to_owned(),
            versions,
            side,
            keys,
            side_keys,
            condition,
            way: node.way,
            columns,
            schema: Arc::new(node.schema().as_arrow().clone()),
            by: by(node),
            line: chain.explain.len(),
            index: Mutex::default(),
        }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The columns of the table that what is made of it reads.
    pub(crate) fn read(&self) -> impl Iterator<Item = &str> {
        self.side.scan.fields().iter().map(|f| f.name().as_str())
    }

    /// The columns of the row that it reads.
    pub(crate) fn reads(&self) -> BTreeSet<usize> {
        let keys = self.keys.iter().flat_map(|e| collect_columns(e).into_iter().map(|c| c.index()));
        keys.chain(self.condition.iter().flat_map(|c| c.input.iter().copied())).collect()
    }

    /// Whether a row never becomes several.
    pub(crate) fn makes_no_rows(&self) -> bool {
        !matches!(self.way, Way::Inner | Way::Left)
    }

    /// Takes only the columns that later steps read, and tells of it.
    pub(crate) fn narrow(&mut self, read: Option<&BTreeSet<usize>>, explain: &mut [String]) {
        if let Some(read) = read {
            let width = self.schema.fields().len() - self.columns.len();
            for (at, column) in self.columns.iter_mut().enumerate() {
                if !read.contains(&(width + at)) {
                    *column = None;
                }
            }
        }
        if let Some(line) = explain.get_mut(self.line) {
            *line = self.explain();
        }
    }

    /// The step for people.
    fn explain(&self) -> String {
        let names = self.columns.iter().flatten().filter_map(|i| self.side.schema.fields().get(*i));
        let names = names.map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
        let Self { table, by, .. } = self;
        let mut text = match self.way {
            Way::Inner => {
                format!("join table {table} ({names}){by}; rows without a match are left out")
            }
            Way::Left => format!("join table {table} ({names}){by}"),
            Way::Semi => format!("keep rows with a match in table {table}{by}"),
            Way::Anti => format!("keep rows without a match in table {table}{by}"),
            Way::NotIn => format!("keep rows surely without a match in table {table}{by}"),
        };
        let made = self.side.explain.iter().skip(1).map(String::as_str).collect::<Vec<_>>();
        if !made.is_empty() {
            text.push_str(&format!("; of the table: {}", made.join(", ")));
        }
        text
    }

    /// What the step does to state that is made of its rows.
    pub(crate) fn meaning(&self) -> Result<String> {
        let texts = |exprs: &[Arc<dyn PhysicalExpr>]| -> Result<String> {
            Ok(exprs.iter().map(unnamed).collect::<Result<Vec<_>>>()?.join(", "))
        };
        let condition = match &self.condition {
            Some(c) => format!(" if {} of {:?} {:?}", unnamed(&c.predicate)?, c.input, c.side),
            None => String::new(),
        };
        let scan = self.side.scan.fields().iter();
        let scan = scan.map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>();
        let side = self.side.steps.iter().map(crate::state::line);
        Ok(format!(
            "table {} ({}; {}): {:?} by {} is {}{condition}: {:?}",
            self.table,
            scan.join(", "),
            side.collect::<Result<Vec<_>>>()?.join("; "),
            self.way,
            texts(&self.keys)?,
            texts(&self.side_keys)?,
            self.columns,
        ))
    }

    /// Runs the step.
    pub(crate) fn run(&self, rows: Rows, counts: &mut Counts) -> Result<Became<'_>> {
        let index = self.index()?;
        let keys = values(&self.keys, &rows.batch)?;
        let found = index.find(&keys, rows.len())?;
        match (self.way, &self.condition) {
            (Way::Semi, None) => some(rows, counts, |row| group(&found, row) != NONE),
            (Way::Anti, None) => some(rows, counts, |row| group(&found, row) == NONE),
            (Way::NotIn, _) => {
                let empty = index.rows.num_rows() == 0;
                let null = |row| keys.iter().any(|k| k.is_null(row));
                let kept = |row| !index.nulls && group(&found, row) == NONE && !null(row);
                some(rows, counts, |row| empty || kept(row))
            }
            (Way::Inner | Way::Left, None) if index.single => {
                self.one_each(rows, &index, &found, counts)
            }
            _ => self.pairs(rows, index, &found, counts),
        }
    }

    /// The index of the version that holds now.
    fn index(&self) -> Result<Arc<Index>> {
        let Some(version) = self.versions.version() else {
            return exec_err!("the table `{}` has no version yet", self.table);
        };
        let mut held = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, indexed) = match held.take() {
            Some(same) if same.0 == version.number => held.insert(same),
            _ => held.insert((version.number, self.made(&version).map_err(|e| reason(&e)))),
        };
        match indexed {
            Ok(index) => Ok(index.clone()),
            Err(why) => exec_err!("a row of the table `{}` cannot be computed: {why}", self.table),
        }
    }

    fn made(&self, version: &Version) -> Result<Arc<Index>> {
        let columns = self.side.scan.fields().iter().map(|field| {
            match version.rows.column_by_name(field.name()) {
                Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
                _ => exec_err!("it has no column `{}` of type {}", field.name(), field.data_type()),
            }
        });
        let (columns, len) = (columns.collect::<Result<Vec<_>>>()?, version.rows.num_rows());
        let batch = batch_of(&self.side.scan, columns, len)?;
        let origin = millstream_core::codec::Origin::of_time(Offset(0), 0, len, Timestamp::BEGIN);
        let (mut rows, mut counts) = (Rows { batch, origin }, Counts::default());
        for step in &self.side.steps {
            let empty = rows.batch.slice(0, 0);
            rows = match step.run(rows, &mut counts)? {
                Became::Rows(rows) => rows,
                Became::Nothing => {
                    let columns = step_schema(step).unwrap_or_else(|| empty.schema());
                    let origin =
                        millstream_core::codec::Origin::of_time(Offset(0), 0, 0, Timestamp::BEGIN);
                    Rows { batch: RecordBatch::new_empty(columns), origin }
                }
                Became::Pieces(_) => return exec_err!("one row of it becomes several"),
            };
        }
        let keys = values(&self.side_keys, &rows.batch)?;
        Ok(Arc::new(Index::new(rows.batch, &keys)?))
    }

    /// Every row has one match, or none.
    fn one_each(
        &self,
        rows: Rows,
        index: &Index,
        found: &[u32],
        counts: &mut Counts,
    ) -> Result<Became<'_>> {
        let place = |group: &u32| index.of(*group).first().copied();
        let places: UInt32Array = found.iter().map(place).collect();
        let kept = places.len() - places.null_count();
        if self.way == Way::Left || kept == rows.len() {
            let columns = self.beside(rows.batch.columns().to_vec(), index, &places)?;
            let batch = batch_of(&self.schema, columns, rows.len())?;
            return Ok(Became::Rows(Rows { batch, origin: rows.origin }));
        }
        counts.filtered += (rows.len() - kept) as u64;
        if kept == 0 {
            return Ok(Became::Nothing);
        }
        let mask = BooleanArray::from_iter(places.iter().map(|p| Some(p.is_some())));
        let filter = FilterBuilder::new(&mask).optimize().build();
        let places = filter.filter(&places)?;
        let own = rows.batch.columns().iter().map(|c| Ok(filter.filter(c.as_ref())?));
        let columns = self.beside(own.collect::<Result<_>>()?, index, places.as_primitive())?;
        let batch = batch_of(&self.schema, columns, kept)?;
        let origin = rows.origin.take(mask.values().set_indices());
        Ok(Became::Rows(Rows { batch, origin }))
    }

    /// Rows and their matches, as many as there are.
    fn pairs(
        &self,
        rows: Rows,
        index: Arc<Index>,
        found: &[u32],
        counts: &mut Counts,
    ) -> Result<Became<'_>> {
        let all = found.iter().map(|group| index.of(*group).len());
        let all = all.fold(0_usize, usize::saturating_add);
        if all > PAIRS_MAX && rows.len() > 1 {
            return exec_err!("{all} pairs are more than are looked at together");
        }
        let mut pairs = Pairs::of(&index, found, all);
        if let Some(condition) = &self.condition {
            pairs = condition.met(&pairs, &rows.batch, &index.rows)?;
        }
        let mut matched = vec![false; rows.len()];
        for row in &pairs.rows {
            if let Some(matched) = matched.get_mut(*row as usize) {
                *matched = true;
            }
        }
        let hits = matched.iter().filter(|m| **m).count();
        match self.way {
            Way::Semi => return some(rows, counts, |row| matched.get(row) == Some(&true)),
            Way::Anti | Way::NotIn => {
                return some(rows, counts, |row| matched.get(row) == Some(&false));
            }
            Way::Inner => counts.filtered += (rows.len() - hits) as u64,
            Way::Left if hits < rows.len() => pairs = pairs.with_misses(&matched),
            Way::Left => {}
        }
        counts.made +=
            (pairs.rows.len() - if self.way == Way::Inner { hits } else { rows.len() }) as u64;
        if pairs.rows.is_empty() {
            return Ok(Became::Nothing);
        }
        let (len, pairs) = (pairs.rows.len(), pairs);
        let mut pieces = Matches { step: self, rows, index, pairs, at: 0 };
        if len > PIECE_ROWS {
            return Ok(Became::Pieces(Box::new(pieces)));
        }
        Ok(pieces.next()?.map_or(Became::Nothing, Became::Rows))
    }

    /// Behind the columns of the rows those of the table.
    fn beside(
        &self,
        own: Vec<ArrayRef>,
        index: &Index,
        places: &UInt32Array,
    ) -> Result<Vec<ArrayRef>> {
        let (mut columns, width) = (own, self.schema.fields().len() - self.columns.len());
        for (column, field) in self.columns.iter().zip(self.schema.fields().iter().skip(width)) {
            columns.push(match column {
                Some(i) => take(index.rows.column(*i), places, None)?,
                None if field.is_nullable() => new_null_array(field.data_type(), places.len()),
                None => any(field.data_type(), places.len())?,
            });
        }
        Ok(columns)
    }
}

/// The columns of rows behind a step that may leave out all.
fn step_schema(step: &Step) -> Option<SchemaRef> {
    match step {
        Step::Filter { schema, .. } => Some(schema.clone()),
        _ => None,
    }
}

fn by(node: &ReferenceNode) -> String {
    let equal = node.on.iter().map(|(a, b)| {
        let (a, b) = (show(a), show(b));
        format!("{a} = {b}")
    });
    let all = equal.chain(node.filter.iter().map(|e| list([e]))).collect::<Vec<_>>();
    if all.is_empty() { String::new() } else { format!(" by {}", all.join(" AND ")) }
}

fn values(keys: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    keys.iter().map(|key| key.evaluate(batch)?.into_array(batch.num_rows())).collect()
}

fn group(found: &[u32], row: usize) -> u32 {
    found.get(row).copied().unwrap_or(NONE)
}

/// A column of whatever values, which nobody reads.
fn any(of: &DataType, rows: usize) -> Result<ArrayRef> {
    ScalarValue::new_default(of)?.to_array_of_size(rows)
}

/// The rows that are kept.
fn some<'a>(rows: Rows, counts: &mut Counts, keep: impl Fn(usize) -> bool) -> Result<Became<'a>> {
    let mask = BooleanArray::from_iter((0..rows.len()).map(|row| Some(keep(row))));
    let kept = mask.true_count();
    counts.filtered += (rows.len() - kept) as u64;
    if kept == 0 {
        return Ok(Became::Nothing);
    }
    if kept == rows.len() {
        return Ok(Became::Rows(rows));
    }
    let batch = FilterBuilder::new(&mask).optimize().build().filter_record_batch(&rows.batch)?;
    Ok(Became::Rows(Rows { batch, origin: rows.origin.take(mask.values().set_indices()) }))
}

/// Rows, each beside one that matches it.
struct Pairs {
    rows: Vec<u32>,
    /// `None` where there is no match.
    matches: Vec<Option<u32>>,
}

impl Pairs {
    fn of(index: &Index, found: &[u32], all: usize) -> Self {
        let mut pairs = Self { rows: Vec::with_capacity(all), matches: Vec::with_capacity(all) };
        for (row, group) in (0..).zip(found) {
            let matches = index.of(*group);
            pairs.rows.extend(std::iter::repeat_n(row, matches.len()));
            pairs.matches.extend(matches.iter().copied().map(Some));
        }
        pairs
    }

    /// The same, and each row without a match by itself.
    fn with_misses(self, matched: &[bool]) -> Self {
        let all = self.rows.len() + matched.len();
        let mut with = Self { rows: Vec::with_capacity(all), matches: Vec::with_capacity(all) };
        let mut hits = self.rows.into_iter().zip(self.matches).peekable();
        for (row, matched) in (0..).zip(matched) {
            if !matched {
                with.rows.push(row);
                with.matches.push(None);
            }
            while let Some((row, of)) = hits.next_if(|(of, _)| *of == row) {
                with.rows.push(row);
                with.matches.push(of);
            }
        }
        with
    }
}

impl Condition {
    /// The pairs for which it is true.
    fn met(&self, pairs: &Pairs, rows: &RecordBatch, table: &RecordBatch) -> Result<Pairs> {
        let mut met = Pairs { rows: vec![], matches: vec![] };
        let pieces = pairs.rows.chunks(PIECE_ROWS).zip(pairs.matches.chunks(PIECE_ROWS));
        for (of_rows, of_table) in pieces {
            let input = UInt32Array::from_iter_values(of_rows.iter().copied());
            let side = UInt32Array::from_iter(of_table.iter().copied());
            let input = self.input.iter().map(|i| Ok(take(rows.column(*i), &input, None)?));
            let side = self.side.iter().map(|i| Ok(take(table.column(*i), &side, None)?));
            let columns = input.chain(side).collect::<Result<Vec<_>>>()?;
            let batch = batch_of(&self.schema, columns, of_rows.len())?;
            let mask = self.predicate.evaluate(&batch)?.into_array(of_rows.len())?;
            let hits = mask.as_boolean().iter().map(|hit| hit == Some(true));
            for ((row, of), _) in of_rows.iter().zip(of_table).zip(hits).filter(|(_, hit)| *hit) {
                met.rows.push(*row);
                met.matches.push(*of);
            }
        }
        Ok(met)
    }
}

/// Rows and their matches, a piece at a time.
struct Matches<'a> {
    step: &'a ReferenceStep,
    rows: Rows,
    index: Arc<Index>,
    pairs: Pairs,
    at: usize,
}

impl Piecewise for Matches<'_> {
    fn next(&mut self) -> Result<Option<Rows>> {
        let upto = self.pairs.rows.len().min(self.at.saturating_add(PIECE_ROWS));
        let range = self.at..upto;
        let (Some(rows), Some(matches)) =
            (self.pairs.rows.get(range.clone()), self.pairs.matches.get(range))
        else {
            return Ok(None);
        };
        if rows.is_empty() {
            return Ok(None);
        }
        self.at = upto;
        let picks = UInt32Array::from_iter_values(rows.iter().copied());
        let places = UInt32Array::from_iter(matches.iter().copied());
        let own = self.rows.batch.columns().iter().map(|c| Ok(take(c, &picks, None)?));
        let columns = self.step.beside(own.collect::<Result<_>>()?, &self.index, &places)?;
        let batch = batch_of(&self.step.schema, columns, rows.len())?;
        let origin = self.rows.origin.take(rows.iter().map(|row| *row as usize));
        Ok(Some(Rows { batch, origin }))
    }
}
