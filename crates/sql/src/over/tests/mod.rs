//! The operator against a plain model.
