//! The file sink, against the laws of all sinks and its own.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use millstream_connectors::FileSink;
use millstream_core::Remedy;
use millstream_core::codec::{Origin, Rows};
use millstream_core::plugin::{Config, Env};
use millstream_core::queue::Epoch;
use millstream_core::record::Offset;
use millstream_core::sink::{Held, Sink};
use millstream_testkit::laws::sink::{self as laws, Subject};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use tempfile::TempDir;

struct Folder {
    folder: TempDir,
    options: String,
}

impl Folder {
    fn new(options: &str) -> Self {
        Self { folder: TempDir::new().unwrap(), options: options.into() }
    }

    fn build(&self) -> millstream_core::Result<Box<dyn Sink>> {
        let file: FileSink = serde_json::from_str(&self.options).unwrap();
        file.build(&Env::test("store", self.folder.path()))
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("out/.test.store.part")
    }

    /// All hidden files with what they hold.
    fn hidden(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let found = fs::read_dir(self.folder.path().join("out")).unwrap();
        let mut files: Vec<_> = found.map(|e| e.unwrap().path()).collect();
        files.retain(|f| f.file_name().unwrap().to_string_lossy().starts_with('.'));
        files.sort();
        files.into_iter().map(|f| (f.clone(), fs::read(f).unwrap())).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(found) = fs::read_dir(self.folder.path().join("out")) else { return Vec::new() };
        let mut files: Vec<_> = found.map(|e| e.unwrap().path()).collect();
        files.retain(|f| !f.file_name().unwrap().to_string_lossy().starts_with('.'));
        files.sort();
        files
    }
}

fn read(file: &Path) -> Vec<i64> {
    match file.extension().unwrap().to_str().unwrap() {
        "parquet" => {
            let reader = ParquetRecordBatchReader::try_new(fs::File::open(file).unwrap(), 100);
            let batches = reader.unwrap().map(Result::unwrap);
            batches
                .flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec())
                .collect()
        }
        "csv" => {
            let text = fs::read_to_string(file).unwrap();
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("id,name"));
            lines.map(|l| l.split(',').next().unwrap().parse().unwrap()).collect()
        }
        _ => {
            let text = fs::read_to_string(file).unwrap();
            let rows = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
            rows.map(|r| r["id"].as_i64().unwrap()).collect()
        }
    }
}

#[async_trait]
impl Subject for Folder {
    fn sink(&self) -> Box<dyn Sink> {
        self.build().unwrap()
    }

    async fn ids(&self) -> Vec<i64> {
        self.files().iter().flat_map(|f| read(f)).collect()
    }

    fn seen_after_close(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn files_of_every_format_keep_the_laws() {
    laws::hold(|| Folder::new(r#"{"path":"out/rows-{n}.ndjson"}"#)).await;
    laws::hold(|| Folder::new(r#"{"path":"out/","format":"csv"}"#)).await;
    laws::hold(|| Folder::new(r#"{"path":"out/rows-{n}.parquet"}"#)).await;
    laws::hold(|| Folder::new(r#"{"path":"out/rows-{n}.parquet","compression":"snappy"}"#)).await;
}

async fn written(folder: &Folder, columns: Vec<(&str, ArrayRef)>) -> String {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut sink = folder.sink();
    sink.open(batch.schema()).await.unwrap();
    let origin = Origin::new(Offset(1), Arc::from([0]), None);
    sink.write(&Rows { batch, origin }).await.unwrap();
    sink.prepare(&laws::mark(1)).await.unwrap();
    sink.flush(&laws::mark(1)).await.unwrap();
    sink.close(Epoch(1)).await.unwrap();
    fs::read_to_string(folder.files().first().unwrap()).unwrap()
}

fn odd() -> Vec<(&'static str, ArrayRef)> {
    let texts = ["a,b", "say \"hi\"", "", "zwei\nZeilen", " é ", "plain"];
    let texts: StringArray = texts.iter().map(|t| Some(*t)).chain([None]).collect();
    vec![
        (
            "i",
            Arc::new(Int64Array::from(vec![
                Some(i64::MIN),
                Some(i64::MAX),
                None,
                Some(0),
                Some(1),
                Some(2),
                Some(3),
            ])),
        ),
        (
            "f",
            Arc::new(Float64Array::from(vec![
                0.1,
                1e300,
                -0.0,
                f64::NAN,
                f64::INFINITY,
                3.0,
                2.5e-8,
            ])),
        ),
        ("b", Arc::new(BooleanArray::from(vec![true, false, true, false, true, false, true]))),
        ("text, all", Arc::new(texts)),
    ]
}

#[tokio::test]
async fn csv_tells_null_from_empty_and_quotes_what_needs_it() {
    let folder = Folder::new(r#"{"path":"out/rows-{n}.csv"}"#);
    let text = written(&folder, odd()).await;
    let wanted = "i,f,b,\"text, all\"\n\
        -9223372036854775808,0.1,true,\"a,b\"\n\
        9223372036854775807,1e+300,false,\"say \"\"hi\"\"\"\n\
        ,-0.0,true,\"\"\n\
        0,NaN,false,\"zwei\nZeilen\"\n\
        1,Infinity,true,\" é \"\n\
        2,3.0,false,plain\n\
        3,2.5e-8,true,\n";
    assert_eq!(text, wanted);
}

#[tokio::test]
async fn ndjson_is_exact() {
    let folder = Folder::new(r#"{"path":"out/rows-{n}.ndjson"}"#);
    let text = written(&folder, odd()).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7);
    assert_eq!(
        lines[1],
        r#"{"i":9223372036854775807,"f":1e+300,"b":false,"text, all":"say \"hi\""}"#
    );
    assert_eq!(lines[3], r#"{"i":0,"f":"NaN","b":false,"text, all":"zwei\nZeilen"}"#);
    assert_eq!(lines[6], r#"{"i":3,"f":2.5e-8,"b":true,"text, all":null}"#);
}

#[tokio::test]
async fn two_sinks_of_one_name_on_one_folder_are_told_of_each_other() {
    let folder = Folder::new(r#"{"path":"out/rows-{n}.ndjson"}"#);
    let (mut one, mut two) = (folder.sink(), folder.sink());
    one.open(laws::schema()).await.unwrap();
    one.write(&laws::rows(1, &[1])).await.unwrap();
    one.prepare(&laws::mark(1)).await.unwrap();
    one.flush(&laws::mark(1)).await.unwrap();
    let before = folder.hidden();
    let error = two.open(laws::schema()).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Retry);
    let text = error.to_string();
    assert!(text.contains("another process has this sink open at"), "{text}");
    assert!(text.contains(".test.store.part.lock"), "{text}");
    assert_eq!(two.forget().await.unwrap_err().remedy(), Remedy::Retry);
    assert_eq!(folder.hidden(), before, "it touched what is not its own");
    // The one that has it is not disturbed, also while it begins a new spool.
    one.close(Epoch(1)).await.unwrap();
    two.open(laws::schema()).await.unwrap_err();
    one.write(&laws::rows(2, &[2])).await.unwrap();
    one.prepare(&laws::mark(2)).await.unwrap();
    one.flush(&laws::mark(2)).await.unwrap();
    drop(one);
    assert_eq!(two.open(laws::schema()).await.unwrap(), Held::Upto(laws::mark(2)));
}

#[tokio::test]
async fn a_lock_that_was_deleted_is_noticed_before_anything_is_flushed() {
    let folder = Folder::new(r#"{"path":"out/rows-{n}.ndjson"}"#);
    let mut sink = folder.sink();
    sink.open(laws::schema()).await.unwrap();
    fs::remove_file(folder.folder.path().join("out/.test.store.part.lock")).unwrap();
    let mut other = folder.sink();
    assert_eq!(other.open(laws::schema()).await.unwrap(), Held::Fresh);
    sink.write(&laws::rows(1, &[1])).await.unwrap();
    sink.prepare(&laws::mark(1)).await.unwrap();
    let error = sink.flush(&laws::mark(1)).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Reopen, "{error}");
    assert_eq!(sink.open(laws::schema()).await.unwrap_err().remedy(), Remedy::Retry);
}

/// A spool with three flushed epochs and rows behind them, and where the last of the three ends.
async fn spool(options: &str) -> (Folder, Vec<u8>, usize) {
    let folder = Folder::new(options);
    let mut sink = folder.sink();
    sink.open(laws::schema()).await.unwrap();
    for epoch in 1..=4 {
        let first = i64::try_from(epoch).unwrap() * 10;
        sink.write(&laws::rows(epoch, &[first, first + 1])).await.unwrap();
        sink.prepare(&laws::mark(epoch)).await.unwrap();
        if epoch == 4 {
            break;
        }
        sink.flush(&laws::mark(epoch)).await.unwrap();
    }
    let whole = fs::read(folder.spool()).unwrap();
    drop(sink);
    // Opened again, it is cut where what is held ends.
    folder.sink().open(laws::schema()).await.unwrap();
    let held_len = fs::read(folder.spool()).unwrap().len();
    assert!(held_len < whole.len());
    (folder, whole, held_len)
}

const FORMATS: [&str; 3] = [
    r#"{"path":"out/rows-{n}.ndjson"}"#,
    r#"{"path":"out/rows-{n}.csv"}"#,
    r#"{"path":"out/rows-{n}.parquet"}"#,
];

#[tokio::test]
async fn a_flipped_bit_below_what_is_held_stops_and_changes_nothing() {
    for options in FORMATS {
        let (folder, whole, held_len) = spool(options).await;
        let step = whole.len() / 150 + 1;
        for at in (0..whole.len()).step_by(step) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(folder.spool(), &flipped).unwrap();
            match folder.sink().open(laws::schema()).await {
                Ok(held) => {
                    assert!(
                        at >= held_len,
                        "{options}: {held:?} after a flip at {at} of {held_len}"
                    );
                    assert_eq!(held, Held::Upto(laws::mark(3)));
                    assert_eq!(fs::read(folder.spool()).unwrap(), whole[..held_len]);
                }
                Err(e) => {
                    assert!(at < held_len, "{options}: {e} after a flip at {at} of {held_len}");
                    assert_eq!(e.remedy(), Remedy::Stop, "{e}");
                    assert!(e.is_mended_by_forgetting());
                    let text = e.to_string();
                    assert!(text.contains(".test.store.part") && text.contains(" byte"), "{text}");
                    assert!(text.contains("--resume store"), "{text}");
                    assert_eq!(fs::read(folder.spool()).unwrap(), flipped);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_torn_last_epoch_is_cut_though_its_mark_is_whole() {
    for options in FORMATS {
        let (folder, whole, held_len) = spool(options).await;
        // As after a power cut: the mark was written, the rows before it were not.
        let marks: Vec<usize> =
            (0..held_len).filter(|i| whole[*i..].starts_with(b"{\"mark\"")).collect();
        assert_eq!(marks.len(), 3);
        let mut torn = whole[..held_len].to_vec();
        torn[marks[2] - 12..marks[2] - 9].iter_mut().for_each(|b| *b ^= 0xff);
        fs::write(folder.spool(), &torn).unwrap();
        let held = folder.sink().open(laws::schema()).await.unwrap();
        assert_eq!(held, Held::Upto(laws::mark(2)), "{options}");
    }
}

#[tokio::test]
async fn a_damaged_spool_that_is_forgotten_is_moved_aside_and_the_sink_goes_on() {
    for options in FORMATS {
        let (folder, mut bytes, _) = spool(options).await;
        let rows = bytes.windows(3).position(|w| w == b"row").unwrap();
        for (at, aside) in [(rows, ".test.store.part.damaged-1"), (3, ".test.store.part.damaged-2")]
        {
            bytes[at] ^= 4;
            fs::write(folder.spool(), &bytes).unwrap();
            let mut sink = folder.sink();
            assert_eq!(sink.open(laws::schema()).await.unwrap_err().remedy(), Remedy::Stop);
            sink.forget().await.unwrap();
            assert_eq!(fs::read(folder.folder.path().join("out").join(aside)).unwrap(), bytes);
            assert_eq!(sink.open(laws::schema()).await.unwrap(), Held::Fresh);
            sink.write(&laws::rows(9, &[90])).await.unwrap();
            sink.prepare(&laws::mark(9)).await.unwrap();
            sink.flush(&laws::mark(9)).await.unwrap();
            sink.close(Epoch(9)).await.unwrap();
        }
        assert_eq!(folder.ids().await, [90, 90], "{options}");
    }
}

#[tokio::test]
async fn a_spool_deleted_while_it_is_open_is_noticed() {
    let folder = Folder::new(r#"{"path":"out/rows-{n}.ndjson"}"#);
    let mut sink = folder.sink();
    sink.open(laws::schema()).await.unwrap();
    fs::remove_dir_all(folder.folder.path().join("out")).unwrap();
    sink.write(&laws::rows(1, &[1])).await.unwrap();
    sink.prepare(&laws::mark(1)).await.unwrap();
    let error = sink.flush(&laws::mark(1)).await.unwrap_err();
    assert_eq!(error.remedy(), millstream_core::Remedy::Reopen, "{error}");
    sink.open(laws::schema()).await.unwrap();
}

#[test]
fn options_that_cannot_be_are_refused_with_what_to_write() {
    for (options, wanted) in [
        (r#"{"path":"out/rows.ndjson"}"#, "no `{n}`"),
        (r#"{"path":"out/rows-{n}.txt"}"#, "does not tell the format"),
        (r#"{"path":"out/rows-{n}.csv","compression":"zstd"}"#, "only Parquet"),
        (r#"{"path":"{n}/rows-{n}.csv"}"#, "only once"),
        (r#"{"path":"out/.rows-{n}.csv"}"#, "hidden"),
    ] {
        let error = Folder::new(options).build().err().unwrap().to_string();
        assert!(error.contains(wanted) && error.contains("fix:"), "{error}");
    }
}

#[tokio::test]
async fn a_file_where_the_folder_should_be_stops_it_with_what_to_do() {
    for path in ["taken/", "taken/below/"] {
        let folder = Folder::new(&format!(r#"{{"path":"{path}","format":"ndjson"}}"#));
        fs::write(folder.folder.path().join("taken"), "").unwrap();
        let schema = RecordBatch::try_from_iter(odd()).unwrap().schema();
        let error = folder.build().unwrap().open(schema).await.unwrap_err();
        assert_eq!(error.remedy(), Remedy::Stop, "{error}");
        assert!(error.how_to_fix().unwrap().contains("move away the file"), "{error}");
    }
}
