//! A folder, the binary, and what came of running it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The longest that any one wait may take: the machine may be slow, a test may not hang.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of its own for one test.
pub struct Bench {
    folder: TempDir,
}

/// What a program ended with.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A program that runs. Dropped, it is killed.
pub struct Running {
    child: Child,
    stderr: std::sync::mpsc::Receiver<String>,
    told: Vec<String>,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Everything in the folder, by relative path.
    pub fn everything(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.folder.path(), self.folder.path(), &mut found);
        found.sort();
        found
    }

    /// The binary in this folder, without any of the environment that could change what it does.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.args(args).current_dir(self.folder.path());
        command
            .env_remove("RUST_LOG")
            .env_remove("NO_COLOR")
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Done {
        done(&self.command(args).output().unwrap())
    }

    /// Starts it; stderr is read as it comes, stdout is left alone.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::of(self.command(args))
    }

    /// Counts rows of a table.
    pub fn count(&self, database: &str, query: &str) -> i64 {
        let db = rusqlite::Connection::open(self.path(database)).unwrap();
        db.query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Rows of a query, each as text that tells any two values apart.
    pub fn rows(&self, database: &str, query: &str) -> Vec<String> {
        let db = rusqlite::Connection::open(self.path(database)).unwrap();
        let mut query = db.prepare(query).unwrap();
        let columns = query.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let value = |i| format!("{:?}", row.get::<_, rusqlite::types::Value>(i).unwrap());
            Ok((0..columns).map(value).collect::<Vec<_>>().join(" "))
        };
        query.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    /// The text of a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

impl Running {
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, stderr) = std::sync::mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, stderr, told: Vec::new() }
    }

    /// Waits for a line of stderr that contains this, and gives it back.
    pub fn until(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stderr.recv_timeout(left) {
                Ok(line) => {
                    self.told.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(e) => panic!("`{part}` was not said ({e}), but:\n{}", self.told.join("\n")),
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status();
        assert!(sent.unwrap().success());
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Reads so many bytes of its stdout, and no more.
    pub fn read(&mut self, bytes: usize) {
        let mut buffer = vec![0; bytes];
        self.child.stdout.as_mut().unwrap().read_exact(&mut buffer).unwrap();
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end without reading stdout.
    pub fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end; it said:\n{}", self.told.join("\n"));
    }

    /// Waits for its end.
    pub fn done(mut self) -> Done {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let code = self.code();
        self.told.extend(self.stderr.iter());
        Done { code, stdout, stderr: self.told.join("\n") + "\n" }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Done {
    /// Ends the test unless it ended with this code.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The closing line of `--json`, whose ledger has to balance.
    #[track_caller]
    pub fn closed(&self) -> Value {
        let closed = self
            .stderr
            .lines()
            .map(|l| {
                serde_json::from_str::<Value>(l).unwrap_or_else(|e| panic!("`{l}` is no JSON: {e}"))
            })
            .find(|v| v["event"] == "closed")
            .unwrap_or_else(|| panic!("no closing line:\n{}", self.stderr));
        assert_eq!(closed["balances"], true, "{closed}");
        for edge in closed["ledger"].as_array().unwrap() {
            assert_eq!(edge["balances"], true, "{edge}");
        }
        closed
    }
}

/// A count of one edge.
#[track_caller]
pub fn edge(closed: &Value, stage: &str, part: &str, count: &str) -> u64 {
    let edges = closed["ledger"].as_array().unwrap();
    let edge = edges
        .iter()
        .find(|e| e["stage"] == stage && e["part"] == part)
        .unwrap_or_else(|| panic!("no edge {stage} {part} in {closed}"));
    edge["account"][count].as_u64().unwrap()
}

fn done(output: &Output) -> Done {
    Done {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() {
            walk(root, &path, found);
        }
    }
}
