//! The command line: one file a verb.

mod check;
mod completions;
mod dead;
mod docs;
mod explain;
mod failure;
mod init;
mod ledger;
mod letters;
mod line;
mod logs;
mod numbers;
mod run;
mod schema;
mod screen;
mod status;
mod table;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One file carries data from where it arises, through a durable queue and SQL, to where it is needed.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 the world (a sink, a disk, a port), 2 the file or the options."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Check(check::Check),
    Explain(explain::Explain),
    Test(test::Test),
    Dead(dead::Dead),
    Status(status::Status),
    Init(init::Init),
    Schema(schema::Schema),
    Docs(docs::Docs),
    Completions(completions::Completions),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(verb) => verb.run(),
        Verb::Check(verb) => verb.run(),
        Verb::Explain(verb) => verb.run(),
        Verb::Test(verb) => verb.run(),
        Verb::Dead(verb) => verb.run(),
        Verb::Status(verb) => verb.run(),
        Verb::Init(verb) => verb.run(),
        Verb::Schema(verb) => verb.run(),
        Verb::Docs(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
