//! What the server says, asked over a real socket.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use millstream_core::clock::SystemClock;
use millstream_engine::Status;
use millstream_engine::status::Kind;
use millstream_web::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let code = text.split(' ').nth(1).unwrap().parse().unwrap();
    (code, text)
}

#[tokio::test]
async fn a_run_that_is_not_ready_is_alive_and_says_so() {
    let status = Status::new(Arc::new(SystemClock));
    status.part(Kind::Source, "readings").records.inc_by(7);
    let serving = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().serve(status);
    let at = serving.address();
    assert_eq!(get(at, "/healthz").await.0, 200);
    assert_eq!(get(at, "/readyz").await.0, 503);
    assert_eq!(get(at, "/nothing").await.0, 404);
    let (code, text) = get(at, "/metrics").await;
    assert_eq!(code, 200);
    assert!(text.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"), "{text}");
    assert!(text.contains("millstream_records_total{source=\"readings\"} 7"), "{text}");
    assert!(text.trim_end().ends_with("# EOF"), "{text}");
    let (code, text) = get(at, "/status").await;
    assert_eq!(code, 200);
    let body: serde_json::Value =
        serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["parts"][0]["records"], 7);
    assert_eq!(body["ready"], false);
}

#[tokio::test]
async fn a_port_in_use_is_a_clear_error() {
    let first = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = Server::bind(first.address()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on `{}`", first.address())), "{error}");
    assert!(error.contains("another program listens there"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_dropped_answers_no_more() {
    let status = Status::new(Arc::new(SystemClock));
    let serving = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().serve(status);
    let at = serving.address();
    assert_eq!(get(at, "/healthz").await.0, 200);
    drop(serving);
    // The task ends at its next turn; the port is then free again.
    for _ in 0..1000 {
        if Server::bind(at).await.is_ok() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the port is still taken");
}
