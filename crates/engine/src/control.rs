//! A running pipeline is asked, not raced: a Unix socket in the data folder takes requests.
//!
//! One JSON object a line each way. See [`Request`] and [`Answer`]. Until the answer is there, a space comes each second
//! as a sign of life: a process that is frozen sends none, and is not waited for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use millstream_core::{Error, Result};

use crate::dead_letters::DeadLetter;
use crate::desk::{self, Desk, Pick};
use crate::process::Ask;
use crate::seal::Shared;

/// The socket's name in the data folder.
pub const SOCKET: &str = "control.sock";

/// The longest request that is read.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

/// Between two signs of life while an answer is being made.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// How long a running pipeline may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// What one can ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Dead letters that match.
    List(Pick),
    /// Drops dead letters.
    Drop(Pick),
    /// Sends dead letters through the pipeline again.
    Replay(Pick),
    /// The live numbers.
    Status,
}

/// What comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Dead letters with their numbers.
    Letters(Vec<(u64, DeadLetter)>),
    /// How many were dropped or replayed, and how many of those asked for could not be, with the reason.
    Done(desk::Outcome),
    /// The live numbers.
    Status(Box<crate::Snapshot>),
    /// It could not be done.
    Failed(String),
}

/// The listening end.
pub(crate) struct Control {
    task: Option<(JoinHandle<()>, PathBuf)>,
}

impl Control {
    /// Listens in the queue's folder, if it has one.
    pub(crate) fn start(
        folder: Option<PathBuf>,
        pipeline: &str,
        shared: Arc<Shared>,
        asks: mpsc::Sender<Ask>,
    ) -> Result<Self> {
        let Some(folder) = folder else { return Ok(Self { task: None }) };
        let path = folder.join(SOCKET);
        // Whoever holds the queue's lock owns the socket: one left by a crash is stale.
        drop(std::fs::remove_file(&path));
        let listener = match UnixListener::bind(&path) {
            Ok(l) => l,
            Err(e) => {
                // A path too long for a socket, say: everything else still works.
                tracing::warn!(pipeline, path = %path.display(), error = %e, "cannot listen for `millstream dead` and `status` while running");
                return Ok(Self { task: None });
            }
        };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, asks) = (shared.clone(), asks.clone());
                tokio::spawn(async move {
                    if let Err(e) = serve(stream, shared, asks).await {
                        tracing::debug!(error = %e, "a control connection ended");
                    }
                });
            }
        });
        Ok(Self { task: Some((task, path)) })
    }

    pub(crate) async fn stop(self) {
        if let Some((task, path)) = self.task {
            task.abort();
            drop(task.await);
            drop(std::fs::remove_file(path));
        }
    }
}

async fn serve(
    stream: UnixStream,
    shared: Arc<Shared>,
    asks: mpsc::Sender<Ask>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(REQUEST_BYTES_MAX)).read_line(&mut line).await?;
    let made = async {
        match serde_json::from_str(&line) {
            Ok(request) => match answer(request, &shared, &asks).await {
                Ok(answer) => answer,
                Err(e) => Answer::Failed(shared.status.redact(&e.to_string())),
            },
            Err(e) => Answer::Failed(format!("cannot read the request: {e}")),
        }
    };
    tokio::pin!(made);
    let mut alive = tokio::time::interval(ALIVE_EVERY);
    let answer = loop {
        tokio::select! {
            answer = &mut made => break answer,
            _ = alive.tick() => write.write_all(b" ").await?,
        }
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await
}

async fn answer(request: Request, shared: &Shared, asks: &mpsc::Sender<Ask>) -> Result<Answer> {
    let desk = Desk::new(shared.dead.as_ref(), shared.queue.as_ref(), shared.clock.as_ref());
    Ok(match request {
        Request::Status => Answer::Status(Box::new(shared.status.snapshot())),
        Request::List(pick) => Answer::Letters(desk.list(&pick).await?),
        Request::Drop(pick) => {
            let letters = desk.list(&pick).await?;
            let outcome = desk::Outcome::of(&letters);
            commit(shared, letters.iter().map(|(n, _)| *n).collect(), asks).await?;
            Answer::Done(outcome)
        }
        Request::Replay(pick) => {
            let (numbers, outcome) = desk.replay(&pick).await?;
            commit(shared, numbers, asks).await?;
            Answer::Done(outcome)
        }
    })
}

/// Has the running loop commit that letters are gone.
async fn commit(shared: &Shared, numbers: Vec<u64>, asks: &mpsc::Sender<Ask>) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let first = desk::first_after(shared.dead.as_ref(), &numbers).await?;
    // The room is there at once, for the loop may be waiting for it; a crash before the commit gives the letters back.
    shared.dead.trim(first).await?;
    let (done, told) = oneshot::channel();
    let ask = Ask::Dead { entry: desk::gone(numbers), done };
    let stopped = || Error::retry("the pipeline stopped before this was committed");
    asks.send(ask).await.map_err(|_| stopped())?;
    told.await.map_err(|_| stopped())
}

/// Whether a running pipeline listens in this folder.
pub(crate) async fn listens(folder: &Path) -> bool {
    UnixStream::connect(folder.join(SOCKET)).await.is_ok()
}

/// Asks a running pipeline, if one listens in this folder; `None` if none does.
///
/// # Errors
/// `Retry` when the connection breaks, `Stop` when the pipeline is silent, and what the pipeline itself answers.
pub async fn ask(folder: &Path, request: &Request) -> Result<Option<Answer>> {
    let connect = UnixStream::connect(folder.join(SOCKET));
    // Where nobody takes connections, so many of them wait that this one does not come to wait.
    let Ok(connected) = tokio::time::timeout(SILENCE_MAX, connect).await else {
        return Err(silent(folder, None));
    };
    let Ok(mut stream) = connected else { return Ok(None) };
    let holder = stream.peer_cred().ok().and_then(|holder| holder.pid());
    let broken = |e: std::io::Error| Error::retry("the running pipeline did not answer").because(e);
    let mut bytes = serde_json::to_vec(request)
        .map_err(|e| Error::stop("cannot write the request").because(e))?;
    bytes.push(b'\n');
    let wrote = tokio::time::timeout(SILENCE_MAX, stream.write_all(&bytes)).await;
    wrote.map_err(|_| silent(folder, holder))?.map_err(broken)?;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let read = tokio::time::timeout(SILENCE_MAX, stream.read_buf(&mut line)).await;
        if read.map_err(|_| silent(folder, holder))?.map_err(broken)? == 0 {
            return Err(Error::retry("the running pipeline broke off before it answered"));
        }
    }
    match serde_json::from_slice(&line) {
        Ok(Answer::Failed(text)) => Err(Error::stop(text)),
        Ok(answer) => Ok(Some(answer)),
        Err(e) => Err(Error::stop("the running pipeline's answer cannot be read")
            .because(e)
            .fix("it may be of another version: stop it and ask again")),
    }
}

fn silent(folder: &Path, holder: Option<i32>) -> Error {
    let (who, wake) = match holder {
        Some(id) => (format!("process {id}"), format!("`kill -CONT {id}`")),
        None => ("another process".to_owned(), "`kill -CONT`".to_owned()),
    };
    Error::stop(format!("the pipeline of {who} holds the queue and does not answer"))
        .at(folder.display().to_string())
        .fix(format!("it may be suspended ({wake} lets it go on) or starved: look at it, or end it; what the queue holds is kept"))
}
