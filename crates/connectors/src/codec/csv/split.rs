//! Records to rows of fields, by `csv-core`.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Walks over the rows of one record.
pub(super) struct Split {
    reader: Reader,
    delimiter: u8,
    quote: u8,
    /// Where the next row begins.
    at: usize,
    /// The fields of this row, unquoted, one after the other.
    text: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    unclosed: bool,
}

impl Split {
    pub(super) fn new(delimiter: u8, quote: u8) -> Self {
        let reader = ReaderBuilder::new().delimiter(delimiter).quote(quote).build();
        Self {
            reader,
            delimiter,
            quote,
            at: 0,
            text: vec![0; 1024],
            ends: vec![0; 32],
            count: 0,
            unclosed: false,
        }
    }

    /// The next row of `b` and its place, without its line break; `None` at the end.
    pub(super) fn next(&mut self, b: &[u8]) -> Option<Range<usize>> {
        if self.at == 0 && b.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
        while matches!(b.get(self.at), Some(b'\n' | b'\r')) {
            self.at += 1;
        }
        let start = self.at;
        let (mut text, mut count) = (0, 0);
        loop {
            let (result, read, wrote, ended) = self.reader.read_record(
                b.get(self.at..).unwrap_or_default(),
                self.text.get_mut(text..).unwrap_or_default(),
                self.ends.get_mut(count..).unwrap_or_default(),
            );
            self.at += read;
            text += wrote;
            count += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
            }
        }
        self.count = count;
        let row = b.get(start..self.at).unwrap_or_default();
        // A line break that ends a row is outside quotes: only the end of all can leave one open.
        self.unclosed = self.at == b.len() && self.ends_in_quotes(row);
        if self.unclosed {
            return Some(start..self.at);
        }
        let whole = row.strip_suffix(b"\n").unwrap_or(row);
        let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
        Some(start..start + whole.len())
    }

    /// Whether a row that begins outside quotes ends inside them, by the rules of `csv-core`.
    fn ends_in_quotes(&self, row: &[u8]) -> bool {
        let (mut quoted, mut fresh) = (false, true);
        let mut bytes = row.iter().copied().peekable();
        while let Some(c) = bytes.next() {
            if quoted {
                // A doubled quote is one of the text; after any other the field goes on unquoted.
                quoted = c != self.quote || bytes.next_if_eq(&self.quote).is_some();
            } else {
                quoted = fresh && c == self.quote;
            }
            fresh = !quoted && c == self.delimiter;
        }
        quoted
    }

    /// The fields of the row that [`Self::next`] gave.
    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).map(|i| self.field(i).unwrap_or_default())
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// One of them.
    pub(super) fn field(&self, i: usize) -> Option<&[u8]> {
        let ends = self.ends.get(..self.count)?;
        let start = match i.checked_sub(1) {
            Some(before) => *ends.get(before)?,
            None => 0,
        };
        self.text.get(start..*ends.get(i)?)
    }

    /// Whether the row has a quote that nothing closes.
    pub(super) fn unclosed(&self) -> bool {
        self.unclosed
    }
}

/// Header fields as texts.
pub(super) fn header_names<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    fields.map(|f| String::from_utf8_lossy(f).into_owned()).collect()
}
