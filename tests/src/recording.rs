//! Recordings of every format that was ever written: a server's store, a client's store, and the bytes of a conversation between them.
//!
//! Owns how a recording is kept and read. A recording is never changed: `cargo xtask golden` adds one when a format gets another number.

mod dump;
mod play;
pub mod stage;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use dump::{dump, restore};
pub use play::record;

/// The numbers of all formats in a recording, as they stand in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// The protocol's version.
    pub wire: u32,
    /// The version of packs.
    pub pack: u8,
    /// The format of the rows of a client's store.
    pub client_row: u8,
    /// The number of a client's database.
    pub client_store: u32,
    /// The number of a server's database.
    pub server_store: u32,
}

/// Who sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// One WebSocket message, in the order in which all were sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The number of its connection, in the order in which they were made.
    pub connection: u64,
    /// Who sent it.
    pub from: From,
    /// Its bytes.
    pub hex: String,
}

impl Frame {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.hex).expect("hex")
    }
}

/// A whole recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Its formats.
    pub formats: Formats,
    /// The document that all of it is about.
    pub document: String,
    /// All frames of all connections.
    pub frames: Vec<Frame>,
    /// The connection on which the writer found its server restored: it begins with `client-before.sql`.
    pub reconnection: u64,
    /// What the writer shows when that connection ends.
    pub value_between: serde_json::Value,
    /// What the writer shows at the end, as in `client.sql`.
    pub value: serde_json::Value,
    /// What it and the server show once they have met again.
    pub value_synced: serde_json::Value,
}

/// A recording in its folder.
#[derive(Debug)]
pub struct Kept {
    /// The folder: `recording.json`, `client-before.sql`, `client.sql`, `server.sql`.
    pub folder: PathBuf,
    /// The recording.
    pub recording: Recording,
}

impl Kept {
    /// Reads a recording.
    pub fn read(folder: &Path) -> Self {
        let path = folder.join("recording.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let recording = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { folder: folder.to_owned(), recording }
    }

    /// The statements that make one of its databases.
    pub fn sql(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).expect("a database of the recording")
    }
}

/// Where recordings are kept.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/recordings")
}

/// All recordings kept.
pub fn all() -> Vec<Kept> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("recordings are kept")
        .map(|entry| entry.expect("readable").path())
        .collect();
    folders.sort();
    folders.iter().map(|folder| Kept::read(folder)).collect()
}
