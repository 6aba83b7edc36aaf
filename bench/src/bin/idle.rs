//! What a pipeline costs that has nothing to do: CPU seconds over a quiet while.
//!
//! ```text
//! cargo run --release -p millstream-bench --bin idle -- [--seconds 20]
//! ```

use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_bench::process::{Process, millstream};
use millstream_bench::table::print;
use millstream_bench::{Fault, option};

#[expect(clippy::cast_precision_loss, reason = "seconds are few")]
fn main() -> Result<(), Fault> {
    let seconds = option("seconds", 20)?;
    let folder = tempfile::tempdir_in(".")?;
    std::fs::write(folder.path().join("in.ndjson"), "{\"id\":1}\n")?;
    let file = folder.path().join("idle.yaml");
    std::fs::write(
        &file,
        "sources:\n  lines:\n    from:\n      file: { path: in.ndjson, follow: true }\nqueue:\n  log: { path: ./data }\n\
         sinks:\n  store:\n    rows: lines\n    to:\n      sqlite: { path: idle.db, table: lines }\n",
    )?;
    let process = Process::start(
        Command::new(millstream()?)
            .arg("run")
            .arg(&file)
            .stderr(Stdio::null())
            .stdout(Stdio::null()),
    )?;
    std::thread::sleep(Duration::from_secs(3));
    let before = process.cpu_seconds()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let spent = process.cpu_seconds()? - before;
    let peak = process.peak_mib()?;
    process.stop()?;
    print(
        &["", "CPU s", "of one core", "peak MiB"],
        &[vec![
            format!("idle for {seconds} s"),
            format!("{spent:.2}"),
            format!("{:.2} %", spent / seconds as f64 * 100.0),
            format!("{peak:.0}"),
        ]],
    );
    Ok(())
}
