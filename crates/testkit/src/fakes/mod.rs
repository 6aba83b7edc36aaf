//! Stand-ins for every part of a pipeline, for tests of the engine: no disk, no SQL, no network.
//!
//! All of them live in one [`World`], which decides by seed how long an act takes, which fail, and
//! at which act the process dies. What is durable (the [`Disk`] of the queue, the [`Target`] of a sink,
//! the [`Script`] of a source) outlives the parts that work on it.

mod board;
mod chain;
mod codec;
mod disk;
mod lookup;
mod planner;
mod queue;
mod side;
mod sink;
mod source;
mod tumble;
mod world;

pub use board::{Board, BoardReader};
pub use chain::{Rule, Step};
pub use codec::Lines;
pub use disk::{Disk, Recovery};
pub use lookup::{Shelf, ShelfLookup};
pub use planner::Chain;
pub use queue::DiskQueue;
pub use sink::{Target, TrackingSink, UntrackedSink};
pub use source::{Script, ScriptedSource};
pub use world::{Fault, Odds, World};
