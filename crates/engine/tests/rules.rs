//! The rules of exactness (DESIGN.md §4), as far as they are the engine's to keep.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::time::Duration;

use millstream_core::queue::{Epoch, LogId, Mark};
use millstream_core::record::{Body, Offset};
use millstream_engine::{Engine, Options};
use millstream_testkit::fakes::Odds;

use stage::expect::{dead, verdict};
use stage::{Plot, alone, once};

fn at(acts: &[String], act: &str) -> usize {
    acts.iter().position(|a| a == act).unwrap_or_else(|| panic!("no {act} in {acts:?}"))
}

/// Lets a pipeline without end run for some time, with something happening meanwhile.
fn run_while<F: Future<Output = ()>>(plot: &Plot, meanwhile: impl FnOnce() -> F) {
    alone(async {
        let engine: Engine = plot.engine(Options::default());
        let stopper = engine.stopper();
        let run = tokio::spawn(engine.run());
        meanwhile().await;
        stopper.stop();
        run.await.unwrap().unwrap();
    });
}

async fn seconds(n: u64) {
    tokio::time::sleep(Duration::from_secs(n)).await;
}

/// Rule 3: a replay that differs from what was sent stops, and one that does not goes on.
#[test]
fn a_replay_that_differs_from_what_was_sent_stops() {
    let mut plot =
        Plot::new(1).source("a", &["1\n2", "3"]).view("v", "plus 1 of a").tracking("b", "v");
    plot.world.kill_at("sink.b.flush", 0);
    assert!(plot.live(once(), None).is_none());
    plot.views[0].1 = "plus 2 of a".into();
    let error = plot.run().unwrap_err().to_string();
    assert!(error.contains("does not repeat for sink `b`"), "{error}");
    assert!(error.contains("--resume b"), "{error}");
    plot.views[0].1 = "plus 1 of a".into();
    let closing = plot.run().unwrap();
    verdict(&plot, &closing).unwrap();
}

/// Rule 3: how frames are cut into steps does not show in the rows.
#[test]
fn the_lengths_of_steps_do_not_show() {
    let rows = |seed: u64, slow: u32| {
        let plot = Plot::new(seed)
            .source("a", &["1\n2", "3", "x\n4", "5", "6\n7\n8", "9"])
            .view("n", "count of a")
            .tracking("b", "n");
        plot.world.set_odds(Odds { slow, ..Odds::default() });
        plot.run().unwrap();
        plot.target("b").values()
    };
    let straight = rows(1, 0);
    assert_eq!(straight.len(), 9);
    (2..20).for_each(|seed| assert_eq!(rows(seed, 900), straight, "seed {seed}"));
}

/// Rule 4: a sink that belongs to another queue, or is ahead of this one, stops with the choices.
#[test]
fn a_sink_of_another_queue_or_ahead_stops_until_it_is_resumed() {
    for other in [true, false] {
        let plot = Plot::new(1).source("a", &["1", "2"]).tracking("b", "a");
        plot.run().unwrap();
        let held = plot.target("b").held().unwrap();
        let wrong = if other {
            Mark { log: LogId(7), ..held }
        } else {
            Mark { epoch: Epoch(held.epoch.0 + 5), ..held }
        };
        plot.target("b").set_held(Some(wrong));
        plot.script("a").push("t", "3");
        let error = plot.run().unwrap_err().to_string();
        assert!(error.contains("--resume b") && error.contains("either"), "{error}");
        let resume = Options { resume: ["b".to_owned()].into(), ..once() };
        plot.live(resume, None).unwrap().unwrap();
        assert_eq!(plot.target("b").values(), [1, 2, 3]);
        plot.run().unwrap();
    }
}

/// Rule 5: one sink that is down fills its outbox and only then holds up its siblings; nothing it needs is trimmed.
#[test]
fn a_sink_that_is_down_holds_up_its_siblings_only_at_the_bound_of_its_outbox() {
    let mut plot = Plot::new(1).endless("a").tracking("b", "a").tracking("c", "a");
    plot.outbox_bytes = 20_000;
    let (script, down, up) = (plot.script("a"), plot.target("b"), plot.target("c"));
    down.set_down(u64::MAX);
    run_while(&plot, || async {
        let mut last = 0;
        for n in 0..200 {
            script.push("s", n.to_string());
            seconds(1).await;
            if n == 5 {
                assert_eq!(up.values().len(), 6, "a sibling goes on");
            }
            last = up.values().len();
        }
        assert!(last < 100, "the outbox takes no more: {last}");
        assert_eq!(down.values().len(), 0);
        down.set_down(0);
        seconds(120).await;
        assert_eq!(up.values(), (0..200).collect::<Vec<_>>());
        assert_eq!(down.values(), (0..200).collect::<Vec<_>>());
    });
}

/// A stop in good order tries a sink that was down once more: what waits for it is delivered if it is back, and
/// left to the next run if it is not.
#[test]
fn a_stop_tries_a_sink_that_was_down_once_more() {
    for back in [true, false] {
        let plot = Plot::new(1).endless("a").tracking("b", "a");
        let (script, target) = (plot.script("a"), plot.target("b"));
        target.set_down(u64::MAX);
        run_while(&plot, || async {
            for n in 0..100 {
                script.push("s", n.to_string());
                seconds(1).await;
            }
            // By now it is tried every half a minute only.
            if back {
                target.set_down(0);
            }
        });
        let wanted: Vec<i64> = if back { (0..100).collect() } else { Vec::new() };
        assert_eq!(target.values(), wanted);
        target.set_down(0);
        run_while(&plot, || seconds(1));
        assert_eq!(target.values(), (0..100).collect::<Vec<_>>(), "nothing is lost either way");
    }
}

/// Rule 5: rows that are nowhere but in the log stay there.
#[test]
fn a_trim_never_passes_what_a_sink_needs() {
    for crash in ["queue.commit", "sink.b.flush", "queue.trim", "sink.c.flush"] {
        for nth in 0..6 {
            let records: Vec<String> = (0..12).map(|n| n.to_string()).collect();
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            let plot =
                Plot::new(nth.into()).source("a", &records).tracking("b", "a").tracking("c", "a");
            plot.world.set_odds(Odds { slow: 900, sink: 50, ..Odds::default() });
            plot.world.kill_at(crash, nth);
            drop(plot.live(once(), None));
            plot.world.set_odds(Odds::default());
            plot.world.crash_in(None);
            plot.target("b").set_down(0);
            plot.target("c").set_down(0);
            let closing = plot.run().unwrap();
            verdict(&plot, &closing).unwrap();
        }
    }
}

/// Rules 4, 6, 7 and 8: prepare everywhere, refused rows durable, commit, and only then flush.
#[test]
fn sinks_prepare_then_letters_and_checkpoint_are_durable_then_sinks_flush() {
    let plot =
        Plot::new(1).source("a", &["1", "2"]).sink("b", "a", true, Some(2)).tracking("c", "a");
    plot.world.listen();
    plot.run().unwrap();
    let acts = plot.world.heard();
    let commit = at(&acts, "queue.commit");
    for sink in ["b", "c"] {
        assert!(at(&acts, &format!("sink.{sink}.prepare")) < at(&acts, "side.dead.append"));
        assert!(commit < at(&acts, &format!("sink.{sink}.flush")), "{acts:?}");
    }
    assert!(at(&acts, "side.dead.append") < commit, "{acts:?}");
}

/// Rule 6: what a sink refused is in the dead letters before the sink flushes, and once.
#[test]
fn refused_rows_are_durable_before_the_flush() {
    for outboxed in [false, true] {
        let plot = Plot::new(1).source("a", &["1\n2", "4"]).sink("b", "a", true, Some(2));
        if outboxed {
            plot.target("b").set_down(1);
        }
        plot.world.kill_at("sink.b.flush", 0);
        assert!(plot.live(once(), None).is_none());
        assert_eq!(dead(&plot).len(), 2);
        assert_eq!(plot.target("b").values(), [] as [i64; 0]);
        let closing = plot.run().unwrap();
        verdict(&plot, &closing).unwrap();
    }
}

/// Rule 9: state is restored from the checkpoint that is resumed from, wherever it was killed.
#[test]
fn state_goes_on_from_the_checkpoint_that_is_resumed_from() {
    for act in ["queue.put_chunk", "queue.commit", "sink.b.flush", "queue.trim", "queue.append"] {
        for nth in 0..8 {
            let plot = Plot::new(nth.into())
                .source("a", &["1", "2", "3", "4", "5", "6", "7", "8"])
                .undeclared()
                .source("z", &["1", "2", "3", "4", "5", "6", "7", "8"])
                .undeclared()
                .view("n", "count of a")
                .view("m", "count of a, z")
                .tracking("b", "n")
                .tracking("c", "m");
            plot.world.set_odds(Odds { slow: 900, ..Odds::default() });
            for life in 0..3 {
                plot.world.kill_at(act, nth + life);
                drop(plot.live(once(), None));
            }
            plot.world.crash_in(None);
            let closing = plot.run().unwrap();
            verdict(&plot, &closing).unwrap();
        }
    }
}

/// Rule 9: a pipeline without state stores none.
#[test]
fn a_pipeline_without_state_puts_no_chunk() {
    let plot = Plot::new(1).source("a", &["1", "2"]).view("v", "odd of a").tracking("b", "v");
    plot.world.listen();
    plot.run().unwrap();
    assert!(!plot.world.heard().contains(&"queue.put_chunk".to_owned()));
}

fn pins(plot: &Plot) -> Vec<Offset> {
    let frames = plot.disk.history();
    frames.iter().filter(|(_, f)| matches!(f.body, Body::Pin(_))).map(|(o, _)| *o).collect()
}

/// Rule 11: columns are pinned once, before the first step, and for ever.
#[test]
fn a_pin_is_written_before_the_first_step_and_survives() {
    let plot = Plot::new(1).source("a", &["1", "2"]).undeclared().tracking("b", "a");
    plot.world.listen();
    plot.world.kill_at("queue.commit", 0);
    assert!(plot.live(once(), None).is_none());
    let acts = plot.world.heard();
    let last_append = acts.iter().rposition(|a| a == "queue.append").unwrap();
    assert!(last_append < at(&acts, "sink.b.open"), "{acts:?}");
    for _ in 0..3 {
        plot.world.crash_in(None);
        let closing = plot.run().unwrap();
        verdict(&plot, &closing).unwrap();
        assert_eq!(pins(&plot).len(), 1);
    }
    let checkpoints = plot.disk.checkpoints();
    assert!(checkpoints.iter().all(|c| c.pins.contains_key("a")));
}

/// Rule 11: a source that says nothing holds what is read together with it, and rows that came before flow.
#[test]
fn a_silent_source_holds_what_joins_it_and_nothing_that_came_before() {
    let plot = Plot::new(1)
        .endless("a")
        .undeclared()
        .endless("silent")
        .undeclared()
        .endless("c")
        .undeclared()
        .view("both", "all of a, silent")
        .tracking("x", "both")
        .tracking("y", "c");
    let (x, y) = (plot.target("x"), plot.target("y"));
    run_while(&plot, || async {
        plot.script("c").push("s", "1");
        seconds(1).await;
        plot.script("c").push("s", "2");
        plot.script("a").push("s", "10");
        seconds(5).await;
        assert_eq!(y.values(), [1, 2]);
        assert_eq!(x.values(), [] as [i64; 0]);
        plot.script("silent").push("s", "20");
        plot.script("c").push("s", "3");
        seconds(1).await;
        assert_eq!(x.values(), [10, 20]);
        assert_eq!(y.values(), [1, 2, 3]);
    });
}

/// Rule 11: a run that ends while rows wait for columns says so, and loses nothing.
#[test]
fn rows_that_wait_for_columns_are_still_there_in_the_next_run() {
    let mut plot = Plot::new(1)
        .source("a", &["1"])
        .undeclared()
        .source("silent", &["x"])
        .undeclared()
        .view("both", "all of a, silent")
        .tracking("x", "both");
    let closing = plot.run().unwrap();
    assert!(closing.trouble.unwrap().contains("`silent`"));
    assert!(closing.frames_left > 0);
    plot.sources[1].declared = true;
    let closing = plot.run().unwrap();
    verdict(&plot, &closing).unwrap();
    assert_eq!(plot.target("x").values(), [1]);
}

/// Rule 12: the end of a split is written once.
#[test]
fn the_end_of_a_split_is_written_once() {
    let plot = Plot::new(1).source("a", &["1", "2"]).tracking("b", "a");
    for _ in 0..3 {
        plot.run().unwrap();
    }
    let ended = plot.disk.history().iter().filter(|(_, f)| f.body == Body::Ended).count();
    assert_eq!(ended, 1);
}
