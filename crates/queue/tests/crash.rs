//! Stop after every call that changes the disk, lose power, fill it up, fail a sync; then look at what is left.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says where")]

use std::sync::Arc;

use millstream_core::fields::Bytes;
use millstream_core::plugin::{Env, QueueOpener};
use millstream_core::queue::Queue;
use millstream_core::{Error, Remedy};
use millstream_queue::log::{Durability, LogOpener, LogQueue};
use millstream_testkit::disk::{Cut, Fault, SimDisk};
use millstream_testkit::model::{Action, Model};

fn opener(disk: &SimDisk, durability: Durability) -> LogOpener {
    let options = LogQueue {
        durability,
        bytes_max: Bytes(1 << 20),
        segment_bytes: Bytes(4 << 10),
        side_bytes_max: Bytes(64 << 10),
        reserve: Bytes(16 << 10),
        ..LogQueue::at("log")
    };
    let opener = LogOpener::new(options, &Env::test("queue", "/sim")).unwrap();
    opener.inline_on(Arc::new(disk.clone()))
}

fn block_on<T>(act: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(act)
}

fn script(seed: u64, actions: usize) -> Vec<Action> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..actions).map(|_| Action::random(&mut rng)).collect()
}

/// Runs the script until it ends or the process does; a queue that breaks down is opened again.
async fn run(
    disk: &SimDisk,
    opener: &LogOpener,
    model: &mut Model,
    script: &[Action],
) -> Result<Arc<dyn Queue>, Error> {
    let mut queue = opener.open().await?;
    model.reopened(&*queue).await;
    for (i, action) in script.iter().enumerate() {
        let Err(e) = model.act(&*queue, action).await else { continue };
        if e.remedy() == Remedy::Retry {
            // The fault was for one call: now it goes through.
            model.act(&*queue, action).await?;
            continue;
        }
        assert_eq!(e.remedy(), Remedy::Stop, "action {i}: {e}");
        drop(queue);
        queue = opener.open().await?;
        model.reopened(&*queue).await;
    }
    assert!(!disk.struck() || disk.calls() > 0);
    Ok(queue)
}

fn enumerate(fault: Fault, cuts: &[Cut], durability: Durability, seed: u64) {
    let script = script(seed, 45);
    let mut struck = 0;
    for at in 1.. {
        let mut ended = true;
        for cut in cuts {
            let disk = SimDisk::new(at);
            let mut model = Model::default();
            disk.fail_at(at, fault);
            let opener = opener(&disk, durability);
            let outcome = block_on(run(&disk, &opener, &mut model, &script));
            ended &= disk.calls() < at;
            struck += u64::from(disk.struck());
            eprintln!("seed {seed}, {fault:?} at call {at}, then {cut:?}");
            if fault != Fault::Stop {
                drop(outcome);
            } else if disk.struck() {
                outcome.err().unwrap();
            }
            disk.crash(*cut);
            block_on(async {
                let queue = opener.open().await.unwrap();
                model.reopened(&*queue).await;
                // What was recovered is as good as any other.
                for action in script.iter().take(12) {
                    model.act(&*queue, action).await.unwrap();
                }
                drop(queue);
                disk.crash(Cut::Lost);
                let queue = opener.open().await.unwrap();
                if durability == Durability::Fsync {
                    model.reopened(&*queue).await;
                }
            });
        }
        if ended {
            assert!(struck > 10, "{fault:?} struck {struck} times in {at} calls");
            return;
        }
    }
}

#[test]
fn a_process_that_ends_after_any_call_loses_nothing_acknowledged() {
    for seed in 1..3 {
        enumerate(Fault::Stop, &[Cut::Kept, Cut::Lost, Cut::Some], Durability::Fsync, seed);
    }
}

#[test]
fn a_flipped_bit_in_what_was_torn_is_cut_with_it() {
    enumerate(Fault::Stop, &[Cut::Flipped, Cut::Flipped], Durability::Fsync, 5);
}

#[test]
fn a_disk_that_is_full_at_any_call_stores_nothing_by_halves() {
    enumerate(Fault::Full, &[Cut::Kept, Cut::Some], Durability::Fsync, 6);
}

#[test]
fn a_sync_that_fails_at_any_call_acknowledges_nothing() {
    enumerate(Fault::FailedSync, &[Cut::Lost, Cut::Some], Durability::Fsync, 7);
}

#[test]
fn random_actions_and_reopenings_agree_with_the_model() {
    for seed in 0..30 {
        eprintln!("seed {seed}");
        let disk = SimDisk::new(seed);
        let mut model = Model::default();
        let opener = opener(&disk, Durability::Fsync);
        block_on(async {
            for round in 0..6 {
                let script = script(seed * 100 + round, 40);
                let queue = run(&disk, &opener, &mut model, &script).await.unwrap();
                if round % 2 == 0 {
                    queue.close().await.unwrap();
                }
            }
        });
    }
}
