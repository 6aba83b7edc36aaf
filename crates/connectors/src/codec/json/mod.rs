//! JSON: documents, arrays and lines, decoded straight into Arrow columns.
//!
//! **Rows.** Without `rows`, a record is a sequence of JSON values separated by white space: NDJSON, or
//! one document. Each object is a row, and so is each element of an array. With `rows`, each value is a
//! document, and the pointer leads to an array of rows (or one row, or null for none).
//!
//! **Values.** A key that is not there and a null give a null, or refuse the row if the column is
//! `required`. Keys that no column asks for are ignored. A row is refused, whole, when
//! - a value has another type than its column; texts are never read as numbers, nor numbers as texts;
//! - an integer has a fraction or is beyond 64 bits (`1e2` and `1.0` are integers, exactly);
//! - a float is beyond all doubles. Others are rounded to the nearest double, as JSON readers do, so
//!   integers above 2^53 in a float64 column may be rounded: declare int64 to keep them;
//! - a timestamp is not RFC 3339 with its offset, or not a number where one of the epochs is declared.
//!   What is finer than a microsecond is cut off;
//! - a key that a column asks for stands twice;
//! - it is nested deeper than 127 levels, or a text that a column asks for has bytes that are not UTF-8 or
//!   half a surrogate pair (with `strict`, any text).
//!
//! **Broken JSON.** In a sequence of values, what is broken is refused up to the next line that begins
//! with `{` or `[`, and the rows around it go on; a record without any whole object or array is refused
//! whole (HTML, say), and so is one with a broken array of several lines. A document with `rows` that
//! is broken is refused whole: a body that was cut off is never half taken.
//!
//! **What is not looked at.** Unless `strict`, values that no column asks for are only stepped over:
//! their quotes and brackets have to balance, no more; and once every column of a row is found, the rest
//! of its line is not looked at, if it ends with `}` and holds nothing that could be another row. So a
//! key that stands again there does not count. What a column holds is always checked in full.
//!
//! **Speed.** Rows that look like those before (same keys, order and spaces) are read without looking
//! up keys (`json/layout.rs`). It is only a shortcut: both ways read values with the same code, and the
//! result depends on the block alone.

mod decode;
mod fault;
mod infer;
mod layout;
mod row;
mod scan;
mod shape;
mod value;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, Schema};
use millstream_core::Result;
use millstream_core::codec::{Codec, Columns, Decoder};
use millstream_core::plugin::{Config, Env};
use millstream_core::record::Block;
use schemars::JsonSchema;
use serde::Deserialize;

use decode::JsonDecoder;
pub(crate) use shape::tokens;

use shape::Shape;

/// Reads JSON: lines, arrays, or documents with rows inside.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Json {
    /// JSON pointer from a document to its array of rows, such as `/data/items`. Without it, each
    /// object is a row, and each element of an array.
    #[serde(default)]
    pub rows: Option<String>,
    /// Check also what no column asks for: every value, escape and key up to the end of each row.
    /// Costs speed where rows hold more than the query needs.
    #[serde(default)]
    pub strict: bool,
}

impl Config<dyn Codec> for Json {
    const NAME: &'static str = "json";

    fn build(self, _: &Env) -> Result<Box<dyn Codec>> {
        Ok(Box::new(JsonCodec::new(&self)?))
    }
}

/// [`Json`], built.
#[derive(Clone, Debug)]
pub struct JsonCodec {
    rows: Option<Vec<String>>,
    strict: bool,
}

impl JsonCodec {
    /// The codec that has nothing chosen.
    pub(crate) const fn plain() -> Self {
        Self { rows: None, strict: false }
    }

    /// A codec with these options.
    ///
    /// # Errors
    /// `Stop` when `rows` is no JSON pointer.
    pub fn new(options: &Json) -> Result<Self> {
        let rows = options.rows.as_deref().map(tokens).transpose().map_err(|e| e.at("`rows`"))?;
        Ok(Self { rows, strict: options.strict })
    }
}

impl Codec for JsonCodec {
    fn infer(&self, blocks: &[Block]) -> Result<Option<Columns>> {
        infer::infer(self.rows.clone(), blocks)
    }

    fn decoder(
        &self,
        columns: &Columns,
        used: Option<&BTreeSet<String>>,
    ) -> Result<Box<dyn Decoder>> {
        let is_used = |name: &String| used.is_none_or(|u| u.contains(name));
        let read: Vec<_> =
            columns.0.iter().filter(|c| c.required || is_used(&c.name)).cloned().collect();
        let fields: Vec<Field> =
            columns.0.iter().filter(|c| is_used(&c.name)).map(|c| c.field()).collect();
        let shape = Shape::of(&read)?;
        let schema = Arc::new(Schema::new(fields));
        Ok(Box::new(JsonDecoder::new(shape, schema, self.rows.clone(), self.strict)))
    }

    fn describe(&self) -> String {
        let mut line = match &self.rows {
            Some(rows) => format!("json, rows at /{}", rows.join("/")),
            None => "json, each object a row".to_owned(),
        };
        if self.strict {
            line.push_str(", strict");
        }
        line
    }
}

/// Whether a text is one JSON value, checked in full.
pub(super) fn is_valid(text: &[u8]) -> bool {
    let start = scan::space(text, 0);
    scan::value(text, start, 0, true).is_ok_and(|end| scan::space(text, end) == text.len())
}
