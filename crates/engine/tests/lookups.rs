//! Lookups: what is asked for, how long it is kept, and what becomes of rows while nobody answers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::sync::Arc;
use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::ledger::Stage;
use millstream_core::plugin::QueueOpener as _;
use millstream_engine::config::{LookupMode, OnFailure};
use millstream_engine::status::Kind;
use millstream_engine::{Closing, Options, Status};
use millstream_testkit::fakes::Fault;

use stage::{Plot, alone, once};

/// Three frames over a lookup that knows 1 and 2.
fn plot(view: &str) -> Plot {
    Plot::new(1)
        .source("a", &["1\n2\n1", "3", "2\n1"])
        .lookup("l", &[("1", "10"), ("2", "20")])
        .view("v", view)
        .tracking("b", "v")
}

fn away(plot: &Plot, times: u32, done: bool) {
    for _ in 0..times {
        plot.world.order(Fault {
            act: "lookup.l.ask".into(),
            after: 0,
            remedy: Remedy::Retry,
            done,
        });
    }
}

fn part(status: &Arc<Status>) -> (u64, u64, usize) {
    let part = status.part(Kind::Lookup, "l");
    (part.errors.get(), part.unanswered.get(), part.troubles().len())
}

/// Runs to the end, and says what the lookup's numbers are.
fn run(plot: &Plot) -> (Closing, (u64, u64, usize)) {
    alone(async {
        let engine = plot.engine(once());
        let status = engine.status();
        let closing = engine.run().await.unwrap();
        (closing, part(&status))
    })
}

async fn seconds(n: u64) {
    tokio::time::sleep(Duration::from_secs(n)).await;
}

/// What has `find` made of values whose answers are these.
const FOUND: [i64; 6] = [1010, 2020, 1010, 3999, 2020, 1010];

#[test]
fn all_that_the_frames_of_a_step_lack_is_asked_for_at_once() {
    let plot = plot("find l of a");
    let (closing, numbers) = run(&plot);
    assert_eq!(plot.target("b").values(), FOUND);
    let mut keys = plot.shelf().asked().concat();
    keys.sort();
    assert_eq!(keys, ["1", "2", "3"], "each once, in however many frames it is");
    assert_eq!(numbers, (0, 0, 0));
    assert_eq!(closing.trouble, None);
}

#[test]
fn a_lookup_may_ask_for_what_another_has_answered() {
    let plot =
        plot("find l of a").lookup("m", &[("1010", "7"), ("3999", "8")]).view("w", "keep m of v");
    let plot = plot.tracking("c", "w");
    run(&plot);
    assert_eq!(plot.target("c").values(), [1_010_007, 1_010_007, 3_999_008, 1_010_007]);
    assert_eq!(
        plot.target("b").values(),
        FOUND,
        "frames that are taken again give their rows once"
    );
}

#[test]
fn an_answer_is_kept_for_its_time() {
    for (ttl, asked) in [(10, 2), (0, 4)] {
        let mut plot = Plot::new(1)
            .endless("a")
            .lookup("l", &[("1", "10")])
            .view("v", "find l of a")
            .tracking("b", "v");
        plot.lookups[0].ttl = Duration::from_secs(ttl);
        alone(async {
            let engine = plot.engine(Options::default());
            let stopper = engine.stopper();
            let running = tokio::spawn(engine.run());
            for wait in [5, 4, 2, 1] {
                plot.script("a").push("s", "1");
                seconds(wait).await;
                // Nothing kept is asked for again before its time is over, whatever has become of it.
                plot.shelf().set("1", &(wait + 10).to_string());
            }
            seconds(1).await;
            stopper.stop();
            running.await.unwrap().unwrap();
        });
        assert_eq!(plot.shelf().asked().len(), asked, "ttl {ttl}");
        let wanted = if ttl == 0 { [1010, 1015, 1014, 1012] } else { [1010, 1010, 1010, 1012] };
        assert_eq!(plot.target("b").values(), wanted, "ttl {ttl}");
    }
}

#[test]
fn rows_wait_while_it_is_away_and_none_is_lost_or_comes_twice() {
    for done in [false, true] {
        let plot = plot("find l of a");
        away(&plot, 7, done);
        let (closing, (errors, unanswered, troubles)) = run(&plot);
        assert_eq!(plot.target("b").values(), FOUND);
        assert_eq!((errors, unanswered, troubles), (7, 0, 0), "told, and over");
        assert_eq!((closing.trouble, closing.frames_left), (None, 0));
        let account =
            closing.ledger.0.iter().find(|(edge, _)| edge.stage == Stage::View).unwrap().1;
        assert_eq!(
            (account.r#in, account.out),
            (6, 6),
            "what was tried and dropped does not count"
        );
    }
}

#[test]
fn what_does_not_need_it_goes_on_while_it_is_away() {
    let plot = Plot::new(1).endless("a").lookup("l", &[("2", "20")]).view("v", "find l of a");
    let plot = plot.tracking("b", "v");
    alone(async {
        let engine = plot.engine(Options::default());
        let (stopper, status) = (engine.stopper(), engine.status());
        let running = tokio::spawn(engine.run());
        plot.script("a").push("s", "2");
        seconds(1).await;
        away(&plot, 1000, false);
        // The first is known, the second is not; what comes before it is delivered.
        plot.script("a").push("s", "2");
        seconds(1).await;
        plot.script("a").push("s", "3");
        seconds(1).await;
        assert_eq!(plot.target("b").values(), [2020, 2020]);
        assert_eq!(part(&status).2, 1, "a trouble as long as it is away");
        // Asked to stop, it does not wait for what may never come.
        stopper.stop();
        let closing = tokio::time::timeout(Duration::from_secs(5), running).await;
        let closing = closing.unwrap().unwrap().unwrap();
        assert_eq!(closing.frames_left, 1);
        let trouble = closing.trouble.unwrap();
        assert!(trouble.contains("the lookup `l`") && trouble.contains("offset 2"), "{trouble}");
    });
    plot.world.forget_faults();
    plot.script("a").push("s", "2");
    let closing = plot.live(Options::default(), Some(Duration::from_secs(5))).unwrap().unwrap();
    assert_eq!(plot.target("b").values(), [2020, 2020, 3999, 2020]);
    assert_eq!(closing.frames_left, 0);
}

#[test]
fn nulls_stand_for_what_cannot_be_had_and_nobody_waits() {
    let mut plot = plot("find l of a");
    plot.lookups[0].on_failure = OnFailure::Nulls;
    away(&plot, 1000, false);
    let (closing, (errors, unanswered, _)) = run(&plot);
    assert_eq!(plot.target("b").values(), [1999, 2999, 1999, 3999, 2999, 1999]);
    assert_eq!(closing.trouble, None);
    assert!(errors >= 1 && unanswered >= 3, "{errors} {unanswered}");
}

#[test]
fn nulls_are_not_kept_once_it_is_back() {
    let mut plot = Plot::new(1).endless("a").lookup("l", &[("1", "10")]);
    plot = plot.view("v", "find l of a").tracking("b", "v");
    plot.lookups[0].on_failure = OnFailure::Nulls;
    away(&plot, 2, false);
    alone(async {
        let engine = plot.engine(Options::default());
        let (stopper, status) = (engine.stopper(), engine.status());
        let running = tokio::spawn(engine.run());
        for _ in 0..3 {
            plot.script("a").push("s", "1");
            seconds(30).await;
        }
        assert_eq!(part(&status), (2, 2, 0));
        stopper.stop();
        running.await.unwrap().unwrap();
    });
    assert_eq!(plot.target("b").values(), [1999, 1999, 1010]);
}

#[test]
fn an_answer_that_fits_no_row_sets_its_rows_aside_or_is_nulls() {
    for nulls in [false, true] {
        let mut plot = plot("find l of a");
        plot.shelf().set("2", "many");
        if nulls {
            plot.lookups[0].on_failure = OnFailure::Nulls;
        }
        let (closing, (errors, unanswered, troubles)) = run(&plot);
        let (_, view) =
            closing.ledger.0.iter().find(|(edge, _)| edge.stage == Stage::View).unwrap();
        assert_eq!((errors, troubles), (0, 0));
        if nulls {
            assert_eq!(plot.target("b").values(), [1010, 2999, 1010, 3999, 2999, 1010]);
            assert_eq!((view.out, view.set_aside), (6, 0));
            assert!((1..=2).contains(&unanswered), "once a step, not once a try: {unanswered}");
        } else {
            assert_eq!(plot.target("b").values(), [1010, 1010, 3999, 1010]);
            assert_eq!((view.out, view.set_aside, unanswered), (4, 2, 0));
        }
    }
}

#[test]
fn what_only_a_person_can_mend_stops_and_says_where() {
    let plot = plot("find l of a");
    plot.world.order(Fault {
        act: "lookup.l.ask".into(),
        after: 0,
        remedy: Remedy::Stop,
        done: false,
    });
    let error = plot.run().unwrap_err().to_string();
    assert!(error.contains("lookups.l"), "{error}");
}

/// An epoch that was committed and did not reach the sink is looked up anew, and may be another one.
#[test]
fn a_repeated_epoch_is_looked_up_anew_and_the_accounts_follow() {
    type Change = fn(&Plot);
    let cases: [(Change, &[i64]); 4] = [
        (|p| p.shelf().set("1", "11"), &[1011, 2020, 1011, 2020, 1011]),
        (|p| p.shelf().remove("2"), &[1010, 1010, 1010]),
        (|p| p.shelf().set("3", "30"), &[1010, 2020, 1010, 3030, 2020, 1010]),
        (
            |p| {
                p.shelf().remove("1");
                p.shelf().remove("2");
            },
            &[],
        ),
    ];
    for (i, (change, wanted)) in cases.into_iter().enumerate() {
        let plot = plot("keep l of a");
        plot.world.kill_at("sink.b.flush", 0);
        assert!(plot.live(once(), None).is_none(), "it dies between commit and flush");
        change(&plot);
        let (closing, _) = run(&plot);
        let values = plot.target("b").values();
        // Frames that were not yet part of that epoch are looked up for the first time.
        assert_eq!(values, wanted, "case {i}");
        let sink = closing.ledger.0.iter().find(|(edge, _)| edge.stage == Stage::Sink);
        let out = sink.map_or(0, |(_, account)| account.out);
        assert_eq!(out, values.len() as u64, "case {i}: the account is of what the sink holds");
        // And the next start finds nothing to repeat.
        let asked = plot.shelf().asked().len();
        run(&plot);
        assert_eq!(plot.shelf().asked().len(), asked, "case {i}");
        assert_eq!(plot.target("b").values(), wanted, "case {i}");
    }
}

/// However often the process dies, and wherever, each row is there once, as long as what is outside stays the same.
#[test]
fn a_process_may_die_at_any_act() {
    for at in 0..60 {
        let plot = plot("find l of a");
        away(&plot, 2, at % 2 == 0);
        plot.world.crash_in(Some(at));
        while plot.live(once(), None).is_none() {}
        plot.world.crash_in(None);
        let (closing, _) = run(&plot);
        assert_eq!(plot.target("b").values(), FOUND, "died at act {at}");
        assert_eq!(closing.frames_left, 0);
    }
}

fn recorded(mut plot: Plot) -> Plot {
    for lookup in &mut plot.lookups {
        lookup.mode = LookupMode::Recorded;
    }
    plot
}

/// What is outside changes between two lives, and the epoch that is made again is the same all the same.
#[test]
fn a_repeated_epoch_is_made_of_the_answers_that_were_recorded() {
    type Change = fn(&Plot);
    let changes: [Change; 3] =
        [|p| p.shelf().set("1", "11"), |p| p.shelf().remove("2"), |p| away(p, 1, false)];
    for (i, change) in changes.into_iter().enumerate() {
        for view in ["find l of a", "keep l of a"] {
            // A small step: the first epoch is the first frame.
            let plot = recorded(plot(view));
            plot.world.kill_at("sink.b.flush", 0);
            assert!(plot.live(once(), None).is_none(), "it dies between commit and flush");
            let asked = plot.shelf().asked().concat();
            change(&plot);
            let (closing, _) = run(&plot);
            let values = plot.target("b").values();
            let wanted = if view.starts_with("find") {
                &FOUND[..]
            } else {
                &[1010, 2020, 1010, 2020, 1010][..]
            };
            let committed = if asked.contains(&"3".to_owned()) { wanted.len() } else { 3 };
            assert_eq!(values[..committed], wanted[..committed], "case {i}, {view}");
            assert_eq!(closing.frames_left, 0);
            let sink = closing.ledger.0.iter().find(|(edge, _)| edge.stage == Stage::Sink);
            assert_eq!(sink.unwrap().1.out, values.len() as u64, "case {i}, {view}");
        }
    }
}

#[test]
fn answers_may_change_and_a_process_die_at_any_act_when_they_are_recorded() {
    for at in 0..80 {
        let plot = recorded(plot("keep l of a"));
        plot.world.crash_in(Some(at));
        let mut lives = 0;
        while plot.live(once(), None).is_none() {
            lives += 1;
            // Other rows and other numbers of them, each time.
            plot.shelf().set("1", &format!("{}", 10 + lives));
            if lives % 2 == 0 {
                plot.shelf().set("3", "30");
            } else {
                plot.shelf().remove("2");
            }
        }
        plot.world.crash_in(None);
        let (closing, _) = run(&plot);
        let values = plot.target("b").values();
        let (_, view) =
            closing.ledger.0.iter().find(|(edge, _)| edge.stage == Stage::View).unwrap();
        assert_eq!(view.r#in, 6, "died at act {at}");
        assert_eq!(view.out, values.len() as u64, "died at act {at}: no row lost, none twice");
    }
}

/// An epoch that was made while the lookup was live has no record: it is looked up anew.
#[test]
fn a_lookup_may_become_recorded_and_live_again() {
    let mut plot = plot("find l of a");
    plot.world.kill_at("sink.b.flush", 0);
    assert!(plot.live(once(), None).is_none());
    plot.shelf().set("1", "11");
    plot = recorded(plot);
    plot.world.kill_at("sink.b.flush", 1);
    drop(plot.live(once(), None));
    plot.lookups[0].mode = LookupMode::Live;
    run(&plot);
    assert_eq!(plot.target("b").values(), [1011, 2020, 1011, 3999, 2020, 1011]);
}

#[test]
fn what_was_recorded_is_forgotten_once_no_sink_needs_it() {
    let mut plot = Plot::new(1).endless("a").lookup("l", &[("1", "10")]);
    plot = recorded(plot.view("v", "find l of a").tracking("b", "v"));
    alone(async {
        let engine = plot.engine(Options::default());
        let stopper = engine.stopper();
        let running = tokio::spawn(engine.run());
        for _ in 0..20 {
            plot.script("a").push("s", "1");
            seconds(1).await;
        }
        stopper.stop();
        running.await.unwrap().unwrap();
    });
    assert_eq!(plot.target("b").values(), [1010; 20]);
    let checkpoints = alone(async {
        let queue = plot.disk.open().await.unwrap();
        queue.checkpoints().await.unwrap()
    });
    let extent = checkpoints.last().unwrap().sides["lookup/l"];
    assert!(extent.end >= 20, "each epoch is recorded: {extent:?}");
    assert!(extent.end - extent.first <= 3, "and few are kept: {extent:?}");
}
