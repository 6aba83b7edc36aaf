//! Rows as the words of commands.

use std::ops::Range;

use arrow_array::{Array as _, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::Schema;
use millstream_core::codec::Rows;
use millstream_core::sink::Refused;
use millstream_core::{Error, Result};

use super::{RedisHash, RedisList, RedisPubsub, RedisStream, RedisString, RedisWrite};
use crate::redis::template::{Piece, Template};
use crate::render::{Cell, JsonRows, Style, cell};

/// The longest text a server takes, as it comes: `proto-max-bulk-len`.
const TEXT_BYTES_MAX: usize = 512 << 20;

/// How a row becomes words.
pub(super) struct Render {
    shape: Shape,
    text_bytes_max: usize,
}

enum Shape {
    /// The value.
    Value(Value),
    /// The number of the words that follow; then field, value and so on.
    Entry(Option<String>),
    /// The key, the number of words that follow it and set a field; then field, value and so on, and then the fields
    /// that are taken away.
    Hash(Template),
    /// The key, and the value.
    Keyed(Template, Value),
}

/// One text for a row.
enum Value {
    Json,
    Column(String),
}

impl Value {
    fn of(column: Option<&String>) -> Self {
        column.map_or(Self::Json, |name| Self::Column(name.clone()))
    }
}

/// Rows as words, in order.
#[derive(Default)]
pub(super) struct Rendered {
    bytes: Vec<u8>,
    /// Where each word ends.
    words: Vec<usize>,
    /// The number of words up to the end of each row.
    rows: Vec<usize>,
    pub(super) refused: Vec<Refused>,
}

impl Rendered {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Forgets everything and keeps the room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.words.clear();
        self.rows.clear();
        self.refused.clear();
    }

    /// The first word of a row.
    fn begin(&self, row: usize) -> usize {
        row.checked_sub(1).and_then(|before| self.rows.get(before)).copied().unwrap_or(0)
    }

    /// Where a word begins.
    fn start(&self, word: usize) -> usize {
        word.checked_sub(1).and_then(|before| self.words.get(before)).copied().unwrap_or(0)
    }

    /// Where a piece from row `at` on ends that has so many rows and bytes at most, or one row.
    pub(super) fn piece(&self, at: usize, rows_max: usize, bytes_max: usize) -> usize {
        let from = self.start(self.begin(at));
        let most = self.len().min(at.saturating_add(rows_max));
        let mut end = most.min(at + 1);
        while end < most && self.start(self.begin(end + 1)) - from <= bytes_max {
            end += 1;
        }
        end
    }

    /// The words of these rows.
    pub(super) fn arguments(&self, rows: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let words = self.begin(rows.start)..self.begin(rows.end);
        words.map(|word| {
            let end = self.words.get(word).copied().unwrap_or_default();
            self.bytes.get(self.start(word)..end).unwrap_or_default()
        })
    }

    fn end_word(&mut self) {
        self.words.push(self.bytes.len());
    }

    fn word(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.end_word();
    }

    /// Ends a row, or takes it back and says why.
    fn end_row(
        &mut self,
        written: Result<(), String>,
        text_bytes_max: usize,
    ) -> Result<(), String> {
        let begin = self.begin(self.len());
        let written = written.and_then(|()| {
            let mut from = self.start(begin);
            for end in self.words.iter().skip(begin) {
                if end - from > text_bytes_max {
                    return Err(format!(
                        "a text of {} bytes is longer than Redis takes",
                        end - from
                    ));
                }
                from = *end;
            }
            Ok(())
        });
        match written {
            Ok(()) => self.rows.push(self.words.len()),
            Err(_) => {
                self.bytes.truncate(self.start(begin));
                self.words.truncate(begin);
            }
        }
        written
    }
}

impl Render {
    pub(super) fn new(write: &RedisWrite) -> Self {
        let shape = match write {
            RedisWrite::List(RedisList { value, .. })
            | RedisWrite::Pubsub(RedisPubsub { value, .. }) => {
                Shape::Value(Value::of(value.as_ref()))
            }
            RedisWrite::Stream(RedisStream { field, .. }) => Shape::Entry(field.clone()),
            RedisWrite::Hash(RedisHash { key, .. }) => Shape::Hash(key.clone()),
            RedisWrite::String(RedisString { key, value, .. }) => {
                Shape::Keyed(key.clone(), Value::of(value.as_ref()))
            }
        };
        Self { shape, text_bytes_max: TEXT_BYTES_MAX }
    }

    /// Whether all columns that are named are there.
    pub(super) fn check(&self, schema: &Schema) -> Result<()> {
        let mut named: Vec<&str> = Vec::new();
        match &self.shape {
            Shape::Value(value) => named.extend(value.column()),
            Shape::Entry(_) => {}
            Shape::Hash(key) => named.extend(key.columns()),
            Shape::Keyed(key, value) => named.extend(key.columns().chain(value.column())),
        }
        let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        if let Some(missing) = named.iter().find(|name| !columns.contains(name)) {
            return Err(Error::stop(format!("the rows have no column `{missing}`"))
                .fix(format!("name one of: {}", columns.join(", "))));
        }
        if matches!(self.shape, Shape::Hash(_)) && columns.iter().all(|name| named.contains(name)) {
            return Err(Error::stop(
                "all columns are in the key, so that the hash would have no field",
            )
            .fix("write `string` instead, or select another column"));
        }
        Ok(())
    }

    /// Adds the rows; those that Redis cannot take are refused.
    pub(super) fn write(&self, rows: &Rows, out: &mut Rendered) -> Result<()> {
        let write = self.writer(&rows.batch)?;
        for row in 0..rows.len() {
            let written = write(row, out);
            if let Err(reason) = out.end_row(written, self.text_bytes_max) {
                let (id, row) = (rows.origin.id(row), rows.batch.slice(row, 1));
                out.refused.push(Refused { id, reason, row });
            }
        }
        Ok(())
    }

    fn writer<'a>(&'a self, batch: &'a RecordBatch) -> Result<Writer<'a>> {
        Ok(match &self.shape {
            Shape::Value(value) => value.writer(batch)?,
            Shape::Entry(Some(field)) => {
                let json = JsonRows::new(batch);
                Box::new(move |row, out| {
                    out.word(b"2");
                    out.word(field.as_bytes());
                    json.write(row, &mut out.bytes);
                    out.end_word();
                    Ok(())
                })
            }
            Shape::Entry(None) => {
                let columns = columns(batch, |_| true);
                Box::new(move |row, out| {
                    let fields = columns.iter().filter(|c| !c.is_null(row)).count();
                    if fields == 0 {
                        return Err(
                            "all columns are null, and an entry has one field at least".into()
                        );
                    }
                    out.word((fields * 2).to_string().as_bytes());
                    set_fields(&columns, row, out);
                    Ok(())
                })
            }
            Shape::Hash(key) => {
                let columns = columns(batch, |name| key.columns().all(|of_key| of_key != name));
                let key = key.writer(batch)?;
                Box::new(move |row, out| {
                    key(row, out)?;
                    let fields = columns.iter().filter(|c| !c.is_null(row)).count();
                    out.word((fields * 2).to_string().as_bytes());
                    set_fields(&columns, row, out);
                    for column in columns.iter().filter(|c| c.is_null(row)) {
                        out.word(column.name.as_bytes());
                    }
                    Ok(())
                })
            }
            Shape::Keyed(key, value) => {
                let (key, value) = (key.writer(batch)?, value.writer(batch)?);
                Box::new(move |row, out| {
                    key(row, out)?;
                    value(row, out)
                })
            }
        })
    }
}

/// Adds the words of one row, or says why it cannot.
type Writer<'a> = Box<dyn Fn(usize, &mut Rendered) -> Result<(), String> + 'a>;

struct Column<'a> {
    name: &'a str,
    cell: Cell<'a>,
    nulls: Option<NullBuffer>,
}

impl<'a> Column<'a> {
    fn of(batch: &'a RecordBatch, i: usize) -> Self {
        let (field, array) = (batch.schema_ref().field(i), batch.column(i));
        Self {
            name: field.name(),
            cell: cell(field, array.as_ref(), Style::Text),
            nulls: array.logical_nulls(),
        }
    }

    fn named(batch: &'a RecordBatch, name: &str) -> Result<Self> {
        let i = batch.schema_ref().index_of(name);
        let i = i.map_err(|e| Error::stop("the rows have other columns").because(e))?;
        Ok(Self::of(batch, i))
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

fn columns(batch: &RecordBatch, wanted: impl Fn(&str) -> bool) -> Vec<Column<'_>> {
    let all = (0..batch.num_columns()).map(|i| Column::of(batch, i));
    all.filter(|column| wanted(column.name)).collect()
}

fn set_fields(columns: &[Column<'_>], row: usize, out: &mut Rendered) {
    for column in columns.iter().filter(|c| !c.is_null(row)) {
        out.word(column.name.as_bytes());
        (column.cell)(row, &mut out.bytes);
        out.end_word();
    }
}

impl Value {
    fn column(&self) -> Option<&str> {
        match self {
            Self::Json => None,
            Self::Column(name) => Some(name),
        }
    }

    fn writer<'a>(&self, batch: &'a RecordBatch) -> Result<Writer<'a>> {
        let Some(name) = self.column() else {
            let json = JsonRows::new(batch);
            return Ok(Box::new(move |row, out| {
                json.write(row, &mut out.bytes);
                out.end_word();
                Ok(())
            }));
        };
        let column = Column::named(batch, name)?;
        Ok(Box::new(move |row, out| {
            if column.is_null(row) {
                return Err(format!("`{}`, which is the value, is null", column.name));
            }
            (column.cell)(row, &mut out.bytes);
            out.end_word();
            Ok(())
        }))
    }
}

impl Template {
    fn writer<'a>(&'a self, batch: &'a RecordBatch) -> Result<Writer<'a>> {
        enum Part<'a> {
            Text(&'a str),
            Column(Column<'a>),
        }
        let parts = self.pieces().iter().map(|piece| {
            Ok(match piece {
                Piece::Text(text) => Part::Text(text),
                Piece::Column(name) => Part::Column(Column::named(batch, name)?),
            })
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(Box::new(move |row, out| {
            for part in &parts {
                match part {
                    Part::Text(text) => out.bytes.extend_from_slice(text.as_bytes()),
                    Part::Column(column) if column.is_null(row) => {
                        return Err(format!("`{}`, which is in the key, is null", column.name));
                    }
                    Part::Column(column) => (column.cell)(row, &mut out.bytes),
                }
            }
            out.end_word();
            Ok(())
        }))
    }
}

#[cfg(test)]
mod tests {
    use millstream_testkit::laws::sink as laws;

    use super::*;

    fn words(rendered: &Rendered, rows: Range<usize>) -> Vec<&str> {
        rendered.arguments(rows).map(|word| std::str::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn a_row_with_too_long_a_text_is_refused_and_leaves_nothing() {
        let shape = Shape::Entry(None);
        let render = Render { shape, text_bytes_max: 5 };
        let mut out = Rendered::default();
        render.write(&laws::rows(1, &[7, 10, 8]), &mut out).unwrap();
        assert_eq!(out.len(), 2);
        assert_eq!(words(&out, 0..1), ["4", "id", "7", "name", "row 7"]);
        assert_eq!(words(&out, 1..2), ["4", "id", "8", "name", "row 8"]);
        let refused: Vec<String> = out.refused.iter().map(|r| r.id.to_string()).collect();
        assert_eq!(refused, ["1/0/1"]);
        let all = words(&out, 0..2);
        assert_eq!(all.len(), 10);
        out.clear();
        assert_eq!((out.len(), words(&out, 0..0).len()), (0, 0));
    }

    #[test]
    fn pieces_are_bounded_and_never_empty() {
        let render =
            Render { shape: Shape::Value(Value::Column("name".into())), text_bytes_max: 99 };
        let mut out = Rendered::default();
        render.write(&laws::rows(1, &(10..20).collect::<Vec<_>>()), &mut out).unwrap();
        // Six bytes a row.
        assert_eq!(out.piece(0, 100, 18), 3);
        assert_eq!(out.piece(3, 100, 23), 6);
        assert_eq!(out.piece(3, 2, 1_000), 5);
        assert_eq!(out.piece(9, 100, 1_000), 10);
        assert_eq!(out.piece(0, 100, 1), 1, "one row at least");
        assert_eq!(out.piece(10, 100, 1), 10);
    }
}
