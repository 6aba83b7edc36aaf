//! Rows made up on the spot, the same ones each time: for examples, tests and load.

mod field;
mod options;
mod text;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::codec::Columns;
use millstream_core::plugin::{Config, Env};
use millstream_core::record::{BLOCK_BYTES, Name, Position, Record};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Clock, Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use field::Maker;
pub use options::{Field, Fields, Rate};

/// Makes up NDJSON rows from a seed: row number n is the same in every run, on every restart.
///
/// Only fields of kind `now` differ from run to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// Another seed makes other rows.
    #[serde(default)]
    pub seed: u64,
    /// How many rows to make before it ends; without it, rows come for ever.
    #[serde(default)]
    pub rows: Option<u64>,
    /// How fast, such as `1000/s`, `30/m` or a plain number per second; without it, as fast as they are taken.
    /// Rows come a hundred times a second at most, several at once if need be. After a stall of more than a
    /// second, the rows that were due before are made later, not at once.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// At most so many rows in one record; without it, some 64 KiB.
    #[serde(default)]
    pub block_rows: Option<u32>,
    /// The fields of each row, in order.
    pub fields: Fields,
}

/// Between two records of a paced generator: more would only cost wake-ups.
const RECORD_EVERY_MIN: Duration = Duration::from_millis(10);
/// How far behind its rate a generator may fall before it gives the rest up.
const BEHIND_MAX: Duration = Duration::from_secs(1);
const SPLIT: &str = "rows";

impl Config<dyn Source> for Generate {
    const NAME: &'static str = "generate";

    fn build(self, env: &Env) -> Result<Box<dyn Source>> {
        if self.block_rows == Some(0) {
            return Err(Error::stop("`block_rows: 0` leaves no room for a row")
                .fix("give 1 or more, or leave it out"));
        }
        let describe = format!(
            "{} made-up rows{} from seed {}",
            self.rows.map_or("endless".into(), |n| n.to_string()),
            self.rate.map_or(String::new(), |r| format!(" at {r}")),
            self.seed
        );
        Ok(Box::new(Generator {
            maker: Maker::new(&self.fields, self.seed)?,
            columns: self.fields.columns(),
            rows: self.rows.unwrap_or(u64::MAX),
            finite: self.rows.is_some(),
            block_rows: self.block_rows.map_or(u64::MAX, u64::from),
            pace: self.rate.map(Pace::new),
            clock: env.clock.clone(),
            split: SPLIT.into(),
            row: 0,
            ended: false,
            describe,
        }))
    }
}

struct Generator {
    maker: Maker,
    columns: Columns,
    rows: u64,
    finite: bool,
    block_rows: u64,
    pace: Option<Pace>,
    clock: std::sync::Arc<dyn Clock>,
    split: Name,
    /// The number of the next row.
    row: u64,
    ended: bool,
    describe: String,
}

#[async_trait]
impl Source for Generator {
    async fn open(&mut self, after: &SplitPositions) -> Result<()> {
        let position = after.get(&self.split).filter(|p| !p.0.is_empty());
        self.row = match position {
            Some(position) => self.maker.restore(position)?,
            None => self.maker.begin(),
        };
        self.ended = false;
        if let Some(pace) = &mut self.pace {
            pace.begin(Instant::now());
        }
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        if self.ended {
            return Ok(None);
        }
        let mut due = self.block_rows.min(self.rows.saturating_sub(self.row));
        if let Some(pace) = &mut self.pace
            && due > 0
        {
            due = due.min(pace.due().await);
        } else {
            // Otherwise a generator without a rate would never let others have the thread.
            tokio::task::consume_budget().await;
        }
        // Nothing below waits, so a dropped `pull` has either made these rows or not.
        let (records, made) = self.make(due);
        if let Some(pace) = &mut self.pace {
            pace.made(made, Instant::now());
        }
        self.ended = self.row >= self.rows;
        let position = (made > 0).then(|| self.maker.position(self.row));
        Ok(Some(Pulled { split: self.split.clone(), records, position, ended: self.ended }))
    }

    fn finite(&self) -> bool {
        self.finite
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn columns(&self) -> Option<Columns> {
        Some(self.columns.clone())
    }

    fn describe(&self) -> String {
        self.describe.clone()
    }
}

impl Generator {
    /// One record of at most `due` rows and some 64 KiB, and how many rows are in it.
    fn make(&mut self, due: u64) -> (Vec<Record>, u64) {
        if due == 0 {
            return (Vec::new(), 0);
        }
        let full = BLOCK_BYTES - self.maker.row_bytes().min(BLOCK_BYTES / 2);
        let room =
            self.maker.row_bytes().saturating_mul(usize::try_from(due).unwrap_or(usize::MAX));
        let mut out = Vec::with_capacity(room.min(BLOCK_BYTES) + 256);
        self.maker.set_now(self.clock.now());
        let first = self.row;
        while self.row - first < due && out.len() < full {
            self.maker.row(self.row, &mut out);
            self.row += 1;
        }
        (vec![Record::new(Bytes::from(out))], self.row - first)
    }
}

impl Maker {
    /// Where a generator stands: the next row's number, and the state of each walk.
    fn position(&self, row: u64) -> Position {
        let mut text = row.to_string();
        for (name, value) in self.walks() {
            text.push_str(&format!(" {:016x}{name}", value.to_bits()));
        }
        Position(text.into())
    }

    fn restore(&mut self, position: &Position) -> Result<u64> {
        let row = self.begin();
        let bad = || {
            Error::stop("the position kept for this `generate` source is not one of its own")
                .fix("give the source a new name, so that it starts afresh")
        };
        let text = std::str::from_utf8(&position.0).map_err(|_| bad())?;
        let (number, mut walks) = text.split_once(' ').unwrap_or((text, ""));
        let row = row + number.parse::<u64>().map_err(|_| bad())?;
        // Names may hold spaces, so the fixed width of the number tells where each begins.
        let names: Vec<String> = self.walks().map(|(n, _)| n.to_owned()).collect();
        for name in names {
            let (bits, rest) = walks.split_at_checked(16).ok_or_else(bad)?;
            let rest = rest.strip_prefix(name.as_str()).ok_or_else(bad)?;
            let bits = u64::from_str_radix(bits, 16).map_err(|_| bad())?;
            self.set_walk(&name, f64::from_bits(bits));
            walks = rest.strip_prefix(' ').unwrap_or(rest);
        }
        if walks.is_empty() { Ok(row) } else { Err(bad()) }
    }
}

/// Keeps to a rate without drifting.
struct Pace {
    rate: Rate,
    begun: Instant,
    made: u64,
    last: Option<Instant>,
}

impl Pace {
    fn new(rate: Rate) -> Self {
        Self { rate, begun: Instant::now(), made: 0, last: None }
    }

    fn begin(&mut self, now: Instant) {
        (self.begun, self.made, self.last) = (now, 0, None);
    }

    /// Waits until a row is due and says how many are.
    async fn due(&mut self) -> u64 {
        let next = self.begun + self.rate.span(self.made);
        let rested = self.last.map_or(next, |last| last + RECORD_EVERY_MIN);
        tokio::time::sleep_until(next.max(rested)).await;
        let behind = Instant::now().duration_since(next);
        if behind > BEHIND_MAX {
            self.begun += behind - BEHIND_MAX;
        }
        let passed = Instant::now().duration_since(self.begun);
        (self.rate.count(passed) + 1).saturating_sub(self.made).max(1)
    }

    fn made(&mut self, rows: u64, now: Instant) {
        self.made += rows;
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests;
