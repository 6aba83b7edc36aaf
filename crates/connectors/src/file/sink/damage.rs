//! Tells a spool that is torn from one that is damaged.

use std::error::Error as StdError;
use std::io::{self, Read};

use memchr::memmem;
use millstream_core::queue::{Epoch, Mark};

use super::frame::{Frames, HEAD, HEADER, Head, MARK, Marked, VERSION, crc};

/// How a mark's payload begins, behind the header of its frame.
const MARKED: &[u8] = b"{\"mark\":";

/// No mark is longer than this.
const MARK_MAX: usize = 1024;

const READ_BYTES: usize = 256 * 1024;

/// An error of bytes that are not what was written.
pub(super) fn damaged(why: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads the first frame.
pub(super) fn read_head(frames: &mut Frames) -> io::Result<Head> {
    let Some((HEAD, head)) = frames.next()? else {
        // A head is whole before the spool has its name, so that this was none of ours.
        return Err(damaged("it is no spool, or is damaged at its first byte"));
    };
    let head: Head = serde_json::from_slice(&head).map_err(damaged)?;
    if head.version != VERSION {
        return Err(damaged(format!(
            "its layout is version {}, this is for {VERSION}",
            head.version
        )));
    }
    Ok(head)
}

/// Looks for proof that a frame which is not whole, at byte `at`, was so once: a mark, itself or a whole one of a later
/// epoch, that has more bytes behind it, for these are written only once the mark and all before it are synced. A
/// mark at the very end proves nothing, since it is synced in one with the rows before it.
pub(super) fn torn_not_damaged(
    mut from: Box<dyn Read>,
    at: u64,
    held: Option<Mark>,
) -> io::Result<()> {
    io::copy(&mut (&mut from).take(at), &mut io::sink())?;
    let mut window = Vec::new();
    let mut proof: Option<Epoch> = None;
    loop {
        let first = window.is_empty();
        let more = (&mut from).take(READ_BYTES as u64).read_to_end(&mut window)?;
        if first && mark_was_here(&window) {
            return Err(damaged(format!(
                "it is damaged at byte {at}, where rows end that were flushed"
            )));
        }
        for found in memmem::find_iter(&window, MARKED) {
            if let Some((mark, end)) = whole_mark(&window, found) {
                let later = held.is_none_or(|held| mark.log == held.log && mark.epoch > held.epoch);
                if later && end < window.len() {
                    proof = Some(proof.map_or(mark.epoch, |epoch| epoch.max(mark.epoch)));
                }
            }
        }
        if more == 0 {
            break;
        }
        let keep = window.len().saturating_sub(HEADER + MARK_MAX + 1);
        window.drain(..keep);
    }
    match proof {
        None => Ok(()),
        Some(epoch) => Err(damaged(format!(
            "it is damaged at byte {at}, and rows were flushed behind that, up to epoch {epoch}"
        ))),
    }
}

/// Whether bytes begin with the frame of a mark, damaged somewhere, and go on behind it.
fn mark_was_here(bytes: &[u8]) -> bool {
    let Some(([kind, l0, l1, l2, l3, ..], payload)) = bytes.split_first_chunk::<HEADER>() else {
        return false;
    };
    let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
    if *kind == MARK && length <= MARK_MAX && length < payload.len() {
        return true;
    }
    // Or it is the header that is damaged.
    let mut marks = serde_json::Deserializer::from_slice(payload).into_iter::<Marked>();
    matches!(marks.next(), Some(Ok(_))) && marks.byte_offset() < payload.len()
}

/// The mark whose payload begins at `found`, and where its frame ends.
fn whole_mark(bytes: &[u8], found: usize) -> Option<(Mark, usize)> {
    let header = bytes.get(found.checked_sub(HEADER)?..found)?;
    let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = *header.first_chunk::<HEADER>()?;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let end = found.checked_add(usize::try_from(length).ok()?)?;
    let payload = bytes.get(found..end)?;
    if kind != MARK || crc(kind, length, payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return None;
    }
    let marked: Marked = serde_json::from_slice(payload).ok()?;
    Some((marked.mark, end))
}
