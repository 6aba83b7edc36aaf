//! What is piped in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use millstream_core::fields::Bytes;
use millstream_core::plugin::{Config, Env, Report};
use millstream_core::record::{Name, Record};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Result};
use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::file::lines::{Lines, READ_BYTES, Taken, header_in};

/// Reads lines from standard input: `journalctl -f -o json | millstream run pipeline.yaml`.
///
/// What is there is taken at once: a record is one line when they trickle, and many when they rush; where the codec
/// reads a header (CSV), the first line that is not empty is put before each record. It ends where
/// the input ends; a last line without its line end counts. What was read and not yet in the queue is lost in a crash.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stdin {
    /// The longest line to take. A longer one is left out, which counts as a trouble of the source.
    #[serde(default = "line_max")]
    pub line_max: Bytes,
}

fn line_max() -> Bytes {
    Bytes(16 << 20)
}

const SPLIT: &str = "stdin";
/// Records read ahead; a pipe holds some 64 KiB more.
const RECORDS_AHEAD: usize = 4;

impl Config<dyn Source> for Stdin {
    const NAME: &'static str = "stdin";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let take = || {
            if TAKEN.swap(true, Ordering::SeqCst) {
                return Err(Error::stop("standard input is already being read")
                    .fix("keep one `stdin` source; several views can read from it"));
            }
            Ok(io::stdin())
        };
        Ok(Box::new(Pipe::new(&self, env, take)?))
    }
}

/// A thread that reads, for reading from a pipe blocks, and cannot be broken off.
struct Pipe<Take> {
    line_max: usize,
    header: bool,
    report: Arc<dyn Report>,
    take: Option<Take>,
    records: Option<mpsc::Receiver<Result<Pulled>>>,
    split: Name,
    ended: bool,
}

impl<Take> Pipe<Take> {
    fn new(options: &Stdin, env: &Env, take: Take) -> Result<Self> {
        let line_max = usize::try_from(options.line_max.0).unwrap_or(usize::MAX);
        if line_max < READ_BYTES {
            return Err(Error::stop(format!("`line_max: {}` is too short", options.line_max))
                .fix("give 256KiB or more"));
        }
        Ok(Self {
            line_max,
            header: false,
            report: env.report.clone(),
            take: Some(take),
            records: None,
            split: SPLIT.into(),
            ended: false,
        })
    }
}

#[async_trait]
impl<Take, From> Source for Pipe<Take>
where
    Take: FnOnce() -> Result<From> + Send,
    From: AsFd + Send + 'static,
{
    async fn open(&mut self, _: &SplitPositions) -> Result<()> {
        // Opened again, it goes on with the same thread: what was read ahead is not lost.
        let Some(take) = self.take.take() else { return Ok(()) };
        let from = take()?;
        let (sender, records) = mpsc::channel(RECORDS_AHEAD);
        let reader = Reader {
            lines: Lines::new(self.line_max),
            line_max: self.line_max,
            seeks_header: self.header,
            report: self.report.clone(),
            split: self.split.clone(),
            sender,
        };
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || reader.run(&from))
            .map_err(|e| Error::stop("cannot start a thread to read standard input").because(e))?;
        self.records = Some(records);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        if self.ended {
            return Ok(None);
        }
        let Some(records) = &mut self.records else {
            return Err(Error::stop("standard input is not open"));
        };
        match records.recv().await {
            Some(pulled) => {
                let pulled = pulled?;
                self.ended = pulled.ended;
                Ok(Some(pulled))
            }
            None => Err(Error::stop("the reading of standard input broke off")),
        }
    }

    fn finite(&self) -> bool {
        true
    }

    fn replay(&self) -> Replay {
        Replay::Never
    }

    fn repeat_header(&mut self, header: bool) -> Result<()> {
        self.header = header;
        Ok(())
    }

    fn describe(&self) -> String {
        let header = if self.header { ", the header before each record" } else { "" };
        format!("standard input, lines up to {}{header}", Bytes(self.line_max as u64))
    }
}

struct Reader {
    lines: Lines,
    line_max: usize,
    /// Whether a header is to be repeated that has not come yet.
    seeks_header: bool,
    report: Arc<dyn Report>,
    split: Name,
    sender: mpsc::Sender<Result<Pulled>>,
}

impl Reader {
    fn run(mut self, from: &impl AsFd) {
        loop {
            let read =
                self.lines.fill(|buffer| Ok(rustix::io::read(from, spare_capacity(buffer))?));
            let (taken, ended) = match read {
                Ok(0) => (self.lines.rest(), true),
                Ok(_) => (self.lines.take(), false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    let error = Error::stop("cannot read standard input").because(e);
                    drop(self.sender.blocking_send(Err(error)));
                    return;
                }
            };
            self.find_header(&taken);
            if !self.send(taken, ended) || ended {
                return;
            }
        }
    }

    /// Takes the header from what comes first.
    fn find_header(&mut self, taken: &Taken) {
        let lines = taken.lines.as_ref().filter(|_| self.seeks_header);
        if let Some(header) = lines.and_then(|lines| lines.get(header_in(lines)?)) {
            self.lines.repeat(bytes::Bytes::copy_from_slice(header));
            self.seeks_header = false;
        }
    }

    /// Whether anybody listens.
    fn send(&self, taken: Taken, ended: bool) -> bool {
        if let Some(bytes) = taken.too_long {
            let max = Bytes(self.line_max as u64);
            let error = Error::set_aside(format!("a line of {bytes} bytes is longer than {max}"));
            self.report.trouble(&self.split, &error.fix("raise `line_max`"));
        }
        let records: Vec<Record> = taken.lines.into_iter().map(Record::new).collect();
        if records.is_empty() && !ended {
            return true;
        }
        let pulled = Pulled { split: self.split.clone(), records, position: None, ended };
        self.sender.blocking_send(Ok(pulled)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Write};
    use std::time::Duration;

    fn pipe(from: PipeReader) -> impl Source {
        let options: Stdin = serde_json::from_str("{}").unwrap();
        Pipe::new(&options, &Env::test("in", "."), || Ok(from)).unwrap()
    }

    async fn next(source: &mut impl Source) -> Option<Pulled> {
        let pull = tokio::time::timeout(Duration::from_secs(10), source.pull());
        pull.await.expect("something should come").unwrap()
    }

    #[tokio::test]
    async fn lines_go_at_once_and_the_last_needs_no_end() {
        let (from, mut to) = std::io::pipe().unwrap();
        let mut source = pipe(from);
        source.open(&SplitPositions::new()).await.unwrap();
        to.write_all(b"one\ntw").unwrap();
        assert_eq!(next(&mut source).await.unwrap().records[0].value, "one\n");
        // Opened again, say after an error of the queue, it goes on.
        source.open(&SplitPositions::new()).await.unwrap();
        to.write_all(b"o\nthree\nfour").unwrap();
        assert_eq!(next(&mut source).await.unwrap().records[0].value, "two\nthree\n");
        drop(to);
        let last = next(&mut source).await.unwrap();
        assert_eq!((&last.records[0].value[..], last.ended), (&b"four"[..], true));
        assert!(next(&mut source).await.is_none() && next(&mut source).await.is_none());
    }

    #[tokio::test]
    async fn a_header_stands_before_each_record() {
        let (from, mut to) = std::io::pipe().unwrap();
        let mut source = pipe(from);
        source.repeat_header(true).unwrap();
        source.open(&SplitPositions::new()).await.unwrap();
        for (written, record) in [
            ("\n", "\n"),
            ("id,n\n1,x\n2", "id,n\n1,x\n"),
            (",y\n", "id,n\n2,y\n"),
            ("\n3,", "id,n\n\n"),
        ] {
            to.write_all(written.as_bytes()).unwrap();
            assert_eq!(next(&mut source).await.unwrap().records[0].value, record);
        }
        drop(to);
        assert_eq!(next(&mut source).await.unwrap().records[0].value, "id,n\n3,");
    }

    #[tokio::test]
    async fn dropped_pulls_lose_nothing() {
        let (from, mut to) = std::io::pipe().unwrap();
        let text: String = (0..50_000).map(|i| format!("line {i}\n")).collect();
        let written = text.clone();
        let writer = std::thread::spawn(move || to.write_all(written.as_bytes()).unwrap());
        let mut source = pipe(from);
        source.open(&SplitPositions::new()).await.unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        let mut read = Vec::new();
        while let Some(pulled) =
            millstream_testkit::laws::source::pull_with_drops(&mut source, &mut random).await
        {
            read.extend(pulled.records.into_iter().flat_map(|r| r.value));
        }
        writer.join().unwrap();
        assert!(read == text.as_bytes());
    }

    #[tokio::test]
    async fn standard_input_has_one_reader() {
        let build = || serde_json::from_str::<Stdin>("{}").unwrap().build(&Env::test("in", "."));
        let (mut first, mut second) = (build().unwrap(), build().unwrap());
        first.open(&SplitPositions::new()).await.unwrap();
        let error = second.open(&SplitPositions::new()).await.unwrap_err();
        assert!(error.how_to_fix().is_some(), "{error}");
    }
}
