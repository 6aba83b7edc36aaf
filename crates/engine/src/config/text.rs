//! The file behind a pipeline: for errors that come up after it was read.

use std::ops::Range;
use std::sync::Arc;

use super::fill::Secrets;
use super::problem::{Problem, Problems};
use super::tree::Tree;

/// The text of a pipeline file, with the places of everything in it.
#[derive(Clone, Debug)]
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
        Problem::new(what, self.place(keys)).path(keys.join("."))
    }

    /// All of these, with the places of this file.
    #[must_use]
    pub fn problems(&self, list: Vec<Problem>) -> Problems {
        problems(&self.file, &self.text, &self.secrets, list)
    }

    fn place(&self, keys: &[&str]) -> Range<usize> {
        let mut node = &self.tree.root;
        for key in keys {
            node = match node.get(key) {
                Some((_, below)) => below,
                None => break,
            };
        }
        self.tree.place(node)
    }
}

/// Problems without the secrets that may have got into their words.
pub(super) fn problems(
    file: &str,
    text: &Arc<str>,
    secrets: &Secrets,
    mut list: Vec<Problem>,
) -> Problems {
    for problem in &mut list {
        problem.what = secrets.redact(&problem.what).into_owned();
        problem.fix = problem.fix.take().map(|fix| secrets.redact(&fix).into_owned());
    }
    Problems::new(file, text.clone(), list)
}

impl FileText {
    /// An error of SQL at its place in the file.
    pub(super) fn view_problem(&self, error: &millstream_core::operator::ViewError) -> Problem {
        let keys = ["views", error.view.as_str()];
        let mut problem = self.problem(&keys, error.error.what().to_owned());
        if let Some(fix) = error.error.how_to_fix() {
            problem = problem.fix(fix);
        }
        problem
    }
}
