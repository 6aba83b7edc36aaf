//! How long processing stands still for checkpoints while a window holds much state: at full speed and at half speed.
//!
//! Rows come through a pipe. First each key comes once, all into one window of a day, whose state then fills memory; then
//! random keys, as fast as they are taken, and then at half of that rate.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin pause -- [--keys 12_000_000] [--seconds 20]
//! ```

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use millstream_bench::live::Live;
use millstream_bench::metrics::Metrics;
use millstream_bench::once::count;
use millstream_bench::paced::Ring;
use millstream_bench::table::{print, thousands};
use millstream_bench::{Fault, option};

const PIPELINE: &str = "
sources:
  readings:
    from: stdin
    columns: { key: int64, value: float64, ts: timestamp_ms }
    event_time: { column: ts, delay: 1h, ahead: 36500d }
queue:
  log: { path: data }
views:
  v:
    sql: |
      SELECT window_start, key, count(*) AS n, avg(value) AS mean, min(value) AS least, max(value) AS most
      FROM TUMBLE(readings, ts, INTERVAL '1 day')
      GROUP BY window_start, window_end, key
    state_bytes: 16GiB
sinks:
  nowhere: { rows: v, to: discard }
";

/// Lines written again and again.
const RING: u64 = 8_000_000;
/// How often it is looked whether everything is processed.
const LOOK: Duration = Duration::from_millis(20);

const PAUSE: &str = "checkpoint_pause_seconds";

fn main() -> Result<(), Fault> {
    let (keys, seconds) = (option("keys", 12_000_000)?, option("seconds", 20)?);
    let folder = tempfile::tempdir_in(".")?;
    let file = folder.path().join("pause.yaml");
    std::fs::write(&file, PIPELINE)?;
    let random = Ring::new(RING.min(keys), |n, out| line(out, mixed(n) % keys, n));
    let mut live = Live::start(&file, &[])?;
    let mut input = live.input()?;
    live.until_ready()?;
    let (empty, mut seen) = (live.process.resident_mib()?, live.metrics()?);
    let mut table = Vec::new();
    let began = Instant::now();
    let mut rows = build(&mut input, keys)?;
    table.push(measure(&live, "each key once", keys, began, &mut seen, rows)?);
    let held = live.process.resident_mib()? - empty;
    let state = seen.of("checkpoint_bytes_total") / count(1 << 20);
    let time = Duration::from_secs(seconds);
    let began = Instant::now();
    let full = random.rush(&mut input, 0, u64::MAX, time)?;
    rows += full;
    table.push(measure(&live, "full speed", keys, began, &mut seen, rows)?);
    let rate = count(full) / began.elapsed().as_secs_f64() / 2.0;
    let began = Instant::now();
    rows += random.pace(&mut input, full, rate, time, |_| {})?;
    table.push(measure(&live, "half speed", keys, began, &mut seen, rows)?);
    report(keys, held, state, &table);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
fn report(keys: u64, held: f64, state: f64, table: &[Vec<String>]) {
    println!(
        "{} groups, {held:.0} MiB more resident memory than before them; {state:.0} MiB of state written",
        thousands(count(keys))
    );
    print(
        &[
            "",
            "rows/s",
            "checkpoints",
            "groups changed each",
            "MiB each",
            "pause p50 ms",
            "p99",
            "longest",
            "stood still",
        ],
        table,
    );
}

/// Keys in no order, the same ones each time.
fn mixed(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
}

fn line(out: &mut String, key: u64, n: u64) {
    let value = mixed(n) % 1_000;
    let ts = 1_790_000_000_000 + n % 60_000;
    // Writing to a string cannot fail.
    let written = write!(out, r#"{{"key":{key},"value":{}.{},"ts":{ts}}}"#, value / 10, value % 10);
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

/// Writes each key once.
fn build(to: &mut impl Write, keys: u64) -> Result<u64, Fault> {
    let mut text = String::new();
    for key in 0..keys {
        line(&mut text, key, key);
        text.push('\n');
        if text.len() > 60_000 || key + 1 == keys {
            to.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    Ok(keys)
}

/// Waits until all rows are processed and says what checkpoints did since the last time.
fn measure(
    live: &Live,
    name: &str,
    keys: u64,
    began: Instant,
    seen: &mut Metrics,
    rows: u64,
) -> Result<Vec<String>, Fault> {
    const ROWS: &str = "rows_total{source=\"readings\"}";
    let now = live.until(|m| m.of(ROWS) >= count(rows) && m.of("lag_frames") == 0.0, LOOK)?;
    let seconds = began.elapsed().as_secs_f64();
    let since = |name: &str| now.of(name) - seen.of(name);
    let (rows, epochs) = (since(ROWS), since("epochs_total").max(1.0));
    let pauses = now.since(seen, PAUSE);
    let stood = since(&format!("{PAUSE}_sum"));
    // Of many keys, so many random rows hit about so many.
    let keys = count(keys);
    let changed = keys * (1.0 - (-rows / epochs / keys).exp());
    let cells = vec![
        name.to_owned(),
        thousands(rows / seconds),
        thousands(epochs),
        thousands(changed),
        format!("{:.1}", since("checkpoint_bytes_total") / epochs / count(1 << 20)),
        pauses.ms(0.5),
        pauses.ms(0.99),
        pauses.ms(1.0),
        format!("{:.1} %", stood / seconds * 100.0),
    ];
    *seen = now;
    Ok(cells)
}
