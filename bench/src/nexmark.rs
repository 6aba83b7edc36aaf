//! The events of Nexmark, written as the files that every engine of the race reads.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use ::nexmark::EventGenerator;
use ::nexmark::config::NexmarkConfig;
use ::nexmark::event::Event;
use serde::Serialize;

use crate::Fault;

/// The moment of the first event, in milliseconds.
const BASE: u64 = 1_790_000_000_000;
/// What the generator takes a bid to have: makes one some 360 bytes long as JSON, as published ones are.
const BID_BYTES: usize = 215;
/// How many keys q13 looks up.
const SIDE_KEYS: u32 = 10_000;

/// Rows in each file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Rows of `person.ndjson`.
    pub person: u64,
    /// Rows of `auction.ndjson`.
    pub auction: u64,
    /// Rows of `bid.ndjson`.
    pub bid: u64,
}

/// The first events, so many in a second of event time: of 50, one is a person, three are auctions, the others bids.
fn events(number: u64, per_second: u64) -> impl Iterator<Item = Event> {
    let rate = usize::try_from(per_second).unwrap_or(usize::MAX);
    let config = NexmarkConfig {
        base_time: BASE,
        first_rate: rate,
        next_rate: rate,
        avg_bid_byte_size: BID_BYTES,
        ..NexmarkConfig::default()
    };
    EventGenerator::new(config).take(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Writes the events into a folder, a file for each kind, in the order of their time; and `side_input.csv` for q13.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, number: u64, per_second: u64) -> Result<Written, Fault> {
    let mut written = Written::default();
    let mut person = Table::new(folder, "person")?;
    let mut auction = Table::new(folder, "auction")?;
    let mut bid = Table::new(folder, "bid")?;
    for event in events(number, per_second) {
        match event {
            Event::Person(row) => person.add(&row, &mut written.person)?,
            Event::Auction(row) => auction.add(&row, &mut written.auction)?,
            Event::Bid(row) => bid.add(&row, &mut written.bid)?,
        }
    }
    for mut table in [person, auction, bid] {
        table.0.flush()?;
    }
    let mut side = BufWriter::new(File::create(folder.join("side_input.csv"))?);
    writeln!(side, "key,value")?;
    for key in 0..SIDE_KEYS {
        writeln!(side, "{key},side-{key:05}")?;
    }
    side.flush()?;
    Ok(written)
}

/// One object a line.
struct Table(BufWriter<File>);

impl Table {
    fn new(folder: &Path, name: &str) -> Result<Self, Fault> {
        let file = File::create(folder.join(name).with_extension("ndjson"))?;
        Ok(Self(BufWriter::with_capacity(1 << 20, file)))
    }

    fn add(&mut self, row: &impl Serialize, rows: &mut u64) -> Result<(), Fault> {
        serde_json::to_writer(&mut self.0, row)?;
        self.0.write_all(b"\n")?;
        *rows += 1;
        Ok(())
    }
}
