//! Reference tables: every row is joined to the version that held at its offset, whatever happens meanwhile.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::time::Duration;

use millstream_core::record::{Body, Frame};
use millstream_engine::status::Kind;
use millstream_engine::{Only, Options};
use millstream_testkit::fakes::{Odds, Script};

use stage::expect::verdict;
use stage::{Plot, alone, once};

async fn seconds(n: u64) {
    tokio::time::sleep(Duration::from_secs(n)).await;
}

/// Rows joined to the table `t`, and their numbers behind that.
fn plot(seed: u64) -> Plot {
    Plot::new(seed)
        .endless("a")
        .table("t", 1)
        .view("v", "with t of a")
        .view("w", "count of v")
        .tracking("b", "v")
        .tracking("c", "w")
}

fn versions(plot: &Plot) -> Vec<Frame> {
    let frames = plot.disk.history().into_iter().map(|(_, frame)| frame);
    frames.filter(|frame| matches!(frame.body, Body::Table(_))).collect()
}

/// The versions that the last checkpoint has.
fn kept(plot: &Plot) -> usize {
    let last = plot.disk.checkpoints().pop().unwrap();
    last.chunks.iter().filter(|c| c.operator == ":tables").count()
}

/// Runs a while, pushing a value and then changing the table, again and again.
fn play(plot: &Plot, numbers: &[Option<i64>]) -> Vec<i64> {
    let closing = alone(async {
        let engine = plot.engine(Options::default());
        let (stopper, status) = (engine.stopper(), engine.status());
        let running = tokio::spawn(engine.run());
        for number in numbers {
            plot.script("a").push("s", "1");
            seconds(3).await;
            plot.tables[0].board.set(*number);
            seconds(3).await;
            let part = status.part(Kind::Table, "t");
            assert_eq!(part.troubles().is_empty(), number.is_some(), "{number:?}");
        }
        plot.script("a").push("s", "2");
        seconds(1).await;
        stopper.stop();
        running.await.unwrap().unwrap()
    });
    verdict(plot, &closing).unwrap();
    plot.target("b").values()
}

#[test]
fn rows_are_joined_to_the_version_that_held_and_a_broken_one_is_none() {
    let plot = plot(1);
    let numbers = [Some(2), None, Some(3), Some(3), Some(2)];
    assert_eq!(play(&plot, &numbers), [1001, 1002, 1002, 1003, 1003, 2002]);
    // The same content again is no version, one that comes back is.
    assert_eq!((versions(&plot).len(), kept(&plot)), (4, 1));
    // Another life begins with what there is, and appends nothing.
    assert_eq!(play(&plot, &[Some(2)]), [1001, 1002, 1002, 1003, 1003, 2002, 1002, 2002]);
    assert_eq!((versions(&plot).len(), kept(&plot)), (4, 1));
}

#[test]
fn a_table_that_was_never_read_stops_the_start_and_one_that_was_does_not() {
    let plot = plot(1);
    plot.tables[0].board.set(None);
    let e = plot.run_for(1).unwrap_err();
    assert!(e.to_string().contains("the table `t` cannot be read"), "{e}");
    assert_eq!(e.place(), Some("tables.t"));
    assert!(plot.disk.history().is_empty(), "nothing is collected before");
    plot.tables[0].board.set(Some(4));
    plot.script("a").push("s", "1");
    plot.run_for(2).unwrap();
    plot.tables[0].board.set(None);
    plot.script("a").push("s", "2");
    plot.run_for(2).unwrap();
    assert_eq!(plot.target("b").values(), [1004, 2004]);
}

#[test]
fn a_process_that_only_processes_needs_no_file_and_waits_for_the_first_version() {
    let folder = tempfile::tempdir().unwrap();
    let mut plot = plot(1);
    plot.disk = plot.disk.clone().in_folder(folder.path());
    plot.script("a").push("s", "1");
    let only = |only| Options { only, ..Options::default() };
    let e = plot.run_with(only(Only::Process), 60).unwrap_err();
    assert!(e.what().contains("no version of the table `t` is in the queue"), "{e}");
    plot.run_with(only(Only::Collect), 3).unwrap();
    plot.tables[0].board.set(None);
    plot.run_with(only(Only::Process), 3).unwrap();
    assert_eq!(plot.target("b").values(), [1001]);
}

#[test]
fn a_table_that_is_taken_out_and_put_back_is_read_anew_once_its_version_is_gone() {
    let mut plot = plot(1);
    plot.run_for(2).unwrap();
    let (tables, views) = (plot.tables.clone(), plot.views.clone());
    plot.tables.clear();
    plot.views = vec![("v".into(), "plus 0 of a".into()), ("w".into(), "plus 1 of v".into())];
    for _ in 0..5 {
        plot.script("a").push("s", "5");
        plot.run_for(2).unwrap();
    }
    assert_eq!(kept(&plot), 1, "nobody knows that it is not needed");
    (plot.tables, plot.views) = (tables, views);
    plot.script("a").push("s", "6");
    plot.run_for(2).unwrap();
    assert_eq!(plot.target("b").values(), [5, 5, 5, 5, 5, 6001]);
}

#[test]
fn declared_columns_that_change_are_read_anew() {
    let mut plot = plot(1);
    plot.script("a").push("s", "1");
    plot.run_for(2).unwrap();
    plot.tables[0].declared = true;
    plot.script("a").push("s", "2");
    plot.run_for(2).unwrap();
    assert_eq!(plot.target("b").values(), [1001, 2001]);
    assert_eq!(versions(&plot).len(), 1, "the columns are the same");
}

fn odds(random: &mut fastrand::Rng) -> Odds {
    let mut some = |most: u32| if random.bool() { random.u32(0..most) } else { 0 };
    Odds { source: some(60), sink: some(60), queue: some(60), after: some(60), slow: some(600) }
}

/// Lives with faults, changes of the tables, and deaths; then one that brings everything to its end.
fn simulate(seed: u64) -> Result<(), String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plot = plot(seed).table("u", 7).view("x", "with u of v").untracked("d", "x");
    let records = |n: usize| (0..n).map(|i| i.to_string().into()).collect::<Vec<_>>();
    let splits = (0..random.usize(1..3)).map(|s| (format!("s{s}").into(), records(12)));
    plot.sources[0].script = Script::new(splits.collect::<Vec<_>>());
    for table in &mut plot.tables {
        table.reload = Duration::from_millis(random.u64(1..400));
        table.declared = random.bool();
    }
    for _ in 0..random.usize(1..6) {
        plot.world.set_odds(odds(&mut random));
        plot.world.crash_in((random.u32(0..4) > 0).then(|| random.u64(1..200)));
        if random.bool() {
            let acts = ["queue.append", "queue.commit", "queue.put_chunk", "sink.b.flush"];
            plot.world.kill_at(acts[random.usize(0..acts.len())], random.u32(0..4));
        }
        let stop = random.bool().then(|| Duration::from_micros(random.u64(0..2_000_000)));
        let options = if random.bool() || stop.is_none() { once() } else { Options::default() };
        let boards: Vec<_> = plot.tables.iter().map(|t| t.board.clone()).collect();
        let mut chance = random.fork();
        let ended = plot.live_beside(options, stop, async move {
            loop {
                tokio::time::sleep(Duration::from_micros(chance.u64(0..300_000))).await;
                let board = &boards[chance.usize(0..boards.len())];
                board.set((chance.u32(0..5) > 0).then(|| chance.i64(0..900)));
            }
        });
        if let Some(Err(e)) = ended
            && !(e.to_string().contains("cannot be read") && versions(&plot).len() < 2)
        {
            return Err(format!("a life ended: {e}"));
        }
    }
    plot.tables.iter().for_each(|t| t.board.set(Some(5)));
    plot.world.set_odds(Odds::default());
    plot.world.crash_in(None);
    plot.sinks.iter().for_each(|s| s.target.set_down(0));
    let last = plot.live(once(), None).unwrap();
    verdict(&plot, &last.map_err(|e| format!("the last life: {e}"))?)
}

#[test]
fn every_row_is_joined_to_the_version_at_its_offset_under_faults_and_crashes() {
    let seeds = std::env::var("SEEDS").map_or(400, |s| s.parse().unwrap());
    let one = std::env::var("SEED").ok().and_then(|s| s.parse::<u64>().ok());
    for seed in one.map_or(0..seeds, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| simulate(seed));
        let outcome = outcome.unwrap_or_else(|_| Err("it panicked".into()));
        if let Err(e) = outcome {
            panic!(
                "seed {seed}: {e}\nagain: SEED={seed} cargo test -p millstream-engine --test tables -- every_row"
            );
        }
    }
}
