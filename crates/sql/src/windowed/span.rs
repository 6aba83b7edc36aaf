//! Intervals as spans of time.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{ColumnarValue, Expr};
use datafusion_physical_expr::create_physical_expr;

use super::Kind;
use crate::complain::said;
use crate::window::Window;

const DAY_US: i64 = 86_400_000_000;

/// The microseconds of an interval. `what` it is for, and how it is written, are for people.
pub(crate) fn micros(e: &Expr, what: &str, shown: &str) -> Result<i64> {
    let fix = "write it as `INTERVAL '1 minute'`";
    match value(e)? {
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 => {
            if v.nanoseconds % 1_000 != 0 {
                let what = format!("the {what} `{shown}` is finer than a microsecond");
                return Err(said(what, "event time counts whole microseconds"));
            }
            sum(v.days, v.nanoseconds / 1_000).ok_or_else(|| too_long(what, shown))
        }
        ScalarValue::IntervalDayTime(Some(v)) => {
            sum(v.days, i64::from(v.milliseconds) * 1_000).ok_or_else(|| too_long(what, shown))
        }
        ScalarValue::IntervalMonthDayNano(Some(_)) | ScalarValue::IntervalYearMonth(Some(_)) => {
            let what = format!("the {what} `{shown}` is no fixed span: months differ in length");
            Err(said(what, "write it in days: `INTERVAL '30 days'`"))
        }
        _ => Err(said(format!("the {what} `{shown}` is no interval"), fix)),
    }
}

/// The microseconds of an interval that has to be more than nothing.
pub(crate) fn positive(e: &Expr, what: &str, shown: &str) -> Result<i64> {
    let span = micros(e, what, shown)?;
    if span <= 0 {
        let text = format!("the {what} `{shown}` is not more than 0");
        return Err(said(text, "write it as `INTERVAL '1 minute'`"));
    }
    Ok(span)
}

fn sum(days: i32, micros: i64) -> Option<i64> {
    i64::from(days).checked_mul(DAY_US)?.checked_add(micros)
}

fn too_long(what: &str, shown: &str) -> DataFusionError {
    said(format!("the {what} `{shown}` is longer than time is counted"), "make it shorter")
}

fn value(e: &Expr) -> Result<ScalarValue> {
    if let Expr::Literal(value, _) = e {
        return Ok(value.clone());
    }
    let none = PhysicalPlanningContext::default();
    let e = create_physical_expr(e, &DFSchema::empty(), &ExecutionProps::new(), &none)?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    match e.evaluate(&row)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
    }
}

const UNITS: [(i64, &str); 6] = [
    (DAY_US, "day"),
    (3_600_000_000, "hour"),
    (60_000_000, "minute"),
    (1_000_000, "second"),
    (1_000, "millisecond"),
    (1, "microsecond"),
];

/// A span for people: `1 minute`, `90 seconds`.
pub(crate) fn show(micros: i64) -> String {
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| micros % unit == 0 && micros != 0)
        .unwrap_or((1, "microsecond"));
    count(micros / unit, name)
}

/// So many of a unit: `1 day`, `2 days`.
pub(crate) fn count(n: i64, unit: &str) -> String {
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

/// A window for people.
pub(crate) fn words(window: Window) -> String {
    let shift = |offset: i64| match offset {
        0 => String::new(),
        offset => format!(" from {} on", show(offset)),
    };
    match window {
        Window::Tumble { size, offset } => {
            format!("{} of {}{}", Kind::Tumble.name(), show(size), shift(offset))
        }
        Window::Hop { size, slide, offset } => {
            let gaps = if slide > size { " (rows between them are in none)" } else { "" };
            let (slide, size) = (show(slide), show(size));
            format!("{} of {size} every {slide}{}{gaps}", Kind::Hop.name(), shift(offset))
        }
        Window::Cumulate { size, step, offset } => {
            let (step, size) = (show(step), show(size));
            format!("{} by {step} up to {size}{}", Kind::Cumulate.name(), shift(offset))
        }
        Window::Session { gap } => format!("{} with gaps of {}", Kind::Session.name(), show(gap)),
        Window::Again { .. } => "the windows that rows came out of".to_owned(),
    }
}
