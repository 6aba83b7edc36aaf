//! Frames to rows: each source with its decoder and its event time.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::codec::{Codec, Columns, Decoded, Decoder, Origin, Rows};
use millstream_core::ledger::Stage;
use millstream_core::record::{Block, Body, Form, Frame, Offset, Record};
use millstream_core::{Error, Result};

use crate::config::{EventTime, SourcePart};
use crate::dead_letters::DeadLetter;
use crate::grind::{Way, guarded};
use crate::line::{Ground, Line};
use crate::pins::without_columns;
use crate::time::SourceTime;

/// A source, as the line needs it.
#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) name: String,
    pub(crate) codec: Arc<dyn Codec>,
    /// Declared, or pinned.
    pub(crate) columns: Option<Columns>,
    pub(crate) event_time: Option<EventTime>,
}

impl SourcePart {
    /// What the line needs of it.
    pub(crate) fn feed(&self) -> Feed {
        Feed {
            name: self.name.clone(),
            codec: self.codec.clone(),
            columns: self.columns.clone(),
            event_time: self.event_time.clone(),
        }
    }
}

/// One source on the line.
pub(crate) struct Station {
    pub(crate) codec: Arc<dyn Codec>,
    /// Declared, or pinned.
    pub(crate) columns: Option<Columns>,
    /// The columns in use, as planned.
    pub(crate) used: Option<BTreeSet<String>>,
    decoder: Option<Box<dyn Decoder>>,
    /// Sources whose columns must be known before its rows can go on.
    pub(crate) waits_for: BTreeSet<String>,
    pub(crate) ways: Vec<Way>,
    pub(crate) time: Option<SourceTime>,
}

impl Station {
    pub(crate) fn new(feed: &Feed) -> Self {
        Self {
            codec: feed.codec.clone(),
            columns: feed.columns.clone(),
            used: None,
            decoder: None,
            waits_for: BTreeSet::new(),
            ways: Vec::new(),
            time: feed.event_time.clone().map(SourceTime::new),
        }
    }

    /// Decodes these columns from now on; `None` is all of them. That of event time is always among them.
    pub(crate) fn use_columns(&mut self, used: Option<BTreeSet<String>>) {
        self.used = used;
        if let (Some(used), Some(time)) = (&mut self.used, &self.time) {
            used.insert(time.column().to_owned());
        }
        self.decoder = None;
    }

    /// A block's rows; those that are too far ahead of their time are refused.
    fn decode(&mut self, name: &str, frame: &Frame, block: &Block) -> Result<Decoded> {
        if self.decoder.is_none() {
            let columns = self.columns.clone().unwrap_or_default();
            self.decoder = Some(self.codec.decoder(&columns, self.used.as_ref())?);
        }
        let Some(decoder) = self.decoder.as_mut() else {
            return Err(Error::stop("a decoder that was just made is not there"));
        };
        let part = format!("sources.{name}.decode");
        let mut decoded = guarded(&format_args!("{part}"), || decoder.decode(block))?;
        if self.columns.is_none() {
            return Ok(without_columns(block, &decoded));
        }
        if let Some(time) = &self.time {
            let ahead = time.ahead(&decoded, frame.arrival);
            if !ahead.is_empty() {
                decoded =
                    guarded(&format_args!("{part}"), || decoder.decode_barring(block, &ahead))?;
            }
        }
        Ok(decoded)
    }
}

impl Line {
    /// Decodes one block; [`Self::grind`] takes its rows through the views.
    pub(crate) fn take(
        &mut self,
        offset: Offset,
        frame: &Frame,
        block: &Block,
        ground: &mut Ground,
    ) -> Result<()> {
        let name = frame.source.as_ref();
        let Some(station) = self.stations.get_mut(name) else {
            // The source was taken out of the file: its records are counted and kept nowhere else.
            let account = ground.ledger.account(Stage::Records, name);
            account.r#in += block.len() as u64;
            account.expired += block.len() as u64;
            return Ok(());
        };
        let decoded = station.decode(name, frame, block)?;
        let watermarks = station.time.as_mut().map(|time| time.see(&frame.split, &decoded));
        let mut rows = account_for(name, offset, frame, block, decoded, ground);
        if let Some(watermarks) = watermarks {
            rows.origin = rows.origin.with_watermarks(watermarks);
        }
        self.mills.begin(&station.ways, &rows, frame.arrival);
        self.rise(offset, frame);
        Ok(())
    }

    /// Takes in that a split is idle, or has ended.
    pub(crate) fn hear(&mut self, offset: Offset, frame: &Frame) {
        let station = self.stations.get_mut(frame.source.as_ref());
        let Some(time) = station.and_then(|s| s.time.as_mut()) else { return };
        match frame.body {
            Body::Idle => time.idle(&frame.split),
            Body::Ended => time.end(&frame.split),
            Body::Block(_) | Body::Pin(_) | Body::Table(_) => {}
        }
        self.rise(offset, frame);
    }

    fn rise(&mut self, offset: Offset, frame: &Frame) {
        let station = self.stations.get(frame.source.as_ref());
        let reach = station.and_then(|s| s.time.as_ref()).map(SourceTime::reach);
        self.mills.rise((offset, frame.arrival), &frame.source, reach);
    }
}

/// Books what a block became and gives back the rows that go on.
fn account_for(
    source: &str,
    offset: Offset,
    frame: &Frame,
    block: &Block,
    decoded: Decoded,
    ground: &mut Ground,
) -> Rows {
    let (records, bad_records) = (block.len() as u64, decoded.refused_records.len() as u64);
    let account = ground.ledger.account(Stage::Records, source);
    account.r#in += records;
    account.out += records - bad_records;
    account.set_aside += bad_records;
    let (good, bad) = (decoded.batch.num_rows() as u64, decoded.refused.len() as u64);
    let account = ground.ledger.account(Stage::Decode, source);
    account.r#in += good + bad;
    account.out += good;
    account.set_aside += bad;
    let origin = Origin::new(offset, decoded.starts, decoded.ordinals);
    for refused in decoded.refused {
        let id = origin.id_of(refused.ordinal);
        ground.letters.push(DeadLetter::of_row(source, id, refused, frame));
    }
    if !decoded.refused_records.is_empty() {
        let values: Vec<Record> = block.records().collect();
        for refused in decoded.refused_records {
            let value =
                values.get(refused.record as usize).map(|r| r.value.clone()).unwrap_or_default();
            let letter = DeadLetter::of_record(source, offset, refused, value, frame);
            ground.letters.push(if block.form() == Form::Rows {
                letter.into_row()
            } else {
                letter
            });
        }
    }
    Rows { batch: decoded.batch, origin }
}
