//! What a run has to say of itself: counters, gauges and histograms, and troubles told once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use millstream_core::Error;
use millstream_core::clock::{Clock, Timestamp};
use millstream_core::ledger::Ledger;
use millstream_core::plugin::{Act, Report};
use millstream_core::queue::{Epoch, QueueStatus};

use crate::config::Secrets;
use crate::troubles::Troubles;

type Labels = Vec<(&'static str, String)>;

/// What a process does of its pipeline now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// It recovers and opens sinks.
    #[default]
    Opening,
    /// It processes, and collects unless it was told not to.
    Processing,
    /// It collects, unless it was told not to, and waits for its turn to process.
    StandingBy,
    /// It only collects.
    Collecting,
}

/// What kind of part a number is of; a label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A source.
    Source,
    /// A view.
    View,
    /// A sink.
    Sink,
    /// The queue.
    Queue,
    /// A lookup.
    Lookup,
    /// A reference table.
    Table,
}

impl Kind {
    /// Its word in metrics and texts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::View => "view",
            Self::Sink => "sink",
            Self::Queue => "queue",
            Self::Lookup => "lookup",
            Self::Table => "table",
        }
    }
}

/// The live numbers of one part. Counters are since the start of this run.
#[derive(Debug)]
pub struct PartStatus {
    kind: Kind,
    name: String,
    /// Records collected (sources), keys asked for (lookups), versions found (tables).
    pub records: Counter,
    /// Bytes collected (sources) .
    pub bytes: Counter,
    /// Rows decoded (sources), made (views), delivered (sinks).
    pub rows: Counter,
    /// Rows left out by the query (views).
    pub filtered: Counter,
    /// Records and rows set aside here.
    pub set_aside: Counter,
    /// Rows that came after event time had passed them (views).
    pub late: Counter,
    /// Keys whose columns became nulls, as no answer could be had or read (lookups).
    pub unanswered: Counter,
    /// Failed tries.
    pub errors: Counter,
    /// Bytes that wait in the outbox (sinks).
    pub outbox_bytes: Gauge,
    /// 1 while it works.
    pub up: Gauge,
    /// Bytes of state held in memory (views).
    pub state_bytes: Gauge,
    /// How long its characteristic act takes: a request (sources), a flush (sinks), an fsync (queue), a request (lookups).
    pub seconds: Histogram,
    troubles: Mutex<Troubles>,
    ended: AtomicBool,
    /// Event time so far, in microseconds; the least there is for none.
    watermark: AtomicI64,
    clock: Arc<dyn Clock>,
    last_trouble: AtomicI64,
    secrets: Arc<Mutex<Secrets>>,
}

impl PartStatus {
    /// Its kind and name.
    #[must_use]
    pub fn identity(&self) -> (Kind, &str) {
        (self.kind, &self.name)
    }

    /// What fails now: which split, and why.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, String> {
        let now = &self.troubles.lock().now;
        now.iter().map(|(what, trouble)| (what.clone(), trouble.text.clone())).collect()
    }

    /// Whether it has ended by itself.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// The event time up to which it is taken to be complete, if it has any.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        let at = Timestamp(self.watermark.load(Ordering::Relaxed));
        (at != Timestamp::BEGIN && at != Timestamp::END).then_some(at)
    }

    /// When the last failed try was.
    #[must_use]
    pub fn last_trouble(&self) -> Option<Timestamp> {
        let at = self.last_trouble.load(Ordering::Relaxed);
        (at != 0).then_some(Timestamp(at))
    }
}

impl Report for PartStatus {
    fn trouble(&self, what: &str, error: &Error) {
        self.errors.inc();
        self.last_trouble.store(self.clock.now().0, Ordering::Relaxed);
        let secrets = self.secrets.lock().clone();
        let (what, text) = (secrets.redact(what), secrets.redact(&error.line()).into_owned());
        self.up.set(0);
        if self.troubles.lock().begin(&what, text.clone(), self.clock.now()) {
            let fix = error.how_to_fix().map(|fix| secrets.redact(fix).into_owned());
            tracing::warn!(part = %format_args!("{} {}", self.kind.word(), self.name), split = %what, error = text, fix, "trouble");
        }
    }

    fn fine(&self, what: &str) {
        let mut troubles = self.troubles.lock();
        if troubles.now.is_empty() {
            return;
        }
        let what = self.secrets.lock().redact(what).into_owned();
        if troubles.now.remove(&what).is_some_and(|trouble| trouble.told) {
            tracing::info!(part = %format_args!("{} {}", self.kind.word(), self.name), split = %what, "works again");
        }
        if troubles.now.is_empty() {
            self.up.set(1);
        }
    }

    fn took(&self, _: Act, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }
}

/// The live numbers of a run. Cheap to share.
pub struct Status {
    clock: Arc<dyn Clock>,
    started: Timestamp,
    registry: Mutex<Registry>,
    families: Families,
    parts: Mutex<BTreeMap<(Kind, String), Arc<PartStatus>>>,
    /// Time of one step: decode and views of one slab.
    pub step_seconds: Histogram,
    /// From a block's arrival until its rows are flushed.
    pub end_to_end_seconds: Histogram,
    /// Frames appended and not yet processed.
    pub lag_frames: Gauge,
    /// Bytes in the queue.
    pub queue_bytes: Gauge,
    /// Epochs committed in this run.
    pub epochs: Counter,
    /// How long processing stands still to begin the seal of an epoch: lanes are told, changed state is copied.
    pub checkpoint_pause_seconds: Histogram,
    /// Bytes of state that checkpoints wrote.
    pub checkpoint_bytes: Counter,
    ledger: Mutex<(Epoch, Ledger)>,
    queue: Mutex<QueueStatus>,
    doing: Mutex<Doing>,
    stopped: AtomicBool,
    secrets: Arc<Mutex<Secrets>>,
}

#[derive(Default)]
struct Families {
    records: Family<Labels, Counter>,
    bytes: Family<Labels, Counter>,
    rows: Family<Labels, Counter>,
    filtered: Family<Labels, Counter>,
    set_aside: Family<Labels, Counter>,
    late: Family<Labels, Counter>,
    unanswered: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    outbox_bytes: Family<Labels, Gauge>,
    up: Family<Labels, Gauge>,
    state_bytes: Family<Labels, Gauge>,
    watermark: Family<Labels, Gauge<f64, AtomicU64>>,
}

/// From 50 µs, doubling, to about 26 s.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 20))
}

/// What is told of checkpoints: how long processing stands still for one, and the bytes of state they wrote.
fn register_checkpoints(r: &mut Registry) -> (Histogram, Counter) {
    // From 0.5 ms by a quarter to 1 s: pauses are held against a bound of some milliseconds.
    let pause = Histogram::new(exponential_buckets(0.000_5, 1.25, 35));
    let bytes = Counter::default();
    r.register_with_unit(
        "checkpoint_pause",
        "How long processing stands still to begin the seal of an epoch",
        Unit::Seconds,
        pause.clone(),
    );
    r.register_with_unit(
        "checkpoint",
        "Bytes of state that checkpoints wrote",
        Unit::Bytes,
        bytes.clone(),
    );
    (pause, bytes)
}

impl Status {
    /// Numbers at zero.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let mut r = Registry::with_prefix("millstream");
        let f = Families::default();
        r.register(
            "records",
            "Records collected (source), keys asked for (lookup) or versions found (table)",
            f.records.clone(),
        );
        r.register_with_unit("collected", "Bytes collected", Unit::Bytes, f.bytes.clone());
        r.register(
            "rows",
            "Rows decoded (source), made (view) or delivered (sink)",
            f.rows.clone(),
        );
        r.register("rows_filtered", "Rows left out by the query", f.filtered.clone());
        r.register("set_aside", "Records and rows kept in the dead letters", f.set_aside.clone());
        r.register("late", "Rows that came after event time had passed them", f.late.clone());
        r.register_with_unit(
            "watermark",
            "Event time up to which the part is taken to be complete, since 1970",
            Unit::Seconds,
            f.watermark.clone(),
        );
        r.register("unanswered", "Keys whose columns became nulls (lookup)", f.unanswered.clone());
        r.register("errors", "Failed tries", f.errors.clone());
        let bytes = [
            ("outbox", "Bytes that wait for a sink", &f.outbox_bytes),
            ("state", "Bytes of state that a view holds in memory", &f.state_bytes),
        ];
        for (name, help, family) in bytes {
            r.register_with_unit(name, help, Unit::Bytes, family.clone());
        }
        r.register("up", "1 while the part works", f.up.clone());
        let (step, end_to_end) = (buckets(), buckets());
        r.register_with_unit(
            "step",
            "Decode and views of one slab of frames",
            Unit::Seconds,
            step.clone(),
        );
        r.register_with_unit(
            "end_to_end",
            "From a block's arrival until its rows are flushed",
            Unit::Seconds,
            end_to_end.clone(),
        );
        let (lag, queue_bytes, epochs) = (Gauge::default(), Gauge::default(), Counter::default());
        r.register("lag_frames", "Frames appended and not yet processed", lag.clone());
        r.register_with_unit("queue", "Bytes in the queue", Unit::Bytes, queue_bytes.clone());
        r.register("epochs", "Epochs committed", epochs.clone());
        let (pause, checkpoint_bytes) = register_checkpoints(&mut r);
        Arc::new(Self {
            started: clock.now(),
            clock,
            registry: Mutex::new(r),
            families: f,
            parts: Mutex::default(),
            step_seconds: step,
            end_to_end_seconds: end_to_end,
            lag_frames: lag,
            queue_bytes,
            epochs,
            checkpoint_pause_seconds: pause,
            checkpoint_bytes,
            ledger: Mutex::default(),
            queue: Mutex::default(),
            doing: Mutex::new(Doing::Opening),
            stopped: AtomicBool::new(false),
            secrets: Arc::default(),
        })
    }

    /// Notes how far event time has come at a part.
    pub(crate) fn saw_watermark(&self, kind: Kind, name: &str, at: Timestamp) {
        let part = self.part(kind, name);
        part.watermark.store(at.0, Ordering::Relaxed);
        if let Some(at) = part.watermark() {
            let labels = vec![(kind.word(), name.to_owned())];
            let seconds = std::time::Duration::from_micros(at.0.unsigned_abs()).as_secs_f64();
            let seconds = if at.0 < 0 { -seconds } else { seconds };
            self.families.watermark.get_or_create_owned(&labels).set(seconds);
        }
    }

    /// Notes how much state a view holds.
    pub(crate) fn saw_state(&self, view: &str, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.part(Kind::View, view).state_bytes.set(bytes);
    }

    /// The numbers of a part, made on first use.
    #[must_use]
    pub fn part(&self, kind: Kind, name: &str) -> Arc<PartStatus> {
        let mut parts = self.parts.lock();
        if let Some(part) = parts.get(&(kind, name.to_owned())) {
            return part.clone();
        }
        let labels = vec![(kind.word(), name.to_owned())];
        let seconds = buckets();
        let (metric, help) = match kind {
            Kind::Source => ("request", "One request of a source"),
            Kind::View => ("view", "One batch through a view"),
            Kind::Sink => ("flush", "Prepare and flush of one epoch at a sink"),
            Kind::Queue => ("fsync", "Making appended bytes durable"),
            Kind::Lookup => ("lookup", "One request of a lookup"),
            Kind::Table => ("read", "One read of a table"),
        };
        self.registry
            .lock()
            .sub_registry_with_label((kind.word().into(), name.to_owned().into()))
            .register_with_unit(metric, help, Unit::Seconds, seconds.clone());
        let f = &self.families;
        // A clone shares its number with the family; kept here so that counting takes no lock.
        let part = Arc::new(PartStatus {
            kind,
            name: name.to_owned(),
            records: f.records.get_or_create_owned(&labels),
            bytes: f.bytes.get_or_create_owned(&labels),
            rows: f.rows.get_or_create_owned(&labels),
            filtered: f.filtered.get_or_create_owned(&labels),
            set_aside: f.set_aside.get_or_create_owned(&labels),
            late: f.late.get_or_create_owned(&labels),
            watermark: AtomicI64::new(Timestamp::BEGIN.0),
            unanswered: f.unanswered.get_or_create_owned(&labels),
            errors: f.errors.get_or_create_owned(&labels),
            outbox_bytes: f.outbox_bytes.get_or_create_owned(&labels),
            state_bytes: f.state_bytes.get_or_create_owned(&labels),
            up: f.up.get_or_create_owned(&labels),
            seconds,
            troubles: Mutex::default(),
            ended: AtomicBool::new(false),
            clock: self.clock.clone(),
            last_trouble: AtomicI64::new(0),
            secrets: self.secrets.clone(),
        });
        part.up.set(1);
        parts.insert((kind, name.to_owned()), part.clone());
        part
    }

    /// All parts so far, by kind and name.
    #[must_use]
    pub fn parts(&self) -> Vec<Arc<PartStatus>> {
        self.parts.lock().values().cloned().collect()
    }

    /// Hides these in all troubles from now on, those of parts made before included.
    pub fn hide(&self, secrets: Secrets) {
        *self.secrets.lock() = secrets;
    }

    /// Text without what is hidden.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.secrets.lock().redact(text).into_owned()
    }

    /// How long it has run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.now().since(self.started)
    }

    /// The accounts as of the last epoch, cumulative over the queue's life.
    #[must_use]
    pub fn ledger(&self) -> (Epoch, Ledger) {
        self.ledger.lock().clone()
    }

    /// The queue, as last seen.
    #[must_use]
    pub fn queue(&self) -> QueueStatus {
        self.queue.lock().clone()
    }

    /// Whether it is up: recovered, every sink opened or with an outbox before it.
    #[must_use]
    pub fn ready(&self) -> bool {
        *self.doing.lock() != Doing::Opening && !self.stopped.load(Ordering::Relaxed)
    }

    /// Whether it still runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    /// Everything in the text format of `OpenMetrics` 1.0.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        match prometheus_client::encoding::text::encode(&mut text, &self.registry.lock()) {
            Ok(()) => text,
            Err(fmt::Error) => String::new(),
        }
    }

    pub(crate) fn set_doing(&self, doing: Doing) {
        *self.doing.lock() = doing;
    }

    /// What the process does of the pipeline.
    #[must_use]
    pub fn doing(&self) -> Doing {
        *self.doing.lock()
    }

    pub(crate) fn set_stopped(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn saw_queue(&self, queue: QueueStatus, next: u64) {
        self.lag_frames.set(i64::try_from(queue.end.0.saturating_sub(next)).unwrap_or(i64::MAX));
        self.queue_bytes.set(i64::try_from(queue.bytes).unwrap_or(i64::MAX));
        *self.queue.lock() = queue;
    }

    pub(crate) fn saw_ledger(&self, epoch: Epoch, ledger: &Ledger) {
        *self.ledger.lock() = (epoch, ledger.clone());
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}
