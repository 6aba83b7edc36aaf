//! However much a query makes of little, it takes a bounded amount of memory, and only the row that is
//! too much is set aside.

use millstream_core::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Output, Planned};
use millstream_core::record::Offset;

use crate::run::{Input, Result, plan, run, view};

const COLUMNS: &str = r#"{"id":"int64","n":"int64","s":"string","l":{"list":"int64"}}"#;

/// Rows with these numbers.
fn input(numbers: &[i64]) -> Input {
    let rows = numbers.iter().enumerate();
    let rows = rows.map(|(id, n)| format!("{{\"id\":{id},\"n\":{n},\"s\":\"a\",\"l\":[1,2]}}\n"));
    Input::new("t", COLUMNS, &rows.collect::<String>())
}

fn planned(input: &Input, sql: &str) -> Planned {
    let planned = plan(std::slice::from_ref(input), &[view("v", sql)], &[]);
    assert!(planned.errors.is_empty(), "{sql}: {}", planned.errors[0].error);
    planned
}

fn of(numbers: &[i64], sql: &str) -> Result {
    let input = input(numbers);
    let mut planned = planned(&input, sql);
    run(&[input], &mut planned, usize::MAX).remove("v").unwrap()
}

/// What one call gives.
fn once(input: &Input, planned: &mut Planned) -> Output {
    let origin = Origin::new(Offset(0), [0].into(), None);
    let rows = Rows { batch: input.batch(), origin };
    let mut out = Output::default();
    planned.views[0].operator.process(0, rows, Timestamp(0), &mut out).unwrap();
    assert!(out.account.balances());
    out
}

#[test]
fn a_list_is_taken_apart_in_pieces_and_not_copied_for_each_item() {
    // Copied for each item, the lists of these ten rows would take 280 GiB.
    let list = format!("{:?}", (0..60_000).collect::<Vec<_>>());
    let rows = (0..10).map(|id| format!("{{\"id\":{id},\"l\":{list}}}\n")).collect::<String>();
    let input = Input::new("t", COLUMNS, &rows);
    let mut planned = planned(&input, "SELECT id, unnest(l) AS i FROM t");
    let out = once(&input, &mut planned);
    assert!(out.rows.iter().all(|r| r.len() <= 8_192));
    assert_eq!((out.account.out, out.account.made), (600_000, 599_990));
    assert_eq!(out.rows.iter().map(Rows::len).sum::<usize>(), 600_000);
    let last = out.rows.last().unwrap();
    assert_eq!(last.origin.id(last.len() - 1).to_string(), "0/0/9");
}

#[test]
fn a_list_that_is_asked_for_beside_its_items_comes_in_smaller_pieces() {
    let list = format!("{:?}", (0..3_000).collect::<Vec<_>>());
    let rows = (0..3).map(|id| format!("{{\"id\":{id},\"l\":{list}}}\n")).collect::<String>();
    let input = Input::new("t", COLUMNS, &rows);
    let mut planned = planned(&input, "SELECT id, l, unnest(l) AS i FROM t");
    let out = once(&input, &mut planned);
    // A row becomes 72 MB: the others wait until these have gone on.
    assert!(out.rows.iter().all(|r| r.len() < 3_000));
    assert_eq!((out.account.r#in, out.account.out), (1, 3_000));
    assert_eq!(out.left.unwrap().len(), 2);
}

#[test]
fn a_row_that_unnest_would_make_too_many_rows_of_is_set_aside_alone() {
    let numbers = [3, 2_000_000, 100_000, 2];
    let all = of(&numbers, "SELECT id, unnest(range(0, n)) AS i FROM t");
    assert_eq!(all.account.out, 100_005);
    let reason = "`UNNEST` would make 2000000 rows of one, and 1048576 are the most";
    assert_eq!(all.refused, [format!("0/0/1 {reason}")]);
}

#[test]
fn ten_rows_of_a_hundred_thousand_items_each_are_no_trouble() {
    let all = of(&[0; 10], "SELECT id, unnest(range(0, 100000)) AS i FROM t");
    assert_eq!((all.account.out, all.refused.len()), (1_000_000, 0));
}

#[test]
fn lists_at_several_depths_do_not_multiply_beyond_the_bound() {
    let sql = "SELECT unnest(range(0, n)) AS a, unnest(unnest(make_array(range(0, n), range(0, n)))) AS b FROM t";
    let all = of(&[2, 3], sql);
    assert_eq!(all.account.out, 4 + 6);
}
