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
use millstream_core::codec::{Origin, Rows};
use millstream_core::plugin::{Config, Env};
use millstream_core::queue::Epoch;
use millstream_core::record::Offset;
use millstream_core::sink::Sink;
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
    let error = two.open(laws::schema()).await.unwrap_err();
    assert_eq!(error.remedy(), millstream_core::Remedy::Stop);
    assert!(error.to_string().contains("another pipeline of the same name"), "{error}");
    drop(one);
    two.open(laws::schema()).await.unwrap();
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
