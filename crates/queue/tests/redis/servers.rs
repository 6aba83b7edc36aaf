//! Servers of other kinds, and those that are refused.

use millstream_core::Remedy;
use millstream_core::record::Offset;
use millstream_testkit::laws::queue::read_all;
use millstream_testkit::redis::{RedisServer, has_redis};

use super::{Place, numbered};

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
