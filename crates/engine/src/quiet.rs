//! Which splits of a source have had nothing to say for a while, counted in time spent waiting for them: a source that is not
//! asked, because the queue takes no more, is not idle.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_core::record::Name;

/// The silence of a source's splits.
pub(crate) struct Silence {
    idle: Duration,
    /// Time spent waiting so far.
    waited: Duration,
    /// How much of it had passed when each was heard last; `None` once it is known to be idle.
    heard: BTreeMap<Name, Option<Duration>>,
}

impl Silence {
    /// Splits that were heard before; if there is none, the source as a whole stands for them, without a name.
    pub(crate) fn new(idle: Duration, splits: impl Iterator<Item = Name>) -> Self {
        let mut heard: BTreeMap<Name, _> = splits.map(|s| (s, Some(Duration::ZERO))).collect();
        if heard.is_empty() {
            heard.insert("".into(), Some(Duration::ZERO));
        }
        Self { idle, waited: Duration::ZERO, heard }
    }

    /// How much longer to wait until the next one is idle.
    pub(crate) fn left(&self) -> Option<Duration> {
        let first = self.heard.values().flatten().min()?;
        Some((*first + self.idle).saturating_sub(self.waited))
    }

    /// So long was waited.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.waited += time;
    }

    /// A split had something to say, or has ended.
    pub(crate) fn hear(&mut self, split: &Name, ended: bool) {
        self.heard.remove("");
        if ended {
            self.heard.remove(split);
        } else {
            self.heard.insert(split.clone(), Some(self.waited));
        }
    }

    /// Splits that have become idle.
    pub(crate) fn due(&mut self) -> Vec<Name> {
        let (waited, idle) = (self.waited, self.idle);
        let due = self.heard.iter_mut().filter(|(_, h)| h.is_some_and(|h| waited - h >= idle));
        due.map(|(split, heard)| {
            *heard = None;
            split.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_split_is_idle_once_it_was_waited_for_long_enough() {
        let mut silence = Silence::new(5 * S, ["a".into(), "b".into()].into_iter());
        silence.wait(3 * S);
        silence.hear(&"b".into(), false);
        assert_eq!(silence.left(), Some(2 * S));
        assert_eq!(silence.due(), [] as [Name; 0]);
        silence.wait(2 * S);
        assert_eq!(silence.due(), [Name::from("a")]);
        assert_eq!(silence.due(), [] as [Name; 0], "it is told once");
        assert_eq!(silence.left(), Some(3 * S));
        silence.wait(3 * S);
        silence.hear(&"a".into(), false);
        assert_eq!(silence.due(), [Name::from("b")]);
        silence.hear(&"a".into(), true);
        assert_eq!(silence.left(), None, "who has ended is not idle");
    }

    #[test]
    fn a_source_without_splits_yet_is_idle_as_a_whole() {
        let mut silence = Silence::new(5 * S, std::iter::empty());
        silence.wait(5 * S);
        assert_eq!(silence.due(), [Name::from("")]);
        silence.hear(&"a".into(), false);
        silence.wait(5 * S);
        assert_eq!(silence.due(), [Name::from("a")]);
    }
}
