//! Contract suites: what every store keeps to, written once and run on each implementation.
//!
//! Owns the assertions, not the stores. An implementation hands in a fixture, which is a fresh place that can be opened again.

pub mod local_store;
pub mod store;
