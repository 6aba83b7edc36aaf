//! The operator: rows of two sides in, left rows with the latest right row out.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave;
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use datafusion_common::{DataFusionError, Result};
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::error::Error;
use millstream_core::operator::Chunks;

use super::latest::{Latest, Slot, WAITS};
use super::piece::{Kind, Place, unfit};
use super::pile::{Pile, ROWS, wide};
use super::spec::{AsOf, Column, Side};
use crate::stateful::{Stateful, Taken};
use crate::step::batch_of;
use crate::window::MOMENT_MAX;
use crate::window::batch::lagging;
use crate::window::bytes::short;
use crate::window::keys::Keys;

/// Gives each left row with the latest right row, once the watermark has passed it.
pub(crate) struct Matching {
    pub(super) spec: AsOf,
    pub(super) keys: Keys,
    pub(super) left: Pile,
    pub(super) right: Pile,
    /// Of the right rows before `done`, but for the least distance, the latest of each key.
    pub(super) latest: Latest,
    /// All left rows before this have gone on.
    pub(super) done: i64,
    /// Rows before this have gone by unseen.
    pub(super) whole_from: i64,
    /// What the last snapshot said of it all.
    pub(super) notes: Vec<u8>,
}

impl Matching {
    pub(crate) fn new(spec: AsOf) -> Result<Self> {
        let keys = Keys::new(spec.keys.clone())?;
        let (left, right) = (Pile::new(Kind::new(&spec.left)), Pile::new(Kind::new(&spec.right)));
        let latest = Latest::new(Kind::new(&spec.right));
        let (done, whole_from, notes) = (i64::MIN, i64::MIN, vec![]);
        Ok(Self { spec, keys, left, right, latest, done, whole_from, notes })
    }

    fn held(&self) -> usize {
        self.left.bytes() + self.right.bytes() + self.latest.bytes()
    }

    fn full(&self) -> DataFusionError {
        let what = format!(
            "the state of a join as of event time would be more than `state_bytes`, {} bytes: {} left and {} right rows wait for the watermark, and {} keys have a latest row",
            self.spec.state_bytes,
            self.left.len(),
            self.right.len(),
            self.latest.len()
        );
        let fix =
            "raise `state_bytes`, or have the condition or `state_ttl` let older rows go sooner";
        DataFusionError::External(Box::new(Error::stop(what).fix(fix)))
    }

    /// The rows that wait, of those that came.
    fn sift(&self, side: &Side, rows: &Rows, taken: &mut Taken) -> Result<RecordBatch> {
        let column = rows.batch.columns().get(side.time).ok_or_else(unfit)?;
        let times = column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(unfit)?;
        let limit = |mark: Option<Timestamp>| lagging(mark.unwrap_or(Timestamp::BEGIN), side.lag);
        let least = limit(rows.origin.watermark_max());
        let fits = |t: i64| t.unsigned_abs() < MOMENT_MAX.unsigned_abs();
        let fine = |t: &i64| *t >= least && fits(*t);
        if times.null_count() == 0 && times.values().iter().all(fine) {
            return Ok(rows.batch.clone());
        }
        let (mut kept, mut late, mut null, mut far) = (vec![], vec![], vec![], vec![]);
        for row in 0..rows.len() {
            let (at, time) = (short(row), times.values().get(row).copied().unwrap_or_default());
            match times.is_valid(row) {
                false => null.push(at),
                true if !fits(time) => far.push(at),
                true if time < limit(rows.origin.watermark(row)) => late.push(at),
                true => kept.push(at),
            }
        }
        for (some, why) in [
            (null, "its event time is null, so that no join can go by it"),
            (far, "its event time is too far away for a join"),
        ] {
            if !some.is_empty() {
                taken.refused.push((pick(rows, &some)?, why.to_owned()));
            }
        }
        if !late.is_empty() {
            taken.late.push(pick(rows, &late)?);
        }
        Ok(take_record_batch(&rows.batch, &UInt32Array::from(kept))?)
    }

    /// The latest right row for each of these left rows, which are in the order of time.
    fn matches(&mut self, lefts: &[Place]) -> Result<Vec<Option<Slot>>> {
        let bounds = self.spec.bounds;
        let last = lefts.last().and_then(|(part, row)| Some(self.left.piece_at(*part)?.time(*row)));
        let upto = last.unwrap_or(i64::MIN).saturating_sub(bounds.least).saturating_add(1);
        let rights = self.right.take(upto, usize::MAX);
        let mut rights = rights.into_iter().peekable();
        let mut found = Vec::with_capacity(lefts.len());
        for (part, row) in lefts {
            let piece = self.left.piece_at(*part).ok_or_else(unfit)?;
            let time = piece.time(*row);
            let upto = time.saturating_sub(bounds.least);
            let before = |(part, row): &Place| {
                self.right.piece_at(*part).is_some_and(|piece| piece.time(*row) <= upto)
            };
            while let Some((part, row)) = rights.next_if(before) {
                self.latest.put(&self.right, part, row);
            }
            let slot = piece.key(*row).and_then(|key| self.latest.get(key, &self.right));
            found.push(slot.filter(|slot| slot.time >= time.saturating_sub(bounds.most)));
        }
        Ok(found)
    }

    /// Whether all is known that could be the latest row of a left row with this time, and what was found.
    fn is_whole(&self, time: i64, found: Option<&Slot>) -> bool {
        found.is_some_and(|slot| slot.time >= self.whole_from)
            || time.saturating_sub(self.spec.bounds.most) >= self.whole_from
    }

    /// The rows that go out.
    fn rows(&self, lefts: Vec<Place>, found: Vec<Option<Slot>>) -> Result<Option<RecordBatch>> {
        let (mut places, mut matches) = (lefts, found);
        if self.spec.inner || self.whole_from > i64::MIN {
            let goes = |(place, slot): &(Place, Option<Slot>)| {
                let time = self.left.piece_at(place.0).map_or(i64::MIN, |p| p.time(place.1));
                (slot.is_some() || !self.spec.inner) && self.is_whole(time, slot.as_ref())
            };
            let both = places.into_iter().zip(matches).filter(goes);
            (places, matches) = both.unzip();
        }
        if places.is_empty() {
            return Ok(None);
        }
        let lefts = self.left.batches();
        let kept = self.latest.batches();
        let (own, wait) = (wide(&places), self.right.batches());
        let rights = kept.iter().chain(&wait).copied().collect::<Vec<_>>();
        let places = matches.iter().map(|slot| match slot {
            Some(slot) if slot.part & WAITS == 0 => (slot.part as usize, slot.row as usize),
            Some(slot) => (kept.len() + (slot.part & !WAITS) as usize, slot.row as usize),
            None => (rights.len(), 0),
        });
        let places = places.collect::<Vec<_>>();
        let misses = matches.iter().any(Option::is_none);
        let columns = self.spec.columns.iter().map(|column| match column {
            Column::Left(at) => {
                let (arrays, _) = columns(&lefts, *at)?;
                Ok(interleave(&borrowed(&arrays), &own)?)
            }
            Column::Right(at) => {
                let field = self.right.kind.schema.fields().get(*at).ok_or_else(unfit)?;
                let (mut arrays, _) = columns(&rights, *at)?;
                if misses {
                    arrays.push(new_null_array(field.data_type(), 1));
                }
                Ok(interleave(&borrowed(&arrays), &places)?)
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Some(batch_of(&self.spec.schema, columns, own.len())?))
    }

    /// All left rows before a time have gone on: what no later one needs goes too.
    fn finish(&mut self, limit: i64, end: bool) -> Result<()> {
        self.left.clear(&self.keys)?;
        if end {
            self.right.take(i64::MAX, usize::MAX);
            self.right.clear(&self.keys)?;
            self.latest.clear();
            // Time may begin anew.
            self.done = i64::MIN;
            return Ok(());
        }
        let bounds = self.spec.bounds;
        for (part, row) in self.right.take(self.before(limit), usize::MAX) {
            self.latest.put(&self.right, part, row);
        }
        self.latest.settle(&self.keys, &self.right)?;
        self.right.clear(&self.keys)?;
        self.latest.expire(limit.saturating_sub(bounds.most), bounds.most, &self.right);
        self.latest.tidy(&self.keys)?;
        self.done = limit;
        Ok(())
    }

    /// The right rows before this are at least as far before all left rows from a time on as they have to be.
    pub(super) fn before(&self, limit: i64) -> i64 {
        if limit == i64::MIN { limit } else { limit.saturating_sub(self.spec.bounds.least) }
    }
}

/// A column of several batches.
fn columns(of: &[&RecordBatch], at: usize) -> Result<(Vec<ArrayRef>, usize)> {
    let arrays = of.iter().map(|b| b.columns().get(at).cloned());
    let arrays = arrays.collect::<Option<Vec<_>>>().ok_or_else(unfit)?;
    Ok((arrays, at))
}

fn borrowed(arrays: &[ArrayRef]) -> Vec<&dyn Array> {
    arrays.iter().map(AsRef::as_ref).collect()
}

fn pick(rows: &Rows, some: &[u32]) -> Result<Rows> {
    let batch = take_record_batch(&rows.batch, &UInt32Array::from(some.to_vec()))?;
    Ok(Rows { batch, origin: rows.origin.take(some.iter().map(|i| *i as usize)) })
}

/// The rows in the order of time; of one time in the order in which they came.
fn ordered(batch: &RecordBatch, side: &Side) -> Result<Option<RecordBatch>> {
    let column = batch.columns().get(side.time).ok_or_else(unfit)?;
    let times = column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(unfit)?.values();
    if times.is_sorted() {
        return Ok(None);
    }
    let mut order = (0..short(batch.num_rows())).collect::<Vec<_>>();
    order.sort_by_key(|row| times.get(*row as usize).copied());
    Ok(Some(take_record_batch(batch, &UInt32Array::from(order))?))
}

impl Stateful for Matching {
    fn take(&mut self, input: usize, rows: &Rows) -> Result<Taken> {
        let mut taken = Taken::default();
        let side = if input == 0 { &self.spec.left } else { &self.spec.right };
        let mut batch = self.sift(side, rows, &mut taken)?;
        taken.absorbed = batch.num_rows() as u64;
        if let Some(sorted) = ordered(&batch, side)? {
            batch = sorted;
        }
        let pile = if input == 0 { &self.left } else { &self.right };
        let mut piece = pile.piece(&self.keys, &batch)?;
        // Null is equal to nothing.
        if (input == 1 || self.spec.inner)
            && let Some(keyed) = piece.keyed()
        {
            let keyed: BooleanBuffer = keyed.inner().clone();
            let batch = filter_record_batch(&batch, &BooleanArray::new(keyed, None))?;
            piece = pile.piece(&self.keys, &batch)?;
        }
        let more = if input == 0 { 0 } else { piece.len() * SLOT };
        let held = self.held().saturating_add(piece.bytes + more);
        if held as u64 > self.spec.state_bytes {
            return Err(self.full());
        }
        let pile = if input == 0 { &mut self.left } else { &mut self.right };
        pile.push(&self.keys, piece)?;
        Ok(taken)
    }

    fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>> {
        let limit = lagging(watermark, self.spec.bounds.hold());
        loop {
            let lefts = self.left.take(limit, ROWS);
            if lefts.is_empty() {
                self.finish(limit, watermark == Timestamp::END)?;
                return Ok(None);
            }
            let found = self.matches(&lefts)?;
            if let Some(batch) = self.rows(lefts, found)? {
                return Ok(Some(batch));
            }
        }
    }

    fn begin(&mut self, whole_from: Timestamp) -> Timestamp {
        self.whole_from = whole_from.0;
        Timestamp(whole_from.0.saturating_add(self.spec.bounds.most))
    }

    fn changed(&self) -> usize {
        self.left.changed() + self.right.changed() + self.latest.changed()
    }

    fn bytes(&self) -> u64 {
        self.held() as u64
    }

    fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> millstream_core::Result<()> {
        self.tell(prefix, out)
    }

    fn restore(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()> {
        self.read(chunks)
    }
}

/// What the slot of a row takes, and its place in the index.
const SLOT: usize = 32;
