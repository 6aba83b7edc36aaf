#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic"
)]
//! One binary for all tests of views, so that DataFusion is linked once.

mod amounts;
mod batch;
mod bounds;
mod contract;
mod golden;
mod kept;
mod oracle;
mod run;
mod time;
