//! Which splits there are, by small ids, and where each stands.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_core::queue::Positions;
use millstream_core::record::{Block, Body, Form, Frame, Name, Position};
use millstream_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::frame::{Kind, POSITION, ROWS};
use super::segment::Stored;

/// One split as a segment's head repeats it. Its id is its place in the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SplitRow {
    pub(crate) source: Name,
    pub(crate) split: Name,
    pub(crate) position: Option<Position>,
    /// How often it has begun anew after it had ended.
    pub(crate) generation: u32,
    pub(crate) ended: bool,
}

/// The table of splits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splits {
    rows: Vec<SplitRow>,
    ids: BTreeMap<(Name, Name), u32>,
}

impl Splits {
    pub(crate) fn from_rows(rows: Vec<SplitRow>) -> Self {
        let ids =
            (0..).zip(&rows).map(|(id, r)| ((r.source.clone(), r.split.clone()), id)).collect();
        Self { rows, ids }
    }

    pub(crate) fn rows(&self) -> &[SplitRow] {
        &self.rows
    }

    pub(crate) fn id(&self, source: &Name, split: &Name) -> Option<u32> {
        self.ids.get(&(source.clone(), split.clone())).copied()
    }

    /// Adds a split and gives it the next id.
    pub(crate) fn add(&mut self, source: Name, split: Name) -> u32 {
        let id = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        assert!(id < u32::MAX, "a log numbers its splits in 32 bits");
        self.ids.insert((source.clone(), split.clone()), id);
        self.rows.push(SplitRow { source, split, position: None, generation: 0, ended: false });
        id
    }

    /// Follows a frame of this split.
    pub(crate) fn follow(&mut self, id: u32, kind: Kind, position: Option<&Position>) {
        let Some(row) = self.rows.get_mut(id as usize) else { return };
        if kind == Kind::Ended {
            row.ended = true;
        } else if kind == Kind::Block && row.ended {
            row.ended = false;
            row.generation += 1;
        }
        if position.is_some() {
            row.position = position.cloned();
        }
    }

    pub(crate) fn positions(&self) -> Positions {
        let mut positions = Positions::new();
        for row in &self.rows {
            if let Some(position) = &row.position {
                let source = positions.entry(row.source.clone()).or_default();
                source.insert(row.split.clone(), position.clone());
            }
        }
        positions
    }

    /// Source and split of this id.
    pub(crate) fn names(&self, id: u32) -> Option<(Name, Name)> {
        self.rows.get(id as usize).map(|row| (row.source.clone(), row.split.clone()))
    }
}

/// The frame that these stored bytes are.
pub(crate) fn frame(stored: Stored, source: Name, split: Name) -> Result<Frame> {
    let header = stored.header;
    let form = if header.flags & ROWS == 0 { Form::Arrived } else { Form::Rows };
    let body = match header.kind {
        Kind::Block => Body::Block(Block::unpack(form, stored.payload)?),
        Kind::Idle => Body::Idle,
        Kind::Ended => Body::Ended,
        Kind::Pin => Body::Pin(stored.payload),
        Kind::Table => Body::Table(stored.payload),
        Kind::Split | Kind::Checkpoint | Kind::Trim | Kind::Closed => {
            return Err(Error::stop("a frame without an offset was read as one with"));
        }
    };
    let position = (header.flags & POSITION != 0).then(|| Position(stored.position));
    Ok(Frame { source, split, arrival: Timestamp(header.arrival), position, body })
}

/// How a frame is stored: kind, flags, payload.
pub(crate) fn stored_as(frame: &Frame) -> (Kind, u8, Bytes) {
    let position = if frame.position.is_some() { POSITION } else { 0 };
    match &frame.body {
        Body::Block(block) => {
            let rows = if block.form() == Form::Rows { ROWS } else { 0 };
            (Kind::Block, position | rows, block.packed().clone())
        }
        Body::Idle => (Kind::Idle, position, Bytes::new()),
        Body::Ended => (Kind::Ended, position, Bytes::new()),
        Body::Pin(columns) => (Kind::Pin, position, columns.clone()),
        Body::Table(rows) => (Kind::Table, position, rows.clone()),
    }
}
