use super::*;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use millstream_core::plugin::Act;
use millstream_core::record::{Name, Record};
use millstream_testkit::laws::source as laws;

#[path = "header_tests.rs"]
mod header;

const TIMES: Times = Times {
    poll: Duration::from_millis(3),
    list: Duration::from_millis(15),
    away: Duration::from_millis(60),
    copy: Duration::from_millis(400),
};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Report for Heard {
    fn trouble(&self, what: &str, error: &Error) {
        self.0.lock().unwrap().push(format!("{what}: {error}"));
    }
    fn fine(&self, _: &str) {}
    fn took(&self, _: Act, _: Duration) {}
}

/// A folder of files, and sources over it.
struct Bench {
    folder: tempfile::TempDir,
    heard: Arc<Heard>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), heard: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn build(&self, options: &str) -> Result<Files> {
        let mut env = Env::test("files", self.folder.path());
        env.report = self.heard.clone();
        Files::new(&serde_json::from_str(options).unwrap(), &env, TIMES)
    }

    fn source(&self, options: &str) -> Box<dyn Source> {
        Box::new(self.build(options).unwrap())
    }

    async fn follow(&self, options: &str, after: &SplitPositions) -> Follow {
        let mut source = self.source(options);
        source.open(after).await.unwrap();
        Follow { source, after: after.clone(), rows: BTreeMap::new(), ended: Vec::new() }
    }
}

/// A source that is being pulled from, and what it has brought.
struct Follow {
    source: Box<dyn Source>,
    after: SplitPositions,
    rows: BTreeMap<Name, String>,
    ended: Vec<String>,
}

impl Follow {
    /// Pulls until all of `wanted` has come, in the order of the splits' names, and then makes sure that no more comes.
    async fn brings(&mut self, wanted: &str) {
        let text = |rows: &BTreeMap<Name, String>| rows.values().cloned().collect::<String>();
        while text(&self.rows).len() < wanted.len() {
            let pull = tokio::time::timeout(Duration::from_secs(10), self.source.pull());
            match pull.await {
                Ok(pulled) => self.take(pulled.unwrap().unwrap()),
                Err(_) => break,
            }
        }
        let more = tokio::time::timeout(TIMES.list * 3, self.source.pull()).await;
        if let Ok(pulled) = more {
            self.take(pulled.unwrap().unwrap());
        }
        assert_eq!(text(&self.rows), wanted, "{:?}", self.rows);
        self.rows.clear();
    }

    async fn one(&mut self) {
        let pulled = self.source.pull().await.unwrap().unwrap();
        self.take(pulled);
    }

    fn take(&mut self, pulled: Pulled) {
        let rows = self.rows.entry(pulled.split.clone()).or_default();
        for record in &pulled.records {
            rows.push_str(std::str::from_utf8(&record.value).unwrap());
        }
        if pulled.ended {
            self.ended.push(pulled.split.to_string());
        }
        if let Some(position) = pulled.position {
            self.after.insert(pulled.split, position);
        }
    }

    /// Pulls until a split has ended.
    async fn ends(&mut self, split: &str) {
        while !self.ended.iter().any(|s| s == split) {
            let pull = tokio::time::timeout(Duration::from_secs(10), self.source.pull());
            let pulled = pull.await.expect("the split should have ended").unwrap().unwrap();
            self.take(pulled);
        }
    }

    fn splits(&self) -> Vec<&str> {
        self.after.keys().map(|s| &**s).collect()
    }
}

fn many_lines(lines: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = Vec::new();
    for i in 0..lines {
        let filler = "x".repeat(random.usize(0..120));
        text.extend_from_slice(
            format!("{{\"n\":{i},\"s\":{seed},\"x\":\"{filler}\"}}\n").as_bytes(),
        );
    }
    text
}

#[tokio::test]
async fn lines_read_once_keep_the_laws_of_sources() {
    let bench = Bench::new();
    bench.write("a.ndjson", many_lines(20_000, 1));
    bench.write("b.ndjson", [many_lines(5000, 2), b"the last without its end".to_vec()].concat());
    bench.write("c.ndjson", b"");
    bench.write("d.ndjson", b"not utf-8: \xff\xfe\x00\n\n\r\nafter empty lines\n");
    bench.write("e.ndjson", [vec![b'y'; 900_000], b"\nshort\n".to_vec()].concat());
    let make = || bench.source(r#"{"path":"*.ndjson"}"#);
    laws::all(make, laws::lines, 11).await;
    let run = laws::run(make().as_mut(), &SplitPositions::new(), |r| vec![r.value.clone()]).await;
    for (split, records) in &run.rows {
        assert!(fs::read(bench.path(split)).unwrap() == records.concat(), "{split}");
    }
    assert_eq!(run.rows.len(), 5);
}

#[tokio::test]
async fn whole_files_keep_the_laws_of_sources() {
    let bench = Bench::new();
    for i in 0..20 {
        bench.write(&format!("{i}.json"), format!("{{\n  \"n\": {i}\n}}"));
    }
    let make = || bench.source(r#"{"path":"*.json","whole":true}"#);
    laws::all(make, |r| vec![r.value.clone()], 13).await;
}

#[tokio::test]
async fn a_whole_file_is_read_again_only_when_it_changes() {
    let bench = Bench::new();
    let options = r#"{"path":"*.json","whole":true,"follow":true}"#;
    bench.write("a.json", "one");
    let mut follow = bench.follow(options, &SplitPositions::new()).await;
    follow.brings("one").await;
    bench.write("new", "another");
    bench.rename("new", "a.json");
    follow.brings("another").await;
    let after = follow.after.clone();
    drop(follow);
    bench.write("b.json", "b");
    bench.follow(options, &after).await.brings("b").await;
}

#[tokio::test]
async fn a_line_is_delivered_when_it_is_whole_and_not_before() {
    let bench = Bench::new();
    bench.write("log", "one\ntw");
    let mut follow = bench.follow(r#"{"path":"log","follow":true}"#, &SplitPositions::new()).await;
    follow.brings("one\n").await;
    bench.append("log", "o\nthree\nfo");
    follow.brings("two\nthree\n").await;
    let after = follow.after.clone();
    drop(follow);
    bench.append("log", "ur\n");
    let mut follow = bench.follow(r#"{"path":"log","follow":true}"#, &after).await;
    follow.brings("four\n").await;
}

#[tokio::test]
async fn a_renamed_log_is_read_to_its_end_and_the_new_one_from_its_start() {
    let bench = Bench::new();
    bench.write("log", "one\n");
    let mut follow = bench.follow(r#"{"path":"log","follow":true}"#, &SplitPositions::new()).await;
    follow.brings("one\n").await;
    bench.append("log", "two\n");
    bench.rename("log", "log.1");
    bench.write("log", "three\n");
    // The writer has not noticed yet.
    bench.append("log.1", "four\nlast");
    follow.ends("log").await;
    follow.brings("two\nfour\nlastthree\n").await;
    assert_eq!(follow.splits(), ["log", "log#2"]);
    // The name is free again.
    bench.rename("log", "log.2");
    bench.write("log", "five\n");
    follow.ends("log#2").await;
    follow.brings("five\n").await;
    assert_eq!(follow.splits(), ["log", "log#2"]);
}

#[tokio::test]
async fn a_log_renamed_while_nobody_looked_is_read_to_its_end() {
    for path in ["log", "log*"] {
        let bench = Bench::new();
        let options = format!(r#"{{"path":"{path}","follow":true}}"#);
        bench.write("log", "one\ntwo\n");
        let mut follow = bench.follow(&options, &SplitPositions::new()).await;
        follow.brings("one\ntwo\n").await;
        let after = follow.after.clone();
        drop(follow);
        bench.append("log", "three\n");
        bench.rename("log", "log.1");
        bench.write("log", "four\n");
        let mut follow = bench.follow(&options, &after).await;
        follow.brings("three\nfour\n").await;
    }
}

#[tokio::test]
async fn a_log_that_is_copied_and_cut_is_not_read_twice() {
    let bench = Bench::new();
    bench.write("log", "one\n");
    let mut follow = bench.follow(r#"{"path":"log*","follow":true}"#, &SplitPositions::new()).await;
    follow.brings("one\n").await;
    bench.append("log", "two\n");
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    // Both are there for a while, as they are when a long log is copied.
    tokio::time::sleep(TIMES.list * 4).await;
    OpenOptions::new().write(true).open(bench.path("log")).unwrap().set_len(0).unwrap();
    bench.append("log", "three\n");
    follow.brings("two\nthree\n").await;
}

#[tokio::test]
async fn a_log_copied_and_cut_while_nobody_looked_is_not_read_twice() {
    let bench = Bench::new();
    let options = r#"{"path":"log*","follow":true}"#;
    bench.write("log", "one\n");
    let mut follow = bench.follow(options, &SplitPositions::new()).await;
    follow.brings("one\n").await;
    let after = follow.after.clone();
    drop(follow);
    bench.append("log", "two\n");
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    bench.write("log", "three is longer than what was there\n");
    let mut follow = bench.follow(options, &after).await;
    follow.brings("three is longer than what was there\ntwo\n").await;
}

#[tokio::test]
async fn a_log_cut_and_written_anew_to_the_same_length_is_read_again() {
    let bench = Bench::new();
    let options = r#"{"path":"*.log","follow":true}"#;
    bench.write("a.log", "one\n");
    bench.write("b.log", "half");
    let mut follow = bench.follow(options, &SplitPositions::new()).await;
    follow.brings("one\n").await;
    // Longer than the clock of a file system stands still.
    tokio::time::sleep(Duration::from_millis(30)).await;
    bench.write("a.log", "two\n");
    bench.write("b.log", "flah");
    follow.brings("two\n").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    bench.append("b.log", "\n");
    follow.brings("flah\n").await;
    // A change of time alone is none of what is in it.
    let touched = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    OpenOptions::new()
        .write(true)
        .open(bench.path("a.log"))
        .unwrap()
        .set_modified(touched)
        .unwrap();
    follow.brings("").await;
    // While nobody looked.
    let after = follow.after.clone();
    drop(follow);
    bench.write("a.log", "six\n");
    bench.follow(options, &after).await.brings("six\n").await;
    let mut once = bench.follow(r#"{"path":"*.log"}"#, &SplitPositions::new()).await;
    once.ends("b.log").await;
    bench.write("a.log", "ten\n");
    let mut again = bench.follow(r#"{"path":"*.log"}"#, &once.after).await;
    again.ends("a.log").await;
    assert_eq!(again.rows[&Name::from("a.log")], "ten\n");
}

#[tokio::test]
async fn many_files_are_begun_without_waiting_for_the_next_listing() {
    let bench = Bench::new();
    let many = 1_300;
    let name = |i: usize| format!("{i:04}.log");
    // All of one header: none of them is the copy of another.
    (0..many).for_each(|i| bench.write(&name(i), format!("header\n{i:04}\n")));
    for (from, list) in [("start", 3600), ("end", 0)] {
        let mut env = Env::test("files", bench.folder.path());
        env.report = bench.heard.clone();
        let options = format!(r#"{{"path":"*.log","follow":true,"from":"{from}"}}"#);
        let times = Times { list: Duration::from_secs(list), ..Times::default() };
        let files = Files::new(&serde_json::from_str(&options).unwrap(), &env, times).unwrap();
        let mut source: Box<dyn Source> = Box::new(files);
        source.open(&SplitPositions::new()).await.unwrap();
        let (after, rows, ended) = (SplitPositions::new(), BTreeMap::new(), Vec::new());
        let mut follow = Follow { source, after, rows, ended };
        while follow.after.len() < many {
            let one = tokio::time::timeout(Duration::from_secs(9), follow.one());
            one.await.expect("all files are there at the first listing");
        }
        let rows: String = follow.rows.values().cloned().collect();
        let wanted = if from == "end" { 0 } else { many * 12 };
        assert_eq!(rows.len(), wanted);
        follow.rows.clear();
        if list == 0 {
            // One that is read and closed, since so many are, is looked at again.
            tokio::time::sleep(Duration::from_millis(400)).await;
            for i in 0..20 {
                bench.write(&name(i * 60), format!("HEADER\n{i:04}\n"));
            }
            while follow.rows.len() < 20 {
                let one = tokio::time::timeout(Duration::from_secs(9), follow.one());
                one.await.expect("files of the same length are looked at when they were changed");
            }
        }
    }
}

#[tokio::test]
async fn files_that_begin_alike_are_all_read() {
    let bench = Bench::new();
    bench.write("a", "same\n");
    bench.write("b", "same\n");
    let mut follow = bench.follow(r#"{"path":"?","follow":true}"#, &SplitPositions::new()).await;
    follow.brings("same\nsame\n").await;
    bench.write("c", "same\n");
    follow.brings("same\n").await;
    let once = bench.source(r#"{"path":"?"}"#).as_mut().open(&SplitPositions::new()).await;
    once.unwrap();
}

#[tokio::test]
async fn new_files_are_found_and_old_lines_left_out_when_asked() {
    let bench = Bench::new();
    let options = r#"{"path":"*.log","follow":true,"from":"end"}"#;
    bench.write("a.log", "old\nhalf");
    let mut follow = bench.follow(options, &SplitPositions::new()).await;
    follow.one().await;
    bench.append("a.log", " a line\n");
    bench.write("b.log", "new\n");
    follow.brings("half a line\nnew\n").await;
    // Nothing new had come of a file before a restart: it still goes on where it stood.
    let bench = Bench::new();
    bench.write("a.log", "old\n");
    let mut follow = bench.follow(options, &SplitPositions::new()).await;
    follow.one().await;
    let after = follow.after.clone();
    drop(follow);
    bench.append("a.log", "between\n");
    bench.follow(options, &after).await.brings("between\n").await;
}

#[tokio::test]
async fn a_line_that_is_too_long_is_left_out_and_told_with_its_place() {
    let bench = Bench::new();
    let long = "z".repeat(600_000);
    bench.write("log", format!("before\n{long}\nafter\n{long}"));
    let options = r#"{"path":"log","line_max":"256KiB"}"#;
    let run = laws::run(bench.source(options).as_mut(), &SplitPositions::new(), laws::lines).await;
    let rows = run.rows["log"].concat();
    assert_eq!(rows, b"before\nafter\n");
    let heard = bench.heard.0.lock().unwrap().join("\n");
    assert!(heard.contains("log:7") && heard.contains("600001 bytes"), "{heard}");
    assert_eq!(heard.matches("line_max").count(), 2, "{heard}");
}

#[tokio::test]
async fn a_wrong_path_is_told_at_once_and_by_remedy() {
    let bench = Bench::new();
    for (options, remedy) in [
        (r#"{"path":"missing"}"#, Remedy::Stop),
        (r#"{"path":"missing*"}"#, Remedy::Stop),
        (r#"{"path":"."}"#, Remedy::Stop),
        (r#"{"path":"missing","follow":true}"#, Remedy::Retry),
    ] {
        let error = bench.source(options).open(&SplitPositions::new()).await.unwrap_err();
        assert_eq!(error.remedy(), remedy, "{options}: {error}");
        assert!(error.how_to_fix().is_some(), "{error}");
    }
    let mut waiting = bench.source(r#"{"path":"missing*","follow":true}"#);
    waiting.open(&SplitPositions::new()).await.unwrap();
    for options in [
        r#"{"path":""}"#,
        r#"{"path":"a[","follow":true}"#,
        r#"{"path":"a","line_max":"1KiB"}"#,
        r#"{"path":"a","whole":true,"header":true}"#,
        r#"{"path":"a","from":"end"}"#,
    ] {
        let error = bench.build(options).err().unwrap();
        assert!(error.how_to_fix().is_some(), "{error}");
    }
}

/// A writer that rotates its log at random against a reader that is restarted at random: each line comes once.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_lost_or_read_twice_through_rotations_and_restarts() {
    for seed in 0..6 {
        let bench = Bench::new();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut after = SplitPositions::new();
        let mut seen: Vec<String> = Vec::new();
        let (mut written, mut rotated) = (0, 0);
        bench.write("log", "");
        for _ in 0..12 {
            let mut follow = bench.follow(r#"{"path":"log*","follow":true}"#, &after).await;
            for _ in 0..random.usize(1..60) {
                match random.u8(0..20) {
                    0 => {
                        rotated += 1;
                        bench.rename("log", &format!("log.{rotated}"));
                        bench.write("log", "");
                    }
                    1 => tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await,
                    _ => {
                        let filler = "-".repeat(random.usize(0..3000));
                        bench.append("log", format!("line {written} {filler}\n"));
                        written += 1;
                    }
                }
                if random.bool()
                    && let Ok(pulled) =
                        tokio::time::timeout(Duration::from_millis(2), follow.source.pull()).await
                {
                    follow.take(pulled.unwrap().unwrap());
                }
            }
            seen.extend(follow.rows.values().flat_map(|text| text.lines().map(str::to_owned)));
            after = follow.after;
        }
        let mut follow = bench.follow(r#"{"path":"log*","follow":true}"#, &after).await;
        while let Ok(pulled) = tokio::time::timeout(TIMES.list * 6, follow.source.pull()).await {
            follow.take(pulled.unwrap().unwrap());
        }
        seen.extend(follow.rows.values().flat_map(|text| text.lines().map(str::to_owned)));
        let mut numbers: Vec<usize> =
            seen.iter().map(|l| l.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        let wanted: Vec<usize> = (0..written).collect();
        assert!(numbers == wanted, "seed {seed}: {} lines of {written}", numbers.len());
    }
}
