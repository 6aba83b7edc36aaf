//! Rows that come out of windows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave;
use datafusion_common::Result;

use super::Column;
use super::aggregator::Aggregator;
use super::bytes::short;
use super::groups::Groups;
use super::keys::unfit;
use super::part::{Part, State};
use super::spec::Aggregation;
use crate::step::batch_of;

/// The most rows that are made at once, and about the most bytes.
const ROWS_MAX: usize = 8192;
const BYTES_MAX: usize = 4 << 20;
/// Rows of several parts are put together while there are fewer than these.
const FEW_ROWS: usize = 1024;
const FEW_BYTES: usize = 1 << 20;
/// Windows of fewer groups are put together on one thread.
const SPREAD_FROM: usize = 4096;

/// Groups that are being given.
pub(super) struct Giving {
    /// All of them, in the order of the rows.
    order: Vec<Place>,
    /// So many of them have been given.
    at: usize,
    of: Of,
}

enum Of {
    /// A window: where each part has its groups, if it has some.
    Window { end: i64, sources: Vec<Option<Source>> },
    /// Sessions, at this watermark.
    Sessions { watermark: i64 },
}

/// A group, by its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    part: u32,
    group: u32,
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

impl Giving {
    pub(super) fn bytes(&self) -> usize {
        let own = |source: &Source| match source {
            Source::Own(groups) => groups.bytes(),
            Source::Ready | Source::Running | Source::Node(_) => 0,
        };
        let own: usize = match &self.of {
            Of::Window { sources, .. } => sources.iter().flatten().map(own).sum(),
            Of::Sessions { .. } => 0,
        };
        own + self.order.capacity() * size_of::<Place>()
    }
}

impl Aggregator {
    /// The next rows that are due at this watermark, which windows have come to.
    pub(super) fn give(&mut self, watermark: i64) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(mut giving) = self.giving.take() {
                if giving.at < giving.order.len() {
                    let rows = self.piece(&mut giving)?;
                    self.giving = Some(giving);
                    return Ok(Some(rows));
                }
                self.given(&giving.of);
            }
            self.giving = if self.spill.is_some() {
                self.open_part(watermark)?
            } else {
                self.open(watermark)?
            };
            if self.giving.is_none() {
                for number in 0..self.parts.len() {
                    if self.parts.get(number).is_some_and(|part| part.goes(watermark)) {
                        self.load(number, false)?;
                    }
                    match self.parts.get_mut(number).map(|part| &mut part.state) {
                        Some(State::Panes(panes)) => panes.end(watermark),
                        Some(State::Sessions(sessions)) => sessions.forget(),
                        None => {}
                    }
                }
                return Ok(None);
            }
        }
    }

    /// The same where parts are given one by one: so many rows that it is worth it.
    pub(super) fn give_some(&mut self, watermark: i64) -> Result<Option<RecordBatch>> {
        let Some(first) = self.give(watermark)? else { return Ok(None) };
        let (mut rows, mut bytes) = (first.num_rows(), first.get_array_memory_size());
        let mut all = vec![first];
        while rows < FEW_ROWS && bytes < FEW_BYTES {
            let Some(next) = self.give(watermark)? else { break };
            rows += next.num_rows();
            bytes += next.get_array_memory_size();
            all.push(next);
        }
        Ok(Some(concat_batches(&self.spec.schema, &all)?))
    }

    /// Finds what is to be given next.
    fn open(&mut self, watermark: i64) -> Result<Option<Giving>> {
        let next = self.parts.iter().filter_map(|part| match &part.state {
            State::Panes(panes) => panes.next(watermark),
            State::Sessions(_) => Some(watermark),
        });
        let Some(end) = next.min() else { return Ok(None) };
        let spread = self.parts.iter().map(Part::len).sum::<usize>() >= SPREAD_FROM;
        let opened = self.each(spread, move |_, part| part.open(end));
        let opened = opened.into_iter().collect::<Result<Vec<_>>>()?;
        let (sources, orders): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
        if let Some(Part { state: State::Sessions(_), .. }) = self.parts.first() {
            let key = |place: Place| match self.parts.get(place.part as usize).map(|p| &p.state) {
                Some(State::Sessions(sessions)) => sessions.place(place.group),
                _ => None,
            };
            let order = in_order(orders, key);
            let of = Of::Sessions { watermark };
            return Ok((!order.is_empty()).then_some(Giving { order, at: 0, of }));
        }
        let of = Of::Window { end, sources };
        let key = |place: Place| Some(groups(&self.parts, &of, place.part)?.key(place.group));
        let order = in_order(orders, key);
        Ok(Some(Giving { order, at: 0, of }))
    }

    /// Finds what is to be given next, of one part: windows come one after the other, and their rows part by part.
    fn open_part(&mut self, watermark: i64) -> Result<Option<Giving>> {
        loop {
            let next = self.parts.iter().enumerate();
            let next = next.filter_map(|(number, part)| Some((part.next(watermark)?, number)));
            let Some((end, number)) = next.min() else { return Ok(None) };
            let Some(part) = self.parts.get_mut(number) else { return Ok(None) };
            if part.away.is_some() {
                // Once the rows that wait for it are in, its next window may be a later one.
                self.load(number, false)?;
                continue;
            }
            let (source, order) = part.open(end)?;
            let place = |group| Place { part: short(number), group };
            let order = order.into_iter().map(place).collect();
            let mut sources: Vec<_> = self.parts.iter().map(|_| None).collect();
            if let Some(own) = sources.get_mut(number) {
                *own = source;
            }
            self.make_room_beside(number, 0)?;
            return Ok(Some(Giving { order, at: 0, of: Of::Window { end, sources } }));
        }
    }

    /// As many rows as should be made at once.
    fn piece(&mut self, giving: &mut Giving) -> Result<RecordBatch> {
        let rest = giving.order.get(giving.at..).unwrap_or_default();
        let parts = &self.parts;
        let now = match &giving.of {
            Of::Window { .. } => fitting(rest, |place| {
                groups(parts, &giving.of, place.part).map_or(0, |g| g.heap_of(place.group))
            }),
            Of::Sessions { .. } => fitting(rest, |place| {
                sessions(parts, place.part).map_or(0, |s| s.heap_of(place.group))
            }),
        };
        let mut shares: Vec<Vec<u32>> = parts.iter().map(|_| vec![]).collect();
        let mut windows = Vec::with_capacity(now.len());
        for place in now {
            if let Some(share) = shares.get_mut(place.part as usize) {
                share.push(place.group);
            }
            windows.push(match (&giving.of, sessions(parts, place.part)) {
                (Of::Window { end, .. }, _) => (self.start_of(*end), *end),
                (Of::Sessions { .. }, found) => {
                    found.and_then(|s| s.window(place.group)).ok_or_else(unfit)?
                }
            });
        }
        let mut columns = vec![];
        for (part, share) in (0..).zip(&shares).filter(|(_, share)| !share.is_empty()) {
            let made = match &giving.of {
                Of::Window { .. } => groups(parts, &giving.of, part)
                    .ok_or_else(unfit)?
                    .columns(&self.shape, share)?,
                Of::Sessions { .. } => sessions(parts, part).ok_or_else(unfit)?.columns(share)?,
            };
            columns.push((part, made));
        }
        let (keys, results) = together(now, columns)?;
        let rows = rows(&self.spec, &windows, &keys, &results)?;
        giving.at += now.len();
        if let Of::Sessions { watermark } = giving.of {
            for (place, (_, end)) in now.iter().zip(&windows) {
                if let Some(part) = self.parts.get_mut(place.part as usize)
                    && let State::Sessions(sessions) = &mut part.state
                {
                    sessions.given(place.group, *end, watermark)?;
                }
            }
        }
        Ok(rows)
    }

    /// All of it has been given.
    fn given(&mut self, of: &Of) {
        for (number, part) in self.parts.iter_mut().enumerate() {
            match (&mut part.state, of) {
                (State::Panes(panes), Of::Window { end, sources }) => {
                    if sources.get(number).is_some_and(Option::is_some) {
                        panes.close(*end);
                    }
                }
                (State::Sessions(sessions), _) => sessions.forget(),
                (State::Panes(_), Of::Sessions { .. }) => {}
            }
        }
    }

    fn start_of(&self, end: i64) -> i64 {
        match self.parts.first().map(|p| &p.state) {
            Some(State::Panes(panes)) => panes.spans.told_start(end),
            _ => end,
        }
    }
}

/// The groups of a part in a window that is being given.
fn groups<'a>(parts: &'a [Part], of: &'a Of, part: u32) -> Option<&'a Groups> {
    let Of::Window { end, sources } = of else { return None };
    let source = sources.get(part as usize)?.as_ref()?;
    match &parts.get(part as usize)?.state {
        State::Panes(panes) => panes.groups(source, *end),
        State::Sessions(_) => None,
    }
}

fn sessions(parts: &[Part], part: u32) -> Option<&super::sessions::Sessions> {
    match &parts.get(part as usize)?.state {
        State::Sessions(sessions) => Some(sessions),
        State::Panes(_) => None,
    }
}

/// The groups of all parts, each part's in order, in order.
fn in_order<K: Ord>(mut orders: Vec<Vec<u32>>, key: impl Fn(Place) -> K) -> Vec<Place> {
    let some = orders.iter().filter(|o| !o.is_empty()).count();
    let mut all = Vec::with_capacity(orders.iter().map(Vec::len).sum());
    if some <= 1 {
        for (part, order) in (0..).zip(orders) {
            all.extend(order.into_iter().map(|group| Place { part, group }));
        }
        return all;
    }
    orders.iter_mut().for_each(|order| order.reverse());
    let mut heads = BinaryHeap::with_capacity(orders.len());
    for (part, order) in (0..).zip(&mut orders) {
        if let Some(group) = order.pop() {
            heads.push(Reverse((key(Place { part, group }), part, group)));
        }
    }
    while let Some(Reverse((_, part, group))) = heads.pop() {
        all.push(Place { part, group });
        if let Some(group) = orders.get_mut(part as usize).and_then(Vec::pop) {
            heads.push(Reverse((key(Place { part, group }), part, group)));
        }
    }
    all
}

/// As many groups from the first on as should be given at once.
fn fitting(places: &[Place], heap_of: impl Fn(Place) -> usize) -> &[Place] {
    let mut bytes = 0;
    let fits = places.iter().take(ROWS_MAX).take_while(|place| {
        let fits = bytes < BYTES_MAX;
        bytes += heap_of(**place);
        fits
    });
    let fits = fits.count();
    places.get(..fits).unwrap_or(places)
}

/// Keys and results of groups of one part.
type Made = (Vec<ArrayRef>, Vec<ArrayRef>);

/// Columns in the order of the rows, from those of each part.
fn together(order: &[Place], mut made: Vec<(u32, Made)>) -> Result<Made> {
    if made.len() <= 1 {
        return Ok(made.pop().map(|(_, columns)| columns).unwrap_or_default());
    }
    let mut next = vec![0; made.len()];
    let places = order.iter().map(|place| {
        let at = made.iter().position(|(part, _)| *part == place.part).unwrap_or(0);
        let row = next.get_mut(at).map_or(0, |next| {
            *next += 1;
            *next - 1
        });
        (at, row)
    });
    let places: Vec<(usize, usize)> = places.collect();
    let columns = |of: fn(&Made) -> &Vec<ArrayRef>| {
        let count = made.first().map_or(0, |(_, first)| of(first).len());
        let columns = (0..count).map(|column| {
            let all = made.iter().filter_map(|(_, made)| of(made).get(column));
            let all: Vec<&dyn Array> = all.map(AsRef::as_ref).collect();
            Ok(interleave(&all, &places)?)
        });
        columns.collect::<Result<Vec<_>>>()
    };
    Ok((columns(|made| &made.0)?, columns(|made| &made.1)?))
}

/// Rows with the start and end of the window of each.
fn rows(
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
