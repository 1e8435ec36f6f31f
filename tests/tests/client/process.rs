//! The notes example as a process: lines in, lines out, and the kill that nobody survives.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a line may take before the test fails.
const LINE_WITHIN: Duration = Duration::from_secs(30);

/// A running notes process. Dropping it kills it.
pub(crate) struct Notes {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Notes {
    /// Starts it on the store in `dir`.
    pub(crate) fn start(name: &str, dir: &Path, server: SocketAddr, more: &[&str]) -> Self {
        let mut child = command(name, dir, server, more).spawn().expect("the notes program starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut notes = Self { stdin: child.stdin.take(), child, lines, seen: Vec::new() };
        notes.expect("your notes are kept in");
        notes
    }

    /// Starts it, expecting that it ends by itself; gives how, and what it said on standard error.
    pub(crate) fn refused(name: &str, dir: &Path, server: SocketAddr) -> (ExitStatus, String) {
        let mut child = command(name, dir, server, &[]).spawn().expect("the notes program starts");
        drop(child.stdin.take());
        let mut said = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
        (child.wait().expect("it ends"), said)
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it runs");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("it reads");
    }

    /// Waits for a line that contains `part`, and gives it.
    #[track_caller]
    pub(crate) fn expect(&mut self, part: &str) -> String {
        let until = Instant::now() + LINE_WITHIN;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no line with {part:?} in time; there were {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without {part:?}; there were {:#?}", self.seen),
            }
        }
    }

    /// Types a line and waits for the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str, part: &str) -> String {
        self.type_line(line);
        self.expect(part)
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is dead");
    }

    /// Ends it as a user does; gives the last line.
    #[track_caller]
    pub(crate) fn quit(mut self) -> String {
        let line = self.ask("quit", "saved on this device; ");
        assert!(self.child.wait().expect("it ends").success());
        line
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(name: &str, dir: &Path, server: SocketAddr, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notes-under-test"));
    command.args(["--name", name, "--server", &format!("ws://{server}/sync"), "--store"]).arg(dir).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
