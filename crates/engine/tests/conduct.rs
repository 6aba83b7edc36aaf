//! How a run behaves when parts fail, panic, are slow or have nothing to say.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::operator::{
    Function, Operator, Output, Planned, Planner, Table, View, ViewError,
};
use millstream_core::queue::Mark;
use millstream_core::sink::{Held, Promise, Refused, Sink};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Remedy, Result};
use millstream_engine::{Engine, Options};
use millstream_testkit::fakes::{Chain, Fault};

use stage::expect::verdict;
use stage::{Plot, alone, engine, engine_with, once, registry};

fn fault(act: &str, after: u32, remedy: Remedy) -> Fault {
    Fault { act: act.into(), after, remedy, done: false }
}

fn plot() -> Plot {
    Plot::new(1).source("a", &["1", "2\n3", "4"]).tracking("b", "a").untracked("c", "a")
}

#[test]
fn a_sink_that_is_down_at_the_start_gets_its_rows_later() {
    let plot = plot();
    plot.target("b").set_down(6);
    plot.target("c").set_down(9);
    let closing = plot.run().unwrap();
    verdict(&plot, &closing).unwrap();
    assert_eq!(plot.target("b").values(), [1, 2, 3, 4]);
}

#[test]
fn a_sink_that_fails_at_any_act_gets_every_row() {
    for act in ["open", "write", "prepare", "flush"] {
        for done in [false, true] {
            for remedy in [Remedy::Retry, Remedy::Reopen, Remedy::SetAside] {
                let plot = plot();
                let act = format!("sink.b.{act}");
                plot.world.order(Fault { done, ..fault(&act, 0, remedy) });
                let closing = plot.run().unwrap();
                verdict(&plot, &closing).unwrap_or_else(|e| panic!("{act} {done} {remedy:?}: {e}"));
            }
        }
    }
}

#[test]
fn a_sink_that_only_a_person_can_mend_stops_the_run_and_its_siblings_are_sealed() {
    for act in ["sink.b.write", "sink.b.prepare", "sink.b.flush"] {
        let plot = plot();
        plot.world.order(fault(act, 0, Remedy::Stop));
        let error = plot.live(once(), None).unwrap().unwrap_err();
        assert!(error.to_string().contains("sinks.b"), "{error}");
        assert_eq!(plot.target("c").values(), [1, 2, 3, 4], "{act}");
        let closing = plot.run().unwrap();
        verdict(&plot, &closing).unwrap_or_else(|e| panic!("{act}: {e}"));
        assert_eq!(plot.target("c").values(), [1, 2, 3, 4], "{act}: nothing is repeated");
    }
}

#[test]
fn a_source_is_tried_again_opened_again_or_stops_the_run() {
    for (act, remedy) in [
        ("source.a.pull", Remedy::Retry),
        ("source.a.pull", Remedy::Reopen),
        ("source.a.open", Remedy::Retry),
        ("source.a.settle", Remedy::Retry),
    ] {
        let plot = plot();
        (0..4).for_each(|_| plot.world.order(fault(act, 0, remedy)));
        let closing = plot.run().unwrap();
        verdict(&plot, &closing).unwrap();
    }
    let plot = plot();
    plot.world.order(fault("source.a.pull", 1, Remedy::Stop));
    let error = plot.run().unwrap_err().to_string();
    assert!(error.contains("sources.a"), "{error}");
    let closing = plot.run().unwrap();
    verdict(&plot, &closing).unwrap();
}

#[test]
fn a_run_once_waits_for_outboxes() {
    let plot = plot();
    plot.target("b").set_down(40);
    let closing = plot.live(once(), None).unwrap().unwrap();
    verdict(&plot, &closing).unwrap();
}

#[test]
fn a_run_once_ends_though_another_source_never_does() {
    let plot = plot().endless("e").tracking("d", "e");
    let closing = plot.live(once(), None).unwrap().unwrap();
    verdict(&plot, &closing).unwrap();
}

#[test]
fn a_stop_while_a_lane_waits_for_room_ends_in_time() {
    let mut plot = Plot::new(1).endless("a").tracking("b", "a");
    plot.outbox_bytes = 1;
    plot.stop_within = Duration::from_secs(3);
    plot.target("b").set_down(u64::MAX);
    let closing = alone(async {
        let engine: Engine = plot.engine(Options::default());
        let stopper = engine.stopper();
        let run = tokio::spawn(engine.run());
        for n in 0..200 {
            plot.script("a").push("s", n.to_string());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = tokio::time::Instant::now();
        stopper.stop();
        let closing = run.await.unwrap().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        closing
    });
    assert!(closing.trouble.is_some(), "{closing:?}");
    plot.target("b").set_down(0);
    let options = Options::default();
    let closing = plot.live(options, Some(Duration::from_secs(60))).unwrap().unwrap();
    verdict(&plot, &closing).unwrap();
}

#[test]
fn a_run_after_a_stop_in_good_order_repeats_nothing() {
    let plot = plot();
    plot.run().unwrap();
    assert_eq!(plot.target("c").values(), [1, 2, 3, 4]);
    for _ in 0..2 {
        plot.run().unwrap();
        assert_eq!(plot.target("c").values(), [1, 2, 3, 4]);
    }
}

#[test]
fn rows_repeated_after_a_crash_are_not_repeated_again_after_a_stop() {
    let plot = plot();
    plot.world.kill_at("sink.c.flush", 0);
    assert!(plot.live(once(), None).is_none());
    plot.run().unwrap();
    let twice = plot.target("c").values();
    assert_eq!(twice, [1, 2, 3, 4, 1, 2, 3, 4]);
    plot.run().unwrap();
    assert_eq!(plot.target("c").values(), twice);
}

#[test]
fn a_full_disk_holds_up_the_run_and_no_more() {
    for act in ["queue.append", "queue.commit", "queue.trim", "side.dead.append"] {
        let plot = Plot::new(1).source("a", &["1", "x", "4"]).sink("b", "a", true, Some(2));
        (0..5).for_each(|_| plot.world.order(fault(act, 0, Remedy::Retry)));
        let closing = plot.run().unwrap();
        verdict(&plot, &closing).unwrap_or_else(|e| panic!("{act}: {e}"));
    }
}

#[test]
fn five_hundred_sources_run_side_by_side() {
    let mut plot = Plot::new(1);
    for n in 0..500 {
        plot = plot.source(&format!("s{n}"), &["1", "2"]);
    }
    let names: Vec<String> = (0..500).map(|n| format!("s{n}")).collect();
    plot = plot.view("all", &format!("all of {}", names.join(", "))).tracking("b", "all");
    let closing = plot.run().unwrap();
    verdict(&plot, &closing).unwrap();
    assert_eq!(plot.target("b").values().len(), 1000);
}

/// One tick in half a second for each sink, and nothing else.
#[test]
fn a_run_that_has_nothing_to_do_sleeps() {
    let plot = Plot::new(1).endless("a").tracking("b", "a").untracked("c", "a");
    let parked = alone(async {
        let engine: Engine = plot.engine(Options::default());
        let stopper = engine.stopper();
        let run = tokio::spawn(engine.run());
        plot.script("a").push("s", "1");
        tokio::time::sleep(Duration::from_secs(10)).await;
        let metrics = tokio::runtime::Handle::current().metrics();
        let before = metrics.worker_park_count(0);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let parked = metrics.worker_park_count(0) - before;
        stopper.stop();
        run.await.unwrap().unwrap();
        parked
    });
    assert!(parked < 500, "woke up {parked} times in a minute");
}

struct Panics;

#[async_trait]
impl Source for Panics {
    async fn open(&mut self, _: &SplitPositions) -> Result<()> {
        Ok(())
    }
    async fn pull(&mut self) -> Result<Option<Pulled>> {
        panic!("the source is dizzy")
    }
    fn finite(&self) -> bool {
        true
    }
    fn replay(&self) -> Replay {
        Replay::Exact
    }
    fn describe(&self) -> String {
        "panics".into()
    }
}

#[async_trait]
impl Sink for Panics {
    async fn open(&mut self, _: SchemaRef) -> Result<Held> {
        Ok(Held::Untracked)
    }
    async fn write(&mut self, _: &Rows) -> Result<()> {
        panic!("the sink is dizzy")
    }
    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        Ok(Vec::new())
    }
    async fn flush(&mut self, _: &Mark) -> Result<()> {
        Ok(())
    }
    async fn forget(&mut self) -> Result<()> {
        Ok(())
    }
    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }
    fn describe(&self) -> String {
        "panics".into()
    }
}

struct Dizzy(SchemaRef);

impl Operator for Dizzy {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }
    fn process(&mut self, _: usize, _: Rows, _: Timestamp, _: &mut Output) -> Result<()> {
        panic!("the view is dizzy")
    }
}

impl Planner for Panics {
    fn plan(&self, tables: &[Table], views: &[View], functions: &[Arc<dyn Function>]) -> Planned {
        let mut planned = Chain.plan(tables, views, functions);
        for view in &mut planned.views {
            view.operator = Box::new(Dizzy(view.schema.clone()));
        }
        planned
    }
    fn reads(&self, view: &View) -> Result<std::collections::BTreeSet<String>, ViewError> {
        Chain.reads(view)
    }
}

#[test]
fn a_part_that_panics_is_named_and_nothing_is_lost() {
    let plot = plot().view("v", "all of a").tracking("d", "v");
    let run = |engine: Engine| {
        let hour = Duration::from_secs(3600);
        let error = alone(async { tokio::time::timeout(hour, engine.run()).await.unwrap() });
        error.unwrap_err().to_string()
    };
    let mut pipeline = plot.pipeline();
    pipeline.sources[0].source = Box::new(Panics);
    let error = run(engine(pipeline, once()));
    assert!(error.contains("sources.a") && error.contains("the source is dizzy"), "{error}");
    let mut pipeline = plot.pipeline();
    pipeline.sinks[0].sink = Box::new(Panics);
    let error = run(engine(pipeline, once()));
    assert!(error.contains("sinks.b") && error.contains("the sink is dizzy"), "{error}");
    let mut dizzy = registry();
    dizzy.planner = Arc::new(Panics);
    let error = run(engine_with(plot.pipeline(), dizzy, once()));
    assert!(error.contains("views.v") && error.contains("the view is dizzy"), "{error}");
    let closing = plot.run().unwrap();
    verdict(&plot, &closing).unwrap();
}

/// Has lost what it held, until it is told to forget that.
struct Damaged {
    forgets: bool,
    forgot: Arc<AtomicBool>,
}

#[async_trait]
impl Sink for Damaged {
    async fn open(&mut self, _: SchemaRef) -> Result<Held> {
        if self.forgot.load(Ordering::Relaxed) {
            return Ok(Held::Fresh);
        }
        let error = Error::stop("it is damaged");
        Err(if self.forgets { error.mended_by_forgetting() } else { error })
    }
    async fn write(&mut self, _: &Rows) -> Result<()> {
        Ok(())
    }
    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        Ok(Vec::new())
    }
    async fn flush(&mut self, _: &Mark) -> Result<()> {
        Ok(())
    }
    async fn forget(&mut self) -> Result<()> {
        self.forgot.store(true, Ordering::Relaxed);
        Ok(())
    }
    fn promise(&self) -> Promise {
        Promise::EffectivelyOnce
    }
    fn describe(&self) -> String {
        "damaged".into()
    }
}

#[test]
fn a_sink_that_says_so_is_opened_by_having_it_forget_and_only_by_a_persons_order() {
    for (resume, forgets, goes_on) in
        [(false, true, false), (true, false, false), (true, true, true)]
    {
        let mut pipeline = plot().pipeline();
        let name = pipeline.sinks[0].name.clone();
        let forgot = Arc::new(AtomicBool::new(false));
        pipeline.sinks[0].sink = Box::new(Damaged { forgets, forgot: forgot.clone() });
        let mut options = once();
        options.resume.extend(resume.then(|| name.to_string()));
        let ended = alone(engine(pipeline, options).run());
        assert_eq!(ended.is_ok(), goes_on, "{resume} {forgets}");
        assert_eq!(forgot.load(Ordering::Relaxed), goes_on);
    }
}
