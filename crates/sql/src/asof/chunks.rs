//! State as chunks, and back.
//!
//! `m` says up to where rows have gone on, and which pieces wait in which order; `l<id>` and `r<id>` have rows of the left
//! and the right pile, `s<id>` the latest rows. Each is an Arrow IPC stream.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use millstream_core::error::{Error, Result};
use millstream_core::operator::Chunks;

use super::latest::Latest;
use super::matching::Matching;
use super::piece::Kind;
use super::pile::Pile;
use crate::quiet;
use crate::view::stop;
use crate::window::bytes::{Reader, put, short};
use crate::window::chunks::unfit;

/// The first byte of every `m`.
const VERSION: u8 = 1;

/// Rows of a pile by the ids of their pieces.
type Pieces = BTreeMap<u32, RecordBatch>;

impl Matching {
    /// Chunks that changed since the last time, under names that begin with `prefix`.
    pub(super) fn tell(&mut self, prefix: &str, out: &mut Chunks) -> Result<()> {
        let gone = [
            ('l', std::mem::take(&mut self.left.gone)),
            ('r', std::mem::take(&mut self.right.gone)),
            ('s', std::mem::take(&mut self.latest.gone)),
        ];
        for (letter, ids) in gone {
            out.extend(ids.into_iter().map(|id| (format!("{prefix}{}", name(letter, id)), None)));
        }
        let kept = self.latest.unsaved().map_err(stop)?;
        for (letter, pieces) in
            [('l', self.left.unsaved()), ('r', self.right.unsaved()), ('s', kept)]
        {
            for (id, batch) in pieces {
                out.insert(format!("{prefix}{}", name(letter, id)), Some(write(&batch)?));
            }
        }
        let notes = self.said();
        if notes != self.notes {
            out.insert(format!("{prefix}m"), Some(Bytes::from(notes.clone())));
            self.notes = notes;
        }
        Ok(())
    }

    fn said(&self) -> Vec<u8> {
        let mut notes = vec![VERSION];
        put(&mut notes, self.done.cast_unsigned());
        notes.extend_from_slice(&self.latest.next().to_le_bytes());
        for pile in [&self.left, &self.right] {
            let (next, ids) = pile.ids();
            notes.extend_from_slice(&next.to_le_bytes());
            notes.extend_from_slice(&short(ids.len()).to_le_bytes());
            ids.iter().for_each(|id| notes.extend_from_slice(&id.to_le_bytes()));
        }
        notes
    }

    /// Goes back to the state that these chunks have.
    pub(super) fn read(&mut self, chunks: &[(&str, &Bytes)]) -> Result<()> {
        let (mut notes, mut rest) = (None, BTreeMap::<char, Pieces>::new());
        for (own, chunk) in chunks {
            if *own == "m" {
                notes = Some(*chunk);
                continue;
            }
            let (letter, id) = named(own).ok_or_else(|| unfit(own))?;
            let schema = if letter == 'l' { &self.left } else { &self.right };
            let batch = read(chunk, &schema.kind.schema).map_err(|e| unfit(own).because(e))?;
            rest.entry(letter).or_default().insert(id, batch);
        }
        let mut pieces = |letter| rest.remove(&letter).unwrap_or_default();
        let (left, right, kept) = (pieces('l'), pieces('r'), pieces('s'));
        let Some(notes) = notes else {
            if !(left.is_empty() && right.is_empty() && kept.is_empty()) {
                return Err(unfit("m"));
            }
            let fresh = |kind: &Kind| Pile::new(kind.again());
            (self.left, self.right) = (fresh(&self.left.kind), fresh(&self.right.kind));
            self.latest = Latest::new(self.right.kind.again());
            (self.done, self.notes) = (i64::MIN, vec![]);
            return Ok(());
        };
        let said = Said::read(notes).ok_or_else(|| unfit("m"))?;
        self.done = said.done;
        let before = [said.done, self.before(said.done)];
        let [own, other] = said.piles;
        for ((input, mut pieces), (next, ids)) in
            [left, right].into_iter().enumerate().zip([own, other])
        {
            let taken = ids.iter().map(|id| Some((*id, pieces.remove(id)?)));
            let taken = taken.collect::<Option<Vec<_>>>().filter(|_| pieces.is_empty());
            let taken = taken.ok_or_else(|| unfit("m"))?;
            let pile = if input == 0 { &mut self.left } else { &mut self.right };
            let limit = before.get(input).copied().unwrap_or(i64::MIN);
            *pile = Pile::again(pile.kind.again(), &self.keys, taken, next, limit)
                .map_err(|e| unfit("m").because(e))?;
        }
        let kept = kept.into_iter().collect();
        let kind = self.right.kind.again();
        self.latest = Latest::again(kind, &self.keys, kept, said.next, &self.right)
            .map_err(|e| unfit("s").because(e))?;
        self.notes = notes.to_vec();
        Ok(())
    }
}

/// What `m` says.
struct Said {
    done: i64,
    next: u32,
    /// The next id, and those there are, of the left pile and the right one.
    piles: [(u32, Vec<u32>); 2],
}

impl Said {
    fn read(chunk: &[u8]) -> Option<Self> {
        let mut reader = Reader(chunk);
        if reader.u8()? != VERSION {
            return None;
        }
        let (done, next) = (reader.i64()?, reader.u32()?);
        let mut pile = || {
            let next = reader.u32()?;
            let ids = (0..reader.u32()?).map(|_| reader.u32());
            Some((next, ids.collect::<Option<Vec<_>>>()?))
        };
        let piles = [pile()?, pile()?];
        reader.is_empty().then_some(Self { done, next, piles })
    }
}

fn name(letter: char, id: u32) -> String {
    format!("{letter}{id:x}")
}

fn named(name: &str) -> Option<(char, u32)> {
    let (letter, id) = name.split_at_checked(1)?;
    let letter = letter.chars().next().filter(|l| matches!(l, 'l' | 'r' | 's'))?;
    Some((letter, u32::from_str_radix(id, 16).ok()?))
}

fn write(batch: &RecordBatch) -> Result<Bytes> {
    let failed = |e| Error::stop("rows of a join cannot be written").because(e);
    let mut out = vec![];
    let mut writer = StreamWriter::try_new(&mut out, &batch.schema()).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.finish().map_err(failed)?;
    drop(writer);
    Ok(Bytes::from(out))
}

fn read(chunk: &[u8], schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let odd = || Error::stop("it has other columns");
    let one = quiet::catch(|| {
        let mut reader = StreamReader::try_new(chunk, None)?;
        reader.next().transpose()
    });
    let batch = match one {
        Ok(Ok(Some(batch))) => batch,
        Ok(Ok(None)) => return Err(odd()),
        Ok(Err(e)) => return Err(Error::stop("it cannot be read").because(e)),
        Err(panic) => return Err(Error::stop(format!("it cannot be read: {panic}"))),
    };
    RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(|e| odd().because(e))
}
