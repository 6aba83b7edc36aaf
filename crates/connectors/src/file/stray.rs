//! What a pattern would match, were its name UTF-8: it cannot be read, and that is told.

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_core::Error;
use tokio::time::Instant;

use super::listing::Listing;
use super::watch::Watch;

/// Between two looks for such names: each is another walk through the folders.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// So many are told of by name.
const TOLD_MAX: usize = 10;

/// Which were told of, and when they were looked for.
#[derive(Debug, Default)]
pub(super) struct Strays {
    told: BTreeSet<String>,
    looked: Option<Instant>,
}

impl Watch {
    /// Tells once of each file that is passed over for its name.
    pub(super) fn tell_strays(&mut self) {
        let now = Instant::now();
        let Strays { told, looked } = &mut self.strays;
        if looked.is_some_and(|at| now.duration_since(at) < LOOK_EVERY) {
            return;
        }
        *looked = Some(now);
        let found = strays(&self.task.listing);
        let more = found.len().saturating_sub(TOLD_MAX);
        let found: BTreeSet<String> = found.iter().take(TOLD_MAX).map(|p| shown(p)).collect();
        for name in told.difference(&found) {
            self.task.report.fine(name);
        }
        for name in found.difference(told) {
            let others = if more > 0 { format!(", and so are {more} more") } else { String::new() };
            let what = format!("its name is no UTF-8, so it is not read{others}");
            let error = Error::set_aside(what).at(name).fix("rename it");
            self.task.report.trouble(name, &error);
        }
        *told = found;
    }
}

/// Files that fit the pattern but for the encoding of their name or of a folder above it.
fn strays(listing: &Listing) -> Vec<PathBuf> {
    let Some(pattern) = listing.pattern() else { return Vec::new() };
    let parts: Vec<&str> = pattern.split('/').collect();
    let mut found = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        if !part.contains(['*', '?', '[']) {
            continue;
        }
        let above = parts.get(..i).unwrap_or_default().join("/");
        let last = i + 1 == parts.len();
        let wanted = glob::Pattern::new(part).ok();
        for folder in folders(&above, i > 0, *part == "**") {
            let fits = |entry: &DirEntry| {
                let name = entry.file_name();
                let odd = name.to_str().is_none();
                let like = || {
                    let name = name.to_string_lossy();
                    *part == "**" || wanted.as_ref().is_some_and(|w| w.matches(&name))
                };
                // Through links, as the listing does.
                let right = || {
                    let metadata = std::fs::metadata(entry.path());
                    metadata.is_ok_and(|m| if last { m.is_file() } else { m.is_dir() })
                };
                odd && like() && right()
            };
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            found.extend(entries.filter(fits).map(|entry| entry.path()));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The folders that a part of a pattern is looked for in.
fn folders(above: &str, begun: bool, any_depth: bool) -> Vec<PathBuf> {
    let base = match above {
        "" if begun => "/",
        "" => ".",
        above => above,
    };
    let pattern = if any_depth {
        format!("{above}{}**", if begun { "/" } else { "" })
    } else {
        base.to_owned()
    };
    let mut folders: Vec<PathBuf> =
        glob::glob(&pattern).into_iter().flatten().flatten().filter(|p| p.is_dir()).collect();
    // Any depth is none, too.
    let none = pattern.strip_suffix("**").map(|base| base.trim_end_matches('/'));
    if let Some(none) = none {
        let none = if none.is_empty() { base } else { none };
        folders.extend(glob::glob(none).into_iter().flatten().flatten());
    }
    folders
}

/// A name with the bytes that are none of ASCII escaped.
fn shown(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use millstream_core::plugin::Env;

    use super::*;

    #[test]
    fn what_is_passed_over_for_its_name_is_found_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let odd = |name: &[u8]| PathBuf::from(OsStr::from_bytes(name));
        for below in ["", "a", "a/b"] {
            let below = folder.path().join(below);
            std::fs::create_dir_all(&below).unwrap();
            std::fs::write(below.join(odd(b"\xff.nd")), "").unwrap();
            std::fs::write(below.join(odd(b"\xff.txt")), "").unwrap();
            std::fs::write(below.join("good.nd"), "").unwrap();
        }
        let inside = folder.path().join(odd(b"\xfe"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("good.nd"), "").unwrap();
        let found = |pattern: &str| -> Vec<String> {
            let listing = Listing::new(pattern, &Env::test("x", folder.path())).unwrap();
            let below = |p: &PathBuf| shown(p.strip_prefix(folder.path()).unwrap());
            strays(&listing).iter().map(below).collect()
        };
        assert_eq!(found("*.nd"), ["\\xff.nd"]);
        assert_eq!(found("a/*.nd"), ["a/\\xff.nd"]);
        assert_eq!(found("*/*.nd"), ["a/\\xff.nd", "\\xfe"]);
        assert_eq!(found("**/*.nd"), ["a/b/\\xff.nd", "a/\\xff.nd", "\\xfe", "\\xff.nd"]);
        assert_eq!(found("*.csv"), [""; 0]);
        assert_eq!(found("good.nd"), [""; 0]);
    }
}
