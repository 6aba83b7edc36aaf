//! Which files a path or pattern stands for.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use millstream_core::plugin::Env;
use millstream_core::{Error, Result};

use super::place::FileId;

/// A path from the pipeline file, which may be a pattern.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    folder: PathBuf,
    /// As written.
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Path(PathBuf),
    Pattern(String),
}

/// A file that is there.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) metadata: Metadata,
}

impl Listing {
    /// Checks the pattern; looks at nothing.
    pub(super) fn new(path: &str, env: &Env) -> Result<Self> {
        let folder = env.folder.clone();
        let text = path.to_owned();
        if path.is_empty() {
            return Err(Error::stop("`path` is empty").fix("give a path, such as `logs/*.ndjson`"));
        }
        if !path.contains(['*', '?', '[']) {
            return Ok(Self { folder, text, kind: Kind::Path(env.path(path)) });
        }
        let pattern = if Path::new(path).is_absolute() {
            path.to_owned()
        } else {
            // The folder's own name is no pattern.
            let Some(name) = folder.to_str() else {
                let what = "the name of the folder is no UTF-8, so no pattern can match in it";
                let error = Error::stop(what).at(folder.display().to_string());
                return Err(error.fix("rename it, or name files one by one"));
            };
            let folder = glob::Pattern::escape(name);
            if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
        };
        if let Err(e) = glob::Pattern::new(&pattern) {
            return Err(Error::stop(format!("`{path}` is no pattern")).because(e).fix(
                "`*` stands for any signs of a name, `**` for any folders, `[ab]` for one of both",
            ));
        }
        Ok(Self { folder, text, kind: Kind::Pattern(pattern) })
    }

    /// All files there are now, by name.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |path: PathBuf| {
            let metadata = std::fs::metadata(&path).ok().filter(Metadata::is_file)?;
            Some(Entry { path, id: FileId::of(&metadata), metadata })
        };
        match &self.kind {
            Kind::Path(path) => entry(path.clone()).into_iter().collect(),
            Kind::Pattern(pattern) => {
                let paths = glob::glob(pattern).into_iter().flatten().flatten();
                let mut entries: Vec<Entry> = paths.filter_map(entry).collect();
                // Two names of one file are one file.
                entries.sort_by(|a, b| a.path.cmp(&b.path));
                let mut seen = std::collections::BTreeSet::new();
                entries.retain(|e| seen.insert(e.id));
                entries
            }
        }
    }

    /// Why there is nothing to read, if a person should know.
    pub(super) fn missing(&self) -> Result<()> {
        let Kind::Path(path) = &self.kind else {
            return Err(Error::stop(format!("no file matches `{}`", self.text))
                .at(self.folder.display().to_string())
                .fix("check the pattern, or give `follow: true` to wait for files"));
        };
        let place = path.display().to_string();
        let found = std::fs::metadata(path);
        let error = match found.and_then(|m| {
            if m.is_file() {
                std::fs::File::open(path).map(drop)
            } else {
                Err(io::Error::other("it is no regular file"))
            }
        }) {
            Ok(()) => return Ok(()),
            Err(e) => Error::stop("cannot read the file").at(place).because(e),
        };
        Err(error.fix("check the path (a relative one begins at the pipeline file) and its permissions; a folder is read as `folder/*`"))
    }

    /// A path as people see it: relative to the pipeline file where it is below it.
    pub(super) fn seen(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.folder);
        below.unwrap_or(path).display().to_string()
    }

    /// Looks for a file beside where it was last seen: a log that was rotated out of the pattern.
    pub(super) fn find_beside(&self, seen: &str, id: FileId) -> Option<PathBuf> {
        let path = self.folder.join(seen);
        let siblings = std::fs::read_dir(path.parent()?).ok()?;
        siblings
            .flatten()
            .take(SIBLINGS_MAX)
            .map(|e| e.path())
            .find(|path| std::fs::metadata(path).is_ok_and(|m| m.is_file() && FileId::of(&m) == id))
    }

    /// As written in the pipeline file.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The pattern, if it is one, from the root or from where the process stands.
    pub(super) fn pattern(&self) -> Option<&str> {
        match &self.kind {
            Kind::Pattern(pattern) => Some(pattern),
            Kind::Path(_) => None,
        }
    }

    /// Whether it is a pattern.
    pub(super) fn is_pattern(&self) -> bool {
        matches!(self.kind, Kind::Pattern(_))
    }
}

/// How many files of a folder are looked at to find one that was renamed.
const SIBLINGS_MAX: usize = 10_000;
