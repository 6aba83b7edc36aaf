//! Which sinks of this process write to the same database.
//!
//! A transaction that writes keeps every other one out. The engine prepares all sinks before it
//! flushes any, so two sinks that each kept their transaction open from the first row to the flush
//! would wait for each other for ever. Sinks with a neighbour therefore hold it only briefly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Taken per database file by each sink that writes to it; files are the process's, and so is this.
static TAKEN: Mutex<BTreeMap<PathBuf, Weak<()>>> = Mutex::new(BTreeMap::new());

/// Says that a sink writes to this file, until it is dropped.
#[derive(Debug)]
pub(super) struct Neighbour(Arc<()>);

impl Neighbour {
    /// Joins those that write to this file.
    pub(super) fn of(path: &Path) -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, t| t.strong_count() > 0);
        let file = whole(path);
        if let Some(there) = taken.get(&file).and_then(Weak::upgrade) {
            return Self(there);
        }
        let first = Arc::new(());
        taken.insert(file, Arc::downgrade(&first));
        Self(first)
    }

    /// Whether it is not the only one.
    pub(super) fn has_neighbours(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// The path without links and dots, as far as it exists.
fn whole(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Ok(found) = absolute.canonicalize() {
        return found;
    }
    match (absolute.parent(), absolute.file_name()) {
        (Some(folder), Some(name)) => whole(folder).join(name),
        _ => absolute,
    }
}
