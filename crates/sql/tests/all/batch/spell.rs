//! How a window is written.

use fastrand::Rng;

use super::assign::Windows;

/// A call, with `{}` for the table: short, or as Apache Flink has it.
pub(super) fn call(rng: &mut Rng, windows: Windows, time: &str, keys: &[String]) -> String {
    let (word, spans) = match windows {
        Windows::Tumble { size, offset } => ("TUMBLE", vec![("SIZE", size), ("OFFSET", offset)]),
        Windows::Hop { slide, size, offset } => {
            ("HOP", vec![("SLIDE", slide), ("SIZE", size), ("OFFSET", offset)])
        }
        Windows::Cumulate { step, size, offset } => {
            ("CUMULATE", vec![("STEP", step), ("SIZE", size), ("OFFSET", offset)])
        }
        Windows::Session { gap } => ("SESSION", vec![("GAP", gap)]),
    };
    let spans = spans.into_iter().filter(|(name, span)| *name != "OFFSET" || *span != 0);
    let spans = spans.map(|(name, span)| (name, interval(rng, span))).collect::<Vec<_>>();
    let alias = if rng.u8(..4) == 0 { " AS win" } else { "" };
    let plain = spans.iter().map(|(_, span)| span.clone()).collect::<Vec<_>>().join(", ");
    let keys = keys.join(", ");
    let partition = if keys.is_empty() { String::new() } else { format!(" PARTITION BY {keys}") };
    let call = match rng.u8(..4) {
        0 => format!("TABLE({word}(TABLE {{}}{partition}, DESCRIPTOR({time}), {plain}))"),
        1 => {
            let named = spans.iter().map(|(name, span)| format!(", {name} => {span}"));
            let named = named.collect::<String>();
            format!(
                "TABLE({word}(DATA => TABLE {{}}{partition}, TIMECOL => DESCRIPTOR({time}){named}))"
            )
        }
        _ if keys.is_empty() => format!("{word}({{}}, {time}, {plain})"),
        _ => format!("{word}({{}}, {time}, {plain}, {keys})"),
    };
    format!("{call}{alias}")
}

fn interval(rng: &mut Rng, span: i64) -> String {
    let whole = |unit: i64| span % unit == 0;
    match rng.u8(..3) {
        0 if whole(3_600_000_000) => format!("INTERVAL '{} hours'", span / 3_600_000_000),
        1 if whole(60_000_000) => format!("INTERVAL '{}' MINUTE", span / 60_000_000),
        0 | 1 if whole(1_000_000) => format!("INTERVAL '{} seconds'", span / 1_000_000),
        2 if whole(1_000_000) => format!("INTERVAL '{}' SECOND", span / 1_000_000),
        1 if whole(1_000) => format!("INTERVAL '{} milliseconds'", span / 1_000),
        _ => format!("INTERVAL '{span} microseconds'"),
    }
}
