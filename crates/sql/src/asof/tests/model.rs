//! What the operator means.

use millstream_core::clock::Timestamp;

use super::{Case, Keyed, One, Pair};

pub(super) struct Model {
    case: Case,
    left: Vec<One>,
    right: Vec<One>,
    pub late: u64,
    pub refused: u64,
    pub absorbed: u64,
}

impl Model {
    pub(super) fn new(case: Case) -> Self {
        Self { case, left: vec![], right: vec![], late: 0, refused: 0, absorbed: 0 }
    }

    pub(super) fn take(&mut self, input: usize, one: &One) {
        let (lag, side) = match input {
            0 => (self.case.bounds.lags.0, &mut self.left),
            _ => (self.case.bounds.lags.1, &mut self.right),
        };
        let Some(time) = one.time else {
            self.refused += 1;
            return;
        };
        if time + lag < one.mark {
            self.late += 1;
            return;
        }
        self.absorbed += 1;
        side.push(one.clone());
    }

    pub(super) fn due(&mut self, mark: Timestamp) -> Vec<Pair> {
        let Case { bounds, inner, whole_from, .. } = self.case;
        // No row that comes later may be before, nor may a right one be the latest.
        let hold = bounds.lags.0.max(bounds.lags.1 - bounds.least);
        let goes = |r: &One| mark == Timestamp::END || r.time.unwrap() + hold < mark.0;
        let (mut due, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.left).into_iter().partition(goes);
        self.left = stay;
        due.sort_by_key(|r| r.time);
        let mut pairs = vec![];
        for left in due {
            let time = left.time.unwrap();
            let fits = |r: &&One| {
                let apart = time - r.time.unwrap();
                self.equal(&left, r) && apart >= bounds.least && apart <= bounds.most
            };
            // Of equal ones the last is the greatest.
            let right = self.right.iter().filter(fits).max_by_key(|r| r.time);
            let whole = right.is_some_and(|r| r.time.unwrap() >= whole_from)
                || whole_from == i64::MIN
                || time - bounds.most >= whole_from;
            if whole && (right.is_some() || !inner) {
                pairs.push((left.id, right.map(|r| r.id)));
            }
        }
        if mark == Timestamp::END {
            self.right.clear();
        }
        pairs
    }

    fn equal(&self, a: &One, b: &One) -> bool {
        let number = a.number.is_some() && a.number == b.number;
        let text = a.text.is_some() && a.text == b.text;
        match self.case.keys {
            Keyed::Nothing => true,
            Keyed::Number => number,
            Keyed::Text => text,
            Keyed::Both => number && text,
        }
    }
}
