//! The SQLite sink, against the laws of all sinks and its own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use async_trait::async_trait;
use millstream_connectors::Sqlite;
use millstream_core::plugin::{Config, Env};
use millstream_core::sink::Sink;
use millstream_testkit::laws::sink::{self as laws, Subject};
use rusqlite::Connection;
use tempfile::TempDir;

struct Table {
    folder: TempDir,
    options: &'static str,
}

impl Table {
    fn new(options: &'static str) -> Self {
        Self { folder: TempDir::new().unwrap(), options }
    }

    fn conn(&self) -> Connection {
        Connection::open(self.folder.path().join("t.db")).unwrap()
    }
}

fn sink(folder: &TempDir, name: &str, options: &str) -> Box<dyn Sink> {
    let sqlite: Sqlite = serde_json::from_str(options).unwrap();
    sqlite.build(&Env::test(name, folder.path())).unwrap()
}

#[async_trait]
impl Subject for Table {
    fn sink(&self) -> Box<dyn Sink> {
        sink(&self.folder, "store", self.options)
    }

    async fn ids(&self) -> Vec<i64> {
        let conn = self.conn();
        let mut statement = conn.prepare("SELECT id FROM readings ORDER BY rowid").unwrap();
        statement.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn refuses_negative(&self) -> bool {
        self.conn()
            .query_row("SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%CHECK%'", [], |r| {
                r.get(0)
            })
            .unwrap()
    }
}

#[tokio::test]
async fn a_table_keeps_the_laws() {
    laws::hold(|| Table::new(r#"{"path":"t.db","table":"readings"}"#)).await;
    laws::hold(|| Table::new(r#"{"path":"t.db","table":"readings","key":["id"]}"#)).await;
    laws::hold(|| Table::new(r#"{"path":"t.db","table":"readings","key":["id"],"mode":"upsert"}"#))
        .await;
    laws::hold(|| {
        let table = Table::new(r#"{"path":"t.db","table":"readings"}"#);
        table
            .conn()
            .execute_batch("CREATE TABLE readings (id INTEGER CHECK (id >= 0), name TEXT)")
            .unwrap();
        table
    })
    .await;
}
