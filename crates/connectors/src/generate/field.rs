//! Makes the rows: each value from the seed, the field's name and the row's number alone, but for walks.

use std::f64::consts::TAU;

use millstream_core::{Error, Result, Timestamp};
use serde_json::Value;

use super::options::{Field, Fields, Integer, RandomWalk, Sine, Uniform};
use super::text::{self, Moment};

/// Writes rows as NDJSON.
pub(super) struct Maker {
    columns: Vec<Column>,
    now: Timestamp,
    /// The longest row so far, as a guess at the next.
    row_bytes: usize,
}

struct Column {
    name: String,
    /// `{"name":` or `,"name":`.
    lead: Vec<u8>,
    /// Makes this field's random numbers differ from its neighbours'.
    salt: u64,
    kind: Kind,
}

enum Kind {
    Fixed(Vec<u8>),
    Sequence { start: i64, step: i64 },
    Choice(Vec<Vec<u8>>),
    Words(u16),
    Sine(Sine),
    Walk { options: RandomWalk, at: f64 },
    Uniform(Uniform),
    Integer(Integer),
    Moments { start: Timestamp, step_us: i64, moment: Moment },
    Now(Moment),
}

const WORDS: [&str; 64] = [
    "river", "mill", "stone", "wheel", "grain", "flour", "water", "stream", "bridge", "meadow",
    "willow", "heron", "otter", "trout", "reed", "pebble", "current", "eddy", "spring", "brook",
    "valley", "hill", "barn", "field", "harvest", "wheat", "barley", "rye", "oats", "bread",
    "oven", "baker", "cart", "horse", "road", "market", "village", "tower", "bell", "morning",
    "noon", "evening", "summer", "autumn", "winter", "frost", "rain", "cloud", "thunder", "breeze",
    "copper", "iron", "timber", "oak", "birch", "maple", "lantern", "candle", "window", "garden",
    "apple", "cherry", "honey", "salt",
];

impl Maker {
    /// Checks the fields and gets ready at row 0.
    pub(super) fn new(fields: &Fields, seed: u64) -> Result<Self> {
        let mut columns = Vec::with_capacity(fields.0.len());
        for (i, (name, field)) in fields.0.iter().enumerate() {
            let mut lead = if i == 0 { b"{".to_vec() } else { b",".to_vec() };
            lead.extend(json(&Value::from(name.as_str())));
            lead.push(b':');
            let salt = mix(seed ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()));
            let kind = Kind::new(field).map_err(|e| e.at(format!("fields.{name}")))?;
            columns.push(Column { name: name.clone(), lead, salt, kind });
        }
        Ok(Self { columns, now: Timestamp(0), row_bytes: 64 })
    }

    /// Back to row 0.
    pub(super) fn begin(&mut self) -> u64 {
        for column in &mut self.columns {
            if let Kind::Walk { options, at } = &mut column.kind {
                *at = options.start;
            }
        }
        0
    }

    /// Sets what fields of kind `now` write.
    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The name and state of each walk.
    pub(super) fn walks(&self) -> impl Iterator<Item = (&str, f64)> {
        self.columns.iter().filter_map(|c| {
            let Kind::Walk { at, .. } = &c.kind else { return None };
            Some((c.name.as_str(), *at))
        })
    }

    /// Sets the state of a walk.
    pub(super) fn set_walk(&mut self, name: &str, value: f64) {
        for column in self.columns.iter_mut().filter(|c| c.name == name) {
            if let Kind::Walk { at, .. } = &mut column.kind {
                *at = value;
            }
        }
    }

    /// About how long a row is.
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Appends the row of that number; rows have to be made in order.
    pub(super) fn row(&mut self, row: u64, out: &mut Vec<u8>) {
        let before = out.len();
        for column in &mut self.columns {
            out.extend_from_slice(&column.lead);
            column.kind.value(row, mix(column.salt ^ mix(row)), self.now, out);
        }
        out.extend_from_slice(b"}\n");
        self.row_bytes = self.row_bytes.max(out.len() - before);
    }
}

impl Kind {
    fn new(field: &Field) -> Result<Self> {
        let wrong = |what: &str, fix: &str| Err(Error::stop(what).fix(fix));
        Ok(match field {
            Field::Constant(value) => Self::Fixed(json(value)),
            Field::Sequence(s) => Self::Sequence { start: s.start, step: s.step },
            Field::Choice(values) if values.is_empty() => {
                return wrong("`choice` has nothing to choose from", "give at least one value");
            }
            Field::Choice(values) => Self::Choice(values.iter().map(json).collect()),
            Field::Words(w) if !(1..=1000).contains(&w.count) => {
                return wrong("`words` cannot make so many", "give a count from 1 to 1000");
            }
            Field::Words(w) => Self::Words(w.count),
            Field::Sine(s) => {
                finite(&[s.amplitude, s.mean, s.noise, s.period], s.decimals)?;
                if s.period <= 0.0 {
                    return wrong("a wave needs a period above 0", "give `period` in rows");
                }
                Self::Sine(s.clone())
            }
            Field::RandomWalk(w) => {
                let (min, max) = (w.min.unwrap_or(f64::MIN), w.max.unwrap_or(f64::MAX));
                finite(&[w.start, w.step, min, max], w.decimals)?;
                if !(min <= w.start && w.start <= max && min < max) {
                    return wrong(
                        "`start` of a random walk is not between its `min` and `max`",
                        "choose min ≤ start ≤ max",
                    );
                }
                Self::Walk { options: w.clone(), at: w.start }
            }
            Field::Uniform(u) => {
                finite(&[u.min, u.max, u.max - u.min], u.decimals)?;
                if u.min > u.max {
                    return wrong("`min` is above `max`", "exchange them");
                }
                Self::Uniform(u.clone())
            }
            Field::Integer(i) if i.min > i.max => {
                return wrong("`min` is above `max`", "exchange them");
            }
            Field::Integer(i) => Self::Integer(i.clone()),
            Field::Timestamp(m) => {
                let start = chrono::DateTime::parse_from_rfc3339(&m.start).map_err(|e| {
                    Error::stop(format!("`{}` is no moment", m.start))
                        .because(e)
                        .fix("write it as RFC 3339, such as `2026-01-01T00:00:00Z`")
                })?;
                let step_us = i64::try_from(m.step.0.as_micros()).unwrap_or(i64::MAX);
                let start = Timestamp(start.timestamp_micros());
                Self::Moments { start, step_us, moment: Moment::new() }
            }
            Field::Now => Self::Now(Moment::new()),
        })
    }

    fn value(&mut self, row: u64, random: u64, now: Timestamp, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(bytes) => out.extend_from_slice(bytes),
            Self::Sequence { start, step } => {
                text::int(out, start.wrapping_add(step.wrapping_mul(signed(row))));
            }
            Self::Choice(values) => {
                let at = usize::try_from(below(random, values.len() as u64)).unwrap_or(0);
                out.extend_from_slice(values.get(at).map_or(b"null", Vec::as_slice));
            }
            Self::Words(count) => words(out, *count, random),
            Self::Sine(s) => {
                let wave = s.mean + s.amplitude * (TAU * turn(row, s.period)).sin();
                text::float(out, wave + s.noise * swing(random), s.decimals);
            }
            Self::Walk { options, at } => {
                text::float(out, *at, options.decimals);
                *at = wander(options, *at, random);
            }
            Self::Uniform(u) => {
                text::float(out, u.min + (u.max - u.min) * unit(random), u.decimals);
            }
            Self::Integer(i) => {
                let span = i.max.abs_diff(i.min).saturating_add(1);
                text::int(out, i.min.wrapping_add_unsigned(below(random, span)));
            }
            Self::Moments { start, step_us, moment } => {
                let passed = step_us.saturating_mul(i64::try_from(row).unwrap_or(i64::MAX));
                moment.write(out, Timestamp(start.0.saturating_add(passed)));
            }
            Self::Now(moment) => moment.write(out, now),
        }
    }
}

/// The next value of a walk: one step on, turned back at a bound.
fn wander(options: &RandomWalk, at: f64, random: u64) -> f64 {
    let (min, max) = (options.min.unwrap_or(f64::MIN), options.max.unwrap_or(f64::MAX));
    let next = at + options.step * swing(random);
    let next = if next > max { max - (next - max) } else { next };
    let next = if next < min { min + (min - next) } else { next };
    next.clamp(min, max)
}

fn words(out: &mut Vec<u8>, count: u16, mut random: u64) {
    out.push(b'"');
    for i in 0..count {
        if i > 0 {
            out.push(b' ');
        }
        random = mix(random);
        let at = usize::try_from(random % WORDS.len() as u64).unwrap_or(0);
        out.extend_from_slice(WORDS.get(at).unwrap_or(&"mill").as_bytes());
    }
    out.push(b'"');
}

fn finite(numbers: &[f64], decimals: u8) -> Result<()> {
    if numbers.iter().any(|n| !n.is_finite()) {
        return Err(Error::stop("JSON has no infinite numbers").fix("give finite ones"));
    }
    if decimals > 9 {
        return Err(
            Error::stop(format!("`decimals: {decimals}` is too many")).fix("give 9 at most")
        );
    }
    Ok(())
}

fn json(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The finalizer of `SplitMix64` (Steele et al., OOPSLA 2014): each bit of the input stirs each of the output.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// From 0 to below `bound`; the bias is below one in 2^32 for bounds of that size (Lemire, 2019).
fn below(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

/// From 0 to below 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// From -1 to below 1.
fn swing(random: u64) -> f64 {
    2.0 * unit(random) - 1.0
}

/// How far along its wave a row is, from 0 to below 1; exact for as long as row numbers are.
#[expect(clippy::cast_precision_loss, reason = "a wave of 2^53 rows has no exact phase")]
fn turn(row: u64, period: f64) -> f64 {
    (row as f64 % period) / period
}

#[expect(clippy::cast_possible_wrap, reason = "sequences wrap around")]
fn signed(n: u64) -> i64 {
    n as i64
}
