//! One row into several: UNNEST.

use std::sync::Arc;

use arrow::compute::{cast, take};
use arrow_array::builder::UInt64Builder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, SchemaRef};
use datafusion_common::{NullHandling, Result};
use datafusion_expr::logical_plan::Unnest;
use millstream_core::codec::Rows;

use crate::step::{Counts, batch_of};

/// Takes lists (and structs) apart.
pub(crate) struct UnnestStep {
    /// For each column of the input, what comes of it.
    columns: Vec<Comes>,
    depth_max: usize,
    nulls: NullHandling,
    pub schema: SchemaRef,
}

enum Comes {
    /// The column, repeated for each row made.
    Whole,
    /// Its items, once for each depth asked for.
    Items(Vec<usize>),
    /// Its fields.
    Fields,
}

impl UnnestStep {
    pub(crate) fn new(plan: &Unnest) -> Self {
        let width = plan.input.schema().fields().len();
        let columns = (0..width).map(|i| {
            let depths: Vec<usize> = plan
                .list_type_columns
                .iter()
                .filter(|(c, _)| *c == i)
                .map(|(_, list)| list.depth)
                .collect();
            if !depths.is_empty() {
                Comes::Items(depths)
            } else if plan.struct_type_columns.contains(&i) {
                Comes::Fields
            } else {
                Comes::Whole
            }
        });
        Self {
            columns: columns.collect(),
            depth_max: plan.list_type_columns.iter().map(|(_, l)| l.depth).max().unwrap_or(0),
            nulls: plan.options.null_handling,
            schema: Arc::new(plan.schema.as_arrow().clone()),
        }
    }

    pub(crate) fn run(&self, rows: Rows, counts: &mut Counts) -> Result<Option<Rows>> {
        let Rows { batch, origin } = rows;
        let before = batch.num_rows();
        let mut work = Work { whole: batch.columns().to_vec(), items: Vec::new(), rows: None };
        for (column, comes) in self.columns.iter().enumerate() {
            if let Comes::Items(depths) = comes {
                let items = depths.iter().map(|depth| Items { column, depth: *depth, now: None });
                work.items.extend(items);
            }
        }
        // A list that is taken apart twice is first taken apart alone, then along with the others.
        for depth in (1..=self.depth_max).rev() {
            work.level(depth, &self.nulls)?;
        }
        let len = work.rows.as_ref().map_or(before, Vec::len);
        count(work.rows.as_deref(), before, counts);
        if len == 0 {
            return Ok(None);
        }
        let batch = self.build(&work, len)?;
        let origin = match work.rows {
            Some(rows) => origin.take(rows.into_iter()),
            None => origin,
        };
        Ok(Some(Rows { batch, origin }))
    }

    fn build(&self, work: &Work, len: usize) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        let mut items = work.items.iter();
        for (comes, whole) in self.columns.iter().zip(&work.whole) {
            match comes {
                Comes::Whole => columns.push(whole.clone()),
                Comes::Items(depths) => {
                    columns.extend(items.by_ref().take(depths.len()).filter_map(|i| i.now.clone()));
                }
                Comes::Fields => columns.extend(fields(whole)?),
            }
        }
        batch_of(&self.schema, columns, len)
    }
}

/// The fields of a struct column, null where the struct is.
fn fields(of: &ArrayRef) -> Result<Vec<ArrayRef>> {
    let of = of.as_struct();
    let Some(nulls) = of.nulls() else { return Ok(of.columns().to_vec()) };
    let hide = arrow_array::BooleanArray::new(!nulls.inner(), None);
    of.columns().iter().map(|c| Ok(arrow::compute::nullif(c, &hide)?)).collect()
}

/// How many rows were left out, and how many more made than there were.
fn count(made_of: Option<&[usize]>, before: usize, counts: &mut Counts) {
    let Some(made_of) = made_of else { return };
    // The rows come in order, so equal ones stand together.
    let kept = made_of.chunk_by(|a, b| a == b).count();
    counts.filtered += (before - kept) as u64;
    counts.made += (made_of.len() - kept) as u64;
}

struct Work {
    /// The columns of the input, with as many rows as there are by now.
    whole: Vec<ArrayRef>,
    items: Vec<Items>,
    /// Which row of the input each row is made of.
    rows: Option<Vec<usize>>,
}

struct Items {
    column: usize,
    depth: usize,
    now: Option<ArrayRef>,
}

impl Work {
    /// Takes apart once every list that is to be taken apart at least `depth` times.
    fn level(&mut self, depth: usize, nulls: &NullHandling) -> Result<()> {
        let mut lists = Vec::new();
        for items in self.items.iter().filter(|i| i.depth >= depth) {
            let of = items.now.as_ref().or_else(|| self.whole.get(items.column));
            if let Some(of) = of {
                lists.push(list(of)?);
            }
        }
        let rows = lists.first().map_or(0, Array::len);
        let mut made_of = Vec::new();
        let mut picks: Vec<UInt64Builder> = lists.iter().map(|_| UInt64Builder::new()).collect();
        for row in 0..rows {
            let longest = lists.iter().map(|l| len(l, row)).max().unwrap_or(0);
            let all_null = lists.iter().all(|l| l.is_null(row));
            let longest = match nulls {
                NullHandling::PreserveAndExpandEmpty if longest == 0 => 1,
                NullHandling::Preserve if all_null => 1,
                _ => longest,
            };
            made_of.extend(std::iter::repeat_n(row, longest));
            for (list, pick) in lists.iter().zip(&mut picks) {
                let start =
                    list.value_offsets().get(row).map_or(0, |o| u64::try_from(*o).unwrap_or(0));
                let len = len(list, row);
                for i in 0..longest {
                    pick.append_option((i < len).then_some(start + i as u64));
                }
            }
        }
        let repeat = UInt64Array::from_iter_values(made_of.iter().map(|r| *r as u64));
        let mut lists = lists.iter().zip(&mut picks);
        for items in self.items.iter_mut().filter(|i| i.depth >= depth) {
            if let Some((list, pick)) = lists.next() {
                items.now = Some(take(list.values(), &pick.finish(), None)?);
            }
        }
        for whole in &mut self.whole {
            *whole = take(whole, &repeat, None)?;
        }
        self.rows = Some(match &self.rows {
            Some(before) => made_of.iter().filter_map(|r| before.get(*r).copied()).collect(),
            None => made_of,
        });
        Ok(())
    }
}

fn len(list: &ListArray, row: usize) -> usize {
    if list.is_null(row) { 0 } else { usize::try_from(list.value_length(row)).unwrap_or(0) }
}

/// Any kind of list as the common kind.
fn list(of: &ArrayRef) -> Result<ListArray> {
    if let Some(list) = of.as_list_opt::<i32>() {
        return Ok(list.clone());
    }
    let item = match of.data_type() {
        DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f)
        | DataType::LargeListView(f) => f.clone(),
        _ => Arc::new(Field::new("item", DataType::Null, true)),
    };
    Ok(cast(of, &DataType::List(item))?.as_list::<i32>().clone())
}
