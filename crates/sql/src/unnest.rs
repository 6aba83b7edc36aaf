//! One row into several: UNNEST, a bounded piece at a time.

use std::sync::Arc;

use arrow::compute::{cast, take};
use arrow_array::builder::UInt64Builder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, UInt64Array};
use arrow_schema::{DataType, Field, SchemaRef};
use datafusion_common::{NullHandling, Result, exec_err};
use datafusion_expr::logical_plan::Unnest;
use millstream_core::codec::Rows;

use crate::size::{BYTES_MAX, item_bytes};
use crate::step::{Counts, Piecewise, batch_of};

/// A piece has no more rows than this.
const PIECE_ROWS: usize = 8_192;
/// No more rows than this are made of one row, nor of a batch at once.
const ROWS_MAX: usize = 1 << 20;

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

    /// What the step does to state that is made of its rows.
    pub(crate) fn meaning(&self) -> String {
        let columns = self.columns.iter().map(|c| match c {
            Comes::Whole => "whole".to_owned(),
            Comes::Items(depths) => format!("items {depths:?}"),
            Comes::Fields => "fields".to_owned(),
        });
        format!("unnest {} {:?}", columns.collect::<Vec<_>>().join(", "), self.nulls)
    }

    /// What the rows become, piece by piece: together they would be as long as the longest list is
    /// wide, for every column beside it.
    pub(crate) fn pieces(&self, input: Rows, counts: &mut Counts) -> Result<Pieces<'_>> {
        let mut items = Vec::new();
        for (column, comes) in input.batch.columns().iter().zip(&self.columns) {
            if let Comes::Items(depths) = comes {
                for depth in depths {
                    items.push(Items { depth: *depth, list: list(column)?, taken: false });
                }
            }
        }
        let mut level = Level { items, of: (0..input.len()).collect() };
        // A list that is taken apart twice is first taken apart alone, then along with the others.
        for depth in (2..=self.depth_max).rev() {
            level = level.down(depth, &self.nulls)?;
        }
        let longest = if self.depth_max == 0 {
            vec![1; input.len()]
        } else {
            level.longest(1, &self.nulls)?
        };
        count(&longest, &level.of, input.len(), counts);
        let weights = self.weights(&input);
        Ok(Pieces { step: self, input, level, longest, weights, row: 0, item: 0 })
    }

    /// How many bytes of each row are repeated for each row made of it.
    fn weights(&self, input: &Rows) -> Vec<u64> {
        // Items of a list that goes less deep than another are repeated too; no item is larger than its list.
        let repeated = input.batch.columns().iter().zip(&self.columns).filter(|(_, c)| match c {
            Comes::Whole | Comes::Fields => true,
            Comes::Items(depths) => depths.iter().any(|d| *d < self.depth_max),
        });
        let repeated: Vec<&ArrayRef> = repeated.map(|(column, _)| column).collect();
        let weight = |row| repeated.iter().map(|c| item_bytes(c.as_ref(), row)).sum();
        (0..input.len()).map(weight).collect()
    }
}

/// How many rows were left out, and how many more made than there were.
fn count(longest: &[usize], of: &[usize], before: usize, counts: &mut Counts) {
    let (mut kept, mut made, mut last) = (0, 0, None);
    // The rows come in order, so those of one row stand together.
    for (longest, of) in longest.iter().zip(of).filter(|(longest, _)| **longest > 0) {
        made += *longest;
        kept += usize::from(last != Some(*of));
        last = Some(*of);
    }
    counts.filtered += (before - kept) as u64;
    counts.made += (made - kept) as u64;
}

/// The fields of a struct column, null where the struct is.
fn fields(of: &ArrayRef) -> Result<Vec<ArrayRef>> {
    let of = of.as_struct();
    let Some(nulls) = of.nulls() else { return Ok(of.columns().to_vec()) };
    let hide = BooleanArray::new(!nulls.inner(), None);
    of.columns().iter().map(|c| Ok(arrow::compute::nullif(c, &hide)?)).collect()
}

/// A list column that is taken apart.
struct Items {
    depth: usize,
    list: ListArray,
    /// It has been taken apart before: it has a list for each row there is by now, not for each of the input.
    taken: bool,
}

impl Items {
    /// Where the items of a row begin, and how many they are.
    fn range(&self, row: usize, of: usize) -> (u64, usize) {
        let row = if self.taken { row } else { of };
        if self.list.is_null(row) {
            return (0, 0);
        }
        let start = self.list.value_offsets().get(row).and_then(|o| u64::try_from(*o).ok());
        (start.unwrap_or(0), usize::try_from(self.list.value_length(row)).unwrap_or(0))
    }

    fn is_null(&self, row: usize, of: usize) -> bool {
        self.list.is_null(if self.taken { row } else { of })
    }
}

/// The rows there are by now.
struct Level {
    items: Vec<Items>,
    /// Which row of the input each is made of.
    of: Vec<usize>,
}

impl Level {
    /// How many rows are made of each, when all lists that go at least so deep are taken apart.
    fn longest(&self, depth: usize, nulls: &NullHandling) -> Result<Vec<usize>> {
        let mut sum = 0_usize;
        let mut longest = Vec::with_capacity(self.of.len());
        for (row, of) in self.of.iter().enumerate() {
            let lists = || self.items.iter().filter(|i| i.depth >= depth);
            let len = lists().map(|i| i.range(row, *of).1).max().unwrap_or(0);
            let len = match nulls {
                NullHandling::PreserveAndExpandEmpty if len == 0 => 1,
                NullHandling::Preserve if lists().all(|i| i.is_null(row, *of)) => 1,
                _ => len,
            };
            sum = sum.saturating_add(len);
            longest.push(len);
        }
        if sum > ROWS_MAX {
            return exec_err!("`UNNEST` would make {sum} rows of one, and {ROWS_MAX} are the most");
        }
        Ok(longest)
    }

    /// Takes apart once every list that goes at least so deep.
    fn down(mut self, depth: usize, nulls: &NullHandling) -> Result<Self> {
        let longest = self.longest(depth, nulls)?;
        for items in self.items.iter_mut().filter(|i| i.depth >= depth) {
            let mut picks = UInt64Builder::new();
            for ((row, of), longest) in self.of.iter().enumerate().zip(&longest) {
                pick(items.range(row, *of), 0..*longest, &mut picks);
            }
            items.list = list(&take(items.list.values(), &picks.finish(), None)?)?;
            items.taken = true;
        }
        let of = self.of.iter().zip(&longest);
        self.of = of.flat_map(|(of, longest)| std::iter::repeat_n(*of, *longest)).collect();
        Ok(self)
    }
}

/// The items of a list from one to another, null beyond its end.
fn pick((start, len): (u64, usize), items: std::ops::Range<usize>, picks: &mut UInt64Builder) {
    for i in items {
        picks.append_option((i < len).then_some(start + i as u64));
    }
}

/// What is left of the rows to make.
pub(crate) struct Pieces<'a> {
    step: &'a UnnestStep,
    input: Rows,
    level: Level,
    /// How many rows are made of each of the level.
    longest: Vec<usize>,
    weights: Vec<u64>,
    /// Where the next piece begins: a row of the level, and its item.
    row: usize,
    item: usize,
}

impl Piecewise for Pieces<'_> {
    fn next(&mut self) -> Result<Option<Rows>> {
        let mut rows: Vec<usize> = Vec::new();
        let mut picks: Vec<UInt64Builder> =
            self.level.items.iter().map(|_| UInt64Builder::new()).collect();
        let mut bytes = 0;
        while rows.len() < PIECE_ROWS && bytes < BYTES_MAX {
            let (Some(of), Some(longest)) =
                (self.level.of.get(self.row).copied(), self.longest.get(self.row).copied())
            else {
                break;
            };
            let weight = self.weights.get(of).copied().unwrap_or(0).max(1);
            let fit = usize::try_from((BYTES_MAX - bytes).div_ceil(weight)).unwrap_or(usize::MAX);
            let len = (longest - self.item).min(PIECE_ROWS - rows.len()).min(fit);
            for (items, picks) in self.level.items.iter().zip(&mut picks) {
                pick(items.range(self.row, of), self.item..self.item + len, picks);
            }
            rows.extend(std::iter::repeat_n(of, len));
            bytes += weight * len as u64;
            self.item += len;
            if self.item == longest {
                (self.row, self.item) = (self.row + 1, 0);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        self.build(rows, picks).map(Some)
    }
}

impl Pieces<'_> {
    fn build(&self, rows: Vec<usize>, mut picks: Vec<UInt64Builder>) -> Result<Rows> {
        let index = UInt64Array::from_iter_values(rows.iter().map(|r| *r as u64));
        let mut columns = Vec::with_capacity(self.step.schema.fields().len());
        let mut items = self.level.items.iter().zip(&mut picks);
        for (comes, whole) in self.step.columns.iter().zip(self.input.batch.columns()) {
            match comes {
                Comes::Whole => columns.push(take(whole, &index, None)?),
                Comes::Items(depths) => {
                    for (items, picks) in items.by_ref().take(depths.len()) {
                        columns.push(take(items.list.values(), &picks.finish(), None)?);
                    }
                }
                Comes::Fields => columns.extend(fields(&take(whole, &index, None)?)?),
            }
        }
        let batch = batch_of(&self.step.schema, columns, rows.len())?;
        Ok(Rows { batch, origin: self.input.origin.take(rows.into_iter()) })
    }
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
