//! The fuzz targets by name, and how one runs an input.

mod archive;
mod change;
mod clock;
mod encodings;
mod law;
mod link;
mod local_rows;
mod messages;
mod pack;
mod parts;
mod replica;
mod server;
mod snapshot;
mod stored_log;

use crate::panics::quietly;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its folder in the corpus as well.
    pub name: &'static str,
    /// What it feeds, in words.
    pub what: &'static str,
    body: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 15] = [
    Target { name: "client_messages", what: "bytes as messages of a client", body: messages::client },
    Target { name: "server_messages", what: "bytes as messages of a server", body: messages::server },
    Target { name: "parts", what: "messages cut into parts, and put together again", body: parts::run },
    Target { name: "clock", what: "bytes as clocks and cursors", body: clock::run },
    Target { name: "pack", what: "bytes as a pack, deflated or not", body: pack::run },
    Target { name: "archive", what: "bytes as an exported store", body: archive::run },
    Target { name: "change", what: "bytes of a change with a checksum that fits", body: change::run },
    Target { name: "encodings", what: "changes in other bytes than automerge's", body: encodings::run },
    Target { name: "law", what: "edits mutated, and what is accepted lived through", body: law::run },
    Target { name: "stored_log", what: "what a server's store gives a room", body: stored_log::run },
    Target { name: "snapshot", what: "bytes as a snapshot of a log, and what follows on it", body: snapshot::run },
    Target { name: "local_rows", what: "what a local store gives a replica", body: local_rows::run },
    Target { name: "server", what: "session and room with a hostile client", body: server::run },
    Target { name: "replica", what: "a replica with a hostile server", body: replica::run },
    Target { name: "link", what: "a link with a hostile peer", body: link::run },
];

impl Target {
    /// The target with a name.
    pub fn find(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }

    /// Runs one input without a word; an error says what broke.
    pub fn run(&self, input: &[u8]) -> Result<(), String> {
        quietly(|| (self.body)(input)).map_err(|panic| format!("{}: {panic}", self.name))
    }

    /// Runs one input and lets panics speak, those that are caught on the way as well.
    pub fn run_aloud(&self, input: &[u8]) {
        (self.body)(input);
    }
}
