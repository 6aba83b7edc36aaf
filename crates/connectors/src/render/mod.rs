//! Rows as text: exact, and column by column as fast as one can write.
//!
//! | value | JSON | plain text (tables, CSV, text columns) |
//! |---|---|---|
//! | integer, decimal | its digits | the same |
//! | float | the shortest digits that read back as the same number | the same |
//! | NaN, ±infinity | `"NaN"`, `"Infinity"`, `"-Infinity"`, since JSON has no such numbers | without quotes |
//! | moment | RFC 3339, `"2026-11-23T05:16:24.000000Z"`; always as many digits, so that text sorts like time | without quotes |
//! | moment without zone | the same without `Z` | without quotes |
//! | date, time of day | `"2026-11-23"`, `"05:16:24.000000"` | without quotes |
//! | text | escaped | as it is |
//! | json | as it is, if it is valid JSON; else as text | as it is |
//! | bytes | lower-case hexadecimal in quotes | without quotes |
//! | list, struct, map | array, object, array of `{"key","value"}` objects | the same JSON |
//!
//! Years before 0 or after 9999 have a sign and six digits, as ISO 8601 extends itself.

mod cell;
mod time;

use arrow_array::RecordBatch;
use arrow_schema::Field;

pub(crate) use cell::{Cell, Style, cell, push_string};
pub(crate) use time::in_rfc3339_range;

/// Writes rows of one batch as JSON objects.
pub(crate) struct JsonRows<'a> {
    /// What stands before each value (`{"a":`, `,"b":`), and the value.
    columns: Vec<(Vec<u8>, Cell<'a>)>,
}

impl<'a> JsonRows<'a> {
    /// Looks at each column once.
    pub(crate) fn new(batch: &'a RecordBatch) -> Self {
        let schema = batch.schema_ref();
        let columns = schema.fields().iter().zip(batch.columns()).enumerate();
        let columns = columns
            .map(|(i, (field, array))| {
                let mut before = vec![if i == 0 { b'{' } else { b',' }];
                push_string(&mut before, field.name());
                before.push(b':');
                (before, cell(field, array.as_ref(), Style::Json))
            })
            .collect();
        Self { columns }
    }

    /// Appends row `row`, without a newline; the text has none inside either.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.columns.is_empty() {
            out.push(b'{');
        }
        for (before, cell) in &self.columns {
            out.extend_from_slice(before);
            cell(row, out);
        }
        out.push(b'}');
    }
}

/// One row as a JSON object on one line.
///
/// # Panics
/// If the batch has no such row.
#[must_use]
pub fn row_json(batch: &RecordBatch, row: usize) -> String {
    assert!(row < batch.num_rows(), "row {row} of a batch of {}", batch.num_rows());
    let mut out = Vec::new();
    JsonRows::new(batch).write(row, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a column holds JSON as its text, which belongs into JSON as it is.
pub(crate) fn is_json(field: &Field) -> bool {
    field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.json")
}

#[cfg(test)]
mod tests;
