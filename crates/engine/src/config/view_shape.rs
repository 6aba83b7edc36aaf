//! A view in the file: its SQL, or its SQL with options.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use millstream_core::fields::{Bytes, Span};
use millstream_core::operator::{Late, View, Windows};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A SQL query over sources and other views: its text alone, or with options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ViewOptions {
    /// The query.
    sql: String,
    /// For so long after its end a window still takes rows that come late, and gives its row anew: for sinks that put it in the
    /// place of the one before.
    #[serde(default)]
    allowed_lateness: Span,
    /// What becomes of rows that come too late for all their windows, beyond `allowed_lateness`: they are set aside, or go to
    /// the sinks with `rows: VIEW.late`, as they came, with all columns of what the view reads.
    #[serde(default)]
    late: Late,
    /// What is kept of a row, or for a key, goes once event time has come so far past it: for joins and running groups, whose
    /// state would grow for ever.
    #[serde(default)]
    state_ttl: Option<Span>,
    /// The most bytes of state that the windows of this view may hold in memory.
    #[serde(default = "state_bytes")]
    state_bytes: Bytes,
    /// What happens at that bound: the pipeline stops and says so, or what is more is spilled to disk.
    #[serde(default)]
    at_bound: AtBound,
}

/// What happens when state would be more than its bound.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AtBound {
    /// The pipeline stops, and goes on once there is room.
    #[default]
    Stop,
    /// State goes to files, and comes back when it is needed. Rows of a window come out in another order.
    Spill,
}

const FIELDS: &[&str] =
    &["sql", "allowed_lateness", "late", "state_ttl", "state_bytes", "at_bound"];

fn state_bytes() -> Bytes {
    Bytes(1 << 30)
}

/// A view as it stands in the file.
#[derive(Debug)]
pub(super) struct ViewShape(ViewOptions);

impl ViewShape {
    /// The view. What it spills goes to this folder.
    pub(super) fn named(self, name: String, threads: usize, folder: &Arc<Path>) -> View {
        let ViewOptions { sql, allowed_lateness, late, state_ttl, state_bytes, at_bound } = self.0;
        let (allowed_lateness, state_bytes) = (allowed_lateness.0, state_bytes.0);
        let spill = matches!(at_bound, AtBound::Spill).then(|| folder.clone());
        let state_ttl = state_ttl.map(|ttl| ttl.0);
        let windows = Windows { allowed_lateness, state_ttl, state_bytes, threads, late, spill };
        View { name, sql, windows }
    }
}

impl<'de> Deserialize<'de> for ViewShape {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = ViewShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("SQL, or a map with `sql`")
            }

            fn visit_str<E>(self, sql: &str) -> Result<ViewShape, E> {
                let options = ViewOptions {
                    sql: sql.to_owned(),
                    allowed_lateness: Span::default(),
                    late: Late::default(),
                    state_ttl: None,
                    state_bytes: state_bytes(),
                    at_bound: AtBound::default(),
                };
                Ok(ViewShape(options))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ViewShape, A::Error> {
                ViewOptions::deserialize(MapAccessDeserializer::new(map)).map(ViewShape)
            }
        }
        d.deserialize_struct("ViewShape", FIELDS, Look)
    }
}

impl JsonSchema for ViewShape {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "View".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = generator.subschema_for::<ViewOptions>();
        json_schema!({ "anyOf": [{ "type": "string" }, options] })
    }
}
