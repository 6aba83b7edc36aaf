//! The API that is polled: each request gets the next rows, none twice.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tokio::time::Instant;

use crate::Fault;

/// Bodies made ahead at most: some 800 MB of rows of 75 bytes.
const READY_MAX: u64 = 10_000;

/// What the API serves, and what it has seen.
#[derive(Debug)]
pub struct Api {
    next: AtomicU64,
    rows: u64,
    per_body: u64,
    /// Bodies made before anything is timed; later ones are made when asked for.
    ready: Vec<Bytes>,
    polls: Mutex<BTreeMap<u64, Vec<Instant>>>,
}

impl Api {
    /// Serves `rows` rows in bodies of `per_body`, then empty ones.
    #[must_use]
    pub fn new(rows: u64, per_body: u64) -> Arc<Self> {
        let ready = (0..(rows / per_body).min(READY_MAX))
            .map(|i| render(i * per_body, (i + 1) * per_body).into())
            .collect();
        Arc::new(Self { next: AtomicU64::new(0), rows, per_body, ready, polls: Mutex::default() })
    }

    /// Starts serving on a free port of 127.0.0.1, on threads of its own.
    ///
    /// # Errors
    /// No port can be had.
    pub fn serve(self: &Arc<Self>) -> Result<SocketAddr, Fault> {
        let router = Router::new()
            .route("/realtime-data", get(body))
            .route("/source/{id}", get(of_source))
            .with_state(self.clone());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || -> Result<(), Fault> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                tell.send(listener.local_addr()?)?;
                use axum::serve::ListenerExt as _;
                let listener = listener.tap_io(|io| drop(io.set_nodelay(true)));
                axum::serve(listener, router).await?;
                Ok(())
            })
        });
        Ok(told.recv()?)
    }

    /// Rows given out so far.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.rows)
    }

    /// When each source was polled.
    #[must_use]
    pub fn polls(&self) -> BTreeMap<u64, Vec<Instant>> {
        self.polls.lock().clone()
    }

    fn body(&self) -> Bytes {
        let from = self.next.fetch_add(self.per_body, Ordering::Relaxed).min(self.rows);
        let index = usize::try_from(from / self.per_body).unwrap_or(usize::MAX);
        match self.ready.get(index) {
            Some(body) => body.clone(),
            None => render(from, (from + self.per_body).min(self.rows)).into(),
        }
    }
}

/// Whether row `id` has a value over 100.
#[must_use]
pub fn passes(id: u64) -> bool {
    value(id) > 10_000
}

/// The value of row `id`, in hundredths: half of them are over 100.
fn value(id: u64) -> u64 {
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 20_000
}

/// A body with rows `from..to`.
#[must_use]
pub fn render(from: u64, to: u64) -> String {
    let mut out = String::with_capacity(32 + usize::try_from(to - from).unwrap_or(0) * 90);
    out.push_str("{\"items\":[");
    for id in from..to {
        if id > from {
            out.push(',');
        }
        row(&mut out, id);
    }
    out.push_str("]}");
    out
}

/// One row, about 70 bytes.
pub fn row(out: &mut String, id: u64) {
    let v = value(id);
    // Writing to a string cannot fail.
    let written = write!(
        out,
        "{{\"id\":{id},\"sensor\":\"sensor-{:04}\",\"value\":{}.{:02},\"ts\":{}}}",
        id % 1000,
        v / 100,
        v % 100,
        1_760_000_000_000 + id
    );
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

async fn body(State(api): State<Arc<Api>>) -> ([(&'static str, &'static str); 1], Bytes) {
    ([("content-type", "application/json")], api.body())
}

async fn of_source(
    State(api): State<Arc<Api>>,
    Path(id): Path<u64>,
) -> ([(&'static str, &'static str); 1], Bytes) {
    api.polls.lock().entry(id).or_default().push(Instant::now());
    ([("content-type", "application/json")], api.body())
}
