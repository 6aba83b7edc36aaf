//! Random rows and queries for the first rows of partitions: what a stream gives is what DataFusion's batch engine gives.
//!
//! Of rows that are equal in the order the first that came is the better one; the batch engine is told so by a column that says
//! when each came.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use fastrand::Rng;

use super::rows::{Clock, Table};
use super::running::{Batch, input, ran, texts};
use super::{SEEDS, newest, seeds};

const ORDERS: &[&str] = &[
    "x DESC",
    "x",
    "i DESC NULLS LAST",
    "s, y DESC",
    "w DESC",
    "p, i",
    "ts DESC",
    "y NULLS FIRST",
    "d DESC, s DESC",
];
const COLUMNS: &[&str] = &["id", "i", "x", "w", "s AS text", "l", "m"];

struct Query {
    stream: String,
    batch: String,
}

fn pick<'a>(rng: &mut Rng, all: &[&'a str]) -> &'a str {
    all[rng.usize(..all.len())]
}

/// With a window rows are parted by it, and leave when it is complete.
fn query(rng: &mut Rng, windowed: bool) -> Query {
    let mut keys = vec!["k", "s", "p", "d"];
    rng.shuffle(&mut keys);
    keys.truncate(rng.usize(0..3));
    let mut list = keys.clone();
    if windowed {
        keys.insert(rng.usize(0..=keys.len()), "ts");
        list.push("ts");
    }
    let most = rng.usize(1..5);
    let number = most > 1 || keys.is_empty() || rng.bool();
    list.extend((0..rng.usize(1..4)).map(|_| pick(rng, COLUMNS)));
    list.sort_unstable();
    list.dedup();
    if number {
        list.push("n");
    }
    let order = pick(rng, ORDERS);
    let condition = match (most, rng.u8(..3)) {
        (1, 0) => "n = 1".to_owned(),
        (_, 1) => format!("n < {}", most + 1),
        (_, 2) if number => format!("n IN ({most}, 1)"),
        (_, _) => format!("n <= {most}"),
    };
    let parts = match keys.as_slice() {
        [] => String::new(),
        keys => format!("PARTITION BY {} ", keys.join(", ")),
    };
    let text = |order: &str| {
        format!(
            "SELECT {} FROM (SELECT *, ROW_NUMBER() OVER ({parts}ORDER BY {order}) AS n FROM t) AS r WHERE {condition}",
            list.join(", ")
        )
    };
    // What is put last does not change what is asked, but for rows that are equal.
    Query { stream: text(order), batch: text(&format!("{order}, came")) }
}

fn with_place(rows: &RecordBatch) -> RecordBatch {
    let fields = rows.schema().fields().iter().cloned().collect::<Vec<_>>();
    let came = Arc::new(Field::new("came", DataType::Int64, false));
    let schema = Schema::new(fields.into_iter().chain([came]).collect::<Vec<_>>());
    let numbers = Int64Array::from_iter_values(0..rows.num_rows() as i64);
    let columns = rows.columns().iter().cloned().chain([Arc::new(numbers) as _]).collect();
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// Whether a stream gives what the batch engine gives of a query that `fault` made another one of.
fn outcome(seed: u64, batch: &Batch, fault: fn(&str) -> String) -> Result<(), String> {
    let rng = &mut Rng::with_seed(seed);
    let clock = Clock::random(rng);
    let table = Table::random(rng, clock, false, false);
    let windowed = rng.bool();
    let inputs = if windowed { [table.input()] } else { [input(rng, &table)] };
    let query = query(rng, windowed);
    // The first by event time is asked for elsewhere.
    let (ran, updates, schema) = ran(seed, &inputs, &query.stream);
    assert_eq!(updates.is_none(), windowed, "seed {seed}: {}", query.stream);
    let rows = newest(&ran.made.whole(&schema), updates.as_deref());
    let timed = if windowed { " WHERE ts IS NOT NULL" } else { "" };
    let text = fault(&query.batch).replace(" FROM t)", &format!(" FROM t{timed})"));
    let wanted = batch.answer(with_place(&table.batch), &text).unwrap();
    assert!(ran.late.is_empty(), "seed {seed}: {}", query.stream);
    let (rows, wanted) = (texts(&rows), texts(&wanted));
    if rows == wanted {
        return Ok(());
    }
    Err(format!("seed {seed}: {}\n{}\n{rows:?}\n{wanted:?}", query.stream, table.show()))
}

#[test]
fn the_first_rows_are_those_of_the_batch_engine() {
    let batch = Batch::new();
    for seed in seeds(SEEDS) {
        outcome(seed, &batch, str::to_owned).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn first_rows_that_are_wrong_on_purpose_are_seen() {
    let batch = Batch::new();
    let faults: [fn(&str) -> String; 2] = [
        |sql| sql.replace(", came)", ", came DESC)"),
        |sql| sql.replace("ROW_NUMBER()", "1 + ROW_NUMBER()"),
    ];
    let [ties, places] =
        faults.map(|fault| (0..20).filter(|seed| outcome(*seed, &batch, fault).is_err()).count());
    assert!(ties > 0 && places > 10, "{ties} {places}");
}
