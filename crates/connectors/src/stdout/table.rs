//! An aligned table that goes on without end.

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::render::{Cell, Style, cell};

/// Columns on the screen that one value may take.
const WIDTH_MAX: usize = 40;

/// Rows between two headers.
const ROWS_PER_HEADER: usize = 50;

/// The state of the table: how wide its columns are, and when the header is due.
#[derive(Debug)]
pub(super) struct Table {
    names: Vec<String>,
    right: Vec<bool>,
    widths: Vec<usize>,
    until_header: usize,
    started: bool,
}

impl Table {
    pub(super) fn of(schema: &Schema) -> Self {
        let fields = schema.fields();
        let names: Vec<String> =
            fields.iter().map(|f| cut(&visible(f.name()), WIDTH_MAX)).collect();
        let widths = names.iter().map(|n| n.width()).collect();
        let right = fields.iter().map(|f| is_number(f.data_type())).collect();
        Self { names, right, widths, until_header: 0, started: false }
    }

    /// Appends the lines of these rows.
    pub(super) fn push(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) {
        let columns: Vec<(&dyn Array, Cell<'_>)> = batch
            .schema_ref()
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| (array.as_ref(), cell(field, array.as_ref(), Style::Text)))
            .collect();
        let mut from = 0;
        while from < batch.num_rows() {
            let room = if self.until_header == 0 { ROWS_PER_HEADER } else { self.until_header };
            let to = batch.num_rows().min(from + room);
            let lines: Vec<Vec<String>> = (from..to)
                .map(|row| columns.iter().map(|(array, cell)| shown(*array, cell, row)).collect())
                .collect();
            // A longer value than any before widens its column, under a header of its own.
            if self.fit(&lines) || self.until_header == 0 {
                self.header(out);
                self.until_header = ROWS_PER_HEADER;
            }
            for line in &lines {
                self.line(line, out);
            }
            self.until_header -= to - from;
            from = to;
        }
    }

    /// Widens columns to what is to be shown, and says whether any was; they never shrink, so that tables align.
    fn fit(&mut self, lines: &[Vec<String>]) -> bool {
        let mut wider = false;
        for line in lines {
            for (width, text) in self.widths.iter_mut().zip(line) {
                wider |= text.width() > *width;
                *width = (*width).max(text.width());
            }
        }
        wider
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        if self.started {
            out.push(b'\n');
        }
        self.started = true;
        self.line(&self.names, out);
        for (i, width) in self.widths.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b"  ");
            }
            out.extend_from_slice("─".repeat(*width).as_bytes());
        }
        out.push(b'\n');
    }

    fn line(&self, texts: &[String], out: &mut Vec<u8>) {
        let columns = self.widths.iter().zip(&self.right).zip(texts);
        let last = texts.len().saturating_sub(1);
        for (i, ((width, right), text)) in columns.enumerate() {
            let text = cut(text, *width);
            let pad = " ".repeat(width.saturating_sub(text.width()));
            if i > 0 {
                out.extend_from_slice(b"  ");
            }
            if *right {
                out.extend_from_slice(pad.as_bytes());
            }
            out.extend_from_slice(text.as_bytes());
            if !*right && i < last {
                out.extend_from_slice(pad.as_bytes());
            }
        }
        out.push(b'\n');
    }
}

fn shown(array: &dyn Array, cell: &Cell<'_>, row: usize) -> String {
    if array.is_null(row) {
        return "null".into();
    }
    let mut text = Vec::new();
    cell(row, &mut text);
    cut(&visible(&String::from_utf8_lossy(&text)), WIDTH_MAX)
}

/// The text on one line, without anything that could move a terminal's cursor.
fn visible(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.into();
    }
    text.chars().fold(String::new(), |mut seen, c| {
        if c.is_control() {
            seen.extend(c.escape_default());
        } else {
            seen.push(c);
        }
        seen
    })
}

/// The text, or as much of it as fits before a `…`.
fn cut(text: &str, width_max: usize) -> String {
    if text.width() <= width_max {
        return text.into();
    }
    let mut kept = String::new();
    let mut width = 1;
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width > width_max {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}
