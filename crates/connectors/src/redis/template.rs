//! A key with columns in it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

/// A key such as `device:{id}`: a column's name in braces stands for its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Column(String),
}

impl Template {
    /// Reads a key; `{{` and `}}` stand for a brace.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    plain.push(c);
                }
                '{' => {
                    let mut column = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) => column.push(c),
                            None => return Err("a `{` has no `}`".into()),
                        }
                    }
                    if column.is_empty() {
                        return Err("`{}` names no column".into());
                    }
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Column(column));
                }
                '}' => return Err("a `}` has no `{`; a brace itself is written `}}`".into()),
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Column(_))) {
            return Err("it names no column, so that all rows would have one key".into());
        }
        Ok(Self(pieces))
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The columns in it.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Column(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Piece::Column(name) => write!(f, "{{{name}}}"),
        })
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        Self::parse(&text).map_err(|why| {
            let wanted = format!("a key with a column in braces, such as `device:{{id}}` ({why})");
            D::Error::invalid_value(Unexpected::Str(&text), &wanted.as_str())
        })
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "RedisKeyTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A key with columns in braces, such as `device:{id}`.",
            "pattern": "\\{[^{}]+\\}",
            "examples": ["device:{id}"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_shown() {
        for text in ["device:{id}", "{a}{b}", "{{{tag}}}:x", "a:{id}:}}"] {
            assert_eq!(Template::parse(text).unwrap().to_string(), text);
        }
        let template = Template::parse("x{{{tag}}}:{n}").unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["tag", "n"]);
        assert_eq!(template.pieces().first(), Some(&Piece::Text("x{".into())));
    }

    #[test]
    fn what_is_no_key_per_row_is_refused() {
        for text in ["", "device", "a{", "a}", "a{}", "{id", "{{id}}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
