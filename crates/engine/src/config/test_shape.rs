//! A test in the file: rows in, rows expected.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::stand_in::Named;

/// Rows in, and the rows that have to come of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestShape {
    /// What comes in, by source: rows, each a map of columns, or text in the source's own format. By lookup: rows, each
    /// with its `key`. By reference table: all its rows.
    given: Named<Given>,
    /// The rows that have to come out, in order, by view, sink or source, or by `VIEW.late` where that goes to sinks. A column that is left out of all rows of a table is
    /// not compared.
    #[serde(default)]
    expect: Named<Vec<Map<String, Value>>>,
    /// The rows that have to be late, by view, wherever they go.
    #[serde(default)]
    late: Named<Vec<Map<String, Value>>>,
    /// The rows that have to be set aside, by source or view, each with the columns given, and with `reason` for a part of
    /// why.
    #[serde(default)]
    set_aside: Named<Vec<Map<String, Value>>>,
    /// Whether the sources end after the rows, so that all windows close.
    #[serde(default = "yes")]
    ends: bool,
}

/// A file of tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestsShape {
    tests: Named<TestShape>,
}

impl TestsShape {
    pub(super) fn named(self) -> Vec<TestPart> {
        self.tests.0.into_iter().map(|(name, test)| test.named(name)).collect()
    }
}

fn yes() -> bool {
    true
}

/// A test, as the file has it.
#[derive(Clone, Debug)]
pub struct TestPart {
    /// Its name.
    pub name: String,
    /// What comes in, by source, lookup or reference table.
    pub given: Vec<(String, Given)>,
    /// What has to come out, by view, sink or source.
    pub expect: Vec<(String, Vec<Map<String, Value>>)>,
    /// What has to be late, by view.
    pub late: Vec<(String, Vec<Map<String, Value>>)>,
    /// What has to be set aside, by source or view.
    pub set_aside: Vec<(String, Vec<Map<String, Value>>)>,
    /// Whether the sources end after the rows.
    pub ends: bool,
}

/// What a source says in a test.
#[derive(Clone, Debug)]
pub enum Given {
    /// Rows, each a map of columns.
    Rows(Vec<Value>),
    /// Text in the source's own format.
    Text(String),
}

impl TestShape {
    pub(super) fn named(self, name: String) -> TestPart {
        let Self { given, expect, late, set_aside, ends } = self;
        TestPart {
            name,
            given: given.0,
            expect: expect.0,
            late: late.0,
            set_aside: set_aside.0,
            ends,
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rows, or text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Given, E> {
                Ok(Given::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = list.next_element::<Map<String, Value>>()? {
                    rows.push(Value::Object(row));
                }
                Ok(Given::Rows(rows))
            }
        }
        d.deserialize_any(Look)
    }
}

impl JsonSchema for Given {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Given".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "object" } }]
        })
    }
}
