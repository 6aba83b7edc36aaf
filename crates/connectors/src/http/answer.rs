//! One request and what came of it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millstream_core::plugin::Act;
use millstream_core::{Error, Timestamp};
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::Method;
use super::client::causes;
use super::poller::{Poller, VALIDATOR_BYTES_MAX, Validators};

/// What one request brought.
pub(super) enum Answer {
    /// A body, and by what to tell whether it changes.
    Body(Bytes, Validators),
    /// Nothing new.
    Same,
}

/// Why a request brought nothing, and when to ask again.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) again: Again,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// At the usual pace: asking sooner or later would change nothing.
    AsUsual,
    /// Soon, then less and less often.
    BackOff,
    /// Not before this time has passed, by the server's word.
    After(Duration),
}

/// `Retry-After` beyond this is taken for a mistake.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

impl Poller {
    /// Asks once.
    pub(super) async fn ask(&self) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let answer = self.exchange().await;
        self.shared.env.report.took(Act::Request, begun.elapsed());
        answer
    }

    async fn exchange(&self) -> Result<Answer, Failure> {
        let options = &self.shared.options;
        let mut request = match options.method {
            Method::Get => self.client.get(self.target.url.clone()),
            Method::Post => self.client.post(self.target.url.clone()),
        };
        request = request.headers(self.shared.headers.clone()).timeout(options.timeout.0);
        if let Some(body) = &options.body {
            request = request.body(body.clone());
        }
        for (name, value) in
            [(IF_NONE_MATCH, &self.validators.etag), (IF_MODIFIED_SINCE, &self.validators.modified)]
        {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let response = request.send().await.map_err(|e| self.broken(e, "no answer"))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT {
            return Ok(Answer::Same);
        }
        if !status.is_success() {
            return Err(self.refusal(status, response.headers()));
        }
        let validators = self.validators_of(response.headers());
        Ok(Answer::Body(self.body(response).await?, validators))
    }

    /// Reads a body within its bound; hyper sees to it that it is as long as it said.
    async fn body(&self, mut response: Response) -> Result<Bytes, Failure> {
        let max = self.shared.options.body_max;
        let too_large = || Failure {
            error: Error::retry(format!("the answer is larger than {max}"))
                .at(&*self.target.name)
                .fix("ask for less at a time, or raise `body_max`"),
            again: Again::BackOff,
        };
        let told = response.content_length().unwrap_or(0);
        if told > max.0 {
            return Err(too_large());
        }
        let mut whole = Bytes::new();
        let mut parts = BytesMut::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|e| self.broken(e, "the answer broke off"))?
        {
            if (whole.len() + parts.len() + chunk.len()) as u64 > max.0 {
                return Err(too_large());
            }
            // Most answers come in one piece, which then needs no copy.
            if whole.is_empty() && parts.is_empty() {
                whole = chunk;
                continue;
            }
            if parts.is_empty() {
                parts.reserve(usize::try_from(told).unwrap_or(0).max(whole.len() + chunk.len()));
                parts.extend_from_slice(&std::mem::take(&mut whole));
            }
            parts.extend_from_slice(&chunk);
        }
        Ok(if parts.is_empty() { whole } else { parts.freeze() })
    }

    fn broken(&self, error: reqwest::Error, what: &str) -> Failure {
        let what = if error.is_timeout() && !error.is_connect() {
            format!("{what} within {}", self.shared.options.timeout)
        } else if error.is_redirect() {
            "the answer leads in circles".into()
        } else {
            what.into()
        };
        let error = Error::retry(what).at(&*self.target.name).because(causes(error));
        Failure { error, again: Again::BackOff }
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let error = Error::retry(format!("the server answered `{status}`")).at(&*self.target.name);
        if status.is_redirection() {
            let fix = "give the URL it leads to; secrets are not sent on to another host";
            return Failure { error: error.fix(fix), again: Again::AsUsual };
        }
        let busy =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let wait = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let wait = wait.and_then(|text| retry_after(text, self.shared.env.clock.now()));
        let again = match wait {
            Some(wait) if busy => Again::After(wait.min(RETRY_AFTER_MAX)),
            _ if busy || status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Again::BackOff
            }
            _ => Again::AsUsual,
        };
        let error = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                error.fix("check `auth` and `headers`")
            }
            StatusCode::TOO_MANY_REQUESTS => error.fix("ask less often: raise `every`"),
            _ => error,
        };
        Failure { error, again }
    }

    fn validators_of(&self, headers: &HeaderMap) -> Validators {
        if !self.shared.options.conditional || self.shared.options.method == Method::Post {
            return Validators::default();
        }
        let text = |name: HeaderName| {
            let text = headers.get(name)?.to_str().ok()?;
            (text.len() <= VALIDATOR_BYTES_MAX).then(|| text.to_owned())
        };
        Validators { etag: text(ETAG), modified: text(LAST_MODIFIED) }
    }
}

/// Seconds, or the time until a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp(date.timestamp_micros()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = Timestamp(784_111_777_000_000);
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after(date, now.after(Duration::from_secs(60))), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
