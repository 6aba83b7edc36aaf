//! The pipeline file, and the loop that collects, processes and delivers.

pub mod config;
