//! All other aggregates: the values of each group are kept, and given to the library's accumulator when the result is due.
//!
//! So a state comes back from a snapshot exactly as it was, and panes are merged by putting values behind each other.
//! Where the library's own state is small, values are folded into it, always after the same number of them: what it
//! becomes depends on the values alone, not on when it was saved.

use std::any::Any;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Schema};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Accumulator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use hashbrown::HashTable;

use super::super::bytes::{Reader, put_bytes, short};
use super::super::keys::unfit;
use super::{Input, States};

/// What one kept row costs at most beyond its bytes: two lengths, and its place among distinct ones.
pub(super) const ROW_BYTES: usize = 24;
/// So many values are kept before they are folded into the library's state.
const FOLD: u32 = 1024;
/// Among so few distinct values one is looked for one by one.
const FEW: u32 = 8;

/// How one aggregate's values are kept and what is made of them.
pub(super) struct Recipe {
    /// Without DISTINCT: that is seen to here.
    expr: AggregateFunctionExpr,
    orders: Vec<Arc<dyn PhysicalExpr>>,
    values: RowConverter,
    /// The values of ORDER BY, in its order.
    order: Option<RowConverter>,
    keep: Keep,
    kind: DataType,
}

enum Keep {
    All,
    Distinct,
    /// Only the first, or last, by ORDER BY; of those with equal order the first, or last, that came.
    First {
        valid: bool,
    },
    Last {
        valid: bool,
    },
    /// Folded into the library's state, of these types.
    Folded {
        state: RowConverter,
        kinds: Vec<DataType>,
    },
}

impl Recipe {
    pub(super) fn new(expr: &AggregateFunctionExpr, schema: &Schema) -> Result<Self> {
        let args = expr.expressions();
        let orders: Vec<_> = expr.order_bys().iter().map(|o| o.expr.clone()).collect();
        let kinds = args.iter().map(|a| a.data_type(schema)).collect::<Result<Vec<_>>>()?;
        let values = kinds.into_iter().map(SortField::new).collect();
        let order = expr
            .order_bys()
            .iter()
            .map(|o| Ok(SortField::new_with_options(o.expr.data_type(schema)?, o.options)));
        let order = order.collect::<Result<Vec<_>>>()?;
        let valid = expr.ignore_nulls();
        let keep = match expr.fun().name() {
            _ if expr.is_distinct() => Keep::Distinct,
            "first_value" if !orders.is_empty() => Keep::First { valid },
            "last_value" if !orders.is_empty() => Keep::Last { valid },
            name if orders.is_empty() && is_small(name) => folded(expr)?,
            _ => Keep::All,
        };
        Ok(Self {
            expr: if expr.is_distinct() { of_all(expr, schema)? } else { expr.clone() },
            values: RowConverter::new(values)?,
            order: if order.is_empty() { None } else { Some(RowConverter::new(order)?) },
            orders,
            keep,
            kind: expr.field().data_type().clone(),
        })
    }

    /// The rows to keep of a batch.
    pub(super) fn input(&self, args: &[ArrayRef], batch: &RecordBatch) -> Result<Input> {
        let valid = match self.keep {
            Keep::First { valid: true } | Keep::Last { valid: true } => {
                args.first().and_then(|a| a.logical_nulls())
            }
            _ => None,
        };
        let orders = self.orders.iter().map(|o| o.evaluate(batch)?.into_array(batch.num_rows()));
        let orders = orders.collect::<Result<Vec<_>>>()?;
        let values = self.values.convert_columns(args)?;
        let order = self.order.as_ref().map(|o| o.convert_columns(&orders)).transpose()?;
        Ok(Input::Rows(KeptRows { values, order, valid }))
    }

    /// An accumulator that has taken what is kept.
    fn accumulator(&self, of: &Values) -> Result<Box<dyn Accumulator>> {
        let mut accumulator = self.expr.create_accumulator()?;
        if let (Some(folded), Keep::Folded { state, .. }) = (&of.folded, &self.keep) {
            let parser = state.parser();
            let rows = [parser.parse(folded)];
            accumulator.merge_batch(&state.convert_rows(rows)?)?;
        }
        if of.count > 0 {
            accumulator.update_batch(&self.columns(of)?)?;
        }
        Ok(accumulator)
    }

    /// What the accumulator takes: the arguments, and the values of ORDER BY, in its order.
    fn columns(&self, of: &Values) -> Result<Vec<ArrayRef>> {
        let mut rows: Vec<_> = of.rows().collect();
        rows.sort_by_key(|(_, order)| *order);
        let parser = self.values.parser();
        let mut columns = self.values.convert_rows(rows.iter().map(|(v, _)| parser.parse(v)))?;
        if let Some(order) = &self.order {
            let parser = order.parser();
            columns.extend(order.convert_rows(rows.iter().map(|(_, o)| parser.parse(o)))?);
        }
        Ok(columns)
    }

    fn fold(&self, of: &mut Values) -> Result<()> {
        let Keep::Folded { state, kinds } = &self.keep else { return Ok(()) };
        let scalars = self.accumulator(of)?.state()?;
        let columns = scalars.iter().zip(kinds).map(|(s, kind)| Ok(cast(&s.to_array()?, kind)?));
        let rows = state.convert_columns(&columns.collect::<Result<Vec<_>>>()?)?;
        *of = Values { folded: Some(Box::from(rows.row(0).data())), ..Values::default() };
        Ok(())
    }
}

/// Functions whose own state does not grow with the rows.
fn is_small(name: &str) -> bool {
    matches!(
        name,
        "approx_distinct"
            | "approx_median"
            | "approx_percentile_cont"
            | "approx_percentile_cont_with_weight"
            | "corr"
            | "covar_samp"
            | "covar_pop"
            | "bit_and"
            | "bit_or"
            | "bit_xor"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "first_value"
            | "last_value"
            | "any_value"
    ) || name.starts_with("regr_")
}

fn folded(expr: &AggregateFunctionExpr) -> Result<Keep> {
    let kinds: Vec<_> = expr.state_fields()?.iter().map(|f| f.data_type().clone()).collect();
    let fields: Vec<_> = kinds.iter().cloned().map(SortField::new).collect();
    if !RowConverter::supports_fields(&fields) {
        return Ok(Keep::All);
    }
    Ok(Keep::Folded { state: RowConverter::new(fields)?, kinds })
}

/// The same aggregate without DISTINCT.
fn of_all(expr: &AggregateFunctionExpr, schema: &Schema) -> Result<AggregateFunctionExpr> {
    AggregateExprBuilder::new(Arc::new(expr.fun().clone()), expr.expressions())
        .order_by(expr.order_bys().to_vec())
        .schema(Arc::new(schema.clone()))
        .alias(expr.name())
        .with_ignore_nulls(expr.ignore_nulls())
        .build()
}

/// The rows that an aggregate may keep of a batch.
pub(crate) struct KeptRows {
    values: arrow_row::Rows,
    order: Option<arrow_row::Rows>,
    /// Rows that count at all.
    valid: Option<NullBuffer>,
}

impl KeptRows {
    pub(super) fn bytes(&self) -> usize {
        let rows = self.values.num_rows();
        self.values.size() + self.order.as_ref().map_or(0, arrow_row::Rows::size) + rows * ROW_BYTES
    }
}

/// What is kept for one group.
#[derive(Clone, Default)]
struct Values {
    /// The library's state after the values before those in `rows`.
    folded: Option<Box<[u8]>>,
    /// Each row: the values and the order, each behind its length.
    rows: Vec<u8>,
    count: u32,
    /// The places in `rows` of distinct rows, once there are more than a few.
    seen: Option<HashTable<u32>>,
}

impl Values {
    fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut reader = Reader(&self.rows);
        std::iter::from_fn(move || Some((reader.bytes()?, reader.bytes()?)))
    }

    /// The values of the row at a place.
    fn at(rows: &[u8], place: u32) -> &[u8] {
        rows.get(place as usize..).and_then(|r| Reader(r).bytes()).unwrap_or_default()
    }

    fn heap(&self) -> usize {
        self.rows.capacity()
            + self.folded.as_ref().map_or(0, |f| f.len())
            + self.seen.as_ref().map_or(0, HashTable::allocation_size)
    }

    fn push(&mut self, values: &[u8], order: &[u8]) {
        put_bytes(&mut self.rows, values);
        put_bytes(&mut self.rows, order);
        self.count += 1;
    }

    fn push_distinct(&mut self, values: &[u8], order: &[u8]) {
        if self.seen.is_none() {
            if self.rows().any(|(v, _)| v == values) {
                return;
            }
            if self.count < FEW {
                return self.push(values, order);
            }
        }
        let mut seen = self.seen.take().unwrap_or_else(|| self.places());
        let place = short(self.rows.len());
        if seen.find(hash(values), |p| Self::at(&self.rows, *p) == values).is_none() {
            self.push(values, order);
            let rows = &self.rows;
            seen.insert_unique(hash(values), place, |p| hash(Self::at(rows, *p)));
        }
        self.seen = Some(seen);
    }

    fn places(&self) -> HashTable<u32> {
        let mut seen = HashTable::with_capacity(self.count as usize + 1);
        let mut reader = Reader(&self.rows);
        loop {
            let place = short(self.rows.len() - reader.0.len());
            let (Some(values), Some(_)) = (reader.bytes(), reader.bytes()) else { return seen };
            seen.insert_unique(hash(values), place, |p| hash(Self::at(&self.rows, *p)));
        }
    }

    /// Keeps this row alone.
    fn only(&mut self, values: &[u8], order: &[u8]) {
        self.rows.clear();
        self.count = 0;
        self.push(values, order);
    }
}

fn hash(bytes: &[u8]) -> u64 {
    foldhash::fast::FixedState::with_seed(0x6B65_7074).hash_one(bytes)
}

/// The values that are kept for each group.
pub(super) struct Kept {
    recipe: Arc<Recipe>,
    groups: Vec<Values>,
    heap: usize,
}

impl Kept {
    pub(super) fn of(recipe: Arc<Recipe>) -> Box<dyn States> {
        Box::new(Self { recipe, groups: vec![], heap: 0 })
    }

    fn push(&mut self, group: u32, values: &[u8], order: &[u8]) -> Result<()> {
        let own = self.groups.get_mut(group as usize).ok_or_else(unfit)?;
        let before = own.heap();
        match &self.recipe.keep {
            Keep::All => own.push(values, order),
            Keep::Distinct => own.push_distinct(values, order),
            Keep::First { .. } => {
                if own.rows().next().is_none_or(|(_, first)| order < first) {
                    own.only(values, order);
                }
            }
            Keep::Last { .. } => {
                if own.rows().next().is_none_or(|(_, last)| order >= last) {
                    own.only(values, order);
                }
            }
            Keep::Folded { .. } => {
                own.push(values, order);
                if own.count >= FOLD {
                    self.recipe.fold(own)?;
                }
            }
        }
        self.heap = self.heap + own.heap() - before;
        Ok(())
    }

    /// Takes a folded state in behind what group `to` has.
    fn merge_folded(&mut self, to: u32, folded: &[u8]) -> Result<()> {
        let own = self.groups.get_mut(to as usize).ok_or_else(unfit)?;
        let before = own.heap();
        if own.folded.is_none() && own.count == 0 {
            own.folded = Some(Box::from(folded));
        } else {
            self.recipe.fold(own)?;
            let Keep::Folded { state, kinds } = &self.recipe.keep else { return Err(unfit()) };
            let mut accumulator = self.recipe.accumulator(own)?;
            let parser = state.parser();
            accumulator.merge_batch(&state.convert_rows([parser.parse(folded)])?)?;
            let scalars = accumulator.state()?;
            let columns = scalars.iter().zip(kinds);
            let columns = columns.map(|(s, kind)| Ok(cast(&s.to_array()?, kind)?));
            let rows = state.convert_columns(&columns.collect::<Result<Vec<_>>>()?)?;
            own.folded = Some(Box::from(rows.row(0).data()));
        }
        self.heap = self.heap + own.heap() - before;
        Ok(())
    }
}

impl States for Kept {
    fn grow(&mut self, len: usize, capacity: usize) {
        self.groups.reserve_exact(capacity.saturating_sub(self.groups.len()));
        self.groups.resize(len, Values::default());
    }

    fn add(&mut self, input: &Input, rows: &[u32], groups: &[u32]) -> Result<()> {
        let Input::Rows(kept) = input else { return Err(unfit()) };
        for (row, group) in rows.iter().zip(groups) {
            let row = *row as usize;
            if kept.valid.as_ref().is_some_and(|v| v.is_null(row)) {
                continue;
            }
            let order = kept.order.as_ref().map_or(&[][..], |o| o.row(row).data());
            self.push(*group, kept.values.row(row).data(), order)?;
        }
        Ok(())
    }

    fn merge(&mut self, later: &dyn States, to: &[u32]) -> Result<()> {
        let later = later.as_any().downcast_ref::<Self>().ok_or_else(unfit)?;
        for (values, to) in later.groups.iter().zip(to) {
            if let Some(folded) = &values.folded {
                self.merge_folded(*to, folded)?;
            }
            for (values, order) in values.rows() {
                self.push(*to, values, order)?;
            }
        }
        Ok(())
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let groups = groups.iter().filter_map(|g| self.groups.get(*g as usize));
        let results = groups.map(|of| self.recipe.accumulator(of)?.evaluate());
        let results = results.collect::<Result<Vec<ScalarValue>>>()?;
        let column = ScalarValue::iter_to_array(results)?;
        if *column.data_type() == self.recipe.kind {
            return Ok(column);
        }
        Ok(cast(&column, &self.recipe.kind)?)
    }

    fn save(&self, group: usize, out: &mut Vec<u8>) {
        let Some(of) = self.groups.get(group) else { return };
        out.push(u8::from(of.folded.is_some()));
        if let Some(folded) = &of.folded {
            put_bytes(out, folded);
        }
        out.extend_from_slice(&of.count.to_le_bytes());
        put_bytes(out, &of.rows);
    }

    fn load(&mut self, group: usize, from: &mut Reader<'_>) -> Option<()> {
        let folded = if from.u8()? == 1 { Some(Box::from(from.bytes()?)) } else { None };
        let count = from.u32()?;
        let mut of = Values { folded, rows: from.bytes()?.to_vec(), count, seen: None };
        if matches!(self.recipe.keep, Keep::Distinct) && count > FEW {
            of.seen = Some(of.places());
        }
        let own = self.groups.get_mut(group)?;
        self.heap = self.heap + of.heap() - own.heap();
        *own = of;
        Some(())
    }

    fn clear(&mut self, group: usize) {
        if let Some(own) = self.groups.get_mut(group) {
            self.heap -= own.heap();
            *own = Values::default();
        }
    }

    fn width(&self) -> usize {
        size_of::<Values>()
    }

    fn heap(&self) -> usize {
        self.heap
    }

    fn heap_of(&self, group: usize) -> usize {
        self.groups.get(group).map_or(0, Values::heap)
    }

    fn copy(&self) -> Box<dyn States> {
        let (recipe, groups) = (self.recipe.clone(), self.groups.clone());
        Box::new(Self { recipe, groups, heap: self.heap })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
