//! Bids as Nexmark's generator makes them, and the answers to its queries by other means than ours.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, Write as _};
use std::path::Path;

use ::nexmark::EventGenerator;
use ::nexmark::config::NexmarkConfig;
use ::nexmark::event::{Bid, Event, EventType};
use serde_json::value::RawValue;

use crate::Fault;

/// The moment of the first event, in milliseconds.
const BASE: u64 = 1_790_000_000_000;
/// What the generator takes a bid to have: makes one some 360 bytes long as JSON, as published ones are.
const BID_BYTES: usize = 215;

/// The first bids, so many events (bids, auctions and persons) in a second of event time.
pub fn bids(rows: u64, events_per_second: u64) -> impl Iterator<Item = Bid> {
    let rate = usize::try_from(events_per_second).unwrap_or(usize::MAX);
    let config = NexmarkConfig {
        base_time: BASE,
        first_rate: rate,
        next_rate: rate,
        avg_bid_byte_size: BID_BYTES,
        ..NexmarkConfig::default()
    };
    let events = EventGenerator::new(config).with_type_filter(EventType::Bid);
    let bid = |event| if let Event::Bid(bid) = event { Some(bid) } else { None };
    events.filter_map(bid).take(usize::try_from(rows).unwrap_or(usize::MAX))
}

/// Writes bids as NDJSON and says how many bytes that was.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, bids: impl Iterator<Item = Bid>) -> Result<u64, Fault> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    for bid in bids {
        serde_json::to_writer(&mut file, &bid)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(std::fs::metadata(path)?.len())
}

/// Rows in any order, as far as is needed to tell whether others are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// How many.
    pub rows: u64,
    sum: u64,
}

impl Answer {
    fn add(&mut self, row: &str) {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// The columns of a query's answer.
fn columns(query: &str) -> Result<&'static [&'static str], Fault> {
    Ok(match query {
        "q0" | "q1" => &["auction", "bidder", "price", "date_time", "extra"],
        "q2" => &["auction", "price"],
        "q5" => &["window_end", "auction", "n"],
        "q7" => &["window_end", "price", "auction", "bidder", "extra"],
        "q11" | "q12" => &["bidder", "bids", "window_start", "window_end"],
        other => return Err(format!("no query `{other}`").into()),
    })
}

/// What a file sink wrote.
///
/// # Errors
/// It cannot be read, or lacks columns.
pub fn found(query: &str, folder: &Path) -> Result<Answer, Fault> {
    let columns = columns(query)?;
    let mut answer = Answer::default();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "ndjson") {
            continue;
        }
        for line in std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(path)?).lines() {
            let line = line?;
            let row: BTreeMap<&str, &RawValue> = serde_json::from_str(&line)?;
            let cells = columns
                .iter()
                .map(|column| cell(query, column, row.get(column).ok_or("a column is missing")?));
            answer.add(&cells.collect::<Result<Vec<_>, Fault>>()?.join("|"));
        }
    }
    Ok(answer)
}

/// A value as text; moments in milliseconds.
fn cell(query: &str, column: &str, value: &RawValue) -> Result<String, Fault> {
    let text = value.get();
    Ok(match column {
        "window_start" | "window_end" | "date_time" => {
            let text: &str = serde_json::from_str(text)?;
            chrono::DateTime::parse_from_rfc3339(text)?.timestamp_millis().to_string()
        }
        // By the standard library: `serde_json` may be off by one in the last bit.
        "price" if query == "q1" => format!("{:?}", text.parse::<f64>()?),
        "extra" => serde_json::from_str(text)?,
        _ => text.to_owned(),
    })
}

/// The answer to a query, by plain loops over bids in the order of their time.
///
/// # Errors
/// There is no such query.
pub fn expected(query: &str, bids: impl Iterator<Item = Bid>) -> Result<Answer, Fault> {
    Ok(match query {
        "q0" => each(bids, |b| {
            Some(format!("{}|{}|{}|{}|{}", b.auction, b.bidder, b.price, b.date_time, b.extra))
        }),
        "q1" => each(bids, |b| {
            let price = 0.908 * b.price as f64;
            Some(format!("{}|{}|{price:?}|{}|{}", b.auction, b.bidder, b.date_time, b.extra))
        }),
        "q2" => {
            each(bids, |b| (b.auction % 123 == 0).then(|| format!("{}|{}", b.auction, b.price)))
        }
        "q5" => hot_items(bids),
        "q7" => highest(bids),
        "q11" => sessions(bids),
        "q12" => per_bidder(bids),
        other => return Err(format!("no query `{other}`").into()),
    })
}

fn each(bids: impl Iterator<Item = Bid>, row: impl Fn(&Bid) -> Option<String>) -> Answer {
    let mut answer = Answer::default();
    bids.filter_map(|bid| row(&bid)).for_each(|row| answer.add(&row));
    answer
}

const SLIDE: u64 = 2_000;
const SIZE: u64 = 10_000;

/// The begin of the ten seconds, or of the two, that a moment is in.
fn begin(moment: u64, size: u64) -> u64 {
    moment / size * size
}

fn hot_items(bids: impl Iterator<Item = Bid>) -> Answer {
    let mut windows: BTreeMap<u64, BTreeMap<usize, u64>> = BTreeMap::new();
    for bid in bids {
        let first = begin(bid.date_time, SLIDE) + SLIDE;
        for n in 0..SIZE / SLIDE {
            let counts = windows.entry(first + n * SLIDE).or_default();
            *counts.entry(bid.auction).or_default() += 1;
        }
    }
    let mut answer = Answer::default();
    for (end, counts) in windows {
        let best = counts.iter().max_by_key(|(auction, n)| (**n, std::cmp::Reverse(**auction)));
        if let Some((auction, n)) = best {
            answer.add(&format!("{end}|{auction}|{n}"));
        }
    }
    answer
}

fn highest(bids: impl Iterator<Item = Bid>) -> Answer {
    let mut windows: BTreeMap<u64, Bid> = BTreeMap::new();
    let rank = |b: &Bid| (std::cmp::Reverse(b.price), b.date_time, b.auction);
    for bid in bids {
        let end = begin(bid.date_time, SIZE) + SIZE;
        match windows.get_mut(&end) {
            Some(best) if rank(best) <= rank(&bid) => {}
            Some(best) => *best = bid,
            None => drop(windows.insert(end, bid)),
        }
    }
    let mut answer = Answer::default();
    for (end, b) in windows {
        answer.add(&format!("{end}|{}|{}|{}|{}", b.price, b.auction, b.bidder, b.extra));
    }
    answer
}

fn sessions(bids: impl Iterator<Item = Bid>) -> Answer {
    let mut answer = Answer::default();
    let mut open: BTreeMap<usize, (u64, u64, u64)> = BTreeMap::new();
    let mut close = |bidder: usize, (n, first, last): (u64, u64, u64)| {
        answer.add(&format!("{bidder}|{n}|{first}|{}", last + SIZE));
    };
    for bid in bids {
        let now = bid.date_time;
        match open.get_mut(&bid.bidder) {
            Some((n, _, last)) if now - *last < SIZE => (*n, *last) = (*n + 1, now),
            Some(other) => close(bid.bidder, std::mem::replace(other, (1, now, now))),
            None => drop(open.insert(bid.bidder, (1, now, now))),
        }
    }
    open.into_iter().for_each(|(bidder, session)| close(bidder, session));
    answer
}

fn per_bidder(bids: impl Iterator<Item = Bid>) -> Answer {
    let mut groups: BTreeMap<(u64, usize), u64> = BTreeMap::new();
    for bid in bids {
        *groups.entry((begin(bid.date_time, SIZE), bid.bidder)).or_default() += 1;
    }
    let mut answer = Answer::default();
    for ((start, bidder), n) in groups {
        answer.add(&format!("{bidder}|{n}|{start}|{}", start + SIZE));
    }
    answer
}
