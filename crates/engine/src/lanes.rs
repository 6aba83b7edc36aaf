//! All lanes of a run: how they are opened, fed, sealed and closed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use millstream_core::codec::Rows;
use millstream_core::ledger::{Ledger, Stage};
use millstream_core::queue::{Checkpoint, Epoch, Mark};
use millstream_core::record::Offset;
use millstream_core::sink::{Held, Sink};
use millstream_core::{Error, Remedy, Result};

use crate::back_off::BackOff;
use crate::deliver::{Item, LANE_ITEMS, Lane, News, Start};
use crate::digest::Tally;
use crate::line::Line;
use crate::outbox::{self, Outbox};
use crate::process::rendezvous;
use crate::recover::SinkStand;
use crate::seal::{Book, Rendezvous, Shared};
use crate::status::{Kind, Status};
use crate::tasks::panicked;

/// A sink before its lane runs.
pub(crate) struct Waiting {
    pub(crate) name: String,
    pub(crate) sink: Box<dyn Sink>,
}

/// A sink that was opened, or tried to be.
pub(crate) struct Opened {
    index: usize,
    name: String,
    schema: SchemaRef,
    sink: Box<dyn Sink>,
    outbox: Arc<Outbox>,
    held: Option<Held>,
    trouble: Option<Error>,
    pub(crate) stand: SinkStand,
}

struct Running {
    name: String,
    items: mpsc::Sender<Item>,
    outbox: Arc<Outbox>,
    tally: Tally,
    untracked: bool,
    /// While epochs are repeated: rows of later epochs only.
    after: Epoch,
}

/// The lanes of all sinks.
pub(crate) struct Lanes {
    /// The lanes' tasks: they end with this.
    tasks: JoinSet<()>,
    running: BTreeMap<usize, Running>,
    /// Sinks whose columns are not known yet.
    waiting: BTreeMap<usize, Waiting>,
    news: mpsc::Sender<News>,
    outbox_bytes_max: u64,
    resume: BTreeSet<String>,
}

impl Lanes {
    pub(crate) fn new(
        sinks: Vec<Waiting>,
        news: mpsc::Sender<News>,
        outbox_bytes_max: u64,
        resume: BTreeSet<String>,
    ) -> Self {
        Self {
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            waiting: sinks.into_iter().enumerate().collect(),
            news,
            outbox_bytes_max,
            resume,
        }
    }

    /// Sinks that are not open, and whose columns are known.
    pub(crate) fn ready(&self, line: &Line) -> Vec<(usize, SchemaRef)> {
        line.sinks()
            .enumerate()
            .filter_map(|(i, (_, schema))| schema.map(|s| (i, s.clone())))
            .filter(|(i, _)| self.waiting.contains_key(i))
            .collect()
    }

    /// Opens sinks.
    ///
    /// # Errors
    /// `Stop` from a sink that refuses to be opened.
    pub(crate) async fn open(
        &mut self,
        ready: Vec<(usize, SchemaRef)>,
        shared: &Shared,
    ) -> Result<Vec<Opened>> {
        let mut opened = Vec::new();
        for (index, schema) in ready {
            if let Some(sink) = self.waiting.remove(&index) {
                opened.push(self.open_one(index, schema, sink, shared).await?);
            }
        }
        Ok(opened)
    }

    async fn open_one(
        &mut self,
        index: usize,
        schema: SchemaRef,
        sink: Waiting,
        shared: &Shared,
    ) -> Result<Opened> {
        let Waiting { name, mut sink } = sink;
        let outbox = Outbox::new(shared.queue.side(&outbox::stream_name(&name))?);
        let resume = self.resume.contains(&name);
        let opening = async {
            match sink.open(schema.clone()).await {
                Ok(Held::Upto(_)) if resume => {}
                Err(e) if resume && e.is_mended_by_forgetting() => {}
                other => return other,
            }
            sink.forget().await?;
            sink.open(schema.clone()).await
        };
        let (held, trouble) = match opening.await {
            Ok(held) => (Some(held), None),
            Err(e) if e.remedy() == Remedy::Stop => return Err(e.at(format!("sinks.{name}"))),
            Err(e) => (None, Some(e)),
        };
        let stand = SinkStand {
            name: name.clone(),
            held,
            outbox: outbox::last_epoch(outbox.stream.as_ref()).await?,
            resume,
        };
        Ok(Opened { index, name, schema, sink, outbox, held, trouble, stand })
    }

    /// Starts the lane of an opened sink.
    pub(crate) fn start(&mut self, opened: Opened, after: Epoch, book: &mut Book, shared: &Shared) {
        let Opened { index, name, schema, sink, outbox, held, trouble, .. } = opened;
        let status = shared.status.part(Kind::Sink, &name);
        let (items, lane_items) = mpsc::channel(LANE_ITEMS);
        let lane = Lane {
            name: name.clone(),
            schema,
            identity: shared.queue.identity(),
            queue: shared.queue.clone(),
            outbox: outbox.clone(),
            dead: shared.dead.clone(),
            outbox_bytes_max: self.outbox_bytes_max,
            committed: shared.committed.subscribe(),
            ending: shared.ending.subscribe(),
            status,
            clock: shared.clock.clone(),
            back_off: BackOff::new(&name, shared.retry_max),
            news: self.news.clone(),
        };
        let start = match trouble {
            Some(e) => Start::Down(sink, e),
            None if outbox.is_empty() => Start::Open(sink),
            None => Start::Down(sink, Error::retry("rows wait in the outbox")),
        };
        let (told, sink) = (self.news.clone(), name.clone());
        self.tasks.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(lane.run(start, lane_items)).catch_unwind().await {
                let error = panicked(&format!("sinks.{sink}"), panic.as_ref());
                drop(told.send(News::Broken(sink, error)).await);
            }
        });
        let untracked = matches!(held, None | Some(Held::Untracked));
        book.outboxes.insert(outbox::stream_name(&name), outbox.clone());
        self.running.insert(
            index,
            Running { name, items, outbox, tally: Tally::default(), untracked, after },
        );
    }

    /// Opens sinks whose columns have just become known.
    ///
    /// # Errors
    /// As [`Lanes::open`], and when such a sink holds rows that this queue knows nothing of.
    pub(crate) async fn open_missing(
        &mut self,
        ready: Vec<(usize, SchemaRef)>,
        latest: Epoch,
        shared: &Shared,
        book: Option<&mut Book>,
    ) -> Result<()> {
        let mut spare = Book::default();
        let book = book.unwrap_or(&mut spare);
        for opened in self.open(ready, shared).await? {
            if let Some(Held::Upto(mark)) = opened.held
                && ((mark.log, mark.incarnation) != shared.queue.identity() || mark.epoch > latest)
                && shared.queue.durable()
            {
                return Err(Error::stop(format!(
                    "sink `{}` holds rows that this queue does not know: epoch {} of queue {}, this is epoch {latest} of queue {}",
                    opened.name, mark.epoch, mark.log, shared.queue.identity().0
                ))
                .fix(format!(
                    "run once with `--resume {}` to keep them and go on, or use a fresh target",
                    opened.name
                )));
            }
            self.start(opened, Epoch(0), book, shared);
        }
        Ok(())
    }

    /// Side streams of lanes that were started while the book was away.
    pub(crate) fn add_sides(&self, book: &mut Book) {
        for lane in self.running.values() {
            book.outboxes
                .entry(outbox::stream_name(&lane.name))
                .or_insert_with(|| lane.outbox.clone());
        }
    }

    /// Books rows for a sink and gives the way there.
    pub(crate) fn way(&mut self, sink: usize, rows: &Rows) -> Result<Way> {
        let Some(lane) = self.running.get_mut(&sink) else {
            return Err(Error::stop(format!("rows for sink number {sink}, which is not open")));
        };
        lane.tally.add(rows);
        Ok(lane.way())
    }

    /// Whether a sink lacks a committed epoch.
    pub(crate) fn lacks(&self, sink: usize, epoch: Epoch) -> bool {
        self.running.get(&sink).is_some_and(|lane| epoch > lane.after)
    }

    /// The end of an epoch for every lane that has rows of it, and where it has to be told.
    pub(crate) fn seal(&mut self, mark: Mark, from: Offset) -> (Vec<(Way, Item)>, Vec<Rendezvous>) {
        let offsets: Range<Offset> = from..mark.next;
        let lanes = self.running.values_mut().filter(|l| !l.tally.is_empty());
        lanes
            .map(|lane| {
                let sent = lane.tally.take(mark.epoch);
                let (item, meeting) = rendezvous(&lane.name, mark, sent, offsets.clone());
                ((lane.way(), item), meeting)
            })
            .unzip()
    }

    /// Whether a sink that keeps no track is among those that are sealed.
    pub(crate) fn untracked(&self, sealed: &[Rendezvous]) -> bool {
        self.running
            .values()
            .any(|lane| lane.untracked && sealed.iter().any(|s| s.sink == lane.name))
    }

    /// Sinks whose rows depend on lookups, and that lack an epoch in which they were sent rows the first time and
    /// none now, each with the last epoch that it holds.
    pub(crate) fn silent(
        &self,
        checkpoint: &Checkpoint,
        sealed: &[Rendezvous],
        live: &BTreeMap<String, BTreeSet<String>>,
    ) -> Vec<(String, Epoch)> {
        let epoch = checkpoint.epoch;
        let silent = self.running.values().filter(|lane| {
            live.contains_key(&lane.name)
                && epoch > lane.after
                && checkpoint.sent.get(&lane.name).is_some_and(|sent| sent.epoch == epoch)
                && !sealed.iter().any(|s| s.sink == lane.name)
        });
        silent.map(|lane| (lane.name.clone(), lane.after)).collect()
    }

    /// Whether nothing waits for any sink.
    pub(crate) fn outboxes_empty(&self) -> bool {
        self.running.values().all(|l| l.outbox.is_settled())
    }

    /// Whether nothing waits for any sink that was there when it was tried a last time.
    pub(crate) fn outboxes_done(&self) -> bool {
        self.running.values().all(|l| l.outbox.is_done())
    }

    /// Counts records and rows for people to watch.
    pub(crate) fn count(&self, ledger: &Ledger, took: &[(String, Duration)], status: &Status) {
        for (edge, account) in &ledger.0 {
            let kind = match edge.stage {
                Stage::Collect | Stage::Records | Stage::Decode => Kind::Source,
                Stage::View => Kind::View,
                Stage::Sink => Kind::Sink,
            };
            let part = status.part(kind, &edge.part);
            if edge.stage != Stage::Records {
                part.rows.inc_by(account.out);
            }
            part.filtered.inc_by(account.filtered);
            part.set_aside.inc_by(account.set_aside);
            part.late.inc_by(account.late);
        }
        for (view, time) in took {
            status.part(Kind::View, view).seconds.observe(time.as_secs_f64());
        }
    }

    /// Lets every sink finish what it has open, but for those that were given rows of an epoch which is not sealed.
    ///
    /// # Errors
    /// The first sink that could not; what it holds is safe all the same.
    pub(crate) async fn close(&mut self, last: Epoch) -> Result<()> {
        let mut first = Ok(());
        for lane in self.running.values().filter(|l| l.tally.is_empty()) {
            let (tell, told) = oneshot::channel();
            let closed = match lane.items.send(Item::Close(last, tell)).await {
                Ok(()) => told.await.unwrap_or_else(|_| Err(gone(&lane.name))),
                Err(_) => Err(gone(&lane.name)),
            };
            if let Err(e) = closed {
                tracing::warn!(sink = lane.name, error = %e, "sink did not close well");
                if first.is_ok() {
                    first = Err(e.at(format!("sinks.{}", lane.name)));
                }
            }
        }
        self.running.clear();
        first
    }
}

/// The way to a lane.
pub(crate) struct Way {
    sink: String,
    items: mpsc::Sender<Item>,
}

impl Way {
    /// Sends an item; waits while the lane is full. Cancel-safe up to the point where it is sent.
    pub(crate) async fn room(&self) -> Result<mpsc::Permit<'_, Item>> {
        self.items.reserve().await.map_err(|_| gone(&self.sink))
    }
}

impl Running {
    fn way(&self) -> Way {
        Way { sink: self.name.clone(), items: self.items.clone() }
    }
}

fn gone(sink: &str) -> Error {
    Error::stop(format!("the lane of sink `{sink}` ended by a panic"))
        .fix("this is a bug in Millstream or in the sink: nothing is lost, start again; please report the text above")
}
