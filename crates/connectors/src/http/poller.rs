//! One URL's schedule: when it is asked, and when again after a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millstream_core::fields::Span;
use millstream_core::plugin::Env;
use millstream_core::record::{Name, Position, Record};
use millstream_core::source::Pulled;
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use url::Url;

use super::Http;
use super::answer::{Again, Answer, Failure};

/// What all polls of one source have in common.
pub(super) struct Shared {
    pub(super) env: Env,
    pub(super) options: Http,
    pub(super) headers: HeaderMap,
    pub(super) at_once: Semaphore,
}

/// What is polled.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) name: Name,
    pub(super) every: Span,
}

/// Polls one URL for as long as it is not dropped.
pub(super) struct Poller {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Arc<Client>,
    pub(super) target: Target,
    pub(super) validators: Validators,
    pub(super) answers: mpsc::Sender<Pulled>,
}

/// The first polls of many URLs are spread over this time at most.
const SPREAD_MAX: Duration = Duration::from_secs(5);
/// The first wait after a failure; each further one is twice as long.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);

impl Poller {
    /// Polls until nobody takes the answers any more.
    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        let every = self.target.every.0;
        let mut due = Instant::now() + every.min(SPREAD_MAX).mul_f64(phase());
        let mut failures = 0;
        loop {
            let jitter = shared.options.jitter.0.mul_f64(fastrand::f64());
            tokio::time::sleep_until(due + jitter).await;
            let Ok(turn) = shared.at_once.acquire().await else { return };
            let report = &shared.env.report;
            match self.ask().await {
                Ok(answer) => {
                    report.fine(&self.target.name);
                    failures = 0;
                    // Held until the answer is taken, so that no more bodies pile up than are allowed at once.
                    let taken = match answer {
                        Answer::Body(body, validators) => {
                            let pulled = self.pulled(body, validators);
                            self.answers.send(pulled).await.is_ok()
                        }
                        Answer::Same => true,
                    };
                    if !taken {
                        return;
                    }
                    due = next_due(due, every, Instant::now());
                }
                Err(Failure { error, again }) => {
                    report.trouble(&self.target.name, &error);
                    failures += 1;
                    let now = Instant::now();
                    due = match again {
                        Again::AsUsual => next_due(due, every, now),
                        Again::BackOff => now + self.back_off(failures),
                        Again::After(wait) => now + wait.max(self.back_off(1)),
                    };
                }
            }
            drop(turn);
        }
    }

    fn pulled(&mut self, body: Bytes, validators: Validators) -> Pulled {
        let position =
            (validators != self.validators).then(|| validators.position(&self.target.url));
        self.validators = validators;
        Pulled {
            split: self.target.name.clone(),
            records: vec![Record::new(body)],
            position,
            ended: false,
        }
    }

    /// Twice as long after each failure, give or take a quarter.
    fn back_off(&self, failures: u32) -> Duration {
        let every = self.target.every.0;
        let longest = self.shared.options.back_off_max.0.max(every);
        let first = every.min(BACK_OFF_MIN);
        let wait = first.saturating_mul(1 << (failures - 1).min(20)).min(longest);
        wait.mul_f64(0.75 + fastrand::f64() / 2.0)
    }
}

/// The next moment of the schedule that is not over yet: missed ones are left out, the phase is kept.
fn next_due(due: Instant, every: Duration, now: Instant) -> Instant {
    let next = due + every;
    if next >= now {
        return next;
    }
    let late = (now - next).as_nanos();
    let missed = late.div_ceil(every.as_nanos().max(1));
    let skipped = u64::try_from(missed * every.as_nanos()).map_or(every, Duration::from_nanos);
    next + skipped
}

/// Spreads pollers evenly over a cycle, however many there will be: 0, 1/2, 1/4, 3/4, 1/8 and so on
/// (van der Corput's sequence). The first one of the process begins at once.
fn phase() -> f64 {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    let nth = BEGUN.fetch_add(1, Ordering::Relaxed);
    f64::from(nth.reverse_bits()) / (f64::from(u32::MAX) + 1.0)
}

/// By what a server tells whether an answer is new. Kept in the split's position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
}

/// Longer validators are not kept: a position travels in every frame.
pub(super) const VALIDATOR_BYTES_MAX: usize = 256;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of the URL, so that another one under the same name does not inherit what is not its own.
    url: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
}

impl Validators {
    /// What a position says about this URL. A position that cannot be read only costs one answer that is not new.
    pub(super) fn after(position: Option<&Position>, url: &Url) -> Self {
        let kept = position.and_then(|p| serde_json::from_slice::<Kept>(&p.0).ok());
        match kept {
            Some(kept) if kept.url == digest(url) => {
                Self { etag: kept.etag, modified: kept.modified }
            }
            _ => Self::default(),
        }
    }

    fn position(&self, url: &Url) -> Position {
        let kept =
            Kept { url: digest(url), etag: self.etag.clone(), modified: self.modified.clone() };
        Position(serde_json::to_vec(&kept).unwrap_or_default().into())
    }
}

fn digest(url: &Url) -> u64 {
    xxhash_rust::xxh3::xxh3_64(url.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_schedule_keeps_its_phase_and_leaves_out_what_it_missed() {
        let (start, every) = (Instant::now(), Duration::from_millis(100));
        let ms = |n| start + Duration::from_millis(n);
        assert_eq!(next_due(start, every, ms(0)), ms(100));
        assert_eq!(next_due(start, every, ms(99)), ms(100));
        assert_eq!(next_due(start, every, ms(101)), ms(200));
        assert_eq!(next_due(start, every, ms(200)), ms(200));
        assert_eq!(next_due(start, every, ms(12_345)), ms(12_400));
    }

    #[test]
    fn validators_are_kept_for_their_own_url_only() {
        let (a, b) = (Url::parse("http://h/?a").unwrap(), Url::parse("http://h/?b").unwrap());
        let validators = Validators { etag: Some("\"x\"".into()), modified: None };
        let position = validators.position(&a);
        assert_eq!(Validators::after(Some(&position), &a), validators);
        assert_eq!(Validators::after(Some(&position), &b), Validators::default());
        assert_eq!(Validators::after(Some(&Position("?".into())), &a), Validators::default());
    }
}
