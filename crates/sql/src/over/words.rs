//! An analysis for people, and what its state means.

use datafusion_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};

use super::plan::Common;
use super::row::frame;
use super::spec::{Analysis, Frame};
use crate::explain::show;
use crate::windowed::span_words;

/// A call for people.
pub(super) fn call(f: &WindowFunction) -> String {
    let WindowFunctionParams { args, window_frame, filter, null_treatment, distinct, .. } =
        &f.params;
    let mut inner = args.iter().map(show).collect::<Vec<_>>().join(", ");
    if (f.fun.name(), inner.as_str()) == ("count", "1") {
        "*".clone_into(&mut inner);
    }
    let distinct = if *distinct { "DISTINCT " } else { "" };
    let filter = filter.as_ref().map(|e| format!(" FILTER (WHERE {})", show(e)));
    let nulls =
        if *null_treatment == Some(NullTreatment::IgnoreNulls) { " IGNORE NULLS" } else { "" };
    let text = format!("{}({distinct}{inner}){}{nulls}", f.fun.name(), filter.unwrap_or_default());
    if matches!(f.fun.name(), "row_number" | "rank" | "dense_rank" | "lag") {
        return text;
    }
    match frame(window_frame) {
        Ok(frame) => format!("{text} over {}", frame_words(frame)),
        Err(_) => text,
    }
}

/// A frame for people.
fn frame_words(frame: Frame) -> String {
    let rows = |n: u64| if n == 0 { "CURRENT ROW".to_owned() } else { format!("{n} PRECEDING") };
    let time = |n: i64| match n {
        0 => "CURRENT ROW".to_owned(),
        n => format!("{} PRECEDING", span_words(n)),
    };
    let (unit, start, end) = match frame {
        Frame::Rows { start, end } => ("ROWS", start.map(rows), rows(end)),
        Frame::Range { start, end } => ("RANGE", start.map(time), time(end)),
    };
    let start = start.unwrap_or_else(|| "UNBOUNDED PRECEDING".to_owned());
    match end.as_str() {
        "CURRENT ROW" => format!("{unit} {start}"),
        end => format!("{unit} BETWEEN {start} AND {end}"),
    }
}

/// What it does and keeps, for people.
pub(super) fn explain(
    spec: &Analysis,
    common: &Common<'_>,
    calls: &[&WindowFunction],
) -> Vec<String> {
    let order = common
        .order
        .iter()
        .map(|sort| format!("{}{}", show(&sort.expr), if sort.asc { "" } else { " DESC" }));
    let order = order.collect::<Vec<_>>().join(", ");
    let keys = common.partition.iter().map(show).collect::<Vec<_>>().join(", ");
    let first = match keys.is_empty() {
        true => format!("in the order of {order}"),
        false => format!("by {keys}, in the order of {order}"),
    };
    let compute = calls.iter().map(|f| call(f)).collect::<Vec<_>>().join(", ");
    let (time, rows) = spec.reach();
    let kept = match (spec.forget, spec.keys.is_empty()) {
        (Some(0), _) => String::new(),
        (Some(_), _) if rows == Some(0) => {
            format!(", and remember {} of each key", span_words(time.unwrap_or(0)))
        }
        (Some(ttl), _) => {
            format!(
                ", and a state for each key until it was silent for {} (`state_ttl`)",
                span_words(ttl)
            )
        }
        (None, true) => ", and a state for ever".to_owned(),
        (None, false) if spec.dies.is_some() => {
            ", and a state for each key until event time has passed it".to_owned()
        }
        (None, false) => {
            ", and a state for each key for ever (`state_ttl` would bound it)".to_owned()
        }
    };
    let kept = if spec.keys.is_empty() { kept.replace(" of each key", "") } else { kept };
    let bytes = millstream_core::fields::Bytes(spec.state_bytes);
    vec![
        first,
        format!("compute {compute}"),
        format!(
            "keep rows until event time has passed them{kept}, {bytes} at most (`state_bytes`)"
        ),
    ]
}

/// What the state means: it changes with all that the state is made of, and with nothing else.
pub(super) fn meaning(spec: &Analysis, texts: &[String]) -> String {
    let mut text = format!(
        "time {} lag {} keys {:?} order {:?} dies {:?} forget {:?}\n",
        spec.time,
        spec.lag,
        spec.keys.iter().map(|(at, field)| (at, field.data_type())).collect::<Vec<_>>(),
        spec.orders,
        spec.dies,
        spec.forget
    );
    for frame in &spec.frames {
        text.push_str(&format!("frame {frame:?}\n"));
    }
    for call in texts {
        text.push_str(&format!("{call}\n"));
    }
    text
}
