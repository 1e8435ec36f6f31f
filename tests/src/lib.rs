//! What the whole-system tests share.

pub mod cbor;
pub mod cddl;
pub mod contract;
pub mod demo;
pub mod editor;
pub mod memory;
mod parts;
pub mod proxy;
pub mod raw;
pub mod recording;
pub mod server;
pub mod serving;
pub mod sim;
pub mod tight_store;
pub mod traces;
