//! Logs written by released versions stay readable, for ever.
//!
//! `formats/v1` was written by `write_the_fixture`. If this test fails, the format has changed: give it
//! a new version (`VERSION` in `log/segment.rs`), keep reading the old one, and add a fixture.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_core::Timestamp;
use millstream_core::clock::ManualClock;
use millstream_core::fields::Bytes;
use millstream_core::ledger::Stage;
use millstream_core::plugin::{Env, QueueOpener};
use millstream_core::queue::{Checkpoint, Epoch, Queue};
use millstream_core::record::{Block, Body, Form, Frame, Offset, Record};
use millstream_queue::log::{LogOpener, LogQueue};
use millstream_testkit::laws::queue::{frame, read_all};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/v1")
}

fn opener(folder: &Path) -> LogOpener {
    let options =
        LogQueue { segment_bytes: Bytes(1500), reserve: Bytes(0), ..LogQueue::at(folder) };
    let clock = Arc::new(ManualClock::at(Timestamp(1_764_000_000_000_000)));
    LogOpener::new(options, &Env { clock, ..Env::test("fixture", "/") }).unwrap()
}

fn frames() -> Vec<Frame> {
    let with_key = Record { key: Some("key".into()), value: "value".into() };
    let like = |body| Frame { body, ..frame("orders", "part/1", "", None) };
    vec![
        frame("readings", "http://127.0.0.1/", "{\"items\":[]}", Some("etag")),
        like(Body::Block(Block::pack_as(Form::Rows, &[with_key, Record::new("")]).unwrap())),
        like(Body::Idle),
        like(Body::Ended),
        like(Body::Pin("{\"id\":\"int64\"}".into())),
        frame("orders", "part/1", vec![b'x'; 1200], Some("")),
        frame("orders", "part/2", "after the roll", Some("7")),
    ]
}

async fn write(queue: &dyn Queue) -> Checkpoint {
    queue.append(&frames()).await.unwrap();
    queue.side("dead").unwrap().append(&["one".into(), "two".into()]).await.unwrap();
    let chunk = queue.put_chunk("per_minute", "pane 1", "state".into()).await.unwrap();
    let mut checkpoint = Checkpoint {
        epoch: Epoch(1),
        next: Offset(5),
        chunks: vec![chunk],
        sides: BTreeMap::from([("dead".into(), queue.side("dead").unwrap().extent())]),
        pins: BTreeMap::from([("orders".into(), "{}".into())]),
        at: Timestamp(1),
        ..Checkpoint::default()
    };
    checkpoint.ledger.account(Stage::Sink, "store").out = 300;
    queue.commit(&checkpoint).await.unwrap();
    queue.append(&frames()).await.unwrap();
    checkpoint
}

async fn check(queue: &dyn Queue, checkpoint: &Checkpoint) {
    assert_eq!(read_all(queue, Offset(0)).await, [frames(), frames()].concat());
    assert_eq!(queue.checkpoints().await.unwrap(), std::slice::from_ref(checkpoint));
    for chunk in &checkpoint.chunks {
        assert_eq!(queue.get_chunk(chunk).await.unwrap(), "state");
    }
    let side = queue.side("dead").unwrap();
    assert_eq!(side.read(0, 99).await.unwrap(), [(0, "one".into()), (1, "two".into())]);
    let positions = queue.positions().await.unwrap();
    assert_eq!(positions.len(), 2);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if entry.file_name() != "LOCK" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_of_format_1_is_read() {
    let fresh = tempfile::tempdir().unwrap();
    let expected = write(&*opener(fresh.path()).open().await.unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture(), folder.path());
    let queue = opener(folder.path()).open().await.unwrap();
    check(&*queue, &expected).await;
    queue.append(&frames()).await.unwrap();
    drop(queue);
    assert_eq!(opener(folder.path()).open().await.unwrap().status().end, Offset(21));
}

#[tokio::test]
async fn a_log_of_a_later_format_is_refused_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture(), folder.path());
    let path = folder.path().join("0000000000000001.log");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.get_mut(8).unwrap() = 2;
    fs::write(&path, bytes).unwrap();
    let e = opener(folder.path()).open().await.err().unwrap();
    assert!(e.to_string().contains("format 2"), "{e}");
}

/// `cargo test -p millstream-queue --test formats -- --ignored`
#[tokio::test]
#[ignore = "writes the fixture, once for each format"]
async fn write_the_fixture() {
    let folder = tempfile::tempdir().unwrap();
    let queue = opener(folder.path()).open().await.unwrap();
    let checkpoint = write(&*queue).await;
    check(&*queue, &checkpoint).await;
    drop(queue);
    copy(folder.path(), &fixture());
}
