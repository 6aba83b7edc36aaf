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
        A row for which a value cannot be computed is set aside with the reason, and its neighbours go on. That goes \
        for a whole number beyond the range of its type (`bigint * bigint` beyond 64 bits; nothing wraps around), a \
        division by zero, a cast that fails, and a value of more than 64 MiB (`repeat(s, n)`), which is not begun. \
        `UNNEST` makes up to 1,048,576 rows and 256 MiB of one row.\n\n\
        | function | what it gives |\n|---|---|\n"
        .to_owned();
    for (name, gives) in millstream::functions() {
        out.push_str(&format!("| `{name}` | {} |\n", gives.replace('|', "\\|")));
    }
    out
}
