//! What a server keeps of what it takes: asked when a part is opened, so that a user is told before something is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_core::{Error, Remedy, Result};
use redis::{Cmd, FromRedisValue as _, Value, cmd};
use tokio::time::Instant;

use crate::link::Nodes;
use crate::session::Session;

/// What a part has on the server.
#[derive(Clone, Copy, Debug)]
pub struct Stake<'a> {
    /// Which servers it is on.
    pub nodes: Nodes<'a>,
    /// What would be gone, such as `the queue`: for warnings.
    pub what: &'a str,
    /// Whether the part waits for the server's disk ([`wait_for_disk`]) where [`Persistence::waits`].
    pub waits: bool,
}

/// What servers do with what they take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persistence {
    nodes: Vec<Node>,
    wait: Wait,
}

/// Whether to wait for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wait {
    /// It is not wanted, not needed, or the server cannot be asked to.
    #[default]
    No,
    Yes,
    /// The server could, and this user may not ask it to.
    Forbidden,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Empty where the user may not ask (`INFO`).
    info: BTreeMap<String, String>,
    /// The settings `appendfsync` and `save`; empty where the user may not ask for them (`CONFIG GET`).
    settings: BTreeMap<String, String>,
}

impl Persistence {
    /// Asks the servers. Whatever the user may not ask is taken as not known.
    ///
    /// # Errors
    /// `Retry` when one of them cannot be reached.
    pub async fn of(session: &Session, stake: &Stake<'_>) -> Result<Self> {
        let mut nodes = BTreeMap::<String, Node>::new();
        for (address, answer) in ask(session, stake.nodes, cmd("INFO")).await? {
            let text = String::from_redis_value(answer).unwrap_or_default();
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            nodes.entry(address).or_default().info =
                lines.map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect();
        }
        let mut get = cmd("CONFIG");
        get.arg("GET").arg("appendfsync").arg("save");
        for (address, answer) in ask(session, stake.nodes, get).await? {
            nodes.entry(address).or_default().settings =
                BTreeMap::from_redis_value(answer).unwrap_or_default();
        }
        if nodes.is_empty() {
            nodes.insert(String::new(), Node::default());
        }
        let mut found = Self { nodes: nodes.into_values().collect(), wait: Wait::No };
        if stake.waits && found.can_wait() {
            // For no copy at all, it answers at once.
            let mut probe = cmd("WAITAOF");
            probe.arg(0).arg(0).arg(1);
            let answers = ask(session, stake.nodes, probe).await?;
            found.wait = if answers.is_empty() { Wait::Forbidden } else { Wait::Yes };
        }
        Ok(found)
    }

    /// Whether waiting for the disk has a meaning: all can, and one of them would not do so by itself.
    fn can_wait(&self) -> bool {
        self.nodes.iter().all(Node::can_wait) && !self.nodes.iter().all(Node::always)
    }

    /// Whether what was written has to be followed by [`wait_for_disk`].
    #[must_use]
    pub fn waits(&self) -> bool {
        self.wait == Wait::Yes
    }

    /// What a user should know before trusting it.
    #[must_use]
    pub fn warnings(&self, stake: &Stake<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        for node in &self.nodes {
            for warning in [node.crash(stake, self.wait), node.eviction(stake)] {
                warnings.extend(warning.filter(|warning| !warnings.contains(warning)));
            }
        }
        warnings
    }
}

impl Node {
    fn info(&self, field: &str) -> &str {
        self.info.get(field).map_or("", String::as_str)
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    fn version(&self, field: &str) -> (u32, u32) {
        version(&self.info, field)
    }

    fn waits_truly(&self) -> bool {
        waits_truly(&self.info)
    }

    fn keeps(&self) -> bool {
        self.info("aof_enabled") == "1"
    }

    /// Whether it answers once it is on the disk.
    fn always(&self) -> bool {
        self.keeps() && self.setting("appendfsync") == Some("always")
    }

    /// With `appendfsync no` a server does not know what is on its disk, and a wait never ends.
    fn can_wait(&self) -> bool {
        self.keeps() && self.waits_truly() && self.setting("appendfsync") != Some("no")
    }

    /// What a crash would take.
    fn crash(&self, stake: &Stake<'_>, wait: Wait) -> Option<String> {
        let what = stake.what;
        if self.info.is_empty() {
            return Some(
                "the server does not say what it keeps (`INFO` is forbidden): unless it has `appendonly yes` and \
                 `appendfsync always`, a crash loses what came last"
                    .into(),
            );
        }
        if !self.keeps() {
            return Some(if self.setting("save") == Some("") {
                format!(
                    "the server keeps nothing on disk: when it stops, {what} is gone (set `appendonly yes`)"
                )
            } else {
                "the server keeps no append-only file: when it crashes, it loses all since its last snapshot \
                 (set `appendonly yes`)"
                    .into()
            });
        }
        if self.always() || wait == Wait::Yes {
            return None;
        }
        let Some(fsync) = self.setting("appendfsync") else {
            return Some(
                "the server does not say what its `appendfsync` is (`CONFIG GET` is forbidden): unless it is \
                 `always`, a crash loses what came last"
                    .into(),
            );
        };
        let fix = match wait {
            Wait::Forbidden => {
                "set `appendfsync always`, or let the user wait for the disk with `WAITAOF`"
            }
            _ if !stake.waits => "set `appendfsync always`",
            _ if self.waits_truly() => "set it to `everysec` or `always`",
            _ if self.version("redis_version") >= (7, 2) => {
                "set `appendfsync always`: this version's `WAITAOF` does not wait for the disk"
            }
            _ => "set `appendfsync always`, or use Redis 8 or newer",
        };
        Some(format!(
            "the server's `appendfsync` is `{fsync}`: when it crashes, it loses what came last ({fix})"
        ))
    }

    /// What it would delete. Only `allkeys-…` policies take keys that have no time to live.
    fn eviction(&self, stake: &Stake<'_>) -> Option<String> {
        let policy = self.info("maxmemory_policy");
        policy.starts_with("allkeys").then(|| {
            format!(
                "the server's `maxmemory-policy` is `{policy}`: short of memory it deletes keys, also {} \
                 (set `noeviction`)",
                stake.what
            )
        })
    }
}

/// A version among what `INFO` said; 0.0 if there is none.
fn version(info: &BTreeMap<String, String>, field: &str) -> (u32, u32) {
    let text = info.get(field).map_or("", String::as_str);
    let mut parts = text.split('.').map(|n| n.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Whether a server has `WAITAOF`, and it tells the truth, by what `INFO` said. With `everysec`, Redis 7.4 and Valkey 8 and 9 say
/// that the disk has what it has not: <https://github.com/redis/redis/pull/13793>, mended in Redis 8. Seen on Valkey 9.1.2,
/// under `strace`; it calls itself a Redis 7.2.4.
#[must_use]
pub fn waits_truly(info: &BTreeMap<String, String>) -> bool {
    let (redis, valkey) = (version(info, "redis_version"), version(info, "valkey_version"));
    redis >= (7, 2) && redis != (7, 4) && valkey < (8, 0)
}

/// The shortest bound on a wait: with `everysec` a disk is only written to once a second.
const WAIT_MIN: Duration = Duration::from_secs(3);

/// Waits until the servers have on their disks what was written before over the connection of this session. `timeout` is how
/// long that waits for an answer; the whole wait is bound by it or by 3 s.
///
/// What was written over a connection that broke meanwhile is not waited for: write something again first.
///
/// # Errors
/// `Retry` when it takes longer, or the server was not reached; `Reopen` when it can no longer be asked to wait.
pub async fn wait_for_disk(session: &Session, nodes: Nodes<'_>, timeout: Duration) -> Result<()> {
    // The server has to give up before the connection does.
    let ms = u64::try_from(timeout.as_millis() / 2).unwrap_or(u64::MAX).max(1);
    let mut wait = cmd("WAITAOF");
    wait.arg(1).arg(0).arg(ms);
    let began = Instant::now();
    let (number, mut link) = session.link().await?;
    loop {
        match link.query_nodes(nodes, wait.clone()).await {
            Ok(answers) if answers.values().all(is_there) => return Ok(()),
            Ok(_) if began.elapsed() < timeout.max(WAIT_MIN) => {}
            Ok(_) => {
                let ms = began.elapsed().as_millis();
                return Err(Error::retry(format!(
                    "the server's disk has not taken it within {ms} ms"
                ))
                .at(session.server().place()));
            }
            Err(e) => {
                let e = session.failed("cannot wait for the server's disk", number, e).await;
                let settings = e.remedy() == Remedy::Stop;
                return Err(if settings { e.with_remedy(Remedy::Reopen) } else { e });
            }
        }
    }
}

/// Whether a server answers that its own disk has it.
fn is_there(answer: &Value) -> bool {
    match answer {
        Value::Array(copies) => matches!(copies.first(), Some(Value::Int(here)) if *here >= 1),
        _ => false,
    }
}

/// What each answered; nothing if the user may not ask, or it is not offered (by a hosted server).
async fn ask(session: &Session, nodes: Nodes<'_>, command: Cmd) -> Result<BTreeMap<String, Value>> {
    let (number, mut link) = session.link().await?;
    match link.query_nodes(nodes, command).await {
        Ok(answers) => Ok(answers),
        Err(e) => match session.failed("cannot ask the server what it keeps", number, e).await {
            refused if refused.remedy() == Remedy::Stop => Ok(BTreeMap::new()),
            e => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(info: &[(&str, &str)], settings: &[(&str, &str)]) -> Node {
        let map = |of: &[(&str, &str)]| {
            of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        Node { info: map(info), settings: map(settings) }
    }

    fn found(nodes: &[Node]) -> Persistence {
        let mut found = Persistence { nodes: nodes.to_vec(), wait: Wait::No };
        if found.can_wait() {
            found.wait = Wait::Yes;
        }
        found
    }

    const STAKE: Stake<'_> = Stake { nodes: Nodes::All, what: "the list", waits: true };
    const OLD: &[(&str, &str)] = &[("redis_version", "7.0.15"), ("aof_enabled", "1")];
    const NEW: &[(&str, &str)] = &[("redis_version", "7.2.4"), ("aof_enabled", "1")];
    const VALKEY: &[(&str, &str)] =
        &[("redis_version", "7.2.4"), ("valkey_version", "9.1.2"), ("aof_enabled", "1")];

    #[test]
    fn what_is_waited_for_and_warned_of_is_what_the_server_says() {
        for (info, fsync, waits, said) in [
            (OLD, Some("always"), false, None),
            (NEW, Some("always"), false, None),
            (OLD, Some("everysec"), false, Some("or use Redis 8")),
            (VALKEY, Some("always"), false, None),
            (VALKEY, Some("everysec"), false, Some("does not wait for the disk")),
            (VALKEY, None, false, Some("`CONFIG GET` is forbidden")),
            (NEW, Some("everysec"), true, None),
            // Perhaps it is `always`: then waiting costs nothing.
            (NEW, None, true, None),
            (OLD, None, false, Some("`CONFIG GET` is forbidden")),
            (NEW, Some("no"), false, Some("set it to `everysec` or `always`")),
        ] {
            let settings: Vec<(&str, &str)> =
                fsync.map(|f| ("appendfsync", f)).into_iter().collect();
            let found = found(&[node(info, &settings)]);
            assert_eq!(found.waits(), waits, "{info:?} {fsync:?}");
            let warnings = found.warnings(&STAKE);
            assert_eq!(warnings.len(), usize::from(said.is_some()), "{warnings:?}");
            assert!(said.is_none_or(|said| warnings[0].contains(said)), "{warnings:?}");
        }
    }

    #[test]
    fn versions_that_answer_too_early_are_not_waited_for() {
        for (redis, valkey, truly) in [
            ("7.0.15", "", false),
            ("7.2.0", "", true),
            ("7.4.2", "", false),
            ("8.0.0", "", true),
            ("8.2.3", "", true),
            ("7.2.4", "7.2.11", true),
            ("7.2.4", "8.1.10", false),
            ("", "", false),
        ] {
            let node = node(&[("redis_version", redis), ("valkey_version", valkey)], &[]);
            assert_eq!(node.waits_truly(), truly, "{redis} {valkey}");
        }
    }

    #[test]
    fn a_part_that_does_not_wait_or_may_not_is_told_what_would_help() {
        let mut found = found(&[node(NEW, &[("appendfsync", "everysec")])]);
        found.wait = Wait::Forbidden;
        assert!(found.warnings(&STAKE)[0].contains("`WAITAOF`"));
        found.wait = Wait::No;
        let warnings = found.warnings(&Stake { waits: false, ..STAKE });
        assert!(warnings[0].ends_with("it loses what came last (set `appendfsync always`)"));
    }

    #[test]
    fn a_server_that_keeps_nothing_or_evicts_is_warned_of() {
        let nothing = node(&[("aof_enabled", "0")], &[("save", "")]);
        let snapshots = node(&[("aof_enabled", "0")], &[("save", "3600 1")]);
        let mut evicts = node(OLD, &[("appendfsync", "always")]);
        evicts.info.insert("maxmemory_policy".into(), "allkeys-lru".into());
        let mut of_volatile = evicts.clone();
        of_volatile.info.insert("maxmemory_policy".into(), "volatile-lru".into());
        for (node, said) in [
            (&nothing, "when it stops, the list is gone"),
            (&snapshots, "since its last snapshot"),
            (&evicts, "also the list"),
            (&Node::default(), "`INFO` is forbidden"),
        ] {
            let warnings = found(std::slice::from_ref(node)).warnings(&STAKE);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(said), "{warnings:?}");
        }
        assert!(found(&[of_volatile]).warnings(&STAKE).is_empty());
    }

    #[test]
    fn of_several_servers_the_weakest_counts() {
        let (always, second) = ([("appendfsync", "always")], [("appendfsync", "everysec")]);
        let [safe, waits] = [node(NEW, &always), node(NEW, &second)];
        let [old, nothing] = [node(OLD, &second), node(&[("aof_enabled", "0")], &[])];
        assert!(found(&[safe.clone(), waits.clone()]).waits());
        assert!(!found(&[safe.clone(), safe.clone()]).waits());
        assert!(!found(&[waits.clone(), old.clone()]).waits());
        assert!(!found(&[waits, nothing.clone()]).waits());
        let warnings = found(&[safe, nothing.clone(), nothing, old]).warnings(&STAKE);
        assert_eq!(warnings.len(), 2, "each is told once: {warnings:?}");
    }
}
