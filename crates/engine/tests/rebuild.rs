//! A view that changed is rebuilt from the queue, as far back as that reaches: from there on it is what it would be had it always
//! been so.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::time::Duration;

use millstream_core::fields::Span;
use millstream_engine::Options;

use stage::days::{ALL, Job};
use stage::{Plot, alone};

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
