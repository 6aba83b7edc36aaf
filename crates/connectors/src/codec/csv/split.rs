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
    fault: Option<Fault>,
}

/// What is wrong with the quotes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The last one is never closed.
    Unclosed,
    /// Text follows one that closes.
    Stray,
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
            fault: None,
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
        self.fault = self.fault_of(row);
        if self.fault == Some(Fault::Unclosed) {
            return Some(start..self.at);
        }
        let whole = row.strip_suffix(b"\n").unwrap_or(row);
        let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
        Some(start..start + whole.len())
    }

    /// What is wrong with a row that begins outside quotes, which `csv-core` reads without a word. It looks
    /// at quotes only, since most rows have none.
    fn fault_of(&self, row: &[u8]) -> Option<Fault> {
        let mut at = 0;
        while let Some(open) = find(row, self.quote, at) {
            at = open + 1;
            let fresh =
                open.checked_sub(1).is_none_or(|before| row.get(before) == Some(&self.delimiter));
            if !fresh {
                // A quote within a field that is not quoted is one of its text.
                continue;
            }
            loop {
                let Some(close) = find(row, self.quote, at) else { return Some(Fault::Unclosed) };
                at = close + 1;
                match row.get(at) {
                    // A doubled quote is one of the text.
                    Some(c) if *c == self.quote => at += 1,
                    Some(c) if *c == self.delimiter || matches!(c, b'\r' | b'\n') => break,
                    None => break,
                    Some(_) => return Some(Fault::Stray),
                }
            }
        }
        None
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

    /// What is wrong with the quotes of the row.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }
}

fn find(bytes: &[u8], what: u8, from: usize) -> Option<usize> {
    Some(from + memchr::memchr(what, bytes.get(from..)?)?)
}

impl Fault {
    /// In words, of a row that is this text. How far it reaches helps to find where it begins.
    pub(super) fn told(self, row: &[u8]) -> String {
        let lines = memchr::memchr_iter(b'\n', row).count() + usize::from(!row.ends_with(b"\n"));
        let what = match self {
            Self::Unclosed => "a quote is never closed",
            Self::Stray => "text follows a quote that closes",
        };
        match (self, lines) {
            (_, 0 | 1) => what.to_owned(),
            (Self::Unclosed, n) => {
                format!("{what}: it takes in all {n} lines to the end of the record")
            }
            (Self::Stray, n) => format!("{what}, and the row goes over {n} lines"),
        }
    }
}

/// Header fields as texts.
pub(super) fn header_names<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    fields.map(|f| String::from_utf8_lossy(f).into_owned()).collect()
}
