//! Event time: how far it has come, who is late, who holds it back, and that nothing of it depends on steps or crashes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::time::Duration;

use millstream_core::ledger::Stage;
use millstream_engine::{Closing, Options};
use millstream_testkit::fakes::Target;

use stage::expect::dead;
use stage::{Plot, alone, once};

/// Windows of 10, over rows that may come 5 late.
fn plot(records: &[&str]) -> Plot {
    Plot::new(1).source("a", records).timed(5, None).view("w", "tumble 10 of a").tracking("b", "w")
}

fn window(start: i64, sum: i64) -> i64 {
    start * 1_000_000 + sum
}

/// What became of rows at a view: in, late, set aside, absorbed, out.
fn account(closing: &Closing, view: &str) -> [u64; 5] {
    let accounts = closing.ledger.0.iter();
    let found = accounts.filter(|(e, _)| e.stage == Stage::View && e.part == view);
    let a = found.map(|(_, a)| *a).next().unwrap_or_default();
    [a.r#in, a.late, a.set_aside, a.absorbed, a.out]
}

/// What became of rows at a sink: in, out, set aside.
fn sunk(closing: &Closing, sink: &str) -> [u64; 3] {
    let accounts = closing.ledger.0.iter();
    let found = accounts.filter(|(e, _)| e.stage == Stage::Sink && e.part == sink);
    let a = found.map(|(_, a)| *a).next().unwrap_or_default();
    [a.r#in, a.out, a.set_aside]
}

async fn seconds(n: u64) {
    tokio::time::sleep(Duration::from_secs(n)).await;
}

#[test]
fn a_window_closes_when_time_has_passed_it_and_all_do_at_the_end() {
    // The row at 8 is not late: the greatest time before it is 14, less the delay 9.
    let plot = plot(&["1@1\n2@9", "4@14\n8@8", "16@12\n32@25"]);
    let closing = plot.run().unwrap();
    assert_eq!(plot.target("b").values(), [window(0, 11), window(10, 20), window(20, 32)]);
    assert_eq!(account(&closing, "w"), [6, 0, 0, 6, 3]);
}

#[test]
fn a_row_is_late_by_what_came_before_it_however_rows_are_cut() {
    let rows = ["1@1", "2@15", "4@9", "8@16", "16@9", "32@3", "64@30", "128@24", "256@20"];
    // 15 - 5 = 10: the window of 9 is closed for the row after it, in whatever block that is.
    let wanted = [window(0, 1), window(10, 10), window(20, 128 + 256), window(30, 64)];
    for cut in 1..=rows.len() {
        let records: Vec<String> = rows.chunks(cut).map(|r| r.join("\n")).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let plot = plot(&records);
        let closing = plot.run().unwrap();
        assert_eq!(plot.target("b").values(), wanted, "cut {cut}");
        assert_eq!(account(&closing, "w"), [9, 3, 0, 6, 4], "cut {cut}");
    }
}

#[test]
fn a_row_without_time_is_set_aside_and_one_from_the_future_closes_nothing() {
    let far = 3600 * 1_000_000_000_u64 * 1_000;
    let plot = plot(&["1@1", &format!("2@{far}"), "4@3\n8@", "16@11"]);
    let closing = plot.run().unwrap();
    assert_eq!(plot.target("b").values(), [window(0, 5), window(10, 16)]);
    assert_eq!(account(&closing, "w"), [4, 0, 1, 3, 2]);
    let (_, decode) = closing.ledger.0.iter().find(|(e, _)| e.stage == Stage::Decode).unwrap();
    assert_eq!((decode.r#in, decode.out, decode.set_aside), (5, 4, 1));
}

#[test]
fn two_sources_wait_for_each_other_and_not_for_one_that_is_idle() {
    let idle = Some(Duration::from_secs(30));
    let plot = Plot::new(1).endless("a").timed(0, idle).endless("z").timed(0, idle);
    let plot = plot.view("w", "tumble 10 of a, z").tracking("b", "w");
    alone(async {
        let engine = plot.engine(Options::default());
        let stopper = engine.stopper();
        let running = tokio::spawn(engine.run());
        plot.script("a").push("s", "1@1\n2@25");
        seconds(20).await;
        assert!(plot.target("b").values().is_empty(), "nothing is known of the other one");
        plot.script("z").push("s", "4@2\n8@12");
        seconds(1).await;
        assert_eq!(plot.target("b").values(), [window(0, 5)]);
        // Only `a` goes on: `z` holds it back for its 30 s.
        for i in 0..5 {
            plot.script("a").push("s", format!("16@{}", 30 + i));
            seconds(5).await;
        }
        assert_eq!(plot.target("b").values().len(), 1);
        plot.script("a").push("s", "16@41");
        seconds(10).await;
        let closed = [window(0, 5), window(10, 8), window(20, 2), window(30, 80)];
        assert_eq!(plot.target("b").values(), closed);
        // It is back, and late.
        plot.script("z").push("s", "1@13\n1@43");
        plot.script("a").push("s", "1@51");
        seconds(1).await;
        assert_eq!(plot.target("b").values().len(), 4, "it holds back again");
        stopper.stop();
        let closing = running.await.unwrap().unwrap();
        assert_eq!(account(&closing, "w")[1], 1, "one was late");
    });
}

#[test]
fn a_source_that_never_says_anything_is_idle_too() {
    let idle = Some(Duration::from_secs(30));
    let plot = Plot::new(1).endless("a").timed(0, idle).endless("z").timed(0, idle);
    let plot = plot.view("w", "tumble 10 of a, z").tracking("b", "w");
    alone(async {
        let engine = plot.engine(Options::default());
        let stopper = engine.stopper();
        let running = tokio::spawn(engine.run());
        for i in 0..10 {
            plot.script("a").push("s", format!("1@{}", i * 10));
            seconds(5).await;
        }
        assert_eq!(plot.target("b").values().len(), 9);
        stopper.stop();
        running.await.unwrap().unwrap();
    });
}

#[test]
fn what_ended_and_comes_again_is_a_time_of_its_own() {
    let plot = plot(&["1@1", "2@15"]);
    plot.run().unwrap();
    assert_eq!(plot.target("b").values(), [window(0, 1), window(10, 2)]);
    plot.script("a").push("s", "4@3");
    plot.script("a").push("s", "8@12");
    let closing = plot.run().unwrap();
    assert_eq!(
        plot.target("b").values(),
        [window(0, 1), window(10, 2), window(0, 4), window(10, 8)]
    );
    assert_eq!(account(&closing, "w")[1], 0, "nothing was late");
}

#[test]
fn what_comes_late_goes_to_the_sink_that_takes_it_however_rows_are_cut() {
    let rows = ["1@1", "2@15", "4@9", "8@16", "16@9", "32@3", "64@30", "128@24", "256@20"];
    for cut in 1..=rows.len() {
        let records: Vec<String> = rows.chunks(cut).map(|r| r.join("\n")).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let plot = plot(&records).late("l");
        let closing = plot.run().unwrap();
        let windows = [window(0, 1), window(10, 10), window(20, 128 + 256), window(30, 64)];
        assert_eq!(plot.target("b").values(), windows, "cut {cut}");
        assert_eq!(plot.target("l").values(), [4, 16, 32], "cut {cut}");
        let ids: Vec<u32> = plot.target("l").rows().iter().map(|(id, _)| id.row).collect();
        assert_eq!(ids, [2, 4, 5].map(|i| u32::try_from(i % cut).unwrap()), "as they came");
        assert_eq!(account(&closing, "w"), [9, 3, 0, 6, 4], "cut {cut}");
        assert_eq!(sunk(&closing, "l"), [3, 3, 0], "cut {cut}");
        assert!(closing.ledger.unbalanced().next().is_none());
        assert!(dead(&plot).is_empty(), "nothing is set aside");
    }
}

#[test]
fn what_comes_late_waits_for_a_sink_that_is_down_and_what_it_refuses_is_set_aside() {
    let plot = plot(&["1@1", "2@15\n4@9\n35@8", "8@16", "16@9", "32@3\n70@2"]);
    let mut plot = plot.late("l");
    plot.sinks.last_mut().unwrap().target = Target::refusing(Some(5));
    plot.target("l").set_down(20);
    let closing = plot.run().unwrap();
    assert_eq!(plot.target("l").values(), [4, 16, 32]);
    assert_eq!(account(&closing, "w"), [8, 5, 0, 3, 2]);
    assert_eq!(sunk(&closing, "l"), [5, 3, 2]);
    assert_eq!(dead(&plot).len(), 2);
    assert_eq!(plot.target("b").values(), [window(0, 1), window(10, 10)]);
    assert!(closing.ledger.unbalanced().next().is_none());
}

/// Wherever the process dies, the rows are those of an unbroken run, in the same order.
#[test]
fn a_process_may_die_at_any_act_amid_windows() {
    dies_at_any_act(plot, &["b"]);
}

#[test]
fn a_process_may_die_at_any_act_amid_late_rows() {
    dies_at_any_act(|records| plot(records).late("l"), &["b", "l"]);
}

fn dies_at_any_act(plot: impl Fn(&[&str]) -> Plot, sinks: &[&str]) {
    let records: Vec<String> =
        (0..40).map(|i| format!("{i}@{}\n1@{}", i * 3, (i * 7) % 50 + i * 2)).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let whole = plot(&records);
    let unbroken = whole.run().unwrap();
    let rows = |plot: &Plot| sinks.iter().map(|s| plot.target(s).values()).collect::<Vec<_>>();
    let wanted = rows(&whole);
    assert!(wanted.iter().all(|rows| rows.len() > 5), "{wanted:?}");
    assert!(account(&unbroken, "w")[1] > 5);
    for at in 0..150 {
        let plot = plot(&records);
        plot.world.crash_in(Some(at));
        let mut lives = 0;
        while plot.live(once(), None).is_none() {
            lives += 1;
            plot.world.crash_in((lives < 4).then_some(at / 2 + 7));
        }
        plot.world.crash_in(None);
        let closing = plot.run().unwrap();
        assert_eq!(rows(&plot), wanted, "died at act {at}");
        assert_eq!(account(&closing, "w"), account(&unbroken, "w"), "died at act {at}");
        for sink in sinks {
            assert_eq!(sunk(&closing, sink), sunk(&unbroken, sink), "died at act {at}");
        }
    }
}

#[test]
fn a_view_that_became_another_begins_anew() {
    let mut plot = Plot::new(1).endless("a").timed(0, None).view("w", "tumble 10 of a");
    plot = plot.tracking("b", "w");
    let day = |plot: &Plot, rows: &str| {
        plot.script("a").push("s", rows.to_owned());
        plot.live(Options::default(), Some(Duration::from_secs(5))).unwrap().unwrap();
    };
    day(&plot, "1@1\n2@12");
    day(&plot, "4@13");
    assert_eq!(plot.target("b").values(), [window(0, 1)]);
    plot.views[0].1 = "tumble 5 of a".into();
    // The window from 10 on had begun before: no row of it would be right.
    day(&plot, "8@14\n16@15");
    day(&plot, "32@16\n64@41");
    assert_eq!(plot.target("b").values(), [window(0, 1), window(15, 48)]);
    // And what stays as it was goes on with what it has.
    day(&plot, "128@42\n256@51");
    assert_eq!(plot.target("b").values(), [window(0, 1), window(15, 48), window(40, 192)]);
}
