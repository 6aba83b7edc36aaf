//! Tells which file is which: known by what was read of it, not by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;

use millstream_core::record::Name;
use tokio::time::Instant;

use super::listing::Entry;
use super::place::{FileId, Heads, Place, changed};
use super::reader::LOOKS;
use super::watch::{RESTING_MAX, Watch};

/// A file to read, from where, as which split.
pub(super) struct Found {
    pub(super) split: Name,
    pub(super) path: PathBuf,
    /// Which file the path led to. It may have been renamed since, and another be there.
    pub(super) id: FileId,
    pub(super) place: Option<Place>,
    /// Whether a path of the listing leads to it.
    pub(super) listed: bool,
}

/// So much read that two files which agree in it are one.
const SURE_BYTES: u64 = 256;

impl Watch {
    /// Lists the files, sees which ones are those that are being read, and gives back the others. Files that were
    /// cut come last: what is new may be the copy of what was in them.
    pub(super) fn find(&mut self) -> Vec<Found> {
        self.tell_strays();
        let entries = self.task.listing.entries();
        let now = Instant::now();
        let listed: BTreeMap<FileId, &Entry> = entries.iter().map(|e| (e.id, e)).collect();
        for file in &mut self.open {
            match listed.get(&file.reader.place.id) {
                Some(entry) => {
                    file.reader.path.clone_from(&entry.path);
                    file.away = None;
                }
                None => file.away = file.away.or(Some(now)),
            }
        }
        let open: BTreeSet<FileId> = self.open.iter().map(|f| f.reader.place.id).collect();
        let known = self.known_by_id();
        let first = std::mem::replace(&mut self.first, false);
        let mut all = if first { self.find_away(&listed) } else { Vec::new() };
        let (mut cut, mut new, mut before) = (Vec::new(), Vec::new(), self.before_cut());
        for entry in entries.iter().filter(|e| !open.contains(&e.id)) {
            let Some((split, place)) = known.get(&entry.id) else {
                new.push(entry);
                continue;
            };
            let read = place.at == entry.metadata.len();
            let crowded = self.open.len() + all.len() >= RESTING_MAX;
            let rests = read && (place.ended || self.task.follow && crowded);
            if rests && self.is_unchanged(entry, place) {
                continue;
            }
            let whole = is_whole(entry, place);
            if !whole {
                before.push(place.clone());
            }
            let same_name = base(split) == self.task.listing.seen(&entry.path);
            let (split, path) = (split.clone(), entry.path.clone());
            let (id, place) = (entry.id, Some(place.clone()));
            let found = Found { split, path, id, place, listed: true };
            match (whole, same_name) {
                (true, _) => all.push(found),
                (false, true) => cut.push(found),
                // The system gave the identity of a file that is gone to this one.
                (false, false) => new.push(entry),
            }
        }
        let mut names: BTreeSet<Name> = self.open.iter().map(|f| f.reader.split.clone()).collect();
        names.extend(all.iter().chain(&cut).map(|f| f.split.clone()));
        names.extend(
            known.iter().filter(|(id, _)| listed.contains_key(id)).map(|(_, k)| k.0.clone()),
        );
        if first {
            self.early.extend(new.iter().map(|e| e.id));
        }
        let heads = Heads::of(self.open.iter().map(|f| &f.reader.place));
        for entry in new {
            if let Some(place) = self.origin(entry, (&before, &heads), now, &listed) {
                let split = self.name(entry, &names);
                names.insert(split.clone());
                let path = entry.path.clone();
                all.push(Found { split, path, id: entry.id, place, listed: true });
            }
        }
        self.waiting.retain(|id, _| listed.contains_key(id));
        self.early.retain(|id| listed.contains_key(id));
        self.looks.retain(|id, _| listed.contains_key(id));
        all.extend(cut);
        if !self.task.follow {
            all.sort_by(|a, b| (a.listed, &a.path).cmp(&(b.listed, &b.path)));
        }
        all
    }

    /// Whether a file that has the length which was read of it holds just that.
    fn is_unchanged(&mut self, entry: &Entry, place: &Place) -> bool {
        let changed = changed(&entry.metadata);
        let looks = self.looks.entry(entry.id).or_insert((changed, 0));
        *looks =
            if looks.0 == changed { (changed, looks.1.saturating_add(1)) } else { (changed, 1) };
        looks.1 > LOOKS || is_whole(entry, place)
    }

    fn known_by_id(&self) -> BTreeMap<FileId, (Name, Place)> {
        let mut by_id = BTreeMap::new();
        for (split, place) in &self.known {
            // Identities are given to new files when old ones are gone: what is not at its end goes first.
            if !place.ended || !by_id.contains_key(&place.id) {
                by_id.insert(place.id, (split.clone(), place.clone()));
            }
        }
        by_id
    }

    /// Where open files stood before they were cut.
    fn before_cut(&self) -> Vec<Place> {
        let before = self.open.iter().filter_map(|f| {
            let cut = || !f.reader.is_whole().unwrap_or(true);
            f.reader.before_cut.clone().or_else(|| cut().then(|| f.reader.place.clone()))
        });
        before.collect()
    }

    /// Where a file that nobody knows begins; `None` if that cannot be said yet.
    #[expect(clippy::option_option, reason = "not yet, at the beginning, or at a place")]
    fn origin(
        &mut self,
        entry: &Entry,
        (before, heads): (&[Place], &Heads),
        now: Instant,
        listed: &BTreeMap<FileId, &Entry>,
    ) -> Option<Option<Place>> {
        let Ok(file) = File::open(&entry.path) else { return Some(None) };
        let is_in = |place: &Place| place.at > 0 && place.is_in(&file).unwrap_or(false);
        // The copy of a file that was cut goes on where that one was.
        if let Some(place) = before.iter().find(|place| is_in(place)) {
            return Some(Some(place.clone()));
        }
        // A file that was put back, with another identity, under the name it had.
        let seen = self.task.listing.seen(&entry.path);
        let same = self.known.get(seen.as_str());
        if let Some(place) = same.filter(|p| !listed.contains_key(&p.id) && p.at >= SURE_BYTES)
            && is_in(place)
        {
            return Some(Some(place.clone()));
        }
        // While a file is copied, the copy looks like a file of its own, or like the beginning of one.
        let empty = entry.metadata.len() == 0;
        let alike = || !self.early.contains(&entry.id) && heads.begin(&file).unwrap_or(false);
        if self.task.follow && (empty || alike()) {
            let since = *self.waiting.entry(entry.id).or_insert(now);
            if now.duration_since(since) < self.task.times.copy {
                return None;
            }
        }
        Some(None)
    }

    /// A name for a new split: the path, with a number if another file that is still read has that name.
    fn name(&self, entry: &Entry, taken: &BTreeSet<Name>) -> Name {
        let seen = self.task.listing.seen(&entry.path);
        let mut names =
            std::iter::once(seen.clone()).chain((2u32..).map(|n| format!("{seen}#{n}")));
        names.find(|n| !taken.contains(n.as_str())).unwrap_or(seen).into()
    }

    /// Files that were being read and have since been renamed out of the listing.
    fn find_away(&self, listed: &BTreeMap<FileId, &Entry>) -> Vec<Found> {
        let lost = self.known.iter().filter(|(_, p)| !p.ended && !listed.contains_key(&p.id));
        let mut all = Vec::new();
        for (split, place) in lost {
            let found = self.task.listing.find_beside(base(split), place.id);
            let whole = |path: &PathBuf| {
                File::open(path).and_then(|file| place.is_in(&file)).unwrap_or(false)
            };
            if let Some(path) = found.filter(whole) {
                let (id, place) = (place.id, Some(place.clone()));
                all.push(Found { split: split.clone(), path, id, place, listed: false });
            }
        }
        all
    }
}

/// Whether a file still holds what was read of it. One that was renamed since it was listed is told from the
/// file at its path when it is opened.
fn is_whole(entry: &Entry, place: &Place) -> bool {
    let look = || -> std::io::Result<bool> {
        let file = File::open(&entry.path)?;
        Ok(FileId::of(&file.metadata()?) != entry.id || place.is_in(&file)?)
    };
    look().unwrap_or(true)
}

/// The path in the name of a split.
pub(super) fn base(split: &str) -> &str {
    let numbered = split.rsplit_once('#').filter(|(_, n)| n.parse::<u32>().is_ok());
    numbered.map_or(split, |(path, _)| path)
}
