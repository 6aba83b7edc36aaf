//! Texts that are too large or too deep are refused in words, and what is let in runs on a small stack.

use std::thread;

use millstream_core::clock::{Clock as _, SystemClock};
use millstream_core::operator::Planner;
use millstream_sql::SqlPlanner;

use crate::run::{Input, plan, view};
use crate::time::run;

fn input() -> Input {
    Input::new(
        "t",
        r#"{"id":"int64","s":"string"}"#,
        "{\"id\":1,\"s\":\"a\"}\n{\"id\":2,\"s\":null}\n",
    )
}

fn error(sql: &str) -> String {
    let planned = plan(&[input()], &[view("v", sql)], &[]);
    assert!(planned.views.is_empty());
    let reads = SqlPlanner::new().reads(&view("v", sql));
    let first = planned.errors[0].error.to_string();
    if let Err(e) = reads {
        assert_eq!(e.error.to_string(), first);
    }
    first
}

#[test]
fn depth_is_bounded_whatever_makes_it() {
    let deep = 10_000;
    let texts = [
        format!("SELECT {}id{} FROM t", "(".repeat(deep), ")".repeat(deep)),
        format!("SELECT {}id FROM t", "- ".repeat(deep)),
        format!("SELECT id FROM t WHERE {} true", "NOT ".repeat(deep)),
        format!("SELECT id FROM t WHERE {}id = 1", "id = 1 OR ".repeat(5_000)),
        format!("SELECT id{} FROM t", " + 1".repeat(deep)),
        format!("SELECT {}s{} FROM t", "upper(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT id FROM {}t{}", "(SELECT id FROM ".repeat(2_000), ")".repeat(2_000)),
        format!("SELECT {}1{} FROM t", "CASE WHEN true THEN ".repeat(2_000), " END".repeat(2_000)),
        format!("SELECT {}1{} AS x FROM t", "[".repeat(deep), "]".repeat(deep)),
    ];
    for text in texts {
        let error = error(&text);
        assert!(error.contains("nested deeper"), "{}…: {error}", &text[..40]);
    }
}

#[test]
fn steps_that_pile_up_through_subqueries_do_not_pile_up_on_the_stack() {
    let mut sql = "WITH c0 AS (SELECT id FROM t)".to_owned();
    for i in 1..200 {
        sql.push_str(&format!(", c{i} AS (SELECT (id + {i}) % 7 AS id FROM c{})", i - 1));
    }
    sql.push_str(" SELECT id FROM c199");
    let mut planned = plan(&[input()], &[view("v", &sql)], &[]);
    if let Some(e) = planned.errors.first() {
        assert!(e.error.to_string().contains("nested deeper"), "{}", e.error);
        return;
    }
    let run = move || run(&[input()], &mut planned, 9).remove("v").unwrap().account.out;
    let thread = thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), 2);
}

#[test]
fn a_text_beyond_the_bound_is_refused() {
    let sql = format!("SELECT id FROM t WHERE id IN (1{})", ", 22222".repeat(10_000));
    assert!(error(&sql).contains("65536 are the most"), "{}", error(&sql));
}

#[test]
fn the_deepest_that_is_let_in_runs_on_a_thread_of_two_megabytes() {
    let deep = 98;
    let texts = [
        format!("SELECT id{} AS x FROM t", " + 1".repeat(deep)),
        format!("SELECT id FROM t WHERE {}id = 1", "s = 'b' OR id = 1 + id AND ".repeat(deep / 2)),
        format!("SELECT {}s{} AS x FROM t", "reverse(".repeat(deep), ")".repeat(deep)),
        format!(
            "SELECT {}id{} AS x FROM t",
            "CASE WHEN id > 0 THEN ".repeat(deep),
            " END".repeat(deep)
        ),
        format!(
            "SELECT {}id{} AS x FROM t",
            "coalesce(nullif(id, 5), ".repeat(deep - 1),
            ")".repeat(deep - 1)
        ),
        format!("SELECT {}id{} AS x FROM t", "(".repeat(98), ")".repeat(98)),
        format!("SELECT id FROM t WHERE id IN (1{})", ", 7".repeat(5_000)),
    ];
    for text in texts {
        let mut planned = plan(&[input()], &[view("v", &text)], &[]);
        assert!(planned.errors.is_empty(), "{:?}", planned.errors[0]);
        let run = move || {
            let rows = run(&[input()], &mut planned, 9).remove("v").unwrap();
            assert_eq!(rows.account.r#in, 2);
        };
        thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
    }
}

#[test]
fn a_thousand_views_on_each_other_are_planned_in_no_time_in_whatever_order() {
    let chain = (0..1_000).map(|i| {
        let input = if i == 0 { "t".to_owned() } else { format!("v{}", i - 1) };
        view(&format!("v{i}"), &format!("SELECT id, s || 'x' AS s FROM {input}"))
    });
    let mut chain = chain.collect::<Vec<_>>();
    for _ in 0..2 {
        let start = SystemClock.now();
        let planned = plan(&[input()], &chain, &[]);
        assert_eq!((planned.views.len(), planned.errors.len()), (1_000, 0));
        // In a debug build, beside other tests.
        let took = SystemClock.now().since(start);
        assert!(took.as_secs() < 10, "{took:?}");
        eprintln!("{took:?}");
        chain.reverse();
    }
}
