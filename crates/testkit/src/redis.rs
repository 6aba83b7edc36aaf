//! A real `redis-server` for one test: started on a free port, killed, frozen, restarted and stopped by it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that has no server panics"
)]

mod kinds;

pub use kinds::{Sentinel, cluster};

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server with a folder of its own. Dropping it kills it and removes the folder.
#[derive(Debug)]
pub struct RedisServer {
    folder: PathBuf,
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

/// The program: `redis-server`, or what `MILLSTREAM_REDIS_SERVER` says, such as a `valkey-server`.
fn program() -> String {
    std::env::var("MILLSTREAM_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into())
}

/// Whether there is a `redis-server` to test with. If there is not, the test is reported as skipped by its
/// name, which is printed; in CI that is a failure.
#[must_use]
#[expect(clippy::print_stderr, reason = "a skipped test is reported")]
pub fn has_redis(test: &str) -> bool {
    let found = Command::new(program())
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: CI has no redis-server");
        eprintln!("skipped: {test}: there is no redis-server (Debian package redis-server)");
    }
    found
}

/// A port that nobody listens on, low enough for a node of a cluster, which takes the one 10,000 above as well.
#[must_use]
pub fn free_port() -> u16 {
    let mut taken = Vec::new();
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port <= 55_535 {
            return port;
        }
        // Held until another is found: else the same might be given again.
        taken.push(listener);
    }
}

impl RedisServer {
    /// A server that fsyncs each write before it answers: the safest there is.
    #[must_use]
    pub fn safe() -> Self {
        Self::start(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// A server that keeps nothing.
    #[must_use]
    pub fn forgetful() -> Self {
        Self::start(&[])
    }

    /// A server with these arguments.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let port = free_port();
        let unique = format!("millstream-redis-{}-{port}", std::process::id());
        let folder = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&folder).unwrap();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut server = Self { folder, port, arguments, child: None };
        server.restart();
        server
    }

    /// Starts it again after [`RedisServer::kill`], on the same port and folder.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        let child = Command::new(program())
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(&self.folder)
            .args(&self.arguments)
            .stdout(std::fs::File::create(self.folder.join("log")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..4_000 {
            // A server that wants a password or loads its file answers with an error: it is there.
            match self.try_ask(&["PING"]) {
                Ok(answer) if !answer.starts_with("-LOADING") => return,
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("redis-server did not start: {log}");
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it in its tracks (`SIGSTOP`); connections stay open.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Closes all connections of clients.
    pub fn cut_connections(&self) {
        self.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }

    /// Runs a command on a connection of its own; the answer as Redis wrote it (RESP2).
    pub fn ask(&self, command: &[&str]) -> String {
        self.try_ask(command).unwrap()
    }

    fn try_ask(&self, command: &[&str]) -> std::io::Result<String> {
        ask(self.port, command)
    }
}

/// Runs a command on whatever speaks RESP2 at this port.
fn ask(port: u16, command: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    let mut reader = BufReader::new(stream);
    let mut lines = 1usize;
    while lines > 0 {
        lines -= 1;
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.push_str(&line);
        let number = || line.get(1..).unwrap_or_default().trim().parse::<usize>();
        match line.chars().next() {
            Some('$') => {
                if let Ok(length) = number() {
                    let mut text = vec![0; length + 2];
                    reader.read_exact(&mut text)?;
                    answer.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Some('*') => lines += number().unwrap_or(0),
            _ => {}
        }
    }
    Ok(answer)
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
