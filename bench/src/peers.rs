//! The servers that people would pick instead, doing the same work: which there are, how each is started, and its rows.
//!
//! Their packages are in `bench/peers`, apart from all that is built and shipped; `cargo xtask bench --peers` installs them. None of them makes a
//! change durable before it passes it on or answers.

mod client;
mod lib0;
mod line;
mod paper;
mod repo;
mod rows;
mod script;
mod yjs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::figures::{Error, Figures};
use crate::process::Process;
use crate::rows::{Bench, Row};
use crate::wire::PATIENCE;

/// Names where the program of samod's server is.
const SAMOD: &str = "REJOIN_BENCH_SAMOD";

/// The name of no document.
const PROBE: &str = "probe";

/// How long a server has for its first answer before it is asked again.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// How long a row on one peer may take before it is given up, so that a peer which hangs costs no more than its own figures.
const ROW_WITHIN: Duration = Duration::from_secs(300);

/// A peer by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Yjs: Hocuspocus, its documents in files.
    Hocuspocus,
    /// Yjs: the server of y-websocket, its documents in LevelDB.
    YWebsocket,
    /// automerge-repo's sync server, its documents in files.
    AutomergeRepo,
    /// samod behind axum, its documents in files.
    Samod,
}

impl Peer {
    /// All of them.
    pub(crate) const NAMES: [&str; 4] = ["hocuspocus", "y-websocket", "automerge-repo", "samod"];

    /// Its name in figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hocuspocus => "hocuspocus",
            Self::YWebsocket => "y-websocket",
            Self::AutomergeRepo => "automerge-repo",
            Self::Samod => "samod",
        }
    }

    /// Its packages with their versions.
    fn what(self) -> &'static str {
        match self {
            Self::Hocuspocus => "@hocuspocus/server 4.7.0",
            Self::YWebsocket => "@y/websocket-server 0.1.5",
            Self::AutomergeRepo => "@automerge/automerge-repo-sync-server 0.2.8",
            Self::Samod => "samod 0.16.0",
        }
    }

    /// Whether it keeps Yjs documents.
    fn is_yjs(self) -> bool {
        matches!(self, Self::Hocuspocus | Self::YWebsocket)
    }

    /// Starts it on a folder, and waits until it answers.
    async fn start(self, data: &Path) -> Result<Process, Error> {
        let server = self.spawn(data)?;
        let begun = Instant::now();
        while !self.is_yjs() {
            // automerge-repo listens before it is ready to hear, and never hears who came too early.
            let mut line = line::Line::new(client::dial(self, server.address, PROBE).await?);
            match tokio::time::timeout(
                ANSWERS_WITHIN,
                client::join(&mut line, &client::name(), repo::Stay::Once, PROBE),
            )
            .await
            {
                Ok(joined) => return joined.map(|_| server),
                Err(_) if begun.elapsed() > PATIENCE => return Err("the server does not answer".into()),
                Err(_) => {}
            }
        }
        Ok(server)
    }

    fn spawn(self, data: &Path) -> Result<Process, Error> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(self.name());
        if self == Self::Samod {
            let beside = || folder.join("target/release/rejoin-bench-samod");
            let program = std::env::var_os(SAMOD).map_or_else(beside, PathBuf::from);
            return Process::start(Command::new(program).arg(data));
        }
        Process::start(Command::new("node").arg(folder.join("server.mjs")).arg(data))
    }

    /// Does a row's work on it, if the row is one that is the same work there.
    pub(crate) async fn run(self, row: Row, bench: &Bench, figures: &mut Figures) -> Result<(), Error> {
        let (name, what) = (self.name(), self.what());
        match row {
            Row::Idle | Row::Fanout | Row::Burst | Row::Writes | Row::Paper => println!("\n  {name}: {what}"),
            Row::Growth | Row::Documents | Row::Restart | Row::Conflicts => return Ok(()),
        }
        let taken = async {
            match row {
                Row::Idle => rows::idle(self, bench, figures).await,
                Row::Fanout => rows::fanout(self, bench, figures).await,
                Row::Burst => rows::burst(self, bench, figures).await,
                Row::Writes => rows::writes(self, bench, figures).await,
                _ => paper::run(self, bench, figures).await,
            }
        };
        let given_up = |_| Err(format!("it was given up after {} s", ROW_WITHIN.as_secs()).into());
        tokio::time::timeout(ROW_WITHIN, taken).await.unwrap_or_else(given_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_told_are_those_that_are_installed() {
        for peer in Peer::value_variants() {
            let (package, version) = peer.what().split_once(' ').expect("a package and its version");
            let manifest = match peer {
                Peer::Hocuspocus => include_str!("../peers/hocuspocus/package.json"),
                Peer::YWebsocket => include_str!("../peers/y-websocket/package.json"),
                Peer::AutomergeRepo => include_str!("../peers/automerge-repo/package.json"),
                Peer::Samod => include_str!("../peers/samod/Cargo.toml"),
            };
            let lines = [format!("\"{package}\": \"{version}\""), format!("{package} = {{ version = \"={version}\"")];
            assert!(lines.iter().any(|line| manifest.contains(line)), "{package} {version}");
        }
    }
}
