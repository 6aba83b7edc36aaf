use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use millstream_core::codec::{Origin, Rows};
use millstream_core::record::Offset;
use millstream_core::sink::Sink;
use millstream_core::{Remedy, Result};
use millstream_testkit::laws::sink::{self as laws, Subject, mark};

use super::{Format, StdoutSink};

/// A terminal that remembers.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Printed(Screen, Format);

#[async_trait]
impl Subject for Printed {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(StdoutSink::new(self.1, Box::new(self.0.clone())))
    }

    async fn ids(&self) -> Vec<i64> {
        let text = self.0.text();
        let lines = text.lines().map(str::trim).filter(|l| {
            l.starts_with('{') || l.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        });
        let ids = lines.map(|l| match l.strip_prefix("{\"id\":") {
            Some(rest) => rest.split(',').next().unwrap().parse().unwrap(),
            None => l.split_whitespace().next().unwrap().parse().unwrap(),
        });
        ids.collect()
    }
}

#[tokio::test]
async fn both_formats_keep_the_laws() {
    laws::hold(|| Printed(Screen::default(), Format::Ndjson)).await;
    laws::hold(|| Printed(Screen::default(), Format::Table)).await;
}

async fn print(sink: &mut StdoutSink, columns: Vec<(&str, ArrayRef)>) -> Result<()> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let origin = Origin::new(Offset(1), Arc::from([0]), None);
    sink.open(batch.schema()).await?;
    sink.write(&Rows { batch, origin }).await?;
    sink.prepare(&mark(1)).await?;
    sink.flush(&mark(1)).await
}

#[tokio::test]
async fn a_table_is_aligned_cut_and_cannot_move_the_cursor() {
    let screen = Screen::default();
    let mut sink = StdoutSink::new(Format::Table, Box::new(screen.clone()));
    let long = "x".repeat(60);
    let names = StringArray::from(vec![Some("東京"), None, Some("\u{1b}[2J\n"), Some(&long)]);
    let values = Float64Array::from(vec![1.5, -100.25, 3.0, 4.0]);
    let ids = Int64Array::from(vec![1, 2, 3, 4]);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("name", Arc::new(names)), ("value", Arc::new(values)), ("n", Arc::new(ids))];
    print(&mut sink, columns).await.unwrap();
    let line =
        |name: &str, pad: usize, value: &str| format!("{name}{}  {value:>7}", " ".repeat(pad));
    let wanted = [
        line("name", 36, "value") + "  n",
        format!("{}  {}  ─", "─".repeat(40), "─".repeat(7)),
        line("東京", 36, "1.5") + "  1",
        line("null", 36, "-100.25") + "  2",
        line("\\u{1b}[2J\\n", 29, "3.0") + "  3",
        line(&format!("{}…", "x".repeat(39)), 0, "4.0") + "  4",
    ];
    assert_eq!(screen.text().lines().collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn the_header_comes_again() {
    let screen = Screen::default();
    let mut sink = StdoutSink::new(Format::Table, Box::new(screen.clone()));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..120));
    print(&mut sink, vec![("id", ids)]).await.unwrap();
    assert_eq!(screen.text().lines().filter(|l| l.trim() == "id").count(), 3);
    assert_eq!(screen.text().lines().filter(|l| l.trim().parse::<u8>().is_ok()).count(), 120);
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_has_gone_stops_it_in_words() {
    let mut sink = StdoutSink::new(Format::Ndjson, Box::new(Closed));
    let error =
        print(&mut sink, vec![("id", Arc::new(Int64Array::from(vec![1])))]).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Stop);
    assert!(error.to_string().starts_with("whoever read standard output has closed it"), "{error}");
}
