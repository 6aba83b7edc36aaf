//! The laws of sources: nothing twice, nothing lost, whatever was dropped or restarted.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use millstream_core::record::{Name, Record};
use millstream_core::source::{Pulled, Source, SplitPositions};

/// The rows of each split, in order.
pub type SplitRows = BTreeMap<Name, Vec<Bytes>>;

/// How many positions of a run are tried as the place to continue from.
const RESTARTS: usize = 24;
/// A source that has pulled so often and not ended is taken to be endless.
const PULLS_MAX: usize = 100_000;

/// One run of a source from its opening to its end.
#[derive(Debug, Default)]
pub struct Run {
    /// What it brought.
    pub rows: SplitRows,
    /// The positions after each pull, and how many rows of each split had come by then.
    pub steps: Vec<(SplitPositions, BTreeMap<Name, usize>)>,
}

/// The lines of a record: the rows of most formats.
#[must_use]
pub fn lines(record: &Record) -> Vec<Bytes> {
    let value = &record.value;
    let lines = value.split_inclusive(|b| *b == b'\n');
    lines.map(|line| value.slice_ref(line)).collect()
}

/// Holds a finite source that replays exactly to all of its laws. `make` gives a new source over the same
/// input each time; `rows` takes a record apart as finely as the law shall look.
///
/// # Panics
/// When a law is broken; the message has the seed.
pub async fn all(
    make: impl Fn() -> Box<dyn Source>,
    rows: impl Fn(&Record) -> Vec<Bytes>,
    seed: u64,
) {
    let first = run(make().as_mut(), &SplitPositions::new(), &rows).await;
    let second = run(make().as_mut(), &SplitPositions::new(), &rows).await;
    assert_eq!(brief(&first.rows), brief(&second.rows), "two runs over one input differ");
    assert!(first.rows == second.rows, "two runs over one input differ");
    continues_after_any_position(&make, &rows, &first, seed).await;
    cancelled_pulls_lose_nothing(&make, &rows, &first, seed).await;
}

/// Opens a source and pulls until it ends, watching that each split ends once and says nothing after.
///
/// # Panics
/// When it fails, goes on for ever or a split speaks after its end.
pub async fn run(
    source: &mut dyn Source,
    after: &SplitPositions,
    rows: impl Fn(&Record) -> Vec<Bytes>,
) -> Run {
    open(source, after).await;
    let mut told = Told::new(after);
    for _ in 0..PULLS_MAX {
        match source.pull().await {
            Ok(Some(pulled)) => told.take(&pulled, &rows),
            Ok(None) => {
                assert!(
                    matches!(source.pull().await, Ok(None)),
                    "a source that has ended has to stay ended"
                );
                return told.run;
            }
            Err(e) => panic!("pull failed: {e}"),
        }
    }
    panic!("the source did not end within {PULLS_MAX} pulls");
}

/// Continues from positions all over a run, with a new source and with one that was open before.
///
/// # Panics
/// When a row is lost, comes twice or has changed.
pub async fn continues_after_any_position(
    make: impl Fn() -> Box<dyn Source>,
    rows: impl Fn(&Record) -> Vec<Bytes>,
    whole: &Run,
    seed: u64,
) {
    let mut random = Rng::with_seed(seed);
    let mut steps: Vec<_> = whole.steps.iter().enumerate().collect();
    random.shuffle(&mut steps);
    let mut reopened = make();
    for (step, (after, counts)) in steps.into_iter().take(RESTARTS) {
        let mut wanted = whole.rows.clone();
        for (split, rows) in &mut wanted {
            rows.drain(..counts.get(split).copied().unwrap_or(0));
        }
        wanted.retain(|_, rows| !rows.is_empty());
        for source in [make().as_mut(), reopened.as_mut()] {
            let mut rest = run(source, after, &rows).await.rows;
            rest.retain(|_, rows| !rows.is_empty());
            assert_eq!(brief(&rest), brief(&wanted), "after pull {step} of seed {seed}");
            assert!(rest == wanted, "other rows after pull {step} of seed {seed}");
        }
    }
}

/// Drops pulls at random moments.
///
/// # Panics
/// When that loses, repeats or changes a row.
pub async fn cancelled_pulls_lose_nothing(
    make: impl Fn() -> Box<dyn Source>,
    rows: impl Fn(&Record) -> Vec<Bytes>,
    whole: &Run,
    seed: u64,
) {
    let mut source = make();
    open(source.as_mut(), &SplitPositions::new()).await;
    let mut told = Told::new(&SplitPositions::new());
    let mut random = Rng::with_seed(seed);
    while let Some(pulled) = pull_with_drops(source.as_mut(), &mut random).await {
        told.take(&pulled, &rows);
    }
    assert_eq!(brief(&told.run.rows), brief(&whole.rows), "with dropped pulls, seed {seed}");
    assert!(told.run.rows == whole.rows, "other rows with dropped pulls, seed {seed}");
}

/// The next pull that is not dropped; some are, after a random time.
///
/// # Panics
/// When a pull fails.
pub async fn pull_with_drops(source: &mut dyn Source, random: &mut Rng) -> Option<Pulled> {
    loop {
        let patience = match random.u8(0..4) {
            // Polled once and dropped.
            0 => Duration::ZERO,
            1 => Duration::from_micros(random.u64(0..3_000)),
            _ => Duration::from_secs(60),
        };
        match tokio::time::timeout(patience, source.pull()).await {
            Ok(Ok(pulled)) => return pulled,
            Ok(Err(e)) => panic!("pull failed: {e}"),
            Err(_) => assert!(patience.as_secs() < 60, "nothing came in a minute"),
        }
    }
}

async fn open(source: &mut dyn Source, after: &SplitPositions) {
    if let Err(e) = source.open(after).await {
        panic!("open failed: {e}");
    }
}

/// What has come so far.
struct Told {
    run: Run,
    positions: SplitPositions,
    ended: BTreeMap<Name, bool>,
}

impl Told {
    fn new(after: &SplitPositions) -> Self {
        Self { run: Run::default(), positions: after.clone(), ended: BTreeMap::new() }
    }

    fn take(&mut self, pulled: &Pulled, rows: impl Fn(&Record) -> Vec<Bytes>) {
        let ended = self.ended.entry(pulled.split.clone()).or_default();
        assert!(!*ended, "split `{}` speaks after its end", pulled.split);
        *ended = pulled.ended;
        assert!(
            !pulled.records.is_empty() || pulled.ended || pulled.position.is_some(),
            "a pull of split `{}` says nothing",
            pulled.split
        );
        let all = self.run.rows.entry(pulled.split.clone()).or_default();
        all.extend(pulled.records.iter().flat_map(rows));
        if let Some(position) = &pulled.position {
            self.positions.insert(pulled.split.clone(), position.clone());
        }
        let counts = self.run.rows.iter().map(|(split, rows)| (split.clone(), rows.len()));
        self.run.steps.push((self.positions.clone(), counts.collect()));
    }
}

/// What can be read when it differs: rows may be long and many.
fn brief(rows: &SplitRows) -> BTreeMap<&str, usize> {
    rows.iter().map(|(split, rows)| (&**split, rows.len())).collect()
}
