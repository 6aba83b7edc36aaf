//! The SQLite sink where the target is not as it was left, or does things of its own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use millstream_connectors::Sqlite;
use millstream_core::codec::{Origin, Rows};
use millstream_core::plugin::{Config, Env};
use millstream_core::record::Offset;
use millstream_core::sink::{Held, Refused, Sink};
use millstream_core::{Error, Remedy};
use millstream_testkit::laws::sink::{self as laws, mark};
use rusqlite::Connection;
use tempfile::TempDir;

const PLAIN: &str = r#"{"path":"t.db","table":"readings"}"#;
const UPSERT: &str = r#"{"path":"t.db","table":"readings","key":["id"],"mode":"upsert"}"#;

fn build(folder: &TempDir, options: &str) -> Result<Box<dyn Sink>, Error> {
    let sqlite: Sqlite = serde_json::from_str(options).unwrap();
    sqlite.build(&Env::test("store", folder.path()))
}

fn conn(folder: &TempDir) -> Connection {
    Connection::open(folder.path().join("t.db")).unwrap()
}

fn ids(folder: &TempDir) -> Vec<i64> {
    let conn = conn(folder);
    let mut statement = conn.prepare("SELECT id FROM readings ORDER BY rowid").unwrap();
    statement.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
}

async fn send(sink: &mut dyn Sink, epoch: u64, ids: &[i64]) -> Result<Vec<Refused>, Error> {
    sink.write(&laws::rows(epoch, ids)).await?;
    let refused = sink.prepare(&mark(epoch)).await?;
    sink.flush(&mark(epoch)).await?;
    Ok(refused)
}

#[tokio::test]
async fn a_table_that_is_gone_while_its_mark_stays_stops_until_the_mark_is_forgotten() {
    let folder = TempDir::new().unwrap();
    let mut sink = build(&folder, PLAIN).unwrap();
    sink.open(laws::schema()).await.unwrap();
    send(sink.as_mut(), 1, &[1]).await.unwrap();
    conn(&folder).execute_batch("DROP TABLE readings").unwrap();
    // While it runs, and at the next start.
    assert_eq!(send(sink.as_mut(), 2, &[2]).await.unwrap_err().remedy(), Remedy::Reopen);
    for sink in [&mut sink, &mut build(&folder, PLAIN).unwrap()] {
        let error = sink.open(laws::schema()).await.unwrap_err();
        assert_eq!(error.remedy(), Remedy::Stop);
        assert!(error.is_mended_by_forgetting());
        let text = error.to_string();
        assert!(text.contains("table `readings` is gone, and rows up to epoch 1"), "{text}");
        assert!(text.contains("--resume store"), "{text}");
    }
    sink.forget().await.unwrap();
    assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Fresh);
    send(sink.as_mut(), 2, &[2]).await.unwrap();
    assert_eq!(ids(&folder), [2]);
    // Another sink's mark in the same database is no reason to stop.
    let other = r#"{"path":"t.db","table":"others"}"#;
    let sqlite: Sqlite = serde_json::from_str(other).unwrap();
    let mut other = sqlite.build(&Env::test("other", folder.path())).unwrap();
    assert_eq!(other.open(laws::schema()).await.unwrap(), Held::Fresh);
}

#[tokio::test]
async fn the_second_of_two_processes_that_write_one_sink_looks_again_what_is_held() {
    let folder = TempDir::new().unwrap();
    let mut frozen = build(&folder, PLAIN).unwrap();
    frozen.open(laws::schema()).await.unwrap();
    send(frozen.as_mut(), 1, &[1]).await.unwrap();
    let mut other = build(&folder, PLAIN).unwrap();
    assert_eq!(other.open(laws::schema()).await.unwrap(), Held::Upto(mark(1)));
    send(other.as_mut(), 2, &[2]).await.unwrap();
    // It wakes up and goes on with the same epoch.
    let error = send(frozen.as_mut(), 2, &[2]).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Reopen, "they are of one queue");
    let text = error.to_string();
    assert!(text.contains("another process writes rows of this sink"), "{text}");
    assert!(text.contains("epoch 2") && text.contains("epoch 1"), "{text}");
    assert_eq!(ids(&folder), [1, 2]);
    send(other.as_mut(), 3, &[3]).await.unwrap();
    // Opened again, it sees what is held.
    assert_eq!(frozen.open(laws::schema()).await.unwrap(), Held::Upto(mark(3)));
    send(frozen.as_mut(), 4, &[4]).await.unwrap();
    assert_eq!(ids(&folder), [1, 2, 3, 4]);
    // A mark that was taken away meanwhile is no other one's epoch.
    build(&folder, PLAIN).unwrap().forget().await.unwrap();
    let error = send(frozen.as_mut(), 5, &[5]).await.unwrap_err();
    assert!(error.to_string().contains("holds nothing"), "{error}");
    assert_eq!(ids(&folder), [1, 2, 3, 4]);
}

#[tokio::test]
async fn rows_that_a_trigger_leaves_out_come_back_and_all_others_are_stored_in_order() {
    let ignoring = "CREATE TABLE readings (id INTEGER PRIMARY KEY, name TEXT);
        CREATE TRIGGER no BEFORE INSERT ON readings WHEN new.id % 500 = 3 BEGIN SELECT RAISE(IGNORE); END;
        CREATE TRIGGER bad BEFORE INSERT ON readings WHEN new.id = 1700 BEGIN SELECT RAISE(ABORT, 'bad'); END";
    for options in [PLAIN, UPSERT] {
        let folder = TempDir::new().unwrap();
        conn(&folder).execute_batch(ignoring).unwrap();
        let mut sink = build(&folder, options).unwrap();
        sink.open(laws::schema()).await.unwrap();
        let all: Vec<i64> = (1..=2_500).collect();
        let refused = send(sink.as_mut(), 1, &all).await.unwrap();
        let told: Vec<(u32, &str)> =
            refused.iter().map(|r| (r.id.row + 1, r.reason.as_str())).collect();
        let ignored = "a trigger leaves it out, by RAISE(IGNORE)";
        let wanted = [(3, ignored), (503, ignored), (1003, ignored), (1503, ignored)];
        assert_eq!(told[..4], wanted);
        assert_eq!(told[4..], [(1700, "bad"), (2003, ignored)]);
        let kept: Vec<i64> = all.into_iter().filter(|id| id % 500 != 3 && *id != 1700).collect();
        assert_eq!(ids(&folder), kept);
    }
}

#[tokio::test]
async fn a_trigger_that_is_made_meanwhile_is_noticed() {
    let folder = TempDir::new().unwrap();
    let mut sink = build(&folder, PLAIN).unwrap();
    sink.open(laws::schema()).await.unwrap();
    send(sink.as_mut(), 1, &[1, 2]).await.unwrap();
    let sql = "CREATE TRIGGER no BEFORE INSERT ON readings WHEN new.id = 3 BEGIN SELECT RAISE(IGNORE); END";
    conn(&folder).execute_batch(sql).unwrap();
    let error = send(sink.as_mut(), 2, &[3, 4]).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Reopen, "{error}");
    assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Upto(mark(1)));
    assert_eq!(send(sink.as_mut(), 2, &[3, 4]).await.unwrap().len(), 1);
    assert_eq!(ids(&folder), [1, 2, 4]);
}

#[tokio::test]
async fn upsert_of_nothing_but_keys_takes_rows_that_change_nothing() {
    let folder = TempDir::new().unwrap();
    let keys = r#"{"path":"t.db","table":"readings","key":["id"],"mode":"upsert"}"#;
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 2]));
    let batch = RecordBatch::try_from_iter([("id", column)]).unwrap();
    let rows = Rows { batch, origin: Origin::new(Offset(1), Arc::from([0]), None) };
    let mut sink = build(&folder, keys).unwrap();
    sink.open(rows.batch.schema()).await.unwrap();
    sink.write(&rows).await.unwrap();
    assert_eq!(sink.prepare(&mark(1)).await.unwrap(), []);
    sink.flush(&mark(1)).await.unwrap();
    assert_eq!(ids(&folder), [1, 2]);
}

#[tokio::test]
async fn a_trigger_that_rolls_everything_back_is_told_as_such() {
    let folder = TempDir::new().unwrap();
    conn(&folder)
        .execute_batch(
            "CREATE TABLE readings (id INTEGER, name TEXT);
             CREATE TRIGGER no BEFORE INSERT ON readings WHEN new.id = 7
             BEGIN SELECT RAISE(ROLLBACK, 'no sevens'); END",
        )
        .unwrap();
    let mut sink = build(&folder, PLAIN).unwrap();
    sink.open(laws::schema()).await.unwrap();
    for ids in [&[1, 7, 2][..], &[7]] {
        let error = send(sink.as_mut(), 1, ids).await.unwrap_err();
        assert_eq!(error.remedy(), Remedy::Reopen);
        let text = error.to_string();
        assert!(text.contains("RAISE(ROLLBACK)") && text.contains("no sevens"), "{text}");
        assert!(text.contains("write RAISE(ABORT)"), "{text}");
        assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Fresh);
    }
    assert_eq!(ids(&folder), [0; 0]);
}

#[tokio::test]
async fn what_sqlite_never_takes_is_refused_and_not_tried_for_ever() {
    let folder = TempDir::new().unwrap();
    for (options, part) in [
        (
            r#"{"path":"t.db","table":"sqlite_master"}"#,
            "`table: sqlite_master` is a name that SQLite",
        ),
        (r#"{"path":"t.db","table":"SQLite_mine"}"#, "`table: SQLite_mine` is a name that SQLite"),
        (r#"{"path":"t.db","table":"_millstream_held"}"#, "is a name that Millstream keeps"),
        (r#"{"path":"t.db","table":" "}"#, "`table` is empty"),
        (r#"{"path":"t.db","table":"t","key":["id","ID"]}"#, "`key` names `ID` twice"),
    ] {
        let error = build(&folder, options).err().unwrap();
        assert_eq!(error.remedy(), Remedy::Stop);
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.place(), None, "the engine names the sink");
    }
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    for (columns, fits) in [(2_000, true), (2_001, false)] {
        let folder = TempDir::new().unwrap();
        let batch = RecordBatch::try_from_iter((0..columns).map(|i| (format!("c{i}"), column())));
        let mut sink = build(&folder, PLAIN).unwrap();
        match sink.open(batch.unwrap().schema()).await {
            Ok(_) => assert!(fits),
            Err(e) => {
                assert!(!fits, "{e}");
                assert_eq!(e.remedy(), Remedy::Stop);
                assert!(e.to_string().contains("2001 columns, SQLite takes 2000"), "{e}");
            }
        }
    }
}
