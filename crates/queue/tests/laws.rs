//! Every queue keeps every law.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says where")]

use std::sync::Arc;

use millstream_core::fields::Bytes;
use millstream_core::plugin::{Config, Env, QueueOpener};
use millstream_queue::log::{Durability, LogQueue};
use millstream_queue::memory::MemoryQueue;
use millstream_testkit::laws::queue::{Fresh, LAWS};

fn run(name: &str, law: impl Future<Output = ()>, threads: usize) {
    eprintln!("law: {name}");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(threads).enable_all().build().unwrap().block_on(law);
}

fn memory(bytes_max: u64) -> Arc<dyn QueueOpener> {
    let options = MemoryQueue { bytes_max: Bytes(bytes_max), side_bytes_max: Bytes(bytes_max / 4) };
    options.build(&Env::test("queue", ".")).unwrap().into()
}

fn log(folder: &std::path::Path, bytes_max: u64, durability: Durability) -> Arc<dyn QueueOpener> {
    let options = LogQueue {
        durability,
        bytes_max: Bytes(bytes_max),
        segment_bytes: Bytes(256 << 10),
        side_bytes_max: Bytes(bytes_max / 4),
        reserve: Bytes(64 << 10),
        ..LogQueue::at(format!("log{bytes_max}"))
    };
    options.build(&Env::test("queue", folder)).unwrap().into()
}

#[test]
fn the_memory_queue_keeps_the_laws() {
    for (name, law) in LAWS {
        run(name, law(Fresh { roomy: memory(64 << 20), small: memory(1 << 20) }), 2);
    }
}

#[test]
fn the_log_keeps_the_laws() {
    for durability in [Durability::Fsync, Durability::Relaxed] {
        for (name, law) in LAWS {
            let folder = tempfile::tempdir().unwrap();
            let log = |max| log(folder.path(), max, durability);
            run(name, law(Fresh { roomy: log(64 << 20), small: log(1 << 20) }), 2);
        }
    }
}
