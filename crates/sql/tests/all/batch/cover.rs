//! The grammar has all that the dialect has, and the oracle finds what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Engine;
use super::assign::{Fault, Windows};
use super::calls::CALLS;
use super::stage::Shape;
use super::{Cases, outcome};

#[test]
fn every_aggregate_of_the_dialect_is_in_the_grammar() {
    let dialect = millstream_sql::functions().into_iter().map(|(name, _)| name);
    let dialect = dialect.collect::<BTreeSet<_>>();
    let theirs = datafusion::functions_aggregate::all_default_aggregate_functions();
    let names = theirs
        .iter()
        .flat_map(|f| std::iter::once(f.name().to_owned()).chain(f.aliases().iter().cloned()));
    let wanted = names.filter(|name| dialect.contains(name)).collect::<BTreeSet<_>>();
    let have = CALLS.iter().flat_map(|c| c.names).map(ToString::to_string).collect();
    assert_eq!(wanted, have);
}

/// What the first queries have, by name: so many.
#[test]
fn the_grammar_comes_to_everything() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..2_000 {
        let cases = Cases::random(seed);
        let stages = &cases.query.stages;
        let sql =
            cases.query.views().into_iter().map(|(_, sql)| sql).collect::<Vec<_>>().join("; ");
        let mut note = |what, is| *seen.entry(what).or_default() += usize::from(is);
        for call in CALLS {
            for name in call.names {
                note(name, sql.contains(&format!(" {name}(")));
            }
        }
        let words = [
            "FILTER",
            "DISTINCT",
            "ORDER BY",
            "WITHIN GROUP",
            "IGNORE NULLS",
            "HAVING",
            "WHERE",
            "UNNEST",
            "UNION ALL",
            "DESCRIPTOR",
            "PARTITION BY",
            "TIMECOL",
            "OFFSET =>",
            "GAP =>",
            "WITH ",
        ];
        words.iter().for_each(|word| note(word, sql.contains(word)));
        for cut in stages.iter().flat_map(|s| &s.cuts) {
            match cut.windows {
                Windows::Tumble { .. } => note("tumble", true),
                Windows::Hop { slide, size, .. } if size % slide == 0 => note("hop", true),
                Windows::Hop { slide, size, .. } if size < slide => note("hop with gaps", true),
                Windows::Hop { .. } => note("hop, not divisible", true),
                Windows::Cumulate { .. } => note("cumulate", true),
                Windows::Session { .. } => {
                    let keys = ["session", "session of a key", "session of two keys"];
                    note(keys[cut.keys.len()], true);
                }
            }
        }
        let cuts = stages.iter().filter(|s| s.shape == Shape::Grouped && !s.cuts.is_empty());
        let over = cuts.count() > 1;
        note("window over a window", over);
        note("across views", over && cases.query.views().len() > 1);
        note("within a view", over && cases.query.views().len() == 1);
        note("windows of rows", cases.query.last().shape == Shape::Cut);
        note("late", cases.tables[0].late);
        note("allowed lateness", cases.query.allowed_lateness > 0);
    }
    let seldom = seen.iter().filter(|(_, n)| **n < 10).collect::<Vec<_>>();
    assert!(seldom.is_empty(), "{seldom:?}");
}

/// The first seed that finds what is wrong.
fn found(fault: Fault) -> Option<u64> {
    let engine = Engine::new();
    (0..40).find(|seed| outcome(*seed, &engine, fault).is_err())
}

#[test]
fn an_edge_off_by_a_microsecond_is_found() {
    assert!(found(Fault::Shifted).is_some_and(|seed| seed < 5));
}

#[test]
fn a_window_that_has_its_end_is_found() {
    assert!(found(Fault::Closed).is_some_and(|seed| seed < 5));
}

#[test]
fn a_session_over_a_gap_is_found() {
    assert!(found(Fault::WideGap).is_some_and(|seed| seed < 30));
}

#[test]
fn a_late_row_that_is_taken_is_found() {
    assert!(found(Fault::Patient).is_some_and(|seed| seed < 40));
}

#[test]
fn a_row_that_is_late_too_soon_is_found() {
    assert!(found(Fault::Hasty).is_some_and(|seed| seed < 40));
}
