//! Laws, faults and a simulated disk for testing Millstream's parts.

pub mod fakes;
