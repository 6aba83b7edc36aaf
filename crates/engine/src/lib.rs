//! The pipeline file, and the loop that collects, processes and delivers.
//!
//! ```text
//! collect ─ frames ─▶ queue ─ frames ─▶ process ─ rows ─▶ deliver
//!                       ▲                  │ seal: prepare, commit, flush
//!                       └── checkpoints ───┘
//! ```
//!
//! Whoever knows the picture knows the files: [`config`] reads the file, `collect` pulls from sources,
//! `process` takes frames through the `line` of decoders and views, `deliver` hands rows to sinks
//! (`drain` when one was down), `seal` ends an epoch, `recover` decides where to go on. Where several processes
//! share a queue, `share` divides the sources among them and `standby` waits for the turn to process.

mod aside;
mod back_off;
mod begin;
mod busy;
mod collect;
pub mod config;
pub mod control;
pub mod dead_letters;
mod decode;
mod deliver;
pub mod desk;
mod digest;
mod drain;
mod grind;
mod lanes;
mod line;
mod lookup;
mod marks;
mod meaning;
pub mod opening;
mod outbox;
mod pass;
mod pins;
pub mod plan;
mod process;
mod quiet;
mod rebuild;
pub mod recover;
mod remember;
mod run;
mod seal;
mod share;
pub mod snapshot;
mod standby;
pub mod status;
mod step;
mod tables;
mod tasks;
mod time;
pub mod trial;
mod troubles;

pub use config::Pipeline;
pub use run::{Closing, Engine, Only, Options};
pub use snapshot::Snapshot;
pub use status::Status;
pub use tasks::{Phase, Placement, Stopper};
