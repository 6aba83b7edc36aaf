//! The pipeline file, read with parts that are only configured.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may panic"
)]

mod broken;
mod fakes;
mod fuzz;
mod good;
mod schema;
mod views;

use std::path::Path;

use fakes::{Around, registry};
use millstream_engine::config::{Pipeline, Problems};

pub(crate) fn parse(text: &str) -> Result<Pipeline, Problems> {
    Pipeline::parse(text, "pipeline.yaml", "pipeline", Path::new("/pipes"), &registry(), &Around)
}

pub(crate) const SENSORS: &str = r#"# the whole pipeline is this file
name: sensors
sources:
  readings:
    from:
      http: { url: "http://127.0.0.1:8080/realtime-data", every: 5s }
    decode:
      json: { rows: /items }
    columns: { id: int64, sensor: string, value: float64, ts: timestamp }
  piped:
    from: stdin
queue:
  log: { path: ./data }
views:
  hot: SELECT id, sensor, value, ts FROM readings WHERE value > 100
sinks:
  store:
    rows: hot
    to:
      sqlite: { path: processed.db, table: processed_items }
    promise: effectively_once
"#;
