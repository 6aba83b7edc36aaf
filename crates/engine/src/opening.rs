//! Opens the queue of a run, and waits a little for what holds it only for a moment.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_core::plugin::QueueOpener;
use millstream_core::queue::Queue;
use millstream_core::{Error, Remedy, Result};
use tokio::time::Instant;

use crate::back_off::BackOff;
use crate::control;

/// How long it waits for a queue that another process holds: a verb such as `dead` has it for as long as it reads.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_millis(400);

/// Where state of windows is spilled to. Nothing that lies there outlives the process.
pub(crate) fn spill_folder(opener: &dyn QueueOpener) -> PathBuf {
    match opener.folder() {
        Some(folder) => folder.join("spill"),
        None => own_spill_folder(),
    }
}

/// The same where there is no folder of a queue.
pub(crate) fn own_spill_folder() -> PathBuf {
    std::env::temp_dir().join(format!("millstream-spill-{}", std::process::id()))
}

/// Empties that: a process that ended amid making a file may have left it.
pub(crate) fn sweep(opener: &dyn QueueOpener) -> Result<()> {
    let folder = spill_folder(opener);
    match std::fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::stop(format!(
            "`{}` cannot be emptied",
            folder.display()
        ))
        .fix("remove it: state of windows is spilled there, and nobody needs what is left of it")
        .because(e)),
        _ => Ok(()),
    }
}

/// The queue, opened for a run.
pub(crate) async fn open(opener: &dyn QueueOpener, pipeline: &str) -> Result<Arc<dyn Queue>> {
    let mut back_off = BackOff::new(pipeline, WAIT_MAX);
    let began = Instant::now();
    loop {
        let held = match opener.open().await {
            // Several processes may have it at once, so that nobody holds it; and a server that is away is told of.
            Err(error) if error.remedy() == Remedy::Retry && !opener.shared() => error,
            Ok(queue) => return sweep(opener).map(|()| queue),
            other => return other,
        };
        if began.elapsed() >= PATIENCE || runs_already(opener).await {
            return Err(held.with_remedy(Remedy::Stop));
        }
        tracing::debug!(pipeline, error = %held.line(), "waits for the queue");
        tokio::time::sleep(back_off.next()).await;
    }
}

/// Whether a running pipeline holds it, which no patience helps against.
async fn runs_already(opener: &dyn QueueOpener) -> bool {
    match opener.folder() {
        Some(folder) => control::listens(&folder).await,
        None => false,
    }
}

/// Tries again for as long as the queue is held by what may soon let go of it: for verbs, which are short.
///
/// # Errors
/// As the last try.
pub async fn patiently<T, F>(mut tried: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut back_off = BackOff::new("verb", WAIT_MAX);
    let began = Instant::now();
    loop {
        match tried().await {
            Err(error) if error.remedy() == Remedy::Retry && began.elapsed() < PATIENCE => {
                tokio::time::sleep(back_off.next()).await;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;

    /// A queue that is held for so many tries.
    struct Held {
        tries: AtomicU32,
        folder: Option<PathBuf>,
    }

    impl Held {
        fn of(tries: u32) -> Self {
            Self { tries: AtomicU32::new(tries), folder: None }
        }
    }

    #[async_trait]
    impl QueueOpener for Held {
        async fn open(&self) -> Result<Arc<dyn Queue>> {
            let left = self.tries.load(Ordering::SeqCst);
            self.tries.store(left.saturating_sub(1), Ordering::SeqCst);
            // What comes of it at last is told from what is waited for by its remedy.
            let error = if left > 0 { Error::retry("held") } else { Error::stop("had") };
            Err(error)
        }

        fn folder(&self) -> Option<PathBuf> {
            self.folder.clone()
        }

        fn durable(&self) -> bool {
            true
        }

        fn side_bytes_max(&self) -> u64 {
            0
        }

        fn describe(&self) -> Vec<String> {
            Vec::new()
        }
    }

    async fn told(held: &Held) -> String {
        let error = open(held, "p").await.err().unwrap();
        assert_eq!(error.remedy(), Remedy::Stop);
        error.what().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_held_for_a_moment_is_waited_for_and_no_longer() {
        assert_eq!(told(&Held::of(5)).await, "had");
        let began = Instant::now();
        assert_eq!(told(&Held::of(u32::MAX)).await, "held");
        assert!((PATIENCE..PATIENCE * 2).contains(&began.elapsed()));
    }

    #[tokio::test]
    async fn one_that_a_running_pipeline_holds_is_told_of_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let _running = tokio::net::UnixListener::bind(folder.path().join(control::SOCKET)).unwrap();
        let held = Held { folder: Some(folder.path().to_owned()), ..Held::of(u32::MAX) };
        let began = Instant::now();
        assert_eq!(told(&held).await, "held");
        assert!(began.elapsed() < PATIENCE / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_verb_tries_again_what_may_pass_and_nothing_else() {
        let held = Held::of(3);
        let error = patiently(|| held.open()).await.err().unwrap();
        assert_eq!((error.what(), held.tries.load(Ordering::SeqCst)), ("had", 0));
        let held = Held::of(u32::MAX);
        assert_eq!(patiently(|| held.open()).await.err().unwrap().what(), "held");
    }
}
