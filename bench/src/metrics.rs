//! What a running pipeline says on `/metrics`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::Fault;

/// The numbers at one moment, by name with labels.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

/// An address that is free now.
///
/// # Errors
/// There is none.
pub fn free_address() -> Result<SocketAddr, Fault> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What is served at a path, headers too.
///
/// # Errors
/// Nobody answers.
pub fn get(address: SocketAddr, path: &str) -> Result<String, Fault> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

impl Metrics {
    /// The numbers now.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn read(address: SocketAddr) -> Result<Self, Fault> {
        let text = get(address, "/metrics")?;
        let number = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(Self(text.lines().filter(|l| l.starts_with("millstream_")).filter_map(number).collect()))
    }

    /// A number, without the prefix `millstream_`; 0 if it is not there.
    #[must_use]
    pub fn of(&self, name: &str) -> f64 {
        self.0.get(&format!("millstream_{name}")).copied().unwrap_or(0.0)
    }

    /// How often a histogram was told of something up to each of its bounds, of a part if one is named.
    fn bounds(&self, name: &str) -> Vec<(f64, f64)> {
        let prefix = format!("millstream_{name}_bucket{{");
        let mut bounds: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter_map(|(key, n)| {
                let (_, le) = key.strip_prefix(&prefix)?.split_once("le=\"")?;
                let le = le.split('"').next()?;
                Some((if le == "+Inf" { f64::INFINITY } else { le.parse().ok()? }, *n))
            })
            .collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        bounds
    }

    /// What a histogram was told since then.
    #[must_use]
    pub fn since(&self, before: &Self, name: &str) -> Spread {
        let before: Vec<f64> = before.bounds(name).iter().map(|b| b.1).collect();
        let now = self.bounds(name).into_iter().enumerate();
        Spread(now.map(|(i, (le, n))| (le, n - before.get(i).unwrap_or(&0.0))).collect())
    }
}

/// How values are spread over the buckets of a histogram.
#[derive(Clone, Debug)]
pub struct Spread(Vec<(f64, f64)>);

impl Spread {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |b| b.1)
    }

    /// The bound that so much of them (0 to 1) do not pass: their bucket's upper end.
    #[must_use]
    pub fn at(&self, part: f64) -> f64 {
        let wanted = (self.count() * part).ceil().max(1.0);
        self.0.iter().find(|b| b.1 >= wanted).map_or(f64::NAN, |b| b.0)
    }

    /// `at` in milliseconds, for people.
    #[must_use]
    pub fn ms(&self, part: f64) -> String {
        format!("{:.1}", self.at(part) * 1e3)
    }
}
