//! The native client.

pub mod store;

pub use store::SqliteStore;
