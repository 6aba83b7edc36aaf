//! How fast JSON becomes Arrow: our decoder beside `arrow-json` and `serde_json`, in one process.
//!
//! `cargo run --release -p millstream-bench --bin decode [-- --rows 'bids, all' --decoder millstream]`. Repetitions of all decoders alternate, so
//! that whatever else the machine does hits them alike; times are thread CPU time.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::collections::BTreeSet;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use fastrand::Rng;
use millstream_connectors::codec::json::{Json, JsonCodec};
use millstream_core::codec::{Codec, Columns, Decoder};
use millstream_core::record::{BLOCK_BYTES, Block, Record};
use serde::Deserialize;

const ROWS: usize = 60_000;
const REPEATS: usize = 51;

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error>;

/// Decodes lines and says how many rows they were.
type Lines = fn(&[u8]) -> Result<usize, Failure>;

/// One decoder, ready to decode everything once; says how many rows it made.
type Run = Box<dyn FnMut() -> Result<usize, Failure>>;

fn main() -> Result<(), Failure> {
    println!(
        "rows {ROWS}, blocks of {BLOCK_BYTES} bytes, {REPEATS} repetitions, thread CPU time\n"
    );
    println!(
        "{:<26} {:<18} {:>9} {:>9} {:>8} {:>9} {:>8}",
        "rows", "decoder", "min ns", "median ns", "MB/s", "M rows/s", "ratio"
    );
    let flat = lines(flat_row);
    let flat_columns = r#"{"id":"int64","sensor":"string","value":"float64","ts":"timestamp_ms"}"#;
    case("flat, all", &flat, flat_columns, None, Some(flat_serde))?;
    case("flat, 2 of 4", &flat, flat_columns, Some(&["id", "value"]), None)?;
    case("flat, count", &flat, flat_columns, Some(&[]), None)?;
    let bids = lines(bid);
    case("bids, all", &bids, BID_COLUMNS, None, None)?;
    case("bids, first 3", &bids, BID_COLUMNS, Some(&["auction", "bidder", "price"]), None)?;
    case("bids, price and time", &bids, BID_COLUMNS, Some(&["price", "date_time"]), None)?;
    let mixed = lines(|i, r| if i % 10 == 0 { flat_row(i, r) } else { bid(i, r) });
    case("bids, every 10th flat", &mixed, BID_COLUMNS, None, None)?;
    let documents = documents();
    ours_only("flat, in documents", &documents, flat_columns, "/items")?;
    Ok(())
}

fn flat_row(i: usize, random: &mut Rng) -> String {
    format!(
        r#"{{"id":{},"sensor":"sensor-{:04}","value":{:.2},"ts":{}}}"#,
        100_000 + i,
        random.u32(0..1000),
        random.f64() * 900.0 + 100.0,
        1_760_000_000_000u64 + i as u64
    )
}

const BID_COLUMNS: &str = r#"{"auction":"int64","bidder":"int64","price":"int64","channel":"string",
    "url":"string","date_time":"timestamp","extra":{"struct":{"device":"string","score":"float64","note":"string"}}}"#;

fn bid(i: usize, random: &mut Rng) -> String {
    let mut words = |n: usize| -> String { (0..n).map(|_| random.alphabetic()).collect() };
    let (path, note) = (words(24), words(88));
    format!(
        r#"{{"auction":{},"bidder":{},"price":{},"channel":"channel-{}","url":"https://www.nexmark.com/{path}/item.htm?query=1&channel_id={}","date_time":"2026-11-23T05:{:02}:{:02}.{:03}Z","extra":{{"device":"phone","score":{:.3},"note":"{note}"}}}}"#,
        1_000 + i % 5_000,
        2_000 + random.u32(0..9_000),
        random.u32(100..100_000_000),
        random.u32(0..10_000),
        random.u32(0..1_000_000_000),
        i / 1000 % 60,
        i / 17 % 60,
        i % 1000,
        random.f64()
    )
}

/// Blocks of lines, each block with its count of rows.
fn lines(mut row: impl FnMut(usize, &mut Rng) -> String) -> Vec<(Block, usize)> {
    let mut random = Rng::with_seed(7);
    let mut blocks = Vec::new();
    let (mut text, mut rows) = (String::new(), 0);
    for i in 0..ROWS {
        text.push_str(&row(i, &mut random));
        text.push('\n');
        rows += 1;
        if text.len() >= BLOCK_BYTES || i == ROWS - 1 {
            blocks
                .extend(Block::pack(&[Record::new(std::mem::take(&mut text))]).map(|b| (b, rows)));
            rows = 0;
        }
    }
    blocks
}

fn documents() -> Vec<(Block, usize)> {
    let mut random = Rng::with_seed(7);
    let mut blocks = Vec::new();
    for d in 0..ROWS / 1000 {
        let rows: Vec<_> = (0..1000).map(|i| flat_row(d * 1000 + i, &mut random)).collect();
        let text = format!(r#"{{"items":[{}]}}"#, rows.join(","));
        blocks.extend(Block::pack(&[Record::new(text)]).map(|b| (b, 1000)));
    }
    blocks
}

fn case(
    name: &str,
    blocks: &[(Block, usize)],
    columns: &str,
    used: Option<&[&str]>,
    serde: Option<Lines>,
) -> Result<(), Failure> {
    let columns: Columns = serde_json::from_str(columns)?;
    let used: Option<BTreeSet<String>> = used.map(|u| u.iter().map(ToString::to_string).collect());
    let decoder = |strict| -> Result<Box<dyn Decoder>, Failure> {
        Ok(JsonCodec::new(&Json { rows: None, strict })?.decoder(&columns, used.as_ref())?)
    };
    let mut runs: Vec<(&str, Run)> = vec![
        ("arrow-json", arrow(&decoder(false)?.schema(), blocks)?),
        ("millstream", ours(decoder(false)?, blocks)),
        ("millstream strict", ours(decoder(true)?, blocks)),
    ];
    if let Some(serde) = serde {
        let blocks = blocks.to_vec();
        let run = move || {
            let mut n = 0;
            for record in blocks.iter().flat_map(|(b, _)| b.records()) {
                n += serde(&record.value)?;
            }
            Ok(n)
        };
        runs.push(("serde_json struct", Box::new(run)));
    }
    measure(name, blocks, &mut runs)
}

fn ours_only(
    name: &str,
    blocks: &[(Block, usize)],
    columns: &str,
    rows: &str,
) -> Result<(), Failure> {
    let columns: Columns = serde_json::from_str(columns)?;
    let codec = JsonCodec::new(&Json { rows: Some(rows.into()), strict: false })?;
    let run = ours(codec.decoder(&columns, None)?, blocks);
    measure(name, blocks, &mut [("millstream", run)])
}

fn ours(mut decoder: Box<dyn Decoder>, blocks: &[(Block, usize)]) -> Run {
    let blocks = blocks.to_vec();
    Box::new(move || {
        let mut n = 0;
        for (block, _) in &blocks {
            let decoded = decoder.decode(block)?;
            assert!(decoded.refused.is_empty() && decoded.refused_records.is_empty());
            n += black_box(decoded.batch).num_rows();
        }
        Ok(n)
    })
}

fn arrow(schema: &SchemaRef, blocks: &[(Block, usize)]) -> Result<Run, Failure> {
    let blocks = blocks.to_vec();
    // `arrow-json` reads numbers in the column's own unit, and knows UTC only as an offset.
    let fields = schema.fields().iter().map(|f| {
        let moment = |unit| DataType::Timestamp(unit, Some("+00:00".into()));
        let r#type = match f.name().as_str() {
            "ts" => moment(TimeUnit::Millisecond),
            "date_time" => moment(TimeUnit::Microsecond),
            _ => f.data_type().clone(),
        };
        Arc::new(f.as_ref().clone().with_data_type(r#type))
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut decoder =
        arrow_json::ReaderBuilder::new(schema).with_batch_size(8192).build_decoder()?;
    Ok(Box::new(move || {
        let mut n = 0;
        for record in blocks.iter().flat_map(|(b, _)| b.records()) {
            let mut rest = &record.value[..];
            while !rest.is_empty() {
                let read = decoder.decode(rest)?;
                rest = rest.get(read..).unwrap_or_default();
                if read == 0 || rest.is_empty() {
                    n += decoder.flush()?.map_or(0, |b| black_box(b).num_rows());
                }
            }
        }
        Ok(n)
    }))
}

#[derive(Deserialize)]
struct Flat<'a> {
    id: i64,
    sensor: &'a str,
    value: f64,
    ts: i64,
}

/// A struct known when this was compiled, into Arrow's own builders.
fn flat_serde(lines: &[u8]) -> Result<usize, Failure> {
    let (mut id, mut sensor) = (Int64Builder::new(), StringBuilder::new());
    let (mut value, mut ts) = (Float64Builder::new(), Int64Builder::new());
    for row in serde_json::Deserializer::from_slice(lines).into_iter::<Flat<'_>>() {
        let row = row?;
        id.append_value(row.id);
        sensor.append_value(row.sensor);
        value.append_value(row.value);
        ts.append_value(row.ts);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(id.finish())),
        ("sensor", Arc::new(sensor.finish())),
        ("value", Arc::new(value.finish())),
        ("ts", Arc::new(ts.finish())),
    ];
    Ok(black_box(RecordBatch::try_from_iter(columns)?).num_rows())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(name: &str, blocks: &[(Block, usize)], runs: &mut [(&str, Run)]) -> Result<(), Failure> {
    if chosen("--rows").is_some_and(|rows| rows != name) {
        return Ok(());
    }
    let decoder = chosen("--decoder");
    let mut runs: Vec<_> =
        runs.iter_mut().filter(|(d, _)| decoder.as_ref().is_none_or(|only| only == d)).collect();
    let rows: usize = blocks.iter().map(|(_, n)| n).sum();
    let bytes: usize = blocks.iter().map(|(b, _)| b.payload_bytes()).sum();
    let mut times = vec![Vec::new(); runs.len()];
    for _ in 0..REPEATS {
        for ((decoder, run), times) in runs.iter_mut().zip(&mut times) {
            let before = cpu_ns();
            let n = run()?;
            times.push((cpu_ns() - before) / rows as f64);
            if n != rows {
                return Err(format!("{decoder} made {n} rows of {rows} of `{name}`").into());
            }
        }
    }
    let mut base = None;
    for ((decoder, _), times) in runs.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let min = times.first().copied().unwrap_or_default();
        let median = times.get(REPEATS / 2).copied().unwrap_or_default();
        let base = *base.get_or_insert(median);
        println!(
            "{name:<26} {decoder:<18} {min:>9.1} {median:>9.1} {:>8.0} {:>9.1} {:>7.1}x",
            bytes as f64 / rows as f64 / median * 1000.0,
            1000.0 / median,
            base / median
        );
    }
    println!();
    Ok(())
}

/// What an option on the command line says: one case or one decoder alone, to be profiled.
fn chosen(option: &str) -> Option<String> {
    std::env::args().skip_while(|a| a != option).nth(1)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn cpu_ns() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}
