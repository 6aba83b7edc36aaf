//! How many bytes functions are going to make: exact or somewhat more, never less.

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, IntervalMonthDayNanoType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::{Result, exec_err};
use datafusion_expr::ColumnarValue;

use crate::size::{BYTES_MAX, argument_bytes, item_bytes};

/// The bytes of a call's results for so many rows.
pub(crate) type Measure = fn(&[ColumnarValue], usize) -> Result<u64>;

/// An argument: one value for all rows, or one for each.
struct Argument {
    values: ArrayRef,
    same: bool,
}

impl Argument {
    fn of(args: &[ColumnarValue], i: usize) -> Result<Option<Self>> {
        Ok(match args.get(i) {
            None => None,
            Some(ColumnarValue::Array(a)) => Some(Self { values: a.clone(), same: false }),
            Some(ColumnarValue::Scalar(s)) => Some(Self { values: s.to_array()?, same: true }),
        })
    }

    fn at(&self, row: usize) -> Option<usize> {
        let i = if self.same { 0 } else { row };
        self.values.is_valid(i).then_some(i)
    }

    fn bytes(&self, row: usize) -> u64 {
        self.at(row).map_or(0, |i| item_bytes(self.values.as_ref(), i))
    }

    /// The whole number of a row; 0 for null and for what is negative.
    fn count(&self, row: usize) -> u64 {
        let number = self.values.as_primitive_opt::<Int64Type>();
        let number = number.zip(self.at(row)).map(|(n, i)| n.value(i));
        number.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
    }

    fn text(&self, row: usize) -> &str {
        let Some(i) = self.at(row) else { return "" };
        match self.values.data_type() {
            DataType::Utf8 => self.values.as_string::<i32>().value(i),
            DataType::LargeUtf8 => self.values.as_string::<i64>().value(i),
            DataType::Utf8View => self.values.as_string_view().value(i),
            _ => "",
        }
    }

    /// How many items the list of a row has.
    fn items(&self, row: usize) -> u64 {
        let Some(i) = self.at(row) else { return 0 };
        let len = match self.values.data_type() {
            DataType::List(_) => self.values.as_list::<i32>().value(i).len(),
            DataType::LargeList(_) => self.values.as_list::<i64>().value(i).len(),
            DataType::FixedSizeList(_, _) => self.values.as_fixed_size_list().value(i).len(),
            _ => 0,
        };
        len as u64
    }
}

/// Adds up what is made for each row.
fn sum(rows: usize, of: impl Fn(usize) -> u64) -> u64 {
    (0..rows).map(of).fold(0, u64::saturating_add)
}

/// Counts are seen as whole numbers of 64 bits, whatever they are.
fn whole(args: &[ColumnarValue], i: usize) -> Result<Option<Argument>> {
    let Some(n) = Argument::of(args, i)? else { return Ok(None) };
    let values = cast(&n.values, &DataType::Int64)?;
    Ok(Some(Argument { values, same: n.same }))
}

/// As much as all arguments together.
pub(crate) fn all(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    args.iter().try_fold(0_u64, |sum, a| Ok(sum.saturating_add(argument_bytes(a, rows)?)))
}

/// `concat_ws(separator, …)`.
pub(crate) fn joined(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let between = args.len().saturating_sub(2) as u64;
    let separator = args.first().map_or(Ok(0), |a| argument_bytes(a, rows))?;
    Ok(all(args, rows)?.saturating_add(separator.saturating_mul(between)))
}

/// `lpad(text, length, fill)`.
pub(crate) fn padded(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let (Some(length), Some(text)) = (whole(args, 1)?, Argument::of(args, 0)?) else {
        return Ok(0);
    };
    let fill = Argument::of(args, 2)?;
    let made = |row| {
        let wide = fill.as_ref().is_some_and(|f| !f.text(row).is_ascii());
        // A length counts characters.
        length.count(row).saturating_mul(if wide { 4 } else { 1 }).saturating_add(text.bytes(row))
    };
    Ok(sum(rows, made))
}

/// `repeat(text, count)`.
pub(crate) fn repeated(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let (Some(count), Some(text)) = (whole(args, 1)?, Argument::of(args, 0)?) else { return Ok(0) };
    Ok(sum(rows, |row| count.count(row).saturating_mul(text.text(row).len() as u64)))
}

/// Room that an item takes at least: its place in the list while it is made.
const ITEM_BYTES: u64 = 8;

/// `array_repeat(item, count)`.
pub(crate) fn repeated_item(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let (Some(count), Some(item)) = (whole(args, 1)?, Argument::of(args, 0)?) else { return Ok(0) };
    Ok(sum(rows, |row| count.count(row).saturating_mul(item.bytes(row).max(ITEM_BYTES))))
}

/// `array_resize(list, size, item)`.
pub(crate) fn resized(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let Some(size) = whole(args, 1)? else { return Ok(0) };
    let item = Argument::of(args, 2)?;
    let item = |row| item.as_ref().map_or(0, |i| i.bytes(row)).max(ITEM_BYTES);
    Ok(sum(rows, |row| size.count(row).saturating_mul(item(row))))
}

/// `array_to_string(list, separator, null)`.
pub(crate) fn joined_items(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    /// Digits of a number, at most.
    const TEXT_BYTES: u64 = 32;
    let Some(list) = Argument::of(args, 0)? else { return Ok(0) };
    let (separator, null) = (Argument::of(args, 1)?, Argument::of(args, 2)?);
    let each = |row| {
        let words = [&separator, &null].into_iter().flatten();
        words.map(|w| w.text(row).len() as u64).sum::<u64>() + TEXT_BYTES
    };
    let made = |row| list.items(row).saturating_mul(each(row)).saturating_add(list.bytes(row));
    Ok(sum(rows, made))
}

/// `array_replace_all(list, from, to)`.
pub(crate) fn replaced_items(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let (Some(list), Some(to)) = (Argument::of(args, 0)?, Argument::of(args, 2)?) else {
        return Ok(0);
    };
    let made = |row| list.items(row).saturating_mul(to.bytes(row)).saturating_add(list.bytes(row));
    Ok(sum(rows, made))
}

/// `replace(text, from, to)`: by the number of matches, if that matters.
pub(crate) fn replaced(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let (Some(text), Some(from), Some(to)) =
        (Argument::of(args, 0)?, Argument::of(args, 1)?, Argument::of(args, 2)?)
    else {
        return Ok(0);
    };
    let made = |row, matches: u64| {
        let to = to.text(row).len() as u64;
        matches.saturating_mul(to).saturating_add(text.text(row).len() as u64)
    };
    let at_most = sum(rows, |row| {
        made(row, text.text(row).len() as u64 / from.text(row).len().max(1) as u64 + 1)
    });
    if at_most <= BYTES_MAX {
        return Ok(at_most);
    }
    Ok(sum(rows, |row| made(row, text.text(row).matches(from.text(row)).count() as u64)))
}

/// `regexp_replace(text, pattern, to, flags)`: by the number of matches, if that matters.
pub(crate) fn replaced_matches(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let (Some(text), Some(to)) = (Argument::of(args, 0)?, Argument::of(args, 2)?) else {
        return Ok(0);
    };
    let flags = Argument::of(args, 3)?;
    let made = |row, matches: u64| {
        let (text, to) = (text.text(row).len() as u64, to.text(row));
        let groups = to.bytes().filter(|b| matches!(b, b'$' | b'\\')).count() as u64;
        // Matches do not overlap, so all that a group takes of them is no more than the text.
        let groups = groups.saturating_mul(text);
        matches.saturating_mul(to.len() as u64).saturating_add(groups).saturating_add(text)
    };
    let everywhere = |row| flags.as_ref().is_some_and(|f| f.text(row).contains('g'));
    let at_most = sum(rows, |row| {
        made(row, if everywhere(row) { text.text(row).len() as u64 + 1 } else { 1 })
    });
    if at_most <= BYTES_MAX {
        return Ok(at_most);
    }
    let counts = datafusion_functions::regex::regexp_count();
    let mut all = 0_u64;
    for row in 0..rows {
        let matches = if everywhere(row) { matches(&counts, args, row)? } else { 1 };
        all = all.saturating_add(made(row, matches));
    }
    Ok(all)
}

/// How often a pattern is found in the text of a row.
fn matches(counts: &datafusion_expr::ScalarUDF, args: &[ColumnarValue], row: usize) -> Result<u64> {
    use datafusion_common::ScalarValue;
    let one = |i: usize| -> Result<ScalarValue> {
        let Some(a) = Argument::of(args, i)? else { return Ok(ScalarValue::Utf8(None)) };
        Ok(ScalarValue::from(a.text(row)))
    };
    let flags = match one(3)? {
        ScalarValue::Utf8(Some(flags)) => flags.replace('g', ""),
        _ => String::new(),
    };
    let mut call = vec![one(0)?, one(1)?, ScalarValue::from(1_i64)];
    if !flags.is_empty() {
        call.push(ScalarValue::from(flags));
    }
    let field = |v: &ScalarValue| -> arrow_schema::FieldRef {
        std::sync::Arc::new(arrow_schema::Field::new("a", v.data_type(), true))
    };
    let result = counts.invoke_with_args(datafusion_expr::ScalarFunctionArgs {
        arg_fields: call.iter().map(field).collect(),
        args: call.into_iter().map(ColumnarValue::Scalar).collect(),
        number_rows: 1,
        return_field: std::sync::Arc::new(arrow_schema::Field::new("n", DataType::Int64, true)),
        config_options: std::sync::Arc::default(),
    })?;
    let count = Argument::of(&[result], 0)?;
    Ok(count.map_or(0, |c| c.count(0)))
}

/// `to_char(moment, format)`: no directive gives more than this for each of its letters.
pub(crate) fn formatted(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    const LETTER_BYTES: u64 = 16;
    let format = args.get(1).map_or(Ok(0), |a| argument_bytes(a, rows))?;
    Ok(format.saturating_mul(LETTER_BYTES))
}

/// `to_timestamp(seconds)`: nothing is made, but a float beyond the range would become its end.
pub(crate) fn moment(args: &[ColumnarValue], _: usize) -> Result<u64> {
    /// Nanoseconds since 1970 fill 64 bits in the year 2262.
    const SECONDS_MAX: f64 = 9_223_372_036.854_775;
    let Some(seconds) = Argument::of(args, 0)? else { return Ok(0) };
    if seconds.values.data_type().is_floating() {
        let seconds = cast(&seconds.values, &DataType::Float64)?;
        let seconds = seconds.as_primitive::<Float64Type>().iter().flatten();
        // What is no number is in no range either.
        if let Some(s) = seconds.into_iter().find(|s| !(-SECONDS_MAX..=SECONDS_MAX).contains(s)) {
            return exec_err!("{s} seconds are beyond the range of a timestamp");
        }
    }
    Ok(0)
}

const DAY_NS: i128 = 86_400_000_000_000;

/// `range(from, to, step)` and `generate_series`.
pub(crate) fn series(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let arrays = |i| Argument::of(args, i);
    let (from, to) = match args.len() {
        0 => return Ok(0),
        1 => (None, arrays(0)?),
        _ => (arrays(0)?, arrays(1)?),
    };
    let step = arrays(2)?;
    let mut all = 0_u64;
    for row in 0..rows {
        let from = from.as_ref().map_or(Some(0), |a| place(a, row));
        let to = to.as_ref().and_then(|a| place(a, row));
        let step = step.as_ref().map_or(Ok(Some(1)), |a| pace(a, row))?;
        if let (Some(from), Some(to), Some(step)) = (from, to, step)
            && step != 0
        {
            let steps = (to - from) / step;
            let items = u64::try_from(steps.max(-1) + 1).unwrap_or(u64::MAX);
            all = all.saturating_add(items.saturating_mul(ITEM_BYTES));
        }
    }
    Ok(all)
}

/// Where a series begins or ends: a number, or nanoseconds since 1970.
fn place(of: &Argument, row: usize) -> Option<i128> {
    let i = of.at(row)?;
    let value = cast(&of.values.slice(i, 1), &DataType::Int64).ok()?;
    let value = i128::from(value.as_primitive_opt::<Int64Type>()?.value(0));
    Some(match of.values.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => value * 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => value * 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => value * 1_000,
        DataType::Date32 => value * DAY_NS,
        _ => value,
    })
}

/// How far a series goes with each item, at least.
fn pace(of: &Argument, row: usize) -> Result<Option<i128>> {
    let Some(i) = of.at(row) else { return Ok(None) };
    let Some(step) = of.values.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return Ok(place(of, row));
    };
    let (months, days, ns) = IntervalMonthDayNanoType::to_parts(step.value(i));
    let parts = [
        i128::from(months) * 28 * DAY_NS,
        // A day can be an hour shorter.
        i128::from(days) * (DAY_NS - DAY_NS / 24),
        i128::from(ns),
    ];
    if parts.iter().any(|p| *p > 0) && parts.iter().any(|p| *p < 0) {
        return exec_err!("a step that goes forth and back may never come to an end");
    }
    Ok(Some(parts.iter().sum()))
}
