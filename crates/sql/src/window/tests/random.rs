//! Random logs through all windows.

use arrow_array::RecordBatch;
use datafusion_common::ScalarValue;
use fastrand::Rng;

use super::super::{Aggregation, Window};
use super::log::{Frame, Kind, log};
use super::model::{Model, close};
use super::{Ran, STRAIGHT, Way, aggregation, run, same, same_windows};

/// Every function, in all its forms.
pub(super) const ALL: &[&str] = &[
    "count",
    "count i",
    "count filter b",
    "sum i",
    "sum i filter b",
    "sum f",
    "sum u",
    "max u",
    "sum d",
    "avg f",
    "avg d",
    "min i",
    "max f",
    "min s",
    "max ts",
    "min d",
    "max b",
    "var f",
    "var_pop f",
    "stddev f",
    "stddev_pop f filter b",
    "bool_and b",
    "bool_or b",
    "median f",
    "median i",
    "approx_distinct s",
    "approx_median f",
    "approx_percentile_cont f 0.9",
    "corr f g",
    "covar_samp f g",
    "covar_pop g f filter b",
    "regr_r2 f g",
    "regr_count f g",
    "percentile_cont f 0.25",
    "array_agg distinct k order k",
    "string_agg distinct s , order s",
    "median distinct i",
    "regr_slope f g",
    "bit_and i",
    "bit_or i",
    "bit_xor i",
    "count distinct s",
    "sum distinct i",
    "array_agg i order f",
    "array_agg s order ts f filter b",
    "string_agg s , order f",
    "first_value i order f",
    "last_value s order k f",
    "nth_value i 2 order f",
];

/// Functions whose result depends on the order of the rows.
const ORDERED: &[&str] = &[
    "any_value i",
    "first_value i",
    "last_value s",
    "first_value f filter b",
    "array_agg k",
    "nth_value i 2",
];

fn spec(rng: &mut Rng, window: Window) -> Aggregation {
    let keys: &[&str] = match rng.u8(..9) {
        0 => &[],
        1 => &["k"],
        2 => &["s"],
        3 => &["b", "k"],
        4 => &["s", "b"],
        5 => &["f"],
        6 => &["f", "d"],
        7 => &["u"],
        _ => &["b"],
    };
    let mut chosen: Vec<&str> = (0..4).map(|_| ALL[rng.usize(..ALL.len())]).collect();
    if !matches!(window, Window::Session { .. }) {
        chosen.push(ORDERED[rng.usize(..ORDERED.len())]);
    }
    let mut spec = aggregation(window, keys, &chosen);
    if rng.u8(..3) == 0 {
        spec.allowed_lateness = rng.i64(1..60);
    }
    if rng.u8(..4) == 0 {
        spec.lag = rng.i64(1..40);
    }
    spec
}

pub(super) fn window(rng: &mut Rng) -> Window {
    let offset = rng.i64(-20..20);
    match rng.u8(..4) {
        0 => Window::Tumble { size: rng.i64(5..50), offset },
        1 => Window::Hop { size: rng.i64(3..60), slide: rng.i64(3..30), offset },
        2 => {
            let step = rng.i64(3..20);
            Window::Cumulate { size: step * rng.i64(1..6), step, offset }
        }
        _ => Window::Session { gap: rng.i64(5..30) },
    }
}

fn equal(ran: &Ran, model: &Model<'_>, what: &str) {
    assert_eq!(ran.late, model.late, "{what}");
    for (frame, (rows, wanted)) in ran.rows.iter().zip(&model.rows).enumerate() {
        let got = scalars(rows);
        let differ = got.iter().zip(wanted).find(|(got, wanted)| {
            got.iter().zip(wanted.iter()).any(|(got, wanted)| !close(got, wanted))
        });
        if let Some((got, wanted)) = differ {
            panic!("{what}, frame {frame}\ngot    {got:?}\nwanted {wanted:?}");
        }
        assert_eq!(got.len(), wanted.len(), "{what}, frame {frame}\n{got:?}\n{wanted:?}");
    }
}

fn scalars(rows: &RecordBatch) -> Vec<Vec<ScalarValue>> {
    let row = |i| {
        let columns = rows.columns().iter();
        columns.map(|c| ScalarValue::try_from_array(c, i).unwrap()).collect()
    };
    (0..rows.num_rows()).map(row).collect()
}

/// Whether any of it was spilled.
fn one(seed: u64) -> bool {
    let rng = &mut Rng::with_seed(seed);
    let window = window(rng);
    let spec = spec(rng, window);
    let disorder = rng.i64(0..40);
    let kind = Kind {
        frames: rng.usize(2..12),
        rows: rng.usize(1..40),
        keys: rng.i64(1..8),
        step: rng.i64(0..8),
        disorder,
        delay: disorder * rng.i64(0..3),
    };
    let frames = log(rng, &kind);
    let names: Vec<_> = spec.aggregates.iter().map(|a| a.expr.name().to_owned()).collect();
    let lateness = spec.allowed_lateness;
    let keys = spec.keys.len();
    let what = format!("seed {seed}: {window:?}, lateness {lateness}, {keys} keys, {names:?}");
    if std::env::var("WINDOW_SHOW").is_ok() {
        for f in &frames {
            let t = f.rows.batch.column(0);
            for i in 0..f.rows.len() {
                println!(
                    "{} {:?} {:?}",
                    f.rows.origin.id(i),
                    ScalarValue::try_from_array(t, i),
                    f.rows.origin.watermark(i)
                );
            }
            println!("after {:?}", f.after);
        }
    }
    let whole = run(&spec, &frames, STRAIGHT);
    let timeless = |(_, why): &(String, String)| why.starts_with("its event time is null");
    assert!(whole.refused.iter().all(timeless), "{what}: {:?}", whole.refused);
    equal(&whole, &Model::run(&spec, &frames), &what);
    let single = Way { cut: 1, ..STRAIGHT };
    same(&whole, &run(&spec, &frames, single), &format!("{what}, row by row"));
    let restored = Way { cut: rng.usize(1..20), restored: true, ..STRAIGHT };
    same(&whole, &run(&spec, &frames, restored), &format!("{what}, restored"));
    let three = Way { threads: &[3], ..STRAIGHT };
    same(&whole, &run(&spec, &frames, three), &format!("{what}, on three threads"));
    let changing = Way { threads: &[3, 3, 1, 1, 2, 5], ..restored };
    same(&whole, &run(&spec, &frames, changing), &format!("{what}, restored on other threads"));
    let spills = !matches!(window, Window::Session { .. }) && !spec.keys.is_empty();
    spills && spilling(&spec, &frames, &whole, restored.cut, &what)
}

/// State that spills, in all ways; whether any did.
fn spilling(spec: &Aggregation, frames: &[Frame], whole: &Ran, cut: usize, what: &str) -> bool {
    let roomy = Way { bound: Some(1 << 30), ..STRAIGHT };
    let roomy = run(spec, frames, roomy);
    same_windows(whole, &roomy, &format!("{what}, by parts"));
    assert_eq!(roomy.spilled, 0, "{what}");
    let mut spilled = 0;
    for (bound, cut, restored, threads) in [
        (1, STRAIGHT.cut, false, &[1][..]),
        (1, 1, true, &[2]),
        (3000, cut, true, &[1, 3, 2]),
        (10_000, cut, true, &[2, 1]),
    ] {
        let ran = run(spec, frames, Way { cut, restored, threads, bound: Some(bound) });
        spilled = spilled.max(ran.spilled);
        same(
            &roomy,
            &ran,
            &format!("{what}, bound {bound}, {cut} rows at once, restored {restored}"),
        );
    }
    spilled > 0
}

/// Groups of many rows, so that values are folded into the library's own states.
#[test]
fn what_is_folded_comes_out_the_same_however_cut_and_restored() {
    const FOLDED: &[&str] = &[
        "approx_distinct i",
        "approx_percentile_cont f 0.9",
        "approx_median f",
        "corr f g",
        "regr_slope f g filter b",
        "bit_xor i",
        "sum d",
        "avg d",
        "count distinct i",
    ];
    for (seed, window) in [
        Window::Tumble { size: 3000, offset: 0 },
        Window::Hop { size: 6000, slide: 2500, offset: 3 },
        Window::Cumulate { size: 6000, step: 2000, offset: 0 },
        Window::Session { gap: 300 },
    ]
    .into_iter()
    .enumerate()
    {
        let rng = &mut Rng::with_seed(seed as u64);
        let spec = aggregation(window, &["b"], FOLDED);
        let kind = Kind { frames: 4, rows: 6000, keys: 2000, step: 1, disorder: 30, delay: 40 };
        let frames = log(rng, &kind);
        let whole = run(&spec, &frames, STRAIGHT);
        same(
            &whole,
            &run(&spec, &frames, Way { cut: 97, restored: true, threads: &[2, 3], ..STRAIGHT }),
            &format!("{window:?}"),
        );
        // What the library computes exactly is exact when folded too.
        let exact =
            aggregation(window, &["b"], &["bit_xor i", "sum d", "avg d", "count distinct i"]);
        equal(
            &run(&exact, &frames, Way { cut: 500, ..STRAIGHT }),
            &Model::run(&exact, &frames),
            &format!("{window:?}"),
        );
    }
}

#[test]
fn windows_are_as_a_plain_model_has_them_however_cut_and_restored() {
    let seeds = std::env::var("WINDOW_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(120);
    let spilled = (0..seeds).filter(|seed| one(*seed)).count() as u64;
    println!("{spilled} of {seeds} spilled");
    assert!(spilled >= seeds / 2, "{spilled} of {seeds} spilled");
}
