//! Blocks of CSV to batches.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow_schema::SchemaRef;
use bytes::{BufMut, Bytes, BytesMut};
use millstream_core::Result;
use millstream_core::codec::{Decoded, Decoder};
use millstream_core::record::Block;

use super::CsvCodec;
use super::split::{Split, header_names};
use crate::codec::cells::{Cells, Kind, Room, Slots};
use crate::codec::json::is_valid;
use crate::codec::short::Short;
use crate::codec::tally::Tally;
use crate::codec::{moment, number};

/// Where a column is found.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Header(String),
    /// Counted from 0.
    Place(usize),
}

/// Decodes blocks of CSV.
#[derive(Debug)]
pub(super) struct CsvDecoder {
    pub(super) codec: CsvCodec,
    pub(super) slots: Slots,
    /// Where each of the slots is found.
    pub(super) wanted: Vec<Wanted>,
    pub(super) schema: SchemaRef,
    /// The headers of all columns that are declared, used or not.
    pub(super) headers: Vec<String>,
    /// How many fields a row has, if the declaration says so.
    pub(super) fields: Option<usize>,
    pub(super) room: Room,
}

impl Decoder for CsvDecoder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode_barring(&mut self, block: &Block, barred: &BTreeMap<u32, String>) -> Result<Decoded> {
        let bytes = block.payload_bytes();
        let mut cells = Cells::of(&self.slots, &self.room);
        let mut tally = Tally::barring(barred);
        for record in block.records() {
            tally.record();
            // Arrow's offsets have 31 bits; a block is some 64 KiB and one record at most.
            if i32::try_from(bytes).is_err() {
                tally.refuse_record("a block of 2 GiB or more".into());
            } else if let Err(reason) = self.record(&record.value, &mut cells, &mut tally) {
                tally.refuse_record(reason);
            }
        }
        self.room = cells.room();
        Ok(tally.finish(cells.finish(&self.slots, &self.schema)?))
    }
}

impl CsvDecoder {
    /// Rows of one record; an error refuses it whole, before any row.
    fn record(
        &self,
        record: &Bytes,
        cells: &mut Cells,
        tally: &mut Tally<'_>,
    ) -> Result<(), String> {
        let mut split = self.codec.split();
        let mut header = None;
        let mut width = self.fields;
        let mut places = Vec::new();
        if self.codec.options.header {
            let Some(range) = split.next(record) else { return Ok(()) };
            if let Some(fault) = split.fault() {
                let text = record.get(range).unwrap_or_default();
                return Err(format!("in the header {}", fault.told(text)));
            }
            let names = header_names(split.fields());
            width = Some(names.len());
            places = self.places(&names)?;
            header = Some(range);
        } else {
            places.extend(self.wanted.iter().map(|w| match w {
                Wanted::Place(place) => Some(*place),
                Wanted::Header(_) => None,
            }));
        }
        let all_text = simdutf8::basic::from_utf8(record).is_ok();
        while let Some(row) = split.next(record) {
            let text = || record.get(row.clone()).is_some_and(|r| std::str::from_utf8(r).is_ok());
            let fits = if !all_text && !text() {
                Err("not valid UTF-8".to_owned())
            } else {
                match split.fault() {
                    Some(fault) => Err(fault.told(record.get(row.clone()).unwrap_or_default())),
                    None => self.row(&split, width, &places, cells).and_then(|()| {
                        tally.is_barred().map_or(Ok(()), |reason| Err(reason.to_owned()))
                    }),
                }
            };
            match fits {
                Ok(()) => {
                    cells.rows += 1;
                    tally.good();
                }
                Err(reason) => {
                    cells.cut_rows(&self.slots, cells.rows);
                    tally.refuse(with_header(record, header.clone(), row), reason);
                }
            }
        }
        Ok(())
    }

    /// Which field each column is; `None` where the header lacks it.
    fn places(&self, header: &[String]) -> Result<Vec<Option<usize>>, String> {
        if !self.headers.is_empty() && !header.iter().any(|name| self.headers.contains(name)) {
            return Err(format!(
                "the header has none of the columns {}: it names {}",
                listed(&self.headers),
                listed(header)
            ));
        }
        let mut places = Vec::with_capacity(self.wanted.len());
        for (wanted, slot) in self.wanted.iter().zip(&self.slots.top) {
            let Wanted::Header(name) = wanted else { continue };
            let mut found = (0..).zip(header).filter(|(_, h)| *h == name).map(|(i, _)| i);
            let place = found.next();
            if found.next().is_some() {
                return Err(format!("the header names `{name}` twice"));
            }
            if place.is_none() && self.slots.get(*slot).required {
                return Err(format!("the header has no `{name}`, which is required"));
            }
            places.push(place);
        }
        Ok(places)
    }

    fn row(
        &self,
        split: &Split,
        width: Option<usize>,
        places: &[Option<usize>],
        cells: &mut Cells,
    ) -> Result<(), String> {
        if let Some(width) = width
            && split.len() != width
        {
            return Err(format!("{} fields, where {width} are due", split.len()));
        }
        for (slot, place) in self.slots.top.iter().zip(places) {
            let field = match place {
                Some(place) => split
                    .field(*place)
                    .ok_or_else(|| format!("{} fields, and none at {place}", split.len()))?,
                None => {
                    cells.null(*slot);
                    continue;
                }
            };
            self.fit(*slot, field, cells)?;
        }
        Ok(())
    }

    /// One field into its cell.
    fn fit(&self, slot: usize, field: &[u8], cells: &mut Cells) -> Result<(), String> {
        let it = self.slots.get(slot);
        if self.codec.is_null(field) {
            if it.required {
                return Err(format!("column `{}` is required, and null", it.path));
            }
            cells.null(slot);
            return Ok(());
        }
        if value(it.kind, slot, field, cells).is_none() {
            return Err(format!("column `{}` is {}, found {}", it.path, it.r#type, Short(field)));
        }
        Ok(())
    }
}

/// Names for people, not all if they are many.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> =
        names.iter().take(5).map(|n| Short(n.as_bytes()).to_string()).collect();
    let more = if names.len() > 5 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Pushes a field that fits its kind; `None` if it does not.
pub(in crate::codec) fn value(
    kind: Kind,
    slot: usize,
    field: &[u8],
    cells: &mut Cells,
) -> Option<()> {
    let is_number = || number::end(field, 0).filter(|end| *end == field.len());
    match kind {
        Kind::Int => {
            let v = number::short_int(field, 0, false).filter(|(_, end)| *end == field.len());
            let v = match v {
                Some((v, _)) => v,
                None => {
                    is_number()?;
                    number::scaled(field, 0).filter(|v| v.exact)?.value
                }
            };
            cells.int(slot, v);
        }
        Kind::Epoch(places) => {
            is_number()?;
            cells.int(slot, number::scaled(field, places)?.value);
        }
        Kind::Float => {
            let v = number::short_float(field, 0, false).filter(|(_, end)| *end == field.len());
            let v = match v {
                Some((v, _)) => v,
                None => {
                    is_number()?;
                    number::float(field)?
                }
            };
            cells.float(slot, v);
        }
        Kind::Bool => cells.bool(slot, bool_of(field)?),
        Kind::Stamp => cells.int(slot, moment::rfc3339(field)?),
        Kind::Date => cells.days(slot, moment::date(field)?),
        Kind::Json => {
            is_valid(field).then_some(())?;
            cells.text(slot, field);
        }
        Kind::Text => cells.text(slot, field),
        Kind::List(_) | Kind::Struct => return None,
    }
    Some(())
}

/// `true` or `false`, as many programs write them.
pub(super) fn bool_of(field: &[u8]) -> Option<bool> {
    if field.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if field.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// A refused row with its header before it, so that it can be decoded by itself.
fn with_header(record: &Bytes, header: Option<Range<usize>>, row: Range<usize>) -> Bytes {
    let Some(header) = header else { return record.slice(row) };
    let mut bytes = BytesMut::with_capacity(header.len() + 1 + row.len());
    bytes.put_slice(record.get(header).unwrap_or_default());
    bytes.put_u8(b'\n');
    bytes.put_slice(record.get(row).unwrap_or_default());
    bytes.freeze()
}
