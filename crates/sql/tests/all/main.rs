#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test may panic"
)]
//! One binary for all tests of views, so that DataFusion is linked once.

mod bounds;
mod golden;
mod oracle;
mod run;
