//! The operator: rows of two sides in, rows that belong together out.

use std::collections::VecDeque;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use datafusion_common::{DataFusionError, Result};
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::error::Error;
use millstream_core::operator::Chunks;

use super::kept::Kept;
use super::leave::Leaving;
use super::put::{Of, alone, pick, together};
use super::read::{Columns, Form, unfit};
use super::slot::NONE;
use super::spec::Joining;
use super::walk::{Incoming, Near, Pairs, Walk};
use crate::size::bytes;
use crate::stateful::{Stateful, Taken};

/// So many rows are made at once.
pub(super) const ROWS_MAX: usize = 8_192;

/// Joins rows of two sides.
///
/// What it gives, and in which order, depends on the rows and their watermarks alone.
pub(crate) struct Joiner {
    pub(super) spec: Joining,
    pub(super) sides: [Kept; 2],
    /// Event time as it is known of rows that come by each input.
    pub(super) near: [Vec<Near>; 2],
    /// What is yet to be given, all of it made of rows of one input.
    pub(super) pending: VecDeque<Pending>,
    pub(super) leaving: Option<Leaving>,
    /// Up to where the rows of each side wait no more.
    pub(super) passed: [i64; 2],
    /// Rows without a partner are told of if they could have had none before this.
    pub(super) whole_from: i64,
    /// What a checkpoint has of it.
    pub(super) notes: Vec<u8>,
}

/// What is made of rows that were taken.
pub(super) enum Pending {
    /// Their partners are looked up as they are asked for.
    Pairs {
        input: usize,
        came: Incoming,
        own: Option<Vec<u32>>,
        ends: Option<Vec<bool>>,
        walk: Walk,
        hit: Option<u32>,
    },
    /// Rows of the left as they came.
    Own { came: Incoming, rows: Vec<u32>, at: usize },
    /// Rows of the left that were kept, and the rows of the right that told of them.
    Woken { origin: Origin, by: Vec<u32>, ids: Vec<u32>, at: usize },
}

impl Joiner {
    pub(crate) fn new(spec: Joining) -> Result<Self> {
        let kept = |side: usize| {
            let form = Form::new(&spec, side)?;
            let tells = side == 0 && spec.kind.tells();
            Ok::<_, DataFusionError>(Kept::new(form, spec.kind.waits(side), tells))
        };
        let sides = [kept(0)?, kept(1)?];
        let near = [0, 1].map(|input| {
            let [left, right] = &sides;
            let forms = [&left.form, &right.form];
            let near = spec.bounds.iter().map(|b| Near::new(b, input, forms));
            near.collect::<Option<Vec<_>>>()
        });
        let [Some(left), Some(right)] = near else { return Err(unfit()) };
        let pending = VecDeque::new();
        Ok(Self {
            spec,
            sides,
            near: [left, right],
            pending,
            leaving: None,
            passed: [i64::MIN; 2],
            whole_from: i64::MIN,
            notes: vec![],
        })
    }

    /// The rows that are on time; others are told apart.
    fn on_time(&self, input: usize, rows: &Rows, taken: &mut Taken) -> Result<Option<Rows>> {
        let own = self.spec.sides.get(input).ok_or_else(unfit)?;
        let times = rows.batch.columns().get(own.time).ok_or_else(unfit)?;
        let times = moments(times)?;
        let most = rows.origin.watermark_max().unwrap_or(Timestamp::BEGIN);
        let late = |row: usize, time: i64| {
            let mark = rows.origin.watermark(row).unwrap_or(Timestamp::BEGIN);
            time.saturating_add(own.lag) < mark.0
        };
        let least = arrow::compute::min(&times).unwrap_or(i64::MAX);
        if times.null_count() == 0 && least.saturating_add(own.lag) >= most.0 {
            return Ok(Some(rows.clone()));
        }
        let (mut good, mut behind) = (vec![], vec![]);
        for row in 0..times.len() {
            let at = u32::try_from(row).unwrap_or(0);
            if times.is_null(row) {
                let why = "its event time is null, so that it cannot be joined by it".to_owned();
                taken.refused.push((some(rows, &[at])?, why));
            } else if late(row, times.value(row)) {
                behind.push(at);
            } else {
                good.push(at);
            }
        }
        if !behind.is_empty() {
            taken.late.push(some(rows, &behind)?);
        }
        if good.is_empty() { Ok(None) } else { Ok(Some(some(rows, &good)?)) }
    }

    pub(super) fn read(&self, input: usize, rows: Rows) -> Result<Incoming> {
        let kept = self.sides.get(input).ok_or_else(unfit)?;
        let columns = kept.form.read(&rows.batch)?;
        let (hashes, none) = columns.hashes(self.spec.nulls_equal);
        let time = |row| kept.form.time(&columns, row).unwrap_or(i64::MIN);
        let times = (0..columns.len()).map(|row| (time(row), kept.form.deadline(&columns, row)));
        let times = times.collect();
        Ok(Incoming { rows, columns, times, hashes, none })
    }

    /// Which rows come when no row of the other side can match them any more but those that came before.
    fn expired(&self, input: usize, came: &Incoming) -> Result<Option<Vec<bool>>> {
        let form = &self.sides.get(input).ok_or_else(unfit)?.form;
        let lag = self.spec.sides.get(1 - input).ok_or_else(unfit)?.lag;
        let origin = &came.rows.origin;
        let most = origin.watermark_max().unwrap_or(Timestamp::BEGIN).0;
        let deadline = |row: usize| form.deadline(&came.columns, row).saturating_add(lag);
        if (0..came.len()).all(|row| deadline(row) >= most) {
            return Ok(None);
        }
        let mark = |row: usize| origin.watermark(row).unwrap_or(Timestamp::BEGIN).0;
        Ok(Some((0..came.len()).map(|row| deadline(row) < mark(row)).collect()))
    }

    /// Fails if rows do not fit into the state.
    fn bounded(&self, input: usize, rows: &Rows) -> Result<()> {
        let values = rows.batch.columns().iter().map(|c| bytes(c.as_ref())).sum::<u64>();
        let growth = self.sides.get(input).map_or(0, |kept| kept.growth(rows.len()));
        if self.held() + values + growth as u64 <= self.spec.state_bytes {
            return Ok(());
        }
        let bound = self.spec.state_bytes;
        let [left, right] = [0, 1].map(|i| self.sides.get(i).map_or(0, Kept::rows));
        let what = format!(
            "the state of a join would be more than `state_bytes`, {bound} bytes: {left} rows of the left side and {right} of the right wait for others"
        );
        let fix = match self.spec.ttl {
            true => "raise `state_bytes`, or make `state_ttl` shorter",
            false => "raise `state_bytes`, or have rows meet within a shorter time",
        };
        Err(DataFusionError::External(Box::new(Error::stop(what).fix(fix))))
    }

    /// The bytes that are held.
    pub(crate) fn held(&self) -> u64 {
        self.sides.iter().map(|kept| kept.bytes() as u64).sum()
    }

    /// Keeps the rows that others may match, or that are yet to come out; the number of each.
    pub(super) fn keep(
        &mut self,
        input: usize,
        came: &Incoming,
        expired: Option<&[bool]>,
        not: Option<&[bool]>,
    ) -> Result<Option<Vec<u32>>> {
        let waits = self.spec.kind.waits(input);
        let is = |of: Option<&[bool]>, row: usize| {
            of.is_some_and(|of| of.get(row).copied().unwrap_or(false))
        };
        let kept = self.sides.get_mut(input).ok_or_else(unfit)?;
        let goes = |row: usize| is(expired, row) || is(not, row) || (!waits && !came.has_key(row));
        let whole = expired.is_none() && not.is_none() && (waits || came.none.is_none());
        if whole {
            let first = kept.add(&came.columns, &came.hashes, came.none.as_deref())?;
            let len = u32::try_from(came.len()).unwrap_or(0);
            return Ok(waits.then(|| (first..first + len).collect()));
        }
        let rows = (0..came.len()).filter(|row| !goes(*row));
        let rows = rows.map(|row| u32::try_from(row).unwrap_or(0)).collect::<Vec<_>>();
        let mut ids = vec![NONE; if waits { came.len() } else { 0 }];
        if !rows.is_empty() {
            let columns = picked(&kept.form, &came.columns, &rows)?;
            let hash = |row: &u32| came.hashes.get(*row as usize).copied();
            let hashes = rows.iter().filter_map(hash).collect::<Vec<_>>();
            let none = rows.iter().map(|row| !came.has_key(*row as usize)).collect::<Vec<_>>();
            let first = kept.add(&columns, &hashes, Some(&none))?;
            for (id, row) in (first..).zip(&rows) {
                if let Some(own) = ids.get_mut(*row as usize) {
                    *own = id;
                }
            }
        }
        Ok(waits.then_some(ids))
    }

    /// The next rows of what is made first; `None` once there are no more of it.
    fn of(&mut self, pending: &mut Pending) -> Result<Option<Rows>> {
        let (columns, schema) = (&self.spec.columns, &self.spec.schema);
        match pending {
            Pending::Own { came, rows, at } => {
                let some = pick(rows, *at, ROWS_MAX);
                *at += some.len();
                if some.is_empty() {
                    return Ok(None);
                }
                let origin = came.rows.origin.take(some.iter().map(|row| *row as usize));
                let batch = alone(&Of::came(came, some), columns, schema)?;
                Ok(Some(Rows { batch, origin }))
            }
            Pending::Woken { origin, by, ids, at } => {
                let (by, ids) = (pick(by, *at, ROWS_MAX), pick(ids, *at, ROWS_MAX));
                *at += ids.len();
                if ids.is_empty() {
                    return Ok(None);
                }
                let [left, _] = &self.sides;
                let batch = alone(&Of::kept(left, &ids)?, columns, schema)?;
                Ok(Some(Rows { batch, origin: origin.take(by.iter().map(|row| *row as usize)) }))
            }
            Pending::Pairs { input, came, own, ends, walk, hit } => {
                let input = *input;
                while !walk.is_over(came) {
                    let other = self.sides.get(1 - input).ok_or_else(unfit)?;
                    let near = self.near.get(input).ok_or_else(unfit)?;
                    let end = |row: usize| {
                        ends.as_ref().is_some_and(|e| e.get(row).copied().unwrap_or(false))
                    };
                    let pairs = walk.next(came, other, near, ROWS_MAX, end);
                    let mask = match pairs.len() {
                        0 => None,
                        _ => self.fulfil(input, came, &pairs)?,
                    };
                    let pairs = passing(pairs, mask.as_ref(), hit);
                    self.note(input, &pairs, own.as_deref());
                    if pairs.len() > 0 {
                        return self.pairs(input, came, pairs).map(Some);
                    }
                }
                Ok(None)
            }
        }
    }

    /// Marks rows that have a partner now.
    fn note(&mut self, input: usize, pairs: &Pairs, own: Option<&[u32]>) {
        if let Some(own) = own
            && let Some(kept) = self.sides.get_mut(input)
        {
            let mut last = u32::MAX;
            for (row, id) in pairs.came.iter().zip(&pairs.kept) {
                if *row != last && *id != NONE {
                    last = *row;
                    if let Some(id) = own.get(*row as usize).filter(|id| **id != NONE) {
                        kept.mark(*id);
                    }
                }
            }
        }
        if self.spec.kind.waits(1 - input)
            && let Some(kept) = self.sides.get_mut(1 - input)
        {
            for id in pairs.kept.iter().filter(|id| **id != NONE) {
                kept.mark(*id);
            }
        }
    }

    fn pairs(&self, input: usize, came: &Incoming, pairs: Pairs) -> Result<Rows> {
        let other = self.sides.get(1 - input).ok_or_else(unfit)?;
        let origin = came.rows.origin.take(pairs.came.iter().map(|row| *row as usize));
        let (own, found) = (Of::came(came, pairs.came), Of::kept(other, &pairs.kept)?);
        let sides = if input == 0 { [&own, &found] } else { [&found, &own] };
        let batch = together(sides, &self.spec.columns, &self.spec.schema)?;
        Ok(Rows { batch, origin })
    }
}

/// Pairs that fulfil the condition. Those that end a row stay only where none of its pairs did: `hit` is the last row of
/// which one did.
fn passing(pairs: Pairs, mask: Option<&BooleanArray>, hit: &mut Option<u32>) -> Pairs {
    if mask.is_none() && !pairs.kept.contains(&NONE) {
        *hit = pairs.came.last().copied().or(*hit);
        return pairs;
    }
    let mut left = Pairs::default();
    for (i, (came, id)) in pairs.came.iter().zip(&pairs.kept).enumerate() {
        let passes = match *id {
            NONE => *hit != Some(*came),
            _ => mask.is_none_or(|m| m.value(i)),
        };
        if passes {
            if *id != NONE {
                *hit = Some(*came);
            }
            left.came.push(*came);
            left.kept.push(*id);
        }
    }
    left
}

fn moments(column: &arrow_array::ArrayRef) -> Result<arrow_array::Int64Array> {
    let moments = arrow::compute::cast(column, &arrow_schema::DataType::Int64)?;
    Ok(moments.as_primitive::<arrow_array::types::Int64Type>().clone())
}

/// Some of the rows.
pub(super) fn some(rows: &Rows, which: &[u32]) -> Result<Rows> {
    let batch = take_record_batch(&rows.batch, &UInt32Array::from(which.to_vec()))?;
    Ok(Rows { batch, origin: rows.origin.take(which.iter().map(|row| *row as usize)) })
}

fn picked(form: &Form, columns: &Columns, rows: &[u32]) -> Result<Columns> {
    let index = UInt32Array::from(rows.to_vec());
    let kept = columns.kept.iter();
    let kept = kept.map(|c| Ok(arrow_select::take::take(c.as_ref(), &index, None)?));
    form.columns(kept.collect::<Result<Vec<_>>>()?)
}

impl Stateful for Joiner {
    fn take(&mut self, input: usize, rows: &Rows) -> Result<Taken> {
        if self.leaving.is_some() {
            let what = "rows came before all rows that were due had been given";
            return Err(DataFusionError::Internal(what.into()));
        }
        let mut taken = Taken::default();
        let Some(rows) = self.on_time(input, rows, &mut taken)? else { return Ok(taken) };
        self.bounded(input, &rows)?;
        let came = self.read(input, rows)?;
        let Some(came) = self.computable(input, came, &mut taken)? else { return Ok(taken) };
        taken.absorbed = came.len() as u64;
        let expired = self.expired(input, &came)?;
        match (self.spec.kind.tells(), input) {
            (true, 0) => self.tell(came, expired.as_deref())?,
            (true, _) => {
                self.wake(&came)?;
                self.keep(1, &came, expired.as_deref(), None)?;
            }
            (false, _) => {
                let own = self.keep(input, &came, expired.as_deref(), None)?;
                let ends = self.ends(input, &came, expired.as_deref());
                let walk = Walk::default();
                self.pending.push_back(Pending::Pairs { input, came, own, ends, walk, hit: None });
            }
        }
        Ok(taken)
    }

    fn made(&mut self) -> Result<Option<Rows>> {
        while let Some(mut pending) = self.pending.pop_front() {
            if let Some(rows) = self.of(&mut pending)? {
                self.pending.push_front(pending);
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        self.leave_some(watermark)
    }

    fn begin(&mut self, whole_from: Timestamp) -> Timestamp {
        self.whole_from = whole_from.0;
        // A row that went by may match those that come for as long as it would have waited.
        let reaches = self.spec.sides.iter().map(|side| side.reach);
        match reaches.collect::<Option<Vec<_>>>() {
            Some(reaches) => {
                let most = reaches.into_iter().max().unwrap_or(0).max(0);
                Timestamp(whole_from.0.saturating_add(most))
            }
            None if whole_from == Timestamp::BEGIN => whole_from,
            None => Timestamp::END,
        }
    }

    fn changed(&self) -> usize {
        self.sides.iter().map(Kept::changed).sum()
    }

    fn multiplies(&self) -> bool {
        true
    }

    fn bytes(&self) -> u64 {
        self.held()
    }

    fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> millstream_core::Result<()> {
        self.tell_chunks(prefix, out)
    }

    fn restore(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()> {
        self.pending.clear();
        self.leaving = None;
        self.read_chunks(chunks)
    }
}
