//! Random joins as of event time: a stream gives what the batch engine makes of a plain join and `row_number`.
//!
//! One seed again: `SEED=7 cargo test -p millstream-sql --test all -- one_join_as_of --nocapture`. More of them:
//! `SEEDS=20000 cargo test -p millstream-sql --test all -- joins_as_of`.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use fastrand::Rng;
use millstream_core::operator::{Planned, View};

use super::answer::{Engine, numbered};
use super::compare::differences;
use super::grammar::{Kind, NUMBER};
use super::rows::{Clock, Table};
use super::stage::Item;
use super::{first_difference, seeds};
use crate::run::{Input, plan, shared, view};
use crate::time::{Way, run_so};

/// Queries of one test, and tables that each is asked of.
const SEEDS: u64 = 40;
const TABLES: usize = 4;

/// What the batch side does wrong on purpose.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// It takes the first row that fits.
    First,
    /// Of rows of one time it takes the one that came first.
    Tie,
    /// It takes rows that are a microsecond too old.
    Older,
}

/// A join, and the tables it is of.
struct Case {
    keys: Vec<(&'static str, &'static str)>,
    least: i64,
    most: i64,
    inner: bool,
    /// How it is written.
    spelling: usize,
    items: Vec<(&'static str, &'static str)>,
    of_left: Option<&'static str>,
    of_both: Option<&'static str>,
    tables: Vec<[Table; 2]>,
    seed: u64,
}

const KEYS: &[(&str, &str)] = &[
    ("a.k", "b.k"),
    ("a.s", "b.s"),
    ("upper(a.s)", "upper(b.s)"),
    ("a.k + 1", "b.k"),
    ("a.p", "b.p"),
    ("a.k", "b.x * 4"),
    ("a.d", "b.d"),
    ("coalesce(a.s, '')", "coalesce(b.s, '')"),
];

const ITEMS: &[(&str, &str)] = &[
    ("a.id", "aid"),
    ("b.id", "bid"),
    ("a.ts", "ats"),
    ("b.ts", "bts"),
    ("b.k", "bk"),
    ("a.s || coalesce(b.s, '-')", "s"),
    ("a.x - b.y", "xy"),
    ("b.p", "bp"),
    ("b.d", "bd"),
    ("coalesce(b.i, -1) * 2 + a.k", "i"),
    ("b.id IS NULL", "missing"),
    ("b.m", "m"),
];

const OF_LEFT: &[&str] = &["a.x > 0", "a.s <> 'b' OR a.s IS NULL", "a.k IS NOT NULL AND a.id > 2"];

const OF_BOTH: &[&str] = &["b.id IS NULL OR a.x > b.y", "b.x > -9", "a.id <> b.id"];

impl Case {
    fn random(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let clock = Clock::random(rng);
        let count = [0, 1, 1, 1, 2][rng.usize(..5)];
        let keys = (0..count).map(|_| KEYS[rng.usize(..KEYS.len())]).collect::<Vec<_>>();
        let least = [0, 0, 0, 1, clock.unit, 3 * clock.unit][rng.usize(..6)];
        let most = least + [0, 1, 1, 2, 5, 30, 300][rng.usize(..7)] * clock.unit;
        let mut spelling = rng.usize(..6);
        if spelling == 4 && least > 0 {
            spelling = 0;
        }
        if keys.is_empty() && matches!(spelling, 4 | 5) {
            spelling = 1;
        }
        let mut items = ITEMS.to_vec();
        rng.shuffle(&mut items);
        items.truncate(rng.usize(1..6));
        let some = |rng: &mut Rng, of: &[&'static str]| {
            (rng.u8(..3) == 0).then(|| of[rng.usize(..of.len())])
        };
        let (of_left, of_both) = (some(rng, OF_LEFT), some(rng, OF_BOTH));
        let tables = (0..TABLES).map(|_| [0, 1].map(|_| Table::random(rng, clock, false, false)));
        let tables = tables.collect();
        let inner = rng.bool();
        Self { keys, least, most, inner, spelling, items, of_left, of_both, tables, seed }
    }

    fn list(&self) -> String {
        let items = self.items.iter().map(|(e, name)| format!("{e} AS {name}"));
        items.collect::<Vec<_>>().join(", ")
    }

    fn condition(&self) -> String {
        let all = self.of_left.iter().chain(&self.of_both).map(|e| format!("({e})"));
        let all = all.collect::<Vec<_>>();
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }

    fn equal(&self) -> Vec<String> {
        self.keys.iter().map(|(a, b)| format!("{a} = {b}")).collect()
    }

    /// As a view, and whether it has a `state_ttl`.
    fn stream(&self) -> (String, bool) {
        let span = |micros: i64| format!("INTERVAL '{micros} microseconds'");
        let (least, most) = (self.least, self.most);
        let (list, condition) = (self.list(), self.condition());
        let equal = self.equal();
        let on = |more: &str| {
            let all = equal.iter().map(String::as_str).chain([more]).filter(|e| !e.is_empty());
            all.collect::<Vec<_>>().join(" AND ")
        };
        let (left, as_of) = match self.inner {
            true => ("", ["ASOF JOIN", "ASOF INNER JOIN"][(self.seed % 2) as usize]),
            false => ("LEFT ", ["ASOF LEFT JOIN", "LEFT ASOF JOIN"][(self.seed % 2) as usize]),
        };
        let lower = match least {
            0 => "a.ts >= b.ts".to_owned(),
            1 => "a.ts > b.ts".to_owned(),
            _ => format!("b.ts + {} <= a.ts", span(least)),
        };
        let upper = format!("a.ts <= b.ts + {}", span(most));
        let apart = format!("a.ts - b.ts < {}", span(most + 1));
        let between = format!("a.ts BETWEEN b.ts + {} AND b.ts + {}", span(least), span(most));
        let match_on = if equal.is_empty() { String::new() } else { format!(" ON {}", on("")) };
        let (from, ttl) = match self.spelling {
            0 => (format!("t a {as_of} u b ON {}", on(&format!("{lower} AND {upper}"))), false),
            1 => (format!("t AS a {as_of} u AS b ON {}", on(&between)), false),
            2 => {
                (format!("t a {as_of} u b MATCH_CONDITION ({lower} AND {apart}){match_on}"), false)
            }
            3 => (
                format!("t a {as_of} (SELECT * FROM u) b MATCH_CONDITION ({lower}){match_on}"),
                true,
            ),
            4 => (format!("t a {left}JOIN u FOR SYSTEM_TIME AS OF a.ts AS b ON {}", on("")), true),
            _ => (format!("t a {as_of} u b ON {}", on(&lower)), true),
        };
        (format!("SELECT {list} FROM {from}{condition}"), ttl)
    }

    /// As the batch engine has it: all rows that fit, the latest of them, and what is asked of these.
    fn batch(&self, fault: Fault) -> String {
        let mut on = self.equal();
        let apart = "CAST(a.ts AS BIGINT) - CAST(b.ts AS BIGINT)";
        let most = self.most + i64::from(fault == Fault::Older);
        on.push(format!("{apart} BETWEEN {} AND {most}", self.least));
        let order = match fault {
            Fault::First => "b.ts, b.row__number DESC",
            Fault::Tie => "b.ts DESC, b.row__number",
            Fault::None | Fault::Older => "b.ts DESC, b.row__number DESC",
        };
        let kind = if self.inner { "INNER" } else { "LEFT" };
        format!(
            "WITH a AS (SELECT * FROM t WHERE ts IS NOT NULL), b AS (SELECT * FROM u WHERE ts IS NOT NULL), \
             fits AS (SELECT a.{NUMBER} AS own, b.{NUMBER} AS other, row_number() OVER (PARTITION BY a.{NUMBER} ORDER BY {order}) AS place \
             FROM a {kind} JOIN b ON {on}) \
             SELECT {} FROM a JOIN fits ON fits.own = a.{NUMBER} LEFT JOIN b ON b.{NUMBER} = fits.other{} {} place = 1",
            self.list(),
            self.condition(),
            if self.condition().is_empty() { "WHERE" } else { "AND" },
            on = on.join(" AND "),
        )
    }

    fn views(&self) -> Vec<View> {
        let (sql, ttl) = self.stream();
        let mut view = view("v", &sql);
        let most = Duration::from_micros(self.most.unsigned_abs());
        view.windows.state_ttl = ttl.then_some(most);
        vec![view]
    }

    fn inputs(&self, at: usize) -> [Input; 2] {
        let [t, u] = self.tables[at].each_ref().map(Table::input);
        [t, Input { name: "u".to_owned(), ..u }]
    }

    fn plan(&self, at: usize, threads: usize) -> Result<Planned, String> {
        let planned = plan(&self.inputs(at), &shared(&self.views(), threads), &[]);
        match planned.errors.first() {
            Some(e) => Err(e.error.to_string()),
            None => Ok(planned),
        }
    }

    fn run(&self, engine: &Engine, fault: Fault) -> Result<(), String> {
        let mut planned = self.plan(0, 1)?;
        let items = self.items.iter().map(|(e, name)| Item {
            stream: (*e).to_owned(),
            batch: (*e).to_owned(),
            name: (*name).to_owned(),
            kind: Kind::Exact,
            key: false,
        });
        let items = items.collect::<Vec<_>>();
        for (at, tables) in self.tables.iter().enumerate() {
            let [t, u] = tables.each_ref().map(|t| numbered(std::slice::from_ref(t)));
            engine.register("t", t);
            engine.register("u", u);
            let answer = engine.sql(&self.batch(fault))?;
            let mut again = || self.plan(at, 1).unwrap();
            let inputs = self.inputs(at);
            let whole = run_so(&inputs, &mut planned, Way::of(usize::MAX), &mut again);
            let view = &planned.views[0];
            let ours = &whole["v"];
            let found = differences(&items, &ours.made.whole(&view.schema), &answer);
            if !found.is_empty() {
                return Err(format!("table {at}: rows differ\n{}", found.join("\n")));
            }
            let timeless = engine.sql(&format!(
                "SELECT 1 FROM t AS a WHERE ts IS NULL AND ({}) UNION ALL SELECT 1 FROM u WHERE ts IS NULL",
                self.of_left.unwrap_or("true")
            ))?;
            if ours.refused.len() != timeless.num_rows() || !ours.late.is_empty() {
                let (refused, late) = (&ours.refused, &ours.late);
                return Err(format!("table {at}: refused {refused:?}, late {late:?}"));
            }
            let rng = &mut Rng::with_seed(self.seed ^ at as u64);
            let cut = Way { seed: Some(rng.u64(..)), ..Way::of(rng.usize(1..12)) };
            for way in [cut, Way { stops: 2, ..cut }] {
                let other = &run_so(&inputs, &mut planned, way, &mut again)["v"];
                if ours != other {
                    let first = first_difference(ours, other);
                    return Err(format!("table {at}: {way:?} gives other bytes\n{first}"));
                }
            }
        }
        Ok(())
    }

    fn show(&self) -> String {
        let (sql, ttl) = self.stream();
        let mut text =
            format!("{sql}\nttl {ttl} most {}\n{}\n", self.most, self.batch(Fault::None));
        for [t, u] in &self.tables {
            write!(text, "t {}u {}", t.show(), u.show()).unwrap();
        }
        text
    }
}

fn outcome(seed: u64, engine: &Engine, fault: Fault) -> Result<(), String> {
    let case = Case::random(seed);
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| case.run(engine, fault)));
    let ran = ran.unwrap_or_else(|_| Err("it panicked".to_owned()));
    ran.map_err(|e| format!("seed {seed}: {e}\n{}", case.show()))
}

fn check(seed: u64, engine: &Engine) {
    if let Err(e) = outcome(seed, engine, Fault::None) {
        panic!("{e}");
    }
}

#[test]
fn joins_as_of_give_what_the_batch_engine_gives() {
    let engine = Engine::new();
    seeds(SEEDS).for_each(|seed| check(seed, &engine));
}

#[test]
fn one_join_as_of() {
    let Ok(seed) = std::env::var("SEED") else { return };
    check(seed.parse().unwrap(), &Engine::new());
}

#[test]
fn a_join_as_of_that_is_wrong_on_purpose_is_caught() {
    let engine = Engine::new();
    for fault in [Fault::First, Fault::Tie, Fault::Older] {
        let caught = (0..40).find_map(|seed| outcome(seed, &engine, fault).err());
        assert!(caught.is_some_and(|e| e.contains("rows differ")));
    }
}
