//! `millstream explain`: how views are computed, and what they keep.

use std::path::PathBuf;

use clap::Args;
use millstream::{Error, Pipeline};

use super::check;
use super::failure::{Failure, say};

/// Explain how the views of a pipeline are computed; opens and creates nothing.
///
/// For each view: its columns, its steps, what state it keeps and what bounds that, and which columns of the sources are
/// decoded for it. A view that cannot be is told why, with the nearest form that works.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The pipeline file.
    file: PathBuf,
    /// Only the views of these names.
    views: Vec<String>,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let loaded = Pipeline::with(millstream::standard()).parts(&self.file)?;
        let secrets = loaded.pipeline.text.secrets().clone();
        let pipeline = loaded.plan()?;
        let plan = pipeline.plan();
        if let Some(name) = self.views.iter().find(|n| !plan.views.iter().any(|v| v.name == **n)) {
            let known: Vec<&str> = plan.views.iter().map(|v| v.name.as_str()).collect();
            let error = Error::stop(format!("there is no view `{name}`"));
            return Err(Failure::Options(error.fix(format!("known: {}", known.join(", ")))));
        }
        let wanted = |name: &String| self.views.is_empty() || self.views.contains(name);
        let mut out = String::new();
        for view in plan.views.iter().filter(|v| wanted(&v.name)) {
            check::view(view, &mut out);
            for source in plan.sources.iter().filter(|s| view.inputs.contains(&s.name)) {
                let decoded = source.columns.iter().filter(|c| c.decoded);
                let columns: Vec<&str> = decoded.map(|c| c.name.as_str()).collect();
                let text = format!("{} of {}", columns.join(", "), source.name);
                check::entry(&mut out, "decoded", &text);
            }
        }
        say(&secrets.redact(out.trim_start_matches('\n')))
    }
}
