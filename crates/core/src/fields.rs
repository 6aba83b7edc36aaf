//! Types of options with units: `5s`, `64MiB`, and secrets that never print.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time such as `250ms`, `5s`, `1m30s`, `2h`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// A number of bytes such as `512B`, `64KiB`, `1.5GiB`, `10MB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

/// Text that is never printed, logged or written: a password, a token.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

const SPANS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];
const BYTES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Units that are read only to say that so much is too much.
const BEYOND: &[&str] = &["PiB", "EiB", "ZiB", "PB", "EB", "ZB"];

/// A text that is written as it should be, and stands for more than can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooMuch;

/// Adds up a run of `number unit` pairs, each with at most six digits of fraction. `None` is a text of another form.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<Result<u64, TooMuch>> {
    let mut rest = text.trim();
    let mut sum = Some(0u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(number_end)?;
        let after = after.trim_start();
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let beyond = || (BEYOND.contains(&unit) && units == BYTES).then_some(u64::MAX);
        let scale = units.iter().find(|(u, _)| *u == unit).map(|(_, scale)| *scale);
        let scale = scale.or_else(beyond)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.len() > 6 || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
        sum = sum.zip(whole.and_then(|n| n.checked_mul(scale))).and_then(|(a, b)| a.checked_add(b));
        if !fraction.is_empty() {
            let digits: u128 = fraction.parse::<u64>().ok()?.into();
            let tens = 10u128.pow(u32::try_from(fraction.len()).ok()?);
            let micro = digits * u128::from(scale);
            if !micro.is_multiple_of(tens) && scale != u64::MAX {
                return None;
            }
            let part = u64::try_from(micro / tens).ok();
            sum = sum.zip(part).and_then(|(a, b)| a.checked_add(b));
        }
        if scale == u64::MAX {
            sum = None;
        }
        rest = after.trim_start();
    }
    Some(sum.ok_or(TooMuch))
}

impl Span {
    /// Reads `1m30s` and its like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text)?.ok()
    }

    fn read(text: &str) -> Option<Result<Self, TooMuch>> {
        Some(parse(text, SPANS)?.map(|us| Self(Duration::from_micros(us))))
    }
}

impl Bytes {
    /// Reads `64MiB` and its like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text)?.ok()
    }

    fn read(text: &str) -> Option<Result<Self, TooMuch>> {
        Some(parse(text, BYTES)?.map(Self))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in SPANS.iter().rev() {
            if left >= *scale {
                write!(f, "{}{unit}", left / scale)?;
                left %= scale;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "only for people to read")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        for (unit, scale) in units {
            if self.0 >= scale {
                return if self.0.is_multiple_of(scale) {
                    write!(f, "{} {unit}", self.0 / scale)
                } else {
                    let number = self.0 as f64 / scale as f64;
                    // So many digits that it does not look like a whole number, which it is not.
                    let texts = (1..=3).map(|digits| format!("{number:.digits$}"));
                    let text = texts
                        .reduce(|a, b| if a.trim_end_matches('0').ends_with('.') { b } else { a });
                    write!(f, "{} {unit}", text.unwrap_or_default())
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is expected, how it is read, and what is said of too much.
struct Text<T>(&'static str, fn(&str) -> Option<Result<T, TooMuch>>, &'static str);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        match (self.1)(text) {
            Some(Ok(read)) => Ok(read),
            Some(Err(TooMuch)) => Err(E::custom(format_args!("`{text}` is {}", self.2))),
            None => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Text(
            "a span of time with its unit, such as `250ms`, `5s` or `1h30m`",
            Self::read,
            "too long: the longest span of time is 213503982d",
        ))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Text(
            "a number of bytes with its unit, such as `512B`, `64MiB` or `2GB`",
            Self::read,
            "too much: the greatest number of bytes is 16777215TiB",
        ))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        // Without the space, and exact, so that it reads back as the same number.
        let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        for (unit, scale) in units {
            if self.0 >= scale && self.0.is_multiple_of(scale) {
                return s.collect_str(&format_args!("{}{unit}", self.0 / scale));
            }
        }
        s.collect_str(&format_args!("{}B", self.0))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time with its unit: us, ms, s, m, h, d.",
            "pattern": "^\\s*([0-9.]+\\s*(us|ms|s|m|h|d)\\s*)+$",
            "examples": ["250ms", "5s", "1h30m"]
        })
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A number of bytes with its unit: B, KiB, MiB, GiB, TiB, KB, MB, GB, TB.",
            "pattern": "^\\s*[0-9.]+\\s*(B|KiB|MiB|GiB|TiB|KB|kB|MB|GB|TB)\\s*$",
            "examples": ["512B", "64MiB", "2GB"]
        })
    }
}

impl Secret {
    /// Hides the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A secret, best given as `${ENV_NAME}` or `${file:path}`. It is never printed."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_bytes_need_a_unit_and_read_back() {
        assert_eq!(Span::parse("1m30s").unwrap().0, Duration::from_secs(90));
        assert_eq!(Span::parse("0.5s").unwrap().to_string(), "500ms");
        assert_eq!(Span::parse("5"), None);
        assert_eq!(Span::parse("5 parsecs"), None);
        assert_eq!(Span::parse("99999999999999d"), None);
        assert_eq!(Span::parse(""), None);
        assert_eq!(Bytes::parse("1.5GiB").unwrap().0, 3 << 29);
        assert_eq!(Bytes::parse("64MiB").unwrap().to_string(), "64 MiB");
        assert_eq!(serde_json::to_string(&Bytes(64 << 20)).unwrap(), "\"64MiB\"");
        assert_eq!(Bytes::parse("-1B"), None);
        assert_eq!(Bytes((8 << 30) - (32 << 20)).to_string(), "7.97 GiB");
        assert_eq!(Bytes(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(Bytes(1025).to_string(), "1.001 KiB");
    }

    #[test]
    fn what_is_too_much_is_told_as_such() {
        let span = |text| serde_json::from_value::<Span>(serde_json::Value::from(text));
        let bytes = |text| serde_json::from_value::<Bytes>(serde_json::Value::from(text));
        for text in ["999999999999d", "99999999999999999999s", "213503982d24h", "213503983d"] {
            let error = span(text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("`{text}` is too long: the longest span of time is 213503982d")
            );
        }
        assert_eq!(span("213503982d").unwrap().to_string(), "213503982d");
        for text in ["17EiB", "1.5 PiB", "16777216TiB", "99999999999999999999GiB"] {
            let error = bytes(text).unwrap_err().to_string();
            assert!(error.contains("is too much: the greatest number"), "{error}");
        }
        assert_eq!(bytes("16777215TiB").unwrap().0, 16_777_215 << 40);
        for text in ["1.2.3s", "5", "-1s", "1EiB", ".s"] {
            let error = span(text).unwrap_err().to_string();
            assert!(error.contains("expected a span of time with its unit"), "{error}");
        }
    }

    #[test]
    fn a_secret_never_prints() {
        let s = Secret::new("hunter2");
        assert_eq!(format!("{s} {s:?} {}", serde_json::to_string(&s).unwrap()), "*** *** \"***\"");
    }
}
