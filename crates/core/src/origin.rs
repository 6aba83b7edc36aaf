//! Where each row came from, and how far event time had come just before it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::record::Offset;

/// The name of any row, for ever: `offset/record/row`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowId {
    /// The frame.
    pub offset: Offset,
    /// The record in its block, from 0, or [`RowId::OF_TIME`].
    pub record: u32,
    /// The row in its record, from 0; rows that could not be decoded count.
    pub row: u32,
}

impl RowId {
    /// In place of the record, for rows that a view made as event time passed with this frame; shown as `-`.
    pub const OF_TIME: u32 = u32::MAX;
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record {
            Self::OF_TIME => write!(f, "{}/-/{}", self.offset, self.row),
            record => write!(f, "{}/{record}/{}", self.offset, self.row),
        }
    }
}

impl std::str::FromStr for RowId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::stop(format!("`{text}` is no row id"))
                .fix("write it as `offset/record/row`, such as `17/0/3`")
        };
        let mut parts = text.split('/');
        let (Some(o), Some(r), Some(w), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let record = match r {
            "-" => Self::OF_TIME,
            number => number.parse().map_err(|_| bad())?,
        };
        Ok(Self {
            offset: Offset(o.parse().map_err(|_| bad())?),
            record,
            row: w.parse().map_err(|_| bad())?,
        })
    }
}

/// Where the rows of a batch came from: one frame, and for each row its ordinal in the frame's block.
///
/// Cheap to clone; ordinals are counted over all records of the block, refused rows included.
#[derive(Clone, Debug)]
pub struct Origin {
    offset: Offset,
    /// The ordinal of each record's first row; none for rows that time made.
    starts: Arc<[u32]>,
    /// `None`: row i has ordinal i.
    ordinals: Option<Arc<[u32]>>,
    watermarks: Option<Watermarks>,
}

/// The watermark just before each row: it depends on the rows before it alone, not on how they were cut into batches.
#[derive(Clone, Debug)]
struct Watermarks {
    /// By ordinal, never falling.
    before: Arc<[Timestamp]>,
    least: Timestamp,
    most: Timestamp,
}

impl Origin {
    /// Rows of the frame at `offset`; `starts` has the ordinal of the first row of each record,
    /// `ordinals` that of each row (`None` when row i has ordinal i).
    #[must_use]
    pub fn new(offset: Offset, starts: Arc<[u32]>, ordinals: Option<Arc<[u32]>>) -> Self {
        Self { offset, starts, ordinals, watermarks: None }
    }

    /// `len` rows that a view made as event time passed with the frame at `offset`, of which it had made `from` before.
    /// The watermark before them is that before time passed.
    #[must_use]
    pub fn of_time(offset: Offset, from: u32, len: usize, before: Timestamp) -> Self {
        let ordinals = (from..).take(len).collect();
        let watermarks = Watermarks { before: Arc::default(), least: before, most: before };
        Self {
            offset,
            starts: Arc::default(),
            ordinals: Some(ordinals),
            watermarks: Some(watermarks),
        }
    }

    /// The same rows with the watermark before each ordinal of the block, which never falls.
    #[must_use]
    pub fn with_watermarks(self, before: Arc<[Timestamp]>) -> Self {
        let (least, most) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        Self { watermarks: Some(Watermarks { before, least, most }), ..self }
    }

    /// The same rows where they meet others, whose watermark is `most`, before an operator that has come to `least`.
    #[must_use]
    pub fn meeting(mut self, least: Timestamp, most: Timestamp) -> Self {
        if let Some(w) = &mut self.watermarks {
            w.most = w.most.min(most);
            w.least = w.least.min(most).max(least);
        }
        self
    }

    /// The frame.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The ordinal of each record's first row.
    #[must_use]
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The ordinal of row `i` of the batch in its block.
    #[must_use]
    pub fn ordinal(&self, i: usize) -> u32 {
        match &self.ordinals {
            Some(o) => o.get(i).copied().unwrap_or(u32::MAX),
            None => u32::try_from(i).unwrap_or(u32::MAX),
        }
    }

    /// The watermark just before row `i` of the batch: event time was taken to be complete up to there, so that a window that
    /// ended by then is closed for this row. `None` for rows without event time.
    #[must_use]
    pub fn watermark(&self, i: usize) -> Option<Timestamp> {
        let w = self.watermarks.as_ref()?;
        let before = w.before.get(self.ordinal(i) as usize).or(w.before.last());
        Some(before.copied().unwrap_or(w.least).min(w.most).max(w.least))
    }

    /// No row's watermark is beyond this.
    #[must_use]
    pub fn watermark_max(&self) -> Option<Timestamp> {
        let w = self.watermarks.as_ref()?;
        Some(w.before.last().copied().unwrap_or(w.least).min(w.most).max(w.least))
    }

    /// The name of row `i` of the batch.
    #[must_use]
    pub fn id(&self, i: usize) -> RowId {
        self.id_of(self.ordinal(i))
    }

    /// The name of the row with this ordinal in the block.
    #[must_use]
    pub fn id_of(&self, ordinal: u32) -> RowId {
        if self.starts.is_empty() {
            return RowId { offset: self.offset, record: RowId::OF_TIME, row: ordinal };
        }
        let record = self.starts.partition_point(|s| *s <= ordinal).saturating_sub(1);
        let start = self.starts.get(record).copied().unwrap_or(0);
        RowId {
            offset: self.offset,
            record: u32::try_from(record).unwrap_or(u32::MAX),
            row: ordinal.saturating_sub(start),
        }
    }

    /// The origin of a batch made of rows `indices` of this one, in that order.
    #[must_use]
    pub fn take(&self, indices: impl Iterator<Item = usize>) -> Self {
        let ordinals: Arc<[u32]> = indices.map(|i| self.ordinal(i)).collect();
        Self { ordinals: Some(ordinals), ..self.clone() }
    }

    /// Whether no two of so many rows have one name. An operator before may have made several of one.
    #[must_use]
    pub fn names_each(&self, len: usize) -> bool {
        let Some(ordinals) = &self.ordinals else { return true };
        let ordinals = ordinals.get(..len).unwrap_or(ordinals);
        ordinals.is_sorted_by(|a, b| a < b)
    }

    /// The origin of so many rows with ordinals from 0 on, each with its own watermark: to find rows again that have one name.
    /// What it calls the rows means nothing to others.
    #[must_use]
    pub fn numbered(&self, len: usize) -> Self {
        let origin = Self { ordinals: None, watermarks: None, ..self.clone() };
        let before = (0..len).map(|i| self.watermark(i)).collect::<Option<Arc<[_]>>>();
        match before {
            Some(before) => origin.with_watermarks(before),
            None => origin,
        }
    }

    /// The origin of `len` rows from `from` on.
    #[must_use]
    pub fn slice(&self, from: usize, len: usize) -> Self {
        if from == 0 && self.ordinals.is_none() {
            return self.clone();
        }
        self.take(from..from + len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_frame_record_and_row() {
        let origin = Origin::new(Offset(7), Arc::from([0, 3, 3, 5]), None);
        let ids: Vec<String> = (0..6).map(|i| origin.id(i).to_string()).collect();
        assert_eq!(ids, ["7/0/0", "7/0/1", "7/0/2", "7/2/0", "7/2/1", "7/3/0"]);
        let taken = origin.take([5, 1].into_iter());
        assert_eq!(taken.id(0).to_string(), "7/3/0");
        assert_eq!(taken.slice(1, 1).id(0).to_string(), "7/0/1");
        assert_eq!("7/3/0".parse::<RowId>().unwrap(), taken.id(0));
        assert_eq!(taken.watermark(0), None);
    }

    #[test]
    fn a_row_that_time_made_is_named_too() {
        let origin = Origin::of_time(Offset(7), 2, 3, Timestamp(5));
        let ids: Vec<String> = (0..3).map(|i| origin.id(i).to_string()).collect();
        assert_eq!(ids, ["7/-/2", "7/-/3", "7/-/4"]);
        assert_eq!("7/-/4".parse::<RowId>().unwrap(), origin.slice(1, 2).id(1));
        assert_eq!(origin.watermark(1), Some(Timestamp(5)));
        assert_eq!(origin.watermark_max(), Some(Timestamp(5)));
    }

    #[test]
    fn rows_of_one_name_can_be_told_apart() {
        let times = [1, 4, 9].map(Timestamp);
        let origin = Origin::new(Offset(7), Arc::from([0]), None).with_watermarks(Arc::from(times));
        assert!(origin.names_each(3));
        let several = origin.take([0, 1, 1, 2].into_iter());
        assert!(!several.names_each(4) && several.names_each(2));
        let numbered = several.numbered(4);
        let taken = numbered.take([1, 3].into_iter());
        assert_eq!([taken.ordinal(0), taken.ordinal(1)], [1, 3]);
        assert_eq!(taken.watermark(0), several.watermark(1));
        assert_eq!(taken.watermark(1), Some(Timestamp(9)));
        assert_eq!(Origin::new(Offset(7), Arc::from([0]), None).numbered(3).watermark(0), None);
    }

    #[test]
    fn each_row_knows_the_watermark_before_it_however_rows_are_cut() {
        let times = [1, 1, 4, 9].map(Timestamp);
        let origin = Origin::new(Offset(7), Arc::from([0]), None).with_watermarks(Arc::from(times));
        let seen =
            |o: &Origin, n: usize| (0..n).map(|i| o.watermark(i).unwrap().0).collect::<Vec<_>>();
        assert_eq!(seen(&origin, 4), [1, 1, 4, 9]);
        assert_eq!(seen(&origin.slice(1, 3).take([2, 0].into_iter()), 2), [9, 1]);
        // Beside another source that has come to 5, in a view that has come to 3.
        let met = origin.meeting(Timestamp(3), Timestamp(5));
        assert_eq!(seen(&met, 4), [3, 3, 4, 5]);
        assert_eq!(met.watermark_max(), Some(Timestamp(5)));
        // And on to a view that has come to 4 with yet another one at 4.
        assert_eq!(seen(&met.meeting(Timestamp(4), Timestamp(4)), 4), [4; 4]);
    }
}
