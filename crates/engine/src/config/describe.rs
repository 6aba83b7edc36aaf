//! A JSON Schema in words: what type an option has, what it is by default, what it means.

use serde_json::Value;

/// One option, as the reference has it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) option: String,
    pub(super) r#type: String,
    pub(super) default: String,
    pub(super) meaning: String,
}

/// The definitions that a schema refers to.
pub(super) struct Defs<'s>(&'s Value);

/// Options inside of options inside of options: deeper ones are left to the JSON Schema.
const DEPTH_MAX: usize = 3;

/// Types that have a word of their own, and no options.
const WORDS: &[(&str, &str)] = &[
    ("Span", "span"),
    ("Bytes", "bytes"),
    ("Secret", "secret"),
    ("Columns", "[columns](#columns)"),
    ("ColumnType", "[column type](#columns)"),
    ("HttpOptions", "[options](#metrics-and-health-http)"),
    ("Limits", "[options](#bounds-limits)"),
    ("AnySource", "[source](#sources)"),
    ("AnyCodec", "[codec](#codecs)"),
    ("AnyQueue", "[queue](#queues)"),
    ("AnySink", "[sink](#sinks)"),
    ("AnyLookup", "[lookup](#lookups)"),
    ("AnyTable", "[table](#tables)"),
    ("SourceShape", "[source](#a-source)"),
    ("SinkShape", "[sink](#a-sink)"),
    ("LookupShape", "[lookup](#a-lookup)"),
    ("TableShape", "[table](#a-reference-table)"),
];

impl<'s> Defs<'s> {
    pub(super) fn new(root: &'s Value) -> Self {
        Self(root)
    }

    /// A definition by name; null if there is none.
    pub(super) fn get(&self, name: &str) -> &'s Value {
        self.0.get("$defs").and_then(|d| d.get(name)).unwrap_or(&Value::Null)
    }

    /// The options of one kind out of a choice.
    pub(super) fn option_of(&self, choice: &str, kind: &str) -> &'s Value {
        let choices = list(self.get(choice), "oneOf");
        let options = choices.iter().find_map(|c| c.get("properties")?.get(kind));
        options.map_or(&Value::Null, |o| self.resolve(o).1)
    }

    pub(super) fn description(&self, schema: &'s Value) -> &'s str {
        schema.get("description").and_then(Value::as_str).unwrap_or("")
    }

    /// Follows references, and takes the one type that may be null for itself.
    fn resolve(&self, schema: &'s Value) -> (Option<&'s str>, &'s Value) {
        let mut at = schema;
        let mut name = None;
        for _ in 0..8 {
            if let Some(target) = at.get("$ref").and_then(Value::as_str) {
                name = target.rsplit('/').next();
                at = self.get(name.unwrap_or_default());
                continue;
            }
            let several = list(at, "anyOf");
            match several
                .iter()
                .filter(|s| s.get("type") != Some(&"null".into()))
                .collect::<Vec<_>>()[..]
            {
                [one] if !several.is_empty() => at = one,
                _ => break,
            }
        }
        (name, at)
    }

    /// All options below a schema, nested ones after the one they are in.
    pub(super) fn rows(&self, schema: &'s Value) -> Vec<Row> {
        let mut rows = Vec::new();
        self.collect(schema, "", &mut rows, 0);
        rows
    }

    fn collect(&self, schema: &'s Value, prefix: &str, rows: &mut Vec<Row>, depth: usize) {
        let Some(options) = schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        let required = list(schema, "required");
        for (name, option) in options {
            let path = format!("{prefix}{name}");
            let needed = required.iter().any(|r| r == name.as_str());
            rows.push(self.row(&path, option, needed));
            self.below(option, &path, rows, depth);
        }
    }

    fn row(&self, path: &str, option: &'s Value, needed: bool) -> Row {
        let (_, resolved) = self.resolve(option);
        let own = self.description(option);
        let meaning = if own.is_empty() { self.description(resolved) } else { own };
        let default = match option.get("default") {
            Some(value) if !value.is_null() => default_text(value),
            _ if needed => "**required**".into(),
            _ => String::new(),
        };
        Row {
            option: format!("`{path}`"),
            r#type: self.type_of(option),
            default,
            meaning: meaning.to_owned(),
        }
    }

    /// Options of an option.
    fn below(&self, option: &'s Value, path: &str, rows: &mut Vec<Row>, depth: usize) {
        if depth >= DEPTH_MAX {
            return;
        }
        let (name, schema) = self.resolve(option);
        if WORDS.iter().any(|(n, _)| Some(*n) == name) {
            return;
        }
        if let Some(items) = schema.get("items") {
            return self.below(items, &format!("{path}[]"), rows, depth + 1);
        }
        if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
            return self.below(values, &format!("{path}.*"), rows, depth + 1);
        }
        for variant in list(schema, "oneOf") {
            for (name, content) in
                variant.get("properties").and_then(Value::as_object).into_iter().flatten()
            {
                let path = format!("{path}.{name}");
                let mut row = self.row(&path, content, false);
                if row.meaning.is_empty() || variant.get("description").is_some() {
                    row.meaning = self.description(variant).to_owned();
                }
                rows.push(row);
                self.below(content, &path, rows, depth + 1);
            }
            if let Some(value) = variant.get("const").and_then(Value::as_str) {
                let (option, meaning) = (format!("`{path}: {value}`"), self.description(variant));
                rows.push(Row {
                    option,
                    r#type: String::new(),
                    default: String::new(),
                    meaning: meaning.to_owned(),
                });
            }
        }
        self.collect(schema, &format!("{path}."), rows, depth + 1);
    }

    /// The type of an option, in words.
    fn type_of(&self, option: &'s Value) -> String {
        let (name, schema) = self.resolve(option);
        if let Some((_, word)) = WORDS.iter().find(|(n, _)| Some(*n) == name) {
            return (*word).to_owned();
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            let choices: Vec<String> = choices.iter().map(|c| format!("`{c}`")).collect();
            return format!("one of {}", choices.join(", "));
        }
        match type_name(schema) {
            Some("array") => match schema.get("items") {
                Some(items) => format!("list of {}", self.type_of(items)),
                None => "list".into(),
            },
            Some("object") => match schema.get("additionalProperties") {
                Some(values) if values.is_object() => format!("map of {}", self.type_of(values)),
                _ if schema.get("properties").is_some() => "options".into(),
                _ => "map".into(),
            },
            Some("integer") => "whole number".into(),
            Some("number") => "number".into(),
            Some("boolean") => "`true` or `false`".into(),
            Some("string") => "text".into(),
            _ if !list(schema, "anyOf").is_empty() => {
                let several: Vec<String> =
                    list(schema, "anyOf").iter().map(|s| self.type_of(s)).collect();
                several.join(" or ")
            }
            _ => "any value".into(),
        }
    }

    /// The least that has to be written for a part.
    pub(super) fn example(&self, key: &str, kind: &str, options: &'s Value) -> String {
        let given = list(options, "examples").first().and_then(Value::as_object).cloned();
        let options =
            given.or_else(|| self.sample(options).as_object().cloned()).unwrap_or_default();
        if options.is_empty() {
            return format!("{key}: {kind}\n");
        }
        let mut text = format!("{key}:\n  {kind}:\n");
        for (name, value) in options {
            text.push_str(&format!("    {name}: {value}\n"));
        }
        text
    }

    /// A value that fits.
    fn sample(&self, schema: &'s Value) -> Value {
        let (_, resolved) = self.resolve(schema);
        let examples = [list(schema, "examples"), list(resolved, "examples")];
        if let Some(example) = examples.into_iter().flatten().next() {
            return example.clone();
        }
        // Docs say "such as `…`".
        let such = self
            .description(schema)
            .split_once("such as `")
            .and_then(|(_, rest)| rest.split_once('`'));
        match (choices(resolved).first(), type_name(resolved), such) {
            (Some(choice), _, _) => (*choice).into(),
            (_, Some("string"), Some((sample, _))) => sample.into(),
            (_, Some("string"), None) => "…".into(),
            (_, Some("integer"), _) => 1.into(),
            (_, Some("number"), _) => 1.5.into(),
            (_, Some("boolean"), _) => true.into(),
            (_, Some("array"), _) => {
                let items = resolved.get("items").map(|items| self.sample(items));
                Value::Array(items.into_iter().collect())
            }
            (_, Some("object"), _) => {
                let required = list(resolved, "required").iter().filter_map(Value::as_str);
                let options = resolved.get("properties");
                required
                    .filter_map(|name| Some((name.to_owned(), self.sample(options?.get(name)?))))
                    .collect()
            }
            _ => Value::Null,
        }
    }
}

/// A default as it would be written in a file, without the quotes that JSON needs and YAML does not.
fn default_text(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        Value::Array(items) if items.iter().any(|item| item == "") => format!("`{value}`"),
        Value::Array(_) | Value::Object(_) => format!("`{value}`").replace('"', ""),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => format!("`{value}`"),
    }
}

/// The names that may stand for a value, if it is a choice.
fn choices(schema: &Value) -> Vec<&str> {
    let plain = list(schema, "enum").iter().filter_map(Value::as_str);
    let tagged = list(schema, "oneOf").iter().flat_map(|variant| {
        let keys = variant.get("properties").and_then(Value::as_object).into_iter().flatten();
        let several = list(variant, "enum").iter().filter_map(Value::as_str);
        let one = variant.get("const").and_then(Value::as_str);
        keys.map(|(key, _)| key.as_str()).chain(several).chain(one)
    });
    plain.chain(tagged).collect()
}

/// The type, leaving out null.
fn type_name(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(several) => several.iter().filter_map(Value::as_str).find(|t| *t != "null"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn list<'v>(schema: &'v Value, key: &str) -> &'v [Value] {
    schema.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_reads_as_in_a_file() {
        for (value, text) in [
            (serde_json::json!("\""), "`\"`"),
            (serde_json::json!("5s"), "`5s`"),
            (serde_json::json!(""), "`\"\"`"),
            (serde_json::json!([""]), "`[\"\"]`"),
            (serde_json::json!(["a", "b"]), "`[a,b]`"),
            (serde_json::json!(true), "`true`"),
        ] {
            assert_eq!(default_text(&value), text);
        }
    }
}
