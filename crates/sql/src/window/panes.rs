//! Windows that do not depend on rows: each row goes into one pane, each window is made of its panes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion_common::Result;

use super::batch::Batch;
use super::emit::Source;
use super::groups::{Groups, Shape};
use super::keys::Key;
use super::spans::{MOMENT_MAX, Spans};
use super::tree::Tree;

/// About what is kept of a key for which a window is to be given anew.
const REDO_BYTES: usize = 80;

/// Keys that a pane does not have yet.
type Fresh = BTreeSet<Box<[u8]>>;

/// Rows of one batch that go into panes between two moments at which windows close.
#[derive(Default)]
pub(super) struct Turn {
    /// Before its rows, windows that end by then are closed for good, and take no more of them.
    pub seal: Option<i64>,
    pub rows: BTreeMap<i64, Vec<u32>>,
}

/// What becomes of each row of a batch.
#[derive(Default)]
pub(super) struct Sorted {
    pub turns: Vec<Turn>,
    pub late: Vec<u32>,
    /// Rows between windows, which belong to none.
    pub outside: u64,
}

pub(super) struct Panes {
    pub(super) spans: Spans,
    pub(super) lateness: i64,
    pub(super) shape: Arc<Shape>,
    pub(super) panes: BTreeMap<i64, Groups>,
    pub(super) tree: Tree,
    /// Of windows that grow: the one that begins there, made of the panes before the second.
    pub(super) running: Option<(i64, i64, Groups)>,
    /// Windows that end by then have been given.
    pub(super) done: i64,
    /// By end, the keys of windows given before whose rows changed since.
    pub(super) redo: BTreeMap<i64, BTreeSet<Box<[u8]>>>,
    /// Windows, by end, that were closed by a row that came late for them, and not yet given.
    pub(super) ready: BTreeMap<i64, Groups>,
    /// Of these, the ones that no chunk has yet.
    pub(super) ready_new: BTreeSet<i64>,
    /// The bytes of the panes.
    pub(super) held: usize,
    /// No sums over panes are beyond this.
    pub(super) sums_max: u128,
    /// Names of chunks that are to go.
    pub(super) gone: Vec<String>,
}

impl Panes {
    pub(super) fn new(spans: Spans, lateness: i64, shape: Arc<Shape>) -> Self {
        Self {
            spans,
            lateness,
            shape,
            panes: BTreeMap::new(),
            tree: Tree::default(),
            running: None,
            done: i64::MIN,
            redo: BTreeMap::new(),
            ready: BTreeMap::new(),
            ready_new: BTreeSet::new(),
            held: 0,
            sums_max: 0,
            gone: vec![],
        }
    }

    /// Finds the pane of each of these rows, and what is late, and changes nothing.
    pub(super) fn sort(&self, batch: &Batch, of: &[u32]) -> Sorted {
        let mut sorted = Sorted { turns: vec![Turn::default()], ..Sorted::default() };
        // Rows of this very batch may make windows due again, if they may come late.
        let mut sealed = if self.lateness == 0 { self.done } else { i64::MIN };
        let watermark_max = batch.watermark_max();
        // Of the row before: the pane, from where to where it is, and whether no window of it can be closed.
        let (mut pane, mut from, mut to, mut open) = (0, 0, i64::MIN, false);
        let (mut ends, mut rows) = ((0, 0), Vec::new());
        for row in of.iter().copied() {
            let Some(time) = batch.times.values().get(row as usize).copied() else { break };
            if time < from || time >= to {
                sorted.put(pane, &mut rows);
                pane = self.spans.pane(time);
                (from, to) = (self.spans.start(pane), self.spans.start(pane + 1));
                ends = self.spans.ends(pane);
                open = ends.0 <= ends.1 && ends.0.saturating_add(self.lateness) > watermark_max;
            }
            if open {
                rows.push(row);
                continue;
            }
            let closed = batch.watermark(row).saturating_sub(self.lateness);
            if ends.0 > ends.1 {
                sorted.outside += 1;
            } else if ends.1 <= closed {
                sorted.late.push(row);
            } else {
                if ends.0 <= closed && self.closes(sealed, closed) {
                    sorted.put(pane, &mut rows);
                    sorted.turns.push(Turn { seal: Some(closed), ..Turn::default() });
                    sealed = closed;
                }
                rows.push(row);
            }
        }
        sorted.put(pane, &mut rows);
        sorted
    }

    /// Whether some window ends between these moments.
    fn closes(&self, sealed: i64, closed: i64) -> bool {
        sealed < -MOMENT_MAX || self.spans.end_after(sealed) <= closed
    }

    /// Adds rows to a pane.
    pub(super) fn add(
        &mut self,
        batch: &Batch,
        pane: i64,
        rows: &[u32],
        refused: &mut Vec<u32>,
    ) -> Result<()> {
        let adds = batch.addend_max() * rows.len() as u128;
        self.tree.touch(pane);
        let (start, one) = (self.spans.start(pane), self.spans.ends(pane));
        if self.running.as_ref().is_some_and(|(from, upto, _)| *from <= start && start < *upto) {
            self.running = None;
        }
        // Where a window has one pane, other panes' sums do not matter.
        let own = self.panes.get(&pane).map_or(0, |g| g.sums_max);
        let before = self.panes.get(&pane).map_or(0, Groups::bytes);
        let sums = if self.spans.is_one() { own } else { self.sums_max };
        let fits = sums + adds <= i64::MAX.unsigned_abs().into();
        let mut taken = rows;
        let mut fitting = vec![];
        if fits {
            let groups = self.panes.entry(pane).or_insert_with(|| Groups::new(&self.shape));
            groups.sums_max += adds;
            self.sums_max += adds;
            batch.add_to(groups, rows)?;
        } else {
            for row in rows {
                if !self.holds(batch, pane, *row) {
                    refused.push(*row);
                    continue;
                }
                fitting.push(*row);
                let groups = self.panes.entry(pane).or_insert_with(|| Groups::new(&self.shape));
                batch.add_to(groups, &[*row])?;
            }
            taken = &fitting;
            if let Some(groups) = self.panes.get_mut(&pane) {
                groups.sums_max = groups.sums();
            }
            self.sums_max = self.panes.values().map(|g| g.sums_max).sum();
        }
        self.held = self.held + self.panes.get(&pane).map_or(0, Groups::bytes) - before;
        if self.lateness > 0 && one.0 <= self.done {
            self.mark(batch, one, taken);
        }
        Ok(())
    }

    /// Windows given before are to be given anew for the keys of these rows.
    fn mark(&mut self, batch: &Batch, (first, last): (i64, i64), rows: &[u32]) {
        for row in rows {
            let closed = batch.watermark(*row).saturating_sub(self.lateness);
            let mut end = self.spans.end_after(first.max(closed + 1) - 1);
            while end <= last.min(self.done) {
                let key = batch.keys.key(*row as usize).to_bytes();
                self.redo.entry(end).or_default().insert(key);
                end = self.spans.end_after(end);
            }
        }
    }

    /// Whether no window's sum overflows by this row.
    fn holds(&self, batch: &Batch, pane: i64, row: u32) -> bool {
        let closed = batch.watermark(row).saturating_sub(self.lateness);
        let (first, last) = self.spans.ends(pane);
        let key = batch.keys.key(row as usize);
        let range = self.spans.panes_of(first).start..self.spans.panes_of(last).end;
        let found: Vec<_> = self
            .panes
            .range(range)
            .filter_map(|(pane, groups)| Some((*pane, groups, groups.find(key)?)))
            .collect();
        let sums = self.shape.plans.iter().enumerate().filter(|(_, plan)| plan.is_sum());
        for (i, plan) in sums {
            let adds = batch.addend(i, row, plan.is_unsigned());
            let mut before = vec![(i64::MIN, 0)];
            let mut sum = 0_i128;
            for (pane, groups, group) in &found {
                sum += groups.states.get(i).map_or(0, |s| s.sum(*group as usize));
                before.push((*pane, sum));
            }
            let upto = |pane: i64| {
                let at = before.partition_point(|(p, _)| *p < pane);
                at.checked_sub(1).and_then(|at| before.get(at)).map_or(0, |(_, sum)| *sum)
            };
            let mut end = first;
            while end <= last {
                let of = self.spans.panes_of(end);
                if end > closed && !plan.holds(upto(of.end) - upto(of.start) + adds) {
                    return false;
                }
                end = self.spans.end_after(end);
            }
        }
        true
    }

    /// Closes windows that end by `upto`, as they are now: rows that come after are late for them.
    pub(super) fn seal(&mut self, upto: i64) -> Result<()> {
        while let Some((end, _)) = self.redo.first_key_value().filter(|(end, _)| **end <= upto) {
            let (end, (source, order)) = (*end, self.open(*end)?);
            if let Some(groups) = self.groups(&source, end) {
                let part = groups.part(&self.shape, &order)?;
                self.ready_new.insert(end);
                self.ready.insert(end, part);
            }
            self.redo.remove(&end);
        }
        while let Some(end) = self.spans.next(&self.panes, self.done).filter(|end| *end <= upto) {
            let (source, order) = self.open(end)?;
            if let Some(groups) = self.groups(&source, end) {
                let all = groups.part(&self.shape, &order)?;
                self.ready_new.insert(end);
                self.ready.insert(end, all);
            }
            self.done = end;
        }
        self.done = self.done.max(upto);
        Ok(())
    }

    /// The next window to give at this watermark, by its end.
    pub(super) fn next(&self, watermark: i64) -> Option<i64> {
        let ready = self.ready.keys().next().copied();
        let redo = self.redo.keys().next().copied();
        let new = self.spans.next(&self.panes, self.done);
        [ready, redo, new].into_iter().flatten().min().filter(|end| *end <= watermark)
    }

    /// Puts a window together: where its groups are, and which of them are to be given, by key.
    pub(super) fn open(&mut self, end: i64) -> Result<(Source, Vec<u32>)> {
        let source = if self.ready.contains_key(&end) {
            Source::Ready
        } else if self.spans.grows() {
            self.run_to(end)?;
            Source::Running
        } else {
            let places = self.tree.cover(&self.panes, self.spans.panes_of(end))?;
            match places.as_slice() {
                [] => Source::Own(Box::new(Groups::new(&self.shape))),
                [one] => Source::Node(*one),
                [first, rest @ ..] => {
                    let first = self.tree.get(&self.panes, *first).map(Groups::copy);
                    let mut groups = first.unwrap_or_else(|| Groups::new(&self.shape));
                    for place in rest {
                        if let Some(later) = self.tree.get(&self.panes, *place) {
                            groups.merge(later)?;
                        }
                    }
                    Source::Own(Box::new(groups))
                }
            }
        };
        let order = match (self.groups(&source, end), self.redo.get(&end)) {
            (None, _) => vec![],
            (Some(groups), Some(keys)) if !matches!(source, Source::Ready) => {
                let keys = keys.iter().filter_map(|k| self.shape.keys.parse(k));
                keys.filter_map(|k| groups.find(k)).collect()
            }
            (Some(groups), _) => groups.order(),
        };
        Ok((source, order))
    }

    /// Brings the window that grows up to there.
    fn run_to(&mut self, end: i64) -> Result<()> {
        let start = self.spans.start_of(end);
        let kept = self.running.take().filter(|(from, upto, _)| *from == start && *upto <= end);
        let (upto, mut groups) = kept.map_or((start, None), |(_, upto, g)| (upto, Some(g)));
        for (_, later) in self.panes.range(self.spans.pane(upto)..self.spans.pane(end)) {
            match &mut groups {
                Some(groups) => groups.merge(later)?,
                None => groups = Some(later.copy()),
            }
        }
        self.running = groups.map(|groups| (start, end, groups));
        Ok(())
    }

    pub(super) fn groups<'a>(&'a self, source: &'a Source, end: i64) -> Option<&'a Groups> {
        match source {
            Source::Ready => self.ready.get(&end),
            Source::Running => self.running.as_ref().map(|(_, _, groups)| groups),
            Source::Node(place) => self.tree.get(&self.panes, *place),
            Source::Own(groups) => Some(groups),
        }
    }

    /// The window that ends there has been given.
    pub(super) fn close(&mut self, end: i64) {
        self.forget_ready(end);
        self.redo.remove(&end);
        self.done = self.done.max(end);
    }

    /// All windows up to there have been given: panes of no other window go.
    pub(super) fn end(&mut self, watermark: i64) {
        self.done = self.done.max(watermark);
        let closed = watermark.saturating_sub(self.lateness);
        let all = watermark == i64::MAX;
        let mut dropped = false;
        while let Some(first) = self.panes.first_entry() {
            if !all && self.spans.ends(*first.key()).1 > closed {
                break;
            }
            let (pane, groups) = first.remove_entry();
            self.gone.extend(groups.saved.numbers().map(|run| name(pane, run)));
            dropped = true;
        }
        if dropped {
            let first = self.panes.keys().next();
            self.tree.forget(first.copied().unwrap_or(i64::MAX));
            self.sums_max = self.panes.values().map(|g| g.sums_max).sum();
            let from = first.map(|p| self.spans.start_of(self.spans.ends(*p).0));
            self.running = self.running.take().filter(|r| from.is_some_and(|from| from <= r.0));
            self.weigh();
        }
        if all {
            self.done = i64::MIN;
        }
    }

    /// What rows may add to that, beyond their keys and values: the most, or exactly.
    pub(super) fn growth(&self, batches: &[Batch], sorted: &[Sorted], exactly: bool) -> usize {
        let mut new: BTreeMap<i64, (usize, Fresh)> = BTreeMap::new();
        for (batch, sorted) in batches.iter().zip(sorted) {
            for (pane, rows) in sorted.turns.iter().flat_map(|turn| &turn.rows) {
                let (most, keys) = new.entry(*pane).or_default();
                *most += rows.len();
                if exactly {
                    let groups = self.panes.get(pane);
                    let all = rows.iter().map(|row| batch.keys.key(*row as usize));
                    let fresh = all.filter(|k| groups.and_then(|g| g.find(*k)).is_none());
                    keys.extend(fresh.map(Key::to_bytes));
                }
            }
        }
        let empty = Groups::new(&self.shape);
        let growth = |(pane, (most, keys)): (&i64, &(usize, Fresh))| {
            let groups = self.panes.get(pane).unwrap_or(&empty);
            groups.growth(if exactly { keys.len() } else { *most })
        };
        new.iter().map(growth).sum()
    }

    /// Counts anew what the panes hold.
    pub(super) fn weigh(&mut self) {
        self.held = self.panes.values().map(Groups::bytes).sum();
    }

    pub(super) fn bytes(&self) -> usize {
        let running = self.running.as_ref().map_or(0, |(_, _, groups)| groups.bytes());
        let redo = self.redo.values().map(BTreeSet::len).sum::<usize>() * REDO_BYTES;
        let ready = self.ready.values().map(Groups::bytes).sum::<usize>();
        self.held + ready + self.tree.bytes() + running + redo
    }
}

impl Sorted {
    fn put(&mut self, pane: i64, rows: &mut Vec<u32>) {
        if rows.is_empty() {
            return;
        }
        if let Some(turn) = self.turns.last_mut() {
            let all = turn.rows.entry(pane).or_default();
            if all.is_empty() {
                std::mem::swap(all, rows);
            } else {
                all.append(rows);
            }
        }
        rows.clear();
    }
}

/// The chunk of a run of a pane.
pub(super) fn name(pane: i64, run: u32) -> String {
    format!("p{pane}.{run:08x}")
}

/// The chunk of a window that was put aside.
pub(super) fn ready_name(end: i64) -> String {
    format!("r{end}")
}
