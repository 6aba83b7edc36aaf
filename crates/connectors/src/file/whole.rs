//! Files as whole documents: one file, one record.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::time::Duration;

use millstream_core::fields::Bytes;
use millstream_core::record::{Name, Record};
use millstream_core::source::Pulled;
use millstream_core::{Error, Result};

use super::listing::Entry;
use super::place::{FileId, Place, changed};
use super::watch::{Gone, Watch, unreadable};

/// Between two tries of a file that cannot be read, when all others are done.
const TRY_AGAIN: Duration = Duration::from_secs(1);

impl Watch {
    /// Reads each file that is new or changed; with `follow`, without end.
    pub(super) fn read_whole(&mut self) -> Result<(), Gone> {
        let mut before: BTreeMap<FileId, Place> = BTreeMap::new();
        loop {
            self.tell_strays();
            let entries = self.task.listing.entries();
            let mut failed = false;
            let mut now = BTreeMap::new();
            for entry in &entries {
                let place = place_of(entry.id, &entry.metadata);
                // A file that still grows is left for the next look.
                let still = !self.task.follow || before.get(&entry.id) == Some(&place);
                now.insert(entry.id, place.clone());
                if still && !self.is_read(&place) {
                    failed |= !self.read_document(entry)?;
                }
            }
            before = now;
            if self.task.follow {
                self.rest(self.task.times.list)?;
            } else if failed {
                self.rest(TRY_AGAIN)?;
            } else {
                return Ok(());
            }
        }
    }

    fn is_read(&self, place: &Place) -> bool {
        self.known.values().any(|k| (k.id, k.at, k.changed) == (place.id, place.at, place.changed))
    }

    /// Whether it could be read, be it that it was too large.
    fn read_document(&mut self, entry: &Entry) -> Result<bool, Gone> {
        let split: Name = self.task.listing.seen(&entry.path).into();
        let report = self.task.report.clone();
        let max = self.task.lines.line_max;
        let read = || {
            let file = File::open(&entry.path)?;
            // Of the file that is read, should another have taken the name since the listing.
            let metadata = file.metadata()?;
            let place = place_of(FileId::of(&metadata), &metadata);
            let mut bytes = Vec::with_capacity(usize::try_from(place.at).unwrap_or(0).min(max) + 1);
            file.take(max as u64 + 1).read_to_end(&mut bytes)?;
            Ok((place, bytes))
        };
        let (mut place, bytes) = match read() {
            Ok(read) => read,
            Err(e) => {
                report.trouble(&split, &unreadable(&entry.path, e));
                return Ok(false);
            }
        };
        let records = if bytes.len() > max {
            let max = Bytes(max as u64);
            let error = Error::set_aside(format!(
                "a file of {} is larger than {max}, so it is left where it is",
                Bytes(place.at)
            ));
            report.trouble(
                &split,
                &error.at(entry.path.display().to_string()).fix("raise `line_max`"),
            );
            Vec::new()
        } else {
            report.fine(&split);
            if bytes.is_empty() { Vec::new() } else { vec![Record::new(bytes)] }
        };
        place.ended = !self.task.follow;
        let (position, ended) = (Some(place.position()), place.ended);
        self.known.insert(split.clone(), place);
        self.send(Pulled { split, records, position, ended })?;
        Ok(true)
    }
}

/// A file's length and last change stand for what is in it.
fn place_of(id: FileId, metadata: &Metadata) -> Place {
    let mut place = Place::begin(id);
    place.at = metadata.len();
    place.changed = changed(metadata);
    place
}
