//! What a lookup answered, epoch by epoch, in the queue's side stream `lookup/<name>`: for rows that are made again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use millstream_core::lookup::{Answer, Key};
use millstream_core::queue::{Epoch, SideStream};
use millstream_core::{Error, Result};

/// Answers of more bytes than this go into several entries.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// What stands before the names of lookups in those of side streams.
pub(crate) const STREAMS: &str = "lookup/";

/// The side stream of a lookup.
pub(crate) fn stream_name(lookup: &str) -> String {
    format!("{STREAMS}{lookup}")
}

/// The record of one lookup, for whoever seals epochs.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) stream: Arc<dyn SideStream>,
    /// The first entry of the last epoch that is in it: those before its epoch are not needed once another is sealed.
    pub(crate) last: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    epoch: Epoch,
    /// The columns that were asked for: values of an answer have no meaning without them.
    columns: Vec<String>,
    answers: Vec<(String, Answer)>,
}

/// The entries of one epoch; at least one, so that it can be told from an epoch that was not recorded.
pub(crate) fn encode(
    epoch: Epoch,
    columns: &[String],
    answers: BTreeMap<Key, Arc<Answer>>,
) -> Result<Vec<Bytes>> {
    let entry = || Entry { epoch, columns: columns.to_vec(), answers: Vec::new() };
    let (mut entries, mut last, mut bytes) = (Vec::new(), entry(), 0);
    for (key, answer) in answers {
        bytes += key.len() + answer.bytes();
        last.answers.push((key.to_string(), Answer::clone(&answer)));
        if bytes > ENTRY_BYTES_MAX {
            entries.push(std::mem::replace(&mut last, entry()));
            bytes = 0;
        }
    }
    entries.push(last);
    let encode = |entry: &Entry| match postcard::to_stdvec(entry) {
        Ok(bytes) => Ok(bytes.into()),
        Err(e) => Err(Error::stop("cannot encode what a lookup answered").because(e)),
    };
    entries.iter().map(encode).collect()
}

/// Reads a record from its beginning on, epoch after epoch.
pub(crate) struct Reading {
    stream: Arc<dyn SideStream>,
    next: u64,
}

impl Reading {
    pub(crate) fn new(stream: Arc<dyn SideStream>) -> Self {
        let next = stream.extent().first;
        Self { stream, next }
    }

    /// What was answered in an epoch, for these columns; `None` if that was not recorded. Epochs are asked for in order.
    ///
    /// # Errors
    /// `Stop` when it was recorded for other columns, or cannot be read.
    pub(crate) async fn of(
        &mut self,
        epoch: Epoch,
        columns: &[String],
    ) -> Result<Option<BTreeMap<Key, Arc<Answer>>>> {
        let mut found: Option<BTreeMap<Key, Arc<Answer>>> = None;
        loop {
            let entries = self.stream.read(self.next, ENTRY_BYTES_MAX).await?;
            if entries.is_empty() {
                return Ok(found);
            }
            for (number, bytes) in entries {
                let entry: Entry = postcard::from_bytes(&bytes).map_err(|e| {
                    let what = format!("entry {number} of what was answered cannot be read");
                    Error::stop(format!("{what}: it was written by another version")).because(e)
                })?;
                if entry.epoch > epoch {
                    return Ok(found);
                }
                self.next = number + 1;
                if entry.epoch < epoch {
                    continue;
                }
                if entry.columns != columns {
                    return Err(other_columns(epoch, &entry.columns, columns));
                }
                let answers = entry.answers.into_iter();
                let answers = answers.map(|(key, answer)| (Key::from(key), Arc::new(answer)));
                found.get_or_insert_default().extend(answers);
            }
        }
    }
}

fn other_columns(epoch: Epoch, was: &[String], now: &[String]) -> Error {
    let list = |names: &[String]| match names {
        [] => "no column, only for whether there is an answer".to_owned(),
        names => format!("the columns ({})", names.join(", ")),
    };
    Error::stop(format!(
        "its answers in epoch {epoch} were recorded for {}, and the views now ask for {}",
        list(was),
        list(now)
    ))
    .fix("the views changed while a sink was behind: run the file as it was until it has caught up, or run once with `--resume` and the sink's name to go on from where the queue stands")
}

/// Of an epoch that is made again, a key that was not asked for the first time.
pub(super) fn not_recorded(epoch: Epoch, key: &str) -> Error {
    Error::stop(format!("no answer for `{key}` was recorded in epoch {epoch}, which is made again"))
        .fix("the views changed while a sink was behind: run the file as it was until it has caught up, or run once with `--resume` and the sink's name to go on from where the queue stands")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_without_columns_are_told_in_words() {
        let told = other_columns(Epoch(3), &[], &["site".to_owned()]).line();
        assert!(told.contains("recorded for no column, only for whether"), "{told}");
        assert!(told.ends_with("ask for the columns (site)"), "{told}");
    }
}
