use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_cast::cast;
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, TimeUnit};
use millstream_core::Timestamp;
use millstream_core::plugin::Config;
use serde_json::json;

use super::*;

/// A clock that a test sets.
#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

struct Stage {
    folder: tempfile::TempDir,
    clock: Arc<Hand>,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap(), clock: Arc::default() };
        stage.later();
        stage
    }

    /// Whatever was written up to now is no longer fresh.
    fn later(&self) {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
        self.clock.0.store(i64::try_from(now).unwrap() + 3_000_000, Ordering::SeqCst);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn reader<C: Config<dyn TableReader>>(
        &self,
        options: serde_json::Value,
    ) -> Box<dyn TableReader> {
        let env = Env { clock: self.clock.clone(), ..Env::test("t", self.folder.path()) };
        serde_json::from_value::<C>(options).unwrap().build(&env).unwrap()
    }
}

fn columns(text: serde_json::Value) -> Columns {
    serde_json::from_value(text).unwrap()
}

fn lines(content: &Content) -> Vec<String> {
    let cell = |c: &arrow_array::ArrayRef, row| {
        // Moments are shown without their zone, whose name is not known here.
        let bare = matches!(c.data_type(), DataType::Timestamp(..))
            .then(|| cast(c, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap());
        array_value_to_string(bare.as_ref().unwrap_or(c), row).unwrap()
    };
    let line = |row| content.rows.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>();
    (0..content.rows.num_rows()).map(|row| line(row).join("|")).collect()
}

const MAX: u64 = 1 << 20;

#[tokio::test]
async fn csv_is_read_whole_and_again_only_when_it_changed() {
    let stage = Stage::new();
    stage.write("t.csv", "id,name\n1,one\n2,\n");
    let mut reader = stage.reader::<CsvTable>(json!({ "path": "t.csv" }));
    let first = reader.read(None, MAX).await.unwrap().unwrap();
    assert_eq!(first.columns, columns(json!({ "id": "int64", "name": "string" })));
    assert_eq!(lines(&first), ["1|one", "2|"]);
    assert!(reader.read(None, MAX).await.unwrap().is_none());
    stage.write("t.csv", "name,more,id\nuno,x,1\n");
    stage.clock.0.store(0, Ordering::SeqCst);
    assert!(reader.read(Some(&first.columns), MAX).await.unwrap().is_none(), "it may go on");
    stage.later();
    let second = reader.read(Some(&first.columns), MAX).await.unwrap().unwrap();
    assert_eq!(lines(&second), ["1|uno"]);
    assert_eq!(second.rows.schema(), first.columns.schema());
    assert!(reader.read(Some(&first.columns), MAX).await.unwrap().is_none());
}

#[tokio::test]
async fn what_was_read_while_it_was_fresh_is_read_again() {
    let stage = Stage::new();
    stage.write("t.csv", "id\n1\n");
    stage.clock.0.store(0, Ordering::SeqCst);
    let mut reader = stage.reader::<CsvTable>(json!({ "path": "t.csv" }));
    assert!(reader.read(None, MAX).await.unwrap().is_some(), "the first look waits for nothing");
    assert!(reader.read(None, MAX).await.unwrap().is_none());
    stage.later();
    assert!(reader.read(None, MAX).await.unwrap().is_some());
    assert!(reader.read(None, MAX).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_wrong_is_told_once_with_how_to_mend_it() {
    let stage = Stage::new();
    let mut reader = stage.reader::<CsvTable>(json!({ "path": "t.csv" }));
    for _ in 0..2 {
        let e = reader.read(None, MAX).await.unwrap_err();
        assert!(e.what().contains("no such file"), "{e}");
    }
    let wanted = columns(json!({ "id": "int64", "name": "string" }));
    for (text, why) in [
        ("id,name\n1,one\nx,two\n", "row 2: "),
        ("id,other\n1,one\n", "no column `name`"),
        ("id,name\n1\n", "row 1: "),
        ("", "it is empty"),
    ] {
        stage.write("t.csv", text);
        let e = reader.read(Some(&wanted), MAX).await.unwrap_err();
        assert!(e.what().contains(why), "{e}");
        assert!(e.place().unwrap().ends_with("t.csv") && e.how_to_fix().is_some(), "{e}");
        assert!(reader.read(Some(&wanted), MAX).await.unwrap().is_none(), "it would fail again");
        stage.later();
        fs::remove_file(stage.folder.path().join("t.csv")).unwrap();
        assert!(reader.read(Some(&wanted), MAX).await.is_err());
    }
    stage.write("t.csv", "id,name\n");
    let none = reader.read(Some(&wanted), MAX).await.unwrap().unwrap();
    assert_eq!(none.rows.num_rows(), 0);
    stage.write("t.csv", "id,name\n1,long\n");
    let e = reader.read(Some(&wanted), 5).await.unwrap_err();
    assert!(e.what().contains("larger than 5 B"), "{e}");
}

#[tokio::test]
async fn parquet_has_the_columns_of_the_file_or_those_declared() {
    use arrow_array::{
        Date32Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray,
    };

    let stage = Stage::new();
    let all = RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from(vec![1, 2])) as arrow_array::ArrayRef),
        ("name", Arc::new(StringArray::from(vec![Some("one"), None]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![1_500, 2_000]))),
        ("day", Arc::new(Date32Array::from(vec![1, 2]))),
    ])
    .unwrap();
    let file = fs::File::create(stage.folder.path().join("t.parquet")).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, all.schema(), None).unwrap();
    writer.write(&all).unwrap();
    writer.close().unwrap();
    stage.later();
    let mut reader = stage.reader::<ParquetTable>(json!({ "path": "t.parquet" }));
    let found = reader.read(None, MAX).await.unwrap().unwrap();
    let wanted = json!({ "id": "int64", "name": "string", "at": "timestamp", "day": "date" });
    assert_eq!(found.columns, columns(wanted));
    assert_eq!(
        lines(&found),
        ["1|one|1970-01-01T00:00:01.500|1970-01-02", "2||1970-01-01T00:00:02|1970-01-03"]
    );
    let mut reader = stage.reader::<ParquetTable>(json!({ "path": "t.parquet" }));
    let few = columns(json!({ "number": { "type": "timestamp_s", "at": "/id" } }));
    let few = reader.read(Some(&few), MAX).await.unwrap().unwrap();
    assert_eq!(lines(&few), ["1970-01-01T00:00:01", "1970-01-01T00:00:02"]);
    for (declared, why) in [
        (json!({ "name": "int64" }), "does not fit int64"),
        (json!({ "name": { "type": "string", "required": true } }), "has a null"),
        (json!({ "nothing": "string" }), "no column `nothing`"),
    ] {
        let mut reader = stage.reader::<ParquetTable>(json!({ "path": "t.parquet" }));
        let e = reader.read(Some(&columns(declared)), MAX).await.unwrap_err();
        assert!(e.what().contains(why), "{e}");
    }
    stage.write("t.parquet", "no");
    let mut reader = stage.reader::<ParquetTable>(json!({ "path": "t.parquet" }));
    assert!(reader.read(None, MAX).await.unwrap_err().what().contains("no Parquet file"));
}

#[tokio::test]
async fn sqlite_gives_what_the_query_says_while_others_write() {
    let stage = Stage::new();
    let conn = rusqlite::Connection::open(stage.folder.path().join("t.db")).unwrap();
    conn.pragma_update(None, "journal_mode", "wal").unwrap();
    conn.execute_batch(
        "CREATE TABLE d (id INTEGER, name TEXT, ok BOOLEAN, price REAL); \
         INSERT INTO d VALUES (2, 'two', 0, 1.5), (1, 'one', 1, 2), (3, NULL, 1, NULL);",
    )
    .unwrap();
    stage.later();
    let query = json!({ "path": "t.db", "query": "SELECT * FROM d ORDER BY id" });
    let mut reader = stage.reader::<SqliteTable>(query.clone());
    let found = reader.read(None, MAX).await.unwrap().unwrap();
    let types = json!({ "id": "int64", "name": "string", "ok": "int64", "price": "float64" });
    assert_eq!(found.columns, columns(types));
    assert_eq!(lines(&found), ["1|one|1|2.0", "2|two|0|1.5", "3||1|"]);
    assert!(reader.read(None, MAX).await.unwrap().is_none());
    conn.execute("UPDATE d SET name = 'drei' WHERE id = 3", []).unwrap();
    stage.later();
    let declared = columns(json!({ "name": "string", "ok": "bool" }));
    let again = reader.read(Some(&declared), MAX).await.unwrap().unwrap();
    assert_eq!(lines(&again), ["one|true", "two|false", "drei|true"]);
    for (query, why) in [
        ("SELECT nothing FROM d", "cannot be run"),
        ("DELETE FROM d", "would change"),
        ("SELECT x'00' AS b", "a blob"),
        ("SELECT id FROM d WHERE id > 9", "which columns"),
    ] {
        let mut reader = stage.reader::<SqliteTable>(json!({ "path": "t.db", "query": query }));
        let e = reader.read(None, MAX).await.unwrap_err();
        assert!(e.what().contains(why), "{e}");
    }
}
