//! The queue on Redis beside raw `XADD`: blocks of 64 KiB, sixteen at a time, the server's CPU counted in.
//!
//! `cargo run --release -p millstream-bench --bin redis [-- --blocks 4000 --rounds 5]`
//!
//! The rival is `redis-benchmark` with sixteen clients, sending `XADD` of the same bytes to the same server in turns.
//! The server keeps nothing on disk: what a disk costs, both would pay. `cost` is CPU of server and client together.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use millstream_bench::process::Process;
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};
use millstream_core::Timestamp;
use millstream_core::fields::Bytes;
use millstream_core::plugin::{Env, QueueOpener as _};
use millstream_core::queue::Queue;
use millstream_core::record::{Block, Body, Frame, Offset, Position, Record};
use millstream_queue::redis::{RedisOpener, RedisQueue};
use tokio::time::Instant;

const BLOCK: usize = 64 * 1024;
/// Appends, or clients, at once.
const AT_ONCE: usize = 16;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seconds of one pass.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Fault> {
    let blocks = usize::try_from(option("blocks", 4_000)?)?;
    let rounds = option("rounds", 5)?;
    let folder = tempfile::tempdir()?;
    let (mut raw, mut append, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (server, port) = start(folder.path())?;
        raw.push(raw_xadd(&server, port, blocks)?);
        drop(server);
        let (server, port) = start(folder.path())?;
        let (appended, was_read) = queue(&server, port, blocks, folder.path()).await?;
        append.push(appended);
        read.push(was_read);
    }
    report(blocks, &raw, &append, &read);
    Ok(())
}

fn start(folder: &Path) -> Result<(Process, u16), Fault> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let server = Process::start(
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder)
            .stdout(Stdio::null()),
    )?;
    std::thread::sleep(Duration::from_millis(300));
    Ok((server, port))
}

fn raw_xadd(server: &Process, port: u16, blocks: usize) -> Result<Cost, Fault> {
    let (started, before) = (Instant::now(), server.cpu_seconds()?);
    let client = Process::start(
        Command::new("redis-benchmark")
            .args(["-p", &port.to_string(), "-n", &blocks.to_string()])
            .args(["-c", &AT_ONCE.to_string(), "-q", "XADD", "raw", "*", "f"])
            .arg("x".repeat(BLOCK))
            .stdout(Stdio::null()),
    )?;
    let (client_cpu, _) = client.wait()?;
    let cpu = client_cpu + server.cpu_seconds()? - before;
    Ok(Cost { wall: started.elapsed().as_secs_f64(), cpu })
}

async fn queue(
    server: &Process,
    port: u16,
    blocks: usize,
    folder: &Path,
) -> Result<(Cost, Cost), Fault> {
    let url = format!("redis://127.0.0.1:{port}");
    let options = RedisQueue { bytes_max: Bytes(64 << 30), ..RedisQueue::at(url.parse()?) };
    let queue = RedisOpener::new(options, &Env::test("queue", folder))?.open().await?;
    let block = Block::pack(&[Record::new(vec![b'x'; BLOCK])])?;
    let frame = Frame {
        source: "bench".into(),
        split: "0".into(),
        arrival: Timestamp(0),
        position: Some(Position("cursor".into())),
        body: Body::Block(block),
    };
    let (started, before) = (Instant::now(), own_cpu() + server.cpu_seconds()?);
    let appends = stream::iter((0..blocks).map(|_| {
        let (queue, frame) = (queue.clone(), frame.clone());
        tokio::spawn(async move { queue.append(&[frame]).await.map(drop) })
    }));
    let mut done = appends.buffer_unordered(AT_ONCE);
    while let Some(appended) = done.next().await {
        appended??;
    }
    let appended = Cost {
        wall: started.elapsed().as_secs_f64(),
        cpu: own_cpu() + server.cpu_seconds()? - before,
    };
    queue.close().await?;
    let again = RedisQueue { bytes_max: Bytes(64 << 30), ..RedisQueue::at(url.parse()?) };
    let queue = RedisOpener::new(again, &Env::test("queue", folder))?.open().await?;
    let (started, before) = (Instant::now(), own_cpu() + server.cpu_seconds()?);
    read_all(queue.as_ref(), blocks).await?;
    let read = Cost {
        wall: started.elapsed().as_secs_f64(),
        cpu: own_cpu() + server.cpu_seconds()? - before,
    };
    queue.close().await?;
    Ok((appended, read))
}

async fn read_all(queue: &dyn Queue, blocks: usize) -> Result<(), Fault> {
    let mut next = Offset(0);
    while next.0 < blocks as u64 {
        let slab = queue.read(next, 1 << 20).await?;
        if slab.frames.is_empty() {
            return Err(format!("{next} of {blocks} frames").into());
        }
        next = slab.next;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(blocks: usize, raw: &[Cost], append: &[Cost], read: &[Cost]) {
    let median = |all: &[Cost], of: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = all.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let mib = blocks as f64 * BLOCK as f64 / f64::from(1 << 20);
    let line = |name: &str, all: &[Cost], of_raw: bool| {
        let (wall, cpu) = (median(all, |c| c.wall), median(all, |c| c.cpu));
        let times = |ours: f64, theirs: f64| {
            if of_raw { format!("{:.2}", ours / theirs) } else { String::new() }
        };
        vec![
            name.to_owned(),
            thousands(mib / wall),
            format!("{:.0}", cpu * 1e6 / blocks as f64),
            times(wall, median(raw, |c| c.wall)),
            times(cpu, median(raw, |c| c.cpu)),
        ]
    };
    print(
        &["blocks of 64 KiB", "MiB/s", "CPU us/block", "times raw, time", "times raw, cost"],
        &[
            line("redis-benchmark, XADD", raw, false),
            line("queue, append", append, true),
            line("queue, read", read, false),
        ],
    );
}

/// CPU seconds of this process so far, all threads, kernel time included.
fn own_cpu() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of one run")]
    let seconds = t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9;
    seconds
}
