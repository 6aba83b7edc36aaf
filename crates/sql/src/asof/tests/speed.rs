//! How fast the operator is alone. `ASOF_SPEED=1 cargo test --release -p millstream-sql --lib asof::tests::speed -- --nocapture`
//! prints rows per second; without that it only counts what comes out, over fewer rows.

use std::collections::BTreeMap;

use fastrand::Rng;
use millstream_core::clock::Timestamp;

use super::{Case, Keyed, One, bounds, due, operator, rows, save};
use crate::stateful::Stateful;

const SECOND: i64 = 1_000_000;
/// Rows of one frame.
const FRAME: i64 = 1_000;

#[expect(clippy::disallowed_methods, reason = "this measures")]
#[test]
fn speed() {
    let tells = std::env::var_os("ASOF_SPEED").is_some();
    let frames = if tells { 2_000 } else { 20 };
    for (what, keys, delay, kind) in [
        ("100 numbers", 100, SECOND, Keyed::Number),
        ("10,000 numbers", 10_000, SECOND, Keyed::Number),
        ("1,000,000 numbers", 1_000_000, SECOND, Keyed::Number),
        ("10,000 numbers, a minute late", 10_000, 60 * SECOND, Keyed::Number),
        ("5 texts", 5, SECOND, Keyed::Text),
        ("50,000 numbers with texts", 10_000, SECOND, Keyed::Both),
    ] {
        let case = Case {
            bounds: bounds(0, 3_600 * SECOND),
            inner: false,
            keys: kind,
            whole_from: i64::MIN,
        };
        let rng = &mut Rng::with_seed(7);
        // A hundred thousand rows a second.
        let mark = |frame: i64| Timestamp(frame * FRAME * 10 - delay - SECOND / 10);
        let all = (0..frames).map(|frame| {
            let one = |i| One {
                time: Some((frame * FRAME + i) * 10 - rng.i64(0..SECOND / 10)),
                number: Some(rng.i64(..keys)),
                text: Some(["a", "bb", "ccc", "dddd", "eeeee"][rng.usize(..5)]),
                id: frame * FRAME + i,
                mark: mark(frame).0,
            };
            (frame, rows(&(0..FRAME).map(one).collect::<Vec<_>>()))
        });
        let all = all.collect::<Vec<_>>();
        let mut operator = operator(&case);
        let (mut out, mut kept) = (0, BTreeMap::new());
        let begin = std::time::Instant::now();
        for (frame, rows) in &all {
            operator.take(usize::from(frame % 2 == 0), rows).unwrap();
            while let Some(batch) = operator.due(mark(frame + 1)).unwrap() {
                out += batch.num_rows();
            }
            if operator.changed() > 20_000 {
                save(&mut operator, &mut kept);
            }
        }
        let took = begin.elapsed().as_secs_f64();
        let held = operator.bytes() / 1_024;
        out += due(&mut operator, Timestamp::END).len();
        assert_eq!(out as i64, frames / 2 * FRAME);
        if tells {
            let rate = (frames * FRAME) as f64 / took / 1e6;
            println!("{what}: {rate:.2} M rows/s, {held} KiB held");
        }
    }
}
