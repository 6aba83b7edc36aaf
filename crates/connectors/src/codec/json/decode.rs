//! Blocks of JSON to batches: which rows there are in a record, and what becomes of each.

use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memchr;
use millstream_core::Result;
use millstream_core::codec::{Decoded, Decoder};
use millstream_core::record::{Block, Form};

use arrow_schema::SchemaRef;

use super::fault::{Fault, Why};
use super::layout::{Layouts, Tape};
use super::row::{Met, Reader, unescaped};
use super::scan::{Scan, broken, colon, reach, space, value};
use super::shape::Shape;
use crate::codec::cells::{Cells, Room};
use crate::codec::moment::Minute;
use crate::codec::short::Short;
use crate::codec::tally::{Mark, Tally};

/// Decodes blocks of JSON.
#[derive(Debug)]
pub(super) struct JsonDecoder {
    pub(super) shape: Shape,
    pub(super) schema: SchemaRef,
    /// Where the rows of a document are; `None`: a record is a sequence of values.
    pub(super) rows: Option<Vec<String>>,
    pub(super) strict: bool,
    layouts: Layouts,
    met: Met,
    minute: Minute,
    room: Room,
}

impl JsonDecoder {
    pub(super) fn new(
        shape: Shape,
        schema: SchemaRef,
        rows: Option<Vec<String>>,
        strict: bool,
    ) -> Self {
        let met = Met::of(shape.keys);
        Self {
            shape,
            schema,
            rows,
            strict,
            layouts: Layouts::default(),
            met,
            minute: Minute::default(),
            room: Room::default(),
        }
    }
}

impl Decoder for JsonDecoder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode_barring(&mut self, block: &Block, barred: &BTreeMap<u32, String>) -> Result<Decoded> {
        if self.strict {
            return self.decode_as(block, Look::Whole, barred);
        }
        // Arrow looks at all text that was read. Only if it finds some that is no UTF-8, which is rare, each
        // row is looked at to find those that it is of.
        match self.decode_as(block, Look::Not, barred) {
            Err(_) => self.decode_as(block, Look::Texts, barred),
            decoded => decoded,
        }
    }
}

impl JsonDecoder {
    /// Decodes a block. Without a look for rows that are no UTF-8 it fails when there is one.
    fn decode_as(
        &mut self,
        block: &Block,
        look: Look,
        barred: &BTreeMap<u32, String>,
    ) -> Result<Decoded> {
        let bytes = block.payload_bytes();
        let mut cells = Cells::of(&self.shape.slots, &self.room);
        let mut tally = Tally::barring(barred);
        // Arrow's offsets have 31 bits; a block is some 64 KiB and one record at most.
        let fits = i32::try_from(bytes).is_ok();
        for record in block.records() {
            let mark = tally.record();
            let mut pass = Pass {
                look: match look {
                    Look::Whole if simdutf8::basic::from_utf8(&record.value).is_ok() => Look::Not,
                    look => look,
                },
                reader: Reader {
                    shape: &self.shape,
                    cells: &mut cells,
                    met: &mut self.met,
                    minute: &mut self.minute,
                    b: &record.value,
                    strict: self.strict,
                    tape: None,
                },
                layouts: &mut self.layouts,
                tally: &mut tally,
                record: &record.value,
                mark,
            };
            match (&self.rows, block.form()) {
                _ if !fits => pass.refuse_record("a block of 2 GiB or more".into()),
                (_, Form::Rows) => pass.bare_row(),
                (None, Form::Arrived) => pass.values(),
                (Some(pointer), Form::Arrived) => pass.documents(pointer),
            }
        }
        self.room = cells.room();
        Ok(tally.finish(cells.finish(&self.shape.slots, &self.schema)?))
    }
}

/// In what bytes that are no UTF-8 are looked for, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// In nothing.
    Not,
    /// In the texts that are read of a row.
    Texts,
    /// In all of a row.
    Whole,
}

/// One record on its way through the decoder.
struct Pass<'a, 'b> {
    reader: Reader<'a>,
    layouts: &'a mut Layouts,
    tally: &'a mut Tally<'b>,
    record: &'a Bytes,
    mark: Mark,
    look: Look,
}

impl Pass<'_, '_> {
    /// A record that is a sequence of values: lines, as a rule.
    fn values(&mut self) {
        let b = self.reader.b;
        let mut at = if b.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let (mut whole, mut first) = (false, None);
        loop {
            at = space(b, at);
            let Some(c) = b.get(at) else { break };
            let start = at;
            let mark = self.tally.mark();
            let end = match c {
                b'[' => self.elements(at + 1),
                _ => self.row(at, true),
            };
            match end {
                Ok(end) => {
                    whole |= matches!(c, b'{' | b'[');
                    at = end;
                }
                Err(fault) => {
                    self.undo(mark);
                    let lines = b.get(start..fault.at).unwrap_or_default();
                    let reason = self.reason(&fault, start);
                    if *c == b'[' && memchr(b'\n', lines).is_some() {
                        return self.refuse_record(reason);
                    }
                    at = next_row(b, start);
                    first.get_or_insert(reason);
                    self.refuse_broken(start, at);
                }
            }
        }
        if !whole && self.tally.since(self.mark) > 0 {
            let reason = first.unwrap_or_else(|| {
                format!("no row: a row is an object, found {}", Short(b.trim_ascii()))
            });
            self.refuse_record(reason);
        }
    }

    /// A record that is documents with rows at a pointer.
    fn documents(&mut self, pointer: &[String]) {
        let b = self.reader.b;
        let mut at = if b.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        loop {
            at = space(b, at);
            if at == b.len() {
                return;
            }
            match self.seek(at, pointer, 0) {
                Ok((end, true)) => at = end,
                Ok((_, false)) => {
                    let reason = format!("no rows at `/{}`", pointer.join("/"));
                    return self.refuse_record(reason);
                }
                Err(fault) => {
                    let reason = self.reason(&fault, 0);
                    return self.refuse_record(reason);
                }
            }
        }
    }

    /// Follows the pointer into the value at `at`; its end, and whether rows were there.
    fn seek(
        &mut self,
        at: usize,
        pointer: &[String],
        depth: u32,
    ) -> Result<(usize, bool), Box<Fault>> {
        let b = self.reader.b;
        let Some((token, inner)) = pointer.split_first() else {
            return match b.get(at) {
                Some(b'[') => Ok((self.elements(at + 1)?, true)),
                Some(b'{') => Ok((self.row(at, false)?, true)),
                // How some languages write an empty list.
                Some(b'n') => Ok((value(b, at, depth, true)?, true)),
                _ => Ok((value(b, at, depth, true)?, false)),
            };
        };
        let object = match b.get(at) {
            Some(b'{') => true,
            Some(b'[') => false,
            _ => return Ok((value(b, at, depth, true)?, false)),
        };
        let close = if object { b'}' } else { b']' };
        let mut at = space(b, at + 1);
        if b.get(at) == Some(&close) {
            return Ok((at + 1, false));
        }
        let mut found = false;
        for index in 0usize.. {
            let key_at = at;
            let matches = if object {
                if b.get(at) != Some(&b'"') {
                    return Err(broken("no key", at));
                }
                let (name, end) = unescaped(b, at + 1, true)?;
                at = colon(b, end)?;
                *name == *token.as_bytes()
            } else {
                *token == index.to_string()
            };
            if matches && found {
                return Err(Fault::boxed(Why::Twice(token.clone()), key_at));
            }
            at = if matches {
                let (end, there) = self.seek(at, inner, depth + 1)?;
                found = there;
                end
            } else {
                value(b, at, depth + 1, self.reader.strict)?
            };
            at = space(b, at);
            match b.get(at) {
                Some(b',') => at = space(b, at + 1),
                Some(c) if *c == close => return Ok((at + 1, found)),
                Some(_) => break,
                None => return Err(broken("it ends in the midst of a document", at)),
            }
        }
        Err(broken("neither a comma nor the end of what is open", at))
    }

    /// Rows of an array up to its closing bracket.
    fn elements(&mut self, at: usize) -> Scan {
        let b = self.reader.b;
        let mut at = space(b, at);
        if b.get(at) == Some(&b']') {
            return Ok(at + 1);
        }
        loop {
            at = self.row(at, false)?;
            at = space(b, at);
            match b.get(at) {
                Some(b',') => at = space(b, at + 1),
                Some(b']') => return Ok(at + 1),
                Some(_) => return Err(broken("neither a comma nor the end of the rows", at)),
                None => return Err(broken("it ends in the midst of the rows", at)),
            }
        }
    }

    /// A record that is one row.
    fn bare_row(&mut self) {
        let b = self.reader.b;
        let start = space(b, 0);
        let mark = self.tally.mark();
        let end = self.row(start, false).and_then(|end| match space(b, end) {
            at if at == b.len() => Ok(end),
            at => Err(broken("more after the row", at)),
        });
        if let Err(fault) = end {
            self.undo(mark);
            let reason = self.reason(&fault, 0);
            self.tally.refuse(self.record.clone(), reason);
        }
    }

    /// The row at `at`, decoded or refused; an error when its end cannot be told.
    #[inline]
    fn row(&mut self, at: usize, line: bool) -> Scan {
        let before = (self.look == Look::Texts).then(|| self.reader.cells.texts());
        let end = match self.layouts.run(&mut self.reader, at, line) {
            Some(end) => end,
            None => match self.full_row(at, line)? {
                Some(end) => end,
                None => return refused_end(self.reader.b, at),
            },
        };
        if self.look != Look::Not && !self.valid(at, end, before.as_deref().unwrap_or_default()) {
            return Ok(end);
        }
        if let Some(reason) = self.tally.is_barred() {
            self.cut_last();
            self.tally.refuse(self.record.slice(at..end), reason.to_owned());
            return Ok(end);
        }
        self.tally.good();
        Ok(end)
    }

    /// Takes the row that was just decoded away.
    #[cold]
    fn cut_last(&mut self) {
        let rows = self.reader.cells.rows - 1;
        self.reader.cells.cut_rows(&self.reader.shape.slots, rows);
    }

    /// Whether the row that was just decoded is valid UTF-8, as far as that is asked; if not, it is refused.
    #[cold]
    fn valid(&mut self, at: usize, end: usize, before: &[usize]) -> bool {
        let row = self.record.slice(at..end);
        let valid = match self.look {
            Look::Texts => self.reader.cells.texts_are_utf8(before),
            Look::Whole | Look::Not => simdutf8::basic::from_utf8(&row).is_ok(),
        };
        if valid {
            return true;
        }
        self.cut_last();
        // What was not looked at on its line is, once the row stands alone, and may be worse.
        let reason = self.alone(&row);
        self.tally.refuse(row, reason);
        false
    }

    /// A full look; `None` when the row was refused.
    #[inline(never)]
    fn full_row(&mut self, at: usize, line: bool) -> Result<Option<usize>, Box<Fault>> {
        let mut tape = self.layouts.wants().then(Tape::new);
        self.layouts.missed();
        let rows = self.reader.cells.rows;
        let mut reader = Reader {
            shape: self.reader.shape,
            cells: &mut *self.reader.cells,
            met: &mut *self.reader.met,
            minute: &mut *self.reader.minute,
            b: self.reader.b,
            strict: self.reader.strict,
            tape: tape.as_mut(),
        };
        match reader.row(at, line) {
            Ok(end) => {
                if let Some(tape) = tape {
                    let kind = |slot| self.reader.shape.slots.get(slot).kind;
                    self.layouts.learn(tape, self.reader.b, at, end, kind);
                }
                Ok(Some(end))
            }
            Err(fault) => {
                self.reader.cells.cut_rows(&self.reader.shape.slots, rows);
                if fault.is_syntax() {
                    return Err(fault);
                }
                let end = refused_end(self.reader.b, at)?;
                let reason = self.reason(&fault, at);
                self.tally.refuse(self.record.slice(at..end), reason);
                Ok(None)
            }
        }
    }

    /// Refuses the broken bytes `start..end` as one row.
    fn refuse_broken(&mut self, start: usize, end: usize) {
        let bytes = self.reader.b.get(start..end).unwrap_or_default().trim_ascii_end();
        let end = start + bytes.len();
        let bytes = self.record.slice(start..end);
        let reason = self.alone(&bytes);
        self.tally.refuse(bytes, reason);
    }

    /// Why these bytes, and nothing after them, are no row: in the words of [`Self::bare_row`].
    fn alone(&mut self, bytes: &[u8]) -> String {
        let rows = self.reader.cells.rows;
        let mut reader = Reader {
            shape: self.reader.shape,
            cells: &mut *self.reader.cells,
            met: &mut *self.reader.met,
            minute: &mut *self.reader.minute,
            b: bytes,
            strict: self.reader.strict,
            tape: None,
        };
        let more = |end| broken("more after the row", space(bytes, end));
        let fault = match reader.row(0, false) {
            Ok(end) if end == bytes.len() => Fault::boxed(Why::NoText, 0),
            Ok(end) => more(end),
            Err(fault) if fault.is_syntax() => fault,
            Err(fault) => match refused_end(bytes, 0) {
                Ok(end) if space(bytes, end) == bytes.len() => fault,
                Ok(end) => more(end),
                Err(broken) => broken,
            },
        };
        self.reader.cells.cut_rows(&self.reader.shape.slots, rows);
        reason(self.reader.shape, bytes, &fault, 0)
    }

    fn undo(&mut self, mark: Mark) {
        let good = self.tally.undo(mark);
        self.reader.cells.cut_rows(&self.reader.shape.slots, good);
    }

    fn refuse_record(&mut self, reason: String) {
        self.undo(self.mark);
        self.tally.refuse_record(reason);
    }

    fn reason(&self, fault: &Fault, start: usize) -> String {
        reason(self.reader.shape, self.reader.b, fault, start)
    }
}

/// How far a row reaches that does not fit.
fn refused_end(b: &[u8], at: usize) -> Scan {
    match b.get(at) {
        Some(b'{' | b'[') => reach(b, at),
        _ => value(b, at, 0, true),
    }
}

/// Where the next row may begin after a broken one: the next line that begins with a bracket.
fn next_row(b: &[u8], mut at: usize) -> usize {
    while let Some(i) = memchr(b'\n', b.get(at..).unwrap_or_default()) {
        at += i + 1;
        if matches!(b.get(at), Some(b'{' | b'[')) {
            return at;
        }
    }
    b.len()
}

/// The fault in words; places are counted from `start`.
fn reason(shape: &Shape, b: &[u8], fault: &Fault, start: usize) -> String {
    let at = fault.at.saturating_sub(start);
    let end = value(b, fault.at, 0, true).or_else(|_| reach(b, fault.at)).unwrap_or(b.len());
    let found = Short(b.get(fault.at..end).unwrap_or_default());
    match &fault.why {
        Why::Syntax(what) => format!("not valid JSON: {what}, at byte {at}"),
        Why::Deep => format!("nested deeper than {} levels", super::scan::DEPTH_MAX),
        Why::Misfit(slot) => {
            let slot = shape.slots.get(*slot);
            format!("column `{}` is {}, found {found}", slot.path, slot.r#type)
        }
        Why::Range(slot) => {
            let slot = shape.slots.get(*slot);
            format!("column `{}`: {} cannot hold {found} exactly", slot.path, slot.r#type)
        }
        Why::Missing(slot) => {
            format!("column `{}` is required, and null or not there", shape.slots.get(*slot).path)
        }
        Why::Twice(key) => format!("key {} stands twice", Short(key.as_bytes())),
        Why::NoObject => format!("a row is an object, found {found}"),
        Why::NoText => "not valid UTF-8".into(),
    }
}
