//! A pipeline that is started, killed and brought to its end, again and again.

use std::time::Duration;

use crate::bench::{Bench, Done, Running};

/// The beginning of a file whose source `readings` makes 40,000 rows a hundredth of a second apart, over 400 s of event time.
pub const READINGS: &str = r#"name: job
sources:
  readings:
    from:
      generate:
        rows: 40000
        rate: "${RATE}"
        seed: 7
        fields:
          id: { sequence: { start: 0 } }
          ms: { sequence: { start: 1790000000000, step: 10 } }
          sensor: { choice: [a, b, c, d, e] }
          value: { random_walk: { start: 20, step: 0.7, min: -1000, max: 1000 } }
    columns: { id: int64, ms: timestamp_ms, sensor: string, value: float64 }"#;

/// The file `job.yaml` in a folder of its own, with what it names of the environment.
pub struct Job {
    pub bench: Bench,
    environment: Vec<(&'static str, String)>,
}

impl Job {
    pub fn new(file: &str) -> Self {
        let bench = Bench::new();
        bench.write("job.yaml", file);
        Self { bench, environment: Vec::new() }
    }

    /// The same with a variable.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable for what is started from now on.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.into()));
    }

    pub fn start(&self, args: &[&str]) -> Running {
        self.start_at("", args)
    }

    /// Starts it where rows are made at this rate, the variable `RATE`.
    pub fn start_at(&self, rate: &str, args: &[&str]) -> Running {
        let mut command = self.bench.command(&["run", "job.yaml", "--json"]);
        command.args(args).env("RATE", rate);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        Running::of(command)
    }

    /// Starts one of four processes that share a queue: two collect, two process.
    pub fn start_one_of_four(&self, slot: usize, rate: &str) -> Running {
        self.start_at(rate, &["--only", if slot < 2 { "collect" } else { "process" }])
    }

    /// Brings what is left to its end.
    #[track_caller]
    pub fn finish(&self) -> Done {
        self.start_at("1000000/s", &["--once"]).done().with_code(0)
    }
}

impl Running {
    /// Kills it after so many milliseconds, in which it must not have ended by itself.
    #[track_caller]
    pub fn kill_after(mut self, ms: u64) {
        millis(ms);
        assert!(!self.ended(), "it ended by itself");
        self.kill();
    }
}

pub fn millis(n: u64) {
    std::thread::sleep(Duration::from_millis(n));
}

/// Random numbers that a failing test can be run with again.
#[expect(clippy::print_stderr, reason = "a test that fails tells its seed")]
pub fn random() -> fastrand::Rng {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}: run again with SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
