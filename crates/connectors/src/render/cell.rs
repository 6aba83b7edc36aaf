//! One closure per column that writes its values.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, PrimitiveArray, StructArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, TimeUnit};

use super::is_json;
use super::time::{LastSecond, push_date, push_moment, push_time};

/// Appends the value of one row.
pub(crate) type Cell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// What the text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A JSON value; null is `null`.
    Json,
    /// The bare text; null is nothing at all.
    Text,
}

/// The writer of a column.
pub(crate) fn cell<'a>(field: &Field, array: &'a dyn Array, style: Style) -> Cell<'a> {
    let value = value(field, array, style);
    if array.logical_null_count() == 0 {
        return value;
    }
    let nulls = array.logical_nulls();
    Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            if style == Style::Json {
                out.extend_from_slice(b"null");
            }
        } else {
            value(row, out);
        }
    })
}

/// The writer of values that are not null.
#[expect(clippy::wildcard_enum_match_arm, reason = "types nobody needs fast share one way")]
fn value<'a>(field: &Field, array: &'a dyn Array, style: Style) -> Cell<'a> {
    use DataType as T;
    match array.data_type() {
        T::Int8 => integer::<Int8Type>(array),
        T::Int16 => integer::<Int16Type>(array),
        T::Int32 => integer::<Int32Type>(array),
        T::Int64 => integer::<Int64Type>(array),
        T::UInt8 => integer::<UInt8Type>(array),
        T::UInt16 => integer::<UInt16Type>(array),
        T::UInt32 => integer::<UInt32Type>(array),
        T::UInt64 => integer::<UInt64Type>(array),
        T::Float16 => {
            let array = array.as_primitive::<Float16Type>();
            Box::new(move |row, out| push_float(out, array.value(row).to_f32(), style))
        }
        T::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            Box::new(move |row, out| push_float(out, array.value(row), style))
        }
        T::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Box::new(move |row, out| push_float(out, array.value(row), style))
        }
        T::Decimal32(..) => decimal::<Decimal32Type>(array),
        T::Decimal64(..) => decimal::<Decimal64Type>(array),
        T::Decimal128(..) => decimal::<Decimal128Type>(array),
        T::Decimal256(..) => decimal::<Decimal256Type>(array),
        T::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
            })
        }
        T::Utf8 => {
            let array = array.as_string::<i32>();
            text(field, style, move |row| array.value(row))
        }
        T::LargeUtf8 => {
            let array = array.as_string::<i64>();
            text(field, style, move |row| array.value(row))
        }
        T::Utf8View => {
            let array = array.as_string_view();
            text(field, style, move |row| array.value(row))
        }
        T::Binary => {
            let array = array.as_binary::<i32>();
            quoted(style, move |row, out| push_hex(out, array.value(row)))
        }
        T::LargeBinary => {
            let array = array.as_binary::<i64>();
            quoted(style, move |row, out| push_hex(out, array.value(row)))
        }
        T::Timestamp(..) | T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) => {
            moment(array, style)
        }
        T::List(_) | T::LargeList(_) | T::FixedSizeList(..) | T::Struct(_) | T::Map(..) => {
            nested(array)
        }
        T::Dictionary(..) => dictionary(field, array, style),
        T::Null => Box::new(|_, _| {}),
        _ => other(array, style),
    }
}

fn integer<T: ArrowPrimitiveType<Native: itoa::Integer>>(array: &dyn Array) -> Cell<'_> {
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| {
        out.extend_from_slice(itoa::Buffer::new().format(array.value(row)).as_bytes());
    })
}

fn decimal<T: DecimalType>(array: &dyn Array) -> Cell<'_> {
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| out.extend_from_slice(array.value_as_string(row).as_bytes()))
}

fn push_float<F: zmij::Float + Into<f64> + Copy>(out: &mut Vec<u8>, value: F, style: Style) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        return;
    }
    let word = match (wide.is_nan(), wide > 0.0) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    };
    match style {
        Style::Json => push_string(out, word),
        Style::Text => out.extend_from_slice(word.as_bytes()),
    }
}

/// Text that may need escapes, or that is JSON already.
fn text<'a>(field: &Field, style: Style, get: impl Fn(usize) -> &'a str + 'a) -> Cell<'a> {
    match (style, is_json(field)) {
        (Style::Text, _) => Box::new(move |row, out| out.extend_from_slice(get(row).as_bytes())),
        (Style::Json, false) => Box::new(move |row, out| push_string(out, get(row))),
        (Style::Json, true) => Box::new(move |row, out| {
            let text = get(row);
            if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
                return push_string(out, text);
            }
            // Valid JSON has line breaks only between its tokens, where a space says the same.
            out.extend(text.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
        }),
    }
}

/// Text that never needs escapes.
fn quoted<'a>(style: Style, write: impl Fn(usize, &mut Vec<u8>) + 'a) -> Cell<'a> {
    match style {
        Style::Text => Box::new(write),
        Style::Json => Box::new(move |row, out| {
            out.push(b'"');
            write(row, out);
            out.push(b'"');
        }),
    }
}

/// Moments, dates and times of day.
#[expect(clippy::wildcard_enum_match_arm, reason = "the caller passes only these")]
fn moment(array: &dyn Array, style: Style) -> Cell<'_> {
    use DataType as T;
    use TimeUnit as U;
    match array.data_type() {
        T::Timestamp(unit, zone) => {
            let utc = zone.is_some();
            match unit {
                U::Second => timestamp::<TimestampSecondType>(array, 1, utc, style),
                U::Millisecond => timestamp::<TimestampMillisecondType>(array, 1_000, utc, style),
                U::Microsecond => {
                    timestamp::<TimestampMicrosecondType>(array, 1_000_000, utc, style)
                }
                U::Nanosecond => {
                    timestamp::<TimestampNanosecondType>(array, 1_000_000_000, utc, style)
                }
            }
        }
        T::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            quoted(style, move |row, out| push_date(out, array.value(row).into()))
        }
        T::Date64 => {
            let array = array.as_primitive::<Date64Type>();
            quoted(style, move |row, out| push_date(out, array.value(row).div_euclid(86_400_000)))
        }
        T::Time32(U::Second) => time_of_day::<Time32SecondType>(array, 1, style),
        T::Time32(_) => time_of_day::<Time32MillisecondType>(array, 1_000, style),
        T::Time64(U::Nanosecond) => {
            time_of_day::<Time64NanosecondType>(array, 1_000_000_000, style)
        }
        _ => time_of_day::<Time64MicrosecondType>(array, 1_000_000, style),
    }
}

/// Whole seconds, the fraction, and how many digits it has.
fn split(value: i64, per_second: i64) -> (i64, u32, usize) {
    let fraction = value.rem_euclid(per_second);
    let (fraction, digits) = if per_second > 1_000_000 {
        (fraction, 9)
    } else {
        (fraction * (1_000_000 / per_second), 6)
    };
    (value.div_euclid(per_second), u32::try_from(fraction).unwrap_or(0), digits)
}

fn timestamp<T: ArrowPrimitiveType<Native = i64>>(
    array: &dyn Array,
    per_second: i64,
    utc: bool,
    style: Style,
) -> Cell<'_> {
    let array: &PrimitiveArray<T> = array.as_primitive::<T>();
    let last = LastSecond::default();
    quoted(style, move |row, out| {
        let (seconds, fraction, digits) = split(array.value(row), per_second);
        push_moment(out, &last, seconds, fraction, digits, utc);
    })
}

fn time_of_day<T: ArrowPrimitiveType<Native: Into<i64>>>(
    array: &dyn Array,
    per_second: i64,
    style: Style,
) -> Cell<'_> {
    let array = array.as_primitive::<T>();
    quoted(style, move |row, out| {
        let (seconds, fraction, digits) = split(array.value(row).into(), per_second);
        push_time(out, seconds, fraction, digits);
    })
}

/// Lists and structs, which are JSON in either style.
#[expect(clippy::wildcard_enum_match_arm, reason = "the caller passes only these")]
fn nested(array: &dyn Array) -> Cell<'_> {
    match array.data_type() {
        DataType::List(item) => {
            let array = array.as_list::<i32>();
            let ends = array.value_offsets();
            list(item, array.values(), move |row| (end(ends, row), end(ends, row + 1)))
        }
        DataType::LargeList(item) => {
            let array = array.as_list::<i64>();
            let ends = array.value_offsets();
            list(item, array.values(), move |row| (end(ends, row), end(ends, row + 1)))
        }
        DataType::FixedSizeList(item, _) => {
            let array = array.as_fixed_size_list();
            let width = usize::try_from(array.value_length()).unwrap_or(0);
            list(item, array.values(), move |row| (row * width, (row + 1) * width))
        }
        DataType::Map(entry, _) => {
            let array = array.as_map();
            let ends = array.value_offsets();
            list(entry, array.entries(), move |row| (end(ends, row), end(ends, row + 1)))
        }
        _ => object(array.as_struct()),
    }
}

fn end<O: Copy + TryInto<usize>>(ends: &[O], row: usize) -> usize {
    ends.get(row).and_then(|e| (*e).try_into().ok()).unwrap_or(0)
}

fn list<'a>(
    item: &Field,
    values: &'a dyn Array,
    range: impl Fn(usize) -> (usize, usize) + 'a,
) -> Cell<'a> {
    let item = cell(item, values, Style::Json);
    Box::new(move |row, out| {
        out.push(b'[');
        let (from, to) = range(row);
        for i in from..to {
            if i > from {
                out.push(b',');
            }
            item(i, out);
        }
        out.push(b']');
    })
}

fn object(array: &StructArray) -> Cell<'_> {
    let columns = array.fields().iter().zip(array.columns());
    let columns: Vec<(Vec<u8>, Cell<'_>)> = columns
        .enumerate()
        .map(|(i, (field, column))| {
            let mut before = if i == 0 { Vec::new() } else { vec![b','] };
            push_string(&mut before, field.name());
            before.push(b':');
            (before, cell(field, column.as_ref(), Style::Json))
        })
        .collect();
    Box::new(move |row, out| {
        out.push(b'{');
        for (before, cell) in &columns {
            out.extend_from_slice(before);
            cell(row, out);
        }
        out.push(b'}');
    })
}

fn dictionary<'a>(field: &Field, array: &'a dyn Array, style: Style) -> Cell<'a> {
    let array = array.as_any_dictionary();
    if array.values().is_empty() {
        return Box::new(|_, _| {});
    }
    let keys = array.normalized_keys();
    let values = value(field, array.values().as_ref(), style);
    Box::new(move |row, out| values(keys.get(row).copied().unwrap_or(0), out))
}

/// Whatever else Arrow has, in Arrow's own words.
fn other(array: &dyn Array, style: Style) -> Cell<'_> {
    let formatter = ArrayFormatter::try_new(array, &FormatOptions::default());
    Box::new(move |row, out| {
        let mut text = String::new();
        let written = match &formatter {
            Ok(f) => write!(text, "{}", f.value(row)).is_ok(),
            Err(_) => false,
        };
        if !written {
            text = format!("{:?}", array.slice(row, 1));
        }
        match style {
            Style::Json => push_string(out, &text),
            Style::Text => out.extend_from_slice(text.as_bytes()),
        }
    })
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
        }
    }
}

/// A JSON string.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, 0..=0x1f | b'"' | b'\\')) {
        let (plain, after) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = after.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u00");
                push_hex(out, &[*other]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
