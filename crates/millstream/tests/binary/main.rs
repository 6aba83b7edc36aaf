//! The real binary, from the outside: what it prints, does, keeps, and how it ends.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "tests may panic, print seeds and look at the clock"
)]

mod analyses;
mod api;
mod bad_input;
mod bench;
mod dead;
mod ends;
mod examples;
mod job;
mod joins;
mod kill;
mod late;
mod lookups;
mod nexmark;
mod rebuild;
mod redis;
mod running;
mod spill;
mod tables;
mod transcripts;
mod web;
mod windows;
