//! One request and what came of it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millstream_core::fields::Span;
use millstream_core::plugin::Act;
use millstream_core::{Error, Timestamp};
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
    RETRY_AFTER,
};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::Method;
use super::client::{causes, is_polled};
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

/// `Retry-After` beyond this is taken for a mistake, unless `back_off_max` is longer still.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

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
        let response =
            request.send().await.map_err(|e| self.broken(e, "no answer", "no answer"))?;
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
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|e| self.broken(e, "the answer broke off", "the answer was not whole"))?
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

    /// A request that came to no end: `what` happened, or it was `late`.
    fn broken(&self, error: reqwest::Error, what: &str, late: &str) -> Failure {
        let failure = |what: String, error, again| Failure {
            error: Error::retry(what).at(&*self.target.name).because(causes(error)),
            again,
        };
        if error.is_redirect() {
            let failure = failure("the answer leads in circles".into(), error, Again::AsUsual);
            let fix = "give the URL that answers; what a server wants first (a header, `auth`) may be missing";
            return Failure { error: failure.error.fix(fix), ..failure };
        }
        let what = if error.is_timeout() && !error.is_connect() {
            format!("{late} within {}", self.shared.options.timeout)
        } else {
            what.into()
        };
        failure(what, error, Again::BackOff)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        if status.is_redirection() {
            return self.misled(status, headers);
        }
        let busy =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let wait = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let wait = wait.and_then(|text| retry_after(text, self.shared.env.clock.now()));
        let longest = RETRY_AFTER_MAX.max(self.shared.options.back_off_max.0);
        let mut what = format!("the server answered `{status}`");
        let again = match wait {
            Some(wait) if busy => {
                if wait > longest {
                    let (asked, longest) = (asked(wait), Span(longest));
                    what.push_str(&format!(
                        ", to be asked again in {asked}, which is cut: the next try is in {longest}"
                    ));
                }
                Again::After(wait.min(longest))
            }
            _ if busy || status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Again::BackOff
            }
            _ => Again::AsUsual,
        };
        let error = Error::retry(what).at(&*self.target.name);
        let error = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                error.fix("check `auth` and `headers`; until then it is asked at the usual pace")
            }
            StatusCode::TOO_MANY_REQUESTS => error.fix("ask less often: raise `every`"),
            _ => error,
        };
        Failure { error, again }
    }

    /// A redirect that was not followed.
    fn misled(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let location = headers.get(LOCATION).and_then(|v| v.to_str().ok());
        let to = location.and_then(|to| self.target.url.join(to).ok());
        let (where_to, fix) = match &to {
            None => (", and leads nowhere".to_owned(), "give the URL that answers"),
            Some(to) if !is_polled(to) => (
                format!(", and leads to a URL of scheme `{}`, which is not polled", to.scheme()),
                "give the `http` or `https` URL that answers",
            ),
            Some(to) => (
                format!(", and leads to another host, `{}`", to.host_str().unwrap_or_default()),
                "give the URL it leads to; secrets are not sent on to another host",
            ),
        };
        let error = Error::retry(format!("the server answered `{status}`{where_to}"));
        Failure { error: error.at(&*self.target.name).fix(fix), again: Again::AsUsual }
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

/// A wait as people read it: whole seconds, and no more days than anybody would count.
fn asked(wait: Duration) -> String {
    const SHOWN_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
    if wait > SHOWN_MAX {
        return "more than a year".to_owned();
    }
    Span(Duration::from_secs(wait.as_secs())).to_string()
}

/// Seconds, or the time until a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than can be counted are a long time.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
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
        assert_eq!(retry_after("-5", now), None);
        assert_eq!(retry_after("", now), None);
        let long = retry_after("99999999999999999999", now).unwrap();
        assert!(long > RETRY_AFTER_MAX, "{long:?}");
        assert_eq!(asked(long), "more than a year");
        assert_eq!(asked(Duration::from_millis(7_200_500)), "2h");
    }
}
