//! Where data comes from and goes to: one file per technology.
