//! `LEFT JOIN devices d ON d.key = r.sensor`: columns of a lookup for each row, by a key.
//!
//! ```text
//! tree ─ refuse: other joins ─▶ plan ─ node: joins become one node ─▶ lowered ─ step: keys out, columns in
//! ```

mod node;
mod refuse;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::lookup::Answers;

pub(crate) use node::{LookupNode, join_all};
pub(crate) use refuse::{named, refuse_alone, refuse_join};
pub(crate) use step::{LookupStep, narrow};

/// Lookups by name.
pub(crate) type Lookups = BTreeMap<String, Arc<dyn Answers>>;
