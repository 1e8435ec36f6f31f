//! What a server is told: defaults, then a file, then `REJOIN_*` in the environment, then the command line.

pub mod settle;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};
use sync_core::compact;
use sync_core::scope::{NamePattern, PatternError};
use sync_core::storage::Durability;

use crate::store;

/// Read from the working folder if it is there and no other file is named.
pub const FILE: &str = "rejoin.toml";

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityMode {
    /// Acknowledged changes survive a crash of the machine.
    Durable,
    /// Acknowledged changes survive a crash of the process; a crash of the machine may take the last moments.
    Normal,
}

/// A server's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The folder that holds the store.
    pub data: PathBuf,
    /// Whether anybody may connect from beyond this machine.
    pub allow_anonymous: bool,
    /// What an acknowledgement promises.
    pub durability: DurabilityMode,
    /// Origins of web pages that may connect, beside the server's own; `*` for all.
    pub allow_origin: Vec<String>,
    /// Names that the server answers to, beside addresses, `localhost` and those of `allow_origin`; `*` for all.
    pub allow_host: Vec<String>,
    /// Documents that nobody may change, as patterns of their names: `archive/**`. Reading them goes on.
    pub read_only: Vec<String>,
    /// Rules by which the server settles conflicts, in the document and so for everybody.
    pub settle: Vec<settle::Settle>,
    /// Worker tasks that host rooms; one a core if 0.
    pub workers: usize,
    /// Seconds after which a document that nobody has open leaves memory.
    pub room_idle_s: u64,
    /// Most connections at a time; further ones are refused with 503.
    pub connections_max: usize,
    /// Most bytes held for all connections together: unfinished messages, and what waits to be written to clients. Who holds much is closed with 1013 when it is reached.
    pub buffers_bytes_max: usize,
    /// Documents that one connection may open at once, after a rest; no bound if `opens_per_s` is 0.
    pub opens_burst: u32,
    /// Documents that one connection may open a second beyond that; more are refused with the time to wait.
    pub opens_per_s: u32,
    /// Batches that one connection may push at once, after a rest; no bound if `pushes_per_s` is 0.
    pub pushes_burst: u32,
    /// Batches that one connection may push a second beyond that; more are refused with the time to wait, and stay with the client.
    pub pushes_per_s: u32,
    /// Seconds of silence, doubled, after which a client is taken for gone.
    pub heartbeat_s: u64,
    /// A client that takes nothing for so many seconds while something waits to be written to it is dropped.
    pub write_within_s: u64,
    /// When the server stops, clients are told to spread their return over this many seconds.
    pub reconnect_within_s: u64,
    /// Most bytes of the store's file; pushes beyond are refused as on a full disk. No bound if 0.
    pub store_bytes_max: u64,
    /// A document is compacted in the background once it has gained this many commits; never if 0.
    pub compact_after: usize,
    /// Changes at the end of a document's log that are kept at hand: what clients that come back soon refer to needs no reading then.
    pub compact_keep: u64,
    /// The program that makes snapshots for newcomers, each in a process of its own: this one, when it runs as a server. Without it none are made,
    /// and newcomers get the log.
    #[serde(skip)]
    pub worker: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787),
            data: PathBuf::from("./rejoin-data"),
            allow_anonymous: false,
            durability: DurabilityMode::Durable,
            allow_origin: Vec::new(),
            allow_host: Vec::new(),
            read_only: Vec::new(),
            settle: Vec::new(),
            workers: 0,
            room_idle_s: 60,
            connections_max: 20_000,
            buffers_bytes_max: 512 << 20,
            opens_burst: 5_000,
            opens_per_s: 200,
            pushes_burst: 64_000,
            pushes_per_s: 20_000,
            heartbeat_s: 20,
            write_within_s: 20,
            reconnect_within_s: 5,
            store_bytes_max: 0,
            compact_after: 256,
            compact_keep: 1_024,
            worker: None,
        }
    }
}

/// The keys that the environment may set, so that other `REJOIN_*` variables disturb nothing.
const KEYS: [&str; 21] = [
    "listen",
    "data",
    "allow_anonymous",
    "durability",
    "allow_origin",
    "allow_host",
    "read_only",
    "workers",
    "room_idle_s",
    "connections_max",
    "buffers_bytes_max",
    "opens_burst",
    "opens_per_s",
    "pushes_burst",
    "pushes_per_s",
    "heartbeat_s",
    "write_within_s",
    "reconnect_within_s",
    "store_bytes_max",
    "compact_after",
    "compact_keep",
];

impl Config {
    /// Gathers the configuration; `over` are the values given on the command line.
    pub fn gather(file: Option<&Path>, over: impl Serialize) -> Result<Self, String> {
        let mut sources = Figment::from(Serialized::defaults(Self::default()));
        sources = match file {
            Some(path) => sources.merge(Toml::file_exact(path)),
            None => sources.merge(Toml::file(FILE)),
        };
        let sources = sources.merge(Env::prefixed("REJOIN_").only(&KEYS)).merge(Serialized::defaults(over));
        sources.extract().map_err(|e| e.to_string())
    }

    /// The documents that nobody may change.
    pub(crate) fn read_only(&self) -> Result<Vec<NamePattern>, PatternError> {
        self.read_only.iter().map(|pattern| NamePattern::parse(pattern)).collect()
    }

    /// The rules by which the server settles conflicts.
    pub(crate) fn settling(&self) -> Result<settle::Settling, String> {
        settle::Settling::new(&self.settle)
    }

    pub(crate) fn store(&self) -> store::Options {
        let durability = match self.durability {
            DurabilityMode::Durable => Durability::Durable,
            DurabilityMode::Normal => Durability::Stored,
        };
        store::Options { durability, bytes_max: (self.store_bytes_max > 0).then_some(self.store_bytes_max) }
    }

    pub(crate) fn compaction(&self) -> Option<compact::Options> {
        let options = compact::Options::default();
        let keep_changes = self.compact_keep;
        (self.compact_after > 0).then_some(compact::Options { packs_min: self.compact_after, keep_changes, ..options })
    }

    pub(crate) fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }

    pub(crate) fn room_idle(&self) -> Duration {
        Duration::from_secs(self.room_idle_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Over {
        listen: &'static str,
    }

    #[test]
    fn the_command_line_wins_over_a_file_and_unknown_keys_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("some.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\nworkers = 3\ndurability = \"normal\"\n").expect("writes");
        let config = Config::gather(Some(&path), Over { listen: "127.0.0.1:2" }).expect("fits");
        assert_eq!((config.listen.port(), config.workers), (2, 3));
        assert_eq!(config.store().durability, Durability::Stored);
        std::fs::write(&path, "lissten = \"127.0.0.1:1\"\n").expect("writes");
        let refused = Config::gather(Some(&path), Over { listen: "127.0.0.1:2" }).expect_err("a typo");
        assert!(refused.contains("lissten"), "{refused}");
    }
}
