//! Frames of random rows, out of order within a delay, and some later.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use fastrand::Rng;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::record::Offset;

use super::input;

pub(crate) struct Frame {
    pub rows: Rows,
    /// The watermark when its rows have passed, if it rose.
    pub after: Option<Timestamp>,
}

impl Frame {
    /// Its rows in batches of at most so many.
    pub(crate) fn cut(&self, most: usize) -> Vec<Rows> {
        let starts = (0..self.rows.len()).step_by(most);
        starts
            .map(|from| {
                let len = most.min(self.rows.len() - from);
                let batch = self.rows.batch.slice(from, len);
                Rows { batch, origin: self.rows.origin.slice(from, len) }
            })
            .collect()
    }
}

/// How random rows are.
pub(crate) struct Kind {
    pub frames: usize,
    pub rows: usize,
    /// Keys there are.
    pub keys: i64,
    /// Time passes by up to so much with each row.
    pub step: i64,
    /// Rows come so much out of order.
    pub disorder: i64,
    /// By which the watermark is behind.
    pub delay: i64,
}

/// A frame of rows at these times, each with the watermark before it.
pub(crate) fn frame(offset: u64, rng: &mut Rng, keys: i64, times: &[(Option<i64>, i64)]) -> Frame {
    let rng = std::cell::RefCell::new(rng);
    let some = || rng.borrow_mut().u8(..10) > 0;
    let int = |n: i64| some().then(|| rng.borrow_mut().i64(0..n));
    let n = times.len();
    let times_only: TimestampMicrosecondArray = times.iter().map(|t| t.0).collect();
    let text = || int(keys).map(|k| format!("key {k}"));
    let float = || {
        let n = rng.borrow_mut().u8(..40);
        match n {
            0 => None,
            1 => Some(-0.0),
            2 => Some(0.0),
            n => Some((rng.borrow_mut().f64() - 0.3) * f64::from(n)),
        }
    };
    let decimal: Decimal128Array = (0..n).map(|_| int(100_000).map(i128::from)).collect();
    let unsigned: UInt64Array =
        (0..n).map(|_| int(1 << 40).map(|i| i.cast_unsigned() << 18)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times_only),
        Arc::new((0..n).map(|_| int(keys)).collect::<Int64Array>()),
        Arc::new((0..n).map(|_| text()).collect::<StringArray>()),
        Arc::new((0..n).map(|_| int(1000).map(|i| i - 300)).collect::<Int64Array>()),
        Arc::new((0..n).map(|_| float()).collect::<Float64Array>()),
        Arc::new((0..n).map(|_| float()).collect::<Float64Array>()),
        Arc::new((0..n).map(|_| int(3).map(|i| i > 0)).collect::<BooleanArray>()),
        Arc::new(decimal.with_precision_and_scale(20, 3).unwrap()),
    ];
    let columns = [columns, vec![Arc::new(unsigned) as _]].concat();
    let watermarks: Vec<_> = times.iter().map(|t| Timestamp(t.1)).collect();
    let origin = Origin::new(Offset(offset), Arc::from([0]), None);
    let origin = origin.with_watermarks(watermarks.into());
    Frame {
        rows: Rows { batch: RecordBatch::try_new(input(), columns).unwrap(), origin },
        after: None,
    }
}

/// A log that ends, and some of the time begins anew.
pub(crate) fn log(rng: &mut Rng, kind: &Kind) -> Vec<Frame> {
    let mut frames = vec![];
    let mut now = rng.i64(-500..500);
    let mut watermark = i64::MIN;
    for offset in 0..kind.frames {
        let before = watermark;
        let mut times = vec![];
        for _ in 0..rng.usize(1..=kind.rows) {
            now += rng.i64(0..=kind.step);
            if rng.u8(..100) == 0 {
                now += kind.step * 40;
            }
            let far = if rng.u8(..10) == 0 { 4 } else { 1 };
            let time = now - rng.i64(0..=kind.disorder) * far;
            let null = rng.u8(..200) == 0;
            times.push(((!null).then_some(time), watermark));
            if !null {
                watermark = watermark.max(time - kind.delay);
            }
        }
        let mut frame = frame(offset as u64, rng, kind.keys, &times);
        let ends = offset + 1 == kind.frames || rng.u8(..12) == 0;
        if ends {
            frame.after = Some(Timestamp::END);
            watermark = i64::MIN;
            now -= rng.i64(0..100);
        } else if watermark > before {
            frame.after = Some(Timestamp(watermark));
        }
        frames.push(frame);
    }
    frames
}
