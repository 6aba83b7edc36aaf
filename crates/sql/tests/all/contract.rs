//! What the planner promises besides rows: used columns, waiting views, names, users' functions.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Function, Output, Planner, Table};
use millstream_core::record::Offset;
use millstream_core::{Error, Result, Timestamp};
use millstream_sql::SqlPlanner;

use crate::run::{Input, plan, view};
use crate::time::run;

const COLUMNS: &str = r#"{"id":"int64","value":"float64","sensor":"string","doc":"json"}"#;

fn input() -> Input {
    let rows = "{\"id\":1,\"value\":0.5,\"sensor\":\"a\"}\n{\"id\":2,\"value\":-1.0,\"sensor\":\"b\"}\n{\"id\":13,\"value\":4.0,\"sensor\":\"c\"}\n";
    Input::new("t", COLUMNS, rows)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn only_columns_that_are_needed_are_used_filters_included() {
    let views = [
        view("a", "SELECT id FROM t WHERE value > 1"),
        view("b", "SELECT x FROM (SELECT id AS x, upper(sensor) AS s FROM t)"),
        view("c", "SELECT id FROM a"),
    ];
    let planned = plan(&[input(), Input { name: "u".to_owned(), ..input() }], &views, &[]);
    assert!(planned.errors.is_empty());
    assert_eq!(planned.used["t"], set(&["id", "value"]));
    assert_eq!(planned.used["u"], set(&[]));
    let order: Vec<_> = planned.views.iter().map(|v| (v.name.as_str(), &v.inputs[0][..])).collect();
    assert_eq!(order, [("a", "t"), ("b", "t"), ("c", "a")]);
}

#[test]
fn views_over_a_table_without_columns_wait_and_still_tell_their_errors() {
    let tables = [input().table(), Table::source("later", None)];
    let views = [
        view("over", "SELECT id FROM waits"),
        view("waits", "SELECT anything FROM later"),
        view("both", "SELECT id FROM t UNION ALL SELECT id FROM over"),
        view("bad", "SELECT FROM WHERE later"),
        view("grouped", "SELECT count(*) AS n FROM later"),
        view("fine", "SELECT id FROM t"),
    ];
    let planned = SqlPlanner::new().plan(&tables, &views, &[]);
    assert_eq!(planned.views.len(), 1);
    let waiting: Vec<&str> = planned.waiting.keys().map(String::as_str).collect();
    assert_eq!(waiting, ["both", "over", "waits"]);
    assert!(planned.waiting.values().all(|w| *w == set(&["later"])));
    let errors: Vec<&str> = planned.errors.iter().map(|e| e.view.as_str()).collect();
    assert_eq!(errors, ["bad", "grouped"]);
}

#[test]
fn what_a_view_reads_is_known_without_columns() {
    let sql = "WITH c AS (SELECT a.x FROM a) SELECT x FROM c UNION ALL SELECT y FROM (SELECT y FROM b), UNNEST(b.z)";
    assert_eq!(SqlPlanner::new().reads(&view("v", sql)).unwrap(), set(&["a", "b"]));
    let e = SqlPlanner::new().reads(&view("v", "SELECT\n  x FRO a b c")).unwrap_err();
    assert_eq!((e.view.as_str(), e.place), ("v", Some((2, 9))), "{}", e.error);
}

#[test]
fn batches_may_have_more_columns_in_another_order_but_not_other_types() {
    let mut planned = plan(&[input()], &[view("v", "SELECT value, id FROM t")], &[]);
    let batch = input().batch().project(&[2, 1, 0]).unwrap();
    let origin = Origin::new(Offset(0), Arc::from([0]), None);
    let mut out = Output::default();
    let operator = &mut planned.views[0].operator;
    operator.process(0, Rows { batch, origin: origin.clone() }, Timestamp(0), &mut out).unwrap();
    let rows = &out.rows[0].batch;
    assert_eq!(rows.column(1).as_primitive::<Int64Type>().value(2), 13);

    let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Float64, true)]));
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let batch = RecordBatch::try_new(schema, vec![values]).unwrap();
    let e = operator.process(0, Rows { batch, origin }, Timestamp(0), &mut out).unwrap_err();
    assert!(e.to_string().contains("column `id` of `t` is missing"), "{e}");
}

#[test]
fn a_filter_that_all_rows_pass_copies_nothing() {
    let mut planned = plan(&[input()], &[view("v", "SELECT * FROM t WHERE id > 0")], &[]);
    let batch = input().batch();
    let origin = Origin::new(Offset(0), Arc::from([0]), None);
    let mut out = Output::default();
    let rows = Rows { batch: batch.clone(), origin };
    planned.views[0].operator.process(0, rows, Timestamp(0), &mut out).unwrap();
    for (before, after) in batch.columns().iter().zip(out.rows[0].batch.columns()) {
        assert!(Arc::ptr_eq(before, after));
    }
}

#[derive(Debug)]
struct Root;

impl Function for Root {
    fn name(&self) -> &'static str {
        "root"
    }

    fn arguments(&self) -> Vec<DataType> {
        vec![DataType::Float64]
    }

    fn result(&self) -> DataType {
        DataType::Float64
    }

    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        assert_eq!(arguments[0].len(), rows);
        let values = arguments[0].as_primitive::<Float64Type>();
        assert!(!values.iter().any(|v| v == Some(13.0)), "thirteen");
        if values.iter().flatten().any(|v| v < 0.0) {
            return Err(Error::set_aside("there is no root of a number below zero"));
        }
        Ok(Arc::new(values.iter().map(|v| v.map(f64::sqrt)).collect::<Float64Array>()))
    }
}

#[test]
fn a_users_function_is_called_with_its_types_and_may_fail_or_panic_for_a_row() {
    let views = [
        view("f", "SELECT id, ROOT(value) AS r FROM t"),
        view("i", "SELECT root(id) AS r, root(4) AS two FROM t"),
    ];
    let mut planned = plan(&[input()], &views, &[Arc::new(Root)]);
    assert!(planned.errors.is_empty(), "{:?}", planned.errors[0]);
    let results = run(&[input()], &mut planned, 9);
    assert_eq!(results["f"].rows.len(), 2);
    assert_eq!(results["f"].refused, ["0/0/1 `root`: there is no root of a number below zero"]);
    assert_eq!(results["i"].rows[0], r#"0/0/0 {"r":1.0,"two":2.0}"#);
    assert_eq!(results["i"].refused, ["0/0/2 a function panicked: thirteen"]);
    let planned =
        plan(&[input()], &[view("v", "SELECT root(sensor, 1) AS r FROM t")], &[Arc::new(Root)]);
    assert!(planned.errors[0].error.to_string().contains("call it as `root(float64)`"));
}

#[test]
fn every_function_listed_can_be_called_by_its_name() {
    let all = millstream_sql::functions();
    assert!(all.len() > 250, "{}", all.len());
    for name in ["now", "upper", "json_get", "regexp_replace", "sha256", "array_length", "date_bin"]
    {
        assert!(all.iter().any(|(n, line)| n == name && !line.is_empty()), "{name}");
    }
    assert!(!all.iter().any(|(n, _)| n == "random" || n == "uuid"));
}
