//! Where a member of a group stands.

use millstream_core::record::Position;

/// Everything up to here is in the queue, of what this member was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// The member's name.
    pub(super) consumer: String,
    /// The last entry that was delivered to it as new.
    pub(super) last: String,
    /// The round of claims.
    pub(super) round: u64,
    /// The last entry of this round.
    pub(super) claimed: String,
}

/// Before all ids.
const ZERO: &str = "0-0";

impl At {
    pub(super) fn start(consumer: String) -> Self {
        Self { consumer, last: ZERO.into(), round: 0, claimed: ZERO.into() }
    }

    /// The name under which a round's entries are pending.
    pub(super) fn claimer(&self) -> String {
        format!("{}~{}", self.consumer, self.round % 2)
    }

    /// All of a round is acknowledged: the next is under the other name. One that brought nothing goes on.
    pub(super) fn end_round(&mut self) -> bool {
        let ends = self.claimed != ZERO;
        if ends {
            self.round += 1;
            ZERO.clone_into(&mut self.claimed);
        }
        ends
    }

    pub(super) fn position(&self) -> Position {
        let Self { consumer, last, round, claimed } = self;
        // The name comes last: it may hold spaces.
        Position(format!("{last} {round} {claimed} {consumer}").into())
    }

    pub(super) fn of(position: &Position) -> Option<Self> {
        let mut words = std::str::from_utf8(&position.0).ok()?.splitn(4, ' ');
        let (last, round, claimed) = (words.next()?, words.next()?, words.next()?);
        let round = round.parse().ok()?;
        let consumer = words.next()?.to_owned();
        Some(Self { consumer, last: last.to_owned(), round, claimed: claimed.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back() {
        let mut at = At::start("a name~1".into());
        assert_eq!(At::of(&at.position()), Some(at.clone()));
        at.last = "1700000000000-3".into();
        at.claimed = "17-0".into();
        assert!(at.end_round());
        assert!(!at.end_round());
        assert_eq!((at.round, at.claimer().as_str()), (1, "a name~1~1"));
        assert_eq!(At::of(&at.position()), Some(at));
        assert_eq!(At::of(&Position("1-0 x".into())), None);
    }
}
