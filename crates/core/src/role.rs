//! Who does what, where several processes share a queue.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::record::Name;

/// A part of a pipeline's work that one process at a time does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Steps, commits and delivers.
    Process,
    /// Collects from this source.
    Collect(Name),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("process"),
            Self::Collect(source) => write!(f, "collect/{source}"),
        }
    }
}

/// Who has a role, for people to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What it does.
    pub role: Role,
    /// Which process it is: host, process id and a random part.
    pub process: String,
    /// Until when nobody else can have the role, unless it is renewed.
    pub until: Timestamp,
}
