//! What a view says of the state it keeps: what it is made for, and by which columns a row takes another's place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_core::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Operator, Output, PlannedView, Planner, View};
use millstream_core::record::Offset;
use millstream_sql::SqlPlanner;

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
        MINUTES.replace(", ", "\n  ,").replace("SELECT", "-- what\nselect /* here */"),
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
fn what_spills_is_told_and_only_windows_with_keys_that_are_no_sessions_can() {
    let spilling = |sql: &str| {
        let mut spills = view("v", sql);
        spills.windows.spill = Some(Path::new("/nowhere").into());
        spills
    };
    let windows = planned(spilling(MINUTES));
    assert_eq!(windows.state.unwrap(), state(MINUTES));
    let told = "1 GiB at most in memory (`state_bytes`), more on disk (`at_bound: spill`)";
    assert!(windows.explain.contains(told), "{}", windows.explain);
    let session = "SELECT window_start, window_end, sensor, count(*) AS n \
        FROM SESSION(readings, ts, INTERVAL '1 minute', sensor) GROUP BY window_start, window_end, sensor";
    let none = "SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start";
    for (sql, why) in [
        (session, "sessions cannot be spilled to disk"),
        (none, "no windows with keys whose state could be spilled"),
        ("SELECT id FROM readings", "no windows with keys whose state could be spilled"),
    ] {
        let errors = plan(&inputs(), &[spilling(sql)], &[]).errors;
        assert!(errors[0].error.to_string().contains(why), "{sql}: {:?}", errors[0].error);
    }
}

#[test]
fn rows_that_are_given_anew_are_known_by_their_keys() {
    let late = |sql: &str| {
        let mut view = view("v", sql);
        view.windows.allowed_lateness = Duration::from_secs(60);
        planned(view).updates.unwrap().by.join(", ")
    };
    assert_eq!(late(MINUTES), "window_start, sensor");
    assert_eq!(
        late(&format!("SELECT mean, sensor AS s, window_start AS w FROM ({MINUTES})")),
        "s, w"
    );
    assert_eq!(planned(view("v", MINUTES)).updates, None);
}

/// So many rows of as many sensors, all in one minute.
fn many(count: usize) -> Rows {
    let row = |i| format!("{{\"id\":{i},\"sensor\":\"s{i}\",\"ts\":\"2026-01-01T00:00:01Z\"}}\n");
    let rows = (0..count).map(row).collect::<String>();
    let columns = r#"{"id":"int64","sensor":"string","value":"float64","ts":"timestamp"}"#;
    let batch = Input::new("readings", columns, &rows).batch();
    let before = Arc::from([Timestamp::BEGIN]);
    let origin = Origin::new(Offset(0), Arc::from([0]), None).with_watermarks(before);
    Rows { batch, origin }
}

fn process(operator: &mut dyn Operator, rows: Rows) -> millstream_core::Result<Output> {
    let mut out = Output::default();
    operator.process(0, rows, Timestamp(0), &mut out)?;
    assert!(out.account.balances() && out.left.is_none());
    Ok(out)
}

#[test]
fn windows_that_end_at_once_come_in_pieces() {
    // Some come of the outer window, for which the inner one has to have given all.
    let outer = format!(
        "WITH minutes AS (SELECT *, window_start AS at FROM ({MINUTES})) SELECT sensor, sum(n) AS n \
         FROM TUMBLE(minutes, at, INTERVAL '1 hour') GROUP BY window_start, sensor"
    );
    for (sql, absorbed) in [(MINUTES.to_owned(), 0), (outer, 20_000)] {
        let mut operator = planned(view("v", &sql)).operator;
        let out = process(operator.as_mut(), many(20_000)).unwrap();
        assert_eq!((out.account.absorbed, out.rows.len()), (20_000, 0));
        let (mut pieces, mut rows, mut taken) = (0, 0, 0);
        loop {
            let mut out = Output::default();
            operator.advance(Timestamp::END, Timestamp(0), &mut out).unwrap();
            assert!(out.account.balances(), "{:?}", out.account);
            let len = out.rows.iter().map(Rows::len).sum::<usize>();
            assert!(len <= 20_000 / 2, "a piece of {len} rows");
            (rows, taken) = (rows + len, taken + out.account.absorbed);
            if !out.more {
                break;
            }
            pieces += 1;
        }
        assert_eq!((rows, taken), (20_000, absorbed));
        assert!(pieces > 1, "{pieces} pieces");
    }
}

#[test]
fn at_its_bound_state_stops_the_view_and_nothing_is_half_taken() {
    let mut small = view("v", MINUTES);
    small.windows.state_bytes = 64 << 10;
    let mut operator = planned(small).operator;
    let error = process(operator.as_mut(), many(20_000)).unwrap_err();
    assert!(error.to_string().contains("state_bytes"), "{error}");
    let mut out = Output::default();
    operator.advance(Timestamp::END, Timestamp(0), &mut out).unwrap();
    assert_eq!(out.rows.len(), 0);
}

#[test]
fn state_of_another_view_is_not_taken() {
    let mut operator = planned(view("v", MINUTES)).operator;
    let foreign = BTreeMap::from([("7/what".to_owned(), Bytes::from_static(b"x"))]);
    let error = operator.restore(&foreign).unwrap_err();
    assert!(error.to_string().contains("parts that it does not know"), "{error}");
}

#[test]
fn what_a_window_reads_is_known_without_columns() {
    let reads = |sql: &str| {
        let names = SqlPlanner::new().reads(&view("v", sql)).unwrap();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    assert_eq!(reads("SELECT 1 AS x FROM TUMBLE(a, ts, INTERVAL '1 minute')"), "a");
    let flink = "WITH c AS (SELECT * FROM b) SELECT 1 AS x FROM TABLE(SESSION(DATA => TABLE c, \
        TIMECOL => DESCRIPTOR(ts), GAP => INTERVAL '1' DAY)) s LEFT JOIN d ON d.key = s.k";
    assert_eq!(reads(flink), "b, d");
}

/// Words and marks of windowed queries, lost, doubled and swapped: each text is planned or refused in words.
#[test]
fn whatever_is_written_of_windows_is_planned_or_refused() {
    let texts = [
        "SELECT window_start , sensor , count ( * ) AS n FROM TUMBLE ( readings , ts , INTERVAL '1 minute' ) AS r LEFT JOIN devices d ON d . key = r . sensor GROUP BY window_start , sensor HAVING count ( * ) > 1",
        "SELECT window_end , max ( value - id ) AS m FROM TABLE ( HOP ( DATA => TABLE readings , TIMECOL => DESCRIPTOR ( ts ) , SLIDE => INTERVAL '7' SECOND , SIZE => INTERVAL '1' MINUTE ) ) WHERE window_end > ts OR id > 1 GROUP BY window_end",
        "SELECT DISTINCT window_start , k FROM ( SELECT * , upper ( sensor ) AS k FROM TABLE ( SESSION ( TABLE readings PARTITION BY ( sensor , id ) , DESCRIPTOR ( ts ) , INTERVAL '1' MINUTE ) ) ) AS s",
        "WITH c AS ( SELECT window_time AS at , sum ( value ) FILTER ( WHERE id > 1 ) AS v FROM CUMULATE ( readings , ts , INTERVAL '1 s' , INTERVAL '1 m' ) GROUP BY window_time UNION ALL SELECT ts , value FROM others ) SELECT window_start , median ( v ) AS m FROM TUMBLE ( c , at , INTERVAL '1 day' ) GROUP BY window_start",
    ];
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut planned, mut refused) = (0, 0);
    for _ in 0..TEXTS {
        let mut words = random.choice(texts).unwrap().split(' ').collect::<Vec<_>>();
        for _ in 0..random.usize(0..4) {
            let (a, b) = (random.usize(0..words.len()), random.usize(0..words.len()));
            match random.u8(0..4) {
                0 => drop(words.remove(a)),
                1 => words.insert(b, words[a]),
                2 => words.swap(a, b),
                _ => words[a] = words[b],
            }
        }
        let sql = words.join(" ");
        let made = plan(&inputs(), &[view("v", &sql)], &[]);
        for e in &made.errors {
            let text = e.error.to_string();
            assert!(!text.contains("panicked") && !text.contains("nternal"), "{sql}\n{text}");
        }
        (planned, refused) =
            (planned + made.views.len(), refused + usize::from(made.views.is_empty()));
    }
    assert!(planned > 0 && refused > 0, "{planned} planned, {refused} refused");
    eprintln!("{planned} planned, {refused} refused");
}

const TEXTS: usize = 200;
