//! A pipeline that runs, is fed through its standard input, and is asked how it goes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::Fault;
use crate::metrics::{Metrics, free_address, get};
use crate::once::on_core;
use crate::process::Process;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running pipeline; it is killed when dropped.
#[derive(Debug)]
pub struct Live {
    /// Its process.
    pub process: Process,
    address: SocketAddr,
}

impl Live {
    /// Starts `run` of a file, with a pipe for standard input.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(file: &Path, more: &[&str]) -> Result<Self, Fault> {
        let address = free_address()?;
        let process = Process::start(
            on_core(None)?
                .args(["run", "--listen", &address.to_string()])
                .args(more)
                .arg(file)
                .stdin(Stdio::piped())
                .stderr(std::fs::File::create(file.with_extension("told"))?)
                .stdout(Stdio::null()),
        )?;
        Ok(Self { process, address })
    }

    /// The other end of its standard input.
    ///
    /// # Errors
    /// It was taken before.
    pub fn input(&mut self) -> Result<ChildStdin, Fault> {
        self.process.input().ok_or_else(|| "its input was taken before".into())
    }

    /// Its numbers now.
    ///
    /// # Errors
    /// It does not answer.
    pub fn metrics(&self) -> Result<Metrics, Fault> {
        Metrics::read(self.address)
    }

    /// Whether it has recovered and opened its sinks.
    #[must_use]
    pub fn ready(&self) -> bool {
        get(self.address, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Waits until it is ready, looking every millisecond.
    ///
    /// # Errors
    /// It is not in a long time.
    pub fn until_ready(&self) -> Result<(), Fault> {
        until(|| Ok(self.ready().then_some(())), Duration::from_millis(1))
    }

    /// Waits until its numbers are so, and gives them.
    ///
    /// # Errors
    /// They are not in a long time.
    pub fn until(&self, so: impl Fn(&Metrics) -> bool, every: Duration) -> Result<Metrics, Fault> {
        until(|| Ok(Some(self.metrics()?).filter(&so)), every)
    }
}

/// Looks until there is something.
///
/// # Errors
/// Looking fails, or there is nothing in a long time.
pub fn until<T>(
    mut look: impl FnMut() -> Result<Option<T>, Fault>,
    every: Duration,
) -> Result<T, Fault> {
    let began = Instant::now();
    loop {
        if let Some(there) = look()? {
            return Ok(there);
        }
        if began.elapsed() > PATIENCE {
            return Err("it did not happen in a long time".into());
        }
        std::thread::sleep(every);
    }
}
