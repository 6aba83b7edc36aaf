//! State as chunks, and back.
//!
//! `n` has what the state is for, and how far event time had come; `l<slot>.<row>` and `r<slot>.<row>` rows of one side from a row of
//! a slot on, `l<slot>m` which rows of a slot have matched some row.

use std::collections::BTreeMap;

use arrow::compute::cast;
use arrow_array::ArrayRef;
use bytes::Bytes;
use datafusion_common::Result;
use millstream_core::error::Error;
use millstream_core::operator::Chunks;

use super::joiner::Joiner;
use super::kept::Kept;
use super::read::{Columns, Form};
use super::slot::{ROWS, Slot};
use crate::view::stop;
use crate::window::bytes::{Reader, put, put_bytes, short};

const VERSION: u8 = 1;
const SIDES: [&str; 2] = ["l", "r"];

impl Joiner {
    pub(super) fn tell_chunks(
        &mut self,
        prefix: &str,
        out: &mut Chunks,
    ) -> millstream_core::Result<()> {
        for (kept, side) in self.sides.iter_mut().zip(SIDES) {
            kept.tell(side, prefix, out).map_err(stop)?;
        }
        let mut notes = vec![VERSION];
        put_bytes(&mut notes, self.spec.layout.as_bytes());
        for (kept, passed) in self.sides.iter().zip(self.passed) {
            put(&mut notes, passed.cast_unsigned());
            put(&mut notes, u64::from(kept.first_slot()));
        }
        if notes != self.notes {
            out.insert(format!("{prefix}n"), Some(Bytes::from(notes.clone())));
            self.notes = notes;
        }
        Ok(())
    }

    pub(super) fn read_chunks(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()> {
        for kept in &mut self.sides {
            kept.clear();
        }
        (self.passed, self.notes) = ([i64::MIN; 2], vec![]);
        let Some((_, notes)) = chunks.iter().find(|(name, _)| *name == "n") else {
            return chunks.first().map_or(Ok(()), |_| Err(unfit("n")));
        };
        self.read_notes(notes).ok_or_else(|| unfit("n"))?;
        let mut slots: BTreeMap<(usize, u32), Parts<'_>> = BTreeMap::new();
        for (name, chunk) in chunks.iter().filter(|(name, _)| *name != "n") {
            let (side, number, part) = place(name).ok_or_else(|| unfit(name))?;
            let parts = slots.entry((side, number)).or_default();
            match part {
                Some(from) => drop(parts.rows.insert(from, chunk)),
                None => parts.marks = Some(chunk),
            }
        }
        for ((side, number), parts) in slots {
            let name = format!("{}{number}", SIDES.get(side).unwrap_or(&""));
            let kept = self.sides.get_mut(side).ok_or_else(|| unfit(&name))?;
            match kept.read_parts(number, &parts) {
                Ok(true) => {}
                Ok(false) => return Err(unfit(&name)),
                Err(e) => return Err(unfit(&name).because(e)),
            }
        }
        Ok(())
    }

    fn read_notes(&mut self, chunk: &[u8]) -> Option<()> {
        let mut reader = Reader(chunk);
        if reader.u8()? != VERSION || reader.bytes()? != self.spec.layout.as_bytes() {
            return None;
        }
        for (kept, passed) in self.sides.iter_mut().zip(&mut self.passed) {
            *passed = reader.i64()?;
            kept.begin_at(u32::try_from(reader.u64()?).ok()?);
        }
        self.notes = chunk.to_vec();
        reader.is_empty().then_some(())
    }
}

/// The chunks of one slot.
#[derive(Default)]
struct Parts<'a> {
    rows: BTreeMap<usize, &'a [u8]>,
    marks: Option<&'a [u8]>,
}

/// The side and slot of a chunk, and the row that it begins with; `None` for marks.
fn place(name: &str) -> Option<(usize, u32, Option<usize>)> {
    let (side, rest) =
        SIDES.iter().enumerate().find_map(|(i, s)| Some((i, name.strip_prefix(s)?)))?;
    if let Some(number) = rest.strip_suffix('m') {
        return Some((side, number.parse().ok()?, None));
    }
    let (number, from) = rest.split_once('.')?;
    Some((side, number.parse().ok()?, Some(from.parse().ok()?)))
}

impl Kept {
    /// So many rows and marks no checkpoint has.
    pub(super) fn changed(&self) -> usize {
        let of = |slot: &Slot| {
            slot.len() - slot.saved + if slot.marked { slot.len() / 64 + 1 } else { 0 }
        };
        self.slots().map(|(_, slot)| of(slot)).sum()
    }

    fn tell(&mut self, side: &str, prefix: &str, out: &mut Chunks) -> Result<()> {
        out.extend(self.gone.drain(..).map(|name| (format!("{prefix}{name}"), None)));
        let form = &self.form;
        let slots = (self.first..).zip(&mut self.slots);
        for (number, slot) in slots {
            if slot.len() > slot.saved {
                let mut from = slot.saved;
                let mut end = slot.saved;
                // Small chunks become one, so that there are few.
                while let Some(last) = slot.chunks.last().copied()
                    && (slot.room() == 0 || (slot.len() - from) * 2 >= end - last)
                {
                    slot.chunks.pop();
                    out.insert(format!("{prefix}{side}{number}.{last}"), None);
                    (from, end) = (last, last);
                }
                let chunk = form.encode(&slot.columns(from)?)?;
                out.insert(format!("{prefix}{side}{number}.{from}"), Some(chunk.into()));
                slot.chunks.push(from);
                slot.saved = slot.len();
            }
            if std::mem::take(&mut slot.marked) {
                let marks = slot.marks().iter().flat_map(|word| word.to_le_bytes());
                out.insert(format!("{prefix}{side}{number}m"), Some(marks.collect()));
                slot.marks_saved = true;
            }
        }
        Ok(())
    }

    fn read_parts(&mut self, number: u32, parts: &Parts<'_>) -> Result<bool> {
        let rows = parts.rows.iter().map(|(from, chunk)| Ok((*from, self.form.decode(chunk)?)));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let Some(rows) = rows.into_iter().map(|(f, c)| Some((f, c?))).collect::<Option<Vec<_>>>()
        else {
            return Ok(false);
        };
        if !self.read_slot(number, &rows)? {
            return Ok(false);
        }
        let Some(marks) = parts.marks else { return Ok(true) };
        let words = marks.chunks(8).map(|w| Some(u64::from_le_bytes(w.try_into().ok()?)));
        let words = words.collect::<Option<Vec<_>>>().filter(|w| w.len() <= ROWS / 64);
        let (Some(words), Some(slot)) = (words, self.slots.back_mut()) else { return Ok(false) };
        slot.set_marks(words);
        slot.marks_saved = true;
        Ok(true)
    }

    fn first_slot(&self) -> u32 {
        self.first
    }
}

impl Form {
    fn encode(&self, columns: &[ArrayRef]) -> Result<Vec<u8>> {
        let rows = self.converter.convert_columns(columns)?;
        let mut out = Vec::with_capacity(4 + rows.size() + rows.num_rows() * 4);
        out.extend_from_slice(&short(rows.num_rows()).to_le_bytes());
        for row in &rows {
            put_bytes(&mut out, row.data());
        }
        Ok(out)
    }

    fn decode(&self, chunk: &[u8]) -> Result<Option<Columns>> {
        let mut reader = Reader(chunk);
        let mut read = || {
            let count = reader.u32()?;
            let rows = (0..count).map(|_| reader.bytes()).collect::<Option<Vec<_>>>()?;
            reader.is_empty().then_some(rows)
        };
        let Some(rows) = read() else { return Ok(None) };
        let parser = self.converter.parser();
        // What was not made by the converter it may not be able to read at all.
        let read = crate::quiet::catch(|| {
            self.converter.convert_rows(rows.iter().map(|row| parser.parse(row)))
        });
        let Ok(read) = read else { return Ok(None) };
        let columns = read?.into_iter().zip(&self.fields).map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(column);
            }
            Ok(cast(&column, field.data_type())?)
        });
        self.columns(columns.collect::<Result<Vec<_>>>()?).map(Some)
    }
}

fn unfit(name: &str) -> Error {
    Error::stop(format!(
        "the chunk of state `{name}` was not made by this view, or by another version"
    ))
    .fix("let the view be built anew from the log")
}
