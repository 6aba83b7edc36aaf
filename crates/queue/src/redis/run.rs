//! Frames in memory, without a gap.

use std::collections::VecDeque;

use millstream_core::queue::Slab;
use millstream_core::record::{Frame, Offset};

/// A run of frames, bounded in bytes; the oldest go first.
#[derive(Debug, Default)]
pub(crate) struct Run {
    first: u64,
    frames: VecDeque<Frame>,
    bytes: usize,
}

/// Memory for frames that this process appended, so that nobody asks the server for what was just sent to it.
const BYTES_MAX: usize = 16 << 20;

impl Run {
    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    /// Adds the frame at this offset. If that leaves a gap, the run begins anew there.
    pub(crate) fn push(&mut self, offset: u64, frame: Frame) {
        if self.end() != offset {
            *self = Self { first: offset, ..Self::default() };
        }
        self.bytes += frame.bytes();
        self.frames.push_back(frame);
        while self.bytes > BYTES_MAX && self.frames.len() > 1 {
            let Some(old) = self.frames.pop_front() else { break };
            self.bytes -= old.bytes();
            self.first += 1;
        }
    }

    /// Frames from `from` on, if it has that one.
    pub(crate) fn read(&self, from: Offset, bytes_max: usize) -> Option<Slab> {
        let skip = usize::try_from(from.0.checked_sub(self.first)?).ok()?;
        if skip >= self.frames.len() {
            return None;
        }
        let mut slab = Slab { frames: Vec::new(), next: from };
        let mut bytes = 0;
        for frame in self.frames.iter().skip(skip) {
            if !slab.frames.is_empty() && bytes + frame.bytes() > bytes_max {
                break;
            }
            bytes += frame.bytes();
            slab.frames.push((slab.next, frame.clone()));
            slab.next = slab.next.next();
        }
        Some(slab)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millstream_core::Timestamp;
    use millstream_core::record::Body;

    use super::*;

    fn frame(bytes: usize) -> Frame {
        Frame {
            source: "s".into(),
            split: "a".into(),
            arrival: Timestamp(0),
            position: None,
            body: Body::Pin(Bytes::from(vec![0; bytes])),
        }
    }

    #[test]
    fn a_run_has_no_gap_and_a_bound() {
        let mut run = Run::default();
        run.push(5, frame(10));
        run.push(6, frame(10));
        assert!(run.read(Offset(4), 1).is_none() && run.read(Offset(7), 1).is_none());
        assert_eq!(run.read(Offset(5), 1).unwrap().next, Offset(6));
        assert_eq!(run.read(Offset(5), 1000).unwrap().next, Offset(7));
        run.push(9, frame(10));
        assert!(run.read(Offset(6), 1).is_none());
        for n in 10..30 {
            run.push(n, frame(1 << 20));
        }
        assert!(run.read(Offset(9), 1).is_none());
        assert_eq!(run.read(Offset(29), 1).unwrap().next, Offset(30));
    }
}
