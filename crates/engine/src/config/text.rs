//! The file behind a pipeline: for errors that come up after it was read.

use std::fmt;
use std::sync::Arc;

use millstream_core::operator::ViewError;

use super::problem::{Problem, Problems, line_col};
use super::secrets::Secrets;
use super::tree::{Node, Tree};
use super::view_place;

/// The text of a pipeline file, with the places of everything in it.
#[derive(Clone)]
pub struct FileText {
    pub(super) file: String,
    pub(super) text: Arc<str>,
    pub(super) tree: Arc<Tree>,
    pub(super) secrets: Secrets,
}

impl FileText {
    /// The name of the file, as errors give it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Values from the environment and from files, to be hidden wherever text goes out.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Something wrong with what stands at these keys (`["sinks", "store", "to"]`), or with the
    /// nearest thing above it that is in the file.
    #[must_use]
    pub fn problem(&self, keys: &[&str], what: impl Into<String>) -> Problem {
        let node = keys.iter().try_fold(&self.tree.root, |node, key| match node.get(key) {
            Some((_, below)) => Ok(below),
            None => Err(node),
        });
        let (Ok(node) | Err(node)) = node;
        Problem::new(what, self.tree.place(node)).path(keys.join("."))
    }

    /// All of these, with this file's lines, and without its secrets.
    #[must_use]
    pub fn problems(&self, mut list: Vec<Problem>) -> Problems {
        for problem in &mut list {
            problem.what = self.secrets.redact(&problem.what).into_owned();
            problem.fix = problem.fix.take().map(|fix| self.secrets.redact(&fix).into_owned());
        }
        Problems::new(&*self.file, self.text.clone(), list)
    }

    /// Line and column in the file, both from 1, of a line and column in the SQL of a view.
    ///
    /// `None` if there is no such view, or if `${…}` before that place has moved it.
    #[must_use]
    pub fn place_in_view(&self, view: &str, line: usize, col: usize) -> Option<(usize, usize)> {
        let at = view_place::find(&self.text, self.view(view)?, line, col)?;
        Some(line_col(&self.text, at.start))
    }

    fn view(&self, name: &str) -> Option<&Node> {
        let (_, views) = self.tree.root.get("views")?;
        let (_, view) = views.get(name)?;
        Some(view.get("sql").map_or(view, |(_, sql)| sql))
    }

    /// An error of SQL at its place in the file.
    #[must_use]
    pub fn view_problem(&self, error: &ViewError) -> Problem {
        let mut what = error.error.line();
        if let Some(place) = error.error.place() {
            // The file's own place says it better.
            what = what.replacen(&format!(" at {place}"), "", 1);
        }
        let mut problem = self.problem(&["views", &error.view], what);
        if let (Some(node), Some((line, col))) = (self.view(&error.view), error.place)
            && let Some(at) = view_place::find(&self.text, node, line, col)
        {
            problem.at = at;
        }
        match error.error.how_to_fix() {
            Some(fix) => problem.fix(fix),
            None => problem,
        }
    }
}

impl fmt::Debug for FileText {
    /// Without the tree: it holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileText({})", self.file)
    }
}
