//! `JOIN devices d ON d.id = r.device`: rows of a reference table for each row, by any condition.
//!
//! ```text
//! plan ─ join: joins become one node ─▶ lowered ─ index: one for each version ─▶ step: rows in, matches out
//! ```
//!
//! What is made of the table itself (`(SELECT … FROM devices WHERE …) d`) is made once for each version.

mod index;
mod join;
mod node;
mod refuse;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::reference::Reference;

pub(crate) use join::{is_of_reference, join_all};
pub(crate) use node::{ReferenceNode, Way};
pub(crate) use refuse::{add_named, is_read, names, reference_alone};
pub(crate) use step::{Condition, Parts, ReferenceStep};

/// Reference tables by name.
pub(crate) type References = BTreeMap<String, Arc<dyn Reference>>;
