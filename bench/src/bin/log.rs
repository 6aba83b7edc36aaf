//! The log beside plain files: append and read of 64 KiB blocks, with and without fsync.
//!
//! `cargo run --release -p millstream-bench --bin log [-- MiB]` prints a table. Both sides move the same bytes to the
//! same disk in turns; each figure is the best of the rounds, for the machine may be shared.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark may panic, prints its table and takes its own time"
)]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use millstream_core::Timestamp;
use millstream_core::fields::Bytes;
use millstream_core::plugin::{Env, QueueOpener};
use millstream_core::queue::Queue;
use millstream_core::record::{Block, Body, Frame, Offset, Position, Record};
use millstream_queue::log::{Durability, LogOpener, LogQueue};
use rustix::time::{ClockId, clock_gettime};

const BLOCK: usize = 64 * 1024;
const ROUNDS: usize = 5;
/// Appenders at once, and blocks per fsync of the plain file.
const AT_ONCE: usize = 16;

/// The best wall and CPU time of one act.
#[derive(Clone, Copy)]
struct Best {
    wall: Duration,
    cpu: Duration,
}

impl Best {
    fn new() -> Self {
        Self { wall: Duration::MAX, cpu: Duration::MAX }
    }

    fn time<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let cpu_now = || {
            let t = clock_gettime(ClockId::ProcessCPUTime);
            Duration::new(t.tv_sec.try_into().unwrap(), t.tv_nsec.try_into().unwrap())
        };
        let (cpu, wall) = (cpu_now(), Instant::now());
        let made = act();
        self.wall = self.wall.min(wall.elapsed());
        self.cpu = self.cpu.min(cpu_now() - cpu);
        made
    }
}

fn frames(blocks: usize) -> Vec<Frame> {
    let mut random = 1u64;
    let text: Vec<u8> = (0..BLOCK * 8)
        .map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random.to_be_bytes()[0]
        })
        .collect();
    let text = bytes::Bytes::from(text);
    (0..blocks)
        .map(|n| {
            let from = n % 8 * BLOCK;
            let value = text.slice(from..from + BLOCK);
            Frame {
                source: "bench".into(),
                split: "0".into(),
                arrival: Timestamp(0),
                position: Some(Position(bytes::Bytes::from_static(b"cursor"))),
                body: Body::Block(Block::pack(&[Record::new(value)]).unwrap()),
            }
        })
        .collect()
}

fn plain_write(path: &Path, frames: &[Frame], fsync: bool) -> File {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).open(path).unwrap();
    let mut at = 0;
    for (n, frame) in frames.iter().enumerate() {
        let Body::Block(block) = &frame.body else { continue };
        file.write_all_at(block.packed(), at).unwrap();
        at += block.packed().len() as u64;
        if fsync && n % AT_ONCE == AT_ONCE - 1 {
            file.sync_data().unwrap();
        }
    }
    file
}

fn plain_read(file: &File) -> usize {
    let mut buffer = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let n = file.read_at(&mut buffer, at).unwrap();
        if n == 0 {
            return usize::try_from(at).unwrap();
        }
        at += n as u64;
    }
}

async fn log_append(log: &dyn Queue, frames: &[Frame], at_once: usize) {
    let appends = frames.iter().map(|f| log.append(std::slice::from_ref(f)));
    let mut done = stream::iter(appends).buffer_unordered(at_once);
    while let Some(range) = done.next().await {
        assert_ne!(range.unwrap().start, Offset(u64::MAX));
    }
}

async fn log_read(log: &dyn Queue) -> usize {
    let mut next = Offset(0);
    let mut bytes = 0;
    loop {
        let slab = log.read(next, 1 << 20).await.unwrap();
        if slab.frames.is_empty() {
            return bytes;
        }
        next = slab.next;
        bytes += slab.frames.iter().map(|(_, f)| f.bytes()).sum::<usize>();
    }
}

fn opener(folder: &Path, durability: Durability) -> LogOpener {
    let options = LogQueue { durability, bytes_max: Bytes(64 << 30), ..LogQueue::at("log") };
    LogOpener::new(options, &Env::test("bench", folder)).unwrap()
}

fn row(name: &str, bytes: usize, best: Best, plain: Best) {
    let mib = bytes as f64 / (1 << 20) as f64;
    println!(
        "{name:<44} {:>8.0} {:>8.2} {:>10.2} {:>10.2}",
        mib / best.wall.as_secs_f64(),
        best.wall.as_secs_f64() / plain.wall.as_secs_f64(),
        best.cpu.as_secs_f64() * 1e9 / bytes as f64 * 1024.0 / 1000.0,
        best.cpu.as_secs_f64() / plain.cpu.as_secs_f64(),
    );
}

fn sum(a: Best, b: Best) -> Best {
    Best { wall: a.wall + b.wall, cpu: a.cpu + b.cpu }
}

fn main() {
    let mib: usize = std::env::args().nth(1).map_or(512, |a| a.parse().unwrap());
    let frames = frames(mib * (1 << 20) / BLOCK);
    let bytes = mib << 20;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path();
    let [mut write, mut read, mut synced] = [Best::new(); 3];
    let [mut one, mut many, mut tail, mut log_synced] = [Best::new(); 4];
    let mut back = Best::new();
    for _ in 0..ROUNDS {
        let file = write.time(|| plain_write(&path.join("plain"), &frames, false));
        assert!(read.time(|| plain_read(&file)) > bytes);
        synced.time(|| plain_write(&path.join("plain"), &frames, true));
        for (best, at_once) in [(&mut one, 1), (&mut many, AT_ONCE)] {
            let relaxed = opener(path, Durability::Relaxed);
            let log = runtime.block_on(relaxed.open()).unwrap();
            best.time(|| runtime.block_on(log_append(&*log, &frames, at_once)));
            drop(log);
            let log = runtime.block_on(relaxed.open()).unwrap();
            assert!(back.time(|| runtime.block_on(log_read(&*log))) > bytes);
            drop(log);
            std::fs::remove_dir_all(path.join("log")).unwrap();
        }
        let log = runtime.block_on(opener(path, Durability::Fsync).open()).unwrap();
        log_synced.time(|| runtime.block_on(log_append(&*log, &frames, AT_ONCE)));
        tail.time(|| {
            runtime.block_on(log.read(Offset(log.status().end.0 - 100), 8 << 20)).unwrap()
        });
        drop(log);
        std::fs::remove_dir_all(path.join("log")).unwrap();
    }
    println!("{mib} MiB in blocks of 64 KiB, best of {ROUNDS} rounds\n");
    println!("{:<44} {:>8} {:>8} {:>10} {:>10}", "", "MiB/s", "x plain", "CPU us/KiB", "x plain");
    row("plain write", bytes, write, write);
    row("plain read", bytes, read, read);
    row("log append, one at a time, no fsync", bytes, one, write);
    row(&format!("log append, {AT_ONCE} at once, no fsync"), bytes, many, write);
    row("log read from disk, checked", bytes, back, read);
    row("plain write + read", bytes, sum(write, read), sum(write, read));
    row("log append + read, no fsync", bytes, sum(many, back), sum(write, read));
    row(&format!("plain write, fdatasync each {AT_ONCE} blocks"), bytes, synced, synced);
    row(&format!("log append, {AT_ONCE} at once, fsync"), bytes, log_synced, synced);
    row("log read of the last 6 MiB, from memory", 100 * BLOCK, tail, read);
}
