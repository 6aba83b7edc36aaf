//! Laws, faults and a simulated disk for testing Millstream's parts.

pub mod disk;
pub mod fakes;
pub mod laws;
pub mod model;
pub mod redis;
