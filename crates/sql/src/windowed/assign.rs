//! Rows in, the same rows with their windows out.

use std::sync::Arc;

use arrow::compute::take;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_common::{Result, exec_err};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::codec::Rows;

use super::{WINDOW_COLUMNS, WindowNode, span::words};
use crate::chain::Chain;
use crate::complain::said_at;
use crate::explain::show;
use crate::step::{Became, Counts, Piecewise, batch_of};
use crate::window::Window;

/// A piece has no more rows than this.
const PIECE_ROWS: usize = 8_192;

/// Adds the columns of a window.
pub(crate) struct AssignStep {
    /// The columns that stay.
    pub passing: Vec<usize>,
    pub time: Arc<dyn PhysicalExpr>,
    /// The time for people.
    shown: String,
    /// The windows; `None` when the rows are grouped by them further on, which is told by the event time itself
    /// in place of each of the window's columns.
    pub windows: Option<Window>,
    pub schema: SchemaRef,
}

impl AssignStep {
    /// A step behind `chain`, for rows that are grouped by these windows further on or not.
    pub(crate) fn new(
        node: &WindowNode,
        time: Arc<dyn PhysicalExpr>,
        chain: &Chain,
        grouped: bool,
    ) -> Result<Self> {
        if !grouped && let Window::Session { .. } = node.window {
            let what = "`SESSION` without `GROUP BY` is not yet possible: a row's session is known only when it is over";
            return Err(said_at(
                what,
                "write `GROUP BY window_start, window_end, …`",
                &[Keyword::FROM],
            ));
        }
        let passing = node.passing();
        let of = time.data_type(&chain.schema)?;
        let fields = passing.iter().filter_map(|i| chain.schema.fields().get(*i).cloned());
        let window = WINDOW_COLUMNS.map(|name| Arc::new(Field::new(name, of.clone(), false)));
        let schema = Arc::new(Schema::new(fields.chain(window).collect::<Vec<_>>()));
        let windows = (!grouped).then_some(node.window);
        Ok(Self { passing, time, shown: show(&node.time), windows, schema })
    }

    /// The step for people, where there is something to tell.
    pub(crate) fn explain(&self) -> Option<String> {
        let window = self.windows?;
        Some(format!("add the columns of {} of {}", words(window), self.shown))
    }

    pub(crate) fn run(&self, rows: Rows, counts: &mut Counts) -> Result<Became<'_>> {
        let times = self.time.evaluate(&rows.batch)?.into_array(rows.len())?;
        if times.null_count() > 0 {
            return exec_err!("its event time is null, so that it belongs to no window");
        }
        let Some(window) = self.windows else {
            let columns = self.beside(&rows, None, [times.clone(), times.clone(), times])?;
            let batch = batch_of(&self.schema, columns, rows.len())?;
            return Ok(Became::Rows(Rows { batch, origin: rows.origin }));
        };
        let moments = times.as_primitive::<TimestampMicrosecondType>();
        let spans =
            moments.values().iter().map(|t| Spans::of(window, *t)).collect::<Result<Vec<_>>>()?;
        if let Window::Tumble { .. } = window {
            let made = self.made(&rows, None, spans.iter().map(|s| (s.start, s.end)).unzip())?;
            return Ok(Became::Rows(Rows { batch: made, origin: rows.origin }));
        }
        for s in &spans {
            counts.filtered += u64::from(s.count == 0);
            counts.made += s.count.saturating_sub(1);
        }
        Ok(Became::Pieces(Box::new(Pieces { step: self, rows, spans, row: 0, nth: 0 })))
    }

    fn made(
        &self,
        rows: &Rows,
        picks: Option<&UInt64Array>,
        (starts, ends): (Vec<i64>, Vec<i64>),
    ) -> Result<arrow_array::RecordBatch> {
        let len = starts.len();
        let times = ends.iter().map(|e| e - 1).collect::<Vec<_>>();
        let of = |values: Vec<i64>, i: usize| -> Result<ArrayRef> {
            let Some(field) = self.schema.fields().get(self.passing.len() + i) else {
                return exec_err!("a window has three columns");
            };
            let array = TimestampMicrosecondArray::from(values);
            Ok(Arc::new(array.with_data_type(field.data_type().clone())))
        };
        let columns = self.beside(rows, picks, [of(starts, 0)?, of(ends, 1)?, of(times, 2)?])?;
        batch_of(&self.schema, columns, len)
    }

    fn beside(
        &self,
        rows: &Rows,
        picks: Option<&UInt64Array>,
        window: [ArrayRef; 3],
    ) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for i in &self.passing {
            let column = rows.batch.column(*i);
            columns.push(match picks {
                Some(picks) => take(column, picks, None)?,
                None => column.clone(),
            });
        }
        columns.extend(window);
        Ok(columns)
    }
}

/// The windows of one row, the earliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spans {
    start: i64,
    end: i64,
    /// From each to the next.
    start_step: i64,
    end_step: i64,
    count: u64,
}

impl Spans {
    fn of(window: Window, time: i64) -> Result<Self> {
        let spans = match window {
            Window::Tumble { size, offset } => Self::one(size, offset, time),
            _ => Self::wide(window, i128::from(time)),
        };
        match spans {
            Some(spans) => Ok(spans),
            None => exec_err!("the event time is too far from 1970 to have a window"),
        }
    }

    fn one(size: i64, offset: i64, time: i64) -> Option<Self> {
        let whole = time.checked_sub(offset)?.div_euclid(size);
        let start = whole.checked_mul(size)?.checked_add(offset)?;
        Some(Self { start, end: start.checked_add(size)?, start_step: 0, end_step: 0, count: 1 })
    }

    fn wide(window: Window, time: i128) -> Option<Self> {
        let floor = |step: i64, offset: i64| {
            let (step, offset) = (i128::from(step), i128::from(offset));
            (time - offset).div_euclid(step) * step + offset
        };
        let narrow = |n: i128| i64::try_from(n).ok();
        let (first, size, start_step, end_step, count) = match window {
            Window::Hop { size, slide, offset } => {
                let last = floor(slide, offset);
                let reach = last - time + i128::from(size);
                let count = if reach > 0 { (reach - 1) / i128::from(slide) + 1 } else { 0 };
                let back = (count - 1).max(0) * i128::from(slide);
                (last - back, size, slide, slide, u64::try_from(count).ok()?)
            }
            Window::Cumulate { size, step, offset } => {
                let start = floor(size, offset);
                let grown = ((time - start) / i128::from(step) + 1) * i128::from(step);
                let count = (i128::from(size) - grown) / i128::from(step) + 1;
                narrow(start + i128::from(size))?;
                (start, narrow(grown)?, 0, step, u64::try_from(count).ok()?)
            }
            Window::Tumble { .. } | Window::Session { .. } | Window::Again { .. } => return None,
        };
        // The last of them has to be within time too.
        narrow(time + i128::from(size) + i128::from(start_step))?;
        Some(Self {
            start: narrow(first)?,
            end: narrow(first + i128::from(size))?,
            start_step,
            end_step,
            count,
        })
    }

    fn nth(&self, n: u64) -> (i64, i64) {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let at = |from: i64, step: i64| from.saturating_add(step.saturating_mul(n));
        (at(self.start, self.start_step), at(self.end, self.end_step))
    }
}

/// What is left of the rows to make.
struct Pieces<'a> {
    step: &'a AssignStep,
    rows: Rows,
    spans: Vec<Spans>,
    /// Where the next piece begins: a row, and its window.
    row: usize,
    nth: u64,
}

impl Piecewise for Pieces<'_> {
    fn next(&mut self) -> Result<Option<Rows>> {
        let (mut picks, mut starts, mut ends) = (vec![], vec![], vec![]);
        while let Some(spans) = self.spans.get(self.row).filter(|_| picks.len() < PIECE_ROWS) {
            if self.nth >= spans.count {
                (self.row, self.nth) = (self.row + 1, 0);
                continue;
            }
            let (start, end) = spans.nth(self.nth);
            picks.push(self.row);
            starts.push(start);
            ends.push(end);
            self.nth += 1;
        }
        if picks.is_empty() {
            return Ok(None);
        }
        let index = UInt64Array::from_iter_values(picks.iter().map(|i| *i as u64));
        let batch = self.step.made(&self.rows, Some(&index), (starts, ends))?;
        Ok(Some(Rows { batch, origin: self.rows.origin.take(picks.into_iter()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(window: Window, time: i64) -> Vec<(i64, i64)> {
        let spans = Spans::of(window, time).unwrap();
        (0..spans.count).map(|n| spans.nth(n)).collect()
    }

    /// Every window there is around a moment, tried one by one.
    fn naive(window: Window, time: i64) -> Vec<(i64, i64)> {
        let mut found = vec![];
        for start in time - 60..=time + 60 {
            match window {
                Window::Tumble { size, offset } if (start - offset).rem_euclid(size) == 0 => {
                    found.push((start, start + size));
                }
                Window::Hop { size, slide, offset } if (start - offset).rem_euclid(slide) == 0 => {
                    found.push((start, start + size));
                }
                Window::Cumulate { size, step, offset }
                    if (start - offset).rem_euclid(size) == 0 =>
                {
                    found.extend((1..=size / step).map(|n| (start, start + n * step)));
                }
                _ => {}
            }
        }
        found.retain(|(start, end)| (*start..*end).contains(&time));
        found
    }

    #[test]
    fn windows_are_those_that_hold_the_moment_before_and_after_1970() {
        for time in -70..70 {
            for offset in [0, 1, 4] {
                for size in 1..12 {
                    let tumble = Window::Tumble { size, offset: offset % size };
                    assert_eq!(all(tumble, time), naive(tumble, time), "{tumble:?} {time}");
                    for slide in 1..14 {
                        let hop = Window::Hop { size, slide, offset: offset % slide };
                        assert_eq!(all(hop, time), naive(hop, time), "{hop:?} {time}");
                        if size % slide == 0 {
                            let grow =
                                Window::Cumulate { size, step: slide, offset: offset % size };
                            assert_eq!(all(grow, time), naive(grow, time), "{grow:?} {time}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_moment_at_the_end_of_time_has_no_window() {
        let tumble = Window::Tumble { size: 1_000, offset: 0 };
        assert!(Spans::of(tumble, i64::MAX - 1).is_err());
        assert!(Spans::of(tumble, i64::MIN).is_err());
    }
}
