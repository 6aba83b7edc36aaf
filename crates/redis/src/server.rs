//! A server as the pipeline file describes it.

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use millstream_core::fields::Secret;
use millstream_core::plugin::Env;
use millstream_core::{Error, Result};
use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _,
    RedisConnectionInfo, TlsCertificates, TlsMode, io::tcp::TcpSettings,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address::{Address, Kind};
use crate::error::explain;
use crate::link::Link;

/// Certificates for a `rediss://` server. Without them, the machine's own authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file of authorities to trust instead of the machine's own.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// A PEM file of the certificate to show the server, with `key`.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// A PEM file of the key to that certificate.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// Where a server is and how to get in.
#[derive(Clone, Debug)]
pub struct Server {
    address: Address,
    password: Option<Secret>,
    tls: Tls,
    /// The longest wait for an answer.
    timeout: Duration,
}

const CONNECT_MAX: Duration = Duration::from_secs(5);

impl Server {
    /// A server by what the file says; paths are relative to the file.
    ///
    /// # Errors
    /// `Stop` when that contradicts itself.
    pub fn new(
        address: Address,
        password: Option<Secret>,
        tls: Option<Tls>,
        timeout: Duration,
        env: &Env,
    ) -> Result<Self> {
        if tls.is_some() && !address.tls {
            return Err(Error::stop("`tls` is given for a server that is spoken to without TLS")
                .fix("write `rediss://` in `url`, or leave `tls` out"));
        }
        if password.is_some() && address.password.is_some() {
            return Err(Error::stop("there is a password in `url`, and another in `password`")
                .fix("leave one of them out"));
        }
        let tls = tls.unwrap_or_default();
        if tls.cert.is_some() != tls.key.is_some() {
            return Err(Error::stop("of `tls.cert` and `tls.key` only one is given")
                .fix("give both, or none"));
        }
        let path = |path: Option<PathBuf>| path.map(|p| env.path(p));
        let tls = Tls { ca: path(tls.ca), cert: path(tls.cert), key: path(tls.key) };
        Ok(Self { address, password, tls, timeout })
    }

    /// The same with another bound on the wait for an answer: for commands that block.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where it is, without secrets: for messages.
    #[must_use]
    pub fn place(&self) -> String {
        self.address.to_string()
    }

    /// Whether it is a cluster, where all keys of one command have to have one hash tag.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.address.kind == Kind::Cluster
    }

    /// Makes a new connection, to the primary.
    ///
    /// # Errors
    /// `Retry` when it cannot be reached, `Stop` for a wrong password or certificates that cannot be read.
    pub async fn connect(&self) -> Result<Link> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error means that the program has chosen one already, which is as good.
            drop(rustls::crypto::ring::default_provider().install_default());
        });
        if self.is_cluster() {
            let client = self.cluster().await?;
            let connection = client.get_async_connection().await;
            return Ok(Link::Cluster(connection.map_err(|e| self.unreachable(e))?));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(self.timeout));
        let client = self.client().await?;
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        // The library's own bound is on the socket, not on the handshake: a frozen server answers neither.
        let connection = tokio::time::timeout(CONNECT_MAX, connection).await;
        let connection = connection.map_err(|_| {
            Error::retry(format!("no answer within {}s", CONNECT_MAX.as_secs())).at(self.place())
        })?;
        Ok(Link::One(connection.map_err(|e| self.unreachable(e))?))
    }

    /// A client of the one server, or of the primary that the Sentinels name: for subscriptions. Of a cluster,
    /// its first node: what is published reaches all of them.
    ///
    /// # Errors
    /// As [`Server::connect`].
    pub async fn client(&self) -> Result<Client> {
        let certificates = self.certificates().await?;
        let info = match &self.address.kind {
            Kind::Unix(path) => self.info(ConnectionAddr::Unix(path.clone())),
            Kind::One | Kind::Cluster => {
                let node = self.addresses().into_iter().next();
                let node = node.ok_or_else(|| Error::stop("a Redis URL without a host"))?;
                self.info(node)
            }
            Kind::Sentinel(name) => return self.primary(name, certificates).await,
        };
        let info = info.map_err(|e| self.unreachable(e))?;
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        };
        client.map_err(|e| self.unreachable(e))
    }

    /// Asks the Sentinels who is the primary now.
    async fn primary(&self, name: &str, tls: Option<TlsCertificates>) -> Result<Client> {
        let build = |addresses: Vec<ConnectionAddr>| {
            let kind = SentinelServerType::Master;
            let mut builder = SentinelClientBuilder::new(addresses, name, kind)?
                .set_client_to_redis_db(self.address.database)
                .set_client_to_redis_tcp_settings(tcp())
                .set_client_to_sentinel_tcp_settings(tcp());
            if self.address.tls {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            }
            if let Some(tls) = tls {
                builder = builder
                    .set_client_to_redis_certificates(tls.clone())
                    .set_client_to_sentinel_certificates(tls);
            }
            if let Some(username) = &self.address.username {
                builder = builder.set_client_to_redis_username(username);
            }
            if let Some(password) = self.password() {
                builder = builder.set_client_to_redis_password(password);
            }
            builder.build()
        };
        let mut sentinels = build(self.addresses()).map_err(|e| self.unreachable(e))?;
        sentinels.async_get_client().await.map_err(|e| self.unreachable(e))
    }

    async fn cluster(&self) -> Result<redis::cluster::ClusterClient> {
        let nodes = self.addresses().into_iter().map(|a| self.info(a));
        let nodes = nodes.collect::<Result<Vec<_>, _>>().map_err(|e| self.unreachable(e))?;
        let mut builder = ClusterClientBuilder::new(nodes)
            .connection_timeout(CONNECT_MAX)
            .response_timeout(self.timeout)
            .tcp_settings(tcp());
        if let Some(certificates) = self.certificates().await? {
            builder = builder.certs(certificates);
        }
        builder.build().map_err(|e| self.unreachable(e))
    }

    fn addresses(&self) -> Vec<ConnectionAddr> {
        let address = |(host, port): &(String, u16)| {
            let (host, port) = (host.clone(), *port);
            if self.address.tls {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            } else {
                ConnectionAddr::Tcp(host, port)
            }
        };
        self.address.nodes.iter().map(address).collect()
    }

    fn password(&self) -> Option<&str> {
        let given = self.password.as_ref().map(Secret::reveal);
        given.or(self.address.password.as_deref())
    }

    fn info(&self, address: ConnectionAddr) -> redis::RedisResult<redis::ConnectionInfo> {
        let mut login = RedisConnectionInfo::default()
            .set_db(self.address.database)
            .set_lib_name("millstream", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.address.username {
            login = login.set_username(username);
        }
        if let Some(password) = self.password() {
            login = login.set_password(password);
        }
        Ok(address.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp()))
    }

    async fn certificates(&self) -> Result<Option<TlsCertificates>> {
        async fn pem(path: Option<&PathBuf>, field: &str) -> Result<Option<Vec<u8>>> {
            let Some(path) = path else { return Ok(None) };
            let read = tokio::fs::read(path).await;
            read.map(Some).map_err(|e| {
                Error::stop("a certificate cannot be read")
                    .at(path.display().to_string())
                    .because(e)
                    .fix(format!("check the path and its permissions at `tls.{field}`"))
            })
        }
        let root_cert = pem(self.tls.ca.as_ref(), "ca").await?;
        let cert = pem(self.tls.cert.as_ref(), "cert").await?;
        let key = pem(self.tls.key.as_ref(), "key").await?;
        let client_tls = cert
            .zip(key)
            .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        Ok((root_cert.is_some() || client_tls.is_some())
            .then_some(TlsCertificates { client_tls, root_cert }))
    }

    fn unreachable(&self, cause: redis::RedisError) -> Error {
        explain("cannot connect to Redis", &self.place(), cause)
    }
}

fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}
