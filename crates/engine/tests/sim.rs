//! Whole pipelines under random faults and crashes, on one thread with a paused clock.
//!
//! A seed decides the pipeline, what its sources say, which act fails, and at which act the process
//! dies. After some lives of that kind one without faults must bring everything to its end: tracking
//! sinks hold every row exactly once and in order, others at least once, everything refused is in the
//! dead letters, and the accounts add up to what the targets hold.
//!
//! One seed again: `SEED=7 cargo test -p millstream-engine --test sim -- one_seed --nocapture`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use millstream_core::queue::{Checkpoint, Epoch};
use millstream_engine::{Closing, Options};
use millstream_testkit::fakes::{Odds, Script, Step, Target};

use stage::expect::verdict;
use stage::{Mouth, Origin, Plot, once};

/// Seeds of one test; there are two, so that they share the processors.
const SEEDS: u64 = 800;

/// Seeds that failed once.
const FAILED: &str = include_str!("seeds.txt");

fn name(at: usize) -> String {
    ["a", "b", "c"][at].to_owned()
}

fn record(random: &mut fastrand::Rng, good: bool) -> String {
    if !good && random.u32(0..20) == 0 {
        return "!no record".into();
    }
    let lines = random.usize(1..4);
    let line = |at: usize, random: &mut fastrand::Rng| {
        if !(good && at == 0) && random.u32(0..15) == 0 {
            "x".to_owned()
        } else {
            random.u32(0..1000).to_string()
        }
    };
    (0..lines).map(|at| line(at, random)).collect::<Vec<_>>().join("\n")
}

fn origin(at: usize, random: &mut fastrand::Rng) -> Origin {
    let splits = (0..random.usize(1..4)).map(|split| {
        let records = (0..random.usize(1..10)).map(|i| record(random, i == 0).into()).collect();
        (format!("s{split}").into(), records)
    });
    let splits: Vec<_> = splits.collect();
    Origin {
        name: name(at),
        script: Script::new(splits),
        declared: random.bool(),
        event_time: None,
    }
}

/// By how many ways rows of each source come to a table.
fn lineage(plot: &Plot, table: &str) -> BTreeMap<String, u32> {
    let Some((_, text)) = plot.views.iter().find(|(n, _)| n == table) else {
        return BTreeMap::from([(table.to_owned(), 1)]);
    };
    let mut all = BTreeMap::new();
    for input in Step::parse(text).unwrap().tables {
        for (source, ways) in lineage(plot, &input) {
            *all.entry(source).or_default() += ways;
        }
    }
    all
}

/// A pipeline by chance.
fn plot(seed: u64) -> (Plot, fastrand::Rng) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plot = Plot::new(seed);
    plot.sources = (0..random.usize(1..4)).map(|at| origin(at, &mut random)).collect();
    let mut tables: Vec<String> = plot.sources.iter().map(|s| s.name.clone()).collect();
    for at in 0..random.usize(0..4) {
        let rule = ["all", "odd", "plus 3", "count", "not 7"][random.usize(0..5)];
        let mut reads: Vec<String> = (0..random.usize(1..3))
            .map(|_| tables[random.usize(0..tables.len())].clone())
            .collect();
        reads.dedup();
        plot.views.push((format!("v{at}"), format!("{rule} of {}", reads.join(", "))));
        tables.push(format!("v{at}"));
    }
    for at in 0..random.usize(1..4) {
        let rows = tables[random.usize(0..tables.len())].clone();
        // A row that comes twice, by two ways, and is refused twice is one dead letter.
        let single = lineage(&plot, &rows).into_iter().all(|(_, n)| n == 1);
        let refuses = (single && random.bool()).then(|| random.i64(2..12));
        plot.sinks.push(Mouth {
            name: format!("k{at}"),
            rows,
            target: Target::refusing(refuses),
            tracking: random.u32(0..3) > 0,
        });
    }
    if random.u32(0..4) == 0 {
        plot.outbox_bytes = random.u64(1..4000);
    }
    (plot, random)
}

fn odds(random: &mut fastrand::Rng) -> Odds {
    let some = |random: &mut fastrand::Rng, most: u32| {
        if random.bool() { random.u32(0..most) } else { 0 }
    };
    Odds {
        source: some(random, 80),
        sink: some(random, 60),
        queue: some(random, 60),
        after: some(random, 60),
        slow: some(random, 600),
    }
}

/// With `TELL` set, what happened in a life, act by act.
#[expect(clippy::print_stdout, reason = "whoever sets `TELL` wants to read it")]
fn tell(plot: &Plot, options: &Options, ended: Option<&millstream_core::Result<Closing>>) {
    if std::env::var_os("TELL").is_none() {
        return;
    }
    if plot.world.heard().is_empty() {
        println!("{:?}\n{:?}\n{:?}", plot.sources, plot.views, plot.sinks);
    }
    println!("--- once: {}, ended: {ended:?}\n{}", options.once, plot.world.heard().join(" "));
    for c in plot.disk.checkpoints() {
        println!(
            "{} next {} flushed {} sent {:?} sides {:?}",
            c.epoch, c.next, c.flushed, c.sent, c.sides
        );
    }
    plot.world.listen();
}

/// Lives one seed to its end.
fn simulate(seed: u64, prepare: impl Fn(&mut Plot)) -> Result<(), String> {
    let (mut plot, mut random) = plot(seed);
    prepare(&mut plot);
    plot.world.listen();
    for _ in 0..random.usize(0..5) {
        plot.world.set_odds(odds(&mut random));
        let crash = (random.u32(0..4) > 0).then(|| random.u64(1..300));
        let stop = random.bool().then(|| Duration::from_micros(random.u64(0..2_000_000)));
        plot.world.crash_in(crash);
        if random.bool() {
            // The moments that count come seldom by chance.
            let sink = &plot.sinks[random.usize(0..plot.sinks.len())].name;
            let acts = [format!("sink.{sink}.flush"), "queue.trim".into(), "queue.commit".into()];
            plot.world.kill_at(&acts[random.usize(0..acts.len())], random.u32(0..4));
        }
        let options = if random.bool() || stop.is_none() { once() } else { Options::default() };
        let ended = plot.live(options.clone(), stop);
        tell(&plot, &options, ended.as_ref());
        if let Some(Err(e)) = ended {
            return Err(format!("a life ended: {e}"));
        }
    }
    plot.world.set_odds(Odds::default());
    plot.world.crash_in(None);
    plot.sinks.iter().for_each(|s| s.target.set_down(0));
    let last = plot.live(once(), None);
    tell(&plot, &once(), last.as_ref());
    let closing = last.unwrap().map_err(|e| format!("the last life: {e}"))?;
    verdict(&plot, &closing)
}

fn check(seed: u64) {
    let outcome = std::panic::catch_unwind(|| simulate(seed, |_| {}));
    let outcome = outcome.unwrap_or_else(|_| Err("it panicked".into()));
    if let Err(e) = outcome {
        panic!(
            "seed {seed}: {e}\nagain: SEED={seed} cargo test -p millstream-engine --test sim -- one_seed --nocapture"
        );
    }
}

#[test]
fn every_promise_is_kept_under_faults_and_crashes() {
    let seeds = std::env::var("SEEDS").map_or(SEEDS, |s| s.parse().unwrap());
    (0..seeds).for_each(check);
}

#[test]
fn every_promise_is_kept_under_more_faults_and_crashes() {
    (1_000_000..1_000_000 + SEEDS).for_each(check);
}

/// The first seed that shows that something is broken.
fn caught(broken: impl Fn(&mut Plot)) -> Option<u64> {
    (0..200).find(|seed| {
        let lived = std::panic::catch_unwind(AssertUnwindSafe(|| simulate(*seed, &broken)));
        !matches!(lived, Ok(Ok(())))
    })
}

/// Checkpoints that make every sink look as if it lacked nothing.
fn newest(mut checkpoints: Vec<Checkpoint>) -> Vec<Checkpoint> {
    for checkpoint in &mut checkpoints {
        checkpoint.flushed = checkpoint.epoch;
        checkpoint.sent.values_mut().for_each(|sent| sent.epoch = Epoch(0));
    }
    checkpoints
}

#[test]
fn a_recovery_from_the_newest_checkpoint_whatever_sinks_hold_is_caught() {
    let seed = caught(|plot| plot.disk = plot.disk.clone().lying(newest));
    assert!(seed.is_some_and(|s| s < 50), "{seed:?}");
}

#[test]
fn a_recovery_that_trusts_no_sink_is_caught() {
    let seed = caught(|plot| plot.forgetful = true);
    assert!(seed.is_some_and(|s| s < 50), "{seed:?}");
}

#[test]
fn a_recovery_that_loses_state_is_caught() {
    let stateless = |mut all: Vec<Checkpoint>| {
        all.iter_mut().for_each(|c| c.chunks.clear());
        all
    };
    let seed = caught(|plot| plot.disk = plot.disk.clone().lying(stateless));
    assert!(seed.is_some_and(|s| s < 100), "{seed:?}");
}

#[test]
fn seeds_that_failed_once_pass() {
    FAILED.lines().filter_map(|l| l.split_whitespace().next()?.parse().ok()).for_each(check);
}

#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("SEED") else { return };
    check(seed.parse().unwrap());
}
