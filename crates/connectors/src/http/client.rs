//! HTTP clients, shared by all sources of the process that want the same, and URLs without their secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Once, Weak};
use std::time::Duration;

use millstream_core::{Error, Result};
use parking_lot::Mutex;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use url::Url;

/// What a client is made from. Sources that want the same share one, and with it the pool of connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    /// A PEM file of authorities to trust as well.
    pub(super) ca: Option<PathBuf>,
    /// Trusts anyone.
    pub(super) insecure: bool,
    /// Asks for packed answers.
    pub(super) gzip: bool,
    /// Does not follow a redirect to another host, since secrets are sent along.
    pub(super) sealed: bool,
    /// Whether trust matters at all.
    pub(super) https: bool,
}

type Clients = BTreeMap<(Wanted, Vec<u8>), Weak<Client>>;
static CLIENTS: LazyLock<Mutex<Clients>> = LazyLock::new(Mutex::default);

const CONNECT_MAX: Duration = Duration::from_secs(10);
const REDIRECTS_MAX: usize = 10;

/// The client that does what is wanted, made if there is none yet.
pub(super) async fn shared(wanted: &Wanted) -> Result<Arc<Client>> {
    let pem = match &wanted.ca {
        None => Vec::new(),
        Some(path) => tokio::fs::read(path).await.map_err(|e| {
            Error::stop("cannot read the certificates to trust")
                .at(path.display().to_string())
                .because(e)
                .fix("check the path and its permissions at `tls.ca`")
        })?,
    };
    let key = (wanted.clone(), pem);
    if let Some(client) = CLIENTS.lock().get(&key).and_then(Weak::upgrade) {
        return Ok(client);
    }
    // Made without the lock, for it reads the machine's certificates; a second one made meanwhile does no harm.
    let client = Arc::new(make(wanted, &key.1)?);
    let mut clients = CLIENTS.lock();
    clients.retain(|_, client| client.strong_count() > 0);
    Ok(match clients.get(&key).and_then(Weak::upgrade) {
        Some(first) => first,
        None => {
            clients.insert(key, Arc::downgrade(&client));
            client
        }
    })
}

fn make(wanted: &Wanted, pem: &[u8]) -> Result<Client> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that the program has chosen one already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    let place = wanted.ca.as_ref().map_or(String::new(), |p| p.display().to_string());
    let roots = Certificate::from_pem_bundle(pem).map_err(|e| {
        Error::stop("the certificates to trust cannot be read").at(place.clone()).because(e)
    })?;
    if wanted.ca.is_some() && roots.is_empty() {
        return Err(Error::stop("there is no certificate in the file of those to trust")
            .at(place)
            .fix("give a PEM file with `-----BEGIN CERTIFICATE-----` at `tls.ca`"));
    }
    let sealed = wanted.sealed;
    let builder = || {
        Client::builder()
            .user_agent(concat!("millstream/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            .gzip(wanted.gzip)
            .referer(false)
            .tls_danger_accept_invalid_certs(wanted.insecure)
            .redirect(Policy::custom(move |next| {
                let previous = next.previous();
                let elsewhere =
                    previous.first().is_some_and(|first| first.origin() != next.url().origin());
                if previous.len() > REDIRECTS_MAX {
                    next.error(format!("more than {REDIRECTS_MAX} redirects"))
                } else if (sealed && elsewhere) || !is_polled(next.url()) {
                    next.stop()
                } else {
                    next.follow()
                }
            }))
    };
    let made = builder().tls_certs_merge(roots).build();
    let made = match made {
        // A bare container has no certificates; plain HTTP needs none.
        Err(_) if !wanted.https => builder().tls_certs_only([]).build(),
        other => other,
    };
    made.map_err(|e| {
        Error::stop("cannot set up HTTPS")
            .because(e)
            .fix("install the machine's CA certificates, or name a PEM file at `tls.ca`")
    })
}

/// Whether it is of a scheme that is polled.
pub(super) fn is_polled(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The URL without its user, password, fragment and the values of its query: what people may see.
pub(super) fn redacted(url: &Url) -> String {
    let mut text = format!("{}://", url.scheme());
    text.push_str(url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        text.push_str(&format!(":{port}"));
    }
    text.push_str(url.path());
    for (i, pair) in url.query().unwrap_or_default().split('&').enumerate() {
        if pair.is_empty() {
            continue;
        }
        text.push(if i == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((key, _)) => {
                text.push_str(key);
                text.push_str("=***");
            }
            // A bare token, for all we know.
            None => text.push_str("***"),
        }
    }
    text
}

/// The value of an `Authorization` header for basic auth (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("Basic ");
    for chunk in format!("{user}:{password}").as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * i) & 63) as usize).copied().unwrap_or(b'=');
            text.push(char::from(if i > chunk.len() { b'=' } else { digit }));
        }
    }
    text
}

/// The causes of an error on one line, without the URL.
pub(super) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(c) = cause {
        let more = c.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = c.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_see_of_a_url_has_no_secrets() {
        for (url, seen) in [
            ("https://me:pw@h:8443/a/b?key=s3cret&x=1#frag", "https://h:8443/a/b?key=***&x=***"),
            ("http://h/?s3cret", "http://h/?***"),
            ("http://h", "http://h/"),
        ] {
            assert_eq!(redacted(&Url::parse(url).unwrap()), seen);
        }
    }

    #[test]
    fn basic_auth_is_base64() {
        // The examples of RFC 7617, and each length modulo 3.
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("a", ""), "Basic YTo=");
        assert_eq!(basic("a", "b"), "Basic YTpi");
        assert_eq!(basic("a", "bc"), "Basic YTpiYw==");
        assert_eq!(basic("test", "123£"), "Basic dGVzdDoxMjPCow==");
    }
}
