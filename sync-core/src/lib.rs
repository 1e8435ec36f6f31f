//! The Rejoin sync engine without IO.
//!
//! Clocks, packs, validation, logs, documents, the protocol, and the machines of both halves: `replica` for the client,
//! `session` and `room` for the server, `link` between equals. No clock is read, no thread, socket, file, lock or global
//! is touched here: time, chance and storage come in as data and go out as data, so that the same inputs give the same outputs.

pub mod change;
pub mod clock;
pub mod compact;
pub mod conflict;
pub mod desk;
pub mod document;
pub mod few;
pub mod id;
pub mod limits;
pub mod link;
pub mod log;
pub mod newcomer;
pub mod op_index;
pub mod pack;
pub mod planted;
pub mod presence;
pub mod protocol;
pub mod reading;
pub mod reissue;
pub mod replica;
pub mod resolver;
pub mod rng;
pub mod room;
pub mod saved;
pub mod scope;
pub mod session;
pub mod settlement;
pub mod snapshot;
pub mod storage;
pub mod table;
pub mod time;
pub mod touched;
pub mod validator;
pub mod view;
