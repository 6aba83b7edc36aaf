//! Rows that look like the one before: the bytes between their values are the same.
//!
//! A row that was read in full leaves a [`Layout`]: the bytes before each value, such as `,"value":`,
//! and what to do with the value. While rows keep that layout, a key costs one comparison and nothing
//! is looked up. A layout never decides what a row means: each value is read by the same code as in
//! a full look, and a row that differs in a single byte between its values gets the full look.

use super::row::{Reader, rest_of_line};
use super::scan::value;
use crate::codec::cells::Kind;

/// What to do with a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Read it into a slot.
    Read(usize),
    /// Step over it.
    Skip,
}

/// What a full look notes about a row.
#[derive(Debug, Default)]
pub(super) struct Tape {
    values: Vec<(usize, usize, Act, u32)>,
    /// Structs that are there.
    pub(super) present: Vec<usize>,
    /// Columns that are not.
    pub(super) missing: Vec<usize>,
    /// Where the rest of the line was stepped over.
    pub(super) rest: Option<usize>,
    /// Something was met that a layout cannot say.
    pub(super) usable: bool,
}

impl Tape {
    pub(super) fn new() -> Self {
        Self { usable: true, ..Self::default() }
    }

    pub(super) fn note(&mut self, start: usize, end: usize, act: Act, depth: u32) {
        self.values.push((start, end, act, depth));
    }
}

/// Bytes that have to stand at a place.
#[derive(Debug)]
struct Literal {
    /// The first 16, and which of them count.
    head: u128,
    mask: u128,
    bytes: Box<[u8]>,
}

impl Literal {
    fn of(bytes: &[u8]) -> Self {
        let mut head = [0; 16];
        let mut mask = [0; 16];
        for ((h, m), b) in head.iter_mut().zip(&mut mask).zip(bytes) {
            (*h, *m) = (*b, 0xff);
        }
        Self {
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            bytes: bytes.into(),
        }
    }

    /// The place after these bytes, if they stand at `at`.
    #[inline(always)]
    fn after(&self, b: &[u8], at: usize) -> Option<usize> {
        let len = self.bytes.len();
        let rest = b.get(at..)?;
        let Some(chunk) = rest.first_chunk() else {
            return rest.starts_with(&self.bytes).then_some(at + len);
        };
        if (u128::from_le_bytes(*chunk) ^ self.head) & self.mask != 0 {
            return None;
        }
        if len > 16 && rest.get(16..len)? != self.bytes.get(16..)? {
            return None;
        }
        Some(at + len)
    }
}

/// A value and what comes after it.
#[derive(Debug)]
struct Step {
    act: Act,
    kind: Kind,
    depth: u32,
    /// Up to the next value, or to the end of the row.
    after: Literal,
    /// No number can go on with the first byte after it.
    closed: bool,
}

/// The bytes between the values of a row, and what to do with each value.
#[derive(Debug)]
pub(super) struct Layout {
    /// Up to the first value.
    first: Literal,
    steps: Vec<Step>,
    present: Vec<usize>,
    missing: Vec<usize>,
    rest: bool,
}

impl Layout {
    /// The layout of the row `start..end`.
    fn of(tape: Tape, b: &[u8], start: usize, end: usize, kind: impl Fn(usize) -> Kind) -> Self {
        let literal = |from: usize, to: usize| Literal::of(b.get(from..to).unwrap_or_default());
        // Where nothing was stepped over but the last brace, that is a literal like the others.
        let rest = tape.rest.filter(|rest| b.get(*rest..end) != Some(b"}"));
        let end = rest.unwrap_or(end);
        let starts = tape.values.iter().map(|(from, ..)| *from).chain([end]);
        let first = literal(start, tape.values.first().map_or(end, |(from, ..)| *from));
        let steps = tape.values.iter().zip(starts.skip(1)).map(|((_, to, act, depth), next)| {
            let after = literal(*to, next);
            let goes_on = |c: &u8| matches!(c, b'.' | b'e' | b'E' | b'0'..=b'9');
            Step {
                act: *act,
                kind: match act {
                    Act::Read(slot) => kind(*slot),
                    Act::Skip => Kind::Json,
                },
                depth: *depth,
                closed: after.bytes.first().is_some_and(|c| !goes_on(c)),
                after,
            }
        });
        let steps = steps.collect();
        let (present, missing) = (tape.present, tape.missing);
        Self { first, steps, present, missing, rest: rest.is_some() }
    }
}

/// Layouts met of late: rows of a few kinds may alternate.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    known: Vec<Layout>,
    /// Full looks since a layout last fitted.
    misses: u32,
}

const LAYOUTS_MAX: usize = 4;

impl Layouts {
    /// Whether a full look is worth noting: seldom, where no layout ever fits.
    pub(super) fn wants(&self) -> bool {
        self.misses < 16 || self.misses.is_multiple_of(64)
    }

    /// Learns from a full look at the row `start..end`.
    pub(super) fn learn(
        &mut self,
        tape: Tape,
        b: &[u8],
        start: usize,
        end: usize,
        kind: impl Fn(usize) -> Kind,
    ) {
        if tape.usable {
            self.known.truncate(LAYOUTS_MAX - 1);
            self.known.insert(0, Layout::of(tape, b, start, end, kind));
        }
    }

    pub(super) fn missed(&mut self) {
        self.misses = self.misses.wrapping_add(1);
    }

    /// Reads the row at `at` by a layout that fits, if there is one, and gives its end.
    #[inline]
    pub(super) fn run(&mut self, reader: &mut Reader<'_>, at: usize, line: bool) -> Option<usize> {
        for i in 0..self.known.len() {
            let layout = self.known.get(i)?;
            if layout.rest && !line {
                continue;
            }
            if let Some(end) = reader.run(layout, at) {
                self.misses = 0;
                if i > 0 {
                    // The more often one fits, the earlier it is tried.
                    self.known.swap(i, i - 1);
                }
                return Some(end);
            }
        }
        None
    }
}

impl Reader<'_> {
    /// Reads the row at `at` if it has this layout; nothing is left behind if it has not.
    #[inline]
    fn run(&mut self, layout: &Layout, at: usize) -> Option<usize> {
        // Most misses are here, before anything was written.
        let at = layout.first.after(self.b, at)?;
        let end = self.steps(layout, at);
        if end.is_none() {
            self.cells.cut_rows(&self.shape.slots, self.cells.rows);
        }
        end
    }

    #[inline(always)]
    fn steps(&mut self, layout: &Layout, mut at: usize) -> Option<usize> {
        for step in &layout.steps {
            at = self.act(step, at)?;
            at = step.after.after(self.b, at)?;
        }
        if layout.rest {
            at = rest_of_line(self.b, at)?;
        }
        for slot in &layout.present {
            self.cells.present(*slot);
        }
        for slot in &layout.missing {
            self.cells.null(*slot);
        }
        self.cells.rows += 1;
        Some(at)
    }

    #[inline(always)]
    fn act(&mut self, step: &Step, at: usize) -> Option<usize> {
        let Act::Read(slot) = step.act else {
            return value(self.b, at, step.depth, self.strict).ok();
        };
        match step.kind {
            // The kinds that are read in a few instructions, each with its own copy of them.
            Kind::Int if step.closed => self.read_as(Kind::Int, slot, at, step.depth, true),
            Kind::Float if step.closed => self.read_as(Kind::Float, slot, at, step.depth, true),
            Kind::Epoch(places) if step.closed => {
                self.read_as(Kind::Epoch(places), slot, at, step.depth, true)
            }
            Kind::Text => self.read_as(Kind::Text, slot, at, step.depth, true),
            Kind::Stamp => self.read_as(Kind::Stamp, slot, at, step.depth, true),
            // A struct that was null and is there now has a layout of its own.
            Kind::Struct if self.b.get(at) == Some(&b'{') => return None,
            kind => self.read_open(kind, slot, at, step.depth),
        }
        .ok()
    }
}
