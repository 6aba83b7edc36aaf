//! Random joins of reference tables: each row gives what DataFusion's batch engine gives of it and the version of then.
//!
//! One seed again: `SEED=7 cargo test -p millstream-sql --test all -- one_join_seed --nocapture`. More: `SEEDS=5000 … joins_of_reference`.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fastrand::Rng;

use super::answer::Engine;
use super::rows::{Clock, Table, quarter};
use super::seeds;
use crate::run::{Frame, Input, plan, view};
use crate::time::{Way, run_so};

const SEEDS: u64 = 150;

/// The columns of the tables `r` and `q`.
const COLUMNS: &str = r#"{"k":"int64","s":"string","f":"float64","n":"int64"}"#;

struct Case {
    sql: String,
    rows: Table,
    /// For each frame of rows the versions of `r` and `q`; of less than that the last stays.
    versions: [Vec<RecordBatch>; 2],
}

fn pick<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())].clone()
}

fn version(rng: &mut Rng) -> RecordBatch {
    let rows = pick(rng, &[0, 1, 3, 10, 30]);
    let nulls = rng.bool();
    let mut some = |rng: &mut Rng| !nulls || rng.u8(..6) > 0;
    let texts = ["a", "b", "", "A", "é", "zz"];
    let ints = |rng: &mut Rng, of: std::ops::Range<i64>, some: &mut dyn FnMut(&mut Rng) -> bool| {
        (0..rows).map(|_| some(rng).then(|| rng.i64(of.clone()))).collect::<Int64Array>()
    };
    let k = ints(rng, -1..6, &mut some);
    let s: StringArray = (0..rows).map(|_| some(rng).then(|| pick(rng, &texts))).collect();
    let f: Float64Array = (0..rows).map(|_| some(rng).then(|| quarter(rng))).collect();
    let n = ints(rng, -3..4, &mut some);
    let columns: [(&str, ArrayRef); 4] =
        [("k", Arc::new(k)), ("s", Arc::new(s)), ("f", Arc::new(f)), ("n", Arc::new(n))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
}

/// Conditions on a row of `t` and one of a table.
fn on(rng: &mut Rng, of: &str) -> String {
    let keys = [
        "t.k = R.k",
        "R.s = t.s",
        "t.i % 4 = R.n",
        "R.k + 1 = t.k",
        "upper(t.s) = upper(R.s)",
        "t.k + t.i % 2 = R.k - 1",
    ];
    let more = [
        "t.x > R.f",
        "R.s <> 'a'",
        "t.p",
        "R.n IS NULL",
        "t.i < 10 * R.n",
        "t.s IS NOT NULL",
        "(R.k IS NOT DISTINCT FROM t.k)",
    ];
    let mut all: Vec<&str> = (0..rng.usize(..3)).map(|_| pick(rng, &keys)).collect();
    all.extend((0..rng.usize(..2)).map(|_| pick(rng, &more)));
    if all.is_empty() {
        all.push(keys[0]);
    }
    rng.shuffle(&mut all);
    all.join(" AND ").replace("R.", &format!("{of}."))
}

/// A table, or a query over it.
fn side(rng: &mut Rng, table: &str) -> String {
    let condition = pick(rng, &["n > 0", "s <> 'b'", "f IS NOT NULL AND k < 5", "k = 1 OR n = 2"]);
    match rng.u8(..4) {
        0 => format!("(SELECT * FROM {table} WHERE {condition}) {table}"),
        1 => format!("(SELECT k * 2 AS k, lower(s) AS s, f, n FROM {table}) AS {table}"),
        _ => table.to_owned(),
    }
}

fn subquery(rng: &mut Rng) -> String {
    let some = pick(rng, &["", " WHERE n > 0", " WHERE k IS NOT NULL AND s IS NOT NULL"]);
    let not = if rng.bool() { "NOT " } else { "" };
    match rng.u8(..4) {
        0 => format!("t.k {not}IN (SELECT k FROM r{some})"),
        1 => format!("t.s {not}IN (SELECT lower(s) FROM r{some})"),
        2 => format!("{not}EXISTS (SELECT 1 FROM r WHERE {})", on(rng, "r")),
        _ => format!("t.i % 5 {not}IN (SELECT DISTINCT n + 1 FROM r{some})"),
    }
}

fn query(rng: &mut Rng) -> String {
    let filter = pick(rng, &["", "", "t.i > 0", "t.s <> 'a' AND t.k >= 1", "t.p"]);
    if rng.u8(..3) == 0 {
        let mut all = vec![subquery(rng)];
        all.extend((rng.u8(..3) == 0).then(|| subquery(rng)));
        all.extend((!filter.is_empty()).then(|| filter.to_owned()));
        return format!("SELECT t.id, t.s FROM t WHERE {}", all.join(" AND "));
    }
    let items = "t.id, t.k AS tk, t.s AS ts, r.k AS rk, r.s AS rs, r.f";
    let conditions = if filter.is_empty() { String::new() } else { format!(" WHERE {filter}") };
    let (r, q) = (side(rng, "r"), side(rng, "q"));
    let (on_r, on_q) = (on(rng, "r"), on(rng, "q"));
    let join = |rng: &mut Rng| pick(rng, &["JOIN", "INNER JOIN", "LEFT JOIN"]);
    match rng.u8(..6) {
        0 => {
            let conditions = if filter.is_empty() { on_r } else { format!("{on_r} AND {filter}") };
            format!("SELECT {items} FROM t, {r} WHERE {conditions}")
        }
        1 => {
            let right = pick(rng, &["JOIN", "RIGHT JOIN"]);
            format!("SELECT {items} FROM {r} {right} t ON {on_r}{conditions}")
        }
        2 => {
            let on_q = if rng.bool() { on_q } else { "q.k = r.n".to_owned() };
            let (one, two) = (join(rng), join(rng));
            format!(
                "SELECT {items}, q.n AS qn FROM t {one} {r} ON {on_r} {two} {q} ON {on_q}{conditions}"
            )
        }
        3 => format!("SELECT t.id, r.n, t.x + r.f AS sum FROM t CROSS JOIN {r}{conditions}"),
        _ => format!("SELECT {items} FROM t {} {r} ON {on_r}{conditions}", join(rng)),
    }
}

impl Case {
    fn random(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let clock = Clock::random(rng);
        let sql = query(rng);
        let rows = Table::random(rng, clock, false, false);
        let mut versions = || (0..rng.usize(1..=rows.frames.len())).map(|_| version(rng)).collect();
        let versions = [versions(), versions()];
        Self { sql, rows, versions }
    }

    fn inputs(&self) -> Vec<Input> {
        let table = |(name, versions): (&str, &Vec<RecordBatch>)| {
            let frame =
                |batch: &RecordBatch| Frame { batch: Some(batch.clone()), ..Frame::default() };
            let frames = versions.iter().map(frame).collect();
            Input { frames, board: Some(Arc::default()), ..Input::new(name, COLUMNS, "") }
        };
        let mut inputs: Vec<Input> =
            ["r", "q"].into_iter().zip(&self.versions).map(table).collect();
        inputs.push(self.rows.input());
        inputs
    }

    fn run(&self, engine: &Engine) -> Result<(), String> {
        let (inputs, views) = (self.inputs(), [view("v", &self.sql)]);
        let mut planned = plan(&inputs, &views, &[]);
        if let Some(e) = planned.errors.first() {
            return Err(format!("refused: {}", e.error));
        }
        let whole = run_so(&inputs, &mut planned, Way::of(usize::MAX), &mut || unreachable!());
        let ours = whole["v"].made.0.iter().flat_map(lines).collect::<Vec<_>>();
        let mut theirs = vec![];
        let mut at = 0;
        for (frame, rows) in self.rows.frames.iter().enumerate() {
            for (name, versions) in ["r", "q"].into_iter().zip(&self.versions) {
                engine.register(name, versions[frame.min(versions.len() - 1)].clone());
            }
            engine.register("t", self.rows.batch.slice(at, *rows));
            theirs.extend(lines(&engine.sql(&self.sql)?));
            at += rows;
        }
        let sorted = |lines: &[String]| {
            let mut lines = lines.to_vec();
            lines.sort();
            lines
        };
        if sorted(&ours) != sorted(&theirs) {
            let (a, b): (BTreeSet<_>, BTreeSet<_>) =
                (ours.iter().collect(), theirs.iter().collect());
            let (more, less) = (a.difference(&b), b.difference(&a));
            return Err(format!(
                "{} and {} rows\n+ stream {:?}\n- batch  {:?}",
                ours.len(),
                theirs.len(),
                more.take(5).collect::<Vec<_>>(),
                less.take(5).collect::<Vec<_>>()
            ));
        }
        let account = whole["v"].account;
        if !account.balances() || account.out != ours.len() as u64 {
            return Err(format!("{account:?} for {} rows", ours.len()));
        }
        for size in [1, 3] {
            let other = run_so(&inputs, &mut planned, Way::of(size), &mut || unreachable!());
            if other["v"] != whole["v"] {
                return Err(format!("other rows in batches of {size}"));
            }
        }
        Ok(())
    }
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let cell = |c: &ArrayRef, row| match c.is_valid(row) {
        true => arrow_cast::display::array_value_to_string(c, row).unwrap(),
        false => "null".to_owned(),
    };
    let line = |row| batch.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}

fn check(seed: u64, engine: &Engine) {
    let case = Case::random(seed);
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| case.run(engine)));
    if let Err(e) = ran.unwrap_or_else(|_| Err("it panicked".to_owned())) {
        panic!(
            "seed {seed}: {e}\n{}\nagain: SEED={seed} cargo test -p millstream-sql --test all -- one_join_seed --nocapture",
            case.sql
        );
    }
}

#[test]
fn joins_of_reference_tables_give_what_the_batch_engine_gives() {
    let engine = Engine::new();
    seeds(SEEDS).for_each(|seed| check(seed, &engine));
}

#[test]
fn one_join_seed() {
    let Ok(seed) = std::env::var("SEED") else { return };
    check(seed.parse().unwrap(), &Engine::new());
}
