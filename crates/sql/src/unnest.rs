//! One row into several: UNNEST.
