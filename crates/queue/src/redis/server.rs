//! What the server is, and what it would lose: looked at when the queue is opened.

use std::collections::BTreeMap;

use millstream_core::{Error, Result};
use millstream_redis::redis::{FromRedisValue as _, RedisResult, Value, cmd};
use millstream_redis::{Session, is_refusal, waits_truly};

use super::Durability;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    info: BTreeMap<String, String>,
    /// By its settings; `None` where the user may not ask for them.
    fsync: Option<String>,
    saves: Option<bool>,
}

impl Found {
    /// Asks the server that has this key.
    pub(crate) async fn of(session: &Session, key: &str) -> Result<Self> {
        let (number, mut link) = session.link().await?;
        let mut found = Self::default();
        match link.query_beside(key, cmd("INFO")).await {
            Ok(value) => {
                let text = String::from_redis_value(value).unwrap_or_default();
                let lines = text.lines().filter_map(|line| line.split_once(':'));
                found.info = lines.map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect();
            }
            Err(e) => {
                return Err(session
                    .failed("cannot ask the server what it is (`INFO`)", number, e)
                    .await);
            }
        }
        let mut ask = async |setting: &str| {
            let mut get = cmd("CONFIG");
            get.arg("GET").arg(setting);
            setting_of(link.query_beside(key, get).await)
        };
        match (ask("appendfsync").await, ask("save").await) {
            (Ok(fsync), Ok(save)) => {
                found.fsync = Some(fsync);
                found.saves = Some(!save.is_empty());
            }
            (Err(Some(e)), _) | (_, Err(Some(e))) => {
                return Err(session
                    .failed("cannot ask the server for its settings", number, e)
                    .await);
            }
            // Forbidden, or not offered (by a hosted server).
            (Err(None), _) | (_, Err(None)) => {}
        }
        Ok(found)
    }

    fn is(&self, field: &str, value: &str) -> bool {
        self.info.get(field).is_some_and(|v| v == value)
    }

    fn version(&self) -> (u32, u32) {
        let version = self.info.get("redis_version").map_or("", String::as_str);
        let mut parts = version.split('.').map(|n| n.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    fn keeps(&self) -> bool {
        self.is("aof_enabled", "1")
    }

    fn always(&self) -> bool {
        self.keeps() && self.fsync.as_deref() == Some("always")
    }

    /// Whether an append has to be followed by a wait for the disk, and can be.
    pub(crate) fn waits(&self, durability: Durability) -> bool {
        // With `appendfsync no` a server does not know what is on its disk, and a wait never ends.
        durability == Durability::Fsync
            && self.keeps()
            && waits_truly(&self.info)
            && self.fsync.as_deref() != Some("no")
            && !self.always()
    }

    /// Whether what it takes is on its disk when it counts as taken.
    pub(crate) fn answers_from_disk(&self, durability: Durability) -> bool {
        self.always() || self.waits(durability)
    }

    /// Whether it has everything that it ever answered for, after whatever befell it. A promoted replica may not:
    /// replication does not wait.
    pub(crate) fn is_safe(&self, waited: bool) -> bool {
        let promoted =
            self.info.get("master_replid2").is_some_and(|id| id.chars().any(|c| c != '0'));
        !promoted && (self.always() || (waited && self.keeps()))
    }

    /// # Errors
    /// `Stop` for a server that cannot hold a queue.
    pub(crate) fn check(&self) -> Result<()> {
        if self.version() < (7, 0) {
            let version = self.info.get("redis_version").map_or("unknown", String::as_str);
            return Err(Error::stop(format!("the server is version `{version}` of Redis"))
                .fix("the queue needs Redis 7.0 or newer, or Valkey: its changes are server-side functions"));
        }
        if self.is("role", "slave") {
            let primary = |field: &str| self.info.get(field).map_or("?", String::as_str);
            return Err(Error::stop(format!(
                "the server is a read-only replica of {}:{}",
                primary("master_host"),
                primary("master_port")
            ))
            .fix("name the primary in `url`, or let Sentinel name it (`redis+sentinel://…`)"));
        }
        Ok(())
    }

    /// What a user should know before trusting it.
    pub(crate) fn warnings(&self, durability: Durability) -> Vec<String> {
        let mut warnings = Vec::new();
        let info = |field: &str| self.info.get(field).map(String::as_str);
        if !self.keeps() {
            warnings.push(if self.saves == Some(false) {
                "the server keeps nothing on disk: when it stops, the queue is gone (set `appendonly yes`)".into()
            } else {
                "the server keeps no append-only file: when it crashes, it loses all since its last snapshot \
                 (set `appendonly yes`)"
                    .into()
            });
        } else if durability == Durability::Fsync && !self.waits(durability) && !self.always() {
            warnings.push(match &self.fsync {
                Some(fsync) => format!(
                    "the server's `appendfsync` is `{fsync}`: when it crashes, it loses what came last \
                     (set `appendfsync always`, or `everysec` on a server whose `WAITAOF` waits: Redis 7.2, or 8 and newer)"
                ),
                None => "the server does not say what its `appendfsync` is (`CONFIG GET` is forbidden): \
                     unless it is `always`, a crash loses what came last"
                    .into(),
            });
        }
        match info("maxmemory_policy") {
            None | Some("noeviction") => {}
            Some(policy)
                if info("maxmemory").is_some_and(|max| max != "0")
                    || policy.starts_with("allkeys") =>
            {
                warnings.push(format!(
                    "the server's `maxmemory-policy` is `{policy}`: short of memory it deletes keys, this queue's \
                     among them (set `noeviction`)"
                ));
            }
            Some(_) => {}
        }
        warnings
    }
}

/// A setting's value; `Err(None)` if it may not be asked for.
fn setting_of(
    answer: RedisResult<Value>,
) -> Result<String, Option<millstream_redis::redis::RedisError>> {
    match answer {
        Ok(value) => {
            let pairs = Vec::<(String, String)>::from_redis_value(value).map_err(|_| None)?;
            pairs.into_iter().next().map(|(_, value)| value).ok_or(None)
        }
        Err(e) if is_refusal(&e) => Err(None),
        Err(e) => Err(Some(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(info: &[(&str, &str)], fsync: Option<&str>) -> Found {
        let info = info.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Found { info, fsync: fsync.map(ToOwned::to_owned), saves: fsync.map(|_| false) }
    }

    const ZERO: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn what_a_server_promises_is_read_from_what_it_says() {
        let old = [("redis_version", "7.0.15"), ("aof_enabled", "1"), ("master_replid2", ZERO)];
        let always = found(&old, Some("always"));
        assert!(always.is_safe(false) && !always.waits(Durability::Fsync));
        assert!(always.warnings(Durability::Fsync).is_empty());
        let second = found(&old, Some("everysec"));
        assert!(!second.is_safe(false) && !second.waits(Durability::Fsync));
        assert!(second.warnings(Durability::Fsync)[0].contains("everysec"));
        let secret = found(&old, None);
        assert!(secret.warnings(Durability::Fsync)[0].contains("forbidden"));
        let new = [("redis_version", "7.2.4"), ("aof_enabled", "1"), ("master_replid2", ZERO)];
        let waits = found(&new, Some("everysec"));
        assert!(waits.waits(Durability::Fsync) && waits.warnings(Durability::Fsync).is_empty());
        assert!(waits.is_safe(true) && !waits.is_safe(false));
        assert!(!waits.waits(Durability::Relaxed));
        let never = found(&new, Some("no"));
        assert!(!never.waits(Durability::Fsync) && !never.warnings(Durability::Fsync).is_empty());
        // Valkey 8 and 9 call themselves a Redis 7.2.4, and answer before they have waited.
        let valkey = [&new[..], &[("valkey_version", "9.1.2")]].concat();
        let valkey = found(&valkey, Some("everysec"));
        assert!(!valkey.waits(Durability::Fsync) && !valkey.is_safe(false));
        let promoted = found(&[("aof_enabled", "1"), ("master_replid2", "0a1")], Some("always"));
        assert!(!promoted.is_safe(true));
    }

    #[test]
    fn an_old_server_and_a_replica_are_refused_and_eviction_is_warned_of() {
        found(&[("redis_version", "6.2.7")], None).check().unwrap_err();
        let replica = [("redis_version", "7.0.1"), ("role", "slave"), ("master_host", "db1")];
        let e = found(&replica, None).check().unwrap_err();
        assert!(e.to_string().contains("db1"), "{e}");
        let evicts = [("aof_enabled", "0"), ("maxmemory_policy", "allkeys-lru")];
        let warnings = found(&evicts, Some("no")).warnings(Durability::Relaxed);
        assert!(warnings[0].contains("keeps nothing") && warnings[1].contains("allkeys-lru"));
    }
}
