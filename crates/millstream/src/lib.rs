//! One file carries data from where it arises, through a durable queue and SQL, to where it is needed.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let closing = millstream::Pipeline::load("sensors.yaml")?.run().await?;
//! println!("{} edges, all balanced", closing.ledger.0.len());
//! # Ok(())
//! # }
//! ```
//!
//! Own parts are structs of options in the table of a [`Registry`]; the rest of the file stays as it is:
//!
//! ```ignore
//! let registry = millstream::standard().source(Plugin::of::<Counter>()).function(Arc::new(Celsius));
//! millstream::Pipeline::with(registry).load("own.yaml")?.run().await?;
//! ```
//!
//! The whole of that is in `examples/own_parts.rs`. The seams to write parts against are [`source::Source`],
//! [`sink::Sink`], [`codec::Codec`], [`lookup::Lookup`] and [`operator::Function`].

mod pipeline;

use std::sync::Arc;

use millstream_connectors::{CODECS, LOOKUPS, SINKS, SOURCES, TABLES};
use millstream_queue::QUEUES;
use millstream_sql::SqlPlanner;

pub use millstream_core::plugin::{self, Config, Env, Plugin, Registry};
pub use millstream_core::{
    Clock, Error, Remedy, Result, Timestamp, clock, codec, error, fields, ledger, lookup, operator,
    queue, record, role, sink, source,
};
pub use millstream_engine::config::{HttpOptions, Problem, Problems, reference, schema};
pub use millstream_engine::plan::Plan;
pub use millstream_engine::snapshot::{self, Snapshot};
pub use millstream_engine::{
    Closing, Only, Status, Stopper, control, dead_letters, desk, opening, status,
};
pub use millstream_sql::functions;
pub use pipeline::{Loaded, Loader, Pipeline};

/// Every part that comes with Millstream, and its SQL.
#[must_use]
pub fn standard() -> Registry {
    let mut registry = Registry::empty(Arc::new(SqlPlanner));
    registry.sources.extend_from_slice(SOURCES);
    registry.sinks.extend_from_slice(SINKS);
    registry.codecs.extend_from_slice(CODECS);
    registry.lookups.extend_from_slice(LOOKUPS);
    registry.tables.extend_from_slice(TABLES);
    registry.queues.extend_from_slice(QUEUES);
    registry
}
