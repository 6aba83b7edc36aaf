//! Types that stand in the shape of the file for what only the registry knows, and for names.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// One part with its options. It is read by the table of all such parts; this only stands for it.
pub(super) struct Part<T>(PhantomData<T>);

/// A table of the registry.
pub(super) trait Table {
    /// What a choice from it is called in the JSON Schema.
    const CHOICE: &'static str;
}

/// The table of sources.
pub(super) enum Sources {}
/// The table of sinks.
pub(super) enum Sinks {}
/// The table of codecs.
pub(super) enum Codecs {}
/// The table of queues.
pub(super) enum Queues {}
/// The table of lookups.
pub(super) enum LookupTable {}
/// The table of what reference tables are read from.
pub(super) enum TableTable {}

impl Table for Sources {
    const CHOICE: &'static str = "AnySource";
}
impl Table for Sinks {
    const CHOICE: &'static str = "AnySink";
}
impl Table for Codecs {
    const CHOICE: &'static str = "AnyCodec";
}
impl Table for Queues {
    const CHOICE: &'static str = "AnyQueue";
}
impl Table for LookupTable {
    const CHOICE: &'static str = "AnyLookup";
}

impl Table for TableTable {
    const CHOICE: &'static str = "AnyTable";
}

impl<T> fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part")
    }
}

impl<'de, T> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(d).map(|_| Self(PhantomData))
    }
}

impl<T: Table> JsonSchema for Part<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::CHOICE.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::new_ref(format!("#/$defs/{}", T::CHOICE))
    }
}

/// Things by name, in the order of the file.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Look<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    list.push(entry);
                }
                Ok(Named(list))
            }
        }
        d.deserialize_map(Look(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": super::checks::NAME_BYTES_MAX },
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}
