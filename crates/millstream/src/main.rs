//! The `millstream` binary: everything it does is a verb in `cli`.

mod cli;

use std::process::ExitCode;

/// Arrow batches are made on one thread and freed on another, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
