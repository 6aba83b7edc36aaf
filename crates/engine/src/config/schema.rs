//! The JSON Schema of pipeline files, made from the options themselves: for editors, and for the reference.

use millstream_core::plugin::{Plugin, Registry};
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::shape::FileShape;
use super::stand_in::{Codecs, LookupTable, Queues, Sinks, Sources, Table, TableTable};

/// The JSON Schema (2020-12) of files made of these parts.
#[must_use]
pub fn schema(registry: &Registry) -> Value {
    let mut schema = bare(registry);
    FromOutside.transform(&mut schema);
    if let Some(defs) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        defs.insert(
            "FromOutside".into(),
            serde_json::json!({
                "description": "A value from the environment or from a file.",
                "type": "string",
                "pattern": "^\\$\\{.+\\}$"
            }),
        );
    }
    schema.to_value()
}

/// The schema without what `${…}` adds to every value.
pub(super) fn bare(registry: &Registry) -> Schema {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    choice::<Sources, _>(&mut generator, "source", &registry.sources);
    choice::<Codecs, _>(&mut generator, "codec", &registry.codecs);
    choice::<Queues, _>(&mut generator, "queue", &registry.queues);
    choice::<Sinks, _>(&mut generator, "sink", &registry.sinks);
    choice::<LookupTable, _>(&mut generator, "lookup", &registry.lookups);
    choice::<TableTable, _>(&mut generator, "table", &registry.tables);
    generator.into_root_schema_for::<FileShape>()
}

/// Defines the choice of one part out of a table.
fn choice<T: Table, P: ?Sized>(generator: &mut SchemaGenerator, noun: &str, table: &[Plugin<P>]) {
    let mut choices: Vec<Value> = Vec::new();
    for plugin in table {
        let options = (plugin.schema)(generator);
        let optional = !needs_options(generator, &options);
        let mut properties = Map::new();
        let options = if optional {
            // `stdin:` with nothing after it.
            serde_json::json!({ "anyOf": [options, { "type": "null" }] })
        } else {
            options.to_value()
        };
        properties.insert(plugin.name.into(), options);
        choices.push(serde_json::json!({
            "type": "object",
            "properties": properties,
            "required": [plugin.name],
            "additionalProperties": false,
        }));
        if optional {
            choices.push(serde_json::json!({ "const": plugin.name }));
        }
    }
    let description = format!("One kind of {noun}, with its options.");
    let choice = if choices.is_empty() {
        // Nothing can be chosen.
        json_schema!({ "description": description, "not": {} })
    } else {
        json_schema!({ "description": description, "oneOf": choices })
    };
    generator.definitions_mut().insert(T::CHOICE.into(), choice.to_value());
}

/// Whether some option has to be given.
fn needs_options(generator: &SchemaGenerator, options: &Schema) -> bool {
    let name = options.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
    let options = match name {
        Some(name) => generator.definitions().get(name),
        None => Some(options.as_value()),
    };
    let required = options.and_then(|o| o.get("required")).and_then(Value::as_array);
    required.is_some_and(|r| !r.is_empty())
}

/// Lets `${…}` stand for every value that is no free text.
#[derive(Clone)]
struct FromOutside;

impl Transform for FromOutside {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if !restricted(schema) {
            return;
        }
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        let (mut outer, mut inner) = (Map::new(), Map::new());
        for (key, value) in std::mem::take(object) {
            let about = matches!(key.as_str(), "description" | "default" | "title" | "examples");
            if about { &mut outer } else { &mut inner }.insert(key, value);
        }
        let outside = serde_json::json!({ "$ref": "#/$defs/FromOutside" });
        outer.insert("anyOf".into(), Value::Array(vec![Value::Object(inner), outside]));
        *object = outer;
    }
}

/// Whether it takes only some scalars.
fn restricted(schema: &Schema) -> bool {
    let is = |r#type: &str| match schema.get("type") {
        Some(Value::String(s)) => s == r#type,
        Some(Value::Array(several)) => several.iter().any(|t| t == r#type),
        _ => false,
    };
    is("integer")
        || is("number")
        || is("boolean")
        || (is("string") && (schema.get("pattern").is_some() || schema.get("enum").is_some()))
}
