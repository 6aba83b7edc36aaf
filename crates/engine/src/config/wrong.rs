//! What serde finds wrong, and how that is told.

use std::fmt::{self, Display};

use serde::de::{Expected, Unexpected};

use super::decode::Wish;
use super::problem::Problem;
use super::suggest::known;
use super::tree::{Filled, Node, Style, Tree, Value};
use super::typed::{Plain, plain};

/// An error of serde, with the parts kept that a better text is made of.
#[derive(Clone, Debug)]
pub(super) enum Wrong {
    /// Told of already.
    Silent,
    Custom(String),
    Type {
        expected: String,
    },
    Length {
        expected: String,
    },
    Field {
        name: String,
        fields: &'static [&'static str],
    },
    Variant {
        name: String,
        variants: &'static [&'static str],
    },
    Missing(&'static str),
}

impl Wrong {
    /// A choice was wanted, and none or several stand there.
    pub(super) fn one_choice(given: usize, variants: &[&str]) -> Self {
        let given = if given == 0 { "none".to_owned() } else { given.to_string() };
        Self::Custom(format!("one of {} has to stand here, not {given}", list(variants)))
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("told already"),
            Self::Custom(text) => f.write_str(text),
            Self::Type { expected } | Self::Length { expected } => write!(f, "expected {expected}"),
            Self::Field { name, .. } => write!(f, "unknown option `{name}`"),
            Self::Variant { name, .. } => write!(f, "unknown choice `{name}`"),
            Self::Missing(name) => write!(f, "`{name}` is missing"),
        }
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: Display>(text: T) -> Self {
        Self::Custom(text.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Type { expected: expected.to_string() }
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Type { expected: expected.to_string() }
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::Length { expected: expected.to_string() }
    }

    fn unknown_variant(name: &str, variants: &'static [&'static str]) -> Self {
        Self::Variant { name: name.to_owned(), variants }
    }

    fn unknown_field(name: &str, fields: &'static [&'static str]) -> Self {
        Self::Field { name: name.to_owned(), fields }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Custom(format!("`{field}` is given twice"))
    }
}

/// Tells what is wrong at a node.
pub(super) fn problem(tree: &Tree, node: &Node, wrong: &Wrong) -> Problem {
    let key_at = |name: &str| node.get(name).map(|(key, _)| key.at.clone());
    let at = tree.place(node);
    let problem = match wrong {
        Wrong::Silent => Problem::new("this cannot be read", at),
        Wrong::Custom(text) => Problem::new(text.trim_end_matches('.'), at),
        Wrong::Type { expected } => {
            let problem =
                Problem::new(format!("expected {}, found {}", plainly(expected), found(node)), at);
            match fix(node, expected) {
                Some(fix) => problem.fix(fix),
                None => problem,
            }
        }
        Wrong::Length { expected } => Problem::new(
            format!("the number of items is wrong: expected {}", plainly(expected)),
            at,
        ),
        Wrong::Field { name, fields } => {
            Problem::new(format!("unknown option `{name}`"), key_at(name).unwrap_or(at))
                .fix(known(name, fields.iter().copied()))
        }
        Wrong::Variant { name, variants } => {
            let name = if is_secret(node) { "***" } else { name };
            Problem::new(format!("unknown choice `{name}`"), key_at(name).unwrap_or(at))
                .fix(known(name, variants.iter().copied()))
        }
        Wrong::Missing(field) => Problem::new(format!("`{field}` is missing"), tree.named_at(node))
            .fix(format!("add `{field}: …` here")),
    };
    problem.path(tree.path(node.id))
}

fn is_secret(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(s) if s.filled != Filled::No)
}

/// What stands there, in words.
fn found(node: &Node) -> String {
    let scalar = match &node.value {
        Value::Map(_) => return "a map".into(),
        Value::List(_) => return "a list".into(),
        Value::Scalar(_) if node.is_null() => return "nothing".into(),
        Value::Scalar(_) if is_secret(node) => return "`***`".into(),
        Value::Scalar(scalar) => scalar,
    };
    let text = shortened(&scalar.text);
    match plain(scalar, Wish::Any) {
        Plain::Unsigned(_) | Plain::Signed(_) | Plain::Float(_) => format!("the number `{text}`"),
        Plain::Bool(_) => format!("`{text}`"),
        Plain::Null | Plain::Text => format!("the text `{text}`"),
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    let short: String = line.chars().take(60).collect();
    if short.len() < text.trim_end().len() { short + "…" } else { short }
}

/// What serde calls expected, in the words of the file.
fn plainly(expected: &str) -> String {
    let range = |low: &str, high: &str| format!("a whole number from {low} to {high}");
    match expected {
        "u8" => range("0", &u8::MAX.to_string()),
        "u16" => range("0", &u16::MAX.to_string()),
        "u32" => range("0", &u32::MAX.to_string()),
        "u64" | "usize" => "a whole number, 0 or more".into(),
        "i8" => range(&i8::MIN.to_string(), &i8::MAX.to_string()),
        "i16" => range(&i16::MIN.to_string(), &i16::MAX.to_string()),
        "i32" => range(&i32::MIN.to_string(), &i32::MAX.to_string()),
        "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "`true` or `false`".into(),
        "a string" | "a borrowed string" => "text".into(),
        "a character" => "one character".into(),
        "a sequence" => "a list".into(),
        other if other.starts_with("struct ") => "a map of options".into(),
        other => other.into(),
    }
}

fn fix(node: &Node, expected: &str) -> Option<String> {
    let Value::Scalar(scalar) = &node.value else {
        return None;
    };
    let typed = plain(scalar, Wish::Any);
    let number = matches!(typed, Plain::Unsigned(_) | Plain::Signed(_) | Plain::Float(_));
    let text = if is_secret(node) { "***".to_owned() } else { shortened(&scalar.text) };
    if number && expected.contains("with its unit") {
        let unit = match (expected.contains("bytes"), typed) {
            (true, Plain::Unsigned(n)) if n >= 1024 => "B",
            (true, _) => "MiB",
            (false, _) => "s",
        };
        return Some(format!("it needs a unit, such as `{text}{unit}`"));
    }
    if expected == "a string" && (number || matches!(typed, Plain::Bool(_))) {
        return Some(format!("put it into quotes: `\"{text}\"`"));
    }
    if expected == "a boolean" && matches!(text.as_str(), "yes" | "on" | "Yes" | "On" | "y") {
        return Some("write `true`".into());
    }
    if expected == "a boolean" && matches!(text.as_str(), "no" | "off" | "No" | "Off" | "n") {
        return Some("write `false`".into());
    }
    let quoted = scalar.style != Style::Plain && scalar.filled == Filled::No;
    let bare = super::tree::Scalar { style: Style::Plain, ..scalar.clone() };
    let wants_number = plainly(expected).contains("number");
    if quoted && wants_number && !matches!(plain(&bare, Wish::Any), Plain::Text | Plain::Null) {
        return Some("leave out the quotes".into());
    }
    None
}
