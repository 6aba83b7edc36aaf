//! What a view says of the state it keeps: what it is made for, and by which columns a row takes another's place.

use std::time::Duration;

use millstream_core::operator::{PlannedView, View};

use crate::run::{Input, plan, view};

fn inputs() -> Vec<Input> {
    let columns = r#"{"id":"int64","sensor":"string","value":"float64","ts":"timestamp"}"#;
    let time = Some(("ts".to_owned(), 0));
    let more = r#"{"id":"int64","sensor":"string","value":"int64","ts":"timestamp"}"#;
    vec![
        Input { time: time.clone(), ..Input::new("readings", columns, "") },
        Input { time, ..Input::new("others", more, "") },
        Input::lookup("devices", r#"{"name":"string"}"#, "", false, false),
    ]
}

fn planned(view: View) -> PlannedView {
    let mut planned = plan(&inputs(), &[view], &[]);
    assert!(planned.errors.is_empty(), "{:?}", planned.errors[0]);
    planned.views.remove(0)
}

fn state(sql: &str) -> String {
    planned(view("v", sql)).state.unwrap()
}

const MINUTES: &str = "SELECT window_start, sensor, count(*) AS n, avg(value) AS mean \
    FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor";

#[test]
fn a_view_without_windows_keeps_nothing() {
    let planned = planned(view("v", "SELECT id FROM readings WHERE value > 1"));
    assert_eq!((planned.state, planned.updates), (None, None));
}

#[test]
fn what_does_not_change_the_meaning_of_state_leaves_it() {
    let first = state(MINUTES);
    assert!(first.contains("datafusion 55.2.0"), "{first}");
    let same = [
        // White space, comments, case, other spellings.
        MINUTES.replace(' ', "\n  ").replace("SELECT", "-- what\nselect /* here */"),
        MINUTES.replace(
            "TUMBLE(readings, ts, INTERVAL '1 minute')",
            "TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '60' SECOND))",
        ),
        MINUTES.replace("avg(value)", "mean(value)"),
        // Names, and the order of what is asked for.
        MINUTES.replace(" AS n,", " AS count,"),
        MINUTES.replace("count(*) AS n, avg(value) AS mean", "avg(value) AS mean, count(*) AS n"),
        MINUTES.replace("minute')", "minute') AS r").replace("avg(value)", "avg(r.value)"),
        // What is done with the rows that come out.
        format!("{MINUTES} HAVING count(*) > 1"),
        format!("SELECT sensor || 'x' AS s, n * 2 AS n, mean FROM ({MINUTES})"),
        MINUTES.replace("SELECT window_start,", "SELECT window_end,"),
    ];
    for sql in same {
        assert_eq!(state(&sql), first, "{sql}");
    }
}

#[test]
fn what_changes_the_meaning_of_state_changes_its_text() {
    let first = state(MINUTES);
    let other = [
        MINUTES.replace("1 minute", "2 minutes"),
        MINUTES.replace("1 minute'", "1 minute', INTERVAL '1 second'"),
        MINUTES.replace("TUMBLE(readings, ts,", "HOP(readings, ts, INTERVAL '1 minute',"),
        MINUTES.replace("readings", "others"),
        MINUTES.replace("avg(value)", "avg(id)"),
        MINUTES.replace("avg(value)", "max(value)"),
        MINUTES.replace("avg(value)", "avg(DISTINCT value)"),
        MINUTES.replace("avg(value)", "avg(value + 1)"),
        MINUTES.replace("avg(value)", "avg(value) FILTER (WHERE id > 1)"),
        MINUTES.replace("avg(value)", "first_value(value ORDER BY id)"),
        MINUTES.replace("avg(value)", "first_value(value ORDER BY id DESC)"),
        MINUTES.replace(" GROUP BY", " WHERE value > 1 GROUP BY"),
        MINUTES.replace(" GROUP BY", " WHERE value > 2 GROUP BY"),
        MINUTES.replace("sensor", "upper(sensor)"),
        MINUTES.replace(", sensor", ", id"),
        format!("{MINUTES} HAVING sensor = 'a'"),
        "SELECT window_start, d.name, count(*) AS n, avg(value) AS mean \
            FROM TUMBLE(readings, ts, INTERVAL '1 minute') LEFT JOIN devices d ON d.key = sensor \
            GROUP BY window_start, d.name"
            .to_owned(),
        format!("{MINUTES} UNION ALL {MINUTES}"),
    ];
    let mut seen = vec![first];
    for sql in other {
        let state = state(&sql);
        assert!(!seen.contains(&state), "{sql}\n{state}");
        seen.push(state);
    }
    let mut late = view("v", MINUTES);
    late.windows.allowed_lateness = Duration::from_secs(1);
    let state = planned(late).state.unwrap();
    assert!(!seen.contains(&state), "{state}");
}

#[test]
fn the_bound_of_state_may_change_and_is_told() {
    let mut bound = view("v", MINUTES);
    bound.windows.state_bytes = 5 << 20;
    let planned = planned(bound);
    assert_eq!(planned.state.unwrap(), state(MINUTES));
    assert!(planned.explain.contains("5 MiB at most"), "{}", planned.explain);
}

#[test]
fn rows_that_are_given_anew_are_known_by_their_keys() {
    let late = |sql: &str| {
        let mut view = view("v", sql);
        view.windows.allowed_lateness = Duration::from_secs(60);
        planned(view).updates.unwrap().join(", ")
    };
    assert_eq!(late(MINUTES), "window_start, sensor");
    assert_eq!(
        late(&format!("SELECT mean, sensor AS s, window_start AS w FROM ({MINUTES})")),
        "s, w"
    );
    assert_eq!(planned(view("v", MINUTES)).updates, None);
}
