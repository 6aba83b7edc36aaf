//! `millstream schema`: the JSON Schema of pipeline files.

use clap::Args;
use millstream::Error;

use super::failure::{Failure, say};

/// Print the JSON Schema of pipeline files, for editors.
///
/// With the YAML language server, begin a file with
/// `# yaml-language-server: $schema=pipeline.schema.json`.
#[derive(Debug, Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let schema = millstream::schema(&millstream::standard());
        let text = serde_json::to_string_pretty(&schema)
            .map_err(|e| Error::stop("cannot write JSON").because(e))?;
        say(&format!("{text}\n"))
    }
}
