//! Redis as source and as sink, against a real server.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "tests panic when something is not as it should be, and hand over what they make up"
)]

mod disk;
mod list;
mod list_faults;
mod logged;
mod lookup;
mod pubsub;
mod repeated;
mod servers;
mod sink;
mod sink_faults;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use millstream_connectors::{RedisSink, RedisSource};
use millstream_core::Error;
use millstream_core::plugin::{Act, Config, Env, Report};
use millstream_core::record::Name;
use millstream_core::sink::Sink;
use millstream_core::source::{Pulled, Source, SplitPositions};
use millstream_redis::redis::{Client, Cmd, Connection, FromRedisValue, cmd};
use millstream_testkit::redis::RedisServer;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Remembers troubles.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Report for Heard {
    fn trouble(&self, _: &str, error: &Error) {
        self.0.lock().push(error.to_string());
    }
    fn fine(&self, _: &str) {}
    fn took(&self, _: Act, _: Duration) {}
}

impl Heard {
    fn has(&self, text: &str) -> bool {
        self.0.lock().iter().any(|told| told.contains(text))
    }
}

fn env() -> (Env, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    (Env { report: heard.clone(), ..Env::test("input", "/") }, heard)
}

fn source_in(server: &RedisServer, read: Value, env: &Env) -> Box<dyn Source> {
    let options = json!({ "url": server.url(), "timeout": "1s", "read": read });
    serde_json::from_value::<RedisSource>(options).unwrap().build(env).unwrap()
}

fn source(server: &RedisServer, read: Value) -> Box<dyn Source> {
    source_in(server, read, &env().0)
}

fn sink(server: &RedisServer, write: Value) -> Box<dyn Sink> {
    let options = json!({ "url": server.url(), "timeout": "1s", "write": write });
    serde_json::from_value::<RedisSink>(options).unwrap().build(&Env::test("output", "/")).unwrap()
}

fn client(server: &RedisServer) -> Connection {
    Client::open(server.url()).unwrap().get_connection().unwrap()
}

/// Runs a command.
fn ask<T: FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    command(words).query(&mut client(server)).unwrap()
}

fn command(words: &[&str]) -> Cmd {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command
}

fn texts(pulled: &Pulled) -> Vec<String> {
    let text = |r: &millstream_core::record::Record| String::from_utf8(r.value.to_vec()).unwrap();
    pulled.records.iter().map(text).collect()
}

/// What a queue would hold: whatever was appended, and the positions in the same step.
#[derive(Default)]
struct Queue {
    rows: Vec<String>,
    positions: SplitPositions,
}

impl Queue {
    fn append(&mut self, pulled: &Pulled) {
        self.rows.extend(texts(pulled));
        if let Some(position) = &pulled.position {
            self.positions.insert(pulled.split.clone(), position.clone());
        }
    }

    /// Pulls, appends and settles until this many rows are there.
    async fn fill(&mut self, source: &mut dyn Source, rows: usize) {
        while self.rows.len() < rows {
            let pulled = pull(source).await;
            self.append(&pulled);
            source.settle(&self.positions).await.unwrap();
        }
    }

    fn sorted(&self) -> Vec<String> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }
}

async fn pull(source: &mut dyn Source) -> Pulled {
    let pulled = tokio::time::timeout(Duration::from_secs(20), source.pull()).await;
    pulled.expect("nothing came").unwrap().unwrap()
}

/// Whether there is nothing to pull for a while.
async fn is_quiet(source: &mut dyn Source) -> bool {
    tokio::time::timeout(Duration::from_millis(150), source.pull()).await.is_err()
}

/// Pulls through errors that the engine would mend by waiting.
async fn pull_through(source: &mut dyn Source, positions: &SplitPositions) -> Pulled {
    for _ in 0..200 {
        let pulled = tokio::time::timeout(Duration::from_secs(20), source.pull()).await;
        match pulled.expect("nothing came") {
            Ok(pulled) => return pulled.unwrap(),
            Err(e) if e.remedy() == millstream_core::Remedy::Stop => panic!("{e}"),
            Err(e) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if e.remedy() == millstream_core::Remedy::Reopen {
                    while source.open(positions).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }
    }
    panic!("the source did not come back");
}

fn numbered(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|i| format!("{prefix}{i:06}")).collect()
}

/// Puts elements into a list, in few commands.
fn push(server: &RedisServer, how: &str, key: &str, elements: &[String]) {
    let mut client = client(server);
    for some in elements.chunks(500) {
        cmd(how).arg(key).arg(some).exec(&mut client).unwrap();
    }
}

fn position_of(positions: &SplitPositions, split: &str) -> String {
    let name: Name = split.into();
    String::from_utf8(positions[&name].0.to_vec()).unwrap()
}
