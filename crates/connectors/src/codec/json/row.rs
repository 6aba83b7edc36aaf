//! One row, read in full: any order of keys, any spaces, any escapes.

use std::borrow::Cow;

use memchr::memchr2;

use super::fault::{Fault, Why};
use super::layout::{Act, Tape};
use super::scan::{DEPTH_MAX, Scan, broken, colon, escape, plain, space, value};
use super::shape::{Key, Keys, Shape};
use crate::codec::cells::{Cells, Kind};
use crate::codec::moment::Minute;

/// Which keys of an object have been met: a key is met when its number is the object's own.
#[derive(Debug, Default)]
pub(super) struct Met {
    by: Vec<u64>,
    last: u64,
}

impl Met {
    pub(super) fn of(keys: usize) -> Self {
        Self { by: vec![0; keys], last: 0 }
    }

    fn object(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Whether the key was met before.
    fn again(&mut self, key: usize, object: u64) -> bool {
        self.by.get_mut(key).is_some_and(|by| std::mem::replace(by, object) == object)
    }
}

/// Reads rows of one record into cells.
pub(super) struct Reader<'a> {
    pub(super) shape: &'a Shape,
    pub(super) cells: &'a mut Cells,
    pub(super) met: &'a mut Met,
    pub(super) minute: &'a mut Minute,
    /// The record.
    pub(super) b: &'a [u8],
    pub(super) strict: bool,
    /// Where the row's layout is noted, if it is to be learned.
    pub(super) tape: Option<&'a mut Tape>,
}

/// The object that is being read.
#[derive(Clone, Copy)]
struct Inside {
    /// Its number for [`Met`]; objects on the way to a pointer share that of their row.
    object: u64,
    depth: u32,
    /// It is the row, or on the way from the row to a pointer.
    of_row: bool,
    /// It is a row on a line of its own, so that its rest may be stepped over.
    line: bool,
}

impl Reader<'_> {
    /// Reads the row at `at` and gives its end. Values of a row that fails stay behind: cut them.
    pub(super) fn row(&mut self, at: usize, line: bool) -> Scan {
        if self.b.get(at) != Some(&b'{') {
            return Err(Fault::boxed(Why::NoObject, at));
        }
        let end = if self.shape.whole {
            let end = value(self.b, at, 0, true)?;
            self.cells.text(0, self.b.get(at..end).unwrap_or_default());
            if let Some(tape) = &mut self.tape {
                tape.usable = false;
            }
            end
        } else {
            let object = self.met.object();
            let line = line && !self.strict;
            let end = self.members(
                &self.shape.root,
                at + 1,
                Inside { object, depth: 1, of_row: true, line },
            )?;
            self.fill(&self.shape.slots.top, self.cells.rows, at)?;
            end
        };
        self.cells.rows += 1;
        Ok(end)
    }

    /// Nulls for columns that had no key.
    fn fill(&mut self, slots: &[usize], before: usize, at: usize) -> Result<(), Box<Fault>> {
        for slot in slots {
            if self.cells.len(*slot) > before {
                continue;
            }
            if self.shape.slots.get(*slot).required {
                return Err(Fault::boxed(Why::Missing(*slot), at));
            }
            self.cells.null(*slot);
            if let Some(tape) = &mut self.tape {
                tape.missing.push(*slot);
            }
        }
        Ok(())
    }

    /// Members of an object up to its closing brace.
    fn members(&mut self, keys: &Keys, mut at: usize, inside: Inside) -> Scan {
        let mut hint = 0;
        if let Some(end) = self.rest(at, inside) {
            return Ok(end);
        }
        at = space(self.b, at);
        if self.b.get(at) == Some(&b'}') {
            return Ok(at + 1);
        }
        loop {
            if self.b.get(at) != Some(&b'"') {
                return Err(broken("no key", at));
            }
            let (name, end) = unescaped(self.b, at + 1, self.strict)?;
            let start = colon(self.b, end)?;
            at = match keys.find(&name, &mut hint) {
                Some(key) => {
                    if self.met.again(key.id, inside.object) {
                        let name = String::from_utf8_lossy(&name).into_owned();
                        return Err(Fault::boxed(Why::Twice(name), at));
                    }
                    self.member(key, start, inside)?
                }
                None => self.skip(start, inside.depth)?,
            };
            if let Some(end) = self.rest(at, inside) {
                return Ok(end);
            }
            at = space(self.b, at);
            match self.b.get(at) {
                Some(b',') => at = space(self.b, at + 1),
                Some(b'}') => return Ok(at + 1),
                Some(_) => return Err(broken("neither a comma nor the end of an object", at)),
                None => return Err(broken("it ends in the midst of an object", at)),
            }
        }
    }

    /// The value of a key that matters.
    fn member(&mut self, key: &Key, at: usize, inside: Inside) -> Scan {
        if key.slots.len() + usize::from(key.inner.is_some()) != 1
            && let Some(tape) = &mut self.tape
        {
            tape.usable = false;
        }
        let mut end = at;
        for slot in &key.slots {
            end = self.read(*slot, at, inside.depth)?;
            let nested =
                self.shape.slots.get(*slot).kind == Kind::Struct && self.b.get(at) == Some(&b'{');
            if let Some(tape) = &mut self.tape
                && !nested
            {
                tape.note(at, end, Act::Read(*slot), inside.depth);
            }
        }
        let Some(inner) = &key.inner else { return Ok(end) };
        let inside = Inside { depth: inside.depth + 1, line: false, ..inside };
        match self.b.get(at) {
            Some(b'{' | b'[') if inside.depth > DEPTH_MAX => Err(Fault::boxed(Why::Deep, at)),
            Some(b'{') => self.members(inner, at + 1, inside),
            Some(b'[') => self.elements(inner, at + 1, inside),
            _ => {
                if let Some(tape) = &mut self.tape {
                    tape.usable = false;
                }
                value(self.b, at, inside.depth, self.strict)
            }
        }
    }

    /// Elements of an array on the way of a pointer: its keys are their indices.
    fn elements(&mut self, keys: &Keys, at: usize, inside: Inside) -> Scan {
        let mut at = space(self.b, at);
        if self.b.get(at) == Some(&b']') {
            return Ok(at + 1);
        }
        let mut hint = 0;
        for index in 0usize.. {
            at = match keys.find(index.to_string().as_bytes(), &mut hint) {
                Some(key) => self.member(key, at, inside)?,
                None => self.skip(at, inside.depth)?,
            };
            at = space(self.b, at);
            match self.b.get(at) {
                Some(b',') => at = space(self.b, at + 1),
                Some(b']') => return Ok(at + 1),
                _ => break,
            }
        }
        Err(broken("neither a comma nor the end of an array", at))
    }

    fn skip(&mut self, at: usize, depth: u32) -> Scan {
        let end = value(self.b, at, depth, self.strict)?;
        if let Some(tape) = &mut self.tape {
            tape.note(at, end, Act::Skip, depth);
        }
        Ok(end)
    }

    /// The end of the row when all columns are found and the rest of its line can be stepped over.
    fn rest(&mut self, at: usize, inside: Inside) -> Option<usize> {
        if !inside.line || !inside.of_row {
            return None;
        }
        let rows = self.cells.rows;
        if self.shape.slots.top.iter().any(|slot| self.cells.len(*slot) == rows) {
            return None;
        }
        let end = rest_of_line(self.b, at)?;
        if let Some(tape) = &mut self.tape {
            tape.rest = Some(at);
        }
        Some(end)
    }

    /// A struct: an object whose columns lie in cells of their own.
    pub(super) fn read_struct(&mut self, slot: usize, at: usize, depth: u32) -> Scan {
        let Some(keys) = self.shape.keys_of(slot) else { unreachable!("a struct has keys") };
        if depth >= DEPTH_MAX {
            return Err(Fault::boxed(Why::Deep, at));
        }
        let before = self.cells.len(slot);
        let object = self.met.object();
        let inside = Inside { object, depth: depth + 1, of_row: false, line: false };
        let end = self.members(keys, at + 1, inside)?;
        self.fill(&self.shape.slots.get(slot).children, before, at)?;
        self.cells.present(slot);
        if let Some(tape) = &mut self.tape {
            tape.present.push(slot);
        }
        Ok(end)
    }
}

/// A text whose first byte is at `at` without its escapes, and the place after its quote.
///
/// Unless `strict`, a text with a broken escape is given as it stands: it can only be a key that no
/// column has.
pub(super) fn unescaped(
    b: &[u8],
    at: usize,
    strict: bool,
) -> Result<(Cow<'_, [u8]>, usize), Box<Fault>> {
    let end = plain(b, at);
    if b.get(end) == Some(&b'"') {
        return Ok((Cow::Borrowed(b.get(at..end).unwrap_or_default()), end + 1));
    }
    let mut text = Vec::new();
    let mut from = at;
    loop {
        let stop = plain(b, from);
        text.extend_from_slice(b.get(from..stop).unwrap_or_default());
        match b.get(stop) {
            Some(b'"') => return Ok((Cow::Owned(text), stop + 1)),
            Some(b'\\') => match escape(b, stop) {
                Ok((c, end)) => {
                    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    from = end;
                }
                Err(fault) if strict => return Err(fault),
                Err(_) => {
                    let end = super::scan::text_end(b, at, false)?;
                    return Ok((Cow::Borrowed(b.get(at..end - 1).unwrap_or_default()), end));
                }
            },
            Some(_) => return Err(broken("a control character in a text", stop)),
            None => return Err(broken("it ends in the midst of a text", stop)),
        }
    }
}

/// The end of the row that fills the rest of this line, found by its last brace.
///
/// `None`, and a full look is needed, unless a brace is followed by a line break and the next line
/// begins with a bracket. Anything that could be a second row on the line is `None` too, so that no
/// row can hide in what is not looked at.
#[inline]
pub(super) fn rest_of_line(b: &[u8], mut at: usize) -> Option<usize> {
    loop {
        if b.get(at) != Some(&b'}') {
            at += memchr2(b'\n', b'}', b.get(at..)?)?;
        }
        if b.get(at) == Some(&b'\n') {
            return None;
        }
        at += 1;
        match (b.get(at), b.get(at + 1), b.get(at + 2)) {
            (None, ..) | (Some(b'\n'), None | Some(b'{' | b'['), _) => return Some(at),
            (Some(b'\r'), Some(b'\n'), None | Some(b'{' | b'[')) => return Some(at),
            (Some(b'}' | b']'), ..)
            | (Some(b','), Some(b'"'), _)
            | (Some(b','), Some(b' '), Some(b'"')) => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_line_is_stepped_over_only_when_no_row_can_hide_in_it() {
        let at = |text: &str| rest_of_line(text.as_bytes(), 0);
        assert_eq!(at("}\n{"), Some(1));
        assert_eq!(at("}"), Some(1));
        assert_eq!(at(",\"x\":{\"y\":[{}]},\"z\":1}\r\n{"), Some(22));
        assert_eq!(at(", \"x\": {}, \"z\": 1}\n"), Some(18));
        for unsure in [
            ",\"x\":1} {\"id\":2}\n",
            ",\"x\":1}{\"id\":2}\n",
            ",\"x\":1},{\"id\":2}\n",
            ",\"x\":1}\n,\"y\":2}\n",
            ",\"x\":1\n{\"id\":2}\n",
            ",\"x\":[{},{}]}\n",
            ",\"x\":1",
        ] {
            assert_eq!(at(unsure), None, "{unsure}");
        }
    }
}
