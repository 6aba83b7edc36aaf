//! Servers of other kinds, and those that are refused.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use millstream_core::Remedy;
use millstream_core::queue::Epoch;
use millstream_core::record::Offset;
use millstream_queue::redis::Durability;
use millstream_redis::Tls;
use millstream_testkit::laws::queue::read_all;
use millstream_testkit::redis::{RedisServer, has_redis};

use super::{Place, append_all, assert_all_once, checkpoint, numbered, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_replica_are_refused_with_what_to_do() {
    if !has_redis("a_wrong_password_and_a_replica_are_refused_with_what_to_do") {
        return;
    }
    let server = RedisServer::start(&["--requirepass", "right"]);
    let url = |login: &str| format!("redis://{login}127.0.0.1:{}", server.port());
    for login in ["", ":wrong@"] {
        let e = Place::at(&url(login)).refused().await;
        assert_eq!(e.remedy(), Remedy::Stop, "{e}");
        assert!(e.to_string().contains("check the user and the password"), "{e}");
        assert!(!e.to_string().contains("wrong@"), "{e}");
    }
    Place::at(&url(":right@")).open().await.append(&[numbered(0)]).await.unwrap();
    let port = server.port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port, "--masterauth", "right"]);
    let e = Place::of(&replica).refused().await;
    assert_eq!(e.remedy(), Remedy::Stop, "{e}");
    assert!(e.to_string().contains(&format!("replica of 127.0.0.1:{port}")), "{e}");
    let e = Place::at("redis://127.0.0.1:1").refused().await;
    assert_eq!(e.remedy(), Remedy::Retry, "{e}");
}

/// The commands that docs/redis-queue.md says a user needs.
fn documented_commands() -> Vec<String> {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis-queue.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let line = docs.lines().find(|l| l.starts_with("ACL SETUSER millstream")).unwrap();
    line.split_whitespace().skip(3).map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_acl_is_enough_and_a_database_is_kept_apart() {
    if !has_redis("the_documented_acl_is_enough_and_a_database_is_kept_apart") {
        return;
    }
    let server = RedisServer::forgetful();
    let rules = documented_commands();
    let mut setuser = vec!["ACL", "SETUSER", "millstream"];
    setuser.extend(rules.iter().map(String::as_str));
    assert!(server.ask(&setuser).starts_with("+OK"), "{setuser:?}");
    let url = format!("redis://millstream:secret@127.0.0.1:{}", server.port());
    let place = Place::at(&url);
    let queue = place.open().await;
    queue.append(&[numbered(0)]).await.unwrap();
    assert!(queue.take_role(&millstream_core::role::Role::Process).await.unwrap());
    let side = queue.side("dead").unwrap();
    side.append(&["letter".into()]).await.unwrap();
    let mut sealed = super::checkpoint(1, 1);
    sealed.sides.insert("dead".into(), side.extent());
    sealed.chunks.push(queue.put_chunk("v", "k", "state".into()).await.unwrap());
    queue.commit(&sealed).await.unwrap();
    queue.trim(Offset(1), millstream_core::queue::Epoch(1)).await.unwrap();
    assert_eq!(queue.collectors().await.unwrap(), 1);
    assert_eq!(queue.holders().await.unwrap().len(), 1);
    queue.positions().await.unwrap();
    tokio::time::timeout(std::time::Duration::from_millis(100), queue.wait(Offset(1)))
        .await
        .unwrap_err();
    queue.close().await.unwrap();
    // The same name in another database is another queue.
    let apart = Place::at(&format!("{}/3", server.url())).open().await;
    assert_eq!(apart.status().end, Offset(0));
    apart.append(&[numbered(7)]).await.unwrap();
    let queue = place.open().await;
    assert_eq!(queue.status().end, Offset(1));
    apart.append(&[numbered(8)]).await.unwrap();
    assert_eq!(read_all(&*apart, Offset(0)).await, [numbered(7), numbered(8)]);
    // Without one of the commands the error says where they are listed.
    server.ask(&["ACL", "SETUSER", "millstream", "-fcall"]);
    let e = place.refused().await;
    assert_eq!(e.remedy(), Remedy::Stop);
    assert!(e.to_string().contains("ACL SETUSER"), "{e}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
    let (cert, key, ca) = (path("server.pem"), path("server.key"), path("client.pem"));
    let _server = RedisServer::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
    ]);
    let mut place = Place::at(&format!("rediss://localhost:{port}"));
    let tls = Tls {
        ca: Some(cert.into()),
        cert: Some(path("client.pem").into()),
        key: Some(path("client.key").into()),
    };
    place.options.tls = Some(tls.clone());
    let queue = place.open().await;
    for task in append_all(&queue, 50) {
        within(10, task).await.unwrap();
    }
    assert_all_once(&*place.open().await, 50).await;
    // Without a certificate of its own, or with a server that nobody vouches for, it does not get in.
    place.options.tls = Some(Tls { cert: None, key: None, ..tls.clone() });
    place.refused().await;
    place.options.tls = Some(Tls { ca: None, ..tls });
    place.refused().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_server_can_be_asked_to_wait_for_its_disk_it_is() {
    if !has_redis("where_the_server_can_be_asked_to_wait_for_its_disk_it_is") {
        return;
    }
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut place = Place::of(&server);
    let queue = place.open().await;
    for task in append_all(&queue, 20) {
        within(30, task).await.unwrap();
    }
    queue.commit(&checkpoint(1, 20)).await.unwrap();
    let can = server.ask(&["COMMAND", "INFO", "WAITAOF"]).contains("waitaof");
    let waits = |server: &RedisServer| {
        let stats = server.ask(&["INFO", "commandstats"]);
        let calls = stats.lines().find_map(|l| l.strip_prefix("cmdstat_waitaof:calls="));
        calls.and_then(|l| l.split(',').next()).map_or(0, |n| n.parse::<u64>().unwrap())
    };
    assert_eq!(waits(&server) > 0, can);
    assert_all_once(&*place.open().await, 20).await;
    // Whoever does not want to wait does not.
    let before = waits(&server);
    place.options.durability = Durability::Relaxed;
    place.open().await.append(&[numbered(20)]).await.unwrap();
    assert_eq!(waits(&server), before);
}

/// Three nodes, each with a third of the slots.
async fn cluster() -> [RedisServer; 3] {
    let start = || {
        let safe = ["--appendonly", "yes", "--appendfsync", "always"];
        RedisServer::start(&[&["--cluster-enabled", "yes"][..], &safe].concat())
    };
    let nodes = [start(), start(), start()];
    for (node, range) in nodes.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
        node.ask(&["CLUSTER", "ADDSLOTSRANGE", range.0, range.1]);
        node.ask(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port().to_string()]);
    }
    let whole = |node: &RedisServer| {
        let info = node.ask(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
    };
    within(30, async {
        while !nodes.iter().all(whole) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_whose_node_is_killed() {
    if !has_redis("on_a_cluster_whose_node_is_killed") {
        return;
    }
    let mut nodes = cluster().await;
    let place = Place::at(&format!("redis+cluster://127.0.0.1:{}", nodes[1].port()));
    let queue = place.open().await;
    let tasks = append_all(&queue, 200);
    // The node that has the keys: the others say that they were moved there.
    let has =
        |node: &RedisServer| !node.ask(&["EXISTS", "millstream:{test}:meta"]).starts_with("-MOVED");
    let home = nodes.iter().position(has).unwrap();
    nodes[home].kill();
    tokio::time::sleep(Duration::from_millis(100)).await;
    nodes[home].restart();
    for task in tasks {
        within(60, task).await.unwrap();
    }
    assert_all_once(&*queue, 200).await;
    let side = queue.side("dead").unwrap();
    let mut sealed = checkpoint(1, 100);
    sealed.chunks.push(queue.put_chunk("v", "k", "state".into()).await.unwrap());
    side.append(&["letter".into()]).await.unwrap();
    sealed.sides.insert("dead".into(), side.extent());
    queue.commit(&sealed).await.unwrap();
    queue.trim(Offset(100), Epoch(1)).await.unwrap();
    let other = place.open().await;
    assert_eq!(read_all(&*other, Offset(100)).await.len(), 100);
    let (waiting, last) = (other.wait(Offset(200)), [numbered(200)]);
    let (waited, appended) = within(5, async { tokio::join!(waiting, queue.append(&last)) }).await;
    waited.unwrap();
    appended.unwrap();
    assert_eq!(other.identity().1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_that_moves_the_queue_to_another_node() {
    if !has_redis("on_a_cluster_that_moves_the_queue_to_another_node") {
        return;
    }
    let nodes = cluster().await;
    let place = Place::at(&format!("redis+cluster://127.0.0.1:{}", nodes[1].port()));
    let queue = place.open().await;
    let meta = "millstream:{test}:meta";
    let moved = |node: &RedisServer| node.ask(&["EXISTS", meta]).starts_with("-MOVED");
    let home = nodes.iter().position(|node| !moved(node)).unwrap();
    let (from, to) = (&nodes[home], &nodes[(home + 1) % 3]);
    let tasks = append_all(&queue, 300);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let word = |answer: String| answer.lines().last().unwrap().trim_start_matches(':').to_owned();
    let slot = word(from.ask(&["CLUSTER", "KEYSLOT", meta]));
    let (from_id, to_id) =
        (word(from.ask(&["CLUSTER", "MYID"])), word(to.ask(&["CLUSTER", "MYID"])));
    to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    // Key by key, while appends go on.
    let port = to.port().to_string();
    loop {
        let answer = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]);
        let Some(key) = answer.lines().nth(2) else { break };
        let answer = from.ask(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
        assert!(answer.starts_with("+OK"), "{key}: {answer}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    for node in [to, from] {
        node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    for task in tasks {
        within(60, task).await.unwrap();
    }
    assert!(!moved(to) && moved(from));
    assert_all_once(&*queue, 300).await;
    assert_all_once(&*place.open().await, 300).await;
    assert_eq!(queue.identity().1, 0, "nothing was lost");
}

/// A program that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinel_whose_primary_is_killed() {
    if !has_redis("behind_sentinel_whose_primary_is_killed") {
        return;
    }
    let mut primary = RedisServer::safe();
    let port = primary.port().to_string();
    let replica =
        RedisServer::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
    let folder = tempfile::tempdir().unwrap();
    let (config, sentinel) = (folder.path().join("sentinel.conf"), free_port());
    let lines = format!(
        "port {sentinel}\nsentinel monitor main 127.0.0.1 {port} 1\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
    );
    std::fs::write(&config, lines).unwrap();
    let _sentinel = Running(
        Command::new("redis-server")
            .arg(&config)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let place = Place::at(&format!("redis+sentinel://127.0.0.1:{sentinel}/main"));
    let queue = place.open().await;
    for n in 0..20 {
        queue.append(&[numbered(n)]).await.unwrap();
    }
    let behind = || !replica.ask(&["HGET", "millstream:{test}:meta", "end"]).contains("\n20");
    within(30, async {
        while behind() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // And the Sentinel has to know of it.
        tokio::time::sleep(Duration::from_secs(11)).await;
    })
    .await;
    primary.kill();
    within(60, queue.append(&[numbered(20)])).await.unwrap();
    assert_all_once(&*queue, 21).await;
    assert_eq!(queue.identity().1, 0, "nothing was lost");
    assert!(replica.ask(&["ROLE"]).contains("master"));
    // Nobody looked after this one: a promoted replica may lack what the primary took last.
    drop(queue);
    assert_eq!(place.open().await.identity().1, 0, "this life was looked into");
}
