//! A process under measurement: its CPU time and peak memory, read from `/proc`.

use std::path::Path;
use std::process::{Child, ChildStdin, Command};
use std::time::Duration;

use crate::Fault;

/// Clock ticks per second of `/proc/PID/stat` on Linux.
const TICKS: f64 = 100.0;

/// A running child; it is ended when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self, Fault> {
        command
            .spawn()
            .map(Self)
            .map_err(|e| format!("cannot start {}: {e}", command.get_program().display()).into())
    }

    /// CPU seconds so far, user and system, of all threads.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu_seconds(&self) -> Result<f64, Fault> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let after = stat.rsplit_once(')').ok_or("no `)` in stat")?.1;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).ok_or("no ticks");
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// Peak resident memory in MiB.
    ///
    /// # Errors
    /// It is gone.
    pub fn peak_mib(&self) -> Result<f64, Fault> {
        self.memory_mib("VmHWM:")
    }

    /// Resident memory now, in MiB.
    ///
    /// # Errors
    /// It is gone.
    pub fn resident_mib(&self) -> Result<f64, Fault> {
        self.memory_mib("VmRSS:")
    }

    fn memory_mib(&self, what: &str) -> Result<f64, Fault> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|l| l.starts_with(what)).ok_or("no such memory")?;
        let kib: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// The other end of its standard input, if that is a pipe and was not taken before.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.0.stdin.take()
    }

    /// Asks it to stop (SIGINT) and waits.
    ///
    /// # Errors
    /// It does not stop within 30 s, or not with exit code 0.
    pub fn stop(mut self) -> Result<(), Fault> {
        Command::new("kill").args(["-INT", &self.0.id().to_string()]).status()?;
        for _ in 0..300 {
            if let Some(status) = self.0.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("ended with {status}").into())
                };
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("did not stop within 30 s".into())
    }

    /// Waits until it ends by itself, reading CPU time and memory until then.
    ///
    /// # Errors
    /// It ended with another code than 0.
    pub fn wait(mut self) -> Result<(f64, f64), Fault> {
        let mut seen = (0.0, 0.0);
        loop {
            if let (Ok(cpu), Ok(peak)) = (self.cpu_seconds(), self.peak_mib()) {
                seen = (cpu, peak);
            }
            if let Some(status) = self.0.try_wait()? {
                return if status.success() {
                    Ok(seen)
                } else {
                    Err(format!("ended with {status}").into())
                };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

/// The release binary beside this benchmark's own.
///
/// # Errors
/// It has not been built.
pub fn millstream() -> Result<std::path::PathBuf, Fault> {
    let path = std::env::current_exe()?.with_file_name("millstream");
    if Path::new(&path).exists() {
        Ok(path)
    } else {
        Err(format!("{} is missing: run `cargo build --release` first", path.display()).into())
    }
}
