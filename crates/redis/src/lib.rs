//! Talking to Redis, for all parts that do: the queue, the source, the sink and the cache.
//!
//! A part has a [`Server`] (what the pipeline file says of it) and makes a [`Session`] of it: a connection
//! that is made when it is first used and made anew after it broke. What a command may fail with is an
//! [`millstream_core::Error`] with its remedy; nothing is retried here.
//!
//! Redis 7 or newer, and Valkey, which speaks the same. One server, Sentinel, or a cluster: all the same to
//! whoever uses a session, as long as the keys of one command have the same hash tag.

mod address;
mod error;
mod link;
mod persistence;
mod server;
mod session;

pub use address::Address;
pub use error::{explain, is_refusal};
pub use link::{Link, Nodes};
pub use persistence::{Persistence, Stake, wait_for_disk, waits_truly};
pub use redis;
pub use server::{Server, Tls};
pub use session::Session;
