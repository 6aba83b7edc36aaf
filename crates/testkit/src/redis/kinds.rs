//! Several servers that belong together.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{RedisServer, ask, free_port, program};

/// A cluster of three primaries that share the slots, each with these arguments more.
#[must_use]
pub fn cluster(arguments: &[&str]) -> [RedisServer; 3] {
    let start = || RedisServer::start(&[&["--cluster-enabled", "yes"][..], arguments].concat());
    let nodes = [start(), start(), start()];
    let [first, ..] = &nodes;
    for (node, range) in nodes.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
        node.ask(&["CLUSTER", "ADDSLOTSRANGE", range.0, range.1]);
        node.ask(&["CLUSTER", "MEET", "127.0.0.1", &first.port().to_string()]);
    }
    let whole = |node: &RedisServer| {
        let info = node.ask(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
    };
    wait("the cluster is not whole", || nodes.iter().all(whole));
    nodes
}

/// A Sentinel that watches one primary, under the name `main`. It ends when it is dropped.
#[derive(Debug)]
pub struct Sentinel {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Sentinel {
    /// Begins to watch, and returns when it knows the replica of `primary`.
    #[must_use]
    pub fn of(primary: &RedisServer) -> Self {
        let port = free_port();
        let unique = format!("millstream-sentinel-{}-{port}", std::process::id());
        let folder = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("sentinel.conf");
        let lines = format!(
            "port {port}\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n",
            primary.port()
        );
        std::fs::write(&config, lines).unwrap();
        // Asked once at its start, and then only every 10 s, the primary names its replica: it has to be there by now.
        wait("the replica is not in step", || {
            primary.ask(&["INFO", "replication"]).contains("state=online")
        });
        let child = Command::new(program())
            .arg(&config)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let sentinel = Self { child, port, folder };
        wait("the Sentinel does not know the replica", || {
            let known = ask(port, &["SENTINEL", "REPLICAS", "main"]).unwrap_or_default();
            known.contains("master-link-status\r\n$2\r\nok")
        });
        sentinel
    }

    /// The URL of the primary by way of this Sentinel.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Waits up to a minute.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}");
}
