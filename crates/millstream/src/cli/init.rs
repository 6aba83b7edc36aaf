//! `millstream init`: a first pipeline file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;
use millstream::Error;

use super::failure::{Failure, say};

/// What is written: small, commented, and runs as it is.
const TEMPLATE: &str = include_str!("init.yaml");

/// Write a small, commented pipeline file that runs as it is.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to; what is there already is never overwritten.
    #[arg(default_value = "pipeline.yaml")]
    file: PathBuf,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let shown = self.file.display().to_string();
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&self.file).map_err(|e| {
                let error = Error::stop("cannot write the pipeline file").at(shown.clone());
                Failure::World(match e.kind() {
                    ErrorKind::AlreadyExists => error.because(e).fix(
                        "it is kept as it is: name another file, `millstream init other.yaml`",
                    ),
                    ErrorKind::NotFound => error.because(e).fix("make its folder first"),
                    _ => error.because(e),
                })
            })?;
        file.write_all(TEMPLATE.as_bytes()).map_err(|e| {
            Error::stop("cannot write the pipeline file").at(shown.clone()).because(e)
        })?;
        say(&format!(
            "wrote {shown}; now\n\n  millstream check {shown}\n  millstream run {shown} --for 15s\n"
        ))
    }
}
