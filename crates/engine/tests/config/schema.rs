//! The JSON Schema and the reference say what the reader does.

use std::path::Path;

use millstream_engine::config::{as_json, reference, schema};
use serde_json::Value;

use crate::fakes::registry;
use crate::{SENSORS, parse};

fn json(text: &str) -> Value {
    as_json(text, "pipeline.yaml").unwrap_or_else(|p| panic!("{text}\n{p}"))
}

/// Files that are taken, with everything that files can have.
const TAKEN: &[&str] = &[
    SENSORS,
    "sources: { a: { from: stdin } }\nsinks: { out: { rows: a, to: stdout } }\n",
    "sources: { a: { from: { stdin: } } }\nsinks: { out: { rows: a, to: { stdout: {} } } }\nqueue: memory\n",
    "sources:\n  a:\n    from:\n      http:\n        url: https://${HOST}\n        every: \"${NOWHERE:-5s}\"\n        proxy_port: ${PORT}\n        follow: ${NOWHERE:-false}\n        method: { post: x }\n        auth: { basic: { user: me, password: \"${TOKEN}\" } }\n    columns: { a: { type: int64, at: /a }, b: { list: string }, c: { struct: { d: float64 } } }\nsinks:\n  out: { rows: a, to: stdout, promise: at_least_once }\nhttp: { listen: \"127.0.0.1:1\" }\nlimits: { step_bytes: 1MiB, retry_max: 1m }\n",
];

/// Broken files whose error a schema can see.
const SEEN: &[&str] = &[
    "bad_names",
    "columns",
    "kind_beside_options",
    "missing_option",
    "missing_sections",
    "needs_a_unit",
    "negative_number",
    "no_kind",
    "not_a_map",
    "event_time",
    "two_kinds",
    "unknown_choice",
    "unknown_option",
    "unknown_source_type",
    "wrong_types",
];

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = schema(&registry());
    let validator = jsonschema::validator_for(&schema).unwrap();
    for text in TAKEN {
        parse(text).unwrap_or_else(|p| panic!("{text}\n{p}"));
        let errors: Vec<String> = validator
            .iter_errors(&json(text))
            .map(|e| format!("{e} at {}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{text}\n{errors:#?}");
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&schema(&registry())).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/broken");
    for name in SEEN {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        assert!(parse(&text).is_err());
        assert!(!validator.is_valid(&json(&text)), "the schema takes {name}");
    }
}

#[test]
fn the_schema_is_one_of_2020_12_and_describes_every_option() {
    let schema = schema(&registry());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::meta::is_valid(&schema));
    let mut bare = Vec::new();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for (option, about) in definition["properties"].as_object().into_iter().flatten() {
            if about.get("description").is_none() {
                bare.push(format!("{name}.{option}"));
            }
        }
    }
    assert!(bare.is_empty(), "options without a word: {bare:?}");
}

#[test]
fn the_reference_is_the_same_every_time_and_names_every_option() {
    let text = reference(&registry());
    assert_eq!(text, reference(&registry()));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/reference.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(golden).unwrap());
    for option in
        ["`url`", "`auth.basic.password`", "`listen`", "`step_bytes`", "`rows`", "### `memory`"]
    {
        assert!(text.contains(option), "{option} is missing:\n{text}");
    }
    let types = &schema(&registry())["$defs"]["ColumnType"];
    let types: Vec<&str> = find_enum(types).iter().map(|t| t.as_str().unwrap()).collect();
    assert!(types.len() >= 10);
    for name in types {
        assert!(text.contains(&format!("`{name}`")), "the type {name} is missing");
    }
}

/// The first list of names in a schema.
fn find_enum(schema: &Value) -> &[Value] {
    let own = schema.get("enum").and_then(Value::as_array).map(Vec::as_slice);
    own.unwrap_or_else(|| {
        let below = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        below.map(find_enum).find(|e| !e.is_empty()).unwrap_or(&[])
    })
}

#[test]
fn every_example_of_the_reference_is_taken() {
    let text = reference(&registry());
    let mut seen = 0;
    for example in text
        .split("```yaml\n")
        .skip(1)
        .filter(|e| !e.starts_with("columns"))
        .map(|rest| rest.split("```").next().unwrap())
    {
        let (key, _) = example.split_once(':').unwrap();
        let part = example.replace('\n', "\n    ");
        let file = match key {
            "from" if example.contains("table:") => format!(
                "sources: {{ a: {{ from: stdin }} }}\nlookups:\n  l:\n    columns: {{ a: string }}\n    {part}\nsinks: {{ out: {{ rows: a, to: stdout }} }}\n"
            ),
            "from" if example.contains("sheet:") => format!(
                "sources: {{ a: {{ from: stdin }} }}\ntables:\n  t:\n    {part}\nsinks: {{ out: {{ rows: a, to: stdout }} }}\n"
            ),
            "from" => {
                format!("sources:\n  a:\n    {part}\nsinks: {{ out: {{ rows: a, to: stdout }} }}\n")
            }
            "decode" => format!(
                "sources:\n  a:\n    from: stdin\n    {part}\nsinks: {{ out: {{ rows: a, to: stdout }} }}\n"
            ),
            "to" => format!(
                "sources: {{ a: {{ from: stdin }} }}\nsinks:\n  out:\n    rows: a\n    {part}\n"
            ),
            _ => format!(
                "sources: {{ a: {{ from: stdin }} }}\nsinks: {{ out: {{ rows: a, to: stdout }} }}\n{example}"
            ),
        };
        parse(&file).unwrap_or_else(|p| panic!("{file}\n{p}"));
        seen += 1;
    }
    assert_eq!(seen, 11);
}
