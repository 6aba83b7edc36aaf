//! Random tables and queries over windows: a stream gives what DataFusion's batch engine gives of the same rows, and the
//! same bytes however rows are cut and views are stopped.
//!
//! On the batch side rows are put into windows by plain code (`assign`), and what is late is taken out by the rule; the
//! rest is SQL over the table that this makes.
//!
//! One seed again: `SEED=7 cargo test -p millstream-sql --test all -- one_seed --nocapture`. More of them:
//! `SEEDS=20000 cargo test -p millstream-sql --test all -- windows_give`.

mod answer;
mod asof;
mod assign;
mod calls;
mod compare;
mod cover;
mod grammar;
mod join;
mod over;
mod query;
mod rank;
mod reference;
mod rows;
mod running;
mod spell;
mod stage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use arrow_array::RecordBatch;
use datafusion_common::ScalarValue;
use fastrand::Rng;
use millstream_core::operator::{Planned, View};

use crate::run::{Input, Result as Ran, plan, shared, view};
use crate::time::{Way, run_so};
use answer::{Answer, Engine};
use assign::Fault;
use query::Grow;
use rows::{Clock, Table};
use stage::{Query, Stage};

/// Seeds of one test; there are two, so that they share the processors.
const SEEDS: u64 = 125;

/// For each seed there is a query, and so many tables to ask it of. That is so many cases.
const TABLES: usize = 8;

/// In so many of them views are stopped on the way: each time they are planned anew, which is what takes time.
const STOPPED: usize = 1;

/// Seeds that failed once.
const FAILED: &str = include_str!("seeds.txt");

/// A query, and the rows it is asked of, one table after the other.
struct Cases {
    query: Query,
    tables: Vec<Table>,
    seed: u64,
}

impl Cases {
    fn random(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let clock = Clock::random(rng);
        let late = rng.u8(..4) == 0;
        let query = Grow::new(rng, clock, late).query();
        let alone = query.stages.iter().any(Stage::is_union);
        let tables = (0..TABLES).map(|_| Table::random(rng, clock, late, alone)).collect();
        Self { query, tables, seed }
    }

    /// The ways in which views get the rows of a table, besides all rows of a frame at once.
    fn ways(&self, table: usize) -> Vec<Way> {
        let rng = &mut Rng::with_seed(self.seed ^ table as u64);
        let cut = Way { seed: Some(rng.u64(..)), ..Way::of(rng.usize(1..12)) };
        if table < STOPPED { vec![cut, Way { stops: 1, ..cut }] } else { vec![cut] }
    }

    fn views(&self) -> Vec<View> {
        let allowed = Duration::from_micros(self.query.allowed_lateness.unsigned_abs());
        let of = |(name, sql): (String, String)| {
            let mut view = view(&name, &sql);
            if name == self.query.last().name {
                view.windows.allowed_lateness = allowed;
            }
            view
        };
        self.query.views().into_iter().map(of).collect()
    }

    fn plan(&self, inputs: &[Input], threads: usize) -> Result<Planned, String> {
        let planned = plan(inputs, &shared(&self.views(), threads), &[]);
        match planned.errors.first() {
            Some(e) => Err(e.error.to_string()),
            None => Ok(planned),
        }
    }

    /// Runs the cases; what is wrong, if something is.
    fn run(&self, engine: &Engine, fault: Fault) -> Result<(), String> {
        let planned = self.plan(&[self.tables[0].input()], 1);
        let answers = engine.answers(&self.query, &self.tables, fault);
        let (mut planned, answers) = match (planned, answers) {
            (Ok(planned), Ok(answers)) => (planned, answers),
            // Names leave out casts, so that `sum(CAST(k AS INT))` and `sum(k)` are one.
            (Err(e), Err(_)) if e.contains("two columns are called") => return Ok(()),
            (Err(e), Err(_)) => return Err(format!("nobody can run it: {e}")),
            (Err(e), Ok(_)) => return Err(format!("only the stream refuses it: {e}")),
            (Ok(_), Err(e)) => return Err(format!("only the batch engine refuses it: {e}")),
        };
        for (at, answer) in answers.iter().enumerate() {
            let ran = self.run_one(at, &mut planned, answer);
            ran.map_err(|e| format!("{e}\n{}", self.tables[at].show()))?;
        }
        Ok(())
    }

    /// Runs the views over a table, in all ways. After its end they begin anew: on one thread the first table, until they are
    /// stopped, and on three the others.
    fn run_one(&self, at: usize, planned: &mut Planned, answer: &Answer) -> Result<(), String> {
        let inputs = [self.tables[at].input()];
        let mut again = || self.plan(&inputs, 3).unwrap();
        let whole = run_so(&inputs, planned, Way::of(usize::MAX), &mut again);
        self.equal(planned, &whole, answer)?;
        // What of a late row is told depends on the rows beside it, where a view below has made several of one row.
        let apart = self.query.stages.iter().any(|s| s.unnest && s.is_view);
        for way in self.ways(at) {
            let mut other = run_so(&inputs, planned, way, &mut again);
            for (name, ours) in &whole {
                let other = other.get_mut(name).unwrap();
                if apart && ids(&ours.late) == ids(&other.late) {
                    other.late.clone_from(&ours.late);
                }
                if ours != other {
                    let first = first_difference(ours, other);
                    return Err(format!("{way:?} gives other bytes for `{name}`\n{first}"));
                }
            }
        }
        Ok(())
    }

    fn equal(
        &self,
        planned: &Planned,
        ran: &BTreeMap<String, Ran>,
        answer: &Answer,
    ) -> Result<(), String> {
        let last = self.query.last();
        let view = planned.views.iter().find(|v| v.name == last.name).unwrap();
        let rows = ran[&last.name].made.whole(&view.schema);
        let rows = newest(&rows, view.updates.as_ref().map(|u| u.by.as_slice()));
        let found = compare::differences(&last.items, &rows, &answer.rows);
        if !found.is_empty() {
            return Err(format!("rows differ\n{}", found.join("\n")));
        }
        let all = |of: &dyn Fn(&Ran) -> &Vec<String>| {
            let mut all = ran.values().flat_map(|r| ids(of(r))).collect::<Vec<_>>();
            all.sort_unstable();
            all
        };
        let mut refused = all(&|r| &r.refused);
        refused.dedup();
        for (what, ours, theirs) in
            [("late", all(&|r| &r.late), &answer.late), ("set aside", refused, &answer.timeless)]
        {
            let some = self.query.conditions_over_windows();
            let fewer = some && ours.iter().all(|id| theirs.iter().any(|t| t == id));
            if ours != *theirs && !fewer {
                return Err(format!("{what} are\n+ stream {ours:?}\n- batch  {theirs:?}"));
            }
        }
        Ok(())
    }

    fn show(&self) -> String {
        let mut text = String::new();
        for (name, sql) in self.query.views() {
            writeln!(text, "-- view {name} lateness {}\n{sql}", self.query.allowed_lateness)
                .unwrap();
        }
        for stage in &self.query.stages {
            writeln!(text, "-- batch {}\n{}", stage.name, stage.sql(true)).unwrap();
        }
        text
    }
}

/// The names of rows, each of which stands before what is told of it.
fn ids(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|l| l.split(' ').next().unwrap()).collect()
}

/// Where two runs differ first.
fn first_difference(a: &Ran, b: &Ran) -> String {
    for (what, a, b) in
        [("row", &a.rows, &b.rows), ("late", &a.late, &b.late), ("refused", &a.refused, &b.refused)]
    {
        for i in 0..a.len().max(b.len()) {
            if a.get(i) != b.get(i) {
                return format!("{what} {i}\n+ {:?}\n- {:?}", a.get(i), b.get(i));
            }
        }
    }
    format!("{:?}\n{:?}\n{:?}\n{:?}", a.account, b.account, a.made, b.made)
}

/// Of rows that are given anew the last, by the columns that name them.
fn newest(rows: &RecordBatch, by: Option<&[String]>) -> RecordBatch {
    let Some(by) = by else { return rows.clone() };
    let mut last = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let value = |name: &String| {
            let column = rows.column_by_name(name).unwrap();
            format!("{:?}", ScalarValue::try_from_array(column, row).unwrap())
        };
        last.insert(by.iter().map(value).collect::<Vec<_>>(), row as u64);
    }
    let which = arrow_array::UInt64Array::from_iter_values(last.into_values());
    arrow::compute::take_record_batch(rows, &which).unwrap()
}

/// The seeds of a test: so many, if `SEEDS` does not say how many.
fn seeds(count: u64) -> std::ops::Range<u64> {
    0..std::env::var("SEEDS").map_or(count, |s| s.parse().unwrap())
}

fn outcome(seed: u64, engine: &Engine, fault: Fault) -> Result<(), String> {
    let case =
        std::panic::catch_unwind(|| Cases::random(seed)).map_err(|_| "no case".to_owned())?;
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| case.run(engine, fault)));
    let ran = ran.unwrap_or_else(|_| Err("it panicked".to_owned()));
    ran.map_err(|e| format!("{e}\n{}", case.show()))
}

fn check(seed: u64, engine: &Engine) {
    if let Err(e) = outcome(seed, engine, Fault::None) {
        panic!(
            "seed {seed}: {e}\nagain: SEED={seed} cargo test -p millstream-sql --test all -- one_seed --nocapture"
        );
    }
}

#[test]
fn windows_give_what_the_batch_engine_gives() {
    let engine = Engine::new();
    seeds(SEEDS).for_each(|seed| check(seed, &engine));
}

#[test]
fn more_windows_give_what_the_batch_engine_gives() {
    let engine = Engine::new();
    (1_000_000..1_000_000 + SEEDS).for_each(|seed| check(seed, &engine));
}

#[test]
fn seeds_that_failed_once_pass() {
    let engine = Engine::new();
    let seeds = FAILED.lines().filter_map(|l| l.split_whitespace().next()?.parse().ok());
    seeds.for_each(|seed| check(seed, &engine));
}

#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("SEED") else { return };
    check(seed.parse().unwrap(), &Engine::new());
}

/// What fails among many seeds, each on a line: to look for what is wrong, not to check that nothing is.
#[test]
fn survey() {
    let Ok(seeds) = std::env::var("SURVEY") else { return };
    let engine = Engine::new();
    let from = std::env::var("FROM").map_or(0, |s| s.parse().unwrap());
    for seed in from..from + seeds.parse::<u64>().unwrap() {
        if let Err(e) = outcome(seed, &engine, Fault::None) {
            let lines = e.lines().take(3).map(|l| l.chars().take(300).collect::<String>());
            eprintln!("{seed} {}", lines.collect::<Vec<_>>().join(" | "));
        }
    }
}
