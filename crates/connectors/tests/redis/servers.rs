//! Servers of other kinds, and users who may do little.

use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::sink::Held;
use millstream_redis::redis::ConnectionLike;
use millstream_redis::redis::cluster::ClusterClient;
use millstream_testkit::laws::sink as laws;
use millstream_testkit::redis::{RedisServer, Sentinel, cluster, free_port, has_redis};
use serde_json::json;

use super::disk::can_wait;
use super::logged::Logged;
use super::sink_faults::{ROWS, deliver, listed, try_once};
use super::*;

/// How a part gets to a server.
pub(super) struct Way {
    options: Value,
}

impl Way {
    pub(super) fn at(url: &str) -> Self {
        Self { options: json!({ "url": url, "timeout": "1s" }) }
    }

    fn with(&self, name: &str, value: Value) -> Value {
        let mut options = self.options.clone();
        options[name] = value;
        options
    }

    pub(super) fn source(&self, read: Value) -> Box<dyn Source> {
        let source = serde_json::from_value::<RedisSource>(self.with("read", read)).unwrap();
        source.build(&env().0).unwrap()
    }

    pub(super) fn sink(&self, write: Value) -> Box<dyn Sink> {
        // Each form has a mark of its own.
        let name = write.as_object().unwrap().keys().next().unwrap().clone();
        let sink = serde_json::from_value::<RedisSink>(self.with("write", write)).unwrap();
        sink.build(&Env::test(&name, "/")).unwrap()
    }
}

pub(super) fn list() -> Value {
    json!({ "list": { "key": "data_queue" } })
}

pub(super) fn stream() -> Value {
    json!({ "stream": { "key": "orders", "group": "g", "field": "data", "claim_after": "1s" } })
}

pub(super) fn channels() -> Value {
    json!({ "pubsub": { "channels": ["news"], "patterns": ["sensors.*"] } })
}

/// Every form of a sink, on keys of several nodes.
pub(super) fn writes() -> [Value; 5] {
    [
        json!({ "list": { "key": "out" } }),
        json!({ "stream": { "key": "{s}:out" } }),
        json!({ "pubsub": { "channel": "hot" } }),
        json!({ "hash": { "key": "device:{id}", "ttl": "1h" } }),
        json!({ "string": { "key": "latest:{id}", "ttl": "1h" } }),
    ]
}

pub(super) fn do_all(admin: &mut dyn ConnectionLike, how: &[&str], elements: &[String]) {
    for element in elements {
        let mut command = command(how);
        command.arg(element);
        command.exec(admin).unwrap();
    }
}

/// Takes what is put in, by every form of source.
async fn takes(way: &Way, admin: &mut dyn ConnectionLike) {
    for (read, how) in
        [(list(), &["LPUSH", "data_queue"][..]), (stream(), &["XADD", "orders", "*", "data"])]
    {
        let (mut source, mut queue) = (way.source(read.clone()), Queue::default());
        do_all(admin, how, &numbered("a", 0..500));
        source.open(&queue.positions).await.unwrap();
        queue.fill(source.as_mut(), 500).await;
        // One that comes while it waits, and then another process.
        do_all(admin, how, &numbered("b", 0..1));
        queue.fill(source.as_mut(), 501).await;
        drop(source);
        do_all(admin, how, &numbered("c", 0..500));
        let mut source = way.source(read);
        source.open(&queue.positions).await.unwrap();
        queue.fill(source.as_mut(), 1_001).await;
        let wanted = [("a", 500), ("b", 1), ("c", 500)].map(|(name, n)| numbered(name, 0..n));
        assert_eq!(queue.rows, wanted.concat());
    }
    let mut source = way.source(channels());
    source.open(&SplitPositions::new()).await.unwrap();
    // Silence is longer than the patience: it asks whether the server is there.
    assert!(tokio::time::timeout(Duration::from_millis(1_500), source.pull()).await.is_err());
    do_all(admin, &["PUBLISH", "news"], &["one".to_owned()]);
    assert_eq!(texts(&pull(source.as_mut()).await), ["one"]);
}

/// Gives rows by every form of sink, in three epochs.
async fn gives(way: &Way) {
    for write in writes() {
        let mut sink = way.sink(write.clone());
        for epoch in 0..3 {
            deliver(sink.as_mut(), epoch).await;
        }
        assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Upto(laws::mark(2)), "{write}");
    }
}

fn counted(admin: &mut dyn ConnectionLike, words: &[&str]) -> i64 {
    command(words).query(admin).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_tls_with_certificates_of_both_sides() {
    if !has_redis("through_tls_with_certificates_of_both_sides") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["server", "client"] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    let port = free_port();
    let server = RedisServer::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("server.pem"),
        "--tls-key-file",
        &path("server.key"),
        "--tls-ca-cert-file",
        &path("client.pem"),
    ]);
    let mut way = Way::at(&format!("rediss://localhost:{port}"));
    let tls =
        json!({ "ca": path("server.pem"), "cert": path("client.pem"), "key": path("client.key") });
    way.options["tls"] = tls.clone();
    takes(&way, &mut client(&server)).await;
    gives(&way).await;
    assert!(listed(&server) == (0..3 * ROWS).collect::<Vec<_>>());
    assert_eq!(ask::<i64>(&server, &["XLEN", "{s}:out"]), 3 * ROWS);
    // Without a certificate of its own, or with a server that nobody vouches for, none gets in.
    for missing in [&["cert", "key"][..], &["ca"]] {
        let mut tls = tls.clone();
        missing.iter().for_each(|name| drop(tls.as_object_mut().unwrap().remove(*name)));
        way.options["tls"] = tls;
        for read in [list(), stream(), channels()] {
            way.source(read).open(&SplitPositions::new()).await.unwrap_err();
        }
        way.sink(json!({ "list": { "key": "out" } })).open(laws::schema()).await.unwrap_err();
    }
}

/// What docs/redis.md says a user needs.
fn documented(user: &str) -> Vec<String> {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let line = docs.lines().find(|l| l.starts_with(&format!("ACL SETUSER {user} "))).unwrap();
    line.split_whitespace().skip(5).map(ToOwned::to_owned).collect()
}

/// A user who may do just what is documented, and these too.
fn user(server: &RedisServer, form: &str, more: &[&str]) -> Way {
    let rules = documented(form);
    let mut words = vec!["ACL", "SETUSER", "some", "reset", "on", ">pw"];
    words.extend(rules.iter().map(String::as_str).chain(more.iter().copied()));
    assert!(server.ask(&words).starts_with("+OK"), "{words:?}");
    Way::at(&server.url().replace("redis://", "redis://some:pw@"))
}

#[tokio::test]
async fn the_documented_permissions_are_enough_for_every_source() {
    if !has_redis("the_documented_permissions_are_enough_for_every_source") {
        return;
    }
    let server = RedisServer::safe();
    let logged = Logged::begin();
    for (form, read, how) in [
        ("list_source", list(), &["LPUSH", "data_queue"][..]),
        ("stream_source", stream(), &["XADD", "orders", "*", "data"]),
    ] {
        for (more, unknown) in [(&["+info", "+config|get"][..], 0), (&["+info"], 1), (&[], 1)] {
            server.ask(&["FLUSHALL"]);
            let way = user(&server, form, more);
            let mut admin = client(&server);
            do_all(&mut admin, how, &numbered("", 0..10));
            let (mut source, mut queue) = (way.source(read.clone()), Queue::default());
            source.open(&queue.positions).await.unwrap();
            queue.append(&pull(source.as_mut()).await);
            assert!(is_quiet(source.as_mut()).await, "waiting is allowed");
            drop(source);
            // A process of another queue takes over what this one leaves; then this one comes back.
            tokio::time::sleep(Duration::from_millis(1_050)).await;
            let mut other = way.source(read.clone());
            other.open(&SplitPositions::new()).await.unwrap();
            assert_eq!(pull(other.as_mut()).await.records.len(), 10);
            drop(other);
            let mut source = way.source(read.clone());
            tokio::time::sleep(Duration::from_millis(50)).await;
            source.open(&queue.positions).await.unwrap();
            source.settle(&queue.positions).await.unwrap();
            logged.has(unknown * 3, "is forbidden", &format!("{form} {more:?}"));
        }
    }
    let mut source = user(&server, "pubsub_source", &[]).source(channels());
    source.open(&SplitPositions::new()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(1_500), source.pull()).await.is_err());
    server.ask(&["PUBLISH", "news", "one"]);
    assert_eq!(texts(&pull(source.as_mut()).await), ["one"]);
}

#[tokio::test]
async fn the_documented_permissions_are_enough_for_every_sink() {
    if !has_redis("the_documented_permissions_are_enough_for_every_sink") {
        return;
    }
    let server = RedisServer::start(&["--appendonly", "yes"]);
    let knows = server.ask(&["COMMAND", "INFO", "WAITAOF"]).contains("waitaof");
    let can_wait = can_wait(&server);
    let logged = Logged::begin();
    for (form, write) in [
        ("list_sink", json!({ "list": { "key": "hot" } })),
        ("list_sink", json!({ "list": { "key": "hot", "side": "right" } })),
        ("stream_sink", json!({ "stream": { "key": "hot", "maxlen": 5 } })),
        ("pubsub_sink", json!({ "pubsub": { "channel": "hot" } })),
        ("hash_sink", json!({ "hash": { "key": "device:{id}", "ttl": "1h" } })),
        ("string_sink", json!({ "string": { "key": "latest:{id}", "ttl": "1h" } })),
    ] {
        let all = ["+info", "+config|get", "+waitaof"];
        for more in [&all[..if knows { 3 } else { 2 }], &all[..2], &all[..1], &[]] {
            server.ask(&["FLUSHALL"]);
            let mut sink = user(&server, form, more).sink(write.clone());
            deliver(sink.as_mut(), 0).await;
            deliver(sink.as_mut(), 1).await;
            sink.forget().await.unwrap();
            assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Fresh);
            let said = match more.len() {
                3 if can_wait => {
                    logged.has(0, "", "");
                    continue;
                }
                2 if can_wait => "let the user wait for the disk with `WAITAOF`",
                2 | 3 => "it loses what came last (set `appendfsync always`",
                1 => "`CONFIG GET` is forbidden",
                _ => "`INFO` is forbidden",
            };
            logged.has(1, said, &format!("once, however often it is opened: {form} {more:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_whose_node_is_killed() {
    if !has_redis("on_a_cluster_whose_node_is_killed") {
        return;
    }
    let mut nodes = cluster(&["--appendonly", "yes", "--appendfsync", "always"]);
    let url = |node: &RedisServer| format!("redis://127.0.0.1:{}", node.port());
    let way = Way::at(&url(&nodes[1]).replace("redis://", "redis+cluster://"));
    let mut admin = ClusterClient::new(nodes.iter().map(url)).unwrap().get_connection().unwrap();
    takes(&way, &mut admin).await;
    gives(&way).await;
    let mut out: Vec<String> = command(&["LRANGE", "out", "0", "-1"]).query(&mut admin).unwrap();
    out.reverse();
    let id = |row: &String| serde_json::from_str::<Value>(row).unwrap()["id"].as_i64().unwrap();
    assert!(out.iter().map(id).eq(0..3 * ROWS));
    assert_eq!(counted(&mut admin, &["XLEN", "{s}:out"]), 3 * ROWS);
    for name in ["device", "latest"] {
        assert_eq!(counted(&mut admin, &["EXISTS", &format!("{name}:{}", 3 * ROWS - 1)]), 1);
    }
    // By slot, a third of the keys is on each node.
    for node in &nodes {
        let keys = ask::<i64>(node, &["DBSIZE"]);
        assert!((ROWS..3 * ROWS).contains(&keys), "{keys} of {}", 6 * ROWS);
    }
    for write in writes() {
        let mut sink = way.sink(write.clone());
        for epoch in 3..6 {
            let (cut, home) = (write.clone(), usize::try_from(epoch % 3).unwrap());
            let delivering = async {
                deliver(sink.as_mut(), epoch).await;
            };
            let killing = async {
                tokio::time::sleep(Duration::from_millis(30)).await;
                nodes[home].kill();
                nodes[home].restart();
            };
            tokio::join!(delivering, killing);
            // The node may be on its way back still.
            let held = loop {
                match sink.open(laws::schema()).await {
                    Ok(held) => break held,
                    Err(e) => assert_eq!(e.remedy(), Remedy::Retry, "{e}"),
                }
            };
            assert_eq!(held, Held::Upto(laws::mark(epoch)), "{cut}");
        }
    }
    let mut admin = ClusterClient::new(nodes.iter().map(url)).unwrap().get_connection().unwrap();
    let mut out: Vec<String> = command(&["LRANGE", "out", "0", "-1"]).query(&mut admin).unwrap();
    out.reverse();
    assert!(out.iter().map(id).eq(0..6 * ROWS), "each once, in order");
    assert_eq!(counted(&mut admin, &["XLEN", "{s}:out"]), 6 * ROWS);
    let keys: i64 = nodes.iter().map(|node| ask::<i64>(node, &["DBSIZE"])).sum();
    assert!(keys >= 2 * 6 * ROWS, "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinel_whose_primary_is_killed() {
    if !has_redis("behind_sentinel_whose_primary_is_killed") {
        return;
    }
    let safe = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut primary = RedisServer::start(&safe);
    let port = primary.port().to_string();
    let follow = ["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"];
    let replica = RedisServer::start(&[&follow[..], &safe].concat());
    let sentinel = Sentinel::of(&primary);
    let way = Way::at(&sentinel.url());
    let all = numbered("", 0..30_000);
    push(&primary, "LPUSH", "data_queue", &all);
    do_all(&mut client(&primary), &["XADD", "orders", "*", "data"], &all[..6_000]);
    let mut ends = [(list(), 10_000), (stream(), 2_000)]
        .map(|(read, rows)| (way.source(read), Queue::default(), rows));
    for (source, queue, rows) in &mut ends {
        source.open(&queue.positions).await.unwrap();
        queue.fill(source.as_mut(), *rows).await;
        // And some that are in the queue, and not acknowledged.
        queue.append(&pull(source.as_mut()).await);
    }
    let mut listening = way.source(channels());
    listening.open(&SplitPositions::new()).await.unwrap();
    let mut sink = way.sink(json!({ "list": { "key": "out" } }));
    deliver(sink.as_mut(), 0).await;
    // What was told before is at the replica; what the sink is told from now on perhaps not.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut admin = client(&primary);
    admin.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    command(&["SET", "x", "y"]).exec(&mut admin).unwrap();
    assert_eq!(command(&["WAIT", "1", "10000"]).query::<i64>(&mut admin).unwrap(), 1);
    let flushing = tokio::spawn(async move { (try_once(sink.as_mut(), 1).await, sink) });
    while ask::<i64>(&primary, &["LLEN", "out"]) == ROWS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    primary.kill();
    let (_, mut sink) = flushing.await.unwrap();
    let began = tokio::time::Instant::now();
    while let Err(e) = try_once(sink.as_mut(), 1).await {
        assert_eq!(e.remedy(), Remedy::Retry, "{e}");
        assert!(began.elapsed() < Duration::from_secs(60), "{e}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    deliver(sink.as_mut(), 2).await;
    assert!(replica.ask(&["ROLE"]).contains("master"));
    assert!(listed(&replica) == (0..3 * ROWS).collect::<Vec<_>>(), "each once, in order");
    for ((source, queue, _), rows) in ends.iter_mut().zip([30_000, 6_000]) {
        while queue.rows.len() < rows {
            queue.append(&pull_through(source.as_mut(), &queue.positions).await);
        }
        // The connection that removes may learn only now that its primary is gone.
        while let Err(e) = source.settle(&queue.positions).await {
            assert_eq!(e.remedy(), Remedy::Retry, "{e}");
            assert!(began.elapsed() < Duration::from_secs(120), "{e}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(queue.rows == all[..rows]);
    }
    // The subscription was cut, and is made again at the new primary.
    loop {
        replica.ask(&["PUBLISH", "news", "again"]);
        match tokio::time::timeout(Duration::from_millis(100), listening.pull()).await {
            Ok(Ok(pulled)) => break assert_eq!(texts(&pulled.unwrap())[0], "again"),
            Ok(Err(e)) => assert_eq!(e.remedy(), Remedy::Retry, "{e}"),
            Err(_) => {}
        }
    }
}
