//! Random `OVER`: a stream gives what DataFusion's window functions give of the same rows, and the same bytes however rows are cut and
//! views are stopped.
//!
//! Rows of one moment are told apart by their number in the table where order matters: in a stream by when they came.
//!
//! One seed again: `SEED=7 cargo test -p millstream-sql --test all -- one_over --nocapture`. More: `SEEDS=5000 … -- over_gives`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType as Micros;
use arrow_array::{Int64Array, UInt64Array};
use fastrand::Rng;
use millstream_core::operator::Planned;

use super::answer::Engine;
use super::compare::differences;
use super::grammar::Kind;
use super::rows::{Clock, Table};
use super::stage::Item;
use super::{first_difference, ids, seeds};
use crate::run::{Input, plan, shared, view};
use crate::time::{Way, run_so};

const SEEDS: u64 = 150;
/// For each query so many tables.
const TABLES: usize = 3;

struct Case {
    items: Vec<Item>,
    condition: Option<&'static str>,
    tables: Vec<Table>,
    seed: u64,
    /// What is computed over a column that was computed so.
    nested: bool,
}

/// Something that is wrong on purpose, to see that it is found.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Late rows are there too.
    Late,
    /// Rows of one moment are in the order of their number where they should not be.
    Apart,
}

struct Grow<'a> {
    rng: &'a mut Rng,
    clock: Clock,
    /// What stands behind `ts` in all of `ORDER BY`.
    more: &'static str,
    nested: bool,
}

impl Grow<'_> {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    fn span(&self, units: i64) -> String {
        format!("INTERVAL '{} milliseconds'", units * self.clock.unit / 1000)
    }

    /// A frame, whether rows of one moment are told apart in it, and whether it has no bound.
    fn frame(&mut self) -> (String, bool, bool) {
        let n = self.rng.usize(0..12);
        let m = self.rng.usize(0..=n);
        let by_time = self.more.is_empty() && self.clock.unit >= 1000;
        match self.rng.usize(..if by_time { 8 } else { 5 }) {
            0 => (" ROWS UNBOUNDED PRECEDING".to_owned(), true, true),
            1 => (String::new(), false, true),
            2 => (format!(" ROWS BETWEEN {n} PRECEDING AND {m} PRECEDING"), true, false),
            3 | 4 => (format!(" ROWS {n} PRECEDING"), true, false),
            5 => {
                let (a, b) = (self.rng.i64(0..25), self.rng.i64(0..25));
                let (a, b) = (self.span(a.max(b)), self.span(a.min(b)));
                (format!(" RANGE BETWEEN {a} PRECEDING AND {b} PRECEDING"), false, false)
            }
            _ => {
                let span = self.rng.i64(0..25);
                (format!(" RANGE {} PRECEDING", self.span(span)), false, false)
            }
        }
    }

    fn item(&mut self, at: usize) -> Item {
        let keys = ["", "k", "k", "s", "p", "k, s", "upper(s)", "k % 2", "d"];
        let by = match self.one(&keys) {
            "" => String::new(),
            by => format!("PARTITION BY {by} "),
        };
        let (frame, rows, unbounded) = self.frame();
        let (call, apart, kind) = self.call(rows, unbounded);
        let (alone, frame) = match call.1 {
            // They have no frame.
            false => (call.0, String::new()),
            true => (call.0, frame),
        };
        let over = |more: &str| format!("OVER ({by}ORDER BY ts{}{more}{frame})", self.more);
        let last = if apart { ", n__" } else { "" };
        let of = |over: String| alone.replace("{}", &over);
        Item {
            stream: of(over("")),
            batch: squared(&of(over(last))),
            name: format!("v{at}"),
            kind,
            key: false,
        }
    }

    /// A call with `{}` for `OVER` and whether it has a frame; whether it tells rows of one moment apart; and how it is compared.
    fn call(&mut self, rows: bool, unbounded: bool) -> ((String, bool), bool, Kind) {
        let x = if self.nested { "z" } else { self.one(&["x", "y", "i", "k"]) };
        let any = self.one(&["x", "i", "s", "p", "d", "m", "ts", "id", "w"]);
        let n = self.rng.usize(0..4);
        let filter = if self.rng.u8(..4) == 0 { " FILTER (WHERE x > 0)" } else { "" };
        let nulls = if self.rng.u8(..4) == 0 { " IGNORE NULLS" } else { "" };
        let framed = |text: String, kind| ((text, true), rows, kind);
        match self.rng.usize(..if rows { 21 } else { 15 }) {
            0 => framed(format!("count(*){filter} {{}}"), Kind::Exact),
            1 => framed(format!("count({any}){filter} {{}}"), Kind::Exact),
            2 | 3 => framed(format!("sum({x}){filter} {{}}"), Kind::Exact),
            4 => framed(format!("avg({x}){filter} {{}}"), Kind::Near),
            5 => framed(format!("max({x}){filter} {{}}"), Kind::Exact),
            6 => framed(format!("min({any}){filter} {{}}"), Kind::Exact),
            7 => framed(format!("var_pop({x}) {{}}"), Kind::Near),
            8 => framed(format!("var({x}) {{}}"), Kind::Near),
            9 => framed(format!("power(stddev({x}) {{}}, 2)"), Kind::Near),
            10 if unbounded => framed(format!("median({x}) {{}}"), Kind::Near),
            11 => (("rank() {}".to_owned(), false), false, Kind::Exact),
            12 => (("dense_rank() {}".to_owned(), false), false, Kind::Exact),
            13 => (("row_number() {}".to_owned(), false), true, Kind::Exact),
            14 | 15 => ((format!("lag({any}, {n}) {{}}"), false), true, Kind::Exact),
            16 => ((format!("lag({any}, {}) IGNORE NULLS {{}}", n + 1), false), true, Kind::Exact),
            17 => framed(format!("first_value({any}){nulls} {{}}"), Kind::Exact),
            18 => framed(format!("last_value({any}){nulls} {{}}"), Kind::Exact),
            19 => framed(format!("nth_value({any}, {}) {{}}", n + 1), Kind::Exact),
            20 => framed("array_agg(i) {}".to_owned(), Kind::Exact),
            _ => framed(format!("sum({x}) {{}}"), Kind::Exact),
        }
    }
}

impl Case {
    fn random(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let clock = Clock::random(rng);
        let late = rng.u8(..4) == 0;
        let nested = rng.u8(..5) == 0;
        let more = ["", "", "", ", i DESC", ", s NULLS FIRST, x"][rng.usize(..5)];
        let more = if nested { "" } else { more };
        let count = rng.usize(1..6);
        let mut grow = Grow { rng, clock, more, nested };
        let mut items = vec![Item {
            stream: "id".to_owned(),
            batch: "id".to_owned(),
            name: "id".to_owned(),
            kind: Kind::Exact,
            key: true,
        }];
        items.extend((0..count).map(|at| grow.item(at)));
        let condition = [None, None, Some("x > -20"), Some("k IS NOT NULL")][rng.usize(..4)];
        let tables = (0..TABLES).map(|_| Table::random(rng, clock, late, false)).collect();
        Self { items, condition, tables, seed, nested }
    }

    fn sql(&self, batch: bool, table: &str) -> String {
        let items = self.items.iter().map(|i| {
            let e = if batch { &i.batch } else { &i.stream };
            format!("{e} AS {}", i.name)
        });
        let items = items.collect::<Vec<_>>().join(", ");
        let condition = self.condition.map(|c| format!(" WHERE {c}")).unwrap_or_default();
        if !self.nested {
            return format!("SELECT {items} FROM {table}{condition}");
        }
        let order = if batch { ", n__" } else { "" };
        format!(
            "SELECT {items} FROM (SELECT *, x - lag(x) OVER (PARTITION BY s ORDER BY ts{order}) AS z FROM {table}{condition})"
        )
    }

    fn plan(&self, inputs: &[Input], threads: usize) -> Result<Planned, String> {
        let views = shared(&[view("v", &self.sql(false, "t"))], threads);
        let planned = plan(inputs, &views, &[]);
        match planned.errors.first() {
            Some(e) => Err(format!("the stream refuses it: {}", e.error)),
            None => Ok(planned),
        }
    }

    fn run(&self, engine: &Engine, fault: Fault) -> Result<(), String> {
        let mut planned = self.plan(&[self.tables[0].input()], 1)?;
        for (at, table) in self.tables.iter().enumerate() {
            let (rows, late) = in_time(table, fault);
            engine.register("t_over", rows);
            let mut sql = self.sql(true, "t_over");
            if fault == Fault::Apart {
                sql = sql.replace("ORDER BY ts)", "ORDER BY ts, n__)");
            }
            // The library's planner has it that calls over one computed key, once it has given that a name, differ.
            let ran = std::panic::catch_unwind(AssertUnwindSafe(|| engine.sql(&sql)));
            let Ok(answer) = ran else { return Ok(()) };
            let answer = answer?;
            let inputs = [table.input()];
            let mut again = || self.plan(&inputs, 2).unwrap();
            let whole = run_so(&inputs, &mut planned, Way::of(usize::MAX), &mut again);
            let ran = &whole["v"];
            let made = ran.made.whole(&planned.views[0].schema);
            let found = differences(&self.items, &made, &answer);
            if !found.is_empty() {
                return Err(format!("rows differ\n{}\n{}", found.join("\n"), table.show()));
            }
            if self.condition.is_none() && ids(&ran.late) != late {
                let ours = ids(&ran.late);
                return Err(format!("late are {ours:?}, not {late:?}\n{}", table.show()));
            }
            in_order(&made, table)?;
            self.other_ways(at, &mut planned, &whole)?;
        }
        Ok(())
    }

    fn other_ways(
        &self,
        at: usize,
        planned: &mut Planned,
        whole: &BTreeMap<String, crate::run::Result>,
    ) -> Result<(), String> {
        let rng = &mut Rng::with_seed(self.seed ^ at as u64);
        let cut = Way { seed: Some(rng.u64(..)), ..Way::of(rng.usize(1..12)) };
        let ways = if at == 0 { vec![cut, Way { stops: 2, ..cut }] } else { vec![cut] };
        let inputs = [self.tables[at].input()];
        let mut again = || self.plan(&inputs, 3).unwrap();
        for way in ways {
            let other = run_so(&inputs, planned, way, &mut again);
            if whole["v"] != other["v"] {
                let first = first_difference(&whole["v"], &other["v"]);
                return Err(format!(
                    "{way:?} gives other bytes\n{first}\n{}",
                    self.tables[at].show()
                ));
            }
        }
        Ok(())
    }

    fn show(&self) -> String {
        let mut text = String::new();
        writeln!(text, "-- stream\n{}\n-- batch\n{}", self.sql(false, "t"), self.sql(true, "t"))
            .unwrap();
        text
    }
}

/// The square of a deviation as the batch engine computes it: it subtracts from a variance, and what is left may be less than 0, which
/// has no root.
fn squared(sql: &str) -> String {
    match sql.strip_prefix("power(stddev(").and_then(|rest| rest.strip_suffix(", 2)")) {
        Some(rest) => format!("var({rest}"),
        None => sql.to_owned(),
    }
}

/// The rows of a table that are in time, with their numbers, and the names of those that are late.
fn in_time(table: &Table, fault: Fault) -> (arrow_array::RecordBatch, Vec<String>) {
    let (marks, _) = table.watermarks();
    let (mut good, mut late) = (vec![], vec![]);
    for (row, time) in table.times().into_iter().enumerate() {
        match time {
            Some(time) if time < marks[row] && fault != Fault::Late => {
                late.push(table.ids()[row].clone())
            }
            Some(_) => good.push(row as u64),
            None => {}
        }
    }
    let index = UInt64Array::from(good.clone());
    let rows = arrow::compute::take_record_batch(&table.batch, &index).unwrap();
    let numbers = Int64Array::from_iter_values(good.iter().map(|n| *n as i64));
    let schema = rows.schema();
    let fields = schema.fields().iter().map(|f| f.as_ref().clone());
    let number = arrow_schema::Field::new("n__", arrow_schema::DataType::Int64, false);
    let schema = arrow_schema::Schema::new(fields.chain([number]).collect::<Vec<_>>());
    let mut columns = rows.columns().to_vec();
    columns.push(std::sync::Arc::new(numbers));
    (arrow_array::RecordBatch::try_new(schema.into(), columns).unwrap(), late)
}

/// Whether rows came out in the order of event time.
fn in_order(made: &arrow_array::RecordBatch, table: &Table) -> Result<(), String> {
    let id = |batch: &arrow_array::RecordBatch| {
        let ids = batch.column_by_name("id").unwrap().clone();
        ids.as_primitive::<arrow_array::types::Int64Type>().values().to_vec()
    };
    let times = table.batch.column_by_name("ts").unwrap().as_primitive::<Micros>();
    let times: BTreeMap<_, _> = id(&table.batch).into_iter().zip(times.values()).collect();
    let out = id(made);
    match out.is_sorted_by_key(|id| times[id]) {
        true => Ok(()),
        false => Err(format!("rows are not in the order of event time: {out:?}")),
    }
}

fn outcome(seed: u64, engine: &Engine, fault: Fault) -> Result<(), String> {
    let case = Case::random(seed);
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| case.run(engine, fault)));
    let ran = ran.unwrap_or_else(|_| Err("it panicked".to_owned()));
    ran.map_err(|e| format!("{e}\n{}", case.show()))
}

fn check(seed: u64, engine: &Engine) {
    if let Err(e) = outcome(seed, engine, Fault::None) {
        panic!(
            "seed {seed}: {e}\nagain: SEED={seed} cargo test -p millstream-sql --test all -- one_over --nocapture"
        );
    }
}

#[test]
fn over_gives_what_the_batch_engine_gives() {
    let engine = Engine::new();
    seeds(SEEDS).for_each(|seed| check(seed, &engine));
}

#[test]
fn over_that_is_wrong_is_found() {
    let engine = Engine::new();
    for fault in [Fault::Late, Fault::Apart] {
        assert!((0..60).any(|seed| outcome(seed, &engine, fault).is_err()));
    }
}

#[test]
fn one_over() {
    let Ok(seed) = std::env::var("SEED") else { return };
    check(seed.parse().unwrap(), &Engine::new());
}
