//! Where a Redis is, as the pipeline file says it: a URL, also for Sentinel and for a cluster.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Unexpected;
use serde::{Deserialize, Deserializer};

/// A URL of one server, of Sentinels, or of nodes of a cluster. It shows itself without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) kind: Kind,
    /// Host and port of each.
    pub(crate) nodes: Vec<(String, u16)>,
    pub(crate) tls: bool,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    One,
    /// A socket file.
    Unix(PathBuf),
    /// The name that the Sentinels know the primary by.
    Sentinel(String),
    Cluster,
}

const FORMS: &str = "`redis://host:6379/0`, `rediss://…` for TLS, `redis+unix:///path/to/socket`, \
     `redis+sentinel://host1:26379,host2:26379/primary-name/0` or `redis+cluster://host1:7000,host2:7001`";

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it: it may have a password in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| format!("no URL of a Redis: write {FORMS}"))?;
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match scheme {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(format!("`{scheme}` is no scheme of a Redis URL: write {FORMS}")),
        };
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(l, r)| (Some(l), r));
        let (username, password) = match login {
            None => (None, None),
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let some = |text: &str| (!text.is_empty()).then(|| decoded(text)).transpose();
                (some(user)?, some(password)?)
            }
        };
        if kind == "unix" {
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            if tls || path.is_empty() {
                return Err("a socket is written `redis+unix:///path/to/socket?db=0`".into());
            }
            let database = match query.strip_prefix("db=") {
                Some(n) => database(n)?,
                None if query.is_empty() => 0,
                None => return Err("only `?db=0` may follow the path of a socket".into()),
            };
            let kind = Kind::Unix(PathBuf::from(decoded(path)?));
            return Ok(Self { kind, nodes: Vec::new(), tls, username, password, database });
        }
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = if kind == "sentinel" { 26_379 } else { 6_379 };
        let nodes = hosts.split(',').map(|host| node(host, port)).collect::<Result<Vec<_>, _>>()?;
        let (kind, path) = match kind {
            "" if nodes.len() == 1 => (Kind::One, path),
            "" => return Err(format!("several hosts need to say what they are: write {FORMS}")),
            "cluster" => (Kind::Cluster, path),
            "sentinel" => {
                let (name, path) = path.split_once('/').unwrap_or((path, ""));
                if name.is_empty() {
                    return Err("the name of the primary is missing: \
                         `redis+sentinel://host1:26379,host2:26379/primary-name/0`"
                        .into());
                }
                (Kind::Sentinel(decoded(name)?), path)
            }
            other => return Err(format!("`+{other}` is not known: write {FORMS}")),
        };
        let database = if path.is_empty() { 0 } else { database(path)? };
        if kind == Kind::Cluster && database != 0 {
            return Err("a cluster has only database 0".into());
        }
        Ok(Self { kind, nodes, tls, username, password, database })
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| "not UTF-8 after percent-decoding".into())
}

fn database(text: &str) -> Result<i64, String> {
    let number = text.parse::<u16>().map_err(|_| format!("`{text}` is no number of a database"))?;
    Ok(number.into())
}

fn node(text: &str, port: u16) -> Result<(String, u16), String> {
    let (host, given) = match text.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(format!("a host is missing: write {FORMS}"));
    }
    let port = match given {
        None => port,
        Some(given) => given.parse().map_err(|_| format!("`{given}` is no port"))?,
    };
    Ok((host.to_owned(), port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss" } else { "redis" })?;
        f.write_str(match self.kind {
            Kind::One => "://",
            Kind::Unix(_) => "+unix://",
            Kind::Sentinel(_) => "+sentinel://",
            Kind::Cluster => "+cluster://",
        })?;
        if let Some(user) = &self.username {
            write!(f, "{user}@")?;
        }
        for (i, (host, port)) in self.nodes.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if host.contains(':') {
                write!(f, "{comma}[{host}]:{port}")?;
            } else {
                write!(f, "{comma}{host}:{port}")?;
            }
        }
        match &self.kind {
            Kind::Unix(path) => write!(f, "{}", path.display())?,
            Kind::Sentinel(name) => write!(f, "/{name}")?,
            Kind::One | Kind::Cluster => {}
        }
        match (&self.kind, self.database) {
            (_, 0) => Ok(()),
            (Kind::Unix(_), n) => write!(f, "?db={n}"),
            (_, n) => write!(f, "/{n}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        Self::parse(&text).map_err(|why| {
            // The text itself may have a password in it.
            let found = Unexpected::Other("another text");
            serde::de::Error::invalid_value(found, &format!("a Redis URL ({why})").as_str())
        })
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "RedisUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": format!("Where a Redis is: {FORMS}."),
            "pattern": "^(redis|rediss|valkey|valkeys)(\\+(unix|sentinel|cluster))?://.+|\\$\\{"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_shown_without_its_password() {
        for (text, shown) in [
            ("redis://h", "redis://h:6379"),
            ("rediss://me:s3%40cret@h:1/3", "rediss://me@h:1/3"),
            ("valkey://:s3cret@[::1]:7", "redis://[::1]:7"),
            ("redis+unix:///run/r.sock?db=2", "redis+unix:///run/r.sock?db=2"),
            ("redis+sentinel://:s3cret@a,b:2/main/1", "redis+sentinel://a:26379,b:2/main/1"),
            ("rediss+cluster://u:s3cret@a:1,b:2", "rediss+cluster://u@a:1,b:2"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("cret"));
        }
        assert_eq!(Address::parse("redis://:a%40b@h").unwrap().password.as_deref(), Some("a@b"));
    }

    #[test]
    fn what_is_no_url_of_a_redis_is_refused_without_repeating_a_password() {
        for text in [
            "h:6379",
            "http://:s3cret@h",
            "redis://:s3cret@",
            "redis://:s3cret@h:port",
            "redis://:s3cret@a,b",
            "redis://h/x",
            "redis+sentinel://a,b",
            "redis+cluster://a/1",
            "redis+else://a",
        ] {
            let why = Address::parse(text).unwrap_err();
            assert!(!why.contains("cret"), "{text}: {why}");
        }
    }
}
