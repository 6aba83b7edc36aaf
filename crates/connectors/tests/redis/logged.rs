//! What was logged while a test ran.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

/// Warnings of this thread, as long as it lives.
pub(super) struct Logged {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Logged {
    pub(super) fn begin() -> Self {
        let lines = Arc::default();
        let guard = tracing::subscriber::set_default(Warnings(Arc::clone(&lines)));
        Self { lines, _guard: guard }
    }

    /// How many have this in them; all are forgotten.
    pub(super) fn take(&self, text: &str) -> usize {
        let lines = std::mem::take(&mut *self.lines.lock());
        let found = lines.iter().filter(|line| line.contains(text)).count();
        // Shown where a test fails.
        println!("{found} times `{text}` in {lines:#?}");
        found
    }
}

struct Warnings(Arc<Mutex<Vec<String>>>);

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
        self.0.lock().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
