//! What was logged while a test ran.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Warnings of this thread since it began.
pub(super) struct Logged(PhantomData<*const ()>);

impl Logged {
    pub(super) fn begin() -> Self {
        // One for all threads: a subscriber of one thread misses events whose place in the code another thread, which
        // has none, came by first.
        static GLOBAL: Once = Once::new();
        GLOBAL.call_once(|| {
            tracing::subscriber::set_global_default(Warnings).unwrap();
            tracing::callsite::rebuild_interest_cache();
        });
        LINES.with_borrow_mut(Vec::clear);
        Self(PhantomData)
    }

    /// Asserts how many have this in them, of those since it was last asked.
    #[expect(clippy::unused_self, reason = "who asks has begun")]
    pub(super) fn has(&self, times: usize, text: &str, of: &str) {
        let lines = LINES.take();
        let found = lines.iter().filter(|line| line.contains(text)).count();
        assert!(found == times, "{of}: {found} times `{text}`, not {times}, in {lines:#?}");
    }
}

struct Warnings;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, of: &Metadata<'_>) -> bool {
        *of.level() <= tracing::Level::WARN && of.target().starts_with("millstream")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.with_borrow_mut(|lines| lines.push(line.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
