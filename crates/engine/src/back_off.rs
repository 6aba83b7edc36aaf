//! How long to wait before trying again: doubling, bounded, with jitter.

use std::time::Duration;

/// The wait before the first new try.
const FIRST: Duration = Duration::from_millis(100);

/// Doubling waits from 100 ms up to a bound, each shortened by up to a quarter at random.
#[derive(Clone, Debug)]
pub(crate) struct BackOff {
    max: Duration,
    tries: u32,
    random: fastrand::Rng,
}

impl BackOff {
    /// Starts anew; the same name gives the same jitter, so that simulations repeat.
    pub(crate) fn new(name: &str, max: Duration) -> Self {
        let seed = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        Self { max, tries: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let full = FIRST.saturating_mul(1u32 << self.tries.min(16)).min(self.max);
        self.tries = self.tries.saturating_add(1);
        full.mul_f64(0.75 + 0.25 * self.random.f64())
    }

    /// It works again.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut b = BackOff::new("x", Duration::from_secs(2));
        let waits: Vec<Duration> = (0..40).map(|_| b.next()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST.mul_f64(0.75));
        assert!(waits[3] > waits[1]);
        assert!(waits.iter().all(|w| *w <= Duration::from_secs(2)));
        b.reset();
        assert!(b.next() <= FIRST);
    }
}
