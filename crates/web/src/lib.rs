//! Metrics and health over HTTP: what a run says of itself, to programs.
//!
//! | path | what it gives |
//! |---|---|
//! | `/metrics` | every number, as `OpenMetrics` text for Prometheus |
//! | `/healthz` | 200 while the run is alive, 503 once it has stopped |
//! | `/readyz` | 200 once it is recovered and every sink is served, 503 before and after |
//! | `/status` | the same numbers as JSON, with troubles and the ledger |
//!
//! Nothing here writes, and nothing runs between requests.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use millstream_core::{Error, Result};
use millstream_engine::Status;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What `OpenMetrics` 1.0 asks to be called.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// An address that is taken, and not yet answered on.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// A server that answers. Dropped, it stops.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Takes the address; port 0 takes any free one.
    ///
    /// # Errors
    /// `Stop` when it cannot be had: in use, not of this machine, or not allowed.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|e| cannot_listen(address, e))?;
        let address = listener.local_addr().map_err(|e| cannot_listen(address, e))?;
        Ok(Self { listener, address })
    }

    /// The address it has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers with the numbers of `status`, on the runtime this is called on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn serve(self, status: Arc<Status>) -> Serving {
        let Self { listener, address } = self;
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router(status)).await {
                tracing::error!(%error, "metrics and health are no longer served");
            }
        });
        Serving { address, task }
    }
}

impl Serving {
    /// The address it answers on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(status: Arc<Status>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/status", get(snapshot))
        .with_state(status)
}

async fn metrics(State(status): State<Arc<Status>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], status.metrics())
}

async fn health(State(status): State<Arc<Status>>) -> impl IntoResponse {
    if status.alive() {
        (StatusCode::OK, "alive\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopped\n")
    }
}

async fn ready(State(status): State<Arc<Status>>) -> impl IntoResponse {
    if status.ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn snapshot(State(status): State<Arc<Status>>) -> impl IntoResponse {
    Json(status.snapshot())
}

fn cannot_listen(address: SocketAddr, error: std::io::Error) -> Error {
    let fix = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program listens there, perhaps this pipeline itself: choose another port, or 0 for any free one"
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need privileges: choose a higher one"
        }
        _ => "choose an address of this machine, such as `127.0.0.1:9464`",
    };
    Error::stop(format!("cannot listen on `{address}`")).because(error).fix(fix)
}
