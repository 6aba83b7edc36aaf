//! Random joins of two random tables, the rows of each within its delay: a stream gives what DataFusion's batch engine gives.
//!
//! One seed again: `SEED=7 cargo test -p millstream-sql --test all -- one_join --nocapture`. More of them:
//! `SEEDS=5000 cargo test -p millstream-sql --test all -- joins_give`.

use std::sync::Arc;

use arrow::compute::{concat_batches, filter_record_batch, is_not_null};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType as Micros;
use arrow_array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use datafusion::prelude::{SessionConfig, SessionContext};
use fastrand::Rng;
use millstream_core::operator::{Planned, View};

use super::rows::{Clock, Table};
use super::seeds;
use crate::run::{Frame, Input, plan, shared, view};
use crate::time::{Way, run_so};

const SEEDS: u64 = 100;

/// What is wrong on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Rows may be a microsecond further apart.
    Wider,
    /// Rows without a partner do not come.
    Alone,
    /// Rows whose keys are null meet.
    Nulls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Inner,
    Comma,
    Left,
    Right,
    Full,
    Exists,
    In,
    Not,
}

const KINDS: [Kind; 8] = [
    Kind::Inner,
    Kind::Comma,
    Kind::Left,
    Kind::Right,
    Kind::Full,
    Kind::Exists,
    Kind::In,
    Kind::Not,
];

struct Case {
    kind: Kind,
    keys: Vec<&'static str>,
    bounds: Vec<String>,
    wider: Vec<String>,
    rest: Option<&'static str>,
    /// The event time that rows are grouped by further on.
    by: Option<&'static str>,
    ttl: Option<i64>,
    tables: [Table; 2],
    frames: [Vec<usize>; 2],
    seed: u64,
}

const KEYS: [&str; 7] = [
    "a.k = b.k",
    "a.s = b.s",
    "a.p = b.p",
    "a.d = b.d",
    "a.k + 1 = b.k",
    "a.x = b.x",
    "b.i % 3 = a.i % 3",
];
const REST: [&str; 5] = [
    "a.i < b.i",
    "a.x <> b.y",
    "(a.i + b.i) % 3 <> 0",
    "(a.s <= b.s OR b.p)",
    "coalesce(a.i, 0) + coalesce(b.i, 0) > 0",
];

fn span(micros: i64) -> String {
    format!("INTERVAL '{micros} microseconds'")
}

impl Case {
    fn random(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let clock = Clock::random(rng);
        let kind = KINDS[rng.usize(..KINDS.len())];
        let count = [0, 1, 1, 1, 2, 3][rng.usize(..6)];
        let mut keys = KEYS.to_vec();
        rng.shuffle(&mut keys);
        keys.truncate(count);
        let (from, upto) = (rng.i64(-3..6) * clock.unit, rng.i64(-2..9) * clock.unit);
        let form = rng.u8(..6);
        let bounds = |more: i64| -> Vec<String> {
            let upto = upto + more;
            match form {
                0 => vec![format!("b.ts BETWEEN a.ts - {} AND a.ts + {}", span(from), span(upto))],
                1 => vec![
                    format!("b.ts - a.ts <= {}", span(upto)),
                    format!("b.ts > a.ts - {}", span(from)),
                ],
                2 => vec![if more > 0 { "b.ts <> a.ts".into() } else { "a.ts = b.ts".to_owned() }],
                3 => vec![format!("b.ts >= a.ts AND b.ts <= a.m + {}", span(more))],
                4 => vec![format!("a.ts <= b.m + {} AND b.ts < a.m", span(more))],
                _ => vec![
                    format!("a.ts < b.ts + {}", span(upto)),
                    format!("b.ts <= a.ts + {}", span(from)),
                ],
            }
        };
        let (mut own, mut wider) = (bounds(0), bounds(1));
        let ttl = (form != 2 && form != 3 && form != 4 && rng.u8(..6) == 0)
            .then(|| rng.i64(1..6) * clock.unit);
        if let Some(ttl) = ttl {
            // What the stream is not told.
            own = vec![];
            wider =
                vec![format!("b.ts <= a.ts + {} AND a.ts <= b.ts + {}", span(ttl + 1), span(ttl))];
        }
        let by = match (kind, form) {
            (Kind::Inner | Kind::Comma, 3) => ["am", "bts"][rng.usize(..2)],
            (Kind::Inner | Kind::Comma, 4) => "am",
            (_, 3 | 4) => "",
            (Kind::Inner | Kind::Comma, _) => ["ats", "bts"][rng.usize(..2)],
            (Kind::Left | Kind::Exists | Kind::In | Kind::Not, _) => "ats",
            (Kind::Right, _) => "bts",
            (Kind::Full, _) => "",
        };
        // Where neither bounds the other by a constant, nothing is known of what comes out.
        let by = (!by.is_empty() && form != 4 && rng.bool()).then_some(by);
        let tables = [0, 1].map(|_| table(rng, clock));
        let frames = [0, 1].map(|i: usize| {
            let frames = tables[i].frames.iter();
            frames.flat_map(|rows| vec![0; rng.usize(..3)].into_iter().chain([*rows])).collect()
        });
        let rest = (rng.u8(..3) == 0).then(|| REST[rng.usize(..REST.len())]);
        Self { kind, keys, bounds: own, wider, rest, by, ttl, tables, frames, seed }
    }

    fn select(&self, batch: bool, fault: Fault) -> String {
        let null = |key: &str| match key.split_once(" = ") {
            Some((a, b)) if fault == Fault::Nulls => format!("{a} IS NOT DISTINCT FROM {b}"),
            _ => key.to_owned(),
        };
        let mut all = self.keys.iter().map(|k| null(k)).collect::<Vec<_>>();
        let near =
            |ttl: i64| format!("b.ts <= a.ts + {} AND a.ts <= b.ts + {}", span(ttl), span(ttl));
        match (fault, self.ttl) {
            (Fault::Wider, _) => all.extend(self.wider.clone()),
            (_, Some(ttl)) if batch => all.push(near(ttl)),
            _ => all.extend(self.bounds.clone()),
        }
        all.extend(self.rest.map(ToOwned::to_owned));
        let on = if all.is_empty() { "true".to_owned() } else { all.join(" AND ") };
        let kind = match self.kind {
            Kind::Left | Kind::Right | Kind::Full if fault == Fault::Alone => Kind::Inner,
            kind => kind,
        };
        let both =
            "a.id AS aid, a.ts AS ats, a.m AS am, a.s AS sa, b.id AS bid, b.ts AS bts, b.s AS sb";
        let one = "SELECT a.id AS aid, a.ts AS ats, a.x AS x FROM t a WHERE";
        match kind {
            Kind::Inner => format!("SELECT {both} FROM t a JOIN u b ON {on}"),
            Kind::Comma => format!("SELECT {both} FROM t a, u b WHERE {on}"),
            Kind::Left => format!("SELECT {both} FROM t a LEFT JOIN u b ON {on}"),
            Kind::Right => format!("SELECT {both} FROM t a RIGHT JOIN u b ON {on}"),
            Kind::Full => format!("SELECT {both} FROM t a FULL JOIN u b ON {on}"),
            Kind::Exists => format!("{one} EXISTS (SELECT 1 FROM u b WHERE {on})"),
            Kind::In => format!("{one} a.i % 2 IN (SELECT b.i % 2 FROM u b WHERE {on})"),
            Kind::Not => format!("{one} NOT EXISTS (SELECT 1 FROM u b WHERE {on})"),
        }
    }

    fn views(&self) -> Vec<View> {
        let mut join = view("j", &self.select(false, Fault::None));
        join.windows.state_ttl =
            self.ttl.map(|ttl| std::time::Duration::from_micros(ttl.unsigned_abs()));
        let grouped = self.by.map(|by| view("v", &grouped(by)));
        std::iter::once(join).chain(grouped).collect()
    }

    fn inputs(&self) -> [Input; 2] {
        [0, 1].map(|i| {
            let (table, mut at) = (&self.tables[i], 0);
            let frames = self.frames[i].iter().map(|rows| {
                at += rows;
                Frame { batch: Some(table.batch.slice(at - rows, *rows)), ..Frame::default() }
            });
            Input { frames: frames.collect(), name: ["t", "u"][i].to_owned(), ..table.input() }
        })
    }

    fn plan(&self, threads: usize) -> Result<Planned, String> {
        let planned = plan(&self.inputs(), &shared(&self.views(), threads), &[]);
        match planned.errors.first() {
            Some(e) => Err(e.error.to_string()),
            None => Ok(planned),
        }
    }

    fn batch(&self, fault: Fault) -> Result<Vec<String>, String> {
        let mut config = SessionConfig::new().with_target_partitions(1);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let context = SessionContext::new_with_config(config);
        for (name, table) in ["t", "u"].into_iter().zip(&self.tables) {
            // Rows without event time are set aside.
            let timed = is_not_null(table.batch.column(1)).unwrap();
            let rows = filter_record_batch(&table.batch, &timed).unwrap();
            context.register_batch(name, rows).unwrap();
        }
        let join = self.select(true, fault);
        let sql = match self.by {
            Some(by) => format!("WITH j AS ({join}) {}", grouped(by)),
            None => join,
        };
        let run = async {
            let frame = context.sql(&sql).await?;
            let schema = Arc::new(frame.schema().as_arrow().clone());
            let all = frame.collect().await?;
            let schema = all.first().map_or(schema, RecordBatch::schema);
            Ok(concat_batches(&schema, &all)?)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ran: datafusion_common::Result<RecordBatch> = runtime.block_on(run);
        Ok(lines(&ran.map_err(|e| format!("the batch engine refuses it: {e}"))?))
    }

    fn run(&self, fault: Fault) -> Result<(), String> {
        let inputs = self.inputs();
        let mut planned = self.plan(1).map_err(|e| format!("the stream refuses it: {e}"))?;
        let wanted = self.batch(fault)?;
        let mut again = || self.plan(3).unwrap();
        let last = if self.by.is_some() { "v" } else { "j" };
        let whole = run_so(&inputs, &mut planned, Way::of(usize::MAX), &mut again);
        let schema = planned.views.iter().find(|v| v.name == last).unwrap().schema.clone();
        let found = lines(&whole[last].made.whole(&schema));
        if let Some(late) = whole.values().find(|r| r.account.late > 0) {
            return Err(format!("rows are late: {:?}", late.late));
        }
        if found != wanted {
            let only = |a: &[String], b: &[String]| {
                let mut b = b.to_vec();
                let alone = a.iter().filter(|row| {
                    let at = b.iter().position(|other| other == *row);
                    at.map(|at| b.swap_remove(at)).is_none()
                });
                alone.cloned().collect::<Vec<_>>().join("\n")
            };
            let (more, less) = (only(&found, &wanted), only(&wanted, &found));
            return Err(format!("only the stream has\n{more}\nonly the batch has\n{less}"));
        }
        let rng = &mut Rng::with_seed(self.seed);
        let cut = Way { seed: Some(rng.u64(..)), ..Way::of(rng.usize(1..12)) };
        let every = Way { restarts: true, ..Way::of(rng.usize(1..30)) };
        // Each stop plans anew, which is what takes time.
        let every = Some(every).filter(|_| self.seed.is_multiple_of(8));
        for way in [cut, Way { stops: 2, ..cut }].into_iter().chain(every) {
            let other = run_so(&inputs, &mut planned, way, &mut again);
            for (name, ours) in &whole {
                if *ours != other[name] {
                    let first = super::first_difference(ours, &other[name]);
                    return Err(format!("{way:?} gives other bytes for `{name}`\n{first}"));
                }
            }
            planned = self.plan(1).unwrap();
        }
        Ok(())
    }

    fn show(&self) -> String {
        let views = self.views().into_iter().map(|v| format!("-- view {}\n{}\n", v.name, v.sql));
        let tables = self.tables.iter().map(Table::show);
        format!(
            "{}ttl {:?}\nframes {:?}\n{}",
            views.collect::<String>(),
            self.ttl,
            self.frames,
            tables.collect::<String>()
        )
    }
}

fn grouped(by: &str) -> String {
    format!("SELECT {by} AS at, count(*) AS n, sum(aid) AS ids FROM j GROUP BY {by}")
}

/// A table whose column `m` is around a row's event time.
fn table(rng: &mut Rng, clock: Clock) -> Table {
    let table = Table::random(rng, clock, false, false);
    let times = table.batch.column(1).as_primitive::<Micros>();
    let later = times.iter().map(|t| {
        let later = rng.i64(-3..12) * clock.unit;
        t.filter(|_| later != 0).map(|t| t + later)
    });
    let later = later.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    let mut columns = table.batch.columns().to_vec();
    let at = table.batch.schema().index_of("m").unwrap();
    columns[at] = Arc::new(later) as ArrayRef;
    let batch = RecordBatch::try_new(table.batch.schema(), columns).unwrap();
    assert_eq!(batch.column(at).len(), times.len());
    Table { batch, ..table }
}

/// The rows as text, sorted.
fn lines(rows: &RecordBatch) -> Vec<String> {
    let line = |row: usize| {
        let values = rows.columns().iter().map(|c| match c.is_null(row) {
            true => "null".to_owned(),
            false => arrow_cast::display::array_value_to_string(c, row).unwrap(),
        });
        values.collect::<Vec<_>>().join(" | ")
    };
    let mut all = (0..rows.num_rows()).map(line).collect::<Vec<_>>();
    all.sort();
    all
}

fn check(seed: u64) {
    let case = Case::random(seed);
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.run(Fault::None)));
    if let Err(e) = ran.unwrap_or_else(|_| Err("it panicked".to_owned())) {
        panic!(
            "seed {seed}: {e}\n{}\nagain: SEED={seed} cargo test -p millstream-sql --test all -- one_join --nocapture",
            case.show()
        );
    }
}

#[test]
fn joins_give_what_the_batch_engine_gives() {
    seeds(SEEDS).for_each(check);
}

#[test]
fn one_join() {
    let Ok(seed) = std::env::var("SEED") else { return };
    check(seed.parse().unwrap());
}

#[test]
fn what_is_wrong_with_a_join_is_found() {
    for fault in [Fault::Wider, Fault::Alone, Fault::Nulls] {
        let found = (0..60).filter(|seed| {
            let case = Case::random(*seed);
            case.run(fault).is_err_and(|e| e.contains("only the stream has"))
        });
        assert!(found.count() > 1, "{fault:?}");
    }
}
