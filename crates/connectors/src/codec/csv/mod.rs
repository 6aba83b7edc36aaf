//! CSV: each record is whole in itself, its header line first.
//!
//! **Rows.** With `header` (the default) the first line of *each record* names the columns: a source that
//! cuts a file into records repeats the header in each. Without it, columns go by their place. Quotes
//! and line breaks in quotes are those of RFC 4180; empty lines are no rows; a byte order mark is skipped.
//!
//! **Values.** A field that is one of `null` is null, whether it was quoted or not. Numbers are written
//! as in JSON (so `007` and `+1` are none), `true` and `false` in any case, moments and days as in JSON;
//! fields are not trimmed. `at: /Sensor name` takes a column from a header of another name, and `at: /0`
//! from a place. A row is refused, alone and with its header, when it has more or fewer fields than the
//! header, when a field does not fit its column, when its bytes are not UTF-8, when a quote is never closed, or when
//! text follows one that closes. A header that names a needed column twice, lacks a required one, or has none at
//! all of those declared refuses the record; one that lacks another column gives nulls. Refused rows carry their header, so that they can be decoded again by themselves.
//!
//! Lists and structs cannot be read from CSV.

pub(super) mod decode;
mod split;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::Schema;
use millstream_core::codec::{Codec, Column, ColumnType, Columns, Decoder};
use millstream_core::plugin::{Config, Env};
use millstream_core::record::Block;
use millstream_core::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::cells::{Room, Slots};
use super::number;
use super::seen::{KEYS_MAX, Seen, both};
use decode::{CsvDecoder, Wanted};
use split::{Split, header_names};

/// Reads comma-separated values.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Csv {
    /// Whether the first line of each record names the columns.
    pub header: bool,
    /// What stands between fields: one ASCII character, such as `;` or a tab.
    pub delimiter: char,
    /// What encloses fields that hold delimiters or line breaks: one ASCII character.
    pub quote: char,
    /// Texts that stand for null.
    pub null: Vec<String>,
}

impl Default for Csv {
    fn default() -> Self {
        Self { header: true, delimiter: ',', quote: '"', null: vec![String::new()] }
    }
}

impl Config<dyn Codec> for Csv {
    const NAME: &'static str = "csv";

    fn build(self, _: &Env) -> Result<Box<dyn Codec>> {
        Ok(Box::new(CsvCodec::new(self)?))
    }
}

/// [`Csv`], built.
#[derive(Clone, Debug)]
pub struct CsvCodec {
    options: Csv,
    delimiter: u8,
    quote: u8,
}

impl CsvCodec {
    /// A codec with these options.
    ///
    /// # Errors
    /// `Stop` when delimiter and quote are not two different ASCII characters.
    pub fn new(options: Csv) -> Result<Self> {
        let byte = |c: char, name: &str| {
            let byte = u8::try_from(c).ok().filter(|b| b.is_ascii() && !matches!(b, b'\n' | b'\r'));
            byte.ok_or_else(|| {
                Error::stop(format!("`{name}` cannot be `{}`", c.escape_default()))
                    .fix("take one ASCII character that is no line break")
            })
        };
        let (delimiter, quote) =
            (byte(options.delimiter, "delimiter")?, byte(options.quote, "quote")?);
        if delimiter == quote {
            return Err(Error::stop("`delimiter` and `quote` are the same character")
                .fix("take two different ones"));
        }
        Ok(Self { options, delimiter, quote })
    }

    /// The names in the first line, if there is one.
    pub(crate) fn header(&self, text: &[u8]) -> Option<Vec<String>> {
        let mut split = self.split();
        split.next(text)?;
        Some(header_names(split.fields()))
    }

    fn split(&self) -> Split {
        Split::new(self.delimiter, self.quote)
    }

    fn is_null(&self, field: &[u8]) -> bool {
        self.options.null.iter().any(|n| *n.as_bytes() == *field)
    }

    fn wanted(&self, index: usize, column: &Column) -> Result<Wanted> {
        if matches!(column.r#type, ColumnType::List(_) | ColumnType::Struct(_)) {
            return Err(Error::stop(format!(
                "column `{}` is a {}, which CSV cannot hold",
                column.name, column.r#type
            ))
            .fix("declare it as string or json"));
        }
        let token = match &column.at {
            Some(at) => {
                let mut tokens = super::json::tokens(at)?;
                let one = tokens.pop().filter(|_| tokens.is_empty());
                Some(one.ok_or_else(|| {
                    Error::stop(format!("column `{}`: `at: {at}` leads into a field", column.name))
                        .fix("in CSV `at` is one header, such as `/Sensor name`")
                })?)
            }
            None => None,
        };
        if self.options.header {
            return Ok(Wanted::Header(token.unwrap_or_else(|| column.name.clone())));
        }
        let Some(token) = token else { return Ok(Wanted::Place(index)) };
        token.parse().map(Wanted::Place).map_err(|_| {
            Error::stop(format!(
                "column `{}`: without a header `/{token}` is no place",
                column.name
            ))
            .fix("count places from 0, such as `at: /0`")
        })
    }
}

impl Codec for CsvCodec {
    fn infer(&self, blocks: &[Block]) -> Result<Option<Columns>> {
        let mut keys: Vec<(String, Seen)> = Vec::new();
        for record in blocks.iter().flat_map(Block::records) {
            let mut split = self.split();
            let b = &record.value[..];
            let mut names = Vec::new();
            if self.options.header {
                match split.next(b) {
                    Some(_) => names = header_names(split.fields()),
                    None => continue,
                }
            }
            while let Some(row) = split.next(b) {
                let fields: Vec<&[u8]> = split.fields().collect();
                if names.is_empty() && !self.options.header {
                    names = (1..=fields.len()).map(|i| format!("c{i}")).collect();
                }
                let text = b.get(row).is_some_and(|r| simdutf8::basic::from_utf8(r).is_ok());
                if fields.len() != names.len() || !text || split.fault().is_some() {
                    continue;
                }
                let seen = names.iter().cloned().zip(fields.iter().map(|f| self.seen(f)));
                keys = both(keys, seen.collect());
            }
        }
        if keys.len() > KEYS_MAX {
            return Err(Error::stop(format!("rows have more than {KEYS_MAX} different headers"))
                .fix("declare `columns` for those that are needed"));
        }
        let column = |(name, seen): (String, Seen)| {
            // In CSV everything is a text, so a text holds what nothing else does.
            let text = matches!(seen, Seen::Mixed | Seen::Null);
            Column::new(name, if text { ColumnType::String } else { seen.r#type() })
        };
        Ok((!keys.is_empty()).then(|| Columns(keys.into_iter().map(column).collect())))
    }

    fn decoder(
        &self,
        columns: &Columns,
        used: Option<&BTreeSet<String>>,
    ) -> Result<Box<dyn Decoder>> {
        let is_used = |name: &String| used.is_none_or(|u| u.contains(name));
        let (mut read, mut wanted, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        let mut headers = Vec::new();
        for (i, column) in columns.0.iter().enumerate() {
            let place = self.wanted(i, column)?;
            if let Wanted::Header(name) = &place {
                headers.push(name.clone());
            }
            if is_used(&column.name) {
                fields.push(column.field());
            }
            if is_used(&column.name) || column.required {
                read.push(column.clone());
                wanted.push(place);
            }
        }
        // By place alone, a row has exactly the declared columns.
        let by_place = !self.options.header && columns.0.iter().all(|c| c.at.is_none());
        Ok(Box::new(CsvDecoder {
            codec: self.clone(),
            slots: Slots::of(&read),
            wanted,
            headers,
            schema: Arc::new(Schema::new(fields)),
            fields: by_place.then_some(columns.0.len()),
            room: Room::default(),
        }))
    }

    fn has_header(&self) -> bool {
        self.options.header
    }

    fn describe(&self) -> String {
        let header = if self.options.header { "with a header" } else { "without a header" };
        format!("csv {header}, fields separated by `{}`", self.options.delimiter.escape_default())
    }
}

impl CsvCodec {
    fn seen(&self, field: &[u8]) -> Seen {
        if self.is_null(field) {
            Seen::Null
        } else if number::end(field, 0) == Some(field.len()) {
            Seen::number(field)
        } else if decode::bool_of(field).is_some() {
            Seen::Bool
        } else {
            Seen::text(field)
        }
    }
}
