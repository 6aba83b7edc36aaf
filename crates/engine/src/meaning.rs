//! What state is made for: a view's own steps, and all that lies below it. State made for one thing cannot be gone on with for another.

use std::collections::BTreeMap;

use millstream_core::operator::{PlannedView, View};
use xxhash_rust::xxh3::Xxh3;

use crate::config::EventTime;

/// Stands between what a view does itself and the digest of what it reads.
const OVER: &str = "\nover ";

/// What every source and view means, with all below it, as they are planned one after the other.
#[derive(Default)]
pub(crate) struct Meanings(BTreeMap<String, u128>);

impl Meanings {
    /// A source with event time: which of its rows are late depends on that.
    pub(crate) fn source(&mut self, name: &str, time: &EventTime) -> String {
        let text = of_source(time);
        let mut digest = Xxh3::new();
        digest.update(text.as_bytes());
        self.0.insert(name.to_owned(), digest.digest128());
        text
    }

    /// The next view; what its state is made for, if it keeps any. `file` is the view as the file has it.
    pub(crate) fn view(&mut self, planned: &PlannedView, file: Option<&View>) -> Option<String> {
        let mut below = Xxh3::new();
        for input in &planned.inputs {
            let of_input = self.0.get(input).copied().unwrap_or_default();
            below.update(&of_input.to_le_bytes());
        }
        let below = below.digest128();
        let mut own = Xxh3::new();
        own.update(&below.to_le_bytes());
        if let Some(view) = file {
            own.update(&view.windows.allowed_lateness.as_micros().to_le_bytes());
            let ttl = view.windows.state_ttl.map(|ttl| ttl.as_micros());
            own.update(&ttl.unwrap_or_default().to_le_bytes());
            own.update(view.sql.as_bytes());
        }
        self.0.insert(planned.name.clone(), own.digest128());
        planned.state.as_ref().map(|state| format!("{state}{OVER}{below:032x}"))
    }
}

fn of_source(time: &EventTime) -> String {
    let EventTime { column, delay, ahead, idle: _ } = time;
    // That it was idle, and when, is in the queue: what the file says of that now changes nothing there.
    format!(
        "event time `{column}`, {} us ahead\n{} us late",
        ahead.0.as_micros(),
        delay.0.as_micros()
    )
}

/// Whether state made for `told` can be gone on with for `made`.
pub(crate) fn same(told: Option<&str>, made: &str) -> bool {
    let Some(told) = told else { return false };
    // Older versions said nothing of what lies below.
    told == made || made.strip_prefix(told).is_some_and(|rest| rest.starts_with(OVER))
}

/// Whether the event time of a source is made of the same rows, so that only how late they may come differs.
pub(crate) fn same_rows(told: Option<&str>, made: &str) -> bool {
    let rows = |text: &str| text.split_once('\n').map(|(rows, _)| rows.to_owned());
    told.is_some_and(|told| rows(told) == rows(made))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millstream_core::fields::Span;
    use millstream_core::operator::Planner as _;
    use millstream_core::operator::Table;
    use millstream_testkit::fakes::{Chain, Lines};

    use super::*;

    fn time(delay_s: u64, column: &str) -> EventTime {
        let span = |s| Span(Duration::from_secs(s));
        EventTime { column: column.into(), delay: span(delay_s), idle: None, ahead: span(3600) }
    }

    /// What the state of `w` is made for, over `v` over `a`.
    fn of(time: &EventTime, v: &str, w: &str) -> String {
        let views = [View::new("v", v), View::new("w", w)];
        let tables = [Table::source("a", Some(Lines::with_time().schema()))];
        let planned = Chain.plan(&tables, &views, &[]);
        let mut meanings = Meanings::default();
        meanings.source("a", time);
        let made = planned.views.iter().zip(&views).map(|(p, v)| meanings.view(p, Some(v)));
        made.last().flatten().unwrap()
    }

    #[test]
    fn state_is_made_for_all_that_lies_below() {
        let made = of(&time(5, "t"), "all of a", "tumble 10 of v");
        let idle = EventTime { idle: Some(Span(Duration::from_secs(1))), ..time(5, "t") };
        assert_eq!(of(&idle, "all of a", "tumble 10 of v"), made);
        for other in [
            of(&time(6, "t"), "all of a", "tumble 10 of v"),
            of(&time(5, "u"), "all of a", "tumble 10 of v"),
            of(&time(5, "t"), "odd of a", "tumble 10 of v"),
            of(&time(5, "t"), "all of a", "tumble 20 of v"),
        ] {
            assert!(!same(Some(&other), &made), "{other}");
        }
        assert!(same(Some(&made), &made) && !same(None, &made));
    }

    #[test]
    fn what_older_versions_said_is_enough() {
        let made = of(&time(5, "t"), "all of a", "tumble 10 of v");
        assert!(same(Some("tumble 10 of v"), &made));
        assert!(!same(Some("tumble 1"), &made) && !same(Some(""), "w"));
    }

    #[test]
    fn a_delay_alone_leaves_the_rows_as_they_are() {
        let told = of_source(&time(5, "t"));
        assert!(same_rows(Some(&told), &of_source(&time(6, "t"))));
        assert!(!same_rows(Some(&told), &of_source(&time(5, "u"))));
        assert!(!same_rows(None, &told));
    }
}
