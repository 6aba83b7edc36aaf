//! Columns while they are built: plain vectors that can be cut back to an earlier row.
//!
//! All cells, nested ones too, lie in one arena and are named by index, so that a reader can write to
//! any of them without borrowing its way down.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Fields, Schema, SchemaRef};
use millstream_core::codec::{Column, ColumnType};
use millstream_core::{Error, Result};

/// What a cell holds and how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Float,
    Text,
    Bool,
    Stamp,
    /// Moments as numbers: decimal places to microseconds.
    Epoch(i64),
    Date,
    Json,
    /// The cell of the items.
    List(usize),
    /// Columns inside one.
    Struct,
}

/// What does not change from block to block about one cell.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Its full name, as reasons call it.
    pub(super) path: String,
    /// What it holds, in the words of the pipeline file.
    pub(super) r#type: String,
    pub(super) required: bool,
    pub(super) kind: Kind,
    /// The cells of a struct's columns.
    pub(super) children: Vec<usize>,
    arrow: DataType,
}

/// All slots; the row's own come first in the order of the columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    pub(super) all: Vec<Slot>,
    /// The slots of the row's columns.
    pub(super) top: Vec<usize>,
}

impl Slots {
    /// Slots for these columns.
    pub(super) fn of(columns: &[Column]) -> Self {
        let mut slots = Self::default();
        slots.top = columns.iter().map(|c| slots.add(&c.name, &c.r#type, c.required)).collect();
        slots
    }

    fn add(&mut self, path: &str, r#type: &ColumnType, required: bool) -> usize {
        let (kind, children) = match r#type {
            ColumnType::Int64 => (Kind::Int, vec![]),
            ColumnType::Float64 => (Kind::Float, vec![]),
            ColumnType::String => (Kind::Text, vec![]),
            ColumnType::Bool => (Kind::Bool, vec![]),
            ColumnType::Timestamp => (Kind::Stamp, vec![]),
            ColumnType::TimestampS => (Kind::Epoch(6), vec![]),
            ColumnType::TimestampMs => (Kind::Epoch(3), vec![]),
            ColumnType::TimestampUs => (Kind::Epoch(0), vec![]),
            ColumnType::Date => (Kind::Date, vec![]),
            ColumnType::Json => (Kind::Json, vec![]),
            ColumnType::List(item) => (Kind::List(self.add(path, item, false)), vec![]),
            ColumnType::Struct(columns) => {
                let add =
                    |c: &Column| self.add(&format!("{path}.{}", c.name), &c.r#type, c.required);
                (Kind::Struct, columns.0.iter().map(add).collect())
            }
        };
        self.all.push(Slot {
            path: path.to_owned(),
            r#type: r#type.to_string(),
            required,
            kind,
            children,
            arrow: r#type.arrow(),
        });
        self.all.len() - 1
    }

    pub(super) fn get(&self, slot: usize) -> &Slot {
        let Some(slot) = self.all.get(slot) else { unreachable!("slot {slot} was never made") };
        slot
    }
}

/// The values of one cell.
#[derive(Debug)]
pub(super) enum Values {
    /// Integers, and moments in microseconds.
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    Days(Vec<i32>),
    /// Ends of the texts, a zero first, and the texts.
    Text(Vec<i32>, Vec<u8>),
    /// Ends of the lists, a zero first, and the cell of the items.
    List(Vec<i32>, usize),
    /// How many, and the cells of the columns.
    Struct(usize, Vec<usize>),
}

/// One column while it is built.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) values: Values,
    /// Which rows are null: rising, and short as a rule.
    nulls: Vec<usize>,
}

impl Cell {
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        match &self.values {
            Values::Int(v) => v.len(),
            Values::Float(v) => v.len(),
            Values::Bool(v) => v.len(),
            Values::Days(v) => v.len(),
            Values::Text(ends, _) | Values::List(ends, _) => ends.len() - 1,
            Values::Struct(len, _) => *len,
        }
    }
}

/// How much a block took: a guess for the next.
#[derive(Debug, Default)]
pub(super) struct Room {
    rows: usize,
    texts: Vec<usize>,
}

/// All cells of a decoder.
#[derive(Debug)]
pub(super) struct Cells {
    all: Vec<Cell>,
    /// Whole rows so far.
    pub(super) rows: usize,
}

impl Cells {
    /// Empty cells with the room that a block like the last one needs.
    pub(super) fn of(slots: &Slots, room: &Room) -> Self {
        let rows = room.rows + room.rows / 8;
        let ends = || {
            let mut ends = Vec::with_capacity(rows + 1);
            ends.push(0);
            ends
        };
        let text = |i: usize| room.texts.get(i).map_or(0, |bytes| bytes + bytes / 8);
        let values = |i: usize, slot: &Slot| match slot.kind {
            Kind::Int | Kind::Stamp | Kind::Epoch(_) => Values::Int(Vec::with_capacity(rows)),
            Kind::Float => Values::Float(Vec::with_capacity(rows)),
            Kind::Bool => Values::Bool(Vec::with_capacity(rows)),
            Kind::Date => Values::Days(Vec::with_capacity(rows)),
            Kind::Text | Kind::Json => Values::Text(ends(), Vec::with_capacity(text(i))),
            Kind::List(item) => Values::List(ends(), item),
            Kind::Struct => Values::Struct(0, slot.children.clone()),
        };
        let cell = |(i, slot)| Cell { values: values(i, slot), nulls: Vec::new() };
        Self { all: slots.all.iter().enumerate().map(cell).collect(), rows: 0 }
    }

    #[inline(always)]
    pub(super) fn get(&mut self, cell: usize) -> &mut Cell {
        let Some(cell) = self.all.get_mut(cell) else { unreachable!("cell {cell} was never made") };
        cell
    }

    /// How many values a cell has.
    #[inline(always)]
    pub(super) fn len(&self, cell: usize) -> usize {
        self.all.get(cell).map_or(0, Cell::len)
    }

    #[inline(always)]
    pub(super) fn int(&mut self, cell: usize, v: i64) {
        if let Values::Int(values) = &mut self.get(cell).values {
            values.push(v);
        }
    }

    #[inline(always)]
    pub(super) fn float(&mut self, cell: usize, v: f64) {
        if let Values::Float(values) = &mut self.get(cell).values {
            values.push(v);
        }
    }

    pub(super) fn bool(&mut self, cell: usize, v: bool) {
        if let Values::Bool(values) = &mut self.get(cell).values {
            values.push(v);
        }
    }

    pub(super) fn days(&mut self, cell: usize, v: i32) {
        if let Values::Days(values) = &mut self.get(cell).values {
            values.push(v);
        }
    }

    /// A whole text.
    #[inline(always)]
    pub(super) fn text(&mut self, cell: usize, text: &[u8]) {
        if let Values::Text(ends, texts) = &mut self.get(cell).values {
            texts.extend_from_slice(text);
            ends.push(end(texts.len()));
        }
    }

    /// The whole text `b[start..end]`. A short one is copied as 16 bytes and cut back, which is
    /// two instructions instead of a call.
    #[inline(always)]
    pub(super) fn text_of(&mut self, cell: usize, b: &[u8], start: usize, end_at: usize) {
        let len = end_at - start;
        let chunk = b.get(start..).and_then(|rest| rest.first_chunk::<16>());
        let Some(chunk) = chunk.filter(|_| len <= 16) else {
            return self.text(cell, b.get(start..end_at).unwrap_or_default());
        };
        if let Values::Text(ends, texts) = &mut self.get(cell).values {
            let whole = texts.len() + len;
            texts.extend_from_slice(chunk);
            texts.truncate(whole);
            ends.push(end(whole));
        }
    }

    /// Where a text grows that comes in pieces; [`Self::text`] with the last piece ends it.
    pub(super) fn piece(&mut self, cell: usize, piece: &[u8]) {
        if let Values::Text(_, texts) = &mut self.get(cell).values {
            texts.extend_from_slice(piece);
        }
    }

    /// Ends a list after the items so far.
    pub(super) fn list(&mut self, cell: usize) {
        let Values::List(_, item) = self.get(cell).values else { return };
        let items = end(self.len(item));
        if let Values::List(ends, _) = &mut self.get(cell).values {
            ends.push(items);
        }
    }

    /// Ends a struct whose columns have their values.
    #[inline(always)]
    pub(super) fn present(&mut self, cell: usize) {
        if let Values::Struct(len, _) = &mut self.get(cell).values {
            *len += 1;
        }
    }

    /// A null, for a struct in all its columns too.
    pub(super) fn null(&mut self, cell: usize) {
        let at = self.len(cell);
        let it = self.get(cell);
        it.nulls.push(at);
        match &mut it.values {
            Values::Int(v) => v.push(0),
            Values::Float(v) => v.push(0.0),
            Values::Bool(v) => v.push(false),
            Values::Days(v) => v.push(0),
            // A text that was begun and not ended does not belong to the null.
            Values::Text(ends, texts) => {
                ends.push(ends.last().copied().unwrap_or(0));
                texts.truncate(place(ends.last()));
            }
            Values::List(ends, _) => ends.push(ends.last().copied().unwrap_or(0)),
            Values::Struct(len, children) => {
                *len += 1;
                for child in children.clone() {
                    self.null(child);
                }
            }
        }
    }

    /// Cuts a cell back to its first `len` values, and whatever of a further one was begun.
    pub(super) fn cut(&mut self, cell: usize, len: usize) {
        let it = self.get(cell);
        while it.nulls.last().is_some_and(|n| *n >= len) {
            it.nulls.pop();
        }
        let inner = match &mut it.values {
            Values::Int(v) => {
                v.truncate(len);
                return;
            }
            Values::Float(v) => {
                v.truncate(len);
                return;
            }
            Values::Bool(v) => {
                v.truncate(len);
                return;
            }
            Values::Days(v) => {
                v.truncate(len);
                return;
            }
            Values::Text(ends, texts) => {
                ends.truncate(len + 1);
                texts.truncate(place(ends.last()));
                return;
            }
            Values::List(ends, item) => {
                ends.truncate(len + 1);
                (vec![*item], place(ends.last()))
            }
            Values::Struct(n, children) => {
                *n = len.min(*n);
                (children.clone(), len)
            }
        };
        for cell in inner.0 {
            self.cut(cell, inner.1);
        }
    }

    /// Cuts all columns back to `rows` rows.
    pub(super) fn cut_rows(&mut self, slots: &Slots, rows: usize) {
        for cell in &slots.top {
            self.cut(*cell, rows);
        }
        self.rows = rows;
    }

    /// How many texts each cell has.
    pub(super) fn texts(&self) -> Vec<usize> {
        let texts = |cell: &Cell| if let Values::Text(..) = cell.values { cell.len() } else { 0 };
        self.all.iter().map(texts).collect()
    }

    /// Whether each text that came since is UTF-8.
    pub(super) fn texts_are_utf8(&self, since: &[usize]) -> bool {
        self.all.iter().zip(since).all(|(cell, since)| {
            let Values::Text(ends, texts) = &cell.values else { return true };
            let mut ends = ends.get(*since..).unwrap_or_default().iter().map(|e| place(Some(e)));
            let mut from = ends.next().unwrap_or(0);
            ends.all(|end| {
                let text = texts.get(from..end).unwrap_or_default();
                from = end;
                std::str::from_utf8(text).is_ok()
            })
        })
    }

    /// What the next block may need.
    pub(super) fn room(&self) -> Room {
        let text = |cell: &Cell| {
            if let Values::Text(_, texts) = &cell.values { texts.len() } else { 0 }
        };
        Room { rows: self.rows, texts: self.all.iter().map(text).collect() }
    }

    /// The columns of the schema as Arrow has them.
    pub(super) fn finish(mut self, slots: &Slots, schema: &SchemaRef) -> Result<RecordBatch> {
        let rows = self.rows;
        let picked = slots.picked(schema);
        let mut arrays = Vec::with_capacity(picked.len());
        for slot in picked {
            arrays.push(self.array(slots, slot)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(|e| wrong(&e))
    }

    fn array(&mut self, slots: &Slots, slot: usize) -> Result<ArrayRef> {
        let len = self.len(slot);
        let cell = self.get(slot);
        let nulls = validity(&std::mem::take(&mut cell.nulls), len);
        let values = std::mem::replace(&mut cell.values, Values::Struct(0, vec![]));
        let arrow = &slots.get(slot).arrow;
        Ok(match values {
            Values::Int(v) if matches!(arrow, DataType::Timestamp(..)) => Arc::new(
                TimestampMicrosecondArray::new(v.into(), nulls).with_data_type(arrow.clone()),
            ),
            Values::Int(v) => Arc::new(Int64Array::new(v.into(), nulls)),
            Values::Float(v) => Arc::new(Float64Array::new(v.into(), nulls)),
            Values::Bool(v) => Arc::new(BooleanArray::new(BooleanBuffer::from(v), nulls)),
            Values::Days(v) => Arc::new(Date32Array::new(v.into(), nulls)),
            Values::Text(ends, texts) => Arc::new(
                StringArray::try_new(offsets(ends), Buffer::from_vec(texts), nulls)
                    .map_err(|e| wrong(&e))?,
            ),
            Values::List(ends, item) => {
                let items = self.array(slots, item)?;
                let DataType::List(field) = arrow else {
                    return Err(Error::stop("a list's cell has the type of another"));
                };
                let list = ListArray::try_new(field.clone(), offsets(ends), items, nulls);
                Arc::new(list.map_err(|e| wrong(&e))?)
            }
            Values::Struct(_, children) => {
                let mut arrays = Vec::with_capacity(children.len());
                for child in children {
                    arrays.push(self.array(slots, child)?);
                }
                let DataType::Struct(fields) = arrow else {
                    return Err(Error::stop("a struct's cell has the type of another"));
                };
                let fields: Fields = fields.clone();
                let array = StructArray::try_new_with_length(fields, arrays, nulls, len);
                Arc::new(array.map_err(|e| wrong(&e))?)
            }
        })
    }
}

impl Slots {
    /// The slots of a schema's fields, which are the first of `top` that have their names.
    fn picked(&self, schema: &Schema) -> Vec<usize> {
        let by_name = |name: &str| self.top.iter().copied().find(|s| self.get(*s).path == name);
        schema.fields().iter().filter_map(|f| by_name(f.name())).collect()
    }
}

/// A length as an Arrow offset. A decoder takes no block of 2 GiB or more, and no text or list has
/// more bytes or items than its block.
#[inline(always)]
fn end(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

fn place(end: Option<&i32>) -> usize {
    end.and_then(|e| usize::try_from(*e).ok()).unwrap_or(0)
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(ends))
}

fn validity(nulls: &[usize], len: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut bits = vec![0xffu8; len.div_ceil(8)];
    for at in nulls {
        if let Some(byte) = bits.get_mut(at / 8) {
            *byte &= !(1 << (at % 8));
        }
    }
    Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, len)))
}

#[cold]
fn wrong(e: &arrow_schema::ArrowError) -> Error {
    Error::stop(format!("the decoder built columns that do not fit together: {e}"))
        .fix("this is a bug in Millstream: please report it with the block")
}
