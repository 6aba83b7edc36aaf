//! A slow decoder over `serde_json`, written apart from the real one, and rows to try both on.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef};
use fastrand::Rng;
use millstream_core::codec::{Column, ColumnType, Columns};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// One column of each type.
pub(crate) fn columns() -> Columns {
    serde_json::from_value(json!({
        "id": {"type": "int64", "required": true},
        "v": "float64", "s": "string", "b": "bool", "t": "timestamp", "ms": "timestamp_ms",
        "sec": "timestamp_s", "d": "date", "j": "json",
        "l": {"list": "int64"},
        "p": {"struct": {"x": "float64", "y": "string"}},
        "deep": {"type": "int64", "at": "/q/r/1"}
    }))
    .unwrap()
}

/// Members of an object, duplicates and all.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        d.deserialize_map(Look)
    }
}

/// The row as the columns have it; `None` when it is to be refused.
pub(crate) fn row(bytes: &[u8], columns: &Columns) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Err(e) = serde_json::from_str::<Value>(text)
        && !e.to_string().contains("number out of range")
    {
        return None;
    }
    object(text, columns)
}

fn object(text: &str, columns: &Columns) -> Option<Value> {
    let members: Members = serde_json::from_str(text).ok()?;
    let mut row = Map::new();
    for column in &columns.0 {
        let value = match &column.at {
            Some(at) => {
                let tokens: Vec<&str> = at.split('/').skip(1).collect();
                follow(text, &tokens)?
            }
            None => only(&members, &column.name)?.map(ToOwned::to_owned),
        };
        let value = match value {
            Some(text) if text != "null" => typed(&text, &column.r#type)?,
            _ if column.required => return None,
            _ => Value::Null,
        };
        row.insert(column.name.clone(), value);
    }
    Some(Value::Object(row))
}

/// The only member of that name; `None` when there are two.
fn only<'a>(members: &'a Members, name: &str) -> Option<Option<&'a str>> {
    let mut found = members.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v.get());
    let first = found.next();
    found.next().is_none().then_some(first)
}

fn follow(text: &str, tokens: &[&str]) -> Option<Option<String>> {
    let Some((token, rest)) = tokens.split_first() else { return Some(Some(text.to_owned())) };
    let inner = match text.as_bytes()[0] {
        b'{' => {
            let members: Members = serde_json::from_str(text).unwrap();
            only(&members, token)?.map(ToOwned::to_owned)
        }
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
            token.parse::<usize>().ok().and_then(|i| items.get(i)).map(|v| v.get().to_owned())
        }
        _ => None,
    };
    match inner {
        Some(inner) => follow(&inner, rest),
        None => Some(None),
    }
}

fn typed(text: &str, r#type: &ColumnType) -> Option<Value> {
    let string = || serde_json::from_str::<String>(text).ok();
    let number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    Some(match r#type {
        ColumnType::Int64 => json!(decimal(text, 0).filter(|_| number)?.0.filter_exact()?),
        ColumnType::TimestampS => json!(decimal(text, 6).filter(|_| number)?.0.floor()?),
        ColumnType::TimestampMs => json!(decimal(text, 3).filter(|_| number)?.0.floor()?),
        ColumnType::TimestampUs => json!(decimal(text, 0).filter(|_| number)?.0.floor()?),
        ColumnType::Float64 => {
            let v: f64 = text.parse().ok().filter(|v: &f64| number && v.is_finite())?;
            json!(format!("{v:?}"))
        }
        ColumnType::String => json!(string()?),
        ColumnType::Bool => json!(text.parse::<bool>().ok()?),
        ColumnType::Timestamp => {
            let t = chrono::DateTime::parse_from_rfc3339(&string()?).ok()?;
            json!(t.timestamp_micros())
        }
        ColumnType::Date => {
            let text = string().filter(|t| t.len() == 10)?;
            let d = chrono::NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?;
            json!(d.to_epoch_days())
        }
        ColumnType::Json => json!(text),
        ColumnType::List(item) => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).ok()?;
            let item = |v: &RawValue| match v.get() {
                "null" => Some(Value::Null),
                text => typed(text, item),
            };
            Value::Array(items.iter().map(|v| item(v)).collect::<Option<_>>()?)
        }
        ColumnType::Struct(columns) => object(text, columns).filter(|_| text.starts_with('{'))?,
    })
}

/// A decimal number as an integer and a power of ten.
struct Decimal {
    digits: i128,
    exponent: i32,
}

fn decimal(text: &str, places: i32) -> Option<(Decimal, ())> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut exponent = exponent + places - i32::try_from(fraction.len()).ok()?;
    while digits != 0 && digits % 10 == 0 && exponent < 0 {
        digits /= 10;
        exponent += 1;
    }
    Some((Decimal { digits, exponent: if digits == 0 { 0 } else { exponent } }, ()))
}

impl Decimal {
    fn filter_exact(&self) -> Option<i64> {
        if self.exponent < 0 { None } else { self.floor() }
    }

    fn floor(&self) -> Option<i64> {
        if self.exponent >= 0 {
            let power = 10i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
            return i64::try_from(self.digits.checked_mul(power)?).ok();
        }
        let Some(power) = 10i128.checked_pow(self.exponent.unsigned_abs()) else {
            return Some(if self.digits < 0 { -1 } else { 0 });
        };
        i64::try_from(self.digits.div_euclid(power)).ok()
    }
}

/// Rows of a batch, as [`row`] has them.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Value> {
    let fields = batch.schema();
    let row = |i| {
        let member = |(f, a): (&FieldRef, &ArrayRef)| (f.name().clone(), cell(a, i));
        Value::Object(fields.fields().iter().zip(batch.columns()).map(member).collect())
    };
    (0..batch.num_rows()).map(row).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has types that we never build")]
fn cell(array: &dyn Array, i: usize) -> Value {
    if array.is_null(i) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(i)),
        DataType::Float64 => json!(format!("{:?}", array.as_primitive::<Float64Type>().value(i))),
        DataType::Timestamp(..) => {
            json!(array.as_primitive::<TimestampMicrosecondType>().value(i))
        }
        DataType::Date32 => json!(array.as_primitive::<Date32Type>().value(i)),
        DataType::Boolean => json!(array.as_boolean().value(i)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(i)),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(i);
            Value::Array((0..items.len()).map(|j| cell(&items, j)).collect())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let member = |(f, a): (&FieldRef, &ArrayRef)| (f.name().clone(), cell(a, i));
            Value::Object(fields.iter().zip(columns).map(member).collect())
        }
        other => panic!("{other}"),
    }
}

/// How far rows stray from the plain ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mess {
    /// Values of every sort in their order.
    Plain,
    /// Other orders, spaces, types, duplicate and unknown keys.
    Valid,
    /// Also changed, lost and added bytes.
    Broken,
}

/// A row as its bytes.
pub(crate) fn some_row(random: &mut Rng, columns: &Columns, mess: Mess) -> Vec<u8> {
    let messy = mess != Mess::Plain && random.u8(0..3) == 0;
    let mut members: Vec<(String, String)> = Vec::new();
    for c in &columns.0 {
        let wrong = messy && random.u8(0..24) == 0;
        let text = if wrong { any(random, 2) } else { fitting(random, &c.r#type, messy) };
        match &c.at {
            Some(_) => members.push(("q".into(), format!("{{\"r\":[{},{text}]}}", any(random, 1)))),
            None => members.push((c.name.clone(), text)),
        }
    }
    members.insert(3, ("unused".into(), any(random, if messy { 3 } else { 0 })));
    if messy {
        match random.u8(0..6) {
            0 => random.shuffle(&mut members),
            1 => drop(members.remove(random.usize(0..members.len()))),
            2 => members.push(members[random.usize(0..members.len())].clone()),
            3 => members.push(("more".into(), any(random, 3))),
            _ => {}
        }
    }
    let space = |random: &mut Rng| if messy && random.u8(0..6) == 0 { " \t" } else { "" };
    let mut row = String::from("{");
    for (i, (name, text)) in members.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let name = if messy && random.u8(0..20) == 0 {
            name.chars().fold(String::new(), |mut n, c| {
                write!(n, "\\u{:04x}", c as u32).unwrap();
                n
            })
        } else {
            name.clone()
        };
        let (a, b, c) = (space(random), space(random), space(random));
        write!(row, "{comma}{a}\"{name}\"{b}:{c}{text}{a}").unwrap();
    }
    row.push('}');
    let mut row = row.into_bytes();
    if mess == Mess::Broken && random.u8(0..3) == 0 {
        let at = random.usize(1..row.len());
        match random.u8(0..4) {
            0 => row.truncate(at),
            1 => drop(row.remove(at)),
            2 => row.insert(at, *random.choice(b"\"\\{}[],:0eE.-+ntu \xff\n").unwrap()),
            _ => row[at] = *random.choice(b"\"\\{}[],:0eE.-+ntu \xc3\x01").unwrap(),
        }
    }
    row
}

fn fitting(random: &mut Rng, r#type: &ColumnType, messy: bool) -> String {
    if random.u8(0..12) == 0 {
        return "null".into();
    }
    match r#type {
        ColumnType::Int64 | ColumnType::TimestampUs => match random.u8(0..8) {
            0 => random.i64(..).to_string(),
            1 if messy => number(random),
            _ => random.i64(-5_000..1_000_000_000).to_string(),
        },
        ColumnType::TimestampMs | ColumnType::TimestampS => match random.u8(0..8) {
            0 => number(random),
            _ => random.i64(0..1_800_000_000_000).to_string(),
        },
        ColumnType::Float64 => match random.u8(0..4) {
            0 => number(random),
            _ => format!("{:.2}", random.f64() * 1000.0),
        },
        ColumnType::Bool => random.bool().to_string(),
        ColumnType::String => text(random, messy),
        ColumnType::Timestamp => format!(
            "\"20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}{}{}\"",
            random.u8(0..100),
            random.u8(1..13),
            random.u8(1..32),
            random.u8(0..24),
            random.u8(0..60),
            random.u8(0..60),
            random.choice(["", ".5", ".123456789", ".123"]).unwrap(),
            random.choice(["Z", "+02:00", "-11:30", if messy { "" } else { "z" }]).unwrap()
        ),
        ColumnType::Date => format!(
            "\"{:04}-{:02}-{:02}\"",
            random.u16(0..10_000),
            random.u8(1..13),
            random.u8(1..31)
        ),
        ColumnType::Json => any(random, 2),
        ColumnType::List(item) => {
            let n = random.usize(0..4);
            let items: Vec<_> = (0..n).map(|_| fitting(random, item, messy)).collect();
            format!("[{}]", items.join(","))
        }
        ColumnType::Struct(columns) => {
            let member =
                |c: &Column| format!("\"{}\":{}", c.name, fitting(random, &c.r#type, messy));
            let members: Vec<_> = columns.0.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn number(random: &mut Rng) -> String {
    let mut digits = |n: usize| -> String {
        let n = random.usize(1..=n);
        (0..n).map(|_| random.digit(10)).collect()
    };
    let (whole, fraction, exponent) = (digits(20), digits(9), digits(2));
    match random.u8(0..7) {
        0 => whole,
        1 => format!("-{whole}"),
        2 => format!("{whole}.{fraction}"),
        3 => format!("{whole}e{exponent}"),
        4 => format!("-{whole}.{fraction}E-{exponent}"),
        5 => format!("1e{exponent}{exponent}"),
        _ => format!("{}.000e0", random.u32(..)),
    }
}

fn text(random: &mut Rng, messy: bool) -> String {
    let long = random.u8(0..10) == 0;
    let n = random.usize(0..if long { 90 } else { 14 });
    let mut text = String::from("\"");
    for _ in 0..n {
        match random.u8(0..if messy { 40 } else { 200 }) {
            0 => text.push_str("\\n"),
            1 => text.push_str("\\u00e9"),
            2 => text.push_str("\\ud83d\\ude00"),
            3 if messy => text.push_str("\\ud83d"),
            4 => text.push('é'),
            5 => text.push('}'),
            6 => text.push_str("\\\""),
            _ => text.push(random.alphanumeric()),
        }
    }
    text.push('"');
    text
}

fn any(random: &mut Rng, depth: u8) -> String {
    match random.u8(0..if depth == 0 { 5 } else { 7 }) {
        0 => "null".into(),
        1 => random.bool().to_string(),
        2 => random.i32(..).to_string(),
        3 => format!("{}", random.f32()),
        4 => text(random, false),
        5 => format!("[{},{}]", any(random, depth - 1), any(random, depth - 1)),
        _ => format!("{{\"k\":{},\"id\":{}}}", any(random, depth - 1), any(random, depth - 1)),
    }
}
