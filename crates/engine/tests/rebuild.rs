//! A view that changed is rebuilt from the queue, as far back as that reaches: from there on it is what it would be had it always
//! been so.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::fields::Span;
use millstream_core::ledger::Stage;
use millstream_core::operator::{
    Chunks, Function, Operator, Output, Planned, PlannedView, Planner, Table, View, ViewError,
};
use millstream_core::queue::Checkpoint;
use millstream_core::record::Offset;
use millstream_core::{Error, Result};
use millstream_engine::Options;
use millstream_testkit::fakes::{Chain, Disk};

use stage::{Plot, alone, engine_with, registry};

/// Everything is kept.
const ALL: u64 = 1 << 40;

/// A day's rows, three a frame: one on time, one behind it, one sometimes late.
fn rows(day: i64) -> Vec<String> {
    let row = |i: i64| format!("{i}@{}\n1@{}\n7@{}", i * 3, (i - 1) * 3, (i * 3 - 17).max(0));
    (day * 20..day * 20 + 20).map(row).collect()
}

/// A pipeline whose rows come day by day, each in a life of its own.
struct Job {
    plot: Plot,
    /// Rows that each day ended with.
    ends: Vec<usize>,
    planner: Arc<dyn Planner>,
}

impl Job {
    fn new(kept: u64, views: &[(&str, &str)]) -> Self {
        let mut plot = Plot::new(1).endless("a").timed(5, None);
        plot.disk = plot.disk.clone().keeping(kept);
        for (name, text) in views {
            plot = plot.view(name, text);
        }
        let plot = views.iter().fold(plot, |plot, (name, _)| plot.tracking(name, name));
        Self { plot, ends: vec![], planner: Arc::new(Chain) }
    }

    /// What comes on a day. Most days have as many frames as records.
    fn day(&mut self) {
        let day = i64::try_from(self.ends.len()).unwrap();
        let ended = alone(async {
            let mut registry = registry();
            registry.planner = self.planner.clone();
            let engine = engine_with(self.plot.pipeline(), registry, Options::default());
            let stopper = engine.stopper();
            let running = tokio::spawn(engine.run());
            for record in rows(day) {
                self.plot.script("a").push("s", record);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            stopper.stop();
            running.await.unwrap()
        });
        assert_eq!(ended.unwrap().frames_left, 0);
        self.ends.push(self.out().len());
    }

    fn days(mut self, days: usize) -> Self {
        (0..days).for_each(|_| self.day());
        self
    }

    fn set(&mut self, view: &str, text: &str) {
        self.plot.views.iter_mut().find(|(name, _)| name == view).unwrap().1 = text.into();
    }

    /// What the first sink has.
    fn out(&self) -> Vec<i64> {
        self.plot.target(&self.plot.sinks[0].name).values()
    }

    /// What came since the last day's end.
    fn last(&self) -> Vec<i64> {
        self.last_of(self.ends.len() - 1)
    }

    /// What came since the end of this day.
    fn last_of(&self, day: usize) -> Vec<i64> {
        self.out()[self.ends[day - 1]..].to_vec()
    }

    fn absorbed(&self, view: &str) -> (u64, u64) {
        let last: Checkpoint = self.plot.disk.checkpoints().pop().unwrap();
        assert_eq!(last.ledger.unbalanced().count(), 0);
        let mut accounts = last.ledger.0.iter();
        let found = accounts.find(|(e, _)| e.stage == Stage::View && e.part == view).unwrap();
        (found.1.r#in, found.1.late)
    }
}

/// The start of a window.
fn start(row: &i64) -> i64 {
    row / 1_000_000
}

#[test]
fn a_view_that_changed_goes_on_as_if_it_had_always_been_so() {
    for (before, after) in
        [("tumble 10 of a", "tumble 25 of a"), ("tumble 40 of a", "tumble 7 of a")]
    {
        let whole = Job::new(ALL, &[("w", after)]).days(3);
        let mut job = Job::new(ALL, &[("w", before)]).days(2);
        let then = job.out();
        job.set("w", after);
        job.day();
        assert_eq!(job.last(), whole.last(), "{before}, {after}");
        assert_eq!(job.out()[..job.ends[1]], then, "what was given stays");
        assert!(job.last().len() > 1, "{:?}", job.last());
        // The account goes on from what the other one took.
        assert_eq!(job.absorbed("w").0, 3 * 60);
        // Nothing is late twice, or set aside again.
        let letters = stage::expect::dead(&job.plot).len() as u64;
        assert_eq!(letters, job.absorbed("w").1);
        // And now it is there.
        job.day();
        assert_eq!(job.last(), whole.days(1).last());
    }
}

#[test]
fn a_view_that_is_new_begins_with_all_that_is_there() {
    let whole = Job::new(ALL, &[("w", "tumble 25 of a")]).days(3);
    let mut job = Job::new(ALL, &[]);
    job.plot = job.plot.tracking("w", "a");
    let mut job = job.days(2);
    job.plot = job.plot.clone().view("w", "tumble 25 of a");
    job.plot.sinks[0].name = "w".into();
    job.plot.sinks[0].rows = "w".into();
    job.day();
    assert_eq!(job.last(), whole.last());
}

#[test]
fn of_a_queue_that_was_trimmed_it_gives_the_windows_that_are_whole() {
    let after = "tumble 25 of a";
    let whole = Job::new(ALL, &[("w", after)]).days(4);
    let mut seen = vec![];
    for kept in [0, 5, 15, 25, 40] {
        let mut job = Job::new(kept, &[("w", "tumble 10 of a")]).days(3);
        job.set("w", after);
        job.day();
        let (wanted, there) = (whole.last(), job.last());
        assert!(wanted.ends_with(&there), "{kept}: {there:?} {wanted:?}");
        seen.push(wanted.len() - there.len());
    }
    // The more there is, the fewer are missing; with three days of frames none is.
    assert!(seen.is_sorted_by(|a, b| a >= b) && seen[0] > 0, "{seen:?}");
    assert_eq!(seen[4], 0, "{seen:?}");
}

#[test]
fn one_that_did_not_change_keeps_its_state_beside_one_that_did() {
    // It could not be rebuilt: all is gone but what is needed.
    let views = [("w", "tumble 40 of a"), ("v", "tumble 10 of a")];
    let whole = Job::new(0, &views).days(3);
    let mut job = Job::new(0, &views).days(1);
    job.set("v", "tumble 20 of a");
    job.day();
    job.set("v", "odd of a");
    job.day();
    assert_eq!(job.out(), whole.out());
    assert_eq!(job.absorbed("w"), whole.absorbed("w"));
}

#[test]
fn a_window_over_a_window_changes_with_what_is_below_it() {
    let of = |size: u32| [("w", "tumble 50 of v".to_owned()), ("v", format!("tumble {size} of a"))];
    let job = |kept, size| {
        let [w, v] = of(size);
        let mut job = Job::new(kept, &[(w.0, w.1.as_str()), (v.0, v.1.as_str())]);
        // Views read what stands above them.
        job.plot.views.reverse();
        job
    };
    let whole = job(ALL, 5).days(4);
    let mut one = job(ALL, 10).days(3);
    one.set("v", "tumble 5 of a");
    one.day();
    assert_eq!(one.last(), whole.last());
    assert!(!one.last().is_empty());
    // The one above alone: the one below keeps its state, and is rebuilt aside as well.
    let mut one = job(ALL, 5).days(3);
    one.set("w", "tumble 35 of v");
    one.day();
    let mut other = job(ALL, 5);
    other.set("w", "tumble 35 of v");
    assert_eq!(one.last(), other.days(4).last());
    assert_eq!(one.plot.target("v").values(), whole.plot.target("v").values());
}

/// What is gone is missing below, so that it is above: windows that the last of those below reaches into are not whole.
#[test]
fn a_window_over_windows_that_are_not_whole_is_not_either() {
    let job = |kept, size: u32| {
        let mut job =
            Job::new(kept, &[("w", "tumble 35 of v"), ("v", &format!("tumble {size} of a"))]);
        job.plot.views.reverse();
        job
    };
    let whole = job(ALL, 10).days(4);
    let mut given = 0;
    for kept in (0..51).step_by(3) {
        let mut one = job(kept, 7).days(3);
        one.set("v", "tumble 10 of a");
        one.day();
        let (there, wanted) = (one.last(), whole.last());
        assert!(wanted.ends_with(&there), "{kept}: {there:?} {wanted:?}");
        given += there.len();
    }
    assert!((10..17 * whole.last().len()).contains(&given), "{given}");
}

#[test]
fn a_view_without_state_below_counts_too() {
    let job = |below| {
        let mut job = Job::new(ALL, &[("w", "tumble 30 of v"), ("v", below)]);
        job.plot.views.reverse();
        job
    };
    let whole = job("odd of a").days(3);
    let mut one = job("all of a").days(2);
    one.set("v", "odd of a");
    one.day();
    assert_eq!(one.last(), whole.last());
}

#[test]
fn another_delay_is_as_if_it_had_always_been_so() {
    let delay = |job: &mut Job, us| {
        let time = job.plot.sources[0].event_time.as_mut().unwrap();
        time.delay = Span(Duration::from_micros(us));
    };
    for (before, after) in [(5, 30), (30, 5), (5, 0)] {
        let mut whole = Job::new(ALL, &[("w", "tumble 10 of a")]);
        delay(&mut whole, after);
        let whole = whole.days(3);
        let mut job = Job::new(ALL, &[("w", "tumble 10 of a")]);
        delay(&mut job, before);
        let mut job = job.days(2);
        delay(&mut job, after);
        job.day();
        assert_eq!(job.last(), whole.last(), "{before} {after}");
        // What is gone is made up for by what the checkpoint knows.
        let mut job = Job::new(0, &[("w", "tumble 10 of a")]);
        delay(&mut job, before);
        let mut job = job.days(2);
        delay(&mut job, after);
        job.day();
        assert!(whole.last().ends_with(&job.last()), "{before} {after}");
        assert!(!job.last().is_empty());
    }
}

#[test]
fn event_time_that_came_later_is_made_out_from_the_queue() {
    for kept in [ALL, 30, 0] {
        let whole = Job::new(ALL, &[("w", "tumble 10 of a")]).days(3);
        let mut job = Job::new(kept, &[("w", "count of a")]);
        let time = job.plot.sources[0].event_time.take();
        let mut job = job.days(2);
        job.set("w", "tumble 10 of a");
        job.plot.sources[0].event_time = time;
        job.day();
        let (there, wanted) = (job.last(), whole.last());
        assert!(wanted.ends_with(&there), "{kept}: {there:?} {wanted:?}");
        // Of one that was trimmed nothing tells how far time had come.
        let missing = wanted.len() - there.len();
        assert!(if kept == ALL { missing == 0 } else { (1..wanted.len()).contains(&missing) });
    }
}

#[test]
fn a_view_over_a_lookup_begins_anew() {
    let mut job = Job::new(ALL, &[("w", "tumble 10 of a"), ("v", "tumble 10 of a")]).days(2);
    job.plot = job.plot.lookup("l", &[("1", "10")]);
    job.plot.views = vec![
        ("f".into(), "find l of a".into()),
        ("w".into(), "count of f".into()),
        ("v".into(), "tumble 25 of a".into()),
    ];
    job.day();
    let whole = Job::new(ALL, &[("v", "tumble 25 of a")]).days(3);
    // The other one is rebuilt all the same.
    assert!(job.plot.target("v").values().ends_with(&whole.last()));
    assert_eq!(job.last().len(), 60);
    assert_eq!(start(&job.last()[0]), 1, "it counts from here");
}

#[test]
fn frames_that_cannot_be_read_any_more_do_not_stop_a_start() {
    let whole = Job::new(ALL, &[("w", "tumble 10 of a"), ("v", "tumble 25 of a")]).days(3);
    let mut job = Job::new(ALL, &[("w", "tumble 25 of a"), ("v", "tumble 25 of a")]).days(2);
    job.plot.disk = job.plot.disk.clone().damaged(7);
    job.set("w", "tumble 10 of a");
    job.day();
    // It begins anew, and lacks the window that was open.
    assert_eq!(job.last(), whole.last()[1..]);
    assert_eq!(job.plot.target("v").values(), whole.plot.target("v").values());
    assert_eq!(job.absorbed("w").0, 3 * 60);
}

/// Plans views of which those called `w` cannot bear the first rows there were.
struct Moody;

struct Picky(Box<dyn Operator>);

impl Planner for Moody {
    fn plan(&self, tables: &[Table], views: &[View], functions: &[Arc<dyn Function>]) -> Planned {
        let mut planned = Chain.plan(tables, views, functions);
        let views = planned.views.into_iter().map(|view| match view.name.as_str() {
            "w" => PlannedView { operator: Box::new(Picky(view.operator)), ..view },
            _ => view,
        });
        planned.views = views.collect();
        planned
    }

    fn reads(&self, view: &View) -> Result<BTreeSet<String>, ViewError> {
        Chain.reads(view)
    }
}

impl Operator for Picky {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn process(&mut self, port: usize, rows: Rows, at: Timestamp, out: &mut Output) -> Result<()> {
        if rows.origin.id(0).offset < Offset(5) {
            return Err(Error::stop("more than it can bear"));
        }
        self.0.process(port, rows, at, out)
    }

    fn advance(&mut self, watermark: Timestamp, at: Timestamp, out: &mut Output) -> Result<()> {
        self.0.advance(watermark, at, out)
    }

    fn begin(&mut self, whole_from: Timestamp) -> Result<Timestamp> {
        self.0.begin(whole_from)
    }

    fn snapshot(&mut self, out: &mut Chunks) -> Result<()> {
        self.0.snapshot(out)
    }
}

#[test]
fn a_view_that_fails_on_what_was_begins_anew_alone() {
    let whole = Job::new(ALL, &[("v", "tumble 25 of a"), ("w", "tumble 10 of a")]).days(3);
    let mut job = Job::new(ALL, &[("v", "tumble 10 of a"), ("w", "tumble 25 of a")]).days(2);
    job.set("v", "tumble 25 of a");
    job.set("w", "tumble 10 of a");
    job.planner = Arc::new(Moody);
    let given = job.plot.target("w").values().len();
    job.day();
    assert_eq!(job.last(), whole.last());
    // It lacks the window that was open.
    let (there, wanted) = (job.plot.target("w").values(), whole.plot.target("w").values());
    assert!(wanted.ends_with(&there[given..]) && there.len() > given, "{there:?} {wanted:?}");
    assert!(there.len() - given < 20 * 3 / 10, "{there:?}");
}

/// Wherever the process dies, the rows are those of a run that was not killed.
#[test]
fn a_process_may_die_at_any_act_amid_a_rebuild() {
    for (kept, step) in [(ALL, 1), (25, 4)] {
        let job = || {
            let mut job =
                Job::new(kept, &[("w", "tumble 10 of a"), ("v", "tumble 40 of a")]).days(2);
            job.set("w", "tumble 25 of a");
            job
        };
        let mut unbroken = job();
        unbroken.day();
        let wanted = (unbroken.out(), unbroken.plot.target("v").values());
        assert!(unbroken.last().len() > 1);
        let next = {
            let mut unbroken = job().days(1);
            unbroken.day();
            unbroken.out()
        };
        for at in (0..60).step_by(step) {
            let job = job();
            for record in rows(2) {
                job.plot.script("a").push("s", record);
            }
            job.plot.world.crash_in(Some(at));
            let life = || job.plot.live(Options::default(), Some(Duration::from_secs(5)));
            let mut lives = 0;
            while life().is_none() {
                lives += 1;
                job.plot.world.crash_in((lives < 4).then_some(at / 2 + 7));
            }
            job.plot.world.crash_in(None);
            life().unwrap().unwrap();
            let there = (job.out(), job.plot.target("v").values());
            assert_eq!(there, wanted, "kept {kept}, died at act {at}");
            assert_eq!(job.absorbed("w"), unbroken.absorbed("w"), "died at act {at}");
            // And it goes on from what it had come to.
            let mut job = job;
            job.ends = unbroken.ends.clone();
            job.day();
            assert_eq!(job.out(), next, "the day after, kept {kept}, died at act {at}");
        }
    }
}

/// The columns of another source turn up amid the day: views are planned anew, and go on.
#[test]
fn a_view_that_was_rebuilt_goes_on_when_columns_are_pinned() {
    let pinned = |mut job: Job| {
        job.set("w", "tumble 25 of a");
        job.plot = job.plot.endless("z").undeclared().tracking("z", "z");
        job.plot.script("z").push("s", "not a number");
        job.plot.script("z").push("s", "5");
        job.day();
        job.day();
        assert_eq!(job.plot.target("z").values(), [5]);
        job
    };
    let whole = Job::new(ALL, &[("w", "tumble 25 of a")]).days(4);
    let job = pinned(Job::new(ALL, &[("w", "count of a")]).days(2));
    assert_eq!(job.last_of(2), whole.last_of(2));
    // One that begins anew does too.
    let mut job = Job::new(0, &[("w", "count of a")]);
    let time = job.plot.sources[0].event_time.take();
    let mut job = job.days(2);
    job.plot.sources[0].event_time = time;
    let job = pinned(job);
    assert_eq!(job.last_of(2), whole.last_of(2)[1..]);
}

/// An epoch that a sink lacks is made again, and what the view has become with it is kept.
#[test]
fn what_epochs_that_are_made_again_do_to_a_view_is_kept() {
    let run = |kill: bool| {
        let mut job = Job::new(ALL, &[("w", "tumble 10 of a")]).days(2);
        job.set("w", "tumble 25 of a");
        let life = |row: &str| {
            job.plot.script("a").push("s", row.to_owned());
            job.plot.live(Options::default(), Some(Duration::from_secs(1)))
        };
        // The last there is closes windows: the epoch that has its rows is the last one.
        if kill {
            job.plot.world.kill_at("sink.w.flush", 0);
            assert!(life("1@400").is_none());
            assert!(job.plot.live(Options::default(), Some(Duration::from_secs(1))).is_some());
        } else {
            life("1@400").unwrap().unwrap();
        }
        life("2@410\n4@500").unwrap().unwrap();
        job.last_of(2)
    };
    assert_eq!(run(true), run(false));
    assert_eq!(run(false).last(), Some(&(400 * 1_000_000 + 3)));
}

/// How far a view has come does not follow from how far its sources have: it never goes back.
#[test]
fn a_view_over_a_source_that_was_idle_stands_where_it_would() {
    let idle = Some(Duration::from_secs(30));
    let run = |before: &str, after: &str| {
        let plot = Plot::new(1).endless("a").timed(0, idle).endless("z").timed(0, idle);
        let mut plot = plot.view("w", before).tracking("w", "w");
        plot.disk = plot.disk.clone().keeping(ALL);
        let life = |plot: &Plot, rows: &[(&str, &str, u64)]| {
            alone(async {
                let engine = plot.engine(Options::default());
                let stopper = engine.stopper();
                let running = tokio::spawn(engine.run());
                for (source, row, seconds) in rows {
                    plot.script(source).push("s", (*row).to_owned());
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                }
                stopper.stop();
                running.await.unwrap().unwrap();
            });
        };
        let quiet = [("a", "1@1", 25), ("z", "2@2", 25), ("z", "4@55", 5), ("a", "8@20", 1)];
        life(&plot, &quiet);
        let given = plot.target("w").values().len();
        plot.views[0].1 = after.into();
        // It would have been late then.
        life(&plot, &[("a", "16@30", 1), ("a", "32@60", 1), ("z", "64@90", 1), ("a", "128@90", 1)]);
        plot.target("w").values()[given..].to_vec()
    };
    let wanted = run("tumble 25 of a, z", "tumble 25 of a, z");
    assert_eq!(wanted, [50 * 1_000_000 + 36]);
    assert_eq!(run("tumble 10 of a, z", "tumble 25 of a, z"), wanted);
}

/// It was committed, and the next start goes on from there.
#[test]
fn what_was_rebuilt_is_not_rebuilt_again() {
    let mut job = Job::new(0, &[("w", "tumble 10 of a")]).days(2);
    job.plot.disk = job.plot.disk.clone().keeping(ALL);
    job.set("w", "tumble 25 of a");
    let told = |disk: &Disk| {
        let last = disk.checkpoints().pop().unwrap();
        last.chunks.iter().filter(|c| c.operator == "w").map(|c| c.id).collect::<Vec<_>>()
    };
    let before = told(&job.plot.disk);
    let life = |plot: &Plot| plot.live(Options::default(), Some(Duration::from_secs(1)));
    life(&job.plot).unwrap().unwrap();
    let made = told(&job.plot.disk);
    assert!(made.len() == 1 && made != before, "without a row that came after it");
    let epochs = job.plot.disk.checkpoints().len();
    life(&job.plot).unwrap().unwrap();
    assert_eq!((told(&job.plot.disk), job.plot.disk.checkpoints().len()), (made, epochs));
}
