//! The durable, ordered place between sources and sinks: in memory, a log on disk, or Redis.
//!
//! | queue | in the file | survives |
//! |---|---|---|
//! | [`log::LogQueue`] | `queue: { log: { path: ./data } }` | power loss |
//! | [`redis::RedisQueue`] | `queue: { redis: { url: "redis://127.0.0.1:6379" } }` | what the server survives; several processes can share it |
//! | [`memory::MemoryQueue`] | `queue: { memory: {} }` | nothing: for tests and for data that may be lost |
//!
//! All keep the same laws (`millstream_testkit::laws::queue`); the engine meets them only as
//! [`millstream_core::queue::Queue`].

pub mod log;
pub mod memory;
pub mod redis;

use millstream_core::plugin::{Plugin, QueueOpener};

/// Every queue of this crate. A new one is a new file and its row here.
pub const QUEUES: &[Plugin<dyn QueueOpener>] = &[
    Plugin::of::<log::LogQueue>(),
    Plugin::of::<redis::RedisQueue>(),
    Plugin::of::<memory::MemoryQueue>(),
];

/// Whether `name` may name a side stream.
fn check_side_name(name: &str) -> millstream_core::Result<()> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b);
    let folders_up = name.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if name.bytes().all(legal) && !folders_up && name.len() <= 200 {
        return Ok(());
    }
    Err(millstream_core::Error::stop(format!("`{name}` cannot name a side stream"))
        .fix("use `a-z A-Z 0-9 _ - . /`, at most 200 of them, such as `outbox/store`"))
}
