//! Headers that are repeated, and names that are passed over.

use super::*;

impl Bench {
    /// A source for a codec that reads headers.
    fn with_header(&self, options: &str) -> Result<Box<dyn Source>> {
        let mut source = self.source(options);
        source.repeat_header(true).map(|()| source)
    }
}

#[tokio::test]
async fn a_csv_header_stands_before_each_record_also_after_a_restart() {
    let bench = Bench::new();
    let rows: String = (0..60_000).map(|i| format!("{i},{}\n", i * 7)).collect();
    bench.write("a.csv", format!("id,value\n{rows}"));
    bench.write("b.csv", "id,value\n");
    bench.write("c.csv", "id,value");
    bench.write("d.csv", format!("\n\r\nid,value of d\n{rows}"));
    // Without an option of its own it does as the codec says.
    let make = || bench.with_header(r#"{"path":"?.csv"}"#).unwrap();
    let bare = |record: &Record| {
        let mut lines = laws::lines(record);
        lines.retain(|line| !line.trim_ascii().is_empty());
        let header = lines.remove(0);
        assert!(header.starts_with(b"id,value"), "each record begins with the header");
        lines
    };
    laws::all(make, bare, 12).await;
    let run = laws::run(make().as_mut(), &SplitPositions::new(), bare).await;
    assert_eq!(run.rows["a.csv"].concat(), rows.as_bytes());
    assert_eq!(run.rows["d.csv"].concat(), rows.as_bytes());
    assert!(run.steps.len() > 4, "more than one record should have been made");
}

#[tokio::test]
async fn a_header_that_the_codec_contradicts_is_refused() {
    let bench = Bench::new();
    let error = bench.with_header(r#"{"path":"a","header":false}"#).err().unwrap();
    assert_eq!((error.place(), error.remedy()), (Some("header"), Remedy::Stop));
    assert!(error.how_to_fix().is_some(), "{error}");
    let mut without = bench.source(r#"{"path":"a","header":true}"#);
    assert!(without.repeat_header(false).is_err());
    bench.with_header(r#"{"path":"a","header":true}"#).unwrap();
    bench.source(r#"{"path":"a","header":false}"#).repeat_header(false).unwrap();
    // Each whole file brings its own.
    bench.write("whole.csv", "id\n1\n");
    let mut whole = bench.with_header(r#"{"path":"whole.csv","whole":true}"#).unwrap();
    let rows = laws::run(whole.as_mut(), &SplitPositions::new(), |r| vec![r.value.clone()]).await;
    assert_eq!(rows.rows["whole.csv"], ["id\n1\n"]);
}

#[tokio::test]
async fn a_file_whose_name_is_no_utf_8_is_told_of_once() {
    use std::os::unix::ffi::OsStrExt as _;
    let bench = Bench::new();
    bench.write("good", "1\n");
    let odd = bench.folder.path().join(std::ffi::OsStr::from_bytes(b"bad\xff"));
    fs::write(odd, "2\n").unwrap();
    for (told, options) in
        [r#"{"path":"*d*"}"#, r#"{"path":"*d*","whole":true}"#].iter().enumerate()
    {
        let mut source = bench.source(options);
        let run = laws::run(source.as_mut(), &SplitPositions::new(), laws::lines).await;
        assert_eq!(run.rows.keys().map(|k| &**k).collect::<Vec<_>>(), ["good"]);
        let heard = bench.heard.0.lock().unwrap();
        assert_eq!(heard.len(), told + 1, "{heard:?}");
        assert!(
            heard.iter().all(|h| h.contains("bad\\xff") && h.contains("no UTF-8")),
            "{heard:?}"
        );
    }
}
