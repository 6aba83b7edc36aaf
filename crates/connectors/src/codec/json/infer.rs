//! Columns worked out from rows.

use std::sync::Arc;

use arrow_array::{Array, StringArray};
use arrow_schema::{DataType, Field, Schema};
use millstream_core::codec::{Columns, Decoder};
use millstream_core::record::Block;
use millstream_core::{Error, Result};

use super::decode::JsonDecoder;
use super::row::unescaped;
use super::scan::{Scan, colon, space, value};
use super::shape::Shape;
use crate::codec::seen::{KEYS_MAX, Seen, both, columns};

/// Objects nested deeper than this stay json.
const STRUCT_DEPTH_MAX: u32 = 16;

/// Columns in order of first appearance; `None` without a row.
///
/// # Errors
/// `Stop` when rows have more keys than columns can be.
pub(super) fn infer(rows: Option<Vec<String>>, blocks: &[Block]) -> Result<Option<Columns>> {
    let schema = Arc::new(Schema::new(vec![Field::new("row", DataType::Utf8, true)]));
    let mut decoder = JsonDecoder::new(Shape::whole_rows(), schema, rows, true);
    let mut keys = Vec::new();
    for block in blocks {
        let batch = decoder.decode(block)?.batch;
        let texts = batch.columns().first().and_then(|c| c.as_any().downcast_ref::<StringArray>());
        for row in texts.iter().flat_map(|t| t.iter()).flatten() {
            let mut look = Look { b: row.as_bytes() };
            if let Ok((Seen::Struct(row), _)) = look.value(0, 0) {
                keys = both(keys, row);
            }
        }
        if keys.len() > KEYS_MAX {
            return Err(Error::stop(format!(
                "rows have more than {KEYS_MAX} different keys: they are data, not columns"
            ))
            .fix("declare `columns` for those that are needed"));
        }
    }
    Ok((!keys.is_empty()).then(|| columns(&keys)))
}

/// Looks at the values of one row, which is known to be valid.
struct Look<'a> {
    b: &'a [u8],
}

type Found = std::result::Result<(Seen, usize), Box<super::fault::Fault>>;

impl Look<'_> {
    /// What the value at `at` is, and its end.
    fn value(&mut self, at: usize, depth: u32) -> Found {
        let end = value(self.b, at, 0, true)?;
        let text = self.b.get(at..end).unwrap_or_default();
        let seen = match text.first() {
            Some(b'{' | b'[') if depth > STRUCT_DEPTH_MAX => Seen::Mixed,
            Some(b'{') => self.object(at + 1, depth)?,
            Some(b'[') => self.array(at + 1, depth)?,
            Some(b'"') => {
                let (text, _) = unescaped(self.b, at + 1, true)?;
                Seen::text(&text)
            }
            Some(b't' | b'f') => Seen::Bool,
            Some(b'n') => Seen::Null,
            _ => Seen::number(text),
        };
        Ok((seen, end))
    }

    fn object(&mut self, at: usize, depth: u32) -> Result<Seen, Box<super::fault::Fault>> {
        let mut keys: Vec<(String, Seen)> = Vec::new();
        let mut at = space(self.b, at);
        while self.b.get(at) == Some(&b'"') {
            let (name, end) = unescaped(self.b, at + 1, true)?;
            let name = String::from_utf8_lossy(&name).into_owned();
            let start = colon(self.b, end)?;
            let (seen, end) = self.value(start, depth + 1)?;
            keys = both(keys, vec![(name, seen)]);
            at = self.next(end)?;
        }
        Ok(Seen::Struct(keys))
    }

    fn array(&mut self, at: usize, depth: u32) -> Result<Seen, Box<super::fault::Fault>> {
        let mut items = Seen::Null;
        let mut at = space(self.b, at);
        while self.b.get(at).is_some_and(|c| *c != b']') {
            let (seen, end) = self.value(at, depth + 1)?;
            items = items.and(seen);
            at = self.next(end)?;
        }
        Ok(Seen::List(Box::new(items)))
    }

    /// After a value and its comma.
    fn next(&self, at: usize) -> Scan {
        let at = space(self.b, at);
        Ok(if self.b.get(at) == Some(&b',') { space(self.b, at + 1) } else { at })
    }
}
