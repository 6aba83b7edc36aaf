//! Accounts of records and rows, so that nothing disappears unseen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The account of one edge, for one kind of thing (records or rows).
///
/// It balances when `in = out + filtered + late + set_aside + expired + absorbed - made + in_flight`.
/// The part that holds things back counts `in_flight` by itself, so the sum can fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Came in.
    pub r#in: u64,
    /// Went on.
    pub out: u64,
    /// Left out by the query, as asked.
    pub filtered: u64,
    /// Came after its window had closed.
    pub late: u64,
    /// Kept whole in the dead letters.
    pub set_aside: u64,
    /// Fell to a named bound of age or size.
    pub expired: u64,
    /// Went into an operator's state or was merged into other rows.
    pub absorbed: u64,
    /// Made by an operator beyond what came in (UNNEST, say).
    pub made: u64,
    /// Taken and not yet accounted for in any other way.
    pub in_flight: u64,
}

impl Account {
    /// Whether nothing disappeared and nothing appeared.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.r#in + self.made
            == self.out
                + self.filtered
                + self.late
                + self.set_aside
                + self.expired
                + self.absorbed
                + self.in_flight
    }

    /// Adds another account of the same edge.
    pub fn add(&mut self, other: &Self) {
        self.r#in += other.r#in;
        self.out += other.out;
        self.filtered += other.filtered;
        self.late += other.late;
        self.set_aside += other.set_aside;
        self.expired += other.expired;
        self.absorbed += other.absorbed;
        self.made += other.made;
        self.in_flight += other.in_flight;
    }
}

/// The kind of part an edge leads through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Source to queue: records.
    Collect,
    /// Queue to decoder: records in, records out or set aside.
    Records,
    /// Decoder: rows found, decoded, set aside.
    Decode,
    /// A view: rows.
    View,
    /// A sink: rows.
    Sink,
}

/// An edge's name: its stage and the part at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// What kind of part.
    pub stage: Stage,
    /// Which one, as the pipeline file names it.
    pub part: String,
}

/// Accounts by edge, cumulative over the queue's life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger(pub BTreeMap<Edge, Account>);

impl Ledger {
    /// The account of an edge, made on first use.
    pub fn account(&mut self, stage: Stage, part: &str) -> &mut Account {
        self.0.entry(Edge { stage, part: part.to_owned() }).or_default()
    }

    /// Edges whose accounts do not balance.
    pub fn unbalanced(&self) -> impl Iterator<Item = (&Edge, &Account)> {
        self.0.iter().filter(|(_, a)| !a.balances())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_loses_a_row_does_not_balance() {
        let mut ledger = Ledger::default();
        *ledger.account(Stage::View, "hot") =
            Account { r#in: 10, out: 6, filtered: 4, ..Account::default() };
        assert_eq!(ledger.unbalanced().count(), 0);
        ledger.account(Stage::View, "hot").out = 5;
        assert_eq!(ledger.unbalanced().count(), 1);
    }
}
