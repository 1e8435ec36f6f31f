//! Snapshots for newcomers, each made by a process of its own: applying a document's changes may take memory, time, or the whole process
//! with it, and the server goes on.
//!
//! Owns starting, bounding and ending that process, and reading what it gives. It may be killed at any point: until its last byte has come
//! nothing is kept. What it does is in [`crate::cli`] and in sync-core.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use sync_core::id::DocumentName;
use sync_core::limits::{PIECE_BYTES, PIECES_MAX};
use sync_core::storage::DocumentSnapshot;
use tokio::sync::watch;

use crate::config::Config;
use crate::handout;

/// The hidden command of this program that makes one snapshot.
pub(crate) const COMMAND: &str = "materialise-worker";

/// A process that takes longer is killed, and the document's packs serve newcomers as before.
const WITHIN: Duration = Duration::from_secs(600);

/// How often it is looked whether the server stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Most bytes read from the process: beside all pieces there are only short numbers.
const BYTES_MAX: u64 = PIECES_MAX as u64 * (PIECE_BYTES as u64 + 16) + 1_024;

/// Where the program and the store are.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    pub(crate) program: PathBuf,
    pub(crate) data: PathBuf,
}

/// Why there is no snapshot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MakerError {
    /// The server stops.
    #[error("the server is stopping")]
    Stopping,
    /// It can't be made now; nothing is wrong with the document.
    #[error("the process can't be started: {0}")]
    NotStarted(String),
    /// The process died, took too long, or says that it can't be made.
    #[error("{0}")]
    Failed(String),
}

impl Maker {
    /// What a configuration names, if it does.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        config.worker.clone().map(|program| Self { program, data: config.data.clone() })
    }

    /// Has a snapshot made. `None` if there is no such document any more, or it is too short.
    pub(crate) fn make(
        &self,
        document: &DocumentName,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<DocumentSnapshot>, MakerError> {
        let not_started = |e: std::io::Error| MakerError::NotStarted(e.to_string());
        let mut process = Process(self.spawn(document).map_err(not_started)?);
        let stdout = process.0.stdout.take().ok_or_else(|| MakerError::NotStarted("it has no output".into()))?;
        let (done, output) = sync_channel(1);
        thread::Builder::new()
            .name("newcomer-reader".into())
            .spawn(move || drop(done.send(read(stdout))))
            .map_err(not_started)?;
        let start = Instant::now();
        let output = loop {
            match output.recv_timeout(LOOK_EVERY) {
                Ok(output) => break output,
                Err(RecvTimeoutError::Disconnected) => break Err("its output can't be read".into()),
                Err(RecvTimeoutError::Timeout) if *stop.borrow() => return Err(MakerError::Stopping),
                Err(RecvTimeoutError::Timeout) if start.elapsed() > WITHIN => {
                    return Err(MakerError::Failed("it takes too long".into()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        let status = process.0.wait().map_err(|e| MakerError::Failed(e.to_string()))?;
        if *stop.borrow() {
            return Err(MakerError::Stopping);
        }
        let output = output.map_err(MakerError::Failed)?;
        if !status.success() {
            return Err(MakerError::Failed(format!("{status}")));
        }
        handout::read(document, &output).map_err(|e| MakerError::Failed(format!("its output makes no sense: {e}")))
    }

    fn spawn(&self, document: &DocumentName) -> std::io::Result<Child> {
        command(&self.program, &self.data, document)
            // Its end is the server's: the process ends with it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }
}

fn command(program: &Path, data: &Path, document: &DocumentName) -> Command {
    let mut command = Command::new(program);
    command.arg(COMMAND).arg("--data").arg(data).arg("--document").arg(document.as_str());
    command
}

fn read(stdout: ChildStdout) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    stdout.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > BYTES_MAX { Err("it gives too much".into()) } else { Ok(bytes) }
}

/// A process that ends with whoever waits for it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// What a process that runs this script is taken for.
    fn made(script: &str, stopped: bool) -> Result<Option<DocumentSnapshot>, MakerError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let program = dir.path().join("worker");
        // Written by another process: one that another test starts meanwhile would inherit the open file, and it could not be run.
        let write = r#"printf '%s' "$1" > "$0" && chmod 755 "$0""#;
        let text = format!("#!/bin/sh\n{script}\n");
        let written = Command::new("sh").arg("-c").arg(write).arg(&program).arg(text).status().expect("runs");
        assert!(written.success());
        let (_keep, stop) = watch::channel(stopped);
        let document = DocumentName::parse("doc").expect("a name");
        Maker { program, data: dir.path().to_owned() }.make(&document, &stop)
    }

    #[test]
    fn whatever_becomes_of_the_process_is_an_error_of_its_document_alone() {
        let failed = |script: &str| match made(script, false) {
            Err(MakerError::Failed(what)) => what,
            other => panic!("{script}: {other:?}"),
        };
        assert!(failed("exit 3").contains('3'));
        assert!(failed("kill -9 $$").contains("signal"));
        assert!(failed("kill -ABRT $$").contains("signal"));
        assert!(failed("echo something else").contains("makes no sense"));
        assert!(failed("printf 'rejoin snapshot 1\\n'; printf '\\205'").contains("makes no sense"), "cut off");
        assert_eq!(made("printf 'rejoin snapshot 1\\n'; printf '\\200'", false), Ok(None));
        let nowhere = Maker { program: "/nowhere/at/all".into(), data: ".".into() };
        let (_keep, stop) = watch::channel(false);
        let document = DocumentName::parse("doc").expect("a name");
        assert!(matches!(nowhere.make(&document, &stop), Err(MakerError::NotStarted(_))));
    }

    #[test]
    fn a_process_that_never_ends_ends_with_the_server() {
        let start = Instant::now();
        assert_eq!(made("sleep 1000", true), Err(MakerError::Stopping));
        assert!(start.elapsed() < WITHIN / 10);
    }
}
