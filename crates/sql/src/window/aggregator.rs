//! The operator: rows in, rows of complete windows out.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use datafusion_common::{DataFusionError, Result};
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::error::Error;
use millstream_core::operator::Chunks;

use super::batch::{Batch, lagging};
use super::emit::Giving;
use super::groups::Shape;
use super::keys::Keys;
use super::part::{Aside, Part, part_of};
use super::spans::{MOMENT_MAX, SPAN_MAX};
use super::spec::{Aggregation, Window};
use super::spill::{ALONE, PARTS, Spill};
use super::states::Plan;
use super::workers::Workers;
use crate::complain::reason;
use crate::quiet;
use crate::stateful::{Stateful, Taken};

/// Groups rows by windows of event time and by keys, and gives a row for each group once its window is complete.
///
/// What it gives depends on the rows and their watermarks alone: not on how rows were cut into batches, not on
/// snapshots, and not on how many threads share the keys. All that is due is to be given before a snapshot is taken.
pub(crate) struct Aggregator {
    pub(super) spec: Aggregation,
    pub(super) shape: Arc<Shape>,
    /// Each with the groups of its keys.
    pub(super) parts: Vec<Part>,
    workers: Arc<Workers>,
    pub(super) giving: Option<Giving>,
    /// What the state is for, so that no other is taken for it.
    pub(super) layout: String,
    /// Chunks of parts that there are no more.
    pub(super) gone: Vec<String>,
    /// Where state may lie in files.
    pub(super) spill: Option<Spill>,
}

/// Fewer rows are worked on by one thread: to call others would take longer.
const SPREAD_FROM: usize = 512;

impl Aggregator {
    pub(crate) fn new(spec: Aggregation, workers: Arc<Workers>) -> Result<Self> {
        let (least, most) = match spec.window {
            Window::Tumble { size, .. } => (size, size),
            Window::Hop { size, slide, .. } => (size.min(slide), size.max(slide)),
            Window::Cumulate { size, step, .. } => (step, size),
            Window::Session { gap } => (gap, gap),
            Window::Again { step, size, .. } => (step.min(size), size.max(step)),
        };
        if least <= 0 || most > SPAN_MAX || spec.allowed_lateness < 0 {
            let what = format!("a window is from 1 us to {SPAN_MAX} us long");
            return Err(DataFusionError::Plan(what));
        }
        let keys = Keys::new(spec.keys.iter().map(|(_, field)| field.clone()).collect())?;
        let plans = spec.aggregates.iter().map(|a| Plan::new(a, &spec.input));
        let shape = Arc::new(Shape { keys, plans: plans.collect::<Result<_>>()? });
        let spill = Spill::new(&spec)?;
        let count = match (&spill, spec.keys.is_empty()) {
            (Some(_), _) => PARTS,
            (None, true) => 1,
            (None, false) => spec.threads.max(1),
        };
        let parts = (0..count).map(|_| Part::new(&spec, &shape)).collect();
        let layout = layout(&spec);
        Ok(Self { spec, shape, parts, workers, giving: None, layout, gone: vec![], spill })
    }

    /// Takes rows in. When the bound of state would be passed, it fails before any of them is taken.
    pub(crate) fn take(&mut self, rows: &Rows) -> Result<Taken> {
        if self.giving.is_some() {
            let what = "rows came before all rows that were due had been given";
            return Err(DataFusionError::Internal(what.into()));
        }
        let mut taken = Taken::default();
        let read = self.read(rows, &mut taken)?;
        let mut shares: Vec<_> = read.iter().map(|(batch, skip)| self.share(batch, skip)).collect();
        let batches: Vec<_> = read.into_iter().map(|(batch, _)| batch).collect();
        let came = shares.iter().flatten().map(Vec::len).sum::<usize>();
        let mut waited = vec![];
        if self.spill.is_some() {
            waited = self.make_room(&batches, &mut shares)?;
        } else {
            self.bounded(&batches, &shares)?;
        }
        let worked = shares.iter().flatten().map(Vec::len).sum::<usize>();
        let batches = Arc::new(batches);
        let lent = batches.clone();
        let asides = self.each(worked >= SPREAD_FROM, move |part, own| {
            let shares = lent.iter().zip(&shares);
            let asides = shares.map(|(batch, shares)| match shares.get(part) {
                Some(rows) if !rows.is_empty() => own.add(batch, rows),
                _ => Ok(Aside::default()),
            });
            asides.collect::<Result<Vec<_>>>()
        });
        let mut asides = asides.into_iter().collect::<Result<Vec<_>>>()?;
        taken.absorbed = came as u64;
        for (number, batch) in batches.iter().enumerate() {
            let Aside { mut late, mut refused } =
                waited.get_mut(number).map(std::mem::take).unwrap_or_default();
            for aside in asides.iter_mut().filter_map(|part| part.get_mut(number)) {
                late.append(&mut aside.late);
                refused.append(&mut aside.refused);
            }
            taken.absorbed -= (late.len() + refused.len()) as u64;
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

    /// Does the same to all parts: at once, if that is worth it.
    pub(super) fn each<T: Send + 'static>(
        &mut self,
        spread: bool,
        act: impl Fn(usize, &mut Part) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        if spread && self.parts.len() > 1 && self.spec.threads > 1 {
            let each = self.parts.len().div_ceil(self.spec.threads);
            let mut all = std::mem::take(&mut self.parts).into_iter().enumerate();
            let lists = std::iter::from_fn(|| Some(all.by_ref().take(each).collect::<Vec<_>>()));
            let mut lists: Vec<_> = lists.take_while(|list| !list.is_empty()).collect();
            let done = self.workers.each(&mut lists, move |_, list| {
                list.iter_mut().map(|(number, part)| act(*number, part)).collect::<Vec<_>>()
            });
            self.parts = lists.into_iter().flatten().map(|(_, part)| part).collect();
            return done.into_iter().flatten().collect();
        }
        self.parts.iter_mut().enumerate().map(|(number, part)| act(number, part)).collect()
    }

    /// The rows of each part, but for those to be skipped.
    fn share(&self, batch: &Batch, skip: &BTreeSet<u32>) -> Vec<Vec<u32>> {
        let rows = (0..batch.len()).filter(|row| skip.is_empty() || !skip.contains(row));
        let count = self.parts.len();
        if count == 1 {
            return vec![rows.collect()];
        }
        let mut shares: Vec<_> =
            (0..count).map(|_| Vec::with_capacity(batch.rows.len() / count)).collect();
        for row in rows {
            let part = part_of(batch.keys.key(row as usize), count);
            if let Some(share) = shares.get_mut(part) {
                share.push(row);
            }
        }
        shares
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
    fn bounded(&self, batches: &[Batch], shares: &[Vec<Vec<u32>>]) -> Result<()> {
        let values: usize = batches.iter().map(Batch::bytes).sum();
        let held = self.held() + values;
        let bound = self.bound();
        let own = |part: usize| shares.iter().filter_map(move |shares| shares.get(part));
        let parts = || self.parts.iter().enumerate();
        let most = parts().map(|(n, part)| part.growth_max(own(n).map(Vec::len).sum()));
        if held + most.sum::<usize>() <= bound {
            return Ok(());
        }
        let growth = |exactly| -> usize {
            let growth = parts().map(|(n, part)| {
                let rows: Vec<_> = own(n).map(Vec::as_slice).collect();
                part.growth(batches, &rows, exactly)
            });
            growth.sum()
        };
        if held + growth(false) <= bound || held + growth(true) <= bound {
            return Ok(());
        }
        Err(self.full())
    }

    /// What is said at the bound.
    pub(super) fn full(&self) -> DataFusionError {
        let bound = self.spec.state_bytes;
        let groups = self.parts.iter().map(Part::len).sum::<usize>();
        let panes = self.parts.iter().flat_map(Part::panes).collect::<BTreeSet<_>>().len();
        let (windows, kind) = match self.spec.window {
            Window::Session { .. } => (groups, "sessions"),
            Window::Tumble { .. } | Window::Again { .. } => (panes, "windows"),
            _ => (panes, "panes of windows"),
        };
        let what = format!(
            "the state of windows would be more than `state_bytes`, {bound} bytes: {groups} groups in {windows} {kind} \
             are open, keys: {}",
            self.shape.keys.names()
        );
        let spills = match &self.spill {
            Some(_) => format!(
                ", and one {PARTS}th of the keys, which has to be in memory at once, is too much alone"
            ),
            None => String::new(),
        };
        let fix = "raise `state_bytes`, or make windows shorter or keys fewer";
        DataFusionError::External(Box::new(Error::stop(what + &spills).fix(fix)))
    }

    /// The next rows that are due at this watermark, until there are none.
    pub(crate) fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        let watermark = lagging(watermark, self.spec.lag);
        if self.spill.is_some() { self.give_some(watermark) } else { self.give(watermark) }
    }

    /// It begins amid a stream, of which rows before this have gone by unseen. Says from which event time on what it gives is all
    /// there, whether that goes by the start of windows or by their end: but for a session that was longer than its gap.
    pub(crate) fn begin(&mut self, whole_from: Timestamp) -> Timestamp {
        let (wait, length) = match self.spec.window {
            // What it sees of a session may be its end.
            Window::Session { gap } => (gap, gap),
            Window::Tumble { size, .. }
            | Window::Hop { size, .. }
            | Window::Cumulate { size, .. }
            | Window::Again { size, .. } => (0, size),
        };
        self.spec.whole_from = whole_from.0.saturating_add(wait);
        Timestamp(self.spec.whole_from.saturating_add(length))
    }

    /// How many groups a snapshot would have to write.
    pub(crate) fn changed(&self) -> usize {
        self.parts.iter().map(Part::changed).sum()
    }

    pub(super) fn bound(&self) -> usize {
        let bound = usize::try_from(self.spec.state_bytes).unwrap_or(usize::MAX);
        // Some for what a part turns out to need beyond what was expected: where state spills it is at its bound for long.
        match (&self.spill, &self.spec.spill) {
            (Some(_), _) => bound - bound / 32,
            // What has no keys stays in memory.
            (None, Some(_)) => bound.max(ALONE),
            (None, None) => bound,
        }
    }

    pub(super) fn held(&self) -> usize {
        let giving = self.giving.as_ref().map_or(0, Giving::bytes);
        let parts = self.parts.iter().map(|part| part.bytes() + part.waiting.bytes());
        parts.sum::<usize>() + giving
    }

    /// The bytes of state held now, in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.held() as u64
    }
}

impl Stateful for Aggregator {
    fn take(&mut self, _: usize, rows: &Rows) -> Result<Taken> {
        self.take(rows)
    }

    fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        self.due(watermark)
    }

    fn begin(&mut self, whole_from: Timestamp) -> Timestamp {
        self.begin(whole_from)
    }

    fn changed(&self) -> usize {
        self.changed()
    }

    fn bytes(&self) -> u64 {
        self.bytes()
    }

    fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> millstream_core::Result<()> {
        self.snapshot(prefix, out)
    }

    fn restore(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()> {
        self.restore(chunks.iter().copied())
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
