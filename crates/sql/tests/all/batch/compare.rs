//! Whether two answers are one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field};
use datafusion_common::ScalarValue;

use super::grammar::Kind;
use super::stage::Item;

/// Floats are the same when they differ by no more than this part of the greater one, or of 1.
///
/// Rows are added in another order here and there: by panes, and then these. All numbers are quarters up to some
/// hundreds, at most 60 at once, so sums and sums of products are exact; the rest, some ten roundings of 2^-53 on values
/// of up to 2^24 that may be subtracted from each other, stays below 2^-25 in all, and mostly far below.
const NEAR: f64 = 1e-9;

/// The rows of `stream` and of `batch` that have no partner in the other.
pub(super) fn differences(
    items: &[Item],
    stream: &RecordBatch,
    batch: &RecordBatch,
) -> Vec<String> {
    let (ours, theirs) = (rows(items, stream, stream), rows(items, batch, stream));
    let mut left: BTreeMap<String, Vec<Vec<ScalarValue>>> = BTreeMap::new();
    for row in theirs {
        left.entry(exact(items, &row)).or_default().push(row);
    }
    let mut found = vec![];
    for row in ours {
        let like = left.entry(exact(items, &row)).or_default();
        let place = like.iter().position(|other| {
            items.iter().enumerate().all(|(i, item)| same(item.kind, &row[i], &other[i]))
        });
        match place {
            Some(place) => drop(like.remove(place)),
            None => found.push(format!("+ stream {}", show(items, &row))),
        }
    }
    let missed = left.into_values().flatten();
    found.extend(missed.map(|row| format!("- batch  {}", show(items, &row))));
    // What belongs together stands together.
    found.sort_by_key(|line| line[9..].to_owned());
    found
}

fn rows(items: &[Item], batch: &RecordBatch, like: &RecordBatch) -> Vec<Vec<ScalarValue>> {
    let columns = items.iter().map(|item| {
        let column = batch.column_by_name(&item.name).unwrap().clone();
        let wanted = like.column_by_name(&item.name).unwrap().data_type();
        match item.kind {
            Kind::Member
                if matches!(column.data_type(), DataType::List(_))
                    && !std::ptr::eq(batch, like) =>
            {
                let item = Field::new_list_field(wanted.clone(), true);
                arrow_cast::cast(&column, &DataType::List(Arc::new(item))).unwrap()
            }
            Kind::Member | Kind::Bits | Kind::Distinct | Kind::Rank(_) => column,
            _ => arrow_cast::cast(&column, wanted).unwrap(),
        }
    });
    let columns = columns.collect::<Vec<_>>();
    let row = |i| columns.iter().map(|c| ScalarValue::try_from_array(c, i).unwrap()).collect();
    (0..batch.num_rows()).map(row).collect()
}

fn exact(items: &[Item], row: &[ScalarValue]) -> String {
    let exact = items.iter().zip(row).filter(|(item, _)| item.kind == Kind::Exact);
    exact.map(|(_, v)| format!("{v:?} ")).collect()
}

pub(super) fn show(items: &[Item], row: &[ScalarValue]) -> String {
    let values = items.iter().zip(row).map(|(item, v)| format!("{}={v}", item.name));
    values.collect::<Vec<_>>().join(" ")
}

fn same(kind: Kind, ours: &ScalarValue, theirs: &ScalarValue) -> bool {
    match kind {
        Kind::Exact => true,
        Kind::Near => near(ours, theirs),
        Kind::Member => match values(theirs) {
            None => ours.is_null(),
            // Null where there are only nulls, or as a value that is one; `nth_value` also where there are too few.
            Some(all) => ours.is_null() || all.contains(ours),
        },
        Kind::Bag => match (values(ours), values(theirs)) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => sorted(&ours) == sorted(&theirs),
            _ => false,
        },
        Kind::Letters => letters(ours) == letters(theirs),
        Kind::Bits => {
            let all = values(theirs).into_iter().flatten().filter(|v| !v.is_null());
            let all = all.map(|v| whole(&v).unwrap()).reduce(|a, b| a ^ b);
            whole(ours) == all
        }
        Kind::Distinct => {
            // 16,384 registers: 0.8 % is one standard deviation; of few values one or two may meet in a register.
            let (ours, theirs) = (number(ours).unwrap(), number(theirs).unwrap());
            (ours - theirs).abs() <= 2.0 + 0.04 * theirs
        }
        Kind::Rank(percent) => is_of_rank(f64::from(percent) / 100.0, ours, theirs),
    }
}

fn near(ours: &ScalarValue, theirs: &ScalarValue) -> bool {
    match (number(ours), number(theirs)) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a == b
                || (a.is_nan() && b.is_nan())
                || (a - b).abs() <= NEAR * a.abs().max(b.abs()).max(1.0)
        }
        _ => false,
    }
}

fn number(value: &ScalarValue) -> Option<f64> {
    match value.cast_to(&DataType::Float64).unwrap() {
        ScalarValue::Float64(v) => v,
        other => panic!("{other}"),
    }
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&DataType::Int64).unwrap() {
        ScalarValue::Int64(v) => v,
        other => panic!("{other}"),
    }
}

fn values(list: &ScalarValue) -> Option<Vec<ScalarValue>> {
    let ScalarValue::List(list) = list else { panic!("{list:?}") };
    let items = list.value(0);
    let all =
        || (0..items.len()).map(|i| ScalarValue::try_from_array(&items, i).unwrap()).collect();
    (!arrow_array::Array::is_null(list.as_ref(), 0)).then(all)
}

fn sorted(values: &[ScalarValue]) -> Vec<String> {
    let mut all = values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>();
    all.sort();
    all
}

fn letters(value: &ScalarValue) -> Vec<u8> {
    let mut all = format!("{value:?}").into_bytes();
    all.sort_unstable();
    all
}

/// Whether a value stands about at this place among the others, each written with its weight: within two of them, or
/// 2 % of them all, which is what t-digests of 100 centroids keep.
fn is_of_rank(percentile: f64, ours: &ScalarValue, theirs: &ScalarValue) -> bool {
    let mut all = vec![];
    for item in values(theirs).into_iter().flatten() {
        let text = item.to_string();
        if let (false, Some((value, weight))) = (item.is_null(), text.split_once('*')) {
            all.push((value.parse::<f64>().unwrap(), weight.parse::<f64>().unwrap()));
        }
    }
    let Some(ours) = number(ours) else { return all.is_empty() };
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total = all.iter().map(|(_, w)| w).sum::<f64>();
    let heaviest = all.iter().map(|(_, w)| *w).fold(0.0, f64::max);
    let (place, slack) = (percentile * total, 2.0 * heaviest + 0.02 * total);
    let (mut below, mut least, mut most) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
    for (value, weight) in all {
        if below + weight >= place - slack && below <= place + slack {
            (least, most) = (least.min(value), most.max(value));
        }
        below += weight;
    }
    least <= ours && ours <= most
}
