//! What nodes do beside requests: one duty a file, each a `run_once` that any
//! number of nodes may run at the same time.

pub mod schedule;
