//! HTTP APIs, polled: whatever a URL answers becomes a record.

mod answer;
mod client;
mod poller;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_core::fields::{Bytes, Secret, Span};
use millstream_core::plugin::{Config, Env};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Result};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use poller::{Poller, Validators};

/// Polls one or more URLs; each answer (status 2xx) is one record, whatever it holds.
///
/// Each URL is a split with its own schedule. A URL that fails (no connection, time-out, 5xx, 429, an answer
/// cut short or too large) is tried again after 1s, 2s, 4s and so on, while the others go on. `Retry-After`
/// is honoured up to 1h, or up to `back_off_max` if that is longer. After any other 4xx, and after redirects that
/// lead in circles or to where they are not followed, the schedule is kept. Polls keep to their rate without drifting;
/// those missed in a stall are left out. Many URLs begin spread over `every`, or over 5s if that is shorter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// What to poll; `http` or `https`. A user and password in it are sent as basic auth.
    #[serde(default)]
    pub url: Option<Address>,
    /// Several URLs to poll, instead of `url`: each a text, or a map with `url`, `name` and `every`.
    #[serde(default)]
    pub urls: Vec<Target>,
    /// The time from poll to poll of each URL.
    #[serde(default = "five_seconds")]
    pub every: Span,
    /// Delays each poll by a random time up to this, so that many machines do not poll at one moment.
    #[serde(default)]
    pub jitter: Span,
    /// How to ask.
    #[serde(default)]
    pub method: Method,
    /// What to send along with `method: POST`; its type belongs into `headers`, such as `Content-Type: application/json`.
    #[serde(default)]
    pub body: Option<String>,
    /// Headers to send. Their values are taken for secrets and never printed.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Who asks.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How long one poll may take, from connecting to the last byte.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
    /// The largest answer to take, unpacked. A larger one counts as a failure.
    #[serde(default = "body_max")]
    pub body_max: Bytes,
    /// The longest time between two tries of a failing URL, if `every` is not longer.
    #[serde(default = "one_minute")]
    pub back_off_max: Span,
    /// How many polls of this source may be under way at one time.
    #[serde(default = "requests_max")]
    pub requests_max: u16,
    /// Whom to trust on `https`.
    #[serde(default)]
    pub tls: Tls,
    /// Whether to ask for packed answers.
    #[serde(default = "yes")]
    pub gzip: bool,
    /// Whether to ask only for what is new, by `ETag` and `Last-Modified`, where the server sends them.
    #[serde(default = "yes")]
    pub conditional: bool,
}

/// How to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// Sends `body` and reads the answer.
    Post,
}

/// Who asks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// A token, sent as `Authorization: Bearer …`.
    Bearer(Secret),
    /// A user and password, sent as `Authorization: Basic …`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// Whom to trust on `https`: by default the machine's own certificate authorities.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with certificates to trust as well, such as a company's own authority.
    #[serde(default)]
    pub ca: Option<String>,
    /// Trusts any certificate. Only for trying things out: whoever sits in between can read and change everything.
    #[serde(default)]
    pub insecure: bool,
}

/// A URL. Its user, password and the values of its query are never printed.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Address(String);

/// One of several URLs.
#[derive(Clone, Debug)]
pub struct Target {
    url: Address,
    name: Option<String>,
    every: Option<Span>,
}

fn five_seconds() -> Span {
    Span(Duration::from_secs(5))
}

fn half_a_minute() -> Span {
    Span(Duration::from_secs(30))
}

fn one_minute() -> Span {
    Span(Duration::from_secs(60))
}

fn body_max() -> Bytes {
    Bytes(16 << 20)
}

fn requests_max() -> u16 {
    1000
}

fn yes() -> bool {
    true
}

/// The shortest time between two polls of one URL.
const EVERY_MIN: Duration = Duration::from_millis(1);
/// Answers that may wait to be pulled: enough to never make a poll late, little enough to be no queue.
const ANSWERS_WAITING: usize = 16;

impl Config<dyn Source> for Http {
    const NAME: &'static str = "http";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        let targets = self.targets()?;
        let headers = self.header_map()?;
        let at_once = usize::from(self.requests_max);
        if at_once == 0 {
            return Err(Error::stop("`requests_max: 0` would never poll").fix("give 1 or more"));
        }
        self.check()?;
        for target in &targets {
            if target.every.0 < EVERY_MIN {
                return Err(Error::stop(format!("`every: {}` is too often to poll", target.every))
                    .fix("give 1ms or more"));
            }
        }
        let describe = describe(&targets, &self);
        let client = client::Wanted {
            ca: self.tls.ca.as_ref().map(|path| env.path(path)),
            insecure: self.tls.insecure,
            gzip: self.gzip,
            // Redirects to elsewhere would carry these along.
            sealed: !headers.is_empty(),
            https: targets.iter().any(|t| t.url.scheme() == "https"),
        };
        let shared = poller::Shared {
            env: env.clone(),
            headers,
            options: self,
            at_once: Semaphore::new(at_once),
        };
        Ok(Box::new(Polls {
            shared: Arc::new(shared),
            client,
            targets,
            answers: None,
            tasks: JoinSet::new(),
            describe,
        }))
    }
}

impl Http {
    /// Refuses what could never bring an answer, or would do nothing.
    fn check(&self) -> Result<()> {
        if self.timeout.0.is_zero() {
            return Err(Error::stop("`timeout: 0s` leaves no time for an answer")
                .fix("give a longer one, such as `30s`"));
        }
        if self.body_max.0 == 0 {
            return Err(Error::stop(format!("`body_max: {}` takes no answer", self.body_max))
                .fix("give more, such as `16MiB`"));
        }
        if self.body.is_some() && self.method == Method::Get {
            return Err(Error::stop("`body` is not sent with `method: GET`")
                .fix("give `method: POST`, or take `body` out"));
        }
        Ok(())
    }

    fn targets(&self) -> Result<Vec<poller::Target>> {
        let listed = match (&self.url, self.urls.as_slice()) {
            (Some(url), []) => vec![Target { url: url.clone(), name: None, every: None }],
            (None, urls) if !urls.is_empty() => urls.to_vec(),
            (Some(_), _) => {
                return Err(Error::stop("`url` and `urls` are given both").fix("keep one of them"));
            }
            (None, _) => {
                return Err(
                    Error::stop("there is no URL to poll").fix("give `url`, or a list of `urls`")
                );
            }
        };
        let mut taken = BTreeSet::new();
        listed.into_iter().map(|target| self.target(target, &mut taken)).collect()
    }

    fn target(&self, target: Target, taken: &mut BTreeSet<String>) -> Result<poller::Target> {
        let url = target.url.parse()?;
        let name = match target.name {
            Some(name) if taken.contains(&name) => {
                return Err(Error::stop(format!("two URLs have the name `{name}`"))
                    .fix("give each its own"));
            }
            Some(name) if name.is_empty() => {
                return Err(Error::stop("a URL has an empty name").fix("leave `name` out"));
            }
            Some(name) => name,
            None => {
                let plain = client::redacted(&url);
                // Two URLs may differ only in what is not to be seen.
                let mut names =
                    std::iter::once(plain.clone()).chain((2u32..).map(|n| format!("{plain} #{n}")));
                names.find(|n| !taken.contains(n)).unwrap_or(plain)
            }
        };
        taken.insert(name.clone());
        Ok(poller::Target { url, name: name.into(), every: target.every.unwrap_or(self.every) })
    }

    fn header_map(&self) -> Result<HeaderMap> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = |what: &str| Error::stop(what.to_owned()).at(format!("headers.{name}"));
            let parsed = HeaderName::try_from(name).map_err(|_| {
                wrong(&format!("`{name}` is no name of a header"))
                    .fix("use letters, digits and `-`, such as `X-Api-Key`")
            })?;
            map.append(
                parsed,
                secret(value.reveal()).map_err(|e| e.at(format!("headers.{name}")))?,
            );
        }
        let authorization = match &self.auth {
            None => return Ok(map),
            Some(_) if map.contains_key(AUTHORIZATION) => {
                return Err(Error::stop("both `auth` and a header `Authorization` say who asks")
                    .fix("keep one of them"));
            }
            Some(Auth::Bearer(token)) => format!("Bearer {}", token.reveal()),
            Some(Auth::Basic { user, password }) => client::basic(user, password.reveal()),
        };
        map.insert(AUTHORIZATION, secret(&authorization).map_err(|e| e.at("auth"))?);
        Ok(map)
    }
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::stop("the value of a header holds a line break or another sign that no header can")
            .fix("look for a line break at the end of the secret")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn describe(targets: &[poller::Target], options: &Http) -> String {
    let what = match targets {
        [one] => one.name.to_string(),
        several => format!("{} URLs", several.len()),
    };
    format!(
        "{what}, every {}, answers up to {}, at most {} s each, {} at once",
        options.every,
        options.body_max,
        options.timeout.0.as_secs_f64(),
        usize::from(options.requests_max).min(targets.len()),
    )
}

/// The polls of one source: a task for each URL, and the channel their answers come by.
struct Polls {
    shared: Arc<poller::Shared>,
    client: client::Wanted,
    targets: Vec<poller::Target>,
    answers: Option<mpsc::Receiver<Pulled>>,
    /// Dropped with the source, which ends them.
    tasks: JoinSet<()>,
    describe: String,
}

#[async_trait]
impl Source for Polls {
    async fn open(&mut self, after: &SplitPositions) -> Result<()> {
        self.tasks.abort_all();
        self.tasks = JoinSet::new();
        let client = client::shared(&self.client).await?;
        let (sender, answers) = mpsc::channel(ANSWERS_WAITING);
        for target in &self.targets {
            let poller = Poller {
                shared: self.shared.clone(),
                client: client.clone(),
                validators: Validators::after(after.get(&target.name), &target.url),
                target: target.clone(),
                answers: sender.clone(),
            };
            self.tasks.spawn(poller.run());
        }
        self.answers = Some(answers);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        let Some(answers) = &mut self.answers else {
            return Err(Error::reopen("the polls have not begun"));
        };
        tokio::select! {
            biased;
            Some(pulled) = answers.recv() => Ok(Some(pulled)),
            // A poll only ever ends by a bug: say so instead of going quiet.
            Some(Err(broken)) = self.tasks.join_next() => {
                Err(Error::reopen("a poll broke off").because(broken))
            }
            else => Err(Error::reopen("all polls broke off")),
        }
    }

    fn finite(&self) -> bool {
        false
    }

    fn replay(&self) -> Replay {
        Replay::Polled
    }

    fn describe(&self) -> String {
        self.describe.clone()
    }
}

impl Address {
    fn parse(&self) -> Result<url::Url> {
        // The text itself may hold a password, so it is not in the error.
        let fix = "write it as `https://host/path`";
        let url = url::Url::parse(&self.0)
            .map_err(|e| Error::stop("a URL cannot be read").because(e).fix(fix))?;
        if !client::is_polled(&url) {
            return Err(
                Error::stop(format!("`{}` is not a scheme that is polled", url.scheme())).fix(fix)
            );
        }
        Ok(url)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parse().map_or_else(|_| "***".into(), |url| client::redacted(&url)))
    }
}

/// The map form of a [`Target`].
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TargetMap {
    /// What to poll.
    url: Address,
    /// What it is called in metrics, logs and errors, instead of its URL.
    #[serde(default)]
    name: Option<String>,
    /// The time from poll to poll, instead of the source's.
    #[serde(default)]
    every: Option<Span>,
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a map with `url`, `name` and `every`")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Target, E> {
                Ok(Target { url: Address(url.to_owned()), name: None, every: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                let TargetMap { url, name, every } = TargetMap::deserialize(map)?;
                Ok(Target { url, name, every })
            }
        }
        d.deserialize_any(Look)
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (url, map) = (generator.subschema_for::<Address>(), TargetMap::json_schema(generator));
        json_schema!({
            "description": "A URL, or a map with `url`, `name` and `every`.",
            "anyOf": [url, map]
        })
    }
}

#[cfg(test)]
mod tests;
