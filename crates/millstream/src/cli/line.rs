//! The status line: what moves, how far behind it is, and what is in trouble.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use millstream::fields::Bytes;
use millstream::snapshot::PartSnapshot;
use millstream::status::{Doing, Kind};
use millstream::{Snapshot, Status};

use super::ledger::moved;
use super::numbers::{grouped, rate, span};
use super::screen::Screen;

/// How often the line is redrawn on a terminal.
const REDRAW: Duration = Duration::from_millis(400);
/// How often a line is written elsewhere.
const PLAIN: Duration = Duration::from_secs(5);

/// How a run tells how it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One line, redrawn.
    Redrawn,
    /// A line now and then.
    Lines,
    /// The same as JSON.
    Json,
}

impl Manner {
    /// Redrawn on a terminal, unless rows are printed on the same.
    pub(crate) fn of(json: bool, prints_rows: bool) -> Self {
        let rows_below = prints_rows && io::stdout().is_terminal();
        match json {
            true => Self::Json,
            false if io::stderr().is_terminal() && !rows_below => Self::Redrawn,
            false => Self::Lines,
        }
    }

    fn every(self) -> Duration {
        match self {
            Self::Redrawn => REDRAW,
            Self::Lines | Self::Json => PLAIN,
        }
    }
}

/// Tells until it is dropped.
pub(crate) async fn tell(manner: Manner, status: Arc<Status>, screen: Screen) {
    let mut before = status.snapshot();
    let mut ticks = tokio::time::interval(manner.every());
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let now = status.snapshot();
        match manner {
            Manner::Redrawn => screen.show(&line(&before, &now)),
            Manner::Lines => screen.print(&format!("{}\n", line(&before, &now))),
            Manner::Json => screen.print(&format!("{}\n", json(&before, &now))),
        }
        before = now;
    }
}

/// The line for people.
fn line(before: &Snapshot, now: &Snapshot) -> String {
    let over = Duration::from_secs_f64((now.elapsed_s - before.elapsed_s).max(0.001));
    let ((in_before, out_before), (rows_in, rows_out)) = (moved(before), moved(now));
    let mut text = span(Duration::from_secs_f64(now.elapsed_s.max(0.0)));
    let collected = || {
        let sum = |of: &Snapshot, count: fn(&PartSnapshot) -> u64| -> u64 {
            of.of_kind(Kind::Source).map(count).sum()
        };
        let more = |count| sum(now, count).saturating_sub(sum(before, count));
        let (records, bytes) = (more(|p| p.records), more(|p| p.bytes));
        format!("collected {} records/s, {} B/s", rate(records, over), rate(bytes, over))
    };
    let parts = match now.doing {
        Doing::Collecting => vec![collected()],
        Doing::StandingBy => vec!["standing by".to_owned(), collected()],
        Doing::Opening | Doing::Processing => vec![
            format!("in {} rows/s", rate(rows_in.saturating_sub(in_before), over)),
            format!("out {} rows/s", rate(rows_out.saturating_sub(out_before), over)),
            format!("lag {} frames", grouped(now.lag_frames)),
        ],
    };
    if now.doing == Doing::Opening {
        text.push_str("  opening");
    }
    for part in parts {
        text.push_str("  ");
        text.push_str(&part);
    }
    let waits: u64 = now.parts.iter().map(|p| p.outbox_bytes).sum();
    if waits > 0 {
        text.push_str(&format!("  waiting for sinks {}", Bytes(waits)));
    }
    let set_aside: u64 = now.parts.iter().map(|p| p.set_aside).sum();
    if set_aside > 0 {
        text.push_str(&format!("  set aside {}", grouped(set_aside)));
    }
    troubles(now, &mut text);
    text
}

/// The first trouble in words, and how many there are beside it.
fn troubles(now: &Snapshot, text: &mut String) {
    let mut all =
        now.parts.iter().flat_map(|p| p.troubles.iter().map(move |(split, why)| (p, split, why)));
    let Some((part, split, why)) = all.next() else { return };
    let others = all.count();
    let why = why.lines().next().unwrap_or_default();
    let of = if split.is_empty() { String::new() } else { format!(" {split}") };
    text.push_str(&format!("  ! {} {}{of}: {why}", part.kind, part.name));
    if others > 0 {
        text.push_str(&format!(" (and {others} more)"));
    }
}

/// The line for programs.
fn json(before: &Snapshot, now: &Snapshot) -> serde_json::Value {
    let over = (now.elapsed_s - before.elapsed_s).max(0.001);
    let ((in_before, out_before), (rows_in, rows_out)) = (moved(before), moved(now));
    #[expect(clippy::cast_precision_loss, reason = "a rate for display")]
    let per_s = |n: u64| (n as f64 / over * 10.0).round() / 10.0;
    serde_json::json!({
        "event": "status",
        "rows_in_per_s": per_s(rows_in.saturating_sub(in_before)),
        "rows_out_per_s": per_s(rows_out.saturating_sub(out_before)),
        "status": now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: &str, name: &str, rows: u64) -> PartSnapshot {
        PartSnapshot { kind: kind.into(), name: name.into(), rows, ..PartSnapshot::default() }
    }

    #[test]
    fn the_line_says_what_moves_and_what_is_in_trouble() {
        let before = Snapshot {
            doing: Doing::Processing,
            elapsed_s: 10.0,
            parts: vec![part("source", "api", 100)],
            ..Snapshot::default()
        };
        let mut api = part("source", "api", 1_100);
        api.troubles.insert("http://a".into(), "connection refused".into());
        api.troubles.insert("http://b".into(), "timed out".into());
        let mut store = part("sink", "store", 50);
        store.set_aside = 3;
        store.outbox_bytes = 3 << 20;
        let now = Snapshot {
            doing: Doing::Processing,
            elapsed_s: 12.0,
            lag_frames: 4,
            parts: vec![api, store],
            ..Snapshot::default()
        };
        assert_eq!(
            line(&before, &now),
            "12s  in 500 rows/s  out 25 rows/s  lag 4 frames  waiting for sinks 3 MiB  set aside 3  \
             ! source api http://a: connection refused (and 1 more)"
        );
        assert_eq!(json(&before, &now)["rows_in_per_s"], 500.0);
    }

    #[test]
    fn a_process_without_the_turn_says_what_it_collects() {
        let at = |elapsed_s, records, doing| Snapshot {
            doing,
            elapsed_s,
            parts: vec![PartSnapshot { records, bytes: records * 100, ..part("source", "api", 0) }],
            ..Snapshot::default()
        };
        let before = at(1.0, 0, Doing::Opening);
        assert_eq!(
            line(&before, &at(2.0, 50, Doing::Collecting)),
            "2.0s  collected 50 records/s, 5,000 B/s"
        );
        let standing = line(&before, &at(2.0, 50, Doing::StandingBy));
        assert_eq!(standing, "2.0s  standing by  collected 50 records/s, 5,000 B/s");
    }
}
