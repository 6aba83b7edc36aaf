//! The live numbers at one moment: for the status line, `/status` and `millstream status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use millstream_core::ledger::Ledger;

use crate::status::{Doing, Kind, PartStatus, Status};

/// What a run has come to. Counters are since it began, the ledger is over the queue's life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// How long it has run, in seconds.
    pub elapsed_s: f64,
    /// Whether it is recovered and every sink is open or has an outbox before it.
    pub ready: bool,
    /// What the process does of the pipeline.
    pub doing: Doing,
    /// The last epoch committed.
    pub epoch: u64,
    /// Frames appended and not yet processed.
    pub lag_frames: u64,
    /// Bytes in the queue.
    pub queue_bytes: u64,
    /// The bound on those bytes, if there is one.
    pub queue_bytes_max: Option<u64>,
    /// Each part that has numbers.
    pub parts: Vec<PartSnapshot>,
    /// Accounts as of the last epoch, by `stage part`.
    pub ledger: Vec<EdgeSnapshot>,
}

/// The numbers of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSnapshot {
    /// `source`, `view`, `sink`, `queue` or `lookup`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Records collected (sources), keys asked for (lookups).
    pub records: u64,
    /// Bytes collected (sources).
    pub bytes: u64,
    /// Rows decoded (sources), made (views), delivered (sinks).
    pub rows: u64,
    /// Rows left out by the query (views).
    pub filtered: u64,
    /// Records and rows set aside here.
    pub set_aside: u64,
    /// Rows that came after event time had passed them (views).
    #[serde(default)]
    pub late: u64,
    /// Keys whose columns became nulls, as no answer could be had or read (lookups).
    #[serde(default)]
    pub unanswered: u64,
    /// Event time up to which it is taken to be complete, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_us: Option<i64>,
    /// Failed tries.
    pub errors: u64,
    /// Bytes that wait in the outbox (sinks).
    pub outbox_bytes: u64,
    /// Bytes of state held in memory (views).
    #[serde(default)]
    pub state_bytes: u64,
    /// Whether it has ended by itself.
    pub ended: bool,
    /// What fails now: which split (empty for the whole part), and why.
    pub troubles: BTreeMap<String, String>,
}

/// The account of one edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeSnapshot {
    /// What kind of edge it is.
    pub stage: millstream_core::ledger::Stage,
    /// The part at its end.
    pub part: String,
    /// Its numbers.
    pub account: millstream_core::ledger::Account,
    /// Whether nothing disappeared on it.
    pub balances: bool,
}

impl Status {
    /// The numbers at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (epoch, ledger) = self.ledger();
        let queue = self.queue();
        Snapshot {
            elapsed_s: self.elapsed().as_secs_f64(),
            ready: self.ready(),
            doing: self.doing(),
            epoch: epoch.0,
            lag_frames: u64::try_from(self.lag_frames.get()).unwrap_or(0),
            queue_bytes: queue.bytes,
            queue_bytes_max: queue.bytes_max,
            parts: self.parts().iter().map(|p| PartSnapshot::of(p)).collect(),
            ledger: edges(&ledger),
        }
    }
}

impl Snapshot {
    /// The parts of one kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &PartSnapshot> {
        self.parts.iter().filter(move |p| p.kind == kind.word())
    }
}

impl PartSnapshot {
    fn of(part: &PartStatus) -> Self {
        let (kind, name) = part.identity();
        Self {
            kind: kind.word().to_owned(),
            name: name.to_owned(),
            records: part.records.get(),
            bytes: part.bytes.get(),
            rows: part.rows.get(),
            filtered: part.filtered.get(),
            set_aside: part.set_aside.get(),
            late: part.late.get(),
            unanswered: part.unanswered.get(),
            watermark_us: part.watermark().map(|at| at.0),
            errors: part.errors.get(),
            outbox_bytes: u64::try_from(part.outbox_bytes.get()).unwrap_or(0),
            state_bytes: u64::try_from(part.state_bytes.get()).unwrap_or(0),
            ended: part.ended(),
            troubles: part.troubles(),
        }
    }
}

/// A ledger as a list, in the order of the stages.
#[must_use]
pub fn edges(ledger: &Ledger) -> Vec<EdgeSnapshot> {
    ledger
        .0
        .iter()
        .map(|(edge, account)| EdgeSnapshot {
            stage: edge.stage,
            part: edge.part.clone(),
            account: *account,
            balances: account.balances(),
        })
        .collect()
}
