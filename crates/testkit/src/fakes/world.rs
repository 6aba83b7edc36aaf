//! Chance, time and the end of the world: one seed decides them all.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use millstream_core::{Error, Remedy, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How often things go wrong, in thousandths of all acts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// An act of a source fails.
    pub source: u32,
    /// An act of a sink fails, and so do its next few.
    pub sink: u32,
    /// A queue that has no room for a while.
    pub queue: u32,
    /// An act that was done tells of failure all the same.
    pub after: u32,
    /// An act takes some time.
    pub slow: u32,
}

/// A fault that a test orders: it hits the act of this name, once.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The act, such as `sink.b.flush`.
    pub act: String,
    /// How many acts of that name go well first.
    pub after: u32,
    /// What the engine is told to do about it.
    pub remedy: Remedy,
    /// Whether the act was done before it failed.
    pub done: bool,
}

struct State {
    random: fastrand::Rng,
    odds: Odds,
    acts: u64,
    crash_at: Option<u64>,
    crashed: bool,
    kill: Option<(String, u32)>,
    orders: Vec<Fault>,
    log: Option<Vec<String>>,
}

/// What all fakes of one simulation share.
#[derive(Clone)]
pub struct World {
    state: Arc<Mutex<State>>,
    end: Arc<Notify>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World({} acts)", self.acts())
    }
}

impl World {
    /// A world in which nothing goes wrong until it is told to.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            odds: Odds::default(),
            acts: 0,
            crash_at: None,
            crashed: false,
            kill: None,
            orders: Vec::new(),
            log: None,
        };
        Self { state: Arc::new(Mutex::new(state)), end: Arc::new(Notify::new()) }
    }

    /// Sets how often things go wrong from now on.
    pub fn set_odds(&self, odds: Odds) {
        self.state.lock().odds = odds;
    }

    /// Orders a fault.
    pub fn order(&self, fault: Fault) {
        self.state.lock().orders.push(fault);
    }

    /// Takes back all faults that have not struck yet.
    pub fn forget_faults(&self) {
        self.state.lock().orders.clear();
    }

    /// Begins to write down the names of all acts.
    pub fn listen(&self) {
        self.state.lock().log = Some(Vec::new());
    }

    /// The acts written down so far.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.state.lock().log.clone().unwrap_or_default()
    }

    /// How many acts there have been.
    #[must_use]
    pub fn acts(&self) -> u64 {
        self.state.lock().acts
    }

    /// The process dies at the act that comes `after` acts from now; `None`: it lives.
    pub fn crash_in(&self, after: Option<u64>) {
        let mut state = self.state.lock();
        state.crash_at = after.map(|n| state.acts + n);
        state.crashed = false;
        state.kill = None;
    }

    /// The process dies as it begins the act of this name for the `nth` time from now, counted from 0.
    pub fn kill_at(&self, act: &str, nth: u32) {
        let mut state = self.state.lock();
        state.kill = Some((act.to_owned(), nth));
        state.crashed = false;
    }

    /// After a death: the next process lives.
    pub(super) fn revive(&self) {
        let mut state = self.state.lock();
        if state.crashed {
            (state.crashed, state.crash_at) = (false, None);
        }
    }

    /// Waits for the process to die.
    pub async fn crashed(&self) {
        self.end.notified().await;
    }

    /// A number below `n` by chance.
    pub fn below(&self, n: u64) -> u64 {
        self.state.lock().random.u64(0..n.max(1))
    }

    /// Whether something that happens in so many of a thousand cases happens now.
    pub fn chance(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000) < u64::from(per_mille)
    }

    /// The odds in force.
    #[must_use]
    pub fn odds(&self) -> Odds {
        self.state.lock().odds
    }

    /// One moment of an act: the process may die here, and time may pass.
    pub async fn moment(&self) {
        if self.dies() {
            future::pending::<()>().await;
        }
        let slow = self.odds().slow;
        if self.chance(slow) {
            let micros = self.below(4000);
            tokio::time::sleep(Duration::from_micros(micros)).await;
            if self.state.lock().crashed {
                future::pending::<()>().await;
            }
        }
    }

    fn dies(&self) -> bool {
        let mut state = self.state.lock();
        state.acts += 1;
        if !state.crashed && state.crash_at.is_some_and(|at| state.acts >= at) {
            state.crashed = true;
            self.end.notify_one();
        }
        state.crashed
    }

    /// Begins the act `name`.
    ///
    /// # Errors
    /// As ordered by a fault that strikes before the act is done.
    pub async fn begin(&self, name: &str) -> Result<()> {
        self.strike(name);
        self.moment().await;
        if let Some(log) = &mut self.state.lock().log {
            log.push(name.to_owned());
        }
        self.ordered(name, false)
    }

    /// Ends the act `name`, which was done.
    ///
    /// # Errors
    /// As ordered by a fault that strikes after the act is done.
    pub async fn end(&self, name: &str) -> Result<()> {
        self.moment().await;
        self.ordered(name, true)
    }

    /// Kills the process if this is the act it was to die at.
    fn strike(&self, name: &str) {
        let mut state = self.state.lock();
        match &mut state.kill {
            Some((act, 0)) if act == name => {
                state.kill = None;
                state.crash_at = Some(state.acts);
            }
            Some((act, nth)) if act == name => *nth -= 1,
            _ => {}
        }
    }

    fn ordered(&self, name: &str, done: bool) -> Result<()> {
        let mut state = self.state.lock();
        let Some(at) = state.orders.iter().position(|f| f.done == done && f.act == name) else {
            return Ok(());
        };
        let Some(fault) = state.orders.get_mut(at) else { return Ok(()) };
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        let remedy = state.orders.remove(at).remedy;
        Err(Error::new(remedy, format!("`{name}` fails as ordered")))
    }
}
