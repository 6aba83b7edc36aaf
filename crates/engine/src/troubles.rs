//! What fails in a part, told once and not again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_core::clock::Timestamp;

/// What fails, and what was said of it.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    pub(crate) now: BTreeMap<String, Trouble>,
    /// When each was last told, for as long as it is not told again.
    told: BTreeMap<String, Timestamp>,
}

#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) text: String,
    pub(crate) told: bool,
}

/// What fails at every other try is told once in this time.
const QUIET: Duration = Duration::from_secs(60);

impl Troubles {
    /// Keeps a trouble, and says whether to tell it: once when it begins, and not when the one before of the same
    /// place was told just now; then when it has lasted. All others are only counted.
    pub(crate) fn begin(&mut self, what: &str, text: String, now: Timestamp) -> bool {
        self.told.retain(|_, at| now.since(*at) < QUIET);
        let before = self.now.get(what).is_some_and(|trouble| trouble.told);
        let tell = !before && !self.told.contains_key(what);
        if tell {
            self.told.insert(what.to_owned(), now);
        }
        self.now.insert(what.to_owned(), Trouble { text, told: before || tell });
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_at_every_other_try_is_told_once_a_minute_and_what_lasts_is_told() {
        let mut troubles = Troubles::default();
        let mut told = Vec::new();
        for second in 0..200 {
            let now = Timestamp(second * 1_000_000);
            if second % 2 == 0 && troubles.begin("a", "429".into(), now) {
                told.push(second);
            }
            if second % 2 == 1 {
                troubles.now.remove("a");
            }
        }
        assert_eq!(told, [0, 60, 120, 180]);
        // Down for good soon after it was told and worked again: not silent for ever, and told once.
        let lasting =
            (200..400).filter(|s| troubles.begin("a", "503".into(), Timestamp(s * 1_000_000)));
        assert_eq!(lasting.collect::<Vec<_>>(), [240]);
        assert!(troubles.begin(
            "b",
            "another place is told at once".into(),
            Timestamp(400_000_000)
        ));
    }
}
