//! The SQLite sink, against the laws of all sinks and its own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use async_trait::async_trait;
use millstream_connectors::Sqlite;
use millstream_core::codec::{Origin, Rows};
use millstream_core::plugin::{Config, Env};
use millstream_core::record::Offset;
use millstream_core::sink::{Held, Refused, Sink};
use millstream_core::{Error, Remedy};
use millstream_testkit::laws::sink::{self as laws, Subject, mark};
use rusqlite::Connection;
use tempfile::TempDir;

struct Table {
    folder: TempDir,
    options: &'static str,
}

const PLAIN: &str = r#"{"path":"t.db","table":"readings"}"#;
const KEYED: &str = r#"{"path":"t.db","table":"readings","key":["id"]}"#;
const UPSERT: &str = r#"{"path":"t.db","table":"readings","key":["id"],"mode":"upsert"}"#;

impl Table {
    fn new(options: &'static str) -> Self {
        Self { folder: TempDir::new().unwrap(), options }
    }

    fn with(options: &'static str, sql: &str) -> Self {
        let table = Self::new(options);
        table.conn().execute_batch(sql).unwrap();
        table
    }

    fn conn(&self) -> Connection {
        Connection::open(self.folder.path().join("t.db")).unwrap()
    }

    fn named(&self, name: &str) -> Box<dyn Sink> {
        let sqlite: Sqlite = serde_json::from_str(self.options).unwrap();
        sqlite.build(&Env::test(name, self.folder.path())).unwrap()
    }

    /// Every value as SQLite quotes it, so that types show.
    fn dump(&self, columns: &str) -> Vec<String> {
        let conn = self.conn();
        let quoted: Vec<String> = columns.split(',').map(|c| format!("quote({c})")).collect();
        let sql = format!("SELECT {} FROM readings ORDER BY rowid", quoted.join("||' '||"));
        let mut statement = conn.prepare(&sql).unwrap();
        statement.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

#[async_trait]
impl Subject for Table {
    fn sink(&self) -> Box<dyn Sink> {
        self.named("store")
    }

    async fn ids(&self) -> Vec<i64> {
        let conn = self.conn();
        let mut statement = conn.prepare("SELECT id FROM readings ORDER BY rowid").unwrap();
        statement.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn refuses_negative(&self) -> bool {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%CHECK%'";
        self.conn().query_row(sql, [], |r| r.get(0)).unwrap()
    }
}

#[tokio::test]
async fn a_table_that_is_made_keeps_the_laws() {
    laws::hold(|| Table::new(PLAIN)).await;
    laws::hold(|| Table::new(UPSERT)).await;
}

#[tokio::test]
async fn a_table_that_is_there_keeps_the_laws() {
    let sql = "CREATE TABLE readings (id INTEGER CHECK (id >= 0), name TEXT)";
    laws::hold(|| Table::with(PLAIN, sql)).await;
}

fn of(columns: Vec<(&str, ArrayRef)>) -> Rows {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    Rows { batch, origin: Origin::new(Offset(1), Arc::from([0]), None) }
}

/// Sends one epoch and gives back what was refused.
async fn send(sink: &mut dyn Sink, epoch: u64, rows: &Rows) -> Result<Vec<Refused>, Error> {
    sink.write(rows).await?;
    let refused = sink.prepare(&mark(epoch)).await?;
    sink.flush(&mark(epoch)).await?;
    Ok(refused)
}

async fn stored(table: &Table, columns: Vec<(&str, ArrayRef)>) -> Vec<Refused> {
    let rows = of(columns);
    let mut sink = table.sink();
    sink.open(rows.batch.schema()).await.unwrap();
    send(sink.as_mut(), 1, &rows).await.unwrap()
}

#[tokio::test]
async fn values_are_kept_exactly() {
    let table = Table::new(PLAIN);
    let mut list = ListBuilder::new(Int64Builder::new());
    list.append_value([Some(1), None]);
    list.append_null();
    let refused = stored(
        &table,
        vec![
            ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
            ("f", Arc::new(Float64Array::from(vec![0.1, f64::NEG_INFINITY]))),
            ("t", Arc::new(StringArray::from(vec!["Zürich 東京 🌍", "a\0b"]))),
            ("b", Arc::new(BooleanArray::from(vec![true, false]))),
            ("d", Arc::new(Date32Array::from(vec![0, 20_780]))),
            (
                "ts",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![0, 1_795_411_024_000_001])
                        .with_timezone("UTC"),
                ),
            ),
            ("x", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b""]))),
            ("l", Arc::new(list.finish())),
        ],
    )
    .await;
    assert_eq!(refused, []);
    let kept = table.dump("i,f,b,d,ts,x,l");
    assert_eq!(
        kept[0],
        "-9223372036854775808 0.1 1 '1970-01-01' '1970-01-01T00:00:00.000000Z' X'00FF' '[1,null]'"
    );
    assert_eq!(kept[1], "NULL -9.0e+999 0 '2026-11-23' '2026-11-23T05:17:04.000001Z' X'' NULL");
    let texts = "SELECT t FROM readings ORDER BY rowid";
    let conn = table.conn();
    let mut statement = conn.prepare(texts).unwrap();
    let texts: Vec<String> =
        statement.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(texts, ["Zürich 東京 🌍", "a\0b"]);
}

#[tokio::test]
async fn a_value_sqlite_would_change_is_refused_with_its_row() {
    let table = Table::new(PLAIN);
    let refused = stored(
        &table,
        vec![
            ("f", Arc::new(Float64Array::from(vec![1.0, f64::NAN, 3.0, 4.0]))),
            ("u", Arc::new(UInt64Array::from(vec![1, 2, u64::MAX, 4]))),
            ("ts", Arc::new(TimestampMicrosecondArray::from(vec![0, 0, 0, i64::MAX]))),
        ],
    )
    .await;
    let told: Vec<String> = refused.iter().map(|r| format!("{} {}", r.id, r.reason)).collect();
    assert_eq!(
        told,
        [
            "1/0/1 column `f` is NaN, which SQLite would turn into NULL",
            "1/0/2 column `u`: 18446744073709551615 is beyond what SQLite can keep",
            "1/0/3 column `ts` lies outside the years 0000 to 9999",
        ]
    );
    assert_eq!(table.dump("f,u"), ["1.0 1"]);
}

#[tokio::test]
async fn timestamps_can_be_integers() {
    let table = Table::new(r#"{"path":"t.db","table":"readings","timestamps":"us"}"#);
    let ts = TimestampMicrosecondArray::from(vec![Some(-5), None]);
    assert_eq!(stored(&table, vec![("ts", Arc::new(ts))]).await, []);
    assert_eq!(table.dump("ts"), ["-5", "NULL"]);
}

#[tokio::test]
async fn rows_that_break_a_constraint_are_refused_in_sqlites_words() {
    let sql = "CREATE TABLE readings (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE ON CONFLICT IGNORE);
               INSERT INTO readings VALUES (3, 'three')";
    let table = Table::with(PLAIN, sql);
    let ids = Int64Array::from(vec![Some(1), Some(3), None, Some(4), Some(5), Some(6)]);
    let names =
        StringArray::from(vec![Some("a"), Some("b"), Some("c"), None, Some("three"), Some("d")]);
    let refused = stored(&table, vec![("id", Arc::new(ids)), ("name", Arc::new(names))]).await;
    let told: Vec<String> = refused.iter().map(|r| format!("{} {}", r.id, r.reason)).collect();
    assert_eq!(
        told,
        [
            "1/0/1 UNIQUE constraint failed: readings.id",
            "1/0/2 key column `id` is null",
            "1/0/3 NOT NULL constraint failed: readings.name",
            "1/0/4 UNIQUE constraint failed: readings.name",
        ]
    );
    assert_eq!(table.dump("id,name"), ["1 'a'", "3 'three'", "6 'd'"]);
}

#[tokio::test]
async fn upsert_keeps_the_last_of_each_key() {
    let table = Table::new(r#"{"path":"t.db","table":"readings","key":["a","b"],"mode":"upsert"}"#);
    let a = Int64Array::from(vec![1, 1, 2, 1]);
    let b = StringArray::from(vec![Some("x"), Some("y"), None, Some("x")]);
    let v = Int64Array::from(vec![10, 20, 30, 40]);
    let refused =
        stored(&table, vec![("a", Arc::new(a)), ("b", Arc::new(b)), ("v", Arc::new(v))]).await;
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].reason, "key column `b` is null");
    assert_eq!(table.dump("a,b,v"), ["1 'x' 40", "1 'y' 20"]);
}

#[tokio::test]
async fn insert_with_a_key_refuses_the_second_of_each_key() {
    let table = Table::new(KEYED);
    let mut sink = table.sink();
    sink.open(laws::schema()).await.unwrap();
    let refused = send(sink.as_mut(), 1, &laws::rows(1, &[1, 2, 1, 3])).await.unwrap();
    assert_eq!(refused.iter().map(|r| r.id.to_string()).collect::<Vec<_>>(), ["1/0/2"]);
    assert_eq!(table.ids().await, [1, 2, 3]);
}

async fn opening(table: &Table) -> Error {
    table.sink().open(laws::schema()).await.unwrap_err()
}

#[tokio::test]
async fn a_table_of_another_shape_is_refused_with_all_that_differs() {
    let sql = "CREATE TABLE readings (ID TEXT, place TEXT NOT NULL)";
    let error = opening(&Table::with(PLAIN, sql)).await;
    assert_eq!(error.remedy(), Remedy::Stop);
    let text = error.to_string();
    for part in [
        "table `readings` does not fit the rows",
        "its column `id` is `TEXT` and would not keep INTEGER as it is",
        "it has no column `name`",
        "its column `place` is NOT NULL without a default, and rows have no such column",
        "t.db",
        "fix: choose another `table`",
        r#"CREATE TABLE "readings" ("id" INTEGER, "name" TEXT)"#,
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    for (options, sql, part) in [
        (
            UPSERT,
            "CREATE TABLE readings (id INTEGER, name TEXT)",
            "no unique index on exactly `id`",
        ),
        (PLAIN, "CREATE VIEW readings AS SELECT 1 AS id", "`readings` is a view, not a table"),
        (PLAIN, "CREATE TABLE readings (id INTEGER, name TEXT AS (id))", "is generated"),
    ] {
        let error = opening(&Table::with(options, sql)).await;
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.remedy(), Remedy::Stop);
    }
    let error = opening(&Table::new(r#"{"path":"t.db","table":"readings","create":false}"#)).await;
    assert!(error.to_string().contains("there is no such database"), "{error}");
}

#[tokio::test]
async fn tables_that_keep_every_value_are_taken_as_they_are() {
    for sql in [
        "CREATE TABLE readings (rid INTEGER PRIMARY KEY, id BIGINT, name VARCHAR(20), at TEXT NOT NULL DEFAULT 'x')",
        "CREATE TABLE readings (id INT, name ANY) STRICT",
        "CREATE TABLE readings (name, ID NUMERIC)",
    ] {
        let table = Table::with(PLAIN, sql);
        let mut sink = table.sink();
        sink.open(laws::schema()).await.unwrap();
        assert_eq!(send(sink.as_mut(), 1, &laws::rows(1, &[1])).await.unwrap(), []);
        assert_eq!(table.dump("id,name"), ["1 'row 1'"]);
    }
}

#[tokio::test]
async fn a_locked_database_is_retried_and_rows_go_on_by_themselves() {
    let table = Table::new(PLAIN);
    let mut sink = table.sink();
    sink.open(laws::schema()).await.unwrap();
    let other = table.conn();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = sink.write(&laws::rows(1, &[1])).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Retry);
    assert!(error.to_string().contains("another program is writing to it"), "{error}");
    other.execute_batch("COMMIT").unwrap();
    // The same call again, as `Retry` says.
    send(sink.as_mut(), 1, &laws::rows(1, &[1])).await.unwrap();
    assert_eq!(table.ids().await, [1]);
}

#[tokio::test]
async fn seventy_thousand_rows_go_in_one_epoch() {
    let table = Table::new(KEYED);
    let mut sink = table.sink();
    sink.open(laws::schema()).await.unwrap();
    let ids: Vec<i64> = (0..70_000).collect();
    assert_eq!(send(sink.as_mut(), 1, &laws::rows(1, &ids)).await.unwrap(), []);
    assert_eq!(table.ids().await, ids);
}

#[tokio::test]
async fn sinks_on_one_database_do_not_wait_for_each_other() {
    // One table, two sinks, in step as the engine takes them: all prepare before any flushes.
    let table = Table::new(KEYED);
    let (mut one, mut two) = (table.named("one"), table.named("two"));
    one.open(laws::schema()).await.unwrap();
    two.open(laws::schema()).await.unwrap();
    for epoch in 1..=3 {
        let first = i64::try_from(epoch).unwrap() * 10;
        one.write(&laws::rows(epoch, &[first, first, first + 1])).await.unwrap();
        two.write(&laws::rows(epoch, &[first + 5])).await.unwrap();
        one.write(&laws::rows(epoch, &[first + 2])).await.unwrap();
        let refused = one.prepare(&mark(epoch)).await.unwrap();
        assert_eq!(refused.len(), 1, "the second of {first}");
        assert_eq!(two.prepare(&mark(epoch)).await.unwrap(), []);
        one.flush(&mark(epoch)).await.unwrap();
        two.flush(&mark(epoch)).await.unwrap();
    }
    // What one has prepared and the other then takes is told when it is flushed.
    one.write(&laws::rows(4, &[99])).await.unwrap();
    two.write(&laws::rows(4, &[99])).await.unwrap();
    assert_eq!(one.prepare(&mark(4)).await.unwrap(), []);
    assert_eq!(two.prepare(&mark(4)).await.unwrap(), []);
    one.flush(&mark(4)).await.unwrap();
    let error = two.flush(&mark(4)).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Reopen);
    assert_eq!(two.open(laws::schema()).await.unwrap(), Held::Upto(mark(3)));
    assert_eq!(send(two.as_mut(), 4, &laws::rows(4, &[99])).await.unwrap().len(), 1);
    assert_eq!(one.open(laws::schema()).await.unwrap(), Held::Upto(mark(4)));
    let mut ids = table.ids().await;
    ids.sort_unstable();
    assert_eq!(ids, [10, 11, 12, 15, 20, 21, 22, 25, 30, 31, 32, 35, 99]);
}

#[tokio::test]
async fn a_database_deleted_while_it_is_open_is_noticed_and_made_anew() {
    let table = Table::new(PLAIN);
    let mut sink = table.sink();
    sink.open(laws::schema()).await.unwrap();
    send(sink.as_mut(), 1, &laws::rows(1, &[1])).await.unwrap();
    sink.write(&laws::rows(2, &[2])).await.unwrap();
    for file in ["t.db", "t.db-wal", "t.db-shm"] {
        fs::remove_file(table.folder.path().join(file)).unwrap();
    }
    sink.prepare(&mark(2)).await.unwrap();
    let error = sink.flush(&mark(2)).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Reopen);
    assert!(error.to_string().contains("was deleted or replaced"), "{error}");
    assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Fresh);
    send(sink.as_mut(), 2, &laws::rows(2, &[2])).await.unwrap();
    assert_eq!(table.ids().await, [2]);
}

#[tokio::test]
async fn what_is_no_database_or_cannot_be_made_stops_at_first() {
    let table = Table::new(PLAIN);
    fs::write(table.folder.path().join("t.db"), vec![b'x'; 5_000]).unwrap();
    let error = opening(&table).await;
    assert_eq!(error.remedy(), Remedy::Stop);
    assert!(error.to_string().contains("this file is something else"), "{error}");
    // `/proc` takes no files, even from root, who may write to read-only folders.
    for path in ["/proc/t.db", "/proc/none/t.db"] {
        let sqlite: Sqlite =
            serde_json::from_str(&format!(r#"{{"path":"{path}","table":"readings"}}"#)).unwrap();
        let mut sink = sqlite.build(&Env::test("store", "/")).unwrap();
        let error = sink.open(laws::schema()).await.unwrap_err();
        assert_eq!(error.remedy(), Remedy::Stop, "{error}");
        assert!(error.to_string().contains("writable for this user"), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_is_no_column_and_options_that_cannot_be_are_refused() {
    let error = opening(&Table::new(r#"{"path":"t.db","table":"t","key":["nr"]}"#)).await;
    assert!(error.to_string().contains("choose from `id`, `name`"), "{error}");
    for options in [
        r#"{"path":"t.db","table":"t","mode":"upsert"}"#,
        r#"{"path":"t.db","table":"_millstream_held"}"#,
    ] {
        let sqlite: Sqlite = serde_json::from_str(options).unwrap();
        let error = sqlite.build(&Env::test("store", ".")).err().unwrap();
        assert_eq!(error.remedy(), Remedy::Stop);
    }
}

#[tokio::test]
async fn names_of_any_kind_are_quoted() {
    let table =
        Table::new(r#"{"path":"t.db","table":"a \"b\"; DROP","key":["select"],"mode":"upsert"}"#);
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 1]));
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1)]), None]);
    assert_eq!(stored(&table, vec![("select", ids), ("ü\"'", Arc::new(list))]).await, []);
    let sql = r#"SELECT count(*) FROM "a ""b""; DROP""#;
    assert_eq!(table.conn().query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap(), 1);
}

#[tokio::test]
async fn wherever_rows_are_refused_all_others_are_kept_in_order() {
    // With the trigger SQLite reads all rows before it inserts the first.
    let trigger = "CREATE TRIGGER no AFTER INSERT ON readings WHEN new.id % 7 = 3
                   BEGIN SELECT RAISE(ABORT, 'a three'); END";
    for (seed, sql) in [(1, ""), (2, trigger), (3, "")] {
        let make = format!("CREATE TABLE readings (id INTEGER CHECK (id > 0), name TEXT); {sql}");
        let table = Table::with(PLAIN, &make);
        let mut random = fastrand::Rng::with_seed(seed);
        let many = [30, 30, 2][usize::try_from(seed - 1).unwrap()];
        let ids: Vec<i64> =
            (1..=2_500).map(|i| if random.u32(..many) == 0 { -i } else { i }).collect();
        let fits = |id: i64| id > 0 && (sql.is_empty() || id % 7 != 3);
        let mut sink = table.sink();
        sink.open(laws::schema()).await.unwrap();
        let refused = send(sink.as_mut(), 1, &laws::rows(1, &ids)).await.unwrap();
        let rows: Vec<usize> = refused.iter().map(|r| r.id.row as usize).collect();
        let unfit: Vec<usize> = (0..ids.len()).filter(|i| !fits(ids[*i])).collect();
        assert_eq!(rows, unfit, "seed {seed}");
        for (refused, row) in refused.iter().zip(unfit) {
            let reason = if ids[row] < 0 { "CHECK constraint failed: id > 0" } else { "a three" };
            assert_eq!(refused.reason, reason, "seed {seed}, row {row}");
        }
        let kept: Vec<i64> = ids.into_iter().filter(|id| fits(*id)).collect();
        assert_eq!(table.ids().await, kept, "seed {seed}");
    }
}

#[tokio::test]
async fn what_fails_behind_the_engines_back_is_told_by_the_next_call() {
    let table = Table::new(PLAIN);
    let mut sink = table.sink();
    sink.open(laws::schema()).await.unwrap();
    sink.write(&laws::rows(1, &[1])).await.unwrap();
    // The second write is done while the engine goes on; a batch of other columns cannot be stored.
    let other = of(vec![("id", Arc::new(arrow_array::NullArray::new(1)))]);
    sink.write(&other).await.unwrap();
    let told = sink.prepare(&mark(1)).await;
    assert!(told.is_err(), "{told:?}");
    assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Fresh);
    assert_eq!(table.ids().await, [0; 0]);
}

#[test]
fn columns_that_cannot_be_stored_are_told_before_anything_is_opened() {
    let schema = |names: &[&str]| {
        let field =
            |name: &&str| arrow_schema::Field::new(*name, arrow_schema::DataType::Int64, true);
        arrow_schema::Schema::new(names.iter().map(field).collect::<Vec<_>>())
    };
    let table = Table::new(KEYED);
    let sink = table.named("sink");
    sink.suits(&schema(&["id", "n"])).unwrap();
    let error = sink.suits(&schema(&["n", "m"])).unwrap_err();
    assert!(error.what().contains("key column `id`"), "{error}");
    assert_eq!(error.how_to_fix(), Some("choose from `n`, `m`"));
    assert!(sink.suits(&schema(&["id", "ID"])).is_err());
    assert!(fs::read_dir(table.folder.path()).unwrap().next().is_none());
}
