//! Bounds: of state, of chunks, of sums.
