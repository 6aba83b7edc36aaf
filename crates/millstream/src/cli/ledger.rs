//! The closing ledger: where every record and row of every edge went.

use std::time::Duration;

use millstream::Closing;
use millstream::ledger::{Account, Stage};
use millstream::snapshot::{self, Snapshot};
use millstream::status::Kind;

use super::numbers::{grouped, rate, span};
use super::table::aligned;

/// A count of an account, and its header; shown always, or only where some edge has any.
type Column = (&'static str, fn(&Account) -> u64, bool);

const COLUMNS: &[Column] = &[
    (">in", |a| a.r#in, true),
    (">made", |a| a.made, false),
    (">out", |a| a.out, true),
    (">filtered", |a| a.filtered, true),
    (">late", |a| a.late, false),
    (">set aside", |a| a.set_aside, true),
    (">expired", |a| a.expired, false),
    (">absorbed", |a| a.absorbed, false),
    (">in flight", |a| a.in_flight, true),
];

/// The ledger as a table, with what this run did below it.
pub(crate) fn text(closing: &Closing, ran: &Snapshot) -> String {
    let edges: Vec<_> = closing.ledger.0.iter().collect();
    let shown: Vec<&Column> = COLUMNS
        .iter()
        .filter(|(_, count, always)| *always || edges.iter().any(|(_, a)| count(a) > 0))
        .collect();
    let mut headers = vec!["stage", "part"];
    headers.extend(shown.iter().map(|(header, ..)| *header));
    let rows: Vec<Vec<String>> = edges
        .iter()
        .map(|(edge, account)| {
            let mut row = vec![stage(edge.stage).to_owned(), edge.part.clone()];
            row.extend(shown.iter().map(|(_, count, _)| grouped(count(account))));
            row
        })
        .collect();
    let mut out = aligned(&headers, &rows);
    out.push_str(&verdict(closing, &shown));
    out.push_str(&totals(ran));
    out
}

/// One JSON object of the same.
pub(crate) fn json(closing: &Closing, ran: &Snapshot) -> serde_json::Value {
    let (rows_in, rows_out) = moved(ran);
    serde_json::json!({
        "event": "closed",
        "epoch": closing.epoch,
        "balances": closing.ledger.unbalanced().next().is_none(),
        "frames_left": closing.frames_left,
        "trouble": closing.trouble,
        "elapsed_s": ran.elapsed_s,
        "rows_in": rows_in,
        "rows_out": rows_out,
        "ledger": snapshot::edges(&closing.ledger),
    })
}

/// Rows that this run decoded, and rows it delivered.
pub(crate) fn moved(ran: &Snapshot) -> (u64, u64) {
    let sum = |kind| ran.of_kind(kind).map(|p| p.rows).sum();
    (sum(Kind::Source), sum(Kind::Sink))
}

/// What the columns that are shown have to fulfil.
fn equation(shown: &[&Column]) -> String {
    let names = shown.iter().map(|(header, ..)| header.trim_start_matches('>'));
    let (left, right): (Vec<&str>, Vec<&str>) = names.partition(|n| matches!(*n, "in" | "made"));
    format!("{} = {}", left.join(" + "), right.join(" + "))
}

fn verdict(closing: &Closing, shown: &[&Column]) -> String {
    let wrong: Vec<String> = closing
        .ledger
        .unbalanced()
        .map(|(e, _)| format!("{} {}", stage(e.stage), e.part))
        .collect();
    let mut out = if wrong.is_empty() {
        format!("balanced: {} on every edge\n", equation(shown))
    } else {
        format!(
            "NOT BALANCED: {}. This is a bug in Millstream: please report it\n",
            wrong.join(", ")
        )
    };
    if closing.frames_left > 0 {
        let (frames, are) =
            if closing.frames_left == 1 { ("frame", "is") } else { ("frames", "are") };
        out.push_str(&format!(
            "{} {frames} {are} in the queue and not processed: the next run goes on there\n",
            grouped(closing.frames_left)
        ));
    }
    for (edge, account) in closing.ledger.0.iter().filter(|(e, _)| e.stage == Stage::Sink) {
        if account.in_flight > 0 {
            let (rows, wait) =
                if account.in_flight == 1 { ("row", "waits") } else { ("rows", "wait") };
            out.push_str(&format!(
                "{} {rows} {wait} in the outbox of sink {}, which was down: the next run delivers them\n",
                grouped(account.in_flight),
                edge.part
            ));
        }
    }
    if let Some(trouble) = &closing.trouble {
        out.push_str(&format!("not ended in good order: {trouble}\n"));
    }
    out
}

fn totals(ran: &Snapshot) -> String {
    let time = Duration::from_secs_f64(ran.elapsed_s.max(0.0));
    let (rows_in, rows_out) = moved(ran);
    format!(
        "this run: {} rows decoded, {} delivered in {} ({} rows/s); the table counts since the queue began\n",
        grouped(rows_in),
        grouped(rows_out),
        span(time),
        rate(rows_in, time)
    )
}

/// An edge's stage in words.
pub(crate) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Collect => "collect",
        Stage::Records => "records",
        Stage::Decode => "decode",
        Stage::View => "view",
        Stage::Sink => "sink",
    }
}

#[cfg(test)]
mod tests {
    use millstream::ledger::Ledger;
    use millstream::queue::Epoch;

    use super::*;

    fn closing(account: Account) -> Closing {
        let mut ledger = Ledger::default();
        *ledger.account(Stage::Collect, "readings") =
            Account { r#in: 1_200, out: 1_200, ..Account::default() };
        *ledger.account(Stage::View, "hot") = account;
        Closing { ledger, epoch: Epoch(7), frames_left: 0, trouble: None }
    }

    #[test]
    fn the_table_shows_rare_columns_only_where_they_matter() {
        let whole = Account { r#in: 10, out: 6, filtered: 4, ..Account::default() };
        let ran = Snapshot { elapsed_s: 15.2, ..Snapshot::default() };
        assert_eq!(
            text(&closing(whole), &ran),
            "\
stage    part         in    out  filtered  set aside  in flight
collect  readings  1,200  1,200         0          0          0
view     hot          10      6         4          0          0
balanced: in = out + filtered + set aside + in flight on every edge
this run: 0 rows decoded, 0 delivered in 15s (0 rows/s); the table counts since the queue began
"
        );
        let late = Account { late: 1, out: 5, ..whole };
        assert!(text(&closing(late), &ran).contains("out + filtered + late + set aside"));
    }

    #[test]
    fn rows_that_wait_for_a_sink_are_named() {
        let mut waits = closing(Account { r#in: 10, out: 10, ..Account::default() });
        *waits.ledger.account(Stage::Sink, "store") =
            Account { r#in: 10, out: 7, in_flight: 3, ..Account::default() };
        let text = text(&waits, &Snapshot::default());
        assert!(text.contains("3 rows wait in the outbox of sink store"), "{text}");
    }

    #[test]
    fn a_ledger_that_lost_a_row_says_so() {
        let lost = closing(Account { r#in: 10, out: 9, ..Account::default() });
        assert!(text(&lost, &Snapshot::default()).contains("NOT BALANCED: view hot"));
        assert_eq!(json(&lost, &Snapshot::default())["balances"], false);
    }
}
