//! One value into its cell: first the common case in a few instructions, then every other.

use super::fault::{Fault, Why};
use super::row::{Reader, unescaped};
use super::scan::{DEPTH_MAX, Scan, broken, escape, plain, scalar, space, value};
use crate::codec::cells::Kind;
use crate::codec::{moment, number};

impl Reader<'_> {
    /// Reads the value at `at` into `slot` and gives its end; `depth` is the nesting around it.
    #[inline(always)]
    pub(super) fn read(&mut self, slot: usize, at: usize, depth: u32) -> Scan {
        let kind = self.shape.slots.get(slot).kind;
        self.read_as(kind, slot, at, depth, false)
    }

    /// [`Self::read`] when the kind is known. Where `closed`, the caller knows what comes after the value, and
    /// that no number can go on with it.
    #[inline(always)]
    pub(super) fn read_as(
        &mut self,
        kind: Kind,
        slot: usize,
        at: usize,
        depth: u32,
        closed: bool,
    ) -> Scan {
        match kind {
            Kind::Int => {
                if let Some((v, end)) = number::short_int(self.b, at, closed) {
                    self.cells.int(slot, v);
                    return Ok(end);
                }
            }
            Kind::Float => {
                if let Some((v, end)) = number::short_float(self.b, at, closed) {
                    self.cells.float(slot, v);
                    return Ok(end);
                }
            }
            Kind::Text => {
                if self.b.get(at) == Some(&b'"') {
                    let end = plain(self.b, at + 1);
                    if self.b.get(end) == Some(&b'"') {
                        self.cells.text_of(slot, self.b, at + 1, end);
                        return Ok(end + 1);
                    }
                }
            }
            Kind::Stamp => {
                if self.b.get(at) == Some(&b'"')
                    && let Some(rest) = self.b.get(at + 1..)
                    && let Some((v, len)) = self.minute.rfc3339_at(rest)
                    && self.b.get(at + 1 + len) == Some(&b'"')
                {
                    self.cells.int(slot, v);
                    return Ok(at + len + 2);
                }
            }
            Kind::Epoch(places) => {
                if let Some((v, end)) = number::short_int(self.b, at, closed)
                    && let Some(v) = v.checked_mul(number::ten_to(places))
                {
                    self.cells.int(slot, v);
                    return Ok(end);
                }
            }
            Kind::Bool | Kind::Date | Kind::Json | Kind::List(_) | Kind::Struct => {}
        }
        self.read_any(kind, slot, at, depth)
    }

    /// [`Self::read_as`], out of line: of values with something unknown after them.
    #[inline(never)]
    pub(super) fn read_open(&mut self, kind: Kind, slot: usize, at: usize, depth: u32) -> Scan {
        self.read_as(kind, slot, at, depth, false)
    }

    /// Any value, common or not.
    #[inline(never)]
    fn read_any(&mut self, kind: Kind, slot: usize, at: usize, depth: u32) -> Scan {
        let first = self.b.get(at).copied();
        if first == Some(b'n') {
            return self.null(slot, at);
        }
        match (kind, first) {
            (Kind::Int, Some(b'-' | b'0'..=b'9')) => self.scaled(slot, at, 0, true),
            (Kind::Epoch(places), Some(b'-' | b'0'..=b'9')) => self.scaled(slot, at, places, false),
            (Kind::Float, Some(b'-' | b'0'..=b'9')) => {
                let end = scalar(self.b, at)?;
                let float = number::float(self.b.get(at..end).unwrap_or_default());
                self.cells.float(slot, float.ok_or_else(|| Fault::boxed(Why::Range(slot), at))?);
                Ok(end)
            }
            (Kind::Bool, Some(b't' | b'f')) => {
                let end = scalar(self.b, at)?;
                self.cells.bool(slot, first == Some(b't'));
                Ok(end)
            }
            (Kind::Text, Some(b'"')) => self.escaped(slot, at),
            (Kind::Stamp | Kind::Date, Some(b'"')) => {
                let (text, end) = unescaped(self.b, at + 1, true)?;
                let misfit = || Fault::boxed(Why::Misfit(slot), at);
                if kind == Kind::Stamp {
                    self.cells.int(slot, moment::rfc3339(&text).ok_or_else(misfit)?);
                } else {
                    self.cells.days(slot, moment::date(&text).ok_or_else(misfit)?);
                }
                Ok(end)
            }
            (Kind::Json, _) => {
                let end = value(self.b, at, depth, true)?;
                self.cells.text(slot, self.b.get(at..end).unwrap_or_default());
                Ok(end)
            }
            (Kind::List(item), Some(b'[')) => self.list(slot, item, at, depth),
            (Kind::Struct, Some(b'{')) => self.read_struct(slot, at, depth),
            _ => {
                value(self.b, at, depth, true)?;
                Err(Fault::boxed(Why::Misfit(slot), at))
            }
        }
    }

    fn null(&mut self, slot: usize, at: usize) -> Scan {
        let end = scalar(self.b, at)?;
        if self.shape.slots.get(slot).required {
            return Err(Fault::boxed(Why::Missing(slot), at));
        }
        self.cells.null(slot);
        Ok(end)
    }

    /// A number moved by decimal places; if not `exact`, what is finer is cut off.
    fn scaled(&mut self, slot: usize, at: usize, places: i64, exact: bool) -> Scan {
        let end = scalar(self.b, at)?;
        let text = self.b.get(at..end).unwrap_or_default();
        match number::scaled(text, places) {
            Some(v) if v.exact || !exact => {
                self.cells.int(slot, v.value);
                Ok(end)
            }
            _ => Err(Fault::boxed(Why::Range(slot), at)),
        }
    }

    /// A text with escapes, piece by piece.
    fn escaped(&mut self, slot: usize, at: usize) -> Scan {
        let mut from = at + 1;
        loop {
            let stop = plain(self.b, from);
            let piece = self.b.get(from..stop).unwrap_or_default();
            match self.b.get(stop) {
                Some(b'"') => {
                    self.cells.text(slot, piece);
                    return Ok(stop + 1);
                }
                Some(b'\\') => {
                    let (c, end) = escape(self.b, stop)?;
                    self.cells.piece(slot, piece);
                    self.cells.piece(slot, c.encode_utf8(&mut [0; 4]).as_bytes());
                    from = end;
                }
                Some(_) => return Err(broken("a control character in a text", stop)),
                None => return Err(broken("it ends in the midst of a text", stop)),
            }
        }
    }

    fn list(&mut self, slot: usize, item: usize, at: usize, depth: u32) -> Scan {
        if depth >= DEPTH_MAX {
            return Err(Fault::boxed(Why::Deep, at));
        }
        // A list is one step of a layout, whatever stands in it.
        let tape = self.tape.take();
        let end = self.items(item, at + 1, depth + 1)?;
        self.cells.list(slot);
        self.tape = tape;
        Ok(end)
    }

    fn items(&mut self, item: usize, at: usize, depth: u32) -> Scan {
        let mut at = space(self.b, at);
        if self.b.get(at) == Some(&b']') {
            return Ok(at + 1);
        }
        loop {
            at = self.read(item, at, depth)?;
            at = space(self.b, at);
            match self.b.get(at) {
                Some(b',') => at = space(self.b, at + 1),
                Some(b']') => return Ok(at + 1),
                Some(_) => return Err(broken("neither a comma nor the end of an array", at)),
                None => return Err(broken("it ends in the midst of an array", at)),
            }
        }
    }
}
