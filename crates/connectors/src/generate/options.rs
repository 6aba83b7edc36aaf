//! The options of `generate`: rates and kinds of fields.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millstream_core::codec::{Column, ColumnType, Columns};
use millstream_core::fields::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What a field of a made-up row holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Field {
    /// The same value in each row.
    Constant(Value),
    /// Whole numbers that go up by a step.
    Sequence(Sequence),
    /// One of several values, each as likely as the others.
    Choice(Vec<Value>),
    /// Random English words.
    Words(Words),
    /// A wave, with noise if wanted.
    Sine(Sine),
    /// A number that wanders.
    RandomWalk(RandomWalk),
    /// Random numbers, all between two bounds equally likely.
    Uniform(Uniform),
    /// Random whole numbers, all between two bounds equally likely.
    Integer(Integer),
    /// Moments at even distances, as RFC 3339.
    Timestamp(Moments),
    /// The moment at which the row is made, as RFC 3339. The one kind that differs from run to run.
    Now,
}

/// Whole numbers that go up by a step.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// The value of the first row.
    #[serde(default)]
    pub start: i64,
    /// What each row adds; it may be negative.
    #[serde(default = "one")]
    pub step: i64,
}

/// Random English words with a space between them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// How many words, from 1 to 1000.
    pub count: u16,
}

/// A wave: `mean + amplitude · sin(2π · row / period)`, with noise if wanted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sine {
    /// Half of the way from trough to peak.
    #[serde(default = "one_float")]
    pub amplitude: f64,
    /// After how many rows it repeats.
    #[serde(default = "hundred")]
    pub period: f64,
    /// Around which value it swings.
    #[serde(default)]
    pub mean: f64,
    /// How far noise may lead a value off the wave, up or down.
    #[serde(default)]
    pub noise: f64,
    /// Digits after the point, at most 9.
    #[serde(default = "three")]
    pub decimals: u8,
}

/// A number that wanders: each row moves it by up to `step`, up or down, between `min` and `max`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomWalk {
    /// Where it begins.
    #[serde(default)]
    pub start: f64,
    /// How far one row may move it.
    #[serde(default = "one_float")]
    pub step: f64,
    /// Where it turns back on its way down.
    #[serde(default)]
    pub min: Option<f64>,
    /// Where it turns back on its way up.
    #[serde(default)]
    pub max: Option<f64>,
    /// Digits after the point, at most 9.
    #[serde(default = "three")]
    pub decimals: u8,
}

/// Random numbers from `min` up to `max`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// The least.
    #[serde(default)]
    pub min: f64,
    /// The bound above.
    #[serde(default = "one_float")]
    pub max: f64,
    /// Digits after the point, at most 9.
    #[serde(default = "three")]
    pub decimals: u8,
}

/// Random whole numbers from `min` to `max`, both included.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Integer {
    /// The least.
    #[serde(default)]
    pub min: i64,
    /// The greatest.
    pub max: i64,
}

/// Moments at even distances.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// The moment of the first row, as RFC 3339.
    #[serde(default = "new_year")]
    pub start: String,
    /// The time between two rows.
    #[serde(default = "one_second")]
    pub step: Span,
}

fn one() -> i64 {
    1
}

fn one_float() -> f64 {
    1.0
}

fn hundred() -> f64 {
    100.0
}

fn three() -> u8 {
    3
}

fn new_year() -> String {
    "2026-01-01T00:00:00Z".into()
}

fn one_second() -> Span {
    Span(Duration::from_secs(1))
}

impl Field {
    fn column_type(&self) -> ColumnType {
        match self {
            Self::Constant(value) => type_of(std::slice::from_ref(value)),
            Self::Choice(values) => type_of(values),
            Self::Sequence(_) | Self::Integer(_) => ColumnType::Int64,
            Self::Words(_) => ColumnType::String,
            Self::Sine(_) | Self::RandomWalk(_) | Self::Uniform(_) => ColumnType::Float64,
            Self::Timestamp(_) | Self::Now => ColumnType::Timestamp,
        }
    }
}

/// The narrowest type that holds all of them.
fn type_of(values: &[Value]) -> ColumnType {
    if values.iter().all(Value::is_i64) {
        ColumnType::Int64
    } else if values.iter().all(Value::is_number) {
        ColumnType::Float64
    } else if values.iter().all(Value::is_string) {
        ColumnType::String
    } else if values.iter().all(Value::is_boolean) {
        ColumnType::Bool
    } else {
        ColumnType::Json
    }
}

/// Fields by name, in the order of the file.
#[derive(Clone, Debug)]
pub struct Fields(pub Vec<(String, Field)>);

impl Fields {
    /// The columns of the rows.
    #[must_use]
    pub fn columns(&self) -> Columns {
        let column = |(name, field): &(String, Field)| Column::new(name, field.column_type());
        Columns(self.0.iter().map(column).collect())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a map of field names to what they hold, such as `id: { sequence: {} }`",
                )
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Field)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if fields.iter().any(|(n, _)| *n == name) {
                        return Err(A::Error::custom(format!("field `{name}` is given twice")));
                    }
                    fields.push((name, map.next_value()?));
                }
                if fields.is_empty() {
                    return Err(A::Error::custom("at least one field is needed"));
                }
                Ok(Fields(fields))
            }
        }
        d.deserialize_map(Look)
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = <BTreeMap<String, Field>>::json_schema(generator);
        schema.insert("description".into(), "Fields by name, each with what it holds.".into());
        schema.insert("minProperties".into(), 1.into());
        schema
    }
}

/// Rows per time, such as `1000/s`, `30/m`, `5/h`, or a plain number per second.
#[derive(Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
}

const RATE_MAX: f64 = 1e9;

/// Why something is no rate.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// It is above [`RATE_MAX`].
    TooHigh,
    /// It is none at all.
    None,
}

impl Wrong {
    fn told<E: serde::de::Error>(
        self,
        found: serde::de::Unexpected<'_>,
        expected: &dyn serde::de::Expected,
    ) -> E {
        match self {
            Self::TooHigh => {
                E::custom(format_args!("{found} is too high a rate: {RATE_MAX}/s at most"))
            }
            Self::None => E::invalid_value(found, expected),
        }
    }
}

impl Rate {
    /// Reads `1000/s` and its like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text).ok()
    }

    fn read(text: &str) -> Result<Self, Wrong> {
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(Wrong::None),
        };
        let number: f64 = number.trim().parse().map_err(|_| Wrong::None)?;
        Self::new(number / seconds)
    }

    fn new(per_second: f64) -> Result<Self, Wrong> {
        if per_second > RATE_MAX {
            Err(Wrong::TooHigh)
        } else if per_second > 0.0 {
            Ok(Self { per_second })
        } else {
            Err(Wrong::None)
        }
    }

    /// How long `rows` take.
    #[expect(clippy::cast_precision_loss, reason = "off by a row in 2^53")]
    pub(super) fn span(self, rows: u64) -> Duration {
        Duration::try_from_secs_f64(rows as f64 / self.per_second).unwrap_or(Duration::MAX / 4)
    }

    /// How many whole rows fit in a time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a duration is not negative, and the cast saturates"
    )]
    pub(super) fn count(self, time: Duration) -> u64 {
        (time.as_secs_f64() * self.per_second) as u64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look;
        impl Visitor<'_> for Look {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate above 0, such as `1000/s`, `30/m` or a number per second")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rate, E> {
                Rate::read(text).map_err(|w| w.told(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Rate, E> {
                Rate::new(n).map_err(|w| w.told(serde::de::Unexpected::Float(n), &self))
            }

            #[expect(clippy::cast_precision_loss, reason = "the bound on rates is far below 2^53")]
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Rate, E> {
                self.visit_f64(n as f64)
            }

            #[expect(clippy::cast_precision_loss, reason = "the bound on rates is far below 2^53")]
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Rate, E> {
                self.visit_f64(n as f64)
            }
        }
        d.deserialize_any(Look)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Rows per time: `1000/s`, `30/m`, `5/h`, or a plain number per second.",
            "anyOf": [
                { "type": "string", "pattern": "^\\s*[0-9.]+\\s*(/\\s*[smh]\\s*)?$" },
                { "type": "number", "exclusiveMinimum": 0 }
            ],
            "examples": ["1000/s", "30/m", 5]
        })
    }
}
