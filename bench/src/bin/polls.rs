//! 500 HTTP sources polled every second with bodies of 100 rows: CPU in all, and how late polls come.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin polls -- [--sources 500] [--seconds 20]
//! ```

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_bench::api::Api;
use millstream_bench::process::{Process, millstream};
use millstream_bench::table::print;
use millstream_bench::{Fault, option};

#[expect(clippy::cast_precision_loss, reason = "numbers of polls are small")]
fn main() -> Result<(), Fault> {
    let (sources, seconds) = (option("sources", 500)?, option("seconds", 20)?);
    let folder = tempfile::tempdir_in(".")?;
    let api = Api::new(u64::MAX / 4, 100);
    let address = api.serve()?;
    let file = folder.path().join("polls.yaml");
    std::fs::write(&file, pipeline(sources, &address.to_string())?)?;
    let process = Process::start(
        Command::new(millstream()?)
            .arg("run")
            .arg(&file)
            .stderr(Stdio::null())
            .stdout(Stdio::null()),
    )?;
    // The first polls are spread over the first interval, and connections are made.
    std::thread::sleep(Duration::from_secs(4));
    let (cpu, began) = (process.cpu_seconds()?, tokio::time::Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let spent = process.cpu_seconds()? - cpu;
    let took = began.elapsed().as_secs_f64();
    let peak = process.peak_mib()?;
    process.stop()?;
    // How late a poll is against its source's own schedule: one second after another.
    let mut late: Vec<f64> = Vec::new();
    let polls = api.polls();
    for times in polls.values() {
        let times: Vec<_> = times.iter().filter(|t| **t >= began).collect();
        let Some(first) = times.first() else { continue };
        // The schedule is fixed: the earliest phase seen is the closest to it.
        let phases: Vec<f64> = times
            .iter()
            .enumerate()
            .map(|(i, t)| t.duration_since(**first).as_secs_f64() - i as f64)
            .collect();
        let earliest = phases.iter().copied().fold(0.0, f64::min);
        late.extend(phases.iter().map(|p| (p - earliest) * 1000.0));
    }
    late.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let index = late.len().saturating_sub(1) * percent / 100;
        late.get(index).copied().unwrap_or(f64::NAN)
    };
    print(
        &["sources", "polls/s", "cores", "p50 ms late", "p99 ms late", "max ms late", "peak MiB"],
        &[vec![
            polls.len().to_string(),
            format!("{:.0}", late.len() as f64 / took),
            format!("{:.2}", spent / took),
            format!("{:.1}", at(50)),
            format!("{:.1}", at(99)),
            format!("{:.1}", at(100)),
            format!("{peak:.0}"),
        ]],
    );
    Ok(())
}

fn pipeline(sources: u64, address: &str) -> Result<String, Fault> {
    let mut text = String::from("sources:\n");
    for i in 0..sources {
        write!(
            text,
            "  s{i}:\n    from:\n      http: {{ url: \"http://{address}/source/{i}\", every: 1s, jitter: 0s }}\n    decode:\n      json: {{ rows: /items }}\n    \
             columns: {{ id: int64, sensor: string, value: float64, ts: timestamp_ms }}\n"
        )?;
    }
    text.push_str("queue:\n  log: { path: ./data }\nviews:\n  hot: |\n");
    for i in 0..sources {
        let union = if i == 0 { "" } else { "UNION ALL " };
        writeln!(text, "    {union}SELECT id, sensor, value, ts FROM s{i} WHERE value > 100")?;
    }
    text.push_str(
        "sinks:\n  store:\n    rows: hot\n    to:\n      sqlite: { path: polls.db, table: hot }\n",
    );
    Ok(text)
}
