//! The columns of a source, as the pipeline file declares them and as they are pinned.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Columns in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(pub Vec<Column>);

/// One column: what it is called, what it holds and where it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in SQL.
    pub name: String,
    /// What it holds.
    pub r#type: ColumnType,
    /// JSON pointer from the row to the value; `None`: the key named like the column.
    pub at: Option<String>,
    /// A row without it (or with null) is set aside instead of having a null.
    pub required: bool,
}

impl Column {
    /// A column found under its own name, which may be null.
    pub fn new(name: impl Into<String>, r#type: ColumnType) -> Self {
        Self { name: name.into(), r#type, at: None, required: false }
    }
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// 64-bit integers. A number with a fraction or beyond the range does not fit.
    Int64,
    /// 64-bit floating point.
    Float64,
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// A moment written as RFC 3339.
    Timestamp,
    /// A moment as seconds since 1970, fractions allowed.
    TimestampS,
    /// A moment as milliseconds since 1970.
    TimestampMs,
    /// A moment as microseconds since 1970.
    TimestampUs,
    /// A day, `2026-11-23`.
    Date,
    /// Any JSON, kept as its text.
    Json,
    /// Several of one type.
    List(Box<ColumnType>),
    /// Named columns inside one.
    Struct(Columns),
}

/// Names of the types that need no more words.
const SIMPLE: &[(&str, ColumnType)] = &[
    ("int64", ColumnType::Int64),
    ("float64", ColumnType::Float64),
    ("string", ColumnType::String),
    ("bool", ColumnType::Bool),
    ("timestamp", ColumnType::Timestamp),
    ("timestamp_s", ColumnType::TimestampS),
    ("timestamp_ms", ColumnType::TimestampMs),
    ("timestamp_us", ColumnType::TimestampUs),
    ("date", ColumnType::Date),
    ("json", ColumnType::Json),
];
const SIMPLE_NAMES: &[&str] = &[
    "int64",
    "float64",
    "string",
    "bool",
    "timestamp",
    "timestamp_s",
    "timestamp_ms",
    "timestamp_us",
    "date",
    "json",
];
const COLUMN_FIELDS: &[&str] = &["type", "at", "required", "list", "struct"];

impl ColumnType {
    fn simple(name: &str) -> Option<Self> {
        SIMPLE.iter().find(|(n, _)| *n == name).map(|(_, t)| t.clone())
    }

    fn name(&self) -> Option<&'static str> {
        SIMPLE.iter().find(|(_, t)| t == self).map(|(n, _)| *n)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.name()) {
            (Self::List(item), _) => write!(f, "list of {item}"),
            (Self::Struct(_), _) => f.write_str("struct"),
            (_, name) => f.write_str(name.unwrap_or("?")),
        }
    }
}

/// What stands after a column's name, or after `list:`: a type with the extras only a column has.
struct Spec {
    r#type: ColumnType,
    at: Option<String>,
    required: bool,
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Spec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a column type such as `int64`, or a map with `type`, `list` or `struct`",
                )
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Spec, E> {
                let r#type = ColumnType::simple(name)
                    .ok_or_else(|| E::unknown_variant(name, SIMPLE_NAMES))?;
                Ok(Spec { r#type, at: None, required: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spec, A::Error> {
                let (mut r#type, mut at, mut required) = (None, None, false);
                while let Some(key) = map.next_key::<String>()? {
                    let found = match key.as_str() {
                        "type" => Some(map.next_value::<ColumnType>()?),
                        "list" => Some(ColumnType::List(Box::new(map.next_value()?))),
                        "struct" => Some(ColumnType::Struct(map.next_value()?)),
                        "at" => {
                            at = Some(map.next_value::<String>()?);
                            None
                        }
                        "required" => {
                            required = map.next_value()?;
                            None
                        }
                        other => return Err(A::Error::unknown_field(other, COLUMN_FIELDS)),
                    };
                    if let Some(found) = found
                        && r#type.replace(found).is_some()
                    {
                        return Err(A::Error::custom(
                            "a column has one of `type`, `list` and `struct`, not two",
                        ));
                    }
                }
                if let Some(at) = &at
                    && !at.starts_with('/')
                {
                    return Err(A::Error::custom(format!(
                        "`at: {at}` is no JSON pointer: it has to begin with `/`"
                    )));
                }
                let r#type = r#type.ok_or_else(|| A::Error::missing_field("type"))?;
                Ok(Spec { r#type, at, required })
            }
        }
        // A struct, so that unknown keys can be told from known ones by whoever reads the file.
        d.deserialize_any(Look)
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let spec = Spec::deserialize(d)?;
        if spec.at.is_some() || spec.required {
            return Err(D::Error::custom(
                "`at` and `required` belong to a column, not to a type inside one",
            ));
        }
        Ok(spec.r#type)
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of column names to types")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
                let mut columns: Vec<Column> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if columns.iter().any(|c| c.name == name) {
                        return Err(A::Error::custom(format!("column `{name}` is declared twice")));
                    }
                    let spec: Spec = map.next_value()?;
                    columns.push(Column {
                        name,
                        r#type: spec.r#type,
                        at: spec.at,
                        required: spec.required,
                    });
                }
                if columns.is_empty() {
                    return Err(A::Error::custom("at least one column is needed"));
                }
                Ok(Columns(columns))
            }
        }
        d.deserialize_map(Look)
    }
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = match (self, self.name()) {
            (_, Some(name)) => return s.serialize_str(name),
            _ => s.serialize_map(Some(1))?,
        };
        if let Self::List(item) = self {
            map.serialize_entry("list", item)?;
        }
        if let Self::Struct(columns) = self {
            map.serialize_entry("struct", columns)?;
        }
        map.end()
    }
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        struct One<'a>(&'a Column);
        impl Serialize for One<'_> {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let c = self.0;
                if c.at.is_none() && !c.required {
                    return c.r#type.serialize(s);
                }
                let mut map = s.serialize_map(None)?;
                map.serialize_entry("type", &c.r#type)?;
                if let Some(at) = &c.at {
                    map.serialize_entry("at", at)?;
                }
                if c.required {
                    map.serialize_entry("required", &true)?;
                }
                map.end()
            }
        }
        let mut map = s.serialize_map(Some(self.0.len()))?;
        for c in &self.0 {
            map.serialize_entry(&c.name, &One(c))?;
        }
        map.end()
    }
}

impl JsonSchema for Columns {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let r#type = generator.subschema_for::<ColumnType>();
        json_schema!({
            "description": "Columns by name, each with its type.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "anyOf": [
                    r#type,
                    {
                        "type": "object",
                        "properties": {
                            "type": r#type,
                            "list": r#type,
                            "struct": { "$ref": "#/$defs/Columns" },
                            "at": { "type": "string", "pattern": "^/", "description": "JSON pointer from the row to the value; by default the key named like the column." },
                            "required": { "type": "boolean", "default": false, "description": "A row without it is set aside instead of having a null." }
                        },
                        "additionalProperties": false
                    }
                ]
            }
        })
    }
}

impl JsonSchema for ColumnType {
    fn schema_name() -> Cow<'static, str> {
        "ColumnType".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // Registers the definition that the text below refers to.
        let columns = generator.subschema_for::<Columns>();
        json_schema!({
            "description": "What a column holds.",
            "anyOf": [
                { "type": "string", "enum": SIMPLE_NAMES },
                { "type": "object", "properties": { "list": { "$ref": "#/$defs/ColumnType" } }, "required": ["list"], "additionalProperties": false },
                { "type": "object", "properties": { "struct": columns }, "required": ["struct"], "additionalProperties": false }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_and_written_in_both_spellings() {
        let text = r#"{"id":"int64","v":{"type":"float64","at":"/a/b","required":true},"tags":{"list":"string"},"place":{"struct":{"x":"float64"}}}"#;
        let columns: Columns = serde_json::from_str(text).unwrap();
        assert_eq!(columns.0.len(), 4);
        assert_eq!(serde_json::to_string(&columns).unwrap(), text);
        let bad = serde_json::from_str::<Columns>(r#"{"id":"int46"}"#).unwrap_err().to_string();
        assert!(bad.contains("unknown variant `int46`"), "{bad}");
    }
}
