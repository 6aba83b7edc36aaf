//! Every queue keeps every law.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says where")]

use std::sync::Arc;

use millstream_core::fields::Bytes;
use millstream_core::plugin::{Config, Env, QueueOpener};
use millstream_queue::log::{Durability, LogQueue};
use millstream_queue::memory::MemoryQueue;
use millstream_queue::redis::RedisQueue;
use millstream_redis::Address;
use millstream_testkit::laws::queue::{Fresh, LAWS};
use millstream_testkit::redis::{RedisServer, has_redis};

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

fn redis(url: &str, law: &str, folder: &std::path::Path, bytes_max: u64) -> Arc<dyn QueueOpener> {
    let options = RedisQueue {
        bytes_max: Bytes(bytes_max),
        side_bytes_max: Bytes(bytes_max / 4),
        prefix: format!("test{bytes_max}"),
        ..RedisQueue::at(Address::parse(url).unwrap())
    };
    let env = Env { pipeline: law.into(), ..Env::test("queue", folder) };
    options.build(&env).unwrap().into()
}

/// All laws work in one server, each with a pipeline of its own.
#[test]
fn the_queue_on_redis_keeps_the_laws() {
    if !has_redis("the_queue_on_redis_keeps_the_laws") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for server in [RedisServer::safe(), RedisServer::forgetful()] {
        for (name, law) in LAWS {
            let redis = |max| redis(&server.url(), name, folder.path(), max);
            run(name, law(Fresh { roomy: redis(64 << 20), small: redis(1 << 20) }), 2);
        }
    }
}
