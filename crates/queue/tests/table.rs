//! What holds for the table of queues, and between processes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use millstream_core::plugin::{Env, QueueOpener};
use millstream_core::record::{Block, Body, Frame, Record};
use millstream_core::{Remedy, Timestamp};
use millstream_queue::QUEUES;
use millstream_queue::log::{LogOpener, LogQueue};

#[test]
fn every_queue_has_its_row() {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let source = source.unwrap();
    let modules: Vec<&str> =
        source.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() >= 2, "{modules:?}");
    for module in modules {
        assert!(
            QUEUES.iter().any(|row| row.name == module),
            "add `Plugin::of::<{module}::…>()` to `QUEUES` in crates/queue/src/lib.rs"
        );
    }
}

#[test]
fn options_are_read_and_contradictions_refused() {
    let row = QUEUES.iter().find(|row| row.name == "log").unwrap();
    let build = |json: &str| {
        let mut options = serde_json::Deserializer::from_str(json);
        let mut options = <dyn erased_serde::Deserializer<'_>>::erase(&mut options);
        (row.build)(&mut options, &Env::test("queue", "/data"))
    };
    let opener = build(
        r#"{"path": "log", "durability": "relaxed", "bytes_max": "1GiB", "retain": {"age": "1d"}}"#,
    );
    let opener = opener.unwrap().unwrap();
    assert_eq!(opener.folder().unwrap(), Path::new("/data/log"));
    let lines = opener.describe().join("\n");
    for said in ["/data/log", "relaxed", "1 GiB", "1d"] {
        assert!(lines.contains(said), "{said}: {lines}");
    }
    assert!(!Path::new("/data/log").exists(), "nothing is made before it is opened");
    build(r#"{"path": "log", "segments": 3}"#).err().unwrap();
    let e = build(r#"{"path": "log", "bytes_max": "1MiB"}"#).unwrap().err().unwrap();
    assert!(e.to_string().contains("`reserve`"), "{e}");
}

#[test]
fn what_is_said_of_a_queue_on_redis_has_no_password() {
    let row = QUEUES.iter().find(|row| row.name == "redis").unwrap();
    let build = |json: &str| {
        let mut options = serde_json::Deserializer::from_str(json);
        let mut options = <dyn erased_serde::Deserializer<'_>>::erase(&mut options);
        (row.build)(&mut options, &Env::test("queue", "/data"))
    };
    let opener =
        build(r#"{"url": "redis://me:s3cret@h:7/2", "bytes_max": "2GiB", "frames_max": 9}"#);
    let opener = opener.unwrap().unwrap();
    assert!(opener.shared() && opener.durable());
    assert_eq!(opener.folder().unwrap(), Path::new("/data/.millstream/test"));
    let lines = opener.describe().join("\n");
    for said in ["redis://me@h:7/2", "millstream:{test}:", "2 GiB and 9 frames", "disk", "10s"] {
        assert!(lines.contains(said), "{said}: {lines}");
    }
    assert!(!lines.contains("cret"), "{lines}");
    let e = build(r#"{"url": "http://me:s3cret@h"}"#).err().unwrap().to_string();
    assert!(e.contains("http") && !e.contains("cret"), "{e}");
    for contradiction in [
        r#"{"url": "redis://h", "prefix": "a{b}"}"#,
        r#"{"url": "redis://h", "timeout": "1ms"}"#,
        r#"{"url": "redis://h", "frames_max": 0}"#,
        r#"{"url": "redis://h", "tls": {"ca": "x"}}"#,
        r#"{"url": "redis://:a@h", "password": "b"}"#,
    ] {
        let e = build(contradiction).unwrap().err().unwrap();
        assert!(e.remedy() == Remedy::Stop && e.how_to_fix().is_some(), "{contradiction}: {e}");
    }
    build(r#"{"url": "redis://h", "lists": true}"#).err().unwrap();
}

fn opener(folder: &Path) -> LogOpener {
    LogOpener::new(LogQueue::at(folder), &Env::test("queue", "/")).unwrap()
}

/// Runs this very test program again, to hold the log in a process of its own.
#[tokio::test]
async fn a_second_process_is_told_who_holds_the_log() {
    if let Ok(folder) = std::env::var("MILLSTREAM_TEST_HOLD") {
        let _queue = opener(Path::new(&folder)).open().await.unwrap();
        println!("holding");
        // Until this process is killed.
        std::future::pending::<()>().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_second_process_is_told_who_holds_the_log", "--nocapture"])
        .env("MILLSTREAM_TEST_HOLD", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|l| l.unwrap().contains("holding")));
    let e = opener(folder.path()).open().await.err().unwrap();
    assert_eq!(e.remedy(), Remedy::Retry);
    let said = e.to_string();
    assert!(said.contains(&format!("process {}", holder.id())), "{said}");
    assert!(said.contains("since 20") && said.contains("fix:"), "{said}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    opener(folder.path()).open().await.unwrap();
}

#[tokio::test]
async fn a_log_that_was_deleted_under_it_takes_no_more_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let row = QUEUES.iter().find(|row| row.name == "log").unwrap();
    let json = format!(r#"{{"path": "{}"}}"#, path.display());
    let mut options = serde_json::Deserializer::from_str(&json);
    let mut options = <dyn erased_serde::Deserializer<'_>>::erase(&mut options);
    let opener = (row.build)(&mut options, &Env::test("queue", "/")).unwrap().unwrap();
    let queue = opener.open().await.unwrap();
    let frame = Frame {
        source: "a".into(),
        split: "s".into(),
        arrival: Timestamp(0),
        position: None,
        body: Body::Block(Block::pack(&[Record::new("x")]).unwrap()),
    };
    queue.append(std::slice::from_ref(&frame)).await.unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    let error = queue.append(&[frame]).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Stop);
    assert!(error.to_string().contains("deleted while it was in use"), "{error}");
}
