//! Columns that were not declared: found out from a source's first rows and written down before any
//! step that uses them.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::codec::{Columns, Decoded, RefusedRecord};
use millstream_core::operator::{Chunks, ViewError};
use millstream_core::queue::Slab;
use millstream_core::record::{Block, Body, Frame, Offset};
use millstream_core::{Error, Result};

use crate::aside::remember;
use crate::line::view_errors;
use crate::process::Processor;

/// How much of the queue is looked at in one go.
const LOOK_BYTES: usize = 1 << 20;

/// A frame that waits for columns.
pub(crate) struct Wait {
    /// The frame.
    frame: Offset,
    /// Sources whose columns are missing.
    missing: BTreeSet<String>,
    /// Their blocks so far.
    blocks: BTreeMap<String, Vec<Block>>,
    /// Frames below this were looked at.
    pub(crate) at: Offset,
    told: bool,
}

impl Wait {
    fn sources(&self) -> String {
        self.missing.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ")
    }

    /// What a person should know when the run ends.
    pub(crate) fn text(&self) -> String {
        format!(
            "rows from offset {} on wait until the columns of {} are known: declare `columns` to go on without",
            self.frame,
            self.sources()
        )
    }
}

impl Processor {
    /// Whether everything is known that a frame of this source needs. Looks ahead in the queue for the
    /// first rows of sources whose columns are missing, and writes down what it finds.
    pub(crate) async fn pinned(&mut self, offset: Offset, source: &str) -> Result<bool> {
        let missing = self.line.missing_for(source);
        if missing.is_empty() {
            return Ok(true);
        }
        let mut wait = match self.pinning.take() {
            Some(wait) if wait.frame == offset => wait,
            _ => Wait { frame: offset, missing, blocks: BTreeMap::new(), at: offset, told: false },
        };
        while !wait.missing.is_empty() {
            let slab = self.shared.queue.read(wait.at, LOOK_BYTES).await?;
            if slab.frames.is_empty() {
                break;
            }
            self.look(&mut wait, &slab).await?;
        }
        // Blocks of this source that hold no row at all can go on without.
        let mut others = wait.missing.clone();
        others.remove(source);
        if others.is_empty() {
            return Ok(true);
        }
        if !std::mem::replace(&mut wait.told, true) {
            tracing::warn!(
                waiting_for = wait.sources(),
                "rows wait until the columns of these sources are known; declare `columns` to go on without"
            );
        }
        self.pinning = Some(wait);
        Ok(false)
    }

    /// Looks at some frames for rows of the sources that are missing.
    async fn look(&mut self, wait: &mut Wait, slab: &Slab) -> Result<()> {
        wait.at = slab.next.max(wait.at);
        for (_, frame) in &slab.frames {
            if !wait.missing.contains(frame.source.as_ref()) {
                continue;
            }
            match &frame.body {
                Body::Block(b) => {
                    wait.blocks.entry(frame.source.to_string()).or_default().push(b.clone());
                }
                Body::Pin(json) => {
                    self.see_pin(&frame.source, json)?;
                    wait.missing.remove(frame.source.as_ref());
                }
                Body::Idle | Body::Ended | Body::Table(_) => {}
            }
        }
        for name in wait.missing.clone() {
            let seen = wait.blocks.get(&name).map_or(&[] as &[Block], Vec::as_slice);
            if let Some(columns) = self.line.infer(&name, seen)? {
                self.write_pin(&name, &columns).await?;
                wait.missing.remove(&name);
            }
        }
        Ok(())
    }

    /// A pin is durable before the first step that uses it.
    async fn write_pin(&mut self, source: &str, columns: &Columns) -> Result<()> {
        let json = serde_json::to_vec(columns)
            .map_err(|e| Error::stop("cannot write columns down").because(e))?;
        let frames = [Frame {
            source: source.into(),
            split: "".into(),
            arrival: self.shared.clock.now(),
            position: None,
            body: Body::Pin(json.into()),
        }];
        let range = self.shared.retry("append", || self.shared.queue.append(&frames)).await?;
        self.own = range.end;
        self.set_pin(source, columns)?;
        let ready = self.lanes.ready(&self.line);
        self.lanes.open_missing(ready, self.epoch, &self.shared, self.book.as_mut()).await
    }

    /// Columns that an earlier run pinned.
    pub(crate) fn see_pin(&mut self, source: &str, json: &[u8]) -> Result<()> {
        if self.line.unpinned().contains(source) {
            let columns = parse_pin(source, json)?;
            self.set_pin(source, &columns)?;
        }
        Ok(())
    }

    fn set_pin(&mut self, source: &str, columns: &Columns) -> Result<()> {
        let json = serde_json::to_string(columns)
            .map_err(|e| Error::stop("cannot write columns down").because(e))?;
        tracing::info!(source, columns = json, "columns pinned");
        self.work.pins.insert(source.to_owned(), json);
        self.snapshot()?;
        self.line.fits(source, columns)?;
        self.line.pin(source, columns.clone()).map_err(|e| after_pin(source, &e))?;
        // Views are planned anew, with more columns at hand: they go on from where they stood.
        let changed = self.line.restore(&self.state)?;
        self.line.begin_anew(&changed.views, &mut BTreeMap::new()).map(drop)
    }

    /// Takes down what changed of the views' state, for the epoch that is being made.
    pub(crate) fn snapshot(&mut self) -> Result<()> {
        for (view, chunks) in self.changes()? {
            self.work.chunks.entry(view).or_default().extend(chunks);
        }
        Ok(())
    }

    /// What changed of the views' state.
    pub(crate) fn changes(&mut self) -> Result<BTreeMap<String, Chunks>> {
        self.line.mark(self.next, self.shared.queue.status().first);
        let changed = self.line.snapshot()?;
        let planned = self.line.unpinned().is_empty();
        if planned {
            self.state.clear();
        }
        for (view, chunks) in changed.iter().filter(|_| !planned) {
            remember(self.state.entry(view.clone()).or_default(), chunks.clone());
        }
        Ok(changed)
    }
}

/// Rows of a source whose columns nothing has told yet, `{}` say: there is nowhere they could go, so their
/// records are set aside.
pub(crate) fn without_columns(block: &Block, decoded: &Decoded) -> Decoded {
    let ordinals = decoded.batch.num_rows() + decoded.refused.len();
    let start = |record: usize| {
        decoded.starts.get(record).map_or(ordinals, |s| usize::try_from(*s).unwrap_or(usize::MAX))
    };
    let mut refused_records = decoded.refused_records.clone();
    for (record, number) in (0..block.len()).zip(0..) {
        let refused = refused_records.iter().any(|r| r.record == number);
        if !refused && start(record) < start(record + 1) {
            let reason = "no columns are known yet, and none of its rows tells any".to_owned();
            refused_records.push(RefusedRecord { record: number, reason });
        }
    }
    refused_records.sort_by_key(|r| r.record);
    Decoded {
        batch: decoded.batch.slice(0, 0),
        starts: vec![0; block.len()].into(),
        ordinals: None,
        refused: Vec::new(),
        refused_records,
    }
}

fn parse_pin(source: &str, json: &[u8]) -> Result<Columns> {
    serde_json::from_slice(json).map_err(|e| {
        Error::stop(format!("the pinned columns of source `{source}` cannot be read")).because(e)
    })
}

/// A view does not fit the columns that turned up.
fn after_pin(source: &str, errors: &[ViewError]) -> Error {
    Error::stop(format!(
        "with the columns that source `{source}` turned out to have, {}",
        view_errors(errors).what()
    ))
    .fix("mend the view or declare `columns`; everything collected so far is in the queue and is processed then")
}
