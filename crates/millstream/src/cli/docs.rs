//! `millstream docs`: the reference, made from the options themselves.

use clap::{Args, ValueEnum};

use super::failure::{Failure, say};

/// Print the reference as Markdown.
#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// Which part of it.
    #[arg(value_enum, default_value_t = Topic::File)]
    topic: Topic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Topic {
    /// Everything that a pipeline file may hold.
    File,
    /// Every scalar function of SQL.
    Functions,
}

impl Docs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.topic {
            Topic::File => say(&millstream::reference(&millstream::standard())),
            Topic::Functions => say(&functions()),
        }
    }
}

fn functions() -> String {
    let mut out = "# SQL functions\n\n\
        <!-- Written by `millstream docs functions`. A test compares: do not edit. -->\n\n\
        | function | what it gives |\n|---|---|\n"
        .to_owned();
    for (name, gives) in millstream::functions() {
        out.push_str(&format!("| `{name}` | {} |\n", gives.replace('|', "\\|")));
    }
    out
}
