//! The pipeline file, read with parts that are only configured.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod broken;
mod fakes;

use std::path::Path;

use fakes::{Around, registry};
use millstream_engine::config::{Pipeline, Problems};

pub(crate) fn parse(text: &str) -> Result<Pipeline, Problems> {
    Pipeline::parse(text, "pipeline.yaml", "pipeline", Path::new("/pipes"), &registry(), &Around)
}

const SENSORS: &str = r#"# the whole pipeline is this file
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

#[test]
fn a_file_becomes_parts_that_are_built_and_not_opened() {
    let pipeline = parse(SENSORS).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(pipeline.name, "sensors");
    assert_eq!(pipeline.queue.opener.folder().unwrap(), Path::new("/pipes/./data"));
    let readings = &pipeline.sources[0];
    assert_eq!((readings.kind, readings.codec_kind), ("http", "json"));
    assert_eq!(readings.columns.as_ref().unwrap().0.len(), 4);
    assert!(readings.source.describe().starts_with("Env(sensors.Source readings)"));
    assert!(readings.source.describe().contains("every: 5s"));
    assert_eq!(
        readings.codec.describe(),
        "Env(sensors.Codec readings) JsonCodec { rows: Some(\"/items\") }"
    );
    assert_eq!(pipeline.sources[1].kind, "stdin");
    assert_eq!(pipeline.views[0].name, "hot");
    assert_eq!(pipeline.sinks[0].rows, "hot");
}
