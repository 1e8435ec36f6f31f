//! The native client against a server: as a library, and as the notes example in a process that is killed.

mod api;
mod closures;
mod killed;
mod process;
mod server;
mod storage;
