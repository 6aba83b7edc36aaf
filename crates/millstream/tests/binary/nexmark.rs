//! Nexmark's queries: each file is in the page, is planned, and gives what SQLite computes from the same events.

use std::path::{Path, PathBuf};

use ::nexmark::EventGenerator;
use ::nexmark::config::NexmarkConfig;
use ::nexmark::event::Event;
use chrono::DateTime;
use rusqlite::Connection;
use serde_json::Value;

use crate::bench::Bench;

const EVENTS: usize = 5_000;
/// 25 seconds before the end of a day; there are a hundred events in a second.
const BEGIN: u64 = 1_790_035_175_000;
const RATE: usize = 100;
/// Columns that are moments: milliseconds in what is wanted, microseconds in what SQLite stored.
const MOMENTS: &[&str] = &["date_time", "bid_date_time", "expires", "window_start", "window_end"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The names of all queries there are.
fn queries() -> Vec<String> {
    let files = std::fs::read_dir(root().join("bench/nexmark")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter_map(|n| n.strip_suffix(".yaml").map(str::to_owned)).collect();
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    names
}

#[test]
fn every_query_is_in_the_page_as_it_is_in_its_file() {
    let page = read("docs/nexmark.md");
    for query in queries() {
        let file = read(&format!("bench/nexmark/{query}.yaml"));
        let views = file.split_once("\nviews:\n").unwrap().1.split_once("\nsinks:\n").unwrap().0;
        let shown = format!("```yaml\nviews:\n{views}```\n");
        assert!(page.contains(&shown), "docs/nexmark.md does not show bench/nexmark/{query}.yaml");
        assert!(page.contains(&format!("## {query}: ")), "docs/nexmark.md has no {query}");
    }
}

/// Writes events as files for Millstream and as tables for SQLite.
fn events(bench: &Bench) -> Connection {
    let config = NexmarkConfig {
        base_time: BEGIN,
        first_rate: RATE,
        next_rate: RATE,
        ..NexmarkConfig::default()
    };
    let mut tables = [("person", Vec::new()), ("auction", Vec::new()), ("bid", Vec::new())];
    for event in EventGenerator::new(config).take(EVENTS) {
        let (at, row) = match event {
            Event::Person(row) => (0, serde_json::to_value(row)),
            Event::Auction(row) => (1, serde_json::to_value(row)),
            Event::Bid(row) => (2, serde_json::to_value(row)),
        };
        tables[at].1.push(row.unwrap());
    }
    let db = Connection::open(bench.path("wanted.db")).unwrap();
    for (name, rows) in tables {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        bench.write(&format!("{name}.ndjson"), &lines);
        fill(&db, name, &rows);
    }
    let side: Vec<Value> = (0..10_000)
        .map(|key| serde_json::json!({ "key": key, "value": format!("side {key}") }))
        .collect();
    let text = side.iter().map(|s| format!("{},{}\n", s["key"], s["value"].as_str().unwrap()));
    bench.write("side_input.csv", &format!("key,value\n{}", text.collect::<String>()));
    fill(&db, "side_input", &side);
    db
}

/// A table with these rows; a bid has the day, minute and hour of its moment as well.
fn fill(db: &Connection, name: &str, rows: &[Value]) {
    let mut rows = rows.to_vec();
    if name == "bid" {
        for row in &mut rows {
            let moment = row["date_time"].as_i64().and_then(DateTime::from_timestamp_millis);
            let text = |format| moment.unwrap().format(format).to_string();
            row["day"] = text("%Y-%m-%d").into();
            row["minute"] = text("%H:%M").into();
            row["hour"] = text("%H").parse::<i64>().unwrap().into();
        }
    }
    let columns: Vec<String> = rows[0].as_object().unwrap().keys().cloned().collect();
    let places = vec!["?"; columns.len()].join(", ");
    let columns = columns.join(", ");
    db.execute_batch(&format!("CREATE TABLE {name} ({columns}); BEGIN")).unwrap();
    let mut insert =
        db.prepare(&format!("INSERT INTO {name} ({columns}) VALUES ({places})")).unwrap();
    for row in &rows {
        let values = row.as_object().unwrap().values().map(|value| match value {
            Value::Number(n) => rusqlite::types::Value::from(n.as_i64().unwrap()),
            Value::String(s) => rusqlite::types::Value::from(s.clone()),
            other => panic!("{other}"),
        });
        insert.execute(rusqlite::params_from_iter(values)).unwrap();
    }
    drop(insert);
    db.execute_batch("COMMIT").unwrap();
}

/// What a line such as `-- key: a, b` of the oracle's SQL names.
fn named(sql: &str, what: &str) -> Vec<String> {
    let begin = format!("-- {what}: ");
    let lines = sql.lines().filter_map(|line| line.strip_prefix(&begin));
    lines.flat_map(|line| line.split(',')).map(|name| name.trim().to_owned()).collect()
}

/// Runs the query's file with its rows going into a database.
fn run(bench: &Bench, query: &str, key: &[String]) {
    let file = read(&format!("bench/nexmark/{query}.yaml"));
    let mode = if key.is_empty() {
        String::new()
    } else {
        format!("mode: upsert, key: [{}], ", key.join(", "))
    };
    let sink =
        format!("to: {{ sqlite: {{ path: {query}.db, table: answer, {mode}timestamps: us }} }}");
    assert_eq!(file.matches("to: discard").count(), 1);
    let file =
        file.replace("to: discard", &sink).replace("path: data", &format!("path: data-{query}"));
    let name = format!("{query}.yaml");
    bench.write(&name, &file);
    let closed = bench.run(&["run", &name, "--once", "--json"]).with_code(0).closed();
    for entry in closed["ledger"].as_array().unwrap() {
        let account = &entry["account"];
        assert_eq!((&account["late"], &account["set_aside"]), (&0.into(), &0.into()), "{entry}");
    }
}

/// Rows of the first query that the second does not have, and how many both have.
fn beyond(db: &Connection, one: &str, other: &str) -> Vec<String> {
    let mut rows = db.prepare(&format!("{one} EXCEPT {other} LIMIT 3")).unwrap();
    let columns = rows.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let value = |i| format!("{:?}", row.get::<_, rusqlite::types::Value>(i).unwrap());
        Ok((0..columns).map(value).collect::<Vec<_>>().join(" "))
    };
    rows.query_map([], row).unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_query_gives_what_a_batch_gives() {
    let bench = Bench::new();
    let db = events(&bench);
    for query in queries() {
        let file = format!("bench/nexmark/{query}.yaml");
        let path = root().join(&file);
        bench.run(&["check", path.to_str().unwrap()]).with_code(0);
        let sql = read(&format!("bench/rivals/oracle/{query}.sql"));
        run(&bench, &query, &named(&sql, "key"));
        compare(&bench, &db, &query, &sql);
    }
}

fn compare(bench: &Bench, db: &Connection, query: &str, sql: &str) {
    let answer = bench.path(&format!("{query}.db"));
    db.execute("ATTACH ? AS found", [answer.to_str().unwrap()]).unwrap();
    db.execute_batch(&format!("CREATE TEMP TABLE wanted AS {sql}")).unwrap();
    let columns: Vec<String> = {
        let wanted = db.prepare("SELECT * FROM wanted").unwrap();
        wanted.column_names().map(str::to_owned).collect()
    };
    let choice = named(sql, "choice");
    let exact: Vec<&String> = columns.iter().filter(|c| !choice.contains(c)).collect();
    let found = |columns: &[&String]| {
        let value = |c: &&String| {
            if MOMENTS.contains(&c.as_str()) { format!("{c} / 1000") } else { (*c).clone() }
        };
        format!(
            "SELECT {} FROM found.answer",
            columns.iter().map(value).collect::<Vec<_>>().join(", ")
        )
    };
    let names = exact.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(", ");
    let wanted = format!("SELECT {names} FROM wanted");
    assert_eq!(beyond(db, &wanted, &found(&exact)), [""; 0], "{query}: wanted, and not found");
    assert_eq!(beyond(db, &found(&exact), &wanted), [""; 0], "{query}: found, and not wanted");
    let count = |table: &str| -> i64 {
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("found.answer"), count("wanted"), "{query}");
    assert!(count("wanted") > 0, "{query} has no rows to compare");
    if !choice.is_empty() {
        let may = read(&format!("bench/rivals/oracle/{query}.may.sql"));
        db.execute_batch(&format!("CREATE TEMP TABLE may AS {may}")).unwrap();
        let may: Vec<String> = {
            let rows = db.prepare("SELECT * FROM may").unwrap();
            rows.column_names().map(str::to_owned).collect()
        };
        let rows = found(&may.iter().collect::<Vec<_>>());
        assert_eq!(
            beyond(db, &rows, "SELECT * FROM may"),
            [""; 0],
            "{query}: none of those that may be"
        );
        db.execute_batch("DROP TABLE may").unwrap();
    }
    db.execute_batch("DROP TABLE wanted; DETACH found").unwrap();
}
