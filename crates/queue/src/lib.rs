//! The durable, ordered place between sources and sinks: in memory, or a log on disk.
