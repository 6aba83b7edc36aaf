//! Rows that were expected beside those that came.

use std::collections::BTreeSet;

use chrono::DateTime;
use millstream::dead_letters::Payload;
use millstream::ledger::Stage;
use millstream::operator::View;
use millstream::{Error, Result};
use millstream_connectors::render;
use millstream_engine::config::TestPart;
use millstream_engine::trial::Played;
use serde_json::{Map, Value, json};

type Row = Map<String, Value>;

/// What is not as expected in one table.
pub(super) struct Difference {
    table: String,
    /// What kind of rows: `rows`, `late`, `set aside`.
    what: &'static str,
    /// Expected and not there, with their numbers.
    missing: Vec<(usize, Row)>,
    /// There and not expected.
    extra: Vec<(usize, Row)>,
    /// The same rows, but from this one on in another order.
    order: Option<usize>,
}

/// Everything that is not as the test expects it.
pub(super) fn all(test: &TestPart, played: &Played, in_order: bool) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    for (table, expected) in &test.expect {
        found.extend(compare(table, "rows", expected, rows(played, table)?, in_order, equal));
    }
    for (parts, what) in [(&test.late, "late"), (&test.set_aside, "set aside")] {
        for (part, expected) in parts {
            let mut rows = letters(played, part, what == "late")?;
            if what == "late" {
                // Those that sinks take were not set aside.
                rows.extend(self::rows(played, &View::late_rows(part))?);
            }
            found.extend(compare(part, what, expected, rows, in_order, part_of));
        }
    }
    Ok(found)
}

/// The rows of a table.
fn rows(played: &Played, table: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in played.rows.get(table).into_iter().flatten() {
        for row in 0..batch.num_rows() {
            rows.push(parse(&render::row_json(batch, row))?);
        }
    }
    Ok(rows)
}

/// The rows that were set aside at a part, each with its reason.
fn letters(played: &Played, part: &str, late: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for letter in played.letters.iter().filter(|l| l.part == part) {
        let is_late = letter.stage == Stage::View && letter.reason.starts_with("late: ");
        if is_late != late {
            continue;
        }
        let text = match (&letter.payload, letter.batch()?) {
            (_, Some(batch)) => render::row_json(&batch, 0),
            (Payload::Record(b) | Payload::Row(b) | Payload::Arrow(b), None) => {
                String::from_utf8_lossy(b).into_owned()
            }
        };
        // What is no JSON at all is shown as it is.
        let mut row =
            parse(&text).unwrap_or_else(|_| Map::from_iter([("text".into(), text.into())]));
        row.insert("reason".into(), letter.reason.clone().into());
        rows.push(row);
    }
    Ok(rows)
}

fn parse(text: &str) -> Result<Row> {
    serde_json::from_str(text)
        .map_err(|e| Error::stop("a row cannot be written as JSON").because(e))
}

fn compare(
    table: &str,
    what: &'static str,
    expected: &[Row],
    found: Vec<Row>,
    in_order: bool,
    same: fn(&Row, &Row) -> bool,
) -> Option<Difference> {
    let named: BTreeSet<&String> = expected.iter().flat_map(Map::keys).collect();
    // Of columns that the test does not name nothing is said.
    let narrow = |row: Row| -> Row {
        if named.is_empty() {
            row
        } else {
            row.into_iter().filter(|(k, _)| named.contains(k)).collect()
        }
    };
    let mut found: Vec<Option<(usize, Row)>> =
        found.into_iter().map(narrow).enumerate().map(Some).collect();
    let (mut missing, mut order) = (Vec::new(), None);
    for (i, row) in expected.iter().enumerate() {
        let mut at = |f: &Option<(usize, Row)>| f.as_ref().is_some_and(|(_, f)| same(row, f));
        let place =
            if found.get(i).is_some_and(&mut at) { Some(i) } else { found.iter().position(at) };
        match place.and_then(|place| found.get_mut(place)?.take()) {
            Some((place, _)) if place != i => {
                order.get_or_insert(i);
            }
            Some(_) => {}
            None => missing.push((i, row.clone())),
        }
    }
    let extra: Vec<(usize, Row)> = found.into_iter().flatten().collect();
    let order = order.filter(|_| in_order && missing.is_empty() && extra.is_empty());
    let differs = !missing.is_empty() || !extra.is_empty() || order.is_some();
    differs.then(|| Difference { table: table.to_owned(), what, missing, extra, order })
}

/// A row that was expected, and one that came: every column is the same, and one that is not named is null.
fn equal(expected: &Row, found: &Row) -> bool {
    found.iter().all(|(name, value)| same(expected.get(name).unwrap_or(&Value::Null), value))
        && expected.keys().all(|name| found.contains_key(name))
}

/// Of a row that was set aside only what the test names, and of its reason a part.
fn part_of(expected: &Row, found: &Row) -> bool {
    expected.iter().all(|(name, value)| match (name.as_str(), value, found.get(name)) {
        ("reason", Value::String(part), Some(Value::String(whole))) => whole.contains(part),
        (_, value, found) => same(value, found.unwrap_or(&Value::Null)),
    })
}

fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| close(a, b))
        }
        (Value::String(a), Value::String(b)) => a == b || moments(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => equal(a, b),
        (a, b) => a == b,
    }
}

/// Numbers with a fraction are written in fewer digits than they have.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// The same moment, however it is written.
fn moments(a: &str, b: &str) -> bool {
    match (DateTime::parse_from_rfc3339(a), DateTime::parse_from_rfc3339(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// More rows of a kind than this are counted, not shown.
const SHOWN: usize = 10;

impl Difference {
    pub(super) fn text(&self) -> String {
        let mut out = format!("  {}: ", self.table);
        if let Some(row) = self.order {
            out.push_str(&format!(
                "the same {} in another order, from row {} on\n",
                self.what,
                row + 1
            ));
            return out;
        }
        let of = if self.what == "rows" { "rows" } else { &format!("rows {}", self.what) };
        out.push_str(&format!("{of} differ (- expected, + found)\n"));
        let mut lines: Vec<(usize, char, &Row)> = Vec::new();
        lines.extend(self.missing.iter().map(|(i, row)| (*i, '-', row)));
        lines.extend(self.extra.iter().map(|(i, row)| (*i, '+', row)));
        lines.sort_by_key(|(i, sign, _)| (*i, *sign == '+'));
        for (i, sign, row) in lines.iter().take(SHOWN) {
            out.push_str(&format!("  {sign} row {} {}\n", i + 1, Value::Object((*row).clone())));
        }
        if lines.len() > SHOWN {
            out.push_str(&format!("    … and {} more\n", lines.len() - SHOWN));
        }
        out
    }

    pub(super) fn to_json(&self) -> Value {
        let rows = |rows: &[(usize, Row)]| -> Vec<Value> {
            rows.iter().map(|(i, row)| json!({ "row": i + 1, "columns": row })).collect()
        };
        json!({
            "table": self.table,
            "what": self.what,
            "missing": rows(&self.missing),
            "extra": rows(&self.extra),
            "order_from": self.order.map(|row| row + 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        serde_json::from_str(text).unwrap()
    }

    fn told(expected: &str, found: &str, in_order: bool) -> Option<String> {
        let difference = compare("t", "rows", &rows(expected), rows(found), in_order, equal);
        difference.map(|d| d.text())
    }

    #[test]
    fn rows_are_the_same_by_value_and_in_order() {
        let found =
            r#"[{"a": 1, "t": "2026-01-01T00:00:00Z", "x": 0.1}, {"a": 2, "t": null, "x": 5}]"#;
        let same = r#"[{"a": 1.0, "t": "2026-01-01T01:00:00+01:00"}, {"a": 2}]"#;
        assert_eq!(told(same, found, true), None, "a column that is not named is not compared");
        let turned = r#"[{"a": 2}, {"a": 1}]"#;
        assert_eq!(told(turned, found, false), None);
        let text = told(turned, found, true).unwrap();
        assert_eq!(text, "  t: the same rows in another order, from row 1 on\n");
    }

    #[test]
    fn what_differs_is_shown_row_by_row() {
        let text =
            told(r#"[{"a": 1}, {"a": 2}, {"a": 4}]"#, r#"[{"a": 1}, {"a": 3}, {"a": 4}]"#, true);
        let wanted =
            "  t: rows differ (- expected, + found)\n  - row 2 {\"a\":2}\n  + row 2 {\"a\":3}\n";
        assert_eq!(text.unwrap(), wanted);
        // A table of which no row is expected may have none.
        assert!(told("[]", r#"[{"a": 1}]"#, true).unwrap().contains("+ row 1 {\"a\":1}"));
        assert_eq!(told("[]", "[]", true), None);
    }

    #[test]
    fn of_a_row_set_aside_the_reason_is_a_part() {
        let found = rows(r#"[{"a": 1, "reason": "column `a` is int64, found `x`"}]"#);
        let good = rows(r#"[{"reason": "found `x`"}]"#);
        assert!(compare("t", "set aside", &good, found.clone(), true, part_of).is_none());
        let bad = rows(r#"[{"reason": "found `y`"}]"#);
        assert!(compare("t", "set aside", &bad, found, true, part_of).is_some());
    }
}
