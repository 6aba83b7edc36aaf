//! Random rows, watermarks and cuts.

use std::collections::BTreeMap;

use fastrand::Rng;
use millstream_core::clock::Timestamp;

use super::model::Model;
use super::{Case, Keyed, One, Pair, again, due, operator, rows};
use crate::asof::node::Bounds;
use crate::stateful::Stateful;

/// Rows of one side, and how far event time has come behind them.
struct Frame {
    input: usize,
    rows: Vec<One>,
    mark: Timestamp,
}

fn case(rng: &mut Rng) -> Case {
    let lags = [(0, 0), (0, 0), (3, 0), (0, 7), (5, 5)][rng.usize(..5)];
    let least = [0, 0, 1, 4][rng.usize(..4)];
    let most = least + [0, 3, 20, 1_000][rng.usize(..4)];
    Case {
        bounds: Bounds { lags, least, most, by_ttl: rng.bool() },
        inner: rng.bool(),
        keys: [Keyed::Nothing, Keyed::Number, Keyed::Text, Keyed::Both][rng.usize(..4)],
        whole_from: if rng.u8(..4) == 0 { rng.i64(-5..30) } else { i64::MIN },
    }
}

fn frames(rng: &mut Rng) -> Vec<Frame> {
    let (mut now, mut mark, mut id) = (0, i64::MIN, 0);
    let (delay, kinds) = (rng.i64(0..12), rng.i64(1..9));
    let (count, most) = (rng.usize(1..40), [3, 12, 60, 60, 60, 2_000][rng.usize(..6)]);
    let texts = ["", "a", "b", "aa", "é"];
    let maybe = |rng: &mut Rng, value| (rng.u8(..12) > 0).then_some(value);
    let frames = (0..count).map(|number| {
        let input = rng.usize(..2);
        let rows = (0..rng.usize(..most)).map(|_| {
            now += i64::from(rng.u8(..3) == 0);
            // Some are later than the delay lets them be.
            let time = now - rng.i64(0..=delay) - if rng.u8(..20) == 0 { rng.i64(0..9) } else { 0 };
            id += 1;
            let number = rng.i64(..kinds);
            let text = texts[rng.usize(..5)];
            let one = One {
                time: (rng.u8(..40) > 0).then_some(time),
                number: maybe(rng, number),
                text: maybe(rng, 0).map(|_| text),
                id,
                mark,
            };
            if rng.u8(..4) == 0 {
                mark = mark.max(now - delay);
            }
            one
        });
        let rows = rows.collect();
        let ends = number + 1 == count || rng.u8(..15) == 0;
        let frame =
            Frame { input, rows, mark: if ends { Timestamp::END } else { Timestamp(mark) } };
        if ends {
            // Time begins anew.
            (now, mark) = (0, i64::MIN);
        }
        frame
    });
    frames.collect()
}

/// How rows are cut, and when the operator is made anew.
#[derive(Clone, Copy)]
struct Way {
    cut: usize,
    restarts: u8,
}

fn run(case: &Case, frames: &[Frame], way: Way, rng: &mut Rng) -> (Vec<Pair>, [u64; 3]) {
    let (mut operator, mut kept) = (operator(case), BTreeMap::new());
    let (mut pairs, mut counts) = (vec![], [0; 3]);
    for frame in frames {
        let mut left = frame.rows.as_slice();
        while !left.is_empty() {
            let (some, rest) = left.split_at(rng.usize(1..=left.len().min(way.cut)));
            let taken = operator.take(frame.input, &rows(some)).unwrap();
            let of = |all: &mut dyn Iterator<Item = usize>| all.sum::<usize>() as u64;
            counts[0] += taken.absorbed;
            counts[1] += of(&mut taken.late.iter().map(|r| r.len()));
            counts[2] += of(&mut taken.refused.iter().map(|(r, _)| r.len()));
            left = rest;
            if rng.u8(..100) < way.restarts {
                operator = again(case, &mut operator, &mut kept);
            }
        }
        pairs.extend(due(&mut operator, frame.mark));
        if rng.u8(..100) < way.restarts {
            operator = again(case, &mut operator, &mut kept);
        }
    }
    assert!(operator.bytes() < 40_000, "all is over: {}", operator.bytes());
    (pairs, counts)
}

fn check(seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    let case = case(rng);
    let frames = frames(rng);
    let mut model = Model::new(case);
    let mut wanted = vec![];
    for frame in &frames {
        frame.rows.iter().for_each(|one| model.take(frame.input, one));
        wanted.extend(model.due(frame.mark));
    }
    let counts = [model.absorbed, model.late, model.refused];
    for (cut, restarts) in [(usize::MAX, 0), (7, 0), (100, 20)] {
        let found = run(&case, &frames, Way { cut, restarts }, rng);
        let same = found.0.iter().zip(&wanted).position(|(a, b)| a != b);
        assert!(
            found.0 == wanted,
            "seed {seed}, cut {cut}, {case:?}: {} for {}, first {:?}",
            found.0.len(),
            wanted.len(),
            same.map(|i| (&found.0[i], &wanted[i]))
        );
        assert_eq!(found.1, counts, "seed {seed}, cut {cut}, {case:?}");
    }
}

#[test]
fn it_gives_what_the_model_gives() {
    let seeds = std::env::var("SEEDS").map_or(60, |s| s.parse().unwrap());
    (0..seeds).for_each(check);
}
