//! Millstream as a library: own parts, stopping, numbers.

#![expect(
    dead_code,
    unreachable_pub,
    reason = "the example has a main, and shows its parts to others"
)]

use std::path::Path;
use std::time::Duration;

use millstream::Pipeline;
use millstream::ledger::{Edge, Stage};
use millstream::status::Kind;

#[path = "../examples/own_parts.rs"]
mod own_parts;

#[tokio::test(flavor = "multi_thread")]
async fn own_sources_sinks_and_functions_work_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let closing = own_parts::run(folder.path()).await.expect("it runs");
    assert_eq!(closing.ledger.unbalanced().count(), 0);
    // 100 readings of 50 to 89 degrees, over and over: those of 68 and more.
    let warm: Vec<f64> = (0..100).map(|n| f64::from(50 + n % 40)).filter(|f| *f >= 68.0).collect();
    let mean = warm.iter().map(|f| (f - 32.0) / 1.8).sum::<f64>()
        / f64::from(u32::try_from(warm.len()).unwrap());
    let told = std::fs::read_to_string(folder.path().join("mean.txt")).unwrap();
    assert_eq!(told, format!("{mean:.2} from {} readings\n", warm.len()));
    let view = closing.ledger.0.get(&Edge { stage: Stage::View, part: "warm".into() }).unwrap();
    assert_eq!((view.r#in, view.out), (100, warm.len() as u64));
    // The source goes on where it stood: at its end, so nothing comes twice.
    let again = own_parts::run(folder.path()).await.expect("it runs again");
    assert_eq!(again.ledger, closing.ledger);
}

const ENDLESS: &str = "
sources:
  made: { from: { generate: { rate: 500/s, fields: { id: { sequence: {} } } } } }
queue: memory
sinks:
  nowhere: { rows: made, to: discard }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_watched_and_stopped_from_elsewhere() {
    let pipeline = Pipeline::with(millstream::standard())
        .parse(ENDLESS, "endless.yaml", Path::new("."))
        .unwrap();
    assert_eq!(pipeline.plan().sinks.len(), 1);
    let (stopper, status) = (pipeline.stopper(), pipeline.status());
    let running = tokio::spawn(pipeline.run());
    let sink = status.part(Kind::Sink, "nowhere");
    tokio::time::timeout(Duration::from_secs(60), async {
        while sink.rows.get() < 10 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .unwrap();
    assert!(status.ready());
    stopper.stop();
    let closing = running.await.unwrap().unwrap();
    assert_eq!(closing.trouble, None);
    assert!(!status.alive());
    assert_eq!(closing.ledger.unbalanced().count(), 0);
}

#[test]
fn all_errors_of_a_text_are_told() {
    let wrong = ENDLESS.replace("discard", "discrad").replace("rows: made", "rows: maid");
    let problems =
        Pipeline::with(millstream::standard()).parse(&wrong, "w.yaml", Path::new(".")).unwrap_err();
    assert_eq!(problems.list().len(), 2, "{problems}");
}

#[tokio::test]
async fn options_that_do_not_fit_are_errors_before_anything_is_opened() {
    let load =
        || Pipeline::with(millstream::standard()).parse(ENDLESS, "e.yaml", Path::new(".")).unwrap();
    assert!(load().once().run().await.unwrap_err().to_string().contains("ends by itself"));
    assert!(load().resume("x").run().await.unwrap_err().to_string().contains("no sink `x`"));
}
