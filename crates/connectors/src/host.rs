//! The sensors of the machine it runs on: something real to watch, without any set-up.

use std::time::Duration;

use async_trait::async_trait;
use millstream_core::codec::{Column, ColumnType, Columns};
use millstream_core::fields::Span;
use millstream_core::plugin::{Config, Env};
use millstream_core::record::{Name, Record};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Clock, Error, Result, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sysinfo::{Components, DiskRefreshKind, Disks, Networks, System};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// Reads this machine's own sensors: CPU, memory, disks, network, load and temperature.
///
/// Each reading is one record of NDJSON rows with the columns `ts`, `metric`, `device`, `value` and `unit`:
///
/// | metric | device | unit |
/// |---|---|---|
/// | `cpu` | the core, such as `cpu0` | `percent` |
/// | `cpu_total` | `host` | `percent` |
/// | `memory_used`, `memory_total`, `swap_used`, `swap_total` | `host` | `bytes` |
/// | `disk_used`, `disk_total` | the mount point | `bytes` |
/// | `disk_read`, `disk_written` | the mount point | `bytes/s` |
/// | `network_received`, `network_sent` | the interface | `bytes/s` |
/// | `load_1m`, `load_5m`, `load_15m` | `host` | `tasks` |
/// | `temperature` | the sensor | `celsius` |
///
/// Rates and CPU shares are of the time since the reading before, so the first reading comes one `every`
/// after the start. A sensor that the machine does not have has no rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// How often to read. CPU shares are renewed five times a second at most.
    #[serde(default = "one_second")]
    pub every: Span,
    /// What to read; by default everything.
    #[serde(default = "all")]
    pub metrics: Vec<Metric>,
}

/// A group of sensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of time each core and all of them were busy.
    Cpu,
    /// Memory and swap.
    Memory,
    /// Space and traffic of each mounted disk.
    Disk,
    /// Traffic of each network interface.
    Network,
    /// How many tasks wanted to run, on average over 1, 5 and 15 minutes.
    Load,
    /// Temperatures, where the machine tells them.
    Temperature,
}

const EVERY_MIN: Duration = Duration::from_millis(10);
/// Mounted disks come and go rarely, and listing them costs more than reading them.
const DISKS_LISTED_EVERY: Duration = Duration::from_secs(60);
const SPLIT: &str = "host";

fn one_second() -> Span {
    Span(Duration::from_secs(1))
}

fn all() -> Vec<Metric> {
    use Metric::{Cpu, Disk, Load, Memory, Network, Temperature};
    vec![Cpu, Memory, Disk, Network, Load, Temperature]
}

impl Config<dyn Source> for Host {
    const NAME: &'static str = "host";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        if self.every.0 < EVERY_MIN {
            return Err(Error::stop(format!(
                "`every: {}` is too often to read sensors",
                self.every
            ))
            .fix("give 10ms or more"));
        }
        if self.metrics.is_empty() {
            return Err(Error::stop("`metrics` is empty, so there is nothing to read")
                .fix("leave it out to read everything, or name some, such as `[cpu, memory]`"));
        }
        Ok(Box::new(Watch {
            options: self,
            clock: env.clock.clone(),
            split: SPLIT.into(),
            ticks: None,
            sensors: None,
            reading: None,
        }))
    }
}

/// Gives the sensors back with the rows they made.
type Reading = JoinHandle<Result<(Sensors, Vec<u8>)>>;

struct Watch {
    options: Host,
    clock: std::sync::Arc<dyn Clock>,
    split: Name,
    ticks: Option<tokio::time::Interval>,
    sensors: Option<Sensors>,
    /// A reading under way. Kept here, so that a dropped `pull` does not lose it.
    reading: Option<Reading>,
}

#[async_trait]
impl Source for Watch {
    async fn open(&mut self, _: &SplitPositions) -> Result<()> {
        self.reading = None;
        let metrics = self.options.metrics.clone();
        let now = Instant::now();
        self.sensors = Some(blocking(move || Sensors::open(&metrics, now)).await??);
        let mut ticks = tokio::time::interval_at(now + self.options.every.0, self.options.every.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.ticks = Some(ticks);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        if self.reading.is_none() {
            let Some(ticks) = &mut self.ticks else {
                return Err(Error::reopen("the host's sensors are not open"));
            };
            let now = ticks.tick().await;
            let Some(mut sensors) = self.sensors.take() else {
                return Err(Error::reopen("the host's sensors are not open"));
            };
            let ts = self.clock.now();
            // On a thread of its own: a hung network disk must not hang the runtime.
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let rows = sensors.read(ts, now)?;
                Ok((sensors, rows))
            }));
        }
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let done = reading.await;
        self.reading = None;
        let (sensors, rows) = done.map_err(lost)??;
        self.sensors = Some(sensors);
        Ok(Some(Pulled {
            split: self.split.clone(),
            records: vec![Record::new(rows)],
            position: None,
            ended: false,
        }))
    }

    fn finite(&self) -> bool {
        false
    }

    fn replay(&self) -> Replay {
        Replay::Polled
    }

    fn columns(&self) -> Option<Columns> {
        Some(Columns(vec![
            Column::new("ts", ColumnType::Timestamp),
            Column::new("metric", ColumnType::String),
            Column::new("device", ColumnType::String),
            Column::new("value", ColumnType::Float64),
            Column::new("unit", ColumnType::String),
        ]))
    }

    fn describe(&self) -> String {
        format!("this machine's sensors, every {}", self.options.every)
    }
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(lost)
}

fn lost(error: tokio::task::JoinError) -> Error {
    Error::reopen("the reading of the host's sensors broke off").because(error)
}

/// What sysinfo keeps between two readings; a group that was not asked for is `None`.
struct Sensors {
    system: Option<System>,
    cpu: bool,
    memory: bool,
    load: bool,
    disks: Option<Disks>,
    networks: Option<Networks>,
    components: Option<Components>,
    read: Instant,
    disks_listed: Instant,
}

impl Sensors {
    fn open(metrics: &[Metric], now: Instant) -> Result<Self> {
        let wants = |m| metrics.contains(&m);
        let (cpu, memory) = (wants(Metric::Cpu), wants(Metric::Memory));
        let mut system = if cpu || memory {
            Some(System::new().map_err(|e| Error::retry("cannot read the sensors").because(e))?)
        } else {
            None
        };
        if let Some(system) = &mut system
            && cpu
        {
            system.refresh_cpu_usage();
        }
        // A machine without such sensors is no failure: it has no rows of them.
        let disks = if wants(Metric::Disk) { Disks::new_with_refreshed_list().ok() } else { None };
        let networks =
            if wants(Metric::Network) { Networks::new_with_refreshed_list().ok() } else { None };
        let components = if wants(Metric::Temperature) {
            Components::new_with_refreshed_list().ok()
        } else {
            None
        };
        let load = wants(Metric::Load);
        Ok(Self {
            system,
            cpu,
            memory,
            load,
            disks,
            networks,
            components,
            read: now,
            disks_listed: now,
        })
    }

    fn read(&mut self, ts: Timestamp, now: Instant) -> Result<Vec<u8>> {
        let seconds = now.duration_since(self.read).as_secs_f64().max(0.001);
        self.read = now;
        let mut rows = Rows::new(ts)?;
        self.read_system(&mut rows)?;
        self.read_disks(&mut rows, seconds, now)?;
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
            let mut by_name: Vec<_> = networks.iter().collect();
            by_name.sort_by_key(|(name, _)| *name);
            for (name, network) in by_name {
                let name = name.to_string_lossy();
                rows.add("network_received", &name, rate(network.received(), seconds), "bytes/s")?;
                rows.add("network_sent", &name, rate(network.transmitted(), seconds), "bytes/s")?;
            }
        }
        if let Some(components) = &mut self.components {
            components.refresh(true);
            for component in components.iter() {
                if let Some(celsius) = component.temperature() {
                    rows.add("temperature", component.label(), celsius.into(), "celsius")?;
                }
            }
        }
        Ok(rows.bytes)
    }

    fn read_system(&mut self, rows: &mut Rows) -> Result<()> {
        if let Some(system) = &mut self.system {
            if self.cpu {
                system.refresh_cpu_usage();
                for core in system.cpus() {
                    rows.add("cpu", core.name(), core.usage().into(), "percent")?;
                }
                rows.add("cpu_total", SPLIT, system.global_cpu_usage().into(), "percent")?;
            }
            if self.memory {
                system.refresh_memory();
                rows.add("memory_used", SPLIT, float(system.used_memory()), "bytes")?;
                rows.add("memory_total", SPLIT, float(system.total_memory()), "bytes")?;
                rows.add("swap_used", SPLIT, float(system.used_swap()), "bytes")?;
                rows.add("swap_total", SPLIT, float(system.total_swap()), "bytes")?;
            }
        }
        if self.load
            && let Ok(load) = System::load_average()
        {
            rows.add("load_1m", SPLIT, load.one, "tasks")?;
            rows.add("load_5m", SPLIT, load.five, "tasks")?;
            rows.add("load_15m", SPLIT, load.fifteen, "tasks")?;
        }
        Ok(())
    }

    fn read_disks(&mut self, rows: &mut Rows, seconds: f64, now: Instant) -> Result<()> {
        let Some(disks) = &mut self.disks else { return Ok(()) };
        let kind = DiskRefreshKind::nothing().with_storage().with_io_usage();
        if now.duration_since(self.disks_listed) >= DISKS_LISTED_EVERY {
            self.disks_listed = now;
            disks.refresh_specifics(true, kind);
        } else {
            for disk in disks.iter_mut() {
                disk.refresh_specifics(kind);
            }
        }
        for disk in disks.iter() {
            let mount = disk.mount_point().to_string_lossy();
            let (total, free) = (disk.total_space(), disk.available_space());
            rows.add("disk_used", &mount, float(total.saturating_sub(free)), "bytes")?;
            rows.add("disk_total", &mount, float(total), "bytes")?;
            let usage = disk.usage();
            rows.add("disk_read", &mount, rate(usage.read_bytes, seconds), "bytes/s")?;
            rows.add("disk_written", &mount, rate(usage.written_bytes, seconds), "bytes/s")?;
        }
        Ok(())
    }
}

fn rate(bytes: u64, seconds: f64) -> f64 {
    (float(bytes) / seconds).round()
}

#[expect(clippy::cast_precision_loss, reason = "no machine has 2^53 bytes of anything yet")]
fn float(n: u64) -> f64 {
    n as f64
}

/// The NDJSON of one reading.
struct Rows {
    ts: String,
    bytes: Vec<u8>,
}

#[derive(Serialize)]
struct Row<'a> {
    ts: &'a str,
    metric: &'a str,
    device: &'a str,
    value: f64,
    unit: &'a str,
}

impl Rows {
    fn new(ts: Timestamp) -> Result<Self> {
        let ts = chrono::DateTime::from_timestamp_micros(ts.0)
            .ok_or_else(|| Error::retry("the machine's clock is beyond all calendars"))?
            .to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        Ok(Self { ts, bytes: Vec::with_capacity(4096) })
    }

    fn add(&mut self, metric: &str, device: &str, value: f64, unit: &str) -> Result<()> {
        let value = (value * 1000.0).round() / 1000.0;
        let row = Row { ts: &self.ts, metric, device, value, unit };
        serde_json::to_writer(&mut self.bytes, &row)
            .map_err(|e| Error::stop("a sensor's row cannot be written").because(e))?;
        self.bytes.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(options: &str) -> Result<Box<dyn Source>> {
        serde_json::from_str::<Host>(options).unwrap().build(&Env::test("host", "."))
    }

    async fn reading(source: &mut dyn Source) -> Vec<serde_json::Value> {
        let pulled = source.pull().await.unwrap().unwrap();
        let bytes = &pulled.records[0].value;
        assert!(bytes.ends_with(b"\n"));
        bytes
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn each_reading_has_the_rows_that_were_asked_for_in_the_declared_columns() {
        let mut source = watch(r#"{"every":"20ms","metrics":["memory","load","cpu"]}"#).unwrap();
        source.open(&SplitPositions::new()).await.unwrap();
        let rows = reading(source.as_mut()).await;
        let columns: Vec<_> = source.columns().unwrap().0.into_iter().map(|c| c.name).collect();
        for row in &rows {
            assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>().len(), columns.len());
            assert!(columns.iter().all(|c| row.get(c).is_some()), "{row}");
            assert!(row["value"].is_f64(), "{row}");
        }
        let of = |m: &str| rows.iter().find(|r| r["metric"] == m);
        assert!(of("memory_total").unwrap()["value"].as_f64().unwrap() > 0.0);
        assert!(of("cpu").unwrap()["device"].as_str().unwrap().starts_with("cpu"));
        assert!(of("load_1m").is_some());
        assert!(of("disk_used").is_none() && of("network_sent").is_none());
        assert!(!source.finite());
    }

    #[tokio::test]
    async fn a_dropped_pull_loses_no_reading() {
        let mut source = watch(r#"{"every":"10ms"}"#).unwrap();
        source.open(&SplitPositions::new()).await.unwrap();
        for _ in 0..20 {
            drop(tokio::time::timeout(Duration::from_micros(700), source.pull()).await);
        }
        let first = reading(source.as_mut()).await;
        let second = reading(source.as_mut()).await;
        assert!(first[0]["ts"].as_str() < second[0]["ts"].as_str());
    }

    #[test]
    fn options_that_make_no_sense_are_refused_with_a_fix() {
        for options in [r#"{"every":"1us"}"#, r#"{"metrics":[]}"#] {
            let error = watch(options).err().unwrap();
            assert!(error.how_to_fix().is_some(), "{error}");
        }
    }
}
