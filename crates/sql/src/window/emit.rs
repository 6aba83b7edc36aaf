//! Rows that come out of windows.

use arrow::compute::cast;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_select::filter::filter_record_batch;
use std::sync::Arc;

use datafusion_common::Result;

use super::Column;
use super::groups::Groups;
use super::keys::unfit;
use super::panes::Panes;
use super::spec::Aggregation;
use crate::step::batch_of;

/// The most rows that are made at once, and about the most bytes.
const ROWS_MAX: usize = 8192;
const BYTES_MAX: usize = 4 << 20;

/// A window that is being given.
pub(super) struct Emission {
    pub start: i64,
    pub end: i64,
    pub source: Source,
    /// Its groups, by key.
    pub order: Vec<u32>,
    /// So many of them have been given.
    pub at: usize,
}

/// Where the groups of a window are.
pub(super) enum Source {
    /// They were put aside when the window closed.
    Ready,
    /// In the window that grows.
    Running,
    /// In one node of the tree.
    Node((u32, i64)),
    Own(Box<Groups>),
}

impl Emission {
    pub(super) fn bytes(&self) -> usize {
        let own = if let Source::Own(groups) = &self.source { groups.bytes() } else { 0 };
        own + self.order.capacity() * 4
    }
}

/// As many groups from the first on as should be given at once.
pub(super) fn piece(groups: &[u32], heap_of: impl Fn(u32) -> usize) -> &[u32] {
    let mut bytes = 0;
    let fits = groups.iter().take(ROWS_MAX).take_while(|group| {
        let fits = bytes < BYTES_MAX;
        bytes += heap_of(**group);
        fits
    });
    let fits = fits.count();
    groups.get(..fits).unwrap_or(groups)
}

impl Panes {
    /// The next rows of windows that are due at this watermark.
    pub(super) fn due(
        &mut self,
        spec: &Aggregation,
        watermark: i64,
    ) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(mut emission) = self.emission.take() {
                let rest = emission.order.get(emission.at..).unwrap_or_default();
                if let Some(groups) = self.groups(&emission.source, emission.end)
                    && !rest.is_empty()
                {
                    let now = piece(rest, |g| groups.heap_of(g));
                    let (keys, results) = groups.columns(&self.shape, now)?;
                    let moments = vec![(emission.start, emission.end); now.len()];
                    let rows = rows(spec, &moments, &keys, &results)?;
                    emission.at += now.len();
                    self.emission = Some(emission);
                    return Ok(Some(rows));
                }
                self.emission = Some(emission);
            }
            if !self.go_on(watermark)? {
                return Ok(None);
            }
        }
    }
}

/// Rows with the start and end of the window of each.
pub(super) fn rows(
    spec: &Aggregation,
    windows: &[(i64, i64)],
    keys: &[ArrayRef],
    results: &[ArrayRef],
) -> Result<RecordBatch> {
    let columns = spec.columns.iter().zip(spec.schema.fields()).map(|(column, field)| {
        let moments = |f: fn(&(i64, i64)) -> i64| -> ArrayRef {
            Arc::new(windows.iter().map(|w| Some(f(w))).collect::<Int64Array>())
        };
        let values = match column {
            Column::WindowStart => moments(|w| w.0),
            Column::WindowEnd => moments(|w| w.1),
            Column::WindowTime => moments(|w| w.1 - 1),
            Column::Key(i) => keys.get(*i).ok_or_else(unfit)?.clone(),
            Column::Aggregate(i) => results.get(*i).ok_or_else(unfit)?.clone(),
        };
        if values.data_type() == field.data_type() {
            return Ok(values);
        }
        Ok(cast(&values, field.data_type())?)
    });
    let batch = batch_of(&spec.schema, columns.collect::<Result<Vec<_>>>()?, windows.len())?;
    if windows.iter().all(|(start, _)| *start >= spec.whole_from) {
        return Ok(batch);
    }
    let whole: BooleanArray = windows.iter().map(|w| Some(w.0 >= spec.whole_from)).collect();
    Ok(filter_record_batch(&batch, &whole)?)
}
