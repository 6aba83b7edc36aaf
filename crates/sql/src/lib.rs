//! Views: SQL planned with DataFusion, run as our own streaming operators.
