//! A log that is cut off at any byte, or has any bit flipped, opens without a lie or says where it is broken.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_core::fields::Bytes;
use millstream_core::plugin::{Env, QueueOpener};
use millstream_core::queue::{Checkpoint, Epoch, Queue};
use millstream_core::record::{Frame, Offset};
use millstream_core::{Error, Remedy, Result};
use millstream_queue::log::{LogOpener, LogQueue};
use millstream_testkit::disk::{Cut, Fault, SimDisk};
use millstream_testkit::laws::queue::frame;

fn options() -> LogQueue {
    LogQueue {
        bytes_max: Bytes(64 << 10),
        segment_bytes: Bytes(640),
        reserve: Bytes(4 << 10),
        ..LogQueue::at("log")
    }
}

fn opener(disk: &SimDisk) -> LogOpener {
    let opener = LogOpener::new(options(), &Env::test("queue", "/sim")).unwrap();
    opener.inline_on(Arc::new(disk.clone()))
}

fn block_on<T>(act: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(act)
}

/// All that a log holds.
#[derive(Debug, PartialEq)]
struct Content {
    frames: Vec<Frame>,
    checkpoints: Vec<Checkpoint>,
    chunks: Vec<bytes::Bytes>,
    sides: BTreeMap<String, Vec<bytes::Bytes>>,
}

async fn content(queue: &dyn Queue) -> Result<Content> {
    let mut frames = Vec::new();
    loop {
        let slab = queue.read(Offset(frames.len() as u64), 4000).await?;
        if slab.frames.is_empty() {
            break;
        }
        frames.extend(slab.frames.into_iter().map(|(_, frame)| frame));
    }
    let checkpoints = queue.checkpoints().await?;
    let mut chunks = Vec::new();
    for chunk in checkpoints.iter().flat_map(|c| &c.chunks) {
        chunks.push(queue.get_chunk(chunk).await?);
    }
    let mut sides = BTreeMap::new();
    for name in queue.sides().await? {
        let side = queue.side(&name)?;
        let entries = side.read(side.extent().first, 1 << 20).await?;
        sides.insert(name, entries.into_iter().map(|(_, e)| e).collect());
    }
    Ok(Content { frames, checkpoints, chunks, sides })
}

async fn reopened(disk: &SimDisk) -> Result<Content> {
    content(&*opener(disk).open().await?).await
}

/// Some of everything, in three segments.
async fn written(disk: &SimDisk, close: bool) -> Content {
    let queue = opener(disk).open().await.unwrap();
    let mut checkpoint = Checkpoint::default();
    for n in 0..7u8 {
        let split = format!("split {}", n % 2);
        let text = vec![n; 50];
        let one = frame("source", &split, text, Some("position"));
        queue.append(&[one.clone(), one]).await.unwrap();
        if n % 3 == 0 {
            queue.side("dead").unwrap().append(&[vec![n; 40].into()]).await.unwrap();
            let chunk = queue.put_chunk("view", "key", vec![n; 50].into()).await.unwrap();
            checkpoint.chunks = vec![chunk];
            checkpoint.epoch = checkpoint.epoch.next();
            checkpoint.sides.insert("dead".into(), queue.side("dead").unwrap().extent());
            queue.commit(&checkpoint).await.unwrap();
        }
    }
    let content = content(&*queue).await.unwrap();
    if close {
        queue.close().await.unwrap();
    }
    assert!(segments(disk).len() >= 3);
    content
}

fn files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|p| !p.ends_with("RESERVE")).collect()
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    files(disk).into_iter().filter(|p| p.extension().is_some_and(|e| e == "log")).collect()
}

fn names_the_file(e: &Error, path: &Path) {
    assert_eq!(e.remedy(), Remedy::Stop, "{e}");
    assert!(e.how_to_fix().is_some(), "{e}");
    let place = e.place().unwrap_or_default();
    assert!(place.starts_with(path.to_str().unwrap()), "{}: {e}", path.display());
}

#[test]
fn a_flipped_bit_anywhere_in_a_closed_log_is_named() {
    block_on(async {
        let disk = SimDisk::new(1);
        let whole = written(&disk, true).await;
        assert_eq!(reopened(&disk.copy(1)).await.unwrap(), whole);
        let mut unnoticed = Vec::new();
        for path in files(&disk) {
            let bytes = disk.content(&path);
            for at in 0..bytes.len() {
                let damaged = disk.copy(2);
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                damaged.set_content(&path, &flipped);
                match reopened(&damaged).await {
                    Err(e) => names_the_file(&e, &path),
                    Ok(found) => {
                        assert_eq!(found, whole, "{}:{at}", path.display());
                        unnoticed.push((path.clone(), at));
                    }
                }
            }
        }
        // Only the last frame of all can pass for torn, and it says nothing but that the log was closed.
        let last = segments(&disk).pop().unwrap();
        let end = disk.content(&last).len();
        let closed: Vec<_> = (end - 64..end).map(|at| (last.clone(), at)).collect();
        assert!(unnoticed == closed, "{unnoticed:?}");
    });
}

#[test]
fn a_log_cut_at_any_byte_keeps_whole_appends_or_says_where_it_is_cut() {
    block_on(async {
        for close in [false, true] {
            let disk = SimDisk::new(1);
            let whole = written(&disk, close).await;
            for path in files(&disk) {
                let bytes = disk.content(&path);
                for at in 0..bytes.len() {
                    let damaged = disk.copy(2);
                    damaged.set_content(&path, &bytes[..at]);
                    match reopened(&damaged).await {
                        Err(e) => assert_eq!(e.remedy(), Remedy::Stop, "{e}"),
                        Ok(found) => {
                            assert_eq!(Some(&path), segments(&disk).last(), "byte {at}");
                            assert_eq!(found.frames.len() % 2, 0, "half an append");
                            assert_eq!(found.frames, whole.frames[..found.frames.len()]);
                            let kept = found.checkpoints.len();
                            assert_eq!(found.checkpoints, whole.checkpoints[..kept]);
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn a_file_that_is_gone_is_missed() {
    block_on(async {
        let disk = SimDisk::new(1);
        written(&disk, true).await;
        let last = segments(&disk).pop().unwrap();
        for path in files(&disk).into_iter().filter(|p| *p != last) {
            let damaged = disk.copy(2);
            millstream_core::disk::Disk::remove(&damaged, &path).unwrap();
            let e = reopened(&damaged).await.unwrap_err();
            assert_eq!(e.remedy(), Remedy::Stop, "{}: {e}", path.display());
        }
        let damaged = disk.copy(2);
        for path in segments(&disk) {
            millstream_core::disk::Disk::remove(&damaged, &path).unwrap();
        }
        let e = reopened(&damaged).await.unwrap_err();
        assert!(e.what().contains("segments of the log are gone"), "{e}");
    });
}

#[test]
fn a_segment_of_another_log_is_refused() {
    block_on(async {
        let (disk, other) = (SimDisk::new(1), SimDisk::new(2));
        written(&disk, true).await;
        written(&other, true).await;
        let path = segments(&disk).pop().unwrap();
        disk.set_content(&path, &other.content(&path));
        let e = reopened(&disk).await.unwrap_err();
        assert!(e.what().contains("another log"), "{e}");
    });
}

#[test]
fn after_a_failed_fsync_it_takes_no_more_until_it_is_opened_anew() {
    block_on(async {
        let disk = SimDisk::new(1);
        let queue = opener(&disk).open().await.unwrap();
        let one = frame("s", "a", "text", None);
        queue.append(std::slice::from_ref(&one)).await.unwrap();
        disk.fail_at(2, Fault::FailedSync);
        let e = queue.append(std::slice::from_ref(&one)).await.unwrap_err();
        assert!(disk.struck());
        assert_eq!(e.remedy(), Remedy::Stop, "{e}");
        let again = queue.append(std::slice::from_ref(&one)).await.unwrap_err();
        assert_eq!(again.remedy(), Remedy::Stop, "{again}");
        queue.commit(&Checkpoint { epoch: Epoch(1), ..Default::default() }).await.unwrap_err();
        queue.wait(Offset(99)).await.unwrap_err();
        drop(queue);
        let queue = opener(&disk).open().await.unwrap();
        queue.append(std::slice::from_ref(&one)).await.unwrap();
        let end = queue.status().end;
        drop(queue);
        disk.crash(Cut::Lost);
        assert_eq!(opener(&disk).open().await.unwrap().status().end, end);
    });
}

#[test]
fn on_a_full_disk_collectors_wait_commits_go_on_and_all_goes_on_afterwards() {
    block_on(async {
        let disk = SimDisk::new(1);
        disk.set_bytes_max(24 << 10);
        let queue = opener(&disk).open().await.unwrap();
        let mut taken = 0;
        for bytes in [500, 0] {
            let e = loop {
                match queue.append(&[frame("s", "a", vec![7; bytes], None)]).await {
                    Ok(_) => taken += 1,
                    Err(e) => break e,
                }
            };
            assert_eq!(e.remedy(), Remedy::Retry, "{e}");
        }
        assert_eq!(queue.status().end, Offset(taken));
        // The reserve is for these.
        let side = queue.side("dead").unwrap();
        side.append(&[vec![1; 300].into()]).await.unwrap();
        let sides = BTreeMap::from([("dead".to_owned(), side.extent())]);
        let next = Offset(taken);
        let checkpoint = Checkpoint { epoch: Epoch(1), next, sides, ..Default::default() };
        queue.commit(&checkpoint).await.unwrap();
        let e = queue.append(&[frame("s", "a", "", None)]).await.unwrap_err();
        assert_eq!(e.remedy(), Remedy::Retry, "the reserve is not for collectors: {e}");
        queue.trim(next, Epoch(1)).await.unwrap();
        for n in 0..10 {
            let range = queue.append(&[frame("s", "a", vec![7; 500], None)]).await.unwrap();
            assert_eq!(range.start, Offset(taken + n));
        }
        assert_eq!(queue.checkpoints().await.unwrap(), [checkpoint]);
    });
}
