//! The sync server: what turns the engine's machines, in sockets, threads and files.
//!
//! Owns all IO of the server's half: the store and its threads, the workers that host rooms, the sockets that carry sessions,
//! HTTP, configuration and the command line. Decides nothing about documents; that is for sync-core.

pub mod backplane;
pub mod cli;
pub mod config;
pub mod server;
pub mod store;
pub mod walk;

mod accept;
mod archive;
mod budget;
mod clock;
mod compactor;
mod conflicts;
mod handout;
mod health;
mod http;
mod mailbox;
mod materialise;
mod meter;
mod own;
mod rooms;
mod settler;
mod socket;
mod writer;

pub use config::Config;
pub use server::{Server, StartError};
