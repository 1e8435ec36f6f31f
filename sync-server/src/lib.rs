//! The sync server: what turns the engine's machines, in sockets, threads and files.

pub mod store;
