//! The reference of all parts and options, in Markdown, made from the JSON Schema.

use std::fmt::Write as _;

use millstream_core::plugin::{Plugin, Registry};
use serde_json::Value;

use super::describe::{Defs, Row};
use super::schema::bare;

const INTRO: &str = "\
# Reference

<!-- Written by `millstream docs`, from the options themselves. A test compares: do not edit. -->

Everything that a pipeline file may hold. A file is YAML; relative paths in it begin at its folder.

- A **choice** of a part is its kind with its options below it: `from: { http: { url: … } }`. A kind whose
  options all have defaults may stand alone: `from: stdin`.
- A **span** of time has a unit: `250ms`, `5s`, `1h30m` (us, ms, s, m, h, d). So has a number of **bytes**:
  `512B`, `64MiB`, `2GB`.
- `${NAME}` in a value is the environment variable `NAME`, `${NAME:-default}` has a default for when it is
  unset or empty, `${file:path}` is the text of a file without the newline at its end, and `$${` stands for
  the characters `${`. Inside of `{ }` and `[ ]` they need quotes around them. What comes from outside is
  a **secret**: it is shown as `***` wherever text goes out.
- Names of sources, lookups, tables, views and sinks are up to 64 letters, digits and `_`, and begin with no digit.
- `millstream check` lists everything that is wrong with a file; `millstream schema` prints its JSON Schema
  for editors.
";

const COLUMNS: &str = r#"
## Columns

```yaml
columns:
  id: int64
  place: { type: string, at: /sensor/place, required: true }
  readings: { list: float64 }
  position: { struct: { x: float64, y: float64 } }
```

| type | holds |
|---|---|
| `int64` | a whole number of 64 bits; one with a fraction or beyond the range does not fit |
| `float64` | a floating-point number of 64 bits |
| `string` | text |
| `bool` | `true` or `false` |
| `timestamp` | a moment written as RFC 3339, such as `2026-11-23T05:00:00Z` |
| `timestamp_s`, `timestamp_ms`, `timestamp_us` | a moment as a number of seconds, milliseconds or microseconds since 1970 |
| `date` | a day, such as `2026-11-23` |
| `json` | any JSON, kept as its text |
| `{ list: type }` | several of one type |
| `{ struct: { name: type } }` | named columns inside one |

A column is found under its own name, or by the JSON pointer `at`; where it is missing or null it is null, or
the row is set aside if the column is `required`.
"#;

/// The reference of files made of these parts.
#[must_use]
pub fn reference(registry: &Registry) -> String {
    let schema = bare(registry);
    let root = schema.as_value();
    let defs = Defs::new(root);
    let mut out = INTRO.to_owned();
    section(&mut out, "The file", &defs, root);
    section(&mut out, "A source", &defs, defs.get("SourceShape"));
    section(&mut out, "A sink", &defs, defs.get("SinkShape"));
    section(&mut out, "A lookup", &defs, defs.get("LookupShape"));
    section(&mut out, "A reference table", &defs, defs.get("TableShape"));
    section(&mut out, "A view", &defs, defs.get("ViewOptions"));
    section(&mut out, "A test", &defs, defs.get("TestShape"));
    out.push_str(COLUMNS);
    section(&mut out, "Metrics and health: `http`", &defs, defs.get("HttpOptions"));
    section(&mut out, "Bounds: `limits`", &defs, defs.get("Limits"));
    parts(&mut out, "Sources", "from", &defs, "AnySource", &names(&registry.sources));
    parts(&mut out, "Codecs", "decode", &defs, "AnyCodec", &names(&registry.codecs));
    parts(&mut out, "Queues", "queue", &defs, "AnyQueue", &names(&registry.queues));
    parts(&mut out, "Lookups", "from", &defs, "AnyLookup", &names(&registry.lookups));
    parts(&mut out, "Tables", "from", &defs, "AnyTable", &names(&registry.tables));
    parts(&mut out, "Sinks", "to", &defs, "AnySink", &names(&registry.sinks));
    out
}

fn names<P: ?Sized>(table: &[Plugin<P>]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = table.iter().map(|p| p.name).collect();
    names.sort_unstable();
    names
}

/// One table of options.
fn section(out: &mut String, title: &str, defs: &Defs<'_>, schema: &Value) {
    heading(out, 2, title);
    text(out, defs.description(schema));
    table(out, &defs.rows(schema));
}

fn parts(out: &mut String, title: &str, key: &str, defs: &Defs<'_>, choice: &str, names: &[&str]) {
    if names.is_empty() {
        return;
    }
    heading(out, 2, title);
    for name in names {
        heading(out, 3, &format!("`{name}`"));
        let options = defs.option_of(choice, name);
        let description = defs.description(options);
        text(out, description);
        // An author's own example is better than a made one.
        if !description.contains("```") {
            let example = defs.example(key, name, options);
            text(out, &format!("```yaml\n{example}```"));
        }
        let rows = defs.rows(options);
        if rows.is_empty() {
            text(out, "It has no options.");
        }
        table(out, &rows);
    }
}

fn heading(out: &mut String, level: usize, title: &str) {
    out.push_str(&format!("\n{} {title}\n", "#".repeat(level)));
}

fn text(out: &mut String, text: &str) {
    if !text.is_empty() {
        out.push_str(&format!("\n{text}\n"));
    }
}

fn table(out: &mut String, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    out.push_str("\n| option | type | default | meaning |\n|---|---|---|---|\n");
    for row in rows {
        let line = [&row.option, &row.r#type, &row.default, &row.meaning]
            .map(|cell| cell.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" "))
            .join(" | ");
        // Writing to a string cannot fail.
        let _ok = writeln!(out, "| {line} |");
    }
}
