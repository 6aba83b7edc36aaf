//! Reads tables at the start, and again when they changed: each content that is new becomes a frame.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use millstream_core::codec::Columns;
use millstream_core::fields::Bytes as Size;
use millstream_core::plugin::Report as _;
use millstream_core::queue::Checkpoint;
use millstream_core::record::{Body, Frame, Name, Position, TABLES};
use millstream_core::reference::{Content, TableReader};
use millstream_core::role::Role;
use millstream_core::{Error, Remedy, Result};

use super::{STATE, find, key, payload};
use crate::collect::Ending;
use crate::config::TablePart;
use crate::seal::Shared;
use crate::status::{Kind, PartStatus};
use crate::tasks::Stopper;

/// One table, and what the queue has of it.
pub(crate) struct Keeper {
    name: String,
    source: Name,
    reader: Box<dyn TableReader>,
    declared: Option<Columns>,
    reload: Duration,
    bytes_max: u64,
    shared: Arc<Shared>,
    status: Arc<PartStatus>,
    known: Option<Known>,
    /// Another process may read it, where several share the queue.
    ours: bool,
    /// It has been read in this run.
    read: bool,
}

/// The last version in the queue, as its position tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    number: String,
    columns: Columns,
}

/// A content that the queue has not yet.
struct New {
    content: Content,
    bytes: bytes::Bytes,
    number: String,
}

/// Sees to it that the queue has a version of each table before anything is collected, so that rows find it.
///
/// # Errors
/// `Stop` when a table that was never read cannot be read.
pub(crate) async fn first(parts: Vec<TablePart>, shared: &Arc<Shared>) -> Result<Vec<Keeper>> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let positions = shared.queue.positions().await?;
    let latest = shared.queue.checkpoints().await?.pop().unwrap_or_default();
    let mut keepers: Vec<Keeper> =
        parts.into_iter().map(|part| Keeper::new(part, shared)).collect();
    for keeper in &mut keepers {
        keeper.known = positions.get(&keeper.source).and_then(|splits| known(splits.get("")?));
        let declared = keeper.declared.as_ref();
        keeper.known.take_if(|known| declared.is_some_and(|columns| *columns != known.columns));
    }
    let last =
        keepers.iter().filter_map(|k| Some((k.name.clone(), k.known.as_ref()?.key(&k.name))));
    let there = still_there(last.collect(), shared, &latest).await?;
    for keeper in &mut keepers {
        if !there.contains(&keeper.name) {
            keeper.known = None;
        }
        keeper.ours = shared.queue.take_role(&Role::Collect(keeper.source.clone())).await?;
        if keeper.known.is_none()
            && keeper.ours
            && let Some(new) = keeper.look().await.map_err(|e| keeper.never(e))?
        {
            keeper.append(new).await?;
        }
    }
    Ok(keepers)
}

/// The tables whose last version is in the last checkpoint, or of which one is behind it.
async fn still_there(
    last: Vec<(String, String)>,
    shared: &Shared,
    latest: &Checkpoint,
) -> Result<BTreeSet<String>> {
    let (mut there, mut unsure) = (BTreeSet::new(), BTreeSet::new());
    for (name, key) in last {
        let kept = latest.chunks.iter().any(|c| c.operator == STATE && c.key == key);
        if kept { &mut there } else { &mut unsure }.insert(name);
    }
    if !unsure.is_empty() {
        let upto = shared.queue.status().end;
        let found = find::first_between(&unsure, shared, (latest.next, upto)).await?;
        there.extend(found.iter().filter_map(super::name_of).map(str::to_owned));
    }
    Ok(there)
}

fn known(position: &Position) -> Option<Known> {
    serde_json::from_slice(&position.0).ok()
}

impl Known {
    /// The key of the version in a checkpoint.
    fn key(&self, table: &str) -> String {
        key(table, u128::from_str_radix(&self.number, 16).unwrap_or_default())
    }
}

impl Keeper {
    fn new(part: TablePart, shared: &Arc<Shared>) -> Self {
        Self {
            source: format!("{TABLES}{}", part.name).into(),
            status: shared.status.part(Kind::Table, &part.name),
            name: part.name,
            reader: part.reader,
            declared: part.columns,
            reload: part.reload.0,
            bytes_max: part.bytes_max.0,
            shared: shared.clone(),
            known: None,
            ours: false,
            read: false,
        }
    }

    /// Looks again and again, until the run stops.
    ///
    /// # Errors
    /// `Stop` from the queue.
    pub(crate) async fn run(mut self, stopper: &Stopper) -> Result<Ending> {
        loop {
            if !std::mem::take(&mut self.read) && self.is_ours().await? {
                match self.look().await {
                    Ok(Some(new)) => self.append(new).await?,
                    Ok(None) => {}
                    Err(e) => self.status.trouble("", &e),
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.reload) => {}
                () = stopper.asked() => break,
            }
        }
        let role = Role::Collect(self.source.clone());
        if let Err(e) = self.shared.queue.give_up_role(&role).await {
            // It falls free by itself.
            tracing::debug!(error = %e, %role, "cannot give up a role");
        }
        Ok(Ending::Stopped)
    }

    /// Whether this process is the one that reads it.
    async fn is_ours(&mut self) -> Result<bool> {
        let role = Role::Collect(self.source.clone());
        let ours = match self.shared.queue.take_role(&role).await {
            Ok(ours) => ours,
            Err(e) if e.remedy() == Remedy::Stop => return Err(e),
            Err(e) => {
                tracing::debug!(error = %e, "cannot ask for a table");
                false
            }
        };
        if ours && !std::mem::replace(&mut self.ours, ours) {
            // Another process had it: what it read last is what there is now.
            let positions = self.shared.queue.positions().await?;
            let now = positions.get(&self.source).and_then(|splits| known(splits.get("")?));
            self.known = now.or_else(|| self.known.take());
        }
        self.ours = ours;
        Ok(ours)
    }

    /// Reads it if it changed; what is new.
    async fn look(&mut self) -> Result<Option<New>> {
        let columns = self.declared.as_ref().or(self.known.as_ref().map(|k| &k.columns));
        let began = tokio::time::Instant::now();
        let read = self.reader.read(columns, self.bytes_max).await;
        self.read = true;
        let place = format!("tables.{}", self.name);
        let Some(content) = read.map_err(|e| placed(e, &place))? else { return Ok(None) };
        let bytes = payload::write(&content)?;
        if bytes.len() as u64 > self.bytes_max {
            let (is, most) = (Size(bytes.len() as u64), Size(self.bytes_max));
            return Err(Error::stop(format!("its rows take {is}, and {most} is the most"))
                .at(place)
                .fix("raise `bytes_max` of the table: each version is kept in memory and in the queue"));
        }
        self.status.seconds.observe(began.elapsed().as_secs_f64());
        let number = format!("{:032x}", payload::number(&bytes));
        self.status.fine("");
        if self.known.as_ref().is_some_and(|known| known.number == number) {
            return Ok(None);
        }
        Ok(Some(New { content, bytes, number }))
    }

    async fn append(&mut self, new: New) -> Result<()> {
        let New { content, bytes, number } = new;
        let (rows, length) = (content.rows.num_rows(), bytes.len());
        let known = Known { number, columns: content.columns };
        let position = serde_json::to_vec(&known)
            .map_err(|e| Error::stop("cannot write down which columns a table has").because(e))?;
        let frames = [Frame {
            source: self.source.clone(),
            split: "".into(),
            arrival: self.shared.clock.now(),
            position: Some(Position(position.into())),
            body: Body::Table(bytes),
        }];
        let shared = &self.shared;
        let range = shared.retry("append", || shared.queue.append(&frames)).await?;
        tracing::info!(
            table = self.name,
            rows,
            version = known.number,
            offset = range.start.0,
            "a new version of a table"
        );
        self.status.bytes.inc_by(length as u64);
        self.status.records.inc();
        self.known = Some(known);
        Ok(())
    }

    /// The error of a table that cannot be read for the first time.
    fn never(&self, error: Error) -> Error {
        let fix = error.how_to_fix().map(str::to_owned);
        let told = Error::stop(format!("the table `{}` cannot be read", self.name))
            .at(format!("tables.{}", self.name))
            .because(error);
        match fix {
            Some(fix) => told.fix(fix),
            None => told,
        }
    }
}

fn placed(error: Error, place: &str) -> Error {
    match error.place() {
        Some(_) => error,
        None => error.at(place),
    }
}
