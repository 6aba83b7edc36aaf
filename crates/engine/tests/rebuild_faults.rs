//! Rebuilds amid crashes, and of what cannot be rebuilt.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::operator::{
    Chunks, Function, Operator, Output, Planned, PlannedView, Planner, Table, View, ViewError,
};
use millstream_core::record::Offset;
use millstream_core::{Error, Result};
use millstream_engine::Options;
use millstream_testkit::fakes::{Chain, Disk};

use stage::Plot;
use stage::days::{ALL, Job, rows};

/// The start of a window.
fn start(row: &i64) -> i64 {
    row / 1_000_000
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
