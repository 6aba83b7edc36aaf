//! Windows the plain way: every row in every window that it belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::DataType;
use datafusion_common::ScalarValue;

use super::super::batch::lagging;
use super::super::{Aggregation, Column, Window};
use super::log::Frame;

/// A row, by frame and number.
type At = (usize, usize);
/// By end, start and key.
type Windows = BTreeMap<(i64, i64, Vec<u8>), Vec<(i64, At)>>;

pub(crate) struct Model<'a> {
    spec: &'a Aggregation,
    frames: &'a [Frame],
    pub late: Vec<String>,
    /// What came out after each frame: one row each.
    pub rows: Vec<Vec<Vec<ScalarValue>>>,
}

impl<'a> Model<'a> {
    pub(crate) fn run(spec: &'a Aggregation, frames: &'a [Frame]) -> Self {
        let mut model = Self { spec, frames, late: vec![], rows: vec![] };
        let mut open = Windows::new();
        let mut changed = BTreeSet::new();
        for (number, frame) in frames.iter().enumerate() {
            let times = arrow::compute::cast(frame.rows.batch.column(0), &DataType::Int64).unwrap();
            let times = times.as_primitive::<Int64Type>();
            let keys = model.keys(&frame.rows.batch);
            for (row, key) in keys.into_iter().enumerate() {
                if times.is_null(row) {
                    continue;
                }
                let time = times.value(row);
                let watermark = frame.rows.origin.watermark(row).unwrap();
                let closed = lagging(watermark, spec.lag).saturating_sub(spec.allowed_lateness);
                let at = (time, (number, row));
                if model.put(&mut open, &mut changed, (closed, key), at) {
                    model.late.push(frame.rows.origin.id(row).to_string());
                }
            }
            let mut made = vec![];
            if let Some(watermark) = frame.after.map(|w| lagging(w, spec.lag)) {
                for place in changed.iter().filter(|p: &&(i64, i64, Vec<u8>)| p.0 <= watermark) {
                    made.push(model.row(place, &open[place]));
                }
                changed.retain(|p| p.0 > watermark);
                let closed = watermark.saturating_sub(spec.allowed_lateness);
                open.retain(|p, _| p.0 > closed && watermark != i64::MAX);
            }
            model.rows.push(made);
        }
        model
    }

    fn keys(&self, batch: &RecordBatch) -> Vec<Vec<u8>> {
        let columns = self.spec.keys.iter();
        let columns: Vec<_> = columns
            .map(|(k, _)| k.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap())
            .collect();
        if columns.is_empty() {
            return vec![vec![]; batch.num_rows()];
        }
        // One zero.
        let columns: Vec<ArrayRef> = columns
            .into_iter()
            .map(|c| match c.as_primitive_opt::<arrow_array::types::Float64Type>() {
                Some(f) => {
                    Arc::new(f.unary::<_, arrow_array::types::Float64Type>(|v| v + 0.0)) as _
                }
                None => c,
            })
            .collect();
        let fields = columns.iter().map(|c| SortField::new(c.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).unwrap();
        let rows = converter.convert_columns(&columns).unwrap();
        rows.iter().map(|r| r.data().to_vec()).collect()
    }

    /// Puts a row into its windows; `true` if it is late for all of them.
    fn put(
        &self,
        open: &mut Windows,
        changed: &mut BTreeSet<(i64, i64, Vec<u8>)>,
        (closed, key): (i64, Vec<u8>),
        at: (i64, At),
    ) -> bool {
        let windows = self.windows(at.0);
        if let Window::Session { gap } = self.spec.window {
            let near: Vec<_> = open
                .keys()
                .filter(|(end, start, k)| {
                    *k == key && *end > closed && at.0 < *end && *start < at.0 + gap
                })
                .cloned()
                .collect();
            if near.is_empty() && at.0 + gap <= closed {
                return true;
            }
            let (mut end, mut start, mut rows) = (at.0 + gap, at.0, vec![at]);
            for place in near {
                changed.remove(&place);
                (end, start) = (end.max(place.0), start.min(place.1));
                rows.extend(open.remove(&place).unwrap());
            }
            rows.sort_by_key(|(_, at)| *at);
            changed.insert((end, start, key.clone()));
            open.insert((end, start, key), rows);
            return false;
        }
        let mut late = !windows.is_empty();
        for (end, start) in windows {
            if end > closed {
                late = false;
                open.entry((end, start, key.clone())).or_default().push(at);
                changed.insert((end, start, key.clone()));
            }
        }
        late
    }

    fn windows(&self, time: i64) -> Vec<(i64, i64)> {
        let mut windows = vec![];
        let (size, slide, step, offset) = match self.spec.window {
            Window::Tumble { size, offset } => (size, size, size, offset),
            Window::Hop { size, slide, offset } => (size, slide, size, offset),
            Window::Cumulate { size, step, offset } => (size, size, step, offset),
            Window::Session { .. } | Window::Again { .. } => return vec![],
        };
        for start in time - size + 1..=time {
            if (start - offset).rem_euclid(slide) == 0 {
                for end in (start + step..=start + size).step_by(usize::try_from(step).unwrap()) {
                    if end > time {
                        windows.push((end, start));
                    }
                }
            }
        }
        windows
    }

    /// The row of a window and key.
    fn row(&self, (end, start, _): &(i64, i64, Vec<u8>), rows: &[(i64, At)]) -> Vec<ScalarValue> {
        let mut rows = rows.to_vec();
        // Rows of a window are in order of its panes, and then of the log.
        if let Some(spans) = super::super::spans::Spans::new(self.spec.window) {
            rows.sort_by_key(|(time, at)| (spans.pane(*time), *at));
        }
        let batch = self.batch(&rows);
        self.spec
            .columns
            .iter()
            .map(|column| match column {
                Column::WindowStart => ScalarValue::TimestampMicrosecond(Some(*start), None),
                Column::WindowEnd => ScalarValue::TimestampMicrosecond(Some(*end), None),
                Column::WindowTime => ScalarValue::TimestampMicrosecond(Some(end - 1), None),
                Column::Key(i) => {
                    let key = self.spec.keys[*i].0.evaluate(&batch).unwrap();
                    let key = key.into_array(batch.num_rows()).unwrap();
                    match ScalarValue::try_from_array(&key, 0).unwrap() {
                        ScalarValue::Float64(Some(f)) => ScalarValue::Float64(Some(f + 0.0)),
                        key => key,
                    }
                }
                Column::Aggregate(i) => self.result(*i, &batch),
            })
            .collect()
    }

    fn batch(&self, rows: &[(i64, At)]) -> RecordBatch {
        let one =
            rows.iter().map(|(_, (frame, row))| self.frames[*frame].rows.batch.slice(*row, 1));
        let schema = self.frames[0].rows.batch.schema();
        arrow_select::concat::concat_batches(&schema, &one.collect::<Vec<_>>()).unwrap()
    }

    fn result(&self, aggregate: usize, batch: &RecordBatch) -> ScalarValue {
        let aggregate = &self.spec.aggregates[aggregate];
        let mut batch = batch.clone();
        if let Some(filter) = &aggregate.filter {
            let mask = filter.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap();
            batch = arrow_select::filter::filter_record_batch(&batch, mask.as_boolean()).unwrap();
        }
        let orders = aggregate.expr.order_bys();
        if !orders.is_empty() {
            let fields = orders
                .iter()
                .map(|o| SortField::new(o.expr.data_type(&batch.schema()).unwrap()))
                .collect();
            let columns: Vec<_> = orders
                .iter()
                .map(|o| o.expr.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap())
                .collect();
            let rows = RowConverter::new(fields).unwrap().convert_columns(&columns).unwrap();
            let mut order: Vec<_> = (0..u32::try_from(batch.num_rows()).unwrap()).collect();
            order.sort_by_key(|i| rows.row(*i as usize));
            // Among equals the last comes last, and the first first.
            let order = UInt32Array::from(order);
            batch = arrow_select::take::take_record_batch(&batch, &order).unwrap();
            let at = match aggregate.expr.fun().name() {
                "first_value" => Some(0),
                "last_value" => batch.num_rows().checked_sub(1),
                _ => None,
            };
            if let Some(at) = at.filter(|_| batch.num_rows() > 0) {
                batch = batch.slice(at, 1);
            }
        }
        let all = aggregate.expr.expressions();
        let all = all.iter().chain(orders.iter().map(|o| &o.expr));
        let columns: Vec<_> = all
            .map(|e| e.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap())
            .collect();
        let mut accumulator = aggregate.expr.create_accumulator().unwrap();
        if batch.num_rows() > 0 {
            accumulator.update_batch(&columns).unwrap();
        }
        accumulator.evaluate().unwrap()
    }
}

/// Whether results are the same, floats but for rounding.
pub(crate) fn close(a: &ScalarValue, b: &ScalarValue) -> bool {
    match (a, b) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => {
            a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-7 * a.abs().max(b.abs()).max(1.0)
        }
        _ => a == b,
    }
}
