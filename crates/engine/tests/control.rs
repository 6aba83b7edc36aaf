//! Rule 15: a running pipeline is asked, not raced; asked or at rest, it comes to the same.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod stage;

use std::path::Path;
use std::time::Duration;

use millstream_core::clock::ManualClock;
use millstream_core::plugin::QueueOpener;
use millstream_engine::control::{Answer, Request, ask};
use millstream_engine::dead_letters::DeadLetter;
use millstream_engine::desk::{self, Pick};
use millstream_engine::{Engine, Options};

use stage::Plot;
use stage::expect::dead;

/// Sockets do not know of paused clocks: these tests run in real time.
fn real<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}

async fn put(running: Option<&Path>, plot: &Plot, request: Request) -> Answer {
    if let Some(folder) = running {
        return ask(folder, &request).await.unwrap().unwrap();
    }
    let queue = plot.disk.open().await.unwrap();
    let answer = desk::at_rest(queue.as_ref(), &ManualClock::default(), request).await.unwrap();
    queue.close().await.unwrap();
    answer
}

fn pick(numbers: &[u64]) -> Pick {
    Pick { numbers: numbers.iter().copied().collect(), ..Pick::default() }
}

async fn list(running: Option<&Path>, plot: &Plot) -> Vec<(u64, DeadLetter)> {
    match put(running, plot, Request::List(Pick::default())).await {
        Answer::Letters(letters) => letters,
        other => panic!("{other:?}"),
    }
}

/// What is left after a drop and a replay, and what became of both.
async fn acts(running: Option<&Path>, plot: &Plot) -> String {
    let letters = list(running, plot).await;
    let frames = plot.disk.history().len();
    let (first, second) = (letters[0].0, letters[1].0);
    let dropped = put(running, plot, Request::Drop(pick(&[first]))).await;
    let replayed = put(running, plot, Request::Replay(pick(&[second]))).await;
    assert_eq!(plot.disk.history().len(), frames + 1, "the replay is in the queue");
    let left: Vec<u64> = list(running, plot).await.iter().map(|(n, _)| *n).collect();
    format!("{dropped:?} {replayed:?} {left:?}")
}

fn plot(folder: &Path) -> Plot {
    let mut plot = Plot::new(1).endless("a").tracking("b", "a");
    plot.disk = plot.disk.clone().in_folder(folder);
    for record in ["x", "1\ny\n2", "!z"] {
        plot.script("a").push("s", record);
    }
    plot
}

/// Runs with something happening meanwhile.
async fn run_while(plot: &Plot, meanwhile: impl Future<Output = ()>) {
    let engine: Engine = plot.engine(Options::default());
    let stopper = engine.stopper();
    let run = tokio::spawn(engine.run());
    meanwhile.await;
    stopper.stop();
    run.await.unwrap().unwrap();
}

#[test]
fn dead_letters_are_the_same_asked_of_a_run_or_at_rest() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    real(async {
        let (asked, rested) = (plot(folder), plot(folder));
        let mut live = String::new();
        run_while(&asked, async {
            until("rows", || asked.target("b").values() == [1, 2]).await;
            live = acts(Some(folder), &asked).await;
        })
        .await;
        run_while(&rested, until("rows", || rested.target("b").values() == [1, 2])).await;
        let still = acts(None, &rested).await;
        assert_eq!(live.split(" [").next(), still.split(" [").next());
        // At rest the row that was replayed waits in the queue; the next run sets it aside again.
        run_while(&rested, tokio::time::sleep(Duration::from_millis(200))).await;
        let reasons = |letters: Vec<(u64, DeadLetter)>| {
            let mut left: Vec<String> =
                letters.into_iter().map(|(_, l)| format!("{:?} {}", l.payload, l.reason)).collect();
            left.sort();
            left
        };
        let (asked, rested) = (asked.clone(), rested.clone());
        let left =
            tokio::task::spawn_blocking(move || (dead(&asked), dead(&rested))).await.unwrap();
        assert_eq!(reasons(left.0), reasons(left.1));
    });
}

#[test]
fn full_dead_letters_hold_up_the_run_until_some_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    real(async {
        let mut plot = plot(folder);
        plot.dead_bytes = 1;
        run_while(&plot, async {
            until("rows", || plot.target("b").values() == [1, 2]).await;
            // The first letters fit into an empty stream, whatever they weigh; these have to wait.
            plot.script("a").push("s", "w\n3");
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(plot.target("b").values(), [1, 2]);
            put(Some(folder), &plot, Request::Drop(Pick::default())).await;
            until("room", || plot.target("b").values() == [1, 2, 3]).await;
            assert_eq!(list(Some(folder), &plot).await.len(), 1);
        })
        .await;
    });
}
