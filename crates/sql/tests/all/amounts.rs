//! However much a query makes of little, it takes a bounded amount of memory, and only the row that is
//! too much is set aside.

use millstream_core::Timestamp;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Output, Planned};
use millstream_core::record::Offset;

use crate::run::{Input, Result, plan, view};
use crate::time::run;

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

/// The one reason why rows are set aside.
fn reason(numbers: &[i64], sql: &str) -> String {
    let all = of(numbers, sql);
    let reasons = all.refused.iter().map(|r| r.split_once(' ').unwrap().1.to_owned());
    let mut reasons = reasons.collect::<Vec<_>>();
    reasons.dedup();
    assert_eq!(reasons.len(), 1, "{sql}: {reasons:?}");
    reasons.remove(0)
}

#[test]
fn a_number_in_a_row_does_not_decide_how_much_memory_is_taken() {
    let long = [
        "lpad(s, n, 'x')",
        "rpad(s, n, 'x')",
        "lpad(s, n)",
        "lpad(s, n, 'ä')",
        "rpad(s, n, s)",
        "repeat(s, n)",
        "range(n)",
        "range(0, n)",
        "range(n, 0, -1)",
        "generate_series(0, n, 1)",
        "generate_series(to_timestamp(0), to_timestamp(n), INTERVAL '1 second')",
        "array_repeat(s, n)",
        "array_repeat(l, n)",
        "array_resize(l, n)",
        "array_resize(l, n, 7)",
    ];
    for call in long {
        let sql = format!("SELECT id, {call} AS y FROM t");
        let all = of(&[1, 2_000_000_000, 3], &sql);
        let name = call.split('(').next().unwrap();
        let start = format!("0/0/1 `{name}` would make ");
        assert_eq!(all.refused.len(), 1, "{call}: {:?}", all.refused);
        assert!(all.refused[0].starts_with(&start), "{call}: {:?}", all.refused);
        assert_eq!(all.account.out, 2, "{call}");
        // What fits is made.
        assert_eq!(of(&[1_000, 0], &sql).account.out, 2, "{call}");
    }
}

#[test]
fn what_is_made_of_much_is_measured_as_it_comes_to_be() {
    let n = [1_000_000, 2];
    let wide = "(SELECT repeat('ab', n) AS w, * FROM t) AS x";
    let calls = [
        ("replace(w, 'a', w)", "`replace` would make 2000002000000 bytes"),
        ("regexp_replace(w, 'a', w, 'g')", "`regexp_replace` would make 2000002000000 bytes"),
        ("array_replace_all(string_to_array(w, 'b'), 'a', w)", "`array_replace_all` would make "),
        ("array_to_string(string_to_array(w, 'b'), w)", "`array_to_string` would make "),
        ("to_char(to_timestamp(0), repeat(w, 4))", "`to_char` would make 128"),
        ("repeat(w, 30) || repeat(w, 30)", "this text would make 12000"),
        ("concat(repeat(w, 30), repeat(w, 30))", "`concat` would make 12000"),
        ("concat_ws(w, repeat(w, 30), w, w, w)", "`concat_ws` would make 7"),
        ("encode(encode(repeat(w, 20), 'hex'), 'hex')", "`encode` would make "),
        ("[repeat(w, 30), repeat(w, 30)]", "`make_array` would make 1200"),
    ];
    for (call, wanted) in calls {
        let sql = format!("SELECT id, {call} AS y FROM {wide}");
        let all = of(&n, &sql);
        assert_eq!(all.account.out, 1, "{call}: {:?}", all.refused);
        assert!(all.refused[0].starts_with(&format!("0/0/0 {wanted}")), "{:?}", all.refused);
        assert!(all.refused[0].ends_with(" bytes, and 64 MiB are the most"), "{:?}", all.refused);
    }
    // What would be much at worst, and is not, is made.
    let sql = format!("SELECT id, length(replace(w, 'c', w)) AS y FROM {wide}");
    assert_eq!(of(&n, &sql).account.out, 2);
    let sql = format!("SELECT id, length(regexp_replace(w, 'c', w, 'gi')) AS y FROM {wide}");
    assert_eq!(of(&n, &sql).account.out, 2);
}

#[test]
fn texts_that_double_and_double_come_to_an_end() {
    let mut sql = "WITH c0 AS (SELECT s FROM t)".to_owned();
    for i in 1..60 {
        sql.push_str(&format!(", c{i} AS (SELECT s || s AS s FROM c{})", i - 1));
    }
    sql.push_str(" SELECT length(s) AS n FROM c59");
    assert!(reason(&[0, 0], &sql).contains("and 64 MiB are the most"));
    let many = (0..90).map(|i| format!("repeat(s, {i} + 1000000 * n) AS c{i}"));
    let sql = format!("SELECT {} FROM t", many.collect::<Vec<_>>().join(", "));
    assert!(reason(&[1, 1], &sql).starts_with("the columns of one row would make "));
    assert_eq!(of(&[0], &sql).account.out, 1);
}

#[test]
fn many_rows_that_are_much_together_go_on_in_parts() {
    let input = input(&[10_000_000; 20]);
    let mut planned = planned(&input, "SELECT id, repeat(s, n) AS y FROM t");
    let out = once(&input, &mut planned);
    assert_eq!((out.account.r#in, out.account.out), (10, 10));
    assert_eq!(out.left.unwrap().len(), 10);
}

#[test]
fn a_number_in_the_text_that_is_too_much_is_refused_before_the_start() {
    let bad = [
        ("lpad(s, 2000000000, 'x')", "`lpad` would make 20000000"),
        ("lpad('a', 2000000000, 'x')", "`lpad` would make 20000000"),
        ("range(0, 10000000000)", "`range` would make 80000000008 bytes"),
        ("array_repeat(n, 9000000000)", "`array_repeat` would make 72000000000 bytes"),
        ("repeat('x', 60000000)", "a constant has 60000004 bytes, and 1 MiB are the most"),
        (
            "range(to_timestamp(n), to_timestamp(9), INTERVAL '1 month -31 days')",
            "may never come to an end",
        ),
    ];
    for (call, wanted) in bad {
        let sql = format!("SELECT id, {call} AS y FROM t");
        let planned = plan(&[input(&[1])], &[view("v", &sql)], &[]);
        let error = planned.errors.first().map(|e| e.error.to_string()).unwrap_or_default();
        assert!(error.contains(wanted), "{call}: {error}");
    }
    // It is for each row: what is much for all of them is made in parts.
    let sql = "SELECT id, length(CASE WHEN n > 0 THEN repeat('x', 1000000) END) AS y FROM t";
    let all = of(&[1; 70], sql);
    assert_eq!(all.account.out, 70);
}

#[test]
fn a_text_of_less_than_no_letters_is_empty() {
    // The library's own function would ask for all memory there is.
    let all = of(&[-1, i64::MIN, 2], "SELECT lpad(s, n, 'x') AS l, rpad(s, n) AS r FROM t");
    assert_eq!(all.refused, [""; 0]);
    let (none, two) = (r#"{"l":"","r":""}"#, r#"{"l":"xa","r":"a "}"#);
    assert_eq!(
        all.rows,
        [format!("0/0/0 {none}"), format!("0/0/1 {none}"), format!("0/0/2 {two}")]
    );
}
