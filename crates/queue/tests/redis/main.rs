//! The queue on Redis against real servers: killed, frozen, full, wiped, replaced.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic"
)]

mod append;
mod faults;
mod loss;
mod roles;
mod servers;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use millstream_core::fields::{Bytes, Span};
use millstream_core::plugin::{Act, Config, Env, QueueOpener, Report};
use millstream_core::queue::{Checkpoint, Epoch, Queue};
use millstream_core::record::{Frame, Offset};
use millstream_core::{Error, Timestamp};
use millstream_queue::redis::RedisQueue;
use millstream_redis::Address;
use millstream_testkit::laws::queue::{frame, read_all};
use millstream_testkit::redis::RedisServer;
use parking_lot::Mutex;

/// What a queue reported.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Report for Heard {
    fn trouble(&self, what: &str, error: &Error) {
        eprintln!("trouble: {what}: {error}");
        self.0.lock().push(format!("{what}: {error}"));
    }
    fn fine(&self, _: &str) {}
    fn took(&self, _: Act, _: Duration) {}
}

impl Heard {
    fn has(&self, text: &str) -> bool {
        self.0.lock().iter().any(|said| said.contains(text))
    }
}

/// What a test says of a queue; every opener is a process of its own as far as Redis can tell.
struct Place {
    options: RedisQueue,
    folder: tempfile::TempDir,
    heard: Arc<Heard>,
}

impl Place {
    fn at(url: &str) -> Self {
        let mut options = RedisQueue::at(Address::parse(url).unwrap());
        options.timeout = Span(Duration::from_secs(2));
        Self { options, folder: tempfile::tempdir().unwrap(), heard: Arc::default() }
    }

    fn of(server: &RedisServer) -> Self {
        Self::at(&server.url())
    }

    fn bound(mut self, bytes_max: u64) -> Self {
        self.options.bytes_max = Bytes(bytes_max);
        self
    }

    fn opener(&self) -> Arc<dyn QueueOpener> {
        let env = Env { report: self.heard.clone(), ..Env::test("queue", self.folder.path()) };
        self.options.clone().build(&env).unwrap().into()
    }

    async fn open(&self) -> Arc<dyn Queue> {
        self.opener().open().await.unwrap()
    }

    async fn refused(&self) -> Error {
        self.opener().open().await.err().unwrap()
    }
}

fn numbered(n: u64) -> Frame {
    frame("s", "a", format!("{n}"), Some(&n.to_string()))
}

fn large(n: u64) -> Frame {
    frame("s", "a", vec![u8::try_from(n % 251).unwrap(); 64 << 10], Some(&n.to_string()))
}

fn checkpoint(epoch: u64, next: u64) -> Checkpoint {
    Checkpoint { epoch: Epoch(epoch), next: Offset(next), at: Timestamp(5), ..Default::default() }
}

/// All that was numbered is there, once each, in whatever order.
async fn assert_all_once(queue: &dyn Queue, count: u64) {
    let mut positions: Vec<u64> = read_all(queue, Offset(0))
        .await
        .iter()
        .map(|f| String::from_utf8_lossy(&f.position.as_ref().unwrap().0).parse().unwrap())
        .collect();
    positions.sort_unstable();
    assert_eq!(positions, (0..count).collect::<Vec<_>>());
}

async fn within<T>(seconds: u64, act: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), act).await.unwrap()
}

/// Appends `0..count` from ten tasks at once.
fn append_all(queue: &Arc<dyn Queue>, count: u64) -> Vec<tokio::task::JoinHandle<()>> {
    let task = |t: u64| {
        let queue = queue.clone();
        tokio::spawn(async move {
            for n in (t..count).step_by(10) {
                queue.append(&[numbered(n)]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    };
    (0..10).map(task).collect()
}
