//! One step of a chain: rows in, rows out, nothing remembered.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use arrow_select::filter::{FilterBuilder, prep_null_mask_filter};
use datafusion_common::{Result, exec_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use millstream_core::codec::Rows;

use crate::lookup::LookupStep;
use crate::reference::ReferenceStep;
use crate::size::{argument_bytes, bounded};
use crate::unnest::UnnestStep;
use crate::window::Window;
use crate::windowed::AssignStep;

/// What a chain does with rows, one after the other.
pub(crate) enum Step {
    /// Lets rows pass for which the predicate is true, with the columns `keep`.
    Filter {
        predicate: Arc<dyn PhysicalExpr>,
        /// Bytes of large constants, which may be given for each row.
        constants: u64,
        keep: Vec<usize>,
        schema: SchemaRef,
    },
    /// Computes columns.
    Project { exprs: Vec<Arc<dyn PhysicalExpr>>, constants: u64, schema: SchemaRef },
    /// The same columns under other names.
    Rename { schema: SchemaRef },
    /// Makes a row for each item of a list.
    Unnest(UnnestStep),
    /// Adds the columns of a lookup.
    Lookup(LookupStep),
    /// Joins rows of a reference table.
    Reference(Box<ReferenceStep>),
    /// Adds the columns of a window.
    Window(AssignStep),
    /// Refuses rows of which the last column says why, and leaves that out.
    Refuse { schema: SchemaRef },
}

/// Rows that a step left out or made, and whether it came to its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub filtered: u64,
    pub made: u64,
    /// Answers of a lookup are not at hand, so that the rest counts for nothing.
    pub waits: bool,
}

impl Step {
    /// Whether no row becomes several.
    pub(crate) fn makes_no_rows(&self) -> bool {
        match self {
            Self::Unnest(_) => false,
            Self::Reference(reference) => reference.makes_no_rows(),
            Self::Window(window) => matches!(window.windows, None | Some(Window::Tumble { .. })),
            Self::Filter { .. }
            | Self::Project { .. }
            | Self::Rename { .. }
            | Self::Lookup(_)
            | Self::Refuse { .. } => true,
        }
    }

    /// Runs the step.
    pub(crate) fn run(&self, rows: Rows, counts: &mut Counts) -> Result<Became<'_>> {
        Ok(match self {
            Self::Filter { predicate, constants, keep, schema } => {
                bounded(CONSTANTS, constants.saturating_mul(rows.len() as u64))?;
                match filter(rows, predicate.as_ref(), keep, schema, counts)? {
                    Some(rows) => Became::Rows(rows),
                    None => Became::Nothing,
                }
            }
            Self::Project { exprs, constants, schema } => {
                bounded(CONSTANTS, constants.saturating_mul(rows.len() as u64))?;
                let batch = project(&rows.batch, exprs, schema)?;
                Became::Rows(Rows { batch, origin: rows.origin })
            }
            Self::Unnest(unnest) => Became::Pieces(Box::new(unnest.pieces(rows, counts)?)),
            Self::Window(window) => window.run(rows, counts)?,
            Self::Reference(reference) => reference.run(rows, counts)?,
            Self::Lookup(lookup) => match lookup.run(rows, counts)? {
                Some(rows) => Became::Rows(rows),
                None => Became::Nothing,
            },
            Self::Refuse { schema } => {
                let (columns, len) = (rows.batch.columns(), rows.len());
                let Some((why, columns)) = columns.split_last() else {
                    return exec_err!("a column is missing");
                };
                if let Some(why) = why.as_string::<i32>().iter().flatten().next() {
                    return exec_err!("{why}");
                }
                let batch = batch_of(schema, columns.to_vec(), len)?;
                Became::Rows(Rows { batch, origin: rows.origin })
            }
            Self::Rename { schema } => {
                let batch = batch_of(schema, rows.batch.columns().to_vec(), rows.batch.num_rows())?;
                Became::Rows(Rows { batch, origin: rows.origin })
            }
        })
    }
}

const CONSTANTS: &str = "the constants of one row";

/// What rows became by a step.
pub(crate) enum Became<'a> {
    /// No row is left.
    Nothing,
    /// Other rows.
    Rows(Rows),
    /// More rows than should be made at once.
    Pieces(Box<dyn Piecewise + 'a>),
}

/// Rows that are made a piece at a time.
pub(crate) trait Piecewise {
    /// The next rows, in order; `None` after the last.
    fn next(&mut self) -> Result<Option<Rows>>;
}

fn project(
    batch: &RecordBatch,
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let len = batch.num_rows();
    let mut columns = Vec::with_capacity(exprs.len());
    let mut sum = 0;
    for e in exprs {
        if let Some(c) = e.downcast_ref::<Column>() {
            columns.push(batch.column(c.index()).clone());
            continue;
        }
        let value = e.evaluate(batch)?;
        sum += argument_bytes(&value, len)?;
        bounded("the columns of one row", sum)?;
        columns.push(value.into_array(len)?);
    }
    batch_of(schema, columns, len)
}

pub(crate) fn batch_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn filter(
    rows: Rows,
    predicate: &dyn PhysicalExpr,
    keep: &[usize],
    schema: &SchemaRef,
    counts: &mut Counts,
) -> Result<Option<Rows>> {
    let len = rows.len();
    let mask = match predicate.evaluate(&rows.batch)? {
        ColumnarValue::Scalar(s) => {
            let all = matches!(s, datafusion_common::ScalarValue::Boolean(Some(true)));
            BooleanArray::from(vec![all; len])
        }
        ColumnarValue::Array(a) => a.as_boolean().clone(),
    };
    let mask = if mask.null_count() > 0 { prep_null_mask_filter(&mask) } else { mask };
    let passed = mask.true_count();
    counts.filtered += (len - passed) as u64;
    if passed == 0 {
        return Ok(None);
    }
    let columns = keep.iter().map(|i| rows.batch.column(*i));
    if passed == len {
        let batch = batch_of(schema, columns.cloned().collect(), len)?;
        return Ok(Some(Rows { batch, origin: rows.origin }));
    }
    let mut filter = FilterBuilder::new(&mask);
    if keep.len() > 1 {
        filter = filter.optimize();
    }
    let filter = filter.build();
    let columns = columns.map(|c| Ok(filter.filter(c.as_ref())?)).collect::<Result<Vec<_>>>()?;
    let batch = batch_of(schema, columns, passed)?;
    Ok(Some(Rows { batch, origin: rows.origin.take(mask.values().set_indices()) }))
}
