//! The operator: rows in, rows of complete windows out.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use datafusion_common::{DataFusionError, Result};
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::error::Error;

use super::batch::{Batch, lagging};
use super::groups::{Groups, Shape};
use super::keys::Keys;
use super::panes::{Panes, Sorted};
use super::sessions::Sessions;
use super::spans::{MOMENT_MAX, SPAN_MAX, Spans};
use super::spec::{Aggregation, Window};
use super::states::Plan;
use crate::complain::reason;
use crate::quiet;

/// What became of rows that were taken.
#[derive(Default)]
pub(crate) struct Taken {
    /// So many are in the state now.
    pub absorbed: u64,
    /// All their windows were closed.
    pub late: Vec<Rows>,
    /// Rows that cannot be computed, or that a sum cannot take, and why.
    pub refused: Vec<(Rows, String)>,
}

/// Groups rows by windows of event time and by keys, and gives a row for each group once its window is complete.
///
/// What it gives depends on the rows and their watermarks alone: not on how rows were cut into batches, and not on
/// snapshots. All that is due is to be given before a snapshot is taken.
pub(crate) struct Aggregator {
    pub(super) spec: Aggregation,
    pub(super) shape: Arc<Shape>,
    pub(super) state: State,
    /// What the state is for, so that no other is taken for it.
    pub(super) layout: String,
    /// The number of the next chunk.
    pub(super) next_run: u32,
    /// What the last snapshot had beside groups.
    pub(super) notes: Vec<u8>,
}

pub(super) enum State {
    Panes(Box<Panes>),
    Sessions(Box<Sessions>),
}

impl Aggregator {
    pub(crate) fn new(spec: Aggregation) -> Result<Self> {
        let (least, most) = match spec.window {
            Window::Tumble { size, .. } => (size, size),
            Window::Hop { size, slide, .. } => (size.min(slide), size.max(slide)),
            Window::Cumulate { size, step, .. } => (step, size),
            Window::Session { gap } => (gap, gap),
        };
        if least <= 0 || most > SPAN_MAX || spec.allowed_lateness < 0 {
            let what = format!("a window is from 1 us to {SPAN_MAX} us long");
            return Err(DataFusionError::Plan(what));
        }
        let keys = Keys::new(spec.keys.iter().map(|(_, field)| field.clone()).collect())?;
        let plans = spec.aggregates.iter().map(|a| Plan::new(a, &spec.input));
        let shape = Arc::new(Shape { keys, plans: plans.collect::<Result<_>>()? });
        let state = State::new(&spec, &shape);
        let layout = layout(&spec);
        Ok(Self { spec, shape, state, layout, next_run: 0, notes: vec![] })
    }

    /// Takes rows in. When the bound of state would be passed, it fails before any of them is taken.
    pub(crate) fn take(&mut self, rows: &Rows) -> Result<Taken> {
        let giving = match &self.state {
            State::Panes(panes) => panes.is_giving(),
            State::Sessions(sessions) => sessions.is_giving(),
        };
        if giving {
            let what = "rows came before all rows that were due had been given";
            return Err(DataFusionError::Internal(what.into()));
        }
        let mut taken = Taken::default();
        let mut parts = vec![];
        let mut sorted = vec![];
        for (batch, skip) in self.read(rows, &mut taken)? {
            match &self.state {
                State::Panes(panes) => sorted.push(panes.sort(&batch, &skip)),
                State::Sessions(_) => sorted.push(Sorted::default()),
            }
            parts.push((batch, skip));
        }
        self.bounded(&parts, &sorted)?;
        for ((batch, skip), sorted) in parts.iter().zip(sorted) {
            let mut late = sorted.late;
            let mut refused = vec![];
            match &mut self.state {
                State::Panes(panes) => {
                    for turn in &sorted.turns {
                        if let Some(upto) = turn.seal {
                            panes.seal(upto)?;
                        }
                        for (pane, rows) in &turn.rows {
                            panes.add(batch, *pane, rows, &mut refused)?;
                        }
                    }
                }
                State::Sessions(sessions) => {
                    sessions.add(batch, skip, &mut late, &mut refused)?;
                }
            }
            let aside = late.len() + refused.len() + skip.len();
            taken.absorbed += (batch.rows.len() - aside) as u64;
            refused.sort_unstable();
            for row in refused {
                let why = "a sum would overflow with this row".to_owned();
                taken.refused.push((batch.some(&[row])?, why));
            }
            if !late.is_empty() {
                late.sort_unstable();
                taken.late.push(batch.some(&late)?);
            }
        }
        Ok(taken)
    }

    /// Computes what is taken of the rows. When that fails, each half is tried alone, down to the rows that fail by
    /// themselves. Of what comes back the rows in the set are refused already.
    fn read(&self, rows: &Rows, taken: &mut Taken) -> Result<Vec<(Batch, BTreeSet<u32>)>> {
        let mut read = vec![];
        let mut ranges: Vec<_> = std::iter::once(0..rows.len()).collect();
        while let Some(range) = ranges.pop() {
            let part = slice(rows, range.start, range.len());
            let batch = quiet::catch(|| Batch::new(&self.spec, &self.shape, part.clone()));
            let why = match batch {
                Ok(Ok(batch)) => {
                    let skip = timeless(&batch, taken)?;
                    read.push((batch, skip));
                    continue;
                }
                Ok(Err(e)) => reason(&e),
                Err(panic) => format!("a function panicked: {panic}"),
            };
            if range.len() <= 1 {
                taken.refused.push((part, why));
                continue;
            }
            let half = range.start + range.len() / 2;
            ranges.push(half..range.end);
            ranges.push(range.start..half);
        }
        Ok(read)
    }

    /// Whether the rows fit into the state.
    fn bounded(&self, parts: &[(Batch, BTreeSet<u32>)], sorted: &[Sorted]) -> Result<()> {
        let values: usize = parts.iter().map(|(batch, _)| batch.bytes()).sum();
        let held = self.held() + values;
        let bound = usize::try_from(self.spec.state_bytes).unwrap_or(usize::MAX);
        let (fits, groups, windows) = match &self.state {
            State::Panes(panes) => {
                let most = panes.growth(parts, sorted, false);
                let fits =
                    held + most <= bound || held + panes.growth(parts, sorted, true) <= bound;
                let groups = panes.panes.values().map(Groups::len).sum::<usize>();
                (fits, groups, panes.panes.len())
            }
            State::Sessions(sessions) => {
                let rows = parts.iter().map(|(batch, _)| batch.rows.len()).sum();
                (held + sessions.growth(rows) <= bound, sessions.len(), sessions.len())
            }
        };
        if fits {
            return Ok(());
        }
        let kind = match self.spec.window {
            Window::Session { .. } => "sessions",
            Window::Tumble { .. } => "windows",
            _ => "panes of windows",
        };
        let what = format!(
            "the state of windows would be more than `state_bytes`, {bound} bytes: {groups} groups in {windows} {kind} \
             are open, keys: {}",
            self.shape.keys.names()
        );
        let fix = "raise `state_bytes`, or make windows shorter or keys fewer";
        Err(DataFusionError::External(Box::new(Error::stop(what).fix(fix))))
    }

    /// The next rows that are due at this watermark, until there are none.
    pub(crate) fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        let watermark = lagging(watermark, self.spec.lag);
        match &mut self.state {
            State::Panes(panes) => panes.due(&self.spec, watermark),
            State::Sessions(sessions) => sessions.due(&self.spec, watermark),
        }
    }

    /// It begins amid a stream, of which rows before this have gone by unseen. Says from which event time on what it gives is all
    /// there, whether that goes by the start of windows or by their end: but for a session that was longer than its gap.
    pub(crate) fn begin(&mut self, whole_from: Timestamp) -> Timestamp {
        let (wait, length) = match self.spec.window {
            // What it sees of a session may be its end.
            Window::Session { gap } => (gap, gap),
            Window::Tumble { size, .. }
            | Window::Hop { size, .. }
            | Window::Cumulate { size, .. } => (0, size),
        };
        self.spec.whole_from = whole_from.0.saturating_add(wait);
        Timestamp(self.spec.whole_from.saturating_add(length))
    }

    fn held(&self) -> usize {
        match &self.state {
            State::Panes(panes) => panes.bytes(),
            State::Sessions(sessions) => sessions.bytes(),
        }
    }

    /// The bytes of state held now.
    #[cfg_attr(not(test), expect(dead_code, reason = "no seam asks yet how much a view holds"))]
    pub(crate) fn bytes(&self) -> u64 {
        self.held() as u64
    }
}

impl State {
    pub(super) fn new(spec: &Aggregation, shape: &Arc<Shape>) -> Self {
        let (lateness, shape) = (spec.allowed_lateness, shape.clone());
        match (spec.window, Spans::new(spec.window)) {
            (_, Some(spans)) => Self::Panes(Box::new(Panes::new(spans, lateness, shape))),
            (Window::Session { gap }, None) => {
                Self::Sessions(Box::new(Sessions::new(gap, lateness, shape)))
            }
            (_, None) => Self::Sessions(Box::new(Sessions::new(1, lateness, shape))),
        }
    }
}

fn layout(spec: &Aggregation) -> String {
    let keys = spec.keys.iter().map(|(_, field)| field.data_type().to_string());
    let aggregates = spec.aggregates.iter().map(|a| {
        let distinct = if a.expr.is_distinct() { " distinct" } else { "" };
        format!("{}{distinct} {}", a.expr.fun().name(), a.expr.field().data_type())
    });
    let parts: Vec<_> = keys.chain(aggregates).collect();
    format!("{:?} {}", spec.window, parts.join(", "))
}

/// Refuses rows without a time, or with one that windows cannot have.
fn timeless(batch: &Batch, taken: &mut Taken) -> Result<BTreeSet<u32>> {
    let mut skip = BTreeSet::new();
    let far = batch.times.values().iter().any(|t| t.unsigned_abs() >= MOMENT_MAX.unsigned_abs());
    if !far && batch.times.null_count() == 0 {
        return Ok(skip);
    }
    for row in 0..batch.len() {
        let at = row as usize;
        let why = if batch.times.is_null(at) {
            "its event time is null, so that it belongs to no window"
        } else if batch.times.value(at).unsigned_abs() >= MOMENT_MAX.unsigned_abs() {
            "its event time is too far away for windows"
        } else {
            continue;
        };
        skip.insert(row);
        taken.refused.push((batch.some(&[row])?, why.to_owned()));
    }
    Ok(skip)
}

fn slice(rows: &Rows, from: usize, len: usize) -> Rows {
    Rows { batch: rows.batch.slice(from, len), origin: rows.origin.slice(from, len) }
}
