//! Hostile clients on raw sockets against the real server, while honest ones work beside them and notice nothing.
//!
//! Each test is one class of attacks on a server of its own. It holds the server to the close codes of docs/protocol.md, to a bound on
//! its memory, and to a log without errors, and prints what it measured.

mod before;
mod floods;
mod frames;
mod messages;
mod pace;
mod packs;
mod siege;
#[allow(dead_code, reason = "what is not used here is used by the tests of peers")]
mod writer;
