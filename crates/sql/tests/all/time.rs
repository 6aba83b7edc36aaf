//! Views at work as the engine works them: frame by frame, with event time.
//!
//! The frames of the inputs come in turns: the first of each, then the second of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use millstream_core::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Chunks, Output, Planned, PlannedView};
use millstream_core::record::Offset;

use crate::run::{Input, Result, lines};

/// How rows are cut and when views are stopped and started again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// So many rows come at once.
    pub size: usize,
    /// After each batch, views go on from what they kept.
    pub restarts: bool,
    /// After so many batches by chance, views go on from what they kept.
    pub stops: usize,
    /// What chance goes by; with it, batches are of up to `size` rows.
    pub seed: Option<u64>,
}

impl Way {
    /// Batches of so many rows.
    pub(crate) fn of(size: usize) -> Self {
        Self { size, restarts: false, stops: 0, seed: None }
    }
}

/// Runs all views over the inputs, frame by frame, cut into batches of `size` rows.
pub(crate) fn run(
    inputs: &[Input],
    planned: &mut Planned,
    size: usize,
) -> BTreeMap<String, Result> {
    run_so(inputs, planned, Way::of(size), &mut || unreachable!())
}

/// Runs all views over the inputs; `again` plans them anew, to go on from what they kept.
pub(crate) fn run_so(
    inputs: &[Input],
    planned: &mut Planned,
    way: Way,
    again: &mut dyn FnMut() -> Planned,
) -> BTreeMap<String, Result> {
    let inputs = inputs.iter().filter(|i| i.lookup.is_none()).collect::<Vec<_>>();
    let mut chance = way.seed.map(fastrand::Rng::with_seed);
    // Each frame is some batches, and then time.
    let steps = inputs.iter().map(|i| 2 * i.frames.len()).sum::<usize>();
    let stops = (0..way.stops).filter_map(|_| Some(chance.as_mut()?.usize(1..=steps)));
    let stops = stops.collect();
    let mut engine = Engine { way, chance, stops, again, ..Engine::new(&inputs, planned) };
    let turns = inputs.iter().map(|i| i.frames.len()).max().unwrap_or(0);
    let mut offset = 0;
    for turn in 0..turns {
        for input in &inputs {
            if turn < input.frames.len() {
                match &input.board {
                    Some(board) => board.show(input.version(turn)),
                    None => engine.frame(input, turn, Offset(offset)),
                }
                offset += 1;
            }
        }
    }
    for input in inputs.iter().filter(|i| i.time.is_some()) {
        if engine.marks[&input.name] != Timestamp::END {
            engine.end(&input.name, Offset(offset));
            offset += 1;
        }
    }
    engine.results
}

struct Engine<'a> {
    way: Way,
    chance: Option<fastrand::Rng>,
    /// The steps after which views are stopped.
    stops: Vec<usize>,
    steps: usize,
    again: &'a mut dyn FnMut() -> Planned,
    planned: &'a mut Planned,
    /// How far event time has come in each source and view; those without it are not here.
    marks: BTreeMap<String, Timestamp>,
    kept: BTreeMap<String, BTreeMap<String, Bytes>>,
    results: BTreeMap<String, Result>,
}

impl<'a> Engine<'a> {
    fn new(inputs: &[&Input], planned: &'a mut Planned) -> Engine<'a> {
        let timed = inputs.iter().filter(|i| i.time.is_some());
        let mut marks: BTreeMap<_, _> = timed.map(|i| (i.name.clone(), Timestamp::BEGIN)).collect();
        for view in &planned.views {
            if view.inputs.iter().all(|i| marks.contains_key(i)) {
                marks.insert(view.name.clone(), Timestamp::BEGIN);
            }
        }
        fn none() -> Planned {
            unreachable!()
        }
        let again = Box::leak(Box::new(none));
        let (kept, results) = (BTreeMap::new(), BTreeMap::new());
        let (way, chance, stops, steps) = (Way::of(1), None, vec![], 0);
        Engine { way, chance, stops, steps, again, planned, marks, kept, results }
    }

    fn frame(&mut self, input: &Input, turn: usize, offset: Offset) {
        let frame = &input.frames[turn];
        let one = Input { frames: vec![frame.clone()], ..input.clone() };
        let batch = one.batch();
        let mut origin = Origin::new(offset, Arc::from([0]), None);
        let mut mark = self.marks.get(&input.name).copied();
        if let (Some((column, delay)), Some(mark)) = (&input.time, &mut mark) {
            if *mark == Timestamp::END {
                *mark = Timestamp::BEGIN;
            }
            origin = origin.with_watermarks(watermarks(&batch, column, *delay, mark));
        }
        let mut from = 0;
        while from < batch.num_rows() {
            let most = self.way.size.min(batch.num_rows() - from);
            let len = self.chance.as_mut().map_or(most, |chance| chance.usize(1..=most));
            let rows = Rows { batch: batch.slice(from, len), origin: origin.slice(from, len) };
            let ready = BTreeMap::from([(input.name.clone(), vec![rows])]);
            self.step(offset, ready, BTreeMap::new(), None);
            from += len;
        }
        let mark = mark.map(|mark| if frame.ends { Timestamp::END } else { mark });
        let news = mark.into_iter().map(|mark| (input.name.clone(), mark)).collect();
        self.step(offset, BTreeMap::new(), news, Some(&input.name));
    }

    fn end(&mut self, input: &str, offset: Offset) {
        let news = BTreeMap::from([(input.to_owned(), Timestamp::END)]);
        self.step(offset, BTreeMap::new(), news, Some(input));
    }

    /// Gives rows to all views, then lets time pass, and then ends the frame of this input, if it does.
    fn step(
        &mut self,
        offset: Offset,
        mut ready: BTreeMap<String, Vec<Rows>>,
        news: BTreeMap<String, Timestamp>,
        ends: Option<&str>,
    ) {
        let arrival = Timestamp(1_790_000_000_000_000 + offset.0 as i64 * 1_500_000);
        let before = self.marks.clone();
        self.marks.extend(news);
        let mut behind: Vec<String> = ends.into_iter().map(ToOwned::to_owned).collect();
        let mut planned = std::mem::take(self.planned);
        for view in &mut planned.views {
            let mut out = Output::default();
            for (port, input) in view.inputs.clone().iter().enumerate() {
                for rows in ready.get(input).into_iter().flatten() {
                    let rows = met(view, rows, input, &before);
                    process(view, port, &rows, arrival, &mut out);
                }
            }
            let (made, came) = (out.rows.len(), self.mark(view));
            if let (Some(came), Some(was)) = (came, before.get(&view.name)) {
                if came > *was || (*was == Timestamp::END && came != Timestamp::END) {
                    advance(view, came, arrival, &mut out);
                    let was = if *was == Timestamp::END { Timestamp::BEGIN } else { *was };
                    name(&mut out.rows[made..], offset, was);
                }
                self.marks.insert(view.name.clone(), came);
            }
            if view.inputs.iter().any(|i| behind.contains(i)) {
                behind.push(view.name.clone());
                if view.settles {
                    settle(view, arrival, &mut out);
                    let was = before.get(&view.name).copied().filter(|w| *w != Timestamp::END);
                    name(&mut out.rows[made..], offset, was.unwrap_or(Timestamp::BEGIN));
                }
            }
            note(view, &out, self.results.entry(view.name.clone()).or_default());
            ready.insert(view.name.clone(), out.rows);
        }
        self.steps += 1;
        if self.way.restarts || self.stops.contains(&self.steps) {
            self.restart(&mut planned);
        }
        *self.planned = planned;
    }

    /// How far event time has come in a view: the least of what it reads.
    fn mark(&self, view: &PlannedView) -> Option<Timestamp> {
        let marks = view.inputs.iter().map(|i| self.marks.get(i).copied());
        marks.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    fn restart(&mut self, planned: &mut Planned) {
        let mut fresh = (self.again)();
        for (old, new) in planned.views.iter_mut().zip(&mut fresh.views) {
            assert_eq!(old.state, new.state, "the same text, the same state");
            let kept = self.kept.entry(old.name.clone()).or_default();
            let mut chunks = Chunks::new();
            old.operator.snapshot(&mut chunks).unwrap();
            assert!(chunks.is_empty() || old.state.is_some(), "state is announced");
            for (key, chunk) in chunks {
                match chunk {
                    Some(chunk) => kept.insert(key, chunk),
                    None => kept.remove(&key),
                };
            }
            new.operator.restore(kept).unwrap();
        }
        *planned = fresh;
    }
}

/// The watermark before each row, and after the last.
fn watermarks(
    batch: &RecordBatch,
    column: &str,
    delay: i64,
    mark: &mut Timestamp,
) -> Arc<[Timestamp]> {
    let times = batch.column_by_name(column).unwrap().clone();
    let times = times.as_primitive::<TimestampMicrosecondType>().clone();
    let mut before = vec![];
    for i in 0..batch.num_rows() {
        before.push(*mark);
        if times.is_valid(i) {
            *mark = (*mark).max(Timestamp(times.value(i).saturating_sub(delay)));
        }
    }
    before.into()
}

/// Rows as they meet those of the other inputs of a view.
fn met(view: &PlannedView, rows: &Rows, input: &str, marks: &BTreeMap<String, Timestamp>) -> Rows {
    let others = view.inputs.iter().filter(|i| *i != input).filter_map(|i| marks.get(i));
    let most = others.min().copied().unwrap_or(Timestamp::END);
    let least = marks.get(&view.name).copied().unwrap_or(Timestamp::BEGIN);
    let least = if least == Timestamp::END { Timestamp::BEGIN } else { least };
    Rows { batch: rows.batch.clone(), origin: rows.origin.clone().meeting(least, most) }
}

/// As the engine does it: what is left is given again, and what waits at most so often.
fn process(view: &mut PlannedView, port: usize, rows: &Rows, arrival: Timestamp, out: &mut Output) {
    let (mut left, mut waited) = (Some(rows.clone()), 0);
    while let Some(rows) = left {
        view.operator.process(port, rows, arrival, out).unwrap();
        left = out.left.take();
        waited += usize::from(std::mem::take(&mut out.waits));
        assert!(waited < 1_000, "answers are missing again and again");
    }
}

fn advance(view: &mut PlannedView, mark: Timestamp, arrival: Timestamp, out: &mut Output) {
    for waited in 0.. {
        view.operator.advance(mark, arrival, out).unwrap();
        out.waits = false;
        assert!(out.left.is_none() && waited < 1_000, "it never comes to an end");
        if !std::mem::take(&mut out.more) {
            return;
        }
    }
}

fn settle(view: &mut PlannedView, arrival: Timestamp, out: &mut Output) {
    for waited in 0.. {
        view.operator.settle(arrival, out).unwrap();
        out.waits = false;
        assert!(out.left.is_none() && waited < 1_000, "it never comes to an end");
        if !std::mem::take(&mut out.more) {
            return;
        }
    }
}

/// Names rows that time made, or the end of the frame.
fn name(rows: &mut [Rows], offset: Offset, before: Timestamp) {
    let mut from = 0;
    for rows in rows {
        rows.origin = Origin::of_time(offset, from, rows.len(), before);
        from += u32::try_from(rows.len()).unwrap();
    }
}

fn note(view: &PlannedView, out: &Output, result: &mut Result) {
    result.account.add(&out.account);
    assert!(out.account.balances(), "{:?}", out.account);
    for rows in &out.rows {
        assert_eq!(rows.batch.schema(), view.schema, "the schema is exact");
        result.rows.extend(lines(rows));
        result.made.0.push(rows.batch.clone());
    }
    for (rows, reason) in &out.refused {
        assert_eq!(rows.len(), 1);
        result.refused.push(format!("{} {reason}", rows.origin.id(0)));
    }
    for rows in &out.late {
        if let Some(late) = &view.late {
            assert_eq!(rows.batch.schema(), *late, "the schema is exact");
        }
        result.late.extend(lines(rows));
    }
    assert_eq!(out.late.iter().map(|r| r.len() as u64).sum::<u64>(), out.account.late);
}
