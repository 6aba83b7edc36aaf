//! Lines written at a pace, and when each was due and written.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use crate::Fault;

/// How often a pace writes.
const EVERY: Duration = Duration::from_millis(1);

/// Lines to be written again and again.
#[derive(Debug)]
pub struct Ring {
    text: Vec<u8>,
    /// The end of each line.
    ends: Vec<usize>,
}

/// One write: how many lines were written by then, when they were due, and when they were written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// With those of this write.
    pub lines: u64,
    /// By the pace.
    pub due: Instant,
    /// Just before the write.
    pub at: Instant,
}

impl Ring {
    /// So many lines; each is written to the end of the text, without its line end.
    pub fn new(lines: u64, mut line: impl FnMut(u64, &mut String)) -> Self {
        let (mut text, mut ends, mut one) = (Vec::new(), Vec::new(), String::new());
        for n in 0..lines {
            one.clear();
            line(n, &mut one);
            one.push('\n');
            text.extend_from_slice(one.as_bytes());
            ends.push(text.len());
        }
        Self { text, ends }
    }

    /// How many lines it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Lines from `from` on, `lines` of them or up to the end of the ring.
    fn run(&self, from: u64, lines: usize) -> (&[u8], usize) {
        let first = usize::try_from(from).unwrap_or(0) % self.len().max(1);
        let last = (first + lines).min(self.len());
        let place = |i: usize| if i == 0 { 0 } else { self.ends.get(i - 1).copied().unwrap_or(0) };
        (self.text.get(place(first)..place(last)).unwrap_or_default(), last - first)
    }

    /// Writes so many lines a second for so long, from line `from` of the ring on; says how many were written.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn pace(
        &self,
        to: &mut impl Write,
        from: u64,
        rate: f64,
        time: Duration,
        mut tell: impl FnMut(Written),
    ) -> Result<u64, Fault> {
        let (began, mut written, mut turn) = (Instant::now(), 0, 0);
        while began.elapsed() < time {
            turn += 1;
            let due = began + EVERY * turn;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let wanted = whole((due - began).as_secs_f64() * rate);
            let at = Instant::now();
            while written < wanted {
                let lines = usize::try_from(wanted - written).unwrap_or(usize::MAX);
                let (text, lines) = self.run(from + written, lines);
                to.write_all(text)?;
                written += lines as u64;
            }
            tell(Written { lines: written, due, at });
        }
        Ok(written)
    }

    /// Writes as fast as lines are taken for so long, or so many; says how many were written.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn rush(
        &self,
        to: &mut impl Write,
        from: u64,
        lines: u64,
        time: Duration,
    ) -> Result<u64, Fault> {
        let (began, mut written) = (Instant::now(), 0);
        while written < lines && began.elapsed() < time {
            let left = usize::try_from(lines - written).unwrap_or(usize::MAX);
            let (text, lines) = self.run(from + written, left.min(1_000));
            to.write_all(text)?;
            written += lines as u64;
        }
        Ok(written)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of rows are small and not negative"
)]
fn whole(n: f64) -> u64 {
    n as u64
}
