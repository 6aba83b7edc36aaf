//! A real HTTP server with an endless API of known items.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Json, Router};
use serde_json::json;
use tokio::runtime::Runtime;

/// Items in each answer.
pub const ITEMS: u64 = 100;

/// A server on a free port, as long as it lives.
pub struct Api {
    address: SocketAddr,
    served: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Api {
    /// `/items` gives the next items at each call; `/broken` fails; `/html` is no JSON.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let served = Arc::new(AtomicU64::new(0));
        let router =
            Router::new().route("/{what}", axum::routing::get(answer)).with_state(served.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, served, _runtime: runtime }
    }

    pub fn url(&self, what: &str) -> String {
        format!("http://{}/{what}", self.address)
    }

    /// How many answers with items it has given.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

/// The value of an item: half of them are above 100.
pub fn value(id: u64) -> u64 {
    id % 200 + 1
}

async fn answer(
    State(served): State<Arc<AtomicU64>>,
    Path(what): Path<String>,
) -> axum::response::Response {
    match what.as_str() {
        "broken" => (StatusCode::INTERNAL_SERVER_ERROR, "broken").into_response(),
        "html" => "<html><body>it works</body></html>".into_response(),
        _ => {
            let first = served.fetch_add(1, Ordering::SeqCst) * ITEMS;
            let items: Vec<_> = (first..first + ITEMS)
                .map(|id| json!({ "id": id, "sensor": "t1", "value": value(id), "ts": "2026-11-23T05:00:00Z" }))
                .collect();
            Json(json!({ "items": items })).into_response()
        }
    }
}
